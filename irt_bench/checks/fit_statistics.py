"""Fit statistics of items and models: infit and outfit, person fit (Zh), and differential item functioning (DIF)."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.analysis.intervals import Z_LIMIT
from irt_bench.arrays import FloatArray
from irt_bench.checks.fitted_responses import FittedResponses, score_groups
from irt_bench.checks.limits import Check, Limit, above_limit, not_applicable

# Mean squares from 0.5 to 1.5 are "productive for measurement".
MEAN_SQUARE_LIMIT: Final = Limit(0.5, "Wright & Linacre 1994, Rasch Measurement Transactions 8:3")


class MeanSquares(NamedTuple):
    """Infit and outfit of items, shape (item,), or models, shape (model,); NaN where undefined."""

    infit: FloatArray
    outfit: FloatArray


def item_mean_squares(fitted: FittedResponses) -> MeanSquares:
    """Infit and outfit of each item to which the responses differ between models.

    Notes
    -----
    With the residual r of a cell and its variance v = n P (1 - P): infit = sum r^2 / sum v, dominated by
    responses near the item's difficulty; outfit = mean r^2 / v, dominated by unexpected responses [1]_. Both are 1
    where the model holds and the parameters are known. Estimating abilities from the same responses lowers them a
    little. Where all responses are correct, or all incorrect, the residuals carry no information on the slope: NaN, as
    in eRm.

    References
    ----------
    .. [1] Wright, Masters, Rating scale analysis, 1982, chapter 5.
    """
    known = np.where(fitted.varying, 1.0, np.nan)
    return MeanSquares(*(known * values for values in _mean_squares(fitted, axis=0)))


def model_mean_squares(fitted: FittedResponses) -> MeanSquares:
    """Infit and outfit of each model; see `item_mean_squares`."""
    return _mean_squares(fitted, axis=1)


def worst_mean_square(values: FloatArray) -> tuple[float, int]:
    """Largest distance of a mean square from 1, and its position; NaN and -1 where all are undefined."""
    distance = np.abs(values - 1)
    if np.isnan(distance).all():
        return np.nan, -1
    place = int(np.nanargmax(distance))
    return float(distance[place]), place


def mean_square_check(name: str, values: FloatArray, labels: FloatArray, chance: FloatArray) -> Check:
    """Check that no mean square is further from 1 than 0.5, or than in the replicates.

    Parameters
    ----------
    name : str
        ``infit`` or ``outfit``.
    values, labels : arrays of shape (item,)
        Mean squares and the items' labels.
    chance : array of shape (replicate,)
        Largest distance from 1 in each replicate.
    """
    value, place = worst_mean_square(values)
    found = f"furthest from 1: {values[place]:.2f}, item {labels[place]}" if place >= 0 else ""
    return above_limit(name, value, found, limit=MEAN_SQUARE_LIMIT, chance=chance)


def _mean_squares(fitted: FittedResponses, *, axis: int) -> MeanSquares:
    squares, expected = fitted.residual**2, fitted.trials * fitted.variance
    n_asked = fitted.asked.sum(axis=axis)
    standardised = np.divide(squares, expected, out=np.zeros_like(squares), where=expected > 0)
    known = np.where(n_asked > 0, 1.0, np.nan)
    return MeanSquares(
        known * squares.sum(axis=axis) / np.maximum(expected.sum(axis=axis), np.finfo(float).tiny),
        known * standardised.sum(axis=axis) / np.maximum(n_asked, 1),
    )


# Probability 1 in 740 under a standard normal. The limit is for -Zh, so that larger is worse.
ZH_LIMIT: Final = Limit(3.0, "three standard errors below expectation (Shewhart 1931); Zh: Drasgow et al. 1985")
MIN_ITEMS: Final = 10  # with fewer items the statistic takes few values


def standardised_log_likelihood(fitted: FittedResponses) -> FloatArray:
    """Zh (also l_z): log-likelihood of each model's responses, standardised by its mean and sd under the IRT model.

    Returns
    -------
    array of shape (model,)
        Low values are unlikely responses; NaN where the IRT model leaves no response uncertain.

    Notes
    -----
    l = sum k log P + (n - k) log(1 - P), E = sum n (P log P + (1 - P) log(1 - P)), V = sum n P (1 - P) (log P / (1 -
    P))^2 over the observed items; Zh = (l - E) / sqrt(V) [1]_. Its variance is 1 at the true ability and smaller at an
    ability estimated from the same responses [2]_. The limit therefore also considers simulated data.

    References
    ----------
    .. [1] Drasgow, Levine, Williams, Appropriateness measurement with polychotomous item response models and
       standardized indices, 1985, DOI 10.1111/j.2044-8317.1985.tb00817.x.
    .. [2] Snijders, Asymptotic null distribution of person fit statistics with estimated person parameter, 2001,
       DOI 10.1007/BF02294437.
    """
    right = np.maximum(fitted.probability, np.finfo(float).tiny)
    wrong = np.maximum(fitted.variance / right, np.finfo(float).tiny)
    log_odds = np.log(right) - np.log(wrong)
    # l - E = sum (k - n P) log(P / (1 - P)): certain responses drop out.
    surplus = (fitted.residual * log_odds).sum(axis=1)
    spread = (fitted.trials * fitted.variance * log_odds**2).sum(axis=1)
    return np.asarray(surplus / np.sqrt(np.where(spread > 0, spread, np.nan)))


def largest_misfit(fitted: FittedResponses) -> float:
    """Largest -Zh over models; NaN where none is defined."""
    values = standardised_log_likelihood(fitted)
    return -float(np.nanmin(values)) if np.isfinite(values).any() else np.nan


def person_fit_check(fitted: FittedResponses, labels: FloatArray, chance: FloatArray) -> Check:
    """Check that no model's responses are less likely than the least likely in simulated data.

    Parameters
    ----------
    fitted : FittedResponses
        The responses.
    labels : array of shape (model,)
        Labels of the models.
    chance : array of shape (replicate,)
        `largest_misfit` of each replicate.
    """
    if fitted.correct.shape[1] < MIN_ITEMS:
        return not_applicable("person_fit", f"{fitted.correct.shape[1]} items; {MIN_ITEMS} are needed")
    values = standardised_log_likelihood(fitted)
    value = largest_misfit(fitted)
    if not np.isfinite(value):
        return not_applicable("person_fit", "the IRT model leaves no response uncertain")
    limit = max(ZH_LIMIT.value, float(np.nanmax(chance)) if np.isfinite(chance).any() else 0.0)
    beyond = int((-values > limit).sum())
    found = f"{beyond} models have less likely responses than any simulated model; lowest Zh {-value:.2f}, of model "
    return above_limit(
        "person_fit", value, found + str(labels[int(np.nanargmin(values))]), limit=ZH_LIMIT, chance=chance
    )


DELTA: Final = -2.35  # ETS delta units per log odds ratio: 4 / 1.7; negative: harder item
LARGE, LARGE_BOUND = 1.5, 1.0  # category C: |delta| >= 1.5 and significantly above 1
ONE_SIDED: Final = 1.6449  # 5%
STRATA: Final = 20  # strata of models with similar scores
MIN_GROUP: Final = 20  # models; with fewer the sd of delta exceeds 1.5 even for items of medium difficulty
NO_LARGE_DIFFERENCE: Final = Limit(
    0.0, "ETS category C: |delta| >= 1.5 and beyond 1 at 5%, Zwick 2012, doi:10.1002/j.2333-8504.2012.tb02290.x"
)


class GroupDifference(NamedTuple):
    """Mantel-Haenszel statistics of each item for one group against all other models, shape (item,)."""

    delta: FloatArray  # ETS units, negative: harder for the group; NaN where undefined
    standard_error: FloatArray

    @property
    def large(self) -> npt.NDArray[np.bool_]:
        """ETS category C."""
        size = np.abs(self.delta)
        return np.asarray((size >= LARGE) & (size - ONE_SIDED * self.standard_error > LARGE_BOUND))


def group_difference(fitted: FittedResponses, member: npt.NDArray[np.bool_]) -> GroupDifference:
    """Compare the odds of a correct response between a group and other models with the same score.

    Parameters
    ----------
    fitted : FittedResponses
        0/1 responses.
    member : array of shape (model,)
        Whether a model belongs to the group.

    Notes
    -----
    The common odds ratio over strata of the score [1]_, with the variance of Robins, Breslow & Greenland [2]_.
    The score is the mean over the observed items, including the item itself [1]_. There are up to `STRATA` strata of
    similar scores.

    References
    ----------
    .. [1] Holland, Thayer, Differential item performance and the Mantel-Haenszel procedure, 1988.
    .. [2] Robins, Breslow, Greenland, Estimators of the Mantel-Haenszel variance consistent in both sparse data and
       large-strata limiting models, 1986, DOI 10.2307/2531052.
    """
    group, n_groups = score_groups(fitted.score, STRATA)
    agree, disagree, agree_share, disagree_share, mixed = np.zeros((5, fitted.correct.shape[1]))
    for stratum in range(n_groups):
        inside, outside = (group == stratum) & member, (group == stratum) & ~member
        tables = [(fitted.correct[rows].sum(axis=0), fitted.asked[rows].sum(axis=0)) for rows in (inside, outside)]
        (a, n_in), (c, n_out) = tables
        b, d, n = n_in - a, n_out - c, np.maximum(n_in + n_out, 1)
        r, s, p, q = a * d / n, b * c / n, (a + d) / n, (b + c) / n
        agree, disagree, mixed = agree + r, disagree + s, mixed + p * s + q * r
        agree_share, disagree_share = agree_share + p * r, disagree_share + q * s
    defined = np.where((agree > 0) & (disagree > 0), 1.0, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_ratio = np.log(agree / disagree) * defined
        variance = agree_share / agree**2 + mixed / (agree * disagree) + disagree_share / disagree**2
    # Negative where the item is harder for the group: -2.35 times the log odds ratio of the others to the group.
    return GroupDifference(-DELTA * log_ratio, -DELTA * np.sqrt(variance / 2) * defined)


def large_groups(groups: pd.Series) -> list[str]:
    """List groups that have enough models, and enough other models, to be compared; of two groups only the first."""
    sizes = groups.dropna().astype(str).value_counts().sort_index()
    fit = [str(name) for name, size in sizes.items() if MIN_GROUP <= size <= sizes.sum() - MIN_GROUP]
    return fit[:1] if len(sizes) == 2 else fit


def n_large(fitted: FittedResponses, members: list[npt.NDArray[np.bool_]]) -> float:
    """Count items with a large difference, over all groups."""
    return float(sum(int(group_difference(fitted, member).large.sum()) for member in members))


def difference_table(found: dict[str, GroupDifference], labels: pd.Index) -> pd.DataFrame:
    """Tabulate the differences, one row per group and item: ``group, item, delta, delta_q05, delta_q95, large``."""
    parts = []
    for name, each in found.items():
        half = Z_LIMIT * each.standard_error
        columns = {"delta": each.delta, "delta_q05": each.delta - half, "delta_q95": each.delta + half}
        parts.append(pd.DataFrame({"group": name, "item": labels, **columns, "large": each.large}))
    empty = pd.DataFrame(columns=["group", "item", "delta", "delta_q05", "delta_q95", "large"])
    return pd.concat(parts, ignore_index=True) if parts else empty


def difference_check(found: dict[str, GroupDifference], labels: pd.Index, chance: FloatArray, reason: str) -> Check:
    """Check that no more items have large differences between groups than in the replicates.

    Parameters
    ----------
    found : dict
        Name of the group → its differences.
    labels : pd.Index
        Labels of the items.
    chance : array of shape (replicate,)
        `n_large` of each replicate.
    reason : str
        Why there are no groups to compare, if so.
    """
    if not found:
        return not_applicable("dif", reason)
    value = sum(int(each.large.sum()) for each in found.values())
    name, worst = max(found.items(), key=lambda pair: np.nanmax(np.where(pair[1].large, np.abs(pair[1].delta), 0)))
    message = f"{value} items with large differences between groups ({', '.join(found)})"
    if value:
        place = int(np.nanargmax(np.where(worst.large, np.abs(worst.delta), 0)))
        message += f"; largest for {labels[place]}, delta {worst.delta[place]:+.1f} for {name}"
    return above_limit("dif", float(value), message, limit=NO_LARGE_DIFFERENCE, chance=chance)
