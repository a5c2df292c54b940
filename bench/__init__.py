"""Side-by-side benchmarks: this product beside what one would have without it."""
