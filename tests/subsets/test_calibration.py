import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from irt_bench import ConvergenceWarning, FitWarning, FourPL, OnePL, SVISettings, ThreePL, TwoPL
from irt_bench.errors import FitError
from irt_bench.inference.convergence import Check
from irt_bench.inference.fast.bordered_precision import cholesky
from irt_bench.responses.labels import model_clusters
from irt_bench.subsets import calibration as module
from irt_bench.subsets.basis import full_scores
from irt_bench.subsets.calibration import Recipe, calibrate, fold_settings, prepare
from irt_bench.subsets.estimators import ESTIMATORS, Estimator, LearnedParameters, estimate, possible_range
from irt_bench.subsets.score import interval_limits


@pytest.fixture
def prepared(known_fits, plan):
    counts = known_fits.counts.take(models=slice(0, 80))
    return prepare(counts, model_clusters(counts), plan)


def test_folds_hold_out_whole_clusters_and_know_nothing_of_them(prepared):
    for fold in prepared.folds:
        held_out, kept = (set(counts.models.index) for counts in (fold.held_out, fold.kept.counts))
        assert not held_out & kept and len(held_out | kept) == 80
        assert not {label.split("/")[0] for label in held_out} & {label.split("/")[0] for label in kept}
    assert prepared.n_clusters == 12


def test_all_estimators_come_with_errors_that_hold_for_models_not_seen(prepared, known_fits):
    test = known_fits.counts.take(models=slice(80, 120))
    truth = full_scores(test, prepared.whole.target)
    found = calibrate(prepared, Recipe("anchors", "anchor", 20, 1), new=test)
    summary = found.new
    for name in ESTIMATORS:
        errors = found.errors[name]
        estimated = estimate(name, summary, found.learned[name])
        assert np.abs(estimated - truth).mean() == pytest.approx(errors.mean_absolute.value, rel=0.6)
        low, high = interval_limits(
            estimated, summary.variance, misfit_sd=errors.misfit_sd, scale=errors.interval_scale, step=1 / 60,
            within=possible_range(summary),
        )  # fmt: skip
        assert ((low <= truth) & (truth <= high)).mean() > 0.75


def test_methods_that_look_at_answers_are_not_judged_by_items_chosen_with_the_models_held_out(prepared):
    """The error of the greedy choice on its own calibration models is far below what it is for others."""
    recipe = Recipe("variance", "equal", 8)
    found = calibrate(prepared, recipe, ("weighted",), new=prepared.whole.counts)
    own = np.abs(found.new.weighted - prepared.whole.full_score).mean()
    assert own < 0.8 * found.errors["weighted"].mean_absolute.value
    again = calibrate(prepared, recipe, ("weighted",))
    np.testing.assert_array_equal(again.errors["weighted"].error, found.errors["weighted"].error)


def test_the_published_share_falls_with_the_size_and_is_larger_for_anchors(prepared):
    b, spread = prepared.source_error, prepared.whole.shares.var(axis=1).mean()
    assert prepared.source_share("random", 20) == pytest.approx(b**2 / (b**2 + spread / 20))
    assert prepared.source_share("anchors", 20) == pytest.approx(b**2 / (b**2 + spread / 80))


def test_failed_checks_of_inner_fits_are_kept_and_not_reported_one_by_one(toy, plan, monkeypatch):
    checks = (
        Check("normality", "failed", 10, 100, "10 models: items' posteriors are skewed; use method='nuts'"),
        Check("maximum", "passed", 0.0, 0.001, "no change"),
    )

    def failing(counts, irt_model, settings, **_):
        warnings.warn("elbo: still rising", ConvergenceWarning, stacklevel=1)
        return SimpleNamespace(posterior=toy.posterior(counts), checks=checks)

    monkeypatch.setattr(module, "fit", failing)
    posterior = module.fit_posterior(toy.counts.take(models=slice(0, 10)), plan)
    assert posterior.attrs["failed_checks"] == {"normality": "10 models: items' posteriors are skewed"}


def test_answers_too_few_to_be_fitted_are_refused_without_advice_that_is_none_here(toy, plan, monkeypatch):
    def refuse(*_, **__):
        raise FitError("3 answers are too few for method 'laplace': its posterior has no bounds. Use method='nuts'.")

    monkeypatch.setattr(module, "fit", refuse)
    with pytest.raises(FitError) as refused:
        module.fit_posterior(toy.counts, plan)
    assert str(refused.value).endswith("its posterior has no bounds; calibrate on more models.")


def test_advice_of_inference_names_the_option_that_a_subset_takes(toy, plan, monkeypatch):
    def rough(counts, irt_model, settings, **_):
        cholesky(np.diag([1.0, -1.0]))
        return SimpleNamespace(posterior=toy.posterior(counts), checks=())

    monkeypatch.setattr(module, "fit", rough)
    with pytest.warns(FitWarning, match="no peak in 1 of 2 directions.*can be given: fit=") as caught:
        prepare(toy.counts, model_clusters(toy.counts), plan)
    assert len(caught) == 1


def test_errors_of_a_fold_rest_on_nothing_learned_from_its_models(known_fits, plan, monkeypatch):
    seen = []
    spy = Estimator(
        lambda training: seen.append(training) or LearnedParameters(), lambda summary, _: summary.weighted, "spy"
    )
    monkeypatch.setitem(ESTIMATORS, "spy", spy)
    counts = known_fits.counts
    prepared = prepare(counts, model_clusters(counts), plan)
    calibrate(prepared, Recipe("random", "equal", 10), ("spy",))
    everyone, *by_fold, abler = seen
    strongest = set(prepared.abler.held_out.models.index)
    assert strongest.isdisjoint(prepared.abler.kept.counts.models.index)
    assert abler.residuals.chosen.shape == (counts.n_models // 2, 10)
    assert len(everyone.held_out_truth) == counts.n_models and len(by_fold) == len(prepared.folds)
    for fold, training in zip(prepared.folds, by_fold, strict=True):
        assert set(fold.kept.counts.models.index).isdisjoint(fold.held_out.models.index)
        others = [other.held_out for other in prepared.folds if other is not fold]
        truths = [full_scores(held_out, fold.kept.target) for held_out in others]
        np.testing.assert_allclose(training.held_out_truth, np.concatenate(truths))


def test_folds_are_fitted_by_the_fast_method_where_it_knows_the_model_and_else_by_svi():
    class Own(TwoPL):
        def program(self, data):
            super().program(data)

    fits = [fold_settings(model, 3) for model in (OnePL(), ThreePL(guessing=0.2), ThreePL(), FourPL(), Own())]
    assert [each.method for each in fits] == ["laplace", "laplace", "svi", "svi", "svi"]
    assert all(each.seed == 3 for each in fits)
    own = SVISettings(max_steps=7)
    assert fold_settings(Own(), 3, own) is own and fold_settings(TwoPL(), 3, own).method == "laplace"
