"""The whole analysis of seed variance: one table of responses → measures, components, curves, what can be detected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from irt_bench import names
from irt_bench.errors import AnalysisError, unknown_choice
from irt_bench.responses.table import ResponseTable
from irt_bench.variance.comparison import FEWEST_SEEDS, compare_variance
from irt_bench.variance.components import SEED, Design, two_way, with_steps, with_subtasks
from irt_bench.variance.continuous import continuous_measures
from irt_bench.variance.curve import N_SUBSETS, curve_sizes, predicted_curve, simulated_curve
from irt_bench.variance.detect import detection_table
from irt_bench.variance.few_seeds import N_DRAWS, quantiles
from irt_bench.variance.layout import SeedLayout, seed_layout
from irt_bench.variance.metrics import N_BOOTSTRAP, pooled_metrics, variance_metrics
from irt_bench.variance.moments import item_covariance
from irt_bench.variance.scores import ACCURACY, RunScores, run_scores

Progress = Callable[[str, int, int], None]

EVERY_STEP: Final = ""  # in the column of steps: a design over all steps of a run
EVERY_RUN: Final = ""  # in the column of runs: pooled over runs
PAIRED_BOOTSTRAP: Final = 100  # resamples of seeds and items together, for each measure against accuracy


@dataclass(frozen=True)
class SeedVariance:
    """What `analyse_seed_variance` found.

    Parameters
    ----------
    metrics, pooled : pd.DataFrame
        One row a (benchmark, subtask, run, measure), and pooled over runs; see `irt_bench.variance.metrics`.
    components : pd.DataFrame
        ``benchmark, run, step, component, estimate, q05, q95``: variances of accuracy. Run empty: pooled over runs;
        step empty: over all steps, ``design`` saying which.
    coefficients : pd.DataFrame
        ``benchmark, run, step, coefficient, estimate, q05, q95``: generalizability and dependability.
    curve : pd.DataFrame
        ``benchmark, run, k, predicted_sd, simulated_sd, simulated_q05, simulated_q95`` and the prediction's interval.
    measures : pd.DataFrame
        Continuous measures against accuracy on the same seeds; empty where logs hold none.
    detectable : pd.DataFrame
        Minimum detectable differences.
    scores : pd.DataFrame
        ``benchmark, run, measure, seed, step, score``.
    notes : tuple of str
        What was decided, left out or could not be computed.
    seed : int
        Of everything random.
    """

    metrics: pd.DataFrame
    pooled: pd.DataFrame
    components: pd.DataFrame
    coefficients: pd.DataFrame
    curve: pd.DataFrame
    measures: pd.DataFrame
    detectable: pd.DataFrame
    scores: pd.DataFrame
    notes: tuple[str, ...]
    seed: int
    layout: SeedLayout = field(repr=False)

    def summary(self) -> dict[str, Any]:
        """Plain values for a file: counts, notes, pooled measures, the comparison of measures."""
        return {
            "seed": self.seed,
            "benchmarks": list(self.metrics[names.BENCHMARK].unique()),
            "runs": self.layout.runs,
            "steps": list(self.layout.steps),
            "run_columns": list(self.layout.run_columns),
            "seeds_a_run": {str(run): int(n) for run, n in self.layout.n_seeds.items()},
            "notes": list(self.notes),
            "pooled": self.pooled.to_dict("records"),
            "measures": self.measures.to_dict("records"),
            "detectable": self.detectable.to_dict("records"),
        }


def analyse_seed_variance(
    table: ResponseTable,
    *,
    run_columns: Sequence[str] | None = None,
    seed: int = 0,
    n_subsets: int = N_SUBSETS,
    n_bootstrap: int = N_BOOTSTRAP,
    progress: Progress | None = None,
) -> SeedVariance:
    """Analyse the seed variance of every benchmark in a table.

    Parameters
    ----------
    table : ResponseTable
        Models with a ``seed``; ``run`` and ``step`` where there are any.
    run_columns : sequence of str, optional
        Model columns that name the run; see `seed_layout`.
    seed : int
        Of the bootstrap, the draws and the subsets: same seed, same result.
    n_subsets, n_bootstrap : int
        Random subsets a size, and resamples of the items.
    progress : callable, optional
        Called with (benchmark, done, total).

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
        for name, frame in _analyse(found, seed, n_subsets, n_bootstrap, notes).items():
            parts.setdefault(name, []).append(frame)
    frames = {name: pd.concat(each, ignore_index=True) for name, each in parts.items()}
    if progress is not None:
        progress("done", len(table.benchmarks), len(table.benchmarks))
    return SeedVariance(**frames, notes=tuple(dict.fromkeys(notes)), seed=seed, layout=layout)


def benchmark_runs(table: ResponseTable, layout: SeedLayout, notes: list[str]) -> dict[str, list[RunScores]]:
    """Arrange one benchmark's answers by run, one list of runs a measure; accuracy first.

    Raises
    ------
    AnalysisError
        If no run has two seeds with answers.
    """
    counts = table.counts()
    binary = counts.measure == "correct"
    found = {
        ACCURACY: run_scores(
            counts.proportions(), counts.trials, counts.models.index, counts.items, layout,
            benchmark=counts.benchmark, binary=binary,
        )
    }  # fmt: skip
    measures, said = continuous_measures(table)
    notes.extend(f"{counts.benchmark}: {each}" for each in said)
    for measure in measures:
        try:
            found[measure.name] = run_scores(
                measure.values, measure.trials, counts.models.index, counts.items, layout,
                benchmark=counts.benchmark, measure=measure.name, binary=False, falling=measure.falling,
            )  # fmt: skip
        except AnalysisError as error:  # the logs of the seeds lack this measure
            notes.append(str(error))
    return found


def one_measure(
    table: ResponseTable, measure: str = ACCURACY, *, run_columns: Sequence[str] | None = None
) -> tuple[list[RunScores], list[str]]:
    """Return the runs of the only benchmark for one measure, and notes.

    Raises
    ------
    AnalysisError
        If the measure is not there; lists those that are.
    """
    one = table.one_benchmark()
    layout = seed_layout(one.models, run_columns=run_columns)
    notes = list(layout.notes)
    found = benchmark_runs(one, layout, notes)
    if measure not in found:
        raise AnalysisError(unknown_choice("measure", measure, found))
    return found[measure], notes


def _analyse(
    found: dict[str, list[RunScores]], seed: int, n_subsets: int, n_bootstrap: int, notes: list[str]
) -> dict[str, pd.DataFrame]:
    accuracy = found[ACCURACY]
    rng = np.random.default_rng(seed)
    metrics = variance_metrics([run for runs in found.values() for run in runs], seed=seed, n_bootstrap=n_bootstrap)
    incomplete = [run.run for run in accuracy if not run.complete]
    if incomplete:
        notes.append(
            f"{accuracy[0].benchmark}: cells are missing in {len(incomplete)} runs, first {incomplete[0]!r}; their "
            "estimates suppose that they are missing at random, and no real subsets are simulated"
        )
    components, coefficients = _components(accuracy, rng, notes)
    return {
        "metrics": metrics,
        "pooled": pooled_metrics(metrics),
        "components": components,
        "coefficients": coefficients,
        "curve": pd.concat([_curve(run, rng, n_subsets) for run in accuracy], ignore_index=True),
        "measures": _measures(found, seed, n_bootstrap, notes),
        "detectable": pd.concat([detection_table(runs) for runs in found.values()], ignore_index=True),
        "scores": pd.concat([_score_frame(run) for runs in found.values() for run in runs], ignore_index=True),
    }


def _curve(run: RunScores, rng: np.random.Generator, n_subsets: int) -> pd.DataFrame:
    sizes = curve_sizes(run.n_items)
    predicted = predicted_curve(run, sizes, rng, run.subtask_codes())
    frame = predicted.merge(simulated_curve(run, sizes, rng, n_subsets), on="k")
    frame.insert(0, names.BENCHMARK, run.benchmark)
    frame.insert(1, names.RUN, run.run)
    first = [names.BENCHMARK, names.RUN, "k", "predicted_sd", "simulated_sd", "simulated_q05", "simulated_q95"]
    return frame[[*first, *frame.columns.difference(first)]]


def _components(runs: list[RunScores], rng: np.random.Generator, notes: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
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
            design = two_way(values, run.trials[:, place], codes)
            rows.append(_component_rows(run, run.run, step, "seed x item", design, rng))
            coefficients.append(_coefficient_rows(run, run.run, step, design, rng))
            by_step.setdefault(step, []).append((design, run.n_seeds - 1))
            if codes is not None:
                nested = with_subtasks(values, codes)
                rows.append(_component_rows(run, run.run, step, "items within subtasks", nested, rng))
        if len(run.steps) > 1:
            rows.extend(_over_steps(run, rng, notes))
    for step, designs in by_step.items():
        pooled = _pooled_design(designs)
        rows.append(_component_rows(runs[0], EVERY_RUN, step, "seed x item", pooled, rng))
        coefficients.append(_coefficient_rows(runs[0], EVERY_RUN, step, pooled, rng))
    return pd.concat(rows, ignore_index=True), pd.concat(coefficients, ignore_index=True)


def _over_steps(run: RunScores, rng: np.random.Generator, notes: list[str]) -> list[pd.DataFrame]:
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
    return [_component_rows(run, run.run, EVERY_STEP, "seed x step x item", design, rng)]


def _pooled_design(designs: list[tuple[Design, int]]) -> Design:
    """Average components over runs, weight S - 1; runs are independent over seeds, the items are the same."""
    weights = np.array([weight for _, weight in designs], dtype=np.float64)
    share = weights / weights.sum()
    keep = [[design.components.index(name) for name in designs[0][0].components] for design, _ in designs]
    first = designs[0][0]
    estimates = np.einsum(
        "r,rc->c", share, np.array([d.estimates[at] for (d, _), at in zip(designs, keep, strict=True)])
    )
    freedoms = np.array([design.freedom[at] for (design, _), at in zip(designs, keep, strict=True)])
    over_seeds = np.array([name == SEED for name in first.components])
    freedom = np.where(over_seeds, freedoms.sum(axis=0), 1 / np.einsum("r,rc->c", share, 1 / freedoms))
    mixing = np.einsum("r,rij->ij", share, np.array([design.mixing for design, _ in designs]))
    return Design(first.components, estimates, mixing, freedom, first.n_items)


def _component_rows(
    run: RunScores, name: str, step: str, design_name: str, design: Design, rng: np.random.Generator
) -> pd.DataFrame:
    found = design.intervals(rng)
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


def _coefficient_rows(run: RunScores, name: str, step: str, design: Design, rng: np.random.Generator) -> pd.DataFrame:
    """Say how reliably the benchmark tells seeds apart: relative (generalizability) and absolute (dependability)."""
    drawn = design.draws(rng, N_DRAWS)
    values = []
    for components in (design.estimates[None], drawn):
        residual = components[:, 2:].sum(axis=1) if len(design.components) == 3 else _with_trials(components, design)
        error = residual / design.n_items
        absolute = error + components[:, 1] / design.n_items
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = [components[:, 0] / (components[:, 0] + noise) for noise in (error, absolute)]
        values.append([np.where(np.isfinite(ratio), ratio, 0.0) for ratio in ratios])
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


def _measures(found: dict[str, list[RunScores]], seed: int, n_bootstrap: int, notes: list[str]) -> pd.DataFrame:
    """Compare every continuous measure with accuracy, on the same seeds and items."""
    rows = []
    for name, runs in found.items():
        if name == ACCURACY:
            continue
        if max(run.n_seeds for run in runs) < FEWEST_SEEDS:
            notes.append(f"{runs[0].benchmark}: measures are not compared, which needs {FEWEST_SEEDS} seeds of a run")
            break
        compared = compare_variance(
            runs, found[ACCURACY], labels=(name, ACCURACY), seed=seed, n_bootstrap=min(n_bootstrap, PAIRED_BOOTSTRAP)
        )
        rows.append({names.BENCHMARK: runs[0].benchmark, **compared.row()})
    return pd.DataFrame(rows)


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
