"""Item parameters beyond one fit: tables of other programs, scales of two fits linked, scores of two tests equated."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import least_squares

from irt_bench.analysis.abilities import score_models
from irt_bench.analysis.curves import response_probabilities
from irt_bench.analysis.labelled_draws import ItemParameters, item_draws, positions_of
from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError, ResponsesWarning, UndefinedWarning
from irt_bench.irt_models.model import SCORE_MODEL
from irt_bench.names import (
    CHAIN,
    DIFFICULTY,
    DIMENSION,
    DISCRIMINATION,
    DRAW,
    GUESSING,
    INTERVAL,
    ITEM,
    UPPER_ASYMPTOTE,
    LinkingName,
    ScoreMethod,
)
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
MIN_COMMON: Final = 5  # items that link two scales; Kolen and Brennan advise 20, or a fifth of the test
LINK_DRAWS: Final = 200
LINK_NODES: Final = np.linspace(-4.0, 4.0, 41)
SCORE_NODES: Final = np.linspace(-8.0, 8.0, 641)


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

    Items are its index or a column ``item``. Names of the columns may be those of this package; ``a, b, c, d`` of
    catsim, with ``d`` the upper asymptote; or ``a1, d, g, u`` of mirt: without a difficulty, ``d`` is the intercept,
    and the difficulty is -d / a.

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


def link_draws(first: xr.Dataset, second: xr.Dataset, method: LinkingName) -> tuple[FloatArray, pd.DataFrame]:
    """Draw slope and intercept of a link, (draw, 2), and tabulate the common items; see `irt_bench.ScaleLink`."""
    parts = []
    for posterior in (first, second):
        _check_one_ability(posterior, "scales are linked")
        parts.append(item_draws(posterior, LINK_DRAWS))
    (ours, labels), (theirs, others) = parts
    common = labels.intersection(others, sort=False)
    if len(common) < MIN_COMMON:
        raise AnalysisError(
            f"the fits have {len(common)} items in common, and linking their scales needs {MIN_COMMON} or more, better "
            "20. Let both groups of models answer more of the same items, or fit all answers together."
        )
    n = min(len(ours.difficulty), len(theirs.difficulty))
    ours = ours.at((slice(n), labels.get_indexer(common)))
    theirs = theirs.at((slice(n), others.get_indexer(common)))
    link = np.array([LINKS[method](ours.at(draw), theirs.at(draw)) for draw in range(n)])
    linked = link[:, :1] * theirs.difficulty + link[:, 1:]
    difference = linked - ours.difficulty
    table = pd.DataFrame(
        {
            DIFFICULTY: ours.difficulty.mean(axis=0),
            f"linked_{DIFFICULTY}": linked.mean(axis=0),
            "difference": difference.mean(axis=0),
            "difference_sd": difference.std(axis=0),
        },
        index=common.rename(ITEM),
    )
    table["difference_q05"], table["difference_q95"] = np.quantile(difference, INTERVAL, axis=0)
    return link, table


def _mean_sigma(ours: ItemParameters, theirs: ItemParameters) -> FloatArray:
    """Equal means and sds of the common difficulties."""
    slope = ours.difficulty.std() / theirs.difficulty.std()
    return np.array([slope, ours.difficulty.mean() - slope * theirs.difficulty.mean()])


def _stocking_lord(ours: ItemParameters, theirs: ItemParameters) -> FloatArray:
    """Nearest expected scores on the common items over N(0, 1), found by Levenberg and Marquardt's method."""
    weight = np.exp(-(LINK_NODES**2) / 4)  # the root of the density's
    expected = response_probabilities(ours.at(None), LINK_NODES[:, None])[0].sum(axis=-1)

    def away(link: FloatArray) -> FloatArray:
        slope = np.exp(link[0])
        moved = theirs._replace(
            difficulty=slope * theirs.difficulty + link[1], discrimination=theirs.discrimination / slope
        )
        return np.asarray(
            weight * (response_probabilities(moved.at(None), LINK_NODES[:, None])[0].sum(axis=-1) - expected)
        )

    start = _mean_sigma(ours, theirs)
    slope, intercept = least_squares(away, [np.log(start[0]), start[1]], method="lm").x
    return np.array([np.exp(slope), intercept])


LINKS: Final[Mapping[str, Callable[[ItemParameters, ItemParameters], FloatArray]]] = {
    "stocking-lord": _stocking_lord,
    "mean-sigma": _mean_sigma,
}


def equated_scores(
    posterior: xr.Dataset, source: Sequence[str], target: Sequence[str], scores: FloatArray | None = None
) -> pd.DataFrame:
    """Equate expected scores on some items of a fit with those on others; see `irt_bench.equate_scores`."""
    _check_one_ability(posterior, "scores are equated")
    items, labels = item_draws(posterior, LINK_DRAWS)
    shares = []
    for wanted in (source, target):
        if not len(wanted):
            raise AnalysisError("one of the sets of items is empty; name the items of both.")
        places = positions_of(pd.Index(list(map(str, wanted))), labels, "item", "the set", "the fit")
        own = items.at((slice(None), places))
        chance = [
            response_probabilities(own.at(draw).at(None), SCORE_NODES[:, None])[0] for draw in range(len(items[0]))
        ]
        shares.append(np.array([each.mean(axis=-1) for each in chance]))
    given = np.arange(1, len(source)) / len(source) if scores is None else np.asarray(scores, dtype=np.float64)
    found = np.array([np.interp(given, own, other, np.nan, np.nan) for own, other in zip(*shares, strict=True)])
    ability = np.array([np.interp(given, own, SCORE_NODES, np.nan, np.nan) for own in shares[0]])
    known = np.isfinite(found).all(axis=0)
    if not known.all():
        warnings.warn(
            f"{int((~known).sum())} scores, first {given[~known][0]:g}, are those of no ability: no score equals them.",
            UndefinedWarning,
            stacklevel=3,
        )
    table = pd.DataFrame(index=pd.Index(given, name="score"))
    for name, draws in (("equivalent", found), ("ability", ability)):
        draws = np.where(known, draws, np.nan)
        table[name], table[f"{name}_sd"] = draws.mean(axis=0), draws.std(axis=0)
        table[f"{name}_q05"], table[f"{name}_q95"] = np.quantile(draws, INTERVAL, axis=0)
    return table


def _check_one_ability(posterior: xr.Dataset, what: str) -> None:
    if SCORE_MODEL in posterior.attrs or DIMENSION in posterior.dims or DISCRIMINATION not in posterior:
        raise AnalysisError(f"{what} by fits of a 1pl to 4pl; this one is of another model.")
