"""Behaviour of the parts, against the embedded registry where one is needed."""
