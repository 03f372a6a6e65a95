"""Posterior predictive checks: scores, pairs of items, and item-total curves as they would come out again.

Every statistic of the responses is compared with its replicates, and every replicate with the others: what is usual
is learned from data made by the fit itself.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from irt_bench.analysis.checks.answers import FittedAnswers, score_groups
from irt_bench.analysis.checks.named import Check, above_limit, not_applicable
from irt_bench.arrays import FloatArray

CORRECTION: Final = 0.5  # answers added to each cell of a table of two items: no odds ratio is infinite
LEAST_SD: Final = 0.05  # of a log odds ratio: replicates that agree to less do so by chance
SCORE_STEPS: Final = 400  # of the cumulated distribution of scores


class Surprise(NamedTuple):
    """Squared standard scores against replicates."""

    observed: FloatArray  # of the responses, any shape
    replicated: FloatArray  # (replicate, ...): of each replicate against the others


def surprise(observed: FloatArray, replicated: FloatArray, least_sd: FloatArray | float) -> Surprise:
    """Standardise a statistic by the replicates' mean and sd, and each replicate's by those of the others.

    Parameters
    ----------
    observed : array
        Of the responses.
    replicated : array of shape (replicate, ...)
        Of data simulated from the fit.
    least_sd : array or float
        Sds are not taken to be smaller.

    Notes
    -----
    (x - mean)^2 / (sd^2 (1 + 1 / R)): with R replicates a normal statistic is squared Student t with R - 1 degrees of
    freedom. The means without replicate r follow from the sums.
    """
    n = len(replicated)
    mean, variance = replicated.mean(axis=0), replicated.var(axis=0, ddof=1)
    found = (observed - mean) ** 2 / (np.maximum(variance, np.square(least_sd)) * (1 + 1 / n))
    away = replicated - mean
    others = (variance * (n - 1) - away**2 * n / (n - 1)) / (n - 2)
    distance = (away * n / (n - 1)) ** 2
    return Surprise(found, distance / (np.maximum(others, np.square(least_sd)) * n / (n - 1)))


def score_distance(observed: FloatArray, replicated: FloatArray) -> tuple[float, FloatArray]:
    """Largest distance between cumulated distributions of scores: of the responses, and of each replicate.

    Parameters
    ----------
    observed : array of shape (model,)
        Scores in [0, 1]; NaN is left out.
    replicated : array of shape (replicate, model)
        Of models with normal abilities.

    Returns
    -------
    value : float
        Distance (Kolmogorov) from the mean distribution of the replicates.
    chance : array of shape (replicate,)
        Distance of each replicate from the mean of the others.
    """
    known = np.isfinite(observed)
    steps = np.linspace(0, 1, SCORE_STEPS + 1)
    share = [np.searchsorted(np.sort(row[known]), steps, side="right") / known.sum() for row in (observed, *replicated)]
    cumulated = np.array(share[1:])
    n, mean = len(cumulated), cumulated.mean(axis=0)
    chance = np.abs(cumulated - mean).max(axis=1) * n / (n - 1)
    return float(np.abs(share[0] - mean).max()), chance


def score_check(observed: FloatArray, replicated: FloatArray) -> Check:
    """Check that scores are distributed as those of models with normal abilities."""
    if np.isfinite(observed).sum() < 2:
        return not_applicable("score_distribution", "fewer than two models have answers")
    value, chance = score_distance(observed, replicated)
    message = f"cumulated shares of models differ by up to {value:.3f} from those with normal abilities"
    return above_limit("score_distribution", value, message, limit=None, chance=chance)


def log_odds_ratios(answers: FittedAnswers, items: npt.NDArray[np.intp]) -> FloatArray:
    """Log odds ratio of the answers to every two of some items, shape (pair,), of the upper triangle.

    Notes
    -----
    Log of (both right * both wrong) / (one right * the other right), over the models asked both; shares of trials count
    as shares [1]_.

    References
    ----------
    .. [1] Sinharay, Johnson, Stern, Posterior predictive assessment of item response theory models, 2006,
       DOI 10.1177/0146621605285517.
    """
    right, asked = answers.share[:, items].astype(np.float32), answers.asked[:, items].astype(np.float32)
    wrong = asked - right
    pair = np.triu_indices(len(items), 1)
    both, neither, one = right.T @ right, wrong.T @ wrong, right.T @ wrong
    tables = np.stack([both[pair], neither[pair], one[pair], one.T[pair]]) + CORRECTION
    logs = np.log(tables)
    return np.asarray(logs[0] + logs[1] - logs[2] - logs[3], dtype=np.float32)


def odds_ratio_check(observed: FloatArray, replicated: FloatArray) -> Check:
    """Check that pairs of items go together as the fit says: mean squared standard score over pairs."""
    if observed.size == 0:
        return not_applicable("odds_ratios", "fewer than two items vary")
    found = surprise(observed, replicated, LEAST_SD)
    value, chance = float(found.observed.mean()), found.replicated.mean(axis=1, dtype=np.float64)
    far = float((found.observed > 9).mean())
    away = float(np.abs(observed - replicated.mean(axis=0)).mean())
    message = f"{far:.1%} of {observed.size:,} pairs are three sds from the fit; log odds ratios are off by {away:.2f}"
    return above_limit("odds_ratios", value, message, limit=None, chance=chance)


class Curves(NamedTuple):
    """Shares of right answers by group of models of similar score."""

    share: FloatArray  # (group, item); NaN where nobody in the group was asked
    n: FloatArray  # (group, item): answers behind each


def item_total_curves(answers: FittedAnswers) -> Curves:
    """Share of right answers to each item in groups of models of similar score, the lowest first.

    Notes
    -----
    The score has the item in it, in the responses as in the replicates.
    """
    group, n_groups = score_groups(answers.score)
    member = np.eye(n_groups)[np.maximum(group, 0)] * (group >= 0)[:, None]
    asked = member.T @ answers.asked
    with np.errstate(invalid="ignore"):
        return Curves((member.T @ answers.share) / np.where(asked > 0, asked, np.nan), asked)


def curve_surprise(observed: Curves, replicated: list[Curves]) -> Surprise:
    """Mean over groups of squared standard scores, by item: of the responses (item,) and the replicates.

    Notes
    -----
    Where scores take few values a replicate may have fewer groups; only the groups that all have are compared. An sd is
    at least one answer: where hardly any is expected, one more is no surprise.
    """
    n_groups = min(len(each.share) for each in (observed, *replicated))
    least_sd = 1 / np.maximum(observed.n[:n_groups], 1)
    found = surprise(observed.share[:n_groups], np.stack([each.share[:n_groups] for each in replicated]), least_sd)
    count = np.isfinite(found.observed).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return Surprise(
            np.nansum(found.observed, axis=0) / np.where(count > 0, count, np.nan),
            np.nansum(found.replicated, axis=1) / np.where(count > 0, count, np.nan),
        )


def curve_check(found: Surprise, labels: npt.NDArray[np.generic]) -> Check:
    """Check that no item's curve is further from the fit than the furthest in simulated data."""
    if not np.isfinite(found.observed).any():
        return not_applicable("item_total_curves", "no item has answers")
    place = int(np.nanargmax(found.observed))
    chance = np.nanmax(found.replicated, axis=1)
    beyond = int((found.observed > chance.max()).sum())
    message = f"{beyond} items' curves are beyond chance; furthest item {labels[place]}"
    return above_limit("item_total_curves", float(found.observed[place]), message, limit=None, chance=chance)
