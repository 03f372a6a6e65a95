import numpy as np
import pytest

from irt_bench.subsets.intervals import held_out_errors, limits


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
    assert (found.mean, found.mean_absolute, found.root_mean_square) == pytest.approx((0, 0.05, 0.05))
    assert held_out_errors(error, np.full(4, 0.1)).misfit_sd == 0
    nothing = held_out_errors(np.zeros(4), np.zeros(4))
    assert (nothing.misfit_sd, nothing.interval_scale) == (0, 0)


def test_limits_stay_within_what_is_possible():
    low, high = limits(
        np.array([0.5, 0.98]), np.array([0.01, 0.01]), misfit_sd=0.0, scale=2.0, step=0.0,
        within=(np.array([0.4, 0.2]), np.array([0.9, 1.0])),
    )  # fmt: skip
    assert low == pytest.approx([0.4, 0.78]) and high == pytest.approx([0.7, 1.0])


def test_an_interval_holds_at_least_one_possible_score():
    """Scores are 1/50 apart; between two of them the nearer one is within."""
    narrow = {"misfit_sd": 0.0, "scale": 1.0, "within": (np.zeros(1), np.ones(1))}
    low, high = limits(np.array([0.507]), np.zeros(1), step=0.02, **narrow)
    assert low[0] <= 0.5 <= high[0] and high[0] - low[0] == pytest.approx(0.02)
    known = narrow | {"within": (np.array([0.5]), np.array([0.5]))}
    assert limits(np.array([0.5]), np.zeros(1), step=0.02, **known) == (0.5, 0.5)
