import numpy as np
import pytest

from irt_bench.subsets.anchors import nearest_shares, parameter_features
from irt_bench.subsets.select import select


def test_anchor_weights_are_the_shares_of_the_clusters(basis):
    """Items of an anchor's cluster in sklearn's own terms: refitted with the same seed."""
    from sklearn.cluster import KMeans

    chosen = select(basis, "anchors", 7, np.random.default_rng(5))
    seed = int(np.random.default_rng(5).integers(2**31))
    fitted = KMeans(7, n_init=5, random_state=seed).fit(basis.shares.T, sample_weight=np.ones(60))
    places = basis.counts.items.index.get_indexer(chosen.items)
    assert sorted(fitted.labels_[places]) == list(range(7))
    assert chosen.weights == pytest.approx(np.bincount(fitted.labels_)[fitted.labels_[places]] / 60)
    for place in places:
        own = np.flatnonzero(fitted.labels_ == fitted.labels_[place])
        away = ((basis.shares.T[own] - fitted.cluster_centers_[fitted.labels_[place]]) ** 2).sum(axis=1)
        assert own[away.argmin()] == place


def test_each_item_counts_for_the_nearest_chosen_one_and_a_chosen_one_for_itself():
    features = np.array([[0.0], [0.1], [5.0], [5.0], [4.0]])
    shares = nearest_shares(features, np.array([0, 2, 3]), np.full(5, 0.2))
    assert shares == pytest.approx([0.4, 0.4, 0.2])


def test_parameters_are_standardised_and_constant_ones_left_out(basis):
    features = parameter_features(basis)
    assert features.shape == (60, 2)
    assert features.std(axis=0) == pytest.approx([1, 1])
