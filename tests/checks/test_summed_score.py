import itertools

import numpy as np
import pytest

from irt_bench.checks import fit_statistics
from irt_bench.checks.fit_statistics import (
    score_distribution,
    summed_score_check,
    summed_score_fit,
    why_no_s_x2,
    without_each,
)
from irt_bench.checks.fitted_responses import FittedResponses, fit_abilities

# mirt, tests/testthat/test-01-mirtOne.R, LSAT7: slopes and intercepts of modm1, S_X2 and df.S_X2 of its itemfit.
SLOPE, INTERCEPT = (0.9876, 1.0808, 1.7075, 0.765, 0.7357), (1.8559, 0.808, 1.8052, 0.486, 1.8545)
S_X2, FREEDOM = (4.749440, 14.451071, 1.270381, 5.237400, 0.941125), (2, 2, 2, 2, 2)


def test_s_x2_of_lsat7_is_mirts(lsat7, make_items):
    items = make_items(SLOPE, -np.array(INTERCEPT) / SLOPE)
    found = summed_score_fit(fit_abilities(lsat7, np.ones_like(lsat7), items), 2)
    np.testing.assert_allclose(found.statistic, S_X2, atol=0.01)
    assert found.df.tolist() == list(FREEDOM)


def test_the_score_has_the_distribution_that_enumeration_gives(rng):
    right = rng.uniform(0.05, 0.95, (6, 3))
    found = score_distribution(right, 1 - right)
    expected = np.zeros((7, 3))
    for pattern in itertools.product([0, 1], repeat=6):
        on = np.array(pattern)[:, None]
        expected[sum(pattern)] += np.prod(np.where(on == 1, right, 1 - right), axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_an_item_is_taken_out_of_the_score_exactly(rng):
    right = np.concatenate([rng.uniform(0, 1, (40, 4)), [[1e-9, 1 - 1e-9, 0.5, 0.0]]])
    found = without_each(score_distribution(right, 1 - right), right, 1 - right)
    for item in (0, 17, 40):
        others = np.delete(right, item, axis=0)
        np.testing.assert_allclose(found[:, item], score_distribution(others, 1 - others), atol=1e-12)


def test_many_items_agree_with_the_exact_distribution(rng, simulate_answers, monkeypatch):
    answers = simulate_answers(rng, n_models=2000, n_items=90)
    edges = np.array([30.5, 40.5, 50.5, 60.5])
    exact, normal = fit_statistics._exact_shares(answers.items), fit_statistics._normal_shares(answers.items, edges)
    right, wrong = answers.probability, 1 - answers.probability
    nodes = fit_statistics.NODES
    p = 1 / (1 + np.exp(-answers.items.discrimination[:, None] * (nodes - answers.items.difficulty[:, None])))
    weight = score_distribution(p, 1 - p) @ fit_statistics._density()
    group = np.searchsorted(edges, np.arange(91))
    for at in range(5):
        pooled = (weight[:, None] * exact)[group == at].sum(axis=0) / weight[group == at].sum()
        np.testing.assert_allclose(normal[at], pooled, atol=0.006)
    assert right.shape == wrong.shape


def test_neighbouring_scores_are_joined_until_an_answer_of_each_kind_is_expected():
    right = np.array([[0.0], [1.0], [3.0], [9.0], [5.0]])
    share = np.array([[0.0], [0.05], [0.30], [0.80], [1.0]])
    n = np.array([4.0, 12.0, 10.0, 10.0, 5.0])
    statistic, n_groups = fit_statistics._join_sparse(right, n, share)
    # Scores 1 and 2: 0.6 + 3 right expected of 22, seen 4; score 3: 8 of 10, seen 9.
    assert n_groups[0] == 2
    assert statistic[0] == pytest.approx((4 - 3.6) ** 2 * (1 / 3.6 + 1 / 18.4) + 1 / 8 + 1 / 2)


@pytest.mark.parametrize("n_items", [20, 140])
def test_a_swapped_key_is_caught_and_others_are_not(rng, simulate, make_items, labels, n_items):
    correct, trials, items = simulate(rng, n_models=1000, n_items=n_items)
    correct[:, 3] = 1 - correct[:, 3]
    flat = make_items(
        np.where(np.arange(n_items) == 3, 0.05, items.discrimination),  # what a slope above 0 makes of it
        np.where(np.arange(n_items) == 3, 0.0, items.difficulty),
    )
    answers = fit_abilities(correct, trials, flat)
    found = summed_score_fit(answers, 2)
    assert found.misfits.tolist() == [place == 3 for place in range(n_items)]
    assert summed_score_check(answers, found, labels(n_items).to_numpy()).status == "failed"


def test_counts_missing_cells_and_few_models_are_told(rng, simulate, simulate_answers, labels):
    assert "several trials" in why_no_s_x2(simulate_answers(rng, trials=3))
    assert "responded to every item" in why_no_s_x2(simulate_answers(rng, missing=0.2))
    assert "items" in why_no_s_x2(simulate_answers(rng, n_items=3))
    assert why_no_s_x2(simulate_answers(rng)) == ""
    check = summed_score_check(simulate_answers(rng, trials=3), None, labels(30).to_numpy())
    assert check.status == "not_applicable" and "several trials" in check.message


@pytest.mark.slow
@pytest.mark.parametrize("n_items", [20, 140])
def test_p_values_are_uniform_under_the_model(simulate, n_items):
    rng = np.random.default_rng(5)
    p_values = []
    for _ in range(12):
        correct, trials, items = simulate(rng, n_models=1000, n_items=n_items)
        p = np.full((1000, n_items), 0.5)  # not looked at
        known = FittedResponses(correct.astype(float), trials.astype(float), items, np.zeros(1000), p, p)
        p_values.append(summed_score_fit(known, 0).p_value)  # items known: no parameter estimated
    p_values = np.concatenate(p_values)
    assert 0.03 < np.mean(p_values < 0.05) < 0.075
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.06)
