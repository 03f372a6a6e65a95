import numpy as np
import pytest
from scipy import stats

from irt_bench.variance.detect import Noise, items_needed, minimum_detectable, seeds_needed


@pytest.mark.parametrize(("effect", "n"), [(0.5, 64), (0.8, 26)])  # Cohen 1988, table 2.4.1
def test_seeds_needed_are_cohens(effect, n):
    assert seeds_needed(Noise(1.0, 0.0, 0.0, 10.0), 1, effect) == n


def test_simulated_power_at_the_detectable_difference_is_80_percent():
    noise, rng = Noise(0.04, 3.0, 0.0, 8.0), np.random.default_rng(0)
    difference = minimum_detectable(noise, 100, 5)
    sd = np.sqrt(0.04 + 0.03)
    a, b = rng.normal(size=(2, 20000, 5)) * sd
    assert abs((stats.ttest_ind(a + difference, b, axis=1).pvalue < 0.05).mean() - 0.8) < 0.01


def test_no_number_of_items_beats_the_seed_variance():
    noise = Noise(0.04, 3.0, 0.0, 8.0)
    assert np.isnan(items_needed(noise, 5, 0.1))
    needed = items_needed(noise, 5, 0.6)
    assert minimum_detectable(noise, int(needed), 5) <= 0.6 < minimum_detectable(noise, int(needed) - 1, 5)
