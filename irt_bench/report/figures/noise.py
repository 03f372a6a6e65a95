"""Seed noise: the seed sd of every benchmark or run, what the variance is made of, and V(k)."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from irt_bench.report.canvas import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    SMALL_SIZE,
    VERMILION,
    clear_legend,
    narrow,
    new_figure,
    styled,
)
from irt_bench.report.tables.text import shorten

POINTS: Final = 100  # scores are shares; sds are shown in points, hundredths
ROW: Final = 0.24  # inches a row
CURVES: Final = 4  # runs with a panel each


@styled
def seed_sd_figure(rows: pd.DataFrame) -> Figure:
    """Draw seed sds with their intervals.

    Parameters
    ----------
    rows : pd.DataFrame
        Indexed by label: ``seed_sd, seed_sd_q05, seed_sd_q95``, shares; drawn in points, in the order given.
    """
    largest = shorten(str(rows["seed_sd"].idxmax()), 40) if rows["seed_sd"].notna().any() else ""
    figure = new_figure(0.8 + ROW * len(rows), f"Seed sd of the score; largest: {largest}")
    axes = figure.subplots()
    _intervals(axes, rows, ["seed_sd", "seed_sd_q05", "seed_sd_q95"], BLUE)
    axes.set_xlim(0, None)
    axes.set_xlabel("seed sd (points), 90% interval")
    return figure


@styled
def components_figure(parts: pd.DataFrame) -> Figure:
    """Draw how much each source alone would move the full score.

    Parameters
    ----------
    parts : pd.DataFrame
        Indexed by source: ``sd, sd_q05, sd_q95``, shares; drawn in points.
    """
    figure = new_figure(0.8 + 0.34 * len(parts), "What moves the full score from seed to seed")
    axes = figure.subplots()
    _intervals(axes, parts, ["sd", "sd_q05", "sd_q95"], GREEN)
    axes.set_xlim(0, None)
    axes.set_xlabel("sd from this source alone (points)")
    return figure


@styled
def subset_size_figure(curve: pd.DataFrame) -> Figure:
    """Draw the seed sd of random subsets over their size, predicted and of real subsets, a panel a run.

    Parameters
    ----------
    curve : pd.DataFrame
        ``run, k, predicted_sd, simulated_sd, simulated_q05, simulated_q95`` of one benchmark, as from
        `irt_bench.variance.seed_variance.analyse_seed_variance`. The first four runs are drawn.
    """
    runs = list(curve["run"].unique())[:CURVES]
    n_columns = 1 if narrow() else min(len(runs), 2)
    n_rows = -(-len(runs) // n_columns)
    figure = new_figure(0.6 + 1.9 * n_rows, "Seed sd of random subsets of k items")
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for axes, run in zip(grid.ravel(), runs, strict=False):
        _size_panel(axes, curve[curve["run"] == run])
        axes.set_title(shorten(str(run), 28))
    for axes in grid.ravel()[len(runs) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("items in the subset, k")
    for axes in grid[:, 0]:
        axes.set_ylabel("seed sd (points)")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    columns = 1 if narrow() else 3
    clear_legend(figure.legend(handles, labels, loc="outside lower center", ncols=columns))
    return figure


@styled
def score_steps_figure(scores: pd.DataFrame) -> Figure:
    """Draw scores over the steps of training: a line a seed, a panel a run.

    Parameters
    ----------
    scores : pd.DataFrame
        ``run, seed, step, score`` of one benchmark and measure, steps in their order. The first four runs are drawn.
    """
    runs = list(scores["run"].unique())[:CURVES]
    steps = list(dict.fromkeys(scores["step"].astype(str)))
    n_columns = 1 if narrow() else min(len(runs), 2)
    n_rows = -(-len(runs) // n_columns)
    figure = new_figure(0.4 + 1.7 * n_rows, "Scores over the steps of training, a line a seed")
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for axes, run in zip(grid.ravel(), runs, strict=False):
        wide = scores[scores["run"] == run].assign(step=lambda part: part["step"].astype(str))
        _courses(axes, wide.pivot_table(index="step", columns="seed", values="score").reindex(steps).dropna(how="all"))
        axes.set_title(shorten(str(run), 28))
    for axes in grid.ravel()[len(runs) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("step")
    for axes in grid[:, 0]:
        axes.set_ylabel("score (points)")
    return figure


def _intervals(axes: Axes, rows: pd.DataFrame, columns: list[str], colour: str) -> None:
    """Draw a point with its interval a row, the first row on top."""
    heights = np.arange(len(rows))
    middle, low, high = (rows[name].to_numpy(dtype=np.float64) * POINTS for name in columns)
    axes.hlines(heights, low, high, color=SKY if colour == BLUE else colour, linewidth=2.4)
    axes.scatter(middle, heights, color=colour, s=26, zorder=3)
    labels = [shorten(str(label), 20 if narrow() else 34) for label in rows.index]
    axes.set_yticks(heights, labels, size=SMALL_SIZE if len(rows) > 12 else None)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")


def _size_panel(axes: Axes, part: pd.DataFrame) -> None:
    k = part["k"].to_numpy(dtype=np.float64)
    low, high = (part[name].to_numpy(dtype=np.float64) * POINTS for name in ("simulated_q05", "simulated_q95"))
    axes.fill_between(k, low, high, color=ORANGE, alpha=0.25, linewidth=0, label="random subsets, 5 to 95%")
    axes.plot(k, part["predicted_sd"] * POINTS, color=GREEN, linewidth=1.6, label="predicted, root of V(k)")
    axes.scatter(k, part["simulated_sd"] * POINTS, color=VERMILION, s=14, label="random subsets", zorder=3)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if k.max() < 1000 * max(k.min(), 1) else (1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, None)


def _courses(axes: Axes, wide: pd.DataFrame) -> None:
    values = wide.to_numpy(dtype=np.float64) * POINTS
    places = np.arange(len(wide))
    mean = np.nanmean(values, axis=1)
    if len(wide) == 1:
        axes.scatter(np.zeros(values.shape[1]), values[0], color=BLUE, s=18)
        axes.scatter([0], mean, color=VERMILION, marker="_", s=220)
        axes.set_xlim(-0.6, 0.6)
    else:
        axes.plot(places, values, color=SKY, linewidth=1.0)
        axes.plot(places, mean, color=BLUE, linewidth=1.8)
    shown = places if len(places) <= 6 else np.unique(np.linspace(0, len(places) - 1, 5).round().astype(int))
    axes.set_xticks(shown, [shorten(str(wide.index[place]), 10) for place in shown.tolist()])
    axes.tick_params(color=GREY)
