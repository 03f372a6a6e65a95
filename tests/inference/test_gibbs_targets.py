import numpy as np
import pytest

from irt_bench import OnePL, TwoPL
from irt_bench.inference.fast.gibbs_targets import Answers, Stretch, ability_target, item_target

STEP = 1e-2


def scene(irt_model, from_prior):
    """Several draws, and each target at its start."""
    rng = np.random.default_rng(1)
    state = from_prior(irt_model, 3, 40, 6, rng)
    trials = rng.integers(0, 3, (40, 6))
    answers = Answers(rng.binomial(trials, 0.5), trials, None)
    stretch = Stretch(irt_model, state)
    found = {"ability": (ability_target(answers, state), state.ability[..., None])}
    if isinstance(irt_model, OnePL):
        found["item"] = item_target(answers, state, shared_slope=True), state.intercept[..., None]
    else:
        found["item"] = item_target(answers, state), np.stack([state.intercept, state.log_slope], -1)
    return found | {"stretch": (stretch.target(answers), stretch.start[:, None])}, stretch, state


@pytest.mark.parametrize("target", ["ability", "item", "stretch"])
@pytest.mark.parametrize("irt_model", [OnePL(), TwoPL()], ids=["1pl", "2pl"])
def test_slopes_are_those_of_the_log_density(irt_model, target, from_prior):
    function, start = scene(irt_model, from_prior)[0][target]
    slopes = function(start)[1]
    assert slopes.shape == start.shape
    for coordinate in range(start.shape[-1]):
        step = STEP * (np.arange(start.shape[-1]) == coordinate)
        difference = (function(start + step)[0] - function(start - step)[0]) / (2 * STEP)
        np.testing.assert_allclose(slopes[..., coordinate], difference, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("irt_model", [OnePL(), TwoPL()], ids=["1pl", "2pl"])
def test_a_stretch_moves_spreads_and_keeps_places(irt_model, from_prior):
    _, stretch, state = scene(irt_model, from_prior)
    same = stretch.state(stretch.start)
    np.testing.assert_allclose(same.intercept, state.intercept, rtol=1e-8)
    wider = stretch.state(stretch.start + [np.log(2), 0])
    np.testing.assert_allclose(wider.difficulty_sd, 2 * state.difficulty_sd)
    places = [(each.difficulty - each.difficulty_mean) / each.difficulty_sd for each in (state, wider)]
    np.testing.assert_allclose(*places, rtol=1e-8)
