"""Seed variance of a table of responses: scores of its runs, and metrics, components, curves, detectable differences.

Scores are accuracy, and continuous measures from log-probabilities:

| measure | definition for one answer | better |
|---|---|---|
| gold_probability | probability of the gold choice among the choices: softmax of their log-probabilities | higher |
| gold_probability_per_char, .._per_byte | the same, each log-probability divided by its choice's length | higher |
| loglikelihood | log-probability of the gold choice, or of the only reference answer | higher |
| margin | log-probability of the gold choice minus that of the best other choice | higher |
| brier | sum over choices of (probability - [gold])^2, in [0, 2] | lower |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from irt_bench import names
from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError, unknown_choice
from irt_bench.responses.counts import smallest_integer
from irt_bench.responses.table import (
    CHOICE_BYTES,
    CHOICE_CHARS,
    CHOICE_LOGPROBS,
    GOLD,
    LOGLIKELIHOOD,
    ResponseTable,
    categorical,
    item_positions,
)
from irt_bench.variance.components import component_tables
from irt_bench.variance.detect import POWER, detection_table, needed_table
from irt_bench.variance.metrics import N_BOOTSTRAP, metric_notes, pooled_metrics, variance_metrics
from irt_bench.variance.paired_scores import MIN_PAIRED_SEEDS, UNDEFINED, compare_variance
from irt_bench.variance.scores import ACCURACY, RunScores, ScoreMatrix, SeedLayout, run_scores, seed_layout
from irt_bench.variance.seed_checks import seed_checks
from irt_bench.variance.variance_curve import (
    N_SUBSETS,
    RANDOM,
    curve_sizes,
    form_curves,
    predicted_curve,
    simulated_curve,
)
from irt_bench.workers import Progress

GOLD_PROBABILITY: Final = "gold_probability"
PER_CHAR: Final = "gold_probability_per_char"
PER_BYTE: Final = "gold_probability_per_byte"
MARGIN: Final = "margin"
BRIER: Final = "brier"
LOWER_IS_BETTER: Final = (BRIER,)
LENGTHS: Final = {PER_CHAR: CHOICE_CHARS, PER_BYTE: CHOICE_BYTES}  # answer columns with one length per choice
PAIRED_BOOTSTRAP: Final = 100  # resamples of seeds and items in comparisons of measures with accuracy


class ContinuousMeasure(NamedTuple):
    """One measure as a (model, item) matrix of means over trials; NaN where it is unknown.

    ``within`` is the variance (ddof 1) of the answers of a cell, NaN with fewer than two answers.
    """

    name: str
    values: FloatArray
    trials: npt.NDArray[np.integer]
    within: FloatArray

    @property
    def lower_is_better(self) -> bool:
        """Whether lower is better."""
        return self.name in LOWER_IS_BETTER


def continuous_measures(table: ResponseTable) -> tuple[list[ContinuousMeasure], list[str]]:
    """Compute all measures of one benchmark for which the answers have the columns, and say which could not be."""
    answers = table.answers
    notes: list[str] = []
    columns: dict[str, FloatArray] = {}
    if CHOICE_LOGPROBS in answers:
        logprobs = padded(answers[CHOICE_LOGPROBS])
        gold = _gold(table, logprobs, notes)
        if gold is not None:
            columns |= choice_measures(logprobs, gold)
            for name, column in LENGTHS.items():
                if column in answers:
                    columns[name] = choice_measures(logprobs / padded(answers[column]), gold)[GOLD_PROBABILITY]
    if LOGLIKELIHOOD in answers:
        reference = answers[LOGLIKELIHOOD].to_numpy(dtype=np.float64)
        known = columns.get(LOGLIKELIHOOD, np.full(len(reference), np.nan))
        columns[LOGLIKELIHOOD] = np.where(np.isfinite(known), known, reference)
    return [measure_matrix(table, name, values) for name, values in columns.items()], notes


def choice_measures(logprobs: FloatArray, gold: npt.NDArray[np.integer]) -> dict[str, FloatArray]:
    """Measures of answers to choice items.

    Parameters
    ----------
    logprobs : array of shape (answer, choice)
        Natural logarithms, NaN beyond the choices of an item.
    gold : array of shape (answer,)
        Position of the right choice; -1 if unknown.

    Returns
    -------
    dict of name to array of shape (answer,)
        NaN if the gold choice is unknown or there are fewer than two choices.
    """
    there = ~np.isnan(logprobs)
    known = (gold >= 0) & (there.sum(axis=1) > 1) & (gold < logprobs.shape[1])
    at = np.where(known, gold, 0)[:, None]
    safe = np.where(there, logprobs, -np.inf)
    safe[~known] = 0.0
    best = safe.max(axis=1, keepdims=True)
    known &= np.isfinite(best[:, 0])  # otherwise every choice has probability 0
    probability = special.softmax(np.where(np.isfinite(best), safe, 0.0), axis=1)
    own = np.take_along_axis(safe, at, axis=1)[:, 0]
    others = safe.copy()
    np.put_along_axis(others, at, -np.inf, axis=1)
    right = np.take_along_axis(probability, at, axis=1)[:, 0]
    with np.errstate(invalid="ignore"):
        found = {
            GOLD_PROBABILITY: right,
            LOGLIKELIHOOD: own,
            MARGIN: own - others.max(axis=1),
            BRIER: (probability**2).sum(axis=1) - 2 * right + 1,
        }
    return {name: np.where(known & np.isfinite(values), values, np.nan) for name, values in found.items()}


def padded(lists: pd.Series) -> FloatArray:
    """Arrange lists of numbers as rows of one array, with NaN beyond their ends; a missing list is a row of NaN."""
    rows = [np.asarray(row, dtype=np.float64) if row is not None and np.ndim(row) else np.zeros(0) for row in lists]
    lengths = np.fromiter(map(len, rows), dtype=np.intp, count=len(rows))
    out = np.full((len(rows), max(int(lengths.max(initial=0)), 1)), np.nan)
    out[np.arange(out.shape[1]) < lengths[:, None]] = np.concatenate([*rows, np.zeros(0)])
    return out


def _gold(table: ResponseTable, logprobs: FloatArray, notes: list[str]) -> npt.NDArray[np.integer] | None:
    if GOLD in table.items:
        at_item = item_positions(table.answers, table.items.index)
        gold = pd.to_numeric(table.items[GOLD], errors="coerce").fillna(-1).to_numpy(dtype=np.int64)
        return np.asarray(gold[at_item])
    position = _constant_gold(table, logprobs)
    if position is None:
        notes.append(
            "choice_logprobs without a column 'gold': only accuracy is analysed. Add the position of the right choice"
        )
        return None
    notes.append(f"no column 'gold': choice {position} is right, because answers are correct where it is the likeliest")
    return np.full(len(logprobs), position)


def _constant_gold(table: ResponseTable, logprobs: FloatArray) -> int | None:
    """Find the position that is the likeliest choice in exactly the correct answers."""
    if names.CORRECT not in table.answers:
        return None
    right = table.answers[names.CORRECT].to_numpy() == 1
    known = ~np.isnan(logprobs).all(axis=1)
    leading = np.where(np.isnan(logprobs), -np.inf, logprobs).argmax(axis=1)
    if not right[known].any():
        return None
    position = int(np.bincount(leading[known & right]).argmax())
    return position if ((leading == position) == right)[known].all() else None


def measure_matrix(table: ResponseTable, name: str, values: FloatArray) -> ContinuousMeasure:
    """Arrange one value per answer as a (model, item) matrix, in the order of ``table.counts()``.

    Raises
    ------
    AnalysisError
        If the table holds several benchmarks.
    """
    if len(table.benchmarks) != 1:
        raise AnalysisError(f"one benchmark is needed, {len(table.benchmarks)} were given; choose one.")
    model = categorical(table.answers[names.MODEL])
    row = table.models.index.get_indexer(model.categories)[model.codes].astype(np.int64)
    known = np.isfinite(values)
    cell = (row * len(table.items) + item_positions(table.answers, table.items.index))[known]
    size, shape = len(table.models) * len(table.items), (len(table.models), len(table.items))
    trials = np.bincount(cell, minlength=size)
    mean = _share(np.bincount(cell, weights=values[known], minlength=size), trials)
    squares = np.bincount(cell, weights=(values[known] - mean[cell]) ** 2, minlength=size)
    within = _share(squares, trials - 1)
    counted = trials.astype(smallest_integer(int(trials.max(initial=1))))
    return ContinuousMeasure(name, mean.reshape(shape), counted.reshape(shape), within.reshape(shape))


def _share(total: npt.NDArray, n: npt.NDArray[np.integer]) -> FloatArray:
    return np.asarray(np.divide(total, n, out=np.full(len(total), np.nan), where=n > 0))


def benchmark_runs(table: ResponseTable, layout: SeedLayout, notes: list[str]) -> dict[str, list[RunScores]]:
    """Arrange the answers of one benchmark by run: one list of runs per measure, accuracy first.

    Raises
    ------
    AnalysisError
        If no run has two seeds with answers.
    """
    counts = table.counts()
    axes = (counts.models.index, counts.items)
    if counts.measure == "correct":
        accuracy = ScoreMatrix(counts.benchmark, ACCURACY, counts.proportions(), counts.trials, *axes)
    else:
        scored = measure_matrix(table, ACCURACY, table.answers[names.SCORE].to_numpy(dtype=np.float64))
        accuracy = _cells(scored, counts.benchmark, axes)
    found = {ACCURACY: run_scores(accuracy, layout)}
    measures, remarks = continuous_measures(table)
    notes.extend(f"{counts.benchmark}: {each}" for each in remarks)
    for measure in measures:
        try:
            found[measure.name] = run_scores(_cells(measure, counts.benchmark, axes), layout)
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


def _cells(measure: ContinuousMeasure, benchmark: str, axes: tuple[pd.Index, pd.DataFrame]) -> ScoreMatrix:
    return ScoreMatrix(
        benchmark, measure.name, measure.values, measure.trials, *axes,
        binary=False, lower_is_better=measure.lower_is_better, within=measure.within,
    )  # fmt: skip


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
    return {
        "metrics": metrics,
        "pooled": pooled_metrics(metrics, everything),
        "components": components,
        "coefficients": coefficients,
        "curve": pd.concat([_curve(run, seed, rng, n_subsets) for run in accuracy], ignore_index=True),
        "measures": _measures(found, seed, n_bootstrap, notes),
        "seed_checks": _checks(accuracy, notes),
        "scores": pd.concat([_score_frame(run) for runs in found.values() for run in runs], ignore_index=True),
    }


def _curve(run: RunScores, seed: int, rng: np.random.Generator, n_subsets: int) -> pd.DataFrame:
    sizes = curve_sizes(run.n_items)
    # Same seed as for the components, so that both tables have the same intervals.
    predicted = predicted_curve(run, sizes, np.random.default_rng(seed), run.subtask_codes())
    frame = predicted.merge(simulated_curve(run, sizes, rng, n_subsets), on="k").assign(form=RANDOM)
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
