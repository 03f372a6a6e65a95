import numpy as np
import pytest
from scipy import stats

from irt_bench.errors import AnalysisError
from irt_bench.variance.benchmark_runs import one_measure
from irt_bench.variance.comparison import _log_ratio, compare_variance, leave_one_out, pitman_morgan
from irt_bench.variance.simulate import SeedSimulation, simulate_seeds


def test_pitman_morgan_is_the_correlation_of_sum_and_difference():
    x, y = np.random.default_rng(0).normal(size=(2, 9))
    found = pitman_morgan([x], [y])
    expected = stats.pearsonr(x + y, x - y)
    np.testing.assert_allclose([found.correlation, found.p], [expected.statistic, expected.pvalue])
    np.testing.assert_allclose(found.ratio, x.std() / y.std())


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [3, 5, 10])
def test_the_interval_of_the_ratio_covers(n_seeds):
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        x = rng.normal(size=(n_seeds, 1)) + 0.5 * rng.normal(size=(n_seeds, 4))
        y = 0.5 * x + rng.normal(size=(n_seeds, 1)) + 0.5 * rng.normal(size=(n_seeds, 4))
        y = y / np.sqrt(0.25 + 1 / 1.25 + 0.25 / 1.25)
        se, freedom = leave_one_out([x], [y], _log_ratio)
        covered += abs(_log_ratio([x], [y])) <= stats.t.ppf(0.95, freedom) * se
    assert 0.85 < covered / 400 < 0.98


def test_a_noisier_benchmark_is_called_noisier_and_the_same_one_is_not():
    quiet = one_measure(simulate_seeds(SeedSimulation(n_seeds=10, seed_sd=0.02, subtask_sd=0, item_sd=0), seed=1))[0]
    noisy = one_measure(simulate_seeds(SeedSimulation(n_seeds=10, seed_sd=0.6), seed=2))[0]
    found = compare_variance(noisy, quiet, labels=("noisy", "quiet"), n_bootstrap=50)
    assert found.verdict == "higher" and found.ratio_q05 > 1 and found.n_matched == 200
    same = compare_variance(quiet, quiet, labels=("a", "a"), n_bootstrap=50)
    assert same.verdict == "no difference shown" and same.ratio == 1


def test_runs_that_do_not_match_are_an_error():
    runs = one_measure(simulate_seeds(SeedSimulation(n_seeds=2), seed=1))[0]
    with pytest.raises(AnalysisError, match="no run has 3 seeds"):
        compare_variance(runs, runs, labels=("a", "b"))
