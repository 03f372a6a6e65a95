"""Figures of a fit: forest plot of models, items by difficulty and discrimination, Wright map, item curves, traces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from irt_bench.analysis.curves import OUTCOME
from irt_bench.arrays import FloatArray
from irt_bench.errors import OutputError
from irt_bench.names import CHAIN, CLEAR_PROBABILITY, DRAW, ITEM
from irt_bench.report.figures.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LABEL_CHARACTERS,
    MAX_INTERVALS,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    SMALL_SIZE,
    VERMILION,
    clear_legend,
    label_rows,
    narrow,
    new_figure,
    padded,
    page_width,
    point_style,
    rug,
    styled,
    with_texts,
)
from irt_bench.report.figures.model_figures import model_text
from irt_bench.report.tables.text import has_flag, lead_text, shorten

ROW_HEIGHT: Final = 0.17  # inches of a model
SEQUENCE: Final = colormaps["viridis"]  # of ordered outcomes
DODGE: Final = 0.05  # between the observed shares of items at the same ability, units of ability
SAMPLED: Final = (10, 20, 10)  # best, evenly spaced, worst
SAMPLED_NARROW: Final = (8, 10, 6)


@styled
def fit_figure(abilities: pd.DataFrame, items: pd.DataFrame) -> Figure:
    """Draw the abilities of the models as a forest plot, and the items by difficulty and discrimination.

    Parameters
    ----------
    abilities : pd.DataFrame
        Indexed by model, from `ability_table`: ``rank, p_first_abler``, ``relative_ability`` with its limits,
        and ``ability`` for the scale of the items. Of more than 40 models, the best, the worst and some evenly spaced
        between them are drawn.
    items : pd.DataFrame
        Indexed by item: ``difficulty, discrimination``, each with ``_q05`` and ``_q95``, and ``flags`` where known:
        items with ``no_information`` are not drawn, those with ``slope_from_prior`` are grey. With one discrimination
        for all (1PL), items are ordered by difficulty instead.
    """
    ranked = abilities.sort_values("rank", kind="stable")
    shown = _sample_rows(len(ranked))
    forest_height = max(1.6, ROW_HEIGHT * len(shown) + 0.9)
    figure = new_figure(forest_height + 4.6, lead_text(ranked, lambda label: shorten(str(label), LABEL_CHARACTERS)))
    panels = figure.subfigures(2, 1, height_ratios=(forest_height, 4.0))
    upper, lower = (panel.subplots() for panel in panels)
    _forest(upper, ranked, shown)
    _parameters(lower, items, abilities["ability"])
    clear_legend(panels[1].legend(loc="outside lower center", ncols=2))
    return figure


@styled
def abilities_figure(abilities: pd.DataFrame) -> Figure:
    """Draw the abilities of the models as a forest plot; the frame is that of `fit_figure`."""
    ranked = abilities.sort_values("rank", kind="stable")
    shown = _sample_rows(len(ranked))
    title = lead_text(ranked, lambda label: shorten(str(label), LABEL_CHARACTERS))
    figure = new_figure(max(1.6, ROW_HEIGHT * len(shown) + 0.9) + 0.6, title)
    _forest(figure.subplots(), ranked, shown)
    return figure


@styled
def parameters_figure(items: pd.DataFrame, abilities: pd.Series) -> Figure:
    """Draw the items by difficulty and discrimination, and the abilities of the models at the edge.

    Parameters
    ----------
    items : pd.DataFrame
        As of `fit_figure`.
    abilities : pd.Series
        Of the models.
    """
    figure = new_figure(4.4, f"Difficulty and discrimination of {len(items):,} items")
    _parameters(figure.subplots(), items, abilities)
    clear_legend(figure.legend(loc="outside lower center", ncols=2))
    return figure


def _parameters(axes: Axes, items: pd.DataFrame, abilities: pd.Series) -> None:
    """Items by difficulty and discrimination; by difficulty alone where they share one discrimination."""
    slopes = items["discrimination"].to_numpy()
    if len(items) > 1 and np.ptp(slopes) < 1e-9 * np.abs(slopes).max():
        _difficulties(axes, items)
    else:
        _item_cloud(axes, items)
    rug(axes, abilities.to_numpy(), "abilities of the models")
    axes.set_xlabel("difficulty (scale of ability)")


def _sampled() -> tuple[int, int, int]:
    """Numbers of the best, of those between and of the worst models that are shown where there are many."""
    return SAMPLED_NARROW if narrow() else SAMPLED


def _sample_rows(n: int) -> npt.NDArray[np.intp]:
    """Positions of the rows shown: all, or the best, some evenly spaced, and the worst."""
    best, middle, worst = _sampled()
    if n <= best + middle + worst:
        return np.arange(n)
    between = np.linspace(best, n - worst - 1, middle + 2)[1:-1].round().astype(np.intp)
    return np.concatenate([np.arange(best), between, np.arange(n - worst, n)])


def _forest(axes: Axes, ranked: pd.DataFrame, shown: npt.NDArray[np.intp]) -> None:
    rows = ranked.iloc[shown]
    heights = np.arange(len(rows))
    axes.hlines(heights, rows["relative_ability_q05"], rows["relative_ability_q95"], color=SKY, linewidth=2.2)
    unclear = (rows["p_first_abler"] < CLEAR_PROBABILITY).to_numpy()
    points = axes.scatter(rows["relative_ability"], heights, color=BLUE, s=16, zorder=3)
    with_texts(points, [model_text(label, row) for label, row in rows.to_dict("index").items()])
    if unclear.any():
        at, label = rows["relative_ability"][unclear], f"not clearly below the first (p < {CLEAR_PROBABILITY:.2f})"
        axes.scatter(at, heights[unclear], facecolor="white", edgecolor=BLUE, s=16, zorder=4, label=label)
        axes.legend(loc="lower right")
    sampled = len(shown) < len(ranked)
    labels = [shorten(str(label), 20 if narrow() else LABEL_CHARACTERS) for label in rows.index]
    if sampled:
        if not narrow():
            labels = [f"{label}  #{rank:,.0f}" for label, rank in zip(labels, rows["rank"], strict=True)]
        for edge in (_sampled()[0], len(rows) - _sampled()[2]):
            axes.axhline(edge - 0.5, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
    label_rows(axes, labels)
    best, middle, worst = _sampled()
    rest = f"; {best} best, {middle} evenly spaced, {worst} worst of {len(ranked):,}" if sampled else ""
    if not narrow():
        axes.set_title(f"Posterior mean and 90% interval{rest}")
    axes.set_xlabel(f"relative ability (sds from the mean{'' if narrow() else ' of these models'})")


def _item_cloud(axes: Axes, items: pd.DataFrame) -> None:
    every, items = items, _informed(items)
    x, y = items["difficulty"].to_numpy(), items["discrimination"].to_numpy()
    if len(items) <= MAX_INTERVALS:
        axes.hlines(y, items["difficulty_q05"], items["difficulty_q95"], color=PALE, linewidth=0.8)
        axes.vlines(x, items["discrimination_q05"], items["discrimination_q95"], color=PALE, linewidth=0.8)
    label = "items" + (", 90% intervals light" if len(items) <= MAX_INTERVALS else "")
    guessed = has_flag(items, "slope_from_prior").to_numpy()
    style = point_style(len(items))
    axes.scatter(x[~guessed], y[~guessed], color=VERMILION, zorder=3, label=label, **style)
    if guessed.any():
        axes.scatter(x[guessed], y[guessed], color=GREY, zorder=3, label="items whose slope is the prior's", **style)
    ends = [np.quantile(items[f"difficulty_{end}"], quantile) for end, quantile in (("q05", 0.05), ("q95", 0.95))]
    axes.set_xlim(*padded(np.append(x, ends), 0.05))
    _scale_slopes(axes, y)
    axes.set_ylabel("discrimination\n(logits per unit of ability)")
    left_out = len(every) - len(items)
    without = f"; {left_out:,} more without informative responses are not shown" if left_out else ""
    axes.set_title(f"Items ({len(items):,}) by difficulty and discrimination{without}")


def _informed(items: pd.DataFrame) -> pd.DataFrame:
    """Items with informative responses; all items if none has."""
    unknown = has_flag(items, "no_information")
    return items if unknown.all() else items[~unknown]


def _scale_slopes(axes: Axes, slopes: FloatArray) -> None:
    """Scale of discriminations: by doublings if they differ enough, else linear."""
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
    """Draw items by difficulty if they have one common discrimination."""
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


BINS: Final = 36
COLOURS: Final = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
OUTER: Final = (0.01, 0.99)  # quantiles within the scale; extreme items do not stretch it


@styled
def wright_map(abilities: pd.Series, difficulties: pd.Series) -> Figure:
    """Draw the models by ability above the items by difficulty, on one scale: a Wright map [1]_ of two histograms.

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
    title = f"{above:,} of {len(difficulty):,} items {'is' if above == 1 else 'are'} harder than the most able model"
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
    """Draw the probability of a right response over ability, one curve per item with its 90% band and observed shares.

    Parameters
    ----------
    curves : xr.Dataset
        From `irt_bench.analysis.curves.success_curves`, for a few items.
    observed : xr.Dataset
        From `irt_bench.analysis.curves.observed_shares`; must contain these items.
    """
    figure = new_figure(3.6, "Probability of a right response over ability")
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
        at = seen["ability"].to_numpy() + DODGE * (place - (curves.sizes[ITEM] - 1) / 2)
        low, high = (seen[f"proportion_correct_{end}"].to_numpy() for end in ("q05", "q95"))
        axes.vlines(at, low, high, color=colour, linewidth=1)
        axes.scatter(at, seen["proportion_correct"].to_numpy(), color=colour, s=16, zorder=3)
    axes.set(xlabel="ability (sds of the calibration models)", ylabel="probability of a right response")
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(x[0], x[-1])
    axes.set_title("dots: shares of right responses of models with similar abilities, 90% intervals")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(loc="upper left")
    return figure


@styled
def item_cards_figure(curves: xr.Dataset, observed: pd.DataFrame, items: pd.DataFrame) -> Figure:
    """Draw a panel for each of some items: shares of right responses by ability, and the fitted curve.

    Parameters
    ----------
    curves : xr.Dataset
        From `irt_bench.analysis.curves.success_curves`, for up to six items.
    observed : pd.DataFrame
        ``item, ability, proportion_correct`` with its limits, from `irt_bench.analysis.curves.observed_shares`.
    items : pd.DataFrame
        Indexed by item: ``item_rest_correlation`` and ``flags``. The curve of one that goes against the rest is dashed:
        its slope is positive in the model, whatever the responses are.
    """
    columns = 2 if narrow() else 3
    rows = -(-curves.sizes[ITEM] // columns)
    figure = new_figure(0.9 + 1.9 * rows, "Observed shares beside the fitted curve, most suspect items")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in grid[curves.sizes[ITEM] :]:
        axes.set_visible(False)
    for place, (axes, item) in enumerate(zip(grid, curves[ITEM].to_numpy().astype(str), strict=False)):
        against = "negative" in str(items.at[item, "flags"])
        _card(axes, curves.isel({ITEM: place}), observed[observed["item"] == item], against=against)
        r = float(items["item_rest_correlation"].loc[item])
        axes.set_title(f"{shorten(str(item), 14 if narrow() else 22)}, r {r:.2f}", size=SMALL_SIZE + 1)
    for axes in grid[::columns]:
        axes.set_ylabel("share right")
    for axes in grid[max(curves.sizes[ITEM] - columns, 0) : curves.sizes[ITEM]]:
        axes.set_xlabel("ability")
        axes.tick_params(labelbottom=True)
    handles = dict(pair[::-1] for axes in grid for pair in zip(*axes.get_legend_handles_labels(), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=1 if narrow() else 3)
    return figure


def _card(axes: Axes, curve: xr.Dataset, seen: pd.DataFrame, *, against: bool) -> None:
    x = curve["ability"].to_numpy()
    low, middle, high = (curve[f"probability{end}"].to_numpy() for end in ("_q05", "", "_q95"))
    if against:
        axes.plot(x, middle, color=GREY, linestyle="--", linewidth=1.2, label="fitted curve, which cannot fall")
    else:
        axes.fill_between(x, low, high, color=SKY, alpha=0.35, linewidth=0)
        axes.plot(x, middle, color=BLUE, linewidth=1.6, label="fitted curve, 90% band")
    colour = VERMILION if against else INK
    axes.vlines(
        seen["ability"], seen["proportion_correct_q05"], seen["proportion_correct_q95"], color=colour, linewidth=1
    )
    label = "observed shares, against the rest" if against else "observed shares, 90% intervals"
    axes.plot(
        seen["ability"],
        seen["proportion_correct"],
        color=colour,
        marker="o",
        markersize=3.5,
        linewidth=0.9,
        label=label,
    )
    axes.set_xlim(*padded(seen["ability"].to_numpy(), 0.25))
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


@styled
def outcomes_figure(curves: xr.Dataset, abilities: pd.Series) -> Figure:
    """Draw the chance of each score over ability, a panel for each item, with 90% bands.

    Parameters
    ----------
    curves : xr.Dataset
        From `irt_bench.analysis.curves.outcome_curves`, for a few items.
    abilities : pd.Series
        Of the models, drawn at the edge.
    """
    columns = min(2, curves.sizes[ITEM])
    rows = -(-curves.sizes[ITEM] // columns)
    figure = new_figure(0.6 + 2.4 * rows, "Chance of each score over ability")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    x = curves["ability"].to_numpy()
    for axes in grid[curves.sizes[ITEM] :]:
        axes.set_visible(False)
    shades = SEQUENCE(np.linspace(0.0, 0.9, curves.sizes[OUTCOME]))
    for axes, item in zip(grid, curves[ITEM].to_numpy(), strict=False):
        for colour, outcome in zip(shades, curves[OUTCOME].to_numpy(), strict=True):
            own = curves.sel({ITEM: item, OUTCOME: outcome})
            low, middle, high = (own[f"probability{end}"].to_numpy() for end in ("_q05", "", "_q95"))
            if not np.nanmax(middle) > 0:  # beyond the item's range
                continue
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
            axes.plot(x, middle, color=colour, linewidth=1.6, label=str(outcome))
        rug(axes, abilities.to_numpy(), "abilities of the models")
        axes.set_title(shorten(str(item), 30))
        axes.set_xlim(x[0], x[-1])
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    for axes in grid[::columns]:
        axes.set_ylabel("probability")
    for axes in grid[-columns:]:
        axes.set_xlabel("ability (sds of the calibration models)")
    handles, labels = grid[0].get_legend_handles_labels()
    clear_legend(figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 8)))
    return figure


MAX_QUANTITIES: Final = 8  # quantities, a row each
ROW: Final = 1.5  # inches
MAX_DRAWS: Final = 500  # per chain; more look the same and make a page large


@styled
def posterior_figure(posterior: xr.Dataset, names: Sequence[str] | None = None) -> Figure:
    """Draw ArviZ's trace plot: on the left the density of each chain, on the right its draws in order.

    Parameters
    ----------
    posterior : xr.Dataset
        Draws of dimensions (chain, draw, ..), such as `Fit.posterior`.
    names : sequence of str, optional
        Quantities; by default those without other dimensions, such as the mean and sd of the items' difficulties.

    Raises
    ------
    OutputError
        If there is nothing to draw.
    """
    import arviz  # takes a second
    from matplotlib import pyplot

    chosen = list(names) if names is not None else scalar_names(posterior)
    missing = [name for name in chosen if name not in posterior]
    if missing or not chosen:
        has = ", ".join(map(str, posterior.data_vars)) or "nothing"
        what = ", ".join(missing) or "quantity without models or items"
        raise OutputError(f"the posterior has no {what}; it has {has}.")
    chosen = chosen[:MAX_QUANTITIES]
    few = posterior[chosen].isel({DRAW: slice(None, None, -(-posterior.sizes[DRAW] // MAX_DRAWS))})
    drawn = arviz.plot_trace(few, figsize=(page_width(), ROW * len(chosen)), backend="matplotlib", show=False)
    # ArviZ below 1 returns the axes, later a collection of plots.
    figure: Figure = drawn.ravel()[0].figure if hasattr(drawn, "ravel") else drawn.viz["figure"].item()
    pyplot.close(figure)  # ArviZ makes figures by pyplot, which would keep and show them
    figure.set_layout_engine("constrained")
    return figure


def scalar_names(posterior: xr.Dataset) -> list[str]:
    """Names of quantities that have no dimensions but chain and draw."""
    return [str(name) for name, values in posterior.data_vars.items() if set(values.dims) == {CHAIN, DRAW}]


MAX_PANELS: Final = 6  # dimensions side by side
MAX_ITEM_LABELS: Final = 60


@styled
def loadings_figure(loadings: pd.DataFrame) -> Figure:
    """Draw the loadings of the items with 90% intervals, a panel per dimension, items of one dimension together.

    Parameters
    ----------
    loadings : pd.DataFrame
        Indexed by item and dimension, from `loading_table`. Of more than six dimensions those that few items have
        share the last panel, as the groups of a bifactor model do.
    """
    wide = loadings["loading"].unstack("dimension")
    columns = list(dict.fromkeys(loadings.index.get_level_values("dimension")))
    order = np.lexsort((-wide[columns].abs().max(axis=1), wide[columns].abs().fillna(-1).to_numpy().argmax(axis=1)))
    grouped = len(columns) > 2 and wide[columns[0]].notna().all() and wide[columns].notna().sum(axis=1).max() == 2
    if grouped:  # bifactor: a general dimension, and one of each group
        order = np.lexsort((-wide[columns[0]], wide[columns[1:]].notna().to_numpy().argmax(axis=1)))
    items = wide.index[order]
    bifactor = grouped and len(columns) > MAX_PANELS
    panels = [columns[:1], columns[1:]] if bifactor else [[name] for name in columns[:MAX_PANELS]]
    named = len(items) <= MAX_ITEM_LABELS
    more = f", the first {MAX_PANELS} of {len(columns)}" if not bifactor and len(columns) > MAX_PANELS else ""
    title = f"Loadings of {len(items):,} items on {len(columns)} dimensions{more}"
    figure = new_figure(max(3.2, 0.155 * len(items) + 1.2) if named else 5.6, title)
    axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True, sharex=True))
    heights = pd.Series(np.arange(len(items)), index=items)
    for panel, dims in zip(axes, panels, strict=True):
        _loading_panel(panel, loadings, heights, dims)
        panel.set_title(str(dims[0]) if len(dims) == 1 else f"own group ({len(dims)})")
    axes[0].set_ylim(len(items) - 0.4, -0.6)
    if named:
        axes[0].set_yticks(heights, [shorten(str(item), LABEL_CHARACTERS) for item in items], size=SMALL_SIZE)
    else:
        axes[0].set_yticks([])
        axes[0].set_ylabel(f"{len(items):,} items, by the dimension they load on most")
    figure.supxlabel("loading (logits per sd of ability): posterior mean and 90% interval")
    return figure


def _loading_panel(axes: Axes, loadings: pd.DataFrame, heights: pd.Series, dims: Sequence[str]) -> None:
    rows = loadings[loadings.index.get_level_values("dimension").isin(dims)]
    at = heights[rows.index.get_level_values("item")].to_numpy()
    width = 2.2 if len(heights) <= MAX_ITEM_LABELS else 0.6
    axes.hlines(at, rows["loading_q05"], rows["loading_q95"], color=SKY, linewidth=width)
    axes.scatter(rows["loading"], at, color=BLUE, s=14 if width > 1 else 2, zorder=3, linewidths=0)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.grid(visible=False, axis="y")
