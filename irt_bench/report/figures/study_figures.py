"""Figures of studies and subset comparisons: forest plots of seed sds, pruning paths, errors beside random subsets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from irt_bench.names import ABILITY, BENCHMARK, MODEL, POOLED, RUN
from irt_bench.report.figures.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LABEL_CHARACTERS,
    ORANGE,
    PALE,
    SKY,
    SMALL_SIZE,
    VERMILION,
    label_rows,
    narrow,
    new_figure,
    styled,
)
from irt_bench.report.figures.model_figures import BEST, shown_models
from irt_bench.report.tables.text import POINTS, shorten
from irt_bench.study.collect import is_random, is_reference
from irt_bench.study.split import WEIGHTED, random_reference
from irt_bench.study.verdicts import CUTS, RAISES
from irt_bench.subsets.estimators import ESTIMATORS
from irt_bench.subsets.make import default_weights

MARKS: Final = {CUTS: (BLUE, "v"), RAISES: (VERMILION, "^")}
OTHER_MARK: Final = (GREY, "o")
ROW: Final = 0.2  # inches per row
MIN_SCORED: Final = 3  # models of which there is always room
MIN_ROWS: Final = 5  # of which there is always room
TICKS: Final = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 10.0)
RATIO_RANGE: Final = (0.1, 10.0)  # ratios at the ends of the axis; intervals beyond run into it


@styled
def ratios_figure(rows: pd.DataFrame, *, title: str = "Seed sd over that of random subsets of the same size") -> Figure:
    """Draw the ratio of the seed sd of each method to that of a reference on a log scale, one panel per size.

    Parameters
    ----------
    rows : pd.DataFrame
        One row per method and size: ``label, size, ratio, ratio_q05, ratio_q95, verdict`` and, if known,
        ``random_q05, random_q95``, the range of the ratio over random subsets.
    title : str
        The finding.
    """
    sizes = sorted(rows["size"].unique())
    labels = list(dict.fromkeys(rows["label"]))
    n_columns = 1 if narrow() else len(sizes)
    n_rows = -(-len(sizes) // n_columns)
    figure = new_figure(n_rows * (0.5 + ROW * max(len(labels), MIN_ROWS)) + 0.8, title)
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    limits = _limits(rows)
    for axes, size in zip(grid.ravel(), sizes, strict=False):
        _panel(axes, rows[rows["size"] == size].set_index("label").reindex(labels), limits)
        axes.set_title(f"{size:,} items")
    for axes in grid[-1]:
        axes.set_xlabel("ratio of seed sds, log scale" if n_columns < 3 else "ratio of seed sds")
    figure.legend(handles=_legend(rows), loc="outside lower center", ncols=1 if narrow() else 4)
    return figure


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    values = rows[["ratio", "ratio_q05", "ratio_q95"]].to_numpy(dtype=np.float64)
    finite = values[np.isfinite(values) & (values > 0)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.5, 2.0)
    return max(min(low * 0.93, 0.7), RATIO_RANGE[0]), min(max(high * 1.07, 1.4), RATIO_RANGE[1])


def _panel(axes: Axes, part: pd.DataFrame, limits: tuple[float, float]) -> None:
    heights = np.arange(len(part))
    if {"random_q05", "random_q95"} <= set(part.columns) and part["random_q05"].notna().any():
        low, high = (part[name].to_numpy(dtype=np.float64) for name in ("random_q05", "random_q95"))
        axes.barh(heights, high - low, left=low, height=1.0, color=PALE, alpha=0.55, linewidth=0)
    axes.axvline(1.0, color=INK, linewidth=0.9)
    verdicts = part["verdict"].fillna("")
    for verdict in dict.fromkeys(verdicts):
        colour, marker = MARKS.get(str(verdict), OTHER_MARK)
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
    label_rows(axes, [shorten(str(label), 20 if narrow() else 34) for label in part.index])


def _legend(rows: pd.DataFrame) -> list[Line2D | Patch]:
    """One mark per verdict that occurs, and the band."""
    handles: list[Line2D | Patch] = []
    for verdict in dict.fromkeys(rows["verdict"].fillna("")):
        colour, marker = MARKS.get(str(verdict), OTHER_MARK)
        handles.append(
            Line2D([], [], color=colour, marker=marker, markersize=5, linewidth=1.6, label=str(verdict) or "no verdict")
        )
    if "random_q05" in rows and rows["random_q05"].notna().any():
        handles.append(Patch(color=PALE, alpha=0.55, label="random subsets with the same weights, 5 to 95%"))
    return handles


@styled
def cures_figure(cures: pd.DataFrame, benchmark: str) -> Figure:
    """Draw noise per signal of every cure over that of its control at equal cost, with its interval, on a log scale.

    Parameters
    ----------
    cures : pd.DataFrame
        `StudyResult.cures`: ``benchmark, cure, how, size, ratio, ratio_q05, ratio_q95, verdict``.
    benchmark : str
        Which benchmark.
    """
    rows = cures[(cures[BENCHMARK] == benchmark) & cures["ratio"].notna()]
    title = f"{shorten(benchmark, 24)}: noise per signal of a cure over that of its control"
    figure = new_figure(1.0 + ROW * max(len(rows), MIN_ROWS), title)
    axes = figure.subplots()
    shown = rows["how"].map(lambda how: ESTIMATORS[how].title if how in ESTIMATORS else how)
    names = [f"{how}, {size:,}" for how, size in zip(shown, rows["size"], strict=True)]
    kinds = rows["cure"].where(rows["cure"] != rows["cure"].shift(), "").to_list()
    _panel(axes, rows.set_index(pd.Index(names)), _limits(rows))
    for height, kind in enumerate(kinds):
        if kind:
            axes.axhline(height - 0.5, color=PALE, linewidth=0.8)
            axes.text(1.01, height, kind, transform=axes.get_yaxis_transform(), size=SMALL_SIZE, va="center")
    axes.set_xlabel("ratio of noise per signal, log scale; number of items beside each cure")
    figure.legend(handles=_legend(rows), loc="outside lower center", ncols=1 if narrow() else 4)
    return figure


@styled
def paths_figure(paths: pd.DataFrame, benchmark: str) -> Figure:
    """Draw the pruning path of one benchmark, as in section 4 of the paper, beside random subsets of the same size.

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
    several = bool(rows["monotonicity"].notna().any())  # several steps
    n_panels = 2 + several
    panels = figure.subplots(n_panels, 1, sharex=True) if narrow() else figure.subplots(1, n_panels, sharex=True)
    x = rows["dropped"].to_numpy(dtype=np.float64)
    _noise(panels[0], rows, x)
    error = POINTS * rows["standard_error"].to_numpy(dtype=np.float64)
    mean = POINTS * rows["mean"].to_numpy(dtype=np.float64)
    panels[1].axhline(mean[0], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    panels[1].fill_between(x, mean - error, mean + error, color=PALE, alpha=0.6, linewidth=0)
    panels[1].plot(x, mean, color=BLUE, marker="o", markersize=3)
    panels[1].set(ylabel="mean score (points)", title="Mean score, with its standard error")
    if several:
        panels[2].plot(x, rows["monotonicity"], color=BLUE, marker="o", markersize=3)
        panels[2].set(ylabel="Kendall's tau of score and step", title="Monotonicity")
    for axes in panels[-1:] if narrow() else panels:
        axes.set_xlabel("items dropped")
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


def _noise(axes: Axes, rows: pd.DataFrame, x: npt.NDArray[np.float64]) -> None:
    low, high = (POINTS * rows[f"random_{end}"].to_numpy(dtype=np.float64) for end in ("q05", "q95"))
    axes.fill_between(x, low, high, color=PALE, alpha=0.6, linewidth=0, label="random items, 5 to 95%")
    axes.plot(x, POINTS * rows["v_k_sd"], color=GREEN, linewidth=1.2, label="root of V(k)")
    axes.plot(
        x, POINTS * rows["seed_sd"], color=VERMILION, marker="o", markersize=3, label="without the least discriminating"
    )
    axes.set(ylabel="seed sd (points)", ylim=(0, None), title="Seed sd")
    axes.legend(loc="upper left")


def _title(rows: pd.DataFrame, benchmark: str) -> str:
    last = rows.iloc[-1]
    known = float(last["random_sd"]) > 0
    beside = f", {float(last['seed_sd'] / last['random_sd']):.2f} times that of random items" if known else ""
    return (
        f"{shorten(benchmark, 20)}: {last['dropped']:.0%} of the items dropped, seed sd "
        f"{POINTS * last['seed_sd']:.1f} points{beside}"
    )


def forest_rows(
    results: pd.DataFrame, benchmark: str, *, estimator: str = "weighted", run: str = POOLED
) -> pd.DataFrame:
    """Rows of one benchmark and score as `ratios_figure` draws them, with the range of their own random subsets.

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
    reference = part[is_random(part)].set_index(["size", "weights"])
    ways = part[~is_reference(part)]
    frame = pd.DataFrame(
        {
            "label": labels(ways),
            "size": ways["size"].astype(int),
            "verdict": ways["verdict"],
            "detectable": ways.get("detectable", np.nan),
        },
        index=ways.index,
    )
    for end in ("", "_q05", "_q95"):
        frame[f"ratio{end}"] = ways[f"ratio{end}"]
    keys = pd.MultiIndex.from_arrays([ways["size"], [random_reference(each, estimator)[0] for each in ways["weights"]]])
    for end in ("q05", "q95"):
        frame[f"random_{end}"] = reference[f"ratio_{end}"].reindex(keys).to_numpy()
    return frame


def drawn_estimator(results: pd.DataFrame, benchmark: str) -> str | None:
    """Estimator whose recipes the forest plot shows: weighted means, or else the first; None if there is none."""
    ways = results.loc[(results[BENCHMARK] == benchmark) & ~is_reference(results), "estimator"]
    return None if not len(ways) else WEIGHTED if (ways == WEIGHTED).any() else str(ways.iloc[0])


def labels(rows: pd.DataFrame) -> pd.Series:
    """Label of each recipe: method, and weights other than its own."""
    own = rows["weights"] == rows["method"].map(default_weights)
    return pd.Series(np.where(own, rows["method"], rows["method"] + ", " + rows["weights"]), index=rows.index)


def forest_figure(results: pd.DataFrame, benchmark: str, *, estimator: str = "weighted", run: str = POOLED) -> Figure:
    """Draw the ratio of each seed sd to that of random subsets scored the same way, one panel per size.

    Parameters are those of `forest_rows`.
    """
    rows = forest_rows(results, benchmark, estimator=estimator, run=run)
    counts = rows["verdict"].value_counts()
    n = {word: int(counts.get(word, 0)) for word in (CUTS, RAISES)}
    title = (
        f"{shorten(benchmark, 30)}, estimator {estimator}: seed sd over that of random subsets of the same size; "
        f"{n[CUTS]} of {len(rows)} reduce it, {n[RAISES]} raise it"
    )
    return ratios_figure(rows, title=title)


DRAWN_ESTIMATORS: Final = ("weighted", "p_irt", "p_irt_ridge", "gp_irt_source")  # estimators with a row of panels each
ROW_HEIGHT: Final = 0.19  # inches per method


@styled
def subset_comparison_figure(table: pd.DataFrame, *, estimators: Sequence[str] = DRAWN_ESTIMATORS) -> Figure:
    """Draw the error of each method, with its own weights, beside the range of random subsets.

    Parameters
    ----------
    table : pd.DataFrame
        From `irt_bench.subsets.compare.compare`.
    estimators : sequence of str
        Each has a row of panels, sizes are columns; those not in the table are left out.
    """
    own = table[table["weights"] == table["method"].map(default_weights)]
    sizes = sorted(own["size"].unique())
    rows = [name for name in estimators if (own["estimator"] == name).any()]
    methods = list(dict.fromkeys(own["method"]))[::-1]
    figure = new_figure(1.0 + len(rows) * (0.5 + ROW_HEIGHT * len(methods)), _error_title(table))
    grid = figure.subplots(len(rows), len(sizes), sharex="col", sharey=True, squeeze=False)
    for axes_row, name in zip(grid, rows, strict=True):
        for axes, size in zip(axes_row, sizes, strict=True):
            _error_panel(axes, own[(own["size"] == size) & (own["estimator"] == name)].set_index("method"), methods)
            axes.set_title(f"{ESTIMATORS[name].title}, {size} items")
    for axes in grid[-1]:
        axes.set_xlabel("mean absolute error (points)")
    return figure


def _error_panel(axes: Axes, part: pd.DataFrame, methods: list[str]) -> None:
    """Draw one dot per method; its colour shows whether it is better or worse than 95% of random subsets."""
    places = np.arange(len(methods))
    error = part["mae"].reindex(methods).to_numpy(dtype=np.float64) * POINTS
    low, mean, high = (float(part[name].iloc[0]) * POINTS for name in ("random_q05", "random", "random_q95"))
    colour = np.where(error < low, BLUE, np.where(error > high, VERMILION, GREY))
    if np.isfinite(mean):
        axes.axvspan(low, high, color=PALE, alpha=0.6, linewidth=0)
        axes.axvline(mean, color=GREY, linewidth=1)
    # An outlier would compress the scale: it is drawn at the edge with its error beside it.
    limit = max(2.2 * np.nanmin(error), 1.15 * np.nan_to_num(high))
    axes.scatter(np.minimum(error, limit), places, c=list(colour), s=22, zorder=3)
    for place, value in zip(places.tolist(), error.tolist(), strict=True):
        if value > limit:
            axes.annotate(f"{value:.1f}", (limit, place), (-5, 0), textcoords="offset points", ha="right", va="center",
                          size=SMALL_SIZE)  # fmt: skip
    axes.set_yticks(places, methods)


def _error_title(table: pd.DataFrame) -> str:
    best = table.loc[table.groupby("size")["mae"].idxmin(), ["size", "method", "estimator", "mae"]]
    words = [
        f"{POINTS * float(mae):.1f} points with {size} items ({method}, {ESTIMATORS[str(name)].title})"
        for size, method, name, mae in best.to_numpy().tolist()
    ]
    return (
        "Smallest error on held-out models: " + "; ".join(words) + ". Grey: random subsets, 5 to 95%; blue: below them"
    )


@styled
def subset_items_figure(items: pd.DataFrame) -> Figure:
    """Draw the items of a subset by difficulty and discrimination, with areas in proportion to their weights.

    Parameters
    ----------
    items : pd.DataFrame
        Indexed by item: ``difficulty, difficulty_sd, discrimination, discrimination_sd, weight``.
    """
    negative = int((items["weight"] < 0).sum())
    weight = items["weight"].abs().to_numpy(dtype=np.float64)
    unequal = len(weight) > 0 and float(np.ptp(weight)) > 1e-9 * float(weight.max())
    title = f"{len(items):,} items by difficulty and discrimination{'; areas are weights' * unequal}"
    figure = new_figure(4.2, title + (f", {negative:,} of them negative" if negative else ""))
    axes = figure.subplots()
    x, y = items["difficulty"], items["discrimination"]
    axes.errorbar(x, y, xerr=items["difficulty_sd"], yerr=items["discrimination_sd"], fmt="none", ecolor=PALE)
    colour = np.where(items["weight"] < 0, GREY, VERMILION)
    axes.scatter(x, y, s=26 * weight / max(weight.mean(), 1e-12), c=list(colour), alpha=0.85, linewidths=0, zorder=3)
    axes.set_xlabel("difficulty (scale of ability), with one standard deviation")
    axes.set_ylabel("discrimination\n(logits per unit of ability)")
    return figure


@styled
def subset_scores_figure(table: pd.DataFrame) -> Figure:
    """Draw estimated full scores with their 90% intervals against full scores.

    Parameters
    ----------
    table : pd.DataFrame
        Indexed by model: ``score, estimate, q05, q95, error, covered``.
    """
    error, covered = POINTS * table["error"].abs().mean(), 100 * table["covered"].mean()
    title = (
        f"Estimates are off by {error:.1f} points on average; intervals hold {covered:.0f}% of {len(table):,} scores"
    )
    figure = new_figure(4.8, title)
    axes = figure.subplots()
    score = POINTS * table["score"]
    for held, colour, label in ((True, BLUE, "score within the 90% interval"), (False, VERMILION, "outside")):
        part = table[table["covered"] == held]
        if len(part):
            axes.vlines(POINTS * part["score"], POINTS * part["q05"], POINTS * part["q95"], color=PALE, linewidth=1)
            axes.scatter(POINTS * part["score"], POINTS * part["estimate"], color=colour, s=14, zorder=3, label=label)
    ends = [float(score.min()), float(score.max())]
    axes.plot(ends, ends, color=GREY, linewidth=1, zorder=2)
    axes.set_xlabel("score on the full benchmark (points)")
    axes.set_ylabel("estimate from the subset (points)")
    axes.legend(loc="upper left")
    return figure


@styled
def scored_figure(scores: pd.DataFrame, of: str) -> Figure:
    """Draw the ability, or the estimated full score, of each scored model with its 90% interval, best first.

    Parameters
    ----------
    scores : pd.DataFrame
        Indexed by model (and dimension): ``ability`` or ``estimate``, and its limits. Of more than 40 rows the 20 best
        and some evenly spaced are drawn.
    of : str
        By what models were scored, for the title.
    """
    is_full = "estimate" in scores
    name, low, high = ("estimate", "q05", "q95") if is_full else (ABILITY, f"{ABILITY}_q05", f"{ABILITY}_q95")
    scale = POINTS if is_full else 1.0
    known = scores[scores[name].notna()].sort_values(name, ascending=False, kind="stable")
    rows = known.iloc[shown_models(len(known))]
    what = "Estimated full scores" if is_full else "Abilities"
    some = f" ({BEST} best, and some below the line)" if len(rows) < len(known) else ""
    n_models = known.index.get_level_values(0).nunique()
    figure = new_figure(1.1 + ROW * max(len(rows), MIN_SCORED), f"{what} of {n_models:,} models{some}, by {of}")
    axes, heights = figure.subplots(), np.arange(len(rows))
    axes.hlines(heights, scale * rows[low], scale * rows[high], color=SKY, linewidth=2.2)
    axes.scatter(scale * rows[name], heights, color=BLUE, s=16, zorder=3)
    labels = [", ".join(map(str, label)) if isinstance(label, tuple) else str(label) for label in rows.index]
    length = 18 if narrow() else LABEL_CHARACTERS
    labels = [shorten(label, length) for label in labels]
    label_rows(axes, labels, room=MIN_SCORED, line_below=BEST if some else 0)
    unit = "estimated score on all items (%)" if is_full else "ability (scale of the items)"
    axes.set_xlabel(f"{unit}, with 90% interval")
    return figure


@styled
def adaptive_figure(course: pd.DataFrame, stop_sd: float) -> Figure:
    """Draw the ability of a few models and its 90% interval against the number of items asked adaptively.

    Parameters
    ----------
    course : pd.DataFrame
        Indexed by model and number of items: ``ability`` with its limits, and ``reference``, the true ability or that
        from all items; from `irt_bench.subsets.adaptive.adaptive_course`.
    stop_sd : float
        At which posterior sd of ability the tests stop.
    """
    lengths = course.groupby(level=MODEL, sort=False).size() - 1
    asked = f"{lengths.min()} to {lengths.max()} items" if lengths.nunique() > 1 else f"{lengths.max()} items"
    figure = new_figure(4.6, f"Adaptive tests of {len(lengths)} models, until the sd is {stop_sd:g}: {asked}")
    axes = figure.subplots()
    for (model, own), colour in zip(course.groupby(level=MODEL, sort=False), (BLUE, ORANGE, GREEN), strict=False):
        at = own.index.get_level_values(1)
        axes.fill_between(at, own[f"{ABILITY}_q05"], own[f"{ABILITY}_q95"], color=colour, alpha=0.2, linewidth=0)
        axes.plot(at, own[ABILITY], color=colour, linewidth=1.6, label=shorten(str(model), LABEL_CHARACTERS))
        axes.scatter(at[-1], own[ABILITY].iloc[-1], color=colour, s=26, zorder=4)
        axes.axhline(own["reference"].iloc[0], color=colour, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.plot([], [], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), label=str(course.attrs["reference"]))
    axes.set_xlabel("items asked")
    axes.set_ylabel("ability with 90% interval")
    axes.set_xlim(0, int(lengths.max()) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    figure.legend(loc="outside lower center", ncols=1 if narrow() else 2)
    return figure


@styled
def calibrations_figure(table: pd.DataFrame, size: int) -> Figure:
    """Draw the error of a subset against the number of models that calibrate it, beside the mean of random items.

    Parameters
    ----------
    table : pd.DataFrame
        Indexed by the number of calibration models: ``error`` with its limits, ``random``.
    size : int
        Number of items.
    """
    least = f"{POINTS * table['error'].min():.1f} points with {table['error'].idxmin():,} calibration models"
    figure = new_figure(4.2, f"Error of {size:,} items by number of calibration models: least, {least}")
    axes, at = figure.subplots(), table.index.to_numpy(dtype=np.float64)
    error, low, high = (POINTS * table[name].to_numpy() for name in ("error", "error_q05", "error_q95"))
    axes.vlines(at, low, high, color=SKY, linewidth=2.2)
    axes.plot(at, error, color=BLUE, marker="o", markersize=4, label="subset, 90% interval over draws of models")
    axes.plot(at, POINTS * table["random"], color=GREY, linestyle=(0, (4, 3)), marker="o", markersize=3,
              label="mean of as many random items")  # fmt: skip
    if at.max() > 4 * at.min():
        axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(at.tolist()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_ylim(0, None)
    axes.set_xlabel("models that calibrate the subset")
    axes.set_ylabel("mean absolute error of the full score (points)")
    axes.legend(loc="lower left")
    return figure
