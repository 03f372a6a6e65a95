import numpy as np
import pytest
from scipy import stats

from irt_bench.study.rows import detectable_full, detectable_random


@pytest.mark.parametrize("n_compared", [1, 12])
def test_a_cut_of_the_size_stated_is_found_against_random_subsets_with_the_stated_power(n_compared):
    rng = np.random.default_rng(n_compared)
    sd = 0.15
    ratio = detectable_random(sd * rng.normal(size=50_000), n_compared)
    method = np.log(ratio) + sd * rng.normal(size=20_000)
    critical = stats.norm.ppf(0.05 / n_compared) * sd
    assert np.mean(method < critical) == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("freedom", [8, 54])
def test_a_cut_of_the_size_stated_is_found_against_the_full_benchmark_by_pitman_morgan(freedom):
    rng = np.random.default_rng(freedom)
    correlation = 0.6
    ratio = detectable_full(correlation, freedom, 1)
    x, y = rng.normal(size=(2, 1500, freedom + 1))
    other = correlation * x + np.sqrt(1 - correlation**2) * y
    u, v = ratio * x + other, ratio * x - other
    r = np.array([stats.pearsonr(*pair).statistic for pair in zip(u, v, strict=True)])
    t = r * np.sqrt((freedom - 1) / (1 - r**2))
    found = np.mean(stats.t.cdf(t, freedom - 1) < 0.05)
    assert found == pytest.approx(0.8, abs=0.06)  # the t approximation of the log ratio is rough below ten


def test_more_seeds_and_fewer_comparisons_find_smaller_cuts():
    assert detectable_full(0.5, 8, 10) < detectable_full(0.5, 54, 10) < detectable_full(0.9, 54, 10) < 1
    assert detectable_full(0.5, 8, 50) < detectable_full(0.5, 8, 1)
