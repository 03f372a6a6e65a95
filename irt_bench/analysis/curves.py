"""Item characteristic curves, information and expected score at given abilities, with bands over draws.

Curves use at most `CURVE_DRAWS` evenly spaced draws. 200 draws give a posterior mean to 7% of its sd, and keep curves
of 12,000 items at 121 abilities within seconds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from irt_bench.analysis.intervals import centred_sums, column_mean_interval
from irt_bench.analysis.labelled_draws import ItemParameters, evenly_spaced, item_draws
from irt_bench.arrays import FloatArray, slices
from irt_bench.errors import AnalysisError
from irt_bench.irt_models import score_model_of
from irt_bench.irt_models.logistic import log_odds, success_probability
from irt_bench.names import ABILITY, CHAIN, DRAW, INTERVAL, ITEM
from irt_bench.responses.counts import ResponseCounts

CURVE_DRAWS = 200
OUTCOME = "outcome"  # of an item with more than right and wrong
OBSERVED_GROUPS, GROUP_MODELS = 8, 5
OBSERVED = ("proportion_correct", "proportion_correct_q05", "proportion_correct_q95", "n_models")
BLOCK_CELLS = 200_000  # cells at once: a temporary array of 1.6 MB stays in cache
MAX_LOGIT = 700.0  # above it exp overflows; probabilities are then below 1e-304
TINY = np.finfo(np.float64).tiny  # avoids 1 / 0 where all information underflows

Curve = Callable[[ItemParameters, FloatArray], FloatArray]


def success_curves(posterior: xr.Dataset, abilities: npt.ArrayLike) -> xr.Dataset:
    """Probability of a correct response to each item at each ability: the mean over draws, and ``_q05, _q95``."""
    return _by_item(posterior, abilities, "probability", lambda items, at: response_probabilities(items, at)[0])


def outcome_curves(posterior: xr.Dataset, abilities: npt.ArrayLike) -> xr.Dataset:
    """Chance of each score of each item at each ability, of a model of scores; columns as of `success_curves`."""
    irt_model = score_model_of(posterior.attrs)
    if irt_model is None:
        raise AnalysisError("the draws are not those of a model of scores.")
    nodes, found, outcomes = _nodes(abilities), [], [""]
    names_of = [str(name) for name, array in posterior.data_vars.items() if array.dims[:3] == (CHAIN, DRAW, ITEM)]
    draws = {name: posterior[name].to_numpy().reshape(-1, *posterior[name].shape[2:]) for name in names_of}
    chosen = evenly_spaced(posterior.sizes[CHAIN] * posterior.sizes[DRAW], CURVE_DRAWS)
    for place in range(posterior.sizes[ITEM]):
        own = {name: values[chosen][:, [place]].astype(np.float64) for name, values in draws.items()}
        outcomes, values = irt_model.outcomes(own, np.broadcast_to(nodes, (len(chosen), len(nodes))))
        found.append(_mean_and_band(values[:, :, 0]))
    coords = {ITEM: posterior[ITEM].to_numpy(), ABILITY: nodes, OUTCOME: np.array(outcomes)}
    return _labelled(np.stack(found, axis=1), "probability", coords)


def observed_shares(ability: pd.Series, counts: ResponseCounts) -> xr.Dataset:
    """Proportion correct of each item in groups of models with similar ability, to compare curves with.

    Returns
    -------
    xr.Dataset of dimensions (item, group)
        ``proportion_correct`` with ``_q05, _q95`` (over models), ``n_models`` (models that responded) and ``ability``
        (group,), the mean of the group. NaN where no model of a group responded.

    Notes
    -----
    Groups are of equal size, lowest ability first: `OBSERVED_GROUPS` groups, or fewer of at least `GROUP_MODELS`
    models. An item is part of the responses that models are grouped by. With few items this alone raises the slope a
    little.
    """
    known = ability.reindex(counts.models.index)
    order = known.argsort(kind="stable").to_numpy()[: int(known.notna().sum())]
    n_groups = min(max(len(order) // GROUP_MODELS, 1), OBSERVED_GROUPS)
    shares, asked = np.nan_to_num(counts.proportions(), copy=False), counts.asked
    binary = np.asarray(((counts.trials < 2) & np.isin(counts.correct, (0, 1))).all(axis=0))
    groups = np.array_split(order, n_groups)
    found = []
    for group in groups:
        n = asked[group].sum(axis=0)
        limits = column_mean_interval(shares[group], asked[group], binary)
        found.append([centred_sums(shares[group], asked[group])[0], *limits, n])
    columns = dict(zip(OBSERVED, np.transpose(found, (1, 2, 0)), strict=True))
    columns["n_models"] = columns["n_models"].astype(np.int64)
    return xr.Dataset(
        {name: ((ITEM, "group"), values) for name, values in columns.items()}
        | {ABILITY: ("group", [float(known.iloc[group].mean()) for group in groups])},
        coords={ITEM: counts.items.index.to_numpy(dtype=str), "group": np.arange(1, n_groups + 1)},
    )


def benchmark_information(posterior: xr.Dataset, abilities: npt.ArrayLike) -> xr.Dataset:
    """Fisher information in one response to every item, and its standard error; see `irt_bench.Fit.information`.

    Notes
    -----
    The information of an item is a^2 (P - c)^2 (d - P)^2 / ((d - c)^2 P (1 - P)) [1]_, which is a^2 P (1 - P) for the
    1PL and 2PL. ``posterior.sel(item=[...])`` gives that of some items.

    The standard error is 1 / sqrt(information) per draw: that of the maximum likelihood estimate with known items. The
    posterior of ability, with its N(0, 1) prior, has an sd of about 1 / sqrt(1 + information).

    References
    ----------
    .. [1] Magis, A note on the item information function of the four-parameter logistic model, 2013,
       DOI 10.1177/0146621613475471.
    """
    total = _over_items(posterior, abilities, information)
    error = 1 / np.sqrt(np.maximum(total, TINY))
    return xr.merge([_with_band(total, "information", abilities), _with_band(error, "standard_error", abilities)])


def expected_score_curve(posterior: xr.Dataset, abilities: npt.ArrayLike) -> xr.Dataset:
    """Mean over all items of the probability of a correct response at each ability: ``score, score_q05, score_q95``."""
    total = _over_items(posterior, abilities, lambda items, at: response_probabilities(items, at)[0])
    return _with_band(total / posterior.sizes[ITEM], "score", abilities)


class ResponseCurve(NamedTuple):
    """Probability P of a correct response, 1 - P, the slope dP / d ability, and K = sigmoid(a (ability - b))."""

    correct: FloatArray
    incorrect: FloatArray
    slope: FloatArray
    logistic: FloatArray


def response_probabilities(items: ItemParameters, ability: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Probabilities P and 1 - P of a correct and an incorrect response, by broadcasting; accurate near 0."""
    return _with_asymptotes(items, *_logistic(items, ability))


def correct_probabilities(items: ItemParameters, ability: FloatArray) -> FloatArray:
    """Probabilities P of a correct response alone, by broadcasting, in one array."""
    k = np.asarray(items.difficulty - ability)
    k *= items.discrimination  # -log_odds
    np.minimum(k, MAX_LOGIT, out=k)
    np.exp(k, out=k)
    k += 1
    np.reciprocal(k, out=k)
    if np.any(items.guessing) or np.any(items.upper_asymptote != 1):
        k *= items.upper_asymptote - items.guessing
        k += items.guessing
    return k


def response_curve(items: ItemParameters, ability: FloatArray) -> ResponseCurve:
    """Probabilities of a response and their slope P' = a (d - c) K (1 - K), by broadcasting."""
    k, not_k = _logistic(items, ability)
    slope = items.discrimination * (items.upper_asymptote - items.guessing) * k * not_k
    return ResponseCurve(*_with_asymptotes(items, k, not_k), slope, k)


def information(items: ItemParameters, ability: FloatArray) -> FloatArray:
    """Fisher information of one response, P'^2 / (P (1 - P)), by broadcasting."""
    curve = response_curve(items, ability)
    return np.asarray(curve.slope / curve.correct * (curve.slope / curve.incorrect))  # in this order nothing overflows


def _logistic(items: ItemParameters, ability: FloatArray) -> tuple[FloatArray, FloatArray]:
    """K = sigmoid(log-odds) and 1 - K, both above 0. One exponential takes half the time of two calls of expit."""
    logit = np.clip(log_odds(ability, items.discrimination, items.difficulty), -MAX_LOGIT, MAX_LOGIT)
    odds_against = np.exp(-logit)
    k = 1 / (1 + odds_against)
    return k, odds_against * k


def _with_asymptotes(items: ItemParameters, k: FloatArray, not_k: FloatArray) -> tuple[FloatArray, FloatArray]:
    """P = c + (d - c) K, and 1 - P = (1 - d) + (d - c) (1 - K), which is accurate near 0."""
    correct = success_probability(k, items.guessing, items.upper_asymptote)
    return correct, success_probability(not_k, 1 - items.upper_asymptote, 1 - items.guessing)


def _curve_blocks(posterior: xr.Dataset, abilities: npt.ArrayLike, curve: Curve) -> Iterator[FloatArray]:
    """Curves of shape (draw, item, ability), a block of items at a time."""
    nodes = _nodes(abilities)
    items, labels = item_draws(posterior, CURVE_DRAWS)
    for block in slices(len(labels), BLOCK_CELLS // (len(items.difficulty) * len(nodes))):
        yield curve(items.at((slice(None), block, None)), nodes)


def _by_item(posterior: xr.Dataset, abilities: npt.ArrayLike, name: str, curve: Curve) -> xr.Dataset:
    """Mean and band over draws of each item's curve."""
    parts = [_mean_and_band(values) for values in _curve_blocks(posterior, abilities, curve)]
    return _labelled(
        np.concatenate(parts, axis=1), name, {ITEM: posterior[ITEM].to_numpy(), ABILITY: _nodes(abilities)}
    )


def _over_items(posterior: xr.Dataset, abilities: npt.ArrayLike, curve: Curve) -> FloatArray:
    """Sum over items of the curves, shape (draw, ability)."""
    blocks = (values.sum(axis=1) for values in _curve_blocks(posterior, abilities, curve))
    return functools.reduce(np.add, blocks)


def _with_band(draws: FloatArray, name: str, abilities: npt.ArrayLike) -> xr.Dataset:
    return _labelled(_mean_and_band(draws), name, {ABILITY: _nodes(abilities)})


def _mean_and_band(draws: FloatArray) -> FloatArray:
    """Mean and interval limits over draws, shape (3, ...); equals np.quantile, in a third of its time."""
    ordered = np.sort(draws, axis=0)
    limits = []
    for quantile in INTERVAL:
        below, share = divmod(quantile * (len(draws) - 1), 1)
        lower, upper = ordered[int(below)], ordered[min(int(below) + 1, len(draws) - 1)]
        limits.append(lower + share * (upper - lower))
    return np.stack([draws.mean(axis=0), *limits])


def _labelled(values: FloatArray, name: str, coords: dict[str, npt.NDArray[np.generic]]) -> xr.Dataset:
    parts = zip((name, f"{name}_q05", f"{name}_q95"), values, strict=True)
    return xr.Dataset({part: (tuple(coords), value) for part, value in parts}, coords=coords)


def _nodes(abilities: npt.ArrayLike) -> FloatArray:
    nodes = np.asarray(abilities, dtype=np.float64)
    if nodes.ndim != 1 or not nodes.size or not np.isfinite(nodes).all():
        raise AnalysisError(f"abilities have shape {nodes.shape}; a list of finite values is needed.")
    return nodes
