"""Figures of seed variance: seed sds, their sources, scores over steps, subsets of k items, continuous measures."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from irt_bench.arrays import Array
from irt_bench.report.figures.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    SMALL_SIZE,
    VERMILION,
    clear_legend,
    label_rows,
    log_scale,
    narrow,
    new_figure,
    page_width,
    styled,
)
from irt_bench.report.tables.text import POINTS, in_points, interval_text, shorten, shorten_all
from irt_bench.variance.scores import ACCURACY
from irt_bench.variance.seed_variance import SeedVarianceResult
from irt_bench.variance.variance_curve import NESTED, RANDOM, STRATIFIED

ROW_HEIGHT: Final = 0.24  # inches
MIN_ROWS: Final = 4  # of which there is always room
MAX_ROWS: Final = 40  # runs with a row each
MAX_STRETCH: Final = 3.0  # end of an axis of intervals, in units of the largest estimate
COLOURS: Final = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY)  # of runs with a name in a panel of many
TICK_CHARACTER: Final = 0.09  # inches
RECIPE_COLOURS: Final = {"real": VERMILION, "noise": GREEN}  # of verdicts; others grey
LEGEND_COLUMN: Final = 2.6  # inches
LEGEND_LINE: Final = 0.18  # inches
MAX_STEPS: Final = 10  # ticks of steps
MAX_SCORES: Final[int | str] = 7  # ticks of scores, whatever the height: more of them, once laid out, would be wider
THOUSAND: Final = 1000
APART: Final = 0.05  # relative difference from random subsets from which other forms of subsets are drawn
OTHER_FORMS: Final = ((STRATIFIED, "--", "dashed: stratified by subtask"), (NESTED, ":", "dotted: whole subtasks"))
UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


@styled
def seed_sd_figure(rows: pd.DataFrame) -> Figure:
    """Draw seed sds with their intervals.

    Parameters
    ----------
    rows : pd.DataFrame
        Indexed by label: ``seed_sd, seed_sd_q05, seed_sd_q95``, shares; drawn in points, in the order given.
    """
    largest = shorten(str(rows["seed_sd"].idxmax()), 40) if rows["seed_sd"].notna().any() else ""
    figure = new_figure(0.8 + ROW_HEIGHT * len(rows), f"Seed sd of the score; largest: {largest}")
    axes = figure.subplots()
    _intervals(axes, rows, ["seed_sd", "seed_sd_q05", "seed_sd_q95"], BLUE)
    cut = _cut_intervals(axes, POINTS * rows["seed_sd"], POINTS * rows["seed_sd_q95"])
    axes.set_xlabel(f"seed sd (points), 90% interval{'; > goes on' if cut else ''}")
    return figure


def _cut_intervals(axes: Axes, middle: pd.Series, high: pd.Series) -> bool:
    """End the axis before intervals that would hide all others, and mark those that go on; whether there are any."""
    largest = float(middle.max()) if middle.notna().any() else 1.0
    limit = min(float(high.max()) * 1.04 if high.notna().any() else math.inf, MAX_STRETCH * max(largest, 1e-9))
    cut = np.flatnonzero((high > limit).to_numpy())
    axes.set_xlim(0, limit)
    axes.scatter(np.full(len(cut), limit), cut, marker=">", color=SKY, s=26, zorder=3, clip_on=False)
    return bool(len(cut))


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
def subset_size_figure(curve: pd.DataFrame, title: str = "Seed sd of random subsets of k items") -> Figure:
    """Draw the seed sd of subsets by their size: predicted, and of simulated subsets with their 5-95% band.

    Where items have subtasks, predictions for stratified and nested subsets are drawn if they differ from random ones.

    Parameters
    ----------
    curve : pd.DataFrame
        ``run, form, k, predicted_sd, simulated_sd, simulated_q05, simulated_q95`` of one benchmark, as from
        `irt_bench.variance.seed_variance.analyse_seed_variance`. The first six runs are drawn.
    title : str
        Of the figure.
    """
    runs = list(curve["run"].unique())
    more = f" (first {len(COLOURS)} of {len(runs)} runs)" if len(runs) > len(COLOURS) else ""
    figure = new_figure(3.6, title + more)
    axes = figure.subplots()
    names = shorten_all([str(run) for run in runs[: len(COLOURS)]], 24)
    notes = ["line: predicted, root of V(k); dots: random subsets, band from 5 to 95%"]
    for run, colour, name in zip(runs, COLOURS, names, strict=False):
        notes += _draw_curve(axes, curve[curve["run"] == run], colour, name)
    log_scale(axes)
    axes.set_ylim(0, None)
    axes.locator_params(axis="y", nbins=MAX_SCORES)
    axes.set(xlabel="items in the subset, k", ylabel="seed sd (points)")
    clear_legend(_legend_below(figure, axes, "; ".join(dict.fromkeys(notes))))
    return figure


@styled
def score_steps_figure(scores: pd.DataFrame) -> Figure:
    """Draw scores over the steps of training: a thin line per seed, and their mean per run.

    Parameters
    ----------
    scores : pd.DataFrame
        ``run, seed, step, score`` of one benchmark and measure, steps in their order. Of more than six runs the means
        alone are drawn; of one step, each run is a row with a dot per seed.
    """
    steps = list(scores["step"].astype(str).unique())
    if len(steps) == 1:
        title = "Scores: one dot per seed, bars of one sd to each side of the mean"
        return _one_step_figure(scores.assign(measure=ACCURACY), title, [ACCURACY])
    return _runs_figure(scores.assign(measure=ACCURACY), "Scores over training", [ACCURACY], steps)


def _intervals(axes: Axes, rows: pd.DataFrame, columns: list[str], colour: str) -> None:
    """Draw one point with its interval per row, the first row on top."""
    heights = np.arange(len(rows))
    middle, low, high = (rows[name].to_numpy(dtype=np.float64) * POINTS for name in columns)
    axes.hlines(heights, low, high, color=SKY if colour == BLUE else colour, linewidth=2.4)
    axes.scatter(middle, heights, color=colour, s=26, zorder=3)
    labels = [shorten(str(label), 20 if narrow() else 34) for label in rows.index]
    label_rows(axes, labels, size=SMALL_SIZE if len(rows) > 12 else None)


def _draw_runs(figure: Figure, axes: Axes, scores: pd.DataFrame, steps: Sequence[str], unit: float) -> None:
    """Draw the mean over seeds of each run and, of few runs, a thin line per seed; the best and weakest are named."""
    wide = scores.assign(step=scores["step"].astype(str)).pivot(index="step", columns=["run", "seed"], values="score")
    wide = unit * wide.reindex(list(steps)).dropna(how="all")
    means = wide.T.groupby(level="run").mean().T
    ranked = means.ffill().iloc[-1].sort_values(ascending=False, kind="stable").index
    few, half = len(ranked) <= len(COLOURS), len(COLOURS) // 2
    named = list(scores["run"].unique()) if few else [*ranked[:half], *ranked[-half:]]
    names = shorten_all([str(run) for run in named], 24)
    for run, colour, name in zip(named, COLOURS, names, strict=False):
        if few:
            _draw_lines(axes, wide[run].to_numpy(), color=colour, linewidth=0.8, alpha=0.5)
        look = {"color": colour, "linewidth": 1.8, "zorder": 3}
        _draw_lines(axes, means[[run]].to_numpy(), **look, label=name)
    others = [run for run in means if run not in named]
    _draw_lines(axes, means[others].to_numpy(), color=PALE, linewidth=0.9, zorder=1)
    many = f"means over seeds; named are {len(named)} of {len(ranked)} runs, the best and the weakest at the end"
    _legend_below(figure, axes, "thin: one seed; thick: mean over seeds" if few else many)
    _step_ticks(axes, list(means.index), page_width())


def _legend_below(figure: Figure, axes: Axes, title: str) -> Legend:
    """Name the lines below the axes, which keep their height."""
    n_columns = max(int(page_width() / LEGEND_COLUMN), 1)
    title = textwrap.fill(title, int(page_width() / TICK_CHARACTER))
    legend = axes.legend(title=title, ncols=n_columns, loc="upper left", bbox_to_anchor=(0, -0.2), alignment="left")
    n_lines = -(-len(legend.get_texts()) // n_columns) + title.count("\n")
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE * (n_lines - 1))
    return legend


def _draw_lines(axes: Axes, values: Array, *, label: str | None = None, **look: Any) -> None:
    """Draw a line per column over the rows that it has; of some rows, with a mark at each."""
    for column in values.T:
        there = np.flatnonzero(np.isfinite(column))
        marks: dict[str, Any] = {} if len(there) == len(column) else {"marker": "o", "markersize": 2.5}
        axes.plot(there, column[there], **look, **marks, label=label)
        label = None


def _step_ticks(axes: Axes, steps: Sequence[str], room: float) -> None:
    """Name as many steps as have room, in inches, the last among them."""
    labels = [shorten(label, 10) for label in step_labels(steps)]
    most = max(int((room - 1.0) / (TICK_CHARACTER * max(map(len, labels)) + 0.1)), 2)
    places = np.arange(len(labels))
    shown = places[:: -(-len(places) // min(most, MAX_STEPS))]
    shown = shown + (len(labels) - 1 - shown[-1])  # the last step is the one that counts
    axes.set_xticks(shown, [labels[place] for place in shown.tolist()])
    axes.tick_params(color=GREY)


def step_labels(steps: Sequence[object]) -> list[str]:
    """Write steps as text, in thousands (2k) if all are multiples of a thousand."""
    texts = [str(step) for step in steps]
    if all(text.isdecimal() and int(text) % THOUSAND == 0 for text in texts):
        return ["0" if text == "0" else f"{int(text) // THOUSAND}k" for text in texts]
    return texts


def file_name(benchmark: str, place: int) -> str:
    """Name for a benchmark's files: its own where that is a plain word, else with its number."""
    plain = UNSAFE.sub("_", benchmark)[:60].strip(".")
    return plain if plain == benchmark else f"{plain or 'benchmark'}-{place + 1}"


@styled
def steps_figure(found: SeedVarianceResult, benchmark: str) -> Figure:
    """Draw accuracy and one continuous measure over the steps: a thin line per seed, and their mean per run.

    Accuracy is drawn in percentage points. Of more than six runs the means alone are drawn.
    """
    scores = found.scores[found.scores["benchmark"] == benchmark]
    measures = list(scores["measure"].unique())[:2]
    own = found.pooled[(found.pooled["benchmark"] == benchmark) & (found.pooled["measure"] == ACCURACY)].iloc[0]
    moved = f"repeating the training moves accuracy by {POINTS * own['seed_sd']:.2f} points (seed sd)"
    title = f"{shorten(benchmark, 30)}: {moved}"
    if scores["step"].nunique() == 1:
        return _one_step_figure(scores, f"{title}; bars: mean and one sd to each side", measures)
    return _runs_figure(scores, title, measures, found.layout.steps)


def _runs_figure(scores: pd.DataFrame, title: str, measures: Sequence[str], steps: Sequence[str]) -> Figure:
    """Draw all runs in one panel per measure."""
    figure = new_figure(0.2 + 3.6 * len(measures), title)
    for axes, measure in zip(figure.subplots(len(measures), 1, squeeze=False)[:, 0], measures, strict=True):
        _draw_runs(figure, axes, scores[scores["measure"] == measure], steps, POINTS if measure == ACCURACY else 1.0)
        axes.locator_params(axis="y", nbins=MAX_SCORES)
        axes.set(xlabel="step", ylabel="score (points)" if measure == ACCURACY else measure)
    return figure


def _one_step_figure(scores: pd.DataFrame, title: str, measures: Sequence[str]) -> Figure:
    """Draw one row per run, ordered by mean accuracy: one dot per seed, and one sd to each side of the mean."""
    wide = {name: part.pivot(index="run", columns="seed", values="score") for name, part in scores.groupby("measure")}
    order = wide[measures[0]].mean(axis=1).sort_values().index[-MAX_ROWS:]
    more = f" (best {MAX_ROWS} of {scores['run'].nunique()} runs)" if scores["run"].nunique() > MAX_ROWS else ""
    figure = new_figure(1.0 + 0.22 * len(order), title + more)
    grid = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    y = np.arange(len(order))
    for axes, measure in zip(grid, measures, strict=True):
        part = wide[measure].reindex(order)
        part = part * (POINTS if measure == ACCURACY else 1)
        mean, sd = part.mean(axis=1), part.std(axis=1)
        axes.hlines(y, mean - sd, mean + sd, color=SKY, linewidth=5)
        axes.scatter(part.to_numpy(), np.repeat(y[:, None], part.shape[1], axis=1), color=BLUE, s=10, zorder=3)
        axes.set_xlabel(f"{measure} (points)" if measure == ACCURACY else measure)
    grid[0].set_yticks(y, shorten_all([str(run) for run in order], 18 if narrow() else 36), size=SMALL_SIZE)
    return figure


@styled
def measures_figure(measures: pd.DataFrame, benchmark: str) -> Figure:
    """Draw the signal-to-noise ratio of each continuous measure as a multiple of accuracy's, with its interval.

    Parameters
    ----------
    measures : pd.DataFrame
        ``benchmark, a`` (the measure), ``snr_ratio`` with its limits, ``snr_verdict``.
    benchmark : str
        Which to draw.
    """
    rows = compared_measures(measures, benchmark).sort_values("snr_ratio")
    higher = int((rows["snr_verdict"] == "higher").sum())
    title = f"{shorten(benchmark, 30)}: {higher} of {len(rows)} continuous measures have a higher SNR than accuracy"
    figure = new_figure(1.2 + 0.35 * len(rows), title)
    axes = figure.subplots()
    y = np.arange(len(rows))
    axes.hlines(y, rows["snr_ratio_q05"], rows["snr_ratio_q95"], color=BLUE)
    axes.scatter(rows["snr_ratio"], y, color=BLUE, s=24, zorder=3)
    axes.axvline(1.0, color=VERMILION, linewidth=1)
    log_scale(axes)
    axes.set_yticks(y, list(rows["a"]))
    axes.set_xlabel("signal-to-noise ratio over accuracy's, 90% interval")
    return figure


def compared_measures(measures: pd.DataFrame, benchmark: str) -> pd.DataFrame:
    """Rows of the measures of a benchmark whose ratio to accuracy is defined."""
    return measures[(measures["benchmark"] == benchmark) & measures["snr_ratio"].notna()] if len(measures) else measures


@styled
def recipes_figure(table: pd.DataFrame, recipes: tuple[str, str] = ("a", "b")) -> Figure:
    """Draw the difference of two recipes on each task, with its interval for other seeds and other items.

    Parameters
    ----------
    table : pd.DataFrame
        Indexed by task: ``difference`` with its limits, shares, and ``verdict``; drawn in points, the last row, which
        is of all tasks, on top.
    recipes : (str, str)
        Names of the two.
    """
    tasks = table.iloc[:-1] if len(table) > 1 else table
    rows = pd.concat([table.iloc[len(tasks) :], tasks])[:MAX_ROWS]
    real = f"real on {int((tasks['verdict'] == 'real').sum())} of {len(tasks)} task{'s' * (len(tasks) > 1)}"
    names = " less ".join(shorten(str(name), 24) for name in recipes)
    if len(table) > 1:
        last = rows.iloc[0]
        limits = (POINTS * float(last[f"difference{end}"]) for end in ("", "_q05", "_q95"))
        real = f"over all {interval_text(*limits)} points, {last['verdict']}; {real}"
    figure = new_figure(1.2 + ROW_HEIGHT * max(len(rows), MIN_ROWS), f"{names}: {real}")
    axes = figure.subplots()
    heights = np.arange(len(rows))
    middle, low, high = (POINTS * rows[f"difference{end}"].to_numpy(np.float64) for end in ("", "_q05", "_q95"))
    verdicts = rows["verdict"].to_numpy()
    for verdict in dict.fromkeys(verdicts):
        own, colour = verdicts == verdict, RECIPE_COLOURS.get(str(verdict), GREY)
        axes.hlines(heights[own], low[own], high[own], color=colour, linewidth=2.4)
        axes.scatter(middle[own], heights[own], color=colour, s=26, zorder=3, label=str(verdict))
    axes.axvline(0, color=INK, linewidth=0.8)
    label_rows(axes, shorten_all([str(task) for task in rows.index], 18 if narrow() else 34), room=MIN_ROWS)
    axes.set_xlabel("difference of scores (points), 90% interval")
    clear_legend(figure.legend(loc="outside lower center", ncols=3))
    return figure


def curve_figure(found: SeedVarianceResult, benchmark: str) -> Figure:
    """Draw the seed sd of the subsets of a benchmark by their size; see `subset_size_figure`."""
    curve = found.curve[found.curve["benchmark"] == benchmark]
    return subset_size_figure(curve, f"{shorten(benchmark, 30)}: {_cost_of_fewer(curve)}")


@styled
def needed_figure(needed: pd.DataFrame, benchmark: str) -> Figure:
    """Draw the seeds that detect a difference: by number of items, measure and trials; and of each subtask.

    Parameters
    ----------
    needed : pd.DataFrame
        From `irt_bench.variance.detect.needed_table`.
    benchmark : str
        Which to draw.
    """
    own = needed[needed["benchmark"] == benchmark]
    accuracy = own[own["measure"] == ACCURACY]
    points = in_points(accuracy["difference"].iloc[0])
    tasks = (
        seeds_by_task(accuracy).dropna(subset="seeds_needed").sort_values("seeds_needed", ascending=False)[:MAX_ROWS]
    )
    height = max(3.2, 1.0 + ROW_HEIGHT * len(tasks)) if len(tasks) else 3.2
    title = f"{shorten(benchmark, 30)}: seeds per recipe that detect {points}"
    figure = new_figure(height, f"{title} with {accuracy['power'].iloc[0]:.0%} power")
    panels = figure.subplots(1, 2 if len(tasks) else 1, squeeze=False)[0]
    _draw_needed(panels[0], own[own["subtask"] == ""])
    if len(tasks):
        y = np.arange(len(tasks))
        panels[1].hlines(y, tasks["seeds_needed_q05"], tasks["seeds_needed_q95"], color=SKY, linewidth=2.4)
        panels[1].scatter(tasks["seeds_needed"], y, color=BLUE, s=24, zorder=3)
        panels[1].set_yticks(y, shorten_all([str(task) for task in tasks.index], 24), size=SMALL_SIZE)
        panels[1].set_ylim(len(tasks) - 0.4, -0.6)
        log_scale(panels[1])
        panels[1].set(title="each subtask, with its items", xlabel="seeds per recipe, 90% interval")
    return figure


def seeds_by_task(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Rows of the subtasks, by name, with the items and trials there are."""
    tasks = accuracy[accuracy["subtask"] != ""]
    here = (tasks["n_items"] == tasks["n_items_there"]) & (tasks["n_trials"] == tasks["n_trials_there"])
    return tasks[here].set_index("subtask")


def _draw_needed(axes: Axes, whole: pd.DataFrame) -> None:
    if not (whole["seeds_needed"] > 0).any():
        axes.text(0, 0.5, "no number of seeds is enough,\nor the scores do not vary", color=GREY)
        axes.set_axis_off()
        return
    keys = ["measure", "n_trials"]
    for place, ((measure, trials), part) in enumerate(whole.groupby(keys, sort=False)):
        repeated = whole["n_trials"].nunique() > 1
        label = f"{measure}, {trials} {'trial' if trials == 1 else 'trials'}" if repeated else str(measure)
        colour = COLOURS[place % len(COLOURS)]
        axes.plot(part["n_items"], part["seeds_needed"], color=colour, marker="o", markersize=3.5, label=label)
    axes.axvline(whole["n_items_there"].iloc[0], color=GREY, linewidth=1, linestyle=":")
    log_scale(axes, "both")
    axes.set(title="whole benchmark; dotted: items there are", xlabel="items", ylabel="seeds per recipe")
    axes.legend()


def _differs(other: pd.DataFrame, random: pd.DataFrame) -> bool:
    """Whether the predicted sd of a form of subsets differs visibly from that of random subsets of the same size."""
    expected = random.set_index("k")["predicted_sd"].reindex(other["k"]).to_numpy(dtype=np.float64)
    return bool((np.abs(other["predicted_sd"].to_numpy() - expected) > APART * expected).any())


def _cost_of_fewer(curve: pd.DataFrame) -> str:
    """Describe the seed sd of 100 random items, or of a third of fewer items, relative to all items."""
    sizes = curve.loc[curve["form"] == RANDOM, "k"]
    full = int(sizes.max())
    k = int(sizes[sizes <= max(min(100, full / 3), sizes.min())].max())
    few, whole = (
        np.sqrt((curve[(curve["form"] == RANDOM) & (curve["k"] == n)]["predicted_sd"] ** 2).mean()) for n in (k, full)
    )
    if not whole > 0:
        return "seed sd of subsets of k items"
    return f"{k:,} random items have {few / whole:.1f} times the seed sd of {full:,}"


def _draw_curve(axes: Axes, part: pd.DataFrame, colour: str, name: str) -> list[str]:
    """Draw the seed sd of the subsets of one run, by their size; which forms besides random ones are drawn."""
    random = part[part["form"] == RANDOM]
    k = random["k"].to_numpy(dtype=np.float64)
    axes.plot(k, POINTS * random["predicted_sd"], color=colour, linewidth=1.6, label=name)
    if random["simulated_sd"].notna().any():
        low, high = (POINTS * random[f"simulated_{end}"].to_numpy(dtype=np.float64) for end in ("q05", "q95"))
        axes.fill_between(k, low, high, color=colour, alpha=0.12, linewidth=0)
        axes.scatter(k, POINTS * random["simulated_sd"], color=colour, s=14, zorder=3)
    drawn = []
    for form, line, label in OTHER_FORMS:
        other = part[part["form"] == form].sort_values("k")
        if _differs(other, random):
            axes.plot(other["k"], POINTS * other["predicted_sd"], color=colour, linestyle=line, linewidth=1.1)
            drawn.append(label)
    return drawn
