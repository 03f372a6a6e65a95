"""How precise are abilities and item parameters, by the number of models and items: ``python precision.py``."""

import warnings

import numpy as np
import pandas as pd

from irt_bench import LaplaceSettings, TwoPL, fit, simulate_responses

SHAPES = ((10, 100), (30, 100), (100, 20), (100, 50), (100, 100), (100, 500), (300, 100), (1000, 100))
REPEATS = 3


def precision(n_models: int, n_items: int, seed: int) -> dict[str, float]:
    """Median posterior sds in one simulated data set, and the median width of the 90% intervals of ranks."""
    rng = np.random.default_rng(seed)
    truth = {
        "ability": rng.normal(size=n_models),
        "difficulty": rng.normal(size=n_items),
        "discrimination": rng.lognormal(0, 0.4, size=n_items),
    }
    simulated = simulate_responses(TwoPL(), n_models=n_models, n_items=n_items, seed=seed, parameters=truth)
    found = fit(simulated.table, "2pl", LaplaceSettings(refine=False, seed=seed))
    models, items = found.abilities(), found.items()
    return {
        "ability_sd": models["ability_sd"].median(),
        "rank_width": (models["rank_q95"] - models["rank_q05"]).median() / n_models,
        "difficulty_sd": items["difficulty_sd"].median(),
        "discrimination_sd": (items["discrimination_sd"] / items["discrimination"]).median(),
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    rows = [{"models": n, "items": k, **precision(n, k, seed)} for n, k in SHAPES for seed in range(REPEATS)]
    print(pd.DataFrame(rows).groupby(["models", "items"]).mean().round(2).to_string())
