import numpy as np
import pandas as pd
import pytest

from irt_bench.variance.scores import RunScores
from irt_bench.variance.seed_effect import description_checks
from irt_bench.variance.seed_variance import (
    HEAVY,
    LEVEL,
    OUT_BY,
    _largest_deviations,
    _powers,
    _seed_p_values,
    seed_checks,
)


def scored(runs):
    """Runs of one item whose share is the score."""
    return [
        RunScores(
            "b", f"run-{place}", "accuracy", np.asarray(x)[:, None, None], np.ones((len(x), 1, 1), dtype=int),
            tuple(f"s{s}" for s in range(len(x))), ("last",), pd.Index(["i"]), binary=False,
        )
        for place, x in enumerate(runs)
    ]  # fmt: skip


def test_the_largest_deviation_has_the_critical_values_of_grubbs():
    for n, published in ((3, 1.155), (5, 1.715), (10, 2.290), (20, 2.709)):  # two-sided, 5%
        assert abs(np.quantile(_largest_deviations(n), 0.95) - published) < 0.01


@pytest.mark.parametrize(("n_runs", "n_seeds"), [(1, 10), (12, 3)])
def test_a_diverged_seed_is_named_with_its_run(n_runs, n_seeds):
    scores = np.random.default_rng(3).normal(0.5, 0.01, size=(n_runs, n_seeds))
    scores[-1, 1] = 0.1
    outlying, _ = seed_checks(scored(scores))
    assert outlying.status == "failed" and f"seed 's1' of run 'run-{n_runs - 1}'" in outlying.message
    scores[-1, 1] = 0.5
    assert seed_checks(scored(scores))[0].status == "passed"  # the control


def test_two_seeds_and_equal_scores_are_not_judged_and_three_seeds_tell_how_little_they_show():
    assert {check.status for check in seed_checks(scored([[0.1, 0.2]]))} == {"not_applicable"}
    assert {check.status for check in seed_checks(scored([[0.1 + 0.2, 0.3, 0.3]]))} == {"not_applicable"}
    outlying, _ = seed_checks(scored([[0.1, 0.2, 0.35]]))
    assert outlying.status == "passed" and "found in 1" in outlying.message  # 15%


def alarms(scores, grain=0.0):
    """Share of data sets, (data set, run, seed), that each check fails."""
    within, between, shape = _seed_p_values(list(scores.swapaxes(0, 1)), grain)
    ways = [within.min(axis=1) * within.shape[1]] + ([between.min(axis=1)] if np.isfinite(between).all() else [])
    return np.array([(np.min(ways, axis=0) * len(ways) <= LEVEL).mean(), (shape <= LEVEL).mean()])


@pytest.mark.parametrize(("n_runs", "n_seeds"), [(1, 3), (1, 5), (1, 10), (4, 3), (12, 3), (12, 5)])
def test_five_of_a_hundred_sets_of_normal_seeds_fail_and_as_many_others_as_is_said(n_runs, n_seeds):
    rng = np.random.default_rng(4)
    shape = (2000, n_runs, n_seeds)
    assert (np.abs(alarms(rng.normal(size=shape)) - LEVEL) < 0.02).all()
    off = rng.normal(size=shape)
    off[:, -1, -1] += OUT_BY
    found = alarms(off)[0], alarms(rng.standard_t(HEAVY, size=shape))[1]
    np.testing.assert_allclose(found, _powers((n_seeds,) * n_runs), atol=0.08)


@pytest.mark.parametrize("n_runs", [1, 4, 12])
def test_ties_of_scores_on_few_items_raise_no_more_alarms(n_runs):
    """Seeds that differ by an item or a few of 100 and of 1,000."""
    rng = np.random.default_rng(5)
    for n_items, sd in ((100, 0.005), (100, 0.01), (100, 0.02), (1000, 0.003), (1000, 0.02)):
        scores = np.round(n_items * (0.6 + sd * rng.normal(size=(2000, n_runs, 3)))) / n_items
        assert (alarms(scores, 1 / n_items) < 0.08).all()


@pytest.mark.parametrize(
    ("ratio", "values", "failed"),
    [
        (1.1, (0.02, 0.02, 0.019), set()),
        (0.6, (0.02, 0.02, 0.019), {"answers"}),
        (1.0, (0.03, 0.02, 0.02), {"equal_spread"}),
        (1.0, (0.02, 0.02, 0.03), {"score_sd"}),
        (float("nan"), (0.02, 0.02, float("nan")), set()),
    ],
)
def test_each_check_names_what_the_model_misses(ratio, values, failed):
    table = pd.DataFrame({"run": "pooled", "quantity": ["score_sd", "these_score_sd", "score_sd_seen"]})
    checks = description_checks(ratio, table.assign(estimate=values))
    assert {check.name for check in checks if check.status == "failed"} == failed
    assert sum(check.status == "not_applicable" for check in checks) == (2 if ratio != ratio else 0)
