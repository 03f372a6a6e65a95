"""The study: whether pruned or reweighted subsets cut seed variance, evaluated on held-out models and seeds."""
