"""Subsets in evaluation harnesses: files that run them, and their logs read back."""
