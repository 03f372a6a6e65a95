import os
import signal
import threading
import time
from pathlib import Path

import pytest

from irt_bench.errors import AnalysisError
from irt_bench.study.results import run_study
from irt_bench.workers import Workers, run_all


def test_backends_that_are_unknown_or_not_installed_are_refused_first():
    with pytest.raises(AnalysisError, match="loky"):
        Workers("lokky")
    with pytest.raises(AnalysisError, match="needs backend 'dask'"):
        Workers("loky", "tcp://somewhere:8786")
    with pytest.raises(AnalysisError, match="from 1 to 2"):
        Workers(shard=(3, 2))


def task_bytes(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "tasks").glob("*.npz"))}


@pytest.mark.slow
def test_processes_give_the_same_bytes(table, design, folder, result, tmp_path):
    run_study(table, design, tmp_path, workers=Workers(jobs=2))
    assert task_bytes(tmp_path) == task_bytes(folder)


def read_file(path):
    path.read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_on_a_cluster_one_folder_takes_several_studies_and_a_missing_file_ends_them(
    table, design, folder, tmp_path, monkeypatch
):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        workers = Workers("dask", cluster.scheduler_address, 1)
        monkeypatch.chdir(tmp_path)  # the workers stay where they were
        for n_random in (100, 200):
            found = run_study(table, design.model_copy(update={"n_random": n_random}), Path("study"), workers=workers)
            assert set(found.results["n_random"].dropna()) == {n_random}
        assert task_bytes(folder).items() <= task_bytes(tmp_path / "study").items()
        with pytest.raises(AnalysisError, match="workers must share"):
            run_all(read_file, [(tmp_path / "gone",)], workers)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the cluster's own threads, as a worker dies
def test_a_dask_cluster_that_loses_a_worker_gives_the_same_bytes(table, design, folder, result, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=None) as cluster:
        victim = next(iter(cluster.workers.values())).process.pid

        def kill():
            while not list(tmp_path.glob("tasks/*.npz")):
                time.sleep(0.05)
            os.kill(victim, signal.SIGKILL)

        threading.Thread(target=kill, daemon=True).start()
        run_study(table, design, tmp_path, workers=Workers("dask", cluster.scheduler_address, 3))
    assert task_bytes(tmp_path) == task_bytes(folder)
