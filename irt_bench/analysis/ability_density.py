"""Posteriors of abilities on nodes: laid to fit the answers, averaged over draws of the items, and summarised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.interpolate import make_interp_spline

from irt_bench.analysis.curves import information, success
from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError
from irt_bench.names import INTERVAL

PRIOR_REACH = 6.0  # nodes cover the prior to 6 sd, and each posterior as far down: exp(-18) of its peak
MOST_NODES = 50_000  # a million items need fewer; slopes without bounds would ask for any number
FURTHEST = 15.0  # abilities looked at; with N(0, 1) a model right on 100,000 items is at about 10
SCAN_SPACING = 0.1  # of the first look, which finds where the posteriors lie
WIDEST_SPACING = 0.05  # between nodes at which answers are evaluated
SPACING_PER_SLOPE = 0.5  # ... and so many logits of the steepest item: quintic splines then err by less than 1e-6
NODES_PER_SD = 3.0  # of integration, in the narrowest posterior; from 2 on the trapezoid rule is exact to 1e-8
CELL_BLOCK = 200_000  # items x nodes at once: 1.6 MB a temporary array stays in cache
TINY_SLOPE = 1e-3  # keeps divisions by a slope of 0 away


class Nodes(NamedTuple):
    """Abilities at which answers are evaluated, those at which posteriors are integrated, and the way between."""

    evaluated: FloatArray  # (node,)
    integrated: FloatArray  # (fine node,)
    refine: FloatArray | None  # (node, fine node); None where both are the same


class Cells(NamedTuple):
    """Right answers and trials of a block of models on the items of the fit, shape (model, item)."""

    right: npt.NDArray[Any]
    trials: npt.NDArray[Any]


def choose_nodes(cells: Cells, mean: ItemParameters) -> Nodes:
    """Nodes that reach over all posteriors of a block of models, and are close enough for the narrowest."""
    scan, log_posterior = scan_posteriors(cells, mean)
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
        return Nodes(fine, fine, None)
    spline = make_interp_spline(coarse, np.eye(len(coarse)), k=5)
    return Nodes(coarse, fine, np.ascontiguousarray(spline(fine).T))


def scan_posteriors(cells: Cells, mean: ItemParameters) -> tuple[FloatArray, FloatArray]:
    """Log posterior of each model over all abilities looked at, shape (model, node), up to a constant."""
    scan = np.linspace(-FURTHEST, FURTHEST, round(2 * FURTHEST / SCAN_SPACING) + 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # refused below, in words
        log_posterior = next(_log_likelihoods(cells, mean.at(None), scan)) - scan**2 / 2
    if not np.isfinite(log_posterior.max(axis=1)).all():
        raise AnalysisError(
            "answers are impossible under the item parameters, as where guessing is 1 or the upper asymptote 0. Was "
            "the file of the fit or subset damaged?"
        )
    return scan, log_posterior


def _log_likelihoods(cells: Cells, drawn: ItemParameters, nodes: FloatArray) -> Iterator[FloatArray]:
    """Log-likelihood of each model's answers under each draw of the items, shape (model, node), up to a constant.

    Cells never asked add 0. Without asymptotes a draw's sum_i a_i y_i is all that answers say: no product of all
    answers with all curves is needed, unless models were asked different items.
    """
    trials = cells.trials[:1] if (cells.trials == cells.trials[:1]).all() else cells.trials
    right, trials = cells.right.astype(np.float64), trials.astype(np.float64)
    simple = not drawn.guessing.any() and bool((drawn.upper_asymptote == 1).all())
    weighted = right @ drawn.discrimination.T if simple else right
    for draw in range(len(drawn.difficulty)):
        items = drawn.at(draw)
        if simple:
            yield weighted[:, draw, None] * nodes - _log_odds_against(trials, items, nodes)
            continue
        found = np.zeros((len(right), len(nodes)))
        for block in _item_blocks(len(items.difficulty), len(nodes)):
            known, unknown = (np.log(chance) for chance in success(items.at((block, None)), nodes))
            found += right[:, block] @ (known - unknown) + trials[:, block] @ unknown
        yield found


def _log_odds_against(trials: FloatArray, items: ItemParameters, nodes: FloatArray) -> FloatArray:
    """Sum over items of -log(1 - P) a trial, without asymptotes, shape (row of trials, node).

    Exponentials of single precision take a tenth of the time, and err by 1e-7.
    """
    found = np.zeros((len(trials), len(nodes)))
    for block in _item_blocks(len(items.difficulty), len(nodes)):
        logit = items.discrimination[block, None] * (nodes - items.difficulty[block, None])
        small = np.log(1 + np.exp(-np.abs(logit).astype(np.float32)))
        found += trials[:, block] @ (np.maximum(logit, 0) + small)
    return found


def _expected_information(cells: Cells, items: ItemParameters, nodes: FloatArray) -> FloatArray:
    """Information about ability in as many trials as each model had, shape (model or 1, node)."""
    trials = cells.trials[:1] if (cells.trials == cells.trials[:1]).all() else cells.trials
    found = np.zeros((len(trials), len(nodes)))
    for block in _item_blocks(len(items.difficulty), len(nodes)):
        found += trials[:, block].astype(np.float64) @ information(items.at((block, None)), nodes)
    return found


def _item_blocks(n_items: int, n_nodes: int) -> Iterator[slice]:
    size = max(1, CELL_BLOCK // n_nodes)
    return (slice(start, start + size) for start in range(0, n_items, size))


def mixture_density(cells: Cells, drawn: ItemParameters, nodes: Nodes) -> FloatArray:
    """Posterior density of each model's ability, shape (model, fine node), averaged over draws of the items."""
    weights, log_prior = _trapezoid(nodes.integrated), -(nodes.integrated**2) / 2
    found = np.zeros((len(cells.right), len(nodes.integrated)))
    for density in _log_likelihoods(cells, drawn, nodes.evaluated):
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


def moments(density: FloatArray, nodes: FloatArray) -> FloatArray:
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
