"""Seed variance of a table of responses: metrics, components, curves, detectable differences, and checks of its seeds.

Intervals of the sd over seeds suppose normal seeds: the checks look for one that stands out, and for heavy tails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import special

from irt_bench import names
from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError, unknown_choice
from irt_bench.inference.convergence import Check
from irt_bench.responses.table import (
    ResponseTable,
)
from irt_bench.variance.components import component_tables
from irt_bench.variance.detect import POWER, detection_table, needed_table
from irt_bench.variance.metrics import N_BOOTSTRAP, metric_notes, pooled_metrics, variance_metrics
from irt_bench.variance.moments import ROUNDING
from irt_bench.variance.paired_scores import MIN_PAIRED_SEEDS, UNDEFINED, compare_variance
from irt_bench.variance.scores import (
    ACCURACY,
    RunScores,
    ScoreMatrix,
    SeedLayout,
    continuous_measures,
    measure_matrix,
    run_scores,
    seed_layout,
)
from irt_bench.variance.variance_curve import (
    N_SUBSETS,
    RANDOM,
    curve_sizes,
    form_curves,
    predicted_curve,
    simulated_curves,
)
from irt_bench.workers import Progress

PAIRED_BOOTSTRAP: Final = 100  # resamples of seeds and items in comparisons of measures with accuracy


def benchmark_runs(table: ResponseTable, layout: SeedLayout, notes: list[str]) -> dict[str, list[RunScores]]:
    """Arrange the answers of one benchmark by run: one list of runs per measure, accuracy first.

    Raises
    ------
    AnalysisError
        If no run has two seeds with answers.
    """
    counts = table.counts()
    if counts.measure == "correct":
        axes = (counts.models.index, counts.items)
        accuracy = ScoreMatrix(counts.benchmark, ACCURACY, counts.proportions(), counts.trials, *axes)
    else:
        accuracy = measure_matrix(table, ACCURACY, table.answers[names.SCORE].to_numpy(dtype=np.float64))
    found = {ACCURACY: run_scores(accuracy, layout)}
    measures, remarks = continuous_measures(table)
    notes.extend(f"{counts.benchmark}: {each}" for each in remarks)
    for scores in measures:
        try:
            found[scores.measure] = run_scores(scores, layout)
        except AnalysisError as error:  # this measure is missing in the logs of the seeds
            notes.append(str(error))
    return found


def with_subtasks_from(table: ResponseTable, column: str) -> ResponseTable:
    """Use another column of the items as their subtask (or template).

    Raises
    ------
    AnalysisError
        If there is no such column; lists the columns.
    """
    if column not in table.items:
        raise AnalysisError(unknown_choice("column of the items", column, table.items.columns))
    return replace(table, items=table.items.assign(**{names.SUBTASK: table.items[column].astype("str")}))


def one_measure(
    table: ResponseTable, measure: str = ACCURACY, *, run_columns: Sequence[str] | None = None
) -> tuple[list[RunScores], list[str]]:
    """Return the runs of the only benchmark for one measure, and notes.

    Raises
    ------
    AnalysisError
        If the measure is missing; lists the measures.
    """
    one = table.one_benchmark()
    layout = seed_layout(one.models, run_columns=run_columns)
    notes = list(layout.notes)
    found = benchmark_runs(one, layout, notes)
    if measure not in found:
        raise AnalysisError(unknown_choice("measure", measure, found))
    return found[measure], notes


@dataclass(frozen=True)
class SeedVarianceResult:
    """Result of `analyse_seed_variance`.

    Parameters
    ----------
    metrics, pooled : pd.DataFrame
        One row per (benchmark, subtask, run, measure), and pooled over runs; see `irt_bench.variance.metrics`.
    components : pd.DataFrame
        Variance components of accuracy: ``benchmark, run, step, component, estimate, q05, q95, design``. Rows with an
        empty run are pooled over runs; rows with an empty step are over all steps.
    coefficients : pd.DataFrame
        Generalizability and dependability: ``benchmark, run, step, coefficient, estimate, q05, q95``.
    curve : pd.DataFrame
        Seed sd by number of items k: ``benchmark, run, k, predicted_sd`` with its interval, ``simulated_sd,
        simulated_q05, simulated_q95``, and ``form`` (random subsets; with subtasks, also stratified and nested).
    measures : pd.DataFrame
        Continuous measures compared with accuracy on the same seeds; empty if logs have none.
    detectable : pd.DataFrame
        Minimum detectable differences, and seeds or items needed for a given difference.
    needed : pd.DataFrame
        Seeds that detect a given difference, by task, measure, items and trials; empty where none is given.
    scores : pd.DataFrame
        ``benchmark, run, measure, seed, step, score``.
    seed_checks : pd.DataFrame
        Checks for outlying seeds and heavy tails: ``benchmark, name, status, value, threshold, message``.
    notes : tuple of str
        Assumptions, and results that were left out or could not be computed.
    seed : int
        Seed of all random numbers.
    layout : SeedLayout
        Runs, seeds and steps.
    """

    metrics: pd.DataFrame
    pooled: pd.DataFrame
    components: pd.DataFrame
    coefficients: pd.DataFrame
    curve: pd.DataFrame
    measures: pd.DataFrame
    detectable: pd.DataFrame
    needed: pd.DataFrame
    scores: pd.DataFrame
    seed_checks: pd.DataFrame
    notes: tuple[str, ...]
    seed: int
    layout: SeedLayout = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a file."""
        return {
            "seed": self.seed,
            "benchmarks": list(self.metrics[names.BENCHMARK].unique()),
            "runs": self.layout.runs,
            "steps": list(self.layout.steps),
            "run_columns": list(self.layout.run_columns),
            "seeds_per_run": {str(run): int(n) for run, n in self.layout.n_seeds.items()},
            "notes": list(self.notes),
            "pooled": self.pooled.to_dict("records"),
            "measures": self.measures.to_dict("records"),
            "detectable": self.detectable.to_dict("records"),
            "needed": self.needed.to_dict("records"),
            "seed_checks": self.seed_checks.to_dict("records"),
        }


def analyse_seed_variance(
    table: ResponseTable,
    *,
    run_columns: Sequence[str] | None = None,
    seed: int = 0,
    n_subsets: int = N_SUBSETS,
    n_bootstrap: int = N_BOOTSTRAP,
    difference: float | None = None,
    power: float = POWER,
    progress: Progress | None = None,
) -> SeedVarianceResult:
    """Analyse the seed variance of every benchmark in a table; see `irt_bench.seed_variance`.

    Raises
    ------
    AnalysisError
        If seeds are not known, or no run has two; see `seed_layout`.
    """
    layout = seed_layout(table.models, run_columns=run_columns)
    parts: dict[str, list[pd.DataFrame]] = {}
    notes = list(layout.notes)
    for done, benchmark in enumerate(table.benchmarks):
        if progress is not None:
            progress(benchmark, done, len(table.benchmarks))
        found = benchmark_runs(table.select(benchmark), layout, notes)
        tables = _analyse(found, seed, n_subsets, n_bootstrap, notes)
        shown = [detection_table(runs, difference=difference, power=power) for runs in found.values()]
        tables |= {"detectable": pd.concat(shown, ignore_index=True), "needed": pd.DataFrame()}
        if difference is not None:
            tables["needed"] = needed_table(found, difference=difference, power=power)
        for name, frame in tables.items():
            parts.setdefault(name, []).append(frame)
    frames = {name: pd.concat(each, ignore_index=True) for name, each in parts.items()}
    if progress is not None:
        progress("done", len(table.benchmarks), len(table.benchmarks))
    return SeedVarianceResult(**frames, notes=tuple(dict.fromkeys(notes)), seed=seed, layout=layout)


def _analyse(
    found: dict[str, list[RunScores]], seed: int, n_subsets: int, n_bootstrap: int, notes: list[str]
) -> dict[str, pd.DataFrame]:
    accuracy = found[ACCURACY]
    rng = np.random.default_rng(seed)
    everything = [run for runs in found.values() for run in runs]
    metrics = variance_metrics(everything, seed=seed, n_bootstrap=n_bootstrap)
    notes.extend(metric_notes(metrics))
    incomplete = [run.run for run in accuracy if not run.complete]
    if incomplete:
        notes.append(
            f"{accuracy[0].benchmark}: cells are missing in {len(incomplete)} runs, first {incomplete[0]!r}; estimates "
            "assume that cells are missing at random, and random subsets are not simulated"
        )
    components, coefficients = component_tables(accuracy, seed, notes)
    simulated = simulated_curves(accuracy, rng, n_subsets)
    curves = [_curve(run, seed, rng, n_subsets, simulated[run.run]) for run in accuracy]
    return {
        "metrics": metrics,
        "pooled": pooled_metrics(metrics, everything),
        "components": components,
        "coefficients": coefficients,
        "curve": pd.concat(curves, ignore_index=True),
        "measures": _measures(found, seed, n_bootstrap, notes),
        "seed_checks": _checks(accuracy, notes),
        "scores": pd.concat([_score_frame(run) for runs in found.values() for run in runs], ignore_index=True),
    }


def _curve(
    run: RunScores, seed: int, rng: np.random.Generator, n_subsets: int, simulated: pd.DataFrame
) -> pd.DataFrame:
    sizes = curve_sizes(run.n_items)
    # Same seed as for the components, so that both tables have the same intervals.
    predicted = predicted_curve(run, sizes, np.random.default_rng(seed), run.subtask_codes())
    frame = predicted.merge(simulated, on="k").assign(form=RANDOM)
    frame = pd.concat([frame, form_curves(run, sizes, rng, n_subsets)], ignore_index=True)
    frame.insert(0, names.BENCHMARK, run.benchmark)
    frame.insert(1, names.RUN, run.run)
    first = [names.BENCHMARK, names.RUN, "k", "predicted_sd", "simulated_sd", "simulated_q05", "simulated_q95"]
    return frame[[*first, *frame.columns.difference(first)]]


def _measures(found: dict[str, list[RunScores]], seed: int, n_bootstrap: int, notes: list[str]) -> pd.DataFrame:
    """Compare every continuous measure with accuracy on the same seeds and items."""
    rows = []
    for name, runs in found.items():
        if name == ACCURACY:
            continue
        if max(run.n_seeds for run in runs) < MIN_PAIRED_SEEDS:
            notes.append(
                f"{runs[0].benchmark}: measures are not compared, which needs {MIN_PAIRED_SEEDS} seeds of a run"
            )
            break
        compared = compare_variance(
            runs, found[ACCURACY], labels=(name, ACCURACY), seed=seed, n_bootstrap=min(n_bootstrap, PAIRED_BOOTSTRAP)
        )
        rows.append({names.BENCHMARK: runs[0].benchmark, **compared.row()})
    undefined = [str(row["a"]) for row in rows if UNDEFINED in (row["verdict"], row["snr_verdict"])]
    if undefined:
        notes.append(
            f"{found[ACCURACY][0].benchmark}: {', '.join(undefined)} not compared with accuracy: one of the two has "
            "the same score for all seeds, or for all but one"
        )
    return pd.DataFrame(rows)


def _checks(runs: list[RunScores], notes: list[str]) -> pd.DataFrame:
    """Run the checks of seeds; failures are also notes."""
    found = seed_checks(runs)
    notes.extend(f"{runs[0].benchmark}: {check.message}" for check in found if check.status == "failed")
    columns = [names.BENCHMARK, "name", "status", "value", "threshold", "message"]
    return pd.DataFrame([{names.BENCHMARK: runs[0].benchmark, **check.to_dict()} for check in found])[columns]


def _score_frame(run: RunScores) -> pd.DataFrame:
    scores = run.scores()
    seed, step = np.indices(scores.shape)
    frame = pd.DataFrame(
        {
            names.BENCHMARK: run.benchmark,
            names.RUN: run.run,
            "measure": run.measure,
            names.SEED: np.array(run.seeds, dtype=object)[seed.ravel()],
            names.STEP: np.array(run.steps, dtype=object)[step.ravel()],
            "score": scores.ravel(),
        }
    )
    return frame[frame["score"].notna()].reset_index(drop=True)


LEVEL: Final = 0.05  # of each check of the seeds
FEWEST_SEEDS: Final = 3
FEWEST_RUNS: Final = 4  # from which on their sds are compared
OUT_BY: Final = 10.0  # sds of the diverged seed in the figure of power
COARSE: Final = 1.5  # items; below, the sds of runs are mostly rounding and not compared
HEAVY: Final = 3  # degrees of freedom of the t distribution in the figure of power
N_REFERENCE: Final = 20_000  # draws of normal seeds behind a p-value
N_POWER: Final = 400  # data sets behind a figure of power: +-.05


def seed_checks(runs: Sequence[RunScores]) -> tuple[Check, ...]:
    """Check whether the seeds of the runs look like values of a normal distribution, as intervals of their sd suppose.

    Parameters
    ----------
    runs : sequence of RunScores
        Of one benchmark and measure; their scores at the last step, runs of three seeds or more.

    Returns
    -------
    tuple of Check
        ``outlying_seed``: none stands out from its run (the largest deviation in sds, Grubbs), nor, with four runs or
        more, does one make its run's sd stand out (the largest log sd). ``normal_seeds``: the largest deviations of
        all runs together are not too large (Fisher's method). Values are p-values, from normal seeds drawn at random;
        each check fails in 5% of data sets of normal seeds. Messages state the power.

    Notes
    -----
    Three seeds of one run can show next to nothing, since two of them often lie close to each other.

    References
    ----------
    .. [1] Grubbs, Sample criteria for testing outlying observations, 1950, DOI 10.1214/aoms/1177729885.
    """
    used = [(run, final) for run in runs if (final := _final(run)).notna().sum() >= FEWEST_SEEDS]
    scores = [final.dropna().to_numpy(dtype=np.float64) for _, final in used]
    scores = [x if np.ptp(x) > ROUNDING * abs(x.mean()) else np.full(len(x), x[0]) for x in scores]
    if not any(np.ptp(x) > 0 for x in scores):
        text = f"no run has {FEWEST_SEEDS} seeds whose scores differ"
        return tuple(Check(name, "not_applicable", None, LEVEL, text) for name in ("outlying_seed", "normal_seeds"))
    grain = 1 / max(run.n_items for run, _ in used) if used[0][0].binary else 0.0
    within, between, shape = (each[0] for each in _seed_p_values([x[None] for x in scores], grain))
    powers = _powers(tuple(len(x) for x in scores))
    seed, text = _outlying([final.dropna() for _, final in used], within, between)
    return (
        Check(
            "outlying_seed", "passed" if seed > LEVEL else "failed", seed, LEVEL,
            (text if seed <= LEVEL else "no seed stands out") + f"; one {OUT_BY:g} sds off is found in {powers[0]:.0%} "
            "of such data",
        ),
        Check(
            "normal_seeds", "passed" if shape > LEVEL else "failed", float(shape), LEVEL,
            ("seeds lie farther out than normal ones: intervals of the seed sd are too narrow; go by seed_sd_robust"
             if shape <= LEVEL else "seeds lie no farther out than normal ones")
            + f"; heavy tails (t, {HEAVY} degrees of freedom) are found in {powers[1]:.0%} of such data",
        ),
    )  # fmt: skip


def _final(run: RunScores) -> pd.Series:
    """Scores at the last step by seed, named as the run."""
    return pd.Series(run.scores()[:, -1], index=list(run.seeds), name=run.run)


def _outlying(finals: Sequence[pd.Series], within: FloatArray, between: FloatArray) -> tuple[float, str]:
    """Smallest p-value of a seed, all runs and both ways of standing out taken into account, and what to say of it."""
    ways = [within * len(finals), between] if np.isfinite(between).all() else [within * len(finals)]
    first = min(ways, key=np.min)
    place = int(np.argmin(first))
    final = finals[place]
    away = (final - final.median()).abs()
    seed, others = str(away.idxmax()), away.drop(away.idxmax()).max()
    return min(1.0, float(first.min()) * len(ways)), (
        f"seed {seed!r} of run {final.name!r} is {away.max():.3g} off the median of its run, the others at most "
        f"{others:.3g}: the sd over seeds is mostly its doing; go by seed_sd_robust, or leave it out"
    )


def _seed_p_values(runs: Sequence[FloatArray], grain: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give p-values of each run's largest deviation and of each run's sd, and of all deviations together.

    Parameters
    ----------
    runs : sequence of arrays of shape (data set, seed)
    grain : float
        What scores are multiples of. Rounding to it makes seeds tie; its variance is added, lest ties look like seeds
        far closer together than the last.

    Returns
    -------
    within, between : arrays of shape (data set, run)
        The latter, of the run with the largest sd, holds its p-value for the largest of all; NaN with few runs.
    shape : array of shape (data set,)
    """
    sizes = tuple(x.shape[1] for x in runs)
    rounding = grain**2 / 6  # of the difference of two rounded scores
    variances = np.stack([x.var(axis=1, ddof=1) + rounding for x in runs], axis=1)
    within = np.ones(variances.shape)
    for place, x in enumerate(runs):
        known = variances[:, place] > 0
        largest = np.abs(x - x.mean(axis=1, keepdims=True)).max(axis=1)[known] / np.sqrt(variances[known, place])
        within[known, place] = _upper_share(largest, _largest_deviations(sizes[place]))
    with np.errstate(divide="ignore"):
        shape = special.chdtrc(2 * len(runs), -2 * np.log(within).sum(axis=1))
    between = np.full(within.shape, np.nan)
    if len(runs) >= FEWEST_RUNS and (variances > 0).all():
        between = np.ones(within.shape)
        fine = np.flatnonzero(np.median(variances, axis=1) > (COARSE * grain) ** 2)
        logs = _standing(np.log(variances[fine]))
        between[fine, logs.argmax(axis=1)] = _upper_share(logs.max(axis=1), _largest_spreads(sizes))
    return within, between, np.asarray(shape)


def _standing(logs: FloatArray) -> FloatArray:
    spread = np.maximum(logs.std(axis=1, ddof=1, keepdims=True), ROUNDING)  # runs of few items may have equal sds
    return np.asarray((logs - logs.mean(axis=1, keepdims=True)) / spread)


def _upper_share(values: FloatArray, reference: FloatArray) -> FloatArray:
    """Share of sorted reference values that are at least as large, never 0."""
    above = len(reference) - np.searchsorted(reference, values, side="left")
    return np.asarray((above + 1) / (len(reference) + 1))


@lru_cache(maxsize=128)
def _largest_deviations(size: int) -> FloatArray:
    """Largest deviation in sds of so many normal seeds, sorted."""
    x = np.random.default_rng(0).normal(size=(2 * N_REFERENCE, size))
    return np.sort(np.abs(x - x.mean(axis=1, keepdims=True)).max(axis=1) / x.std(axis=1, ddof=1))


@lru_cache(maxsize=128)
def _largest_spreads(sizes: tuple[int, ...]) -> FloatArray:
    """Largest log variance of runs of so many normal seeds, in sds about their mean, sorted."""
    nu = np.array(sizes) - 1.0
    logs = np.log(np.random.default_rng(0).chisquare(nu, size=(N_REFERENCE, len(sizes))) / nu)
    return np.sort(_standing(logs).max(axis=1))


@lru_cache(maxsize=128)
def _powers(sizes: tuple[int, ...]) -> tuple[float, float]:
    """Power of the two checks: one seed of the first run off by `OUT_BY` sds; all seeds of a t distribution."""
    rng = np.random.default_rng(0)
    out = [rng.normal(size=(N_POWER, size)) for size in sizes]
    out[0][:, 0] += OUT_BY
    within, between, _ = _seed_p_values(out, 0.0)
    ways = [within.min(axis=1) * len(sizes)]
    if np.isfinite(between).all():
        ways.append(between.min(axis=1))
    shape = _seed_p_values([rng.standard_t(HEAVY, size=(N_POWER, size)) for size in sizes], 0.0)[2]
    return float((np.min(ways, axis=0) * len(ways) <= LEVEL).mean()), float((shape <= LEVEL).mean())
