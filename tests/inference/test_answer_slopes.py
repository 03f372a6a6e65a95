import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binom

from irt_bench.inference.fast.gibbs_targets import Answers

STEP = 1e-2


def make(rng, guessing, n_models=7):
    trials = rng.integers(0, 4, (n_models, 5))
    answers = Answers(rng.binomial(trials, 0.5), trials, guessing)
    return answers, rng.normal(size=(3, n_models)), rng.uniform(0.5, 2, (3, 5)), rng.normal(size=(3, 5)), trials


@pytest.mark.parametrize("n_models", [3, 7])  # compiled loops run along the longer side
@pytest.mark.parametrize("guessing", [None, np.linspace(0, 0.4, 5)])
def test_log_likelihood_is_the_binomial_one(guessing, n_models):
    rng = np.random.default_rng(0)
    trials = rng.integers(0, 4, (n_models, 5))
    correct = rng.binomial(trials, 0.5)
    ability, slope, intercept = 2 * rng.normal(size=(3, n_models)), rng.uniform(0.5, 2, (3, 5)), rng.normal(size=(3, 5))
    low = 0 if guessing is None else guessing
    right = low + (1 - low) * expit(ability[:, :, None] * slope[:, None] + intercept[:, None])
    choices = binom.logpmf(correct, trials, 0.5) - trials * np.log(0.5)  # the binomial coefficient, a constant
    expected = binom.logpmf(correct, trials, right) - choices
    answers = Answers(correct, trials, guessing)
    by_model, by_item = answers.sums(ability, slope, intercept)
    np.testing.assert_allclose(by_model[0], expected.sum(2), rtol=1e-5)
    np.testing.assert_allclose(by_item[0], expected.sum(1), rtol=1e-5)


@pytest.mark.parametrize("n_models", [3, 7])
@pytest.mark.parametrize("guessing", [None, np.linspace(0, 0.4, 5)])
def test_slopes_are_those_of_the_log_likelihood(guessing, n_models):
    answers, ability, slope, intercept, _ = make(np.random.default_rng(1), guessing, n_models)

    def difference(side, *change):
        moved = [
            answers.sums(ability + s * change[0], slope + s * change[1], intercept + s * change[2])[side][0]
            for s in (-1, 1)
        ]
        return (moved[1] - moved[0]) / (2 * STEP)

    (_, by_ability), (_, by_intercept, by_slope) = answers.sums(ability, slope, intercept)
    close = {"rtol": 1e-2, "atol": 1e-3}
    np.testing.assert_allclose(by_ability, difference(0, STEP, 0, 0), **close)
    np.testing.assert_allclose(by_intercept, difference(1, 0, 0, STEP), **close)
    np.testing.assert_allclose(by_slope, difference(1, 0, STEP, 0), **close)
    np.testing.assert_array_equal(answers.sums(ability, slope, intercept, density=False)[0][1], by_ability)


def test_one_slope_serves_all_items_and_extreme_log_odds_stay_finite():
    answers, ability, _, intercept, _ = make(np.random.default_rng(2), None)
    one, spread = np.full((3, 1), 1.5), np.full((3, 5), 1.5)
    for found, wanted in zip(
        answers.sums(ability, one, intercept), answers.sums(ability, spread, intercept), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)
    assert all(np.isfinite(part).all() for part in answers.sums(1e6 * ability, one, 1e6 * intercept))
