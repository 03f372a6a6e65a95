"""A fit: the models as a forest plot, the items by difficulty and discrimination."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from irt_bench.arrays import FloatArray
from irt_bench.names import CLEAR
from irt_bench.report.canvas import (
    BLUE,
    GREY,
    LABEL_CHARACTERS,
    MOST_INTERVALS,
    PALE,
    SKY,
    SMALL_SIZE,
    VERMILION,
    clear_legend,
    new_figure,
    padded,
    point_style,
    rug,
    styled,
)
from irt_bench.report.tables.text import has_flag, lead_text, shorten

MOST_MODELS: Final = 60  # rows of the forest plot; beyond, SAMPLED ones
SAMPLED: Final = (10, 20, 10)  # best, evenly spaced, worst


@styled
def fit_figure(abilities: pd.DataFrame, items: pd.DataFrame) -> Figure:
    """Draw the abilities of the models as a forest plot, and the items by difficulty and discrimination.

    Parameters
    ----------
    abilities : pd.DataFrame
        Indexed by model, from `irt_bench.ability_table`: ``rank, p_first_abler``, ``relative_ability`` with its limits,
        and ``ability`` for the scale of the items. Of more than 60 models, the best, the worst and some evenly spaced
        between them are drawn.
    items : pd.DataFrame
        Indexed by item: ``difficulty, discrimination``, each with ``_q05`` and ``_q95``, and ``flags`` where known:
        items with ``no_information`` are not drawn, those with ``slope_from_prior`` are grey. With one discrimination
        for all (1PL), items are ordered by difficulty instead.
    """
    ranked = abilities.sort_values("rank", kind="stable")
    shown = _sample_rows(len(ranked))
    forest_height = max(1.6, 0.155 * len(shown) + 0.7)
    figure = new_figure(forest_height + 4.6, lead_text(ranked, lambda label: shorten(str(label), LABEL_CHARACTERS)))
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
    axes.hlines(heights, rows["relative_ability_q05"], rows["relative_ability_q95"], color=SKY, linewidth=2.2)
    unclear = (rows["p_first_abler"] < CLEAR).to_numpy()
    axes.scatter(rows["relative_ability"], heights, color=BLUE, s=14, zorder=3)
    axes.scatter(rows["relative_ability"][unclear], heights[unclear], color="white", s=4, zorder=4)
    sampled = len(shown) < len(ranked)
    labels = [shorten(str(label), LABEL_CHARACTERS) for label in rows.index]
    if sampled:
        labels = [f"{label}  #{rank:,.0f}" for label, rank in zip(labels, rows["rank"], strict=True)]
        for edge in (SAMPLED[0], len(rows) - SAMPLED[2]):
            axes.axhline(edge - 0.5, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_yticks(heights, labels, size=SMALL_SIZE)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    best, middle, worst = SAMPLED
    rest = f"\n({best} best, {middle} evenly spaced and {worst} worst of {len(ranked):,})" if sampled else ""
    axes.set_title(f"Models by relative ability: posterior mean and 90% interval{rest}")
    hollow = f"; hollow: the first is abler with less than {CLEAR:.2f}" if unclear.any() else ""
    axes.set_xlabel(f"relative ability (sds from the mean of these models){hollow}")


def _item_cloud(axes: Axes, items: pd.DataFrame) -> None:
    every, items = items, _informed(items)
    x, y = items["difficulty"].to_numpy(), items["discrimination"].to_numpy()
    if len(items) <= MOST_INTERVALS:
        axes.hlines(y, items["difficulty_q05"], items["difficulty_q95"], color=PALE, linewidth=0.8)
        axes.vlines(x, items["discrimination_q05"], items["discrimination_q95"], color=PALE, linewidth=0.8)
    label = "items" + (", 90% intervals light" if len(items) <= MOST_INTERVALS else "")
    guessed = has_flag(items, "slope_from_prior").to_numpy()
    style = point_style(len(items))
    axes.scatter(x[~guessed], y[~guessed], color=VERMILION, zorder=3, label=label, **style)
    if guessed.any():
        axes.scatter(x[guessed], y[guessed], color=GREY, zorder=3, label="items with the prior's slope", **style)
    axes.set_xlim(*padded(x, 0.08))
    _scale_slopes(axes, y)
    axes.set_ylabel("discrimination\n(logits per unit of ability)")
    left_out = len(every) - len(items)
    without = f"; {left_out:,} more, that no answers tell of, are not shown" if left_out else ""
    axes.set_title(f"Items ({len(items):,}) by difficulty and discrimination{without}")


def _informed(items: pd.DataFrame) -> pd.DataFrame:
    """Items that answers tell of; all where they tell of none."""
    unknown = has_flag(items, "no_information")
    return items if unknown.all() else items[~unknown]


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
    ranked = _informed(items).sort_values("difficulty", kind="stable")
    places = np.arange(1, len(ranked) + 1)
    axes.hlines(places, ranked["difficulty_q05"], ranked["difficulty_q95"], color=PALE, linewidth=1)
    axes.scatter(
        ranked["difficulty"],
        places,
        color=VERMILION,
        zorder=3,
        label="items, 90% intervals light",
        **point_style(len(ranked)),
    )
    axes.set_xlim(*padded(ranked["difficulty"].to_numpy(), 0.08))
    axes.set_ylim(-0.03 * len(ranked), 1.02 * len(ranked) + 1)
    axes.set_ylabel("items, easiest first (rank)")
    slope = items["discrimination"].iloc[0]
    axes.set_title(
        f"Items ({len(ranked):,}) by difficulty; one discrimination for all, {slope:.2f} logits per unit of ability"
    )
