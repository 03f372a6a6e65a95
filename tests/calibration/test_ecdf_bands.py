import numpy as np
import pytest
from arviz_stats.ecdf_utils import ecdf_pit
from ecdf_bands import simultaneous_band, uniformity


@pytest.fixture
def rng():
    return np.random.default_rng(20260115)


def test_the_band_is_arvizs(rng):
    """ArviZ evaluates at i / N: the same points where there are N - 1 draws."""
    n = 60
    z, _, low, high = ecdf_pit(rng.random(n), 0.95, 2000, rng=rng)
    found_low, found_high = simultaneous_band(n, n - 1)
    np.testing.assert_allclose(found_low, low - z, atol=1.01 / n)  # one rank: limits are counts
    np.testing.assert_allclose(found_high, high - z, atol=1.01 / n)
    assert np.mean(np.abs(found_low - (low - z)) < 1e-9) > 0.5


def test_uniform_ranks_leave_the_band_as_often_as_it_says(rng):
    low, high = simultaneous_band(80, 99)
    found = [uniformity(rng.integers(0, 100, 80), 99) for _ in range(600)]
    outside = [((each.difference < low - 1e-12) | (each.difference > high + 1e-12)).any() for each in found]
    assert 0.02 < np.mean(outside) < 0.08
    p_values = np.array([each.p_value for each in found])
    assert 0.02 < np.mean(p_values <= 0.05) < 0.08 and abs(p_values.mean() - 0.5) < 0.05
    assert np.mean([each.spread for each in found]) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("shift", "width", "said"), [(0.8, 1.0, "mean"), (0.0, 0.5, "spread"), (0.0, 2.0, "spread")])
def test_shifted_narrow_and_wide_draws_are_caught(rng, shift, width, said):
    truth, draws = rng.normal(size=100), shift + width * rng.normal(size=(100, 99))
    found = uniformity((draws < truth[:, None]).sum(axis=1), 99)
    assert found.p_value < 0.005
    assert (found.mean < 0.4) if said == "mean" else ((found.spread > 1.3) == (width < 1))
