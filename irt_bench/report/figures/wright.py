"""Wright map: abilities of the models and difficulties of the items on one scale; and curves of some items."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from irt_bench.names import ITEM
from irt_bench.report.canvas import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, narrow, new_figure, padded, styled
from irt_bench.report.tables.text import shorten

BINS: Final = 36
COLOURS: Final = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
OUTER: Final = (0.01, 0.99)  # quantiles that the scale holds; a few extreme items do not stretch it


@styled
def wright_map(abilities: pd.Series, difficulties: pd.Series) -> Figure:
    """Draw the models by ability above the items by difficulty, on one scale [1]_.

    Parameters
    ----------
    abilities, difficulties : pd.Series
        By model and by item; items beyond the ends of the scale are counted in its outer bars.

    References
    ----------
    .. [1] Wright, Masters, Rating Scale Analysis, 1982.
    """
    ability, difficulty = (values.dropna().to_numpy(dtype=np.float64) for values in (abilities, difficulties))
    inner = np.quantile(difficulty, OUTER) if len(difficulty) else np.zeros(0)
    low, high = padded(np.concatenate([ability, inner]), 0.04)
    above = int((difficulty > ability.max()).sum()) if len(ability) else 0
    title = f"{above:,} of {len(difficulty):,} items are harder than the ablest model is able"
    figure = new_figure(3.4, title)
    top, bottom = figure.subplots(2, 1, sharex=True)
    edges = np.linspace(low, high, (BINS // 2 if narrow() else BINS) + 1).tolist()
    top.hist(np.clip(ability, low, high), bins=edges, color=BLUE)
    bottom.hist(np.clip(difficulty, low, high), bins=edges, color=VERMILION)
    bottom.invert_yaxis()
    top.set_ylabel("models")
    bottom.set_ylabel("items")
    for axes in (top, bottom):
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    bottom.set_xlabel("ability of models, difficulty of items (one scale)")
    return figure


@styled
def item_curves_figure(curves: xr.Dataset, observed: xr.Dataset) -> Figure:
    """Draw the chance of a right answer over ability, a curve an item with its 90% band, beside what was observed.

    Parameters
    ----------
    curves : xr.Dataset
        From `irt_bench.analysis.curves.success_curves`, of a few items.
    observed : xr.Dataset
        From `irt_bench.analysis.curves.observed_shares`, of these items among others.
    """
    figure = new_figure(3.6, "Chance of a right answer over ability")
    axes = figure.subplots()
    x = curves["ability"].to_numpy()
    for place, item in enumerate(curves[ITEM].to_numpy()):
        own = curves.isel({ITEM: place})
        colour = COLOURS[place % len(COLOURS)]
        axes.fill_between(
            x,
            own["probability_q05"].to_numpy(),
            own["probability_q95"].to_numpy(),
            color=colour,
            alpha=0.18,
            linewidth=0,
        )
        axes.plot(x, own["probability"].to_numpy(), color=colour, linewidth=1.6, label=shorten(str(item), 30))
        seen = observed.sel({ITEM: item})
        low, high = (seen[f"share_right_{end}"].to_numpy() for end in ("q05", "q95"))
        axes.vlines(seen["ability"].to_numpy(), low, high, color=colour, linewidth=1)
        axes.scatter(seen["ability"].to_numpy(), seen["share_right"].to_numpy(), color=colour, s=16, zorder=3)
    axes.set(xlabel="ability (sds of the calibration models)", ylabel="chance of a right answer", ylim=(-0.02, 1.02))
    axes.set_xlim(x[0], x[-1])
    axes.set_title("dots: share right among models of like ability, 90% intervals")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(loc="upper left")
    return figure
