import numpy as np
import pytest

from irt_bench.inference.gibbs_hierarchy import draw_frame, draw_hierarchy
from irt_bench.inference.gibbs_targets import State
from irt_bench.irt_models.logistic import OnePL, TwoPL

MODELS = {"1pl": OnePL(), "2pl": TwoPL()}


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
    state = State(np.zeros((50, 3)), -intercept * np.exp(log_slope), log_slope, one, one, one, one)
    for _ in range(3):
        state = draw_hierarchy(TwoPL(), state, rng)
    for name, wanted in (("difficulty_mean", 0.5), ("difficulty_sd", 1.5), ("slope_mean", 0.2), ("slope_sd", 0.3)):
        assert getattr(state, name).mean() == pytest.approx(wanted, abs=0.01)
