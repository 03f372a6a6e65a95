"""Fewer items, same verdict: select, weight, estimate the full score, keep it all in one file."""
