import numpy as np
import pytest
from scipy import stats

from irt_bench.analysis.intervals import (
    alpha_interval,
    column_mean_interval,
    correlation_interval,
    holm,
    wilson_interval,
)


def test_wilson_interval_equals_scipy():
    right, n = np.array([0, 1, 7, 20]), np.array([5, 3, 20, 20])
    interval = wilson_interval(right / n, n)
    for k, size, lower, upper in zip(right, n, *interval, strict=True):
        expected = stats.binomtest(k, size).proportion_ci(0.9, method="wilson")
        assert (lower, upper) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert np.isnan(wilson_interval(np.array([np.nan]), np.array([0])).lower).all()


def test_interval_of_shares_is_student_t_and_wilson_without_spread():
    values = np.column_stack([np.linspace(0.2, 0.9, 12), np.full(12, 0.5)])
    everyone, binary = np.ones(values.shape, dtype=bool), np.zeros(2, dtype=bool)
    interval = column_mean_interval(values, everyone, binary)
    expected = stats.ttest_1samp(values[:, 0], 0).confidence_interval(0.9)
    assert (interval.lower[0], interval.upper[0]) == pytest.approx((expected.low, expected.high))
    wilson = wilson_interval(np.array([0.5]), np.array([12]))
    assert (interval.lower[1], interval.upper[1]) == (wilson.lower[0], wilson.upper[0])


@pytest.mark.parametrize("n", [3, 4, 30])
def test_correlation_interval_equals_scipy(n):
    x, y = np.random.default_rng(n).normal(size=(2, n))
    found = stats.pearsonr(x, y)
    expected = found.confidence_interval(0.9)
    interval = correlation_interval(np.array([found.statistic, 1.0, np.nan]), np.array([n, 10, n]))
    assert (interval.lower[0], interval.upper[0]) == pytest.approx((expected.low, expected.high))
    assert (interval.lower[1], interval.upper[1]) == (1, 1)
    assert np.isnan([interval.lower[2], interval.upper[2]]).all()


def test_alpha_interval_covers_at_its_nominal_rate(record_coverage):
    rng = np.random.default_rng(10)
    true, alphas = 5 / (5 + 1), []  # five parallel parts, each with as much error as trait variance
    for _ in range(2000):
        covariance = np.cov(rng.normal(size=(30, 1)) + rng.normal(size=(30, 5)), rowvar=False)
        alphas.append(5 / 4 * (1 - np.trace(covariance) / covariance.sum()))
    for n_models, control in ((30, ""), (60, "every model counted twice")):
        limits = [alpha_interval(alpha, n_models, 5) for alpha in alphas]
        covered = [lower < true < upper for lower, upper in limits]
        about = {"seeds": 10, "limits": (0.88, 0.92), "control": control}
        assert record_coverage("alpha", "30 models, 5 items", covered, **about).right


def test_holm_adjusts_as_published():
    # Holm 1979: sorted p-values times n, n - 1, ..., 1, made increasing.
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, np.nan, 0.03])), [0.03, 0.06, np.nan, 0.06])
    p = np.random.default_rng(1).random(20)
    assert (holm(p) >= stats.false_discovery_control(p) - 1e-12).all()
