"""How much answers vary around what the items and abilities lead one to expect, within runs and steps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import expit

from irt_bench import names
from irt_bench.arrays import FloatArray
from irt_bench.irt_models.logistic import log_odds, success_probability
from irt_bench.responses.counts import ResponseCounts


def answer_variance_ratio(counts: ResponseCounts, posterior: xr.Dataset) -> float:
    """Divide the variance of answers around their expectation, as seen, by that which the items imply.

    Parameters
    ----------
    counts : ResponseCounts
        The responses behind the fit; joined by label.
    posterior : xr.Dataset
        As `SeedFit.posterior`, or what `estimate_abilities` gives before there is a fit.

    Returns
    -------
    float
        Residual mean square of seeds x items within run and step, over the mean of P (1 - P) / trials. About 1 where
        answers are as independent as the model has them. Below 1, seeds of a run agree on items more than their
        abilities explain: the run has easy and hard items of its own. NaN where no step has two items asked of all
        its seeds.
    """
    rows = counts.models.index.astype("str").get_indexer(posterior[names.MODEL].to_index().astype("str"))
    columns = counts.items.index.astype("str").get_indexer(posterior[names.ITEM].to_index().astype("str"))
    taken = counts.take(models=rows, items=columns)
    share, expected = taken.proportions(), _answer_variance(posterior) / np.maximum(taken.trials, 1)
    cell = pd.Series(list(zip(*(_column(taken.models, name) for name in (names.RUN, names.STEP)), strict=True)))
    squares, implied, freedom = 0.0, 0.0, 0
    for indices in cell.groupby(cell).indices.values():
        places = np.asarray(indices, dtype=np.intp)
        full = taken.asked[places].all(axis=0)
        if len(places) < 2 or full.sum() < 2:
            continue
        values = share[np.ix_(places, np.flatnonzero(full))]
        residual = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
        n = (len(places) - 1) * (int(full.sum()) - 1)
        squares, freedom = squares + float((residual**2).sum()), freedom + n
        implied += n * float(expected[np.ix_(places, np.flatnonzero(full))].mean())
    return squares / implied if freedom else float("nan")


def answers_per_cell(counts: ResponseCounts) -> float:
    """Harmonic mean of the trials of the cells that were asked: a mean share varies as one of so many answers does."""
    return float(1 / np.mean(1 / counts.trials[counts.asked]))


def _answer_variance(posterior: xr.Dataset) -> FloatArray:
    """P (1 - P) of one answer at the posterior mean abilities, averaged over draws of the items, (model, item)."""
    abilities = posterior[names.ABILITY].mean((names.CHAIN, names.DRAW)).transpose("item_draw", names.MODEL).to_numpy()
    found = np.zeros((posterior.sizes[names.MODEL], posterior.sizes[names.ITEM]))
    for draw, ability in enumerate(abilities):
        a, b, low, high = (
            posterior[name].to_numpy()[draw]
            for name in (names.DISCRIMINATION, names.DIFFICULTY, names.GUESSING, names.UPPER_ASYMPTOTE)
        )
        chance = success_probability(expit(log_odds(ability[:, None], a, b)), low, high)
        found += chance * (1 - chance) / len(abilities)
    return found


def _column(models: pd.DataFrame, name: str) -> list[str]:
    """Values of a column as text, empty where missing or where there is none."""
    return list(models[name].astype("str").fillna("")) if name in models else [""] * len(models)
