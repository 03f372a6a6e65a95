"""Ranks of models by ability and by accuracy, with their intervals."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from irt_bench.names import CLEAR
from irt_bench.report.canvas import BLUE, GREY, ORANGE, SKY, SMALL_SIZE, narrow, new_figure, styled
from irt_bench.report.tables.text import shorten

MOST_MODELS: Final = 40  # rows; of more models the best, and some evenly spaced
BEST: Final = 20
APART: Final = 0.17  # between the two marks of a row


@styled
def ranks_figure(models: pd.DataFrame) -> Figure:
    """Draw the rank of each model by ability and, where known, by accuracy, with 90% intervals.

    Parameters
    ----------
    models : pd.DataFrame
        Indexed by model: ``rank, rank_q05, rank_q95, p_first_abler`` and, where known, ``accuracy_rank,
        accuracy_rank_q05, accuracy_rank_q95``. Models that the first is not clearly abler than are hollow. Of more than
        40 models the 20 best and some evenly spaced are drawn.
    """
    ranked = models.sort_values("rank", kind="stable")
    shown = shown_models(len(ranked))
    rows = ranked.iloc[shown]
    figure = new_figure(0.9 + 0.2 * len(rows), "Ranks by ability and by accuracy, 90% intervals")
    axes = figure.subplots()
    both = "accuracy_rank" in rows
    heights = np.arange(len(rows), dtype=np.float64)
    if both:
        _marks(axes, rows, "accuracy_rank", heights + APART, (ORANGE, ORANGE), "s", "by accuracy")
    by_ability = heights - (APART if both else 0.0)
    _marks(axes, rows, "rank", by_ability, (SKY, BLUE), "o", "by ability")
    unclear = (rows["p_first_abler"] < CLEAR).to_numpy()
    axes.scatter(rows["rank"][unclear], by_ability[unclear], color="white", s=4, zorder=4)
    axes.set_yticks(heights, [shorten(str(label), 18 if narrow() else 34) for label in rows.index], size=SMALL_SIZE)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    if len(rows) < len(ranked):
        axes.axhline(BEST - 0.5, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("rank (1 is best), 90% interval")
    axes.legend(*(part[::-1] for part in axes.get_legend_handles_labels()), loc="upper right")
    return figure


def shown_models(n: int) -> npt.NDArray[np.intp]:
    """Positions drawn, of models sorted best first: all, or the best and some evenly spaced of the others."""
    if n <= MOST_MODELS:
        return np.arange(n)
    others = np.linspace(BEST, n - 1, MOST_MODELS - BEST).round().astype(np.intp)
    return np.concatenate([np.arange(BEST), others])


def _marks(
    axes: Axes,
    rows: pd.DataFrame,
    name: str,
    heights: npt.NDArray[np.float64],
    colours: tuple[str, str],
    marker: str,
    label: str,
) -> None:
    axes.hlines(heights, rows[f"{name}_q05"], rows[f"{name}_q95"], color=colours[0], linewidth=2.0)
    axes.scatter(rows[name], heights, color=colours[1], marker=marker, s=16, zorder=3, label=label)
