"""Difference of two recipes for other seeds and other items, held against simulation with crossed effects."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from irt_bench import compare_recipes, load_example, table_from_frame
from irt_bench.errors import AnalysisError
from irt_bench.variance.detect import compare_recipes as recipe_table
from irt_bench.variance.scores import RunScores


def run_of(values, name, seeds=None):
    labels = tuple(str(seed) for seed in (range(len(values)) if seeds is None else seeds))
    items = pd.Index([f"i{j}" for j in range(values.shape[1])])
    trials = np.ones((len(values), 1, values.shape[1]), dtype=int)
    return RunScores("made", name, "accuracy", values[:, None], trials, labels, ("last",), items, binary=False)


def simulate(rng, difference, n_seeds, n_items, *, shared_seeds):
    """Scores with a seed effect, shared where seeds are, an item effect of the recipe, and the noise of answers."""
    item = rng.normal(0.5, 0.2, n_items)
    seed = rng.normal(0, 0.03, n_seeds) if shared_seeds else 0
    found = []
    for which in range(2):
        own = rng.normal(0, 0.02, n_seeds) + seed
        recipe_item = rng.normal(0, 0.08, n_items)
        noise = rng.normal(0, 0.3, (n_seeds, n_items))
        found.append(item + recipe_item + own[:, None] + noise + (difference if which == 0 else 0))
    labels = range(n_seeds), range(0 if shared_seeds else n_seeds, n_seeds if shared_seeds else 2 * n_seeds)
    return tuple(run_of(values, name, own) for values, name, own in zip(found, "ab", labels, strict=True))


@pytest.mark.parametrize("shared_seeds", [True, False])
def test_intervals_cover_other_seeds_and_items_and_those_of_items_alone_do_not(shared_seeds):
    rng = np.random.default_rng(0)
    covered, alone, overall = [], [], []
    for _ in range(250):
        tasks = {
            name: simulate(rng, 0.02, 5, size, shared_seeds=shared_seeds) for name, size in (("x", 80), ("y", 200))
        }
        table = recipe_table(tasks).set_index("task")
        inside = (table["difference_q05"] < 0.02) & (table["difference_q95"] > 0.02)
        covered += inside[["x", "y"]].tolist()
        a, b = (run.values[:, 0].mean(axis=0) for run in tasks["y"])
        low, high = stats.ttest_rel(a, b).confidence_interval(0.9)
        alone.append(low < 0.02 < high)
        overall.append(inside["all tasks"])
        assert table["paired"].all() == shared_seeds
    assert abs(np.mean(covered) - 0.9) < 0.035
    assert abs(np.mean(overall) - 0.9) < 0.05
    assert np.mean(alone) < 0.85


def test_without_noise_of_items_it_is_the_t_test_over_seeds():
    """Every item of a recipe differs alike, so that only seeds vary."""
    rng = np.random.default_rng(1)
    seeds = rng.normal(0, 0.05, (2, 6))
    tasks = {"x": (run_of(0.6 + np.repeat(seeds[:1].T, 30, 1), "a"), run_of(0.5 + np.repeat(seeds[1:].T, 30, 1), "b"))}
    (row,) = recipe_table(tasks).to_dict("records")
    expected = stats.ttest_rel(seeds[0] + 0.6, seeds[1] + 0.5)
    assert row["p"] == pytest.approx(expected.pvalue)
    np.testing.assert_allclose([row["difference_q05"], row["difference_q95"]], expected.confidence_interval(0.9))
    apart = {"x": (tasks["x"][0], run_of(tasks["x"][1].values[:, 0], "b", range(10, 16)))}
    (row,) = recipe_table(apart).to_dict("records")
    assert row["p"] == pytest.approx(stats.ttest_ind(seeds[0] + 0.6, seeds[1] + 0.5, equal_var=False).pvalue)


def test_verdicts_are_right_as_often_as_they_claim():
    """No difference is rarely real, a large one is, and none with many seeds and items is smaller than two points."""
    rng = np.random.default_rng(2)
    verdicts = {"none": [], "large": [], "many": []}
    for _ in range(150):
        for name, shift, n_seeds, n_items in (("none", 0, 5, 100), ("large", 0.12, 5, 100), ("many", 0, 60, 3_000)):
            tasks = {"x": simulate(rng, shift, n_seeds, n_items, shared_seeds=True)}
            verdicts[name].append(recipe_table(tasks, difference=0.02)["verdict"].iloc[0])
    share = {name: pd.Series(found).value_counts(normalize=True) for name, found in verdicts.items()}
    assert share["none"].get("real", 0) < 0.1
    assert share["large"]["real"] > 0.8
    assert share["many"]["noise"] > 0.9


def test_seeds_needed_detect_the_difference():
    """As many seeds as are said to be needed for 3 points find them in about 80% of trainings, a third in far fewer."""
    rng = np.random.default_rng(3)
    pilot = recipe_table({"x": simulate(rng, 0.0, 200, 2_000, shared_seeds=True)}, difference=0.03)
    needed = int(pilot["seeds_needed"].iloc[0])
    found = {n: [] for n in (needed, max(needed // 3, 2))}
    for n, own in found.items():
        for _ in range(150):
            table = recipe_table({"x": simulate(rng, 0.03, n, 2_000, shared_seeds=True)})
            own.append(table["p"].iloc[0] < 0.05)
    enough, few = (np.mean(own) for own in found.values())
    assert 0.7 < enough < 0.95
    assert few < enough - 0.2


def test_recipes_by_task_through_public_names():
    long = load_example("seeds").to_frame()
    two = pd.concat([long, long.assign(benchmark="other")])
    found = compare_recipes(table_from_frame(two), "run-1", "run-2").summary()
    assert found.index.tolist() == ["other", "planted", "all tasks"]
    assert found.loc["all tasks", "seed_se"] == pytest.approx(found.loc["planted", "seed_se"])  # the same seeds twice
    by_task = compare_recipes(long, "run-1", "run-2", group="subtask")
    assert len(by_task.summary()) == long["subtask"].nunique() + 1
    with pytest.raises(AnalysisError, match="run with two or more seeds 'run-9' is not known"):
        compare_recipes(long, "run-1", "run-9")
