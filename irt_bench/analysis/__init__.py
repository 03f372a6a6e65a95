"""Responses or draws → numbers with uncertainty: item analysis, abilities, scores, and their agreement."""
