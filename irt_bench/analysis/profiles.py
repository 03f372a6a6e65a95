"""Profiles: several abilities of models given items that are known."""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from irt_bench.analysis.abilities import Method, score_models
from irt_bench.analysis.intervals import Z_LIMIT
from irt_bench.analysis.labelled_draws import evenly_spaced, positions_of
from irt_bench.errors import AnalysisError, ResponsesWarning
from irt_bench.inference.fast.dimensional import profiles_given_items
from irt_bench.names import (
    ABILITY,
    ABILITY_CORRELATION,
    CHAIN,
    DIMENSION,
    DRAW,
    INTERCEPT,
    ITEM,
    LOADING,
    MODEL,
    OTHER_DIMENSION,
)
from irt_bench.responses.counts import ResponseCounts

MAX_CELLS: Final = 20_000_000  # cells times draws of the items: some seconds
MIN_DRAWS, MAX_DRAWS = 20, 200


def score_fitted(counts: ResponseCounts, posterior: xr.Dataset, *, method: Method, prior_sd: float) -> pd.DataFrame:
    """Score models by a fit with one ability, `score_models`, or with several, `score_profiles`.

    Raises
    ------
    AnalysisError
        If a fit with several abilities is to be scored by the mode or under a wider prior.
    """
    if DIMENSION not in posterior.dims:
        return score_models(counts, posterior, method=method, prior_sd=prior_sd)
    if method != "eap" or prior_sd != 1:
        raise AnalysisError("a fit with several abilities scores by method 'eap' with prior_sd 1; leave both out.")
    return score_profiles(counts, posterior)


def score_profiles(counts: ResponseCounts, posterior: xr.Dataset) -> pd.DataFrame:
    """Estimate the abilities of models, dimension by dimension, from answers to items of a fit, which stay as they are.

    Parameters
    ----------
    counts : ResponseCounts
        Answers to all or some of the items, joined by label.
    posterior : xr.Dataset
        Oriented draws of a model with several abilities.

    Returns
    -------
    pd.DataFrame
        Indexed by model and dimension: ``ability, ability_sd, ability_q05, ability_q95`` and ``n_items`` (answered, of
        those that load on the dimension).

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
