"""Do subsets help: a forest plot of seed sds relative to a reference, with the range of random subsets behind."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from irt_bench.report.canvas import BLUE, GREY, INK, PALE, SMALL_SIZE, VERMILION, narrow, new_figure, styled
from irt_bench.report.tables.text import shorten

CUTS, RAISES = "cuts", "raises"
MARKS: Final = {CUTS: (BLUE, "v"), RAISES: (VERMILION, "^")}
NO_DIFFERENCE: Final = (GREY, "o")
ROW: Final = 0.2  # inches a row
TICKS: Final = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 10.0)
WIDEST: Final = (0.1, 10.0)  # ratios at the ends of the axis; intervals beyond run into it


@styled
def ratios_figure(rows: pd.DataFrame, *, title: str = "Seed sd over that of random subsets of the same size") -> Figure:
    """Draw the seed sd of each method over that of a reference on a log scale, a panel a size.

    Parameters
    ----------
    rows : pd.DataFrame
        One row a method and size: ``label, size, ratio, ratio_q05, ratio_q95, verdict`` and, where known, ``random_q05,
        random_q95``, the range of the ratio over random subsets.
    title : str
        The finding.
    """
    sizes = sorted(rows["size"].unique())
    labels = list(dict.fromkeys(rows["label"]))
    n_columns = 1 if narrow() else len(sizes)
    n_rows = -(-len(sizes) // n_columns)
    figure = new_figure(n_rows * (0.5 + ROW * len(labels)) + 0.8, title)
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    limits = _limits(rows)
    for axes, size in zip(grid.ravel(), sizes, strict=False):
        _panel(axes, rows[rows["size"] == size].set_index("label").reindex(labels), limits)
        axes.set_title(f"{size:,} items")
    for axes in grid[-1]:
        axes.set_xlabel("ratio of seed sds, log scale" if n_columns < 3 else "ratio of seed sds")
    figure.legend(handles=_legend(rows), loc="outside lower center", ncols=2 if narrow() else 4)
    return figure


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    values = rows[["ratio", "ratio_q05", "ratio_q95"]].to_numpy(dtype=np.float64)
    finite = values[np.isfinite(values) & (values > 0)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.5, 2.0)
    return max(min(low * 0.93, 0.7), WIDEST[0]), min(max(high * 1.07, 1.4), WIDEST[1])


def _panel(axes: Axes, part: pd.DataFrame, limits: tuple[float, float]) -> None:
    heights = np.arange(len(part))
    if {"random_q05", "random_q95"} <= set(part.columns) and part["random_q05"].notna().any():
        low, high = (part[name].to_numpy(dtype=np.float64) for name in ("random_q05", "random_q95"))
        axes.barh(heights, high - low, left=low, height=1.0, color=PALE, alpha=0.55, linewidth=0)
    axes.axvline(1.0, color=INK, linewidth=0.9)
    verdicts = part["verdict"].fillna("")
    for verdict in dict.fromkeys(verdicts):
        colour, marker = MARKS.get(str(verdict), NO_DIFFERENCE)
        chosen = (verdicts == verdict).to_numpy()
        axes.hlines(heights[chosen], part["ratio_q05"][chosen], part["ratio_q95"][chosen], color=colour, linewidth=1.6)
        ratios = np.clip(part["ratio"][chosen].to_numpy(dtype=np.float64), *limits)
        axes.scatter(ratios, heights[chosen], color=colour, marker=marker, s=26, zorder=3)
    axes.set_xscale("log")
    axes.set_xlim(*limits)
    inside = [tick for tick in TICKS if limits[0] <= tick <= limits[1]]
    if len(inside) > 5:
        inside = [tick for tick in inside if tick in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)]
    axes.xaxis.set_major_locator(FixedLocator(inside))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks(heights, [shorten(str(label), 20 if narrow() else 34) for label in part.index], size=SMALL_SIZE)
    axes.set_ylim(len(part) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")


def _legend(rows: pd.DataFrame) -> list[Line2D | Patch]:
    """One mark a verdict that occurs, and the band."""
    handles: list[Line2D | Patch] = []
    for verdict in dict.fromkeys(rows["verdict"].fillna("")):
        colour, marker = MARKS.get(str(verdict), NO_DIFFERENCE)
        handles.append(
            Line2D([], [], color=colour, marker=marker, markersize=5, linewidth=1.6, label=str(verdict) or "no verdict")
        )
    if "random_q05" in rows and rows["random_q05"].notna().any():
        handles.append(Patch(color=PALE, alpha=0.55, label="random subsets, 5 to 95%"))
    return handles
