from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulated_seeds import SeedSimulation, simulate_seeds

from irt_bench import load_example, seed_variance
from irt_bench.errors import AnalysisError
from irt_bench.variance.detect import (
    DifferenceNoise,
    detection_table,
    estimate_noise,
    items_needed,
    minimum_detectable,
    needed_table,
    seeds_needed,
)
from irt_bench.variance.seed_variance import one_measure


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


@pytest.mark.parametrize("power", [0.06, 0.5, 0.8, 0.999])
def test_seeds_needed_are_the_smallest_that_are_enough(power):
    """By trying every number; with items that hide the difference from any number, NaN."""
    rng = np.random.default_rng(1)
    for _ in range(30):
        noise = DifferenceNoise(*rng.exponential([0.04, 3.0, 0.05]), float(rng.integers(9)))
        wanted = float(rng.uniform(0.1, 1.0))
        detectable = np.array([minimum_detectable(noise, 100, n, power=power) for n in range(1, 120)])
        enough = np.flatnonzero(detectable <= wanted)
        found = seeds_needed(noise, 100, wanted, power=power)
        assert found == enough[0] + 1 if len(enough) else not found < 120
    assert np.isnan(seeds_needed(DifferenceNoise(0.04, 3.0, 50.0, 3.0), 100, 0.1, power=power))


def test_more_items_and_trials_need_fewer_seeds_as_the_components_say():
    """By hand: variance = seed + (seed:item + trial / n) / k, against `seed_variance`'s own components."""
    found = seed_variance(load_example("repeats"), difference=0.02, n_bootstrap=20, n_subsets=20)
    table = found.needed()
    whole = table[table["subtask"] == ""].set_index(["n_items", "n_trials"])
    parts = found.components()
    parts = parts[(parts["design"] == "seed x item")].groupby("component")["estimate"].last()
    for (k, n), row in whole.iterrows():
        variance = parts["seed"] + (parts["seed:item"] + parts["trial"] / n) / k
        noise = DifferenceNoise(variance, 0.0, 0.0, 4.0)
        assert row["seeds_needed"] == pytest.approx(seeds_needed(noise, 1, 0.02), rel=0.02)
        assert row["seeds_needed_q05"] < row["seeds_needed"] < row["seeds_needed_q95"]
    by_trials = whole["seeds_needed"].unstack()
    assert (by_trials.diff(axis=1).iloc[:, 1:] < 0).all(axis=None) and (by_trials.diff().iloc[1:] < 0).all(axis=None)
    assert set(table["subtask"]) > {"", "subtask-01"}
    assert found.plot("needed").axes[0].get_xlabel() == "items"
    with pytest.raises(AnalysisError, match="give difference="):
        seed_variance(load_example("repeats"), n_bootstrap=20, n_subsets=20).plot("needed")


def test_a_difference_of_accuracies_is_translated_to_other_measures():
    """A measure that is three times accuracy and 1 needs as many seeds, for a difference three times as large."""
    runs, _ = one_measure(simulate_seeds(SeedSimulation(seed_sd=0.3), seed=1))
    tripled = [replace(run, measure="tripled", values=3 * run.values + 1) for run in runs]
    table = needed_table({"accuracy": runs, "tripled": tripled}, difference=0.05).set_index(["measure", "subtask"])
    own, other = (table.loc[(name, "")] for name in ("accuracy", "tripled"))
    assert other["difference"].to_numpy() == pytest.approx(3 * own["difference"].to_numpy())
    assert (other["seeds_needed"].to_numpy() == own["seeds_needed"].to_numpy()).all()
    lone = [replace(run, subtask=pd.Series(["one", *["rest"] * (run.n_items - 1)], index=run.items)) for run in runs]
    assert set(needed_table({"accuracy": lone}, difference=0.05)["subtask"]) == {"", "rest"}  # not that of one item
    short = [replace(run, values=run.values[:, :1], trials=run.trials[:, :1], steps=run.steps[:1]) for run in runs]
    alone = needed_table({"accuracy": short, "tripled": short}, difference=0.05)
    assert set(alone["measure"]) == {"accuracy"}  # too few means to translate it


def test_more_items_never_take_more_seeds():
    """Also where the variance over seeds is estimated below 0, as it is by chance where it is none."""
    below = 0
    for seed in range(12):
        runs, _ = one_measure(simulate_seeds(SeedSimulation(seed_sd=0.0, n_items=60), seed=seed))
        below += estimate_noise(runs).seed < 0
        table = needed_table({"accuracy": runs}, difference=0.02)
        whole = table[table["subtask"] == ""].sort_values("n_items")
        beyond = whole[whole["n_items"] >= whole["n_items_there"]]
        for name in ("seeds_needed", "seeds_needed_q05", "seeds_needed_q95"):
            assert (beyond[name].diff().dropna() <= 0).all(), (seed, name)
    assert below  # the control: such estimates were among them
