"""The terminal table of seed variance, in the layout of the paper's Table 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console
from rich.text import Text

from irt_bench.report.tables.terminal import print_table
from irt_bench.report.tables.text import words
from irt_bench.responses.table import LOGLIKELIHOOD
from irt_bench.variance.benchmark_runs import GOLD_PROBABILITY
from irt_bench.variance.metrics import MACRO_AVERAGE
from irt_bench.variance.scores import ACCURACY
from irt_bench.variance.seed_effect import POOLED, SEEN
from irt_bench.variance.seed_variance import SeedVarianceResult

if TYPE_CHECKING:
    from irt_bench.variance.seed_model import SeedModelResult


MODEL_LINES = {
    "seed_sd_ability": "seed, ability scale", "step_sd_ability": "step, ability scale", "seed_sd": "seed, points",
    "step_sd": "step, points", "score_sd": "score of a new seed", "these_score_sd": "score of these seeds",
    SEEN: "score of these seeds, seen",
}  # fmt: skip
CONTINUOUS = (GOLD_PROBABILITY, LOGLIKELIHOOD)  # the first that is there stands beside accuracy, as in the paper
POOLED_TITLE = "Seed variance of all runs, percentage points (root mean square sd over seeds)"


def paper_table(metrics: pd.DataFrame) -> pd.DataFrame:
    """One row a benchmark (or subtask) and run, in percentage points: size, mu, E, 95% CI, monotonicity, SNR.

    Monotonicity and SNR of a continuous measure stand beside those of accuracy where logs hold one.

    Parameters
    ----------
    metrics : pd.DataFrame
        From `irt_bench.variance.metrics.variance_metrics`.
    """
    table = _in_points(metrics, "E", ["run"])
    return table.assign(seeds=_of(metrics, "n_seeds", table), steps=_of(metrics, "n_steps", table))


def pooled_table(pooled: pd.DataFrame) -> pd.DataFrame:
    """One row a benchmark, its runs pooled; columns as in `paper_table`, ``seed sd`` in place of E.

    Parameters
    ----------
    pooled : pd.DataFrame
        From `irt_bench.variance.metrics.pooled_metrics`.
    """
    table = _in_points(pooled, "seed sd", [])
    table.insert(0, "runs", _of(pooled, "n_runs", table))
    return table


def _in_points(metrics: pd.DataFrame, sd: str, keys: list[str]) -> pd.DataFrame:
    """Columns of the paper's table, indexed by benchmark and `keys`; size first."""
    wanted = {"mean": "mu", "seed_sd": sd, "seed_sd_q05": f"{sd}_q05", "seed_sd_q95": f"{sd}_q95"}
    rows = _indexed(metrics[metrics["measure"] == ACCURACY], keys)
    points = [*wanted, "ci95_analytic"]
    table = 100 * rows[points].rename(columns=wanted | {"ci95_analytic": "95% CI"})
    table.insert(0, "size", rows["n_items"])
    names = {"monotonicity": "mon", "snr": "SNR"}
    table = table.join(rows[list(names)].round(10).rename(columns=names))
    for measure in CONTINUOUS:
        other = metrics[metrics["measure"] == measure]
        if len(other):
            beside = _indexed(other, keys)[list(names)].rename(columns={k: f"{v} cont" for k, v in names.items()})
            table = table.join(beside)
            break
    return table


def _indexed(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    labels = rows["benchmark"].where(rows["subtask"] == "", rows["benchmark"] + "/" + rows["subtask"])
    return rows.assign(benchmark=labels).set_index(["benchmark", *keys])


def _of(metrics: pd.DataFrame, name: str, table: pd.DataFrame) -> list[int]:
    rows = _indexed(metrics[metrics["measure"] == ACCURACY], [str(key) for key in table.index.names[1:]])
    return list(rows[name])


def print_seed_variance(found: SeedVarianceResult, console: Console, *, max_rows: int = 60) -> None:
    """Print the paper's table, pooled over runs and by run, what could be detected, and the notes."""
    whole, pooled = (each[each["subtask"].isin(["", MACRO_AVERAGE])] for each in (found.metrics, found.pooled))
    if (pooled["n_runs"] > 1).any():
        print_table(pooled_table(pooled), title=POOLED_TITLE, console=console, max_rows=max_rows)
    table, same = _without_constants(paper_table(whole))
    title = "Seed variance of each run, percentage points (E: sd over seeds, mean over steps)"
    print_table(table, title=f"{title}\n{same}" if same else title, console=console, max_rows=max_rows)
    if len(whole) < len(found.metrics):
        console.print(f"Subtasks: {len(found.metrics) - len(whole)} more rows, in metrics.csv", highlight=False)
    _print_detectable(found, console, max_rows)
    if len(found.measures):
        columns = ["snr_a", "snr_ratio", "snr_verdict"]
        frame = found.measures.set_index(["benchmark", "a"])
        print_table(frame, title="Signal-to-noise ratio against accuracy's", console=console, columns=columns)
    for note in found.notes:
        console.print(f"Note: {note}", highlight=False, markup=False)


def _without_constants(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Take columns out that say nothing: those without a value, and what is the same in all rows, told in words."""
    empty = {str(column) for column in table if table[column].isna().all()}
    limits = {f"{column}{end}" for column in table for end in ("_q05", "_q95")}
    table = table.drop(columns=sorted(empty - limits))  # of an interval without an upper limit both ends are kept
    said = []
    if table.index.get_level_values(0).nunique() == 1 and len(table) > 1:
        said.append(str(table.index[0][0]))
        table = table.droplevel(0)
    for column in ("seeds", "steps"):
        if column in table and table[column].nunique() == 1:
            n = int(table[column].iloc[0])
            said.append(f"{n} {column if n > 1 else column[:-1]}")
            table = table.drop(columns=column)
    return table, ", ".join(said)


def _print_detectable(found: SeedVarianceResult, console: Console, max_rows: int) -> None:
    """Print what differences of two recipes show: of one benchmark in full, else at the number of seeds there is."""
    rows = found.detectable[found.detectable["measure"] == ACCURACY]
    title = f"Smallest difference of two recipes that shows with power {rows['power'].iloc[0]:g}, and what one needs"
    if rows["benchmark"].nunique() > 1:
        there = int(found.metrics["n_seeds"].max())
        n_seeds = max(each for each in rows["n_seeds"].unique() if each <= there)
        rows, title = rows[rows["n_seeds"] == n_seeds], f"{title}; {n_seeds} seeds each, more in detectable.csv"
    frame = rows.set_index(["benchmark", "n_seeds"] if rows["benchmark"].nunique() == 1 else "benchmark")
    columns = ["detectable", "difference", "seeds_needed", "items_needed"]
    print_table(frame, title=title, console=console, columns=columns, max_rows=max_rows)
    if (rows["items_needed"].isna() & rows["detectable"].notna()).any():
        console.print(Text("items needed –: no number of items shows it, the seeds alone vary too much", style="dim"))
    said = "t test with the seed variance of these runs and of the seeds compared, pooled"
    console.print(Text(said, style="dim"))
    console.print()


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
        failed = [f"{check['name']}: {check['message']}" for check in fit["checks"] if check["status"] == "failed"]
        state = "" if fit["converged"] else ", not converged"
        text = f"{benchmark}: {fit['method']}{state}; " + ("; ".join(failed) if failed else "all checks passed")
        console.print(text, highlight=False, markup=False)
    for note in found.notes:
        console.print(f"Note: {note}", highlight=False, markup=False)


def print_row(row: Mapping[str, object], *, title: str, console: Console) -> None:
    """Print one comparison as a line a value, each interval beside what it belongs to, and its ``note`` below."""
    intervals = {stem for name in row if (stem := name.removesuffix("_q05")) != name and stem in row}
    lines = []
    for name, value in row.items():
        if name == "note" or (name.removesuffix("_q05").removesuffix("_q95") in intervals and name not in intervals):
            continue
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        if name in intervals:
            text += f" [{row[f'{name}_q05']:.4g}, {row[f'{name}_q95']:.4g}]"
        lines.append((words(name), text))
    frame = pd.DataFrame(lines, columns=["", "value"]).set_index("")
    print_table(frame, title=title, console=console, max_rows=len(frame))
    if "note" in row:
        console.print(f"Note: {row['note']}", highlight=False, markup=False)
