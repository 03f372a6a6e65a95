"""Abilities of models given the items: posterior means on a grid (EAP), posterior modes (MAP), and scoring.

The new responses do not change the items. Each draw of the item parameters gives every model a posterior of its
ability, and these are averaged over the draws. Models are scored one by one: a model's score does not depend on the
others.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from irt_bench.analysis.curves import information, response_curve, response_probabilities
from irt_bench.analysis.intervals import Z_LIMIT
from irt_bench.analysis.labelled_draws import (
    ItemParameters,
    PopulationPriors,
    effective_counts,
    evenly_spaced,
    item_draws,
    thin,
)
from irt_bench.arrays import FloatArray, slices
from irt_bench.errors import AnalysisError, ResponsesWarning, check_range, unknown_choice
from irt_bench.inference.fast.sweep import interpolation, n_nodes
from irt_bench.irt_models.populations import POPULATION, AbilityPrior
from irt_bench.names import ABILITY, CHAIN, DRAW, INTERVAL, MODEL, ScoreMethod
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts

PRIOR_RANGE = 6.0  # sds; nodes cover the prior to 6 sd, and each posterior down to exp(-18) of its peak
MAX_NODES = 50_000  # a million items need fewer; unbounded slopes would need any number
MAX_ABILITY = 15.0  # limit of the abilities considered; under N(0, 1) a model correct on 100,000 items is at about 10
SCAN_SPACING = 0.1  # of the first, coarse grid, which locates the posteriors
MAX_SPACING = 0.05  # between nodes of the integration
SPACING_PER_SLOPE = 0.5  # upper limit in logits of the steepest item
NODES_PER_SD = 3.0  # of the narrowest posterior; from 2 on the trapezoid rule is exact to 1e-8
CELL_BLOCK = 200_000  # items x nodes at once: a temporary array of 1.6 MB stays in cache
MIN_SLOPE = 1e-3  # avoids division by zero


STANDARD = AbilityPrior(np.zeros(1), np.ones(1))


class AbilityNodes(NamedTuple):
    """Nodes for the log-likelihood, nodes for the integration, and the interpolation matrix between them."""

    evaluated: FloatArray  # (node,)
    integrated: FloatArray  # (fine node,)
    refine: FloatArray | None = None  # (node, fine node); None where both are the same

    def refined(self, values: FloatArray) -> FloatArray:
        """Interpolate, (row, node) → (row, fine node)."""
        return values if self.refine is None else values @ self.refine


class ResponseBlock(NamedTuple):
    """Correct responses and trials of a block of models on the items of the fit, shape (model, item)."""

    correct: npt.NDArray[Any]
    trials: npt.NDArray[Any]


def choose_nodes(responses: ResponseBlock, mean: ItemParameters, prior: AbilityPrior = STANDARD) -> AbilityNodes:
    """Choose nodes that cover all posteriors of a block of models and resolve the narrowest."""
    scan, log_posterior = scan_posteriors(responses, mean, prior)
    near = log_posterior > log_posterior.max(axis=1, keepdims=True) - PRIOR_RANGE**2 / 2
    reached = np.flatnonzero(near.any(axis=0))
    low, high = scan[max(reached[0] - 1, 0)], scan[min(reached[-1] + 1, len(scan) - 1)]
    known = np.max(np.asarray(prior.sd) ** -2)
    narrowest = 1 / np.sqrt(known + np.where(near, _expected_information(responses, mean, scan), 0).max())
    steepest = np.abs(mean.discrimination).max(initial=MIN_SLOPE)
    spacing = min(narrowest / NODES_PER_SD, MAX_SPACING, SPACING_PER_SLOPE / steepest)
    fine = np.linspace(low, high, min(int(np.ceil((high - low) / spacing)) + 1, MAX_NODES))
    # With few items the log-likelihood on the fine nodes costs no more than its interpolation.
    if min(len(fine), len(mean.difficulty)) <= n_nodes(fine, steepest):
        return AbilityNodes(fine, fine)
    nodes, basis, coefficients = interpolation(fine, steepest)
    return AbilityNodes(nodes, fine, (basis @ coefficients).T)


def scan_posteriors(
    responses: ResponseBlock, mean: ItemParameters, prior: AbilityPrior = STANDARD
) -> tuple[FloatArray, FloatArray]:
    """Log posterior of each model on the coarse grid, shape (model, node), up to a constant."""
    scan = np.linspace(-MAX_ABILITY, MAX_ABILITY, round(2 * MAX_ABILITY / SCAN_SPACING) + 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # refused below
        away = (scan - np.reshape(prior.mean, (-1, 1))) / np.reshape(prior.sd, (-1, 1))
        log_posterior = next(_log_likelihoods(responses, mean.at(None), AbilityNodes(scan, scan))) - away**2 / 2
    if not np.isfinite(log_posterior.max(axis=1)).all():
        raise AnalysisError(
            "some responses have probability 0 under the item parameters (guessing is 1 or the upper asymptote 0). Is "
            "the file of the fit or subset damaged?"
        )
    return scan, log_posterior


def _log_likelihoods(responses: ResponseBlock, drawn: ItemParameters, at: AbilityNodes) -> Iterator[FloatArray]:
    """Log-likelihood of each model's responses under each draw of the items, (model, fine node), up to a constant.

    Cells without responses add 0. Without asymptotes the likelihood depends on the responses through sum_i a_i y_i
    only. Responses and curves are then not multiplied, unless models responded to different items.
    """
    trials = responses.trials[:1] if (responses.trials == responses.trials[:1]).all() else responses.trials
    right, trials = responses.correct.astype(np.float64), trials.astype(np.float64)
    simple = not drawn.guessing.any() and bool((drawn.upper_asymptote == 1).all())
    weighted = right @ drawn.discrimination.T if simple else right
    for draw in range(len(drawn.difficulty)):
        items = drawn.at(draw)
        if simple:
            yield weighted[:, draw, None] * at.integrated - at.refined(_log_odds_against(trials, items, at.evaluated))
            continue
        found = np.zeros((len(right), len(at.evaluated)))
        for block in slices(len(items.difficulty), CELL_BLOCK // len(at.evaluated)):
            chances = response_probabilities(items.at((block, None)), at.evaluated)
            known, unknown = (np.log(chance) for chance in chances)
            found += right[:, block] @ (known - unknown) + trials[:, block] @ unknown
        yield at.refined(found)


def _log_odds_against(trials: FloatArray, items: ItemParameters, nodes: FloatArray) -> FloatArray:
    """Sum over items of -log(1 - P) per trial, without asymptotes, shape (row of trials, node).

    Single-precision exponentials take a tenth of the time; their error is 1e-7.
    """
    found = np.zeros((len(trials), len(nodes)))
    for block in slices(len(items.difficulty), CELL_BLOCK // len(nodes)):
        logit = items.discrimination[block, None] * (nodes - items.difficulty[block, None])
        small = np.log(1 + np.exp(-np.abs(logit).astype(np.float32)))
        found += trials[:, block] @ (np.maximum(logit, 0) + small)
    return found


def _expected_information(responses: ResponseBlock, items: ItemParameters, nodes: FloatArray) -> FloatArray:
    """Information about ability in as many trials as each model had, shape (model or 1, node)."""
    trials = responses.trials[:1] if (responses.trials == responses.trials[:1]).all() else responses.trials
    found = np.zeros((len(trials), len(nodes)))
    for block in slices(len(items.difficulty), CELL_BLOCK // len(nodes)):
        found += trials[:, block].astype(np.float64) @ information(items.at((block, None)), nodes)
    return found


def mixture_density(
    responses: ResponseBlock,
    drawn: ItemParameters,
    nodes: AbilityNodes,
    priors: PopulationPriors | None = None,
) -> FloatArray:
    """Posterior density of each model's ability, shape (model, fine node), averaged over draws; prior N(0, 1)."""
    weights, standard = _trapezoid(nodes.integrated).astype(np.float32), -(nodes.integrated**2) / 2
    found = np.zeros((len(responses.correct), len(nodes.integrated)))
    for draw, density in enumerate(_log_likelihoods(responses, drawn, nodes)):
        density += standard if priors is None else priors.log_density(draw, nodes.integrated)
        density -= density.max(axis=1, keepdims=True)
        relative = np.exp(density.astype(np.float32))  # as in `_log_odds_against`
        found += relative / (relative @ weights * np.float32(len(drawn.difficulty)))[:, None]
    return found


def _trapezoid(nodes: FloatArray) -> FloatArray:
    """Weights of the trapezoid rule."""
    half = np.diff(nodes) / 2
    return np.pad(half, (0, 1)) + np.pad(half, (1, 0))


def moments(density: FloatArray, nodes: FloatArray) -> FloatArray:
    """Mean, sd and interval limits of each density, shape (4, model)."""
    weighted = density * _trapezoid(nodes)
    mean = weighted @ nodes
    variance = (weighted * (nodes - mean[:, None]) ** 2).sum(axis=1)
    return np.stack([mean, np.sqrt(variance), *_quantiles(density, nodes)])


def _quantiles(density: FloatArray, nodes: FloatArray) -> list[FloatArray]:
    """Limits of the central interval of each density, accurate to about 0.001 sd with three nodes per sd.

    The density is cumulated by the trapezoid rule with its end correction (Euler-Maclaurin). The quantile between two
    nodes is a cubic in the cumulative probability with slopes 1 / density, which are limited so that the cubic is
    monotone.
    """
    width, slope = np.diff(nodes), np.gradient(density, nodes, axis=1)
    parts = width * (density[:, 1:] + density[:, :-1]) / 2 - width**2 * np.diff(slope, axis=1) / 12
    cumulated = np.cumsum(np.maximum(parts, 0), axis=1)
    cumulated = np.pad(cumulated / cumulated[:, -1:], ((0, 0), (1, 0)))
    models, limits = np.arange(len(density)), []
    for quantile in INTERVAL:
        left = (cumulated <= quantile).sum(axis=1) - 1
        start, stop, gap = cumulated[models, left], cumulated[models, left + 1], width[left]
        share, rise = (quantile - start) / (stop - start), stop - start
        with np.errstate(divide="ignore"):
            first, last = (np.minimum(rise / density[models, left + side], 3 * gap) for side in (0, 1))
        cubic = share**2 * (3 - 2 * share) * gap + share * (1 - share) * ((1 - share) * first - share * last)
        limits.append(nodes[left] + cubic)
    return limits


MAX_STEPS = 60  # of Newton's method or bisection: an interval of 0.2 halved so often is below rounding
STEP_LIMIT = 1e-10
MODE_CELLS = 1_000_000  # models x items at once: a temporary array of 8 MB


def find_modes(responses: ResponseBlock, items: ItemParameters, prior: AbilityPrior = STANDARD) -> FloatArray:
    """Mode, sd from the curvature, and interval limits of each model's posterior, shape (4, model)."""
    scan, log_posterior = scan_posteriors(responses, items, prior)
    prior = AbilityPrior(*(np.broadcast_to(value, len(log_posterior)) for value in prior))
    start = scan[log_posterior.argmax(axis=1)]
    found, size = np.empty((2, len(start))), max(1, MODE_CELLS // max(len(items.difficulty), 1))
    for block in (slice(first, first + size) for first in range(0, len(start), size)):
        found[:, block] = _optimise_mode(
            ResponseBlock(responses.correct[block], responses.trials[block]),
            items,
            start[block],
            AbilityPrior(prior.mean[block], prior.sd[block]),
        )
    mode, sd = found
    return np.stack([mode, sd, mode - Z_LIMIT * sd, mode + Z_LIMIT * sd])


def _optimise_mode(
    responses: ResponseBlock, items: ItemParameters, start: FloatArray, prior: AbilityPrior
) -> tuple[FloatArray, FloatArray]:
    """Newton's method from `start`, within a bracket that shrinks at every step; mode and 1 / sqrt(curvature)."""
    at, low, high = start, start - SCAN_SPACING, start + SCAN_SPACING
    for _ in range(MAX_STEPS):
        by_ability, curvature = _derivatives(responses, items, at, prior)
        low, high = np.where(by_ability > 0, at, low), np.where(by_ability > 0, high, at)
        newton = at - by_ability / np.where(curvature < 0, curvature, -MIN_SLOPE)
        kept = (curvature < 0) & (newton >= low) & (newton <= high)
        last, at = at, np.where(kept, newton, (low + high) / 2)
        if np.abs(at - last).max() < STEP_LIMIT:
            break
    return at, 1 / np.sqrt(-_derivatives(responses, items, at, prior)[1])


def _derivatives(
    responses: ResponseBlock, items: ItemParameters, ability: FloatArray, prior: AbilityPrior
) -> tuple[FloatArray, FloatArray]:
    """First and second derivative of the log posterior, shape (model,).

    Uses P'' = a (1 - 2 K) P', and P' / P and P' / (1 - P), which stay below a.
    """
    curve, correct, incorrect = (
        response_curve(items, ability[:, None]),
        responses.correct,
        responses.trials - responses.correct,
    )
    from_correct, from_incorrect = curve.slope / curve.correct, curve.slope / curve.incorrect
    first = correct * from_correct - incorrect * from_incorrect
    second = items.discrimination * (1 - 2 * curve.logistic) * first
    second -= correct * from_correct**2 + incorrect * from_incorrect**2
    known = prior.sd**-2
    return first.sum(axis=1) - known * (ability - prior.mean), second.sum(axis=1) - known


METHODS: tuple[ScoreMethod, ...] = get_args(ScoreMethod)
MIN_DRAWS = 200  # of the item parameters, where all would take too long: their spread is then known to 5%
MAX_WORK = 1_000_000  # (models + items) x draws, or models x items / 50 x draws: one second
CELLS_PER_CURVE = 50  # cells whose curves multiply the responses in the time of one curve
TIE_TOLERANCE = 1e-4  # posterior sds; abilities closer than this are equal, as those of equal responses
SCORE_COLUMNS = ("ability", "ability_sd", "ability_q05", "ability_q95")
MAX_PARAMETER = 1_000.0  # limit of item parameters: data cannot distinguish larger ones, which need too many nodes
DAMAGED_PARAMETER = 1e9  # above it a file is damaged; flat posteriors give thousands
MODEL_BLOCK = 256
PRIOR_SDS = (0.1, 10.0)  # below, the prior decides everything; above, posteriors exceed the range of the nodes


def score_models(
    counts: Responses,
    posterior: xr.Dataset,
    *,
    method: ScoreMethod = "eap",
    n_draws: int | None = None,
    nodes: npt.ArrayLike | None = None,
    prior_sd: float = 1.0,
) -> pd.DataFrame:
    """Estimate the abilities of models from their responses to items with known parameters.

    Parameters
    ----------
    counts : ResponseCounts, or what `as_counts` takes
        Correct responses and trials of shape (model, item). Several trials per cell and missing cells are allowed.
    posterior : xr.Dataset
        Item parameters of dimensions (chain, draw, item), joined by label. Items that only the posterior has count as
        not observed; its own models are not used.
    method : {"eap", "map"}
        Posterior mean over draws of the items, or the mode at the items' posterior means.
    n_draws : int, optional
        Number of evenly spaced draws of the items for "eap". By default all, or as many as take about a second, at
        least 200, shifted so that the means of slopes and intercepts equal those of all draws. "map" uses the mean of
        all.
    nodes : array of shape (node,), optional
        Increasing abilities to integrate over ("eap" only), to reproduce other software. By default they are chosen.
    prior_sd : float
        Sd of the prior N(0, prior_sd^2) of ability. The default, that of the fit, suits models from the population of
        the fitted models. 3 suits models far abler or weaker, whose abilities it shrinks less towards 0. Of
        populations, a factor of their sds; where a model's is not known its prior is the mixture of all.

    Returns
    -------
    pd.DataFrame
        Indexed by model: ``ability, ability_sd, ability_q05, ability_q95``, on the scale of the fit, and ``n_items``
        (observed). The result is deterministic, and models with equal responses have equal results.

    Raises
    ------
    AnalysisError
        If an item is not in the fit, responses are not counts, or an option is out of range.

    Warns
    -----
    ResponsesWarning
        If models have no responses, or no known population. If `prior_sd` is 1 and the 90% interval of a model lies
        outside the range of all fitted models: such intervals cover less than 90%, the more so the fewer models were
        fitted.

    Notes
    -----
    Ability has the prior N(0, prior_sd^2), so models with all responses correct or incorrect have finite abilities.

    *EAP* [1]_. Mean, sd and quantiles of the mixture of the posteriors under each draw of the items; ``ability_sd``
    includes the uncertainty of the items. Departs from [1]_ in its nodes: on fixed nodes, a posterior narrower than
    their spacing collapses to one node, which happens from some 500 items on. The nodes here cover all posteriors and
    at least [-6, 6]. Their spacing is at most a third of the smallest sd that the information of the items allows. The
    log-likelihood is smooth on the scale of 1 / discrimination: it is interpolated between Chebyshev nodes.

    *MAP* [2]_. Newton's method from the highest node of a grid, kept between that node's neighbours. It finds the
    highest mode where guessing and slips cause several. ``ability_sd`` is 1 / sqrt(curvature) there, including the
    prior, and the interval is mode -+ 1.645 sd. Both leave out the uncertainty of the items.

    References
    ----------
    .. [1] Bock, Mislevy, Adaptive EAP estimation of ability in a microcomputer environment, 1982,
       DOI 10.1177/014662168200600405.
    .. [2] Samejima, Estimation of latent ability using a response pattern of graded scores, 1969,
       DOI 10.1007/BF03372160.
    """
    counts = as_counts(counts)
    own_nodes, empty = _check(counts, method, n_draws, nodes), ~counts.asked.any(axis=1)
    check_range(AnalysisError, "prior_sd", prior_sd, *PRIOR_SDS)
    if empty.any():
        prior = f"mean 0 and sd {prior_sd:g}" if POPULATION not in posterior.attrs else "that of their population"
        warnings.warn(
            f"{int(empty.sum())} models have no responses and get the prior, {prior}; first: "
            f"{counts.models.index[int(empty.argmax())]!r}.",
            ResponsesWarning,
            stacklevel=2,
        )
    priors = PopulationPriors.find(posterior, counts.models)
    options: dict[str, Any] = {"nodes": own_nodes, "priors": priors, "prior_sd": prior_sd}
    table = abilities_given_items(counts, posterior, method=method, n_draws=n_draws, **options)
    if priors is not None:
        priors.warn_of_unknown(counts.models.index, stacklevel=3)
    elif prior_sd == 1:
        _warn_of_models_beyond(table, posterior)
    table["n_items"] = counts.asked.sum(axis=1)
    return table


def _warn_of_models_beyond(table: pd.DataFrame, posterior: xr.Dataset) -> None:
    """Warn of models whose interval lies outside the range of all fitted abilities."""
    if ABILITY not in posterior:
        return
    fitted = posterior[ABILITY].mean([CHAIN, DRAW])
    low, high = float(fitted.min()), float(fitted.max())
    beyond = (table["ability_q05"] > high) | (table["ability_q95"] < low)
    if beyond.any():
        warnings.warn(
            f"{int(beyond.sum())} of {len(table)} models lie outside the abilities of the fitted models, {low:.2f} "
            f"to {high:.2f}; first: {table.index[int(beyond.to_numpy().argmax())]!r}. The prior N(0, 1) shrinks their "
            "abilities, and their intervals cover less than 90%: score such models with prior_sd=3.",
            ResponsesWarning,
            stacklevel=3,
        )


def abilities_given_items(
    counts: ResponseCounts,
    posterior: xr.Dataset,
    *,
    method: ScoreMethod = "eap",
    n_draws: int | None = None,
    nodes: FloatArray | None = None,
    priors: PopulationPriors | None = None,
    prior_sd: float = 1.0,
) -> pd.DataFrame:
    """Posteriors of abilities given draws of the items, `SCORE_COLUMNS` by model; `score_models` without its checks."""
    priors, items = priors or PopulationPriors.find(posterior, counts.models), _join_items(counts, posterior)
    counts = effective_counts(counts, posterior)
    if priors is None:  # ability = prior_sd x u, u ~ N(0, 1)
        scaled = items._replace(difficulty=items.difficulty / prior_sd, discrimination=items.discrimination * prior_sd)
        nodes = None if nodes is None else nodes / prior_sd
        return prior_sd * abilities_given_draws(counts, scaled, method=method, n_draws=n_draws, nodes=nodes)
    priors = priors.widened(prior_sd)
    return abilities_given_draws(counts, items, method=method, n_draws=n_draws, nodes=nodes, priors=priors)


def abilities_given_draws(
    counts: ResponseCounts,
    items: ItemParameters,
    *,
    method: ScoreMethod = "eap",
    n_draws: int | None = None,
    nodes: FloatArray | None = None,
    priors: PopulationPriors | None = None,
) -> pd.DataFrame:
    """As `abilities_given_items`, from draws of shape (draw, item) whose items are those of `counts`, in its order."""
    items = bounded(items, counts.items.index)
    mean = ItemParameters(*(values.mean(axis=0) for values in items))
    drawn = thin(items, _affordable_draws(counts, items) if n_draws is None else n_draws)
    priors = None if priors is None else priors.at(evenly_spaced(len(priors.mean), len(drawn.difficulty)))
    found = np.empty((len(SCORE_COLUMNS), counts.n_models))
    # Models are sorted by accuracy, so that the nodes of a block need not cover a wide range.
    order = np.argsort(counts.accuracy().to_numpy(), kind="stable")
    for block in (order[start : start + MODEL_BLOCK] for start in range(0, counts.n_models, MODEL_BLOCK)):
        responses = ResponseBlock(counts.correct[block], counts.trials[block])
        own = None if priors is None else priors.of(block)
        prior = STANDARD if own is None else own.moments()
        if method == "map":
            found[:, block] = find_modes(responses, mean, prior)
        else:
            chosen = choose_nodes(responses, mean, prior) if nodes is None else AbilityNodes(nodes, nodes)
            found[:, block] = moments(mixture_density(responses, drawn, chosen, own), chosen.integrated)
    tie_group = ties(found[0], found[1])
    means = [(np.bincount(tie_group, row) / np.bincount(tie_group))[tie_group] for row in found]
    return pd.DataFrame(dict(zip(SCORE_COLUMNS, means, strict=True)), index=counts.models.index.rename(MODEL))


def ties(ability: FloatArray, ability_sd: FloatArray) -> npt.NDArray[np.intp]:
    """Give models with equal posteriors the same group number, shape (model,).

    Posteriors are equal where responses are equal; in the 1PL, where the numbers of correct responses are. Abilities
    and sds that differ by less than `TIE_TOLERANCE` posterior sds differ by rounding only.
    """
    near = np.zeros(len(ability), dtype=np.intp)
    for values in (ability, ability_sd):  # first by ability, then by sd within those
        order = np.lexsort((values, near))
        step = (np.diff(values[order]) > TIE_TOLERANCE * ability_sd[order][1:]) | (np.diff(near[order]) > 0)
        near[order] = np.concatenate([[0], np.cumsum(step)])
    return near


def _check(counts: ResponseCounts, method: str, n_draws: int | None, nodes: npt.ArrayLike | None) -> FloatArray | None:
    """Refuse options out of range, and return the caller's nodes."""
    if method not in METHODS:
        raise AnalysisError(unknown_choice("method", method, METHODS))
    if counts.measure != "correct":
        raise AnalysisError(
            f"the responses are measured as {counts.measure!r}; scoring needs correct responses out of trials."
        )
    if (n_draws is not None and n_draws < 1) or counts.n_models < 1:
        raise AnalysisError(f"n_draws is {n_draws} and there are {counts.n_models} models; at least 1 is needed.")
    if nodes is None:
        return None
    own = np.asarray(nodes, dtype=np.float64)
    if own.ndim != 1 or len(own) < 2 or not np.isfinite(own).all() or (np.diff(own) <= 0).any():
        raise AnalysisError(f"nodes have shape {own.shape}; at least two finite, increasing abilities are needed.")
    return own


def _join_items(counts: ResponseCounts, posterior: xr.Dataset) -> ItemParameters:
    """Draws of the parameters of the items in `counts`, shape (draw, item), in its order."""
    every, labels = item_draws(posterior, np.iinfo(np.int64).max)
    labels, wanted = labels.astype("str"), counts.items.index.astype("str")
    positions = labels.get_indexer(wanted)
    if (positions < 0).any():
        raise AnalysisError(
            f"{int((positions < 0).sum())} of the {len(wanted)} items of the responses are not among the {len(labels)} "
            f"of the fit; first: {wanted[int((positions < 0).argmax())]!r}. Leave them out with counts.take(items=...)."
        )
    return every.at((slice(None), positions))


def bounded(items: ItemParameters, labels: pd.Index) -> ItemParameters:
    """Clip extreme draws, (draw, item), as of items with few responses; refuse items whose draws mostly are beyond."""
    wild = np.any([(np.abs(values) > DAMAGED_PARAMETER).mean(axis=0) > 0.5 for values in items], axis=0)
    if wild.any():
        raise AnalysisError(
            f"{int(wild.sum())} items have parameters beyond {DAMAGED_PARAMETER:,.0f}; first: "
            f"{labels[int(wild.argmax())]!r}. Is the file of the fit or subset damaged?"
        )
    return ItemParameters(*(np.clip(values, -MAX_PARAMETER, MAX_PARAMETER) for values in items))


def _affordable_draws(counts: ResponseCounts, items: ItemParameters) -> int:
    """Return the number of draws of the items that take about a second, at least `MIN_DRAWS`."""
    simple = not items.guessing.any() and bool((items.upper_asymptote == 1).all())
    same_trials = bool((counts.trials == counts.trials[:1]).all())
    work = counts.n_models + counts.n_items
    if not (simple and same_trials):
        work += counts.n_models * counts.n_items // CELLS_PER_CURVE
    return max(MAX_WORK // work, MIN_DRAWS)
