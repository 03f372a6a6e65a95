import io

import numpy as np
import pandas as pd
from rich.console import Console
from simulated_seeds import SeedSimulation, simulate_seeds

from irt_bench import seed_variance
from irt_bench.report.tables.score_tables import (
    paper_table,
    pooled_table,
    print_row,
    print_seed_variance,
    seed_model_table,
)
from irt_bench.variance.metrics import pooled_metrics, variance_metrics
from irt_bench.variance.seed_variance import one_measure


def test_the_table_has_the_papers_columns_in_percentage_points():
    runs, _ = one_measure(simulate_seeds(SeedSimulation(n_items=40, n_subtasks=1), seed=1))
    metrics = variance_metrics(runs, n_bootstrap=10)
    table = paper_table(metrics)
    assert {"items", "mean", "E", "95% half-width", "monotonicity", "SNR"} <= set(table)
    np.testing.assert_allclose(table["mean"], 100 * metrics["mean"])


def test_a_continuous_measure_stands_beside_accuracy_and_runs_are_pooled():
    runs, _ = one_measure(simulate_seeds(SeedSimulation(n_items=40, n_subtasks=1), seed=1))
    metrics = variance_metrics(runs, n_bootstrap=10)
    both = pd.concat([metrics, metrics.assign(measure="gold_probability", snr=7.0)], ignore_index=True)
    assert (paper_table(both)["SNR, gold_probability"] == 7).all() and "SNR" in paper_table(metrics)
    pooled = pooled_table(pooled_metrics(metrics, runs))
    assert pooled["runs"].item() == 2 and pooled["items"].item() == 40
    np.testing.assert_allclose(pooled["seed sd"], 100 * np.sqrt((metrics["seed_sd"] ** 2).mean()))


def test_what_is_the_same_in_all_rows_is_reported_once_and_missing_values_are_explained():
    plan = SeedSimulation(n_runs=3, n_seeds=3, n_steps=1, n_items=200, n_subtasks=1, seed_sd=1.0)
    console = Console(width=80, file=io.StringIO())
    print_seed_variance(seed_variance(simulate_seeds(plan, seed=1), n_subsets=5, n_bootstrap=5).result, console)
    shown = console.file.getvalue()
    assert "planted, 3 seeds, 1 step" in shown and "not shown at this width" not in shown
    assert "items needed –" in shown and "pooled" in shown


def test_one_comparison_is_a_line_a_value_with_its_interval_beside_it():
    console = Console(width=60, file=io.StringIO())
    print_row({"a": "x", "ratio": 0.5, "ratio_q05": 0.4, "ratio_q95": 0.625}, title="t", console=console)
    shown = console.file.getvalue()
    assert "0.5 [0.4, 0.625]" in shown and "q05" not in shown


def test_the_seed_models_table_puts_the_score_sd_beside_the_one_observed():
    quantities = ["seed_sd_ability", "seed_sd", "score_sd", "score_sd_seen"]
    rows = [("b", "all", "pooled", name, 0.02, 0.01, 0.03) for name in quantities]
    frame = pd.DataFrame(rows, columns=["benchmark", "items", "run", "quantity", "estimate", "q05", "q95"])
    found = seed_model_table(frame).loc[("b", "all")]["estimate"]
    assert found["seed, ability scale"] == 0.02
    assert found["score of a new seed"] == found["score of these seeds, observed"] == 2.0
