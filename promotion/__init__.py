"""Promotion: moves a tested container image to the next stage, by digest, by itself, safely."""

__version__ = "0.1.0"
