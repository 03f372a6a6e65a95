"""Models with several abilities: recovery, agreement with what nobody here wrote, and the number of dimensions."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

sys.path.insert(0, str(Path(__file__).parent))
from several_abilities import averaged, draws, judge, plant

from irt_bench import (
    BifactorTwoPL,
    ConfirmatoryTwoPL,
    ConvergenceWarning,
    Fit,
    FitWarning,
    LaplaceSettings,
    MultidimensionalTwoPL,
    NUTSSettings,
    SVISettings,
    TwoPL,
    as_counts,
    fit,
)
from irt_bench.errors import FitError, ModelError
from irt_bench.inference.fast import dimensional_gibbs
from irt_bench.inference.fast.dimensional import approximate_dimensions, compare_dimensions, profiles_given_items

QUICK = LaplaceSettings(refine=False)


def full(n_items, n_dims):
    return np.ones((n_items, n_dims), dtype=bool)


def bifactor(n_items, n_groups):
    """Pattern of a general ability and groups of neighbouring items, and the groups."""
    group = np.arange(n_items) * n_groups // n_items
    pattern = np.column_stack([np.ones(n_items, dtype=bool), group[:, None] == np.arange(n_groups)])
    return pattern, tuple(f"g{at}" for at in group)


def simple(n_items, n_dims):
    """Pattern of one dimension per item, and the dimensions."""
    of_item = np.arange(n_items) % n_dims
    return of_item[:, None] == np.arange(n_dims), tuple((f"d{at}",) for at in of_item)


def fitted(planted, model, settings=QUICK):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit(planted.counts, model, settings)


def test_one_dimension_is_the_2pl():
    """Priors differ (loadings normal, slopes log-normal): with 2,000 models they hardly matter."""
    planted = plant(full(60, 1), n_models=2_000, seed=1)
    one = fitted(planted, MultidimensionalTwoPL(dimensions=1)).posterior
    two = fitted(planted, TwoPL()).posterior
    for mine, theirs in (
        (draws(one, "ability")[..., 0], draws(two, "ability")),
        (draws(one, "loading")[..., 0], draws(two, "discrimination")),
        (draws(one, "intercept"), -draws(two, "discrimination") * draws(two, "difficulty")),
    ):
        sd = theirs.std(axis=0)
        assert np.corrcoef(mine.mean(axis=0), theirs.mean(axis=0))[0, 1] > 0.99
        assert np.sqrt(np.mean(((mine.mean(axis=0) - theirs.mean(axis=0)) / sd) ** 2)) < 0.35
        assert 0.92 < np.median(mine.std(axis=0) / sd) < 1.1


def test_profiles_given_items_are_near_the_posterior_mode_of_many_answers():
    rng = np.random.default_rng(2)
    loading, intercept = rng.normal(0.5, 1, (200, 2)), rng.normal(size=200)
    correlation = np.array([[1.0, 0.4], [0.4, 1.0]])
    right = (rng.random((3, 200)) < 0.6).astype(int)
    mean, variance = profiles_given_items(loading, intercept, correlation, right, np.ones_like(right))

    def cost(theta, answers):
        log_odds = loading @ theta + intercept
        return np.logaddexp(0, log_odds).sum() - answers @ log_odds + theta @ np.linalg.inv(correlation) @ theta / 2

    for answers, own, spread in zip(right, mean, variance, strict=True):
        found = minimize(cost, np.zeros(2), args=(answers,), method="BFGS")
        sd = np.sqrt(np.diag(found.hess_inv))
        assert np.allclose(own, found.x, atol=0.15 * sd.max())
        assert np.allclose(np.sqrt(spread), sd, rtol=0.15)


def test_planted_profiles_are_recovered_and_wrong_intervals_caught():
    planted = [plant(full(150, 2), n_models=250, seed=seed) for seed in range(3)]
    found = averaged(
        [judge(fitted(each, MultidimensionalTwoPL(dimensions=2)).posterior, each, rotates=True) for each in planted]
    )
    for key, (slope, coverage, narrow) in found.items():
        assert 0.85 < slope < 1.15, key
        assert 0.78 < coverage < 0.97, key
        assert narrow < 0.6, key  # a third as wide: the coverage above is no accident


def test_a_bifactor_profile_and_its_sweeps_agree_with_the_planted_one():
    pattern, groups = bifactor(60, 3)
    planted = plant(pattern, n_models=150, seed=5, trials=3)
    found = fitted(planted, BifactorTwoPL(groups=groups), LaplaceSettings(draws=400))
    assert {"stationary", "mixed"} <= {check.name for check in found.checks}
    assert found.posterior["dimension"].to_numpy().tolist() == ["general", "g0", "g1", "g2"]
    mean = draws(found.posterior, "ability").mean(axis=0)
    loading = draws(found.posterior, "loading")
    assert (loading[:, ~pattern] == 0).all()
    signs = np.sign((loading.mean(axis=0) * planted.loading).sum(axis=0))
    for at in range(4):
        assert np.corrcoef(mean[:, at] * signs[at], planted.ability[:, at])[0, 1] > 0.75


def test_a_correlation_of_abilities_lies_in_its_interval():
    pattern, dimensions = simple(80, 2)
    inside = []
    for seed in range(4):
        planted = plant(pattern, n_models=200, seed=seed, correlation=np.array([[1, 0.6], [0.6, 1]]))
        posterior = fitted(planted, ConfirmatoryTwoPL(dimensions=dimensions)).posterior
        signs = np.sign((draws(posterior, "loading").mean(axis=0) * planted.loading).sum(axis=0))
        drawn = draws(posterior, "ability_correlation")[:, 0, 1] * signs.prod()
        low, high = np.quantile(drawn, [0.005, 0.995])
        inside.append(low < 0.6 < high)
        assert high < 1
        assert not low < -0.2 < high
    assert sum(inside) >= 3


@pytest.mark.parametrize("n_dims", [1, 3])
def test_as_many_dimensions_are_chosen_as_were_planted(n_dims):
    planted = plant(full(120, n_dims), n_models=300, seed=7)
    found = compare_dimensions(MultidimensionalTwoPL(), planted.counts.correct, planted.counts.trials, seed=0)
    assert found.chosen == n_dims, found.message


def test_no_second_dimension_is_found_in_shuffled_answers():
    for seed in range(3):
        planted = plant(full(80, 3), n_models=200, seed=seed, shuffled=True)
        found = compare_dimensions(MultidimensionalTwoPL(), planted.counts.correct, planted.counts.trials, seed=seed)
        assert found.chosen == 1


def test_the_number_of_dimensions_is_chosen_by_default_and_said():
    planted = plant(full(60, 2), n_models=200, seed=3)
    found = fitted(planted, MultidimensionalTwoPL())
    assert found.irt_model.dimensions == 2
    (said,) = [check for check in found.checks if check.name == "dimensions"]
    assert "2 dimensions; log score" in said.message
    few = plant(full(10, 2), n_models=20, seed=3)
    with pytest.raises(ModelError, match="give dimensions"):
        fit(few.counts, MultidimensionalTwoPL(), QUICK)


def sds_of_loadings(monkeypatch, *, least, measured):
    """Mean log sds of loadings, by dimension, after the sweeps of 40 chains, and their standard errors."""
    monkeypatch.setattr(dimensional_gibbs, "MEASURED", measured)
    pattern, groups = bifactor(24, 2)
    planted = plant(pattern, n_models=50, seed=4)
    answers = planted.counts.correct, planted.counts.trials
    found = approximate_dimensions(BifactorTwoPL(groups=groups), *answers, least_spread=least)
    state = dimensional_gibbs.refine(found, *answers, np.random.default_rng(1), draws=320)
    sds = np.log(state.sd[:, :3]).reshape(-1, 40, 3).mean(axis=0)
    return sds.mean(axis=0), sds.std(axis=0) / np.sqrt(40)


def test_sweeps_forget_factors_that_take_loadings_for_alike(monkeypatch):
    """Started at groups without loadings, chains find them; in units of that start (the control) they do not."""
    near, error = sds_of_loadings(monkeypatch, least=0.5, measured=4)
    far, other = sds_of_loadings(monkeypatch, least=0.02, measured=4)
    assert (np.abs(far - near) < 3 * np.hypot(error, other)).all()
    stuck, other = sds_of_loadings(monkeypatch, least=0.02, measured=1)
    assert (np.abs(stuck - near) > 3 * np.hypot(error, other)).all()


def test_missing_cells_leave_profiles_less_certain_and_right():
    whole = plant(full(120, 2), n_models=200, seed=9)
    half = plant(full(120, 2), n_models=200, seed=9, missing=0.5)
    spreads = []
    for planted in (whole, half):
        found = fitted(planted, MultidimensionalTwoPL(dimensions=2))
        spreads.append(draws(found.posterior, "ability").std(axis=0).mean(axis=0))
        judged = judge(found.posterior, planted, rotates=True)
        assert averaged([judged])["ability", 0][1] > 0.75
    assert (spreads[1] > 1.15 * spreads[0]).all()


def test_a_fit_is_saved_and_read_with_its_model(tmp_path):
    pattern, groups = bifactor(30, 2)
    found = fitted(plant(pattern, n_models=60, seed=1), BifactorTwoPL(groups=groups), LaplaceSettings(draws=100))
    found.save(tmp_path / "fit.nc")
    again = Fit.load(tmp_path / "fit.nc")
    assert again.irt_model == found.irt_model
    assert np.allclose(again.posterior["loading"], found.posterior["loading"], atol=1e-6)


def test_clusters_and_several_abilities_are_refused():
    planted = plant(full(20, 2), n_models=30, seed=1)
    with pytest.raises(ModelError, match="m2pl"):
        fit(planted.counts, MultidimensionalTwoPL(dimensions=2), QUICK, copies="once")


def test_svi_samples_the_program():
    pattern, dimensions = simple(12, 2)
    planted = plant(pattern, n_models=120, seed=2)
    model = ConfirmatoryTwoPL(dimensions=dimensions)
    found = fitted(planted, model, SVISettings(guide="normal", max_steps=100, window=20, draws=50))
    near = fitted(planted, model, LaplaceSettings(draws=200))
    for name in ("intercept", "loading"):
        one, other = (draws(each.posterior, name).mean(axis=0).ravel() for each in (found, near))
        assert np.abs(np.corrcoef(one, other)[0, 1]) > 0.9, name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["m2pl", "bifactor", "confirmatory"])
def test_nuts_agrees_with_the_fast_method(kind):
    """Posterior means within a fifth of an sd of NUTS's in the mean, sds within 12%; both sample the same program."""
    groups, (pattern, dimensions) = bifactor(24, 2), simple(24, 2)
    model, pattern = {
        "m2pl": (MultidimensionalTwoPL(dimensions=2), full(24, 2)),
        "bifactor": (BifactorTwoPL(groups=groups[1]), groups[0]),
        "confirmatory": (ConfirmatoryTwoPL(dimensions=dimensions), pattern),
    }[kind]
    planted = plant(pattern, n_models=50, seed=4)
    exact = fitted(planted, model, NUTSSettings(chains=2, warmup=300, draws=800, jobs=1))
    near = fitted(planted, model, LaplaceSettings(draws=2_000))
    for name in ("ability", "intercept", "loading"):
        one, other = draws(near.posterior, name), draws(exact.posterior, name)
        spread = other.std(axis=0)
        moves = spread > 0
        away = (one.mean(axis=0) - other.mean(axis=0))[moves] / spread[moves]
        assert np.sqrt(np.mean(away**2)) < 0.25, name
        assert 0.88 < np.median(one.std(axis=0)[moves] / spread[moves]) < 1.12, name


@pytest.mark.slow
def test_loadings_of_small_groups_are_covered_and_factors_alone_are_said_not_to_do():
    """Eight groups of five items among 300: by factors alone (the control) few intervals cover."""
    groups = tuple(f"g{at // 5}" if at < 40 else "" for at in range(300))
    model = BifactorTwoPL(groups=groups)
    coverage = {}
    for settings in (LaplaceSettings(draws=400), QUICK):
        judged = []
        for seed in range(4):
            planted = plant(model.pattern(300), n_models=150, seed=seed)
            found = fitted(planted, model, settings)
            judged.append(judge(found.posterior, planted, rotates=False))
        status = {check.name: check.status for check in found.checks}
        assert status["stationary" if settings.refine else "hierarchy"] == ("passed" if settings.refine else "failed")
        mean = averaged(judged)
        coverage[settings.refine] = np.mean([mean["loading", at][1] for at in range(1, 9)])
    assert coverage[True] > 0.8
    assert coverage[False] < 0.5


@pytest.mark.slow
@pytest.mark.parametrize(("n_models", "n_items", "n_dims", "n_sets"), [(200, 100, 2, 20), (400, 400, 3, 20)])
def test_slopes_and_coverage_of_the_exploratory_model(n_models, n_items, n_dims, n_sets):
    found = averaged(
        [
            judge(
                fitted(each, MultidimensionalTwoPL(dimensions=n_dims), LaplaceSettings()).posterior, each, rotates=True
            )
            for each in (plant(full(n_items, n_dims), n_models=n_models, seed=seed) for seed in range(n_sets))
        ]
    )
    check_recovery(found)


@pytest.mark.slow
@pytest.mark.parametrize(("n_models", "n_items", "n_groups", "n_sets"), [(200, 100, 3, 20), (400, 400, 4, 20)])
def test_slopes_and_coverage_of_the_bifactor_model(n_models, n_items, n_groups, n_sets):
    pattern, groups = bifactor(n_items, n_groups)
    found = averaged(
        [
            judge(fitted(each, BifactorTwoPL(groups=groups), LaplaceSettings()).posterior, each, rotates=False)
            for each in (plant(pattern, n_models=n_models, seed=seed) for seed in range(n_sets))
        ]
    )
    check_recovery(found)


@pytest.mark.slow
@pytest.mark.parametrize(("n_models", "n_items", "n_dims", "n_sets"), [(200, 100, 2, 20), (400, 400, 3, 20)])
def test_slopes_and_coverage_of_the_confirmatory_model(n_models, n_items, n_dims, n_sets):
    pattern, dimensions = simple(n_items, n_dims)
    correlation = np.full((n_dims, n_dims), 0.5) + 0.5 * np.eye(n_dims)
    found = averaged(
        [
            judge(
                fitted(each, ConfirmatoryTwoPL(dimensions=dimensions), LaplaceSettings()).posterior, each, rotates=False
            )
            for each in (
                plant(pattern, n_models=n_models, seed=seed, correlation=correlation) for seed in range(n_sets)
            )
        ]
    )
    check_recovery(found)


def check_recovery(found):
    """Slopes and coverage .86-.94, means over dimensions, and each dimension not far off; narrow intervals caught.

    Intercepts of one data set share the error of its location: their coverage is .73 to .95 by data set, so that it
    takes twenty to know it within .015.

    With 100 items loadings of a first dimension have slopes up to 1.07: they are log-normal, not normal as the prior
    has them, and differ little (sd .3), so that they are drawn together too far.
    """
    print({key: np.round(value, 3).tolist() for key, value in found.items()})
    for name in ("loading", "ability", "intercept"):
        slope, coverage, narrow = np.mean([value for (kind, _), value in found.items() if kind == name], axis=0)
        assert 0.95 < slope < 1.05, name
        assert 0.86 < coverage < 0.94, name
        assert narrow < 0.6, name
    for key, (_, coverage, _) in found.items():
        assert 0.83 < coverage < 0.96, key


def stacked(n_models, n_common, seed):
    """Two benchmarks of 40 items; the first models took both, the others one of them. Models of b alone are abler."""
    pattern, groups = bifactor(80, 2)
    rng = np.random.default_rng(seed)
    ability = rng.normal(size=(n_models, 3))
    only_b = np.arange(n_models) >= n_common + (n_models - n_common) // 2
    loading = np.where(pattern, np.abs(rng.normal([1.2, 0.6, 0.6], 0.3, pattern.shape)), 0.0)
    intercept = rng.normal(0, 1, 80)
    correct = (rng.random((n_models, 80)) < 1 / (1 + np.exp(-(ability @ loading.T + intercept)))).astype(float)
    only_a = (np.arange(n_models) >= n_common) & ~only_b
    correct[np.ix_(only_a, np.arange(80) >= 40)] = np.nan
    correct[np.ix_(only_b, np.arange(80) < 40)] = np.nan
    return as_counts(correct), groups, ability, loading


def test_models_of_one_benchmark_get_a_general_ability_on_the_scale_of_both():
    inside, correlations = [], []
    for seed in range(3):
        counts, groups, ability, _ = stacked(240, 120, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            found = fit(counts, BifactorTwoPL(groups=groups), QUICK)
        (check,) = [check for check in found.checks if check.name == "overlap"]
        assert (check.status, check.value) == ("passed", 120)
        general = draws(found.posterior, "ability")[..., 0]
        low, high = np.quantile(general, [0.05, 0.95], axis=0)
        inside.append(((low < ability[:, 0]) & (ability[:, 0] < high))[120:].mean())
        correlations.append(np.corrcoef(general.mean(axis=0)[120:], ability[120:, 0])[0, 1])
    assert np.mean(inside) > 0.82
    assert np.mean(correlations) > 0.75


def test_a_thin_overlap_of_benchmarks_is_said():
    counts, groups, _, _ = stacked(120, 8, 1)
    with pytest.warns(FitWarning, match="8 models link the groups of items at the weakest place, between g0 and g1"):
        fit(counts, BifactorTwoPL(groups=groups), QUICK)


@pytest.mark.parametrize(
    ("answers", "model", "message"),
    [
        (np.tile([[0.0, 1.0], [1.0, 0.0]], (5, 2)), MultidimensionalTwoPL(dimensions=6), "6 dimensions, for 10 models"),
        (np.eye(3), MultidimensionalTwoPL(dimensions=2), "2 dimensions, for 3 models and 3 items"),
    ],
)
def test_more_dimensions_than_answers_can_have_are_refused(answers, model, message):
    with pytest.raises(FitError, match=message):
        fit(as_counts(answers), model, QUICK)


def test_items_that_are_copies_are_fitted_or_refused_in_words():
    answers = np.repeat((np.random.default_rng(1).random((40, 1)) < 0.5).astype(float), 15, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = fit(as_counts(answers), MultidimensionalTwoPL(dimensions=2), QUICK)
        except FitError as error:
            assert "copies of each other" in str(error)
        else:
            assert np.isfinite(found.posterior["loading"]).all()
