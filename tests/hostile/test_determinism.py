"""The same input, seed and versions give the same bytes: for any order of the rows, any --jobs and any --threads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    grid = [
        (f"org{m}/model", seed, step, f"q{i}", int(rng.random() < (m + 3) / 10), "law" if i % 2 else "art")
        for m in range(4) for seed in range(2) for step in (1, 2) for i in range(20)
    ]  # fmt: skip
    return pd.DataFrame(grid, columns=["model", "seed", "step", "item", "correct", "subtask"])


def contents(path: Path) -> dict[str, bytes]:
    """Bytes of an output; of summaries all but the wall-clock timings."""
    if path.is_file():
        return {"": path.read_bytes()}
    files = {file.name: file.read_bytes() for file in path.iterdir()}
    if "summary.json" in files:
        summary = json.loads(files["summary.json"])
        summary.pop("timings", None)
        files["summary.json"] = json.dumps(summary, sort_keys=True).encode()
    return files


COMMANDS = {
    "read": ["read", "-o", "out.parquet"],
    "read csv": ["read", "-o", "out.csv"],
    "items": ["items", "-o", "out.csv"],
    "fit": ["fit", "-o", "out"],
    "variance": ["variance", "-o", "out"],
    "subset": ["subset", "--size", "6", "-o", "out.json"],
}
QUICK = ("read", "read csv", "fit")


def outcome(run, frame: pd.DataFrame, command: str, folder: Path, *more: object) -> dict[str, bytes]:
    folder.mkdir()
    frame.to_parquet(folder / "a.parquet")
    name, *options, output = COMMANDS[command]
    run(name, folder / "a.parquet", *more, *options, folder / output)
    return contents(folder / output)


@pytest.mark.parametrize("command", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in COMMANDS])
def test_the_order_of_rows_and_repetition_change_no_byte(run, tmp_path, command):
    frame = table()
    first = outcome(run, frame, command, tmp_path / "0")
    for seed in (1, 2):
        shuffled = frame.sample(frac=1, random_state=seed)
        assert outcome(run, shuffled, command, tmp_path / str(seed)) == first
    assert outcome(run, frame.assign(correct=1 - frame["correct"]), command, tmp_path / "3") != first


def test_the_order_of_files_changes_no_byte(run, tmp_path):
    frame = table()
    parts = [frame[frame["seed"] == seed] for seed in (0, 1)]
    for position, part in enumerate(parts):
        part.assign(benchmark="b").to_parquet(tmp_path / f"{position}.parquet")
    for name, order in (("a", (0, 1)), ("b", (1, 0))):
        run("read", *(tmp_path / f"{position}.parquet" for position in order), "-o", tmp_path / f"{name}.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.slow
def test_threads_change_no_byte_of_a_fit(run, tmp_path):
    first = outcome(run, table(), "fit", tmp_path / "1", "--threads", 1)
    second = outcome(run, table(), "fit", tmp_path / "2", "--threads", 2)
    for files in (first, second):
        files["summary.json"] = files["summary.json"].replace(b'"threads": 2', b'"threads": 1')
        files.pop("fit.nc")  # holds the setting itself
    assert first == second


@pytest.mark.slow
def test_jobs_change_no_byte_of_a_comparison_of_subsets(run, tmp_path):
    path = tmp_path / "a.parquet"
    table().to_parquet(path)
    for jobs in (1, 2):
        options = ["--compare", "--sizes", "5", "--n-random", 5, "--jobs", jobs]
        run("subset", path, *options, "-o", tmp_path / f"out{jobs}")
    assert contents(tmp_path / "out1") == contents(tmp_path / "out2")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["items", "fit", "variance", "subset"])
def test_processes_of_their_own_with_other_hash_seeds_and_threads_give_the_same_bytes(tmp_path, command):
    table().to_parquet(tmp_path / "a.parquet")
    found = []
    for position, (threads, hash_seed) in enumerate((("1", "0"), ("2", "123"))):
        folder = tmp_path / str(position)
        folder.mkdir()
        name, *options, output = COMMANDS[command]
        environment = os.environ | {
            "OMP_NUM_THREADS": threads,
            "PYTHONHASHSEED": hash_seed,
            "NUMBA_NUM_THREADS": threads,
        }
        script = "import sys; from irt_bench.cli import app; app(sys.argv[1:])"
        arguments = [name, str(tmp_path / "a.parquet"), *options, str(folder / output)]
        subprocess.run([sys.executable, "-c", script, *arguments], env=environment, check=True, capture_output=True)
        found.append(contents(folder / output))
    assert found[0] == found[1]
