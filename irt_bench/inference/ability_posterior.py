"""Abilities given the items, in the two ways of the fast method, and the sums that item updates need.

With few items an ability's posterior is wide and skewed: it is tabulated on a grid (`GridAbilities`). With many it is
narrow and normal to a fault: mean and variance suffice (`GaussianAbilities`), and every expectation over it is taken
by a three-point Gauss-Hermite rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from irt_bench.inference.ability_grid import NODES_PER_SD, AbilityGrid, CurveTable, draw_from_grid
from irt_bench.inference.item_updates import Items
from irt_bench.inference.normals import standard_normals
from irt_bench.inference.sweep import Sweeper
from irt_bench.names import DIFFICULTY, DISCRIMINATION, GUESSING

Array = npt.NDArray[Any]


class AbilityPosterior(Protocol):
    """Posterior of every ability, independent given the items.

    Attributes
    ----------
    mean, variance : arrays of shape (model,)
        Moments.
    newton_steps : int
        Item updates worth taking between two updates of the abilities.
    """

    mean: Array
    variance: Array
    newton_steps: int

    def update(self, items: Items) -> None:
        """Infer the abilities given the items."""

    def reframe(self, location: float, scale: float) -> None:
        """Measure abilities from `location` in units of `scale`, until the next update."""

    def sums(self, items: Items) -> Array:
        """Sum r, r theta, w, w theta and w theta^2, as expected, over models, (5, item).

        r is the slope of the log-likelihood in an answer's log-odds, w the expected information about them.
        """

    def cross(self, items: Items, block: slice) -> tuple[Array, Array]:
        """How fast the slopes in (intercept, log slope) of some items change with each ability, (model, item) each."""

    def precision(self, items: Items) -> Array:
        """Give the expected information about each ability, the prior's included, (model,)."""

    def least_sd(self, items: Items) -> float:
        """Sd of the ability that answers to all items would tell best."""

    def draw(self, rng: np.random.Generator, n_draws: int) -> Array:
        """Draw abilities given the items, (draw, model)."""


class GridAbilities:
    """Abilities tabulated on a grid."""

    newton_steps = 3

    def __init__(self, correct: Array, trials: Array, *, least_sd: float) -> None:
        self._grid = AbilityGrid.from_counts(correct, trials, least_sd=least_sd, dtype=np.float32)
        self.mean, self.variance = np.zeros(correct.shape[0]), np.ones(correct.shape[0])

    def update(self, items: Items) -> None:
        """Weigh the nodes."""
        grid = self._grid
        table = CurveTable(as_parameters(items), grid.nodes)
        _, self._weights = grid.weights(table.log_right, table.log_wrong)
        self._right, self._wrong = grid.expected_counts(self._weights)
        self._nodes = grid.nodes
        weights = self._weights.astype(np.float64)
        mean = weights @ grid.nodes
        square = weights @ grid.nodes**2
        self.mean, self.variance = mean[grid.pattern], (square - mean**2)[grid.pattern]

    def reframe(self, location: float, scale: float) -> None:
        """Move the nodes."""
        self._nodes = (self._nodes - location) / scale
        self.mean, self.variance = (self.mean - location) / scale, self.variance / scale**2

    def sums(self, items: Items) -> Array:
        """Sum the expected counts at the nodes."""
        residual, weight = residual_and_weight(items, self._nodes, self._right, self._right + self._wrong)
        nodes = self._nodes
        return np.stack([residual.sum(1), residual @ nodes, weight.sum(1), weight @ nodes, weight @ nodes**2])

    def cross(self, items: Items, block: slice) -> tuple[Array, Array]:
        """Give the expected mixed second derivatives, residuals left out.

        In a sum over items residuals are the pull of the prior, which the means of the posteriors have already
        followed: counted again, models and items would seem to know the scale that they share.
        """
        grid, nodes = self._grid, self._grid.nodes
        part = _take(items, block)
        table = CurveTable(as_parameters(part), nodes)
        curve = table.wrong * table.known**2 / table.right  # information of one trial
        trials = grid.right[:, block] + grid.wrong[:, block]
        by_intercept = -part.slope * trials * (self._weights @ curve.T)
        by_slope = -(part.slope**2) * trials * (self._weights @ (curve * nodes).T)
        return by_intercept[grid.pattern], by_slope[grid.pattern]

    def precision(self, items: Items) -> Array:
        """Sum the information over items, as it is expected."""
        everything = self.cross(items, slice(None))[0]
        return np.asarray(1 - everything @ items.slope)

    def lost_information(self, items: Items) -> Array:
        """Covariance, summed over models, of the slopes in (intercepts, log slopes) within the abilities' posteriors.

        What not knowing the abilities takes from the information about the items (Louis 1982), (2 item, 2 item).
        """
        grid, nodes, a = self._grid, self._grid.nodes, items.slope
        table = CurveTable(as_parameters(items), nodes)
        trials = grid.right + grid.wrong
        n = len(a)
        total, mean = np.zeros((2 * n, 2 * n)), np.zeros((len(grid.right), 2 * n))
        for q, node in enumerate(nodes):
            weight = self._weights[:, q] * grid.multiplicity
            if weight.max() < 1e-7:
                continue
            residual = (grid.right - trials * table.right[:, q]) * (table.known[:, q] / table.right[:, q])
            slopes = np.hstack([residual, residual * (a * node)])
            total += slopes.T @ (slopes * weight[:, None])
            mean += slopes * self._weights[:, q : q + 1]
        return np.asarray(total - mean.T @ (mean * grid.multiplicity[:, None]))

    @property
    def least_known_sd(self) -> float:
        """Sd down to which posteriors may narrow without falling between the nodes."""
        return float((self._grid.nodes[1] - self._grid.nodes[0]) * NODES_PER_SD)

    def least_sd(self, items: Items) -> float:
        """From the information at the nodes, which posteriors that fell between them do not show."""
        trials = (self._grid.right + self._grid.wrong).max(axis=0).astype(np.float64)[:, None]
        nodes = self._grid.nodes
        _, weight = residual_and_weight(items, nodes, np.zeros_like(trials), trials)
        return float(1 / np.sqrt(1 + (items.slope**2 @ weight).max()))

    def draw(self, rng: np.random.Generator, n_draws: int) -> Array:
        """Draw from the tabulated posteriors."""
        grid = self._grid
        return draw_from_grid(self._weights, grid.nodes, grid.pattern, rng.random((len(grid.pattern), n_draws))).T


class GaussianAbilities:
    """Abilities as normal, each with a mean and a variance."""

    newton_steps = 1

    def __init__(self, sweeper: Sweeper) -> None:
        self._sweeper = sweeper
        n_models = sweeper.shape[0]
        self.mean, self.variance = np.zeros(n_models), np.full(n_models, 0.1)

    @property
    def common_trials(self) -> Array | None:
        """Trials of each item where all models had the same, shape (item,)."""
        return self._sweeper.common_trials

    def update(self, items: Items) -> None:
        """Two Newton steps of every mean; the variance is that of the curvature there."""
        for _ in range(2):
            gradient, information = self._sweeper.over_items(self.mean, self.variance, items)
            step = (gradient - self.mean) / (1 + information)
            self.mean = self.mean + np.clip(step, -1, 1)
            self.variance = 1 / (1 + information)

    def reframe(self, location: float, scale: float) -> None:
        """Move and stretch."""
        self.mean, self.variance = (self.mean - location) / scale, self.variance / scale**2

    def sums(self, items: Items) -> Array:
        """Sum by the three-point rule."""
        return self._sweeper.over_models(self.mean, self.variance, items)

    def cross(self, items: Items, block: slice) -> tuple[Array, Array]:
        """Give the expected mixed second derivatives; see `GridAbilities.cross` for the residuals."""
        part = _take(items, block)
        _, trials = self._sweeper.cells(block)
        mean, variance = (each[:, None].astype(np.float32) for each in (self.mean, self.variance))
        weight, weighted = expected_weights(mean, variance, lambda theta: _weight_by_cell(part, theta, trials))
        slope = part.slope.astype(np.float32)
        return -slope * weight, -(slope**2) * weighted

    def precision(self, items: Items) -> Array:
        """Inverse of the variance."""
        return np.asarray(1 / self.variance)

    def least_sd(self, items: Items) -> float:
        """Smallest conditional sd."""
        return float(np.sqrt(self.variance.min()))

    def draw(self, rng: np.random.Generator, n_draws: int) -> Array:
        """Draw normal numbers."""
        noise = standard_normals(rng, (n_draws, len(self.mean)))
        return np.asarray(self.mean + np.sqrt(self.variance) * noise)


def as_parameters(items: Items) -> dict[str, Array]:
    """Item parameters by name."""
    found = {DIFFICULTY: items.difficulty, DISCRIMINATION: items.slope}
    return found if items.guessing is None else found | {GUESSING: items.guessing}


def _take(items: Items, block: slice) -> Items:
    guessing = None if items.guessing is None else items.guessing[block]
    return replace(items, log_slope=items.log_slope[block], intercept=items.intercept[block], guessing=guessing)


def residual_and_weight(items: Items, nodes: Array, right: Array, trials: Array) -> tuple[Array, Array]:
    """Slope and expected information in the log-odds, (item, node)."""
    table = CurveTable(as_parameters(items), nodes)
    share = table.known / table.right
    return (right - trials * table.right) * share, trials * table.wrong * share * table.known


def _weight_by_cell(items: Items, theta: Array, trials: Array) -> Array:
    """Take the expected information at one ability a model, (model, item), in float32."""
    log_odds = theta * items.slope.astype(np.float32) + items.intercept.astype(np.float32)
    known = 1 / (1 + np.exp(-np.clip(log_odds, -18, 18)))
    if items.guessing is None:
        return np.asarray(trials * known * (1 - known))
    low = items.guessing.astype(np.float32)
    chance = low + (1 - low) * known
    return np.asarray(trials * (1 - chance) * known**2 / chance)


def expected_weights(mean: Array, variance: Array, weight: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Expect w and w theta of a normal ability, by the sweeps' three-point rule."""
    spread = np.sqrt(3 * variance)
    middle, low, high = weight(mean), weight(mean - spread), weight(mean + spread)
    expected = (4 * middle + low + high) / 6
    return expected, mean * expected + spread * (high - low) / 6
