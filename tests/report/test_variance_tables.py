import numpy as np

from irt_bench.report.variance_tables import paper_table
from irt_bench.variance.metrics import variance_metrics
from irt_bench.variance.benchmark_runs import one_measure
from irt_bench.variance.simulate import SeedSimulation, simulate_seeds


def test_the_table_has_the_papers_columns_in_percentage_points():
    runs, _ = one_measure(simulate_seeds(SeedSimulation(n_items=40, n_subtasks=1), seed=1))
    metrics = variance_metrics(runs, n_bootstrap=10)
    table = paper_table(metrics)
    assert {"size", "mu", "E", "95% CI", "mon", "SNR"} <= set(table)
    np.testing.assert_allclose(table["mu"], 100 * metrics["mean"])
