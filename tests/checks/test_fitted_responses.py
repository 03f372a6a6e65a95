import numpy as np
import pytest
import xarray as xr
from scipy.integrate import quad

from irt_bench.analysis.abilities import score_models
from irt_bench.checks.fitted_responses import fit_abilities, score_groups


def test_ability_is_the_posterior_mean_given_the_items(make_items):
    items = make_items([0.8, 1.3, 1.0], [-1.0, 0.2, 1.1])
    correct, trials = np.array([[1, 0, 1], [0, 2, 0]]), np.array([[1, 1, 1], [1, 3, 0]])

    def density(theta, row):
        p = 1 / (1 + np.exp(-items.discrimination * (theta - items.difficulty)))
        return np.prod(p ** correct[row] * (1 - p) ** (trials[row] - correct[row])) * np.exp(-(theta**2) / 2)

    found = fit_abilities(correct, trials, items)
    for row in range(2):
        mass = quad(lambda t, row=row: density(t, row), -9, 9)[0]
        mean = quad(lambda t, row=row: t * density(t, row), -9, 9)[0] / mass
        assert found.ability[row] == pytest.approx(mean, abs=1e-5)
    p = 1 / (1 + np.exp(-items.discrimination * (found.ability[:, None] - items.difficulty)))
    np.testing.assert_allclose(found.probability, p, rtol=1e-9)
    np.testing.assert_allclose(found.residual, correct - trials * p, rtol=1e-7)
    assert found.residual[1, 2] == 0 and not found.binary and found.complete.tolist() == [True, False]


def test_abilities_narrower_than_the_nodes_are_at_their_mode(rng, simulate, make_counts):
    correct, trials, items = simulate(rng, n_models=12, n_items=4000)
    dims = ("chain", "draw", "item")
    labels = [f"i{place}" for place in range(4000)]
    drawn = {name: (dims, np.tile(getattr(items, name), (1, 2, 1))) for name in ("difficulty", "discrimination")}
    posterior = xr.Dataset(drawn, coords={"item": labels})
    expected = score_models(make_counts(correct, trials), posterior, method="map")["ability"]
    np.testing.assert_allclose(fit_abilities(correct, trials, items).ability, expected, atol=1e-4)


def test_chances_near_one_keep_their_variance(make_items):
    found = fit_abilities(np.ones((2, 2)), np.ones((2, 2)), make_items([3.0, 3.0], [-20.0, -20.0]))
    assert (found.variance > 0).all()


def test_items_answered_alike_by_all_do_not_vary(make_items):
    correct, trials = np.array([[1, 0, 1, 1], [1, 1, 0, 0]]), np.array([[1, 1, 1, 1], [1, 1, 0, 1]])
    found = fit_abilities(correct, trials, make_items(np.ones(4), np.zeros(4)))
    assert found.varying.tolist() == [False, True, False, True]


def test_groups_keep_equal_scores_together_and_are_about_equal():
    score = np.repeat([0.1, 0.2, 0.3, 0.9], [5, 5, 5, 5]).astype(float)
    group, n = score_groups(score, most=2)
    assert n == 2 and len({*group[:5]}) == 1 and len({*group[5:10]}) == 1
    group, n = score_groups(np.array([0.5, np.nan, 0.2]), most=6)
    assert n == 2 and group.tolist() == [1, -1, 0]
    group, n = score_groups(np.random.default_rng(0).random(600), most=6)
    assert np.bincount(group).tolist() == [100] * 6


def test_models_without_answers_have_no_score(make_items):
    found = fit_abilities(np.zeros((2, 3)), np.array([[0, 0, 0], [1, 1, 0]]), make_items(np.ones(3), np.zeros(3)))
    assert np.isnan(found.score[0]) and found.score[1] == 0 and found.ability[0] == pytest.approx(0, abs=1e-6)


def test_no_group_of_scores_is_empty_where_many_models_have_the_lowest_score():
    group, n = score_groups(np.concatenate([np.zeros(20), np.linspace(0.01, 0.3, 20)]), most=6)
    assert sorted(set(group)) == list(range(n)) and (group[:20] == 0).all()
