"""Infit and outfit: mean squares of residuals against what the model expects of them."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from irt_bench.analysis.checks.answers import FittedAnswers
from irt_bench.analysis.checks.named import Check, Limit, above_limit
from irt_bench.arrays import FloatArray

# Mean squares of 0.5 to 1.5 are productive for measurement.
MEAN_SQUARE: Final = Limit(0.5, "Wright & Linacre 1994, Rasch Measurement Transactions 8:3")


class MeanSquares(NamedTuple):
    """Of items, shape (item,), or models, shape (model,); NaN where nothing is to be learned."""

    infit: FloatArray
    outfit: FloatArray


def item_mean_squares(answers: FittedAnswers) -> MeanSquares:
    """Infit and outfit of each item that was not answered alike by all models.

    Notes
    -----
    With residual r of a cell and its variance v = n P (1 - P): infit = sum r^2 / sum v, which answers near the item's
    difficulty decide; outfit = mean r^2 / v, which surprises decide [1]_. Both are 1 where the model holds and all is
    known. Abilities that were estimated from the same answers lower them a little. Where all answers are right, or all
    wrong, residuals say nothing of an item's slope: NaN, as in eRm.

    References
    ----------
    .. [1] Wright, Masters, Rating scale analysis, 1982, chapter 5.
    """
    known = np.where(answers.varying, 1.0, np.nan)
    return MeanSquares(*(known * values for values in _mean_squares(answers, axis=0)))


def model_mean_squares(answers: FittedAnswers) -> MeanSquares:
    """Infit and outfit of each model; see `item_mean_squares`."""
    return _mean_squares(answers, axis=1)


def farthest(values: FloatArray) -> tuple[float, int]:
    """Largest distance of a mean square from 1, and its position; NaN and -1 where all are undefined."""
    distance = np.abs(values - 1)
    if np.isnan(distance).all():
        return np.nan, -1
    place = int(np.nanargmax(distance))
    return float(distance[place]), place


def mean_square_check(name: str, values: FloatArray, labels: FloatArray, chance: FloatArray) -> Check:
    """Check that no item's mean square is further from 1 than 0.5, or than chance alone would bring one.

    Parameters
    ----------
    name : str
        ``infit`` or ``outfit``.
    values, labels : arrays of shape (item,)
        Mean squares and the items' labels.
    chance : array of shape (replicate,)
        Largest distance from 1 in each replicate.
    """
    value, place = farthest(values)
    found = f"farthest from 1: {values[place]:.2f}, of item {labels[place]}" if place >= 0 else ""
    return above_limit(name, value, found, limit=MEAN_SQUARE, chance=chance)


def _mean_squares(answers: FittedAnswers, *, axis: int) -> MeanSquares:
    squares, expected = answers.residual**2, answers.trials * answers.variance
    n_asked = answers.asked.sum(axis=axis)
    surprise = np.divide(squares, expected, out=np.zeros_like(squares), where=expected > 0)
    known = np.where(n_asked > 0, 1.0, np.nan)
    return MeanSquares(
        known * squares.sum(axis=axis) / np.maximum(expected.sum(axis=axis), np.finfo(float).tiny),
        known * surprise.sum(axis=axis) / np.maximum(n_asked, 1),
    )
