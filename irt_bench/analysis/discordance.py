"""Pairs of models that ability and accuracy order differently, how sure that is, and the items behind it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from irt_bench.analysis.intervals import FloatArray
from irt_bench.analysis.rankings import Sides
from irt_bench.names import CLEAR, ITEM
from irt_bench.responses.counts import ResponseCounts

ROW_BLOCK = 256  # models compared with all others at once: 11 MB a temporary array for 5,500 models
PAIR_POOL = 5000  # discordant pairs whose probabilities are computed
PAIRS_SHOWN = 50
ITEM_COLUMNS = ("contribution", "ability_side", "accuracy_side", "discrimination")


def discordant_pairs(sides: Sides, labels: pd.Index) -> tuple[pd.DataFrame, int, int]:
    """Return the most certain discordant pairs, the number of discordant pairs, and how many are clear."""
    (high, low), n_discordant = _candidates(sides)
    by_ability = _share_above(sides.draws, high, low)
    by_accuracy = _share_above(sides.resampled, low, high)
    pairs = pd.DataFrame(
        {
            "higher_ability": labels[high],
            "higher_accuracy": labels[low],
            "ability_difference": sides.ability[high] - sides.ability[low],
            "accuracy_difference": sides.accuracy[low] - sides.accuracy[high],
            "p_ability": by_ability,
            "p_accuracy": by_accuracy,
            "certainty": by_ability * by_accuracy,
        }
    )
    n_clear = int(((by_ability >= CLEAR) & (by_accuracy >= CLEAR)).sum())
    order = ["certainty", "accuracy_difference", "ability_difference"]
    return pairs.sort_values(order, ascending=False, ignore_index=True), n_discordant, n_clear


def responsible_items(
    pairs: pd.DataFrame, counts: ResponseCounts, weights: FloatArray | None
) -> tuple[pd.DataFrame, str]:
    """Mean over the shown pairs of each item's part in the weighted score less its part in accuracy."""
    none = pd.DataFrame(columns=list(ITEM_COLUMNS), index=counts.items.index[:0].rename(ITEM), dtype=np.float64)
    if weights is None:
        return none, "no discriminations were given"
    if np.allclose(weights, weights[0], rtol=1e-9, atol=0):
        return (
            none,
            "discriminations are equal: the order differs only through cells never asked and noise of the draws",
        )
    if pairs.empty:
        return none, "no pair of models is ordered differently"
    shown, all_shares = pairs.head(PAIRS_SHOWN), np.nan_to_num(counts.proportions(), copy=False)
    ability_side, accuracy_side = np.zeros(counts.n_items), np.zeros(counts.n_items)
    for column, sign in (("higher_ability", 1), ("higher_accuracy", -1)):
        rows = counts.models.index.get_indexer(pd.Index(shown[column]))
        shares, asked = all_shares[rows], counts.asked[rows]
        ability_side += sign * (shares * weights / (asked @ weights)[:, None]).mean(axis=0)
        accuracy_side += sign * (shares / asked.sum(axis=1, keepdims=True)).mean(axis=0)
    values = (ability_side - accuracy_side, ability_side, accuracy_side, weights)
    items = pd.DataFrame(dict(zip(ITEM_COLUMNS, values, strict=True)), index=counts.items.index.rename(ITEM))
    return items.sort_values("contribution", ascending=False, kind="stable"), ""


def _candidates(sides: Sides) -> tuple[npt.NDArray[np.intp], int]:
    """Positions (higher ability, higher accuracy) of the discordant pairs most certain by a normal approximation."""
    ability_variance, accuracy_variance = sides.draws.var(axis=0), sides.resampled.var(axis=0)
    pool, certainty, n_discordant = np.empty((2, 0), dtype=np.intp), np.empty(0), 0
    for start in range(0, len(sides.ability), ROW_BLOCK):
        rows = slice(start, start + ROW_BLOCK)
        opposite = (sides.ability[rows, None] > sides.ability) & (sides.accuracy[rows, None] < sides.accuracy)
        high, low = np.nonzero(opposite)
        high += start
        n_discordant += len(high)
        pool = np.hstack([pool, [high, low]])
        by_ability = _log_certainty(sides.ability, ability_variance, high, low)
        by_accuracy = _log_certainty(sides.accuracy, accuracy_variance, low, high)
        certainty = np.append(certainty, by_ability + by_accuracy)
        if len(certainty) > PAIR_POOL:
            best = np.argpartition(-certainty, PAIR_POOL)[:PAIR_POOL]
            pool, certainty = pool[:, best], certainty[best]
    return pool, n_discordant


def _log_certainty(
    values: FloatArray, variance: FloatArray, above: npt.NDArray[np.intp], below: npt.NDArray[np.intp]
) -> FloatArray:
    with np.errstate(divide="ignore"):
        z = (values[above] - values[below]) / np.sqrt(variance[above] + variance[below])
    return np.asarray(special.log_ndtr(z))


def _share_above(values: FloatArray, above: npt.NDArray[np.intp], below: npt.NDArray[np.intp]) -> FloatArray:
    """Share of rows in which one column exceeds another, ties counting half, for each pair of columns."""
    difference = values[:, above] - values[:, below]
    return np.asarray(((difference > 0) + 0.5 * (difference == 0)).mean(axis=0))
