"""Tables of variance components and of the coefficients made of them: each run and step, all steps, all runs."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from irt_bench import names
from irt_bench.variance.components import SEED, Design, two_way
from irt_bench.variance.few_seeds import N_DRAWS, pooled_freedom, quantiles, run_reliability
from irt_bench.variance.larger_designs import with_steps, with_subtasks
from irt_bench.variance.moments import item_covariance
from irt_bench.variance.scores import RunScores

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
    by_step: dict[str, list[tuple[Design, int]]] = {}
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


def _pooled_design(designs: list[tuple[Design, int]]) -> Design:
    """Average components over runs, weight S - 1; runs are independent over seeds, the items are the same.

    Runs may differ in their variance over seeds; see `pooled_freedom`.
    """
    designs = [pair for pair in designs if pair[0].components == designs[0][0].components]  # all with trials, or none
    weights = np.array([weight for _, weight in designs], dtype=np.float64)
    share = weights / weights.sum()
    first = designs[0][0]
    estimates = share @ np.array([design.estimates for design, _ in designs])
    freedoms = np.array([design.freedom for design, _ in designs])
    squares = share[:, None] * np.array([design.mean_squares for design, _ in designs])
    over_seeds = np.array([name == SEED for name in first.components])
    pooled = [pooled_freedom(each, nu) for each, nu in zip(squares.T, freedoms.T, strict=True)]
    freedom = np.where(over_seeds, pooled, 1 / np.einsum("r,rc->c", share, 1 / freedoms))
    mixing = np.einsum("r,rij->ij", share, np.array([design.mixing for design, _ in designs]))
    return Design(first.components, estimates, mixing, freedom, first.n_items)


def _component_rows(run: RunScores, name: str, step: str, design_name: str, design: Design, seed: int) -> pd.DataFrame:
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


def _coefficient_rows(run: RunScores, name: str, step: str, design: Design, seed: int) -> pd.DataFrame:
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


def _with_trials(components: np.ndarray, design: Design) -> np.ndarray:
    """Seed x item with the share of the noise of answers that a cell's mean keeps."""
    return np.asarray(components[:, 2] + components[:, 3] * design.mixing[0, 3])


def _run_reliability(runs: list[RunScores], step: str) -> pd.DataFrame:
    """Give the share of the variance of one-seed scores at a step that is between runs."""
    scores = [run.scores()[:, run.steps.index(step)] for run in runs if step in run.steps]
    value, lower, upper = run_reliability([each[np.isfinite(each)] for each in scores])
    row = {names.BENCHMARK: runs[0].benchmark, names.RUN: EVERY_RUN, names.STEP: step}
    return pd.DataFrame([row | {"coefficient": "run_reliability", "estimate": value, "q05": lower, "q95": upper}])
