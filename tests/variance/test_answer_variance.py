import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import expit

from irt_bench import ResponseCounts
from irt_bench.variance.moments import answer_variance_ratio

N_RUNS, N_SEEDS, N_ITEMS = 10, 4, 50


@pytest.mark.parametrize(("own_items", "low", "high"), [(0.0, 0.93, 1.07), (2.0, 0.4, 0.85)])
def test_answers_as_independent_as_the_model_says_have_a_ratio_of_one(own_items, low, high):
    """Negative control: a run with easy and hard items of its own is caught."""
    rng = np.random.default_rng(5)
    difficulty, slope = rng.normal(size=N_ITEMS), np.exp(0.4 * rng.normal(size=N_ITEMS))
    run = np.repeat(np.arange(N_RUNS), N_SEEDS)
    ability = 0.5 * rng.normal(size=len(run))
    shift = own_items * rng.normal(size=(N_RUNS, N_ITEMS))[run]
    chance = 0.1 + 0.9 * expit(slope * (ability[:, None] - difficulty) + shift)
    right = (rng.random(chance.shape) < chance).astype(int)
    models, items = [f"m{row}" for row in range(len(run))], [f"i{place}" for place in range(N_ITEMS)]
    values = {
        "difficulty": difficulty, "discrimination": slope, "guessing": np.full(N_ITEMS, 0.1),
        "upper_asymptote": np.ones(N_ITEMS),
    }  # fmt: skip
    arrays = {name: (("item_draw", "item"), value[None]) for name, value in values.items()}
    arrays["ability"] = (("chain", "draw", "item_draw", "model"), ability.reshape(1, 1, 1, -1))
    posterior = xr.Dataset(arrays, coords={"model": models, "item": items})
    frame = pd.DataFrame({"run": run, "seed": np.tile(np.arange(N_SEEDS), N_RUNS)}, index=models)
    counts = ResponseCounts(right, np.ones_like(right), frame, pd.DataFrame(index=items), "b")
    assert low < answer_variance_ratio(counts, posterior) < high
    assert np.isnan(answer_variance_ratio(counts.take(items=slice(1)), posterior.isel(item=slice(1))))
