"""What a benchmark tells at each ability: its information, and the score it expects."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from irt_bench.arrays import FloatArray
from irt_bench.report.canvas import BLUE, MOST_INTERVALS, PALE, band, clear_legend, new_figure, point_style, styled

MOST_MODELS: Final = 60  # rows of the forest plot; beyond, SAMPLED ones
ERROR_RANGE: Final = 6  # the standard error's axis ends at this many times its smallest value


@styled
def information_figure(information: pd.DataFrame | xr.Dataset, abilities: pd.Series | None = None) -> Figure:
    """Draw the information of the whole benchmark and the standard error it allows, over the abilities of the models.

    Parameters
    ----------
    information : pd.DataFrame or xr.Dataset
        Indexed by ``ability``: ``information`` and, where known, ``standard_error`` (else 1 / sqrt(information)), each
        with ``_q05`` and ``_q95``; as from `irt_bench.analysis.curves.benchmark_information`.
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
        Indexed by ``ability``: ``score, score_q05, score_q95``, as `expected_score_curve` gives them.
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
