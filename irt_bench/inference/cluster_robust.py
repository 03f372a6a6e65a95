"""Intervals that hold where models come in clusters (families, runs, near-copies): draws widened about their means.

A fit takes models as independent given their abilities. Fine-tunes of one base share more: what they have in common on
an item moves its difficulty as if it were information. What an item's parameters should cover is their value in the
population of clusters, to which estimates converge as clusters, not models, are added.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from irt_bench import names
from irt_bench.arrays import Array
from irt_bench.inference.fast.ability_grid import AbilityGrid, CurveTable, draw_from_grid
from irt_bench.irt_models.logistic import LOG_DISCRIMINATION
from irt_bench.responses.counts import ResponseCounts

BLOCK: Final = 4_000_000  # cells, or draws of items, at once
MAX_LEVERAGE: Final = 0.95  # of one cluster on an item
MIN_SD: Final = 0.02  # of an ability, for which the grid has its finest nodes
TINY: Final = 1e-9


@dataclass(frozen=True)
class ClusterEffect:
    """How far clusters of models widened the intervals of a fit."""

    # models with answers, clusters of them, and models in the largest
    n_models: int
    n_clusters: int
    largest: int
    # variance of an item's difficulty over that from as many independent models, mean over items weighted by their
    # information (Kish 1965)
    design_effect: float
    degrees_of_freedom: float  # of an item's own estimate of it: one less than the effective number of clusters
    # degrees of freedom that the mean over items counts for beside it; infinite where items do not differ
    prior_degrees: float

    @property
    def n_effective(self) -> float:
        """Number of independent models that would inform as much about difficulties (Kish 1965), at most `n_models`."""
        return self.n_models / max(self.design_effect, 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; None for infinite degrees of freedom."""
        found = asdict(self) | {"n_effective": self.n_effective}
        return found | {"prior_degrees": self.prior_degrees if np.isfinite(self.prior_degrees) else None}


class _Draws(NamedTuple):
    """Draws with chains joined, abilities in units of `log_scale` from `location`."""

    ability: Array  # (draw, model)
    intercept: Array  # (draw, item)
    log_slope: Array  # (draw, item)
    location: Array  # (draw, 1)
    log_scale: Array  # (draw, 1)


class ResidualCells(NamedTuple):
    """Of some items: slope of the log-likelihood in each answer's log-odds, and the information, (model, item) each."""

    items: slice
    residual: Array
    weight: Array


class _Spread(NamedTuple):
    """Information of each item and its variance between clusters over it, whitened, (item, k, k) each."""

    information: Array
    inflation: Array


def widen(
    posterior: xr.Dataset, counts: ResponseCounts, clusters: npt.ArrayLike, rng: np.random.Generator
) -> tuple[xr.Dataset, ClusterEffect]:
    """Widen the draws of a logistic model by what models of one cluster have in common beyond ability.

    Means stay as they were, and asymptotes as they were drawn; beside the draws, how far intervals were widened.

    Notes
    -----
    Per item, in (intercept, log slope): with V the covariance of the draws, I the information and K the sum over
    clusters of the outer product of their scores, V + V (K - I) V is the covariance that holds with clusters: the
    sandwich estimator [1]_ where the data inform, the prior where they do not, and V where models are independent.
    Scores are taken with the small-sample correction CR2 [2]_, in its scalar form. K over I of one item rests on as
    many degrees of freedom as there are clusters, less one; it is drawn towards its mean over the items as far as items
    do not differ more than chance makes them (empirical Bayes [3]_), and draws become t-distributed with what degrees
    of freedom remain.

    Draws are moved linearly about their mean, hence keep their shape, and abilities follow the items as their
    posterior modes do, so that a model's expected score stays where its answers put it. The scale that all abilities
    share is treated apart: how far its location and spread vary is taken from the clusters' sums.

    References
    ----------
    .. [1] Liang, Zeger, Longitudinal data analysis using generalized linear models, 1986, DOI 10.1093/biomet/73.1.13.
    .. [2] Bell, McCaffrey, Bias reduction in standard errors for linear regression with multi-stage samples, 2002,
       Survey Methodology 28(2).
    .. [3] Smyth, Linear models and empirical Bayes methods for assessing differential expression in microarray
       experiments, 2004, DOI 10.2202/1544-6115.1027.
    """
    _, codes = np.unique(np.asarray(clusters), return_inverse=True)
    draws = _standardised(posterior)
    shared = bool((np.ptp(draws.log_slope, axis=1) < TINY).all())
    order, starts = np.argsort(codes, kind="stable"), np.flatnonzero(np.diff(np.sort(codes), prepend=-1))
    parts, shares = [], np.zeros(len(starts))
    for cells in _cells(counts, posterior, draws):
        spread, share = _between_clusters(cells, draws, order, starts, n_parameters=1 if shared else 2)
        parts.append(spread)
        shares += share
    spread = _Spread(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    effect = _effect(counts, codes, spread, shares)
    moved = _move_items(draws, _moderate(spread, effect), effect, rng)
    followed = _follow(counts, posterior, draws, moved)
    return _as_posterior(posterior, draws, _move_scale(followed, order, starts, effect, rng)), effect


def residual_cells(counts: ResponseCounts, posterior: xr.Dataset) -> Iterator[ResidualCells]:
    """Residuals and their variance under the model, at the means of the draws, a block of items at a time."""
    return _cells(counts, posterior, _mean_of_standardised(posterior))


def append_models(posterior: xr.Dataset, counts: ResponseCounts, rng: np.random.Generator) -> xr.Dataset:
    """Add models that had no part in a fit: their abilities given its items.

    Notes
    -----
    Drawn from the posterior at the items' means, and moved with the items of each draw to first order.
    """
    new = ~counts.models.index.astype("str").isin(posterior[names.MODEL].to_index())
    others = counts.take(models=new)
    draws = _joined(posterior)
    items = {
        name: posterior[name].mean((names.CHAIN, names.DRAW)).to_numpy()
        for name in (names.GUESSING, names.UPPER_ASYMPTOTE) if name in posterior
    }  # fmt: skip
    intercept, log_slope = draws.intercept.mean(axis=0), draws.log_slope.mean(axis=0)
    items |= {names.DISCRIMINATION: np.exp(log_slope), names.DIFFICULTY: -intercept / np.exp(log_slope)}
    least_sd = 1 / np.sqrt(1 + others.trials.max(axis=0) @ np.exp(2 * log_slope) / 4)
    grid = AbilityGrid.from_counts(others.correct, others.trials, least_sd=max(float(least_sd), MIN_SD))
    table = CurveTable(items, grid.nodes)
    _, weights = grid.weights(table.log_right, table.log_wrong)
    uniform = rng.random((others.n_models, len(draws.ability)))
    at_means = draws._replace(
        ability=draw_from_grid(weights, grid.nodes, grid.pattern, uniform).T,
        intercept=np.broadcast_to(intercept, draws.intercept.shape),
        log_slope=np.broadcast_to(log_slope, draws.log_slope.shape),
    )
    ability = posterior[names.ABILITY].transpose(names.CHAIN, names.DRAW, names.MODEL)
    shape = (*ability.shape[:2], others.n_models)
    added = ability.isel({names.MODEL: np.zeros(others.n_models, dtype=np.intp)}).copy(
        data=_follow(others, posterior, at_means, draws).ability.reshape(shape).astype(np.float32)
    )
    added[names.MODEL] = others.models.index.to_numpy(dtype=str)
    joined = xr.concat([ability, added], names.MODEL).sel({names.MODEL: counts.models.index.to_numpy(dtype=str)})
    return posterior.drop_dims(names.MODEL).assign({names.ABILITY: joined})[list(posterior.data_vars)]


def _standardised(posterior: xr.Dataset) -> _Draws:
    """Draws on the scale where the abilities of a draw have mean 0 and sd 1."""
    raw = _joined(posterior)
    location, scale = raw.ability.mean(axis=1, keepdims=True), raw.ability.std(axis=1, keepdims=True)
    return _Draws(
        (raw.ability - location) / scale,
        raw.intercept + np.exp(raw.log_slope) * location,
        raw.log_slope + np.log(scale),
        location,
        np.log(scale),
    )


def _mean_of_standardised(posterior: xr.Dataset) -> _Draws:
    """Mean of the draws of `_standardised`, without a copy of all of them."""
    raw = _joined(posterior, np.float32)
    location = raw.ability.mean(axis=1, keepdims=True, dtype=np.float64)
    square = np.einsum("dm,dm->d", raw.ability, raw.ability)[:, None] / raw.ability.shape[1]
    scale = np.sqrt(square - location**2)
    ability = np.float32(1 / scale).T @ raw.ability / len(scale) - (location / scale).mean()
    rest = raw.intercept + np.exp(raw.log_slope) * location, raw.log_slope + np.log(scale), location, np.log(scale)
    return _Draws(ability, *(each.mean(axis=0, keepdims=True) for each in rest))


def _joined(posterior: xr.Dataset, dtype: npt.DTypeLike = np.float64) -> _Draws:
    """Draws as they are, chains joined."""
    ability, difficulty, slope = (
        posterior[name].transpose(names.CHAIN, names.DRAW, ...).to_numpy() for name in
        (names.ABILITY, names.DIFFICULTY, names.DISCRIMINATION)
    )  # fmt: skip
    ability, difficulty, slope = (
        np.asarray(each.reshape(-1, each.shape[-1]), dtype) for each in (ability, difficulty, slope)
    )
    none = np.zeros((len(ability), 1))
    return _Draws(ability, -slope * difficulty, np.log(slope), none, none)


def _cells(counts: ResponseCounts, posterior: xr.Dataset, draws: _Draws) -> Iterator[ResidualCells]:
    """Residuals and weights at the means of the draws, a block of items at a time."""
    low, high = (
        np.broadcast_to(
            posterior[name].mean((names.CHAIN, names.DRAW)).to_numpy() if name in posterior else value, counts.n_items
        )
        for name, value in ((names.GUESSING, 0.0), (names.UPPER_ASYMPTOTE, 1.0))
    )
    dispersion = float(posterior[names.DISPERSION].mean()) if names.DISPERSION in posterior else 0.0
    ability, slope, intercept = draws.ability.mean(0), np.exp(draws.log_slope.mean(0)), draws.intercept.mean(0)
    for items in _blocks(counts.n_items, counts.n_models):
        log_odds = np.clip(np.outer(ability, slope[items]) + intercept[items], -30, 30)
        known = 1 / (1 + np.exp(-log_odds))
        chance = low[items] + (high[items] - low[items]) * known
        share = (high[items] - low[items]) * known * (1 - known) / (chance * (1 - chance))  # 1 without asymptotes
        trials = counts.trials[:, items]
        residual = (counts.correct[:, items] - trials * chance) * share
        effect = 1 + np.maximum(trials - 1, 0) * dispersion  # correlated trials tell less
        yield ResidualCells(items, residual / effect, trials * chance * (1 - chance) * share**2 / effect)


def _blocks(n_items: int, n_rows: int) -> Iterator[slice]:
    size = max(BLOCK // n_rows, 1)
    return (slice(start, start + size) for start in range(0, n_items, size))


def _between_clusters(
    cells: ResidualCells, draws: _Draws, order: Array, starts: Array, *, n_parameters: int
) -> tuple[_Spread, Array]:
    """Information and inflation of some items, and each cluster's part in the inflation, summed over the items."""
    ability = draws.ability.mean(0)[order, None]
    slope = np.exp(draws.log_slope.mean(0))[cells.items]
    residual, weight = cells.residual[order], cells.weight[order]
    regressors = [np.ones(1), ability * slope][:n_parameters]  # of log-odds, in intercept and log slope

    def by_cluster(values: Array) -> Array:
        return np.asarray(np.add.reduceat(values, starts, axis=0))

    k = n_parameters
    score = np.stack([by_cluster(residual * each) for each in regressors], axis=-1)
    own = np.stack([[by_cluster(weight * one * two) for two in regressors] for one in regressors])
    own = np.moveaxis(own, (0, 1), (-2, -1))  # (cluster, item, k, k)
    information = own.sum(axis=0)
    mass = np.trace(information, axis1=-2, axis2=-1)
    inverse = np.linalg.inv(information + (TINY + 1e-6 * mass)[:, None, None] * np.eye(k))
    leverage = np.minimum(np.einsum("gjik,jki->gj", own, inverse) / k, MAX_LEVERAGE)
    whitened = np.einsum("jik,gjk->gji", _root(inverse), score) / np.sqrt(1 - leverage)[..., None]
    inflation = np.einsum("gji,gjk->jik", whitened, whitened)
    inflation[mass < TINY] = np.eye(k)  # never asked: the prior's
    return _Spread(information, inflation), np.asarray(np.square(whitened).sum(axis=-1) @ information[:, 0, 0])


def _root(matrices: Array) -> Array:
    """Symmetric root of each of some symmetric matrices; negative eigenvalues count as nothing."""
    values, vectors = np.linalg.eigh(matrices)
    return np.asarray((vectors * np.sqrt(np.maximum(values, TINY))[..., None, :]) @ np.swapaxes(vectors, -1, -2))


def _effect(counts: ResponseCounts, codes: Array, spread: _Spread, shares: Array) -> ClusterEffect:
    """Sizes, the mean design effect, and the degrees of freedom of an item and of what items have in common."""
    answered = counts.asked.any(axis=1)
    sizes = np.bincount(codes[answered])
    degrees = max(shares.sum() ** 2 / np.square(shares).sum() - 1, 1.0)  # Satterthwaite's, of clusters' squares
    weight = spread.information[:, 0, 0] / spread.information[:, 0, 0].sum()
    mean = np.einsum("j,jik->ik", weight, spread.inflation)
    size = np.einsum("ik,jki->j", np.linalg.inv(mean), spread.inflation) / len(mean)
    beyond = weight @ (size - 1) ** 2 - 2 / (len(mean) * degrees)  # of chance, relative
    prior = 4 + 2 * (1 + 1 / degrees) / beyond if beyond > 0 else np.inf
    return ClusterEffect(
        n_models=int(answered.sum()),
        n_clusters=int((sizes > 0).sum()),
        largest=int(sizes.max()),
        design_effect=float(mean[0, 0]),
        degrees_of_freedom=float(degrees),
        prior_degrees=float(prior),
    )


def _moderate(spread: _Spread, effect: ClusterEffect) -> _Spread:
    """Draw the items' inflations towards their mean."""
    weight = spread.information[:, 0, 0] / spread.information[:, 0, 0].sum()
    mean = np.einsum("j,jik->ik", weight, spread.inflation)
    own = effect.degrees_of_freedom / (effect.degrees_of_freedom + effect.prior_degrees)
    return spread._replace(inflation=own * spread.inflation + (1 - own) * mean)


def _move_items(draws: _Draws, spread: _Spread, effect: ClusterEffect, rng: np.random.Generator) -> _Draws:
    """Draws of the items about their means with the covariance that holds with clusters."""
    k = spread.information.shape[-1]
    moved = [draws.intercept.copy(), draws.log_slope.copy()]
    degrees = effect.degrees_of_freedom + effect.prior_degrees
    for items in _blocks(draws.intercept.shape[1], len(draws.intercept)):
        deviation = np.stack([each[:, items] - each[:, items].mean(axis=0) for each in moved[:k]], axis=-1)
        covariance = np.einsum("dji,djk->jik", deviation, deviation) / (len(deviation) - 1)
        half, information = _root(covariance), _root(spread.information[items])
        excess = information @ (spread.inflation[items] - np.eye(k)) @ information
        widened = half @ _root(np.eye(k) + half @ excess @ half) @ np.linalg.inv(half)
        new = np.einsum("jik,djk->dji", widened, deviation)
        if np.isfinite(degrees):
            new *= np.sqrt(degrees / rng.chisquare(degrees, new.shape[:2]))[..., None]
        for place in range(k):
            moved[place][:, items] += new[..., place] - deviation[..., place]
    return draws._replace(intercept=moved[0], log_slope=moved[1])


def _follow(counts: ResponseCounts, posterior: xr.Dataset, before: _Draws, after: _Draws) -> _Draws:
    """Move abilities as their posterior modes move with the items, to first order."""
    ability, slope = before.ability.mean(0)[:, None], np.exp(before.log_slope.mean(0))
    pull, precision = np.zeros_like(before.ability), np.exp(2 * before.log_scale.mean()) * np.ones(counts.n_models)
    for cells in _cells(counts, posterior, before):
        a = slope[cells.items]
        moved = [getattr(after, name)[:, cells.items] - getattr(before, name)[:, cells.items] for name in
                 ("intercept", "log_slope")]  # fmt: skip
        pull -= moved[0] @ (cells.weight * a).T
        pull += moved[1] @ (a * (cells.residual - cells.weight * a * ability)).T
        precision += cells.weight @ a**2
    return after._replace(ability=before.ability + pull / precision)


def _move_scale(draws: _Draws, order: Array, starts: Array, effect: ClusterEffect, rng: np.random.Generator) -> _Draws:
    """Widen location and spread that all abilities share by what clusters have in common in them."""
    ability = draws.ability.mean(0)[order]
    degrees = effect.degrees_of_freedom
    moved = []
    for values, power in ((draws.location, 1), (draws.log_scale, 2)):
        part = ability**power - np.mean(ability**power)
        inflation = np.square(np.add.reduceat(part, starts)).sum() / np.square(part).sum() * (1 + 1 / degrees)
        chance = np.sqrt(degrees / rng.chisquare(degrees, values.shape))
        moved.append(values.mean() + (values - values.mean()) * np.sqrt(inflation) * chance)
    return draws._replace(location=moved[0], log_scale=moved[1])


def _as_posterior(posterior: xr.Dataset, before: _Draws, after: _Draws) -> xr.Dataset:
    """Draws in the place of those they were made from, what all items share moved with the scale."""
    scale, stretch = np.exp(after.log_scale), np.exp(after.log_scale - before.log_scale)
    slope = np.exp(after.log_slope) / scale
    found = {
        names.ABILITY: after.location + scale * after.ability,
        names.DIFFICULTY: after.location - after.intercept / slope,
        names.DISCRIMINATION: slope,
    }

    def shared(name: str) -> Array:
        return posterior[name].transpose(names.CHAIN, names.DRAW).to_numpy().reshape(-1, 1)

    mean, sd, mean_slope = f"{names.DIFFICULTY}_mean", f"{names.DIFFICULTY}_sd", f"{LOG_DISCRIMINATION}_mean"
    if mean in posterior:
        found[mean] = after.location + (shared(mean) - before.location) * stretch
        found[sd] = shared(sd) * stretch
    if mean_slope in posterior:
        found[mean_slope] = shared(mean_slope) - np.log(stretch)
    return posterior.assign(
        {
            name: posterior[name]
            .transpose(names.CHAIN, names.DRAW, ...)
            .copy(data=values.reshape(posterior[name].transpose(names.CHAIN, names.DRAW, ...).shape).astype(np.float32))
            for name, values in found.items()
        }
    )
