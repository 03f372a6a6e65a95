"""The plan of a study: splits, cells, their cost, and what can be found with these seeds; nothing is fitted for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from irt_bench.errors import AnalysisError
from irt_bench.names import BENCHMARK, INTERVAL, RUN, SUBTASK
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.table import ResponseTable
from irt_bench.study.data import Job, make_job, memory_bytes, write_data
from irt_bench.study.design import ALONE, EQUAL, SEED_MODEL, Splits, StudyDesign, make_splits
from irt_bench.study.subset_scores import estimators_of, null_estimators
from irt_bench.study.tasks import Cell, make_cell
from irt_bench.subsets.compare import WITHIN, methods_for
from irt_bench.subsets.make import default_weights
from irt_bench.subsets.select import SELECTORS, item_number
from irt_bench.variance.scores import SeedLayout, seed_layout

RANDOM: Final = "random"
LEVEL: Final = 1 - (INTERVAL[1] - INTERVAL[0])  # two-sided, of verdicts
PATH_RANDOM: Final = 200  # random prunings beside the path
SECONDS: Final = {
    "full": 0.3, "random": 2.5, "recipe": 0.1, "path": 2.0, "control": 3.0, "transfer": 2.0, "seed_model": 60.0,
}  # fmt: skip
FIT_SECONDS: Final = 1e-6  # a cell (model, item) of a fit and its curves, on one core, beside one second


@dataclass(frozen=True)
class Task:
    """Cells of one split of one benchmark that a worker computes one after another."""

    job: Job
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class BenchmarkPlan:
    """What is done on one benchmark: sizes in items, recipes (method, weights), a task for each split.

    ``weightings`` are those that random subsets are scored with.
    """

    benchmark: str
    n_items: int
    sizes: tuple[int, ...]
    recipes: tuple[tuple[str, str], ...]
    weightings: tuple[str, ...]
    tasks: tuple[Task, ...]
    n_calibration: int


@dataclass(frozen=True)
class StudyPlan:
    """The whole plan.

    Parameters
    ----------
    design : StudyDesign
        What was asked for.
    layout : SeedLayout
        Runs, seeds and steps.
    splits : Splits
        Who calibrates and who is judged.
    benchmarks : tuple of BenchmarkPlan
        In the order of the responses.
    notes : tuple of str
        What was decided or left out.
    """

    design: StudyDesign
    layout: SeedLayout
    splits: Splits
    benchmarks: tuple[BenchmarkPlan, ...]
    notes: tuple[str, ...]

    @property
    def cells(self) -> list[str]:
        """Names of all cells."""
        return [cell.name for each in self.benchmarks for task in each.tasks for cell in task.cells]

    def cost(self) -> dict[str, float]:
        """Say how many cells and fits there are, about how many seconds on one core, and megabytes a worker."""
        seconds, fits = 0.0, 0
        for each in self.benchmarks:
            for task in each.tasks:
                n_fits = 5  # the basis, two inner folds, two controls
                fits += n_fits
                seconds += n_fits * (0.5 + FIT_SECONDS * len(task.job.calibration) * each.n_items)
                seconds += sum(SECONDS[cell.kind] * (0.5 + each.n_items / 5000) for cell in task.cells)
        worker = max((memory_bytes(each.n_calibration, each.n_items) for each in self.benchmarks), default=0)
        return {"cells": len(self.cells), "fits": fits, "core_seconds": round(seconds), "worker_mb": worker / 1e6}


def plan_study(table: ResponseTable, design: StudyDesign, folder: Path) -> StudyPlan:
    """Plan a study: read the layout, make splits, name every cell.

    Parameters
    ----------
    table : ResponseTable
        Models with seeds, and others to calibrate on.
    design : StudyDesign
        What to study.
    folder : Path
        Where the responses are written for the workers.

    Raises
    ------
    AnalysisError
        If seeds are not known, splits cannot be made, or no benchmark can be studied.
    """
    layout = seed_layout(table.models, run_columns=design.run)
    splits = make_splits(table.models, layout, design)
    notes = [*layout.notes, *splits.notes]
    chosen = design.benchmarks or tuple(map(str, table.benchmarks))
    planned = []
    for benchmark in chosen:
        part = table.select(benchmark)
        if part.measure != "correct":
            raise AnalysisError(
                f"{benchmark}: answers are fractional scores; a study needs right answers out of a number of trials. "
                "Choose another metric with --metric."
            )
        found = _benchmark(part.counts(), layout, splits, design, folder, notes)
        if found is not None:
            planned.append(found)
    if not planned:
        raise AnalysisError(f"no benchmark can be studied: {'; '.join(notes[-3:])}")
    return StudyPlan(design, layout, splits, tuple(planned), tuple(dict.fromkeys(notes)))


def _benchmark(
    counts: ResponseCounts, layout: SeedLayout, splits: Splits, design: StudyDesign, folder: Path, notes: list[str]
) -> BenchmarkPlan | None:
    sizes = _sizes(counts, design, notes)
    if not sizes:
        notes.append(f"{counts.benchmark} is left out: no size is below its {counts.n_items} items")
        return None
    recipes, weightings = recipes_for(counts, design)
    n_compared, fewest = compared(recipes, design.estimators), min(design.n_random, design.n_reweighted)
    if 2 * n_compared > LEVEL * (fewest + 1):
        notes.append(
            f"{counts.benchmark}: {n_compared} comparisons a size with {fewest} random subsets: after "
            f"Holm's correction no single one can be shown; {math.ceil(2 * n_compared / LEVEL)} would do (n_random, "
            "n_reweighted)"
        )
    place = write_data(counts, layout.models, folder)
    tasks, equal = [], 0
    for split in splits.splits:
        job, n_equal = make_job(counts, place, split, design.seed)
        equal += n_equal
        if job is not None and len(job.calibration) >= 2:
            tasks.append(Task(job, tuple(_cells(job, design, sizes, recipes, weightings, counts.n_items))))
    if equal:
        notes.append(f"{counts.benchmark}: {equal} calibration rows equal to an evaluated one are left out")
    if not tasks:
        notes.append(f"{counts.benchmark} is left out: no run has two seeds with answers, or too few models calibrate")
        return None
    whole = tasks[0].job
    transfer = make_cell(whole, "transfer", n_splits=design.transfer_splits)
    tasks[0] = Task(whole, (*tasks[0].cells, transfer))
    most = max(len(task.job.calibration) for task in tasks)
    return BenchmarkPlan(counts.benchmark, counts.n_items, sizes, recipes, weightings, tuple(tasks), most)


def recipes_for(counts: ResponseCounts, design: StudyDesign) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Pair methods with weights, and say with which weights random items are scored: these are the null, no method."""
    if design.weights is None:
        found = methods_for(counts, design.methods)
    else:
        several = SUBTASK in counts.items and counts.items[SUBTASK].nunique() > 1
        methods = design.methods or tuple(name for name in SELECTORS if several or name != SUBTASK)
        found = tuple((method, weights) for method in methods for weights in design.weights)
    weightings = dict.fromkeys([EQUAL, *(weights for _, weights in found)])
    return tuple(dict.fromkeys(pair for pair in found if pair[0] != RANDOM)), tuple(weightings)


def compared(recipes: Sequence[tuple[str, str]], estimators: Sequence[str]) -> int:
    """Count the comparisons at one size by one estimator, the most of any: the family of Holm's correction."""
    by_recipe = [estimators_of(*pair, recipes, estimators) for pair in recipes]
    return max((sum(name in own for own in by_recipe) for name in estimators), default=0)


def _sizes(counts: ResponseCounts, design: StudyDesign, notes: list[str]) -> tuple[int, ...]:
    wanted = {item_number(size, counts.n_items) for size in design.sizes}
    found = tuple(sorted(size for size in wanted if size < counts.n_items))
    if len(found) < len(wanted) and found:
        left = ", ".join(map(str, sorted(wanted - set(found))))
        notes.append(f"{counts.benchmark}: sizes {left} are not below its {counts.n_items} items")
    return found


def control_size(design: StudyDesign, sizes: Sequence[int], n_items: int) -> int:
    """Size of the negative control on a benchmark: the one asked for, or the nearest there is."""
    wanted = item_number(design.control_at, n_items)
    return min(sizes, key=lambda size: (abs(math.log(size / wanted)), size))


def _cells(
    job: Job,
    design: StudyDesign,
    sizes: Sequence[int],
    recipes: Sequence[tuple[str, str]],
    weightings: Sequence[str],
    n_items: int,
) -> list[Cell]:
    cells = [make_cell(job, "full")]
    cells += [
        make_cell(
            job,
            "random",
            size=size,
            weights=weights,
            n_random=n_random(weights, recipes, design),
            estimators=null_estimators(weights, design.estimators),
        )
        for size in sizes
        for weights in weightings
    ]
    cells += [
        make_cell(
            job,
            "recipe",
            method=method,
            weights=weights,
            size=size,
            estimators=estimators_of(method, weights, recipes, design.estimators),
        )
        for size in sizes
        for method, weights in sorted(recipes, key=lambda pair: pair[0])  # weights of one choice of items side by side
    ]
    cells.append(make_cell(job, "path", drop=list(design.drop), n_random=PATH_RANDOM))
    size = control_size(design, sizes, n_items)
    own = [pair for pair in recipes if pair[1] == default_weights(pair[0])] or list(recipes)
    if own:  # random items alone have nothing to be controlled
        cells += [make_cell(job, "control", within=within, recipes=own, size=size) for within in WITHIN]
    if SEED_MODEL in design.statistics:
        cells.append(make_cell(job, "seed_model", sizes=list(sizes), recipes=list(recipes)))
    return cells


def n_random(weights: str, recipes: Sequence[tuple[str, str]], design: StudyDesign) -> int:
    """How many random subsets are scored with these weights."""
    if weights == EQUAL:
        return design.n_random
    used = any(weights == own for _, own in recipes)
    return min(design.n_random, design.n_reweighted if used else ALONE)


def cells_by(task: Task) -> dict[tuple[Any, ...], str]:
    """Names of a task's cells by kind and what tells them apart: size, method and weights, or shuffling."""
    keys = ("size", "method", "weights")
    found = {}
    for cell in task.cells:
        if cell.kind in ("random", "recipe"):
            key = tuple(cell.parameters[name] for name in keys if name in cell.parameters)
        else:
            key = (cell.parameters["within"],) if cell.kind == "control" else ()
        found[(cell.kind, *key)] = cell.name
    return found


def plan_table(plan: StudyPlan) -> pd.DataFrame:
    """One row a benchmark: items, sizes, recipes, runs and seeds that are judged, calibration models, cells."""
    rows = []
    for each in plan.benchmarks:
        frames = [task.job.snapshots.frame for task in each.tasks]
        judged = pd.concat(frames)
        rows.append(
            {
                BENCHMARK: each.benchmark,
                "items": each.n_items,
                "sizes": ", ".join(map(str, each.sizes)),
                "recipes": len(each.recipes),
                "splits": len(each.tasks),
                "calibration": each.n_calibration,
                "runs": judged[RUN].nunique(),
                "snapshots": len(judged),
                "cells": sum(len(task.cells) for task in each.tasks),
            }
        )
    return pd.DataFrame(rows).set_index(BENCHMARK)


def degrees_of_freedom(plan: BenchmarkPlan) -> int:
    """Seeds less one, over the runs that are judged."""
    total = 0
    for task in plan.tasks:
        seeds = task.job.snapshots.frame.groupby(RUN)["seed"].nunique()
        total += int(np.sum(seeds.to_numpy() - 1))
    return total
