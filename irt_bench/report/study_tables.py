"""What a study prints: the plan, the paper's tables beside what they lack, verdicts, the negative control."""

from __future__ import annotations

from typing import Final

import pandas as pd
from rich.console import Console

from irt_bench.names import BENCHMARK, RUN
from irt_bench.report.tables import print_table
from irt_bench.variance.study.plan import StudyPlan, plan_table
from irt_bench.variance.study.references import POOLED, is_reference
from irt_bench.variance.study.results import StudyResult
from irt_bench.variance.study.verdicts import CUTS, NO_DIFFERENCE, RAISES

POINTS: Final = 100
PAPER: Final = ("full", "p_irt", "gp_irt", "random")
TITLES: Final = {"full": "full", "p_irt": "p-IRT", "gp_irt": "gp-IRT", "random": "random"}


def paper_form(paper: pd.DataFrame, size: int | None = None) -> pd.DataFrame:
    """Arrange as the paper's Tables 3 and 4, in points: E and monotonicity, full, p-IRT and gp-IRT, and random beside.

    Parameters
    ----------
    paper : pd.DataFrame
        `StudyResult.paper`.
    size : int, optional
        Items of the subsets; by default the largest of each benchmark.
    """
    wanted = paper.groupby(BENCHMARK)["size"].transform("max") if size is None else size
    rows = paper[paper["size"] == wanted].set_index([BENCHMARK, "size"])
    table = pd.DataFrame(index=rows.index)
    for name in PAPER:
        table[f"E {TITLES[name]}"] = rows[f"e_{name}"] * POINTS
    table["root V(k)"] = rows["v_k_sd"] * POINTS
    table["rms full"] = rows["seed_sd_full"] * POINTS
    table["rms random"] = rows["seed_sd_random"] * POINTS
    for name in PAPER:
        table[f"mon {TITLES[name]}"] = rows[f"monotonicity_{name}"]
    return table


def verdict_counts(results: pd.DataFrame) -> pd.DataFrame:
    """Count verdicts against random subsets, and against the full benchmark, of each method, weights and estimator."""
    methods = results[(results[RUN] == POOLED) & ~is_reference(results)]
    keys = ["method", "weights", "estimator"]
    rows = methods.groupby(keys, sort=False)
    table = pd.DataFrame({"compared": rows.size()})
    for column, word in (("verdict", "random"), ("verdict_full", "full")):
        for name in (CUTS, RAISES, NO_DIFFERENCE):
            short = "none" if name == NO_DIFFERENCE else name
            table[f"{word}: {short}"] = (
                methods[column].eq(name).groupby([methods[key] for key in keys], sort=False).sum()
            )
    table["ratio to random"] = rows["ratio"].median()
    table["bias"] = rows["bias"].median() * POINTS
    table["movement"] = rows["movement"].median()
    return table


def print_study(found: StudyResult, console: Console, *, max_rows: int = 60) -> None:
    """Print what a study found."""
    title = "Seed sd in points, as the paper's Tables 3 and 4, with random subsets and V(k) beside"
    print_table(paper_form(found.paper), title=title, console=console, max_rows=max_rows)
    title = "Verdicts over benchmarks and sizes (90% intervals, Holm within benchmark and size); medians"
    print_table(verdict_counts(found.results), title=title, console=console, max_rows=max_rows)
    for within, each in found.summary()["control"].items():
        console.print(
            f"Negative control, answers shuffled within {within}: {each['cuts']} of {each['compared']} cut",
            highlight=False,
        )
    for note in found.plan.notes:
        console.print(f"Note: {note}", highlight=False, markup=False)


def print_plan(plan: StudyPlan, expected: pd.DataFrame, console: Console, *, jobs: int) -> None:
    """Print the plan, its cost, and what can be detected."""
    print_table(plan_table(plan), title=f"Plan ({plan.splits.how})", console=console, max_rows=60)
    cost = plan.cost()
    console.print(
        f"{cost['cells']:,.0f} cells, {cost['fits']:,.0f} fits, about {cost['core_seconds'] / 60:,.0f} core-minutes; "
        f"at most {cost['worker_mb']:,.0f} MB of data a worker beside the libraries; {jobs} workers",
        highlight=False,
    )
    title = "What these seeds can show at 80% power: ratios of seed sds"
    print_table(expected.set_index([BENCHMARK, "size"]), title=title, console=console, max_rows=60)
    for note in plan.notes:
        console.print(f"Note: {note}", highlight=False, markup=False)
