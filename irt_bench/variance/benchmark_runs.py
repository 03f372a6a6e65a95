"""The answers of one benchmark by run: accuracy, and each continuous measure that the logs allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from irt_bench import names
from irt_bench.errors import AnalysisError, unknown_choice
from irt_bench.responses.table import ResponseTable
from irt_bench.variance.continuous import ContinuousMeasure, arranged, continuous_measures
from irt_bench.variance.layout import SeedLayout, seed_layout
from irt_bench.variance.scores import ACCURACY, Cells, RunScores, run_scores


def benchmark_runs(table: ResponseTable, layout: SeedLayout, notes: list[str]) -> dict[str, list[RunScores]]:
    """Arrange one benchmark's answers by run, one list of runs a measure; accuracy first.

    Raises
    ------
    AnalysisError
        If no run has two seeds with answers.
    """
    counts = table.counts()
    axes = (counts.models.index, counts.items)
    if counts.measure == "correct":
        accuracy = Cells(counts.benchmark, ACCURACY, counts.proportions(), counts.trials, *axes)
    else:
        scored = arranged(table, ACCURACY, table.answers[names.SCORE].to_numpy(dtype=np.float64))
        accuracy = _cells(scored, counts.benchmark, axes)
    found = {ACCURACY: run_scores(accuracy, layout)}
    measures, said = continuous_measures(table)
    notes.extend(f"{counts.benchmark}: {each}" for each in said)
    for measure in measures:
        try:
            found[measure.name] = run_scores(_cells(measure, counts.benchmark, axes), layout)
        except AnalysisError as error:  # the logs of the seeds lack this measure
            notes.append(str(error))
    return found


def with_subtasks_from(table: ResponseTable, column: str) -> ResponseTable:
    """Take another column of the items as the subtask (or template) that they belong to.

    Raises
    ------
    AnalysisError
        If there is no such column; lists those there are.
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
        If the measure is not there; lists those that are.
    """
    one = table.one_benchmark()
    layout = seed_layout(one.models, run_columns=run_columns)
    notes = list(layout.notes)
    found = benchmark_runs(one, layout, notes)
    if measure not in found:
        raise AnalysisError(unknown_choice("measure", measure, found))
    return found[measure], notes


def _cells(measure: ContinuousMeasure, benchmark: str, axes: tuple[pd.Index, pd.DataFrame]) -> Cells:
    return Cells(
        benchmark, measure.name, measure.values, measure.trials, *axes,
        binary=False, falling=measure.falling, within=measure.within,
    )  # fmt: skip
