"""Promotions by hand, as ``promotion promote`` makes them."""
