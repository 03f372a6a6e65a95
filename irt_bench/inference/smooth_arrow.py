"""The arrow-shaped normal distribution of a large matrix, where cross derivatives are smooth functions of ability.

If all models answered the same items, the cross derivative of a model and an item depends on the model through its
ability alone. Interpolated between Chebyshev nodes it is a matrix of the rank that the steepest item
needs, some fifty, so that eliminating the items leaves a diagonal matrix less one of low rank: no matrix of the
abilities' size is formed, let alone factorised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.polynomial import chebyshev
from scipy import linalg

from irt_bench.inference.ability_posterior import expected_weights, residual_and_weight
from irt_bench.inference.arrow import Arrow, cholesky, item_slices
from irt_bench.inference.item_updates import Items

Array = npt.NDArray[Any]
ACCURACY = 1e-8  # of the interpolation, against curves of height one
LEAST_NODES = 8


@dataclass(frozen=True)
class SmoothArrow(Arrow):
    """An arrow whose cross derivatives are basis @ cross(block).

    Parameters
    ----------
    basis : array of shape (model, rank)
        Chebyshev polynomials at the abilities.
    """

    basis: Array

    def draw(self, rng: np.random.Generator, n_draws: int) -> tuple[Array, Array, Array]:
        """Draw deviations of abilities (draw, model), items (draw, item, coordinate) and shared (draw, shared).

        Notes
        -----
        Abilities in units of D^-1/2 have the identity as their precision, but for the columns of the basis and of F. In
        these and what is shared the precision is a small matrix, a direction without curvature included.
        """
        rank, n_shared = self.basis.shape[1], len(self.shared)
        met = np.sum([rows @ rows.T for rows in map(self.whitened, item_slices(self.n_items))], axis=0)
        unit = float(np.sqrt(np.median(self.abilities)))  # of what is shared
        spread = 1 / np.sqrt(self.abilities)[:, None]
        frame = linalg.qr(np.hstack([self.basis, self.abilities_shared]) * spread, mode="economic")[0]
        basis, shared = frame.T @ (self.basis * spread), frame.T @ (self.abilities_shared * spread)
        across = (shared - basis @ met[:rank, rank:]) / unit
        own = np.eye(len(frame.T)) - basis @ met[:rank, :rank] @ basis.T
        inner = np.block([[own, across], [across.T, (self.shared - met[rank:, rank:]) / unit**2]])
        root = cholesky(inner, unit=1 / unit**2)
        within = linalg.solve_triangular(root, rng.standard_normal((len(root), n_draws)), lower=True, trans=1)
        abilities = rng.standard_normal((len(frame), n_draws))
        abilities += frame @ (within[:-n_shared] - frame.T @ abilities)
        abilities *= spread
        moved = within[-n_shared:] / unit
        return abilities.T, self.draw_items(np.concatenate([self.basis.T @ abilities, moved]), rng), moved.T


def smooth(arrow: Arrow, ability: Array, trials: Array, items: Items) -> SmoothArrow:
    """Interpolate the cross derivatives over abilities.

    Parameters
    ----------
    arrow : Arrow
        With the cross derivatives of every cell.
    ability : array of shape (model,)
        Posterior means.
    trials : array of shape (item,)
        Trials of every model.
    items : Items
        At their mode.
    """
    nodes, basis, coefficients = interpolation(ability, float(items.slope.max()))
    slope, n_trials = items.slope[:, None], trials[:, None].astype(np.float64)

    def weigh(at: Array) -> Array:
        return residual_and_weight(items, at, np.zeros_like(n_trials), n_trials)[1]

    variance = 1 / (1 + (slope**2 * weigh(nodes)).sum(axis=0))
    weight, weighted = expected_weights(nodes, variance, weigh)
    n_coordinates = arrow.items.shape[1]
    curves = np.stack([-slope * weight, -(slope**2) * weighted][:n_coordinates], axis=-1)  # (item, node, coordinate)
    cross = np.einsum("rq,jqp->rjp", coefficients, curves, optimize=True)
    return SmoothArrow(
        abilities=arrow.abilities,
        cross=lambda block: cross[:, block],
        items=arrow.items,
        items_shared=arrow.items_shared,
        shared=arrow.shared,
        abilities_shared=arrow.abilities_shared,
        basis=basis,
    )


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
    nodes = chebyshev.chebpts1(rank)
    coefficients = 2 / rank * chebyshev.chebvander(nodes, rank - 1).T
    coefficients[0] /= 2
    return centre + half * nodes, chebyshev.chebvander((points - centre) / half, rank - 1), coefficients
