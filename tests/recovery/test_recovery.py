"""Planted parameters found again: regression slopes, and intervals that cover as often as they say."""

import numpy as np
import pytest

from irt_bench.inference.fit import fit
from irt_bench.inference.settings import LaplaceSettings, SVISettings
from irt_bench.irt_models.logistic import TwoPL
from irt_bench.irt_models.simulate import simulate_responses

pytestmark = pytest.mark.slow
SIZE = {"n_models": 300, "n_items": 300}


def recover(settings, seed):
    """Slope of truth on posterior mean, coverage of 90% intervals, and that of intervals a third as wide."""
    made = simulate_responses(TwoPL(), **SIZE, seed=seed)
    posterior = fit(made.table.counts(), TwoPL(), settings).posterior
    found = {}
    for name in ("ability", "difficulty", "discrimination"):
        draws, truth = posterior[name].values.reshape(-1, 300), made.truth[name].values
        if name == "discrimination":
            draws, truth = np.log(draws), np.log(truth)
        mean, (low, high) = draws.mean(axis=0), np.quantile(draws, [0.05, 0.95], axis=0)
        coverage = np.mean((low <= truth) & (truth <= high))
        narrow = np.mean(np.abs(truth - mean) < (high - low) / 6)
        found[name] = np.polyfit(mean, truth, 1)[0], coverage, narrow
    return found


def test_slopes_and_coverage_of_the_fast_method():
    """Averaged over data sets: location and scale of 300 abilities differ from 0 and 1 in any one of them."""
    found = [recover(LaplaceSettings(seed=seed), seed) for seed in range(20)]
    for name in found[0]:
        slope, coverage, narrow = np.mean([each[name] for each in found], axis=0)
        assert 0.95 < slope < 1.05, name
        assert 0.86 < coverage < 0.94, name
        assert narrow < 0.6, name


def test_slopes_and_coverage_of_svi():
    found = [recover(SVISettings(seed=seed), seed) for seed in range(2)]
    for name in found[0]:
        slope, coverage, _ = np.mean([each[name] for each in found], axis=0)
        assert 0.92 < slope < 1.08, name
        assert 0.80 < coverage < 0.96, name
