"""Sections on items, on models, and on checks.

They answer which items are bad, which models are ahead by ability and by accuracy, and how far to trust the fit.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from irt_bench.analysis.classical import FLAGS
from irt_bench.irt_models.model import SCORE_MODEL
from irt_bench.names import CHAIN, DIMENSION
from irt_bench.report.figures.fit_figures import (
    abilities_figure,
    item_cards_figure,
    posterior_figure,
    scalar_names,
    wright_map,
)
from irt_bench.report.figures.item_figures import SUSPECT, information_figure, items_figure
from irt_bench.report.figures.model_figures import ability_accuracy_figure
from irt_bench.report.page import sentences
from irt_bench.report.page.blocks import FigureBlock, PageSection, figure_block, html_table, table_block
from irt_bench.report.page.folders import CHECKS, COMPARISON, FIT, ITEMS, ResultFolder
from irt_bench.report.tables.text import general, one_line

MAX_ITEMS: Final = 1500  # in the table of items, worst first
MAX_ITEMS_BRIEF: Final = 120  # where a page has many benchmarks
MAX_DRAWN: Final = 4000  # items in the cloud
NODES: Final = np.linspace(-4, 4, 33)
PERCENT: Final = 100
MAX_CARDS: Final = 6  # items drawn with their observed shares
ENDINGS: Final = ("", "_q05", "_q95")
COLUMNS: Final = {  # of the table: stem, header, decimals
    "proportion_correct": ("share right", 2),
    "item_rest_correlation": ("item-rest r", 2),
    "irt_difficulty": ("difficulty", 2),
    "irt_discrimination": ("discrimination", 2),
}
ENDS: Final = {"item_rest_correlation": "item_rest"}  # stems of intervals that differ from those of their columns


def item_section(
    statistics: ResultFolder | None, fit: ResultFolder | None, checks: ResultFolder | None, *, brief: bool = False
) -> PageSection:
    """Make the section on items, with their curves if there is a fit; a brief one has fewer items and figures."""
    question = "Which items are bad?"
    if statistics is None:
        return PageSection("items", question, missing=[ITEMS])
    frame = statistics["items"].set_index("item")
    if not len(frame):
        return PageSection("items", question, notes=["The file of item statistics has no rows."])
    joined = _join(frame, fit, checks)
    shown = joined.iloc[worst_first(joined)[: MAX_ITEMS_BRIEF if brief else MAX_ITEMS]]
    data = _table_data(shown)
    if fit is not None:
        data["curves"] = _curves(fit, [str(item) for item in shown.index])
        data["abilities"] = _abilities(fit)
        data["observed"] = _observed(fit["observed"], [str(item) for item in shown.index])
    notes = []
    if len(joined) > len(shown):
        elsewhere = f"; {statistics.place} has all" if statistics.place else ""
        notes.append(f"The table has the {len(shown):,} most suspect of {len(joined):,} items{elsewhere}.")
    missing = [FIT] if fit is None else []
    texts = [sentences.item_sentence(frame["flags"])]
    blocks = [] if brief else [_cloud(frame, statistics.place)]
    if fit is not None:
        blocks += [*_cards(joined, fit), *([] if brief else _information(fit))]
    return PageSection("items", question, texts, blocks, missing=missing, notes=notes, items=data)


def worst_first(frame: pd.DataFrame) -> npt.NDArray[np.intp]:
    """Positions of items by the severity of their worst flag, then by item-rest correlation, lowest first."""
    raised = frame["flags"].str.split(";")
    gravity = raised.map(lambda own: min((FLAGS.index(flag) for flag in own if flag in FLAGS), default=len(FLAGS)))
    few = FLAGS.index("few_models")
    order = {FLAGS.index("negative"): -2, FLAGS.index("maybe_negative"): -1, few: len(FLAGS)}
    rank = gravity.map(lambda place: order.get(place, place)).to_numpy()
    return np.lexsort((frame["item_rest_correlation"].fillna(2).to_numpy(), rank))


def _join(frame: pd.DataFrame, fit: ResultFolder | None, checks: ResultFolder | None) -> pd.DataFrame:
    """Item statistics beside item parameters and the checks that items failed, joined by label."""
    joined = frame
    if fit is not None:
        parameters = fit["items"].set_index("item")
        names = [name for name in parameters if str(name).startswith(("difficulty", "discrimination"))]
        names += ["flags"] if "flags" in parameters else []
        joined = joined.join(parameters[names].add_prefix("irt_"))
    if checks is not None and "misfits" in checks["items"]:
        joined = joined.join(checks["items"].set_index("item")[["misfits"]])
    return joined


def _table_data(shown: pd.DataFrame) -> dict[str, Any]:
    """Plain values for the page's script, columns as lists."""
    columns = []
    for name, (header, decimals) in COLUMNS.items():
        if name not in shown:
            continue
        stem = ENDS.get(name, name)
        column = {"header": header, "decimals": decimals, "values": _rounded(shown[name])}
        if f"{stem}_q05" in shown:
            column |= {"low": _rounded(shown[f"{stem}_q05"]), "high": _rounded(shown[f"{stem}_q95"])}
        columns.append(column)
    raised = shown["flags"]
    if "irt_flags" in shown:
        raised = (raised + ";" + shown["irt_flags"].fillna("")).str.strip(";")
    notes = raised.str.replace("_", " ").str.replace(";", ", ")
    if "misfits" in shown:
        misfits = shown["misfits"].fillna("").str.replace("_", " ").str.replace(";", ", ")
        notes = pd.Series(
            notes
            + np.where((notes != "") & (misfits != ""), "; ", "")
            + np.where(misfits != "", "misfit: ", "")
            + misfits
        )
    return {"items": [one_line(str(item)) for item in shown.index], "columns": columns, "flags": notes.tolist()}


def _rounded(values: pd.Series) -> list[float | None]:
    return [None if pd.isna(value) else round(float(value), 3) for value in values]


def _load_posterior(fit: ResultFolder) -> xr.Dataset:
    from irt_bench.inference.fit import FitResult

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the section on checks reports convergence
        return FitResult.load(fit.path).posterior


def _success_curves(fit: ResultFolder, items: list[str]) -> xr.Dataset | None:
    """Probability of a right response to those of the items that the fit has; None where it has none, or scores."""
    from irt_bench.analysis.curves import success_curves
    from irt_bench.analysis.labelled_draws import positions_of

    posterior = _load_posterior(fit)
    labels = posterior["item"].to_numpy().astype(str)
    known = [item for item in items if item in set(labels.tolist())]
    if not known or not _is_dichotomous(posterior):
        return None
    places = positions_of(pd.Index(known), pd.Index(labels), "item", "the table", "the fit")
    return success_curves(posterior.isel(item=places), NODES)


def _is_dichotomous(posterior: xr.Dataset) -> bool:
    """Whether a fit has one ability and right or wrong responses."""
    return SCORE_MODEL not in posterior.attrs and DIMENSION not in posterior.dims


def _curves(fit: ResultFolder, items: list[str]) -> dict[str, Any]:
    """Probability of a right response by ability, posterior mean and 90% band, in whole per cent."""
    curves = _success_curves(fit, items)
    if curves is None:
        return {"nodes": NODES.tolist(), "items": {}}
    known = curves["item"].to_numpy().astype(str).tolist()
    bands = [
        np.rint(curves[name].to_numpy() * PERCENT).astype(int)
        for name in ("probability", "probability_q05", "probability_q95")
    ]
    by_item = {one_line(item): [band[place].tolist() for band in bands] for place, item in enumerate(known)}
    return {"nodes": NODES.tolist(), "items": by_item}


def _observed(frame: pd.DataFrame, items: list[str]) -> dict[str, Any]:
    """Shares of right responses with intervals in whole per cent, by groups of models; empty if `fit` wrote none."""
    if not len(frame):
        return {}
    known = frame[frame["item"].isin(set(items))].dropna(subset=["proportion_correct"])
    found = {}
    for item, own in known.groupby("item", sort=False):
        shares = [
            np.rint(own[f"proportion_correct{end}"] * PERCENT).astype(int).tolist() for end in ("", "_q05", "_q95")
        ]
        found[one_line(str(item))] = [own["ability"].round(3).tolist(), *shares, own["n_models"].astype(int).tolist()]
    return found


def _abilities(fit: ResultFolder) -> list[float]:
    """Abilities of the models, or quantiles of them."""
    abilities = fit["abilities"]["ability"].dropna().to_numpy()
    shown = abilities if len(abilities) <= 200 else np.quantile(abilities, np.linspace(0, 1, 200))
    return [round(float(value), 3) for value in shown]


def _cards(joined: pd.DataFrame, fit: ResultFolder) -> list[FigureBlock]:
    """Draw the observed shares of the most suspect items beside their curves."""
    suspect = joined[joined["flags"].str.contains("|".join(SUSPECT))]
    worst = suspect.iloc[worst_first(suspect)[:MAX_CARDS]]
    observed = fit["observed"]
    if not len(worst) or not len(observed):
        return []
    observed = observed[observed["item"].isin(set(map(str, worst.index)))].dropna(subset=["proportion_correct"])
    worst = worst[worst.index.isin(set(observed["item"]))]
    curves = _success_curves(fit, [str(item) for item in worst.index])
    if curves is None:
        return []
    return [
        figure_block(
            "item-cards",
            "The most suspect items: observed shares beside the fitted curve",
            "Dots: share of right responses among models of similar ability, 90% intervals. Where they fall as ability "
            "rises, better models fail the item: its key may be wrong. The fitted curve, dashed there, cannot fall.",
            observed.set_index(["item", "ability"])[[*(f"proportion_correct{end}" for end in ENDINGS), "n_models"]],
            partial(item_cards_figure, curves, observed, worst),
            printed="figure",
        )
    ]


def _information(fit: ResultFolder) -> list[FigureBlock]:
    """Draw information, standard error and reliability over ability, where the fit has one ability."""
    from irt_bench.analysis.curves import benchmark_information

    posterior = _load_posterior(fit)
    if not _is_dichotomous(posterior):
        return []
    information = benchmark_information(posterior, NODES).to_dataframe()
    return [
        figure_block(
            "information",
            "Where the benchmark measures well",
            "Standard error: that of an ability from all items. Reliability: share of the variance of estimates that "
            "is not error, among models whose abilities have an sd of 1. Below: the abilities of these models.",
            information,
            partial(information_figure, information, fit["abilities"].set_index("model")["ability"].dropna()),
            columns=["information", "standard_error"],
            printed="figure",
        )
    ]


def _cloud(frame: pd.DataFrame, place: str) -> FigureBlock:
    """Draw every item by share of right responses and item-rest correlation; of too many, suspects and some others."""
    order = worst_first(frame)
    suspect = int((frame["flags"] != "").sum())
    drawn, note = frame, ""
    if len(frame) > MAX_DRAWN:
        kept = min(suspect, MAX_DRAWN // 2)
        others = order[kept:][np.linspace(0, len(order) - kept - 1, MAX_DRAWN - kept).round().astype(int)]
        drawn = frame.iloc[np.concatenate([order[:kept], others])]
        note = f" Drawn are {len(drawn):,} of {len(frame):,} items, the most suspect and some evenly spaced."
    return figure_block(
        "items-cloud",
        "Items by share of right responses and item-rest correlation",
        "Far below 0, better models fail the item more often; its key may be wrong." + note,
        frame.iloc[order],
        partial(items_figure, drawn),
        columns=["n_models", "proportion_correct", "item_rest_correlation", "flags"],
        whole=place,
    )


MAX_OPEN: Final = 12  # rows of a table that is open at first
MODEL_COLUMNS: Final = ("relative_ability", "rank", "p_first_abler", "accuracy", "accuracy_rank")
RANKS: Final = {
    "rank_by_ability": "rank",
    "rank_by_accuracy": "accuracy_rank",
}


def model_section(fit: ResultFolder | None, comparison: ResultFolder | None, *, brief: bool = False) -> PageSection:
    """Make the section on abilities, pairs in different order, and the Wright map; a brief one on abilities alone."""
    question = "Ability against accuracy: who is ahead?"
    if fit is None and comparison is None:
        return PageSection("models", question, missing=[FIT, COMPARISON])
    models = _ranks(fit, comparison)
    texts = [sentences.lead_sentence(models)]
    if comparison is not None:
        texts.append(sentences.order_sentence(comparison.summary))
    blocks = [] if "relative_ability" not in models else list(_model_blocks(models, fit, comparison))
    if brief:
        blocks = blocks[:1]
    if comparison is not None and len(comparison["discordant"]) and not brief:
        blocks.append(_pairs(comparison))
    if fit is not None and not brief:
        blocks.append(_wright(fit))
    missing = [kind for kind, part in ((FIT, fit), (COMPARISON, comparison)) if part is None]
    return PageSection("models", question, texts, blocks, missing=missing)


def _model_blocks(
    models: pd.DataFrame, fit: ResultFolder | None, comparison: ResultFolder | None
) -> Iterator[FigureBlock]:
    """Draw relative abilities alone, and against accuracy; both have one table of the models."""
    ranked = models.sort_values("rank", kind="stable")
    columns = [name for name in MODEL_COLUMNS if name in models]
    source = comparison or fit
    whole = source.file("models.csv" if comparison else "abilities.csv") if source else ""
    yield figure_block(
        "ranks",
        "Relative ability of the models",
        "In sds from the mean of these models, with 90% intervals. Of hollow models it is not clear that the first is "
        "abler (probability below 0.95). Of more than 40 models, the best, the weakest and some between are drawn.",
        ranked,
        partial(abilities_figure, models),
        columns=columns,
        whole=whole,
    )
    if "accuracy" in models and models["accuracy"].notna().any():
        pairs = comparison["discordant"] if comparison is not None and len(comparison["discordant"]) else None
        joined = (
            " Lines join pairs that the two order differently, solid where that is clear." if pairs is not None else ""
        )
        yield figure_block(
            "ability-accuracy",
            "Relative ability against accuracy",
            "Models of the same accuracy differ in ability where one solved harder or more discriminating items."
            + joined,
            ranked,
            partial(ability_accuracy_figure, models, pairs),
            columns=[name for name in ("accuracy", *columns) if name in models],
            whole=whole,
            printed="figure",
        )


def _ranks(fit: ResultFolder | None, comparison: ResultFolder | None) -> pd.DataFrame:
    if comparison is not None:
        return comparison["models"].set_index("model").rename(columns=RANKS)
    return pd.DataFrame() if fit is None else fit["abilities"].set_index("model")


def _pairs(comparison: ResultFolder) -> FigureBlock:
    pairs = comparison["discordant"].set_index(["higher_ability", "higher_accuracy"])
    table = html_table(pairs, whole=comparison.file("discordant.csv"))
    caption = (
        "Pairs that ability and accuracy order differently, most certain first, with the probability of each order. "
        "Both use the same responses, so that the product is not the probability that both hold."
    )
    return table_block("pairs", "Pairs in different order", caption, table, opened=len(pairs) <= MAX_OPEN)


def _wright(fit: ResultFolder) -> FigureBlock:
    abilities = fit["abilities"].set_index("model")["ability"]
    items = fit["items"].set_index("item")
    return figure_block(
        "wright",
        "Models and items on one scale",
        "Abilities above, difficulties below (Wright map). Items far from all models contribute little. The outer bars "
        "count all that lies beyond.",
        items,
        partial(wright_map, abilities, items["difficulty"]),
        columns=[name for name in ("difficulty", "discrimination", "flags") if name in items],
        whole=fit.file("items.csv"),
        printed="figure",
    )


CHECK_COLUMNS = ["stage", "name", "status", "value", "threshold", "message", "source"]


def trust_section(fit: ResultFolder | None, checks: ResultFolder | None) -> PageSection:
    """Make the section on checks, failed ones first."""
    question = "How far to trust it?"
    if fit is None and checks is None:
        return PageSection("trust", question, missing=[FIT, CHECKS])
    found = all_checks(fit, checks)
    order = {"failed": 0, "passed": 1}
    found = found.sort_values("status", key=lambda status: status.map(order).fillna(2), kind="stable")
    texts = [sentences.check_sentence(found)] if len(found) else []
    found["status"] = found["status"].str.replace("_", " ")
    found["name"] = found["name"].str.replace("_", " ")
    notes = [str(each.get("message", "")) for each in (fit.summary.get("findings", []) if fit else [])]
    notes += [str(note) for note in (checks.summary.get("notes", []) if checks else [])]
    for column in ("value", "threshold"):  # units differ: a common number of digits would hide some
        found[column] = [general(None if pd.isna(value) else float(value)) for value in found[column]]
    table = html_table(found.set_index("name"), columns=["status", "value", "threshold", "message"])
    caption = (
        "Each with its value and its limit, failed ones first. The file for download gives the source of each limit."
    )
    blocks = [table_block("checks", "Checks", caption, table)]
    blocks = blocks if len(found) else []
    if fit is not None:
        blocks += _posterior(fit)
    missing = [kind for kind, part in ((FIT, fit), (CHECKS, checks)) if part is None]
    return PageSection("trust", question, texts, blocks, missing=missing, notes=notes)


def _posterior(fit: ResultFolder) -> list[FigureBlock]:
    """Draw, by ArviZ, the chains of quantities that belong to no single model or item."""
    posterior = _load_posterior(fit)
    names = scalar_names(posterior)
    if not names or posterior.sizes[CHAIN] < 2:  # draws from an approximation are independent: nothing to see
        return []
    draws = {name: posterior[name].to_numpy().ravel() for name in names}
    table = pd.DataFrame(
        {
            "mean": {name: each.mean() for name, each in draws.items()},
            "sd": {name: each.std() for name, each in draws.items()},
            "q05": {name: np.quantile(each, 0.05) for name, each in draws.items()},
            "q95": {name: np.quantile(each, 0.95) for name, each in draws.items()},
        }
    ).rename_axis("quantity")
    caption = (
        "Left: density of each chain. Right: its draws in order, which should look like noise around a constant level."
    )
    title = "Posterior of the items' means and sds"
    return [figure_block("posterior", title, caption, table, partial(posterior_figure, posterior))]


def all_checks(fit: ResultFolder | None, checks: ResultFolder | None) -> pd.DataFrame:
    """Tabulate checks of convergence and of the model together."""
    rows: list[dict[str, Any]] = []
    for part, stage in ((fit, "fit"), (checks, "model")):
        if part is None:
            continue
        found = part.summary.get("checks", [])
        named = [{"name": name, **each} for name, each in found.items()] if isinstance(found, dict) else found
        rows += [{"stage": stage} | each for each in named]
    return pd.DataFrame(rows, columns=CHECK_COLUMNS)
