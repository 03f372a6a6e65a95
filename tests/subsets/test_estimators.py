from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.preprocessing import SplineTransformer

from irt_bench.errors import SubsetError
from irt_bench.subsets import estimators
from irt_bench.subsets.basis import CalibrationResiduals
from irt_bench.subsets.estimators import (
    ESTIMATORS,
    PENALTIES,
    SPLINE_PENALTIES,
    LearnedParameters,
    RidgeRegression,
    TrainingData,
    _extended,
    estimate,
    estimator_of,
)
from irt_bench.subsets.scorer import ResponseSummary, make_scorer, summarise_responses


def evidence_of(toy, basis, items, models=slice(None)):
    made = make_scorer(basis, basis.select(items), np.full(len(items), 1 / len(items)))
    return summarise_responses(made, toy.counts.take(models=models, items=items))


@pytest.fixture
def training(toy, basis):
    kept = evidence_of(toy, basis, np.arange(0, 60, 3))
    truth = basis.full_score
    return TrainingData(kept, truth, kept, truth, 0.3, basis.residuals(np.arange(0, 60, 3)))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_finds_the_full_score_of_simulated_models(name, training):
    found = estimate(name, training.summary, ESTIMATORS[name].learn(training))
    assert np.corrcoef(found, training.truth)[0, 1] > 0.9
    assert ((found >= training.summary.observed) & (found <= training.summary.observed + 40 / 60 + 1e-12)).all()


ALL_SEEN = (
    "weighted", "p_irt", "p_irt_weighted", "gp_irt", "p_irt_source", "gp_irt_source", "p_irt_wide", "irt_difference",
    "p_irt_residual", "aipw",
)  # fmt: skip


@pytest.mark.parametrize("name", ALL_SEEN)
def test_with_all_items_seen_the_estimate_is_the_plain_mean(name, toy, basis):
    everything = evidence_of(toy, basis, np.arange(60))
    residuals = basis.residuals(np.arange(60))
    training = TrainingData(everything, basis.full_score, everything, basis.full_score, 0.3, residuals)
    found = estimate(name, everything, ESTIMATORS[name].learn(training))
    assert found == pytest.approx(toy.counts.correct.mean(axis=1))


def test_formulas_of_p_irt_and_gp_irt_by_hand(training):
    seen, lam = training.summary, 20 / 60
    mean_unseen = seen.unseen / (1 - lam)
    p_irt = lam * seen.weighted + (1 - lam) * mean_unseen  # equal weights: D_w is the plain mean
    assert estimate("p_irt", seen, LearnedParameters()) == pytest.approx(p_irt)
    plug_in = lam * seen.weighted + seen.unseen_plug_in
    mixed = 0.3 * seen.weighted + 0.7 * plug_in
    learned = ESTIMATORS["gp_irt_source"].learn(training)
    assert estimate("gp_irt_source", seen, learned) == pytest.approx(
        np.clip(mixed, seen.observed, seen.observed + 2 / 3)
    )


def test_the_share_of_gp_irt_is_that_of_least_squared_error(training):
    base = training.summary.observed + training.summary.unseen
    grid = np.linspace(0, 1, 1001)[:, None]
    errors = ((grid * training.summary.weighted + (1 - grid) * base - training.truth) ** 2).mean(axis=1)
    assert ESTIMATORS["gp_irt"].learn(training).weighted_share == pytest.approx(grid[errors.argmin(), 0], abs=1e-3)


@pytest.mark.parametrize("n_models", [30, 12])
def test_ridge_regressions_of_many_subsets_are_those_of_scikit_learn_one_by_one(n_models):
    """With more models than items and with fewer; the penalty is chosen by leaving out one model at a time."""
    rng = np.random.default_rng(1)
    answers = rng.integers(0, 2, (6, n_models, 20)).astype(float)
    answers[0, :, :3] = 1  # items that all models solve
    target = answers.mean(axis=-1) + rng.normal(0, np.geomspace(0.003, 1, 6)[:, None], (6, n_models))
    intercept, slopes = RidgeRegression.on(answers, np.ones(n_models, dtype=bool)).fit(target, PENALTIES)
    found = [RidgeCV(PENALTIES).fit(*each) for each in zip(answers, target, strict=True)]
    np.testing.assert_allclose(slopes, [each.coef_ for each in found], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(intercept, [each.intercept_ for each in found], rtol=1e-9)
    assert len({each.alpha_ for each in found}) > 2


def test_models_without_a_full_score_take_no_part_in_a_regression():
    rng = np.random.default_rng(2)
    answers, target = rng.random((20, 8)), rng.random(20)
    target[[3, 7]] = np.nan
    known = ~np.isnan(target)
    found = RidgeRegression.on(answers, known).fit(target, PENALTIES)
    expected = RidgeRegression.on(answers[known], known[known]).fit(target[known], PENALTIES)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


@pytest.mark.parametrize("ties", [False, True])
def test_splines_are_those_of_scikit_learn(training, ties):
    """Knots at quantiles, and evenly where most models have the same score."""
    summary = training.summary
    if ties:
        summary = replace(summary, weighted=np.where(summary.weighted < 0.6, 0.5, summary.weighted))
    learned = ESTIMATORS["spline"].learn(replace(training, summary=summary))
    columns = [
        SplineTransformer(5, knots="uniform" if ties and values is summary.weighted else "quantile").fit_transform(
            values[:, None]
        )
        for values in (summary.weighted, summary.ability)
    ]
    found = RidgeCV(SPLINE_PENALTIES).fit(np.concatenate(columns, axis=1), training.truth)
    expected = found.predict(np.concatenate(columns, axis=1))
    np.testing.assert_allclose(ESTIMATORS["spline"].estimate(summary, learned), expected, atol=2e-3)  # tabulated
    assert float(learned.intercept) == pytest.approx(found.intercept_, rel=1e-6)


def test_regressions_learn_nothing_from_shuffled_scores(training):
    rng = np.random.default_rng(0)
    shuffled = replace(training, truth=rng.permutation(training.truth))
    learned = ESTIMATORS["ridge"].learn(shuffled)
    assert np.std(training.summary.answers @ learned.coefficients) < 0.3 * np.std(training.truth)


def test_a_spline_goes_on_straight_beyond_the_calibration_models(training):
    learned = ESTIMATORS["spline"].learn(training)
    shifted = {
        name: np.repeat(values[:1], 3, axis=0) for name, values in vars(training.summary).items() if name != "ability"
    }
    abilities = learned.spline.ability.max() + np.arange(1, 4)
    found = ESTIMATORS["spline"].estimate(ResponseSummary(abilities, **shifted), learned)
    assert np.diff(found)[0] == pytest.approx(np.diff(found)[1])


def test_unknown_estimators_and_lost_splines_are_refused(training):
    with pytest.raises(SubsetError, match="p_irt"):
        estimator_of("pirt")
    with pytest.raises(SubsetError, match="spline"):
        estimate("spline", training.summary, LearnedParameters())


def test_aipw_is_the_mean_plus_what_ridge_predictions_of_the_items_say(toy, basis):
    """As published: a ridge regression over items with the calibration models' answers as features."""
    items, others = np.arange(0, 60, 3), np.setdiff1d(np.arange(60), np.arange(0, 60, 3))
    calibrating, new = slice(0, 90), slice(90, 120)
    counts = toy.counts.take(models=calibrating)
    own = type(basis)(counts, toy.posterior(counts))
    summary = evidence_of(toy, own, items, models=calibrating)
    learned = ESTIMATORS["aipw"].learn(TrainingData(summary, own.full_score, summary, own.full_score, 0.0))
    assert learned.coefficients.sum() == pytest.approx(1)
    answers = toy.counts.correct[new].astype(float)
    features = counts.correct.T.astype(float)
    expected = []
    for row in answers:
        found = Ridge(10).fit(features[items], row[items])
        seen, unseen = found.predict(features[items]).mean(), found.predict(features[others]).mean()
        expected.append(row[items].mean() + (unseen - seen) / (1 + len(items) / len(others)))
    assert answers[:, items] @ learned.coefficients == pytest.approx(np.array(expected))


def test_the_irt_difference_is_right_on_average_over_random_items_even_if_the_curves_are_wrong(toy, basis):
    """The mean over many random subsets is the full score; that of p-IRT with the same wrong curves is not."""
    wrong = toy.posterior(toy.counts)
    wrong["difficulty"] = -wrong["difficulty"]  # easy items taken for hard ones
    misled, rng = type(basis)(toy.counts, wrong), np.random.default_rng(0)
    found = {"irt_difference": [], "p_irt": []}
    for _ in range(60):
        summary = evidence_of(toy, misled, np.sort(rng.choice(60, 12, replace=False)), models=slice(0, 20))
        for name, values in found.items():
            values.append(ESTIMATORS[name].estimate(summary, LearnedParameters()))
    errors = {name: np.abs(np.mean(values, axis=0) - basis.full_score[:20]).mean() for name, values in found.items()}
    assert errors["irt_difference"] < 0.02 < errors["p_irt"]


def test_covariances_of_few_calibration_models_are_not_taken_for_true(training, monkeypatch):
    """If all that items share is one shift per model, equal weights are best; 40 models seem to say otherwise."""

    def error(noisy_models):
        monkeypatch.setattr(estimators, "NOISY_MODELS", noisy_models)
        rng, found = np.random.default_rng(0), []
        for _ in range(20):
            shift, own = rng.normal(0, 0.1, (2_000, 1)), rng.normal(0, 0.4, (2_000, 120))
            chosen, others = (shift + own)[:, :20], (shift + own)[:, 20:].sum(axis=1) / 120
            residuals = CalibrationResiduals(chosen[:40], others[:40], 100 / 120)
            weights = ESTIMATORS["p_irt_residual"].learn(replace(training, residuals=residuals)).coefficients
            found.append(np.abs(others - chosen @ weights).mean())
        equal = np.full(20, 0.01 / (20 * 0.01 + 0.16) * 100 / 120)  # the conditional mean
        return np.mean(found) / np.abs(others - chosen @ equal).mean()

    assert error(200) < 1.1 < error(0)


def test_residuals_are_predicted_as_a_normal_distribution_predicts_them(toy, basis):
    """v'r is the conditional mean, and its variance the conditional one, of a joint normal distribution written out."""
    items = np.arange(0, 60, 6)
    summary = evidence_of(toy, basis, items)
    residuals = basis.residuals(items)
    learned = ESTIMATORS["p_irt_residual"].learn(
        TrainingData(summary, basis.full_score, summary, basis.full_score, 0.0, residuals)
    )
    n, share = len(residuals.chosen), 1 - len(items) / 60
    joint = np.column_stack([residuals.chosen, residuals.others])
    covariance = joint.T @ joint / n
    loadings = np.append(np.ones(len(items)), share)
    covariance += 0.2**2 * np.outer(loadings, loadings)
    noisy = covariance[:-1, :-1] + 0.15 * (1 + 200 / n) * np.eye(len(items))
    expected = np.linalg.solve(noisy, covariance[:-1, -1])
    assert learned.coefficients == pytest.approx(expected)
    left = covariance[-1, -1] - 2 * expected @ covariance[:-1, -1] + expected @ covariance[:-1, :-1] @ expected
    assert learned.residual_variance == pytest.approx(left)
    assert learned.unseen_variance == pytest.approx(covariance[-1, -1])
    found = estimate("p_irt_residual", summary, learned)
    base = ESTIMATORS["p_irt_wide"].estimate(summary, LearnedParameters())
    assert found == pytest.approx(base + summary.prediction.residuals @ expected, abs=1e-12)


def test_the_residuals_of_a_basis_are_answers_minus_chances_at_the_abilities_of_its_models(toy, basis):
    chosen = np.array([3, 10])
    chance = 1 / (1 + np.exp(-toy.slope * (toy.ability[:, None] - toy.difficulty)))
    found = basis.residuals(chosen)
    assert found.chosen == pytest.approx(toy.counts.correct[:, chosen] - chance[:, chosen], abs=0.01)
    others = np.setdiff1d(np.arange(60), chosen)
    assert found.others == pytest.approx((toy.counts.correct - chance)[:, others].sum(axis=1) / 60, abs=0.01)
    assert found.others_share == pytest.approx(58 / 60)


def test_the_wide_prior_does_not_pull_an_able_model_back(toy, basis):
    """A model with nearly all right: its expected score by the wide prior is higher, and nearer to a flat prior's."""
    items = np.arange(0, 60, 3)
    summary = evidence_of(toy, basis, items)
    best = summary.weighted.argmax()
    narrow, wide = (ESTIMATORS[name].estimate(summary, LearnedParameters())[best] for name in ("p_irt", "p_irt_wide"))
    assert wide > narrow + 0.005


def test_regressions_do_not_speak_outside_the_range_they_learned_on():
    assert {name for name, each in ESTIMATORS.items() if not each.extrapolates} == {"ridge", "spline", "p_irt_ridge"}


def test_a_spline_over_models_that_all_had_one_value_is_flat():
    found = _extended(np.array([0.1, 0.5, 0.9]), np.full(3, 0.5), np.full(3, 0.2))
    np.testing.assert_array_equal(found, [0.2, 0.2, 0.2])
