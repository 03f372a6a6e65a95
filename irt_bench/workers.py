"""Long work: the progress it reports, and worker processes that leave signals to their parent and end when it ends."""

import contextlib
import importlib
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from irt_bench.errors import AnalysisError, check_jobs, unknown_choice

R = TypeVar("R")

Progress = Callable[[str, int, int], None]  # called with what is done, how much of it, and of how much

POLL_SECONDS: Final = 1.0
BACKENDS: Final = ("loky", "dask")
_listening: ContextVar[Progress | None] = ContextVar("listening", default=None)


@contextmanager
def listening(progress: Progress | None) -> Iterator[None]:
    """Pass what `report` says in the block to a function."""
    token = _listening.set(progress)
    try:
        yield
    finally:
        _listening.reset(token)


def report(what: str) -> None:
    """Tell whoever listens of work whose length is not known."""
    if (progress := _listening.get()) is not None:
        progress(what, 0, 1)


def follow_parent() -> None:
    """Leave signals to the parent, which ends its workers, and end with it if it is killed."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os._exit(1)


def processes() -> dict[str, Any]:
    """Give settings of `joblib.Parallel`: processes that leave signals to their parent, and so does Loky's tracker."""
    from joblib.externals.loky.backend import resource_tracker  # noqa: PLC0415 - only where workers are wanted

    if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
        heard = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the tracker heeds no other signal
        try:
            resource_tracker.ensure_running()
        finally:
            signal.signal(signal.SIGHUP, heard or signal.SIG_DFL)
    return {"backend": "loky", "initializer": follow_parent}


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
        import joblib

        return max(joblib.cpu_count(), 1) if self.jobs < 1 else self.jobs


def run_all(function: Callable[..., R], calls: Sequence[tuple[Any, ...]], workers: Workers) -> list[R]:
    """Call an importable function many times in the workers, and return its results in the order of the calls.

    Raises
    ------
    AnalysisError
        If a file is missing: workers of a study must share its folder.
    """
    results = dict(as_completed(function, calls, workers))
    return [results[place] for place in range(len(calls))]


def as_completed(
    function: Callable[..., R], calls: Sequence[tuple[Any, ...]], workers: Workers
) -> Iterator[tuple[int, R]]:
    """Yield each result with the place of its call, as `run_all` makes them, when it is there."""
    import joblib

    if workers.backend == "loky" and workers.jobs == 1:
        yield from ((place, single_threaded(function, *arguments)) for place, arguments in enumerate(calls))
    elif calls:
        # Calls that wait when a study is stopped end in a traceback of Loky's thread (joblib 1.6.0).
        waiting = "2 * n_jobs" if workers.backend == "loky" else "all"
        try:
            with _parallel(workers), warnings.catch_warnings():
                # Loky starts a worker anew whose memory has grown; no task is lost.
                warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
                tasks = (joblib.delayed(_placed)(place, function, *arguments) for place, arguments in enumerate(calls))
                settings = {"n_jobs": workers.jobs, "batch_size": 1, "pre_dispatch": waiting}
                yield from joblib.Parallel(**settings, return_as="generator_unordered")(tasks)
        except FileNotFoundError as error:
            raise AnalysisError(
                f"a worker does not find {error.filename}; all workers must share the study's folder until the study "
                "ends."
            ) from error


def _placed(place: int, function: Callable[..., R], *arguments: Any) -> tuple[int, R]:
    return place, single_threaded(function, *arguments)


def single_threaded(function: Callable[..., R], *arguments: Any) -> R:
    """Call a function with one thread in every numerical library."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return function(*arguments)


@contextmanager
def _parallel(workers: Workers) -> Iterator[None]:
    import joblib

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
