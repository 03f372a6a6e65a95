"""Anchors: one item for each cluster of items alike, weighted by what its cluster counts for in the full score."""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances_argmin_min

from irt_bench.arrays import FloatArray
from irt_bench.subsets.basis import Positions, Selection, SelectionBasis

RESTARTS: Final = 5  # as tinyBenchmarks (Maia Polo et al. 2024)
TINY: Final = 1e-12
# Of items chosen in proportion. From 2 to 5 errors differ by less than 3% for models like those of the calibration; for
# abler ones 3 has the least over five benchmarks (5.00, 3.30 and 2.29 points with 20, 50 and 100 items).
ITEMS_PER_CLUSTER: Final = 3


def anchors_by_answers(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Cluster items by their columns of right answers, and choose the item next to each centre (anchor points)."""
    return _anchors(basis, answer_features(basis), size, rng)


def anchors_by_parameters(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Cluster items by difficulty and log discrimination, both standardised, and choose the item next to each centre.

    Notes
    -----
    Departs from tinyBenchmarks in standardising: there the parameter of the wider range decides.
    """
    return _anchors(basis, parameter_features(basis), size, rng)


def anchors_in_proportion(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Cluster items by their columns of right answers; take from each cluster at least one, as its share allots.

    There are a third as many clusters as items asked for; more where most items are asked for, so that what is left out
    is like what is chosen. A cluster that is allotted several is cut into that many parts of equal size by the share of
    right answers, and the item next to the centre of each part is chosen.

    Notes
    -----
    With one anchor per cluster, all items that no calibration model solves are one cluster and have one anchor: of the
    items that only abler models solve nearly nothing is then asked (`tests/benchmarks/shift.py`).
    """
    pool, mean = basis.candidates, basis.item_means
    n_clusters = max(1, size // ITEMS_PER_CLUSTER, 2 * size - len(pool))
    clusters = _clusters(basis.answer_rows[pool], basis.target[pool], n_clusters, int(rng.integers(2**31)))
    labels = np.unique(clusters, return_inverse=True)[1]
    shares: FloatArray = np.bincount(labels, basis.target[pool]).astype(np.float64)
    numbers = np.bincount(labels)
    allotted = in_proportion(shares, numbers, size, least=1)
    chosen = []
    for cluster in range(len(numbers)):
        own = pool[labels == cluster]
        own = own[np.lexsort((rng.random(len(own)), mean[own]))]
        for part in np.array_split(own, allotted[cluster]):
            rows = basis.answer_rows[part]
            distance = ((rows - rows.mean(axis=0)) ** 2).sum(axis=1)
            chosen.append(part[distance.argmin()])
    return basis.select(np.array(chosen, dtype=np.intp))


def in_proportion(
    shares: FloatArray, available: npt.NDArray[np.integer], size: int, *, least: int = 0
) -> npt.NDArray[np.int64]:
    """Whole numbers of sum `size` in proportion to `shares`, largest remainders; at most what is available."""
    given = np.full(len(shares), least, dtype=np.int64)
    quota = size * shares / shares.sum()
    while (missing := size - int(given.sum())) > 0:
        behind = np.where(given < available, np.maximum(quota - given, 0), 0)
        if not behind.any():  # what is left of the shares is not available
            behind = np.where(given < available, shares, 0)
        due = missing * behind / behind.sum()
        whole = np.minimum(np.floor(due), available - given).astype(np.int64)
        if whole.sum() == 0:
            order = np.argsort(-np.where(given < available, due, -1), kind="stable")
            whole[order[:missing]] = 1
            whole = np.minimum(whole, available - given)
        given += whole
    return given


def answer_features(basis: SelectionBasis) -> FloatArray:
    """Shares of right answers, shape (item, model)."""
    return basis.answer_rows


def parameter_features(basis: SelectionBasis) -> FloatArray:
    """Difficulty and log discrimination, and asymptotes where they differ, standardised, shape (item, parameter)."""
    found = basis.parameters
    columns = [found.difficulty, np.log(np.maximum(found.discrimination, TINY)), found.guessing, found.upper_asymptote]
    features = np.stack(columns, axis=1)
    sd = features.std(axis=0)
    return np.asarray(((features - features.mean(axis=0)) / np.where(sd > TINY, sd, 1))[:, sd > TINY])


def nearest_shares(features: FloatArray, chosen: Positions, target: FloatArray) -> FloatArray:
    """Share in the full score of the items nearest to each chosen one, itself among them, shape (chosen,), sum 1."""
    nearest = pairwise_distances_argmin_min(features, features[chosen])[0]
    nearest[chosen] = np.arange(len(chosen))
    return np.asarray(np.bincount(nearest, target, minlength=len(chosen)), dtype=np.float64)


def _anchors(basis: SelectionBasis, features: FloatArray, size: int, rng: np.random.Generator) -> Selection:
    clusters = _clusters(features, basis.target, size, int(rng.integers(2**31)))
    anchors = _next_to_centres(features, clusters, basis.candidates)
    if len(anchors) < size:  # equal items, or clusters without a candidate, make fewer clusters than asked for
        spare = np.setdiff1d(basis.candidates, anchors)
        anchors = np.append(anchors, rng.choice(spare, size - len(anchors), replace=False))
        return basis.select(anchors, nearest_shares(features, anchors, basis.target))
    of_cluster: FloatArray = np.bincount(clusters, basis.target, minlength=size).astype(np.float64)
    return basis.select(anchors, of_cluster[clusters[anchors]])


def _clusters(features: FloatArray, target: FloatArray, size: int, seed: int) -> npt.NDArray[np.int32]:
    """Cluster of each item, the best of several starts; items count by their share in the full score."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct items than clusters: handled above
        found = KMeans(size, n_init=RESTARTS, random_state=seed).fit(features, sample_weight=target * len(target))
    return np.asarray(found.labels_, dtype=np.int32)


def _next_to_centres(features: FloatArray, clusters: npt.NDArray[np.int32], candidates: Positions) -> Positions:
    """Candidate next to the mean of its own cluster, one a cluster: no item can be the anchor of two."""
    n_clusters = int(clusters.max()) + 1
    sums = np.zeros((n_clusters, features.shape[1]))
    np.add.at(sums, clusters, features)
    centres = sums / np.maximum(np.bincount(clusters, minlength=n_clusters), 1)[:, None]
    distance = ((features[candidates] - centres[clusters[candidates]]) ** 2).sum(axis=1)
    order = np.lexsort((distance, clusters[candidates]))
    first = np.unique(clusters[candidates][order], return_index=True)[1]
    return candidates[order[first]]
