import numpy as np

from irt_bench.checks.dimensionality import (
    eigenvalue_checks,
    largest_eigenvalues,
    n_dimensions,
    parallel_check,
    permuted_eigenvalues,
    second_eigenvalue_check,
    why_no_eigenvalues,
)
from irt_bench.checks.fitted_responses import fit_abilities

PSYCH = (2.04377556, 0.92088319, 0.82885222, 0.66652476, 0.53996427)  # eigen(tetrachoric(LSAT7)$rho), psych 2.2.9


def test_eigenvalues_of_lsat7_are_psychs(lsat7, make_items):
    answers = fit_abilities(lsat7, np.ones_like(lsat7), make_items(np.ones(5), np.zeros(5)))
    np.testing.assert_allclose(largest_eigenvalues(answers, np.arange(5)), PSYCH, atol=2e-3)


def two_dimensional(rng, trials, items, correlation):
    first, second = rng.normal(size=(2, len(trials), 1))
    second = correlation * first + np.sqrt(1 - correlation**2) * second
    ability = np.where(np.arange(trials.shape[1]) % 2 == 0, first, second)
    return rng.binomial(trials, 1 / (1 + np.exp(-items.discrimination * (ability - items.difficulty))))


def test_a_second_dimension_is_found_and_one_is_no_more_than_one(rng, simulate, simulate_answers):
    correct, trials, items = simulate(rng)
    everything = np.arange(30)
    one = fit_abilities(correct, trials, items)
    two = fit_abilities(two_dimensional(rng, trials, items, 0.4), trials, items)
    chance = np.array([largest_eigenvalues(simulate_answers(rng), everything) for _ in range(19)])
    for answers, status in ((one, "passed"), (two, "failed")):
        observed = largest_eigenvalues(answers, everything)
        assert parallel_check(observed, permuted_eigenvalues(answers, everything, rng), chance).status == status
        assert second_eigenvalue_check(observed, chance[:, 1]).status == status


def test_parallel_analysis_lets_pass_what_one_dimension_brings():
    permuted = np.full((20, 3), 1.5)
    observed, alike, none = np.array([5.0, 1.6, 1.0]), np.array([5.1, 1.65, 1.0]), np.array([5.1, 1.4, 1.0])
    assert parallel_check(observed, permuted, np.array([none, alike])).status == "passed"
    assert parallel_check(observed, permuted, np.array([none, none])).status == "failed"


def test_unrelated_items_have_no_dimension_and_permuting_keeps_their_shares(rng, simulate, monkeypatch):
    correct, trials, items = simulate(rng, missing=0.2)
    noise = np.minimum((rng.random(correct.shape) < 0.5).astype(int), trials)
    answers = fit_abilities(noise, trials, items)
    observed = largest_eigenvalues(answers, np.arange(30))
    assert n_dimensions(observed, permuted_eigenvalues(answers, np.arange(30), rng), np.empty((0, 10))) <= 1
    seen = []
    monkeypatch.setattr(
        "irt_bench.checks.dimensionality.tetrachoric_correlations",
        lambda right, asked: seen.append((right, asked)) or np.eye(30),
    )
    permuted_eigenvalues(answers, np.arange(30), rng)
    right, asked = seen[0]
    np.testing.assert_array_equal(right.sum(axis=0), noise.sum(axis=0))
    assert (right[~asked] == 0).all() and (asked == (trials > 0)).all() and (right != noise).any()


def test_leading_eigenvalues_count():
    permuted, none = np.full((20, 4), 1.5), np.empty((0, 4))
    assert n_dimensions(np.array([5.0, 1.6, 1.0, 1.7]), permuted, none) == 2
    assert n_dimensions(np.full(4, 2.0), permuted, none) == 4
    assert n_dimensions(np.full(4, 1.0), permuted, none) == 0
    assert n_dimensions(np.array([5.0, 3.0, 1.6, 1.0]), permuted, np.array([[6.0, 2.0, 1.7, 1.0]])) == 2


def test_counts_and_small_tables_are_told(rng, simulate_answers):
    assert "several trials" in why_no_eigenvalues(simulate_answers(rng, trials=2), np.arange(30))
    assert "20 models" in why_no_eigenvalues(simulate_answers(rng, n_models=20), np.arange(30))
    assert why_no_eigenvalues(simulate_answers(rng), np.arange(30)) == ""
    assert {check.status for check in eigenvalue_checks("why")} == {"not_applicable"}
