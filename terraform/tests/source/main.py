"""Stands for the function in tests of what is around it: the whole bundle has a test of its own."""
