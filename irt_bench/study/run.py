"""Run a study: compute the cells that are missing, then put all together.

A study can be stopped at any moment and started again with the same command: what is finished is kept.

Where cells are computed: processes on this machine, a Dask cluster, or Ray; the numbers are the same to the bit.

Every worker computes with one thread of its own, so that no sum is added up in another order elsewhere.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

import joblib
from threadpoolctl import threadpool_limits

from irt_bench.errors import AnalysisError, check_jobs, unknown_choice
from irt_bench.responses.table import ResponseTable
from irt_bench.study.data import Job, Store
from irt_bench.study.design import StudyDesign
from irt_bench.study.plan import StudyPlan, plan_study
from irt_bench.study.results import StudyResult, assemble
from irt_bench.study.split import Workplace
from irt_bench.study.tasks import Cell, compute
from irt_bench.workers import PROCESSES

Backend = Literal["loky", "dask", "ray"]
BACKENDS: Final[tuple[Backend, ...]] = get_args(Backend)


def check_backend(backend: str, scheduler: str | None) -> None:
    """Refuse a backend that is not known or not installed, before anything else is done.

    Raises
    ------
    AnalysisError
        Saying what to install.
    """
    if backend not in BACKENDS:
        raise AnalysisError(unknown_choice("backend", backend, BACKENDS))
    if scheduler is not None and backend == "loky":
        raise AnalysisError(f"--scheduler {scheduler} needs --backend dask or ray; loky works on this machine.")
    package = {"dask": "distributed", "ray": "ray"}.get(backend)
    if package is not None:
        try:
            importlib.import_module(package)
        except ImportError as error:
            more = "pip install 'irt-bench[cluster]'" if backend == "dask" else "pip install ray"
            raise AnalysisError(f"backend {backend!r} needs {package}, which is not installed: {more}") from error


def run_all(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], *, backend: str, scheduler: str | None, jobs: int
) -> None:
    """Call a function with each task's arguments, in workers of the backend; its results are files, not values.

    Parameters
    ----------
    function : callable
        Importable, so that workers find it.
    tasks : sequence of tuple
        Arguments.
    backend : {"loky", "dask", "ray"}
        Where.
    scheduler : str, optional
        Address of a Dask scheduler or a Ray cluster; by default one is started on this machine.
    jobs : int
        Workers at once; -1: as many as there are processors.

    Raises
    ------
    AnalysisError
        If workers do not share the study's folder.
    """
    if not tasks:
        return
    if backend == "loky" and jobs == 1:
        for task in tasks:
            single_threaded(function, *task)
        return
    try:
        with _parallel(backend, scheduler, jobs), warnings.catch_warnings():
            # Loky starts a worker anew whose memory has grown; no task is lost.
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
            joblib.Parallel(n_jobs=jobs, batch_size=1, pre_dispatch="all")(
                joblib.delayed(single_threaded)(function, *task) for task in tasks
            )
    except FileNotFoundError as error:
        raise AnalysisError(
            f"a worker does not find {error.filename}; the study's folder must be one that all workers share, and stay."
        ) from error


def single_threaded(function: Callable[..., Any], *arguments: Any) -> None:
    """Call a function with one thread in every numerical library."""
    with threadpool_limits(1):
        function(*arguments)


@contextlib.contextmanager
def _parallel(backend: str, scheduler: str | None, jobs: int) -> Iterator[None]:
    if backend == "dask":
        from distributed import Client, LocalCluster

        with contextlib.ExitStack() as stack:
            address = scheduler
            if address is None:
                n_workers = joblib.cpu_count() if jobs < 1 else jobs
                settings = {"n_workers": n_workers, "threads_per_worker": 1, "dashboard_address": None}
                cluster = LocalCluster(**settings)  # type: ignore[no-untyped-call]
                address = stack.enter_context(cluster).scheduler_address
            stack.enter_context(Client(address))  # type: ignore[no-untyped-call]
            stack.enter_context(joblib.parallel_config("dask"))
            yield
        return
    if backend == "ray":
        import ray
        from ray.util.joblib import register_ray

        if not ray.is_initialized():
            ray.init(address=scheduler, num_cpus=None if scheduler or jobs < 1 else jobs)
        register_ray()
    with joblib.parallel_config(**(PROCESSES if backend == "loky" else {"backend": backend})):
        yield


Progress = Callable[[str, int, int], None]

TASKS_A_WORKER: Final = 3  # so that workers end at about the same time
LEAST_CELLS: Final = 8  # of a task: every task fits its calibration models anew
LOOK_SECONDS: Final = 1.0  # between two looks at what is finished


class Workers(NamedTuple):
    """Where cells are computed; see `irt_bench.study.run.run_all`. ``shard`` (i, n): i from 1 to n."""

    backend: str = "loky"
    scheduler: str | None = None
    jobs: int = 1
    shard: tuple[int, int] | None = None

    def check(self) -> None:
        """Refuse a backend that is not known or not installed, and a number of jobs out of range.

        Raises
        ------
        AnalysisError
            Saying what is needed.
        """
        check_backend(self.backend, self.scheduler)
        check_jobs(AnalysisError, self.jobs)


def run_study(
    table: ResponseTable,
    design: StudyDesign,
    folder: Path,
    *,
    workers: Workers = Workers(),  # noqa: B008
    progress: Progress | None = None,
) -> StudyResult | None:
    """Run a study, or go on with one.

    Parameters
    ----------
    table : ResponseTable
        Models with seeds, and others to calibrate on.
    design : StudyDesign
        What to study.
    folder : Path
        Where results of cells are kept; the tables are not written here, see `irt_bench.cli.study`.
    workers : Workers
        Where cells are computed; the numbers do not depend on it.
    progress : callable, optional
        Told (what, cells done, cells in all).

    Returns
    -------
    StudyResult or None
        None where cells are missing still, because this was one shard of several.
    """
    workers.check()
    check_backend(workers.backend, workers.scheduler)
    store = Store(folder)
    store.open()
    plan = plan_study(table, design, folder)
    compute_missing(plan, store, workers, progress)
    left = missing_cells(plan, store)
    return None if left else assemble(plan, store)


def compute_missing(plan: StudyPlan, store: Store, workers: Workers, progress: Progress | None = None) -> None:
    """Compute the cells that have no result yet, of this shard where there is one."""
    tasks = _tasks(plan, store, workers)
    wanted = {cell.name for _, _, cells in tasks for cell in cells}
    if tasks:
        store.unfinished_mark()
    with _watched(store, wanted, progress):
        run_all(compute_cells, tasks, backend=workers.backend, scheduler=workers.scheduler, jobs=workers.jobs)


def missing_cells(plan: StudyPlan, store: Store) -> list[str]:
    """Names of cells without a result."""
    finished = store.finished()
    return [name for name in plan.cells if name not in finished]


def compute_cells(folder: Path, job: Job, cells: Sequence[Cell]) -> None:
    """Compute cells of one split one after another, each kept as soon as it is finished."""
    store, work = Store(folder), Workplace(job)
    for cell in cells:
        if not store.has(cell.name):  # another worker may have been first
            store.write(cell.name, compute(work, cell))


def _tasks(plan: StudyPlan, store: Store, workers: Workers) -> list[tuple[Path, Job, tuple[Cell, ...]]]:
    """Missing cells in portions; a shard has every n-th portion of all cells, whenever it starts."""
    number, n_shards = workers.shard or (1, 1)
    if not 1 <= number <= n_shards:
        raise AnalysisError(f"shard {number}/{n_shards}: the number must be from 1 to {n_shards}.")
    n_workers = joblib.cpu_count() if workers.jobs < 1 else workers.jobs
    portions = TASKS_A_WORKER * (n_shards if workers.shard else max(n_workers, 1))
    size = max(LEAST_CELLS, -(-len(plan.cells) // portions))
    parts = [
        (task.job, task.cells[start : start + size])
        for each in plan.benchmarks
        for task in each.tasks
        for start in range(0, len(task.cells), size)
    ]
    finished, folder = store.finished(), store.folder.absolute()
    left = [
        (folder, job, tuple(cell for cell in cells if cell.name not in finished))
        for job, cells in parts[number - 1 :: n_shards]
    ]
    return [task for task in left if task[2]]


@contextmanager
def _watched(store: Store, wanted: set[str], progress: Progress | None) -> Iterator[None]:
    """Report from time to time how many of the cells wanted are there: it holds for any backend."""
    if progress is None or not wanted:
        yield
        return
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(LOOK_SECONDS):
            progress("cells", len(wanted & store.finished()), len(wanted))

    progress("cells", 0, len(wanted))
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    progress("cells", len(wanted), len(wanted))
