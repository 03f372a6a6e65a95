"""Abilities given the items, in the two ways of the fast method, and the sums that item updates need.

Between nodes an ability's posterior is smooth, so the trapezoid rule is exact to 1e-8 once the nodes are no further
apart than the narrowest posterior's sd (Trefethen & Weideman 2014, doi:10.1137/130932132). All models share the nodes:
curves are tabulated once per item, and answers meet them in matrix products. Fixed nodes that are coarser than that are
how marginal maximum likelihood goes wrong on long tests.

With few items an ability's posterior is wide and skewed: it is tabulated on a grid (`GridAbilities`). With many it is
narrow and normal to a fault: mean and variance suffice (`GaussianAbilities`), and every expectation over it is taken by
a three-point Gauss-Hermite rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from irt_bench.inference.fast.item_updates import Items
from irt_bench.inference.fast.sweep import Sweeper
from irt_bench.irt_models.populations import AbilityPrior
from irt_bench.names import DIFFICULTY, DISCRIMINATION, GUESSING, UPPER_ASYMPTOTE

CHUNK = 2**16  # numbers at a time: they stay in the processor's cache
BLOCK = 2**17  # the same of weights
Array = npt.NDArray[Any]
REACH = 6.0  # nodes from -6 to 6: an ability ~ N(0, 1) lies beyond with probability 2e-9
STANDARD_REACH = (-REACH, REACH)
REACH_MARGIN = 1.0  # of nodes beyond what populations need, which may move
NODES_PER_SD = 1.25
MIN_NODES = 41
MAX_NODES = 320  # for large matrices; small ones may have more
FINEST = 8_001
COLLAPSED_ITEMS = 12  # with so few items many models answer alike, and each pattern is computed once
MIN_WEIGHT = 1e-7  # of a node
MIN_CHANCE = 1e-30  # logarithms of float32 stay finite


def standard_normals(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Draw standard normal numbers by Box and Muller's method, a third of the time of NumPy's own.

    Parameters
    ----------
    rng : np.random.Generator
        Where the uniform numbers come from.
    shape : tuple of int
        Of the result.

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
class AbilityGrid:
    """Answers, patterns joined, and the nodes.

    Parameters
    ----------
    right, wrong : arrays of shape (pattern, item)
        Counts of right and wrong answers, floating.
    multiplicity : array of shape (pattern,)
        Models that gave each pattern.
    pattern : integer array of shape (model,)
        Pattern of each model.
    nodes : array of shape (node,)
        Evenly spaced abilities.
    """

    right: Array
    wrong: Array
    multiplicity: Array
    pattern: npt.NDArray[np.intp]
    nodes: npt.NDArray[np.float64]

    @classmethod
    def from_counts(
        cls,
        correct: Array,
        trials: Array,
        *,
        least_sd: float,
        dtype: type[np.floating[Any]] = np.float64,
        reach: tuple[float, float] | None = None,
    ) -> AbilityGrid:
        """Lay nodes as fine as the narrowest posterior sd of an ability demands.

        Given a reach of abilities, which depends on their populations, patterns are not joined.
        """
        n_models, n_items = correct.shape
        pattern, multiplicity = np.arange(n_models), np.ones(n_models)
        if n_items <= COLLAPSED_ITEMS and reach is None:
            both, pattern, counts = np.unique(
                np.hstack([correct, trials]), axis=0, return_inverse=True, return_counts=True
            )
            correct, trials, multiplicity = both[:, :n_items], both[:, n_items:], counts.astype(np.float64)
        nodes = np.linspace(*(reach or STANDARD_REACH), cls.n_nodes(least_sd, reach))
        right = correct.astype(dtype)
        return cls(right, trials.astype(dtype) - right, multiplicity.astype(dtype), pattern.ravel(), nodes)

    @staticmethod
    def n_nodes(least_sd: float, reach: tuple[float, float] | None = None) -> int:
        """Count the nodes that posteriors of this sd need."""
        low, high = reach or STANDARD_REACH
        return max(MIN_NODES, int(np.ceil((high - low) * NODES_PER_SD / least_sd)) | 1)

    @staticmethod
    def is_affordable(n_nodes: int, n_cells: int, *, cost: float) -> bool:
        """Whether cells times nodes cost no more than `cost`; MAX_NODES are always affordable, FINEST the most."""
        return n_nodes <= min(max(MAX_NODES, cost / max(n_cells, 1)), FINEST)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of models and of items."""
        return len(self.pattern), self.right.shape[1]

    @cached_property
    def _apart(self) -> bool:
        """Whether each model is a pattern of its own, in order."""
        return bool(np.array_equal(self.pattern, np.arange(len(self.right))))

    def by_model(self, values: Array) -> Array:
        """Values of the models, given those of the patterns."""
        return values if self._apart else values[self.pattern]

    @cached_property
    def _single(self) -> AbilityGrid:
        """The same in float32: enough to draw from, in half the time."""
        right, wrong, multiplicity = (part.astype(np.float32) for part in (self.right, self.wrong, self.multiplicity))
        return replace(self, right=right, wrong=wrong, multiplicity=multiplicity)

    @cached_property
    def common_trials(self) -> Array | None:
        """Trials of each item where all models had the same, shape (item,)."""
        trials = self.trials()
        return trials[0].astype(np.float64) if (trials == trials[0]).all() else None

    @cached_property
    def most_trials(self) -> npt.NDArray[np.float64]:
        """Trials of each item by the model with most, shape (item,)."""
        return np.asarray(self.trials().max(axis=0), dtype=np.float64)

    def weights(self, log_right: Array, log_wrong: Array, prior: AbilityPrior | None = None) -> tuple[Array, Array]:
        """Weight the nodes given curves of shape (item, node), and priors of the abilities if not N(0, 1).

        Returns
        -------
        log_marginal : array of shape (pattern,)
            Log-probability of the answers, ability integrated over its prior.
        weights : array of shape (pattern, node)
            Posterior of ability; rows sum to 1.
        """
        dtype, common = self.right.dtype, self.common_trials
        right, wrong = (each.astype(dtype) for each in (log_right - log_wrong, log_wrong))
        top, total = np.empty((2, len(self.right), 1), dtype)
        weights, ones = np.empty((len(self.right), len(self.nodes)), dtype), np.ones((len(self.nodes), 1), dtype)
        for rows in self.row_blocks:  # they stay in the processor's cache
            density, beside = np.matmul(self.right[rows], right, out=weights[rows]), self.log_prior(prior, rows)
            density += (beside if common is None else beside + common @ log_wrong).astype(dtype)
            if common is None:
                density += self.trials(rows) @ wrong
            np.max(density, axis=1, keepdims=True, out=top[rows])
            density -= top[rows]
            np.exp(density, out=density)
            np.matmul(density, ones, out=total[rows])
            density *= 1 / total[rows]
        return (top + np.log(total))[:, 0], weights

    @property
    def row_blocks(self) -> list[slice]:
        """Slices of patterns."""
        size = max(BLOCK // len(self.nodes), 1)
        return [slice(at, at + size) for at in range(0, len(self.right), size)]

    def trials(self, rows: slice = slice(None)) -> Array:
        """Trials of some patterns, (pattern, item), floating."""
        return np.asarray(self.right[rows] + self.wrong[rows])

    def counted(self, weights: Array) -> Array:
        """Weights times the models that gave a pattern."""
        return weights if len(self.right) == len(self.pattern) else weights * self.multiplicity[:, None]

    def expected_counts(self, weights: Array) -> tuple[Array, Array]:
        """Right and wrong answers to be expected at each node, (item, node), all models together."""
        weighted = self.counted(weights)
        right = self.right.T @ weighted
        if self.common_trials is None:
            return right, self.wrong.T @ weighted
        return right, self.common_trials[:, None] * weighted.sum(axis=0) - right

    def value_and_slopes(self, items: dict[str, Array]) -> tuple[float, dict[str, Array]]:
        """Log-likelihood of the items with abilities integrated, and its gradient in the item parameters.

        Notes
        -----
        Fisher's identity: the gradient is that of the complete-data log-likelihood at the expected counts.
        """
        table = CurveTable(items, self.nodes)
        log_marginal, weights = self.weights(table.log_right, table.log_wrong)
        right, wrong = self.expected_counts(weights)
        return float(self.multiplicity @ log_marginal), table.slopes(right, wrong)

    def draw(self, items: dict[str, Array], rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Draw the ability of every model given the items, shape (model,)."""
        table = CurveTable(items, self.nodes)
        _, weights = self._single.weights(table.log_right, table.log_wrong)
        return draw_from_grid(weights, self.nodes, self.pattern, rng.random(len(self.pattern)))

    def log_prior(self, prior: AbilityPrior | None = None, rows: slice = slice(None)) -> npt.NDArray[np.float64]:
        """N(0, 1) at the nodes, (node,), or the priors of some models, (model, node), times the rule's weight."""
        spacing, place = self.nodes[1] - self.nodes[0], self.nodes
        sd: Any = np.float64(1)
        if prior is not None:
            sd = prior.sd[rows, None]
            place = (place - prior.mean[rows, None]) / sd
        return np.asarray(-0.5 * place**2 - 0.5 * np.log(2 * np.pi) + np.log(spacing / sd))


class CurveTable:
    """Chances of right and wrong answers at the nodes, (item, node), and derivatives of functions of them."""

    def __init__(self, items: dict[str, Array], nodes: npt.NDArray[np.float64]) -> None:
        self.items = items
        column = {name: np.asarray(value, dtype=np.float64)[:, None] for name, value in items.items()}
        self.low, self.high = column.get(GUESSING, np.float64(0)), column.get(UPPER_ASYMPTOTE, np.float64(1))
        self.distance = nodes - column[DIFFICULTY]
        log_odds = column[DISCRIMINATION] * self.distance
        odds_against = np.exp(-np.clip(log_odds, -500, 500))
        self.known = 1 / (1 + odds_against)
        self.unknown = odds_against * self.known
        self.right = np.maximum(self.low + (self.high - self.low) * self.known, MIN_CHANCE)
        self.wrong = np.maximum(1 - self.high + (self.high - self.low) * self.unknown, MIN_CHANCE)
        self.log_right, self.log_wrong = np.log(self.right), np.log(self.wrong)

    def slopes(self, right: Array, wrong: Array) -> dict[str, Array]:
        """Gradient in the item parameters of sum(right * log P + wrong * log(1 - P))."""
        pull = right / self.right - wrong / self.wrong
        by_log_odds = pull * (self.high - self.low) * self.known * self.unknown
        found = {
            DISCRIMINATION: (by_log_odds * self.distance).sum(axis=1),
            DIFFICULTY: -self.items[DISCRIMINATION] * by_log_odds.sum(axis=1),
            GUESSING: (pull * self.unknown).sum(axis=1),
            UPPER_ASYMPTOTE: (pull * self.known).sum(axis=1),
        }
        return {name: slope for name, slope in found.items() if name in self.items}


def draw_from_grid(
    weights: Array, nodes: npt.NDArray[np.float64], pattern: npt.NDArray[np.intp], uniform: Array
) -> Array:
    """Invert each model's cumulative weights at uniform numbers, linear within a node's cell.

    Parameters
    ----------
    weights : array of shape (pattern, node)
        Posterior of ability; a weight is spread evenly over the cell around its node.
    nodes : array of shape (node,)
        Evenly spaced abilities.
    pattern : integer array of shape (model,)
        Row of `weights` for each model.
    uniform : array of shape (model,) or (model, draw)
        In [0, 1).
    """
    from irt_bench.inference.fast.sweep_numba import invert_cells  # noqa: PLC0415 - a quarter of a second

    found = np.empty((uniform[0].size, len(uniform)), uniform.dtype)
    invert_cells(weights, pattern, uniform.reshape(len(uniform), -1), nodes[0], nodes[1] - nodes[0], found)
    return found.T.reshape(uniform.shape)


@dataclass(frozen=True)
class SmoothCross:
    """Cross derivatives as smooth functions of ability.

    Parameters
    ----------
    basis : array of shape (model, rank)
        Chebyshev polynomials at the abilities, or weights of the nodes.
    rows : tuple of two arrays of shape (rank, item)
        basis @ rows are the derivatives in (intercept, log slope).
    """

    basis: Array
    rows: tuple[Array, Array]

    def cross(self, block: slice) -> tuple[Array, Array]:
        """Rows of some items."""
        by_intercept, by_slope = self.rows
        return by_intercept[:, block], by_slope[:, block]


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

    def update(self, items: Items, prior: AbilityPrior | None = None) -> None:
        """Infer the abilities given the items, and their priors if these are not N(0, 1)."""

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
        """Smallest sd of an ability given answers to all items."""

    def draw(self, rng: np.random.Generator, n_draws: int, models: slice = slice(None)) -> Array:
        """Draw abilities of some models given the items, (draw, model)."""


class GridAbilities:
    """Abilities tabulated on a grid."""

    newton_steps = 3

    def __init__(
        self, correct: Array, trials: Array, *, least_sd: float, reach: tuple[float, float] | None = None
    ) -> None:
        self._grid = AbilityGrid.from_counts(correct, trials, least_sd=least_sd, dtype=np.float32, reach=reach)
        self._prior_precision: Any = np.float64(1)
        self.mean, self.variance = np.zeros(correct.shape[0]), np.ones(correct.shape[0])

    @property
    def reach(self) -> tuple[float, float]:
        """Smallest and largest ability that is looked at."""
        return float(self._grid.nodes[0]), float(self._grid.nodes[-1])

    def update(self, items: Items, prior: AbilityPrior | None = None) -> None:
        """Weight the nodes."""
        grid = self._grid
        table = CurveTable(as_parameters(items), grid.nodes)
        _, self._weights = grid.weights(table.log_right, table.log_wrong, prior)
        self._prior_precision = np.float64(1) if prior is None else prior.sd**-2
        self._right, self._wrong = grid.expected_counts(self._weights)
        self._nodes = grid.nodes
        powers = np.stack([grid.nodes, grid.nodes**2], axis=1)
        mean, square = np.concatenate([self._weights[rows].astype(np.float64) @ powers for rows in grid.row_blocks]).T
        self.mean, self.variance = grid.by_model(mean), grid.by_model(square - mean**2)

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
        table = CurveTable(as_parameters(items), self._grid.nodes)
        information = (table.wrong * table.known**2 / table.right).T
        return -items.slope * information, -(items.slope**2) * information * self._grid.nodes[:, None]

    def precision(self, items: Items) -> Array:
        """Sum the information over items, as it is expected."""
        grid, by_node = self._grid, -self._node_rows(items)[0] * items.slope
        if grid.common_trials is None:
            information = ((self._weights @ by_node.astype(np.float32)) * grid.trials()).sum(axis=1)
        else:
            information = self._weights @ (by_node @ grid.common_trials).astype(np.float32)
        return np.asarray(self._prior_precision + grid.by_model(information).astype(np.float64))

    def lost_information(self, items: Items, more: tuple[Array, Array] | None = None) -> Array:
        """Covariance, summed over models, of the slopes in (intercepts, log slopes) within the abilities' posteriors.

        What not knowing the abilities takes from the information about the items (Louis 1982), (2 item, 2 item), and
        about what their priors depend on.

        Parameters
        ----------
        items : Items
            At which the abilities were inferred.
        more : tuple of two arrays of shape (model, value), optional
            What else has slopes: factors of the ability and of its square in them.

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
        """From the information at the nodes, which posteriors that fell between them do not show."""
        trials, nodes = self._grid.most_trials[:, None], self._grid.nodes
        _, weight = residual_and_weight(items, nodes, np.zeros_like(trials), trials)
        return float(1 / np.sqrt(np.max(self._prior_precision) + (items.slope**2 @ weight).max()))

    def draw(self, rng: np.random.Generator, n_draws: int, models: slice = slice(None)) -> Array:
        """Draw from the tabulated posteriors."""
        grid, pattern = self._grid, self._grid.pattern[models]
        uniform = rng.random((len(pattern), n_draws), dtype=np.float32)
        return draw_from_grid(self._weights, grid.nodes, pattern, uniform).T


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


def _covariances(weights: Array, multiplicity: Array, powers: Array, factors: list[Array]) -> tuple[Array, Array]:
    """Sum covariances over models of sums of powers of ability times factors, with each other and with any function.

    Parameters
    ----------
    weights : array of shape (model, node)
        Of the nodes.
    multiplicity : array of shape (model,)
        How often each model counts.
    powers : array of shape (power, node)
        Powers of ability.
    factors : list of arrays of shape (model, slope), one per power
        What each model's slopes have of it.

    Returns
    -------
    array of shape (slope, slope)
    array of shape (node, slope)
        Of a function of ability, one at this node and zero at the others.
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
