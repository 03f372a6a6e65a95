"""Chebyshev interpolation of logistic curves over the range of the abilities."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.polynomial import chebyshev

Array = npt.NDArray[Any]
ACCURACY = 1e-8  # against curves of height one
LEAST_NODES = 8


def n_nodes(points: Array, steepest: float) -> int:
    """Count the nodes that interpolate a logistic curve of slope `steepest` over the range of points.

    Notes
    -----
    A logistic curve of slope a has poles pi / a from the real line, and Chebyshev interpolation converges as
    rho ** -n, rho the sum of half axes of the largest ellipse without one (Trefethen, Approximation theory and
    approximation practice, 2013, theorem 8.2).
    """
    distance = np.pi / (steepest * _half_range(points))
    rho = distance + np.sqrt(1 + distance**2)
    return max(LEAST_NODES, int(np.ceil(-np.log(ACCURACY) / np.log(rho))))


def _half_range(points: Array) -> float:
    return max(float(np.ptp(points)) / 2, 1e-3)


def interpolation(points: Array, steepest: float) -> tuple[Array, Array, Array]:
    """Chebyshev interpolation over the range of points, fine enough for logistic curves of the steepest slope.

    Returns
    -------
    nodes : array of shape (rank,)
        Where functions are evaluated.
    basis : array of shape (point, rank)
        Polynomials at the points.
    coefficients : array of shape (rank, rank)
        basis @ (coefficients @ values at nodes) interpolates at the points.
    """
    centre, half = (points.max() + points.min()) / 2, _half_range(points)
    rank = n_nodes(points, steepest)
    nodes, coefficients = _unit_interval(rank)
    return centre + half * nodes, chebyshev.chebvander((points - centre) / half, rank - 1), coefficients


@lru_cache(maxsize=64)
def _unit_interval(rank: int) -> tuple[Array, Array]:
    """Nodes in [-1, 1], and coefficients of the polynomials through values there."""
    nodes = chebyshev.chebpts1(rank)
    coefficients = 2 / rank * chebyshev.chebvander(nodes, rank - 1).T
    coefficients[0] /= 2
    return nodes, coefficients
