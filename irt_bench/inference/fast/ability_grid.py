"""Answers and the abilities at which curves are tabulated: weights of the nodes, expected counts, draws.

Between nodes an ability's posterior is smooth, so the trapezoid rule is exact to 1e-8 once the nodes are no further
apart than the narrowest posterior's sd (Trefethen & Weideman 2014, doi:10.1137/130932132). All models share the nodes:
curves are tabulated once per item, and answers meet them in matrix products. Fixed nodes that are coarser than that are
how marginal maximum likelihood goes wrong on long tests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from irt_bench.arrays import Array
from irt_bench.irt_models.populations import AbilityPrior
from irt_bench.names import DIFFICULTY, DISCRIMINATION, GUESSING, UPPER_ASYMPTOTE

BLOCK = 2**17  # weights at a time: they stay in the processor's cache
REACH = 6.0  # nodes from -6 to 6: an ability ~ N(0, 1) lies beyond with probability 2e-9
STANDARD_REACH = (-REACH, REACH)
NODES_PER_SD = 1.25
MIN_NODES = 41
MAX_NODES = 320  # for large matrices; small ones may have more
FINEST = 8_001
COLLAPSED_ITEMS = 12  # with so few items many models answer alike, and each pattern is computed once
MIN_CHANCE = 1e-30  # logarithms of float32 stay finite


@dataclass(frozen=True)
class AbilityGrid:
    """Answers, patterns joined, and the nodes."""

    # (pattern, item): counts of right and wrong answers, floating
    right: Array
    wrong: Array
    multiplicity: Array  # (pattern,): models that gave each pattern
    pattern: npt.NDArray[np.intp]  # (model,): pattern of each model
    nodes: npt.NDArray[np.float64]  # (node,): evenly spaced abilities

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

    @cached_property
    def log_right(self) -> Array:
        """Log-chance of a right answer."""
        return np.asarray(np.log(self.right))

    @cached_property
    def log_wrong(self) -> Array:
        """Log-chance of a wrong answer."""
        return np.asarray(np.log(self.wrong))

    @property
    def information(self) -> Array:
        """Expected information of one trial about the log-odds."""
        return np.asarray(self.wrong * self.known**2 / self.right)

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
    """Invert each model's cumulative weights at uniform numbers, (model,) or (model, draw), linear in a node's cell.

    Weights are (pattern, node), each spread evenly over the cell around its node; `pattern` gives each model's row.
    """
    from irt_bench.inference.fast.sweep_numba import invert_cells  # noqa: PLC0415 - a quarter of a second

    found = np.empty((uniform[0].size, len(uniform)), uniform.dtype)
    invert_cells(weights, pattern, uniform.reshape(len(uniform), -1), nodes[0], nodes[1] - nodes[0], found)
    return found.T.reshape(uniform.shape)
