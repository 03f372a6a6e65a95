import numpy as np
import pytest

from irt_bench.checks.fitted_responses import fit_abilities
from irt_bench.checks.local_dependence import (
    largest_excess,
    local_dependence_check,
    pair_table,
    residual_correlations,
)


def test_q3_is_the_correlation_of_residuals_over_models_asked_both(rng, simulate_answers):
    answers = simulate_answers(rng, n_models=80, n_items=5, trials=3, missing=0.3)
    found = residual_correlations(answers, np.arange(5)).correlation
    residual = answers.correct / np.maximum(answers.trials, 1) - answers.probability
    for first, second in ((0, 1), (2, 4)):
        both = answers.asked[:, first] & answers.asked[:, second]
        expected = np.corrcoef(residual[both, first], residual[both, second])[0, 1]
        assert found[first, second] == pytest.approx(expected) == found[second, first]
    assert np.isnan(np.diag(found)).all()


def test_a_duplicated_item_is_caught(rng, simulate, labels):
    correct, trials, items = simulate(rng)
    chance = np.array([largest_excess(residual_correlations(fit_abilities(correct, trials, items), np.arange(30)))])
    correct[:, 4] = np.where(rng.random(300) < 0.9, correct[:, 20], correct[:, 4])
    answers, everything = fit_abilities(correct, trials, items), np.arange(30)
    found = residual_correlations(answers, everything)
    check = local_dependence_check(found, answers, everything, labels(30), chance)
    assert check.status == "failed" and "i4 with i20" in check.message and "identical responses" not in check.message
    table = pair_table(found, labels(30), chance)
    assert table.loc[0, ["item_a", "item_b"]].tolist() == ["i4", "i20"]
    assert (table["q3_excess"] / table["limit"]).is_monotonic_decreasing
    assert table["q3_excess"].iloc[0] == pytest.approx(check.value)
    assert table["limit"].iloc[0] == pytest.approx(check.threshold)


def test_copies_are_named_beside_items_that_one_model_solved(rng, simulate, labels):
    def of(copied):
        correct, _, items = simulate(rng, n_models=123, n_items=60)
        best = np.argsort(-correct.sum(axis=1))[:4]
        rare = np.zeros((123, 8), int)
        rare[best, ::2] = rare[best, 1::2] = np.eye(4, dtype=int)
        correct = np.column_stack([correct, rare, correct[:, :2] if copied else correct[:, :0]])
        places = [*range(60), *[0] * 8, *([0, 1] if copied else [])]
        known = type(items)(*(values[places] for values in items))
        hard = np.arange(len(places)) // 60 * (np.arange(len(places)) < 68) * 5.0
        return fit_abilities(correct, np.ones_like(correct), known._replace(difficulty=known.difficulty + hard))

    chance = np.array([largest_excess(residual_correlations(of(False), np.arange(68))) for _ in range(19)])
    for copied, status in ((False, "passed"), (True, "failed")):
        answers = of(copied)
        everything = np.arange(answers.correct.shape[1])
        found = residual_correlations(answers, everything)
        assert found.correlation[60, 61] > 0.95  # of two items with one right answer, from the same model
        check = local_dependence_check(found, answers, everything, labels(len(everything)), chance)
        assert check.status == status
    assert check.message.startswith("2 item pairs") and check.message.endswith(
        "identical responses: i0 = i68; i1 = i69"
    )


def test_independent_items_pass(rng, simulate_answers, labels):
    chance = np.array([largest_excess(residual_correlations(simulate_answers(rng), np.arange(30))) for _ in range(19)])
    answers = simulate_answers(rng)
    found = residual_correlations(answers, np.arange(30))
    check = local_dependence_check(found, answers, np.arange(30), labels(30), chance)
    assert check.status == "passed" and check.threshold >= 0.2


def test_constant_items_and_pairs_nobody_shares_are_left_out(rng, simulate, labels):
    correct, trials, items = simulate(rng, n_items=4)
    correct[:, 0] = 1
    trials[:150, 1], trials[150:, 2] = 0, 0
    correct = np.minimum(correct, trials)
    found = residual_correlations(fit_abilities(correct, trials, items), np.arange(4)).correlation
    assert np.isnan(found[0]).all() and np.isnan(found[1, 2]) and np.isfinite(found[1, 3])
    answers, first = fit_abilities(correct, trials, items), np.array([0])
    nothing = residual_correlations(answers, first)
    assert local_dependence_check(nothing, answers, first, labels(1), np.array([np.nan])).status == "not_applicable"
