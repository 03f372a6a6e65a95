import numpy as np
import pytest
from scipy import optimize, stats

from irt_bench.variance.few_seeds import c4, mean_sd_interval, ratio_interval, run_reliability


def test_c4_is_the_published_table():
    np.testing.assert_allclose(c4([2, 5, 10]), [0.797885, 0.939986, 0.972659], atol=1e-6)  # Holtzman 1950


def test_at_one_step_the_interval_is_the_chi_square_interval():
    scores = np.array([[0.1], [0.3], [0.25], [0.6]])
    sd = scores.std(ddof=1)
    lower, upper, freedom = mean_sd_interval(np.asarray(sd), scores)
    np.testing.assert_allclose(freedom, 3, rtol=1e-3)
    np.testing.assert_allclose([lower, upper], sd * np.sqrt(3 / stats.chi2.ppf([0.95, 0.05], 3)), rtol=2e-3)


def test_the_interval_of_the_ratio_inverts_the_noncentral_t():
    lower, upper = ratio_interval(np.asarray(10.0), np.asarray(2.0), 5)
    t = 5.0 * np.sqrt(5)
    exact = [optimize.brentq(lambda d, p=p: stats.nct.cdf(t, 4, d) - p, 0.01, 60) / np.sqrt(5) for p in (0.95, 0.05)]
    np.testing.assert_allclose([lower, upper], exact, rtol=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [5, 10])
@pytest.mark.parametrize("n_steps", [1, 5, 20])
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_the_interval_for_e_covers_with_few_seeds(record_coverage, n_seeds, n_steps, correlation):
    """Exact at one step; conservative, up to 95%, where independent steps are many."""
    rng = np.random.default_rng(1)
    shared = rng.normal(size=(4000, n_seeds, 1))
    own = rng.normal(size=(4000, n_seeds, n_steps))
    scores = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
    e = scores.std(axis=1, ddof=1).mean(axis=-1)
    lower, upper, _ = mean_sd_interval(e, scores)
    label = f"normal scores, {n_seeds} seeds, {n_steps} steps correlated {correlation}"
    assert record_coverage("E", label, (lower <= 1) & (upper >= 1), seeds=1, limits=(0.85, 0.95)).right


@pytest.mark.slow
def test_a_plain_bootstrap_of_five_seeds_is_caught_undercovering(record_coverage):
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(1000, 5))
    drawn = scores[np.arange(1000)[:, None, None], rng.integers(5, size=(1000, 400, 5))].std(axis=2, ddof=1)
    lower, upper = np.quantile(drawn, [0.05, 0.95], axis=1)
    covered = (lower <= 1) & (upper >= 1)
    row = record_coverage("E", "normal scores, 5 seeds, 1 steps", covered, seeds=2, control="plain bootstrap of seeds")
    assert row.right and row.coverage < 0.8


def test_the_reliability_over_runs_is_that_of_shrout_and_fleiss():
    judges = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]  # their table 2
    value, lower, upper = run_reliability([np.array(each, dtype=float) for each in judges])
    assert round(value, 2) == 0.17  # their table 4, ICC(1, 1)
    f = stats.f_oneway(*judges).statistic
    bounds = [f / stats.f.ppf(p, 5, 18) for p in (0.95, 0.05)]
    np.testing.assert_allclose([lower, upper], [(each - 1) / (each + 3) for each in bounds])
    assert np.isnan(run_reliability([np.arange(3.0)])).all()


@pytest.mark.slow
def test_the_interval_of_the_reliability_over_runs_covers_and_a_bootstrap_of_seeds_does_not(record_coverage):
    rng = np.random.default_rng(4)
    scores = rng.normal(size=(2000, 6, 1)) + rng.normal(size=(2000, 6, 5))
    limits = [run_reliability(list(each))[1:] for each in scores]
    bootstrapped = []
    for each in scores[:200]:
        again = [run_reliability(list(rng.choice(each, 5, axis=1)))[0] for _ in range(100)]
        bootstrapped.append(np.quantile(again, [0.05, 0.95]))
    for found, control in ((limits, ""), (bootstrapped, "bootstrap of seeds, runs as they are")):
        lower, upper = np.transpose(found)
        covered = (lower <= 0.5) & (upper >= 0.5)
        about = {"seeds": 4, "limits": (0.88, 0.92), "control": control}
        assert record_coverage("reliability over runs", "6 runs of 5 seeds", covered, **about).right
