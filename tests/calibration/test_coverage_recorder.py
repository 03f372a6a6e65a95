"""Records of tests that pass are kept and not run again; run as tests of a folder of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
TESTS = """
import pathlib

def test_covers(record_coverage):
    with pathlib.Path("runs").open("a") as file:
        file.write("covers ")
    assert record_coverage("E", "d", 0.9, n=1000, seeds=1).right

def test_is_off(record_coverage):
    with pathlib.Path("runs").open("a") as file:
        file.write("off ")
    assert record_coverage("E", "d", 0.5, n=1000, seeds=1).right

def test_of_something_else():
    pathlib.Path("else").touch()
"""
NAMES = "pytest_addoption, pytest_collection_modifyitems, pytest_runtest_makereport, record_coverage"


@pytest.fixture
def run(tmp_path):
    (tmp_path / "conftest.py").write_text(f"from coverage_recorder import {NAMES}\n")
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "test_it.py").write_text(TESTS)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])}

    def pytest_(*arguments):
        command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    return pytest_


def test_a_run_goes_on_with_what_did_not_pass(run, tmp_path):
    first, _ = run("--coverage-folder", "kept")
    again, said = run("--coverage-folder", "kept")
    assert (tmp_path / "runs").read_text() == "covers off off " and not (tmp_path / "else").exists()
    assert (first, again) == (1, 1) and "kept from 20" in said and "1 deselected" in said
    kept = {path.name: json.loads(path.read_text()) for path in (tmp_path / "kept").iterdir()}
    assert {name: one["passed"] for name, one in kept.items()} == {
        "test_it.py-test_covers.json": True, "test_it.py-test_is_off.json": False,
    }  # fmt: skip
    assert [row["coverage"] for row in kept["test_it.py-test_is_off.json"]["rows"]] == [0.5]


def test_without_the_option_nothing_is_kept_or_left_out(run, tmp_path):
    code, said = run()
    assert code == 1 and "1 failed, 2 passed" in said and (tmp_path / "else").exists()
    assert "E, d: 0.500" in said and not list(tmp_path.glob("**/*.json"))
