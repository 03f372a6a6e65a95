"""Analysis of seed variance of a table of responses: metrics, components, curves and detectable differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from irt_bench import names
from irt_bench.responses.table import ResponseTable
from irt_bench.variance.benchmark_runs import benchmark_runs
from irt_bench.variance.components import component_tables
from irt_bench.variance.detect import POWER, detection_table, needed_table
from irt_bench.variance.metrics import N_BOOTSTRAP, metric_notes, pooled_metrics, variance_metrics
from irt_bench.variance.paired_scores import MIN_PAIRED_SEEDS, UNDEFINED, compare_variance
from irt_bench.variance.scores import ACCURACY, RunScores, SeedLayout, seed_layout
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

PAIRED_BOOTSTRAP: Final = 100  # resamples of seeds and items in comparisons of measures with accuracy


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
