import numpy as np

from irt_bench.variance.benchmark_runs import one_measure
from irt_bench.variance.component_tables import EVERY_RUN, EVERY_STEP, component_tables
from irt_bench.variance.simulate import SeedSimulation, simulate_seeds

PLAN = SeedSimulation(n_runs=3, n_seeds=4, n_steps=2, n_items=60, n_subtasks=3)


def test_there_are_tables_for_each_run_and_step_for_all_steps_and_for_all_runs():
    runs, notes = one_measure(simulate_seeds(PLAN, seed=1))
    components, coefficients = component_tables(runs, np.random.default_rng(0), notes)
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
    components, coefficients = component_tables(runs, np.random.default_rng(0), notes)
    part = components[components["run"] != EVERY_RUN].set_index("component")["estimate"]
    found = coefficients[coefficients["run"] != EVERY_RUN].set_index("coefficient")["estimate"]
    np.testing.assert_allclose(found["generalizability"], part["seed"] / (part["seed"] + part["seed:item"] / 60))
    error = (part["seed:item"] + part["item"]) / 60
    np.testing.assert_allclose(found["dependability"], part["seed"] / (part["seed"] + error))
