from dataclasses import replace

import numpy as np
import pytest

from irt_bench import Normal, OnePL, TwoPL
from irt_bench.inference.fast.gibbs import draw_frame, draw_hierarchy
from irt_bench.inference.fast.gibbs_targets import State

INDEPENDENT = TwoPL(difficulty=Normal(0.5, 1.5), log_discrimination=Normal(0.1, 0.4))
MODELS = {"1pl": OnePL(), "2pl": TwoPL(), "independent": INDEPENDENT}


def test_a_prior_that_is_known_is_not_drawn(from_prior):
    state = from_prior(INDEPENDENT, 5, 12, 6, np.random.default_rng(1))
    for moved in (draw_frame(INDEPENDENT, state, np.random.default_rng(2)), draw_hierarchy(INDEPENDENT, state, None)):
        for name in ("difficulty_mean", "difficulty_sd", "slope_mean", "slope_sd"):
            np.testing.assert_array_equal(getattr(moved, name), getattr(state, name))


@pytest.mark.parametrize("name", MODELS)
def test_draws_of_the_prior_survive_a_move_of_the_frame(name, from_prior):
    """12 models, 6 items, of which nothing is known but the prior: the same quartiles before and after."""
    state = from_prior(MODELS[name], 20_000, 12, 6, np.random.default_rng(5))
    moved = draw_frame(MODELS[name], state, np.random.default_rng(6))
    for field in ("ability", "difficulty", "log_slope"):
        before, after = getattr(state, field), getattr(moved, field)
        assert np.abs(after - before).max() > 0.1
        for function in (np.mean, np.var):
            quartiles = [np.quantile(function(each, axis=1), (0.25, 0.5, 0.75)) for each in (before, after)]
            np.testing.assert_allclose(*quartiles, atol=0.05, rtol=0.05)
    wrong = TwoPL(difficulty=Normal(-1, 0.5), log_discrimination=Normal(0.1, 0.4))
    if name == "independent":
        moved = draw_frame(wrong, state, np.random.default_rng(6))
        assert moved.difficulty.mean() < state.difficulty.mean() - 0.5


@pytest.mark.parametrize("name", ["1pl", "2pl"])
def test_the_frame_moves_and_no_curve_does(name, from_prior):
    state = from_prior(MODELS[name], 5, 12, 6, np.random.default_rng(1))
    moved = draw_frame(MODELS[name], state, np.random.default_rng(2))
    assert (moved.ability != state.ability).all()
    both = state, moved
    odds = [each.ability[:, :, None] * np.exp(each.log_slope)[:, None] + each.intercept[:, None] for each in both]
    np.testing.assert_allclose(*odds, atol=1e-10)
    np.testing.assert_allclose(
        *((each.difficulty - each.difficulty_mean) / each.difficulty_sd for each in both), atol=1e-8
    )


def test_many_items_tell_their_hierarchy():
    rng = np.random.default_rng(4)
    intercept, log_slope = rng.normal(0.5, 1.5, (50, 4_000)), rng.normal(0.2, 0.3, (50, 4_000))
    one = np.ones((50, 1))
    state = State(np.zeros((50, 3)), -intercept * np.exp(log_slope), log_slope, one, one, one, one, np.empty((50, 0)))
    for _ in range(3):
        state = draw_hierarchy(TwoPL(), state, rng)
    for name, wanted in (("difficulty_mean", 0.5), ("difficulty_sd", 1.5), ("slope_mean", 0.2), ("slope_sd", 0.3)):
        assert getattr(state, name).mean() == pytest.approx(wanted, abs=0.01)


def test_right_draws_survive_a_redraw_of_their_hierarchy_and_narrow_ones_do_not(from_prior):
    """Draws from the priors are right where nothing was answered: 30 items, 4,000 draws."""
    state = from_prior(TwoPL(), 4_000, 3, 30, np.random.default_rng(6))
    redrawn = draw_hierarchy(TwoPL(), state, np.random.default_rng(7))
    for field in ("difficulty_mean", "slope_sd"):
        before, after = getattr(state, field), getattr(redrawn, field)
        assert np.abs(after - before).max() > 0.1
        np.testing.assert_allclose(*(np.quantile(each, (0.25, 0.5, 0.75)) for each in (before, after)), atol=0.08)
    np.testing.assert_array_equal(redrawn.difficulty, state.difficulty)
    narrow = replace(state, difficulty_sd=state.difficulty_sd**0.6)
    after = draw_hierarchy(TwoPL(), narrow, np.random.default_rng(7)).difficulty_sd
    assert np.log(after).std() > 1.2 * np.log(narrow.difficulty_sd).std()
