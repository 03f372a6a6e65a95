import numpy as np
import pytest
from scipy import stats

from irt_bench import FourPL, OnePL, ThreePL, TwoPL, simulate_responses
from irt_bench.errors import ModelError
from irt_bench.irt_models.simulate import draw_parameters

Z_LIMIT = 4.0  # one false alarm in 16,000 tests


def test_parameters_have_the_spread_asked_for():
    n = 20_000
    truth = simulate_responses(TwoPL(), n_models=1, n_items=n, seed=5).truth
    for values, mean, sd in ((truth["difficulty"], 0.0, 1.2), (np.log(truth["discrimination"]), 0.0, 0.4)):
        assert abs(float(values.mean()) - mean) < Z_LIMIT * sd / np.sqrt(n)
        assert abs(float(values.std()) - sd) < Z_LIMIT * sd / np.sqrt(2 * n)


def test_hyperparameters_are_drawn_from_their_priors_when_none_are_given():
    fixed = simulate_responses(TwoPL(), n_models=1, n_items=1, seed=0).truth
    assert (float(fixed["difficulty_sd"]), float(fixed["log_discrimination_mean"])) == (1.2, 0.0)
    sds = [
        float(simulate_responses(TwoPL(), n_models=1, n_items=1, seed=seed, hyperparameters={}).truth["difficulty_sd"])
        for seed in range(60)
    ]
    assert stats.kstest(sds, stats.halfnorm(scale=TwoPL().difficulty.sd.scale).cdf).pvalue > 1e-3


def test_items_of_the_1pl_share_one_discrimination():
    truth = simulate_responses(OnePL(), n_models=2, n_items=5, seed=1).truth
    assert truth["discrimination"].to_numpy().tolist() == [1.0] * 5


def test_given_parameters_are_used_and_leave_the_other_draws_alone():
    drawn = simulate_responses(FourPL(), n_models=3, n_items=4, seed=2).truth
    given = {"ability": [-1.0, 0.0, 1.0], "discrimination": 1.5, "guessing": 0.25}
    truth = simulate_responses(FourPL(), n_models=3, n_items=4, seed=2, parameters=given).truth
    assert truth["ability"].to_numpy().tolist() == [-1.0, 0.0, 1.0]
    assert truth["discrimination"].to_numpy().tolist() == [1.5] * 4
    assert (truth["upper_asymptote"] > 0.25).all()
    np.testing.assert_array_equal(truth["difficulty"], drawn["difficulty"])
    assert "log_discrimination_mean" not in truth
    assert "difficulty_mean" in truth


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dificulty": 0.0}, "Did you mean 'difficulty'"),
        ({"guessing": 0.2}, "parameter of the 2pl model 'guessing' is not known"),
        ({"difficulty": [0.0, 1.0]}, "one for each item"),
        ({"ability": np.nan}, "not finite"),
    ],
)
def test_unusable_parameters_are_refused(parameters, message):
    with pytest.raises(ModelError, match=message):
        simulate_responses(TwoPL(), n_models=3, n_items=4, seed=0, parameters=parameters)


@pytest.mark.parametrize("irt_model", [OnePL(), TwoPL(), ThreePL(), FourPL()], ids=lambda model: model.name)
def test_every_reported_parameter_is_drawn_once_a_model_or_item(irt_model):
    sizes = {"model": 7, "item": 5}
    values = draw_parameters(irt_model, sizes, np.random.default_rng(1), {}, {})
    for name, dim in irt_model.dims.items():
        assert np.broadcast_shapes(np.shape(values[name]), (sizes[dim],)) == (sizes[dim],)
