"""Variance components of seeds, items and their interaction, with intervals; and designs with subtasks and steps.

A design names its components, the expected mean squares as combinations of them, and the degrees of freedom of each.
Components are the mean squares solved for; intervals are the same solution of fiducial draws of the mean squares.
Squares over seeds have S - 1 degrees of freedom; squares over items have as many as their spread over items (or over
subtasks, whose items move together) says, which holds for 0/1 answers and for items of unequal noise. Components may be
negative; nothing is clipped.

References
----------
Brennan, Generalizability theory, 2001, chapters 2 to 5.

Tables of variance components and of the coefficients made of them: each run and step, all steps, all runs.

Designs beyond seed x item: items nested in subtasks, and steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
    IntervalEstimate,
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
SEED_ITEM: Final = "seed:item"  # with the noise of single answers, where none was repeated
TRIAL: Final = "trial"
NO_PART: Final = 1e-12  # of a mean square in a component: rounding


@dataclass(frozen=True)
class VarianceComponents:
    """Components of variance, estimated, and how sure the mean squares behind them are.

    Parameters
    ----------
    components : tuple of str
        Names, "a:b" the interaction of a and b, or a within b.
    estimates : array of shape (..., component)
        Variances; may be negative.
    mixing : array of shape (component, component)
        Expected mean squares (rows) as combinations of components (columns), square for component.
    df : array of shape (..., component)
        Degrees of freedom of the mean squares.
    n_items : int
        Items in the benchmark.
    """

    components: tuple[str, ...]
    estimates: FloatArray
    mixing: FloatArray
    df: FloatArray
    n_items: int

    @property
    def mean_squares(self) -> FloatArray:
        """Mean squares, shape (..., component)."""
        return np.asarray(self.estimates @ self.mixing.T)

    def draws(self, rng: np.random.Generator, n_draws: int = N_DRAWS) -> FloatArray:
        """Fiducial draws of the components, shape (draw, ..., component); NaN where a mean square behind one is 0."""
        squares = mean_square_draws(self.mean_squares, self.df, rng, n_draws)
        inverse = np.linalg.inv(self.mixing).T
        unknown = np.isnan(squares)
        components = np.where(unknown, 0.0, squares) @ inverse
        return np.where(unknown.astype(np.float64) @ (np.abs(inverse) > NO_PART) > 0, np.nan, components)

    def intervals(self, rng: np.random.Generator) -> IntervalEstimate:
        """Components with their limits, each of shape (..., component)."""
        return IntervalEstimate(self.estimates, *quantiles(self.draws(rng)))


def two_way(
    values: FloatArray,
    trials: Codes | None = None,
    groups: Codes | None = None,
    *,
    within: FloatArray | None = None,
    over_steps: bool = False,
) -> VarianceComponents:
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
    per_residual, per_item = item_contributions(_within_group(values, subtasks))
    full = np.ones(values.shape[:-2])
    alike = n_items / repeated - 1  # subtasks of equal size that these are worth, less one
    df = [
        full * (n_seeds - 1),
        full * alike,
        item_spread_df(n_seeds * per_item + per_residual, None),
        full * (n_seeds - 1) * alike,
        item_spread_df(per_residual, None),
    ]
    names = (SEED, "subtask", "item:subtask", "seed:subtask", "seed:item:subtask")
    estimates = np.stack([seed, subtask, item, seed_subtask, residual], axis=-1)
    return VarianceComponents(names, estimates, mixing, np.stack(df, axis=-1), n_items)


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
    within = item_contributions(_within_group(values, subtasks))[1].sum(axis=-1) / len(first)
    item = within / np.maximum(n_items - n_groups, 1)
    total = item_variance(values) * (n_items - 1)
    usual = n_items - (sizes**2).sum() / n_items
    return item, (total - within - (n_groups - 1) * item) / usual


def with_steps(values: FloatArray, groups: Codes | None = None) -> VarianceComponents:
    """Seed x step x item, steps as random as seeds: what of the seed effect lasts, and what comes and goes.

    Parameters
    ----------
    values : array of shape (..., seed, step, item)
        Answers, no cell missing.
    groups : array of shape (item,), optional
        Items that move together.

    Returns
    -------
    VarianceComponents
        ``seed, step, item, seed:step, seed:item, step:item, seed:step:item``; the last with the noise of answers.

    Notes
    -----
    The mean over steps is taken out of ``seed:step``, so that a run's course is in ``step``. Steps far apart resemble
    each other less than near ones do; ``seed`` is what two steps share on average.
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


EVERY_STEP: Final = ""  # in the column of steps: a design over all steps of a run
EVERY_RUN: Final = ""  # in the column of runs: pooled over runs


def component_tables(runs: list[RunScores], seed: int, notes: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tabulate the components of one benchmark and measure, and the coefficients made of them.

    Parameters
    ----------
    runs : list of RunScores
        Of one benchmark and measure.
    seed : int
        Of the draws behind the intervals, begun anew for each design: equal designs have equal intervals.
    notes : list of str
        What could not be computed is added.

    Returns
    -------
    components : pd.DataFrame
        ``benchmark, run, step, component, estimate, q05, q95, design``. Run empty: pooled over runs, where
        several have the step; step empty: over all steps.
    coefficients : pd.DataFrame
        ``benchmark, run, step, coefficient, estimate, q05, q95``: how reliably the benchmark tells seeds of a run apart
        (``generalizability`` for their order, ``dependability`` for their level), and, run empty, how reliably a score
        from one seed tells the runs apart (``run_reliability``).
    """
    rows: list[pd.DataFrame] = []
    coefficients: list[pd.DataFrame] = []
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
            rows.append(_component_rows(run, run.run, step, "seed x item", design, seed))
            coefficients.append(_coefficient_rows(run, run.run, step, design, seed))
            by_step.setdefault(step, []).append((design, run.n_seeds - 1))
            if codes is not None and np.bincount(codes).max() > 1:
                nested = with_subtasks(values, codes)
                rows.append(_component_rows(run, run.run, step, "items within subtasks", nested, seed))
        if len(run.steps) > 1:
            rows.extend(_over_steps(run, seed, notes))
    for step, designs in by_step.items():
        if len(designs) < 2:  # the run's own row says it
            continue
        pooled = _pooled_design(designs)
        rows.append(_component_rows(runs[0], EVERY_RUN, step, "seed x item", pooled, seed))
        coefficients.append(_coefficient_rows(runs[0], EVERY_RUN, step, pooled, seed))
        coefficients.append(_run_reliability(runs, step))
    return pd.concat(rows, ignore_index=True), pd.concat(coefficients, ignore_index=True)


def _over_steps(run: RunScores, seed: int, notes: list[str]) -> list[pd.DataFrame]:
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
    return [_component_rows(run, run.run, EVERY_STEP, "seed x step x item", design, seed)]


def _pooled_design(designs: list[tuple[VarianceComponents, int]]) -> VarianceComponents:
    """Average components over runs, weight S - 1; runs are independent over seeds, the items are the same.

    Runs may differ in their variance over seeds; see `satterthwaite_df`.
    """
    designs = [pair for pair in designs if pair[0].components == designs[0][0].components]  # all with trials, or none
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
    run: RunScores, name: str, step: str, design_name: str, design: VarianceComponents, seed: int
) -> pd.DataFrame:
    found = design.intervals(np.random.default_rng(seed))
    return pd.DataFrame(
        {
            names.BENCHMARK: run.benchmark,
            names.RUN: name,
            names.STEP: step,
            "component": list(design.components),
            "estimate": found.value,
            "q05": found.lower,
            "q95": found.upper,
            "design": design_name,
        }
    )


def _coefficient_rows(run: RunScores, name: str, step: str, design: VarianceComponents, seed: int) -> pd.DataFrame:
    """Say how reliably the benchmark tells seeds apart: relative (generalizability) and absolute (dependability)."""
    drawn = design.draws(np.random.default_rng(seed), N_DRAWS)
    values = []
    for components in (design.estimates[None], drawn):
        residual = components[:, 2:].sum(axis=1) if len(design.components) == 3 else _with_trials(components, design)
        error = residual / design.n_items
        absolute = error + components[:, 1] / design.n_items
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = [components[:, 0] / (components[:, 0] + noise) for noise in (error, absolute)]
        values.append([np.where(np.isfinite(ratio), ratio, np.nan) for ratio in ratios])
    rows = []
    for place, coefficient in enumerate(("generalizability", "dependability")):
        lower, upper = quantiles(values[1][place])
        rows.append(
            {
                names.BENCHMARK: run.benchmark,
                names.RUN: name,
                names.STEP: step,
                "coefficient": coefficient,
                "estimate": float(values[0][place][0]),
                "q05": float(lower),
                "q95": float(upper),
            }
        )
    return pd.DataFrame(rows)


def _with_trials(components: np.ndarray, design: VarianceComponents) -> np.ndarray:
    """Seed x item with the share of the noise of answers that a cell's mean keeps."""
    return np.asarray(components[:, 2] + components[:, 3] * design.mixing[0, 3])


def _run_reliability(runs: list[RunScores], step: str) -> pd.DataFrame:
    """Give the share of the variance of one-seed scores at a step that is between runs."""
    scores = [run.scores()[:, run.steps.index(step)] for run in runs if step in run.steps]
    value, lower, upper = run_reliability([each[np.isfinite(each)] for each in scores])
    row = {names.BENCHMARK: runs[0].benchmark, names.RUN: EVERY_RUN, names.STEP: step}
    return pd.DataFrame([row | {"coefficient": "run_reliability", "estimate": value, "q05": lower, "q95": upper}])
