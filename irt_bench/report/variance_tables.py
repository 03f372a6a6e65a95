"""The terminal table of seed variance, in the layout of the paper's Table 1."""

from __future__ import annotations

import pandas as pd
from rich.console import Console

from irt_bench.report.tables import print_table
from irt_bench.variance.scores import ACCURACY
from irt_bench.variance.seed_variance import SeedVariance

PERCENT = {"mean": "mu", "seed_sd": "E", "seed_sd_q05": "E_q05", "seed_sd_q95": "E_q95", "ci95_analytic": "95% CI"}


def paper_table(metrics: pd.DataFrame) -> pd.DataFrame:
    """One row a benchmark (or subtask) and run, in percentage points: size, mu, E, 95% CI, monotonicity, SNR.

    Parameters
    ----------
    metrics : pd.DataFrame
        From `irt_bench.variance.metrics.variance_metrics`.
    """
    rows = metrics[metrics["measure"] == ACCURACY]
    table = rows[list(PERCENT)].rename(columns=PERCENT) * 100
    table.insert(0, "size", rows["n_items"])
    table["mon"], table["SNR"] = rows["monotonicity"], rows["snr"]
    table["seeds"], table["steps"] = rows["n_seeds"], rows["n_steps"]
    labels = rows["benchmark"].where(rows["subtask"] == "", rows["benchmark"] + "/" + rows["subtask"])
    table.index = pd.MultiIndex.from_arrays([labels, rows["run"]], names=["benchmark", "run"])
    return table


def print_seed_variance(found: SeedVariance, console: Console, *, max_rows: int = 60) -> None:
    """Print the paper's table, the comparison of measures, and the notes."""
    title = "Seed variance (percentage points; E: sd over seeds, mean over steps, 90% interval)"
    print_table(paper_table(found.metrics), title=title, console=console, max_rows=max_rows)
    if len(found.measures):
        columns = ["snr_a", "snr_ratio", "snr_verdict"]
        frame = found.measures.set_index(["benchmark", "a"])
        print_table(frame, title="Signal-to-noise ratio against accuracy's", console=console, columns=columns)
    for note in found.notes:
        console.print(f"Note: {note}", highlight=False, markup=False)
