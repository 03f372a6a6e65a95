import io

import numpy as np
import pandas as pd
from rich.console import Console

from irt_bench.report.variance_tables import paper_table, print_row, seed_model_table
from irt_bench.variance.benchmark_runs import one_measure
from irt_bench.variance.metrics import variance_metrics
from irt_bench.variance.simulate import SeedSimulation, simulate_seeds


def test_the_table_has_the_papers_columns_in_percentage_points():
    runs, _ = one_measure(simulate_seeds(SeedSimulation(n_items=40, n_subtasks=1), seed=1))
    metrics = variance_metrics(runs, n_bootstrap=10)
    table = paper_table(metrics)
    assert {"size", "mu", "E", "95% CI", "mon", "SNR"} <= set(table)
    np.testing.assert_allclose(table["mu"], 100 * metrics["mean"])


def test_one_comparison_is_a_line_a_value_with_its_interval_beside_it():
    console = Console(width=60, file=io.StringIO())
    print_row({"a": "x", "ratio": 0.5, "ratio_q05": 0.4, "ratio_q95": 0.625}, title="t", console=console)
    shown = console.file.getvalue()
    assert "0.5 [0.4, 0.625]" in shown and "q05" not in shown


def test_the_seed_models_table_puts_the_score_sd_beside_the_one_seen():
    quantities = ["seed_sd_ability", "seed_sd", "score_sd", "score_sd_seen"]
    rows = [("b", "all", "pooled", name, 0.02, 0.01, 0.03) for name in quantities]
    frame = pd.DataFrame(rows, columns=["benchmark", "items", "run", "quantity", "estimate", "q05", "q95"])
    found = seed_model_table(frame).loc[("b", "all")]["estimate"]
    assert found["seed, ability scale"] == 0.02
    assert found["score of a new seed"] == found["score of these seeds, seen"] == 2.0
