"""What dropping the least discriminating items does: seed sd beside random prunings, mean, monotonicity."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from irt_bench.report.canvas import BLUE, GREEN, GREY, PALE, VERMILION, narrow, new_figure, styled
from irt_bench.report.tables.text import shorten

POINTS = 100


@styled
def paths_figure(paths: pd.DataFrame, benchmark: str) -> Figure:
    """Draw the pruning path of one benchmark, as in section 4 of the paper, beside random prunings to the same size.

    Parameters
    ----------
    paths : pd.DataFrame
        `StudyResult.paths`: ``benchmark, dropped, seed_sd, random_sd, random_q05, random_q95, v_k_sd, mean, bias,
        standard_error, monotonicity``.
    benchmark : str
        Which benchmark.
    """
    rows = paths[paths["benchmark"] == benchmark].sort_values("dropped", kind="stable")
    figure = new_figure(4.6 if narrow() else 3.6, _title(rows, benchmark))
    panels = figure.subplots(3, 1, sharex=True) if narrow() else figure.subplots(1, 3, sharex=True)
    x = rows["dropped"].to_numpy(dtype=np.float64)
    _noise(panels[0], rows, x)
    error = POINTS * rows["standard_error"].to_numpy(dtype=np.float64)
    mean = POINTS * rows["mean"].to_numpy(dtype=np.float64)
    panels[1].axhline(mean[0], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    panels[1].fill_between(x, mean - error, mean + error, color=PALE, alpha=0.6, linewidth=0)
    panels[1].plot(x, mean, color=BLUE, marker="o", markersize=3)
    panels[1].set(ylabel="mean score, points", title="Mean, with its standard error")
    panels[2].plot(x, rows["monotonicity"], color=BLUE, marker="o", markersize=3)
    panels[2].set(ylabel="Kendall's tau over steps", title="Monotonicity")
    for axes in panels[2:] if narrow() else panels:
        axes.set_xlabel("items dropped")
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


def _noise(axes: Axes, rows: pd.DataFrame, x: npt.NDArray[np.float64]) -> None:
    low, high = (POINTS * rows[f"random_{end}"].to_numpy(dtype=np.float64) for end in ("q05", "q95"))
    axes.fill_between(x, low, high, color=PALE, alpha=0.6, linewidth=0, label="random items, 5 to 95%")
    axes.plot(x, POINTS * rows["v_k_sd"], color=GREEN, linewidth=1.2, label="root of V(k)")
    axes.plot(x, POINTS * rows["seed_sd"], color=VERMILION, marker="o", markersize=3, label="least discriminating")
    axes.set(ylabel="seed sd, points", ylim=(0, None), title="Seed sd")
    axes.legend(loc="upper left")


def _title(rows: pd.DataFrame, benchmark: str) -> str:
    last = rows.iloc[-1]
    known = float(last["random_sd"]) > 0
    beside = f", {float(last['seed_sd'] / last['random_sd']):.2f} times that of random items" if known else ""
    return (
        f"{shorten(benchmark, 30)}: without the {last['dropped']:.0%} least discriminating items the seed sd is "
        f"{POINTS * last['seed_sd']:.2f} points{beside}; the mean moves by {POINTS * last['bias']:+.1f} points"
    )
