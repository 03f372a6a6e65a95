"""The terminal table of seed variance, in the layout of the paper's Table 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console

from irt_bench.report.tables import print_table
from irt_bench.report.tables.text import words
from irt_bench.variance.metrics import MACRO_AVERAGE
from irt_bench.variance.scores import ACCURACY
from irt_bench.variance.seed_effect import POOLED, SEEN
from irt_bench.variance.seed_variance import SeedVariance

if TYPE_CHECKING:  # torch takes a second that the other tables need not wait for
    from irt_bench.variance.seed_model import SeedModelResult

MODEL_LINES = {
    "seed_sd_ability": "seed, ability scale", "step_sd_ability": "step, ability scale", "seed_sd": "seed, points",
    "step_sd": "step, points", "score_sd": "score of a new seed", "these_score_sd": "score of these seeds",
    SEEN: "score of these seeds, seen",
}  # fmt: skip
MOST_BENCHMARKS = 2  # whose detectable differences are printed; the file has all
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
    whole = found.metrics[found.metrics["subtask"].isin(["", MACRO_AVERAGE])]
    print_table(paper_table(whole), title=title, console=console, max_rows=max_rows)
    if len(whole) < len(found.metrics):
        console.print(f"Subtasks: {len(found.metrics) - len(whole)} more rows, in metrics.csv", highlight=False)
    _print_detectable(found, console)
    if len(found.measures):
        columns = ["snr_a", "snr_ratio", "snr_verdict"]
        frame = found.measures.set_index(["benchmark", "a"])
        print_table(frame, title="Signal-to-noise ratio against accuracy's", console=console, columns=columns)
    for note in found.notes:
        console.print(f"Note: {note}", highlight=False, markup=False)


def _print_detectable(found: SeedVariance, console: Console) -> None:
    """Print what differences of two recipes show, of accuracy, for the first benchmarks."""
    rows = found.detectable[found.detectable["measure"] == ACCURACY]
    first = rows["benchmark"].unique()[:MOST_BENCHMARKS]
    frame = rows[rows["benchmark"].isin(first)].set_index(["benchmark", "n_seeds"])
    columns = ["detectable", "difference", "seeds_needed", "items_needed"]
    title = f"Smallest difference of two recipes that shows with power {rows['power'].iloc[0]:g}, and what one needs"
    print_table(frame, title=title, console=console, columns=columns, max_rows=len(frame))


def seed_model_table(table: pd.DataFrame) -> pd.DataFrame:
    """Pooled over runs: sds on the ability scale, and what they come to in percentage points, a line each.

    Parameters
    ----------
    table : pd.DataFrame
        From `irt_bench.variance.seed_model.model_seed_effects`.
    """
    rows = table[(table["run"] == POOLED) & table["quantity"].isin(MODEL_LINES)].copy()
    points = ~rows["quantity"].str.endswith("ability")
    for column in ("estimate", "q05", "q95"):
        rows[column] = rows[column].where(~points, 100 * rows[column])
    rows["sd"] = rows["quantity"].map(MODEL_LINES)
    return rows.set_index(["benchmark", "items", "sd"])[["estimate", "q05", "q95"]]


def print_seed_model(found: SeedModelResult, console: Console, *, max_rows: int = 30) -> None:
    """Print the seed model's table, whether inference converged, and the notes."""
    title = "Seed model: sds, pooled over runs (percentage points where not on the ability scale; 90% intervals)"
    print_table(seed_model_table(found.table), title=title, console=console, max_rows=max_rows)
    for benchmark, fit in found.fits.items():
        failed = [check["name"] for check in fit["checks"] if check["status"] == "failed"]
        state = "converged" if not failed else f"not converged: {', '.join(failed)}"
        text = (
            f"{benchmark}: {fit['method']}, {state}; answers vary {fit['answer_variance_ratio']:.2f} times as implied"
        )
        console.print(text, highlight=False, markup=False)
    for note in found.notes:
        console.print(f"Note: {note}", highlight=False, markup=False)


def print_row(row: Mapping[str, object], *, title: str, console: Console) -> None:
    """Print one comparison as a line a value, each interval beside what it belongs to."""
    intervals = {stem for name in row if (stem := name.removesuffix("_q05")) != name and stem in row}
    lines = []
    for name, value in row.items():
        if name.removesuffix("_q05").removesuffix("_q95") in intervals and name not in intervals:
            continue
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        if name in intervals:
            text += f" [{row[f'{name}_q05']:.4g}, {row[f'{name}_q95']:.4g}]"
        lines.append((words(name), text))
    frame = pd.DataFrame(lines, columns=["", "value"]).set_index("")
    print_table(frame, title=title, console=console, max_rows=len(frame))
