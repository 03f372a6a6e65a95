"""Intervals and tests of the ratio of two seed sds, with runs that differ in their sds."""

import numpy as np
import pytest
from scipy import stats

from irt_bench.variance.paired_scores import (
    _log_ratio,
    _log_snr_ratio,
    jackknife_error,
    log_ratio_half_width,
    pitman_morgan,
)

N_REPLICATES = 500  # standard error of a coverage of 90%: 1.3%


def paired(rng, n_runs, n_seeds, n_steps, *, uneven=0.0, ratio=1.0, rho=0.5, mean=0.0):
    """Scores of both sides, a list of runs each: steps that move together by half, runs whose sds differ."""
    x, y = [], []
    for scale in np.exp(uneven * rng.normal(size=n_runs)):
        first, second = (
            np.sqrt(0.5) * rng.normal(size=(n_seeds, 1)) + np.sqrt(0.5) * rng.normal(size=(n_seeds, n_steps))
            for _ in range(2)
        )
        x.append(mean + scale * first)
        y.append(mean + scale * (rho * first + np.sqrt(1 - rho**2) * second) / ratio)
    return x, y


def test_pitman_morgan_is_the_correlation_of_sum_and_difference():
    x, y = np.random.default_rng(0).normal(size=(2, 9))
    found = pitman_morgan([x], [y])
    expected = stats.pearsonr(x + y, x - y)
    np.testing.assert_allclose([found.correlation, found.p], [expected.statistic, expected.pvalue])
    np.testing.assert_allclose(found.ratio, x.std() / y.std())
    for limit in (found.lower, found.upper):  # ratios that the test just rejects
        assert np.isclose(stats.pearsonr(x + limit * y, x - limit * y).pvalue, 0.1)


def test_the_form_of_the_interval_is_that_of_pitman_and_morgan():
    x, y = np.random.default_rng(1).normal(size=(2, 12))
    found = pitman_morgan([x], [y])
    error = np.sqrt((1 - np.corrcoef(x, y)[0, 1] ** 2) / found.df)
    half = log_ratio_half_width(error, found.df)
    np.testing.assert_allclose([found.lower, found.upper], found.ratio * np.exp([-half, half]))


def test_runs_that_differ_in_their_sds_do_not_make_the_test_reject():
    rng = np.random.default_rng(3)
    found, together = [], []
    for _ in range(1000):
        x, y = ([run[:, 0] for run in side] for side in paired(rng, 6, 4, 1, uneven=1.0))
        found.append(pitman_morgan(x, y).p)
        u, v = (np.concatenate([run - run.mean() for run in side]) for side in (x, y))
        r = stats.pearsonr(u + v, u - v).statistic
        together.append(2 * stats.t.sf(abs(r) * np.sqrt(17 / (1 - r**2)), 17))
    assert 0.07 < np.mean(np.array(found) < 0.1) < 0.13
    assert np.mean(np.array(together) < 0.1) > 0.16  # negative control: deviations of all runs together


def covered(n_runs, n_seeds, n_steps, statistic, truth, **plan):
    """Whether intervals hold the truth: as given, and as the plain jackknife has them."""
    rng = np.random.default_rng(n_runs * 100 + n_seeds)
    ours, plain = [], []
    for _ in range(N_REPLICATES):
        x, y = paired(rng, n_runs, n_seeds, n_steps, **plan)
        error, df = jackknife_error(x, y, statistic)
        off = abs(statistic(x, y) - truth)
        ours.append(off <= log_ratio_half_width(error, df))
        plain.append(off <= log_ratio_half_width(error * np.sqrt((n_seeds - 2) / (n_seeds - 1)), df))
    return ours, plain


@pytest.fixture
def record(record_coverage):
    """Record coverage, and with many runs of three seeds that of the plain jackknife, which is too low there."""

    def record_both(quantity, n_runs, n_seeds, n_steps, found, limits=(0.85, 0.96), note=""):
        label = f"runs {n_runs}, seeds {n_seeds}, steps {n_steps}{note}"
        about = {"seeds": n_runs * 100 + n_seeds, "limits": limits}
        rows = [record_coverage(quantity, label, found[0], **about)]
        if n_runs == 16:
            rows.append(record_coverage(quantity, label, found[1], **about, control="plain jackknife"))
        return rows

    return record_both


@pytest.mark.slow
@pytest.mark.parametrize("n_steps", [1, 4])
@pytest.mark.parametrize(("n_runs", "n_seeds"), [(1, 5), (1, 10), (3, 3), (4, 5), (16, 3)])
def test_the_interval_of_the_ratio_covers(record, n_runs, n_seeds, n_steps):
    found = covered(n_runs, n_seeds, n_steps, _log_ratio, np.log(1.5), uneven=0.6, ratio=1.5)
    rows = record("ratio of E", n_runs, n_seeds, n_steps, found)
    assert all(row.right for row in rows), rows


@pytest.mark.slow
@pytest.mark.parametrize("n_steps", [1, 4, 20])
def test_with_one_run_of_three_seeds_the_interval_is_wide_enough(record, n_steps):
    """Two degrees of freedom: rather too wide than too narrow."""
    found = covered(1, 3, n_steps, _log_ratio, 0.0)
    assert record("ratio of E", 1, 3, n_steps, found, limits=(0.9, 1.0))[0].right


@pytest.mark.slow
@pytest.mark.parametrize(("n_runs", "n_seeds"), [(1, 10), (4, 5), (16, 3)])
@pytest.mark.parametrize("mean", [3.0, 30.0])
def test_the_interval_of_the_ratio_of_snrs_covers(record, n_runs, n_seeds, mean):
    found = covered(n_runs, n_seeds, 1, _log_snr_ratio, -np.log(1.5), ratio=1.5, mean=mean)
    rows = record("ratio of SNR", n_runs, n_seeds, 1, found, note=f", SNR {mean:.0f}")
    assert all(row.right for row in rows), rows
