"""Answers of training runs with planted seed variance: how many seeds, steps, items, and what each of them adds.

    logit p[run, seed, step, item] = course[run, step] - difficulty[item] + u[run, seed] + v[run, seed, step]
                                     + w[run, seed, subtask] + x[run, seed, item]

with u, v, w, x normal; a guessing floor lifts p to guessing + (1 - guessing) p. The effect w is what makes the items of
one subtask, as those made from one template, move together over seeds. `planted_components` gives what that comes to
on the scale of scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from irt_bench import ResponseTable, names, table_from_frame
from irt_bench.arrays import FloatArray
from irt_bench.errors import ModelError

NODES: Final = 21  # of Gauss-Hermite quadrature: exact to 1e-8 for effects of sd below 2
STEP_SIZE: Final = 1000


@dataclass(frozen=True)
class SeedSimulation:
    """Sizes, and standard deviations on the logit scale.

    Parameters
    ----------
    n_runs, n_seeds, n_steps, n_items, n_subtasks : int
        Runs; seeds of each; steps of each seed; items, shared evenly by the subtasks.
    seed_sd, step_sd, subtask_sd, item_sd : float
        Of u, v, w and x.
    difficulty_sd : float
        Of the items.
    start, gain : float
        Logit of the average item before the first step, and what the first run gains until the last; later runs gain
        20% more each. The gain comes with the logarithm of the step.
    guessing : float
        Probability of a right answer without any ability.
    n_trials : int
        Answers a cell.
    missing : float
        Share of the cells that are not answered, at random.
    """

    n_runs: int = 2
    n_seeds: int = 5
    n_steps: int = 4
    n_items: int = 200
    n_subtasks: int = 20
    seed_sd: float = 0.2
    step_sd: float = 0.1
    subtask_sd: float = 0.3
    item_sd: float = 0.5
    difficulty_sd: float = 1.0
    start: float = -1.0
    gain: float = 1.5
    guessing: float = 0.0
    n_trials: int = 1
    missing: float = 0.0

    def __post_init__(self) -> None:
        for name in ("n_runs", "n_seeds", "n_steps", "n_items", "n_subtasks", "n_trials"):
            if getattr(self, name) < 1:
                raise ModelError(f"{name} is {getattr(self, name)!r}; at least 1 is needed.")
        for name in ("seed_sd", "step_sd", "subtask_sd", "item_sd", "difficulty_sd"):
            if not getattr(self, name) >= 0:
                raise ModelError(f"{name} is {getattr(self, name)!r}; at least 0 is needed.")
        for name in ("guessing", "missing"):
            if not 0 <= getattr(self, name) < 1:
                raise ModelError(f"{name} is {getattr(self, name)!r}; at least 0 and below 1 is needed.")
        if self.n_subtasks > self.n_items:
            raise ModelError(f"{self.n_subtasks} subtasks need as many items; there are {self.n_items}.")

    @property
    def subtasks(self) -> npt.NDArray[np.intp]:
        """Number of each item's subtask."""
        return np.arange(self.n_items) * self.n_subtasks // self.n_items

    def course(self) -> FloatArray:
        """Logit of the average item, shape (run, step)."""
        progress = np.log1p(np.arange(1, self.n_steps + 1)) / np.log1p(self.n_steps)
        return np.asarray(self.start + self.gain * 1.2 ** np.arange(self.n_runs)[:, None] * progress)


def simulate_shares(
    plan: SeedSimulation, rng: np.random.Generator, difficulty: FloatArray | None = None, *, replicates: int = 1
) -> FloatArray:
    """Draw shares of right answers, NaN where a cell is missing.

    Parameters
    ----------
    plan : SeedSimulation
        What to draw.
    rng : np.random.Generator
        For everything drawn.
    difficulty : array of shape (item,) or (replicate, 1, 1, 1, item), optional
        By default drawn anew in each replicate.
    replicates : int
        Number of independent data sets.

    Returns
    -------
    array of shape (replicate, run, seed, step, item)
    """
    shape = (replicates, plan.n_runs, plan.n_seeds, plan.n_steps, plan.n_items)
    seeds = shape[:3]
    if difficulty is None:
        difficulty = plan.difficulty_sd * rng.normal(size=(replicates, 1, 1, 1, plan.n_items))
    logit = plan.course()[None, :, None, :, None] - difficulty
    logit = logit + plan.seed_sd * rng.normal(size=(*seeds, 1, 1))
    logit = logit + plan.step_sd * rng.normal(size=(*shape[:4], 1))
    logit = logit + (plan.subtask_sd * rng.normal(size=(*seeds, 1, plan.n_subtasks)))[..., plan.subtasks]
    logit = logit + plan.item_sd * rng.normal(size=(*seeds, 1, plan.n_items))
    probability = plan.guessing + (1 - plan.guessing) * expit(logit)
    right = rng.binomial(plan.n_trials, probability) / plan.n_trials
    return np.where(rng.random(shape) < plan.missing, np.nan, right) if plan.missing else right


def simulate_seeds(plan: SeedSimulation, *, seed: int, benchmark: str = "planted") -> ResponseTable:
    """Draw one data set as a table with ``run, seed, step`` of the models and ``subtask`` of the items."""
    shares = simulate_shares(plan, np.random.default_rng(seed))[0]
    run, number, step, item = (place.ravel() for place in np.indices(shares.shape))
    right = np.rint(shares.ravel() * plan.n_trials)
    frame = pd.DataFrame(
        {
            names.MODEL: [f"run-{r + 1}" for r in run],
            names.RUN: [f"run-{r + 1}" for r in run],
            names.SEED: number + 1,
            names.STEP: (step + 1) * STEP_SIZE,
            names.ITEM: [f"item-{i + 1:04d}" for i in item],
            names.SUBTASK: [f"subtask-{s + 1:02d}" for s in plan.subtasks[item]],
        }
    )
    if plan.n_trials == 1:
        frame[names.CORRECT] = right
    else:
        frame[names.N_CORRECT] = right
        frame[names.N_SAMPLES] = plan.n_trials
    return table_from_frame(frame, benchmark=benchmark)


@dataclass(frozen=True)
class PlantedComponents:
    """What was planted, on the scale of scores, of one run and each step: arrays of shape (step,).

    ``seed`` is the mean covariance over seeds of two different items, ``residual`` the mean variance of an item less
    that, ``item`` the variance over items of what is expected of them; ``V(k) = seed + residual / k``.
    """

    seed: FloatArray
    residual: FloatArray
    item: FloatArray

    def variance(self, k: int) -> FloatArray:
        """V(k) at each step."""
        return self.seed + self.residual / k


def planted_components(plan: SeedSimulation, difficulty: FloatArray, run: int = 0) -> PlantedComponents:
    """Components on the scale of scores for given items, by Gauss-Hermite quadrature over the effects.

    Parameters
    ----------
    plan : SeedSimulation
        What was planted.
    difficulty : array of shape (item,)
        Of the items; many draws of them, in the order of the subtasks, for a benchmark whose items are random.
    run : int
        Which run.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights = weights / weights.sum()
    spread = [np.hypot(plan.seed_sd, plan.step_sd), plan.subtask_sd, plan.item_sd]
    found = []
    groups = np.arange(len(difficulty)) * plan.n_subtasks // len(difficulty)
    member = np.eye(plan.n_subtasks)[groups]
    for course in plan.course()[run]:
        logit = course - difficulty
        effects = spread[0] * nodes[:, None, None] + spread[1] * nodes[None, :, None]  # (shared, subtask, 1)
        inner = sum(
            weight * (plan.guessing + (1 - plan.guessing) * expit(logit + effects + spread[2] * node))
            for node, weight in zip(nodes, weights, strict=True)
        )  # expected share given the shared and the subtask's effect, (shared, subtask, item)
        squared = sum(
            weight * (plan.guessing + (1 - plan.guessing) * expit(logit + effects + spread[2] * node)) ** 2
            for node, weight in zip(nodes, weights, strict=True)
        )
        found.append(_components(inner, squared, weights, member, plan.n_trials))
    return PlantedComponents(*(np.array(part) for part in zip(*found, strict=True)))


def _components(
    inner: FloatArray, squared: FloatArray, weights: FloatArray, member: FloatArray, n_trials: int
) -> tuple[float, float, float]:
    """Seed, residual and item component from the expected shares given the shared and the subtask's effect."""
    n = inner.shape[-1]
    given_shared = np.einsum("b,abi->ai", weights, inner)
    mean = weights @ given_shared
    total = given_shared.sum(axis=1)
    sums = inner @ member  # (shared, subtask effect, subtask)
    # Items of different subtasks share u + v only, those of one subtask w too.
    within = np.einsum("a,b,abg->", weights, weights, sums**2) - np.einsum("a,b,abi->", weights, weights, inner**2)
    across = float(weights @ (total**2 - ((given_shared @ member) ** 2).sum(axis=1)))
    products = float(mean.sum() ** 2 - (mean**2).sum())
    seed = (within + across - products) / (n * (n - 1))
    second = np.einsum("a,b,abi->i", weights, weights, squared)
    variance = second - mean**2 + (mean - second) / n_trials
    return float(seed), float(variance.mean() - seed), float(mean.var(ddof=1))
