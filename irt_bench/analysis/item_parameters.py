"""Abilities from item parameters known from elsewhere: tables of this package, of mirt, py-irt, girth or catsim."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from irt_bench.analysis.abilities import score_models
from irt_bench.errors import AnalysisError, ResponsesWarning
from irt_bench.names import CHAIN, DIFFICULTY, DISCRIMINATION, DRAW, GUESSING, ITEM, UPPER_ASYMPTOTE, ScoreMethod
from irt_bench.responses.counts import ResponseCounts

INTERCEPT: Final = "intercept"  # log-odds at ability 0: -discrimination x difficulty
ALIASES: Final = {
    ITEM: ("item", "item_id", "items", "id", "question_id"),
    DISCRIMINATION: ("discrimination", "a", "a1", "disc", "slope"),
    DIFFICULTY: ("difficulty", "b", "diff", "location"),
    INTERCEPT: ("intercept", "d"),
    GUESSING: ("guessing", "c", "g", "guess", "lower_asymptote", "pseudo_guessing"),
    UPPER_ASYMPTOTE: ("upper_asymptote", "u", "upper", "d"),
}
LAMBDAS: Final = {"3pl": GUESSING, "4pl": UPPER_ASYMPTOTE}
MAX_BYTES: Final = 2**28
TABLE_SUFFIXES: Final = (".csv", ".parquet")
SUFFIXES: Final = (*TABLE_SUFFIXES, ".json")


def read_item_parameters(path: str | Path) -> pd.DataFrame:
    """Read a table of item parameters: .csv, .parquet, or py-irt's ``best_parameters.json``.

    Returns
    -------
    pd.DataFrame
        As from `item_parameter_table`.

    Raises
    ------
    AnalysisError
        If the file is missing, too large, or holds no parameters of items.
    """
    file = _known_file(path, SUFFIXES, "item parameters")
    try:
        frame = _of_py_irt(json.loads(file.read_text(encoding="utf-8"))) if _is_json(file) else _frame_of(file)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise AnalysisError(f"{file.name} cannot be read as item parameters: {error}") from error
    return item_parameter_table(frame)


def read_item_columns(path: str | Path) -> pd.DataFrame:
    """Read what is known of items, such as covariates: a CSV or Parquet file with a column ``item``, its index then.

    Raises
    ------
    AnalysisError
        If the file is missing, too large, or no such table.
    """
    file = _known_file(path, TABLE_SUFFIXES, "columns of the items")
    try:
        frame = _frame_of(file)
    except (ValueError, OSError) as error:
        raise AnalysisError(f"{file.name} cannot be read as a table of items: {error}") from error
    if ITEM not in frame:
        raise AnalysisError(f"{file.name} has no column {ITEM!r}; its columns are {', '.join(map(str, frame))}.")
    return frame.set_index(frame.pop(ITEM).astype(str))


def _known_file(path: str | Path, suffixes: tuple[str, ...], what: str) -> Path:
    file = Path(path)
    if not file.is_file():
        raise AnalysisError(f"{file} is no file; a table of {what} is needed.")
    if file.suffix.lower() not in suffixes:
        raise AnalysisError(f"{file.name}: {what} are read from {', '.join(suffixes)} files.")
    if file.stat().st_size > MAX_BYTES:
        raise AnalysisError(f"{file.name} has {file.stat().st_size:,} bytes; at most {MAX_BYTES:,} are read.")
    return file


def _is_json(file: Path) -> bool:
    return file.suffix.lower() == ".json"


def _frame_of(file: Path) -> pd.DataFrame:
    return pd.read_parquet(file) if file.suffix.lower() == ".parquet" else pd.read_csv(file)


def _of_py_irt(content: Any) -> pd.DataFrame:
    """Parameters by the labels of the items: {"disc": [...], "diff": [...], "item_ids": {"0": label, ...}}."""
    if not isinstance(content, Mapping) or "diff" not in content or not isinstance(content.get("item_ids"), Mapping):
        raise ValueError("py-irt's best_parameters.json has the keys diff and item_ids")
    labels = content["item_ids"]
    order = [str(labels[str(place)]) for place in range(len(content["diff"]))]
    columns = {name: content[name] for name in ("disc", "diff") if content.get(name) is not None}
    if content.get("lambdas"):  # guessing of its 3PL, upper asymptote of its 4PL
        if content.get("irt_model") not in LAMBDAS:
            raise ValueError('its lambdas are known with "irt_model": "3pl" or "4pl" only')
        columns[LAMBDAS[content["irt_model"]]] = content["lambdas"]
    return pd.DataFrame({"item": order, **columns})


def item_parameter_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Bring a table of item parameters to this package's names.

    Parameters
    ----------
    frame : pd.DataFrame
        Items in the index, or in a column ``item``. Names of the columns may be those of this package; ``a, b, c, d``
        of catsim, with ``d`` the upper asymptote; or ``a1, d, g, u`` of mirt: without a difficulty, ``d`` is the
        intercept, and the difficulty is -d / a.

    Returns
    -------
    pd.DataFrame
        Indexed by item: ``difficulty, discrimination, guessing, upper_asymptote``.

    Raises
    ------
    AnalysisError
        If there is no difficulty or intercept, an item occurs twice, or a value is not finite or out of range.
    """
    names = {str(column).strip().lower().replace(" ", "_"): column for column in frame.columns}
    found = {own: next((names[alias] for alias in aliases if alias in names), None) for own, aliases in ALIASES.items()}
    if found[DIFFICULTY] is None and found[INTERCEPT] is None:
        there = ", ".join(map(str, frame.columns[:10])) or "none"
        raise AnalysisError(f"item parameters need a difficulty (b) or an intercept (d); the columns are {there}.")
    if found[UPPER_ASYMPTOTE] == found[INTERCEPT]:  # both are called d
        found[UPPER_ASYMPTOTE if found[DIFFICULTY] is None else INTERCEPT] = None
    labels = frame.index if found[ITEM] is None else frame[found[ITEM]]
    table = pd.DataFrame(index=pd.Index(labels, dtype="str", name=ITEM))
    for name, default in ((DISCRIMINATION, 1.0), (GUESSING, 0.0), (UPPER_ASYMPTOTE, 1.0)):
        table[name] = default if found[name] is None else _numbers(frame[found[name]])
    if found[DIFFICULTY] is None:
        with np.errstate(divide="ignore", invalid="ignore"):
            table[DIFFICULTY] = -_numbers(frame[found[INTERCEPT]]) / table[DISCRIMINATION].to_numpy()
    else:
        table[DIFFICULTY] = _numbers(frame[found[DIFFICULTY]])
    _check(table)
    return table[[DIFFICULTY, DISCRIMINATION, GUESSING, UPPER_ASYMPTOTE]]


def _numbers(values: pd.Series) -> np.ndarray:
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)


def _check(table: pd.DataFrame) -> None:
    if not len(table):
        raise AnalysisError("the table of item parameters has no rows.")
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise AnalysisError(
            f"item {twice!r} has parameters twice; keep one row per item, such as those of one benchmark."
        )
    wrong = ~np.isfinite(table.to_numpy()).all(axis=1)
    wrong |= ~(table[GUESSING].between(0, 1) & table[UPPER_ASYMPTOTE].between(0, 1)).to_numpy()
    wrong |= (table[GUESSING] >= table[UPPER_ASYMPTOTE]).to_numpy()
    if wrong.any():
        first = table.iloc[int(wrong.argmax())]
        values = ", ".join(f"{name} {value:g}" for name, value in first.items())
        raise AnalysisError(
            f"{int(wrong.sum())} items have parameters that are not finite, or asymptotes that are not "
            f"0 <= guessing < upper <= 1; first: {first.name!r} with {values}."
        )


def score_by_items(
    counts: ResponseCounts, items: pd.DataFrame, *, method: ScoreMethod = "eap", prior_sd: float = 1.0
) -> pd.DataFrame:
    """Estimate abilities from responses to items whose parameters are known; see `irt_bench.score_with_items`."""
    known = counts.items.index.astype("str").isin(items.index)
    if not known.any():
        raise AnalysisError(
            f"none of the {counts.n_items} items of the responses has parameters; first: {counts.items.index[0]!r}, "
            f"where the table has {items.index[0]!r}. Labels must be the same."
        )
    if not known.all():
        warnings.warn(
            f"{int((~known).sum())} of {counts.n_items} items have no parameters and are left out; first: "
            f"{counts.items.index[int((~known).argmax())]!r}.",
            ResponsesWarning,
            stacklevel=3,
        )
    if (items[DISCRIMINATION] < 0).mean() > 0.5:
        warnings.warn(
            "most discriminations are below 0: ability is reversed, the abler a model, the lower.",
            ResponsesWarning,
            stacklevel=3,
        )
    asked = counts.take(items=np.flatnonzero(known))
    coords = {CHAIN: [0], DRAW: [0], ITEM: items.index.to_numpy(dtype=object)}
    values = {str(name): ((CHAIN, DRAW, ITEM), items[name].to_numpy()[None, None]) for name in items}
    return score_models(asked, xr.Dataset(values, coords=coords), method=method, prior_sd=prior_sd)
