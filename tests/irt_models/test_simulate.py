import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from irt_bench.analysis.classical import item_statistics
from irt_bench.errors import ModelError, UndefinedWarning
from irt_bench.irt_models.logistic import IRT_MODELS, FourPL, OnePL, ThreePL, TwoPL
from irt_bench.irt_models.simulate import (
    ALWAYS_SOLVED,
    MIS_KEYED,
    NEVER_SOLVED,
    response_probability,
    simulate_benchmark,
    simulate_responses,
)
from irt_bench.responses.write import write_table

Z_LIMIT = 4.0  # one false alarm in 16,000 tests


def seed_variance(simulation):
    """Variance over seeds of the mean ability over steps, pooled over runs, and its degrees of freedom."""
    models = simulation.table.models.assign(ability=simulation.truth["ability"].to_series())
    means = models.dropna(subset="run").groupby(["run", "seed"])["ability"].mean()
    variances = means.groupby("run").var(ddof=1)
    return variances.mean(), len(means) - len(variances)


@pytest.mark.parametrize("irt_model", [kind() for kind in IRT_MODELS.values()], ids=list(IRT_MODELS))
def test_shares_of_right_answers_match_the_formula(irt_model):
    n_samples = 4000
    simulation = simulate_responses(irt_model, n_models=6, n_items=8, seed=3, n_samples=n_samples)
    truth = {name: simulation.truth[name].to_numpy() for name in irt_model.dims}
    slope = truth["discrimination"] * (truth["ability"][:, None] - truth["difficulty"])
    lower, upper = truth.get("guessing", 0.0), truth.get("upper_asymptote", 1.0)
    expected = lower + (upper - lower) / (1 + np.exp(-slope))
    np.testing.assert_allclose(response_probability(simulation.truth), expected, rtol=1e-12)
    z = (simulation.table.counts().proportions() - expected) / np.sqrt(expected * (1 - expected) / n_samples)
    assert np.abs(z).max() < Z_LIMIT
    assert np.abs(z.mean() * np.sqrt(z.size)) < Z_LIMIT
    assert stats.chi2.sf((z**2).sum(), z.size) > 1e-4


def test_wrong_parameters_do_not_match_the_answers():
    n_samples = 4000
    simulation = simulate_responses(TwoPL(), n_models=6, n_items=8, seed=3, n_samples=n_samples)
    expected = response_probability(simulation.truth.assign(difficulty=simulation.truth["difficulty"] + 0.2)).to_numpy()
    z = (simulation.table.counts().proportions() - expected) / np.sqrt(expected * (1 - expected) / n_samples)
    assert np.abs(z).max() > Z_LIMIT


def test_parameters_have_the_spread_asked_for():
    n = 20_000
    truth = simulate_responses(TwoPL(), n_models=1, n_items=n, seed=5).truth
    for values, mean, sd in ((truth["difficulty"], 0.0, 1.2), (np.log(truth["discrimination"]), 0.0, 0.4)):
        assert abs(float(values.mean()) - mean) < Z_LIMIT * sd / np.sqrt(n)
        assert abs(float(values.std()) - sd) < Z_LIMIT * sd / np.sqrt(2 * n)


def test_hyperparameters_are_drawn_from_their_priors_when_none_are_given():
    fixed = simulate_responses(TwoPL(), n_models=1, n_items=1, seed=0).truth
    assert (float(fixed["difficulty_sd"]), float(fixed["log_discrimination_mean"])) == (1.2, 0.0)
    sds = [
        float(simulate_responses(TwoPL(), n_models=1, n_items=1, seed=seed, hyperparameters={}).truth["difficulty_sd"])
        for seed in range(60)
    ]
    assert stats.kstest(sds, stats.halfnorm(scale=TwoPL().difficulty.sd.scale).cdf).pvalue > 1e-3


def test_items_of_the_1pl_share_one_discrimination():
    truth = simulate_responses(OnePL(), n_models=2, n_items=5, seed=1).truth
    assert truth["discrimination"].to_numpy().tolist() == [1.0] * 5


def test_given_parameters_are_used_and_leave_the_other_draws_alone():
    drawn = simulate_responses(FourPL(), n_models=3, n_items=4, seed=2).truth
    given = {"ability": [-1.0, 0.0, 1.0], "discrimination": 1.5, "guessing": 0.25}
    truth = simulate_responses(FourPL(), n_models=3, n_items=4, seed=2, parameters=given).truth
    assert truth["ability"].to_numpy().tolist() == [-1.0, 0.0, 1.0]
    assert truth["discrimination"].to_numpy().tolist() == [1.5] * 4
    assert (truth["upper_asymptote"] > 0.25).all()
    np.testing.assert_array_equal(truth["difficulty"], drawn["difficulty"])
    assert "log_discrimination_mean" not in truth
    assert "difficulty_mean" in truth


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"dificulty": 0.0}, "Did you mean 'difficulty'"),
        ({"guessing": 0.2}, "parameter of the 2pl model 'guessing' is not known"),
        ({"difficulty": [0.0, 1.0]}, "one for each item"),
        ({"ability": np.nan}, "not finite"),
    ],
)
def test_unusable_parameters_are_refused(parameters, message):
    with pytest.raises(ModelError, match=message):
        simulate_responses(TwoPL(), n_models=3, n_items=4, seed=0, parameters=parameters)


def test_unusable_settings_are_refused():
    with pytest.raises(ModelError, match="n_items is 0; at least 1"):
        simulate_responses(TwoPL(), n_models=3, n_items=0, seed=0)
    with pytest.raises(ModelError, match="missing is 1.0"):
        simulate_responses(TwoPL(), n_models=3, n_items=2, seed=0, missing=1.0)
    with pytest.raises(ModelError, match="hyperparameter 'difficulty_variance' is not known"):
        simulate_responses(TwoPL(), n_models=3, n_items=2, seed=0, hyperparameters={"difficulty_variance": 1.0})
    with pytest.raises(ModelError, match="asymptotes"):
        simulate_responses(ThreePL(), n_models=3, n_items=2, seed=0, parameters={"guessing": 1.5})
    with pytest.raises(ModelError, match="seed_sd is -1"):
        simulate_benchmark(seed=0, seed_sd=-1)
    with pytest.raises(ModelError, match="n_items is 5; at least 6"):
        simulate_benchmark(seed=0, n_items=5)


@pytest.mark.parametrize("n_samples", [1, 4])
def test_the_missing_share_is_the_one_asked_for(n_samples):
    complete = simulate_responses(TwoPL(), n_models=80, n_items=100, seed=4, n_samples=n_samples).table.counts()
    counts = simulate_responses(
        TwoPL(), n_models=80, n_items=100, seed=4, n_samples=n_samples, missing=0.3
    ).table.counts()
    share = 1 - counts.asked.mean()
    assert complete.asked.all()
    assert abs(share - 0.3) < Z_LIMIT * np.sqrt(0.3 * 0.7 / 8000)
    np.testing.assert_array_equal(counts.correct[counts.asked], complete.correct[counts.asked])


def test_models_and_items_without_answers_stay_in_the_table():
    simulation = simulate_responses(TwoPL(), n_models=12, n_items=3, seed=1, missing=0.95)
    counts = simulation.table.counts()
    assert (counts.n_models, counts.n_items) == (12, 3)
    assert not counts.asked.any(axis=1).all()


def test_cells_count_k_of_n():
    table = simulate_responses(TwoPL(), n_models=5, n_items=7, seed=1, n_samples=8).table
    assert {"n_correct", "n_samples"} <= set(table.answers)
    counts = table.counts()
    assert (counts.trials == 8).all()
    assert 0 < counts.correct.max() <= 8


def test_truth_is_in_the_order_of_the_counts():
    simulation = simulate_benchmark(seed=0, n_runs=2, n_seeds=11, n_steps=2, n_items=12, n_other_models=11)
    counts = simulation.table.counts()
    assert list(simulation.truth["model"].to_numpy()) == list(counts.models.index)
    assert list(simulation.truth["item"].to_numpy()) == list(counts.items.index)


@pytest.mark.parametrize(
    "simulate", [simulate_benchmark, lambda seed: simulate_responses(TwoPL(), n_models=9, n_items=9, seed=seed)]
)
def test_the_seed_decides_every_byte(simulate, tmp_path):
    files = []
    for number, seed in enumerate((7, 7, 8)):
        simulation = simulate(seed=seed)
        write_table(simulation.table, tmp_path / f"{number}.parquet")
        files.append(((tmp_path / f"{number}.parquet").read_bytes(), simulation.truth))
    assert files[0][0] == files[1][0]
    assert files[0][1].identical(files[1][1])
    assert files[0][0] != files[2][0]
    assert not files[0][1].equals(files[2][1])


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


def test_the_benchmark_carries_its_metadata():
    simulation = simulate_benchmark(seed=1, n_runs=2, n_seeds=3, n_steps=4, n_items=30, n_other_models=7, subtasks=3)
    models, items = simulation.table.models, simulation.table.items
    assert len(models) == 2 * 3 * 4 + 7
    assert models["run"].nunique() == 2
    assert sorted(models["seed"].dropna().unique()) == [1, 2, 3]
    assert sorted(models["step"].dropna().unique()) == [1000, 2000, 3000, 4000]
    assert models["size"].notna().all()
    assert items["subtask"].value_counts().to_dict() == {"subtask-1": 10, "subtask-2": 10, "subtask-3": 10}
    assert simulation.table.findings == ()
    assert (float(simulation.truth["seed_sd"]), float(simulation.truth["step_sd"])) == (0.15, 0.05)


@pytest.mark.parametrize("irt_model", [TwoPL(), ThreePL(), FourPL()], ids=lambda model: model.name)
def test_planted_items_behave_as_planted(irt_model):
    simulation = simulate_benchmark(seed=9, n_mis_keyed=6, irt_model=irt_model)
    counts, planted = simulation.table.counts(), simulation.truth["planted"].to_series()
    assert planted.value_counts().to_dict() == {"": 192, MIS_KEYED: 6, NEVER_SOLVED: 1, ALWAYS_SOLVED: 1}
    assert (simulation.truth["discrimination"].to_series()[planted == MIS_KEYED] < 0).all()
    share = counts.proportions().mean(axis=0)
    assert share[(planted == NEVER_SOLVED).to_numpy()] == 0
    assert share[(planted == ALWAYS_SOLVED).to_numpy()] == 1
    with pytest.warns(UndefinedWarning, match="of 200 items have no discrimination"):
        correlation = item_statistics(counts)["item_rest_correlation"]
    assert (correlation[planted == MIS_KEYED] < 0).all()
    assert (correlation[planted == ""] > 0).mean() > 0.95


def test_no_mis_keyed_items_are_planted_when_none_are_wanted():
    truth = simulate_benchmark(seed=9, n_mis_keyed=0).truth
    assert (truth["discrimination"] > 0).all()


def test_simulation_needs_no_torch():
    code = "import sys, irt_bench.irt_models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
