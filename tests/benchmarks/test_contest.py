"""One cell of the comparison: run once, kept, ended at its limit, and never in the way of the others."""

import json
import sys

import contest
import environments
import numpy as np
import pytest
from contest import ENTRANTS, Entrant, Place, read_r_outcome, run_cell, run_limited, write_r_job
from matrices import make


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    make("tiny").save(place.matrix("tiny"))
    return place


def test_a_cell_is_run_once_and_kept(place):
    outcome = run_cell(place, "tiny", "40 numpy passes", 0, limit=60, threads=1)
    assert outcome["status"] == "ok"
    assert outcome["fit_seconds"] > 0
    assert outcome["peak_mb"] > 10
    assert outcome["versions"]["numpy"] == np.__version__
    path = place.cell("tiny", "40 numpy passes", 0)
    path.write_text(json.dumps(outcome | {"fit_seconds": -1.0}))
    assert run_cell(place, "tiny", "40 numpy passes", 0, limit=60, threads=1)["fit_seconds"] == -1.0


def test_our_gradient_yardstick_is_the_gradient_of_its_log_likelihood():
    sys.path.insert(0, str(contest.PEERS))
    try:
        from numpy_passes import gradient, prepare
    finally:
        sys.path.remove(str(contest.PEERS))
    prepared = prepare(make("tiny").responses, {})
    total, *slopes = gradient(*prepared)
    for place, slope in enumerate(slopes, start=1):
        moved = [part.copy() for part in prepared]
        moved[place][0] += 1e-6
        assert (gradient(*moved)[0] - total) / 1e-6 == pytest.approx(slope[0], abs=1e-3)


def test_a_run_is_ended_at_its_limit_and_a_crash_is_told():
    assert run_limited([sys.executable, "-c", "import time; time.sleep(60)"], limit=0.5, threads=1) == "ended after 0 s"
    failed = run_limited([sys.executable, "-c", "raise ValueError('no such thing')"], limit=30, threads=1)
    assert failed == "failed: ValueError: no such thing"
    assert run_limited([sys.executable, "-c", ""], limit=30, threads=1) is None


def test_a_peer_that_is_absent_is_an_outcome(place, monkeypatch):
    monkeypatch.setenv("IRT_BENCH_PEERS", str(place.folder / "nowhere"))
    assert run_cell(place, "tiny", "py-irt", 0, limit=60, threads=1)["status"] == "not installed"
    assert environments.interpreter(environments.OURS) is not None


def test_too_large_a_matrix_is_left_out(place, monkeypatch):
    monkeypatch.setattr(contest, "ENTRANTS", {"small": Entrant("numpy_passes.py", most_cells=10)})
    assert run_cell(place, "tiny", "small", 0, limit=60, threads=1)["status"].startswith("left out")


def test_options_change_with_the_size_of_the_matrix():
    entrant = ENTRANTS["py-irt"]
    assert "epochs_run" not in entrant.options_for(800_000)
    assert entrant.options_for(5_600_000)["epochs_run"] == 100
    assert entrant.options_for(50_000_000)["epochs_run"] == 4


def test_every_entrant_has_its_adapter():
    for entrant in ENTRANTS.values():
        assert (contest.PEERS / entrant.script).is_file()
        assert entrant.environment in environments.NAMES


def test_r_gets_text_and_its_text_becomes_estimates_with_bounds(place, tmp_path):
    job = {"record": str(tmp_path / "record"), "estimates": str(tmp_path / "out.npz"), "options": {"se": True}}
    text = write_r_job(place, "tiny", job, (30, 20), tmp_path).read_text()
    assert "n_models=30\n" in text
    assert "se=True\n" in text
    (tmp_path / "record").write_text("fit_seconds=1.5\npeak_mb=200\npackage=lme4\nversion=1.1\nR=4.2.2\n")
    (tmp_path / "estimates.csv").write_text("ability,0.5\nability_sd,1\nability,0.1\nability_sd,nan\n")
    record = read_r_outcome(job, tmp_path)
    assert record == {"fit_seconds": 1.5, "peak_mb": 200.0, "versions": {"lme4": "1.1", "R": "4.2.2"}}
    estimates = np.load(tmp_path / "out.npz")
    assert estimates["ability_q95"][0] == pytest.approx(0.5 + 1.6449, abs=1e-4)
    assert np.isnan(estimates["ability_q05"][1])
