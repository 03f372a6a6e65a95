"""Answers with known truth, and faults planted in them."""

import numpy as np
import pandas as pd
import pytest

from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.checks.fitted_responses import fit_abilities

# Models by answer pattern 00000, 00001, ..., 11111: Bock & Lieberman 1970, doi:10.1007/BF02291262.
LSAT7 = (12, 19, 1, 7, 3, 19, 3, 17, 10, 5, 3, 7, 7, 23, 8, 28, 7, 39, 11, 34, 14, 51, 15, 90, 6, 25, 7, 35, 18, 136,
         32, 308)  # fmt: skip


def chance(ability, slope, difficulty):
    return 1 / (1 + np.exp(-slope * (np.asarray(ability)[:, None] - difficulty)))


@pytest.fixture
def rng():
    return np.random.default_rng(20260111)


@pytest.fixture(scope="session")
def lsat7():
    """The 1,000 answer patterns, shape (1000, 5)."""
    patterns = (np.arange(32)[:, None] >> np.arange(4, -1, -1)) & 1
    return np.repeat(patterns, LSAT7, axis=0)


@pytest.fixture(scope="session")
def make_items():
    """Item parameters without asymptotes."""

    def make(slope, difficulty):
        slope, difficulty = np.broadcast_arrays(np.asarray(slope, float), np.asarray(difficulty, float))
        return ItemParameters(difficulty, slope, np.zeros(len(slope)), np.ones(len(slope)))

    return make


@pytest.fixture(scope="session")
def simulate(make_items):
    """Answers of a 2PL and its items; the formula is written out here, apart from the package's."""

    def make(rng, n_models=300, n_items=30, trials=1, missing=0.0, ability=None):
        ability = rng.normal(size=n_models) if ability is None else ability
        slope, difficulty = np.exp(0.3 * rng.normal(size=n_items)), rng.normal(size=n_items)
        asked = trials * (rng.random((len(ability), n_items)) >= missing)
        return rng.binomial(asked, chance(ability, slope, difficulty)), asked, make_items(slope, difficulty)

    return make


@pytest.fixture(scope="session")
def simulate_answers(simulate):
    """The same with abilities found from the answers and the true items."""

    def make(rng, *args, **options):
        return fit_abilities(*simulate(rng, *args, **options))

    return make


@pytest.fixture(scope="session")
def labels():
    def make(n, kind="i"):
        return pd.Index([f"{kind}{place}" for place in range(n)])

    return make
