import numpy as np
import pytest
from scipy import stats

from irt_bench.checks.fitted_responses import fit_abilities
from irt_bench.checks.predictive import (
    curve_check,
    curve_misfit,
    item_total_curves,
    log_odds_ratios,
    odds_ratio_check,
    score_check,
    score_distance,
    squared_z_scores,
)


def test_standard_scores_are_against_the_other_replicates(rng):
    replicated = rng.normal(size=(6, 4))
    found = squared_z_scores(replicated.mean(axis=0) + 1, replicated, 0.0)
    np.testing.assert_allclose(found.observed, 1 / (replicated.var(axis=0, ddof=1) * (1 + 1 / 6)))
    others = np.delete(replicated, 2, axis=0)
    expected = (replicated[2] - others.mean(axis=0)) ** 2 / (others.var(axis=0, ddof=1) * (1 + 1 / 5))
    np.testing.assert_allclose(found.replicated[2], expected)


def test_squared_scores_of_normal_statistics_are_squared_student_t(rng):
    replicated = rng.normal(size=(10, 20_000))
    found = squared_z_scores(rng.normal(size=20_000), replicated, 0.0)
    assert stats.kstest(np.sqrt(found.observed), lambda x: 2 * stats.t.cdf(x, 9) - 1).pvalue > 0.001
    assert stats.kstest(np.sqrt(found.replicated[3]), lambda x: 2 * stats.t.cdf(x, 8) - 1).pvalue > 0.001


def test_odds_ratios_are_those_of_the_tables(rng, simulate_answers):
    answers = simulate_answers(rng, n_models=90, n_items=4, missing=0.2)
    found = log_odds_ratios(answers, np.arange(4))
    both = answers.asked[:, 0] & answers.asked[:, 2]
    table = np.array(
        [[((answers.correct[both, 0] == a) & (answers.correct[both, 2] == b)).sum() for b in (1, 0)] for a in (1, 0)]
    )
    table = table + 0.5
    assert found[1] == pytest.approx(np.log(table[0, 0] * table[1, 1] / table[0, 1] / table[1, 0]), rel=1e-5)
    assert found.shape == (6,)


def test_curves_are_shares_by_group_of_score(rng, simulate_answers):
    answers = simulate_answers(rng, n_models=600, n_items=10)
    curves = item_total_curves(answers)
    assert curves.n.sum(axis=0).tolist() == [600] * 10
    np.testing.assert_allclose(np.nansum(curves.share * curves.n, axis=0), answers.correct.sum(axis=0))
    assert (curves.share[-1] > curves.share[0]).all()


def replicates(rng, simulate, items, n=15, n_models=300):
    """Data sets of these items, new models each time."""
    found = []
    for _ in range(n):
        p = 1 / (1 + np.exp(-items.discrimination * (rng.normal(size=n_models)[:, None] - items.difficulty)))
        found.append(fit_abilities(rng.binomial(1, p), np.ones_like(p), items))
    return found


def test_a_swapped_key_and_a_second_dimension_are_caught_and_the_model_passes(rng, simulate, labels):
    correct, trials, items = simulate(rng)
    usual = replicates(rng, simulate, items)
    everything = np.arange(30)
    odds = np.array([log_odds_ratios(each, everything) for each in usual])
    curves = [item_total_curves(each) for each in usual]

    def outcomes(answers):
        found = curve_misfit(item_total_curves(answers), curves)
        pairs = odds_ratio_check(log_odds_ratios(answers, everything), odds)
        return pairs.status, curve_check(found, labels(30).to_numpy())

    assert outcomes(replicates(rng, simulate, items, n=1)[0])[0] == "passed"
    pairs, curve = outcomes(fit_abilities(correct, trials, items))
    assert pairs == "passed" and curve.status == "passed"
    swapped = correct.copy()
    swapped[:, 9] = 1 - swapped[:, 9]
    pairs, curve = outcomes(fit_abilities(swapped, trials, items))
    assert pairs == "failed" and curve.status == "failed" and "i9" in curve.message
    other = rng.normal(size=300)
    second = np.where(np.arange(30) < 15, rng.normal(size=300)[:, None], other[:, None])
    two = rng.binomial(1, 1 / (1 + np.exp(-items.discrimination * (second - items.difficulty))))
    assert outcomes(fit_abilities(two, trials, items))[0] == "failed"


def test_two_camps_of_models_are_no_normal_abilities(rng):
    normal = 1 / (1 + np.exp(-rng.normal(size=(20, 400))))
    assert score_check(1 / (1 + np.exp(-rng.normal(size=400))), normal).status == "passed"
    camps = 1 / (1 + np.exp(-np.where(rng.random(400) < 0.5, -1, 1) - 0.1 * rng.normal(size=400)))
    assert score_check(camps, normal).status == "failed"


def test_the_distance_of_scores_is_kolmogorovs(rng):
    first, second = rng.random(200).round(2), rng.random(200).round(2)
    value, chance = score_distance(first, np.stack([second, second, second]))
    assert value == pytest.approx(stats.ks_2samp(first, second).statistic, abs=1e-9)
    assert chance.shape == (3,) and chance.max() < 1e-12


def test_what_cannot_be_compared_does_not_apply(labels):
    assert score_check(np.array([0.5, np.nan]), np.ones((9, 2))).status == "not_applicable"
    assert odds_ratio_check(np.empty(0), np.empty((9, 0))).status == "not_applicable"
