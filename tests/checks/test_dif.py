import numpy as np
import pandas as pd

from irt_bench.analysis.intervals import Z_LIMIT
from irt_bench.checks.fit_statistics import (
    difference_check,
    difference_table,
    group_difference,
    large_groups,
    n_large,
)
from irt_bench.checks.fitted_responses import fit_abilities

# R 4.2.2, stats::mantelhaen.test(correct = FALSE, conf.level = 0.9) of LSAT7, models in turn in group 0 and 1, strata
# scores 1 to 4: common odds ratio and its limits, items 1 to 5.
ODDS = (0.991590697, 1.01762274, 0.985618678, 0.965805194, 1.0512095)
LOW = (0.711973754, 0.770327897, 0.717921023, 0.737346757, 0.759671177)
HIGH = (1.38102297, 1.3443055, 1.35313516, 1.26504886, 1.45463122)


def test_odds_ratios_and_limits_are_rs_mantelhaen_test(lsat7, make_items):
    answers = fit_abilities(lsat7, np.ones_like(lsat7), make_items(np.ones(5), np.zeros(5)))
    found = group_difference(answers, np.arange(1000) % 2 == 1)  # R's ratio: odds of the second group over the first
    log_ratio = found.delta / 2.35
    half = Z_LIMIT * found.standard_error / 2.35
    np.testing.assert_allclose(np.exp(log_ratio), ODDS, rtol=1e-6)
    np.testing.assert_allclose(np.exp(log_ratio - half), LOW, rtol=1e-5)
    np.testing.assert_allclose(np.exp(log_ratio + half), HIGH, rtol=1e-5)


def planted(rng, simulate, shift=1.5, impact=0.0):
    """Item 6 is harder by `shift` logits for the first half, whose abilities are lower by `impact`."""
    ability = rng.normal(size=400) - impact * (np.arange(400) < 200)
    correct, trials, items = simulate(rng, ability=ability)
    harder = ability - shift * (np.arange(400) < 200)
    chance = 1 / (1 + np.exp(-items.discrimination[6] * (harder - items.difficulty[6])))
    correct[:, 6] = rng.binomial(1, chance)
    return fit_abilities(correct, trials, items), np.arange(400) < 200


def test_a_planted_difference_is_caught_with_its_sign(rng, simulate, labels):
    answers, member = planted(rng, simulate, shift=2.0)
    found = {"a": group_difference(answers, member)}
    assert found["a"].delta[6] < -1.5
    check = difference_check(found, labels(30), np.array([0.0]), "")
    assert check.status == "failed" and "i6" in check.message and check.value == n_large(answers, [member])
    table = difference_table(found, labels(30))
    assert table.loc[table["large"], "item"].tolist() == ["i6"]


def test_groups_of_different_ability_do_not_differ_by_that_alone(rng, simulate, labels):
    answers, member = planted(rng, simulate, shift=0.0, impact=1.0)
    found = {"a": group_difference(answers, member)}
    assert difference_check(found, labels(30), np.array([1.0]), "").status == "passed"
    assert abs(np.nanmean(found["a"].delta)) < 0.25


def test_only_groups_large_enough_are_compared():
    groups = pd.Series(["a"] * 25 + ["b"] * 30 + ["c"] * 5 + [None] * 9)
    assert large_groups(groups) == ["a", "b"]
    assert large_groups(pd.Series(["a"] * 25 + ["b"] * 30)) == ["a"]
    assert large_groups(pd.Series(["a"] * 25 + ["b"] * 3)) == []


def test_without_groups_it_does_not_apply(labels):
    check = difference_check({}, labels(3), np.array([np.nan]), "no groups of models were named")
    assert check.status == "not_applicable" and check.message == "no groups of models were named"
    assert len(difference_table({}, labels(3))) == 0


def test_items_nobody_gets_right_are_undefined(rng, simulate):
    correct, trials, items = simulate(rng)
    correct[:, 2] = 0
    found = group_difference(fit_abilities(correct, trials, items), np.arange(300) < 100)
    assert np.isnan(found.delta[2]) and not found.large[2] and np.isfinite(np.delete(found.delta, 2)).all()
