import numpy as np
import pytest

from irt_bench.analysis.checks.answers import fit_abilities
from irt_bench.analysis.checks.local_dependence import (
    largest_excess,
    local_dependence_check,
    pair_table,
    residual_correlations,
)


def test_q3_is_the_correlation_of_residuals_over_models_asked_both(rng, simulate_answers):
    answers = simulate_answers(rng, n_models=80, n_items=5, trials=3, missing=0.3)
    found = residual_correlations(answers, np.arange(5)).correlation
    residual = answers.right / np.maximum(answers.trials, 1) - answers.probability
    for first, second in ((0, 1), (2, 4)):
        both = answers.asked[:, first] & answers.asked[:, second]
        expected = np.corrcoef(residual[both, first], residual[both, second])[0, 1]
        assert found[first, second] == pytest.approx(expected) == found[second, first]
    assert np.isnan(np.diag(found)).all()


def test_a_duplicated_item_is_caught(rng, simulate, labels):
    correct, trials, items = simulate(rng)
    chance = np.array([largest_excess(residual_correlations(fit_abilities(correct, trials, items), np.arange(30)))])
    correct[:, 4] = np.where(rng.random(300) < 0.9, correct[:, 20], correct[:, 4])
    found = residual_correlations(fit_abilities(correct, trials, items), np.arange(30))
    check = local_dependence_check(found, labels(30), chance)
    assert check.status == "failed" and "i4 with i20" in check.message
    table = pair_table(found, labels(30))
    assert table.loc[0, ["item_a", "item_b"]].tolist() == ["i4", "i20"] and table["q3"].is_monotonic_decreasing
    assert table["q3_excess"].iloc[0] == pytest.approx(check.value)


def test_independent_items_pass(rng, simulate_answers, labels):
    chance = np.array([largest_excess(residual_correlations(simulate_answers(rng), np.arange(30))) for _ in range(19)])
    check = local_dependence_check(residual_correlations(simulate_answers(rng), np.arange(30)), labels(30), chance)
    assert check.status == "passed" and check.threshold >= 0.2


def test_constant_items_and_pairs_nobody_shares_are_left_out(rng, simulate, labels):
    correct, trials, items = simulate(rng, n_items=4)
    correct[:, 0] = 1
    trials[:150, 1], trials[150:, 2] = 0, 0
    correct = np.minimum(correct, trials)
    found = residual_correlations(fit_abilities(correct, trials, items), np.arange(4)).correlation
    assert np.isnan(found[0]).all() and np.isnan(found[1, 2]) and np.isfinite(found[1, 3])
    nothing = residual_correlations(fit_abilities(correct, trials, items), np.array([0]))
    assert local_dependence_check(nothing, labels(1), np.array([np.nan])).status == "not_applicable"
