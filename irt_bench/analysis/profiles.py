"""Profiles: several abilities of models given items that are known."""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from irt_bench.analysis.abilities import Method, score_models
from irt_bench.analysis.intervals import Z_LIMIT
from irt_bench.analysis.labelled_draws import ASYMPTOTES, check_same_responses, evenly_spaced, positions_of
from irt_bench.errors import AnalysisError, ResponsesWarning
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
    INTERCEPT,
    INTERVAL,
    ITEM,
    LOADING,
    MODEL,
    OTHER_DIMENSION,
)
from irt_bench.responses.counts import ResponseCounts

MAX_CELLS: Final = 20_000_000  # cells times draws of the items: some seconds
MIN_DRAWS, MAX_DRAWS = 20, 200
CALIBRATION_DRAWS: Final = 20
FARTHEST, N_NODES = 6.0, 241  # sds, and nodes of a grid of abilities
MIN_VARIANCE: Final = 1e-4  # of loadings over items: those of a 1PL are equal


def score_fitted(counts: ResponseCounts, posterior: xr.Dataset, *, method: Method, prior_sd: float) -> pd.DataFrame:
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
            raise AnalysisError("a fit of a model of scores scores by method 'eap'; leave it out.")
        return score_by_nodes(counts, posterior, prior_sd=prior_sd)
    if DIMENSION not in posterior.dims:
        return score_models(counts, posterior, method=method, prior_sd=prior_sd)
    if method != "eap" or prior_sd != 1:
        raise AnalysisError("a fit with several abilities scores by method 'eap' with prior_sd 1; leave both out.")
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
