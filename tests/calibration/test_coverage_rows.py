import json

import numpy as np
import pytest
from coverage_rows import (
    CAUGHT,
    HOLDS,
    NOT_CAUGHT,
    TOO_HIGH,
    TOO_LOW,
    UNSURE,
    coverage_row,
    mean_interval,
    row_of,
    share_interval,
)
from scipy import stats


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (20, 20), (180, 200), (1, 1)])
def test_the_interval_of_a_share_is_clopper_and_pearsons(hits, n):
    exact = stats.binomtest(hits, n).proportion_ci(0.95, method="exact")
    assert share_interval(np.arange(n) < hits) == pytest.approx((exact.low, exact.high))


def test_shares_of_data_sets_have_the_error_of_their_mean():
    shares = np.array([0.8, 0.9, 1.0])
    assert mean_interval(shares) == pytest.approx((0.9 - 0.2 / np.sqrt(3), 1.0))
    row = coverage_row("ability", "S", shares, seeds="1-3")
    assert (row.n, row.coverage, row.seeds) == (3, pytest.approx(0.9), "1-3")


@pytest.mark.parametrize(
    ("share", "verdict", "of_a_control"),
    [(0.90, HOLDS, NOT_CAUGHT), (0.86, UNSURE, NOT_CAUGHT), (0.80, TOO_LOW, CAUGHT), (0.99, TOO_HIGH, CAUGHT)],
)
def test_a_control_is_caught_where_coverage_is_told_from_what_is_wanted(share, verdict, of_a_control):
    rows = [coverage_row("E", "d", share, n=400, seeds=1, control=control) for control in ("", "wrong scale")]
    assert [row.verdict for row in rows] == [verdict, of_a_control]
    assert [row.right for row in rows] == [share == 0.90, of_a_control == CAUGHT]


def test_limits_decide_what_passes_and_the_verdict_does_not_hide_it():
    row = coverage_row("E", "20 steps", 0.945, n=4000, seeds=1, limits=(0.85, 0.95))
    assert row.right and row.verdict == TOO_HIGH


def test_few_data_sets_do_not_make_a_control_caught():
    assert not coverage_row("E", "d", 0.7, n=10, seeds=1, control="wrong scale").right


def test_rows_survive_json_and_unknown_quantities_do_not_get_in():
    row = coverage_row("full score", "d", [True, False], seeds=1)
    assert row_of(json.loads(json.dumps(row._asdict()))) == row
    with pytest.raises(ValueError, match="'abilities'"):
        coverage_row("abilities", "d", [True], seeds=1)
    with pytest.raises(ValueError, match="n"):
        coverage_row("ability", "d", 0.9, seeds=1)
