"""Where cells are computed: processes on this machine, a Dask cluster, or Ray; the numbers are the same to the bit.

Every worker computes with one thread of its own, so that no sum is added up in another order elsewhere.
"""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal, get_args

import joblib
from threadpoolctl import threadpool_limits

from irt_bench.errors import AnalysisError, unknown_choice
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
