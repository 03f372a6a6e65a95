"""S-X2: items' proportions correct by summed score, against those expected (Orlando & Thissen 2000)."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy
from scipy.special import ndtr

from irt_bench.analysis.curves import response_probabilities
from irt_bench.analysis.intervals import holm
from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.arrays import FloatArray, slices
from irt_bench.checks.fitted_responses import FittedResponses, score_groups
from irt_bench.checks.limits import Check, Limit, above_limit, not_applicable

EXACT_ITEMS: Final = 100  # up to so many, the score distribution is exact; above it is normal, for groups of scores
NODES: Final = np.linspace(-6.0, 6.0, 121)
GROUPS: Final = 12  # of scores, where there are more items
MIN_EXPECTED: Final = 1.0  # Orlando & Thissen 2000, p. 54: neighbouring scores are merged below it
MIN_MODELS: Final = 100  # smallest samples for which error rates were studied (Orlando & Thissen 2003: 500)
MIN_ITEMS: Final = 4  # with fewer items no degrees of freedom are left
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

    Parameters
    ----------
    fitted : FittedResponses
        0/1 responses; models that did not respond to every item are left out.
    n_parameters : int
        Number of estimated parameters per item.

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
    if n_items < MIN_ITEMS:
        return f"{n_items} items; at least {MIN_ITEMS} are needed"
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

    Parameters
    ----------
    right : array of shape (group, item)
        Correct responses.
    n : array of shape (group,)
        Models.
    share : array of shape (group, item)
        Expected proportion correct.
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
