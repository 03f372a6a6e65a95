"""Q3: items whose residuals go together, as those of duplicates and of parts of one question do (Yen 1984)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.analysis.checks.answers import FittedAnswers
from irt_bench.analysis.checks.named import Check, Limit, above_limit, not_applicable
from irt_bench.analysis.intervals import FloatArray

DEPENDENT: Final = Limit(0.2, "0.2 above the mean, Christensen, Makransky & Horton 2017, doi:10.1177/0146621616677520")
LEAST_MODELS: Final = 20  # that answered both items: correlations of fewer reach 0.6 by chance
PAIRS_KEPT: Final = 1_000


class Residuals(NamedTuple):
    """Correlations of the residuals of pairs of items."""

    correlation: FloatArray  # (item, item), symmetric; NaN on the diagonal and where undefined
    mean: float  # over pairs


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
    about -1 / (items - 1); what counts is the distance from the mean over pairs, Q3* [2]_.

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
    return Residuals(found, float(found[known].mean()) if known.any() else np.nan)


def largest_excess(found: Residuals) -> float:
    """Return the largest Q3 above the mean, Q3*; NaN where no pair has one."""
    known = np.isfinite(found.correlation)
    return float(found.correlation[known].max() - found.mean) if known.any() else np.nan


def pair_table(found: Residuals, labels: pd.Index) -> pd.DataFrame:
    """Tabulate the pairs with the largest Q3: ``item_a, item_b, q3, q3_excess``, decreasing."""
    above = np.triu(np.isfinite(found.correlation), 1)
    first, second = np.nonzero(above)
    values = found.correlation[first, second]
    order = np.argsort(-values, kind="stable")[:PAIRS_KEPT]
    columns: dict[str, Any] = {
        "item_a": labels[first[order]],
        "item_b": labels[second[order]],
        "q3": values[order],
        "q3_excess": values[order] - found.mean,
    }
    return pd.DataFrame(columns)


def local_dependence_check(found: Residuals, labels: pd.Index, chance: FloatArray) -> Check:
    """Check that no pair's Q3 is further above the mean than 0.2, or than chance alone brings one.

    Parameters
    ----------
    found : Residuals
        Of the responses.
    labels : pd.Index
        Of the items.
    chance : array of shape (replicate,)
        `largest_excess` of each replicate.
    """
    value = largest_excess(found)
    if not np.isfinite(value):
        reason = f"no two items that vary were answered by {LEAST_MODELS} models"
        return not_applicable("q3", reason)
    first, second = divmod(int(np.nanargmax(found.correlation)), len(labels))
    limit = max(DEPENDENT.value, float(np.nanmax(chance)) if np.isfinite(chance).any() else 0.0)
    beyond = int((np.triu(found.correlation - found.mean, 1) > limit).sum())
    message = f"{beyond} pairs of items beyond the limit; largest {labels[first]} with {labels[second]}"
    return above_limit("q3", value, message, limit=DEPENDENT, chance=chance)
