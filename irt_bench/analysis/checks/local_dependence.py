"""Q3: items whose residuals go together, as those of duplicates and of parts of one question do (Yen 1984)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.analysis.checks.answers import FittedAnswers
from irt_bench.analysis.checks.named import CHANCE, Check, Limit, above_limit, not_applicable
from irt_bench.arrays import FloatArray

DEPENDENT: Final = Limit(0.2, "0.2 above the mean, Christensen, Makransky & Horton 2017, doi:10.1177/0146621616677520")
LEAST_MODELS: Final = 20  # that answered both items: correlations of fewer reach 0.6 by chance
PAIRS_KEPT: Final = 1_000
COPIES_NAMED: Final = 3


class Residuals(NamedTuple):
    """Correlations of the residuals of pairs of items."""

    correlation: FloatArray  # (item, item), symmetric; NaN on the diagonal and where undefined
    mean: float  # over pairs
    rarer: FloatArray  # (item, item): answers of the rarer kind, right or wrong, to the item that has fewer of them

    @property
    def excess(self) -> FloatArray:
        """Q3 above the mean over pairs, Q3*."""
        return np.asarray(self.correlation - self.mean)

    @property
    def standardised(self) -> FloatArray:
        """Q3* in units of 1 / sqrt(answers of the rarer kind), about which chance moves it by at most."""
        return np.asarray(self.excess * np.sqrt(self.rarer))


def residual_correlations(answers: FittedAnswers, items: npt.NDArray[np.intp]) -> Residuals:
    """Correlate residuals of every two of some items over the models asked both.

    Parameters
    ----------
    answers : FittedAnswers
        Answers and what the model expects.
    items : integer array
        Positions of the items.

    Notes
    -----
    Q3 is Pearson's correlation of (share right - P) [1]_. Estimating ability from the same answers moves its mean to
    about -1 / (items - 1); what counts is the distance from the mean over pairs, Q3* [2]_. Two items that the same one
    model solved have a Q3 of 1 by chance: replicates are looked at for the largest Q3* times the root of the number of
    answers of the rarer kind, to which chance brings rare and common answers alike.

    References
    ----------
    .. [1] Yen, Effects of local item dependence on the fit and equating performance of the three-parameter logistic
       model, 1984, DOI 10.1177/014662168400800201.
    .. [2] Christensen, Makransky, Horton, Critical values for Yen's Q3, 2017, DOI 10.1177/0146621616677520.
    """
    asked = answers.asked[:, items].astype(np.float64)
    share = np.where(asked > 0, answers.residual[:, items] / np.maximum(answers.trials[:, items], 1), 0.0)
    varying = answers.varying[items]
    both = asked.T @ asked
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = share.T @ asked  # of item i over models asked i and j
        squares = (share**2).T @ asked
        covariance = share.T @ share - sums * sums.T / both
        spread = np.maximum(squares - sums**2 / both, 0.0)
        found = covariance / np.sqrt(spread * spread.T)
    found[~(varying[:, None] & varying) | (both < LEAST_MODELS)] = np.nan
    np.fill_diagonal(found, np.nan)
    known = np.isfinite(found)
    solved = answers.share[:, items].T @ asked
    fewer = np.minimum(solved, both - solved)
    return Residuals(found, float(found[known].mean()) if known.any() else np.nan, np.minimum(fewer, fewer.T))


def largest_excess(found: Residuals) -> float:
    """Return the largest standardised Q3*, see `Residuals.standardised`; NaN where no pair has one."""
    known = np.isfinite(found.correlation)
    return float(found.standardised[known].max()) if known.any() else np.nan


def beyond_chance(found: Residuals, chance: FloatArray) -> FloatArray:
    """Limit of each pair's Q3*, shape (item, item): 0.2, or what chance brings at its number of rarer answers.

    Parameters
    ----------
    found : Residuals
        Of the responses.
    chance : array of shape (replicate,)
        `largest_excess` of each replicate.
    """
    largest = float(np.nanmax(chance)) if np.isfinite(chance).any() else 0.0
    return np.maximum(DEPENDENT.value, largest / np.sqrt(np.maximum(found.rarer, 1e-9)))


def pair_table(found: Residuals, labels: pd.Index, chance: FloatArray) -> pd.DataFrame:
    """Tabulate the pairs furthest beyond their limits: ``item_a, item_b, q3, q3_excess, limit``."""
    first, second = np.nonzero(np.triu(np.isfinite(found.correlation), 1))
    excess, limit = found.excess[first, second], beyond_chance(found, chance)[first, second]
    order = np.argsort(-excess / limit, kind="stable")[:PAIRS_KEPT]
    columns: dict[str, Any] = {
        "item_a": labels[first[order]],
        "item_b": labels[second[order]],
        "q3": found.correlation[first[order], second[order]],
        "q3_excess": excess[order],
        "limit": limit[order],
    }
    return pd.DataFrame(columns)


def local_dependence_check(
    found: Residuals, answers: FittedAnswers, items: npt.NDArray[np.intp], labels: pd.Index, chance: FloatArray
) -> Check:
    """Check that no pair's Q3 is further above the mean than 0.2, or than chance alone brings one.

    Parameters
    ----------
    found : Residuals
        Of the responses.
    answers : FittedAnswers
        The responses, where exact copies are looked for.
    items : integer array
        Positions of the items.
    labels : pd.Index
        Of these items.
    chance : array of shape (replicate,)
        `largest_excess` of each replicate.

    Notes
    -----
    The figure and its limit are those of the pair that is furthest beyond its own limit.
    """
    if not np.isfinite(largest_excess(found)):
        return not_applicable("q3", f"no two items that vary were answered by {LEAST_MODELS} models")
    limit = beyond_chance(found, chance)
    beyond = np.triu(found.excess > limit, 1)
    ratio = np.nan_to_num(found.excess / limit, nan=-np.inf)
    first, second = divmod(int(ratio.argmax()), len(labels))
    message = f"{int(beyond.sum())} pairs of items beyond their limits; first {labels[first]} with {labels[second]}"
    pairs = np.argwhere(beyond)
    copies = pairs[_equal(answers, items[pairs[:, 0]], items[pairs[:, 1]])]
    if len(copies):
        named = "; ".join(f"{labels[one]} = {labels[other]}" for one, other in copies[:COPIES_NAMED])
        message += f"; {len(copies)} pairs with the same answers: {named}"
    value, own = float(found.excess[first, second]), Limit(float(limit[first, second]), DEPENDENT.source)
    check = above_limit("q3", value, message, limit=own, chance=np.empty(0))
    return replace(check, source=f"{DEPENDENT.source}; or {CHANCE}: the most of {np.isfinite(chance).sum()}")


def _equal(answers: FittedAnswers, first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Whether two items have the same answers from all models asked both, pair by pair."""
    both = answers.asked[:, first] & answers.asked[:, second]
    return np.asarray(
        (
            ~both
            | (
                (answers.right[:, first] == answers.right[:, second])
                & (answers.trials[:, first] == answers.trials[:, second])
            )
        ).all(axis=0)
    )
