"""Models of ordered scores: formulas, likelihoods, what a fit reports, and scores in all their forms."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import norm

from irt_bench import (
    Fit,
    FitWarning,
    GeneralizedPartialCredit,
    GradedResponse,
    LaplaceSettings,
    SVISettings,
    TwoPL,
    as_counts,
    fit,
    make_subset,
    simulate_responses,
    table_from_frame,
)
from irt_bench.errors import FitError, ModelError, SubsetError
from irt_bench.inference.sampling import coordinates, svi
from irt_bench.inference.sampling.likelihood import ResponseCells, ResponseData, ScoreGrid
from irt_bench.inference.sampling.target import Target
from irt_bench.irt_models.model import arranged

KINDS = [GradedResponse, GeneralizedPartialCredit]
SLOPE = np.array([0.8, 1.7])
THRESHOLD = np.array([[-1.0, 0.2, 0.9], [-0.4, 0.5, np.nan]])
ITEMS = {"discrimination": SLOPE, "difficulty": np.nanmean(THRESHOLD, axis=1), "threshold": THRESHOLD}
ABILITY = np.array([-2.1, 0.0, 1.3])


def by_definition(kind, theta, slope, thresholds):
    """Chances of each number of points, as the papers write them."""
    if kind is GradedResponse:
        reached = [1.0, *(expit(slope * (theta - b)) for b in thresholds), 0.0]
        return [reached[k] - reached[k + 1] for k in range(len(thresholds) + 1)]
    numerators = [np.exp(slope * sum(theta - b for b in thresholds[:k])) for k in range(len(thresholds) + 1)]
    return [each / sum(numerators) for each in numerators]


@pytest.mark.parametrize("kind", KINDS)
def test_chances_are_those_of_the_definition(kind):
    found = kind().probabilities(ITEMS, ABILITY)
    for model, theta in enumerate(ABILITY):
        for item, slope in enumerate(SLOPE):
            own = THRESHOLD[item][np.isfinite(THRESHOLD[item])]
            expected = by_definition(kind, theta, slope, own)
            np.testing.assert_allclose(found[model, item, : len(expected)], expected, rtol=1e-10)
            assert not found[model, item, len(expected) :].any()
            mean = np.dot(expected, range(len(expected))) / (len(expected) - 1)
            np.testing.assert_allclose(kind().expected_score(ITEMS, ABILITY)[model, item], mean, rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_the_program_s_log_chances_are_the_logarithms(kind):
    tensors = (torch.tensor(each) for each in (ABILITY, SLOPE, np.nan_to_num(THRESHOLD, nan=0.5).T.copy()))
    logs = kind().log_chances(*tensors, torch.tensor([3, 2])).numpy()
    assert np.isfinite(logs).all()
    chances = kind().probabilities(ITEMS, ABILITY)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(logs[:, :, 0].T, np.log(chances)[:, 0], rtol=1e-9)
        np.testing.assert_allclose(logs[:3, :, 1].T, np.log(chances)[:, 1, :3], rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_is_the_2pl(kind):
    one = {"discrimination": SLOPE, "difficulty": THRESHOLD[:, 0], "threshold": THRESHOLD[:, :1]}
    np.testing.assert_allclose(
        kind().probabilities(one, ABILITY)[..., 1], TwoPL().expected_score(one, ABILITY), rtol=1e-12
    )


@pytest.mark.parametrize("kind", KINDS)
def test_integrated_likelihood_is_the_integral(kind):
    correct, trials = np.array([[2, 1], [0, 0]]), np.array([[3, 2], [3, 0]])
    model = kind(steps=(3, 2))
    tensors = [torch.tensor(each) for each in (SLOPE, np.nan_to_num(THRESHOLD, nan=0.5).T.copy(), np.array([3, 2]))]
    logs = ScoreGrid(2).log_likelihoods(
        torch.from_numpy(model.statistics(correct, trials)), lambda at: model.log_chances(at, *tensors)
    )

    def density(theta, row):
        chances = [by_definition(kind, theta, SLOPE[0], THRESHOLD[0])[correct[row, 0]]]
        chances += [by_definition(kind, theta, SLOPE[1], THRESHOLD[1, :2])[correct[row, 1]]] if trials[row, 1] else []
        return norm.pdf(theta) * np.prod(chances)

    expected = [np.log(quad(density, -8, 8, args=(row,), epsabs=1e-12)[0]) for row in (0, 1)]
    np.testing.assert_allclose(logs.logsumexp(1).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_integrated_and_plain_likelihood_have_right_gradients(kind):
    simulation = simulate_responses(kind(steps=(2, 3, 1)), n_models=12, n_items=3, seed=1, missing=0.2)
    counts = arranged(kind(), simulation.table.counts())
    model = kind().for_responses(counts)
    cells = ResponseCells.from_arrays(counts.correct, counts.trials)
    for data in (ResponseData(cells), ResponseData(cells, ScoreGrid(3))):
        target = Target(model, data)
        point = np.random.default_rng(0).normal(0, 0.5, target.size)
        value, gradient = target.value_and_gradient(point)
        step = 1e-5 * np.eye(target.size)[:8]
        numeric = [
            (target.value_and_gradient(point + e)[0] - target.value_and_gradient(point - e)[0]) / 2e-5 for e in step
        ]
        assert np.isfinite(value)
        np.testing.assert_allclose(gradient[:8], numeric, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_mini_batches_add_up_to_the_whole(kind):
    counts = arranged(kind(), simulate_responses(kind(steps=(2, 3, 1)), n_models=4, n_items=3, seed=1).table.counts())
    data = ResponseData(ResponseCells.from_arrays(counts.correct, counts.trials), framed=False)
    target = Target(kind().for_responses(counts), data)
    point = torch.from_numpy(np.random.default_rng(0).normal(0, 0.5, target.size))
    parts = [
        target.with_data(data.subsampled({"model": torch.tensor([row]), "item": torch.tensor([column])}))
        for row in range(4)
        for column in range(3)
    ]
    batches = torch.stack([part.log_density(point) for part in parts])
    assert torch.isclose(batches.mean(), target.log_density(point))  # each stands for all


# Marginal maximum likelihood of another package: girth 0.8.0 for Python, grm_mml and pcm_mml with 61 nodes.
PUBLISHED = {
    GradedResponse: (
        [0.707, 1.083, 1.211, 2.003, 0.949, 1.005],
        [[-2.254, -1.29, -0.316], [-1.35, -0.548, 0.334], [-1.063, -0.171, 0.787], [-0.692, 0.099, 1.055],
         [-0.189, 0.521, 1.301], [-1.626, -0.476, 0.576]],
    ),
    GeneralizedPartialCredit: (
        [0.853, 1.13, 1.185, 1.482, 0.894, 1.123],
        [[-1.714, -0.569, -0.402], [-1.486, -0.522, 0.37], [-0.867, 0.066, 0.943], [-0.857, 0.282, 1.199],
         [-0.523, 0.539, 1.352], [-1.098, -0.259, 0.719]],
    ),
}  # fmt: skip


def scores_for(kind):
    """Scores of 400 models in 6 items, drawn without the package."""
    rng = np.random.default_rng(3)
    slope = np.array([0.8, 1.0, 1.3, 1.6, 0.9, 1.2])
    threshold = np.array([-1.0, -0.5, 0.0, 0.3, 0.6, -0.2])[:, None] + np.array([-1.0, 0.0, 0.9])
    theta = rng.standard_normal(400)
    z = slope[None, :, None] * (theta[:, None, None] - threshold[None])
    if kind is GradedResponse:
        return (rng.random((400, 6))[..., None] < expit(z)).sum(axis=-1)
    logits = np.concatenate([np.zeros((400, 6, 1)), z.cumsum(axis=-1)], axis=-1)
    chances = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    return (rng.random((400, 6))[..., None] > chances.cumsum(axis=-1)[..., :-1]).sum(axis=-1)


@pytest.mark.parametrize("kind", KINDS)
def test_maximum_likelihood_is_that_of_another_package(kind):
    model, steps = kind(steps=3), torch.full((6,), 3)
    statistics = torch.from_numpy(model.statistics(scores_for(kind), np.ones((400, 6))))
    grid = ScoreGrid(30)

    def negative(values):
        at = torch.tensor(values, requires_grad=True)
        slope, threshold = at[:6].exp(), at[6:].reshape(3, 6)
        value = -grid.log_likelihoods(statistics, lambda theta: model.log_chances(theta, slope, threshold, steps))
        total = -(-value).logsumexp(1).sum()
        (slopes,) = torch.autograd.grad(total, at)
        return total.item(), slopes.numpy()

    start = np.concatenate([np.zeros(6), np.repeat([-1.0, 0.0, 1.0], 6)])
    best = minimize(negative, start, jac=True, method="L-BFGS-B").x
    slope, threshold = PUBLISHED[kind]
    np.testing.assert_allclose(np.exp(best[:6]), slope, atol=0.02)
    np.testing.assert_allclose(best[6:].reshape(3, 6).T, threshold, atol=0.03)


@pytest.fixture(scope="module")
def simulation():
    return simulate_responses(GradedResponse(steps=(3,) * 4 + (2, 1)), n_models=40, n_items=6, seed=1, missing=0.1)


@pytest.fixture(scope="module")
def fitted(simulation):
    with pytest.MonkeyPatch.context() as patch, pytest.warns():
        patch.setattr(coordinates, "START_STEPS", 200)
        patch.setattr(svi, "MAX_CHECKED", 0)
        return fit(simulation.table, "grm", SVISettings(max_steps=200, draws=200), seed=1)


def test_a_fit_reports_thresholds_abilities_and_curves(fitted, simulation):
    items = fitted.items()
    thresholds = items[["threshold_1", "threshold_2", "threshold_3"]].to_numpy()
    assert np.isfinite(thresholds).sum(axis=1).tolist() == [3, 3, 3, 3, 2, 1]
    np.testing.assert_allclose(np.nanmean(thresholds, axis=1), items["difficulty"], atol=1e-6)
    abilities = fitted.abilities()
    assert np.corrcoef(abilities["ability"], simulation.truth["ability"])[0, 1] > 0.6
    curves = fitted.curves(["item-1"])["probability"].unstack("outcome")
    assert list(curves) == ["0", "1", "2", "3"]
    np.testing.assert_allclose(curves.sum(axis=1), 1.0, atol=1e-6)
    assert fitted.plot("curves", items=["item-1", "item-5"]).axes
    assert fitted.probabilities(by="item")["probability"].between(0, 1).all()


def test_new_models_are_scored_on_the_range_of_the_fit(fitted, simulation):
    scored = fitted.score(simulation.table)
    np.testing.assert_allclose(scored["ability"], fitted.abilities()["ability"], atol=0.35)  # over few items and draws
    frame = simulation.table.counts().take(models=slice(2), items=[3, 0])
    again = fitted.score(replace(frame, correct=frame.correct, items=frame.items))
    assert again["n_items"].max() <= 2
    raw = pd.DataFrame({"model": ["new", "new"], "item": ["item-1", "item-2"], "score": [2, 1], "max_score": 3})
    low = raw.assign(score=[0, 0])
    both = [fitted.score(each)["ability"].item() for each in (raw, low)]
    assert both[0] > both[1]
    with pytest.raises(ModelError, match="has the score 5 in item 'item-1'; those of the fit are from 0 to 3"):
        fitted.score(raw.assign(score=[5, 1], max_score=9))


def test_abilities_are_compared_with_mean_scores_without_halves_scored_as_right_answers(fitted):
    compared = fitted.compare_accuracy(n_resamples=50)
    assert compared.correlations().loc["kendall_tau_b", "rankings"] > 0.5  # six items, a tenth missing
    assert compared.result.confirmation.empty
    assert compared.models()["accuracy"].between(0, 1).all()


def test_a_saved_fit_comes_back(fitted, simulation, tmp_path):
    fitted.save(tmp_path / "fit.nc")
    again = Fit.load(tmp_path / "fit.nc")
    assert again.irt_model == fitted.irt_model
    pd.testing.assert_frame_equal(again.items(), fitted.items(), rtol=1e-4)
    np.testing.assert_allclose(again.log_likelihood(), fitted.log_likelihood(simulation.table), atol=1e-3)
    groups = again.to_arviz()
    assert int(groups["posterior_predictive"]["correct"].max()) <= 3


def test_what_a_model_of_scores_has_not_is_refused_in_one_line(fitted, simulation):
    for use in (fitted.check, fitted.information, lambda: fitted.plot("information")):
        with pytest.raises(FitError, match="this is a model of scores"):
            use()
    with pytest.raises(ModelError, match="fit a model of scores: 'grm', 'gpcm'"):
        fit(simulation.table, "2pl")
    with pytest.raises(ModelError, match="give NUTSSettings"):
        fit(simulation.table, "grm", LaplaceSettings())
    with pytest.raises(SubsetError, match="fit is of the model grm"):
        make_subset(fitted.data, 3, fit=fitted)


def test_another_method_is_chosen_and_named():
    from irt_bench.inference.fit import default_method

    counts = as_counts(np.array([[0, 1], [1, 0]]))
    with pytest.warns(FitWarning, match="the grm model is of scores.*method='nuts' is used"):
        assert default_method(GradedResponse(), counts) == "nuts"


def test_scores_of_any_form_are_the_same_points():
    points = np.array([[0, 3, 2], [4, 1, 2], [2, 0, 4]])
    labels = {"model": list("abc"), "item": ["p", "q", "r"]}
    long = pd.DataFrame(points, index=labels["model"], columns=labels["item"]).rename_axis("model").reset_index()
    long = long.melt("model", var_name="item", value_name="score")
    forms = [
        table_from_frame(long),
        table_from_frame(long.assign(score=long["score"] / 4)),
        table_from_frame(long.assign(score=long["score"] + 1, min_score=1, max_score=5)),
        table_from_frame(long.rename(columns={"score": "n_correct"}).assign(n_samples=4)),
    ]
    for form in forms:
        counts = arranged(GradedResponse(), form.counts())
        np.testing.assert_array_equal(counts.correct, points)
        assert (counts.trials == 4).all()
    assert arranged(GradedResponse(), counts).fingerprint() == counts.fingerprint()


def test_what_are_no_points_is_refused():
    shares = as_counts(np.array([[0.1234, 0.5], [1.0, 0.0]]))
    with pytest.raises(ModelError, match="not whole numbers of at most 20 points"):
        arranged(GradedResponse(), shares)
    with pytest.raises(ModelError, match="needs one score of 0 to 4 points"):
        arranged(GradedResponse(steps=4), as_counts(np.array([[0.1, 0.5], [1.0, 0.0]])))
    uneven = pd.DataFrame({"model": ["a", "b"], "item": ["q", "q"], "n_correct": [1, 2], "n_samples": [2, 3]})
    with pytest.raises(ModelError, match="one score of 0 to 3 points"):
        arranged(GradedResponse(), as_counts(uneven))


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_scores_have_their_chances(kind):
    rng = np.random.default_rng(0)
    drawn = np.array([kind().draw_scores(ITEMS, ABILITY, rng) for _ in range(4000)])
    shares = np.stack([(drawn == point).mean(axis=0) for point in range(4)], axis=-1)
    np.testing.assert_allclose(shares, kind().probabilities(ITEMS, ABILITY), atol=0.035)
