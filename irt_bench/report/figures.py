"""Figures of finished results: items, fits, comparisons, information and score curves.

Every function takes computed frames and returns a `Figure`; nothing is estimated here. Titles say the finding, axes the
quantity and its unit. `save_figure` writes the same bytes for the same figure.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from irt_bench.analysis.agreement import Comparison
from irt_bench.analysis.classical import FEW_MODELS, FLAGS
from irt_bench.analysis.discordance import CLEAR
from irt_bench.report.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LABEL_CHARACTERS,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    SMALL_SIZE,
    VERMILION,
    FloatArray,
    band,
    clear_legend,
    name_points,
    new_figure,
    padded,
    point_style,
    rug,
    save_figure,
    styled,
)
from irt_bench.report.tables import interval_text, shorten

__all__ = [
    "comparison_figure",
    "curves_figure",
    "fit_figure",
    "information_figure",
    "items_figure",
    "save_figure",
]

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
MOST_INTERVALS: Final = 300  # points with intervals drawn; beyond, they hide one another
FINE_BINS: Final = 60  # models up to which each possible share of right answers has a bar of its own
MOST_MODELS: Final = 60  # rows of the forest plot; beyond, SAMPLED ones
SAMPLED: Final = (10, 20, 10)  # best, evenly spaced, worst
PAIRS_DRAWN: Final = 10
PAIRS_NAMED: Final = 3
LABEL_BELOW: Final = 0.07  # share of the height, from a pair's model to its label
BARS: Final = 12
ERROR_RANGE: Final = 6  # the standard error's axis ends at this many times its smallest value


@styled
def items_figure(item_statistics: pd.DataFrame) -> Figure:
    """Draw every item by its difficulty and item-rest correlation, coloured by flag, with both distributions.

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
    figure = new_figure(6.4, _items_title(item_statistics))
    grid = figure.add_gridspec(2, 2, width_ratios=(6, 1), height_ratios=(1, 6))
    axes = figure.add_subplot(grid[1, 0])
    x, y = item_statistics["difficulty"].to_numpy(), item_statistics["item_rest_correlation"].to_numpy()
    low, high = padded(np.append(y, 0.0), 0.08)
    axes.set(xlim=(-0.03, 1.03), ylim=(low, high))
    axes.axhline(0, color=GREY, linewidth=0.8)
    for flag in (NO_FLAG, *reversed(FLAGS)):  # the gravest on top
        _draw_flag(axes, x, y, (flags == flag).to_numpy(), flag, n_items)
    axes.set_xlabel("difficulty: share of right answers over models, high is easy")
    axes.set_ylabel("item-rest correlation over models (r)")
    suspect = item_statistics["flags"].str.contains("|".join(SUSPECT))
    worst = item_statistics.loc[suspect, "item_rest_correlation"].dropna().nsmallest(MOST_NAMED).index
    places = item_statistics.index.get_indexer(worst)
    name_points(axes, x[places], y[places], worst)
    _margins(figure, grid, axes, x, y, max(int(item_statistics["n_models"].max()), 1))
    if few:
        axes.set_title(f"few_models: fewer than {FEW_MODELS} models answered each item, correlations are uncertain")
    handles, labels = axes.get_legend_handles_labels()
    clear_legend(figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=4))
    return figure


@styled
def fit_figure(abilities: pd.DataFrame, items: pd.DataFrame) -> Figure:
    """Draw the abilities of the models as a forest plot, and the items by difficulty and discrimination.

    Parameters
    ----------
    abilities : pd.DataFrame
        Indexed by model: ``ability, ability_q05, ability_q95``. Of more than 60 models, the best, the worst and some
        evenly spaced between them are drawn.
    items : pd.DataFrame
        Indexed by item: ``difficulty, discrimination``, each with ``_q05`` and ``_q95``. With one discrimination for
        all (1PL), items are ordered by difficulty instead.
    """
    ranked = abilities.sort_values("ability", ascending=False, kind="stable")
    shown = _sample_rows(len(ranked))
    forest_height = max(1.6, 0.155 * len(shown) + 0.7)
    figure = new_figure(forest_height + 4.6, _fit_title(ranked))
    panels = figure.subfigures(2, 1, height_ratios=(forest_height, 4.0))
    upper, lower = (panel.subplots() for panel in panels)
    _forest(upper, ranked, shown)
    slopes = items["discrimination"].to_numpy()
    if len(items) > 1 and np.ptp(slopes) < 1e-9 * np.abs(slopes).max():
        _difficulties(lower, items)
    else:
        _item_cloud(lower, items)
    rug(lower, abilities["ability"].to_numpy(), "abilities of the models")
    lower.set_xlabel("difficulty (scale of ability)")
    clear_legend(panels[1].legend(loc="outside lower center", ncols=2))
    return figure


@styled
def comparison_figure(comparison: Comparison) -> Figure:
    """Draw accuracy against ability with the pairs of models they order differently, and the items behind those.

    Parameters
    ----------
    comparison : Comparison
        From `irt_bench.analysis.agreement.compare_ability_accuracy`. Where it names no items (1PL, no pairs), its
        note takes their place.
    """
    models, bars = comparison.models, comparison.items.head(BARS)
    bar_height = 0.22 * len(bars) + 0.9
    figure = new_figure(5.4 + (bar_height if len(bars) else 0.3), _comparison_title(comparison))
    panels = figure.subfigures(2, 1, height_ratios=(5.4, bar_height)) if len(bars) else [figure]
    axes = panels[0].subplots()
    if len(bars):
        _contributions(panels[1].subplots(), bars)
    else:
        figure.supxlabel(f"No items are shown: {comparison.note}.", x=0.01, ha="left", size=9)
    pairs = comparison.discordant.head(PAIRS_DRAWN)
    _model_cloud(axes, models, pairs)
    _pairs(axes, models, pairs)
    named = _models_of(pairs.head(PAIRS_NAMED))
    named_x, named_y = (models[name].reindex(named).to_numpy() for name in ("accuracy", "ability"))
    name_points(axes, named_x, named_y, named, below=LABEL_BELOW)
    tau = comparison.correlations.loc[["kendall_tau_b"]].to_dict("records")[0]
    found = interval_text(tau["estimate"], tau["q05"], tau["q95"])
    axes.set_title(f"Kendall's tau-b of ability with accuracy {found}; of the two rankings {tau['rankings']:.2f}")
    axes.set_xlabel("accuracy (share of right answers)")
    axes.set_ylabel("ability (sds of the calibration models)")
    clear_legend(axes.legend(loc="upper left"))
    return figure


@styled
def information_figure(information: pd.DataFrame | xr.Dataset, abilities: pd.Series | None = None) -> Figure:
    """Draw the information of the whole benchmark and the standard error it allows, over the abilities of the models.

    Parameters
    ----------
    information : pd.DataFrame or xr.Dataset
        Indexed by ``ability``: ``information`` and, where known, ``standard_error`` (else 1 / sqrt(information)), each
        with ``_q05`` and ``_q95``; as from `irt_bench.analysis.irt.benchmark_information`.
    abilities : pd.Series, optional
        Of the models.
    """
    frame = _with_error(_frame(information))
    best = int(frame["information"].argmax())
    error = frame["standard_error"].iloc[best]
    title = f"Abilities near {frame.index[best]:.1f} are measured best, to a standard error of {error:.2f}"
    heights = (3.0, 3.0) if abilities is None else (3.0, 3.0, 1.3)
    figure = new_figure(sum(heights) * 0.8 + 0.8, title)
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    x = frame.index.to_numpy(dtype=np.float64)
    band(panels[0], frame, "information")
    panels[0].set(ylabel="information\n(per squared unit of ability)", ylim=(0, None), xlim=(x[0], x[-1]))
    band(panels[1], frame, "standard_error")
    within = frame if abilities is None else frame[(x >= abilities.min()) & (x <= abilities.max())]
    panels[1].set(ylabel="standard error\n(units of ability)", ylim=(0, _error_limit(frame, within)))
    if abilities is not None:
        _distribution(panels[2], abilities.to_numpy(dtype=np.float64))
    panels[-1].set_xlabel("ability (sds of the calibration models)")
    return figure


@styled
def curves_figure(curve: pd.DataFrame | xr.Dataset, models: pd.DataFrame | None = None) -> Figure:
    """Draw the expected score as a function of ability, and where the models came out.

    Parameters
    ----------
    curve : pd.DataFrame or xr.Dataset
        Indexed by ``ability``: ``score, score_q05, score_q95``, as from `irt_bench.analysis.irt.expected_score_curve`.
    models : pd.DataFrame, optional
        ``ability, ability_q05, ability_q95, accuracy``; models asked other items than the rest need not lie on the
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
        if len(models) <= MOST_INTERVALS:
            axes.hlines(y, models["ability_q05"], models["ability_q95"], color=PALE, linewidth=1, zorder=1)
        axes.scatter(x, y, color=BLUE, label="models: ability and accuracy", zorder=3, **point_style(len(models)))
    axes.set(
        xlabel="ability (sds of the calibration models)", ylabel="score (share of right answers)", ylim=(-0.02, 1.02)
    )
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    clear_legend(axes.legend(loc="upper left"))
    return figure


def _frame(curve: pd.DataFrame | xr.Dataset) -> pd.DataFrame:
    return curve.to_dataframe() if isinstance(curve, xr.Dataset) else curve


def _with_error(frame: pd.DataFrame) -> pd.DataFrame:
    """Add the standard error where it is not there; its limits are the information's, turned round."""
    if "standard_error" in frame:
        return frame
    error = {
        "standard_error": "information",
        "standard_error_q05": "information_q95",
        "standard_error_q95": "information_q05",
    }
    return frame.assign(**{name: 1 / np.sqrt(frame[source]) for name, source in error.items()})


def _error_limit(frame: pd.DataFrame, within: pd.DataFrame) -> float:
    """End of the standard error's axis: what the abilities of the models need, as it goes to infinity beyond them."""
    smallest = float(frame["standard_error"].min())
    largest = float((within if len(within) else frame)["standard_error_q95"].max())
    return min(max(1.15 * largest, 2 * smallest), ERROR_RANGE * smallest)


def _distribution(axes: Axes, abilities: FloatArray) -> None:
    if len(abilities) > MOST_MODELS:
        axes.hist(abilities, bins=40, color=BLUE)
    else:
        axes.vlines(abilities, 0, 1, color=BLUE, linewidth=1)
        axes.set_yticks([])
    axes.set_ylabel("models")


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


def _fit_title(ranked: pd.DataFrame) -> str:
    label = shorten(str(ranked.index[0]), LABEL_CHARACTERS)
    overlapping = int((ranked["ability_q95"].iloc[1:] >= ranked["ability_q05"].iloc[0]).sum())
    others = f"those of {overlapping:,} of {len(ranked) - 1:,} others" if overlapping else "that of no other"
    return f"{label} is estimated ablest; its 90% interval overlaps with {others}"


def _sample_rows(n: int) -> npt.NDArray[np.intp]:
    """Positions of the rows shown: all, or the best, some evenly spaced, and the worst."""
    if n <= MOST_MODELS:
        return np.arange(n)
    best, middle, worst = SAMPLED
    between = np.linspace(best, n - worst - 1, middle + 2)[1:-1].round().astype(np.intp)
    return np.concatenate([np.arange(best), between, np.arange(n - worst, n)])


def _forest(axes: Axes, ranked: pd.DataFrame, shown: npt.NDArray[np.intp]) -> None:
    rows = ranked.iloc[shown]
    heights = np.arange(len(rows))
    axes.hlines(heights, rows["ability_q05"], rows["ability_q95"], color=SKY, linewidth=2.2)
    axes.scatter(rows["ability"], heights, color=BLUE, s=14, zorder=3)
    sampled = len(shown) < len(ranked)
    labels = [shorten(str(label), LABEL_CHARACTERS) for label in rows.index]
    if sampled:
        labels = [f"{label}  #{place + 1:,}" for label, place in zip(labels, shown, strict=True)]
        for edge in (SAMPLED[0], len(rows) - SAMPLED[2]):
            axes.axhline(edge - 0.5, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_yticks(heights, labels, size=SMALL_SIZE)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    best, middle, worst = SAMPLED
    rest = f"\n({best} best, {middle} evenly spaced and {worst} worst of {len(ranked):,})" if sampled else ""
    axes.set_title(f"Models by ability: posterior mean and 90% interval{rest}")
    axes.set_xlabel("ability (sds of the calibration models)")


def _item_cloud(axes: Axes, items: pd.DataFrame) -> None:
    x, y = items["difficulty"].to_numpy(), items["discrimination"].to_numpy()
    if len(items) <= MOST_INTERVALS:
        axes.hlines(y, items["difficulty_q05"], items["difficulty_q95"], color=PALE, linewidth=0.8)
        axes.vlines(x, items["discrimination_q05"], items["discrimination_q95"], color=PALE, linewidth=0.8)
    label = "items" + (", 90% intervals light" if len(items) <= MOST_INTERVALS else "")
    axes.scatter(x, y, color=VERMILION, zorder=3, label=label, **point_style(len(items)))
    axes.set_xlim(*padded(x, 0.08))
    _scale_slopes(axes, y)
    axes.set_ylabel("discrimination\n(logits per unit of ability)")
    axes.set_title(f"Items ({len(items):,}) by difficulty and discrimination")


def _scale_slopes(axes: Axes, slopes: FloatArray) -> None:
    """Doublings of the discrimination evenly spaced, where there are any; else its own scale."""
    if not (slopes > 0).all() or slopes.max() < 4 * slopes.min():
        axes.set_ylim(*padded(slopes, 0.15))
        return
    low, high = padded(np.log2(slopes), 0.12)
    axes.set_yscale("log", base=2)
    axes.set_ylim(2**low, 2**high)
    axes.yaxis.set_major_locator(FixedLocator((2.0 ** np.arange(np.ceil(low), high)).tolist()))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _difficulties(axes: Axes, items: pd.DataFrame) -> None:
    """Items ordered by difficulty, where they differ in nothing else."""
    ranked = items.sort_values("difficulty", kind="stable")
    places = np.arange(1, len(ranked) + 1)
    axes.hlines(places, ranked["difficulty_q05"], ranked["difficulty_q95"], color=PALE, linewidth=1)
    axes.scatter(
        ranked["difficulty"],
        places,
        color=VERMILION,
        zorder=3,
        label="items, 90% intervals light",
        **point_style(len(items)),
    )
    axes.set_xlim(*padded(ranked["difficulty"].to_numpy(), 0.08))
    axes.set_ylim(-0.03 * len(ranked), 1.02 * len(ranked) + 1)
    axes.set_ylabel("items, easiest first (rank)")
    slope = items["discrimination"].iloc[0]
    axes.set_title(
        f"Items ({len(items):,}) by difficulty; one discrimination for all, {slope:.2f} logits per unit of ability"
    )


def _comparison_title(comparison: Comparison) -> str:
    if not comparison.n_discordant:
        return f"Ability and accuracy order all {comparison.n_pairs:,} pairs of models alike"
    clear = f"{comparison.n_clear:,} of them clearly" if comparison.n_clear else "none of them clearly"
    pairs = f"{comparison.n_discordant:,} of {comparison.n_pairs:,} pairs of models"
    return f"Ability and accuracy order {pairs} differently, {clear}"


def _models_of(pairs: pd.DataFrame) -> pd.Index:
    """Models of some pairs, each once."""
    found: pd.Index = pd.Index(list(dict.fromkeys([*pairs["higher_ability"], *pairs["higher_accuracy"]])))
    return found


def _model_cloud(axes: Axes, models: pd.DataFrame, pairs: pd.DataFrame) -> None:
    """All models; with intervals if they are few, else those of the pairs drawn only."""
    few = len(models) <= MOST_INTERVALS
    crossed = models if few else models.loc[_models_of(pairs)]
    x, y = crossed["accuracy"].to_numpy(), crossed["ability"].to_numpy()
    axes.hlines(y, crossed["accuracy_q05"], crossed["accuracy_q95"], color=PALE, linewidth=0.8)
    axes.vlines(x, crossed["ability_q05"], crossed["ability_q95"], color=PALE, linewidth=0.8)
    label = f"models ({len(models):,}){', 90% intervals light' if few else ''}"
    axes.scatter(models["accuracy"], models["ability"], color=GREY, label=label, zorder=2, **point_style(len(models)))


def _pairs(axes: Axes, models: pd.DataFrame, pairs: pd.DataFrame) -> None:
    """Join the models of each pair, solid where the order is clear, and mark which is the higher by what."""
    clear = (pairs["p_ability"] >= CLEAR) & (pairs["p_accuracy"] >= CLEAR)
    for able, accurate, shown in zip(pairs["higher_ability"], pairs["higher_accuracy"], clear, strict=True):
        ends = models.loc[[able, accurate]]
        axes.plot(
            ends["accuracy"], ends["ability"], color=INK, linewidth=0.9, linestyle="-" if shown else ":", zorder=3
        )
    told = f"in the {len(pairs)} most certain pairs" if len(pairs) > 1 else "in the pair ordered differently"
    for column, marker, colour in (("higher_ability", "^", VERMILION), ("higher_accuracy", ">", BLUE)):
        ends = models.loc[pairs[column].unique()]
        if len(ends):
            label = f"{column.replace('_', ' ')} {told}"
            axes.scatter(ends["accuracy"], ends["ability"], color=colour, marker=marker, s=34, zorder=4, label=label)


def _contributions(axes: Axes, items: pd.DataFrame) -> None:
    heights = np.arange(len(items))
    contribution = items["contribution"].to_numpy(dtype=np.float64)
    axes.barh(heights, contribution, color=np.where(contribution >= 0, VERMILION, BLUE).tolist(), height=0.7)
    for height, value, slope in zip(heights.tolist(), contribution.tolist(), items["discrimination"], strict=True):
        axes.annotate(f" a = {slope:.2f}", (max(value, 0.0), height), va="center", size=SMALL_SIZE)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_yticks(heights, [shorten(str(label), LABEL_CHARACTERS) for label in items.index], size=SMALL_SIZE)
    axes.set_ylim(len(items) - 0.4, -0.6)
    axes.margins(x=0.12)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}"))
    axes.set_xlabel("contribution to the reversal (percentage points of score; a: discrimination)")
    axes.set_title("Items that count most for the one order and least for the other")
