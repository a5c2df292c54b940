"""Part of the function."""
