"""Draws widened by clusters: against a bootstrap over clusters, and where nothing is to be widened."""

import numpy as np
import pytest
from related import expected_scores, families, near_copies

from irt_bench import LaplaceSettings, OnePL, TwoPL, fit
from irt_bench.inference.cluster_robust import append_models, widen

QUICK = LaplaceSettings(refine=False)
ITEMS = ("difficulty", "discrimination")


def spread(posterior, name):
    return posterior[name].std(("chain", "draw")).to_numpy()


def relative(posterior):
    """Draws of difficulties, in sds of the abilities of the draw from their mean."""
    ability, difficulty = (posterior[name].to_numpy()[0].astype(float) for name in ("ability", "difficulty"))
    return (difficulty - ability.mean(axis=1, keepdims=True)) / ability.std(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def clustered(make_counts):
    """Answers of 30 families of 5 models, an ordinary fit, and its draws widened."""
    truth = families(3, n_families=30, sd=1.2, n_items=60)
    counts = make_counts(truth.correct)
    ordinary = fit(counts, TwoPL(), QUICK, model_clusters=False).posterior
    return truth, counts, ordinary, *widen(ordinary, counts, truth.cluster, np.random.default_rng(0))


@pytest.mark.slow
def test_spread_is_that_of_a_bootstrap_over_clusters(clustered, make_counts):
    truth, counts, ordinary, widened, _ = clustered
    rng = np.random.default_rng(1)
    means = []
    for _ in range(40):
        models = np.concatenate([np.flatnonzero(truth.cluster == drawn) for drawn in rng.integers(0, 30, 30)])
        again = fit(make_counts(counts.correct[models]), TwoPL(), QUICK, model_clusters=False)
        means.append(relative(again.posterior).mean(axis=0))
    bootstrap = np.std(means, axis=0, ddof=1)
    assert np.median(relative(ordinary).std(axis=0) / bootstrap) < 0.87
    assert np.median(relative(widened).std(axis=0) / bootstrap) == pytest.approx(1, abs=0.1)


def test_effective_number_is_that_of_the_intraclass_correlation(clustered):
    """Kish's design effect, 1 + (m - 1) rho, with rho from a one-way analysis of variance of residuals on each item."""
    truth, counts, ordinary, _, effect = clustered
    mean = ordinary.mean(("chain", "draw"))
    log_odds = mean["discrimination"].to_numpy() * (mean["ability"].to_numpy()[:, None] - mean["difficulty"].to_numpy())
    residual = counts.correct - 1 / (1 + np.exp(-log_odds))
    by_family = np.stack([residual[truth.cluster == family] for family in range(30)])  # (family, member, item)
    between = 5 * by_family.mean(axis=1).var(axis=0, ddof=1).sum()
    within = by_family.var(axis=1, ddof=1).mean(axis=0).sum()
    correlation = (between - within) / (between + 4 * within)
    assert effect.design_effect == pytest.approx(1 + 4 * correlation, rel=0.07)
    assert effect.n_effective == pytest.approx(150 / effect.design_effect)
    assert (effect.n_models, effect.n_clusters, effect.largest) == (150, 30, 5)
    assert effect.degrees_of_freedom == pytest.approx(29, rel=0.03)


def test_means_stay_and_expected_scores_are_where_answers_put_them(clustered):
    _, _, ordinary, widened, _ = clustered
    for name in ("ability", "difficulty"):
        away = np.abs((widened[name] - ordinary[name]).mean(("chain", "draw"))) / ordinary[name].std(("chain", "draw"))
        assert float(away.median()) < 0.08
    before, after = expected_scores(ordinary), expected_scores(widened)
    assert np.median(after.std(axis=0) / before.std(axis=0)) == pytest.approx(1, abs=0.06)


def test_models_alone_in_their_clusters_leave_spread_as_it_is(make_counts):
    """Clusters of one: the sandwich estimator of a model that is right, with a degree of freedom a model."""
    truth = families(4, sd=0.0, n_items=60)
    counts = make_counts(truth.correct)
    ordinary = fit(counts, TwoPL(), QUICK, model_clusters=False).posterior
    widened, effect = widen(ordinary, counts, np.arange(150), np.random.default_rng(0))
    for name in ITEMS:
        assert np.median(spread(widened, name) / spread(ordinary, name)) == pytest.approx(1, abs=0.05)
    assert effect.design_effect == pytest.approx(1, abs=0.05)


def test_copies_of_every_model_count_once(make_counts):
    """Each of 100 models twice: sds as of 100 models, while an ordinary fit believes in 200."""
    truth = near_copies(5, share=0.0, n_models=100, n_items=60)
    once = fit(make_counts(truth.correct), TwoPL(), QUICK, model_clusters=False).posterior
    counts = make_counts(np.concatenate([truth.correct, truth.correct]))
    twice = fit(counts, TwoPL(), QUICK, model_clusters=False).posterior
    widened, effect = widen(twice, counts, np.arange(200) % 100, np.random.default_rng(0))
    assert np.median(spread(twice, "difficulty") / spread(once, "difficulty")) < 0.8
    assert np.median(spread(widened, "difficulty") / spread(once, "difficulty")) == pytest.approx(1, abs=0.1)
    assert effect.n_effective == pytest.approx(100, rel=0.05)


def test_one_slope_for_all_items_stays_one(make_counts):
    truth = families(6, sd=1.0, n_items=40)
    counts = make_counts(truth.correct)
    ordinary = fit(counts, OnePL(), QUICK, model_clusters=False).posterior
    widened, effect = widen(ordinary, counts, truth.cluster, np.random.default_rng(0))
    slopes = widened["discrimination"].to_numpy()
    assert np.ptp(slopes, axis=-1).max() < 1e-5
    assert np.median(spread(widened, "difficulty") / spread(ordinary, "difficulty")) > 1.2
    assert effect.design_effect > 1.5


def test_items_nobody_was_asked_and_models_without_answers_are_left_alone(make_counts):
    truth = families(7, sd=1.0, n_items=30)
    responses = truth.correct.copy()
    responses[:, 4], responses[9] = -1, -1
    responses[np.random.default_rng(0).random(responses.shape) < 0.2] = -1
    counts = make_counts(np.maximum(responses, 0), (responses >= 0).astype(int))
    ordinary = fit(counts, TwoPL(), QUICK, model_clusters=False).posterior
    widened, effect = widen(ordinary, counts, truth.cluster, np.random.default_rng(0))
    assert all(np.isfinite(widened[name]).all() for name in widened.data_vars)
    ratio = spread(widened, "difficulty") / spread(ordinary, "difficulty")
    assert ratio[4] == pytest.approx(1, abs=0.1)
    assert np.median(ratio) > 1.15
    assert effect.n_models == 149


def test_appended_models_have_the_abilities_of_a_fit_of_all(make_counts):
    truth = families(8, sd=0.0, n_models=150, n_items=60)
    counts = make_counts(truth.correct)
    together = fit(counts, TwoPL(), QUICK, model_clusters=False).posterior
    part = fit(counts.take(models=np.arange(110)), TwoPL(), QUICK, model_clusters=False).posterior
    appended = append_models(part, counts, np.random.default_rng(0))
    assert appended["model"].to_numpy().tolist() == counts.models.index.tolist()
    new = slice(110, None)
    all_of_them, added = ([posterior["ability"].isel(model=new).mean(("chain", "draw")).to_numpy(),
                   posterior["ability"].isel(model=new).std(("chain", "draw")).to_numpy()]
                  for posterior in (together, appended))  # fmt: skip
    assert np.corrcoef(all_of_them[0], added[0])[0, 1] > 0.995
    assert np.median(added[1] / all_of_them[1]) == pytest.approx(1, abs=0.08)
