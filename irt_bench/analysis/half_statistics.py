"""Item statistics within halves of the models: of one split at a time, or of many at once where answers are 0/1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from irt_bench.analysis.classical import LEAST_MODELS, correlate_with_rest
from irt_bench.analysis.intervals import SPREAD_FLOOR, centred_sums
from irt_bench.arrays import BoolArray, FloatArray

Halves = tuple[BoolArray, BoolArray]
BLOCK_ITEMS: Final = 2_000  # items multiplied at once: some 80 MB of a matrix of 5,000 models


def half_statistics(shares: FloatArray, asked: BoolArray, splits: Sequence[Halves]) -> list[FloatArray]:
    """Share of right answers and item-rest correlation of each half.

    Parameters
    ----------
    shares, asked : arrays of shape (model, item)
        Shares of right answers (any value where not asked), and whether asked.
    splits : sequence of pairs of arrays of shape (model,)
        Whether a model is in the first and in the second half.

    Returns
    -------
    list of arrays of shape (statistic, half, item)
        One a split; NaN where undefined.
    """
    if asked.all() and shares.shape[1] > 1 and np.isin(shares, (0.0, 1.0)).all():
        return _of_complete_answers(shares, splits)
    return [_of_one(shares, asked, halves) for halves in splits]


def _of_one(shares: FloatArray, asked: BoolArray, halves: Halves) -> FloatArray:
    difficulty = [centred_sums(shares[half], asked[half])[0] for half in halves]
    discrimination = [correlate_with_rest(shares[half], asked[half]).correlation for half in halves]
    return np.array([difficulty, discrimination])


def _of_complete_answers(shares: FloatArray, splits: Sequence[Halves]) -> list[FloatArray]:
    """Sum over all halves at once, as a product of matrices.

    Notes
    -----
    With T the number of right answers less its mean, x an item and r = (T - x) / (N - 1) the rest, sums S of products
    about means within a half give S_xr = (S_xT - S_xx) / (N - 1) and S_rr = (S_TT - 2 S_xT + S_xx) / (N - 1)^2. With
    0/1 answers S_xx is exact, so that an item without spread has none.
    """
    n_items = shares.shape[1]
    members = np.array([half for halves in splits for half in halves], dtype=np.float64).T  # (model, split x half)
    size, total = members.sum(axis=0), shares.sum(axis=1)
    total = total - total.mean()
    total_sum, total_squares = total @ members, total**2 @ members
    both = np.concatenate([members, total[:, None] * members], axis=1)
    difficulty, correlation = np.empty((2, len(size), n_items))
    for start in range(0, n_items, BLOCK_ITEMS):
        block = slice(start, start + BLOCK_ITEMS)
        right, with_total = np.split(shares[:, block].T @ both, 2, axis=1)  # (item, split x half)
        mean = right / size
        squares = right - right * mean
        products = with_total - mean * total_sum
        rest_squares = (total_squares - total_sum**2 / size - 2 * products + squares) / (n_items - 1) ** 2
        defined = (size >= LEAST_MODELS) & (squares > 0) & (rest_squares > size * SPREAD_FLOOR)
        norm = np.sqrt(np.where(defined, squares * rest_squares, 1.0)) * (n_items - 1)
        found = np.where(defined, np.clip((products - squares) / norm, -1, 1), np.nan)
        difficulty[:, block], correlation[:, block] = mean.T, found.T
    return [np.stack([difficulty[at], correlation[at]]) for at in np.split(np.arange(len(size)), len(splits))]
