import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from irt_bench.errors import SubsetError
from irt_bench.subsets.estimators import ESTIMATORS, Learned, Training, estimate, estimator_of
from irt_bench.subsets.instrument import Evidence, make_instrument, read_answers


def evidence_of(toy, basis, items, models=slice(None)):
    made = make_instrument(basis, basis.select(items), np.full(len(items), 1 / len(items)))
    return read_answers(made, toy.counts.take(models=models, items=items))


@pytest.fixture
def training(toy, basis):
    kept = evidence_of(toy, basis, np.arange(0, 60, 3))
    truth = basis.full_score
    return Training(kept, truth, kept, truth, 0.3)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_finds_the_full_score_of_simulated_models(name, training):
    found = estimate(name, training.evidence, ESTIMATORS[name].learn(training))
    assert np.corrcoef(found, training.truth)[0, 1] > 0.9
    assert ((found >= training.evidence.observed) & (found <= training.evidence.observed + 40 / 60 + 1e-12)).all()


@pytest.mark.parametrize("name", ["weighted", "p_irt", "p_irt_weighted", "gp_irt", "p_irt_source", "gp_irt_source"])
def test_with_all_items_seen_the_estimate_is_the_plain_mean(name, toy, basis):
    everything = evidence_of(toy, basis, np.arange(60))
    training = Training(everything, basis.full_score, everything, basis.full_score, 0.3)
    found = estimate(name, everything, ESTIMATORS[name].learn(training))
    assert found == pytest.approx(toy.counts.correct.mean(axis=1))


def test_formulas_of_p_irt_and_gp_irt_by_hand(training):
    seen, lam = training.evidence, 20 / 60
    mean_unseen = seen.unseen / (1 - lam)
    p_irt = lam * seen.weighted + (1 - lam) * mean_unseen  # equal weights: D_w is the plain mean
    assert estimate("p_irt", seen, Learned()) == pytest.approx(p_irt)
    plug_in = lam * seen.weighted + seen.unseen_plug_in
    mixed = 0.3 * seen.weighted + 0.7 * plug_in
    learned = ESTIMATORS["gp_irt_source"].learn(training)
    assert estimate("gp_irt_source", seen, learned) == pytest.approx(
        np.clip(mixed, seen.observed, seen.observed + 2 / 3)
    )


def test_the_share_of_gp_irt_is_that_of_least_squared_error(training):
    base = training.evidence.observed + training.evidence.unseen
    grid = np.linspace(0, 1, 1001)[:, None]
    errors = ((grid * training.evidence.weighted + (1 - grid) * base - training.truth) ** 2).mean(axis=1)
    assert ESTIMATORS["gp_irt"].learn(training).weighted_share == pytest.approx(grid[errors.argmin(), 0], abs=1e-3)


def test_ridge_agrees_with_scikit_learn_at_its_penalty(training):
    learned = ESTIMATORS["ridge"].learn(training)
    answers = training.evidence.answers
    fits = [Ridge(alpha).fit(answers, training.truth).coef_ for alpha in np.logspace(-2, 5, 15)]
    assert min(np.abs(fit - learned.coefficients).max() for fit in fits) < 1e-8


def test_regressions_learn_nothing_from_shuffled_scores(training):
    rng = np.random.default_rng(0)
    shuffled = training._replace(truth=rng.permutation(training.truth))
    learned = ESTIMATORS["ridge"].learn(shuffled)
    assert np.std(training.evidence.answers @ learned.coefficients) < 0.3 * np.std(training.truth)


def test_a_spline_goes_on_straight_beyond_the_calibration_models(training):
    learned = ESTIMATORS["spline"].learn(training)
    shifted = {
        name: np.repeat(values[:1], 3, axis=0)
        for name, values in vars(training.evidence).items()
        if name != "abilities"
    }
    top = max(learned.spline.ability)
    abilities = pd.DataFrame({"ability": [top + 1, top + 2, top + 3]})
    found = ESTIMATORS["spline"].estimate(Evidence(abilities, **shifted), learned)
    assert np.diff(found)[0] == pytest.approx(np.diff(found)[1])


def test_unknown_estimators_and_lost_splines_are_refused(training):
    with pytest.raises(SubsetError, match="p_irt"):
        estimator_of("pirt")
    with pytest.raises(SubsetError, match="spline"):
        estimate("spline", training.evidence, Learned())
