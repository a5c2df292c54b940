"""Fuzzing: whatever comes from outside ends in an error of the product's own, and in good time."""
