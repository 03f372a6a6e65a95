from itertools import combinations

import numpy as np
import pytest

from irt_bench.errors import SubsetError
from irt_bench.subsets.basis import SelectionBasis, near_duplicate_groups
from irt_bench.subsets.select import SELECTORS, allocate_proportionally, item_number, select


@pytest.mark.parametrize("method", SELECTORS)
def test_every_method_keeps_the_contract(basis, method):
    """Distinct items in the order of the benchmark, as many as asked for, the same for the same seed."""
    chosen = select(basis, method, 17, np.random.default_rng(3))
    assert len(chosen.items) == 17 and (np.diff(chosen.items) > 0).all()
    again = select(basis, method, 17, np.random.default_rng(3))
    assert list(again.items) == list(chosen.items)
    if chosen.weights is not None:
        assert chosen.weights.sum() == pytest.approx(1) and (chosen.weights > 0).all()
    assert len(select(basis, method, 60, np.random.default_rng(3)).items) == 60


@pytest.mark.parametrize("method", SELECTORS)
def test_no_method_chooses_a_mis_keyed_item_unless_asked(toy, method):
    correct = toy.counts.correct.copy()
    correct[:, [4, 9]] = 1 - correct[:, [4, 9]]
    counts = type(toy.counts)(correct, toy.counts.trials, toy.counts.models, toy.counts.items, "toy")
    basis = SelectionBasis(counts, toy.posterior(counts))
    chosen = select(basis, method, 52, np.random.default_rng(0))
    assert not {4, 9} & set(chosen.items)
    # 2 of 6 left out would be mis-keyed ones, which are estimated worst.
    assert basis.for_size(54).keep_negative and len(select(basis, method, 60, np.random.default_rng(0)).items) == 60


def test_a_benchmark_with_many_mis_keyed_items_has_too_few_to_choose_from(toy):
    correct = toy.counts.correct.copy()
    correct[:, ::3] = 1 - correct[:, ::3]
    counts = type(toy.counts)(correct, toy.counts.trials, toy.counts.models, toy.counts.items, "toy")
    basis = SelectionBasis(counts, toy.posterior(counts))
    few = len(basis.candidates)
    assert few < 45 and not basis.for_size(30).keep_negative
    half = SelectionBasis(counts.take(items=slice(0, 3)), toy.posterior(counts).isel(item=slice(0, 3)))
    assert half.for_size(1) is half


def test_strata_get_their_share(basis):
    by_subtask = select(basis, "subtask", 30, np.random.default_rng(0))
    tasks = basis.counts.items["subtask"].iloc[by_subtask.items].value_counts()
    assert set(tasks) == {10}
    by_difficulty = select(basis, "difficulty", 20, np.random.default_rng(0))
    mean = basis.shares.mean(axis=0)
    rank = np.argsort(np.argsort(mean, kind="stable"))[by_difficulty.items]
    assert (np.bincount(rank // 6) == 2).all()


def test_the_most_discriminating_items_are_those_of_highest_item_rest_correlation(basis):
    chosen = select(basis, "discrimination", 5, np.random.default_rng(0))
    wanted = basis.statistics["item_rest_correlation"].nlargest(5).index
    assert set(basis.counts.items.index[chosen.items]) == set(wanted)


def test_information_prefers_steep_items_near_the_target(toy):
    basis = SelectionBasis(toy.counts, toy.posterior(toy.counts), ability_range=(0.99, 1.01))
    chosen = select(basis, "information", 5, np.random.default_rng(0))
    p = 1 / (1 + np.exp(-toy.slope * (1 - toy.difficulty)))
    best = np.argsort(-(toy.slope**2) * p * (1 - p))[:5]
    assert set(chosen.items) == set(best)


def test_each_greedy_step_is_the_best_next_item_by_enumeration_and_ends_near_the_best_set_of_all(toy):
    counts = toy.counts.take(items=slice(0, 10))
    basis = SelectionBasis(counts, toy.posterior(toy.counts).isel(item=slice(0, 10)))
    moments = basis.deviations.T @ basis.deviations / len(basis.deviations)

    def predicted(items):
        return moments[np.ix_(items, items)].mean()

    chosen = []
    for size in range(1, 5):
        chosen.append(min(set(range(10)) - set(chosen), key=lambda item: predicted([*chosen, item])))
        found = select(basis, "variance", size, np.random.default_rng(0)).items
        assert set(found) == set(chosen)
    every = np.array([predicted(list(items)) for items in combinations(range(10), 4)])
    assert (every < predicted(chosen)).mean() < 0.1


def test_copies_of_an_item_are_one_group_and_only_one_is_kept(toy):
    shares = toy.counts.correct.astype(float)
    doubled = np.concatenate([shares, shares[:, :5]], axis=1)
    groups = near_duplicate_groups(doubled)
    assert [groups[k] == groups[60 + k] for k in range(5)] == [True] * 5
    assert len(np.unique(groups)) == 60


def test_copies_cannot_both_be_anchors_with_their_weight_counted_twice(make_counts, toy):
    correct = np.repeat(toy.counts.correct[:, :6], 2, axis=1)
    counts = make_counts(correct, models=list(toy.counts.models.index))
    twice = np.repeat(np.arange(6), 2)
    posterior = toy.posterior(toy.counts).isel(item=twice).assign_coords(item=[f"i{k}" for k in range(12)])
    for method in ("anchors", "anchors-irt"):
        basis = SelectionBasis(counts, posterior)
        six = select(basis, method, 6, np.random.default_rng(0))
        assert len(set(six.items // 2)) == 6
        eight = select(basis, method, 8, np.random.default_rng(0))
        assert len(set(eight.items)) == 8 and eight.weights.sum() == pytest.approx(1)


def test_sizes_are_counts_or_fractions():
    assert item_number(20, 300) == 20
    assert item_number(0.1, 300) == 30
    assert item_number(0.001, 300) == 1
    for bad in (0, -3, 1.5, float("nan")):
        with pytest.raises(SubsetError, match="whole number"):
            item_number(bad, 300)


def test_allotments_add_up_and_stay_within_what_there_is():
    assert list(allocate_proportionally(np.array([0.5, 0.25, 0.25]), np.array([100, 100, 100]), 8)) == [4, 2, 2]
    assert list(allocate_proportionally(np.array([0.9, 0.05, 0.05]), np.array([2, 100, 100]), 10)) == [2, 4, 4]
    assert allocate_proportionally(np.array([0.34, 0.33, 0.33]), np.array([9, 9, 9]), 1).sum() == 1


def test_unknown_methods_and_sizes_are_refused(basis):
    with pytest.raises(SubsetError, match="anchors"):
        select(basis, "anchor", 5, np.random.default_rng(0))
    with pytest.raises(SubsetError, match="61"):
        select(basis, "random", 61, np.random.default_rng(0))
