import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from irt_bench import ThreePL, TwoPL, simulate_responses, write_table
from irt_bench.errors import ModelError
from irt_bench.irt_models.logistic import IRT_MODELS
from irt_bench.irt_models.simulate import response_probability, simulate_benchmark

Z_LIMIT = 4.0  # one false alarm in 16,000 tests


@pytest.mark.parametrize("irt_model", [kind() for kind in IRT_MODELS.values()], ids=list(IRT_MODELS))
def test_shares_of_right_answers_match_the_formula(irt_model):
    n_samples = 4000
    simulation = simulate_responses(irt_model, n_models=6, n_items=8, seed=3, n_samples=n_samples)
    truth = {name: simulation.truth[name].to_numpy() for name in irt_model.dims}
    slope = truth["discrimination"] * (truth["ability"][:, None] - truth["difficulty"])
    lower, upper = truth.get("guessing", 0.0), truth.get("upper_asymptote", 1.0)
    expected = lower + (upper - lower) / (1 + np.exp(-slope))
    np.testing.assert_allclose(response_probability(simulation.irt_model, simulation.truth), expected, rtol=1e-12)
    z = (simulation.table.counts().proportions() - expected) / np.sqrt(expected * (1 - expected) / n_samples)
    assert np.abs(z).max() < Z_LIMIT
    assert np.abs(z.mean() * np.sqrt(z.size)) < Z_LIMIT
    assert stats.chi2.sf((z**2).sum(), z.size) > 1e-4


def test_wrong_parameters_do_not_match_the_answers():
    n_samples = 4000
    simulation = simulate_responses(TwoPL(), n_models=6, n_items=8, seed=3, n_samples=n_samples)
    expected = response_probability(
        simulation.irt_model, simulation.truth.assign(difficulty=simulation.truth["difficulty"] + 0.2)
    )
    z = (simulation.table.counts().proportions() - expected) / np.sqrt(expected * (1 - expected) / n_samples)
    assert np.abs(z).max() > Z_LIMIT


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


def test_simulation_needs_no_torch():
    code = "import sys, irt_bench.irt_models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
