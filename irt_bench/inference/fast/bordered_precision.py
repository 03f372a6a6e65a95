"""Normal distributions over abilities and items whose precision matrix is block-diagonal with a border.

Given the items, abilities are independent; given abilities and what items share, items are. The joint precision is

    abilities   D    -B    F
    items      -B'    G    H
    shared      F'    H'   E       D diagonal, G block-diagonal, E of two rows

so that one side is eliminated in closed form and only a matrix of the other side's size is factorised: a Schur
complement, one triangular solve, and one matrix product per set of draws.

Of large matrices cross derivatives are smooth functions of ability. If all models answered the same items, the cross
derivative of a model and an item depends on the model through its ability alone. Interpolated between Chebyshev nodes
it is a matrix of the rank that the steepest item needs, some fifty, so that eliminating the items leaves a diagonal
matrix less one of low rank: no matrix of the abilities' size is formed, let alone factorised.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from irt_bench.arrays import Array
from irt_bench.errors import FitWarning
from irt_bench.inference.fast.ability_updates import (
    SmoothCross,
    expected_weights,
    residual_and_weight,
    standard_normals,
)
from irt_bench.inference.fast.parameter_updates import Items
from irt_bench.inference.fast.sweep import interpolation

WRITTEN_OUT = 4  # coordinates, up to which products with many matrices are faster than by matmul
BLOCK_ITEMS = 1024
MIN_CURVATURE = 0.05  # of the median precision, where there is none; at most what an ability's prior gives, 1


@dataclass(frozen=True)
class BorderedPrecision:
    """Precision of abilities, items and what items share."""

    abilities: Array  # (model,): D
    cross: Callable[[slice], Array]  # slice of items → B, shape (model, item, coordinate)
    items: Array  # (item, coordinate, coordinate): G
    items_shared: Array  # (item, coordinate, shared): H
    shared: Array  # (shared, shared): E
    abilities_shared: Array  # (model, shared): F

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.items)

    def items_precision(self, lost: Array | None = None) -> Array:
        """Marginal precision of items and shared, abilities eliminated, in the order (coordinate, item), shared.

        `lost` is what not knowing abilities takes from it; by default B' D^-1 B and its like.
        """
        n_items, p, k = self.items_shared.shape
        n = n_items * p
        precision = np.zeros((n + k, n + k))
        for one in range(p):
            for two in range(p):
                np.fill_diagonal(
                    precision[one * n_items : (one + 1) * n_items, two * n_items : (two + 1) * n_items],
                    self.items[:, one, two],
                )
            precision[one * n_items : (one + 1) * n_items, n:] = self.items_shared[:, one]
            precision[n:, one * n_items : (one + 1) * n_items] = self.items_shared[:, one].T
        precision[n:, n:] = self.shared
        return precision - (self._lost_to_abilities() if lost is None else lost)

    def _lost_to_abilities(self) -> Array:
        """Give B' D^-1 B and its like."""
        meet = self.response_to_items() * np.sqrt(self.abilities)[:, None]
        return np.asarray(meet.T @ meet)

    def response_to_items(self) -> Array:
        """How abilities follow items and shared: D^-1 (B, -F), shape (model, coordinate * item + shared)."""
        cross = self.cross(slice(0, self.n_items)).astype(np.float64)
        flat = cross.transpose(0, 2, 1).reshape(len(self.abilities), -1)
        return np.hstack([flat, -self.abilities_shared]) / self.abilities[:, None]

    def abilities_precision(self) -> Array:
        """Marginal precision of abilities and shared, items eliminated."""
        n, k = len(self.abilities), len(self.shared)
        precision = np.zeros((n + k, n + k))
        np.fill_diagonal(precision[:n, :n], self.abilities)
        precision[:n, n:], precision[n:, :n] = self.abilities_shared, self.abilities_shared.T
        precision[n:, n:] = self.shared
        for block in item_slices(self.n_items):
            whitened = self.whitened(block)
            precision -= whitened @ whitened.T  # NumPy sees the transpose and computes one triangle
        return precision

    def whitened(self, block: slice) -> Array:
        """(-B; H') G^-1/2 of some items, shape (model + shared, item * coordinate), in the precision of B."""
        cross = self.cross(block)
        roots = inverse_roots(self.items[block]).astype(cross.dtype)
        rows = np.concatenate([-cross, self.items_shared[block].transpose(2, 0, 1)], dtype=cross.dtype)
        return times(rows, roots).reshape(len(rows), -1)

    def draw_items_first(
        self, precision: Array, rng: np.random.Generator, n_draws: int
    ) -> tuple[Array, Array, Callable[[slice], Array]]:
        """Draw deviations of items (coordinate, draw, item) and shared (draw, shared), and what abilities do then.

        The third gives the conditional mean of some abilities, (draw, model); their own spread is left to the caller.
        """
        n_items, p, _ = self.items_shared.shape
        root = cholesky(precision)
        both = linalg.solve_triangular(root, rng.standard_normal((len(precision), n_draws)), lower=True, trans=1).T
        moved, response = (np.asarray(each, dtype=np.float32) for each in self._carried(both))
        items = both[:, : n_items * p].reshape(n_draws, p, n_items).transpose(1, 0, 2)
        return items, both[:, n_items * p :], lambda models: np.asarray(moved @ response[models].T)

    def _carried(self, both: Array) -> tuple[Array, Array]:
        """Deviations of items and shared, (draw, number), and how abilities follow these numbers, (model, number)."""
        return both, self.response_to_items()

    def draw_abilities_first(
        self, precision: Array, rng: np.random.Generator, n_draws: int
    ) -> tuple[Array, Array, Array]:
        """Draw deviations of abilities (draw, model), items (coordinate, draw, item) and shared (draw, shared)."""
        n_models = len(self.abilities)
        root = cholesky(precision)
        noise = rng.standard_normal((len(precision), n_draws))
        both = linalg.solve_triangular(root, noise, lower=True, trans=1, overwrite_b=True).T
        return both[:, :n_models], self.draw_items(both, rng), both[:, n_models:]

    def draw_items(self, both: Array, rng: np.random.Generator) -> Array:
        """Draw deviations of items, (coordinate, draw, item), given those of abilities and shared, (draw, row)."""
        both, p = both.astype(np.float32), self.items.shape[1]
        items = standard_normals(rng, (p, len(both), self.n_items))
        for block in item_slices(self.n_items):
            own, roots = items[..., block], inverse_roots(self.items[block]).astype(np.float32)
            whitened = self.whitened(block).astype(np.float32).reshape(both.shape[1], -1, p)
            for row in range(p):
                own[row] -= both @ whitened[..., row]
            for row in range(p):  # roots are upper triangles
                own[row] *= roots[:, row, row]
                for later in range(row + 1, p):
                    own[row] += roots[:, row, later] * own[later]
        return items


def item_slices(n_items: int) -> list[slice]:
    """Slices of items, small enough to hold what is between them and all abilities."""
    return [slice(start, min(start + BLOCK_ITEMS, n_items)) for start in range(0, n_items, BLOCK_ITEMS)]


def inverse_roots(blocks: Array) -> Array:
    """R with R R' = G^-1, G symmetric positive definite of one or two rows, for many G at once."""
    if blocks.shape[1] == 1:
        return np.asarray(1 / np.sqrt(blocks))
    first, cross, second = blocks[:, 0, 0], blocks[:, 0, 1], blocks[:, 1, 1]
    left = np.sqrt(first)
    low = cross / left
    right = np.sqrt(second - low**2)
    zero = np.zeros_like(left)
    return np.stack([np.stack([1 / left, -low / (left * right)], -1), np.stack([zero, 1 / right], -1)], -2)


def times(rows: Array, matrices: Array) -> Array:
    """Multiply each item's coordinates, (row, item, coordinate), by its matrix: written out where that is fast."""
    size = range(matrices.shape[-1])
    if len(size) > WRITTEN_OUT:
        return np.asarray((rows[..., None, :] @ matrices)[..., 0, :])
    found = np.empty_like(rows)
    for column in size:
        found[..., column] = sum(rows[..., row] * matrices[..., row, column] for row in size)
    return found


def cholesky(precision: Array, *, unit: float = 1.0) -> Array:
    """Lower Cholesky factor; directions without curvature get a little, with a warning.

    Parameters
    ----------
    precision : array of shape (coordinate, coordinate)
        Symmetric.
    unit : float
        What a precision of one, that of an ability's prior, is in these coordinates.

    Warns
    -----
    FitWarning
        If the matrix is not positive definite: the mode is no peak, and intervals are rough.
    """
    try:
        return np.asarray(linalg.cholesky(precision, lower=True))
    except linalg.LinAlgError:
        values, vectors = linalg.eigh(precision)
        least = min(MIN_CURVATURE * float(np.median(np.abs(np.diag(precision)))), unit)
        flat = int((values < least).sum())
        warnings.warn(
            f"the posterior has no peak in {flat} of {len(values)} directions; intervals are rough, use method='nuts'.",
            FitWarning,
            stacklevel=2,
        )
        return np.asarray(linalg.qr((vectors * np.sqrt(np.maximum(values, least))).T, mode="r")[0].T)


@dataclass(frozen=True)
class SmoothBorderedPrecision(BorderedPrecision):
    """A precision whose cross derivatives are basis @ cross(block)."""

    basis: Array  # (model, rank): Chebyshev polynomials at the abilities, or weights of the nodes of a grid

    def _lost_to_abilities(self) -> Array:
        left, right = self._response()
        meet = left.T @ (left / self.abilities[:, None].astype(left.dtype))
        return np.asarray(right.T @ meet.astype(np.float64) @ right)

    def _carried(self, both: Array) -> tuple[Array, Array]:
        left, right = self._response()
        return both @ right.T, left / self.abilities[:, None].astype(left.dtype)

    def _response(self) -> tuple[Array, Array]:
        """How abilities follow items and shared, times D: a product, (model, number) by (number, item and shared)."""
        rows = self.cross(slice(0, self.n_items))
        rows = rows.transpose(0, 2, 1).reshape(len(rows), -1)
        left = np.hstack([self.basis, -self.abilities_shared], dtype=self.basis.dtype, casting="same_kind")
        return left, linalg.block_diag(rows, np.eye(len(self.shared)))

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
    """Interpolate the cross derivatives over abilities."""
    nodes, basis, coefficients = interpolation(ability, float(items.slope.max()))
    slope, n_trials = items.slope[:, None], trials[:, None].astype(np.float64)

    def weight_at(at: Array) -> Array:
        return residual_and_weight(items, at, np.zeros_like(n_trials), n_trials)[1]

    variance = 1 / (1 + (slope**2 * weight_at(nodes)).sum(axis=0))
    weight, weighted = expected_weights(nodes, variance, weight_at)
    return SmoothCross(basis, (coefficients @ (-slope * weight).T, coefficients @ (-(slope**2) * weighted).T))
