"""Testlets: items of one subtask or template whose answers go together beyond ability."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.analysis.checks.local_dependence import Residuals
from irt_bench.analysis.checks.named import Check, Limit, above_limit, not_applicable
from irt_bench.arrays import BoolArray, FloatArray

TOO_WIDE: Final = Limit(
    1.1, "1.1, ours: intervals 5% too narrow; design effect, Kish 1965, Survey Sampling, section 5.4"
)
MOST_COLUMNS: Final = 20
REASON: Final = "no column of the items puts some of them together (subtask, template)"


class Testlets(NamedTuple):
    """Items that a column puts together."""

    column: str
    group: npt.NDArray[np.intp]  # of each item whose residuals are correlated; -1: of none
    names: pd.Index  # of the groups
    partners: FloatArray  # (group,): other items of the group, among all items
    mean_partners: float  # of an item

    def together(self, group: int | None = None) -> BoolArray:
        """Whether two items belong to the same group, or to the one named, shape (item, item)."""
        member = self.group >= 0 if group is None else self.group == group
        same = (self.group[:, None] == self.group) & member[:, None] & member
        return np.asarray(same & ~np.eye(len(same), dtype=bool))


def testlets_of(items: pd.DataFrame, places: npt.NDArray[np.intp]) -> list[Testlets]:
    """Find the columns of text that put some items together and others apart.

    Parameters
    ----------
    items : pd.DataFrame
        Metadata of all items.
    places : integer array
        Positions of those whose residuals are correlated.
    """
    found = []
    for column in items.columns[:MOST_COLUMNS]:
        if pd.api.types.is_numeric_dtype(items[column]) or pd.api.types.is_bool_dtype(items[column]):
            continue
        codes, labels = pd.factorize(items[column].astype(object).map(str, na_action="ignore"))
        size = np.bincount(codes[codes >= 0], minlength=len(labels)).astype(np.float64)
        each = Testlets(str(column), codes[places], pd.Index(labels), size - 1, 0.0)
        if len(labels) > 1 and each.together().any():
            found.append(each._replace(mean_partners=float((size * (size - 1)).sum() / size.sum())))
    return found


def design_effects(found: Residuals, testlets: list[Testlets]) -> FloatArray:
    """Variance of a model's score over that of independent answers, shape (column,).

    Notes
    -----
    1 + (mean number of other items of an item's testlet) x (mean Q3 within testlets less the mean over all pairs) [1]_;
    residuals are taken to vary alike.

    References
    ----------
    .. [1] Kish, Survey Sampling, 1965, section 5.4.
    """
    return np.array([1 + each.mean_partners * _mean(found.excess, each.together()) for each in testlets])


def testlet_check(found: Residuals, testlets: list[Testlets], chance: FloatArray) -> Check:
    """Check that answers within testlets go together no more than chance brings, or too little to matter.

    Parameters
    ----------
    found : Residuals
        Of the responses.
    testlets : list of Testlets
        One for each column.
    chance : array of shape (replicate, column)
        `design_effects` of each replicate; of several columns the largest counts.
    """
    if not testlets:
        return not_applicable("testlets", REASON)
    effects = design_effects(found, testlets)
    if not np.isfinite(effects).any():
        return not_applicable("testlets", "no two items of a testlet have a residual correlation")
    place = int(np.nanargmax(effects))
    worst, value = testlets[place], float(effects[place])
    message = f"answers within {worst.column!r} make scores vary {value:.2f} times as much as independent ones"
    own = [worst.partners[group] * _mean(found.excess, worst.together(group)) for group in range(len(worst.names))]
    if np.isfinite(own).any():
        first = int(np.nanargmax(own))
        message += f"; most in {worst.names[first]}, {1 + own[first]:.2f} times"
    largest = np.nanmax(np.where(np.isfinite(chance), chance, -np.inf), axis=1)
    return above_limit("testlets", value, message, limit=TOO_WIDE, chance=largest)


def _mean(excess: FloatArray, pairs: BoolArray) -> float:
    known = pairs & np.isfinite(excess)
    return float(excess[known].mean()) if known.any() else np.nan
