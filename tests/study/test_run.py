import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from irt_bench import write_table
from irt_bench.errors import AnalysisError
from irt_bench.study.plan import missing_tasks, plan_study
from irt_bench.study.results import run_study
from irt_bench.study.tasks import Store
from irt_bench.workers import Workers

SLOWLY = """
import sys, time
from pathlib import Path
from irt_bench.responses import read_responses
from irt_bench.study import plan, results
from irt_bench.study.design import StudyDesign
compute = plan.compute_task
def slow(data, task):
    time.sleep(0.3)
    return compute(data, task)
plan.compute_task = slow
design = StudyDesign.model_validate_json(sys.argv[3])
results.run_study(read_responses([sys.argv[1]]), design, Path(sys.argv[2]))
"""


def task_bytes(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "tasks").glob("[!.]*.npz"))}


@pytest.mark.slow
def test_a_killed_study_goes_on_where_it_stood_and_computes_no_finished_task_again(
    table, design, folder, result, tmp_path
):
    write_table(table, tmp_path / "toy.parquet")
    arguments = [sys.executable, "-c", SLOWLY, tmp_path / "toy.parquet", tmp_path / "study", design.model_dump_json()]
    process = subprocess.Popen(list(map(str, arguments)))
    try:
        deadline = time.monotonic() + 240
        while len(list((tmp_path / "study").glob("tasks/[!.]*.npz"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "study" / "tasks").glob("[!.]*.npz")}
    assert 3 <= len(kept) < len(result.plan.tasks)
    again = run_study(table, design, tmp_path / "study")
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    pd.testing.assert_frame_equal(again.results, result.results)
    assert task_bytes(tmp_path / "study") == task_bytes(folder)


@pytest.mark.slow
def test_an_interrupt_ends_all_workers_and_leaves_a_folder_to_go_on_in(table, tmp_path):
    write_table(table, tmp_path / "toy.parquet")
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # background jobs are born deaf
    program = f"{heed}; from irt_bench.cli import app; app()"
    command = [sys.executable, "-c", program, "study", "toy.parquet", "-o", "study", "--jobs", "2"]
    flags = ["--sizes", "10,20,30", "--n-random", "1000"]
    process = subprocess.Popen(
        [*command, *flags], cwd=tmp_path, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 240
    while len(list((tmp_path / "study").glob("tasks/[!.]*.npz"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    told = process.communicate(timeout=30)[1]
    assert (
        process.returncode == 130
        and "continues from there" in told.replace("\n", " ")
        and "KeyboardInterrupt" not in told
    )
    kept = len(list((tmp_path / "study").glob("tasks/[!.]*.npz")))
    time.sleep(1)
    assert 2 <= kept == len(list((tmp_path / "study").glob("tasks/[!.]*.npz")))


@pytest.mark.slow
def test_a_changed_design_computes_only_what_changed(table, design, tmp_path):
    run_study(table, design, tmp_path)
    before = task_bytes(tmp_path)
    when = {path: path.stat().st_mtime_ns for path in (tmp_path / "tasks").glob("[!.]*.npz")}
    changed = design.model_copy(update={"n_random": 100})
    run_study(table, changed, tmp_path)
    new = set(task_bytes(tmp_path)) - set(before)
    assert len(new) == 4  # two splits, two sizes
    assert all(path.stat().st_mtime_ns == time_ for path, time_ in when.items())


@pytest.mark.slow
def test_shards_together_are_the_whole_study(table, design, folder, result, tmp_path):
    assert run_study(table, design, tmp_path, workers=Workers(shard=(2, 2))) is None
    plan = plan_study(table, design, tmp_path)
    left = missing_tasks(plan, Store(tmp_path))
    assert 0 < len(left) < len(plan.tasks)
    found = run_study(table, design, tmp_path, workers=Workers(shard=(1, 2)))
    assert task_bytes(tmp_path) == task_bytes(folder)
    pd.testing.assert_frame_equal(found.results, result.results)
    with pytest.raises(AnalysisError, match="from 1 to 2"):
        run_study(table, design, tmp_path, workers=Workers(shard=(3, 2)))


def test_progress_counts_finished_tasks(table, design, tmp_path):
    seen = []
    run_study(table, design, tmp_path, progress=lambda *told: seen.append(told))
    total = len(plan_study(table, design, tmp_path).tasks)
    assert seen[0] == ("tasks", 0, total) and seen[-1] == ("tasks", total, total)
    assert np.all(np.diff([done for _, done, _ in seen]) >= 0)
