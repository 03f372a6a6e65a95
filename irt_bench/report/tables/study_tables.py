"""What a study prints: the plan, the paper's tables beside what they lack, verdicts, the negative control.

Tables of subset comparisons: errors, coverage, bias under a shift; for the console and as Markdown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from rich.console import Console

from irt_bench.names import BENCHMARK, RUN
from irt_bench.report.tables.terminal import print_table
from irt_bench.report.tables.text import POINTS
from irt_bench.study.collect import POOLED, is_null, is_plain, is_reference
from irt_bench.study.plan import StudyPlan, plan_table
from irt_bench.study.results import StudyResult
from irt_bench.study.verdicts import CUTS, NO_DIFFERENCE, RAISES
from irt_bench.subsets.estimators import ESTIMATORS

NULL_TITLE: Final = "The same random items weighed and scored otherwise, against their plain mean; medians"
MODEL_TITLE: Final = "Seed sds of the hierarchical model, to random items of the same number and to all items; medians"
PAPER: Final = ("full", "p_irt", "gp_irt", "random", "random_p_irt", "random_gp_irt")
TITLES: Final = {
    "full": "full", "p_irt": "p-IRT", "gp_irt": "gp-IRT", "random": "random", "random_p_irt": "random p-IRT",
    "random_gp_irt": "random gp-IRT",
}  # fmt: skip
AGAINST: Final = {"verdict": "random items scored alike", "verdict_full": "the full benchmark"}
WORDS: Final = {"verdict": "random", "verdict_signal": "per signal", "verdict_plain": "plain", "verdict_full": "full"}


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
    """Count verdicts of each method, weights and estimator, and give medians.

    "random": against random subsets scored alike; "per signal": the same, per unit of movement; "plain": against plain
    means of random subsets; "full": against the full benchmark. "found from": the ratio of a cut that would have been
    found with 80% power, the median.
    """
    methods = results[(results[RUN] == POOLED) & ~is_reference(results)]
    keys = ["method", "weights", "estimator"]
    rows = methods.groupby(keys, sort=False)
    table = pd.DataFrame({"compared": rows.size()})
    for column, word in WORDS.items():
        for name in (CUTS, RAISES, NO_DIFFERENCE):
            short = "none" if name == NO_DIFFERENCE else name
            table[f"{word}: {short}"] = (
                methods[column].eq(name).groupby([methods[key] for key in keys], sort=False).sum()
            )
        table[f"{word}: found from"] = rows[column.replace("verdict", "detectable")].median()
    for column, word in WORDS.items():
        table[f"ratio: {word}"] = rows[column.replace("verdict", "ratio")].median()
    for name, unit in (("bias", POINTS), ("movement", 1)):
        if name in methods:  # a design may leave statistics out
            table[name] = rows[name].median() * unit
    return table


def study_lines(counts: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Say what holds over the whole study, and what would have been found; `counts` as in its summary."""
    found = []
    for column, against in AGAINST.items():
        cut, raised, none = (int(counts[column][name]) for name in (CUTS, RAISES, NO_DIFFERENCE))
        if ways := cut + raised + none:
            could = counts[column]["detectable"]
            found.append(
                f"Over the whole study, against {against}: of {ways} ways {cut} cut and {raised} raise seed sd (Holm "
                f"over all); a way that cut it to {could:.2f} would have been found with 80% power (median of the ways)"
            )
    return found


def null_table(results: pd.DataFrame) -> pd.DataFrame:
    """Medians over benchmarks and sizes of what weights and estimator do to random items, against their plain mean."""
    rows = results[(results[RUN] == POOLED) & is_null(results) & ~is_plain(results) & results["ratio_plain"].notna()]
    grouped = rows.groupby(["weights", "estimator"], sort=False)
    table = pd.DataFrame({"compared": grouped.size()})
    for name in (CUTS, RAISES):
        own = rows["verdict_plain"].eq(name)
        table[f"plain: {name}"] = own.groupby([rows["weights"], rows["estimator"]], sort=False).sum()
    for column in ("ratio_plain", "movement", "ratio_plain_signal"):
        if column in rows:
            table[column.replace("_", " ")] = grouped[column].median()
    return table


def model_table(results: pd.DataFrame) -> pd.DataFrame:
    """Medians over benchmarks and sizes of what the hierarchical model makes of each choice of items."""
    rows = results[(results[RUN] == POOLED) & results["model_ratio"].notna()]
    rows = rows[~is_plain(rows)]
    columns = [f"model_{name}{end}" for name in ("ratio", "ratio_full") for end in ("", "_q05", "_q95")]
    table = rows.groupby(["method", "weights"], sort=False)[columns].median()
    return table.rename(columns=lambda name: name.replace("_", " "))


def print_study(found: StudyResult, console: Console, *, max_rows: int = 60) -> None:
    """Print what a study found."""
    title = "Seed sd in points, as the paper's Tables 3 and 4, with random subsets and V(k) beside"
    print_table(paper_form(found.paper), title=title, console=console, max_rows=max_rows)
    title = "Verdicts over benchmarks and sizes (90% intervals, Holm within benchmark and size); medians"
    print_table(verdict_counts(found.results), title=title, console=console, max_rows=max_rows)
    print_table(null_table(found.results), title=NULL_TITLE, console=console, max_rows=max_rows)
    if "model_ratio" in found.results:
        print_table(model_table(found.results), title=MODEL_TITLE, console=console, max_rows=max_rows)
    summary = found.to_dict()
    for line in study_lines(summary["study"]):
        console.print(line, highlight=False)
    for within, each in summary["control"].items():
        console.print(
            f"Negative control, answers shuffled within {within}: {each['cuts']} of {each['compared']} cut",
            highlight=False,
        )
    for note in found.notes:
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


def error_table(table: pd.DataFrame, size: int) -> pd.DataFrame:
    """Mean absolute errors in points at one size: a row a method with its weights, a column an estimator.

    The first three rows are mean, 5% and 95% quantile of random subsets.
    """
    part = table[table["size"] == size]
    titles = [ESTIMATORS[name].title for name in dict.fromkeys(part["estimator"])]
    rows = {}
    for label, column in (("mean", "random"), ("5%", "random_q05"), ("95%", "random_q95")):
        rows[f"random subsets: {label}"] = part.groupby("estimator", sort=False)[column].first().to_numpy() * POINTS
    for (method, weights), group in part.groupby(["method", "weights"], sort=False):
        rows[f"{method}, {weights}"] = group["mae"].to_numpy() * POINTS
    return pd.DataFrame.from_dict(rows, orient="index", columns=titles).rename_axis("method, weights")


def best_table(table: pd.DataFrame, size: int, n_rows: int = 10) -> pd.DataFrame:
    """List the recipes of least error at one size: error, bias and width in points, rank agreement, coverage.

    ``share of random`` is the share of random subsets with an error no larger.
    """
    part = table[table["size"] == size].nsmallest(n_rows, "mae")
    recipe = part["method"] + ", " + part["weights"] + ", " + part["estimator"]
    columns = {
        "error": part["mae"] * POINTS,
        "bias": part["bias"] * POINTS,
        "width": part["width"] * POINTS,
        "Kendall": part["kendall"],
        "coverage": part["coverage"],
        "share of random": part["percentile"],
    }
    return pd.DataFrame(columns).set_index(recipe.rename("method, weights, estimator"))


def coverage_table(coverage: pd.DataFrame) -> pd.DataFrame:
    """Coverage pooled over methods, a row a size and estimator; shares in percent, with their 90% interval."""
    rows = [f"{size} items, {title_of(name)}" for size, name in coverage.index]
    columns = {
        "covered": coverage["coverage"],
        "5%": coverage["coverage_q05"],
        "95%": coverage["coverage_q95"],
        "single shares in 86-94%": coverage["in_range"],
        "expected if all held": coverage["in_range_expected"],
    }
    return (100 * pd.DataFrame(columns)).set_index(pd.Index(rows, name="size, estimator"))


def shift_table(shifted: pd.DataFrame) -> pd.DataFrame:
    """Bias in points by estimator and size: median over methods, and the one furthest from 0."""
    furthest = shifted.loc[shifted["bias"].abs().groupby([shifted["size"], shifted["estimator"]]).idxmax()]
    median = shifted.pivot_table(index="estimator", columns="size", values="bias", aggfunc="median", sort=False)
    worst = furthest.pivot_table(index="estimator", columns="size", values="bias", sort=False).reindex(median.index)
    table = pd.DataFrame(
        {f"{size}: median": median[size] for size in median} | {f"{size}: worst": worst[size] for size in worst}
    )
    return (POINTS * table).rename(index=title_of)


def title_of(estimator: str) -> str:
    """Title of an estimator; what is none keeps its name."""
    return ESTIMATORS[estimator].title if estimator in ESTIMATORS else estimator


def markdown(frame: pd.DataFrame, decimals: int = 2) -> str:
    """Write a frame with its index as a Markdown table; undefined numbers are dashes."""
    head = [str(frame.index.name or ""), *map(str, frame.columns)]
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join(['---', *['--:'] * len(frame.columns)])}|"]
    for label, values in frame.iterrows():
        cells = [f"{value:.{decimals}f}" if np.isfinite(value) else "–" for value in values]
        lines.append(f"| {' | '.join([str(label), *cells])} |")
    return "\n".join(lines)
