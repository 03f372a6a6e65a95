import numpy as np
import pytest
from scipy import integrate, optimize, stats
from scipy.special import expit

from irt_bench.variance.metrics import open_limit_reason
from irt_bench.variance.small_sample import (
    beta_excess,
    c4,
    item_spread_df,
    mean_sd_interval,
    ratio_correction,
    ratio_interval,
    robust_spread,
    run_reliability,
    satterthwaite_df,
    sd_interval,
)

NORMAL_QUARTILE = stats.norm.ppf(0.75)  # median absolute deviation of a unit normal


def test_c4_is_the_published_table():
    np.testing.assert_allclose(c4([2, 5, 10]), [0.797885, 0.939986, 0.972659], atol=1e-6)  # Holtzman 1950


def test_at_one_step_the_interval_is_the_chi_square_interval():
    scores = np.array([[0.1], [0.3], [0.25], [0.6]])
    sd = scores.std(ddof=1)
    lower, upper, df = mean_sd_interval(np.asarray(sd), scores)
    np.testing.assert_allclose(df, 3, rtol=1e-3)
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


def test_the_correction_of_the_ratio_is_the_published_one_and_makes_it_unbiased():
    np.testing.assert_allclose(ratio_correction([2, 3, 4, 10]), [0.5642, 0.7236, 0.7979, 0.9227], atol=6e-5)  # Hedges
    x = 10 + np.random.default_rng(0).normal(size=(200_000, 4))
    ratio = x.mean(1) / x.std(1, ddof=1)
    for factor, biased in ((float(ratio_correction(3)), False), (1.0, True)):  # without it: the control
        t = (factor * ratio.mean() - 10) / (factor * ratio.std() / np.sqrt(len(ratio)))
        assert (abs(t) > 4) == biased
    assert np.isnan(ratio_correction(1))


def test_degrees_of_freedom_of_one_run_are_its_own_and_equal_runs_have_nearly_the_sum_of_theirs():
    assert np.isclose(satterthwaite_df(np.array([3.0]), np.array([2.0])), 2)
    assert np.isclose(satterthwaite_df(np.array([3.0, 0.0]), np.array([2.0, np.nan])), 2)  # what is 0 adds nothing
    assert np.isnan(satterthwaite_df(np.zeros(2), np.full(2, np.nan)))
    v = np.random.default_rng(0).chisquare(9, size=(2000, 12))
    found = np.median([satterthwaite_df(each, np.full(12, 9.0)) for each in v])
    assert 0.9 * 108 < found < 108


def pooled_covers(rng, n_runs, n_seeds, log_sd, freedom_of):
    sds = np.exp(log_sd * rng.normal(size=(1500, n_runs)))
    nu = np.full(n_runs, n_seeds - 1.0)
    variances = sds**2 * rng.chisquare(nu, size=sds.shape) / nu
    truth = np.sqrt((sds**2).mean(axis=1))  # of these runs
    df = [freedom_of(each / n_runs, nu) for each in variances]
    lower, upper = sd_interval(np.sqrt(variances.mean(axis=1)), df)
    return (lower <= truth) & (truth <= upper)


@pytest.mark.slow
@pytest.mark.parametrize(("n_runs", "n_seeds"), [(4, 3), (12, 3), (28, 3), (12, 5)])
def test_the_pooled_interval_covers_where_runs_differ_in_their_sds(record_coverage, n_runs, n_seeds):
    for log_sd in (0.0, 0.3, 0.6):
        label = f"{n_runs} runs of {n_seeds} seeds pooled, log sds differ by {log_sd}"
        covered = pooled_covers(np.random.default_rng(5), n_runs, n_seeds, log_sd, satterthwaite_df)
        assert record_coverage("E", label, covered, seeds=5, limits=(0.86, 0.95)).right
    summed = pooled_covers(np.random.default_rng(5), n_runs, n_seeds, 0.6, lambda v, nu: nu.sum())
    assert record_coverage("E", label, summed, seeds=5, control="degrees of freedom summed").right


def test_a_small_sample_of_the_median_absolute_deviation_has_the_factors_derived_and_published():
    """Three seeds: the lesser of two gaps, integrated. More: Croux and Rousseeuw 1992, from simulation, within 2%."""

    def one_way(a, b):  # density of the two gaps of three normal values, times the lesser
        return 6 / (2 * np.pi) / np.sqrt(3) * np.exp(-(a * a + a * b + b * b) / 3) * min(a, b)

    exact = integrate.dblquad(one_way, 0, 12, 0, 12)[0]
    for n, published in ((3, NORMAL_QUARTILE / exact), (4, 1.363), (5, 1.206), (6, 1.200), (7, 1.140), (9, 1.107)):
        x = np.random.default_rng(n).normal(size=(n, 1))
        raw = np.median(np.abs(x - np.median(x))) / NORMAL_QUARTILE
        value, lower, upper = robust_spread([x], float(x.std(ddof=1)), n - 1)
        assert abs(value / raw / published - 1) < (0.01 if n == 3 else 0.02)
        assert lower < value < upper


def test_a_robust_spread_is_undefined_for_two_seeds_and_for_equal_ones_and_ties_leave_a_limit():
    pair = np.array([[0.1], [0.2]])
    assert np.isnan(robust_spread([pair], 0.07, 1)).all()
    assert np.isnan(robust_spread([np.full((3, 1), 0.5)], 0.0, np.nan)).all()
    tied = np.array([[0.50], [0.50], [0.53]])  # scores on 100 items: two are equal but for rounding
    value, lower, upper = robust_spread([tied], float(tied.std(ddof=1)), 2, granularity=0.01)
    assert value == lower == 0 and upper > 0.03


def heavy(rng, kind, n_runs, n_seeds):
    """Scores and what their robust spread is: the normal sd of the same quartiles; of a diverged seed, the others'."""
    z = rng.normal(size=(1000, n_runs, n_seeds, 1))
    if kind == "t3":
        return rng.standard_t(3, size=z.shape), stats.t.ppf(0.75, 3) / NORMAL_QUARTILE
    if kind != "normal":
        z[:, 0, 0] -= kind
    return z, 1.0


@pytest.mark.slow
@pytest.mark.parametrize(("n_runs", "n_seeds"), [(1, 3), (1, 5), (1, 10), (6, 3), (12, 5)])
def test_the_robust_spread_covers_with_heavy_tails_and_a_diverged_seed(record_coverage, n_runs, n_seeds):
    names = {"normal": "normal", "t3": "heavy-tailed (t, 3 degrees of freedom)", 5: "one 5 sds off", 30: "one 30 off"}
    for kind, name in names.items():
        scores, truth = heavy(np.random.default_rng(6), kind, n_runs, n_seeds)
        variances = scores.var(axis=2, ddof=1)[..., 0]
        nu = np.full(n_runs, n_seeds - 1.0)
        sds = np.sqrt(variances.mean(axis=1))
        df = [satterthwaite_df(each / n_runs, nu) for each in variances]
        found = np.array([robust_spread(list(x), sd, df) for x, sd, df in zip(scores, sds, df, strict=True)])
        label = f"{n_runs} runs of {n_seeds} seeds, {name}"
        covered = (found[:, 1] <= truth) & (truth <= found[:, 2])
        assert record_coverage("robust spread", label, covered, seeds=6, limits=(0.85, 0.99)).right
    lower, upper = sd_interval(sds, df)
    row = record_coverage("robust spread", label, (lower <= 1) & (upper >= 1), seeds=6, control="sd, chi-square")
    assert row.right


def test_the_excess_of_shares_is_that_of_the_beta_distribution():
    for a, b in ((0.3, 5.0), (2.0, 40.0), (7.0, 0.6)):
        beta = stats.beta(a, b)
        assert beta_excess(beta.mean(), beta.std()) == pytest.approx(beta.stats("k").item())
    assert beta_excess(0.5, 0.1) == 0  # lighter tails than the normal's
    assert beta_excess([0.0, 0.5, 0.4], [0.0, 0.5, 0.6]).tolist() == [0, 0, 0]  # no such distribution


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [3, 5, 10])
def test_near_0_the_interval_covers_without_an_upper_limit_and_does_not_with_one(record_coverage, n_seeds):
    """Logits of sd 1 or 1.5 around -5 and -4, 1,000 items: most seeds have next to nothing right, few more."""
    rng = np.random.default_rng(7)
    for centre, spread in ((-5.0, 1.0), (-4.0, 1.0), (-4.0, 1.5)):
        scores = rng.binomial(1000, expit(centre + spread * rng.normal(size=(2000, n_seeds)))) / 1000
        truth = (rng.binomial(1000, expit(centre + spread * rng.normal(size=400_000))) / 1000).std()
        e = scores.std(axis=1, ddof=1)
        lower, upper, _ = mean_sd_interval(e, scores[:, :, None], beta_excess(scores.mean(axis=1), e))
        unlimited = np.array(
            [bool(open_limit_reason(x.mean(), sd, bounded=True)) for x, sd in zip(scores, e, strict=True)]
        )
        label = f"scores near 0, logit {centre:g} +- {spread:g}, {n_seeds} seeds"
        covered = (lower <= truth) & ((truth <= upper) | unlimited)
        assert record_coverage("E", label, covered, seeds=7, limits=(0.85, 0.96)).right
        lower, upper = sd_interval(e, n_seeds - 1)  # as of normal scores
        closed = (lower <= truth) & (truth <= upper)
        assert record_coverage("E", label, closed, seeds=7, control="with an upper limit").right


def test_normal_squares_have_about_the_degrees_of_freedom_that_counting_gives():
    squares = np.random.default_rng(0).normal(size=(200, 100, 4)) ** 2  # 4 degrees of freedom an item
    found = np.median(item_spread_df(squares.sum(axis=-1), None))
    assert 0.75 * 400 < found < 1.1 * 400


def test_items_that_move_together_leave_as_few_degrees_of_freedom_as_there_are_groups():
    groups = np.repeat(np.arange(20), 10)
    squares = np.random.default_rng(1).chisquare(4, size=(200, 20))[:, groups]  # ten copies of each
    together, apart = (np.median(item_spread_df(squares, each)) for each in (groups, None))
    assert together < 100 < 500 < apart  # the control: taken as independent, they seem ten times as sure


def test_a_square_without_spread_is_as_certain_as_its_items_are_many_and_not_more():
    assert item_spread_df(np.ones(30), None) == 29
