"""Scores in [0, 1] with exact zeros and ones: densities, drawn scores, recovery, files."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import beta

from irt_bench import Fit, NUTSSettings, SVISettings, TwoPL, ZeroOneBeta, as_counts, fit, simulate_responses
from irt_bench.errors import ModelError
from irt_bench.inference.sampling import coordinates, svi
from irt_bench.inference.sampling.likelihood import ResponseCells, ResponseData, ScoreGrid
from irt_bench.inference.sampling.target import Target
from irt_bench.irt_models.model import arranged
from irt_bench.irt_models.ordered_and_continuous import EDGE, OF_ARRAYS, _coefficients, _of_tensors

ITEMS = {
    "discrimination": np.array([0.8, 1.7]),
    "difficulty": np.array([-0.3, 0.5]),
    "threshold_zero": np.array([-2.0, -0.4]),
    "threshold_one": np.array([1.1, 0.9]),
    "precision": np.array([4.0, 15.0]),
}
ABILITY = np.array([-1.2, 0.3])


def by_definition(score, theta, item):
    """Chance of 0 or 1, or density between, as in the paper."""
    slope, middle, low, high, precision = (ITEMS[name][item] for name in (
        "discrimination", "difficulty", "threshold_zero", "threshold_one", "precision",
    ))  # fmt: skip
    zero, one = 1 - expit(slope * (theta - low)), expit(slope * (theta - high))
    if score in (0, 1):
        return one if score else zero
    mean = expit(slope * (theta - middle))
    return (1 - zero - one) * beta.pdf(score, mean * precision, (1 - mean) * precision)


@pytest.mark.parametrize("score", [0.0, 0.02, 0.5, 0.97, 1.0])
def test_likelihood_is_that_of_the_definition(score):
    scores = np.full((2, 2), score)
    found = ZeroOneBeta().log_likelihood(ITEMS, ABILITY, scores, np.ones((2, 2)))
    expected = [[np.log(by_definition(score, theta, item)) for item in (0, 1)] for theta in ABILITY]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    nodes = ZeroOneBeta().node_log_likelihood(ITEMS, ABILITY, scores[:1], np.array([[1, 0]]))
    np.testing.assert_allclose(nodes[0], np.array(expected)[:, 0], rtol=1e-9)


def test_scores_next_to_an_end_count_as_that_near_or_nearer():
    """Single precision does not tell 1 - 1e-9 from 1, and most scores are there where the mean is near an end."""
    ability, trials = np.array([-6.0, 0.3, 7.0]), np.ones((3, 2))
    frame = pd.DataFrame([[1e-7, 0.5], [0.2, 1e-9], [1 - 2e-7, 1 - 2e-7]], columns=["q", "r"])
    counts = arranged(ZeroOneBeta(), as_counts(frame.rename_axis(index="model", columns="item").rename("m{}".format)))
    found = ZeroOneBeta().log_likelihood(ITEMS, ability, counts.correct, trials)
    for model, item, end in ((0, 0, 0), (1, 1, 0), (2, 0, 1), (2, 1, 1)):
        theta = ability[model]
        mean = expit(ITEMS["discrimination"][item] * (theta - ITEMS["difficulty"][item]))
        shapes = np.array([mean, 1 - mean])[:: -1 if end else 1] * ITEMS["precision"][item]
        inside = 1 - by_definition(0, theta, item) - by_definition(1, theta, item)
        expected = np.log(inside * beta.cdf(EDGE, *shapes) / EDGE)  # the mean density there
        assert found[model, item] == pytest.approx(expected, abs=2e-5)
        at_edge = np.log(by_definition(1 - EDGE if end else EDGE, theta, item))
        assert abs(at_edge - expected) > 0.1 or shapes[0] > 1  # the control: the density at the edge
    np.testing.assert_allclose(found[1, 0], np.log(by_definition(np.float32(0.2), ability[1], 0)), rtol=1e-6)


def test_chances_add_up_and_give_the_expected_score():
    for model, theta in enumerate(ABILITY):
        for item in (0, 1):
            inside = quad(by_definition, 0, 1, args=(theta, item))[0]
            ends = by_definition(0, theta, item), by_definition(1, theta, item)
            assert inside + sum(ends) == pytest.approx(1.0, abs=1e-6)
            mean = ends[1] + quad(lambda y, *at: y * by_definition(y, *at), 0, 1, args=(theta, item))[0]
            assert ZeroOneBeta().expected_score(ITEMS, ABILITY)[model, item] == pytest.approx(mean, abs=1e-6)


def test_arrays_and_tensors_agree():
    tensors = {name: torch.tensor(value) for name, value in ITEMS.items()}
    found = _coefficients(tensors, torch.tensor(ABILITY)[:, None], _of_tensors()).numpy()
    np.testing.assert_allclose(found, _coefficients(ITEMS, ABILITY[:, None], OF_ARRAYS), rtol=1e-10)


def test_drawn_scores_have_their_mean_and_ends():
    rng = np.random.default_rng(0)
    drawn = np.array([ZeroOneBeta().draw_scores(ITEMS, ABILITY, rng) for _ in range(4000)])
    np.testing.assert_allclose(drawn.mean(axis=0), ZeroOneBeta().expected_score(ITEMS, ABILITY), atol=0.03)
    ends = [[[by_definition(end, theta, item) for item in (0, 1)] for theta in ABILITY] for end in (0, 1)]
    np.testing.assert_allclose([(drawn == end).mean(axis=0) for end in (0, 1)], ends, atol=0.03)


def test_gradients_are_right():
    counts = arranged(ZeroOneBeta(), simulate(12, 3, seed=1, missing=0.2).table.counts())
    cells = ResponseCells.from_arrays(counts.correct, counts.trials)
    for data in (ResponseData(cells), ResponseData(cells, ScoreGrid(3))):
        target = Target(ZeroOneBeta(), data)
        point = np.random.default_rng(0).normal(0, 0.3, target.size)
        gradient = target.value_and_gradient(point)[1]
        step = 1e-5 * np.eye(target.size)[::4]
        numeric = [
            (target.value_and_gradient(point + e)[0] - target.value_and_gradient(point - e)[0]) / 2e-5 for e in step
        ]
        np.testing.assert_allclose(gradient[::4], numeric, rtol=1e-4, atol=1e-4)


def simulate(n_models, n_items, seed, missing=0.0):
    """Scores of which about a fifth are 0 and a fifth 1."""
    shared = {"log_below_mean": 0.3, "log_below_sd": 0.3, "log_above_mean": 0.3, "log_above_sd": 0.3}
    shared |= {"log_precision_mean": 1.8, "log_precision_sd": 0.3, "difficulty_mean": 0.0, "difficulty_sd": 0.8}
    shared |= {"log_discrimination_mean": 0.0, "log_discrimination_sd": 0.3}
    return simulate_responses(
        ZeroOneBeta(), n_models=n_models, n_items=n_items, seed=seed, missing=missing, hyperparameters=shared
    )


def coverage(table, truth):
    """Whether 90% intervals of a table hold what was planted."""
    return {
        name: ((table[f"{name}_q05"] < truth[name].to_numpy()) & (truth[name].to_numpy() < table[f"{name}_q95"])).mean()
        for name in ("ability", "difficulty", "discrimination", "precision", "threshold_zero", "threshold_one")
        if name in table
    }


@pytest.fixture(scope="module")
def fitted():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coordinates, "START_STEPS", 300)
        patch.setattr(svi, "MAX_CHECKED", 0)
        patch.setattr("warnings.warn", lambda *_, **__: None)  # of few steps
        return fit(simulate(40, 5, seed=2, missing=0.1).table, "beta", SVISettings(max_steps=300, draws=200), seed=1)


def test_a_fit_reports_scores_and_comes_back(fitted, tmp_path):
    simulation = simulate(40, 5, seed=2, missing=0.1)
    table = fitted.items()
    assert {"threshold_zero", "threshold_one", "precision_q95"} <= {*table}
    assert np.corrcoef(fitted.abilities()["ability"], simulation.truth["ability"])[0, 1] > 0.6
    curves = fitted.curves(["item-1"])["probability"].unstack("outcome")
    np.testing.assert_allclose(curves[["0", "between", "1"]].sum(axis=1), 1.0, atol=1e-6)
    assert curves["expected score"].is_monotonic_increasing
    assert fitted.plot("curves").axes
    scored = fitted.score(simulation.table)
    np.testing.assert_allclose(scored["ability"], fitted.abilities()["ability"], atol=0.3)
    fitted.save(tmp_path / "fit.nc")
    again = Fit.load(tmp_path / "fit.nc")
    assert again.irt_model == fitted.irt_model
    np.testing.assert_allclose(again.log_likelihood(), fitted.log_likelihood(simulation.table), atol=1e-2)
    pd.testing.assert_frame_equal(again.probabilities(by="item"), fitted.probabilities(by="item"), rtol=1e-3)


def test_right_and_wrong_answers_are_refused():
    with pytest.raises(ModelError, match="all scores are 0 or 1.*fit '2pl'"):
        fit(np.array([[0, 1], [1, 0]]), "beta", SVISettings())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # one short chain each
def test_intervals_cover_by_nuts_and_rounded_scores_do_not():
    """The control: scores rounded to right and wrong, a 2PL, lose so much that abilities err by a half more."""
    rows, errors, controls = [], [], []
    for seed, (n_models, n_items) in enumerate([(80, 8), (80, 8), (150, 12)]):
        simulation = simulate(n_models, n_items, seed)
        found = fit(simulation.table, "beta", NUTSSettings(chains=1, warmup=150, draws=250, jobs=1), seed=seed)
        rows.append(coverage(found.items(), simulation.truth) | coverage(found.abilities(), simulation.truth))
        truth = simulation.truth["ability"].to_numpy()
        errors.append(np.mean((found.abilities()["ability"] - truth) ** 2))
        right = as_counts(np.round(simulation.table.counts().correct))
        controls.append(
            np.mean((fit(right, TwoPL(), seed=0, model_clusters=False).abilities()["ability"] - truth) ** 2)
        )
    covered = pd.DataFrame(rows).mean()
    print(covered.round(3).to_dict(), np.sqrt(np.mean(errors)), np.sqrt(np.mean(controls)))
    assert covered["ability"] == pytest.approx(0.9, abs=0.06)
    assert covered.mean() == pytest.approx(0.9, abs=0.06)
    assert np.mean(controls) > 1.25 * np.mean(errors)
