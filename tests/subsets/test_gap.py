import numpy as np
import pandas as pd
import pytest
from scipy import stats

from irt_bench import ResponseCounts
from irt_bench.subsets.score import HeldOutScores, orderable_gap


def scores_of(truth, estimate, shares=None, clusters=None):
    names = [f"m{row}" for row in range(len(truth))]
    shares = np.tile(truth[:, None], (1, 4)) if shares is None else shares
    models, items = (pd.DataFrame(index=pd.Index(labels, name=name)) for labels, name in (
        (names, "model"), ([f"i{column}" for column in range(shares.shape[1])], "item")))  # fmt: skip
    counts = ResponseCounts(shares, np.ones(shares.shape, dtype=int), models, items, "toy", "score")
    return HeldOutScores([estimate], [truth], [np.array(names if clusters is None else clusters)], [counts])


def test_the_gap_is_that_of_errors_of_known_spread():
    """Errors are normal with sd .03: differences have sd .03 root 2, and .8416 of it is ordered rightly with 80%."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.2, 0.8, 400)
    expected = 0.03 * np.sqrt(2) * stats.norm.ppf(0.8)
    found = orderable_gap(scores_of(truth, truth + 0.03 * rng.normal(size=400)), 2)
    assert found.value == pytest.approx(expected, rel=0.08)
    # An error that all models share orders them no worse.
    shared = orderable_gap(scores_of(truth, truth + 0.2 + 0.03 * rng.normal(size=400)), 2)
    assert shared.value == pytest.approx(expected, rel=0.08)


def test_its_interval_covers_it():
    rng, covered = np.random.default_rng(1), []
    expected = 0.05 * np.sqrt(2) * stats.norm.ppf(0.8)
    for _ in range(60):
        truth = rng.uniform(0.2, 0.8, 60)
        found = orderable_gap(scores_of(truth, truth + 0.05 * rng.normal(size=60)), 2)
        covered.append(found.q05 <= expected <= found.q95)
    assert 0.78 <= np.mean(covered) <= 0.99


def test_half_of_the_pairs_wrong_leave_no_gap_that_is_ordered():
    """The control: estimates without any relation to the truth."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.4, 0.6, 100)
    assert not orderable_gap(scores_of(truth, rng.uniform(0.4, 0.6, 100)), 2).value <= np.ptp(truth)
    found = orderable_gap(scores_of(truth, 1 - truth), 2)  # always wrong
    assert np.isnan(found[:3]).all()


@pytest.mark.parametrize("seed", range(4))
def test_gaps_of_few_models_are_of_a_size_that_scores_can_differ_by(seed):
    """Of 7 models x 30 items: from one item, 1/30, to the whole scale. An interval once reached 84."""
    truth = np.round(np.random.default_rng(seed).uniform(0.2, 0.8, 7) * 30) / 30
    noise = np.random.default_rng(100 + seed).normal(size=7)
    for sd in (0.0, 0.05, 0.2):
        found = orderable_gap(scores_of(truth, truth + sd * noise), 2)
        assert np.isnan(found.value) or 0.999 / 30 <= found.value <= 1
        assert np.isnan(found.q05) or 0.999 / 30 <= found.q05 <= found.value <= found.q95 <= 1
    perfect = orderable_gap(scores_of(truth, truth), 2)
    assert perfect.value == np.diff(np.unique(truth)).min() and np.isnan(perfect.q95)  # no pair was closer


def test_random_items_stand_beside():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.2, 0.8, 200)
    shares = np.clip(truth[:, None] + 0.1 * rng.normal(size=(200, 100)), 0, 1)
    found = orderable_gap(scores_of(shares.mean(axis=1), truth, shares), 4)
    # Errors of a mean of 4 of 100 items: .1 / 2, differences root 2 times that.
    assert found.random == pytest.approx(0.05 * np.sqrt(2) * stats.norm.ppf(0.8), rel=0.15)


def test_models_that_all_score_alike_have_no_gap():
    found = orderable_gap(scores_of(np.full(5, 0.5), np.arange(5) / 10), 2)
    assert np.isnan(found.value) and np.isnan(found.random)
