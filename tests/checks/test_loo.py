import itertools

import arviz_stats
import numpy as np
import pytest
import xarray as xr

from irt_bench import TwoPL
from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.checks import predictive
from irt_bench.checks.fitted_responses import PosteriorDraws
from irt_bench.checks.predictive import (
    leave_cells_out,
    leave_models_out,
    leave_one_out_check,
    why_not_leave_models_out,
)


@pytest.fixture
def posterior(rng, simulate):
    """Draws scattered about the truth, and answers."""
    ability = rng.normal(size=60)
    correct, trials, items = simulate(rng, n_items=8, trials=2, missing=0.2, ability=ability)
    scattered = ItemParameters(
        items.difficulty + 0.1 * rng.normal(size=(400, 8)),
        items.discrimination * np.exp(0.1 * rng.normal(size=(400, 8))),
        np.zeros((400, 8)),
        np.ones((400, 8)),
    )
    return PosteriorDraws(TwoPL(), scattered, ability + 0.3 * rng.normal(size=(400, 60))), correct, trials


def test_cells_left_out_are_arvizs(posterior, rng):
    draws, correct, trials = posterior
    found = leave_cells_out(draws, correct, trials, rng)
    model, item = np.nonzero(trials)
    p = 1 / (
        1 + np.exp(-draws.items.discrimination[:, item] * (draws.ability[:, model] - draws.items.difficulty[:, item]))
    )
    k, n = correct[model, item], trials[model, item]
    ways = np.where((n == 2) & (k == 1), 2, 1)
    log_likelihood = np.log(ways * p**k * (1 - p) ** (n - k))
    tree = xr.DataTree.from_dict(
        {
            "/posterior": xr.Dataset({"x": (("chain", "draw"), np.zeros((1, 400)))}),
            "/log_likelihood": xr.Dataset({"y": (("chain", "draw", "cell"), log_likelihood[None])}),
        }
    )
    expected = arviz_stats.loo(tree, pointwise=True, reff=1.0)
    assert found.elpd == pytest.approx(float(expected.elpd), rel=1e-6)
    assert found.p_loo == pytest.approx(float(expected.p), rel=1e-4)
    np.testing.assert_allclose(found.pareto_k, expected.pareto_k.values, atol=1e-6)
    assert found.elpd_se == pytest.approx(float(expected.se), rel=0.01)


def test_chunks_change_nothing_and_samples_estimate_the_whole(posterior, rng, monkeypatch):
    draws, correct, trials = posterior
    whole = leave_cells_out(draws, correct, trials, rng)
    monkeypatch.setattr(predictive, "CHUNK", 37)
    np.testing.assert_allclose(leave_cells_out(draws, correct, trials, rng).pointwise, whole.pointwise)
    monkeypatch.setattr(predictive, "MAX_CELLS", 150)
    some = leave_cells_out(draws, correct, trials, rng)
    assert some.n_used == 150 and some.n_units == whole.n_units
    assert abs(some.elpd - whole.elpd) < 4 * some.elpd_se
    np.testing.assert_allclose(some.pointwise, whole.pointwise[np.isin(whole.at, some.at)])


def test_models_left_out_have_their_ability_integrated(posterior):
    draws, correct, trials = posterior
    found = leave_models_out(draws, correct, trials)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    p = 1 / (1 + np.exp(-draws.items.discrimination[..., None] * (nodes - draws.items.difficulty[..., None])))
    row = 5
    log_likelihood = (correct[row][:, None] * np.log(p) + (trials - correct)[row][:, None] * np.log(1 - p)).sum(axis=1)
    marginal = np.log(np.exp(log_likelihood) @ weights)
    # Leave-one-out is at most the mean over draws; both agree where draws differ little.
    assert found.pointwise[row] == pytest.approx(np.log(np.mean(np.exp(marginal))), abs=0.2)
    assert found.pointwise[row] < np.log(np.mean(np.exp(marginal)))
    assert found.n_units == 60 and found.unit == "model"


def test_leaving_a_model_out_is_exact_where_it_can_be_enumerated(rng):
    """One item whose difficulty takes one of three values: the posterior without a model is known."""
    difficulty = np.array([-1.0, 0.0, 1.0])
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    right = (weights / weights.sum()) @ (1 / (1 + np.exp(-(nodes[:, None] - difficulty))))
    answers = np.array([1] * 14 + [0] * 6)
    likelihood = np.prod(np.where(answers[:, None] == 1, right, 1 - right), axis=0)
    drawn = rng.choice(3, 4000, p=likelihood / likelihood.sum())
    items = ItemParameters(difficulty[drawn][:, None], *(np.full((4000, 1), value) for value in (1.0, 0.0, 1.0)))
    draws = PosteriorDraws(TwoPL(), items, np.zeros((4000, 20)))
    found = leave_models_out(draws, answers[:, None], np.ones((20, 1), dtype=int))
    for model, answer in itertools.islice(enumerate(answers), 0, 20, 19):
        chance = right if answer else 1 - right
        without = likelihood / chance
        assert found.pointwise[model] == pytest.approx(np.log(without @ chance / without.sum()), abs=0.02)


def test_influential_cells_fail_and_the_reason_against_models_is_told(posterior, rng):
    draws, correct, trials = posterior
    assert leave_one_out_check("loo_cells", leave_cells_out(draws, correct, trials, rng)).status == "passed"
    wild = PosteriorDraws(draws.irt_model, draws.items, 6 * draws.ability)  # draws far wider than any posterior
    assert leave_one_out_check("loo_cells", leave_cells_out(wild, correct, trials, rng)).status == "failed"
    assert "4,000 item parameters" in why_not_leave_models_out(400, 2000, 2)
    assert why_not_leave_models_out(1000, 5, 2) == ""
    assert leave_one_out_check("loo_models", None, "why").message == "why"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_answers_as_good_as_certain_are_not_influential(posterior, rng, monkeypatch):
    """Weights within 1% of each other have no tail; of their last digits Pareto k is large, or no number."""
    draws, correct, trials = posterior
    correct[:, 0] = trials[:, 0]
    draws.items.difficulty[:, 0] = -5 - 20 * rng.random(draws.n_draws) ** 0.02
    found = leave_cells_out(draws, correct, trials, rng)
    easy = np.unravel_index(found.at, trials.shape)[1] == 0
    assert (found.pareto_k[easy] == 0).all() and np.isfinite(found.elpd)
    np.testing.assert_allclose(found.pointwise[easy], 0, atol=1e-4)
    monkeypatch.setattr(predictive, "LEVEL_TOLERANCE", 1e-10)
    without = leave_cells_out(draws, correct, trials, rng)
    assert not (without.pareto_k[easy] < without.k_limit).all()


def test_one_draw_that_stands_alone_above_equal_ones_is_influential():
    """Its weight is e^5 times that of all others, and no tail can be fitted to it."""
    log_likelihood = np.full((400, 3), -1.0)
    log_likelihood[7, 0] = -6
    log_likelihood[:, 2] = -1 - 0.5 * np.linspace(0, 1, 400) ** 2
    found = predictive._psis_loo("cell", log_likelihood, np.arange(3), 3)
    assert found.pareto_k[0] == np.inf and found.pareto_k[1] == 0 and found.pareto_k[2] < found.k_limit
    assert np.isfinite(found.pointwise).all()
