"""Tetrachoric correlations of all pairs of 0/1 items at once."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import ndtr, ndtri

from irt_bench.arrays import BoolArray, FloatArray

CORRECTION: Final = 0.5  # answers put in an empty cell of a table, as psych::tetrachoric does
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
STEPS: Final = 30  # of Newton or halving; five are enough as a rule
CLOSE: Final = 1e-7  # of the arcsine
LARGEST: Final = 0.9999


def tetrachoric_correlations(right: FloatArray, asked: BoolArray) -> FloatArray:
    """Correlate the normal traits behind every two items, given their shares of right answers.

    Parameters
    ----------
    right : array of shape (model, item)
        1 for a right answer, 0 for a wrong one or none.
    asked : array of shape (model, item)
        Whether there is an answer.

    Returns
    -------
    array of shape (item, item)
        Symmetric with unit diagonal; 0 for pairs whose table has an empty row or column.

    Notes
    -----
    Solves Phi2(h, k; r) = share of models right on both, h and k being the normal quantiles of the items' shares of
    right answers among the models asked both [1]_. Phi2(h, k; r) - Phi(h) Phi(k) is the integral of the normal density
    at (h, k) over correlations from 0 to r [2]_, here over their arcsine by Gauss-Legendre.

    References
    ----------
    .. [1] Divgi, Calculation of the tetrachoric correlation coefficient, 1979, DOI 10.1007/BF02293968.
    .. [2] Drezner, Wesolowsky, On the computation of the bivariate normal integral, 1990,
       DOI 10.1080/00949659008811236.
    """
    answered = asked.astype(np.float64)
    wrong = answered - right
    pair = np.triu_indices(right.shape[1], 1)
    one = (right.T @ wrong)[pair], (wrong.T @ right)[pair]
    table = np.stack([(right.T @ right)[pair], *one, (wrong.T @ wrong)[pair]])
    margins = np.stack([table[0] + table[1], table[0] + table[2], table[2] + table[3], table[1] + table[3]])
    table = np.where(table == 0, CORRECTION, table)
    both, only_first, only_second, _ = table / table.sum(axis=0)
    found = np.where((margins > 0).all(axis=0), _solve(both, both + only_first, both + only_second), 0.0)
    matrix = np.eye(right.shape[1])
    matrix[pair] = found
    matrix.T[pair] = found
    return matrix


def _solve(both: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    """Correlation at which the chance of both is as given; Newton's method, kept in a bracket that halves."""
    h, k = ndtri(np.clip(first, 1e-12, 1 - 1e-12)), ndtri(np.clip(second, 1e-12, 1 - 1e-12))
    found, edge = np.zeros(h.shape), np.arcsin(LARGEST)
    wanted, squares, product = both - ndtr(h) * ndtr(k), (h * h + k * k) / 2, h * k
    at, low, high, angle = np.arange(len(h)), np.full(h.shape, -edge), np.full(h.shape, edge), np.zeros(h.shape)
    for _ in range(STEPS):
        nodes = np.outer(NODES + 1, angle / 2)
        away = wanted - (WEIGHTS @ _density(nodes, squares, product)) * angle / 2
        low, high = np.where(away > 0, angle, low), np.where(away > 0, high, angle)
        new = angle + away / np.maximum(_density(angle, squares, product), 1e-300)
        new = np.where((new > low) & (new < high), new, (low + high) / 2)
        found[at] = new
        going = np.abs(new - angle) > CLOSE  # the few hard pairs are not to cost what all pairs cost
        if not going.any():
            break
        at, wanted, squares, product = at[going], wanted[going], squares[going], product[going]
        low, high, angle = low[going], high[going], new[going]
    return np.asarray(np.sin(found))


def _density(angle: FloatArray, squares: FloatArray, product: FloatArray) -> FloatArray:
    """Bivariate normal density at (h, k) times the cosine: the integrand over the arcsine of the correlation."""
    sine = np.sin(angle)
    return np.asarray(np.exp((product * sine - squares) / (1 - sine * sine)) / (2 * np.pi))
