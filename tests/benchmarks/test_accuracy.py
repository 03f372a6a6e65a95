"""The measures of the comparison, against NumPy's and SciPy's own and known answers."""

import numpy as np
import pytest
from accuracy import aligned, correlation, coverage, rmse, scores, slope, standardised
from scipy import stats


@pytest.fixture
def rng():
    return np.random.default_rng(4)


@pytest.fixture
def truth(rng):
    return {
        "ability": rng.normal(size=300),
        "difficulty": rng.normal(size=400),
        "discrimination": np.exp(0.4 * rng.normal(size=400)),
    }


def moved(truth, location, scale):
    """The same model written on another scale: the responses cannot tell them apart."""
    return {
        "ability": (truth["ability"] - location) / scale,
        "difficulty": (truth["difficulty"] - location) / scale,
        "discrimination": truth["discrimination"] * scale,
    }


def test_slope_and_correlation_are_those_of_scipy(rng):
    estimate = rng.normal(size=50)
    truth = 0.3 + 0.8 * estimate + rng.normal(size=50)
    found = stats.linregress(estimate, truth)
    assert slope(truth, estimate) == pytest.approx((found.intercept, found.slope))
    assert correlation(truth, estimate) == pytest.approx(found.rvalue)


def test_undefined_estimates_are_left_out_of_slopes_and_are_nan_in_the_rmse(rng):
    truth = rng.normal(size=50)
    estimate = truth.copy()
    estimate[3] = np.nan
    assert slope(truth, estimate).scale == pytest.approx(1)
    assert correlation(truth, estimate) == pytest.approx(1)
    assert np.isnan(rmse(truth, estimate))
    assert np.isnan(slope(truth, np.full(50, np.nan)).scale)


def test_alignment_undoes_a_shift_and_a_stretch(truth):
    estimates = moved(truth, 0.7, 1.9)
    found = aligned(estimates, slope(truth["ability"], estimates["ability"]))
    for name, value in truth.items():
        np.testing.assert_allclose(found[name], value)


def test_alignment_moves_intervals_with_their_estimates(truth):
    bounds = {f"{name}_{end}": value * by for name, value in truth.items() for end, by in (("q05", 0.9), ("q95", 1.1))}
    estimates = moved(truth, 0.0, 2.0) | {
        name: value * (2.0 if name.startswith("discrimination") else 0.5) for name, value in bounds.items()
    }
    found = aligned(estimates, slope(truth["ability"], estimates["ability"]))
    np.testing.assert_allclose(found["ability_q95"], bounds["ability_q95"])
    np.testing.assert_allclose(found["discrimination_q05"], bounds["discrimination_q05"])


def test_coverage_counts_true_values_inside_and_an_undefined_interval_as_outside():
    lower, upper = np.array([0.0, 0.0, 0.0, np.nan]), np.array([1.0, 1.0, 1.0, np.nan])
    assert coverage(np.array([0.5, 1.0, 1.5, 0.5]), lower, upper) == 0.5


def test_honest_intervals_cover_nine_in_ten_and_narrow_ones_are_caught(rng, truth):
    """Negative control: the same intervals at 60% of their width."""
    noise = 0.2
    means = truth["ability"] + noise * rng.normal(size=300)
    half = stats.norm.ppf(0.95) * noise
    honest = coverage(truth["ability"], means - half, means + half)
    narrow = coverage(truth["ability"], means - 0.6 * half, means + 0.6 * half)
    limits = stats.binom.interval(0.999, 300, 0.9)
    assert limits[0] <= 300 * honest <= limits[1]
    assert 300 * narrow < limits[0]


def test_scores_tell_a_wrong_scale_from_wrong_estimates(truth, rng):
    """A wrong scale spoils the raw scores only; shuffled items spoil both."""
    good = scores(truth, moved(truth, 0.5, 2.0))
    assert good["rmse_ability"] > 0.4
    assert good["slope_ability"] == pytest.approx(2)
    assert max(good[f"aligned_rmse_{name}"] for name in truth) < 1e-9
    shuffled = scores(truth, truth | {"difficulty": rng.permutation(truth["difficulty"])})
    assert shuffled["aligned_rmse_difficulty"] > 1
    assert abs(shuffled["r_difficulty"]) < 0.2


def test_standardised_parameters_do_not_depend_on_the_scale_and_keep_the_log_odds(truth):
    one, other = standardised(**truth), standardised(**moved(truth, -0.4, 1.3))
    for name in truth:
        np.testing.assert_allclose(one[name], other[name])

    def log_odds(values):
        return values["discrimination"] * (values["ability"][:, None] - values["difficulty"])

    np.testing.assert_allclose(log_odds(one), log_odds(truth))
    assert one["ability"].std() == pytest.approx(1)
