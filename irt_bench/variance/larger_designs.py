"""Designs beyond seed x item: items nested in subtasks, and steps."""

from __future__ import annotations

import numpy as np

from irt_bench.arrays import FloatArray
from irt_bench.variance.components import ITEM, SEED, SEED_ITEM, Design
from irt_bench.variance.moments import Codes, contributions, group_covariance, item_variance
from irt_bench.variance.square_freedom import spread_freedom


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
        spread_freedom(n_seeds * per_item + per_residual, None),
        full * (n_seeds - 1) * alike,
        spread_freedom(per_residual, None),
    ]
    names = (SEED, "subtask", "item:subtask", "seed:subtask", "seed:item:subtask")
    estimates = np.stack([seed, subtask, item, seed_subtask, residual], axis=-1)
    return Design(names, estimates, mixing, np.stack(freedom, axis=-1), n_items)


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
        freedom.append(spread_freedom(per_item, groups) if ITEM in factors else np.full(squares[-1].shape, df))
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
