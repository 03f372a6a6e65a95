import numpy as np
import pytest

from irt_bench.subsets import select as module
from irt_bench.subsets.basis import SelectionBasis, nearest
from irt_bench.subsets.select import anchors_in_proportion, nearest_shares, parameter_features, select


def test_anchor_weights_are_the_shares_of_the_clusters(basis):
    """Items of an anchor's cluster in sklearn's own terms: refitted with the same seed."""
    from sklearn.cluster import KMeans

    chosen = select(basis, "anchors", 7, np.random.default_rng(5))
    seed = int(np.random.default_rng(5).integers(2**31))
    fitted = KMeans(7, n_init=5, random_state=seed).fit(basis.shares.T, sample_weight=np.ones(60))
    places = chosen.items
    assert sorted(fitted.labels_[places]) == list(range(7))
    assert chosen.weights == pytest.approx(np.bincount(fitted.labels_)[fitted.labels_[places]] / 60)
    for place in places:
        own = np.flatnonzero(fitted.labels_ == fitted.labels_[place])
        away = ((basis.shares.T[own] - fitted.cluster_centers_[fitted.labels_[place]]) ** 2).sum(axis=1)
        assert own[away.argmin()] == place


def test_items_are_clustered_along_the_axes_that_they_span_as_they_are_by_models(monkeypatch):
    rng = np.random.default_rng(4)
    features, target = rng.random((40, 600)) + rng.integers(0, 5, (40, 1)), np.full(40, 1 / 40)
    by_axes = module._clusters(features, target, 5, seed=0)
    assert len(set(by_axes)) == 5
    monkeypatch.setattr(module, "MANY_MODELS", 100)
    np.testing.assert_array_equal(by_axes, module._clusters(features, target, 5, seed=0))
    assert (by_axes != module._clusters(features, target, 5, seed=1)).any()


def test_each_item_counts_for_the_nearest_chosen_one_and_a_chosen_one_for_itself():
    features = np.array([[0.0], [0.1], [5.0], [5.0], [4.0]])
    chosen = np.array([0, 2, 3])
    shares = nearest_shares(nearest(features, chosen), chosen, np.full(5, 0.2))
    assert shares == pytest.approx([0.4, 0.4, 0.2])


def test_parameters_are_standardised_and_constant_ones_left_out(basis):
    features = parameter_features(basis)
    assert features.shape == (60, 2)
    assert features.std(axis=0) == pytest.approx([1, 1])


def test_items_that_no_calibration_model_solves_have_their_share_of_anchors(toy):
    """A third of the items is unsolved: one cluster, with a third of the items chosen, and with one anchor."""
    counts = toy.counts
    unsolved = counts.correct.copy()
    unsolved[:, :20] = 0
    same = type(counts)(unsolved, counts.trials, counts.models, counts.items, "toy")
    hard = SelectionBasis(same, toy.posterior(counts))
    numbers = {}
    for method in ("anchors-proportional", "anchors"):
        chosen = select(hard, method, 12, np.random.default_rng(0))
        numbers[method] = int((chosen.items < 20).sum())
    assert numbers["anchors-proportional"] >= 3 > numbers["anchors"] == 1


def test_the_anchors_of_a_cluster_are_next_to_the_centres_of_equal_parts(basis):
    chosen = anchors_in_proportion(basis, 2, np.random.default_rng(0))  # one cluster: two parts of 30 items
    places = chosen.items
    by_difficulty = np.argsort(basis.item_means, kind="stable")
    assert np.isin(places, by_difficulty[:30]).sum() == 1
    half = by_difficulty[:30]
    away = ((basis.answer_rows[half] - basis.answer_rows[half].mean(axis=0)) ** 2).sum(axis=1)
    assert np.isclose(away.min(), away[np.flatnonzero(np.isin(half, places))[0]], rtol=0.2)


def test_where_most_items_are_chosen_those_left_out_are_like_chosen_ones(toy):
    """Ten items are copies of others: with 50 of 60 chosen, one of each pair stays. Of few clusters, pairs are lost."""
    counts = toy.counts
    correct = counts.correct.copy()
    correct[:, 50:] = correct[:, :10]
    same = type(counts)(correct, counts.trials, counts.models, counts.items, "toy")
    lost = {}
    for method in ("anchors-proportional", "random"):
        basis, lost[method] = SelectionBasis(same, toy.posterior(counts)), 0
        for seed in range(15):
            chosen = select(basis, method, 50, np.random.default_rng(seed))
            places = set(chosen.items)
            lost[method] += sum(not {k, 50 + k} & places for k in range(10))
    assert lost["anchors-proportional"] == 0 < lost["random"]


@pytest.mark.parametrize("started_on", [2_000, 30])
def test_clusters_are_found_also_if_only_some_items_begin(toy, monkeypatch, started_on):
    """Items are copies of three columns of answers, 30, 20 and 10 of them."""
    monkeypatch.setattr(module, "MIN_STARTED_ON", started_on)
    monkeypatch.setattr(module, "STARTED_PER_CLUSTER", 1)
    counts, groups = toy.counts, np.repeat([0, 1, 2], [30, 20, 10])
    same = type(counts)(counts.correct[:, [0, 1, 2]][:, groups], counts.trials, counts.models, counts.items, "toy")
    chosen = select(
        SelectionBasis(same, toy.posterior(counts), keep_negative=True), "anchors", 3, np.random.default_rng(0)
    )
    assert list(groups[chosen.items]) == [0, 1, 2]
    assert chosen.weights == pytest.approx([1 / 2, 1 / 3, 1 / 6])
