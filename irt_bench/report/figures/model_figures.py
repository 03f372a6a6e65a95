"""Figures of models: ability beside accuracy, ranks, and the checks of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FixedLocator, FuncFormatter

from irt_bench.names import ABILITY, CLEAR_PROBABILITY
from irt_bench.report.figures.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LABEL_CHARACTERS,
    MAX_INTERVALS,
    ORANGE,
    PALE,
    SKY,
    SMALL_SIZE,
    VERMILION,
    band,
    clear_legend,
    label_rows,
    log_scale,
    name_points,
    narrow,
    new_figure,
    point_style,
    styled,
    with_texts,
)
from irt_bench.report.tables.text import interval_text, shorten

if TYPE_CHECKING:
    from irt_bench.analysis.agreement import AbilityAccuracyComparison
    from irt_bench.checks.check_fit import ModelChecks


MAX_PAIRS: Final = 10
PAIR_COLUMNS: Final = ("higher_ability", "higher_accuracy", "p_ability", "p_accuracy")
MAX_NAMED_MODELS: Final = 16  # more names would hide one another
MAX_NAMED_NARROW: Final = 7
MAX_PAIRS_NAMED: Final = 3
LABEL_BELOW: Final = 0.07  # share of the height, from a pair's model to its label
BARS: Final = 12


@styled
def populations_figure(populations: pd.DataFrame, abilities: pd.DataFrame, group: pd.Series) -> Figure:
    """Draw the populations that abilities come from: groups above their models, or effects with intervals.

    Parameters
    ----------
    populations : pd.DataFrame
        From `irt_bench.analysis.irt.population_table`.
    abilities : pd.DataFrame
        From `irt_bench.analysis.irt.ability_table`.
    group : pd.Series
        Group of each model, indexed by model; empty where there are none.
    """
    of_groups = "reference" in populations
    name = "mean" if of_groups else "effect"
    table = populations.sort_values(name) if of_groups else populations.iloc[::-1]
    title = "Abilities by group of models" if of_groups else "Effects on ability"
    figure = new_figure(0.32 * len(table) + 1.3, title)
    axes = figure.subplots()
    at, centre = np.arange(len(table)), table[name].to_numpy()
    if of_groups:
        for place, (label, row) in enumerate(table.iterrows()):
            own = abilities[ABILITY].reindex(group.index[group == label])
            axes.scatter(own, np.full(len(own), place - 0.28), color=GREY, **point_style(len(abilities)))
            axes.plot(row["mean"] + np.array([-1, 1]) * row["sd"], [place, place], color=PALE, linewidth=6)
    axes.hlines(at, table[f"{name}_q05"], table[f"{name}_q95"], color=BLUE, linewidth=1.6)
    axes.scatter(centre, at, color=BLUE, s=22, zorder=3)
    axes.axvline(0, color=GREY, linewidth=0.7, zorder=0)
    axes.set_yticks(at, [shorten(str(label), LABEL_CHARACTERS) for label in table.index])
    axes.set_ylim(-0.6, len(table) - 0.5)
    unit = "sds of the reference group" if of_groups else "residual sds, per sd of a covariate"
    axes.set_xlabel(f"{'mean ability' if of_groups else 'effect'} with 90% interval ({unit})")
    if of_groups:
        axes.set_title("light bars: mean -+ one sd; grey points: models")
    return figure


@styled
def raters_figure(raters: pd.DataFrame) -> Figure:
    """Draw severities of raters with intervals, the strictest above.

    Parameters
    ----------
    raters : pd.DataFrame
        From `irt_bench.analysis.irt.rater_table`.
    """
    table = raters.sort_values("severity")
    figure = new_figure(0.3 * len(table) + 1.2, "How strict raters are")
    axes, at = figure.subplots(), np.arange(len(table))
    axes.hlines(at, table["severity_q05"], table["severity_q95"], color=BLUE, linewidth=1.6)
    axes.scatter(table["severity"], at, color=BLUE, s=22, zorder=3)
    axes.axvline(0, color=GREY, linewidth=0.7, zorder=0)
    axes.set_yticks(at, [shorten(str(label), LABEL_CHARACTERS) for label in table.index])
    axes.set_ylim(-0.6, len(table) - 0.4)
    axes.set_xlabel("severity with 90% interval (sds of ability; 0: the average rater)")
    return figure


@styled
def comparison_figure(comparison: AbilityAccuracyComparison) -> Figure:
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
    _accuracy_panel(axes, models, comparison.discordant)
    tau = comparison.correlations.loc[["kendall_tau_b"]].to_dict("records")[0]
    found = interval_text(tau["estimate"], tau["q05"], tau["q95"])
    axes.set_title(f"Kendall's tau-b of ability with accuracy {found}; of the two rankings {tau['rankings']:.2f}")
    return figure


@styled
def ability_accuracy_figure(models: pd.DataFrame, discordant: pd.DataFrame | None = None) -> Figure:
    """Draw relative ability against accuracy, with the names of some models and the pairs ordered differently.

    Parameters
    ----------
    models : pd.DataFrame
        Indexed by model: ``accuracy`` and ``relative_ability``, with ``_q05`` and ``_q95`` where known.
    discordant : pd.DataFrame, optional
        ``higher_ability, higher_accuracy, p_ability, p_accuracy``: pairs ordered differently, most certain first.
    """
    figure = new_figure(4.4 if narrow() else 5.4, f"Ability against accuracy of {len(models):,} models")
    _accuracy_panel(figure.subplots(), models, discordant)
    return figure


def _accuracy_panel(axes: Axes, models: pd.DataFrame, discordant: pd.DataFrame | None) -> None:
    """Draw models by accuracy and relative ability, join the first pairs, and name models of those and at the ends."""
    pairs = pd.DataFrame(columns=PAIR_COLUMNS) if discordant is None else discordant.head(MAX_PAIRS)
    _model_cloud(axes, models, pairs)
    _pairs(axes, models, pairs)
    axes.set_xlabel("accuracy (share of right responses)")
    axes.set_ylabel(
        "relative ability (sds from the mean)" if narrow() else "relative ability (sds from the mean of these models)"
    )
    named = _named_models(models, pairs)
    x, y = (models[name].reindex(named).to_numpy() for name in ("accuracy", "relative_ability"))
    name_points(axes, x, y, named, below=LABEL_BELOW)
    clear_legend(axes.legend(loc="upper left"))


def _named_models(models: pd.DataFrame, pairs: pd.DataFrame) -> pd.Index:
    """Models with names: all of a few; else those of the first pairs, the ablest, the weakest, and some between."""
    most = MAX_NAMED_NARROW if narrow() else MAX_NAMED_MODELS
    ranked = models["relative_ability"].sort_values(ascending=False, kind="stable").index
    if len(ranked) <= most:
        return ranked
    paired = _models_of(pairs.head(MAX_PAIRS_NAMED))
    spread = ranked[np.linspace(0, len(ranked) - 1, max(most - len(paired), 2)).round().astype(int)]
    named: pd.Index = pd.Index(list(dict.fromkeys([*paired, *spread])))
    return named


def _comparison_title(comparison: AbilityAccuracyComparison) -> str:
    if not comparison.n_discordant:
        return f"Ability and accuracy order all {comparison.n_pairs:,} pairs of models in the same way"
    clear = f"{comparison.n_clear:,} of them clearly" if comparison.n_clear else "none of them clearly"
    pairs = f"{comparison.n_discordant:,} of {comparison.n_pairs:,} pairs of models"
    return f"Ability and accuracy order {pairs} differently, {clear}"


def _models_of(pairs: pd.DataFrame) -> pd.Index:
    """Models of some pairs, each once."""
    found: pd.Index = pd.Index(list(dict.fromkeys([*pairs["higher_ability"], *pairs["higher_accuracy"]])))
    return found


def _model_cloud(axes: Axes, models: pd.DataFrame, pairs: pd.DataFrame) -> None:
    """Draw all models; with intervals if they are few, else only for the pairs drawn."""
    few = len(models) <= MAX_INTERVALS
    crossed = models if few else models.loc[_models_of(pairs)]
    x, y = crossed["accuracy"].to_numpy(), crossed["relative_ability"].to_numpy()
    if "accuracy_q05" in crossed:
        axes.hlines(y, crossed["accuracy_q05"], crossed["accuracy_q95"], color=PALE, linewidth=0.8)
    axes.vlines(x, crossed["relative_ability_q05"], crossed["relative_ability_q95"], color=PALE, linewidth=0.8)
    label = f"models ({len(models):,}){', 90% intervals light' if few else ''}"
    style = point_style(len(models))
    points = axes.scatter(models["accuracy"], models["relative_ability"], color=GREY, label=label, zorder=2, **style)
    with_texts(points, [model_text(label, row) for label, row in models.to_dict("index").items()])


def _pairs(axes: Axes, models: pd.DataFrame, pairs: pd.DataFrame) -> None:
    """Join the models of each pair, by a solid line if the order is clear, and mark the higher by each measure."""
    clear = (pairs["p_ability"] >= CLEAR_PROBABILITY) & (pairs["p_accuracy"] >= CLEAR_PROBABILITY)
    for able, accurate, shown in zip(pairs["higher_ability"], pairs["higher_accuracy"], clear, strict=True):
        ends = models.loc[[able, accurate]]
        axes.plot(
            ends["accuracy"],
            ends["relative_ability"],
            color=INK,
            linewidth=0.9,
            linestyle="-" if shown else ":",
            zorder=3,
        )
    text = f"in the {len(pairs)} most certain pairs" if len(pairs) > 1 else "in the pair ordered differently"
    text = "(of pairs)" if narrow() else text
    for column, marker, colour in (("higher_ability", "^", VERMILION), ("higher_accuracy", ">", BLUE)):
        ends = models.loc[pairs[column].unique()]
        if len(ends):
            label = f"{column.replace('_', ' ')} {text}"
            axes.scatter(
                ends["accuracy"], ends["relative_ability"], color=colour, marker=marker, s=34, zorder=4, label=label
            )


def model_text(label: object, row: Mapping[Any, Any]) -> str:
    """Write what is known of a model: label, relative ability with its interval, rank, accuracy."""
    ability = interval_text(*(row[f"relative_ability{end}"] for end in ("", "_q05", "_q95")))
    rank = f", rank {row['rank']:g}" if "rank" in row else ""
    accuracy = f", accuracy {row['accuracy']:.3f}" if "accuracy" in row else ""
    return f"{label}: relative ability {ability}{rank}{accuracy}"


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
    axes.set_title("Items that contribute most to the difference of the orders")


MAX_MODELS: Final = 40  # rows; of more models the best, and some evenly spaced
BEST: Final = 20
MAX_RANK_TICKS: Final = 8
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
    both = "accuracy_rank" in rows
    title = f"Ranks by ability{' and by accuracy' if both else ''}, 90% intervals"
    figure = new_figure(0.9 + 0.2 * len(rows), title)
    axes = figure.subplots()
    heights = np.arange(len(rows), dtype=np.float64)
    if both:
        _marks(axes, rows, "accuracy_rank", heights + APART, (ORANGE, ORANGE), "s", "by accuracy")
    by_ability = heights - (APART if both else 0.0)
    _marks(axes, rows, "rank", by_ability, (SKY, BLUE), "o", "by ability")
    unclear = (rows["p_first_abler"] < CLEAR_PROBABILITY).to_numpy()
    axes.scatter(rows["rank"][unclear], by_ability[unclear], color="white", s=4, zorder=4)
    labels = [shorten(str(label), 18 if narrow() else 34) for label in rows.index]
    label_rows(axes, labels, line_below=BEST if len(rows) < len(ranked) else 0)
    axes.set_xlim(0.5, len(ranked) + 0.5)
    axes.xaxis.set_major_locator(FixedLocator(rank_ticks(len(ranked))))
    axes.set_xlabel("rank (1 is best), 90% interval")
    axes.legend(*(part[::-1] for part in axes.get_legend_handles_labels()), loc="upper right")
    return figure


@styled
def scores_figure(models: pd.DataFrame, benchmark: str, measure: str) -> Figure:
    """Draw the score of each model with its interval for other items and, where known, for these items.

    Parameters
    ----------
    models : pd.DataFrame
        Indexed by model: ``score`` and ``benchmark`` with ``_q05`` and ``_q95``, and ``group`` where known, between
        which the background changes. Of more than 40 models the 20 best and some evenly spaced are drawn.
    benchmark, measure : str
        For the title and the axis.
    """
    best_first = models.sort_values("score", ascending=False, kind="stable")
    shown = shown_models(len(best_first))
    rows = best_first.iloc[shown]
    some = f" ({BEST} best, and some below the line)" if len(rows) < len(models) else ""
    figure = new_figure(1.1 + 0.2 * len(rows), f"Scores of {len(models):,} models{some}: {benchmark}")
    axes = figure.subplots()
    heights = np.arange(len(rows), dtype=np.float64)
    axes.hlines(heights, rows["score_q05"], rows["score_q95"], color=SKY, linewidth=2.0,
                label="90% interval for other items (generalized accuracy)")  # fmt: skip
    if rows["benchmark_q05"].notna().any():
        axes.hlines(heights, rows["benchmark_q05"], rows["benchmark_q95"], color=ORANGE, linewidth=4.0, alpha=0.8,
                    label="90% interval for these items (benchmark accuracy)")  # fmt: skip
    axes.scatter(rows["score"], heights, color=BLUE, s=16, zorder=3)
    bands = ""
    if "group" in rows and len(rows) == len(best_first):
        bands = "; the models of a band cannot be told apart from the best of it"
        own = rows["group"].to_numpy()
        for group in np.unique(own[np.isfinite(own)])[1::2]:
            for height in heights[own == group]:
                axes.axhspan(height - 0.5, height + 0.5, color="#F3F3F3", zorder=0, linewidth=0)
    labels = [shorten(str(label), 18 if narrow() else 34) for label in rows.index]
    label_rows(axes, labels, line_below=BEST if len(rows) < len(best_first) else 0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}"))
    axes.set_xlabel(f"{measure} (%){bands}")
    clear_legend(axes.legend(loc="lower right"))
    return figure


def rank_ticks(n: int) -> list[int]:
    """Ticks of an axis of ranks: whole numbers from 1 to n, a few of many."""
    step = next(each for each in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, n) if n / each <= MAX_RANK_TICKS)
    return sorted({1, *range(step, n + 1, step)})


def shown_models(n: int) -> npt.NDArray[np.intp]:
    """Positions drawn, of models sorted best first: all, or the best and some evenly spaced of the others."""
    if n <= MAX_MODELS:
        return np.arange(n)
    others = np.linspace(BEST, n - 1, MAX_MODELS - BEST).round().astype(np.intp)
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


MAX_NAMED: Final = 3
BINS: Final = 40


@styled
def checks_figure(found: ModelChecks) -> Figure:
    """Draw what the checks compare, responses beside data simulated from the fit.

    Parameters
    ----------
    found : ModelChecks
        From `irt_bench.checks.check_fit`.
    """
    figure = new_figure(7.4, _title(found))
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.15))
    scores, eigenvalues = above.subplots(1, 2)
    left, right = below.subfigures(1, 2)
    _scores(scores, found)
    _eigenvalues(eigenvalues, found)
    _curves(left.subplots(2, 2, sharex=True, sharey=True), left, found)
    _models(right.subplots(), found)
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
    axes.set_xlabel("score (share of right responses)")
    axes.set_ylabel("share of models up to it")
    axes.legend(loc="lower right")


def _eigenvalues(axes: Axes, found: ModelChecks) -> None:
    frame = found.eigenvalues
    axes.set_title("Eigenvalues of tetrachoric correlations")
    if not len(frame):
        axes.text(0.5, 0.5, "not defined for these responses", ha="center", transform=axes.transAxes, color=GREY)
        return
    numbers = frame.index.to_numpy(dtype=np.float64)
    low, high = frame["one_dimension_q05"], frame["one_dimension_q95"]
    axes.fill_between(numbers, low, high, color=GREEN, alpha=0.35, linewidth=0, label="one dimension, 90% band")
    axes.plot(numbers, frame["unrelated_q95"], color=GREY, linestyle="--", label="unrelated items, 95%")
    axes.plot(numbers, frame["observed"], color=INK, marker="o", markersize=3.5, linewidth=1, label="observed")
    log_scale(axes, "y")
    axes.set_xticks(numbers)
    axes.set_xlabel("rank of the eigenvalue")
    axes.set_ylabel("eigenvalue, log scale")
    axes.legend(loc="upper right")


def _curves(grid: npt.NDArray[np.object_], panel: SubFigure, found: ModelChecks) -> None:
    """Draw the item-total curves furthest from the fit, a panel each."""
    panel.suptitle("Items furthest from the fit (band: 90% of simulated data)", x=0.02, ha="left", size=9.5)
    panel.supxlabel("mean score of a group of models", size=9)
    panel.supylabel("share of right responses", size=9)
    curves = list(found.curves.groupby("item", sort=False))
    for axes, (item, curve) in zip(grid.ravel(), curves, strict=False):
        low, high = curve["predicted_q05"], curve["predicted_q95"]
        axes.fill_between(curve["score"], low, high, color=GREEN, alpha=0.25, linewidth=0)
        axes.plot(curve["score"], curve["observed"], color=INK, marker="o", markersize=3, linewidth=1)
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(shorten(str(item), 22), size=SMALL_SIZE + 1)
    for axes in grid.ravel()[len(curves) :]:
        axes.set_visible(False)


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
    worst = models[models["misfit"]].sort_values("zh").head(MAX_NAMED)
    if len(worst):
        name_points(axes, worst["score"].to_numpy(), worst["zh"].to_numpy(), worst.index)
    axes.set_xlabel("score (share of right responses)")
    axes.set_ylabel("person fit Zh (low: improbable responses)")
