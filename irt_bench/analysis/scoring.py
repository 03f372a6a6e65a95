"""Scoring with frozen items: abilities of new models from their answers and item parameters fitted on others.

The new answers do not move the items: every draw of the item parameters gives each model a posterior of ability, and
the draws count alike. Models are scored one by one; which others are scored beside them does not matter.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy.interpolate import make_interp_spline

from irt_bench.analysis.curves import chances, information, knowing, success
from irt_bench.analysis.intervals import Z_LIMIT, FloatArray
from irt_bench.analysis.labelled_draws import ItemParameters, item_draws
from irt_bench.errors import AnalysisError, ResponsesWarning, unknown_choice
from irt_bench.names import INTERVAL, MODEL
from irt_bench.responses.counts import ResponseCounts

Method = Literal["eap", "map"]
METHODS: tuple[Method, ...] = get_args(Method)
N_DRAWS = 100  # of the item parameters: their spread is known to 7%, and so is its (small) part of ability_sd
SCORE_COLUMNS = ("ability", "ability_sd", "ability_q05", "ability_q95")
PRIOR_REACH = 6.0  # nodes cover the prior to 6 sd, and each posterior as far down: exp(-18) of its peak
FURTHEST_OUT = 1_000.0  # of item parameters: no data tell them from less, and nodes become too many
NO_PARAMETER = 1e9  # beyond it a file is damaged; flat posteriors draw thousands
MOST_NODES = 50_000  # a million items need fewer; slopes without bounds would ask for any number
FURTHEST = 15.0  # abilities looked at; with N(0, 1) a model right on 100,000 items is at about 10
SCAN_SPACING = 0.1  # of the first look, which finds where the posteriors lie
WIDEST_SPACING = 0.05  # between nodes at which answers are evaluated
SPACING_PER_SLOPE = 0.5  # ... and so many logits of the steepest item: quintic splines then err by less than 1e-6
NODES_PER_SD = 3.0  # of integration, in the narrowest posterior; from 2 on the trapezoid rule is exact to 1e-8
MODEL_BLOCK = 1024
CELL_BLOCK = 200_000  # items x nodes at once: 1.6 MB a temporary array stays in cache
MOST_STEPS = 60  # of Newton or bisection: an interval of 0.2 halved so often is below rounding
STEP_LIMIT = 1e-10
MODE_CELLS = 1_000_000  # models x items at once: 8 MB a temporary array
TINY_SLOPE = 1e-3  # keeps divisions by a slope of 0 away


class _Nodes(NamedTuple):
    """Abilities at which answers are evaluated, those at which posteriors are integrated, and the way between."""

    evaluated: FloatArray  # (node,)
    integrated: FloatArray  # (fine node,)
    refine: FloatArray | None  # (node, fine node); None where both are the same


class _Cells(NamedTuple):
    """Right answers and trials of a block of models on the items of the fit, shape (model, item)."""

    right: npt.NDArray[Any]
    trials: npt.NDArray[Any]


def score_models(
    counts: ResponseCounts,
    posterior: xr.Dataset,
    *,
    method: Method = "eap",
    n_draws: int = N_DRAWS,
    nodes: npt.ArrayLike | None = None,
) -> pd.DataFrame:
    """Estimate the abilities of models from their answers to items whose parameters are known.

    Parameters
    ----------
    counts : ResponseCounts
        Right answers and trials of shape (model, item); k of n trials and cells never asked are fine.
    posterior : xr.Dataset
        Item parameters of dimensions (chain, draw, item), joined by label. Items that only the posterior has were not
        asked; its own models are not looked at.
    method : {"eap", "map"}
        Posterior mean over draws of the items, or the mode at the items' posterior means.
    n_draws : int
        Draws of the items behind "eap", evenly spaced; all where there are fewer. "map" uses the mean of all.
    nodes : array of shape (node,), optional
        Increasing abilities to integrate over, instead of those chosen to fit ("eap" only): to repeat other software.

    Returns
    -------
    pd.DataFrame
        Indexed by model: ``ability, ability_sd, ability_q05, ability_q95``, on the scale of the fit, and ``n_items``
        (asked). Nothing here is random.

    Raises
    ------
    AnalysisError
        If an item is not in the fit, answers are not counts, or an option is out of range.

    Warns
    -----
    ResponsesWarning
        If models have no answers: they get the prior, mean 0 and sd 1.

    Notes
    -----
    Ability has the prior N(0, 1), so models with all answers right or wrong have finite abilities.

    *EAP* [1]_. Mean, sd and quantiles of the mixture of the posteriors under each draw of the items; the uncertainty
    of the items is part of ``ability_sd``. Departs from [1]_ in its nodes: a posterior narrower than the distance of
    fixed nodes snaps to one of them, which happens from some 500 items on. Nodes here reach over all posteriors ([-6,
    6], the prior's own range, or what the answers leave of it or go beyond it) and lie at most a third of the smallest
    sd apart that the items' information allows. The log-likelihood is smooth on the scale of 1 / discrimination,
    however narrow the posterior: it is evaluated on nodes fit for that, and brought to the others by quintic splines.

    *MAP* [2]_. Newton's method from the highest of a row of nodes, kept between the neighbours of that node; so the
    highest mode is found where guessing and slips make several. ``ability_sd`` is 1 / sqrt(curvature) there, prior
    included, and the interval is mode -+ 1.645 sd: both leave the uncertainty of the items out.

    References
    ----------
    .. [1] Bock, Mislevy, Adaptive EAP estimation of ability in a microcomputer environment, 1982,
       DOI 10.1177/014662168200600405.
    .. [2] Samejima, Estimation of latent ability using a response pattern of graded scores, 1969,
       DOI 10.1007/BF03372160.
    """
    own_nodes = _check(counts, method, n_draws, nodes)
    drawn, mean = _join_items(counts, posterior, n_draws)
    rows = []
    for block in (slice(start, start + MODEL_BLOCK) for start in range(0, counts.n_models, MODEL_BLOCK)):
        cells = _Cells(counts.correct[block], counts.trials[block])
        if method == "map":
            rows.append(_modes(cells, mean))
        else:
            chosen = _choose_nodes(cells, mean) if own_nodes is None else _Nodes(own_nodes, own_nodes, None)
            rows.append(_moments(_mixture_density(cells, drawn, chosen), chosen.integrated))
    table = pd.DataFrame(np.concatenate(rows, axis=1).T, columns=list(SCORE_COLUMNS))
    table.index = counts.models.index.rename(MODEL)
    table["n_items"] = counts.asked.sum(axis=1)
    return table


def _check(counts: ResponseCounts, method: str, n_draws: int, nodes: npt.ArrayLike | None) -> FloatArray | None:
    """Refuse options out of range, and return the caller's nodes."""
    if method not in METHODS:
        raise AnalysisError(unknown_choice("method", method, METHODS))
    if counts.measure != "correct":
        raise AnalysisError(
            f"the responses are measured as {counts.measure!r}; scoring needs right answers out of a number of trials."
        )
    if n_draws < 1 or counts.n_models < 1:
        raise AnalysisError(f"n_draws is {n_draws} and there are {counts.n_models} models; at least 1 is needed.")
    silent = ~counts.asked.any(axis=1)
    if silent.any():
        warnings.warn(
            f"{int(silent.sum())} models have no answers and get the prior, mean 0 and sd 1; first: "
            f"{counts.models.index[int(silent.argmax())]!r}.",
            ResponsesWarning,
            stacklevel=3,
        )
    if nodes is None:
        return None
    own = np.asarray(nodes, dtype=np.float64)
    if own.ndim != 1 or len(own) < 2 or not np.isfinite(own).all() or (np.diff(own) <= 0).any():
        raise AnalysisError(f"nodes have shape {own.shape}; at least two finite, increasing abilities are needed.")
    return own


def _join_items(counts: ResponseCounts, posterior: xr.Dataset, n_draws: int) -> tuple[ItemParameters, ItemParameters]:
    """Draws, shape (draw, item), and means, shape (item,), of the parameters of the items in `counts`, in its order.

    Draws that lie far out, where few answers leave a long tail, are drawn in.
    """
    every, labels = item_draws(posterior, np.iinfo(np.int64).max)
    labels, wanted = labels.astype("str"), counts.items.index.astype("str")
    if not labels.is_unique:
        raise AnalysisError(f"item {labels[labels.duplicated()][0]!r} occurs twice in the fit; labels must be unique.")
    wild = np.any([(np.abs(values) > NO_PARAMETER).mean(axis=0) > 0.5 for values in every], axis=0)
    if wild.any():
        raise AnalysisError(
            f"{int(wild.sum())} items have parameters beyond {NO_PARAMETER:,.0f}; first: "
            f"{labels[int(wild.argmax())]!r}. Was the file of the fit or subset damaged?"
        )
    positions = labels.get_indexer(wanted)
    if (positions < 0).any():
        raise AnalysisError(
            f"{int((positions < 0).sum())} of the {len(wanted)} items of the responses are not among the {len(labels)} "
            f"of the fit; first: {wanted[int((positions < 0).argmax())]!r}. Leave them out with counts.take(items=...)."
        )
    drawn, _ = item_draws(posterior, n_draws)
    drawn, every = (
        ItemParameters(*(np.clip(v, -FURTHEST_OUT, FURTHEST_OUT) for v in draws)) for draws in (drawn, every)
    )
    mean = ItemParameters(*(values.mean(axis=0)[positions] for values in every))
    return drawn.at((slice(None), positions)), mean


def _choose_nodes(cells: _Cells, mean: ItemParameters) -> _Nodes:
    """Nodes that reach over all posteriors of a block of models, and are close enough for the narrowest."""
    scan, log_posterior = _scan(cells, mean)
    near = log_posterior > log_posterior.max(axis=1, keepdims=True) - PRIOR_REACH**2 / 2
    reached = np.flatnonzero(near.any(axis=0))
    low, high = scan[max(reached[0] - 1, 0)], scan[min(reached[-1] + 1, len(scan) - 1)]
    narrowest = 1 / np.sqrt(1 + np.where(near, _expected_information(cells, mean, scan), 0).max())
    wanted = narrowest / NODES_PER_SD
    enough = min(WIDEST_SPACING, SPACING_PER_SLOPE / np.abs(mean.discrimination).max(initial=TINY_SLOPE))
    fine, coarse = (
        np.linspace(low, high, min(int(np.ceil((high - low) / h)) + 1, MOST_NODES))
        for h in (min(wanted, enough), enough)
    )
    # With few items the answers' log-likelihood on the fine nodes costs no more than its spline.
    if len(fine) == len(coarse) or len(mean.difficulty) < len(coarse):
        return _Nodes(fine, fine, None)
    spline = make_interp_spline(coarse, np.eye(len(coarse)), k=5)
    return _Nodes(coarse, fine, np.ascontiguousarray(spline(fine).T))


def _scan(cells: _Cells, mean: ItemParameters) -> tuple[FloatArray, FloatArray]:
    """Log posterior of each model over all abilities looked at, shape (model, node), up to a constant."""
    scan = np.linspace(-FURTHEST, FURTHEST, round(2 * FURTHEST / SCAN_SPACING) + 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # refused below, in words
        log_posterior = _log_likelihood(cells, mean, scan) - scan**2 / 2
    if not np.isfinite(log_posterior.max(axis=1)).all():
        raise AnalysisError(
            "answers are impossible under the item parameters, as where guessing is 1 or the upper asymptote 0. Was "
            "the file of the fit or subset damaged?"
        )
    return scan, log_posterior


def _log_likelihood(cells: _Cells, items: ItemParameters, nodes: FloatArray) -> FloatArray:
    """Log-likelihood of each model's answers, shape (model, node), up to a constant; cells never asked add 0."""
    found = np.zeros((len(cells.right), len(nodes)))
    same_trials = bool((cells.trials == cells.trials[:1]).all())
    for block in _item_blocks(len(items.difficulty), len(nodes)):
        right, wrong = (np.log(chance) for chance in success(items.at((block, None)), nodes))
        trials = cells.trials[:1, block] if same_trials else cells.trials[:, block]
        found += cells.right[:, block].astype(np.float64) @ (right - wrong) + trials.astype(np.float64) @ wrong
    return found


def _expected_information(cells: _Cells, items: ItemParameters, nodes: FloatArray) -> FloatArray:
    """Information about ability in as many trials as each model had, shape (model, node)."""
    found = np.zeros((len(cells.trials), len(nodes)))
    for block in _item_blocks(len(items.difficulty), len(nodes)):
        found += cells.trials[:, block].astype(np.float64) @ information(items.at((block, None)), nodes)
    return found


def _item_blocks(n_items: int, n_nodes: int) -> Iterator[slice]:
    size = max(1, CELL_BLOCK // n_nodes)
    return (slice(start, start + size) for start in range(0, n_items, size))


def _mixture_density(cells: _Cells, drawn: ItemParameters, nodes: _Nodes) -> FloatArray:
    """Posterior density of each model's ability, shape (model, fine node), averaged over draws of the items."""
    weights, log_prior = _trapezoid(nodes.integrated), -(nodes.integrated**2) / 2
    found = np.zeros((len(cells.right), len(nodes.integrated)))
    for draw in range(len(drawn.difficulty)):
        density = _log_likelihood(cells, drawn.at(draw), nodes.evaluated)
        if nodes.refine is not None:
            density = density @ nodes.refine
        density += log_prior
        density -= density.max(axis=1, keepdims=True)
        np.exp(density, out=density)
        density /= (density @ weights * len(drawn.difficulty))[:, None]
        found += density
    return found


def _trapezoid(nodes: FloatArray) -> FloatArray:
    """Weights of the trapezoid rule."""
    half = np.diff(nodes) / 2
    return np.pad(half, (0, 1)) + np.pad(half, (1, 0))


def _moments(density: FloatArray, nodes: FloatArray) -> FloatArray:
    """Mean, sd and limits of each density, shape (4, model)."""
    weighted = density * _trapezoid(nodes)
    mean = weighted @ nodes
    variance = (weighted * (nodes - mean[:, None]) ** 2).sum(axis=1)
    return np.stack([mean, np.sqrt(variance), *_quantiles(density, nodes)])


def _quantiles(density: FloatArray, nodes: FloatArray) -> list[FloatArray]:
    """Limits of the central interval of each density, to about 0.001 of its sd at three nodes an sd.

    Cumulated by the trapezoid rule with its end correction (Euler-Maclaurin), and inverted within a node's interval by
    a cubic in the cumulated probability, whose slopes are 1 / density, held low enough for it to be monotone.
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


def _modes(cells: _Cells, items: ItemParameters) -> FloatArray:
    """Mode, sd by curvature and limits of each model's posterior, shape (4, model)."""
    scan, log_posterior = _scan(cells, items)
    start = scan[log_posterior.argmax(axis=1)]
    found, size = np.empty((2, len(start))), max(1, MODE_CELLS // max(len(items.difficulty), 1))
    for block in (slice(first, first + size) for first in range(0, len(start), size)):
        found[:, block] = _climb(_Cells(cells.right[block], cells.trials[block]), items, start[block])
    mode, sd = found
    return np.stack([mode, sd, mode - Z_LIMIT * sd, mode + Z_LIMIT * sd])


def _climb(cells: _Cells, items: ItemParameters, start: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Newton's method from `start`, in an interval that each slope narrows; mode and 1 / sqrt(curvature)."""
    at, low, high = start, start - SCAN_SPACING, start + SCAN_SPACING
    for _ in range(MOST_STEPS):
        by_ability, curvature = _derivatives(cells, items, at)
        low, high = np.where(by_ability > 0, at, low), np.where(by_ability > 0, high, at)
        newton = at - by_ability / np.where(curvature < 0, curvature, -TINY_SLOPE)
        kept = (curvature < 0) & (newton >= low) & (newton <= high)
        last, at = at, np.where(kept, newton, (low + high) / 2)
        if np.abs(at - last).max() < STEP_LIMIT:
            break
    return at, 1 / np.sqrt(-_derivatives(cells, items, at)[1])


def _derivatives(cells: _Cells, items: ItemParameters, ability: FloatArray) -> tuple[FloatArray, FloatArray]:
    """First and second derivative of the log posterior, shape (model,).

    With P' = a (d - c) K (1 - K) and P'' = a (1 - 2 K) P', written in P' / P and P' / (1 - P), which stay below a.
    """
    known, unknown = knowing(items, ability[:, None])
    right, wrong = chances(items, known, unknown)
    slope = items.discrimination * (items.upper_asymptote - items.guessing) * known * unknown
    from_right, from_wrong = slope / right, slope / wrong
    n_wrong = cells.trials - cells.right
    first = cells.right * from_right - n_wrong * from_wrong
    second = items.discrimination * (unknown - known) * first - cells.right * from_right**2 - n_wrong * from_wrong**2
    return first.sum(axis=1) - ability, second.sum(axis=1) - 1
