"""Figures of seed variance: scores over steps, discrete beside continuous measures, V(k) with simulated subsets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from irt_bench.report.canvas import BLUE, GREEN, ORANGE, SKY, VERMILION, clear_legend, new_figure, styled
from irt_bench.report.tables import shorten
from irt_bench.report.tables.text import shorten_all
from irt_bench.variance.scores import ACCURACY
from irt_bench.variance.seed_variance import SeedVarianceResult
from irt_bench.variance.subset_forms import NESTED, RANDOM, STRATIFIED

MOST_RUNS: Final = 9  # drawn; the first ones
OTHER_FORMS: Final = ((STRATIFIED, BLUE, "stratified by subtask"), (NESTED, VERMILION, "whole subtasks"))
MOST_ROWS: Final = 40
UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


def file_name(benchmark: str, place: int) -> str:
    """Name for a benchmark's files: its own where that is a plain word, else with its number."""
    plain = UNSAFE.sub("_", benchmark)[:60].strip(".")
    return plain if plain == benchmark else f"{plain or 'benchmark'}-{place + 1}"


@styled
def steps_figure(found: SeedVarianceResult, benchmark: str) -> Figure:
    """Draw accuracy and one continuous measure over the steps: a line a seed, and mean and one sd as a band."""
    scores = found.scores[found.scores["benchmark"] == benchmark]
    measures = list(scores["measure"].unique())[:2]
    runs = list(scores["run"].unique())
    shown = runs[:MOST_RUNS]
    own = found.pooled[(found.pooled["benchmark"] == benchmark) & (found.pooled["measure"] == ACCURACY)].iloc[0]
    more = f" (first {MOST_RUNS} of {len(runs)} runs)" if len(runs) > MOST_RUNS else ""
    moved = f"repeating the training moves accuracy by {100 * own['seed_sd']:.2f} points (sd)"
    if scores["step"].nunique() == 1:
        return _one_step_figure(scores, f"{shorten(benchmark, 30)}: {moved}; a dot a seed", measures)
    title = f"{shorten(benchmark, 30)}: {moved}{more}"
    figure = new_figure(0.6 + 1.5 * len(shown), title)
    grid = figure.subplots(len(shown), len(measures), sharex=True, squeeze=False)
    for row, run in enumerate(shown):
        for column, measure in enumerate(measures):
            part = scores[(scores["run"] == run) & (scores["measure"] == measure)]
            _courses(grid[row, column], part.pivot(index="step", columns="seed", values="score"), found.layout.steps)
            grid[row, column].set_title(f"{shorten(run, 28)}: {measure}", size=8)
    for axes in grid[-1]:
        axes.set_xlabel("step")
    return figure


def _courses(axes: Axes, wide: object, steps: tuple[str, ...]) -> None:
    frame = wide.reindex([step for step in steps if step in wide.index])  # type: ignore[attr-defined]
    x = np.arange(len(frame))
    mean, sd = frame.mean(axis=1), frame.std(axis=1)
    axes.fill_between(x, mean - sd, mean + sd, color=SKY, alpha=0.35, linewidth=0)
    axes.plot(x, frame.to_numpy(), color=BLUE, linewidth=0.9)
    axes.set_xticks(x, list(frame.index))
    axes.set_ylabel("score")


def _one_step_figure(scores: pd.DataFrame, title: str, measures: Sequence[str]) -> Figure:
    """Draw a line a run, in order of the mean accuracy: a dot a seed, and the mean with one sd to each side."""
    wide = {name: part.pivot(index="run", columns="seed", values="score") for name, part in scores.groupby("measure")}
    order = wide[measures[0]].mean(axis=1).sort_values().index[-MOST_ROWS:]
    more = f" (best {MOST_ROWS} of {scores['run'].nunique()} runs)" if scores["run"].nunique() > MOST_ROWS else ""
    figure = new_figure(1.0 + 0.22 * len(order), title + more)
    grid = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    y = np.arange(len(order))
    for axes, measure in zip(grid, measures, strict=True):
        part = wide[measure].reindex(order)
        mean, sd = part.mean(axis=1), part.std(axis=1)
        axes.hlines(y, mean - sd, mean + sd, color=SKY, linewidth=5)
        axes.scatter(part.to_numpy(), np.repeat(y[:, None], part.shape[1], axis=1), color=BLUE, s=10, zorder=3)
        axes.set_xlabel(measure)
    grid[0].set_yticks(y, shorten_all([str(run) for run in order], 36))
    return figure


@styled
def measures_figure(found: SeedVarianceResult, benchmark: str) -> Figure:
    """Draw the signal-to-noise ratio of each continuous measure as a multiple of accuracy's, with its interval."""
    rows = compared_measures(found, benchmark).sort_values("snr_ratio")
    higher = int((rows["snr_verdict"] == "higher").sum())
    title = f"{shorten(benchmark, 30)}: {higher} of {len(rows)} continuous measures have a higher SNR than accuracy"
    figure = new_figure(1.2 + 0.35 * len(rows), title)
    axes = figure.subplots()
    y = np.arange(len(rows))
    axes.hlines(y, rows["snr_ratio_q05"], rows["snr_ratio_q95"], color=BLUE)
    axes.scatter(rows["snr_ratio"], y, color=BLUE, s=24, zorder=3)
    axes.axvline(1.0, color=VERMILION, linewidth=1)
    _log_axis(axes)
    axes.set_yticks(y, list(rows["a"]))
    axes.set_xlabel("signal-to-noise ratio over accuracy's, 90% interval")
    return figure


def compared_measures(found: SeedVarianceResult, benchmark: str) -> pd.DataFrame:
    """Rows of the measures of a benchmark whose ratio to accuracy is defined."""
    if not len(found.measures):
        return found.measures
    return found.measures[(found.measures["benchmark"] == benchmark) & found.measures["snr_ratio"].notna()]


@styled
def curve_figure(found: SeedVarianceResult, benchmark: str) -> Figure:
    """Draw the seed sd of subsets over their size: predicted, and of real subsets with their 5-95% band.

    Random subsets in full; stratified and nested ones, where items have subtasks, as a line each.
    """
    curve = found.curve[found.curve["benchmark"] == benchmark]
    runs = list(curve["run"].unique())
    shown = runs[:MOST_RUNS]
    more = f" (first {MOST_RUNS} of {len(runs)} runs)" if len(runs) > MOST_RUNS else ""
    figure = new_figure(0.9 + 1.8 * len(shown), f"{shorten(benchmark, 30)}: {_cost_of_fewer(curve)}{more}")
    grid = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, run in zip(grid, shown, strict=True):
        part = curve[curve["run"] == run]
        _random_curve(axes, part[part["form"] == RANDOM])
        for form, colour, label in OTHER_FORMS:
            other = part[part["form"] == form].sort_values("k")
            if len(other):
                axes.plot(other["k"], other["predicted_sd"], color=colour, linestyle="--", label=label)
                axes.scatter(other["k"], other["simulated_sd"], color=colour, s=12, zorder=3)
        _log_axis(axes)
        axes.set_title(shorten(run, 50), size=8)
        axes.set_ylabel("seed sd")
        axes.set_ylim(bottom=0)
    grid[-1].set_xlabel("items in the subset, k")
    handles, labels = grid[0].get_legend_handles_labels()
    clear_legend(figure.legend(handles, labels, loc="outside lower center", ncols=3))
    return figure


def _cost_of_fewer(curve: pd.DataFrame) -> str:
    """Say what 100 random items (or a third, of fewer) do to the seed sd, root mean square over runs."""
    sizes = curve.loc[curve["form"] == RANDOM, "k"]
    full = int(sizes.max())
    k = int(sizes[sizes <= max(min(100, full / 3), sizes.min())].max())
    few, whole = (
        np.sqrt((curve[(curve["form"] == RANDOM) & (curve["k"] == n)]["predicted_sd"] ** 2).mean()) for n in (k, full)
    )
    if not whole > 0:
        return "seed sd of subsets of k items"
    return f"{k:,} random items have {few / whole:.1f} times the seed sd of {full:,}"


def _random_curve(axes: Axes, part: pd.DataFrame) -> None:
    k = part["k"].to_numpy()
    if part["simulated_sd"].notna().any():
        axes.fill_between(
            k, part["simulated_q05"], part["simulated_q95"], color=ORANGE, alpha=0.25, linewidth=0,
            label="real random subsets, 5-95%",
        )  # fmt: skip
        axes.scatter(k, part["simulated_sd"], color=ORANGE, s=14, label="real random subsets", zorder=3)
    axes.plot(k, part["predicted_sd"], color=GREEN, label="predicted, root of V(k)")


def _log_axis(axes: Axes) -> None:
    """Logarithmic scale with plain numbers: the style shows dollar signs as they are, so powers would be unreadable."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
