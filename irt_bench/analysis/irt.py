"""Item response results from draws: abilities with their ranks, and item parameters.

The posterior is a data set with ``ability`` of dimensions (chain, draw, model) and item parameters of dimensions
(chain, draw, item), with labels. Tables rest on all draws, ranks on at most `RANK_DRAWS` evenly spaced ones.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from irt_bench.analysis.curves import column_blocks
from irt_bench.analysis.labelled_draws import ASYMPTOTES, draws_of, evenly_spaced, match_labels
from irt_bench.errors import AnalysisError
from irt_bench.names import ABILITY, DIFFICULTY, DISCRIMINATION, INTERVAL, ITEM, MODEL
from irt_bench.responses.counts import ResponseCounts

RANK_DRAWS = 1000
LEAST_DRAWS = 2  # one draw has no spread


def ability_table(posterior: xr.Dataset, counts: ResponseCounts | None = None) -> pd.DataFrame:
    """Tabulate ability and rank of each model, beside its accuracy.

    Parameters
    ----------
    posterior : xr.Dataset
        With ``ability`` of dimensions (chain, draw, model).
    counts : ResponseCounts, optional
        The responses behind it, joined by label, for ``accuracy`` and ``n_items``.

    Returns
    -------
    pd.DataFrame
        Indexed by model, in the order of the posterior: ``ability`` (posterior mean, in sds of the calibration
        sample), ``ability_sd, ability_q05, ability_q95, accuracy`` (in [0, 1]), ``n_items`` (asked),
        ``relative_ability`` and its ``_sd, _q05, _q95`` (in sds from the mean of these models), ``rank, rank_q05,
        rank_q95``. Rank 1 is the ablest; ties share their mean rank.

    Raises
    ------
    AnalysisError
        If labels do not match, a draw is not finite, or there are fewer than two draws.

    Notes
    -----
    ``ability`` is known up to what all abilities share, the location and scale of these models on the scale where
    models are N(0, 1); ``relative_ability`` is free of that, and its interval is the one to compare models by.

    ``rank`` orders the posterior means; its limits are quantiles over draws of the rank *within a draw*, hence hold
    for the models taken together [1]_. They need not lie evenly around ``rank``: the ablest has no place to rise to.

    References
    ----------
    .. [1] Goldstein, Spiegelhalter, League tables and their limitations, 1996, DOI 10.2307/2983325.
    """
    draws, labels = draws_of(posterior, ABILITY, MODEL)
    _need_spread(draws)
    table = _summarise(draws, ABILITY, labels)
    if counts is not None:
        order = match_labels(counts.models.index, labels, MODEL, "the responses", "the posterior")
        table["accuracy"] = counts.accuracy().to_numpy()[order]
        table["n_items"] = counts.asked.sum(axis=1)[order]
    table = table.join(_summarise(_relative(draws), "relative_ability", labels))
    ranks = pd.DataFrame(draws[evenly_spaced(len(draws), RANK_DRAWS)]).rank(axis=1, ascending=False)
    table["rank"] = table[ABILITY].rank(ascending=False)
    table["rank_q05"], table["rank_q95"] = np.quantile(ranks, INTERVAL, axis=0)
    return table


def item_table(posterior: xr.Dataset, counts: ResponseCounts | None = None) -> pd.DataFrame:
    """Tabulate the parameters of each item.

    Parameters
    ----------
    posterior : xr.Dataset
        With item parameters of dimensions (chain, draw, item).
    counts : ResponseCounts, optional
        The responses behind it, joined by label, for ``n_models``.

    Returns
    -------
    pd.DataFrame
        Indexed by item, in the order of the posterior: for ``difficulty``, ``discrimination`` and, where the model
        has them, ``guessing`` and ``upper_asymptote`` the posterior mean, ``_sd``, ``_q05`` and ``_q95``;
        ``n_models`` (asked).

    Raises
    ------
    AnalysisError
        If labels do not match, a draw is not finite, or there are fewer than two draws.
    """
    parts = []
    for name in (DIFFICULTY, DISCRIMINATION, *(name for name in ASYMPTOTES if name in posterior)):
        draws, labels = draws_of(posterior, name, ITEM)
        _need_spread(draws)
        parts.append(_summarise(draws, name, labels))
    table = pd.concat(parts, axis=1)
    if counts is not None:
        order = match_labels(counts.items.index, labels, ITEM, "the responses", "the posterior")
        table["n_models"] = counts.asked.sum(axis=0)[order]
    return table


def _relative(draws: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Standardise over models within each draw; NaN where all models are alike in a draw."""
    centred = draws - draws.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(centred / centred.std(axis=1, keepdims=True))


def _need_spread(draws: npt.NDArray[np.floating]) -> None:
    if len(draws) < LEAST_DRAWS:
        raise AnalysisError(f"there is {len(draws)} draw; at least {LEAST_DRAWS} are needed for a spread.")


def _summarise(draws: npt.NDArray[np.floating], name: str, labels: pd.Index) -> pd.DataFrame:
    """Mean, sd and limits of each column, a block of columns at a time (quantiles copy what they sort)."""
    found = np.empty((4, len(labels)))
    for block in column_blocks(len(labels), len(draws)):
        part = draws[:, block].astype(np.float64)
        found[:, block] = part.mean(axis=0), part.std(axis=0, ddof=1), *np.quantile(part, INTERVAL, axis=0)
    return pd.DataFrame(dict(zip((name, f"{name}_sd", f"{name}_q05", f"{name}_q95"), found, strict=True)), index=labels)
