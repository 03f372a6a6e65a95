"""Reduced benchmarks: select and weight items, estimate the full score, compare methods, store subsets."""
