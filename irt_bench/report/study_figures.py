"""Figures of a study: log ratios of seed sds with intervals, the band of random subsets, and verdicts; SNR."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from irt_bench.names import BENCHMARK, RUN
from irt_bench.report.canvas import BLUE, GREY, PALE, VERMILION, new_figure, styled
from irt_bench.report.tables import shorten
from irt_bench.variance.study.references import POOLED, is_null, is_reference
from irt_bench.variance.study.verdicts import CUTS, RAISES

ROW_HEIGHT: Final = 0.19  # inches a method
COLOURS: Final = {CUTS: BLUE, RAISES: VERMILION}
TICKS: Final = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


@styled
def forest_figure(results: pd.DataFrame, benchmark: str, *, estimator: str = "weighted", run: str = POOLED) -> Figure:
    """Draw the ratio of each method's seed sd to that of random subsets, a panel a size.

    Parameters
    ----------
    results : pd.DataFrame
        `StudyResult.results`.
    benchmark : str
        Which benchmark.
    estimator : str
        Which scores.
    run : str
        Which run; all pooled by default.
    """
    part = results[(results[BENCHMARK] == benchmark) & (results[RUN] == run) & (results["estimator"] == estimator)]
    methods = part[~is_reference(part)]
    labels = list(dict.fromkeys(_label(methods)))[::-1]
    sizes = sorted(methods["size"].unique())
    figure = new_figure(1.1 + ROW_HEIGHT * len(labels), _title(methods, benchmark, estimator))
    grid = figure.subplots(1, max(len(sizes), 1), sharey=True, squeeze=False)[0]
    for axes, size in zip(grid, sizes, strict=False):
        own = methods[methods["size"] == size]
        null = part[is_null(part) & (part["size"] == size)]
        _panel(axes, own.set_index(pd.Index(_label(own))), null, labels)
        axes.set_title(f"{size:g} items")
        axes.set_xlabel("seed sd / random's")
    return figure


def _label(rows: pd.DataFrame) -> list[str]:
    pairs = zip(rows["method"], rows["weights"], strict=True)
    return [str(method) if weights == "equal" else f"{method}, {weights}" for method, weights in pairs]


def _panel(axes: Axes, rows: pd.DataFrame, null: pd.DataFrame, labels: list[str]) -> None:
    rows = rows.reindex(labels)
    places = np.arange(len(labels))
    if len(null):
        axes.axvspan(
            float(null["ratio_q05"].iloc[0]),
            float(null["ratio_q95"].iloc[0]),
            color=PALE,
            alpha=0.6,
            linewidth=0,
        )
    axes.axvline(1.0, color=GREY, linewidth=1)
    colours = [COLOURS.get(str(verdict), GREY) for verdict in rows["verdict"]]
    axes.hlines(places, rows["ratio_q05"], rows["ratio_q95"], color=colours, linewidth=1.2)
    axes.scatter(rows["ratio"], places, c=colours, s=20, zorder=3)
    axes.set_xscale("log")
    axes.set_xticks([tick for tick in TICKS if _inside(axes, tick)])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(places, labels)


def _inside(axes: Axes, tick: float) -> bool:
    low, high = axes.get_xlim()
    return low <= tick <= high


def _title(methods: pd.DataFrame, benchmark: str, estimator: str) -> str:
    counts = methods["verdict"].value_counts()
    n = {word: int(counts.get(word, 0)) for word in (CUTS, RAISES)}
    return (
        f"{shorten(benchmark, 30)} ({estimator}): of {len(methods)} subsets {n[CUTS]} cut seed variance against random "
        f"ones of their size (blue), {n[RAISES]} raise it (red). Band: random subsets, 5 to 95%"
    )
