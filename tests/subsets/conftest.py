"""A simulated benchmark whose items are known, so that no test here waits for a fit."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from irt_bench import ResponseCounts, SVISettings, TwoPL
from irt_bench.subsets import calibration
from irt_bench.subsets.basis import SelectionBasis

DRAWS = 6


def simulated(n_models=120, n_items=60, seed=0, n_families=12, missing=0.0):
    rng = np.random.default_rng(seed)
    ability = rng.normal(size=n_models)
    difficulty, slope = rng.normal(0, 1.2, n_items), np.exp(rng.normal(0.3, 0.4, n_items))
    chance = 1 / (1 + np.exp(-slope * (ability[:, None] - difficulty)))
    trials = (rng.random(chance.shape) >= missing).astype(int)
    correct = (rng.random(chance.shape) < chance) * trials
    models = pd.DataFrame(
        index=pd.Index([f"family{chr(97 + m % n_families)}/m{m}" for m in range(n_models)], name="model")
    )
    subtasks = [f"task{i % 3}" for i in range(n_items)]
    items = pd.DataFrame({"subtask": subtasks}, index=pd.Index([f"i{i}" for i in range(n_items)], name="item"))
    counts = ResponseCounts(correct, trials, models, items, "toy")

    def posterior(of: ResponseCounts, plan: object = None) -> xr.Dataset:
        """The truth with a little uncertainty, for the models of `of`."""
        noise = np.random.default_rng(1).normal(size=(DRAWS, n_items))
        noise -= noise.mean(axis=0)
        rows = models.index.get_indexer(of.models.index)
        dims = ("chain", "draw")
        arrays = {
            "ability": ((*dims, "model"), np.tile(ability[rows], (1, DRAWS, 1))),
            "difficulty": ((*dims, "item"), (difficulty + 0.05 * noise)[None]),
            "discrimination": ((*dims, "item"), (slope * np.exp(0.05 * noise))[None]),
        }
        labels = {"model": of.models.index.to_numpy(dtype=str), "item": items.index.to_numpy(dtype=str)}
        return xr.Dataset(arrays, coords=labels)

    return SimpleNamespace(
        counts=counts, posterior=posterior, ability=ability, difficulty=difficulty, slope=slope, chance=chance
    )


@pytest.fixture(scope="session")
def simulate():
    return simulated


@pytest.fixture(scope="session")
def toy():
    return simulated()


@pytest.fixture
def basis(toy):
    return SelectionBasis(toy.counts, toy.posterior(toy.counts))


@pytest.fixture
def plan():
    return calibration.CalibrationPlan(TwoPL(), SVISettings(), n_folds=3)


@pytest.fixture
def known_fits(toy, monkeypatch):
    """Fits within calibration return the truth."""
    monkeypatch.setattr(calibration, "fit_posterior", toy.posterior)
    return toy
