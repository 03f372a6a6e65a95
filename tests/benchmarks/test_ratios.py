"""Records become a table: best run of each entrant, divided by ours, with accuracy against the truth."""

import json

import numpy as np
import pandas as pd
import pytest
from contest import Place
from matrices import make
from ratios import best_runs, markdown, number, summary, three, with_ratios


def record(entrant, repeat, seconds=None, matrix="tiny", **more):
    found = {"matrix": matrix, "entrant": entrant, "repeat": repeat, "date": "2026-01-01", "load_average": 1.0}
    status = "ok" if seconds is not None else "ended after 9 s"
    return found | {"status": status} | ({"fit_seconds": seconds, "peak_mb": 100.0} if seconds else {}) | more


def test_the_fastest_repeat_counts_and_a_failure_only_where_nothing_went_well():
    runs = best_runs([record("a", 0, 3.0), record("a", 1, 2.0), record("b", 0), record("b", 1)])
    assert runs.loc[("tiny", "a"), ["fit_seconds", "repeat"]].tolist() == [2.0, 1]
    assert runs.loc[("tiny", "b"), "status"] == "ended after 9 s"


def test_times_are_divided_by_the_baseline_of_their_own_matrix():
    records = [
        record("laplace", 0, 0.5), record("py-irt", 0, 10.0),
        record("laplace 1pl", 0, 0.1, "tiny-1pl"), record("lme4", 0, 2.0, "tiny-1pl"), record("mirt", 0, 4.0, "other"),
    ]  # fmt: skip
    times = with_ratios(best_runs(records))["times"]
    assert times["tiny", "py-irt"] == pytest.approx(20)
    assert times["tiny-1pl", "lme4"] == pytest.approx(20)
    assert np.isnan(times["other", "mirt"])


def test_the_summary_scores_estimates_and_finds_when_py_irt_is_as_good(tmp_path):
    place, matrix = Place(tmp_path), make("tiny")
    matrix.save(place.matrix("tiny"))
    truth, rng = matrix.truth, np.random.default_rng(0)

    def noisy(sd):
        return {name: value * np.exp(sd * rng.normal(size=value.shape)) for name, value in truth.items()}

    at = {1000: noisy(1.0), 2000: noisy(0.05)}
    snapshots = {f"{name}@{epoch}": value for epoch, estimates in at.items() for name, value in estimates.items()}
    for entrant, estimates, more in (
        ("laplace", noisy(0.2), {}),
        ("py-irt long", noisy(0.05) | snapshots, {"epochs": 3000, "seconds@1000": 5.0, "seconds@2000": 10.0}),
    ):
        np.savez(place.estimates("tiny", entrant, 0), **estimates)
        place.cell("tiny", entrant, 0).write_text(json.dumps(record(entrant, 0, 1.0 if not more else 15.0, **more)))
    place.cell("tiny", "mirt", 0).write_text(json.dumps(record("mirt", 0) | {"status": "not installed"}))
    frame = summary(place)
    assert frame.loc[("tiny", "py-irt at equal RMSE"), "fit_seconds"] == 10.0
    assert frame.loc[("tiny", "py-irt at equal RMSE"), "times"] == pytest.approx(10.0)
    assert 0.5 < frame.loc[("tiny", "laplace"), "r_ability"] < 1
    text = markdown(frame, ["tiny", "absent"])
    assert "not installed" in text
    assert "ok, 2,000 epochs" in text


def test_numbers_are_short_and_absent_ones_leave_no_mark():
    assert [number(value) for value in (0.01234, 1.234, 1234.5, np.nan, None)] == ["0.0123", "1.23", "1,234", "", ""]
    row = pd.Series({"r_ability": 0.98765, "r_difficulty": -0.5})
    assert three(row, "r_") == ".988 / -.500 / -"
