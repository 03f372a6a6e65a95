"""Tables of subset comparisons: errors, coverage, bias under a shift; for the console and as Markdown."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from irt_bench.subsets.estimators import ESTIMATORS

POINTS: Final = 100  # errors are shown in points, hundredths of the full score


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
