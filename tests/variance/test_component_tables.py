import numpy as np
import pandas as pd
from simulated_seeds import SeedSimulation, simulate_seeds

from irt_bench import seed_variance, table_from_frame
from irt_bench.variance.components import EVERY_RUN, EVERY_STEP, component_tables, two_way
from irt_bench.variance.seed_variance import one_measure

PLAN = SeedSimulation(n_runs=3, n_seeds=4, n_steps=2, n_items=60, n_subtasks=3)


def test_there_are_tables_for_each_run_and_step_for_all_steps_and_for_all_runs():
    runs, notes = one_measure(simulate_seeds(PLAN, seed=1))
    components, coefficients = component_tables(runs, 0, notes)
    assert {"seed", "item", "seed:item", "seed:step", "seed:subtask"} <= set(components["component"])
    assert (components["step"] == EVERY_STEP).sum() == 3 * 7
    pooled = components[(components["run"] == EVERY_RUN) & (components["component"] == "seed")]
    single = components[(components["run"] != EVERY_RUN) & (components["component"] == "seed")]
    single = single[single["design"] == "seed x item"]
    expected = single.groupby("step")["estimate"].mean()  # as many seeds in every run
    np.testing.assert_allclose(pooled.set_index("step")["estimate"], expected)
    reliability = coefficients[coefficients["coefficient"] == "run_reliability"]
    assert len(reliability) == 2 and (reliability["q05"] < reliability["q95"]).all()


def test_the_coefficient_of_reliability_follows_from_the_components():
    runs, notes = one_measure(simulate_seeds(SeedSimulation(n_runs=1, n_steps=1, n_items=60, n_subtasks=1), seed=2))
    components, coefficients = component_tables(runs, 0, notes)
    part = components[components["run"] != EVERY_RUN].set_index("component")["estimate"]
    found = coefficients[coefficients["run"] != EVERY_RUN].set_index("coefficient")["estimate"]
    np.testing.assert_allclose(found["generalizability"], part["seed"] / (part["seed"] + part["seed:item"] / 60))
    error = (part["seed:item"] + part["item"]) / 60
    np.testing.assert_allclose(found["dependability"], part["seed"] / (part["seed"] + error))


def test_one_run_has_one_row_whose_intervals_the_curve_repeats():
    table = simulate_seeds(SeedSimulation(n_runs=1, n_steps=1, n_items=60, n_subtasks=1), seed=2)
    found = seed_variance(table, n_subsets=5, n_bootstrap=5).result
    assert not found.components.duplicated(["step", "design", "component"]).any()
    (run,), _ = one_measure(table)
    draws = two_way(run.values[:, 0]).draws(np.random.default_rng(0))
    whole = np.sqrt(np.quantile(np.maximum(draws[:, 0] + draws[:, 2] / 60, 0), [0.05, 0.95]))
    last = found.curve[found.curve["k"] == 60].iloc[0]
    np.testing.assert_allclose([last["predicted_sd_q05"], last["predicted_sd_q95"]], whole)
    seed = found.components.set_index("component").loc["seed"]
    np.testing.assert_allclose([seed["q05"], seed["q95"]], np.quantile(draws[:, 0], [0.05, 0.95]))


def test_equal_answers_have_components_without_limits():
    """Of answers that never differ nothing says how far others would."""
    rows = [(f"r-{s}", "r", s, i, i % 2) for s in (1, 2, 3) for i in range(20)]
    frame = pd.DataFrame(rows, columns=["model", "run", "seed", "item", "correct"])
    runs, notes = one_measure(table_from_frame(frame, benchmark="b"))
    components, coefficients = component_tables(runs, 0, notes)
    assert components["estimate"].notna().all() and components[["q05", "q95"]].isna().all(axis=None)
    assert coefficients[["q05", "q95"]].isna().all(axis=None)
    assert coefficients.set_index("coefficient")["estimate"].isna()["generalizability"]
