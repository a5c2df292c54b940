"""The proxy: what it passes on, what it counts, and each thing that it can let go wrong."""
