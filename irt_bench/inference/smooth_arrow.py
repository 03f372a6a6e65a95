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
from scipy import linalg

from irt_bench.inference.ability_posterior import expected_weights, residual_and_weight
from irt_bench.inference.arrow import Arrow, cholesky, item_slices
from irt_bench.inference.interpolation import interpolation
from irt_bench.inference.item_updates import Items
from irt_bench.inference.normals import standard_normals

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SmoothCross:
    """Cross derivatives as smooth functions of ability.

    Parameters
    ----------
    basis : array of shape (model, rank)
        Chebyshev polynomials at the abilities.
    rows : tuple of two arrays of shape (rank, item)
        basis @ rows are the derivatives in (intercept, log slope).
    """

    basis: Array
    rows: tuple[Array, Array]

    def cross(self, block: slice) -> tuple[Array, Array]:
        """Rows of some items."""
        by_intercept, by_slope = self.rows
        return by_intercept[:, block], by_slope[:, block]


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
        """Draw deviations of abilities (draw, model), items (coordinate, draw, item) and shared (draw, shared).

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
        within = linalg.solve_triangular(root, rng.standard_normal((len(root), n_draws)), lower=True, trans=1).T
        abilities = standard_normals(rng, (n_draws, len(frame)))
        single = frame.astype(np.float32)
        abilities += (within[:, :-n_shared].astype(np.float32) - abilities @ single) @ single.T
        abilities *= spread[:, 0].astype(np.float32)
        moved = within[:, -n_shared:] / unit
        return abilities, self.draw_items(np.hstack([abilities @ self.basis.astype(np.float32), moved]), rng), moved


def smooth(ability: Array, trials: Array, items: Items) -> SmoothCross:
    """Interpolate the cross derivatives over abilities.

    Parameters
    ----------
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
    return SmoothCross(basis, (coefficients @ (-slope * weight).T, coefficients @ (-(slope**2) * weighted).T))
