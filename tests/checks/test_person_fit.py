import itertools

import numpy as np
import pytest

from irt_bench.checks.fit_statistics import largest_misfit, person_fit_check, standardised_log_likelihood
from irt_bench.checks.fitted_responses import FittedResponses, fit_abilities


def test_zh_has_mean_zero_and_variance_one_over_all_patterns(make_items):
    items = make_items([0.7, 1.1, 1.6, 0.9, 1.2], [-1.5, -0.4, 0.1, 0.8, 1.3])
    patterns = np.array(list(itertools.product([0, 1], repeat=5)), dtype=float)
    p = np.tile(1 / (1 + np.exp(-items.discrimination * (0.3 - items.difficulty))), (32, 1))
    found = standardised_log_likelihood(
        FittedResponses(patterns, np.ones_like(patterns), items, np.full(32, 0.3), p, p * (1 - p))
    )
    weight = np.prod(np.where(patterns > 0, p, 1 - p), axis=1)
    assert weight @ found == pytest.approx(0, abs=1e-12)
    assert weight @ found**2 == pytest.approx(1)
    log_likelihood = np.log(weight)
    expected = weight @ log_likelihood
    spread = np.sqrt(weight @ (log_likelihood - expected) ** 2)
    np.testing.assert_allclose(found, (log_likelihood - expected) / spread, rtol=1e-9)


def test_a_model_that_answers_at_random_is_caught(rng, simulate, labels):
    correct, trials, items = simulate(rng, n_items=60)
    correct[11] = rng.permutation(np.where(items.difficulty > np.median(items.difficulty), 1, 0))
    correct[11] = (items.difficulty > np.median(items.difficulty)).astype(int)  # right on the hard half only
    check = person_fit_check(fit_abilities(correct, trials, items), labels(300, "m").to_numpy(), np.array([3.4]))
    assert check.status == "failed" and check.message.endswith("model m11")


def test_models_of_the_irt_model_pass(rng, simulate_answers, labels):
    answers = simulate_answers(rng)
    chance = np.array([largest_misfit(simulate_answers(rng)) for _ in range(19)])
    assert person_fit_check(answers, labels(300, "m").to_numpy(), chance).status == "passed"


def test_models_without_answers_are_left_out_and_few_items_do_not_apply(make_items, labels):
    items = make_items(np.ones(12), np.zeros(12))
    trials = np.ones((3, 12))
    trials[1] = 0
    found = fit_abilities(np.zeros((3, 12)), trials, items)
    assert np.isnan(standardised_log_likelihood(found)[1]) and np.isfinite(largest_misfit(found))
    few = fit_abilities(np.ones((3, 5)), np.ones((3, 5)), make_items(np.ones(5), np.zeros(5)))
    assert person_fit_check(few, labels(3, "m").to_numpy(), np.array([1.0])).status == "not_applicable"
