"""The smallest gap between the full scores of two models that a subset orders rightly, 8 times in 10.

A pair of held-out models whose full scores lie g apart is taken to be ordered rightly with probability Phi(g / s):
exact where the difference of two estimates errs normally with sd s. s is found by maximum likelihood from which pairs
were ordered rightly, and the gap is s Phi^-1(0.8). Beside it stands the same for plain means of as many random items.

References
----------
.. [1] arXiv 2510.08730 asks for the gap (minimum detectable ability difference) and finds that about 250 items are
   needed where models are 2 to 3 points apart.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from irt_bench.arrays import FloatArray
from irt_bench.names import INTERVAL
from irt_bench.responses.counts import ResponseCounts
from irt_bench.subsets.clusters import Labels
from irt_bench.subsets.shares import filled_shares

ORDERED: Final = 0.8  # share of pairs that are to be ordered rightly
N_RANDOM: Final = 20  # random subsets per fold
N_RESAMPLES: Final = 200  # of clusters
SEED: Final = 20251008
WIDEST: Final = 100.0  # of s: pairs ordered no better than by chance at any gap
MOST_PAIRS: Final = 20_000  # per fold
BINS: Final = 200  # of like gaps, in which pairs are counted
SAME: Final = 1e-12  # scores no further apart are equal but for rounding

Codes = npt.NDArray[np.intp]


class Gap(NamedTuple):
    """Smallest gap ordered rightly with 80%, its central 90% interval, and that of random items; in [0, 1] or NaN."""

    value: float
    q05: float
    q95: float
    random: float


class HeldOutScores(NamedTuple):
    """Models held out in cross-validation, a list entry per fold; pairs are of one fold, asked the same items."""

    estimates: list[FloatArray]  # of the full score, shape (model,)
    truths: list[FloatArray]
    clusters: list[Labels]
    responses: list[ResponseCounts]


class _Pairs(NamedTuple):
    """Pairs of models whose full scores differ, arrays of shape (pair,)."""

    gap: FloatArray  # of full scores
    right: FloatArray  # 1 where the estimates are ordered alike, 1/2 where they tie, else 0
    first: Codes  # clusters
    second: Codes


def orderable_gap(scores: HeldOutScores, size: int) -> Gap:
    """Find the smallest gap that is ordered rightly with 80%.

    Parameters
    ----------
    scores : HeldOutScores
        Estimates of models held out beside their full scores.
    size : int
        Number of items of the subset, for the random ones beside it.
    """
    names = np.unique(np.concatenate(scores.clusters))
    codes = [np.searchsorted(names, part) for part in scores.clusters]
    rng = np.random.default_rng(SEED)
    own = _joined([_pairs(*each, rng=rng) for each in zip(scores.estimates, scores.truths, codes, strict=True)])
    spread = np.full(1, math.nan)
    if len(names) > 1:
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=N_RESAMPLES)
        spread = np.array([_gap(own, weights[own.first] * weights[own.second]) for weights in drawn])
    known = spread[~np.isnan(spread)]
    low, high = np.quantile(known, INTERVAL) if len(known) else (math.nan, math.nan)
    means = []
    for fold, truth, code in zip(scores.responses, scores.truths, codes, strict=True):
        shares = filled_shares(fold)
        for _ in range(N_RANDOM):
            chosen = rng.choice(shares.shape[1], size, replace=False)
            means.append(_pairs(shares[:, chosen].mean(axis=1), truth, code, rng=rng))
    return Gap(_gap(own), float(low), float(high), _gap(_joined(means)))


def _pairs(estimate: FloatArray, truth: FloatArray, codes: Codes, *, rng: np.random.Generator) -> _Pairs:
    """All pairs of a fold, or as many drawn at random where there are more than `MOST_PAIRS`."""
    first, second = np.triu_indices(len(truth), 1)
    if len(first) > MOST_PAIRS:
        drawn = rng.choice(len(first), MOST_PAIRS, replace=False)
        first, second = first[drawn], second[drawn]
    gap = truth[first] - truth[second]
    kept = np.abs(np.nan_to_num(gap)) > SAME
    first, second, gap = first[kept], second[kept], gap[kept]
    ahead = estimate[first] - estimate[second]
    right = np.where(np.abs(ahead) > SAME, 0.5 + 0.5 * np.sign(ahead) * np.sign(gap), 0.5)
    return _Pairs(np.abs(gap), right, codes[first], codes[second])


def _joined(parts: list[_Pairs]) -> _Pairs:
    return _Pairs(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _gap(pairs: _Pairs, count: npt.NDArray[np.integer] | None = None) -> float:
    """Gap by maximum likelihood, from pairs in bins of like gaps; pairs may count several times. NaN without pairs."""
    if not len(pairs.gap) or (count is not None and not count.any()):
        return math.nan
    weight = np.ones(len(pairs.gap)) if count is None else count.astype(np.float64)
    edges = np.unique(np.quantile(pairs.gap, np.linspace(0, 1, BINS + 1)))
    place = np.clip(np.searchsorted(edges, pairs.gap, side="right") - 1, 0, max(len(edges) - 2, 0))
    total = np.bincount(place, weight)
    gap = np.bincount(place, weight * pairs.gap) / np.maximum(total, SAME)
    right = np.bincount(place, weight * pairs.right)

    def loss(log_sd: float) -> float:
        score = gap / math.exp(log_sd)
        return -float(right @ special.log_ndtr(score) + (total - right) @ special.log_ndtr(-score))

    low = math.log(gap[total > 0].min() / WIDEST)
    found = optimize.minimize_scalar(loss, bounds=(low, math.log(WIDEST)), method="bounded")
    return float(math.exp(found.x) * special.ndtri(ORDERED))
