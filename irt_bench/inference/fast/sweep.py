"""Sweeps over all responses for the fast method: int8 cells in one compiled pass, three Gauss-Hermite nodes each.

On a GPU PyTorch takes them in chunks, in float64. Where all models answered the same items, an item's curve is a smooth
function of ability: interpolated between Chebyshev nodes it is needed at some tens of abilities, not at those of all
models, and the answers come in apart, as two products of a matrix and a vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.polynomial import chebyshev

from irt_bench.arrays import Array
from irt_bench.inference.fast.parameter_updates import Items

if TYPE_CHECKING:
    from torch import Tensor

ACCURACY = 1e-8  # against curves of height one
MIN_NODES = 8
MIN_GAIN = 2  # models to a node, at least, for it to pay
HIGHEST = 500.0  # log-odds beyond which a chance may be 0 in float64
HERMITE = np.array([[2 / 3], [1 / 6], [1 / 6]])  # weights of the three-point Gauss-Hermite rule, the middle one first


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
    return max(MIN_NODES, int(np.ceil(-np.log(ACCURACY) / np.log(rho))))


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


@dataclass(frozen=True)
class SmoothSweep:
    """Nodes for abilities that are normal, each with a mean and a variance."""

    points: Array  # (3, model): Gauss-Hermite nodes of every ability
    nodes: Array  # (node,): abilities at which curves are needed
    basis: Array  # (3 * model, node): Chebyshev polynomials at the points
    coefficients: Array  # (node, node): basis @ (coefficients @ values at nodes) interpolates at the points

    @classmethod
    def where_it_pays(cls, mean: Array, variance: Array, steepest: float) -> SmoothSweep | None:
        """Choose nodes for slopes up to the steepest, if they are few beside the models."""
        spread = np.sqrt(3 * variance)
        points = np.stack([mean, mean - spread, mean + spread])
        if MIN_GAIN * n_nodes(points, steepest) > len(mean):
            return None
        return cls(points, *interpolation(points.ravel(), steepest))

    def over_items(self, curves: Array, slope: Array, trials: Array) -> tuple[Array, Array]:
        """Sum right answers weighted by slope, and information, over items, (model,) each; curves are (node, item)."""
        weights = slope * trials
        by_node = np.stack([curves @ weights, (curves - curves**2) @ (slope * weights)], axis=-1)
        at_points = (self.basis @ (self.coefficients @ by_node)).reshape(*self.points.shape, 2)
        right, information = (HERMITE[..., None] * at_points).sum(axis=0).T
        return right, information

    def over_models(self, curves: Array, trials: Array) -> Array:
        """Sum p, p theta, w, w theta and w theta^2 as expected over models, (5, item); w is the information."""
        powers = np.stack([HERMITE * self.points**power for power in range(3)]).reshape(3, -1)
        weights = (powers @ self.basis @ self.coefficients).astype(curves.dtype)
        return np.concatenate([weights[:2] @ curves, weights @ (curves - curves**2)]) * trials


class Sweeper:
    """All responses, ready for sweeps.

    Parameters
    ----------
    correct, trials : integer arrays of shape (model, item)
        Right answers and trials.
    threads : int
        Threads to use.
    device : str
        "cpu": compiled loops; any other: PyTorch's.
    """

    def __init__(self, correct: Array, trials: Array, *, threads: int, device: str = "cpu") -> None:
        from irt_bench.inference.fast.sweep_numba import NumbaCells  # noqa: PLC0415 - half a second that few fits need

        self._correct, self._trials = correct, trials
        self._cells: NumbaCells | DeviceCells
        if device == "cpu":
            self._cells = NumbaCells(correct, trials, threads=threads)
        else:
            self._cells = DeviceCells(correct, trials, device=device)
        alike = trials.strides[0] == 0 or (trials == trials[0]).all()
        self.common_trials: Array | None = trials[0] if alike else None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of models and of items."""
        n_models, n_items = self._correct.shape
        return n_models, n_items

    def cells(self, block: slice) -> tuple[Array, Array]:
        """Right answers and trials of some items."""
        return self._correct[:, block], self._trials[:, block]

    def over_items(self, mean: Array, variance: Array, items: Items) -> tuple[Array, Array]:
        """Sum the expected slope of the log-likelihood in each ability, and information about it, (model,) each."""
        if (smooth := self._smooth(mean, variance, items)) is not None:
            right, information = smooth.over_items(self._curves(smooth.nodes, items), items.slope, self._trials[0])
            return self._cells.right_by_model(items.slope) - right, information
        gradient, information = self._cells.over_items(*self._state(mean, variance, items))
        return gradient.astype(np.float64), information.astype(np.float64)

    def over_models(self, mean: Array, variance: Array, items: Items) -> Array:
        """Sum over models, (5, item); see `GridAbilities.sums`."""
        if (smooth := self._smooth(mean, variance, items)) is not None:
            sums = smooth.over_models(self._curves(smooth.nodes, items), self._trials[0]).astype(np.float64)
            sums[:2] = np.stack([self._right, self._cells.right_by_item(mean)]) - sums[:2]
            return sums
        return np.asarray(self._cells.over_models(*self._state(mean, variance, items)), dtype=np.float64)

    def _smooth(self, mean: Array, variance: Array, items: Items) -> SmoothSweep | None:
        """Nodes for curves, where answers enter linearly, are whole, and few nodes will do."""
        if self.common_trials is None or items.guessing is not None:
            return None
        return SmoothSweep.where_it_pays(mean, variance, float(items.slope.max()))

    def _curves(self, nodes: Array, items: Items) -> Array:
        """Logistic curves of the items at the nodes, (node, item)."""
        state = (np.asarray(value, dtype=self._cells.dtype) for value in (nodes, items.slope, items.intercept))
        return np.asarray(self._cells.curves(*state))

    def _state(self, mean: Array, variance: Array, items: Items) -> tuple[Any, ...]:
        """Everything in the precision of the cells' sums, the spread of the outer nodes in place of the variance."""
        dtype = self._cells.dtype
        guessing = None if items.guessing is None else items.guessing.astype(dtype)
        values = mean, np.sqrt(3 * variance), items.slope, items.intercept
        return (*(np.ascontiguousarray(value, dtype=dtype) for value in values), guessing)

    @cached_property
    def _right(self) -> Array:
        """Right answers of each item."""
        return np.asarray(self._cells.right_by_item(np.ones(self.shape[0])))


class DeviceCells:
    """Responses on a device of PyTorch's, where the sums of `NumbaCells` are taken chunk by chunk."""

    dtype = np.float64

    def __init__(self, correct: Array, trials: Array, *, device: str) -> None:
        from irt_bench.inference.sampling.likelihood import ResponseCells  # noqa: PLC0415 - imports PyTorch

        self._cells = ResponseCells.from_arrays(correct, trials, device=device)

    def over_items(self, *state: Array | None) -> Array:
        """Sum over items, (2, model)."""
        return self._sums(state)[0]

    def over_models(self, *state: Array | None) -> Array:
        """Sum over models, (5, item)."""
        return self._sums(state)[1]

    def right_by_model(self, weights: Array) -> Array:
        """Sum right answers over items, weighted, (model,)."""
        (by_item,), found = self._there(weights), np.empty(self._cells.shape[0])
        for rows, right, _ in self._cells.chunks(by_item.dtype):
            found[rows] = (right @ by_item).cpu()
        return found

    def right_by_item(self, weights: Array) -> Array:
        """Sum right answers over models, weighted, (item,)."""
        (by_model,) = self._there(weights)
        found = by_model.new_zeros(self._cells.shape[1])
        for rows, right, _ in self._cells.chunks(by_model.dtype):
            found += by_model[rows] @ right
        return np.asarray(found.cpu())

    def curves(self, *state: Array) -> Array:
        """Logistic curves at abilities, (node, item)."""
        nodes, slope, intercept = self._there(*state)
        return np.asarray(_sigmoid(nodes[:, None] * slope + intercept).cpu())

    def _there(self, *values: Array) -> list[Tensor]:
        import torch  # noqa: PLC0415 - a second that fits on the CPU need not take

        return [torch.tensor(value, dtype=torch.float64, device=self._cells.device) for value in values]

    def _sums(self, state: tuple[Array | None, ...]) -> tuple[Array, Array]:
        """Both sums, by model and by item, at the three nodes of each ability."""
        ability, spread, slope, intercept, *known = self._there(*(value for value in state if value is not None))
        low = known[0] if known else 0.0
        by_model, by_item = ability.new_zeros(2, len(ability)), slope.new_zeros(5, len(slope))
        for rows, right, asked in self._cells.chunks(ability.dtype):
            trials: Any = 1 if asked is None else asked
            for share, place in zip(HERMITE[:, 0].tolist(), (0, -1, 1), strict=True):
                theta = ability[rows] + place * spread[rows]
                solved = _sigmoid(theta[:, None] * slope + intercept)
                chance = low + (1 - low) * solved
                part = share * solved / chance
                residual, weight = (right - trials * chance) * part, trials * (1 - chance) * part * solved
                by_model[0, rows] += residual @ slope
                by_model[1, rows] += weight @ slope**2
                powers = theta ** theta.new_tensor([[0], [1], [2]])
                by_item[:2] += powers[:2] @ residual
                by_item[2:] += powers @ weight
        return np.asarray(by_model.cpu()), np.asarray(by_item.cpu())


def _sigmoid(log_odds: Tensor) -> Tensor:
    return log_odds.clamp_(-HIGHEST, HIGHEST).sigmoid_()
