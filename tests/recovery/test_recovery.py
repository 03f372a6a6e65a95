"""Planted parameters found again: regression slopes, and intervals that cover as often as they say."""

import numpy as np
import pytest

from irt_bench import LaplaceSettings, SVISettings, TwoPL, fit, simulate_responses

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


@pytest.fixture
def judge(record_coverage):
    """Check slopes, and record coverage over data sets and that of intervals a third as wide."""

    def check(method, found, slopes, limits):
        rows = []
        for name in found[0]:
            slope, coverage, narrow = np.transpose([each[name] for each in found])
            assert slopes[0] < slope.mean() < slopes[1], name
            about = {"seeds": f"0-{len(found) - 1}", "limits": limits}
            label = f"{method}, 300x300, truth drawn at fixed hyperparameters, raw"
            rows.append(record_coverage(name, label, coverage, **about))
            rows.append(record_coverage(name, label, narrow, **about, control="intervals a third as wide"))
        assert all(row.right for row in rows), rows

    return check


def test_slopes_and_coverage_of_the_fast_method(judge):
    """Averaged over data sets: location and scale of 300 abilities differ from 0 and 1 in any one of them."""
    found = [recover(LaplaceSettings(seed=seed), seed) for seed in range(20)]
    judge("fast method", found, slopes=(0.95, 1.05), limits=(0.86, 0.94))


def test_slopes_and_coverage_of_svi(judge):
    """Its guide is somewhat narrow in what all items share."""
    found = [recover(SVISettings(seed=seed), seed) for seed in range(10)]
    judge("svi", found, slopes=(0.94, 1.06), limits=(0.84, 0.94))
