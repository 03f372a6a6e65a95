"""Item analysis, abilities, scores and their agreement: responses or draws in, numbers with uncertainty out."""
