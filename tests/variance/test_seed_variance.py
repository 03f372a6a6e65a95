import numpy as np
from simulated_seeds import SeedSimulation, simulate_seeds

from irt_bench import seed_variance

PLAN = SeedSimulation(n_runs=2, n_seeds=4, n_steps=3, n_items=60, n_subtasks=3)


def test_the_whole_analysis_has_a_row_for_every_run_subtask_and_macro_average():
    found = seed_variance(simulate_seeds(PLAN, seed=1), n_subsets=20, n_bootstrap=20).result
    assert len(found.metrics) == 2 * 5
    assert set(found.metrics["subtask"]) == {"", "subtask-01", "subtask-02", "subtask-03", "macro-average"}
    assert {"seed", "item", "seed:item", "seed:step", "seed:subtask"} <= set(found.components["component"])
    last = found.curve[found.curve["k"] == 60]
    np.testing.assert_allclose(last["predicted_sd"], last["simulated_sd"])


def test_missing_cells_and_repeated_answers_are_taken_and_said():
    plan = SeedSimulation(**(vars(PLAN) | {"missing": 0.1, "n_trials": 3}))
    found = seed_variance(simulate_seeds(plan, seed=1), n_subsets=20, n_bootstrap=20).result
    assert "trial" in set(found.components["component"])
    assert any("missing" in note for note in found.notes) and found.curve["simulated_sd"].isna().all()
