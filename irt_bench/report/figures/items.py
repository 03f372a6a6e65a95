"""Item statistics: every item by share of right answers and item-rest correlation, coloured by flag."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from irt_bench.analysis.classical import FEW_MODELS, FLAGS
from irt_bench.arrays import FloatArray
from irt_bench.report.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    clear_legend,
    name_points,
    narrow,
    new_figure,
    padded,
    point_style,
    styled,
)

FLAG_STYLE: Final[dict[str, tuple[str, str]]] = {  # colour and marker
    "constant": (INK, "|"),
    "negative": (VERMILION, "v"),
    "maybe_negative": (ORANGE, "v"),
    "near_zero": (PURPLE, "D"),
    "too_easy": (SKY, "s"),
    "too_hard": (BLUE, "s"),
    "few_models": (GREEN, "o"),
}
NO_FLAG: Final = ""
SUSPECT: Final = ("negative", "maybe_negative", "near_zero")  # flags whose worst items are named
MOST_NAMED: Final = 5
FINE_BINS: Final = 60  # models up to which each possible share of right answers has a bar of its own


@styled
def items_figure(item_statistics: pd.DataFrame) -> Figure:
    """Draw every item by its share of right answers and item-rest correlation, coloured by flag, and distributions.

    Parameters
    ----------
    item_statistics : pd.DataFrame
        From `irt_bench.analysis.classical.item_statistics`.

    Notes
    -----
    An item has the colour of its first flag; few_models, where all items have it, is a note instead. Items without
    correlation are marks at the lower edge. The lowest correlations among suspect items are named.
    """
    n_items = len(item_statistics)
    flags, few = _first_flags(item_statistics["flags"])
    slim = narrow()  # no room for distributions beside
    figure = new_figure(4.6 if slim else 6.4, _items_title(item_statistics))
    grid = None if slim else figure.add_gridspec(2, 2, width_ratios=(6, 1), height_ratios=(1, 6))
    axes = figure.subplots() if grid is None else figure.add_subplot(grid[1, 0])
    x, y = item_statistics["share_right"].to_numpy(), item_statistics["item_rest_correlation"].to_numpy()
    low, high = padded(np.append(y, 0.0), 0.08)
    axes.set(xlim=(-0.03, 1.03), ylim=(low, high))
    axes.axhline(0, color=GREY, linewidth=0.8)
    for flag in (NO_FLAG, *reversed(FLAGS)):  # the gravest on top
        _draw_flag(axes, x, y, (flags == flag).to_numpy(), flag, n_items)
    axes.set_xlabel("share of right answers" if slim else "share of right answers over models, high is easy")
    axes.set_ylabel("item-rest correlation (r)" if slim else "item-rest correlation over models (r)")
    suspect = item_statistics["flags"].str.contains("|".join(SUSPECT))
    worst = item_statistics.loc[suspect, "item_rest_correlation"].dropna().nsmallest(MOST_NAMED).index
    places = item_statistics.index.get_indexer(worst)
    name_points(axes, x[places], y[places], worst)
    if grid is not None:
        _margins(figure, grid, axes, x, y, max(int(item_statistics["n_models"].max()), 1))
    if few and not slim:
        axes.set_title(f"few_models: fewer than {FEW_MODELS} models answered each item, correlations are uncertain")
    handles, labels = axes.get_legend_handles_labels()
    clear_legend(figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=1 if slim else 4))
    return figure


def _first_flags(flags: pd.Series) -> tuple[pd.Series, bool]:
    """First flag of each item, in the order of FLAGS; and whether all have few_models, which is then no one's flag."""
    raised = flags.str.split(";")
    few = all("few_models" in found for found in raised)
    counted = FLAGS[:-1] if few else FLAGS
    return raised.map(lambda found: next((flag for flag in counted if flag in found), NO_FLAG)), few


def _items_title(statistics: pd.DataFrame) -> str:
    n_items = f"{len(statistics):,} items" if len(statistics) > 1 else "one item"
    raised = statistics["flags"].str.split(";")
    negative, maybe = (int(raised.map(lambda found, flag=flag: flag in found).sum()) for flag in SUSPECT[:2])
    if negative:
        return f"{negative:,} of {n_items} go against the rest: better models fail them more often"
    if maybe:
        return f"No item is shown to go against the rest; {maybe:,} of {n_items} may"
    if statistics["item_rest_correlation"].isna().all():
        return f"Correlations of {n_items} with the rest are undefined"
    return f"None of {n_items} goes against the rest"


def _draw_flag(
    axes: Axes, x: FloatArray, y: FloatArray, chosen: npt.NDArray[np.bool_], flag: str, n_items: int
) -> None:
    if not chosen.any():
        return
    colour, marker = FLAG_STYLE.get(flag, (GREY, "o"))
    name = flag or "no flag"
    known = chosen & ~np.isnan(y)
    lost = chosen & np.isnan(y)
    style = point_style(n_items, faint=not flag)
    if known.any():
        axes.scatter(x[known], y[known], color=colour, marker=marker, label=f"{name} ({known.sum():,})", **style)
    if lost.any():
        at_edge: dict[str, Any] = {
            "transform": axes.get_xaxis_transform(),
            "marker": "|",
            "s": 120,
            "linewidths": 1.2,
            "clip_on": False,
        }
        label = f"{name}: no correlation, at the edge ({lost.sum():,})"
        axes.scatter(x[lost], np.zeros(lost.sum()), color=colour, label=label, **at_edge)


def _margins(figure: Figure, grid: Any, axes: Axes, x: FloatArray, y: FloatArray, n_models: int) -> None:
    """Histograms of both coordinates above and beside the axes."""
    above = figure.add_subplot(grid[0, 0], sharex=axes)
    beside = figure.add_subplot(grid[1, 1], sharey=axes)
    edges = (np.arange(n_models + 2) - 0.5) / n_models if n_models <= FINE_BINS else np.linspace(0, 1, 41)
    above.hist(x[~np.isnan(x)], bins=np.clip(edges, *axes.get_xlim()).tolist(), color=GREY)
    beside.hist(y[~np.isnan(y)], bins=40, color=GREY, orientation="horizontal")
    above.tick_params(labelbottom=False)
    beside.tick_params(labelleft=False)
    above.set(ylabel="items", ylim=(0, None))
    beside.set(xlabel="items", xlim=(0, None))
    above.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    beside.xaxis.set_major_locator(MaxNLocator(2, integer=True))
