"""Figures of items: share of right responses and item-rest correlation by flag, information, and the expected score."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from irt_bench.analysis.classical import FEW_MODELS, FLAGS
from irt_bench.arrays import FloatArray
from irt_bench.report.figures.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MAX_INTERVALS,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILION,
    WIDTH,
    band,
    clear_legend,
    name_points,
    narrow,
    new_figure,
    padded,
    page_width,
    point_style,
    styled,
    with_texts,
)
from irt_bench.report.tables.text import against_rest

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
MAX_NAMED: Final = 5
FINE_BINS: Final = 60  # up to this number of models, each possible share has its own bar


@styled
def items_figure(item_statistics: pd.DataFrame) -> Figure:
    """Draw every item by its share of right responses and item-rest correlation, with distributions.

    Parameters
    ----------
    item_statistics : pd.DataFrame
        From `irt_bench.analysis.classical.item_statistics`.

    Notes
    -----
    The colour of an item is that of its first flag. If all items have few_models, it is a note instead. Items without
    a correlation are marks at the lower edge. The suspect items with the lowest correlations are named.
    """
    flags, few = _first_flags(item_statistics["flags"])
    slim = narrow()  # no room for distributions beside
    figure = new_figure(4.6 if slim else 6.4, _items_title(item_statistics))
    grid = None if slim else figure.add_gridspec(2, 2, width_ratios=(6, 1), height_ratios=(1, 6))
    axes = figure.subplots() if grid is None else figure.add_subplot(grid[1, 0])
    x, y = item_statistics["proportion_correct"].to_numpy(), item_statistics["item_rest_correlation"].to_numpy()
    low, high = padded(np.append(y, 0.0), 0.08)
    axes.set(xlim=(-0.03, 1.03), ylim=(low, high))
    axes.axhline(0, color=GREY, linewidth=0.8)
    for flag in (NO_FLAG, *reversed(FLAGS)):  # the most serious on top
        _draw_flag(axes, item_statistics, (flags == flag).to_numpy(), flag)
    axes.set_xlabel("share of right responses" if slim else "share of right responses over models, high is easy")
    axes.set_ylabel("item-rest correlation (r)" if slim else "item-rest correlation over models (r)")
    suspect = item_statistics["flags"].str.contains("|".join(SUSPECT))
    worst = item_statistics.loc[suspect, "item_rest_correlation"].dropna().nsmallest(MAX_NAMED).index
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
    """First flag of each item in the order of FLAGS, and whether all have few_models, which then does not count."""
    raised = flags.str.split(";")
    few = all("few_models" in found for found in raised)
    counted = FLAGS[:-1] if few else FLAGS
    return raised.map(lambda found: next((flag for flag in counted if flag in found), NO_FLAG)), few


def _items_title(statistics: pd.DataFrame) -> str:
    n_items = f"{len(statistics):,} items" if len(statistics) > 1 else "one item"
    raised = statistics["flags"].str.split(";")
    negative, maybe = (int(raised.map(lambda found, flag=flag: flag in found).sum()) for flag in SUSPECT[:2])
    if negative:
        return against_rest(negative, n_items)
    if maybe:
        return f"No item is shown to go against the rest; {maybe:,} of {n_items} may"
    if statistics["item_rest_correlation"].isna().all():
        return f"Correlations of {n_items} with the rest are undefined"
    return f"None of {n_items} goes against the rest"


def _draw_flag(axes: Axes, items: pd.DataFrame, chosen: npt.NDArray[np.bool_], flag: str) -> None:
    if not chosen.any():
        return
    x, y = items["proportion_correct"].to_numpy(), items["item_rest_correlation"].to_numpy()
    colour, marker = FLAG_STYLE.get(flag, (GREY, "o"))
    name = flag or "no flag"
    known = chosen & ~np.isnan(y)
    lost = chosen & np.isnan(y)
    style = point_style(len(items), faint=not flag)
    if known.any():
        label = f"{name} ({known.sum():,})"
        points = axes.scatter(x[known], y[known], color=colour, marker=marker, label=label, **style)
        with_texts(
            points,
            [
                f"{item}: share right {a:.2f}, item-rest r {r:.2f}"
                for item, a, r in zip(items.index[known], x[known], y[known], strict=True)
            ],
        )
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


MAX_MODELS: Final = 60  # rows of the forest plot; beyond, SAMPLED ones
ERROR_RANGE: Final = 6  # the standard error's axis ends at this many times its smallest value


@styled
def information_figure(information: pd.DataFrame | xr.Dataset, abilities: pd.Series | None = None) -> Figure:
    """Draw information, standard error and reliability of the whole benchmark over the abilities of the models.

    Parameters
    ----------
    information : pd.DataFrame or xr.Dataset
        Indexed by ``ability``: ``information`` and, where known, ``standard_error`` (else 1 / sqrt(information)), each
        with ``_q05`` and ``_q95``; as from `irt_bench.analysis.curves.benchmark_information`.
    abilities : pd.Series, optional
        Of the models.

    Notes
    -----
    The reliability at an ability is information / (information + 1) [1]_: the share of the variance of estimates that
    is not error, among models whose abilities have an sd of 1.

    References
    ----------
    .. [1] Nicewander, Conditional reliability coefficients for test scores, 2018, DOI 10.1037/met0000132.
    """
    frame = _with_error(_frame(information))
    best = int(frame["information"].argmax())
    error = frame["standard_error"].iloc[best]
    title = f"Abilities near {frame.index[best]:.1f} are measured best, to a standard error of {error:.2f}"
    heights = (3.0, 3.0, 2.4) if abilities is None else (3.0, 3.0, 2.4, 1.3)
    figure = new_figure(sum(heights) * (0.6 if page_width() < WIDTH else 0.8) + 0.8, title)
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    x = frame.index.to_numpy(dtype=np.float64)
    band(panels[0], frame, "information")
    panels[0].set(ylabel="information\n(per squared unit of ability)", ylim=(0, None), xlim=(x[0], x[-1]))
    band(panels[1], frame, "standard_error")
    within = frame if abilities is None else frame[(x >= abilities.min()) & (x <= abilities.max())]
    panels[1].set(ylabel="standard error\n(units of ability)", ylim=(0, _error_limit(frame, within)))
    band(panels[2], frame, "reliability")
    panels[2].set(ylabel="reliability", ylim=(0, 1.02))
    if abilities is not None:
        _distribution(panels[3], abilities.to_numpy(dtype=np.float64))
    panels[-1].set_xlabel("ability (sds of the calibration models)")
    return figure


@styled
def curves_figure(curve: pd.DataFrame | xr.Dataset, models: pd.DataFrame | None = None) -> Figure:
    """Draw the expected score as a function of ability, and the models.

    Parameters
    ----------
    curve : pd.DataFrame or xr.Dataset
        Indexed by ``ability``: ``score, score_q05, score_q95``, as `expected_score_curve` gives them.
    models : pd.DataFrame, optional
        ``ability, ability_q05, ability_q95, accuracy``; models with other items than the rest need not lie on the
        curve.
    """
    frame = _frame(curve)
    first, last = frame.iloc[0]["score"], frame.iloc[-1]["score"]
    title = (
        f"Expected score goes from {first:.0%} at ability {frame.index[0]:.1f} to {last:.0%} at {frame.index[-1]:.1f}"
    )
    figure = new_figure(5.0, title)
    axes = figure.subplots()
    band(axes, frame, "score", label="expected score over all items, 90% interval")
    if models is not None:
        x, y = models["ability"].to_numpy(), models["accuracy"].to_numpy()
        if len(models) <= MAX_INTERVALS:
            axes.hlines(y, models["ability_q05"], models["ability_q95"], color=PALE, linewidth=1, zorder=1)
        axes.scatter(x, y, color=BLUE, label="models: ability and accuracy", zorder=3, **point_style(len(models)))
    axes.set(
        xlabel="ability (sds of the calibration models)", ylabel="score (share of right responses)", ylim=(-0.02, 1.02)
    )
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    clear_legend(axes.legend(loc="upper left"))
    return figure


def _frame(curve: pd.DataFrame | xr.Dataset) -> pd.DataFrame:
    return curve.to_dataframe() if isinstance(curve, xr.Dataset) else curve


def _with_error(frame: pd.DataFrame) -> pd.DataFrame:
    """Add the reliability and, if absent, the standard error; their limits follow from those of the information."""
    known = {f"information{end}": frame[f"information{end}"] for end in ("", "_q05", "_q95")}
    frame = frame.assign(**{name.replace("information", "reliability"): own / (own + 1) for name, own in known.items()})
    if "standard_error" in frame:
        return frame
    error = {
        "standard_error": "information",
        "standard_error_q05": "information_q95",
        "standard_error_q95": "information_q05",
    }
    return frame.assign(**{name: 1 / np.sqrt(frame[source]) for name, source in error.items()})


def _error_limit(frame: pd.DataFrame, within: pd.DataFrame) -> float:
    """Upper limit of the axis: the standard error grows without bound beyond the abilities of the models."""
    smallest = float(frame["standard_error"].min())
    largest = float((within if len(within) else frame)["standard_error_q95"].max())
    return min(max(1.15 * largest, 2 * smallest), ERROR_RANGE * smallest)


def _distribution(axes: Axes, abilities: FloatArray) -> None:
    if len(abilities) > MAX_MODELS:
        axes.hist(abilities, bins=40, color=BLUE)
    else:
        axes.vlines(abilities, 0, 1, color=BLUE, linewidth=1)
        axes.set_yticks([])
    axes.set_ylabel("models")
