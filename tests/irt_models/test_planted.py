import numpy as np
import pytest

from irt_bench import FourPL, ThreePL, TwoPL
from irt_bench.analysis.classical import item_statistics
from irt_bench.errors import UndefinedWarning
from irt_bench.irt_models.simulate import (
    ALWAYS_SOLVED,
    MIS_KEYED,
    NEVER_SOLVED,
    numbered_labels,
    other_models,
    simulate_benchmark,
)

Z_LIMIT = 4.0  # one false alarm in 16,000 tests


def seed_variance(simulation):
    """Variance over seeds of the mean ability over steps, pooled over runs, and its degrees of freedom."""
    models = simulation.table.models.assign(ability=simulation.truth["ability"].to_series())
    means = models.dropna(subset="run").groupby(["run", "seed"])["ability"].mean()
    variances = means.groupby("run").var(ddof=1)
    return variances.mean(), len(means) - len(variances)


def test_planted_seed_variance_is_in_the_abilities():
    simulation = simulate_benchmark(seed=6, n_runs=2, n_seeds=300, n_steps=4, n_items=6, n_other_models=0, seed_sd=0.3)
    variance, freedom = seed_variance(simulation)
    expected = 0.3**2 + 0.05**2 / 4
    assert abs(variance / expected - 1) < Z_LIMIT * np.sqrt(2 / freedom)
    steps = simulation.truth["step_effect"]
    assert abs(float(steps.var(ddof=1)) / 0.05**2 - 1) < Z_LIMIT * np.sqrt(2 / (steps.size - 1))


def test_without_seed_and_step_effects_seeds_have_one_ability():
    simulation = simulate_benchmark(seed=6, seed_sd=0.0, step_sd=0.0)
    variance, _ = seed_variance(simulation)
    assert variance < 1e-28


def test_ability_is_the_sum_of_its_parts_and_the_course_rises():
    simulation = simulate_benchmark(seed=2)
    truth, models = simulation.truth, simulation.table.models
    runs = models["run"].notna().to_numpy()
    parts = truth["run_mean"] + truth["seed_effect"] + truth["step_effect"]
    np.testing.assert_allclose(truth["ability"][runs], parts[runs], rtol=1e-12)
    assert np.isnan(truth["run_mean"][~runs]).all()
    course = (
        models.assign(mean=truth["run_mean"].to_series())[runs].groupby(["run", "step"])["mean"].agg(["min", "max"])
    )
    assert (course["min"] == course["max"]).all()
    assert (course["min"].unstack().diff(axis=1).iloc[:, 1:] > 0).all(axis=None)


@pytest.mark.parametrize("irt_model", [TwoPL(), ThreePL(), FourPL()], ids=lambda model: model.name)
def test_planted_items_behave_as_planted(irt_model):
    simulation = simulate_benchmark(seed=9, n_mis_keyed=6, irt_model=irt_model)
    counts, planted = simulation.table.counts(), simulation.truth["planted"].to_series()
    assert planted.value_counts().to_dict() == {"": 192, MIS_KEYED: 6, NEVER_SOLVED: 1, ALWAYS_SOLVED: 1}
    assert (simulation.truth["discrimination"].to_series()[planted == MIS_KEYED] < 0).all()
    share = counts.proportions().mean(axis=0)
    assert share[(planted == NEVER_SOLVED).to_numpy()] == 0
    assert share[(planted == ALWAYS_SOLVED).to_numpy()] == 1
    with pytest.warns(UndefinedWarning, match="of 200 items have no correlation with the score"):
        correlation = item_statistics(counts)["item_rest_correlation"]
    assert (correlation[planted == MIS_KEYED] < 0).all()
    assert (correlation[planted == ""] > 0).mean() > 0.95


def test_no_mis_keyed_items_are_planted_when_none_are_wanted():
    truth = simulate_benchmark(seed=9, n_mis_keyed=0).truth
    assert (truth["discrimination"] > 0).all()


def test_labels_are_of_one_length():
    labels = numbered_labels("item", 12)
    assert (labels[0], labels[-1]) == ("item-01", "item-12")
    assert labels == sorted(labels)


def test_larger_models_are_mostly_better():
    models = other_models(600, np.random.default_rng(0))
    billions = models["size"].str.removesuffix("B").astype(int)
    assert 0.6 < billions.corr(models["ability"], method="spearman") < 0.95
    assert billions.value_counts().tolist() == [100] * 6
