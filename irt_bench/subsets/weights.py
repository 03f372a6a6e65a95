"""Weights of chosen items: functions of a basis, a selection and a random generator that return weights of sum 1.

Every function has the signature `Weighting`. A weighted subset has an effective size of 1 / sum w^2 items.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import pandas as pd
from scipy.optimize import nnls
from sklearn.covariance import ledoit_wolf

from irt_bench.arrays import FloatArray
from irt_bench.errors import SubsetError, SubsetWarning, unknown_choice
from irt_bench.subsets.basis import Positions, Selection, SelectionBasis
from irt_bench.subsets.select import answer_features, nearest_shares

Weighting = Callable[[SelectionBasis, Selection, np.random.Generator], FloatArray]

CONSTRAINT_WEIGHT: Final = 1e4  # of the rows of constraints in least squares, relative to the rows of the objective
TINY: Final = 1e-12


def equal(basis: SelectionBasis, selection: Selection, rng: np.random.Generator) -> FloatArray:
    """Give all items the same weight."""
    del basis, rng
    return np.full(len(selection.items), 1 / len(selection.items))


def anchor(basis: SelectionBasis, selection: Selection, rng: np.random.Generator) -> FloatArray:
    """Weight an item by the total share in the full score of the items that it represents.

    These are the items of its cluster if the selection method made clusters, otherwise the items whose answers are
    nearest to its own.
    """
    del rng
    if selection.weights is not None:
        return selection.weights
    return nearest_shares(answer_features(basis), _positions(basis, selection), basis.target)


def discrimination(basis: SelectionBasis, selection: Selection, rng: np.random.Generator) -> FloatArray:
    """Weight by the discrimination a: sum a_i y_i is the sufficient statistic for ability in the 2PL."""
    del rng
    slopes = np.maximum(basis.parameters.discrimination[_positions(basis, selection)], TINY)
    return np.asarray(slopes / slopes.sum())


def minimum_variance(basis: SelectionBasis, selection: Selection, rng: np.random.Generator) -> FloatArray:
    """Minimise the predicted variance w'Cw of the weighted score.

    The constraints are sum w = 1, w >= 0, and a weighted mean equal to the mean full score of the calibration models. C
    is the Ledoit-Wolf covariance of `SelectionBasis.deviations`: over seeds within runs and steps if the responses have
    seeds, otherwise over models.

    Warns
    -----
    SubsetWarning
        If all chosen items are easier, or all are harder, than the full score: the last constraint is dropped.
    """
    del rng
    chosen = _positions(basis, selection)
    covariance, _ = ledoit_wolf(basis.deviations[:, chosen])
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


def balance(basis: SelectionBasis, selection: Selection, rng: np.random.Generator) -> FloatArray:
    """Give each subtask its share in the full score, divided equally among its chosen items.

    The share of a subtask without a chosen item is divided among the others.
    """
    del rng
    codes = np.unique(basis.subtasks, return_inverse=True)[1]
    of_subtask, chosen = np.bincount(codes, basis.target), codes[_positions(basis, selection)]
    weights = of_subtask[chosen] / np.bincount(chosen, minlength=len(of_subtask))[chosen]
    return np.asarray(weights / weights.sum())


WEIGHTINGS: Final[Mapping[str, Weighting]] = {
    "equal": equal,
    "anchor": anchor,
    "discrimination": discrimination,
    "minimum-variance": minimum_variance,
    "balance": balance,
}


def weight_items(basis: SelectionBasis, selection: Selection, weights: str, rng: np.random.Generator) -> FloatArray:
    """Weights of chosen items by the function of this name, shape (chosen,), sum 1.

    Raises
    ------
    SubsetError
        If the name is not known.
    """
    if weights not in WEIGHTINGS:
        raise SubsetError(unknown_choice("weights", weights, WEIGHTINGS))
    return WEIGHTINGS[weights](basis, selection, rng)


def effective_size(weights: FloatArray) -> float:
    """Return the number of equally weighted items whose mean has the same variance: (sum w)^2 / sum w^2."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def least_quadratic(matrix: FloatArray, constraints: FloatArray, values: FloatArray) -> FloatArray:
    """Minimise w'Mw subject to A w = b and w >= 0.

    Parameters
    ----------
    matrix : array of shape (n, n)
        M, positive definite.
    constraints, values : arrays of shape (c, n) and (c,)
        A and b; some w >= 0 meets them.

    Returns
    -------
    array of shape (n,)

    Notes
    -----
    Non-negative least squares (Lawson, Hanson, Solving least squares problems, 1974, chapter 23) on the rows of the
    Cholesky factor and the constraints, as rows with a large weight, finds which w are 0. The others are then the exact
    solution of the equations of the Lagrangian.
    """
    # The added diagonal gives equal weights to items without variance, for which all weights are equally good.
    upper = np.linalg.cholesky(matrix + (TINY + TINY * np.trace(matrix)) * np.eye(len(matrix))).T
    weight = CONSTRAINT_WEIGHT * np.sqrt(np.trace(matrix) / len(matrix) + TINY)
    scale = weight / np.maximum(np.abs(constraints).max(axis=1), TINY)
    rows = np.concatenate([upper, constraints * scale[:, None]])
    found, _ = nnls(rows, np.append(np.zeros(len(upper)), values * scale), maxiter=30 * len(matrix))
    free = found > TINY
    exact = np.zeros(len(found))
    n_free, n_constraints = int(free.sum()), len(values)
    lagrangian = np.zeros((n_free + n_constraints,) * 2)
    lagrangian[:n_free, :n_free] = 2 * matrix[np.ix_(free, free)]
    lagrangian[n_free:, :n_free], lagrangian[:n_free, n_free:] = constraints[:, free], constraints[:, free].T
    exact[free] = np.linalg.lstsq(lagrangian, np.append(np.zeros(n_free), values), rcond=None)[0][:n_free]
    exact = np.maximum(exact, 0)
    return np.asarray(exact if np.allclose(constraints @ exact, values, atol=1e-6) else found)


def _positions(basis: SelectionBasis, selection: Selection) -> Positions:
    index: pd.Index = basis.counts.items.index  # itself: a copy would build its table anew at every call
    return np.asarray(index.get_indexer(selection.items), dtype=np.intp)
