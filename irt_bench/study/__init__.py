"""The study: do pruned or reweighted subsets cut seed variance, judged on models and seeds that took no part."""
