import numpy as np
import pytest

from irt_bench.analysis.curves import correct_probabilities
from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.errors import AnalysisError, SubsetError
from irt_bench.subsets.basis import (
    ABILITY_NODES,
    SPREAD_NODES,
    SelectionBasis,
    item_curves,
    negative_items,
)


def test_curves_are_the_mean_over_draws_of_the_item_formula(toy, basis):
    drawn = toy.posterior(toy.counts)
    a, b = (drawn[name].to_numpy()[0, :, 7, None] for name in ("discrimination", "difficulty"))
    expected = (1 / (1 + np.exp(-a * (ABILITY_NODES - b)))).mean(axis=0)
    assert basis.curves.chance[7] == pytest.approx(expected)
    places = np.searchsorted(ABILITY_NODES, SPREAD_NODES)
    assert basis.curves.total_draws.mean(axis=0) == pytest.approx(basis.curves.chance.mean(axis=0)[places])


@pytest.mark.parametrize("steepest", [3.0, 400.0])
def test_curves_are_the_formula_at_every_node(steepest):
    """Also with asymptotes, negative discriminations, and odds beyond the range of numbers."""
    rng = np.random.default_rng(0)
    shape, target = (5, 40), np.full(40, 1 / 40)
    difficulty, discrimination = (rng.uniform(-limit, limit, shape) for limit in (9, steepest))
    drawn = ItemParameters(difficulty, discrimination, rng.uniform(0, 0.3, shape), np.full(shape, 0.95))
    found, expected = item_curves(drawn, target), correct_probabilities(drawn.at((..., None)), ABILITY_NODES)
    assert found.chance == pytest.approx(expected.mean(axis=0), rel=1e-10, abs=1e-300)
    total = np.einsum("i,din->dn", target, expected)
    assert found.total_draws == pytest.approx(total[:, np.searchsorted(ABILITY_NODES, SPREAD_NODES)])


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
