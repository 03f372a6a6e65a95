"""Run a study: compute the tasks that have no result yet, then put all results together.

A study can be stopped at any moment and started again with the same command: finished tasks are kept. Tasks are
computed by processes on this machine or by a Dask cluster. The numbers are the same to the bit, because every worker
computes with one thread, so that sums are added in the same order everywhere.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, get_args

import joblib
from threadpoolctl import threadpool_limits

from irt_bench.errors import AnalysisError, check_jobs, unknown_choice
from irt_bench.names import BackendName
from irt_bench.responses.table import ResponseTable
from irt_bench.study.data import SplitJob, Store
from irt_bench.study.design import StudyDesign
from irt_bench.study.plan import StudyPlan, plan_study
from irt_bench.study.results import Alternatives, StudyResult, assemble
from irt_bench.study.split import SplitData
from irt_bench.study.tasks import StudyTask, compute_task
from irt_bench.workers import Progress, processes

BACKENDS: Final[tuple[BackendName, ...]] = get_args(BackendName)
BATCHES_PER_WORKER: Final = 3  # so that workers end at about the same time
MIN_BATCH: Final = 8  # tasks: every batch fits the calibration models of its split anew
POLL_SECONDS: Final = 1.0  # between two counts of finished tasks


@dataclass(frozen=True)
class Workers:
    """Where tasks are computed.

    Parameters
    ----------
    backend : {"loky", "dask"}
        Processes on this machine, or a Dask cluster.
    scheduler : str, optional
        Address of a Dask scheduler; by default a cluster is started on this machine.
    jobs : int
        Number of workers; -1: one per processor.
    shard : tuple of int, optional
        (i, n), i from 1 to n: compute only the i-th of n parts of the tasks.

    Raises
    ------
    AnalysisError
        If the backend is unknown or not installed, or a number is out of range.
    """

    backend: str = "loky"
    scheduler: str | None = None
    jobs: int = 1
    shard: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise AnalysisError(unknown_choice("backend", self.backend, BACKENDS))
        if self.scheduler is not None and self.backend != "dask":
            raise AnalysisError(
                f"scheduler {self.scheduler!r} needs backend 'dask'; backend 'loky' works on this machine."
            )
        if self.backend == "dask":
            try:
                importlib.import_module("distributed")
            except ImportError as error:
                raise AnalysisError(
                    "backend 'dask' needs distributed, which is not installed: pip install 'irt-bench[cluster]'"
                ) from error
        check_jobs(AnalysisError, self.jobs)
        number, n_shards = self.shard or (1, 1)
        if not 1 <= number <= n_shards:
            raise AnalysisError(f"shard {number}/{n_shards}: the number must be from 1 to {n_shards}.")

    @property
    def count(self) -> int:
        """Number of workers."""
        return max(joblib.cpu_count(), 1) if self.jobs < 1 else self.jobs


def run_all(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], workers: Workers) -> None:
    """Call an importable function many times in the workers; its results are files, not values.

    Raises
    ------
    AnalysisError
        If workers do not share the study's folder.
    """
    if not calls:
        return
    if workers.backend == "loky" and workers.jobs == 1:
        for arguments in calls:
            single_threaded(function, *arguments)
        return
    # Calls that wait when a study is stopped end in a traceback of Loky's thread (joblib 1.6.0).
    waiting = "2 * n_jobs" if workers.backend == "loky" else "all"
    try:
        with _parallel(workers), warnings.catch_warnings():
            # Loky starts a worker anew whose memory has grown; no task is lost.
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
            joblib.Parallel(n_jobs=workers.jobs, batch_size=1, pre_dispatch=waiting)(
                joblib.delayed(single_threaded)(function, *arguments) for arguments in calls
            )
    except FileNotFoundError as error:
        raise AnalysisError(
            f"a worker does not find {error.filename}; all workers must share the study's folder until the study ends."
        ) from error


def single_threaded(function: Callable[..., Any], *arguments: Any) -> None:
    """Call a function with one thread in every numerical library, which need not check what is checked here."""
    from sklearn import config_context  # noqa: PLC0415 - takes a second

    with threadpool_limits(1), config_context(assume_finite=True, skip_parameter_validation=True):
        function(*arguments)


@contextmanager
def _parallel(workers: Workers) -> Iterator[None]:
    if workers.backend == "loky":
        with joblib.parallel_config(**processes()):
            yield
        return
    from distributed import Client, LocalCluster

    with contextlib.ExitStack() as stack:
        address = workers.scheduler
        if address is None:
            settings = {"n_workers": workers.count, "threads_per_worker": 1, "dashboard_address": None}
            cluster = LocalCluster(**settings)  # type: ignore[no-untyped-call]
            address = stack.enter_context(cluster).scheduler_address
        stack.enter_context(Client(address))  # type: ignore[no-untyped-call]
        stack.enter_context(joblib.parallel_config("dask"))
        yield


def run_study(
    table: ResponseTable,
    design: StudyDesign,
    folder: Path,
    *,
    workers: Workers = Workers(),  # noqa: B008
    progress: Progress | None = None,
    alternatives: Alternatives = MappingProxyType({}),
) -> StudyResult | None:
    """Run a study, or continue one, and keep the results of tasks in a folder; see `irt_bench.run_study`.

    The tables are not written here. None is returned if tasks are still missing because this was one shard of several.
    """
    store = Store(folder)
    store.open()
    plan = plan_study(table, design, folder)
    compute_missing(plan, store, workers, progress)
    return None if missing_tasks(plan, store) else assemble(plan, store, alternatives)


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
