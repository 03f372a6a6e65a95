"""Abilities given the items, in the two ways of the fast method, and the sums that item updates need.

With few items an ability's posterior is wide and skewed: it is tabulated on a grid (`GridAbilities`). With many it is
narrow and normal to a fault: mean and variance suffice (`GaussianAbilities`), and every expectation over it is taken by
a three-point Gauss-Hermite rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from irt_bench.arrays import Array
from irt_bench.inference.fast.ability_grid import NODES_PER_SD, AbilityGrid, CurveTable, draw_from_grid
from irt_bench.inference.fast.parameter_updates import Items
from irt_bench.inference.fast.sweep import Sweeper
from irt_bench.irt_models.populations import AbilityPrior
from irt_bench.names import DIFFICULTY, DISCRIMINATION, GUESSING

CHUNK = 2**16  # numbers at a time: they stay in the processor's cache
REACH_MARGIN = 1.0  # of nodes beyond what populations need, which may move
MIN_WEIGHT = 1e-7  # of a node


def standard_normals(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Draw standard normal numbers by Box and Muller's method, a third of the time of NumPy's own.

    Notes
    -----
    Draws of many items are mostly random numbers. NumPy's come one by one from a ziggurat; these are square roots,
    logarithms and sines of whole arrays (Box & Muller 1958, eq. 1). Uniform numbers of 24 bits end at 5.77 sds.
    """
    found = np.empty(shape, np.float32)
    flat = found.reshape(-1)
    for start in range(0, flat.size, CHUNK):
        part = flat[start : start + CHUNK]
        half = (part.size + 1) // 2
        radius, angle = rng.random((2, half), dtype=np.float32)
        np.log(np.subtract(1, radius, out=radius), out=radius)  # 1 - u is never 0
        radius *= -2
        np.sqrt(radius, out=radius)
        angle *= np.float32(2 * np.pi)
        np.multiply(radius, np.cos(angle), out=part[:half])
        np.multiply(radius[: part.size - half], np.sin(angle)[: part.size - half], out=part[half:])
    return found


@dataclass(frozen=True)
class SmoothCross:
    """Cross derivatives as smooth functions of ability."""

    basis: Array  # (model, rank): Chebyshev polynomials at the abilities, or weights of the nodes
    rows: tuple[Array, Array]  # (rank, item): basis @ rows are the derivatives in (intercept, log slope)

    def cross(self, block: slice) -> tuple[Array, Array]:
        """Rows of some items."""
        by_intercept, by_slope = self.rows
        return by_intercept[:, block], by_slope[:, block]


class GridAbilities:
    """Abilities tabulated on a grid, independent given the items.

    Attributes
    ----------
    mean, variance : arrays of shape (model,)
        Moments.
    newton_steps : int
        Item updates worth taking between two updates of the abilities.
    """

    newton_steps = 3

    def __init__(
        self, correct: Array, trials: Array, *, least_sd: float, reach: tuple[float, float] | None = None
    ) -> None:
        self._grid = AbilityGrid.from_counts(correct, trials, least_sd=least_sd, dtype=np.float32, reach=reach)
        self._prior_precision: Any = np.float64(1)
        self.mean, self.variance = np.zeros(correct.shape[0]), np.ones(correct.shape[0])
        self._known_table: tuple[Items, CurveTable] | None = None  # of the last `least_sd`

    @property
    def reach(self) -> tuple[float, float]:
        """Smallest and largest ability that is looked at."""
        return float(self._grid.nodes[0]), float(self._grid.nodes[-1])

    def update(self, items: Items, prior: AbilityPrior | None = None) -> None:
        """Infer the abilities given the items, and their priors if these are not N(0, 1)."""
        grid, known, self._known_table = self._grid, self._known_table, None
        table = known[1] if known and known[0] is items else CurveTable(as_parameters(items), grid.nodes)
        _, self._weights = grid.weights(table.log_right, table.log_wrong, prior)
        self._prior_precision = np.float64(1) if prior is None else prior.sd**-2
        self._right, self._wrong = grid.expected_counts(self._weights)
        self._nodes = grid.nodes
        powers = np.stack([grid.nodes, grid.nodes**2], axis=1)
        mean, square = np.concatenate([self._weights[rows].astype(np.float64) @ powers for rows in grid.row_blocks]).T
        self.mean, self.variance = grid.by_model(mean), grid.by_model(square - mean**2)

    def reframe(self, location: float, scale: float) -> None:
        """Measure abilities from `location` in units of `scale`, until the next update."""
        self._nodes = (self._nodes - location) / scale
        self.mean, self.variance = (self.mean - location) / scale, self.variance / scale**2

    def sums(self, items: Items) -> Array:
        """Sum r, r theta, w, w theta and w theta^2, as expected, over models, (5, item).

        r is the slope of the log-likelihood in an answer's log-odds, w the expected information about them.
        """
        residual, weight = residual_and_weight(items, self._nodes, self._right, self._right + self._wrong)
        powers = self._nodes[:, None] ** np.arange(3)
        return np.concatenate([(residual @ powers[:, :2]).T, (weight @ powers).T])

    def cross(self, items: Items, block: slice) -> tuple[Array, Array]:
        """How fast the slopes in (intercept, log slope) of some items change with each ability, (model, item) each.

        Expected mixed second derivatives, residuals left out. In a sum over items residuals are the pull of the prior,
        which the means of the posteriors have already followed: counted again, models and items would seem to know the
        scale that they share.
        """
        grid = self._grid
        trials, by_node = grid.trials()[:, block], self._node_rows(_take(items, block))
        by_intercept, by_slope = (trials * (self._weights @ each.astype(np.float32)) for each in by_node)
        return grid.by_model(by_intercept), grid.by_model(by_slope)

    def smooth_cross(self, items: Items) -> SmoothCross | None:
        """Give the same as a product of matrices, where all models had the same trials."""
        trials = self._grid.common_trials
        if trials is None:
            return None
        by_intercept, by_slope = self._node_rows(items)
        return SmoothCross(self._grid.by_model(self._weights), (trials * by_intercept, trials * by_slope))

    def _node_rows(self, items: Items) -> tuple[Array, Array]:
        """Second derivatives of one trial at the nodes, (node, item) each."""
        information = CurveTable(as_parameters(items), self._grid.nodes).information.T
        return -items.slope * information, -(items.slope**2) * information * self._grid.nodes[:, None]

    def precision(self, items: Items) -> Array:
        """Give the expected information about each ability, the prior's included, (model,)."""
        grid, by_node = self._grid, -self._node_rows(items)[0] * items.slope
        if grid.common_trials is None:
            information = ((self._weights @ by_node.astype(np.float32)) * grid.trials()).sum(axis=1)
        else:
            information = self._weights @ (by_node @ grid.common_trials).astype(np.float32)
        return np.asarray(self._prior_precision + grid.by_model(information).astype(np.float64))

    def lost_information(self, items: Items, more: tuple[Array, Array] | None = None) -> Array:
        """Covariance, summed over models, of the slopes in (intercepts, log slopes) within the abilities' posteriors.

        What not knowing the abilities takes from the information about the items (Louis 1982), (2 item, 2 item), and
        about what else has slopes: `more` gives factors of the ability and of its square in them, (model, value) each.

        Notes
        -----
        A slope is a sum of products, of a number of the model's and a function of ability: in an item's intercept x - n
        P, in its log slope a theta (x - n P). Covariances of the functions meet the numbers in products of matrices.
        """
        grid, nodes, n = self._grid, self._grid.nodes, len(items.slope)
        table = CurveTable(as_parameters(items), nodes)
        chance = np.vstack([table.right, table.right * (items.slope[:, None] * nodes)])
        if grid.common_trials is None:
            return self._lost_by_node(items, chance, more)
        size = 2 * n + (0 if more is None else more[0].shape[1])
        shared = np.zeros((size, len(nodes)))
        shared[: 2 * n] = -np.tile(grid.common_trials, 2)[:, None] * chance
        total, meet, powers = np.zeros((size, size)), np.zeros((len(nodes),) * 2), np.stack([nodes, nodes**2])
        for rows in grid.row_blocks:
            weights = self._weights[rows]
            counted = weights * np.sqrt(grid.multiplicity[rows, None])
            meet -= (counted.T @ counted).astype(np.float64)
            linear = np.zeros((len(weights), size - n), np.float32)  # intercepts have none
            np.multiply(grid.right[rows], items.slope.astype(np.float32), out=linear[:, :n])
            factors = [linear]
            if more is not None:
                linear[:, n:] = more[0][rows]
                factors.append(np.hstack([np.zeros((len(weights), n)), more[1][rows]]))
            own, beside = _covariances(weights, grid.multiplicity[rows], powers[: len(factors)], factors)
            total[n:, n:] += own
            total[:, n:] += shared @ beside
            total[n:] += (shared @ beside).T
        meet[np.diag_indices(len(nodes))] += (self._weights.T @ grid.multiplicity).astype(np.float64)
        return np.asarray(total + shared @ meet @ shared.T)

    def _lost_by_node(self, items: Items, chance: Array, more: tuple[Array, Array] | None) -> Array:
        """Give the same where models were asked different items: slopes at one node after another."""
        grid, n = self._grid, len(items.slope)
        trials, extra = grid.trials(), np.zeros((len(grid.right), 0)) if more is None else more[0]
        size = 2 * n + extra.shape[1]
        total, mean = np.zeros((size, size)), np.zeros((len(grid.right), size), np.float32)
        for q, node in enumerate(grid.nodes):
            weight = self._weights[:, q]
            near = np.flatnonzero(weight > MIN_WEIGHT)
            if not len(near):
                continue
            slopes = np.empty((len(near), size), np.float32)
            np.subtract(grid.right[near], trials[near] * chance[:n, q].astype(np.float32), out=slopes[:, :n])
            np.multiply(slopes[:, :n], (items.slope * node).astype(np.float32), out=slopes[:, n : 2 * n])
            if more is not None:
                slopes[:, 2 * n :] = more[0][near] * node + more[1][near] * node**2
            weighted = slopes * weight[near, None]
            mean[near] += weighted
            weighted *= grid.multiplicity[near, None]
            total += slopes.T @ weighted
        return np.asarray(total - mean.T @ (mean * grid.multiplicity[:, None]))

    @property
    def least_known_sd(self) -> float:
        """Sd down to which posteriors may narrow without falling between the nodes."""
        return float((self._grid.nodes[1] - self._grid.nodes[0]) * NODES_PER_SD)

    def least_sd(self, items: Items) -> float:
        """Smallest sd of an ability, from the information at the nodes: posteriors may fall between them."""
        table = CurveTable(as_parameters(items), self._grid.nodes)
        self._known_table = items, table
        most = float(((items.slope**2 * self._grid.most_trials) @ table.information).max())
        return float(1 / np.sqrt(np.max(self._prior_precision) + most))

    def draw(self, rng: np.random.Generator, n_draws: int, models: slice = slice(None)) -> Array:
        """Draw abilities of some models given the items, (draw, model)."""
        grid, pattern = self._grid, self._grid.pattern[models]
        uniform = rng.random((len(pattern), n_draws), dtype=np.float32)
        return draw_from_grid(self._weights, grid.nodes, pattern, uniform).T


class GaussianAbilities:
    """The same, abilities as normal, each with a mean and a variance."""

    newton_steps = 1

    def __init__(self, sweeper: Sweeper) -> None:
        self._sweeper, self.common_trials = sweeper, sweeper.common_trials
        n_models = sweeper.shape[0]
        self.mean, self.variance = np.zeros(n_models), np.full(n_models, 0.1)

    def update(self, items: Items, prior: AbilityPrior | None = None) -> None:
        """Two Newton steps of every mean; the variance is that of the curvature there."""
        centre, precision = (0.0, 1.0) if prior is None else (prior.mean, prior.sd**-2)
        for _ in range(2):
            gradient, information = self._sweeper.over_items(self.mean, self.variance, items)
            step = (gradient - precision * (self.mean - centre)) / (precision + information)
            self.mean = self.mean + np.clip(step, -1, 1)
            self.variance = 1 / (precision + information)

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

    def draw(self, rng: np.random.Generator, n_draws: int, models: slice = slice(None)) -> Array:
        """Draw normal numbers."""
        mean, sd = self.mean[models], np.sqrt(self.variance[models])
        return np.asarray(mean + sd * standard_normals(rng, (n_draws, len(mean))), dtype=np.float32)


AbilityPosterior = GridAbilities | GaussianAbilities


def _covariances(weights: Array, multiplicity: Array, powers: Array, factors: list[Array]) -> tuple[Array, Array]:
    """Sum covariances over models of slopes, which are sums of powers of ability times factors.

    Weights of the nodes are (model, node), powers of ability (power, node), and factors, what each model's slopes have
    of a power, (model, slope) each; a model counts as often as its multiplicity says. Gives those of the slopes with
    each other, (slope, slope), and with functions that are one at a node and zero at the others, (node, slope).
    """
    powers = powers.astype(np.float32)
    means = weights @ powers.T
    own: Any = 0.0
    beside: Any = 0.0
    for at, (power, factor) in enumerate(zip(powers, factors, strict=True)):
        counted = factor * multiplicity[:, None]
        away = weights * (power - means[:, at, None])
        beside = beside + (away.T @ counted).astype(np.float64)
        for other, also in zip(powers, factors, strict=True):
            own = own + (counted.T @ (also * (away @ other)[:, None])).astype(np.float64)
    return np.asarray(own), np.asarray(beside)


def as_parameters(items: Items) -> dict[str, Array]:
    """Item parameters by name."""
    found = {DIFFICULTY: items.difficulty, DISCRIMINATION: items.slope}
    return found if items.guessing is None else found | {GUESSING: items.guessing}


def _take(items: Items, block: slice) -> Items:
    guessing = None if items.guessing is None else items.guessing[block]
    return replace(items, log_slope=items.log_slope[block], intercept=items.intercept[block], guessing=guessing)


def residual_and_weight(items: Items, nodes: Array, right: Array, trials: Array) -> tuple[Array, Array]:
    """Slope and expected information in the log-odds, (item, node)."""
    if items.guessing is None:
        against = nodes - items.difficulty[:, None]
        against *= -items.slope[:, None]
        np.exp(np.clip(against, -500, 500, out=against), out=against)
        known = 1 / (1 + against)
        weight = trials * np.multiply(against, known, out=against)
        weight *= known
        return right - np.multiply(trials, known, out=known), weight
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
