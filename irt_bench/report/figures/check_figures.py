"""Model checks as a figure: scores, eigenvalues, the curves furthest from the fit, and models that misfit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from irt_bench.report.figures.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    VERMILION,
    band,
    name_points,
    new_figure,
    styled,
)
from irt_bench.report.tables.text import shorten

if TYPE_CHECKING:
    from irt_bench.checks.check_fit import ModelChecks


CURVE_COLOURS: Final = (VERMILION, BLUE, ORANGE, PURPLE)
MODELS_NAMED: Final = 3
BINS: Final = 40


@styled
def checks_figure(found: ModelChecks) -> Figure:
    """Draw what the checks compare, responses beside data simulated from the fit.

    Parameters
    ----------
    found : ModelChecks
        From `irt_bench.checks.check_fit`.
    """
    figure = new_figure(6.6, _title(found))
    (scores, eigenvalues), (curves, models) = figure.subplots(2, 2)
    _scores(scores, found)
    _eigenvalues(eigenvalues, found)
    _curves(curves, found)
    _models(models, found)
    return figure


def _title(found: ModelChecks) -> str:
    failed = [
        check.name.replace("s_x2", "S-X2").replace("_", " ") for check in found.checks if check.status == "failed"
    ]
    n = sum(check.status != "not_applicable" for check in found.checks)
    if not failed:
        return f"All {n} model checks that apply passed"
    named = ", ".join(failed[:4]) + (f" and {len(failed) - 4} more" if len(failed) > 4 else "")
    return f"{len(failed)} of {n} model checks failed: {named}"


def _scores(axes: Axes, found: ModelChecks) -> None:
    band(axes, found.scores, "predicted", "if abilities were normal")
    axes.plot(found.scores.index, found.scores["observed"], color=INK, linewidth=1.3, label="observed", zorder=5)
    axes.set_title("Scores (90% band)")
    axes.set_xlabel("score (share of right answers)")
    axes.set_ylabel("share of models up to it")
    axes.legend(loc="upper left")


def _eigenvalues(axes: Axes, found: ModelChecks) -> None:
    frame = found.eigenvalues
    axes.set_title("Eigenvalues of tetrachoric correlations")
    if not len(frame):
        axes.text(0.5, 0.5, "not defined for these answers", ha="center", transform=axes.transAxes, color=GREY)
        return
    numbers = frame.index.to_numpy(dtype=np.float64)
    low, high = frame["one_dimension_q05"], frame["one_dimension_q95"]
    axes.fill_between(numbers, low, high, color=GREEN, alpha=0.35, linewidth=0, label="one dimension, 90% band")
    axes.plot(numbers, frame["unrelated_q95"], color=GREY, linestyle="--", label="unrelated items, 95%")
    axes.plot(numbers, frame["observed"], color=INK, marker="o", markersize=3.5, linewidth=1, label="observed")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(numbers)
    axes.set_xlabel("number")
    axes.set_ylabel("eigenvalue")
    axes.legend(loc="upper right")


def _curves(axes: Axes, found: ModelChecks) -> None:
    axes.set_title("Item-total curves furthest from the fit")
    for (item, curve), colour in zip(found.curves.groupby("item", sort=False), CURVE_COLOURS, strict=False):
        axes.fill_between(
            curve["score"], curve["predicted_q05"], curve["predicted_q95"], color=colour, alpha=0.15, linewidth=0
        )
        label = shorten(str(item), 22)
        axes.plot(curve["score"], curve["observed"], color=colour, marker="o", markersize=3.5, linewidth=1, label=label)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("mean score of the group of models")
    axes.set_ylabel("share of right answers (band: fit)")
    axes.legend(loc="best", fontsize=7.5)


def _models(axes: Axes, found: ModelChecks) -> None:
    models = found.models[np.isfinite(found.models["zh"])]
    limit = next((check.threshold for check in found.checks if check.name == "person_fit"), None)
    axes.set_title("Person fit")
    axes.scatter(models["score"], models["zh"], s=9, color=BLUE, alpha=0.6, linewidths=0)
    if limit is not None:
        axes.axhline(-limit, color=VERMILION, linewidth=1, linestyle="--", label="limit")
        axes.legend(loc="upper right")
    axes.axhline(0, color=PALE, linewidth=0.8)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.08 * (high - low), high + 0.05 * (high - low))
    worst = models[models["misfit"]].sort_values("zh").head(MODELS_NAMED)
    if len(worst):
        name_points(axes, worst["score"].to_numpy(), worst["zh"].to_numpy(), worst.index)
    axes.set_xlabel("score (share of right answers)")
    axes.set_ylabel("Zh (low: unlikely answers)")
