"""Labelled draws, and ArviZ's groups of the responses that belong to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import betaln, gammaln

from irt_bench import names
from irt_bench.arrays import Array
from irt_bench.errors import FitError, ModelError, unknown_choice
from irt_bench.irt_models import irt_model_from_about
from irt_bench.irt_models.item_regression import ITEM_COVARIATE, ITEM_REGRESSION
from irt_bench.irt_models.logistic import Logistic
from irt_bench.irt_models.model import RANGE, IRTModel, ScoreModel, draw_cells
from irt_bench.irt_models.populations import POPULATION, population_to_dict
from irt_bench.responses.counts import ResponseCounts, smallest_integer
from irt_bench.responses.table import FILTER, METRIC

MIN_CHANCE: Final = 1e-12
LOG_LIKELIHOOD: Final = "log_likelihood"
POSTERIOR_PREDICTIVE: Final = "posterior_predictive"
OBSERVED_DATA: Final = "observed_data"
CONSTANT_DATA: Final = "constant_data"  # numbers of trials, beside the answers where they are not all 1
TRIALS: Final = "trials"
HASH_CHARACTERS: Final = 16  # of a document's hash, kept with the draws
METADATA: Final = "model_"  # before a column of the models, as a coordinate
RESPONSE_GROUPS: Final = (LOG_LIKELIHOOD, POSTERIOR_PREDICTIVE, OBSERVED_DATA)
SAVED_GROUPS: Final = (*RESPONSE_GROUPS, CONSTANT_DATA)
GROUPS: Final = ("posterior", "sample_stats", *SAVED_GROUPS)
MAX_MEMBERS: Final = 1_000  # arrays of a group
UNPACKED_AT_MIN: Final = 2**28  # bytes that any saved fit may take in memory
UNPACKED_RATIO: Final = 100  # beyond them, bytes per byte of the file; draws do not compress
ANSWER: Final = "answer"  # dimension over the cells that were asked, where some were not
MAX_GIGABYTES: Final = 4  # of all the groups together
SPAWN_KEY: Final = 0x9D1C  # of the replicated answers' stream
# No chance in double precision lies between this and 1, and 1 itself would make a wrong answer impossible.
LARGEST_CHANCE: Final = 1 - 2.0**-53
SMALLEST_CHANCE: Final = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Draws:
    """Draws of the parameters of an IRT model."""

    sites: Mapping[str, Array]  # parameter → array of shape (chain, draw, ...)
    # parameter → names of the dimensions after (chain, draw): ``model``, ``item``, other plates of the program
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # per draw, shape (chain, draw): ArviZ's statistics of NUTS; per step, shape (step,): ``elbo`` of SVI
    sample_stats: Mapping[str, Array] = field(default_factory=dict)
    # plain values worth keeping: step sizes, number of steps, whether a stopping rule was met
    notes: Mapping[str, Any] = field(default_factory=dict)


def label_draws(draws: Draws, counts: ResponseCounts, irt_model: IRTModel | None = None) -> xr.Dataset:
    """Name dimensions and coordinates: models and items by their labels, other plates by position.

    Populations of abilities are described in the attribute `POPULATION`, regressions of items in `ITEM_REGRESSION`;
    the columns of the models that populations need are coordinates. So are the hashes of documents, and metric and
    filter attributes, where they are known: responses that are joined later must have the same.
    """
    labels: dict[str, Any] = {names.MODEL: counts.models.index, names.ITEM: counts.items.index}
    attributes = {}
    population, regression = (getattr(irt_model, name, None) for name in (POPULATION, ITEM_REGRESSION))
    if regression is not None:
        labels[ITEM_COVARIATE] = regression.terms
        attributes[ITEM_REGRESSION] = json.dumps(regression.to_dict())
    if population is not None:
        labels |= population.coordinates
        attributes[POPULATION] = json.dumps(population_to_dict(population))
    arrays: dict[str, Any] = {}
    for name, values in draws.sites.items():
        plates, extra = draws.dims[name], values.ndim - 2 - len(draws.dims[name])
        dims = (*plates, *(f"{name}_dim_{at}" for at in range(extra)))
        arrays[name] = (names.CHAIN, names.DRAW, *dims), values
    coordinates: dict[str, Any] = {dim: np.asarray(index, dtype=str) for dim, index in labels.items()}
    if population is not None:
        for column in population.columns:
            values = counts.models[column].to_numpy()
            kept = values.astype(np.float64 if values.dtype.kind in "ifu" else str)
            coordinates[METADATA + column] = ((names.MODEL,), kept)
    if names.DOC_HASH in counts.items:
        hashes = counts.items[names.DOC_HASH].astype("str").where(counts.items[names.DOC_HASH].notna(), "")
        coordinates[names.DOC_HASH] = ((names.ITEM,), hashes.str[:HASH_CHARACTERS].to_numpy().astype(str))
    for name in (METRIC, FILTER):
        if name in counts.items:
            attributes[name] = json.dumps(sorted(counts.items[name].dropna().astype("str").unique()))
    for name in set(RANGE) & set(counts.items):  # of scores, on whose range new ones are read
        coordinates[name] = ((names.ITEM,), counts.items[name].to_numpy(dtype=np.float64, na_value=np.nan))
    n_chains, n_draws = draws.sites[names.ABILITY].shape[:2]
    coordinates |= {names.CHAIN: np.arange(n_chains), names.DRAW: np.arange(n_draws)}
    return xr.Dataset(arrays, coords=coordinates, attrs=attributes)


def metadata_of(posterior: xr.Dataset) -> pd.DataFrame:
    """Tabulate the columns of the models that their populations need, indexed by model."""
    columns = {
        str(name).removeprefix(METADATA): array.to_numpy()
        for name, array in posterior.coords.items()
        if str(name).startswith(METADATA) and array.dims == (names.MODEL,)
    }
    return pd.DataFrame(columns, index=pd.Index(posterior[names.MODEL].to_numpy().astype(str), name=names.MODEL))


def label_stats(stats: Mapping[str, Any]) -> xr.Dataset:
    """Name dimensions of sample statistics: by step, or by chain and draw."""
    per_step = {"elbo"}
    return xr.Dataset(
        {
            name: ((names.STEP,) if name in per_step else (names.CHAIN, names.DRAW), array)
            for name, array in stats.items()
        }
    )


def reported(irt_model: Logistic, sites: Mapping[str, Array], n_items: int) -> dict[str, Array]:
    """Add the item parameters of a logistic model on their own scales, as its program reports them."""
    spread = {name: array[..., None] if array.ndim == 2 else array for name, array in sites.items()}  # noqa: PLR2004
    known = irt_model.known_parameters(n_items)
    items = irt_model.item_parameters({**known, **spread})
    population = {} if irt_model.population is None else irt_model.population.reported(sites)
    return {**sites, **items, **population}


def response_groups(
    irt_model: IRTModel,
    posterior: xr.Dataset,
    counts: ResponseCounts,
    *,
    groups: Sequence[str] = RESPONSE_GROUPS,
    seed: int = 0,
) -> dict[str, xr.Dataset]:
    """Log-likelihood, replicated answers and answers of every cell that was asked, each as a variable ``correct``.

    Parameters
    ----------
    irt_model : IRTModel
        Its `expected_score` is the chance of a right answer.
    posterior : xr.Dataset
        Labelled draws: ``ability`` (chain, draw, model), and item parameters (chain, draw, item).
    counts : ResponseCounts
        Right answers and trials, of these models and items.
    groups : sequence of str
        Which of `RESPONSE_GROUPS`.
    seed : int
        Of the replicated answers.

    Returns
    -------
    dict of str to xr.Dataset
        ``log_likelihood``: log of the (beta-)binomial probability of the right answers, its coefficient included;
        ``posterior_predictive``: right answers of as many trials, drawn once per draw; ``observed_data``: right
        answers, with their trials in ``constant_data`` where these are not all 1. Dimensions after (chain, draw) are
        (model, item) where every model was asked every item; else ``answer``, the cells that were asked, row by row,
        with the coordinates ``model`` and ``item``.

    Raises
    ------
    FitError, ModelError
        If a group is not known or too large; if `expected_score` gives another shape, or what is no chance.

    Notes
    -----
    A cell that was not asked has no likelihood. It is left out, since ArviZ takes a NaN for a value: `az.loo` is then
    NaN as a whole. A chance that rounds to 1 counts as the largest number below, so that the log-likelihood of a wrong
    answer is at least -36.7, rather than minus infinity.

    Examples
    --------
    >>> from irt_bench import TwoPL, fit, simulate_responses
    >>> counts = simulate_responses(TwoPL(), n_models=40, n_items=12, seed=1).table.counts()
    >>> groups = response_groups(TwoPL(), fit(counts, TwoPL()).posterior, counts)
    >>> dict(groups["log_likelihood"].sizes)
    {'chain': 1, 'draw': 1000, 'model': 40, 'item': 12}
    """
    for group in groups:
        if group not in RESPONSE_GROUPS:
            raise FitError(unknown_choice("group", group, RESPONSE_GROUPS))
    shape = (posterior.sizes[names.CHAIN], posterior.sizes[names.DRAW])
    n_draws = shape[0] * shape[1]
    check_room(counts, n_draws, groups)
    asked = counts.asked
    dims, coordinates = _layout(counts)
    sizes = counts.correct.shape if asked.all() else (int(asked.sum()),)
    right, trials = counts.correct[asked], counts.trials[asked].astype(np.int64)
    right = right.astype(np.int64) if counts.measure == "correct" else right
    integer = smallest_integer(int(trials.max(initial=0))) if counts.measure == "correct" else right.dtype
    arrays = {
        group: np.empty((n_draws, len(right)), dtype)
        for group, dtype in ((LOG_LIKELIHOOD, np.float64), (POSTERIOR_PREDICTIVE, integer))
        if group in groups
    }
    once, rng = bool((trials == 1).all()), np.random.default_rng([seed, SPAWN_KEY])
    if arrays and isinstance(irt_model, ScoreModel):
        _fill_scores(irt_model, posterior, counts, arrays, rng)
    elif arrays:
        _fill_answers(irt_model, posterior, counts, arrays, rng)
    draws = {name: posterior[name] for name in (names.CHAIN, names.DRAW)}
    found = {
        group: xr.Dataset(
            {names.CORRECT: ((names.CHAIN, names.DRAW, *dims), array.reshape(shape + sizes))}, draws | coordinates
        )
        for group, array in arrays.items()
    }
    if OBSERVED_DATA in groups:
        found[OBSERVED_DATA] = xr.Dataset({names.CORRECT: (dims, right.astype(integer).reshape(sizes))}, coordinates)
        if not once:
            found[CONSTANT_DATA] = xr.Dataset({TRIALS: (dims, trials.astype(integer).reshape(sizes))}, coordinates)
    return found


def _fill_answers(
    irt_model: IRTModel,
    posterior: xr.Dataset,
    counts: ResponseCounts,
    arrays: Mapping[str, Array],
    rng: np.random.Generator,
) -> None:
    """Fill groups of right answers of trials, draw by draw."""
    right, trials = (each[counts.asked].astype(np.int64) for each in (counts.correct, counts.trials))
    once, log_probability = bool((trials == 1).all()), _log_probability(right, trials)
    correlations = dispersion_draws(posterior)
    for draw, chance in enumerate(_chances(irt_model, posterior, counts)):
        if LOG_LIKELIHOOD in arrays:
            arrays[LOG_LIKELIHOOD][draw] = (
                log_probability(chance)
                if correlations is None
                else log_beta_binomial(right, trials, chance, correlations[draw])
            )
        if POSTERIOR_PREDICTIVE in arrays:
            if correlations is not None:  # of new trials, with an effect of the cell that is new, too
                chance = draw_cells(chance, correlations[draw], rng)
            # One uniform number instead of a binomial one takes a twentieth of the time.
            arrays[POSTERIOR_PREDICTIVE][draw] = (
                rng.random(len(chance)) < chance if once else rng.binomial(trials, chance)
            )


def _fill_scores(
    irt_model: ScoreModel,
    posterior: xr.Dataset,
    counts: ResponseCounts,
    arrays: Mapping[str, Array],
    rng: np.random.Generator,
) -> None:
    """Fill groups of scores, draw by draw, by the model's own likelihood."""
    for draw, (items, ability) in enumerate(_parameters(posterior, counts)):
        if LOG_LIKELIHOOD in arrays:
            cells = irt_model.log_likelihood(items, ability, counts.correct, counts.trials)
            arrays[LOG_LIKELIHOOD][draw] = cells[counts.asked]
        if POSTERIOR_PREDICTIVE in arrays:
            arrays[POSTERIOR_PREDICTIVE][draw] = irt_model.draw_scores(items, ability, rng)[counts.asked]


def _log_probability(right: Array, trials: Array) -> Callable[[Array], Array]:
    """Log of the binomial probability of these right answers, as a function of their chances."""
    if (trials == 1).all():
        wrong = 1 - right
        return lambda chance: np.asarray(np.log(np.abs(wrong - chance)))  # one logarithm: half the time
    coefficient = gammaln(trials + 1) - gammaln(right + 1) - gammaln(trials - right + 1)
    return lambda chance: np.asarray(coefficient + right * np.log(chance) + (trials - right) * np.log(1 - chance))


def log_beta_binomial(right: Array, trials: Array, chance: Array, correlation: Array | float) -> Array:
    """Log-probability of right answers of trials that are correlated, given the mean chances of their cells."""
    chance = np.clip(chance, MIN_CHANCE, 1 - MIN_CHANCE)  # at 0 and 1 differences of infinities
    r, wrong = 1 / correlation - 1, trials - right
    ways = -betaln(right + 1, wrong + 1) - np.log(trials + 1)
    return np.asarray(
        ways + betaln(r * chance + right, r * (1 - chance) + wrong) - betaln(r * chance, r * (1 - chance))
    )


def dispersion_draws(posterior: xr.Dataset) -> Array | None:
    """Draws of the correlation of the trials of a cell, (draw,), chains joined; None where they are independent."""
    if names.DISPERSION not in posterior:
        return None
    return np.clip(posterior[names.DISPERSION].to_numpy().ravel().astype(np.float64), 1e-6, 1 - 1e-6)


def cell_chances(
    irt_model: IRTModel, posterior: xr.Dataset, counts: ResponseCounts, *, seed: int = 0, most: int = 500
) -> Array:
    """Draw the chance of a right answer of every model to every item, at most so many draws, (draw, model, item).

    Where trials are correlated, each cell has its own probability, estimated from its answers; else it is the model's.
    """
    n_draws = posterior.sizes[names.CHAIN] * posterior.sizes[names.DRAW]
    per_chain = max(1, min(most, n_draws) // posterior.sizes[names.CHAIN])
    places = np.linspace(0, posterior.sizes[names.DRAW] - 1, per_chain).round().astype(np.intp)
    some = posterior.isel({names.DRAW: places})
    every = replace(counts, trials=np.ones_like(counts.trials), correct=np.zeros_like(counts.correct))
    right, wrong = counts.correct, counts.trials - counts.correct
    correlations, rng = dispersion_draws(some), np.random.default_rng([seed, SPAWN_KEY, 1])
    found = []
    for draw, chance in enumerate(_chances(irt_model, some, every)):
        cells = chance.reshape(counts.correct.shape)
        found.append(cells if correlations is None else draw_cells(cells, correlations[draw], rng, right, wrong))
    return np.array(found, dtype=np.float32)


def check_responses(about: Mapping[str, Any], counts: ResponseCounts) -> None:
    """Refuse other responses than those that a fit was made from, which `FitResult.responses` describes."""
    if counts.fingerprint() == about.get("fingerprint"):
        return
    n_models, n_items, benchmark = (about.get(name) for name in ("n_models", "n_items", "benchmark"))
    raise FitError(
        f"the fit was made from other responses ({n_models} models x {n_items} items of {benchmark!r}) than these "
        f"({counts.n_models} x {counts.n_items} of {counts.benchmark!r}). Give the same files and options to both."
    )


def check_room(counts: ResponseCounts, n_draws: int, groups: Sequence[str] = RESPONSE_GROUPS) -> None:
    """Refuse groups that would take more than `MAX_GIGABYTES`.

    Raises
    ------
    FitError
        Saying how many draws there is room for.
    """
    integer = np.dtype(smallest_integer(int(counts.trials.max(initial=0)))).itemsize
    a_draw = 8 * (LOG_LIKELIHOOD in groups) + integer * (POSTERIOR_PREDICTIVE in groups)
    labels = (
        0
        if counts.asked.all()
        else 4 * len(groups) * sum(max(map(len, map(str, each.index))) for each in (counts.models, counts.items))
    )
    n_answers = int(counts.asked.sum())
    needed, most = n_answers * (n_draws * a_draw + labels), MAX_GIGABYTES * 10**9
    if needed > most:
        room = int((most / n_answers - labels) // a_draw) if a_draw else 0
        advice = f"Take at most {room:,} draws in all" if room > 1 else "Take fewer models or items"
        raise FitError(
            f"{', '.join(groups)} of {n_draws:,} draws and {n_answers:,} answers take {needed / 1e9:,.1f} GB; up to "
            f"{MAX_GIGABYTES} are made. {advice} (draws of the settings, or Fit.thin), or ask for fewer groups."
        )


def _layout(counts: ResponseCounts) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Dimensions and coordinates of the cells that were asked."""
    models, items = (np.asarray(frame.index, dtype=str) for frame in (counts.models, counts.items))
    if counts.asked.all():
        return (names.MODEL, names.ITEM), {names.MODEL: models, names.ITEM: items}
    rows, columns = np.nonzero(counts.asked)
    return (ANSWER,), {names.MODEL: (ANSWER, models[rows]), names.ITEM: (ANSWER, items[columns])}


def _parameters(posterior: xr.Dataset, counts: ResponseCounts) -> Iterator[tuple[dict[str, Array], Array]]:
    """Item parameters, (item, ...), and abilities, (model, ...), draw by draw: a model may mistake draws for models."""
    labels = {names.MODEL: counts.models.index, names.ITEM: counts.items.index}
    posterior = posterior.sel({dim: np.asarray(index, dtype=str) for dim, index in labels.items()})
    ability = _joined(posterior[names.ABILITY])
    per_item = (names.CHAIN, names.DRAW, names.ITEM)
    kinds = [per_item, *((*per_item, dim) for dim in (names.DIMENSION, names.POINT))]
    parameters = {str(name): _joined(array) for name, array in posterior.data_vars.items() if array.dims in kinds}
    for draw in range(len(ability)):
        yield {name: value[draw] for name, value in parameters.items()}, ability[draw]


def _chances(irt_model: IRTModel, posterior: xr.Dataset, counts: ResponseCounts) -> Iterator[Array]:
    """Chances of right answers, or expected scores, in the cells that were asked, draw by draw."""
    asked = counts.asked
    for parameters, ability in _parameters(posterior, counts):
        score = irt_model.expected_score(parameters, ability)
        chance = np.asarray(score, dtype=np.float64)
        if chance.shape != asked.shape:
            raise ModelError(
                f"expected_score of {irt_model.name!r} has shape {chance.shape}; {asked.shape} (model, item) is needed."
            )
        chance = chance[asked]
        if not (chance.min(initial=0) >= 0 and chance.max(initial=0) <= 1):  # nor where there are NaNs
            wrong = chance[~((chance >= 0) & (chance <= 1))][0]
            raise ModelError(f"expected_score of {irt_model.name!r} is {wrong:.3g}; a chance from 0 to 1 is needed.")
        yield np.clip(chance, SMALLEST_CHANCE, LARGEST_CHANCE)


def _joined(array: xr.DataArray) -> Array:
    """Chains one after the other, in double precision."""
    return np.asarray(array.to_numpy().reshape(-1, *array.shape[2:]), dtype=np.float64)


def saved_counts(
    groups: Mapping[str, xr.Dataset], posterior: xr.Dataset, about: Mapping[str, Any]
) -> ResponseCounts | None:
    """Make responses again of the groups that hold them; None where these are others than were fitted."""
    observed = groups.get(OBSERVED_DATA)
    if observed is None or not {names.MODEL, names.ITEM} <= set(posterior.coords):
        return None
    axes = [pd.Index(posterior[name].to_numpy().astype(str), name=name) for name in (names.MODEL, names.ITEM)]
    places: Any = tuple(axis.get_indexer(observed[axis.name].to_numpy().astype(str)) for axis in axes)
    if any((place < 0).any() for place in places):
        return None
    if ANSWER not in observed.dims:
        places = np.ix_(*places)
    whole = observed[names.CORRECT].dtype.kind in "iub"
    correct = np.zeros([len(axis) for axis in axes], dtype=np.int64 if whole else np.float64)
    trials = np.zeros(correct.shape, dtype=np.int64)
    correct[places] = observed[names.CORRECT].to_numpy()
    trials[places] = groups[CONSTANT_DATA][TRIALS].to_numpy() if CONSTANT_DATA in groups else 1
    models, items = metadata_of(posterior), pd.DataFrame(index=axes[1])
    name = str(about.get("benchmark", ""))
    counts = ResponseCounts(correct, trials, models, items, name, "correct" if whole else "score")
    return counts if counts.fingerprint() == about.get("fingerprint") else None


def _check_layout(path: Path) -> None:
    """Refuse a file that is not the groups of a fit, of arrays which it holds itself, before anything in it is read.

    Links to other files, and arrays that lie in others, would read whatever they name, a pipe without end among it.
    """
    with h5py.File(path, "r") as file:
        for name in _own_members(path, file):
            if name not in GROUPS or not isinstance(file[name], h5py.Group):
                raise FitError(f"{path} is not a fit written by irt-bench: it holds {name!r}.")
            for array in _own_members(path, file[name]):
                member = file[name][array]
                if not isinstance(member, h5py.Dataset) or member.is_virtual or member.external:
                    raise FitError(f"{path} is not a fit written by irt-bench: {name}/{array} is no array of its own.")


def _own_members(path: Path, group: h5py.Group) -> list[str]:
    """Names in a group, none of which is a link to another place."""
    if len(group) > MAX_MEMBERS:
        raise FitError(f"{path} is not a fit written by irt-bench: {len(group):,} entries in one group.")
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise FitError(f"{path} is not a fit written by irt-bench: {name!r} is a link to another place.")
    return list(group)


def load_tree(path: Path) -> xr.DataTree:
    """Load a netCDF file, unless its arrays are larger than draws in a file of its size can be."""
    _check_layout(path)
    limit = max(UNPACKED_AT_MIN, UNPACKED_RATIO * path.stat().st_size)
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        unpacked = sum(group.dataset.nbytes for group in tree.subtree)
        if unpacked > limit:
            raise FitError(f"{path} unpacks to {unpacked:,} bytes; no fit of its size does.")
        return tree.load()


def model_of(about: Mapping[str, Any], given: IRTModel | None) -> IRTModel:
    """Model of a saved fit: the package's own by its name, or one that was given."""
    own = about.get("class")
    found = None if own is not None else irt_model_from_about(about)
    if found is None and given is not None and given.name == about["name"] and own in (None, type(given).__name__):
        return given
    if found is None:
        which = f" of the class {own}" if own is not None else ""
        raise FitError(f"it holds a fit of the model {about['name']!r}{which}; give that model as irt_model.")
    return found
