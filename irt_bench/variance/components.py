"""Variance components of seeds, items and their interaction, with intervals, and coefficients computed from them.

There are three designs: seed x item, items nested in subtasks, and seed x step x item. A design has components,
expected mean squares as linear combinations of the components, and degrees of freedom of the mean squares. Estimates
are the solution of these equations. Intervals are the same solution for fiducial draws of the mean squares. Mean
squares over seeds have S - 1 degrees of freedom. The degrees of freedom of mean squares over items are estimated from
the spread over items (or over subtasks, whose items are correlated), which is valid for 0/1 answers and for items with
unequal noise. Components may be negative; nothing is clipped. Tables are by run and step, over all steps, and over all
runs.

References
----------
Brennan, Generalizability theory, 2001, chapters 2 to 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from irt_bench import names
from irt_bench.arrays import FloatArray
from irt_bench.variance.moments import (
    Codes,
    cell_variance,
    group_covariance,
    item_contributions,
    item_covariance,
    item_variance,
    trial_noise,
)
from irt_bench.variance.scores import RunScores, mean_over_items
from irt_bench.variance.small_sample import (
    N_DRAWS,
    item_spread_df,
    mean_square_draws,
    quantiles,
    residual_df,
    run_reliability,
    satterthwaite_df,
    step_dependence,
    trial_df,
)

SEED: Final = "seed"
ITEM: Final = "item"
SEED_ITEM: Final = "seed:item"  # includes the noise of single answers if none was repeated
TRIAL: Final = "trial"
NO_PART: Final = 1e-12  # smaller coefficients of a mean square are rounding


@dataclass(frozen=True)
class VarianceComponents:
    """Estimated variance components, with their expected mean squares and degrees of freedom."""

    components: tuple[str, ...]  # names; "a:b" is the interaction of a and b, or a within b
    estimates: FloatArray  # (..., component), variances; may be negative
    # (component, component), coefficients of the components (columns) in the expected mean squares (rows)
    mixing: FloatArray
    df: FloatArray  # (..., component), degrees of freedom of the mean squares
    n_items: int  # items in the benchmark

    @property
    def mean_squares(self) -> FloatArray:
        """Mean squares, shape (..., component)."""
        return np.asarray(self.estimates @ self.mixing.T)

    def draws(self, rng: np.random.Generator, n_draws: int = N_DRAWS) -> FloatArray:
        """Fiducial draws of the components, shape (draw, ..., component); NaN if a mean square of a component is 0."""
        squares = mean_square_draws(self.mean_squares, self.df, rng, n_draws)
        inverse = np.linalg.inv(self.mixing).T
        unknown = np.isnan(squares)
        components = np.where(unknown, 0.0, squares) @ inverse
        return np.where(unknown.astype(np.float64) @ (np.abs(inverse) > NO_PART) > 0, np.nan, components)


def two_way(
    values: FloatArray,
    trials: Codes | None = None,
    groups: Codes | None = None,
    *,
    within: FloatArray | None = None,
    over_steps: bool = False,
) -> VarianceComponents:
    """Seed x item: components ``seed, item, seed:item``, and ``trial`` if answers were repeated.

    Parameters
    ----------
    values : array of shape (..., seed, item), or (..., step, seed, item) to average over steps
        Answers, NaN where missing.
    trials : array of the shape of `values`, optional
        Number of answers per cell; if some cells have two or more, the noise of single answers is a component.
    groups : array of shape (item,), optional
        Groups of correlated items, such as the items of a subtask or of one template.
    within : array of the shape of `values`, optional
        Variance of the answers of a cell, if they are not 0/1; see `RunScores`.
    over_steps : bool
        Whether to average the mean squares over steps.
    """
    n_seeds, n_items = values.shape[-2:]
    covariance = item_covariance(values)
    item = item_variance(values)
    per_residual, per_item = item_contributions(values)
    counts = np.ones(values.shape, dtype=np.int64) if trials is None else trials
    own = cell_variance(values, counts) if within is None else within
    noise = trial_noise(values, counts, own) if np.isfinite(own).any() else None
    parts = [covariance.off_diagonal, item, covariance.residual]
    seed_freedom = np.full(covariance.off_diagonal.shape, n_seeds - 1.0)
    if over_steps:
        parts = [part.mean(axis=-1) for part in parts]
        per_residual, per_item = per_residual.mean(axis=-2), per_item.mean(axis=-2)
        noise = noise and (noise[0].mean(axis=-1), noise[1].mean(axis=-1))
        scores = np.swapaxes(mean_over_items(values), -1, -2)
        seed_freedom = (n_seeds - 1) / step_dependence(scores)
    per_square = [n_seeds * per_item + per_residual, per_residual]
    df = [seed_freedom, *(item_spread_df(each, groups) for each in per_square)]
    df[2] = residual_df(df[2], values, over_steps=over_steps)
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
        df.append(trial_df(own, groups, over_steps=over_steps))
    return VarianceComponents(names, np.stack(parts, axis=-1), mixing, np.stack(df, axis=-1), n_items)


def with_subtasks(values: FloatArray, subtasks: Codes) -> VarianceComponents:
    """Items nested in subtasks: ``seed, subtask, item:subtask, seed:subtask, seed:item:subtask``.

    Parameters
    ----------
    values : array of shape (..., seed, item)
        Answers, NaN where missing.
    subtasks : array of shape (item,)
        Number of each item's subtask, 0 to n_subtasks - 1.

    Notes
    -----
    ``seed`` is the mean covariance over seeds of items of different subtasks. ``seed:subtask`` is the mean covariance
    of items of one subtask minus ``seed``.
    """
    n_seeds, n_items = values.shape[-2:]
    between, diagonal, sizes = group_covariance(values, subtasks)
    couples = np.outer(sizes, sizes) - np.diag(sizes**2)
    own = np.einsum("...gg->...g", between)
    seed = (between * couples).sum(axis=(-2, -1), where=couples > 0) / couples.sum()
    several = sizes > 1
    within = (own * sizes).sum(axis=-1, where=several) / sizes[several].sum()
    # The covariance of each group is subtracted from its own variance: otherwise unequal groups would not cancel.
    residual = ((diagonal - own) * (sizes - 1)).sum(axis=-1, where=several) / (sizes[several] - 1).sum()
    seed_subtask = within - seed
    item, subtask = _nested_item_variance(values, subtasks, sizes)
    repeated = float((sizes**2).sum() / n_items)  # mean number of items in the subtask of an item
    usual = (n_items - repeated) / (len(sizes) - 1)  # number of items per subtask in the mean square between subtasks
    mixing = np.array(
        [
            [n_items, 0, 0, repeated, 1],
            [0, n_seeds * usual, n_seeds, usual, 1],
            [0, 0, n_seeds, 0, 1],
            [0, 0, 0, usual, 1],
            [0, 0, 0, 0, 1.0],
        ]
    )
    per_residual, per_item = item_contributions(_within_group(values, subtasks))
    full = np.ones(values.shape[:-2])
    subtask_df = n_items / repeated - 1  # equivalent number of subtasks of equal size, minus one
    df = [
        full * (n_seeds - 1),
        full * subtask_df,
        item_spread_df(n_seeds * per_item + per_residual, None),
        full * (n_seeds - 1) * subtask_df,
        item_spread_df(per_residual, None),
    ]
    names = (SEED, "subtask", "item:subtask", "seed:subtask", "seed:item:subtask")
    estimates = np.stack([seed, subtask, item, seed_subtask, residual], axis=-1)
    return VarianceComponents(names, estimates, mixing, np.stack(df, axis=-1), n_items)


def _within_group(values: FloatArray, groups: Codes) -> FloatArray:
    """Answers minus the mean of the seed over the group of the item."""
    member = np.eye(int(groups.max()) + 1)[groups]
    asked = np.isfinite(values)
    means = (np.where(asked, values, 0.0) @ member) / np.maximum(asked @ member, 1)
    return values - means @ member.T


def _nested_item_variance(values: FloatArray, subtasks: Codes, sizes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Variance of items within subtasks and of subtasks, from products of the answers of different seeds."""
    n_items, n_groups = len(subtasks), len(sizes)
    first, second = np.triu_indices(values.shape[-2], 1)
    within = item_contributions(_within_group(values, subtasks))[1].sum(axis=-1) / len(first)
    item = within / np.maximum(n_items - n_groups, 1)
    total = item_variance(values) * (n_items - 1)
    usual = n_items - (sizes**2).sum() / n_items
    return item, (total - within - (n_groups - 1) * item) / usual


def with_steps(values: FloatArray, groups: Codes | None = None) -> VarianceComponents:
    """Seed x step x item with random steps: the part of the seed effect that lasts, and the part that varies by step.

    Parameters
    ----------
    values : array of shape (..., seed, step, item)
        Answers without missing cells.
    groups : array of shape (item,), optional
        Groups of correlated items.

    Returns
    -------
    VarianceComponents
        ``seed, step, item, seed:step, seed:item, step:item, seed:step:item``; the last includes the noise of answers.

    Notes
    -----
    The learning curve of a run is in ``step``. Distant steps are less correlated than close ones; ``seed`` is the mean
    covariance of two steps.
    """
    sizes = dict(zip(("seed", "step", "item"), values.shape[-3:], strict=True))
    effects = _effects(values)
    squares, df = [], []
    for name, effect in effects.items():
        factors = name.split(":")
        n_free = float(np.prod([sizes[factor] - 1 for factor in factors]))
        squares.append((effect**2).sum(axis=(-3, -2, -1)) * _replicates(factors, sizes) / n_free)
        per_item = (effect**2).sum(axis=(-3, -2))
        df.append(item_spread_df(per_item, groups) if ITEM in factors else np.full(squares[-1].shape, n_free))
    names = tuple(effects)
    mixing = np.array([[_weight(row.split(":"), column.split(":"), sizes) for column in names] for row in names])
    estimates = np.stack(squares, axis=-1) @ np.linalg.inv(mixing).T
    return VarianceComponents(names, estimates, mixing, np.stack(df, axis=-1), sizes[ITEM])


def _effects(values: FloatArray) -> dict[str, FloatArray]:
    """Effects of the three-way analysis of variance by name; axes over which an effect is constant have length 1."""

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
    """Count the cells averaged in each value of an effect."""
    return float(np.prod([size for factor, size in sizes.items() if factor not in factors]))


def _weight(square: list[str], component: list[str], sizes: dict[str, int]) -> float:
    """Coefficient of a component in an expected mean square, crossed random effects (Brennan 2001, section 3.4)."""
    return _replicates(component, sizes) if set(square) <= set(component) else 0.0


EVERY_STEP: Final = ""  # in column ``step``: over all steps of a run
EVERY_RUN: Final = ""  # in column ``run``: pooled over runs


def component_tables(runs: list[RunScores], seed: int, notes: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tabulate the components of one benchmark and measure, and the coefficients computed from them.

    Equal designs have equal intervals. Notes on components that could not be computed are appended to `notes`.

    Returns
    -------
    components : pd.DataFrame
        ``benchmark, run, step, component, estimate, q05, q95, design``. Rows with an empty run are pooled over the runs
        with this step; rows with an empty step are over all steps.
    coefficients : pd.DataFrame
        ``benchmark, run, step, coefficient, estimate, q05, q95``. Reliability of differences between seeds of a run:
        ``generalizability`` for their order, ``dependability`` for their level. With an empty run, ``run_reliability``:
        reliability of differences between runs with one seed each.
    """
    rows: list[dict[str, Any]] = []
    coefficients: list[dict[str, Any]] = []
    by_step: dict[str, list[tuple[VarianceComponents, int]]] = {}
    for run in runs:
        codes = run.subtask_codes()
        for place, step in enumerate(run.steps):
            values = run.values[:, place]
            if np.isnan(item_covariance(values).off_diagonal):
                notes.append(f"{run.benchmark}, run {run.run!r}: no two seeds answered the same items at step {step!r}")
                continue
            within = None if run.within is None else run.within[:, place]
            design = two_way(values, run.trials[:, place], codes, within=within)
            drawn = design.draws(np.random.default_rng(seed))
            rows += _component_rows(run, run.run, step, "seed x item", design, drawn)
            coefficients += _coefficient_rows(run, run.run, step, design, drawn)
            by_step.setdefault(step, []).append((design, run.n_seeds - 1))
            if codes is not None and np.bincount(codes).max() > 1:
                nested = with_subtasks(values, codes)
                drawn = nested.draws(np.random.default_rng(seed))
                rows += _component_rows(run, run.run, step, "items within subtasks", nested, drawn)
        if len(run.steps) > 1:
            rows += _over_steps(run, seed, notes)
    for step, designs in by_step.items():
        if len(designs) < 2:  # equal to the row of the run
            continue
        pooled = _pooled_design(designs)
        drawn = pooled.draws(np.random.default_rng(seed))
        rows += _component_rows(runs[0], EVERY_RUN, step, "seed x item", pooled, drawn)
        coefficients += _coefficient_rows(runs[0], EVERY_RUN, step, pooled, drawn)
        coefficients.append(_run_reliability(runs, step))
    return pd.DataFrame(rows), pd.DataFrame(coefficients)


def _over_steps(run: RunScores, seed: int, notes: list[str]) -> list[dict[str, Any]]:
    """Seed x step x item on the items that all seeds answered at all steps."""
    whole = np.asarray(np.isfinite(run.values).all(axis=(0, 1)))
    if whole.sum() < 2:
        notes.append(
            f"{run.benchmark}, run {run.run!r}: components over steps need two items that all seeds answered at all "
            f"steps; there are {int(whole.sum())}"
        )
        return []
    kept = run.take(whole)
    design = with_steps(kept.values, kept.subtask_codes())
    drawn = design.draws(np.random.default_rng(seed))
    return _component_rows(run, run.run, EVERY_STEP, "seed x step x item", design, drawn)


def _pooled_design(designs: list[tuple[VarianceComponents, int]]) -> VarianceComponents:
    """Average components over runs with weights S - 1. Seeds of different runs are independent; items are the same.

    Runs may have different variances over seeds; see `satterthwaite_df`.
    """
    designs = [pair for pair in designs if pair[0].components == designs[0][0].components]
    weights = np.array([weight for _, weight in designs], dtype=np.float64)
    share = weights / weights.sum()
    first = designs[0][0]
    estimates = share @ np.array([design.estimates for design, _ in designs])
    freedoms = np.array([design.df for design, _ in designs])
    squares = share[:, None] * np.array([design.mean_squares for design, _ in designs])
    over_seeds = np.array([name == SEED for name in first.components])
    pooled = [satterthwaite_df(each, nu) for each, nu in zip(squares.T, freedoms.T, strict=True)]
    df = np.where(over_seeds, pooled, 1 / np.einsum("r,rc->c", share, 1 / freedoms))
    mixing = np.einsum("r,rij->ij", share, np.array([design.mixing for design, _ in designs]))
    return VarianceComponents(first.components, estimates, mixing, df, first.n_items)


def _component_rows(
    run: RunScores, name: str, step: str, design_name: str, design: VarianceComponents, drawn: FloatArray
) -> list[dict[str, Any]]:
    row = {names.BENCHMARK: run.benchmark, names.RUN: name, names.STEP: step}
    found = zip(design.components, design.estimates, *quantiles(drawn), strict=True)
    return [
        row | {"component": component, "estimate": value, "q05": lower, "q95": upper, "design": design_name}
        for component, value, lower, upper in found
    ]


def _coefficient_rows(
    run: RunScores, name: str, step: str, design: VarianceComponents, drawn: FloatArray
) -> list[dict[str, Any]]:
    """Rows of the reliability of differences between seeds: relative and absolute (see `component_tables`)."""
    components = np.vstack([design.estimates, drawn])
    residual = components[:, 2:].sum(axis=1) if len(design.components) == 3 else _with_trials(components, design)
    relative = residual / design.n_items
    absolute = relative + components[:, 1] / design.n_items
    row = {names.BENCHMARK: run.benchmark, names.RUN: name, names.STEP: step}
    rows = []
    for coefficient, noise in (("generalizability", relative), ("dependability", absolute)):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = components[:, 0] / (components[:, 0] + noise)
        ratio = np.where(np.isfinite(ratio), ratio, np.nan)
        lower, upper = quantiles(ratio[1:])
        rows.append(row | {"coefficient": coefficient, "estimate": ratio[0], "q05": lower, "q95": upper})
    return rows


def _with_trials(components: np.ndarray, design: VarianceComponents) -> np.ndarray:
    """Seed x item plus the noise of answers in the mean of a cell."""
    return np.asarray(components[:, 2] + components[:, 3] * design.mixing[0, 3])


def _run_reliability(runs: list[RunScores], step: str) -> dict[str, Any]:
    """Row of the share of variance between runs, among scores of single seeds at a step."""
    scores = [run.scores()[:, run.steps.index(step)] for run in runs if step in run.steps]
    value, lower, upper = run_reliability([each[np.isfinite(each)] for each in scores])
    row = {names.BENCHMARK: runs[0].benchmark, names.RUN: EVERY_RUN, names.STEP: step}
    return row | {"coefficient": "run_reliability", "estimate": value, "q05": lower, "q95": upper}
