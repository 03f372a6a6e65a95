"""Fit statistics of items and models: infit and outfit, person fit (Zh), differential item functioning (DIF), S-X2."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy
from scipy.special import ndtr

from irt_bench.analysis.curves import response_probabilities
from irt_bench.analysis.intervals import Z_LIMIT, holm
from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.arrays import FloatArray, slices
from irt_bench.checks.fitted_responses import FittedResponses, Limit, above_limit, not_applicable, score_groups
from irt_bench.inference.convergence import Check

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
    """Check that no mean square, infit or outfit by `name`, is further from 1 than 0.5, or than in the replicates."""
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
    """Check that no model's responses are less likely than the least likely in simulated data, by `largest_misfit`."""
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
    """Compare the odds of a correct response between a group and other models with the same score; responses are 0/1.

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
    """Check that no more items have large differences between groups than in the replicates, by `n_large`.

    `found` has the differences by group; `reason` says why there are no groups to compare, if so.
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


EXACT_ITEMS: Final = 100  # up to so many, the score distribution is exact; above it is normal, for groups of scores
NODES: Final = np.linspace(-6.0, 6.0, 121)
GROUPS: Final = 12  # of scores, where there are more items
MIN_EXPECTED: Final = 1.0  # Orlando & Thissen 2000, p. 54: neighbouring scores are merged below it
MIN_MODELS: Final = 100  # smallest samples for which error rates were studied (Orlando & Thissen 2003: 500)
MIN_SUMMED_ITEMS: Final = 4  # with fewer items no degrees of freedom are left
SIGNIFICANCE_LEVEL: Final = 0.01  # familywise (Holm 1979)
CLOSE_FIT_RMSEA: Final = 0.05  # RMSEA of close fit, Maydeu-Olivares & Joe 2014, doi:10.1080/00273171.2014.911075
BLOCK_CELLS: Final = 2_000_000
SOURCE: Final = "Orlando & Thissen 2000: chi-square; Holm 1979, 1% over items; RMSEA > 0.05, Maydeu-Olivares & Joe 2014"


class SummedScoreFit(NamedTuple):
    """S-X2 of each item, shape (item,); NaN where less than one degree of freedom is left."""

    statistic: FloatArray
    df: FloatArray
    p_value: FloatArray
    p_holm: FloatArray
    rmsea: FloatArray

    @property
    def misfits(self) -> npt.NDArray[np.bool_]:
        """Whether an item's misfit is both significant and large enough to matter."""
        return np.asarray((self.p_holm < SIGNIFICANCE_LEVEL) & (self.rmsea > CLOSE_FIT_RMSEA))


def summed_score_fit(fitted: FittedResponses, n_parameters: int) -> SummedScoreFit:
    """Compare the items' proportions correct at equal summed scores with the expected ones.

    Responses are 0/1; models that did not respond to every item are left out.

    Notes
    -----
    S-X2 = sum_k N_k (O_ik - E_ik)^2 / (E_ik (1 - E_ik)) over scores k, with E_ik = integral P_i S_-i(k - 1) phi /
    integral S(k) phi [1]_. Scores are merged, from the lowest on, until each group has one expected correct and one
    expected incorrect response. Departs from [1]_ for more than `EXACT_ITEMS` items: scores first form groups of about
    equal size, and the score given ability is taken as normal. The resulting error of a proportion is below 1%.

    References
    ----------
    .. [1] Orlando, Thissen, Likelihood-based item-fit indices for dichotomous item response theory models, 2000,
       eq. 5-8, DOI 10.1177/01466216000241003.
    """
    right = fitted.correct[fitted.complete]
    total = right.sum(axis=1)
    if right.shape[1] <= EXACT_ITEMS:
        group, n_groups = total.astype(np.intp), right.shape[1] + 1
        chance, edges = _exact_shares(fitted.items), None
    else:
        group, n_groups = score_groups(total, GROUPS)
        edges = np.array([total[group == at].max() for at in range(n_groups - 1)]) + 0.5
        chance = _normal_shares(fitted.items, edges)
    member = np.eye(n_groups)[group]
    found = _join_sparse(member.T @ right, member.sum(axis=0), chance)
    return _tested(*found, n_parameters=n_parameters, n_models=len(right))


def summed_score_check(fitted: FittedResponses, fit: SummedScoreFit | None, labels: npt.NDArray[np.generic]) -> Check:
    """Check that no item misfits by S-X2, significantly over all items and by a relevant amount."""
    if fit is None:
        return not_applicable("s_x2", why_no_s_x2(fitted) or "undefined")
    misfits = fit.misfits
    found = f"{int(misfits.sum())} of {int(np.isfinite(fit.p_value).sum())} items misfit"
    if np.isfinite(fit.p_value).any():
        worst = int(np.nanargmax(np.where(misfits, fit.rmsea, -1)) if misfits.any() else np.nanargmin(fit.p_value))
        found += f"; worst {labels[worst]}: p {fit.p_value[worst]:.2g}, RMSEA {fit.rmsea[worst]:.3f}"
    value = float(misfits.sum()) if np.isfinite(fit.p_value).any() else np.nan
    return above_limit("s_x2", value, found, limit=Limit(0.0, SOURCE), chance=np.empty(0))


def why_no_s_x2(fitted: FittedResponses) -> str:
    """Why S-X2 is undefined for these responses; empty where it is defined."""
    if not fitted.binary:
        return "cells hold several trials; S-X2 needs 0/1 responses"
    n_items, n_complete = fitted.correct.shape[1], int(fitted.complete.sum())
    if n_items < MIN_SUMMED_ITEMS:
        return f"{n_items} items; at least {MIN_SUMMED_ITEMS} are needed"
    if n_complete < MIN_MODELS:
        return f"{n_complete} models responded to every item; at least {MIN_MODELS} are needed"
    return ""


def score_distribution(right_chance: FloatArray, wrong_chance: FloatArray) -> FloatArray:
    """Distribution of the summed score at each ability, shape (score, ability); Lord & Wingersky 1984.

    Parameters
    ----------
    right_chance, wrong_chance : arrays of shape (item, ability)
        Probabilities of a correct and an incorrect response.
    """
    n_items, n_nodes = right_chance.shape
    found = np.zeros((n_items + 1, n_nodes))
    found[0] = 1.0
    for done, (right, wrong) in enumerate(zip(right_chance, wrong_chance, strict=True), start=1):
        found[1 : done + 1] = found[1 : done + 1] * wrong + found[:done] * right
        found[0] *= wrong
    return found


def without_each(whole: FloatArray, right_chance: FloatArray, wrong_chance: FloatArray) -> FloatArray:
    """Distribution of the score on all other items, per item left out, shape (score, item, ability).

    Notes
    -----
    Inverts one step of the recursion: upwards where an incorrect response is more likely, else downwards. Errors shrink
    in this direction.
    """
    n_items = len(right_chance)
    low, high = np.empty((2, n_items, *right_chance.shape))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        low[0] = whole[0] / wrong_chance
        high[-1] = whole[-1] / right_chance
        for score in range(1, n_items):
            low[score] = (whole[score] - right_chance * low[score - 1]) / wrong_chance
            at = n_items - 1 - score
            high[at] = (whole[at + 1] - wrong_chance * high[at + 1]) / right_chance
    return np.asarray(np.maximum(np.where(right_chance < 0.5, low, high), 0.0))


def _density() -> FloatArray:
    density = np.exp(-0.5 * NODES**2)
    return np.asarray(density / density.sum())


def _exact_shares(items: ItemParameters) -> FloatArray:
    """Compute the expected proportion correct by score and item, shape (score, item)."""
    right, wrong = response_probabilities(items.at((slice(None), None)), NODES)
    whole, density = score_distribution(right, wrong), _density()
    others = without_each(whole, right, wrong)
    joint = np.einsum("kjq,jq,q->kj", others, right, density)
    shares = np.zeros((len(whole), right.shape[0]))
    shares[1:] = joint / np.maximum(whole[1:] @ density, np.finfo(float).tiny)[:, None]
    return shares


def _normal_shares(items: ItemParameters, edges: FloatArray) -> FloatArray:
    """Compute the expected proportion correct by group of scores and item, shape (group, item)."""
    right, wrong = response_probabilities(items.at((slice(None), None)), NODES)
    density, mean, variance = _density(), right.sum(axis=0), (right * wrong).sum(axis=0)
    n_items = len(right)
    shares = np.empty((len(edges) + 1, n_items))
    bounds = np.concatenate([[-np.inf], edges, [np.inf]])[:, None, None]
    for block in slices(n_items, BLOCK_CELLS // (len(NODES) * (len(edges) + 2))):
        p, q = right[block], wrong[block]
        sd = np.sqrt(np.maximum(variance - p * q, 1e-12))
        if_wrong = np.diff(ndtr((bounds - (mean - p)) / sd), axis=0)
        if_right = np.diff(ndtr((bounds - 1 - (mean - p)) / sd), axis=0)
        solved = np.einsum("gjq,jq,q->gj", if_right, p, density)
        missed = np.einsum("gjq,jq,q->gj", if_wrong, q, density)
        shares[:, block] = solved / np.maximum(solved + missed, np.finfo(float).tiny)
    return shares


def _join_sparse(right: FloatArray, n: FloatArray, share: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Chi-square and number of groups of each item, after merging neighbouring scores with few expected responses.

    `right` and `share` (the expected proportion correct) have shape (group, item), `n` (group,), the number of models.
    """
    expected, missed = n[:, None] * share, n[:, None] * (1 - share)
    open_cells = (share > 0) & (share < 1)  # the lowest and the highest score do not depend on an item
    parts = np.stack([right, expected, missed]) * open_cells
    group = np.zeros(right.shape, dtype=np.intp)
    running, at = np.zeros((2, right.shape[1])), np.zeros(right.shape[1], dtype=np.intp)
    for row in range(len(right)):
        group[row] = at
        running += parts[1:, row]
        full = (running >= MIN_EXPECTED).all(axis=0)
        at = at + full
        running[:, full] = 0.0
    n_groups = at
    group = np.minimum(group, np.maximum(n_groups - 1, 0))  # the remaining scores join the last group
    joined = np.zeros((3, len(right), right.shape[1]))
    for part, into in zip(parts, joined, strict=True):
        np.add.at(into, (group, np.arange(right.shape[1])), part)
    observed, correct, incorrect = joined
    size = correct + incorrect
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = (observed - correct) ** 2 * size / (correct * incorrect)
    return np.where(np.arange(len(right))[:, None] < n_groups, terms, 0.0).sum(axis=0), n_groups.astype(np.float64)


def _tested(statistic: FloatArray, n_groups: FloatArray, *, n_parameters: int, n_models: int) -> SummedScoreFit:
    df = n_groups - n_parameters
    known = np.where(df > 0, 1.0, np.nan)
    statistic, df = known * statistic, known * df
    p_value = np.asarray(scipy.stats.chi2.sf(statistic, df))
    rmsea = np.sqrt(np.maximum(statistic - df, 0) / (df * (n_models - 1)))
    return SummedScoreFit(statistic, df, p_value, holm(p_value), rmsea)
