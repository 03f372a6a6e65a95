"""Methods that select items: functions of a basis, a size and a random generator that return distinct items.

Every method has the signature `Selector`. Items with a negative discrimination (whole 90% interval below 0) are not
selected unless the basis allows it. Anchor methods cluster similar items and select one item per cluster, weighted by
the share of its cluster in the full score.

Weights of chosen items: functions of a basis and a selection that return weights of sum 1; none is random.

Every function has the signature `Weighting`. A weighted subset has an effective size of 1 / sum w^2 items.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from irt_bench.analysis.curves import information
from irt_bench.arrays import FloatArray, Positions
from irt_bench.errors import SubsetError, SubsetWarning, unknown_choice
from irt_bench.subsets.basis import TINY, Selection, SelectionBasis, least_quadratic, nearest

RESTARTS: Final = 5  # as in tinyBenchmarks (Maia Polo et al. 2024)
# Clusters; more are started once. With one start, errors are larger by 3.0% (standard error 1.0) with 6 clusters and by
# 1.3% (0.7) with 16, but by 0.4% (0.4) with 33 to 100 (tests/benchmarks/README.md).
MAX_RESTARTED: Final = 20
MANY_MODELS: Final = 10  # for each item: axes that items span, with the same distances, then are fewer
# Of more items, a random sample is clustered first, and all begin with its centres. Errors with a sample of 2,000 of
# 4,300 to 9,800 items differ by -1.1% (1.0); with 1,000 they were 4% larger on one of four benchmarks.
MIN_STARTED_ON: Final = 2_000
STARTED_PER_CLUSTER: Final = 40
# For anchors in proportion. From 2 to 5, errors differ by less than 3% for models like the calibration models. For
# abler models, 3 has the smallest error over five benchmarks (5.00, 3.30 and 2.29 points with 20, 50 and 100 items).
ITEMS_PER_CLUSTER: Final = 3


def anchors_by_answers(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Cluster items by their columns of answers, and select the item nearest to each centre (anchor points)."""
    return _anchors(basis, answer_features(basis), size, rng)


def anchors_by_parameters(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Cluster items by standardised difficulty and log discrimination, and select the item nearest to each centre.

    Notes
    -----
    tinyBenchmarks does not standardise, so there the parameter with the wider range dominates.
    """
    return _anchors(basis, parameter_features(basis), size, rng)


def anchors_in_proportion(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Cluster items by their columns of answers, and select items from each cluster in proportion to its share.

    There are a third as many clusters as items to select. There are more if most items are selected, so that the items
    left out resemble selected ones. Each cluster gets at least one item. A cluster that gets several is cut into as
    many parts of equal size by the share of right answers, and the item nearest to the centre of each part is selected.

    Notes
    -----
    With one anchor per cluster, all items that no calibration model solves form one cluster with one anchor. The subset
    then has nearly no items that only abler models solve (`tests/benchmarks/shift.py`).
    """
    pool, mean = basis.candidates, basis.item_means
    n_clusters = max(1, size // ITEMS_PER_CLUSTER, 2 * size - len(pool))
    clusters = _clusters(basis.answer_rows[pool], basis.target[pool], n_clusters, int(rng.integers(2**31)))
    labels = np.unique(clusters, return_inverse=True)[1]
    shares: FloatArray = np.bincount(labels, basis.target[pool]).astype(np.float64)
    numbers = np.bincount(labels)
    allotted = allocate_proportionally(shares, numbers, size, least=1)
    chosen = []
    for cluster in range(len(numbers)):
        own = pool[labels == cluster]
        own = own[np.lexsort((rng.random(len(own)), mean[own]))]
        for part in np.array_split(own, allotted[cluster]):
            rows = basis.answer_rows[part]
            distance = ((rows - rows.mean(axis=0)) ** 2).sum(axis=1)
            chosen.append(part[distance.argmin()])
    return basis.select(np.array(chosen, dtype=np.intp))


def allocate_proportionally(
    shares: FloatArray, available: npt.NDArray[np.integer], size: int, *, least: int = 0
) -> npt.NDArray[np.int64]:
    """Allocate `size` in whole numbers in proportion to `shares` (largest remainders), from `least` to `available`."""
    given = np.full(len(shares), least, dtype=np.int64)
    quota = size * shares / shares.sum()
    while (missing := size - int(given.sum())) > 0:
        behind = np.where(given < available, np.maximum(quota - given, 0), 0)
        if not behind.any():  # every share is met or exhausted
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
    """Standardised difficulty, log discrimination, and asymptotes if they vary; shape (item, parameter)."""
    found = basis.parameters
    columns = [found.difficulty, np.log(np.maximum(found.discrimination, TINY)), found.guessing, found.upper_asymptote]
    features = np.stack(columns, axis=1)
    sd = features.std(axis=0)
    return np.asarray(((features - features.mean(axis=0)) / np.where(sd > TINY, sd, 1))[:, sd > TINY])


def nearest_shares(near: Positions, chosen: Positions, target: FloatArray) -> FloatArray:
    """Total share in the full score of the items nearest to each chosen item, itself included; (chosen,), sum 1.

    `near` has the position among the chosen items of the one nearest to each item.
    """
    counted = near.copy()
    counted[chosen] = np.arange(len(chosen))
    return np.asarray(np.bincount(counted, target, minlength=len(chosen)), dtype=np.float64)


def _anchors(basis: SelectionBasis, features: FloatArray, size: int, rng: np.random.Generator) -> Selection:
    clusters = _clusters(features, basis.target, size, int(rng.integers(2**31)))
    anchors = _next_to_centres(features, clusters, basis.candidates)
    if len(anchors) < size:  # identical items, or clusters without a candidate, leave fewer clusters
        spare = np.setdiff1d(basis.candidates, anchors)
        anchors = np.append(anchors, rng.choice(spare, size - len(anchors), replace=False))
        return basis.select(anchors, nearest_shares(nearest(features, anchors), anchors, basis.target))
    of_cluster: FloatArray = np.bincount(clusters, basis.target, minlength=size).astype(np.float64)
    return basis.select(anchors, of_cluster[clusters[anchors]])


def _clusters(features: FloatArray, target: FloatArray, size: int, seed: int) -> npt.NDArray[np.int32]:
    """Cluster of each item by k-means, items weighted by their share in the full score."""
    from sklearn import config_context  # noqa: PLC0415 - takes a second
    from sklearn.cluster import KMeans  # noqa: PLC0415
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415

    if MANY_MODELS * len(features) < features.shape[1]:
        squares, axes = np.linalg.eigh(features @ features.T)
        features = axes * np.sqrt(np.maximum(squares, 0))
    weights, started_on = target * len(target), max(MIN_STARTED_ON, STARTED_PER_CLUSTER * size)
    several = len(features) > started_on
    some = np.random.default_rng(seed).choice(len(features), started_on, replace=False) if several else slice(None)
    starts = KMeans(size, n_init=RESTARTS if size <= MAX_RESTARTED else 1, random_state=seed)
    with warnings.catch_warnings(), config_context(assume_finite=True, skip_parameter_validation=True):
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct items than clusters: handled by the caller
        found = starts.fit(features[some], sample_weight=weights[some])
        if several:
            rows = features.astype(np.float32)  # in half of the time, to as small a sum of squares
            found = KMeans(size, init=found.cluster_centers_, n_init=1).fit(rows, sample_weight=weights)
    return np.asarray(found.labels_, dtype=np.int32)


def _next_to_centres(features: FloatArray, clusters: npt.NDArray[np.int32], candidates: Positions) -> Positions:
    """Candidate nearest to the mean of its own cluster, one per cluster."""
    n_clusters = int(clusters.max()) + 1
    sums = np.zeros((n_clusters, features.shape[1]))
    np.add.at(sums, clusters, features)
    centres = sums / np.maximum(np.bincount(clusters, minlength=n_clusters), 1)[:, None]
    distance = ((features[candidates] - centres[clusters[candidates]]) ** 2).sum(axis=1)
    order = np.lexsort((distance, clusters[candidates]))
    first = np.unique(clusters[candidates][order], return_index=True)[1]
    return candidates[order[first]]


Selector = Callable[[SelectionBasis, int, np.random.Generator], Selection]

DIFFICULTY_BINS: Final = 10
INFORMATION_NODES: Final = 20


def random(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Select a simple random sample."""
    return basis.select(rng.choice(basis.candidates, size, replace=False))


def stratified_by_subtask(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Select at random within subtasks, in proportion to their share in the full score."""
    strata = np.unique(basis.subtasks[basis.candidates], return_inverse=True)[1]
    return basis.select(_within(basis, strata, size, rng.random(len(strata))))


def stratified_by_difficulty(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Select at random within bins of the mean share of right answers, in proportion to their share."""
    strata = _difficulty_bins(basis, size)
    return basis.select(_within(basis, strata, size, rng.random(len(strata))))


def most_discriminating(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Select the items with the highest item-rest correlation, as Madaan et al. (2024).

    Notes
    -----
    They correlate with the total score, which contains the item.
    """
    del rng  # nothing is random
    order = np.argsort(-basis.discrimination[basis.candidates], kind="stable")
    return basis.select(basis.candidates[order[:size]])


def discriminating_in_bins(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Select the items with the highest item-rest correlation within bins of difficulty, in proportion."""
    del rng
    return basis.select(_within(basis, _difficulty_bins(basis, size), size, -basis.discrimination[basis.candidates]))


def most_informative(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Select in turn, for abilities over the target range, the item with the most Fisher information there.

    Notes
    -----
    As metabench over its quantile bins (Kipnis et al. 2025, arXiv 2407.12844), without their threshold.
    """
    del rng
    low, high = basis.target_abilities
    nodes = np.linspace(low, high, min(INFORMATION_NODES, size))
    of_items = information(basis.parameters.at((basis.candidates, None)), nodes)
    ranked = np.argsort(-of_items, axis=0, kind="stable")
    free, chosen = np.ones(len(of_items), dtype=np.bool_), list[int]()
    at = np.zeros(len(nodes), dtype=np.intp)
    while len(chosen) < size:
        node = len(chosen) % len(nodes)
        while not free[ranked[at[node], node]]:
            at[node] += 1
        best = int(ranked[at[node], node])
        free[best] = False
        chosen.append(best)
    return basis.select(basis.candidates[np.array(chosen)])


def least_variance(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Add items one at a time, each time the item with which the equally weighted score has the smallest variance V.

    Notes
    -----
    V is w'Cw. C is the covariance over seeds if the responses have seeds, otherwise over models
    (`SelectionBasis.deviations`). A shrunk C (Ledoit-Wolf) selects the same items: shrinkage adds the same amount for
    each candidate.
    """
    del rng
    deviations = basis.deviations[:, basis.candidates]
    squares, total = np.einsum("ri,ri->i", deviations, deviations), np.zeros(len(deviations))
    free, chosen = np.ones(len(squares), dtype=np.bool_), []
    for _ in range(size):
        grown = np.where(free, squares + 2 * (total @ deviations), np.inf)
        best = int(grown.argmin())
        free[best] = False
        chosen.append(best)
        total = total + deviations[:, best]
    return basis.select(basis.candidates[np.array(chosen)])


def without_near_duplicates(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Select at random from the most discriminating item of each group of near-duplicates.

    Groups are those of `SelectionBasis.near_duplicates`. If there are fewer groups than items
    to select, the rest is drawn at random from the other items.
    """
    groups = basis.near_duplicates
    order = np.lexsort((-basis.discrimination[basis.candidates], groups))
    first = np.unique(groups[order], return_index=True)[1]
    kept = order[first]
    dropped = np.setdiff1d(order, kept)
    chosen = np.concatenate([rng.permutation(kept), rng.permutation(dropped)])[:size]
    return basis.select(basis.candidates[chosen])


SELECTORS: Final[Mapping[str, Selector]] = {
    "random": random,
    "subtask": stratified_by_subtask,
    "difficulty": stratified_by_difficulty,
    "discrimination": most_discriminating,
    "discrimination-bins": discriminating_in_bins,
    "information": most_informative,
    "anchors": anchors_by_answers,
    "anchors-irt": anchors_by_parameters,
    "anchors-proportional": anchors_in_proportion,
    "variance": least_variance,
    "no-duplicates": without_near_duplicates,
}


def select(basis: SelectionBasis, method: str, size: int, rng: np.random.Generator) -> Selection:
    """Select `size` items by the method of this name.

    Raises
    ------
    SubsetError
        If the method is not known or there are fewer candidates than `size`.
    """
    if method not in SELECTORS:
        raise SubsetError(unknown_choice("method", method, SELECTORS))
    basis = basis.for_size(size)
    if not 1 <= size <= len(basis.candidates):
        left_out = basis.counts.n_items - len(basis.candidates)
        note = (
            f"; {left_out} with negative discrimination are left out (keep_negative=True keeps them)"
            if left_out
            else ""
        )
        raise SubsetError(f"size {size} was asked for, of {len(basis.candidates)} items{note}.")
    chosen = SELECTORS[method](basis, size, rng)
    if len(np.unique(chosen.items)) != size:
        raise SubsetError(f"method {method!r} returned {len(chosen.items)} items, not {size} distinct ones.")
    return chosen


def item_number(size: float, n_items: int) -> int:
    """Return the number of items of a size: a whole number, or a fraction of all items between 0 and 1, rounded up.

    Raises
    ------
    SubsetError
        If `size` is neither.
    """
    if 0 < size < 1:
        return max(1, math.ceil(size * n_items - 1e-9))
    if size == 1 and isinstance(size, float):
        raise SubsetError("size is 1.0; for one item give the whole number 1, for a share a fraction below 1.")
    if size >= 1 and float(size).is_integer():
        return int(size)
    raise SubsetError(f"size is {size:g}; a whole number of items, or a fraction between 0 and 1, is needed.")


def _difficulty_bins(basis: SelectionBasis, size: int) -> Positions:
    """Bin of each candidate by its mean share of right answers; bins have equal size."""
    mean = basis.shares.mean(axis=0)[basis.candidates]
    rank = np.argsort(np.argsort(mean, kind="stable"), kind="stable")
    return np.asarray(rank * min(DIFFICULTY_BINS, size) // len(rank), dtype=np.intp)


def _within(basis: SelectionBasis, strata: Positions, size: int, key: FloatArray) -> Positions:
    """Candidates with the smallest keys in each stratum, in proportion to its share in the full score."""
    shares: FloatArray = np.bincount(strata, basis.target[basis.candidates]).astype(np.float64)
    allotted = allocate_proportionally(shares, np.bincount(strata), size)
    order = np.lexsort((key, strata))
    place = np.arange(len(order)) - np.searchsorted(strata[order], strata[order])
    return basis.candidates[order[place < allotted[strata[order]]]]


Weighting = Callable[[SelectionBasis, Selection], FloatArray]


def equal(basis: SelectionBasis, selection: Selection) -> FloatArray:
    """Give all items the same weight."""
    del basis
    return np.full(len(selection.items), 1 / len(selection.items))


def anchor(basis: SelectionBasis, selection: Selection) -> FloatArray:
    """Weight an item by the total share in the full score of the items that it represents.

    These are the items of its cluster if the selection method made clusters, otherwise the items whose answers are
    nearest to its own.
    """
    if selection.weights is not None:
        return selection.weights
    return nearest_shares(basis.nearest(selection.items), selection.items, basis.target)


def discrimination(basis: SelectionBasis, selection: Selection) -> FloatArray:
    """Weight by the discrimination a: sum a_i y_i is the sufficient statistic for ability in the 2PL."""
    slopes = np.maximum(basis.parameters.discrimination[selection.items], TINY)
    return np.asarray(slopes / slopes.sum())


def information_weights(basis: SelectionBasis, selection: Selection) -> FloatArray:
    """Weight by the mean Fisher information of a response, over the target range of abilities."""
    nodes = np.linspace(*basis.target_abilities, INFORMATION_NODES)
    of_items = information(basis.parameters.at((selection.items, None)), nodes).mean(axis=1)
    return np.asarray(np.maximum(of_items, TINY) / np.maximum(of_items, TINY).sum())


def minimum_variance(basis: SelectionBasis, selection: Selection) -> FloatArray:
    """Minimise the predicted variance w'Cw of the weighted score.

    The constraints are sum w = 1, w >= 0, and a weighted mean equal to the mean full score of the calibration models. C
    is the Ledoit-Wolf covariance of `SelectionBasis.deviations`: over seeds within runs and steps if the responses have
    seeds, otherwise over models.

    Warns
    -----
    SubsetWarning
        If all chosen items are easier, or all are harder, than the full score: the last constraint is dropped.
    """
    chosen = selection.items
    covariance = ledoit_wolf(basis.deviations[:, chosen])
    means, wanted = basis.item_means[chosen], float(np.nanmean(basis.full_score))
    if not means.min() < wanted < means.max():
        if len(chosen) > 1:
            warnings.warn(
                f"the mean full score {wanted:.3f} is outside the chosen items' means, {means.min():.3f} to "
                f"{means.max():.3f}: no weights reproduce it, and the variance is minimised without that constraint.",
                SubsetWarning,
                stacklevel=2,
            )
        return least_quadratic(covariance, np.ones((1, len(chosen))), np.ones(1))
    return least_quadratic(covariance, np.stack([np.ones(len(chosen)), means]), np.array([1.0, wanted]))


def ledoit_wolf(rows: FloatArray) -> FloatArray:
    """Covariance of columns, shape (column, column), shrunk towards equal variances without correlations [1]_.

    Notes
    -----
    As `sklearn.covariance.ledoit_wolf`, whose checks of its arguments take ten times as long as 50 columns do.

    References
    ----------
    .. [1] Ledoit, Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004,
       DOI 10.1016/S0047-259X(03)00096-4.
    """
    n, size = rows.shape
    rows = rows - rows.mean(axis=0)
    covariance = rows.T @ rows / n
    mean, square = covariance.trace() / size, float((covariance**2).sum())
    error = (float(((rows**2).sum(axis=1) ** 2).sum()) / n - square) / n
    spread = square - size * mean**2
    shrinkage = min(error / spread, 1.0) if spread > 0 else 0.0
    return np.asarray((1 - shrinkage) * covariance + shrinkage * mean * np.eye(size))


def balance(basis: SelectionBasis, selection: Selection) -> FloatArray:
    """Give each subtask its share in the full score, divided equally among its chosen items.

    The share of a subtask without a chosen item is divided among the others.
    """
    codes = np.unique(basis.subtasks, return_inverse=True)[1]
    of_subtask, chosen = np.bincount(codes, basis.target), codes[selection.items]
    weights = of_subtask[chosen] / np.bincount(chosen, minlength=len(of_subtask))[chosen]
    return np.asarray(weights / weights.sum())


WEIGHTINGS: Final[Mapping[str, Weighting]] = {
    "equal": equal,
    "anchor": anchor,
    "discrimination": discrimination,
    "information": information_weights,
    "minimum-variance": minimum_variance,
    "balance": balance,
}


def weight_items(basis: SelectionBasis, selection: Selection, weights: str) -> FloatArray:
    """Weights of chosen items by the function of this name, shape (chosen,), sum 1.

    Raises
    ------
    SubsetError
        If the name is not known.
    """
    if weights not in WEIGHTINGS:
        raise SubsetError(unknown_choice("weights", weights, WEIGHTINGS))
    return WEIGHTINGS[weights](basis, selection)


def effective_size(weights: FloatArray) -> float:
    """Return the number of equally weighted items whose mean has the same variance: (sum w)^2 / sum w^2."""
    return float(weights.sum() ** 2 / (weights**2).sum())
