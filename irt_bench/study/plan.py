"""The plan of a study (splits, tasks, their cost; nothing is fitted for it), and the computation of its tasks.

A study can be stopped at any moment and started again with the same command: finished tasks are kept. Tasks are
computed by processes on this machine or by a Dask cluster. The numbers are the same to the bit, because every worker
computes with one thread, so that sums are added in the same order everywhere.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from irt_bench.errors import AnalysisError
from irt_bench.names import BENCHMARK, INTERVAL, RUN, SUBTASK
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.table import ResponseTable
from irt_bench.study.data import SplitJob, make_job, memory_bytes, write_data
from irt_bench.study.design import EQUAL, N_RANDOM_UNUSED, SEED_MODEL, Splits, StudyDesign, make_splits
from irt_bench.study.split import SplitData, estimators_of, random_estimators
from irt_bench.study.tasks import Store, StudyTask, compute_task, make_task
from irt_bench.subsets.compare import WITHIN, methods_for
from irt_bench.subsets.make import default_weights
from irt_bench.subsets.select import SELECTORS, item_number
from irt_bench.variance.scores import SeedLayout, seed_layout
from irt_bench.workers import Progress, Workers, run_all

RANDOM: Final = "random"
LEVEL: Final = 1 - (INTERVAL[1] - INTERVAL[0])  # two-sided level of the verdicts
PATH_RANDOM: Final = 200  # random subsets per size beside the pruning path
SECONDS: Final = {
    "full": 0.3, "random": 2.5, "recipe": 0.1, "path": 2.0, "control": 3.0, "cures": 2.0, "transfer": 2.0,
    "seed_model": 60.0,
}  # fmt: skip
FIT_SECONDS: Final = 1e-6  # per response of a fit and its curves, on one core, beside half a second
FITS: Final = 5  # per split: the calibration models, two inner folds, two controls


@dataclass(frozen=True)
class SplitTasks:
    """Tasks of one split of one benchmark; a worker computes them one after another."""

    job: SplitJob
    tasks: tuple[StudyTask, ...]


@dataclass(frozen=True)
class BenchmarkPlan:
    """What is done on one benchmark."""

    design: StudyDesign  # design of the study; the fields below are what it means for this benchmark
    benchmark: str
    n_items: int  # items of the full benchmark
    # numbers of items of the subsets, ascending, each below `n_items`; empty: all items, with other weights
    sizes: tuple[int, ...]
    recipes: tuple[tuple[str, str], ...]  # how items are chosen and weighted; random items are not among them
    weightings: tuple[str, ...]  # weightings by which random subsets are scored
    splits: tuple[SplitTasks, ...] = ()  # one per split of the models

    @property
    def n_calibration(self) -> int:
        """Largest number of calibration models of a split."""
        return max(len(split.job.calibration) for split in self.splits)

    @property
    def control_size(self) -> int:
        """Size of the negative control: the one asked for, or the nearest of `sizes` by ratio; 0 without sizes."""
        if not self.sizes:
            return 0
        wanted = item_number(self.design.control_at, self.n_items)
        return min(self.sizes, key=lambda size: (abs(math.log(size / wanted)), size))

    @property
    def n_compared(self) -> int:
        """Comparisons at one size by one estimator, the most of any estimator: the family of Holm's correction."""
        by_recipe = [self.estimators(*recipe) for recipe in self.recipes]
        return max((sum(name in own for own in by_recipe) for name in self.design.estimators), default=0)

    def estimators(self, method: str, weights: str) -> list[str]:
        """Estimators by which subsets of this recipe are scored."""
        return estimators_of(method, weights, self.recipes, self.design.estimators)

    def n_random(self, weights: str) -> int:
        """Return how many random subsets of each size are scored with these weights."""
        if weights == EQUAL:
            return self.design.n_random
        used = any(weights == own for _, own in self.recipes)
        return min(self.design.n_random, self.design.n_reweighted if used else N_RANDOM_UNUSED)

    def split_tasks(self, job: SplitJob) -> Iterator[StudyTask]:
        """All tasks of one split; recipes that choose the same items stand side by side."""
        yield make_task(job, "full")
        for size in self.sizes:
            for weights in self.weightings:
                names = random_estimators(weights, self.design.estimators)
                n_random = self.n_random(weights)
                yield make_task(job, "random", size=size, weights=weights, n_random=n_random, estimators=names)
        for size in self.sizes:
            for method, weights in sorted(self.recipes, key=lambda recipe: recipe[0]):
                names = self.estimators(method, weights)
                yield make_task(job, "recipe", method=method, weights=weights, size=size, estimators=names)
        yield make_task(job, "cures", sizes=list(self.sizes))
        yield make_task(job, "path", drop=list(self.design.drop), n_random=PATH_RANDOM)
        own = [recipe for recipe in self.recipes if recipe[1] == default_weights(recipe[0])] or list(self.recipes)
        for within in WITHIN:
            yield make_task(job, "control", within=within, recipes=own, size=self.control_size)
        if SEED_MODEL in self.design.statistics:
            yield make_task(job, "seed_model", sizes=list(self.sizes), recipes=list(self.recipes))


@dataclass(frozen=True)
class StudyPlan:
    """The whole plan."""

    design: StudyDesign  # validated design of the study
    layout: SeedLayout  # runs, seeds and steps
    splits: Splits  # which models calibrate and which are evaluated
    benchmarks: tuple[BenchmarkPlan, ...]  # in the order of the responses
    notes: tuple[str, ...]  # what was decided or left out

    @property
    def tasks(self) -> list[str]:
        """Names of all tasks."""
        return [task.name for each in self.benchmarks for split in each.splits for task in split.tasks]

    def cost(self) -> dict[str, float]:
        """Numbers of tasks and fits, approximate seconds on one core, and megabytes per worker."""
        seconds, n_splits = 0.0, 0
        for each in self.benchmarks:
            n_splits += len(each.splits)
            for split in each.splits:
                seconds += FITS * (0.5 + FIT_SECONDS * len(split.job.calibration) * each.n_items)
                seconds += sum(SECONDS[task.kind] * (0.5 + each.n_items / 5000) for task in split.tasks)
        worker = max((memory_bytes(each.n_calibration, each.n_items) for each in self.benchmarks), default=0)
        fits = FITS * n_splits
        return {"tasks": len(self.tasks), "fits": fits, "core_seconds": round(seconds), "worker_mb": worker / 1e6}


def plan_study(table: ResponseTable, design: StudyDesign, folder: Path) -> StudyPlan:
    """Plan a study: find runs and seeds, make splits, name every task; responses are written for the workers.

    Raises
    ------
    AnalysisError
        If seeds are not known, splits cannot be made, or no benchmark can be studied.
    """
    layout = seed_layout(table.models, run_columns=design.run)
    splits = make_splits(table.models, layout, design)
    notes = [*layout.notes, *splits.notes]
    planned = []
    for benchmark in design.benchmarks or tuple(map(str, table.benchmarks)):
        part = table.select(benchmark)
        if part.measure != "correct":
            raise AnalysisError(
                f"{benchmark}: responses are fractional scores; a study needs numbers of right answers out of numbers "
                "of trials. Choose another metric."
            )
        found = _plan_benchmark(part.counts(), layout, splits, design, folder, notes)
        if found is not None:
            planned.append(found)
    if not planned:
        raise AnalysisError(f"no benchmark can be studied: {'; '.join(notes[-3:])}")
    return StudyPlan(design, layout, splits, tuple(planned), tuple(dict.fromkeys(notes)))


def _plan_benchmark(
    counts: ResponseCounts, layout: SeedLayout, splits: Splits, design: StudyDesign, folder: Path, notes: list[str]
) -> BenchmarkPlan | None:
    sizes = _sizes(counts, design, notes)
    if sizes is None:
        notes.append(f"{counts.benchmark} is left out: no size is at most its {counts.n_items} items")
        return None
    plan = BenchmarkPlan(design, counts.benchmark, counts.n_items, sizes, *recipes_for(counts, design))
    fewest = min(design.n_random, design.n_reweighted)
    if 2 * plan.n_compared > LEVEL * (fewest + 1):
        notes.append(
            f"{counts.benchmark}: {plan.n_compared} comparisons per size with {fewest} random subsets: after Holm's "
            f"correction no single difference can be shown. {math.ceil(2 * plan.n_compared / LEVEL)} random subsets "
            "would suffice (n_random, n_reweighted)"
        )
    place = write_data(counts, layout.models, folder)
    found, equal = [], 0
    for split in splits.splits:
        job, n_equal = make_job(counts, place, split, design.seed)
        equal += n_equal
        if job is not None and len(job.calibration) >= 2:
            found.append(SplitTasks(job, tuple(plan.split_tasks(job))))
    if equal:
        notes.append(f"{counts.benchmark}: {equal} calibration rows equal to an evaluated one are left out")
    if not found:
        notes.append(
            f"{counts.benchmark} is left out: no run has two seeds with responses, or too few models calibrate"
        )
        return None
    first = found[0]
    transfer = make_task(first.job, "transfer", n_splits=design.transfer_splits)
    found[0] = replace(first, tasks=(*first.tasks, transfer))
    return replace(plan, splits=tuple(found))


def recipes_for(counts: ResponseCounts, design: StudyDesign) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Recipes (method, weights), and the weightings by which random items are scored: a reference, not a method."""
    if design.weights is None:
        found = methods_for(counts, design.methods)
    else:
        several = SUBTASK in counts.items and counts.items[SUBTASK].nunique() > 1
        methods = design.methods or tuple(name for name in SELECTORS if several or name != SUBTASK)
        found = tuple((method, weights) for method in methods for weights in design.weights)
    weightings = dict.fromkeys([EQUAL, *(weights for _, weights in found)])
    return tuple(dict.fromkeys(recipe for recipe in found if recipe[0] != RANDOM)), tuple(weightings)


def _sizes(counts: ResponseCounts, design: StudyDesign, notes: list[str]) -> tuple[int, ...] | None:
    """Sizes below the number of items, which is itself a size: without a choice, of weights alone. None if no size."""
    wanted = {item_number(size, counts.n_items) for size in design.sizes}
    possible = {size for size in wanted if size <= counts.n_items}
    if left_out := sorted(wanted - possible):
        sizes = ", ".join(map(str, left_out))
        if possible:
            notes.append(f"{counts.benchmark}: sizes {sizes} are above its {counts.n_items} items")
    return tuple(sorted(possible - {counts.n_items})) if possible else None


def tasks_by(split: SplitTasks) -> dict[tuple[Any, ...], str]:
    """Names of a split's tasks by their kind and by what distinguishes them: size, method and weights, or shuffling."""
    keys = ("size", "method", "weights")
    found = {}
    for task in split.tasks:
        if task.kind in ("random", "recipe"):
            key = tuple(task.parameters[name] for name in keys if name in task.parameters)
        else:
            key = (task.parameters["within"],) if task.kind == "control" else ()
        found[(task.kind, *key)] = task.name
    return found


def plan_table(plan: StudyPlan) -> pd.DataFrame:
    """One row per benchmark: items, sizes, recipes, splits, models that calibrate, runs evaluated, tasks."""
    rows = []
    for each in plan.benchmarks:
        evaluated = pd.concat([split.job.checkpoints.frame for split in each.splits])
        rows.append(
            {
                BENCHMARK: each.benchmark,
                "items": each.n_items,
                "sizes": ", ".join(map(str, each.sizes)),
                "recipes": len(each.recipes),
                "splits": len(each.splits),
                "calibration": each.n_calibration,
                "runs": evaluated[RUN].nunique(),
                "checkpoints": len(evaluated),
                "tasks": sum(len(split.tasks) for split in each.splits),
            }
        )
    return pd.DataFrame(rows).set_index(BENCHMARK)


BATCHES_PER_WORKER: Final = 3  # so that workers end at about the same time
MIN_BATCH: Final = 8  # tasks: every batch fits the calibration models of its split anew
POLL_SECONDS: Final = 1.0  # between two counts of finished tasks


def compute_missing(plan: StudyPlan, store: Store, workers: Workers, progress: Progress | None = None) -> None:
    """Compute the tasks that have no result yet; of this shard only, if there is one."""
    batches = _batches(plan, store, workers)
    wanted = {task.name for _, _, tasks in batches for task in tasks}
    if batches:
        store.unfinished_mark()
    with _watched(store, wanted, progress):
        run_all(compute_tasks, batches, workers)


def missing_tasks(plan: StudyPlan, store: Store) -> list[str]:
    """Names of tasks without a result."""
    finished = store.finished()
    return [name for name in plan.tasks if name not in finished]


def compute_tasks(folder: Path, job: SplitJob, tasks: Sequence[StudyTask]) -> None:
    """Compute tasks of one split one after another; each is kept as soon as it is finished."""
    store, data = Store(folder), SplitData(job)
    for task in tasks:
        if not store.has(task.name):  # another worker may have been first
            store.write(task.name, compute_task(data, task))


def _batches(plan: StudyPlan, store: Store, workers: Workers) -> list[tuple[Path, SplitJob, tuple[StudyTask, ...]]]:
    """Missing tasks in batches; a shard has every n-th batch of all tasks, whenever it starts."""
    number, n_shards = workers.shard or (1, 1)
    n_batches = BATCHES_PER_WORKER * (n_shards if workers.shard else workers.count)
    size = max(MIN_BATCH, -(-len(plan.tasks) // n_batches))
    batches = [
        (split.job, split.tasks[start : start + size])
        for each in plan.benchmarks
        for split in each.splits
        for start in range(0, len(split.tasks), size)
    ]
    finished, folder = store.finished(), store.folder.absolute()
    missing = [
        (folder, job, tuple(task for task in tasks if task.name not in finished))
        for job, tasks in batches[number - 1 :: n_shards]
    ]
    return [batch for batch in missing if batch[2]]


@contextmanager
def _watched(store: Store, wanted: set[str], progress: Progress | None) -> Iterator[None]:
    """Report from time to time how many of the wanted tasks are finished; this works for any backend."""
    if progress is None or not wanted:
        yield
        return
    stop = threading.Event()

    def report() -> None:
        while not stop.wait(POLL_SECONDS):
            progress("tasks", len(wanted & store.finished()), len(wanted))

    progress("tasks", 0, len(wanted))
    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    progress("tasks", len(wanted), len(wanted))
