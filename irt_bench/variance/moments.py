"""Moments of the answers over pairs of seeds, from which variance components are computed.

For seeds s < t that both answered item i, d[i] = y[s, i] - y[t, i]. Half the mean of d[i]^2 is the mean diagonal
element of C, the covariance matrix of items over seeds. Half the mean of d[i] d[j] over pairs of items is its mean
off-diagonal element. With complete data these equal the analysis of variance. With incomplete data they are unbiased
if cells are missing at random. All functions accept leading dimensions (steps, replicates of a simulation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy.special import expit

from irt_bench import names
from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError
from irt_bench.irt_models.logistic import log_odds, success_probability
from irt_bench.responses.counts import ResponseCounts

Codes = npt.NDArray[np.integer]

ROUNDING: Final = 1e-12  # an sd below this share of the mean is the rounding of equal values
NEEDED: Final = "two seeds that answered two of the same items"


@dataclass(frozen=True)
class ItemCovariance:
    """Mean elements of C, the covariance matrix of items over seeds."""

    # diagonal, off_diagonal: (...), mean variance of an item, and mean covariance of two items, over seeds
    diagonal: FloatArray
    off_diagonal: FloatArray
    n_items: int  # number of items
    common: FloatArray  # (...), mean number of items that two seeds have in common; n_items if no cell is missing

    @property
    def residual(self) -> FloatArray:
        """s2_res: seed x item and the noise of single answers together."""
        return np.asarray(self.diagonal - self.off_diagonal)

    def variance(self, k: npt.ArrayLike) -> FloatArray:
        """V(k): variance over seeds of the mean of k random items; the last axis is k."""
        k = np.asarray(k, dtype=np.float64)
        if k.ndim == 0:
            return np.asarray(self.off_diagonal + self.residual / k)
        return np.asarray(self.off_diagonal[..., None] + self.residual[..., None] / k)

    def full_variance(self) -> FloatArray:
        """Variance over seeds of the score on all items."""
        return self.variance(self.n_items)


def item_covariance(values: FloatArray) -> ItemCovariance:
    """Mean elements of the covariance of items over seeds.

    Parameters
    ----------
    values : array of shape (..., seed, item)
        Answers, NaN where missing.

    Returns
    -------
    ItemCovariance
        NaN without two seeds that answered two of the same items; with one item, only the diagonal is defined.
    """
    asked = np.isfinite(values)
    n_items = values.shape[-1]
    if asked.all():
        n_seeds = values.shape[-2]
        if n_seeds < 2:
            nothing = np.full(values.shape[:-2], np.nan)
            return ItemCovariance(nothing, nothing, n_items, nothing)
        centred = values - values.mean(axis=-2, keepdims=True)
        squares = (centred**2).sum(axis=(-2, -1)) / (n_seeds - 1)
        totals = (centred.sum(axis=-1) ** 2).sum(axis=-1) / (n_seeds - 1)
        off = (totals - squares) / (n_items * (n_items - 1)) if n_items > 1 else squares / n_items
        return ItemCovariance(squares / n_items, off, n_items, np.full(squares.shape, float(n_items)))
    d, n = pair_differences(values)
    squares, totals = (d**2).sum(axis=(-2, -1)) / 2, (d.sum(axis=-1) ** 2).sum(axis=-1) / 2
    cells, couples = n.sum(axis=-1), (n * (n - 1)).sum(axis=-1)
    used = (n > 0).sum(axis=-1)
    return ItemCovariance(
        _divided(squares, cells), _divided(totals - squares, couples), n_items, _divided(cells.astype(float), used)
    )


def group_covariance(values: FloatArray, groups: Codes) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Covariance of items over seeds, averaged within and between groups of items.

    Parameters
    ----------
    values : array of shape (..., seed, item)
        Answers, NaN where missing.
    groups : array of shape (item,)
        Number of each item's group, 0 to n_groups - 1.

    Returns
    -------
    between : array of shape (..., group, group)
        Mean covariance of two items of different groups; on the diagonal, of two items of one group (NaN for a group of
        one item).
    diagonal : array of shape (..., group)
        Mean variance of an item of a group.
    sizes : array of shape (group,)
        Number of items per group.
    """
    member = np.eye(int(groups.max()) + 1)[groups]  # (item, group)
    d, _ = pair_differences(values)
    both = _both_asked(values)
    sums, squares, n = d @ member, d**2 @ member, both.astype(np.float64) @ member
    totals = np.einsum("...pg,...ph->...gh", sums, sums) / 2
    couples = np.einsum("...pg,...ph->...gh", n, n)
    own = np.einsum("...gg->...g", totals)
    own[...] = own - squares.sum(axis=-2) / 2
    pairs = np.einsum("...gg->...g", couples)
    pairs[...] = pairs - n.sum(axis=-2)
    return _divided(totals, couples), _divided(squares.sum(axis=-2) / 2, n.sum(axis=-2)), member.sum(axis=0)


def pair_differences(values: FloatArray) -> tuple[FloatArray, npt.NDArray[np.integer]]:
    """Differences of every two seeds on the items that both answered (0 elsewhere), and the number of those items.

    Returns
    -------
    differences : array of shape (..., pair, item)
    n : array of shape (..., pair)
    """
    first, second = _pairs(values.shape[-2])
    both = _both_asked(values)
    d = np.where(both, values[..., first, :] - values[..., second, :], 0.0)
    return d, both.sum(axis=-1)


def item_contributions(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the contribution of each item to the residual mean square and to the item mean square.

    Returns
    -------
    residual, item : arrays of shape (..., item)
        Sums over pairs of seeds of (d - mean d)^2 / 2, and of the product of the two answers centred by seed. With
        complete data, their sums over items are S (S - 1) / 2 times (N - 1) s2_res and (N - 1) s2_item.
    """
    first, second = _pairs(values.shape[-2])
    both = _both_asked(values)
    n = np.maximum(both.sum(axis=-1, keepdims=True), 1)
    one, other = (np.where(both, values[..., chosen, :], 0.0) for chosen in (first, second))
    one, other = (np.where(both, y - y.sum(axis=-1, keepdims=True) / n, 0.0) for y in (one, other))
    return ((one - other) ** 2).sum(axis=-2) / 2, (one * other).sum(axis=-2)


def item_variance(values: FloatArray) -> FloatArray:
    """s2_item: covariance over items of the answers of two seeds, mean over pairs of seeds; shape (...)."""
    n = _both_asked(values).sum(axis=-1)
    return _divided(item_contributions(values)[1].sum(axis=-1), np.maximum(n - 1, 0).sum(axis=-1))


def cell_variance(values: FloatArray, trials: Codes) -> FloatArray:
    """Unbiased variance of a 0/1 answer in its cell, p (1 - p) n / (n - 1); NaN with fewer than two answers."""
    repeated = np.isfinite(values) & (trials > 1)
    with np.errstate(invalid="ignore"):
        return np.where(repeated, values * (1 - values) * trials / np.maximum(trials - 1, 1), np.nan)


def trial_noise(values: FloatArray, trials: Codes, within: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
    """Variance of a single answer in its cell, and its part in the variance of the mean of a cell.

    Parameters
    ----------
    values : array of shape (..., seed, item)
        Mean of the answers of each cell.
    trials : array of shape (..., seed, item)
        Number of answers of each cell.
    within : array of shape (..., seed, item), optional
        Variance of the answers of each cell, for answers that are not 0/1; by default `cell_variance`.

    Returns
    -------
    trial, noise : arrays of shape (...)
        Variance of an answer, mean over cells with two or more answers; and `trial` times the mean of 1 / n. NaN if no
        cell has two answers.
    """
    asked = np.isfinite(values) & (trials > 0)
    own = cell_variance(values, trials) if within is None else within
    known = np.isfinite(own)
    trial = _divided(np.where(known, own, 0.0).sum(axis=(-2, -1)), known.sum(axis=(-2, -1)))
    inverse = np.where(asked, 1 / np.maximum(trials, 1), 0.0).sum(axis=(-2, -1))
    return trial, trial * _divided(inverse, asked.sum(axis=(-2, -1)))


def without_rounding(variance: FloatArray, mean: npt.ArrayLike) -> FloatArray:
    """Set variances to 0 that are only rounding errors of sums of equal values."""
    return np.where(np.abs(variance) <= (ROUNDING * np.abs(mean)) ** 2, 0.0, variance)


def check_covariance(covariance: ItemCovariance, where: str) -> None:
    """Check that the answers are sufficient for an estimate.

    Raises
    ------
    AnalysisError
        If they are not; names what is needed.
    """
    if np.isnan(covariance.off_diagonal).all():
        raise AnalysisError(
            f"{where}: seed variance needs {NEEDED} at some step; there are none. Add answers to missing cells."
        )


def _pairs(n_seeds: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    return np.triu_indices(n_seeds, 1)


def _both_asked(values: FloatArray) -> npt.NDArray[np.bool_]:
    first, second = _pairs(values.shape[-2])
    asked = np.isfinite(values)
    return np.asarray(asked[..., first, :] & asked[..., second, :])


def _divided(above: FloatArray, below: npt.NDArray) -> FloatArray:
    below = np.asarray(below, dtype=np.float64)
    out: FloatArray = np.full(np.shape(above), np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out


def answer_variance_ratio(counts: ResponseCounts, posterior: xr.Dataset) -> float:
    """Return the observed variance of answers around their expectation, divided by the variance under the model.

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
        answers are conditionally independent, as the model assumes. Below 1, seeds of a run agree on items more than
        their abilities explain: some items are easier or harder for the run. NaN if no step has two items answered by
        all its seeds.
    """
    rows = counts.models.index.astype("str").get_indexer(posterior[names.MODEL].to_index().astype("str"))
    columns = counts.items.index.astype("str").get_indexer(posterior[names.ITEM].to_index().astype("str"))
    taken = counts.take(models=rows, items=columns)
    share, expected = taken.proportions(), _answer_variance(posterior) / np.maximum(taken.trials, 1)
    cell = pd.Series(list(zip(*(_column(taken.models, name) for name in (names.RUN, names.STEP)), strict=True)))
    squares, implied, df = 0.0, 0.0, 0
    for indices in cell.groupby(cell).indices.values():
        places = np.asarray(indices, dtype=np.intp)
        full = taken.asked[places].all(axis=0)
        if len(places) < 2 or full.sum() < 2:
            continue
        values = share[np.ix_(places, np.flatnonzero(full))]
        residual = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
        n = (len(places) - 1) * (int(full.sum()) - 1)
        squares, df = squares + float((residual**2).sum()), df + n
        implied += n * float(expected[np.ix_(places, np.flatnonzero(full))].mean())
    return squares / implied if df else float("nan")


def answers_per_cell(counts: ResponseCounts) -> float:
    """Harmonic mean of the number of trials per answered cell."""
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
    """Values of a column as text; empty if missing."""
    return list(models[name].astype("str").fillna("")) if name in models else [""] * len(models)
