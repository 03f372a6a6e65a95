import numpy as np
import pytest

from irt_bench.errors import AnalysisError, SubsetError
from irt_bench.subsets.basis import ABILITY_NODES, SPREAD_NODES, SelectionBasis, negative_items


def test_curves_are_the_mean_over_draws_of_the_item_formula(toy, basis):
    drawn = toy.posterior(toy.counts)
    a, b = (drawn[name].to_numpy()[0, :, 7, None] for name in ("discrimination", "difficulty"))
    expected = (1 / (1 + np.exp(-a * (ABILITY_NODES - b)))).mean(axis=0)
    assert basis.curves.chance[7] == pytest.approx(expected)
    places = np.searchsorted(ABILITY_NODES, SPREAD_NODES)
    assert basis.curves.total_draws.mean(axis=0) == pytest.approx(basis.curves.chance.mean(axis=0)[places])


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
