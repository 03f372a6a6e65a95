"""Person fit: models whose answers are less likely than those of a model of their ability."""

from __future__ import annotations

from typing import Final

import numpy as np

from irt_bench.analysis.checks.answers import FittedAnswers
from irt_bench.analysis.checks.named import Check, Limit, above_limit, not_applicable
from irt_bench.arrays import FloatArray

# 1 in 740 of a standard normal; the size of the largest misfit, hence turned round.
MISFIT: Final = Limit(3.0, "three standard errors below expectation (Shewhart 1931); Zh: Drasgow et al. 1985")
LEAST_ITEMS: Final = 10  # with fewer the statistic takes a handful of values


def standardised_log_likelihood(answers: FittedAnswers) -> FloatArray:
    """Zh (also l_z): log-likelihood of each model's answers, standardised by its mean and sd under the model.

    Returns
    -------
    array of shape (model,)
        Low values are unlikely answers; NaN without answers that the model leaves open.

    Notes
    -----
    l = sum k log P + (n - k) log(1 - P), E = sum n (P log P + (1 - P) log(1 - P)), V = sum n P (1 - P) (log P / (1 -
    P))^2 over the items asked; Zh = (l - E) / sqrt(V) [1]_. Its variance is 1 at the true ability, less at one
    estimated from the same answers [2]_: the limit is therefore taken from simulated data where that is wider.

    References
    ----------
    .. [1] Drasgow, Levine, Williams, Appropriateness measurement with polychotomous item response models and
       standardized indices, 1985, DOI 10.1111/j.2044-8317.1985.tb00817.x.
    .. [2] Snijders, Asymptotic null distribution of person fit statistics with estimated person parameter, 2001,
       DOI 10.1007/BF02294437.
    """
    right = np.maximum(answers.probability, np.finfo(float).tiny)
    wrong = np.maximum(answers.variance / right, np.finfo(float).tiny)
    log_odds = np.log(right) - np.log(wrong)
    # l - E = sum (k - n P) log(P / (1 - P)): what is certain drops out.
    surplus = (answers.residual * log_odds).sum(axis=1)
    spread = (answers.trials * answers.variance * log_odds**2).sum(axis=1)
    return np.asarray(surplus / np.sqrt(np.where(spread > 0, spread, np.nan)))


def largest_misfit(answers: FittedAnswers) -> float:
    """Zh of the model that fits worst, sign turned; NaN where none is defined."""
    values = standardised_log_likelihood(answers)
    return -float(np.nanmin(values)) if np.isfinite(values).any() else np.nan


def person_fit_check(answers: FittedAnswers, labels: FloatArray, chance: FloatArray) -> Check:
    """Check that no model's answers are less likely than the least likely in simulated data.

    Parameters
    ----------
    answers : FittedAnswers
        The responses.
    labels : array of shape (model,)
        Of the models.
    chance : array of shape (replicate,)
        `largest_misfit` of each replicate.
    """
    if answers.right.shape[1] < LEAST_ITEMS:
        return not_applicable("person_fit", f"{answers.right.shape[1]} items; {LEAST_ITEMS} are needed")
    values = standardised_log_likelihood(answers)
    value = largest_misfit(answers)
    if not np.isfinite(value):
        return not_applicable("person_fit", "no model has answers that the items leave open")
    limit = max(MISFIT.value, float(np.nanmax(chance)) if np.isfinite(chance).any() else 0.0)
    beyond = int((-values > limit).sum())
    found = f"{beyond} models answer less likely than chance allows; lowest Zh {-value:.2f}, of model "
    return above_limit("person_fit", value, found + str(labels[int(np.nanargmin(values))]), limit=MISFIT, chance=chance)
