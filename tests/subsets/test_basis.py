import numpy as np
import pandas as pd
import pytest

from irt_bench.errors import AnalysisError, SubsetError
from irt_bench.subsets.basis import (
    ABILITY_NODES,
    SelectionBasis,
    balanced_targets,
    filled_shares,
    full_scores,
    negative_items,
    seed_residuals,
)


def test_full_scores_are_plain_means_and_macro_averages(toy):
    shares = toy.counts.correct
    plain = full_scores(toy.counts, np.full(60, 1 / 60))
    assert plain == pytest.approx(shares.mean(axis=1))
    subtasks = np.array(["a"] * 10 + ["b"] * 50)
    macro = full_scores(toy.counts, balanced_targets(subtasks))
    assert macro == pytest.approx((shares[:, :10].mean(axis=1) + shares[:, 10:].mean(axis=1)) / 2)


def test_cells_never_asked_are_filled_by_item_mean_and_lead(make_counts):
    counts = make_counts([[1, 1], [0, 0], [1, 0]], [[1, 1], [1, 1], [1, 0]])
    filled = filled_shares(counts)
    assert filled[2, 1] == pytest.approx(0.5 + (1 - 2 / 3))
    assert full_scores(counts, np.array([0.5, 0.5]))[2] == 1


def test_curves_are_the_mean_over_draws_of_the_item_formula(toy, basis):
    drawn = toy.posterior(toy.counts)
    a, b = (drawn[name].to_numpy()[0, :, 7, None] for name in ("discrimination", "difficulty"))
    expected = (1 / (1 + np.exp(-a * (ABILITY_NODES - b)))).mean(axis=0)
    assert basis.curves.chance[7] == pytest.approx(expected)
    assert basis.curves.total_draws.mean(axis=0) == pytest.approx(basis.curves.chance.mean(axis=0))


def test_deviations_over_seeds_give_the_pooled_within_run_variance():
    rng = np.random.default_rng(0)
    models = pd.DataFrame({"run": list("aaabbb"), "seed": [1, 2, 3] * 2, "step": 5})
    shares = rng.random((6, 4))
    residuals = seed_residuals(models, shares)
    pooled = (shares[:3].var(axis=0, ddof=1) + shares[3:].var(axis=0, ddof=1)) / 2
    assert (residuals**2).mean(axis=0) == pytest.approx(pooled)
    assert seed_residuals(models.drop(columns="seed"), shares) is None
    assert seed_residuals(models.assign(run=list("abcdef")), shares) is None


def test_a_mis_keyed_item_is_reported_and_no_candidate(toy):
    correct = toy.counts.correct.copy()
    correct[:, 4] = 1 - correct[:, 4]
    counts = type(toy.counts)(correct, toy.counts.trials, toy.counts.models, toy.counts.items, "toy")
    basis = SelectionBasis(counts, toy.posterior(counts))
    assert list(negative_items(basis).index) == ["i4"]
    assert negative_items(basis)["item_rest_q95"].iloc[0] < 0
    assert 4 not in basis.candidates
    assert 4 in SelectionBasis(counts, toy.posterior(counts), keep_negative=True).candidates


def test_a_fit_to_other_items_is_refused(toy):
    with pytest.raises(AnalysisError, match="items"):
        SelectionBasis(toy.counts.take(items=slice(0, 9)), toy.posterior(toy.counts))
    with pytest.raises(SubsetError, match="sum to"):
        SelectionBasis(toy.counts, toy.posterior(toy.counts), targets=np.ones(60))
