"""Figures of subset comparisons: errors of every method beside random subsets of the same size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from irt_bench.report.canvas import BLUE, GREY, PALE, SMALL_SIZE, VERMILION, new_figure, styled
from irt_bench.report.subset_tables import POINTS
from irt_bench.subsets.defaults import default_weights
from irt_bench.subsets.estimators import ESTIMATORS

SHOWN: Final = ("weighted", "p_irt", "p_irt_ridge", "gp_irt_source")  # estimators with a row of panels each
ROW_HEIGHT: Final = 0.19  # inches a method


@styled
def subset_comparison_figure(table: pd.DataFrame, *, estimators: Sequence[str] = SHOWN) -> Figure:
    """Draw the error of each method, with its own weights, beside the range of random subsets.

    Parameters
    ----------
    table : pd.DataFrame
        From `irt_bench.subsets.compare.compare`.
    estimators : sequence of str
        A row of panels each; those not in the table are left out. Columns are sizes.
    """
    own = table[table["weights"] == table["method"].map(default_weights)]
    sizes = sorted(own["size"].unique())
    rows = [name for name in estimators if (own["estimator"] == name).any()]
    methods = list(dict.fromkeys(own["method"]))[::-1]
    figure = new_figure(1.0 + len(rows) * (0.5 + ROW_HEIGHT * len(methods)), _title(table))
    grid = figure.subplots(len(rows), len(sizes), sharex="col", sharey=True, squeeze=False)
    for axes_row, name in zip(grid, rows, strict=True):
        for axes, size in zip(axes_row, sizes, strict=True):
            _panel(axes, own[(own["size"] == size) & (own["estimator"] == name)].set_index("method"), methods)
            axes.set_title(f"{ESTIMATORS[name].title}, {size} items")
    for axes in grid[-1]:
        axes.set_xlabel("mean absolute error (points)")
    return figure


def _panel(axes: Axes, part: pd.DataFrame, methods: list[str]) -> None:
    """Draw a dot a method; its colour says whether it is better or worse than 95% of random subsets."""
    places = np.arange(len(methods))
    error = part["mae"].reindex(methods).to_numpy(dtype=np.float64) * POINTS
    low, mean, high = (float(part[name].iloc[0]) * POINTS for name in ("random_q05", "random", "random_q95"))
    colour = np.where(error < low, BLUE, np.where(error > high, VERMILION, GREY))
    if np.isfinite(mean):
        axes.axvspan(low, high, color=PALE, alpha=0.6, linewidth=0)
        axes.axvline(mean, color=GREY, linewidth=1)
    # A method far off would press all others together: it is drawn at the edge with its error beside it.
    limit = max(2.2 * np.nanmin(error), 1.15 * np.nan_to_num(high))
    axes.scatter(np.minimum(error, limit), places, c=list(colour), s=22, zorder=3)
    for place, value in zip(places.tolist(), error.tolist(), strict=True):
        if value > limit:
            axes.annotate(f"{value:.1f}", (limit, place), (-5, 0), textcoords="offset points", ha="right", va="center",
                          size=SMALL_SIZE)  # fmt: skip
    axes.set_yticks(places, methods)


def _title(table: pd.DataFrame) -> str:
    best = table.loc[table.groupby("size")["mae"].idxmin(), ["size", "method", "estimator", "mae"]]
    words = [
        f"{POINTS * float(mae):.1f} points with {size} items ({method}, {ESTIMATORS[str(name)].title})"
        for size, method, name, mae in best.to_numpy().tolist()
    ]
    return "Least error on held-out models: " + "; ".join(words) + ". Grey: random subsets, 5 to 95%; blue: below them"
