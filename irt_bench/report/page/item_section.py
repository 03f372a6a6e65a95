"""Which items are bad: all of them by share right and item-rest correlation, a table to sort, a curve to look at."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.analysis.classical import FLAGS
from irt_bench.report.figures.items import items_figure
from irt_bench.report.page import sentences
from irt_bench.report.page.folders import FIT, ITEMS, Part
from irt_bench.report.page.sections import Block, Section, figure_block
from irt_bench.report.tables.text import one_line

MOST_ITEMS: Final = 1500  # in the table to choose from, worst first
DRAWN: Final = 4000  # items in the cloud
NODES: Final = np.linspace(-4, 4, 33)
PERCENT: Final = 100
COLUMNS: Final = {  # of the table: stem, header, decimals
    "share_right": ("share right", 2),
    "item_rest_correlation": ("item-rest r", 2),
    "irt_difficulty": ("difficulty", 2),
    "irt_discrimination": ("discrimination", 2),
}
ENDS: Final = {"item_rest_correlation": "item_rest"}  # stems of intervals that differ from their column's


def item_section(statistics: Part | None, fit: Part | None, checks: Part | None) -> Section:
    """Items with flags first, with their curves where there is a fit."""
    question = "Which items are bad?"
    if statistics is None:
        return Section("items", question, missing=[ITEMS])
    frame = statistics["items"].set_index("item")
    if not len(frame):
        return Section("items", question, notes=["The file of item statistics has no rows."])
    joined = _join(frame, fit, checks)
    shown = joined.iloc[worst_first(joined)[:MOST_ITEMS]]
    data = _table_data(shown)
    if fit is not None:
        data["curves"] = _curves(fit.path, [str(item) for item in shown.index])
        data["abilities"] = _abilities(fit)
        data["observed"] = _observed(fit["observed"], [str(item) for item in shown.index])
    notes = []
    if len(joined) > len(shown):
        notes.append(
            f"The table holds the {len(shown):,} most suspect of {len(joined):,} items; {statistics.place} all."
        )
    missing = [FIT] if fit is None else []
    said = [sentences.item_sentence(frame["flags"])]
    return Section("items", question, said, [_cloud(frame, statistics.place)], missing=missing, notes=notes, items=data)


def worst_first(frame: pd.DataFrame) -> npt.NDArray[np.intp]:
    """Positions of items by the gravity of their first flag, then by item-rest correlation, lowest first."""
    raised = frame["flags"].str.split(";")
    gravity = raised.map(lambda own: min((FLAGS.index(flag) for flag in own if flag in FLAGS), default=len(FLAGS)))
    few = FLAGS.index("few_models")
    order = {FLAGS.index("negative"): -2, FLAGS.index("maybe_negative"): -1, few: len(FLAGS)}
    rank = gravity.map(lambda place: order.get(place, place)).to_numpy()
    return np.lexsort((frame["item_rest_correlation"].fillna(2).to_numpy(), rank))


def _join(frame: pd.DataFrame, fit: Part | None, checks: Part | None) -> pd.DataFrame:
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


def _curves(path: Path, items: list[str]) -> dict[str, Any]:
    """Chance of a right answer at each ability, posterior mean and 90% band, in whole per cent."""
    from irt_bench.analysis.curves import success_curves
    from irt_bench.analysis.labelled_draws import positions_of
    from irt_bench.inference.fit import FitResult

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a fit did not converge is said where it can be read
        posterior = FitResult.load(path).posterior
    labels = posterior["item"].to_numpy().astype(str)
    known = [item for item in items if item in set(labels.tolist())]
    if not known:
        return {"nodes": NODES.tolist(), "items": {}}
    places = positions_of(pd.Index(known), pd.Index(labels), "item", "the table", "the fit")
    curves = success_curves(posterior.isel(item=places), NODES)
    bands = [
        np.rint(curves[name].to_numpy() * PERCENT).astype(int)
        for name in ("probability", "probability_q05", "probability_q95")
    ]
    by_item = {one_line(item): [band[place].tolist() for band in bands] for place, item in enumerate(known)}
    return {"nodes": NODES.tolist(), "items": by_item}


def _observed(frame: pd.DataFrame, items: list[str]) -> dict[str, Any]:
    """Shares of right answers with intervals in whole per cent, by groups of models; empty where `fit` wrote none."""
    if not len(frame):
        return {}
    known = frame[frame["item"].isin(set(items))].dropna(subset=["share_right"])
    found = {}
    for item, own in known.groupby("item", sort=False):
        shares = [np.rint(own[f"share_right{end}"] * PERCENT).astype(int).tolist() for end in ("", "_q05", "_q95")]
        found[one_line(str(item))] = [own["ability"].round(3).tolist(), *shares, own["n_models"].astype(int).tolist()]
    return found


def _abilities(fit: Part) -> list[float]:
    """Where the models are: quantiles of their abilities, enough to draw."""
    abilities = fit["abilities"]["ability"].dropna().to_numpy()
    shown = abilities if len(abilities) <= 200 else np.quantile(abilities, np.linspace(0, 1, 200))
    return [round(float(value), 3) for value in shown]


def _cloud(frame: pd.DataFrame, place: str) -> Block:
    """Every item by share right and item-rest correlation; where they are too many, the suspect and some others."""
    order = worst_first(frame)
    suspect = int((frame["flags"] != "").sum())
    drawn, note = frame, ""
    if len(frame) > DRAWN:
        kept = min(suspect, DRAWN // 2)
        others = order[kept:][np.linspace(0, len(order) - kept - 1, DRAWN - kept).round().astype(int)]
        drawn = frame.iloc[np.concatenate([order[:kept], others])]
        note = f" Drawn are {len(drawn):,} of {len(frame):,} items, the most suspect and some evenly spaced."
    return figure_block(
        "items-cloud",
        "Items by share of right answers and item-rest correlation",
        "Far below 0: better models fail the item more often, so that its key may be wrong." + note,
        frame.iloc[order],
        partial(items_figure, drawn),
        columns=["n_models", "share_right", "item_rest_correlation", "flags"],
        whole=place,
    )
