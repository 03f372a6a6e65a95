"""Items that are known, from a fit or a table: models scored by them, scales linked, scores equated, items added."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy
import xarray as xr

from irt_bench.analysis.abilities import score_models
from irt_bench.analysis.curves import response_probabilities
from irt_bench.analysis.intervals import Z_LIMIT
from irt_bench.analysis.labelled_draws import (
    ASYMPTOTES,
    ItemParameters,
    check_same_responses,
    evenly_spaced,
    item_draws,
    positions_of,
)
from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError, ResponsesWarning, UndefinedWarning
from irt_bench.irt_models import score_model_of
from irt_bench.irt_models.model import SCORE_MODEL, on_known_range
from irt_bench.names import (
    ABILITY,
    ABILITY_CORRELATION,
    CHAIN,
    DIFFICULTY,
    DIMENSION,
    DISCRIMINATION,
    DRAW,
    GUESSING,
    INTERCEPT,
    INTERVAL,
    ITEM,
    LOADING,
    MODEL,
    OTHER_DIMENSION,
    UPPER_ASYMPTOTE,
    LinkingName,
    ScoreMethod,
)
from irt_bench.responses.counts import ResponseCounts

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
    """Read an `item_parameter_table`: .csv, .parquet, or py-irt's ``best_parameters.json``.

    Raises
    ------
    AnalysisError
        If the file is missing, too large, or holds no parameters of items.
    """
    file = _known_file(path, SUFFIXES, "item parameters")
    try:
        frame = _frame_of(file)
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


def _frame_of(file: Path) -> pd.DataFrame:
    if file.suffix.lower() == ".json":
        return _of_py_irt(json.loads(file.read_text(encoding="utf-8")))
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
    slope, intercept = scipy.optimize.least_squares(away, [np.log(start[0]), start[1]], method="lm").x
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
            f"{int((~known).sum())} scores, first {given[~known][0]:g}, are expected at no ability: no equivalent.",
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


MAX_CELLS: Final = 20_000_000  # cells times draws of the items: some seconds
MIN_DRAWS, MAX_DRAWS = 20, 200
CALIBRATION_DRAWS: Final = 20
FARTHEST, N_NODES = 6.0, 241  # sds, and nodes of a grid of abilities
MIN_VARIANCE: Final = 1e-4  # of loadings over items: those of a 1PL are equal


def score_fitted(
    counts: ResponseCounts, posterior: xr.Dataset, *, method: ScoreMethod, prior_sd: float
) -> pd.DataFrame:
    """Score models by a fit with one ability, `score_models`, or with several, `score_profiles`.

    Raises
    ------
    AnalysisError
        If a fit with several abilities is to be scored by the mode or under a wider prior, or the items are other
        documents than those of the fit, or were read by another metric or filter.
    """
    check_same_responses(counts.items, posterior)
    if SCORE_MODEL in posterior.attrs:
        if method != "eap":
            raise AnalysisError(
                "models are scored only by method 'eap' in a fit of a model of scores; leave method out."
            )
        return score_by_nodes(counts, posterior, prior_sd=prior_sd)
    if DIMENSION not in posterior.dims:
        return score_models(counts, posterior, method=method, prior_sd=prior_sd)
    if method != "eap" or prior_sd != 1:
        raise AnalysisError(
            "models are scored only by method 'eap' with prior_sd 1 in a fit with several abilities; leave both out."
        )
    return score_profiles(counts, posterior)


def score_by_nodes(counts: ResponseCounts, posterior: xr.Dataset, *, prior_sd: float = 1.0) -> pd.DataFrame:
    """Estimate abilities from scores on items of a fit of a model of scores; see `irt_bench.Fit.score`.

    Notes
    -----
    The posterior on a grid of abilities, averaged over some draws of the items.
    """
    irt_model = score_model_of(posterior.attrs)
    assert irt_model is not None  # noqa: S101 - the attribute was looked for
    places = positions_of(counts.items.index, posterior[ITEM].to_index(), "item", "the responses", "the fit")
    part = posterior.isel({ITEM: places})
    irt_model = irt_model.for_items(part)
    counts = irt_model.arranged(on_known_range(counts, part))
    nodes = np.linspace(-FARTHEST, FARTHEST, N_NODES) * max(prior_sd, 1.0)
    names_of = [str(name) for name, array in part.data_vars.items() if array.dims[:3] == (CHAIN, DRAW, ITEM)]
    n_draws = int(np.clip(MAX_CELLS // max(counts.correct.size, 1), MIN_DRAWS, MAX_DRAWS))
    draws = {name: part[name].to_numpy().reshape(-1, *part[name].shape[2:]) for name in names_of}
    density = np.zeros((counts.n_models, N_NODES))
    chosen = evenly_spaced(part.sizes[CHAIN] * part.sizes[DRAW], n_draws)
    for draw in chosen:
        parameters = {name: values[draw].astype(np.float64) for name, values in draws.items()}
        logs = irt_model.node_log_likelihood(parameters, nodes, counts.correct, counts.trials)
        logs = logs - nodes**2 / (2 * prior_sd**2)
        weight = np.exp(logs - logs.max(axis=1, keepdims=True))
        density += weight / weight.sum(axis=1, keepdims=True) / len(chosen)
    mean = density @ nodes
    columns = {ABILITY: mean, f"{ABILITY}_sd": np.sqrt(density @ nodes**2 - mean**2)}
    reached, edges = density.cumsum(axis=1), nodes + (nodes[1] - nodes[0]) / 2
    for name, quantile in zip(("q05", "q95"), INTERVAL, strict=True):
        columns[f"{ABILITY}_{name}"] = np.array([np.interp(quantile, row, edges) for row in reached])
    return pd.DataFrame(columns | {"n_items": counts.asked.sum(axis=1)}, index=counts.models.index)


def score_profiles(counts: ResponseCounts, posterior: xr.Dataset) -> pd.DataFrame:
    """Estimate abilities, dimension by dimension, by a fit with several; see `irt_bench.Fit.score`.

    ``n_items`` are those answered that load on the dimension.

    Notes
    -----
    Under each of some draws of the items a model's abilities are taken as normal (`profiles_given_items`); means and
    variances are those of the mixture over draws, intervals normal.
    """
    places = positions_of(counts.items.index, posterior[ITEM].to_index(), "item", "the responses", "the fit")
    if not counts.asked.any(axis=1).all():
        lone = counts.models.index[int(counts.asked.any(axis=1).argmin())]
        warnings.warn(f"model {lone!r} has no responses and gets the prior.", ResponsesWarning, stacklevel=3)
    part = posterior.isel({ITEM: places}).stack(sample=(CHAIN, DRAW), create_index=False)  # noqa: PD013
    n_draws = int(np.clip(MAX_CELLS // max(counts.correct.size, 1), MIN_DRAWS, MAX_DRAWS))
    part = part.isel(sample=evenly_spaced(part.sizes["sample"], n_draws))
    loading = part[LOADING].transpose("sample", ITEM, DIMENSION).to_numpy().astype(np.float64)
    intercept = part[INTERCEPT].transpose("sample", ITEM).to_numpy().astype(np.float64)
    correlation = np.broadcast_to(np.eye(loading.shape[2]), (len(loading), *(loading.shape[2],) * 2))
    if ABILITY_CORRELATION in part:
        correlation = part[ABILITY_CORRELATION].transpose("sample", DIMENSION, OTHER_DIMENSION).to_numpy()
    from irt_bench.inference.fast.dimensional import profiles_given_items  # noqa: PLC0415 - compiled loops

    found = [
        profiles_given_items(*known, counts.correct, counts.trials)
        for known in zip(loading, intercept, correlation.astype(np.float64), strict=True)
    ]
    means, variances = (np.array(each) for each in zip(*found, strict=True))
    mean, sd = means.mean(axis=0), np.sqrt(variances.mean(axis=0) + means.var(axis=0))
    table = {ABILITY: mean, "sd": sd, "q05": mean - Z_LIMIT * sd, "q95": mean + Z_LIMIT * sd}
    index = pd.MultiIndex.from_product([counts.models.index, posterior[DIMENSION].to_numpy()], names=[MODEL, DIMENSION])
    columns = {name if name == ABILITY else f"{ABILITY}_{name}": value.ravel() for name, value in table.items()}
    on = (loading != 0).any(axis=0)
    return pd.DataFrame(columns | {"n_items": (counts.asked.astype(int) @ on.astype(int)).ravel()}, index=index)


def calibrate_new_items(
    counts: ResponseCounts, posterior: xr.Dataset, *, n_draws: int = CALIBRATION_DRAWS, seed: int = 0
) -> xr.Dataset:
    """Draw the parameters of new items on the scale of a fit, whose items stay; see `irt_bench.calibrate_items`.

    As many draws of the new items go with each of `n_draws` draws of the fit's items.

    Returns
    -------
    xr.Dataset
        Draws of the new items, as the posterior has them: ``difficulty`` and ``discrimination``, or ``loading`` and
        ``intercept``.

    Raises
    ------
    AnalysisError
        If there is no new item or no known one, or the model is another.

    Notes
    -----
    The models may come from another population than those of the fit: its location and spread are estimated with the
    new items. These come from the population of the known ones, which vary over draws of the fit.
    """
    several = LOADING in posterior
    other = SCORE_MODEL in posterior.attrs or any(name in posterior for name in ASYMPTOTES)
    if other or (several and not _loads_on_all(posterior)):
        raise AnalysisError("new items are calibrated on fits of a 1pl, 2pl or m2pl; this fit has another model.")
    known = counts.items.index.astype(str).isin(posterior[ITEM].to_index().astype(str))
    if known.all() or not known.any():
        raise AnalysisError(
            f"{int(known.sum())} of {len(known)} items are known to the fit; some known and some new ones are needed."
        )
    from irt_bench.inference.fast.dimensional import KnownScale, calibrate_given_items  # noqa: PLC0415 - compiled loops

    order = np.argsort(~known, kind="stable")
    part = counts.take(items=order)
    coefficient = _coefficients(posterior)
    labels = posterior[ITEM].to_index()
    places = positions_of(part.items.index[: known.sum()], labels, "item", "the responses", "the fit")
    rng = np.random.default_rng(seed)
    chosen, drawn = coefficient[evenly_spaced(len(coefficient), n_draws)], []
    for at in chosen:
        covariance = np.cov(at.T) + MIN_VARIANCE * np.eye(at.shape[1])
        scale = KnownScale(at[places], at.mean(axis=0), covariance, np.eye(at.shape[1] - 1))
        drawn.append(calibrate_given_items(scale, part.correct, part.trials, rng, n_draws))
    found = np.concatenate(drawn)[None]
    coords = {CHAIN: [0], DRAW: np.arange(found.shape[1]), ITEM: part.items.index[known.sum() :].astype(str)}
    dims = (CHAIN, DRAW, ITEM)
    if several:
        coords[DIMENSION] = posterior[DIMENSION].to_numpy()
        return xr.Dataset({LOADING: ((*dims, DIMENSION), found[..., :-1]), INTERCEPT: (dims, found[..., -1])}, coords)
    slope, intercept = found[..., 0], found[..., 1]
    return xr.Dataset({DIFFICULTY: (dims, -intercept / slope), DISCRIMINATION: (dims, slope)}, coords)


def _loads_on_all(posterior: xr.Dataset) -> bool:
    return bool((posterior[LOADING] != 0).any((CHAIN, DRAW)).all()) and ABILITY_CORRELATION not in posterior


def _coefficients(posterior: xr.Dataset) -> npt.NDArray[np.float64]:
    """Give loadings and intercepts, (draw, item, dimension + 1)."""
    if LOADING in posterior:
        loading, intercept = (posterior[name].to_numpy() for name in (LOADING, INTERCEPT))
    else:
        slope = posterior[DISCRIMINATION].transpose(CHAIN, DRAW, ITEM).to_numpy()
        loading, intercept = slope[..., None], -slope * posterior[DIFFICULTY].transpose(CHAIN, DRAW, ITEM).to_numpy()
    found = np.concatenate([loading, intercept[..., None]], axis=-1).astype(np.float64)
    return found.reshape(-1, *found.shape[2:])
