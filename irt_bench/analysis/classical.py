"""Classical item analysis: proportions correct, item-total correlations, flags, alpha and the error of the score.

All statistics are over the given models. A cell counts by its proportion correct, whatever its number of trials.
Cells without responses are left out, and a model's score is its mean over the observed items.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy
from scipy import special
from scipy.special import expit, logit

from irt_bench.analysis.intervals import (
    SPREAD_FLOOR,
    alpha_interval,
    centred_sums,
    column_mean_interval,
    correlation_interval,
)
from irt_bench.arrays import BoolArray, FloatArray, slices
from irt_bench.errors import AnalysisError, FitWarning, UndefinedWarning
from irt_bench.inference.fast.ability_grid import AbilityGrid
from irt_bench.names import ITEM
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.table import QUESTION

MIN_MODELS = 3  # two models correlate at -1 or 1 whatever the item
NEAR_ZERO = 0.05  # |item-rest r|; below it an item shares less than 0.25% of its variance with the other items
TOO_EASY = 0.95  # proportion correct; metabench drops easier items (Kipnis et al. 2024, arXiv 2407.12844)
TOO_HARD = 0.05  # the counterpart of TOO_EASY
FEW_MODELS = 20  # below it a 90% interval includes 0 even for r = 0.4, "very good" in Ebel & Frisbie 1991
FLAGS = ("constant", "negative", "maybe_negative", "near_zero", "too_easy", "too_hard", "few_models")
LIKELIHOOD_ROUNDS = 2  # of maximum likelihood, each on a grid of its own
MARGIN = 0.85  # of the sds that the grid resolves
LIKELIHOOD_STEP = 1e-3  # of intercepts and slopes, for derivatives
SMALL = 1e-12  # probability
BLOCK_CELLS = 4_000_000  # cells at once: a temporary array of 32 MB


class Correlations(NamedTuple):
    """Correlation of each item with a score, and the number of models behind it."""

    correlation: FloatArray  # (item,), NaN where undefined
    n_models: npt.NDArray[np.int64]  # (item,)


@dataclass(frozen=True)
class Reliability:
    """Reliability of the score over all items, and the error of measurement that follows.

    `mean`, `sd` and `sem` are proportions in [0, 1]; the same names with `_correct` are numbers of correct responses
    out of `n_items`. `sd` is over models with n - 1; `sem` is sd * sqrt(1 - alpha).
    """

    n_models: int
    n_items: int
    mean: float
    sd: float
    alpha: float
    alpha_q05: float
    alpha_q95: float
    sem: float
    mean_correct: float
    sd_correct: float
    sem_correct: float


def item_statistics(counts: Responses) -> pd.DataFrame:
    """Describe every item by its proportion correct, its correlation with the models' score, and flags.

    Returns
    -------
    pd.DataFrame
        Indexed by item, in the order of `counts`:

        ``n_models``
            number of models with a response.
        ``proportion_correct``
            mean proportion correct over them: high for an easy item (the difficulty of [1]_).
        ``item_total_correlation``
            correlation over models of the item with the mean over all observed items, including itself (the
            discrimination of [1]_, section 3.1); the point-biserial for 0/1 items. The item's own part raises it.
        ``item_rest_correlation``
            the same with the mean over all *other* observed items [2]_. Flags use this one.
        ``biserial``
            item-rest r * sqrt(p q) / phi(Phi^-1(p)), for 0/1 items: the correlation if a normal variable underlies the
            item [3]_; NaN for others. It may exceed 1.
        ``flags``
            of `FLAGS`, joined by ';' in that order; empty where there is none.
        ``proportion_correct_q05`` ... ``item_rest_q95``
            central 90% intervals over models: `column_mean_interval` and `correlation_interval`.
        ``question``
            first words of the item, where the responses have them.

    Warns
    -----
    UndefinedWarning
        Once, if correlations are NaN: an item without spread, fewer than three models, or no spread in the score.

    Notes
    -----
    ``negative``: the whole interval of the item-rest r is below 0. ``maybe_negative``: r is below 0, but its interval
    is not. ``near_zero``: |r| < 0.05 and not ``negative``. Of many items unrelated to the score, 5% are ``negative`` by
    chance: use the flag as a list to review. Departs from [2]_ in using means instead of sums, so that models with
    different items can be compared. For complete responses the two are equal.

    References
    ----------
    .. [1] Madaan et al., Quantifying variance in evaluation benchmarks, 2024, DOI 10.48550/arXiv.2406.10229.
    .. [2] Henrysson, Correction of item-total correlations in item analysis, 1963, DOI 10.1007/BF02289618.
    .. [3] Lord, Novick, Statistical theories of mental test scores, 1968, chapter 15.
    """
    counts = as_counts(counts)
    shares, asked = np.nan_to_num(counts.proportions(), copy=False), counts.asked
    binary = np.asarray(binary_cells(counts).all(axis=0))
    n_models = asked.sum(axis=0)
    proportion_correct, sum_squares = centred_sums(shares, asked)
    total, rest = correlate_with_score(shares, asked), correlate_with_rest(shares, asked)
    intervals = {
        "proportion_correct": column_mean_interval(shares, asked, binary),
        "item_total": correlation_interval(*total),
        "item_rest": correlation_interval(*rest),
    }
    constant = (n_models > 0) & (sum_squares <= n_models * SPREAD_FLOOR**2)
    negative = intervals["item_rest"].upper < 0
    raised = (
        constant,
        negative,
        (rest.correlation < 0) & ~negative,
        (np.abs(rest.correlation) < NEAR_ZERO) & ~negative,
        proportion_correct > TOO_EASY,
        proportion_correct < TOO_HARD,
        n_models < FEW_MODELS,
    )
    columns: dict[str, object] = {
        "n_models": n_models,
        "proportion_correct": proportion_correct,
        "item_total_correlation": total.correlation,
        "item_rest_correlation": rest.correlation,
        "biserial": _biserial(rest.correlation, np.where(binary, proportion_correct, np.nan)),
        "flags": _join_flags(raised),
    }
    for name, interval in intervals.items():
        columns |= {f"{name}_q05": interval.lower, f"{name}_q95": interval.upper}
    if QUESTION in counts.items:
        columns[QUESTION] = counts.items[QUESTION].to_numpy()
    _warn_undefined(counts, np.isnan(total.correlation) | np.isnan(rest.correlation))
    return pd.DataFrame(columns, index=counts.items.index.rename(ITEM))


def score_reliability(counts: Responses) -> Reliability:
    """Estimate coefficient alpha and the standard error of measurement of the score, over the models with responses.

    Returns
    -------
    Reliability
        Alpha (Kuder-Richardson 20 for 0/1 cells) [1]_ [2]_ with Feldt's 90% interval, and moments of the score.

    Raises
    ------
    AnalysisError
        If no model has a response.

    Warns
    -----
    UndefinedWarning
        If alpha is NaN: one item, one model, no spread in the score, or two items with fewer than two common models.

    Notes
    -----
    With missing cells, alpha uses the pairwise-complete covariances of the items, each with its own n - 1. The interval
    treats all models as complete, and numbers of correct responses are proportions times `n_items`. Alpha may be
    negative.

    References
    ----------
    .. [1] Cronbach, Coefficient alpha and the internal structure of tests, 1951, eq. 2, DOI 10.1007/BF02310555.
    .. [2] Kuder, Richardson, The theory of the estimation of test reliability, 1937, eq. 20, DOI 10.1007/BF02288391.
    """
    counts = as_counts(counts)
    answered = counts.asked.any(axis=1)
    if not answered.any():
        raise AnalysisError("no model has a response; reliability needs at least two models and two items.")
    shares, asked = np.nan_to_num(counts.proportions()[answered], copy=False), counts.asked[answered]
    n_models, n_items = shares.shape
    score = shares.sum(axis=1) / asked.sum(axis=1)
    alpha = _alpha(shares, asked)
    sd = float(score.std(ddof=1)) if n_models > 1 else np.nan
    if np.isnan(alpha):
        message = (
            f"alpha of {n_models} models x {n_items} items is undefined and reported as NaN: it needs two items, two "
        )
        warnings.warn(message + "models for every two items, and a score that varies.", UndefinedWarning, stacklevel=2)
    lower, upper = (np.nan, np.nan) if np.isnan(alpha) else alpha_interval(alpha, n_models, n_items)
    sem, mean = float(sd * np.sqrt(1 - alpha)), float(score.mean())
    points = {"mean_correct": mean * n_items, "sd_correct": sd * n_items, "sem_correct": sem * n_items}
    return Reliability(n_models, n_items, mean, sd, alpha, lower, upper, sem, **points)


def correlate_with_score(shares: FloatArray, asked: BoolArray) -> Correlations:
    """Correlate each column with the row means over all observed cells, including the column itself.

    `shares` may hold any finite value where `asked` is false; both are of shape (model, item).
    """
    n_asked = asked.sum(axis=1)
    score = np.where(asked, shares, 0.0).sum(axis=1) / np.maximum(n_asked, 1)
    return _by_blocks(shares, asked, lambda block: np.broadcast_to(score[:, None], block.shape))


def correlate_with_rest(shares: FloatArray, asked: BoolArray) -> Correlations:
    """Correlate each column with the row means over all other observed cells; rows with one cell are left out.

    `shares` may hold any finite value where `asked` is false; both are of shape (model, item).
    """
    n_asked = asked.sum(axis=1)
    total = np.where(asked, shares, 0.0).sum(axis=1)
    rest_size = np.maximum(n_asked - 1, 1)[:, None]
    return _by_blocks(shares, asked & (n_asked > 1)[:, None], lambda block: (total[:, None] - block) / rest_size)


def column_correlation(x: FloatArray, y: FloatArray, asked: BoolArray) -> Correlations:
    """Pearson correlation of each column of `x` with that of `y` over the observed cells.

    NaN for fewer than three cells or without spread. SciPy correlates two complete samples at a time, while columns
    here differ in their observed cells.
    """
    n = asked.sum(axis=0)
    (x_mean, x_squares), (y_mean, y_squares) = centred_sums(x, asked), centred_sums(y, asked)
    products = np.where(asked, (x - x_mean) * (y - y_mean), 0.0).sum(axis=0)
    floor = n * SPREAD_FLOOR**2
    defined = (n >= MIN_MODELS) & (x_squares > floor) & (y_squares > floor)
    norm = np.sqrt(np.where(defined, x_squares, 1.0) * np.where(defined, y_squares, 1.0))
    return Correlations(np.where(defined, np.clip(products / norm, -1, 1), np.nan), n)


def binary_cells(counts: ResponseCounts) -> BoolArray:
    """Whether a cell is a single 0/1 response or has none, shape (model, item)."""
    return np.asarray((np.asarray(counts.trials) < 2) & np.isin(counts.correct, (0, 1)))


def _by_blocks(shares: FloatArray, asked: BoolArray, score_of: Callable[[FloatArray], FloatArray]) -> Correlations:
    """Correlate the columns with `score_of` them, in blocks that keep temporary arrays small."""
    parts = slices(max(1, shares.shape[1]), BLOCK_CELLS // max(1, len(shares)))
    found = [column_correlation(shares[:, p], score_of(shares[:, p]), asked[:, p]) for p in parts]
    return Correlations(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))


def _biserial(point_biserial: FloatArray, proportion: FloatArray) -> FloatArray:
    ordinate = np.exp(-0.5 * special.ndtri(proportion) ** 2) / np.sqrt(2 * np.pi)
    spread = np.sqrt(proportion * (1 - proportion))
    biserial = np.full(len(proportion), np.nan)
    np.divide(point_biserial * spread, ordinate, out=biserial, where=ordinate > 0)
    return biserial


def _join_flags(raised: tuple[BoolArray, ...]) -> list[str]:
    return [";".join(name for name, up in zip(FLAGS, row, strict=True) if up) for row in np.column_stack(raised)]


def _warn_undefined(counts: ResponseCounts, undefined: BoolArray) -> None:
    if undefined.any():
        first = counts.items.index[int(undefined.argmax())]
        warnings.warn(
            f"{int(undefined.sum())} of {counts.n_items} items have no correlation with the score (no "
            f"spread, or fewer than {MIN_MODELS} models); first: {first!r}. They are reported as NaN.",
            UndefinedWarning,
            stacklevel=3,
        )


def _alpha(shares: FloatArray, asked: BoolArray) -> float:
    """N / (N - 1) * (1 - sum of variances / sum of covariances); NaN where undefined."""
    n_items = shares.shape[1]
    n = asked.sum(axis=0)
    if n_items < 2 or n.min() < 2:
        return np.nan
    mean, sum_squares = centred_sums(shares, asked)
    covariances = _sum_of_covariances(np.where(asked, shares - mean, 0.0), asked)
    if not covariances > (n_items * SPREAD_FLOOR) ** 2:  # also NaN
        return np.nan
    return float(n_items / (n_items - 1) * (1 - (sum_squares / (n - 1)).sum() / covariances))


def _sum_of_covariances(centred: FloatArray, asked: BoolArray) -> float:
    """Sum of the pairwise-complete covariances over all pairs of items, including variances; NaN if one is undefined.

    Pairs of complete items need no matrix: their sum is the variance of the sum of the items.
    """
    complete = np.asarray(asked.all(axis=0))
    total = float(centred[:, complete].sum(axis=1).var(ddof=1))
    gaps = np.flatnonzero(~complete)
    known = asked.astype(np.float64)
    width = max(1, BLOCK_CELLS // len(complete))
    for start in range(0, len(gaps), width):
        block = gaps[start : start + width]
        n = known[:, block].T @ known
        if n.min() < 2:
            return np.nan
        left, right = centred[:, block].T @ known, known[:, block].T @ centred
        covariance = (centred[:, block].T @ centred - left * right / n) / (n - 1)
        total += float(2 * covariance[:, complete].sum() + covariance[:, ~complete].sum())
    return total


def maximise_marginal_likelihood(
    correct: npt.NDArray[Any], trials: npt.NDArray[Any], guessing: FloatArray, *, shared_slope: bool
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Maximise the likelihood of items without priors, abilities ~ N(0, 1) integrated out on a grid.

    Every item has right and wrong answers; `guessing` are known lower asymptotes, shape (item,).

    Returns
    -------
    slope, intercept : arrays of shape (item,)
        Log-odds are slope * ability + intercept.
    covariance : array of shape (2 item, 2 item)
        Of intercepts and slopes, from the observed information; NaN where that has no inverse.

    Warns
    -----
    FitWarning
        If the maximum was not reached.
    """
    n, low = correct.shape[1], guessing[:, None]
    spread = np.vstack([np.eye(n, n + 1), np.eye(1, n + 1, n).repeat(n, axis=0)]) if shared_slope else np.eye(2 * n)

    def loss(point: FloatArray, grid: AbilityGrid) -> tuple[float, FloatArray]:
        intercept, slope = np.split(spread @ point, 2)
        known = expit(slope[:, None] * grid.nodes + intercept[:, None])
        right = np.clip(low + (1 - low) * known, SMALL, 1 - SMALL)
        log_marginal, weights = grid.weights(np.log(right), np.log(1 - right))
        n_right, n_wrong = grid.expected_counts(weights)
        by_odds = (n_right / right - n_wrong / (1 - right)) * (1 - low) * known * (1 - known)
        gradient = np.concatenate([by_odds.sum(axis=1), by_odds @ grid.nodes])
        return -float(grid.multiplicity @ log_marginal), -(gradient @ spread)

    share = (correct.sum(axis=0) / trials.sum(axis=0) - guessing) / (1 - guessing)
    start = np.concatenate([1.2 * logit(np.clip(share, 0.02, 0.98)), np.ones(n)])
    point = np.linalg.lstsq(spread, start, rcond=None)[0]
    for _ in range(LIKELIHOOD_ROUNDS):  # again on a finer grid where slopes turn out steep
        slope = (spread @ point)[n:]
        grid = AbilityGrid.from_counts(
            correct, trials, least_sd=MARGIN / np.sqrt(1 + trials.max(axis=0) @ slope**2 / 4)
        )
        found = scipy.optimize.minimize(
            loss, point, (grid,), jac=True, method="L-BFGS-B", options={"maxiter": 5_000, "gtol": 1e-6}
        )
        point = found.x
    if not found.success:
        warnings.warn(f"the marginal likelihood has no maximum yet: {found.message}.", FitWarning, stacklevel=3)
    steps = LIKELIHOOD_STEP * np.eye(len(point))
    hessian = np.array([loss(point + step, grid)[1] - loss(point - step, grid)[1] for step in steps])
    hessian = (hessian + hessian.T) / (4 * LIKELIHOOD_STEP)
    peaked = np.linalg.eigvalsh(hessian)[0] > 0
    inverse = np.linalg.inv(hessian) if peaked else np.full_like(hessian, np.nan)
    intercept, slope = np.split(spread @ point, 2)
    return slope, intercept, spread @ inverse @ spread.T
