import numpy as np
import pytest

from irt_bench.subsets.score import UNKNOWN_ERRORS, Extrapolation, extrapolation_of, held_out_errors, interval_limits
from irt_bench.subsets.scorer import Prediction


def coverage(errors, error, variance):
    half = errors.interval_scale * np.sqrt(variance + errors.misfit_sd**2)
    return (np.abs(error) <= half).mean()


def test_intervals_cover_new_models_whatever_the_distribution_of_errors():
    rng = np.random.default_rng(0)
    for draw in (rng.normal, rng.laplace, lambda size: rng.standard_t(3, size)):
        old, new = 0.03 * draw(size=4000), 0.03 * draw(size=4000)
        variance = np.full(4000, 0.02**2)
        assert 0.88 < coverage(held_out_errors(old, variance), new, variance) < 0.92


def test_intervals_made_from_errors_too_small_are_caught_by_the_same_check():
    rng = np.random.default_rng(0)
    old, new = 0.02 * rng.normal(size=4000), 0.03 * rng.normal(size=4000)
    assert coverage(held_out_errors(old, np.zeros(4000)), new, np.zeros(4000)) < 0.8


def test_misfit_is_what_the_expected_variance_leaves_over():
    error = np.array([0.05, -0.05, 0.05, -0.05])
    found = held_out_errors(error, np.full(4, 0.03**2))
    assert found.misfit_sd == pytest.approx(0.04)
    errors = (found.mean, found.mean_absolute.value, found.root_mean_square.value)
    assert errors == pytest.approx((0, 0.05, 0.05))
    assert held_out_errors(error, np.full(4, 0.1)).misfit_sd == 0
    nothing = held_out_errors(np.zeros(4), np.zeros(4))
    assert (nothing.misfit_sd, nothing.interval_scale) == (0, 0)


def test_limits_stay_within_what_is_possible():
    low, high = interval_limits(
        np.array([0.5, 0.98]), np.array([0.01, 0.01]), misfit_sd=0.0, scale=2.0, step=0.0,
        within=(np.array([0.4, 0.2]), np.array([0.9, 1.0])),
    )  # fmt: skip
    assert low == pytest.approx([0.4, 0.78]) and high == pytest.approx([0.7, 1.0])


def test_an_interval_holds_at_least_one_possible_score():
    """Scores are 1/50 apart; between two of them the nearer one is within."""
    narrow = {"misfit_sd": 0.0, "scale": 1.0, "within": (np.zeros(1), np.ones(1))}
    low, high = interval_limits(np.array([0.507]), np.zeros(1), step=0.02, **narrow)
    assert low[0] <= 0.5 <= high[0] and high[0] - low[0] == pytest.approx(0.02)
    known = narrow | {"within": (np.array([0.5]), np.array([0.5]))}
    assert interval_limits(np.array([0.5]), np.zeros(1), step=0.02, **known) == (0.5, 0.5)


def test_intervals_of_expected_errors_cover_the_error_of_all_models_when_clusters_are_resampled():
    """Models of one cluster err alike; resampling single models would cover far less."""
    rng = np.random.default_rng(0)
    covered = {"clusters": [], "models": []}
    for _ in range(300):
        codes = np.repeat(np.arange(30), 5)
        error = 0.03 * (rng.normal(size=30)[codes] + 0.2 * rng.normal(size=150))
        for name, clusters in (("clusters", codes.astype(str)), ("models", None)):
            found = held_out_errors(error, np.zeros(150), clusters).root_mean_square
            covered[name].append(found.q05 <= 0.03 * np.sqrt(1.04) <= found.q95)
    assert 0.84 <= np.mean(covered["clusters"]) <= 0.94
    assert np.mean(covered["models"]) < 0.7


def predictions(residuals, asked=None):
    asked = np.ones(residuals.shape, dtype=bool) if asked is None else asked
    size = residuals.shape[1]
    flat = np.ones((len(residuals), 1))
    return Prediction(
        flat, np.ones((size, 1)), flat[:1], residuals, asked, np.full(size, 1 / size), np.full(size, 0.01)
    )


def test_outside_the_range_the_scatter_of_residuals_makes_an_interval_that_needs_no_irt_model():
    """Random items of 400 whose residuals have any mean: the sample's mean -+ t sd covers it."""
    rng = np.random.default_rng(0)
    population = rng.uniform(-0.5, 0.9, 400)
    chosen = np.array([rng.choice(400, 20, replace=False) for _ in range(4000)])
    residuals = population[chosen]
    about = extrapolation_of(predictions(residuals), np.ones(4000), 400, UNKNOWN_ERRORS)
    assert about.design_sd == pytest.approx(np.sqrt((1 - 20 / 400) * residuals.var(axis=1, ddof=1) / 20))
    wide = {"misfit_sd": 0.0, "scale": 0.0, "step": 0.0, "within": (np.full(4000, -1.0), np.ones(4000))}
    low, high = interval_limits(residuals.mean(axis=1), np.zeros(4000), outside=about, **wide)
    assert 0.88 < ((low <= population.mean()) & (population.mean() <= high)).mean() < 0.92
    low, high = interval_limits(residuals.mean(axis=1), np.zeros(4000), **wide)  # taken for a model inside the range
    assert ((low <= population.mean()) & (population.mean() <= high)).mean() < 0.05


def test_between_inside_and_outside_the_variance_is_that_of_a_mixture():
    about = Extrapolation(np.array([0.0, 0.5, 1.0]), np.full(3, 0.1), np.full(3, 2.0), np.nan, np.nan)
    low, high = interval_limits(
        np.full(3, 0.5), np.full(3, 0.01**2), misfit_sd=0.0, scale=2.0, step=0.0, within=(np.zeros(3), np.ones(3)),
        outside=about,
    )  # fmt: skip
    assert (high - low) / 2 == pytest.approx([0.02, np.sqrt((0.02**2 + 0.2**2) / 2), 0.2])


def test_one_answer_has_no_scatter_and_leaves_everything_possible():
    about = extrapolation_of(predictions(np.array([[0.2]])), np.ones(1), 400, UNKNOWN_ERRORS)
    within = (np.array([0.1]), np.array([0.9]))
    low, high = interval_limits(
        np.array([0.5]), np.zeros(1), misfit_sd=0.0, scale=1.0, step=0.0, within=within, outside=about
    )
    assert (low[0], high[0]) == (0.1, 0.9)
