import numpy as np
import pytest
from scipy import stats
from simulated_seeds import SeedSimulation, simulate_seeds

from irt_bench.variance.benchmark_runs import one_measure
from irt_bench.variance.detect import DifferenceNoise, detection_table, items_needed, minimum_detectable, seeds_needed


@pytest.mark.parametrize(("effect", "n"), [(0.5, 64), (0.8, 26)])  # Cohen 1988, table 2.4.1
def test_seeds_needed_are_cohens(effect, n):
    assert seeds_needed(DifferenceNoise(1.0, 0.0, 0.0, 0.0), 1, effect) == n


@pytest.mark.parametrize("n_seeds", [1, 2, 5])
def test_simulated_power_at_the_detectable_difference_is_80_percent_and_without_one_5(n_seeds):
    """Student's t with the variance of earlier runs and of the seeds compared, pooled by hand."""
    noise, rng = DifferenceNoise(0.04, 3.0, 0.0, 8.0), np.random.default_rng(0)
    difference = minimum_detectable(noise, 100, n_seeds)
    sd = np.sqrt(0.04 + 0.03)
    a, b = rng.normal(size=(2, 20000, n_seeds)) * sd
    earlier = sd**2 * rng.chisquare(8, size=20000)
    squares = sum(((x - x.mean(1, keepdims=True)) ** 2).sum(1) for x in (a, b)) + earlier
    se = np.sqrt(squares / (8 + 2 * (n_seeds - 1)) * 2 / n_seeds)
    critical = stats.t.ppf(0.975, 8 + 2 * (n_seeds - 1))
    for shift, share in ((difference, 0.8), (0.0, 0.05)):
        t = (a.mean(1) + shift - b.mean(1)) / se
        assert abs((np.abs(t) > critical).mean() - share) < 0.01


def test_more_seeds_always_show_a_smaller_difference():
    noise = DifferenceNoise(0.04, 3.0, 0.0, 2.0)
    detectable = [minimum_detectable(noise, 100, n) for n in range(1, 21)]
    assert (np.diff(detectable) < 0).all()
    alone = noise._replace(df=0.0)  # without earlier runs, one seed each has no test
    assert np.isnan(minimum_detectable(alone, 100, 1)) and minimum_detectable(alone, 100, 2) > detectable[1]


def test_no_number_of_items_beats_the_seed_variance():
    noise = DifferenceNoise(0.04, 3.0, 0.0, 8.0)
    assert np.isnan(items_needed(noise, 5, 0.1))
    needed = items_needed(noise, 5, 0.6)
    assert minimum_detectable(noise, int(needed), 5) <= 0.6 < minimum_detectable(noise, int(needed) - 1, 5)


def test_what_a_difference_needs_is_in_the_table_and_more_power_needs_more():
    runs, _ = one_measure(simulate_seeds(SeedSimulation(seed_sd=0.3), seed=1))
    table = detection_table(runs, difference=0.2)
    more = detection_table(runs, difference=0.2, power=0.95)
    assert (table["difference"] == 0.2).all() and table["seeds_needed"].nunique() == 1
    assert more["seeds_needed"].iloc[0] > table["seeds_needed"].iloc[0]
    assert (more["detectable"] > table["detectable"]).all()
    shown = table[table["detectable"] <= 0.2]
    assert len(shown) and (shown["n_seeds"] >= shown["seeds_needed"]).all()
    assert (table["items_needed_other_items"].fillna(np.inf) >= table["items_needed"].fillna(np.inf)).all()
