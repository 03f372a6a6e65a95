"""What seed variance is made of: components of generalizability theory from mean squares, with 90% intervals.

A design names its components, the expected mean squares as combinations of them, and the degrees of freedom of each.
Components are the mean squares solved for; intervals are the same solution of fiducial draws of the mean squares.
Squares over seeds have S - 1 degrees of freedom; squares over items have as many as their spread over items (or over
subtasks, whose items move together) says, which holds for 0/1 answers and for items of unequal noise. Components may be
negative; nothing is clipped.

References
----------
Brennan, Generalizability theory, 2001, chapters 2 to 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from irt_bench.names import INTERVAL
from irt_bench.variance.few_seeds import (
    FREEDOM,
    N_DRAWS,
    Estimate,
    mean_square_draws,
    quantiles,
    steps_moving_as_one,
)
from irt_bench.variance.moments import (
    Codes,
    FloatArray,
    contributions,
    group_covariance,
    item_covariance,
    item_variance,
    own_variance,
    trial_noise,
)
from irt_bench.variance.scores import mean_over_items

SEED: Final = "seed"
ITEM: Final = "item"
SEED_ITEM: Final = "seed:item"  # with the noise of single answers, where none was repeated
TRIAL: Final = "trial"
FEWEST_GROUPS: Final = (
    10  # subtasks from which on their spread says how precise a mean square is; below, the items' does
)
Z_LIMIT: Final = float(stats.norm.ppf(INTERVAL[1]))
CERTAIN: Final = float(FREEDOM[-1])  # degrees of freedom of a mean square without spread


@dataclass(frozen=True)
class Design:
    """Components of variance, estimated, and how sure the mean squares behind them are.

    Parameters
    ----------
    components : tuple of str
        Names, "a:b" the interaction of a and b, or a within b.
    estimates : array of shape (..., component)
        Variances; may be negative.
    mixing : array of shape (component, component)
        Expected mean squares (rows) as combinations of components (columns), square for component.
    freedom : array of shape (..., component)
        Degrees of freedom of the mean squares.
    n_items : int
        Items in the benchmark.
    """

    components: tuple[str, ...]
    estimates: FloatArray
    mixing: FloatArray
    freedom: FloatArray
    n_items: int

    @property
    def mean_squares(self) -> FloatArray:
        """Mean squares, shape (..., component)."""
        return np.asarray(self.estimates @ self.mixing.T)

    def draws(self, rng: np.random.Generator, n_draws: int = N_DRAWS) -> FloatArray:
        """Fiducial draws of the components, shape (draw, ..., component)."""
        squares = mean_square_draws(self.mean_squares, self.freedom, rng, n_draws)
        return squares @ np.linalg.inv(self.mixing).T

    def intervals(self, rng: np.random.Generator) -> Estimate:
        """Components with their limits, each of shape (..., component)."""
        return Estimate(self.estimates, *quantiles(self.draws(rng)))


def two_way(
    values: FloatArray,
    trials: Codes | None = None,
    groups: Codes | None = None,
    *,
    within: FloatArray | None = None,
    over_steps: bool = False,
) -> Design:
    """Seed x item: components ``seed, item, seed:item``, and ``trial`` where answers were repeated.

    Parameters
    ----------
    values : array of shape (..., seed, item), or (..., step, seed, item) to average over steps
        Answers, NaN where missing.
    trials : array of the shape of `values`, optional
        Answers a cell; with two or more in some, the noise of single answers is parted from seed x item.
    groups : array of shape (item,), optional
        Items that move together, such as those of a subtask or made from one template.
    within : array of the shape of `values`, optional
        Variance of the answers of a cell, where they are not 0/1; see `RunScores`.
    over_steps : bool
        Whether to average the mean squares over steps.
    """
    n_seeds, n_items = values.shape[-2:]
    covariance = item_covariance(values)
    item = item_variance(values)
    per_residual, per_item = contributions(values)
    counts = np.ones(values.shape, dtype=np.int64) if trials is None else trials
    own = own_variance(values, counts) if within is None else within
    noise = trial_noise(values, counts, own) if np.isfinite(own).any() else None
    parts = [covariance.off_diagonal, item, covariance.residual]
    seed_freedom = np.full(covariance.off_diagonal.shape, n_seeds - 1.0)
    if over_steps:
        parts = [part.mean(axis=-1) for part in parts]
        per_residual, per_item = per_residual.mean(axis=-2), per_item.mean(axis=-2)
        noise = noise and (noise[0].mean(axis=-1), noise[1].mean(axis=-1))
        scores = np.swapaxes(mean_over_items(values), -1, -2)
        seed_freedom = (n_seeds - 1) / steps_moving_as_one(scores)
    per_square = [n_seeds * per_item + per_residual, per_residual]
    freedom = [seed_freedom, *(_spread_freedom(each, groups) for each in per_square)]
    freedom[2] = _with_seed_spread(freedom[2], values, over_steps=over_steps)
    common = float(np.nanmean(covariance.common)) if np.isfinite(covariance.common).any() else float(n_items)
    mixing = np.array([[common, 0, 1], [0, n_seeds, 1], [0, 0, 1.0]])
    names: tuple[str, ...] = (SEED, ITEM, SEED_ITEM)
    if noise is not None:
        trial, left = noise
        parts[2] = parts[2] - left
        parts.append(trial)
        share = float(np.nanmean(left / np.where(trial > 0, trial, np.nan))) if (trial > 0).any() else 1.0
        mixing = np.array([[common, 0, 1, share], [0, n_seeds, 1, share], [0, 0, 1, share], [0, 0, 0, 1.0]])
        names = (*names, TRIAL)
        freedom.append(_trial_freedom(own, groups, over_steps=over_steps))
    return Design(names, np.stack(parts, axis=-1), mixing, np.stack(freedom, axis=-1), n_items)


def with_subtasks(values: FloatArray, subtasks: Codes) -> Design:
    """Items nested in subtasks: ``seed, subtask, item:subtask, seed:subtask, seed:item:subtask``.

    Parameters
    ----------
    values : array of shape (..., seed, item)
        Answers, NaN where missing.
    subtasks : array of shape (item,)
        Number of each item's subtask, 0 to n_subtasks - 1.

    Notes
    -----
    ``seed`` is the covariance of items of different subtasks, averaged over pairs of items; ``seed:subtask`` what items
    of one subtask have beyond it, averaged over items.
    """
    n_seeds, n_items = values.shape[-2:]
    between, diagonal, sizes = group_covariance(values, subtasks)
    couples = np.outer(sizes, sizes) - np.diag(sizes**2)
    own = np.einsum("...gg->...g", between)
    seed = (between * couples).sum(axis=(-2, -1), where=couples > 0) / couples.sum()
    several = sizes > 1
    within = (own * sizes).sum(axis=-1, where=several) / sizes[several].sum()
    # Each group's own covariance is taken off its own variance: groups of unequal size would not cancel otherwise.
    residual = ((diagonal - own) * (sizes - 1)).sum(axis=-1, where=several) / (sizes[several] - 1).sum()
    seed_subtask = within - seed
    item, subtask = _nested_item_variance(values, subtasks, sizes)
    repeated = float((sizes**2).sum() / n_items)  # items a subtask, as an item sees it
    usual = (n_items - repeated) / (len(sizes) - 1)  # items a subtask, as the mean square between subtasks sees it
    mixing = np.array(
        [
            [n_items, 0, 0, repeated, 1],
            [0, n_seeds * usual, n_seeds, usual, 1],
            [0, 0, n_seeds, 0, 1],
            [0, 0, 0, usual, 1],
            [0, 0, 0, 0, 1.0],
        ]
    )
    per_residual, per_item = contributions(_within_group(values, subtasks))
    full = np.ones(values.shape[:-2])
    alike = n_items / repeated - 1  # subtasks of equal size that these are worth, less one
    freedom = [
        full * (n_seeds - 1),
        full * alike,
        _spread_freedom(n_seeds * per_item + per_residual, None),
        full * (n_seeds - 1) * alike,
        _spread_freedom(per_residual, None),
    ]
    names = (SEED, "subtask", "item:subtask", "seed:subtask", "seed:item:subtask")
    estimates = np.stack([seed, subtask, item, seed_subtask, residual], axis=-1)
    return Design(names, estimates, mixing, np.stack(freedom, axis=-1), n_items)


def with_steps(values: FloatArray, groups: Codes | None = None) -> Design:
    """Seed x step x item, steps as random as seeds: what of the seed effect lasts, and what comes and goes.

    Parameters
    ----------
    values : array of shape (..., seed, step, item)
        Answers, no cell missing.
    groups : array of shape (item,), optional
        Items that move together.

    Returns
    -------
    Design
        ``seed, step, item, seed:step, seed:item, step:item, seed:step:item``; the last with the noise of answers.

    Notes
    -----
    The mean over steps is taken out of ``seed:step``, so that a run's course is in ``step``. Steps far apart resemble
    each other less than near ones do; ``seed`` is what two steps share on average.
    """
    sizes = dict(zip(("seed", "step", "item"), values.shape[-3:], strict=True))
    effects = _effects(values)
    squares, freedom = [], []
    for name, effect in effects.items():
        factors = name.split(":")
        df = float(np.prod([sizes[factor] - 1 for factor in factors]))
        squares.append((effect**2).sum(axis=(-3, -2, -1)) * _replicates(factors, sizes) / df)
        per_item = (effect**2).sum(axis=(-3, -2))
        freedom.append(_spread_freedom(per_item, groups) if ITEM in factors else np.full(squares[-1].shape, df))
    names = tuple(effects)
    mixing = np.array([[_weight(row.split(":"), column.split(":"), sizes) for column in names] for row in names])
    estimates = np.stack(squares, axis=-1) @ np.linalg.inv(mixing).T
    return Design(names, estimates, mixing, np.stack(freedom, axis=-1), sizes[ITEM])


def _effects(values: FloatArray) -> dict[str, FloatArray]:
    """Effects of the three-way analysis of variance by name, each with axes of length 1 where it does not vary."""

    def mean(*axes: int) -> FloatArray:
        return np.asarray(values.mean(axis=axes, keepdims=True))

    grand = mean(-3, -2, -1)
    seed, step, item = mean(-2, -1) - grand, mean(-3, -1) - grand, mean(-3, -2) - grand
    seed_step = mean(-1) - grand - seed - step
    seed_item = mean(-2) - grand - seed - item
    step_item = mean(-3) - grand - step - item
    rest = values - grand - seed - step - item - seed_step - seed_item - step_item
    return {
        SEED: seed, "step": step, ITEM: item,
        "seed:step": seed_step, SEED_ITEM: seed_item, "step:item": step_item, "seed:step:item": rest,
    }  # fmt: skip


def _replicates(factors: list[str], sizes: dict[str, int]) -> float:
    """Cells behind each value of an effect."""
    return float(np.prod([size for factor, size in sizes.items() if factor not in factors]))


def _weight(square: list[str], component: list[str], sizes: dict[str, int]) -> float:
    """Multiple of a component in an expected mean square: all random, crossed (Brennan 2001, section 3.4)."""
    return _replicates(component, sizes) if set(square) <= set(component) else 0.0


def _trial_freedom(own: FloatArray, groups: Codes | None, *, over_steps: bool) -> FloatArray:
    summed = np.where(np.isfinite(own), own, 0.0).sum(axis=-2)
    return _spread_freedom(summed.mean(axis=-2) if over_steps else summed, groups)


def _within_group(values: FloatArray, groups: Codes) -> FloatArray:
    """Answers about each seed's mean of the item's group."""
    member = np.eye(int(groups.max()) + 1)[groups]
    asked = np.isfinite(values)
    means = (np.where(asked, values, 0.0) @ member) / np.maximum(asked @ member, 1)
    return values - means @ member.T


def _nested_item_variance(values: FloatArray, subtasks: Codes, sizes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Variance of items within subtasks and of subtasks, from products of different seeds' answers."""
    n_items, n_groups = len(subtasks), len(sizes)
    first, second = np.triu_indices(values.shape[-2], 1)
    within = contributions(_within_group(values, subtasks))[1].sum(axis=-1) / len(first)
    item = within / np.maximum(n_items - n_groups, 1)
    total = item_variance(values) * (n_items - 1)
    usual = n_items - (sizes**2).sum() / n_items
    return item, (total - within - (n_groups - 1) * item) / usual


def _with_seed_spread(freedom: FloatArray, values: FloatArray, *, over_steps: bool) -> FloatArray:
    """Degrees of freedom of the residual mean square, with what a seed's level does to all its items at once.

    An able seed's 0/1 answers vary less on easy items, whatever the item: variance that the spread over items does not
    show. It is the spread over seeds beyond what the items explain.
    """
    asked = np.isfinite(values)
    filled = np.where(asked, values, 0.0)
    centred = filled - filled.sum(axis=-2, keepdims=True) / np.maximum(asked.sum(axis=-2, keepdims=True), 1)
    level = np.where(asked, centred, 0.0).sum(axis=-1, keepdims=True) / np.maximum(asked.sum(axis=-1, keepdims=True), 1)
    per_seed = np.where(asked, (centred - level) ** 2, 0.0).sum(axis=-1)
    if over_steps:
        per_seed = per_seed.mean(axis=-2)
    n, total = per_seed.shape[-1], per_seed.sum(axis=-1)
    deviations = ((per_seed - (total / n)[..., None]) ** 2).sum(axis=-1)
    relative = np.divide(deviations * n, (n - 1) * total**2, out=np.zeros_like(total), where=total > 0)
    own = 2 / freedom
    return np.asarray(2 / (own + np.maximum(relative - own, 0.0)))


def _spread_freedom(per_item: FloatArray, groups: Codes | None) -> FloatArray:
    """Degrees of freedom of a mean square from the spread over items (or groups) of what each adds to it.

    Notes
    -----
    Satterthwaite: 2 / relative variance, the variance that of a sum over independent groups, widened as Student's t
    does for a spread estimated from so many. With fewer than `FEWEST_GROUPS` groups, items are taken as independent.
    """
    sums, n = per_item, np.ones(per_item.shape[-1])
    if groups is not None and groups.max() + 1 >= FEWEST_GROUPS:
        member = np.eye(int(groups.max()) + 1)[groups]
        sums, n = per_item @ member, member.sum(axis=0)
    total = sums.sum(axis=-1)
    spread = ((sums - n * (total / n.sum())[..., None]) ** 2).sum(axis=-1) * len(n) / max(len(n) - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = 2 * total**2 / (spread * (stats.t.ppf(INTERVAL[1], max(len(n) - 1, 1)) / Z_LIMIT) ** 2)
    return np.where(np.isfinite(freedom), np.clip(freedom, 1.0, CERTAIN), CERTAIN)
