"""Answers and an IRT model -> labelled draws, with what made them and whether they can be trusted."""
