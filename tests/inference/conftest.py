import numpy as np
import pytest

from irt_bench.inference.likelihood import Cells
from irt_bench.inference.runtime import CPU


@pytest.fixture
def rng():
    return np.random.default_rng(20260101)


@pytest.fixture
def simulate_counts(rng):
    """Simulate k-of-n answers of a 2PL, right and asked; the formula is written out here, apart from the package's."""

    def make(n_models, n_items, *, n_samples=1, missing=0.0):
        ability, difficulty = rng.normal(size=n_models), rng.normal(size=n_items)
        slope = np.exp(0.4 * rng.normal(size=n_items))
        probability = 1 / (1 + np.exp(-slope * (ability[:, None] - difficulty)))
        trials = n_samples * (rng.random((n_models, n_items)) >= missing)
        correct = rng.binomial(trials, probability)
        return correct.astype(np.int8), trials.astype(np.int8)

    return make


@pytest.fixture
def simulate_cells(simulate_counts):
    """Simulate answers as tensors."""

    def make(n_models, n_items, **options):
        return Cells.from_arrays(*simulate_counts(n_models, n_items, **options), device=CPU)

    return make
