"""Selectors: which items to keep. Calibration models, a size and a generator in; distinct items out.

Every selector has the signature `Selector`. Items whose discrimination is negative with its whole interval are not
chosen unless the basis says so, and a size beyond the items left is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from irt_bench.analysis.curves import information
from irt_bench.analysis.intervals import SPREAD_FLOOR
from irt_bench.arrays import FloatArray
from irt_bench.errors import SubsetError, unknown_choice
from irt_bench.subsets.anchors import anchors_by_answers, anchors_by_parameters, anchors_in_proportion, in_proportion
from irt_bench.subsets.basis import Positions, Selection, SelectionBasis

Selector = Callable[[SelectionBasis, int, np.random.Generator], Selection]

DIFFICULTY_BINS: Final = 10
INFORMATION_NODES: Final = 20
NEAR_DUPLICATE: Final = 0.9  # correlation over models; two items then share more than 80% of their variance
COLUMN_BLOCK: Final = 1000


def random(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Choose a simple random sample."""
    return basis.select(rng.choice(basis.candidates, size, replace=False))


def stratified_by_subtask(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Choose at random within subtasks, in proportion to their share in the full score."""
    strata = np.unique(basis.subtasks[basis.candidates], return_inverse=True)[1]
    return basis.select(_within(basis, strata, size, rng.random(len(strata))))


def stratified_by_difficulty(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Choose at random within bins of the mean share of right answers, in proportion to their size."""
    strata = _difficulty_bins(basis, size)
    return basis.select(_within(basis, strata, size, rng.random(len(strata))))


def most_discriminating(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Choose the items of highest item-rest correlation: sort and drop, as Madaan et al. (2024) do.

    Notes
    -----
    Departs from them in correcting the correlation for the item's own part in the score.
    """
    del rng  # nothing is random
    order = np.argsort(-basis.discrimination[basis.candidates], kind="stable")
    return basis.select(basis.candidates[order[:size]])


def discriminating_in_bins(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Choose the items of highest item-rest correlation within bins of difficulty, which keeps the mix."""
    del rng
    return basis.select(_within(basis, _difficulty_bins(basis, size), size, -basis.discrimination[basis.candidates]))


def most_informative(basis: SelectionBasis, size: int, rng: np.random.Generator) -> Selection:
    """Choose items in turn for abilities over the target range: each time the one that tells most there.

    Notes
    -----
    As metabench does over its quantile bins (Kipnis et al. 2025, arXiv 2407.12844), without their threshold.
    """
    del rng
    low, high = basis.target_abilities
    nodes = np.linspace(low, high, min(INFORMATION_NODES, size))
    told = information(basis.parameters.at((basis.candidates, None)), nodes)
    ranked, free, chosen = np.argsort(-told, axis=0, kind="stable"), np.ones(len(told), dtype=np.bool_), list[int]()
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
    """Add, one at a time, the item that leaves the least predicted variance V of the equally weighted score.

    Notes
    -----
    V is w'Cw with C over seeds, where the responses have seeds, else over models (`SelectionBasis.deviations`). A
    shrunk C (Ledoit-Wolf) leads to the same choice: shrinking adds the same amount whichever item comes next.
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
    """Choose at random after keeping one item, the most discriminating, of each group of near-duplicates.

    Groups are connected by correlations over models of at least `NEAR_DUPLICATE`. Where fewer groups than items are
    asked for, the dropped items fill up, at random.
    """
    shares = basis.shares[:, basis.candidates]
    group = near_duplicate_groups(shares)
    order = np.lexsort((-basis.discrimination[basis.candidates], group))
    first = np.unique(group[order], return_index=True)[1]
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
    """Choose `size` items by the method of this name.

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
            f"; {left_out} with negative discrimination are left out (--keep-negative keeps them)" if left_out else ""
        )
        raise SubsetError(f"size {size} was asked for, of {len(basis.candidates)} items{note}.")
    chosen = SELECTORS[method](basis, size, rng)
    if len(chosen.items) != size or not chosen.items.is_unique:
        raise SubsetError(f"method {method!r} returned {len(chosen.items)} items, not {size} distinct ones.")
    return chosen


def item_number(size: float, n_items: int) -> int:
    """Turn a size into a number of items: 1 and more is a count, less is a fraction of all items, rounded up.

    Raises
    ------
    SubsetError
        If it is neither.
    """
    if 0 < size < 1:
        return max(1, math.ceil(size * n_items - 1e-9))
    if size >= 1 and float(size).is_integer():
        return int(size)
    raise SubsetError(f"size is {size:g}; a whole number of items, or a fraction between 0 and 1, is needed.")


def near_duplicate_groups(shares: FloatArray) -> npt.NDArray[np.int32]:
    """Label each item, shape (item,), such that items correlated by `NEAR_DUPLICATE` or more share a label."""
    centred = shares - shares.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    varied = length > SPREAD_FLOOR * np.sqrt(len(shares))
    unit = np.where(varied, centred / np.where(varied, length, 1), 0).astype(np.float32)
    rows, columns = [], []
    for start in range(0, unit.shape[1], COLUMN_BLOCK):
        near = unit[:, start : start + COLUMN_BLOCK].T @ unit[:, start:] >= NEAR_DUPLICATE
        row, column = np.nonzero(near)
        rows.append(row + start)
        columns.append(column + start)
    pairs = np.concatenate(rows), np.concatenate(columns)
    graph = sparse.coo_array((np.ones(len(pairs[0]), dtype=np.int8), pairs), shape=(unit.shape[1],) * 2)
    return np.asarray(connected_components(graph, directed=False)[1])


def _difficulty_bins(basis: SelectionBasis, size: int) -> Positions:
    """Bin of each candidate by its mean share of right answers; bins of equal size, ties as they come."""
    mean = basis.shares.mean(axis=0)[basis.candidates]
    rank = np.argsort(np.argsort(mean, kind="stable"), kind="stable")
    return np.asarray(rank * min(DIFFICULTY_BINS, size) // len(rank), dtype=np.intp)


def _within(basis: SelectionBasis, strata: Positions, size: int, key: FloatArray) -> Positions:
    """Candidates of smallest key in each stratum, as many as its share in the full score allots."""
    shares: FloatArray = np.bincount(strata, basis.target[basis.candidates]).astype(np.float64)
    allotted = in_proportion(shares, np.bincount(strata), size)
    order = np.lexsort((key, strata))
    place = np.arange(len(order)) - np.searchsorted(strata[order], strata[order])
    return basis.candidates[order[place < allotted[strata[order]]]]
