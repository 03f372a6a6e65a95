import numpy as np
import pytest
from scipy import stats

from irt_bench.analysis.intervals import holm
from irt_bench.study.data import pooled_variance, run_variance
from irt_bench.study.verdicts import (
    CUTS,
    NO_DIFFERENCE,
    RAISES,
    UNDEFINED,
    LogRatio,
    Ratio,
    effective_freedom,
    item_spread,
    log_ratio,
    percentile,
    ratio_with_interval,
    two_sided,
    verdict,
)
from irt_bench.variance.paired_scores import pitman_morgan

RNG = np.random.default_rng(0)


def paired(rng, n_runs, n_seeds, n_steps, ratio, correlation, replicates=()):
    """Scores of seeds in two measures whose true seed sds have this ratio."""
    shape = (*replicates, n_seeds, n_steps)
    x, y = [], []
    for _ in range(n_runs):
        shared, own = rng.normal(size=(2, *shape))
        x.append(ratio * shared)
        y.append(correlation * shared + np.sqrt(1 - correlation**2) * own)
    return x, y


def both(x, y):
    return log_ratio([run_variance(each) for each in x], [run_variance(each) for each in y])


def test_one_run_at_one_step_is_the_test_of_pitman_and_morgan():
    x, y = paired(RNG, 1, 9, 1, 1.3, 0.5)
    found, known = both(x, y), pitman_morgan([each[:, 0] for each in x], [each[:, 0] for each in y])
    interval = ratio_with_interval(found, 0.0)
    assert found.freedom == pytest.approx(known.df)
    assert interval.ratio == pytest.approx(known.ratio)
    # Student limits of the log ratio against the exact ones, which are a little narrower.
    assert np.log(interval.upper / interval.lower) == pytest.approx(np.log(known.upper / known.lower), rel=0.12)


def test_the_variance_of_the_log_ratio_is_that_over_repeated_trainings():
    x, y = paired(np.random.default_rng(5), 8, 3, 2, 1.2, 0.7, replicates=(4000,))
    found = both(x, y)
    assert np.sqrt(found.variance.mean()) == pytest.approx(found.value.std(), rel=0.15)


def test_against_the_mean_of_random_subsets_only_the_part_that_seeds_share_is_uncertain():
    """The reference is y's variance and a known part, as V(k) = V(N) + s2_res (1 / k - 1 / N)."""
    x, y = paired(np.random.default_rng(6), 6, 4, 1, 1.0, 0.8, replicates=(3000,))
    runs = [[run_variance(each) for each in side] for side in (x, y)]
    known = 1.5
    reference = float(np.mean(pooled_variance(runs[1]))) + known
    found = log_ratio(*runs, reference)
    truth = 0.5 * (np.log(pooled_variance(runs[0])) - np.log(pooled_variance(runs[1]) + known))
    assert np.sqrt(found.variance.mean()) == pytest.approx(truth.std(), rel=0.15)


def test_random_subsets_are_compared_all_at_once():
    x, y = paired(RNG, 2, 3, 1, 1.0, 0.5, replicates=(7,))
    together = both(x, y)
    alone = both([each[4] for each in x], [each[4] for each in y])
    assert together.value.shape == (7,)
    assert together.value[4] == pytest.approx(alone.value) and together.variance[4] == pytest.approx(alone.variance)


def test_one_run_of_two_seeds_has_no_interval_and_no_verdict():
    x, y = paired(RNG, 1, 2, 1, 1.0, 0.3)
    found = ratio_with_interval(both(x, y), 0.0)
    assert np.isnan(found.lower) and verdict(found, 0.01) == UNDEFINED
    assert np.isfinite(ratio_with_interval(both(*paired(RNG, 6, 2, 1, 1.0, 0.3)), 0.0).lower)


def test_a_run_that_outweighs_the_others_leaves_fewer_degrees_of_freedom():
    x, y = paired(RNG, 6, 5, 1, 1.0, 0.5)
    equal = effective_freedom(*([run_variance(each) for each in side] for side in (x, y)))
    loud = [[each * (10 if run == 0 else 1) for run, each in enumerate(side)] for side in (x, y)]
    one = effective_freedom(*([run_variance(each) for each in side] for side in loud))
    assert equal > 15 and one < 8


@pytest.mark.parametrize(("n_runs", "n_seeds", "n_steps"), [(4, 3, 5), (13, 3, 1), (1, 10, 4), (2, 5, 1), (27, 2, 1)])
def test_intervals_of_the_ratio_cover_with_few_seeds(n_runs, n_seeds, n_steps):
    n = 1000
    x, y = paired(np.random.default_rng(n_runs), n_runs, n_seeds, n_steps, 1.5, 0.6, replicates=(n,))
    found = both(x, y)
    inside = 0
    for value, variance, freedom in zip(found.value, found.variance, found.freedom, strict=True):
        interval = ratio_with_interval(LogRatio(value, variance, freedom), 0.0)
        inside += interval.lower <= 1.5 <= interval.upper
    assert 0.88 <= inside / n <= 0.98  # 1000 draws: 0.01 of standard error about 0.90


def test_what_items_add_is_the_spread_of_subsets_beyond_their_seeds_noise():
    rng = np.random.default_rng(2)
    own, noise = 0.2 * rng.normal(size=20_000), 0.1 * rng.normal(size=20_000)
    random = LogRatio(own + noise, np.full(20_000, 0.01), np.full(20_000, 8.0))
    assert item_spread(random) == pytest.approx(0.04, rel=0.05)
    assert item_spread(LogRatio(noise, np.full(20_000, 0.02), np.full(20_000, 8.0))) == 0


def test_the_interval_is_students_where_items_add_nothing_and_nearly_normal_where_they_add_all():
    found = LogRatio(np.array(0.2), np.array(0.01), np.array(4.0))
    interval = ratio_with_interval(found, 0.0)
    assert np.log(interval.upper) == pytest.approx(0.2 + stats.t.ppf(0.95, 4) * 0.1)
    assert interval.p == pytest.approx(2 * stats.t.sf(2, 4))
    wide = ratio_with_interval(found, 1.0)
    assert np.log(wide.upper) - 0.2 == pytest.approx(stats.norm.ppf(0.95) * np.sqrt(1.01), rel=0.01)


def test_percentiles_are_permutation_p_values_whatever_the_distribution():
    """Under the null hypothesis the method is one more draw: uniform percentiles, 10% of p-values below 0.1."""
    draws = np.random.default_rng(3).gamma(2.0, size=(4000, 100))
    share = np.array([percentile(row[0], row[1:]) for row in draws])
    assert stats.kstest(share, "uniform").pvalue > 0.01
    p = np.array([two_sided(row[0], row[1:]) for row in draws])
    assert np.mean(p <= 0.1) == pytest.approx(0.1, abs=0.015)
    assert np.isnan(percentile(np.nan, draws[0])) and np.isnan(two_sided(np.nan, draws[0]))


@pytest.mark.parametrize(
    ("ratio", "p", "expected"),
    [
        (Ratio(0.7, 0.5, 0.9, 0.01), 0.05, CUTS),
        (Ratio(0.7, 0.5, 0.9, 0.01), 0.2, NO_DIFFERENCE),  # not after Holm's correction
        (Ratio(0.7, 0.4, 1.1, 0.2), 0.05, NO_DIFFERENCE),  # whatever the point value says
        (Ratio(1.7, 1.2, 2.0, 0.01), 0.1, RAISES),
        (Ratio(0.7, np.nan, np.nan, np.nan), np.nan, UNDEFINED),
        (Ratio(0.7, np.nan, np.nan, np.nan), 0.01, UNDEFINED),
    ],
)
def test_verdicts_come_from_intervals_and_the_corrected_p(ratio, p, expected):
    assert verdict(ratio, p) == expected


def test_a_score_without_any_spread_has_no_verdict():
    x = [np.zeros((3, 1))]
    y = [RNG.normal(size=(3, 1))]
    found = ratio_with_interval(both(x, y), 0.0)
    assert np.isnan(found.lower) and verdict(found, 0.001) == UNDEFINED


def test_holm_keeps_the_chance_of_any_false_verdict_at_its_level():
    p = np.random.default_rng(4).uniform(size=(4000, 12))
    any_found = np.mean([(holm(row) <= 0.1).any() for row in p])
    assert any_found == pytest.approx(0.1, abs=0.015)
    assert np.mean((p <= 0.1).any(axis=1)) > 0.6  # the negative control: without it, most studies find something
