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
MOST_NODES = 500


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
        Precision D - V V' of the abilities, of which the inverse is D^-1 + D^-1 V (I - V' D^-1 V)^-1 V' D^-1.
        """
        rank = self.basis.shape[1]
        met = np.sum([rows @ rows.T for rows in map(self.whitened, item_slices(self.n_items))], axis=0)
        across = self.abilities_shared - self.basis @ met[:rank, rank:]
        shared_root = cholesky(self.shared - met[rank:, rank:])
        fall = np.hstack(
            [
                self.basis @ _root(met[:rank, :rank]),
                linalg.solve_triangular(shared_root, across.T, lower=True).T,
            ]
        )
        scaled = fall / np.sqrt(self.abilities)[:, None]
        inner = cholesky(np.eye(fall.shape[1]) - scaled.T @ scaled)
        noise = rng.standard_normal((len(inner), n_draws))
        abilities = scaled @ linalg.solve_triangular(inner, noise, lower=True, trans=1)
        abilities += rng.standard_normal(abilities.shape)
        abilities /= np.sqrt(self.abilities)[:, None]
        pull = linalg.solve_triangular(shared_root, across.T @ abilities, lower=True)
        noise = rng.standard_normal((len(self.shared), n_draws))
        shared = linalg.solve_triangular(shared_root, noise - pull, lower=True, trans=1)
        both = np.concatenate([self.basis.T @ abilities, shared])
        return abilities.T, self.draw_items(both, rng), shared.T


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
    return int(np.clip(np.ceil(-np.log(ACCURACY) / np.log(rho)), 8, MOST_NODES))


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


def _root(matrix: Array) -> Array:
    """Root of a positive semidefinite matrix."""
    values, vectors = linalg.eigh(matrix)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)))
