"""Tests: unit/ needs nothing but Python; integration/ drives the real parts."""
