"""Differential item functioning: items that are harder for one group of models than for others as able."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.analysis.checks.answers import FittedAnswers, score_groups
from irt_bench.analysis.checks.named import Check, Limit, above_limit, not_applicable
from irt_bench.analysis.intervals import Z_LIMIT
from irt_bench.arrays import FloatArray

DELTA: Final = -2.35  # ETS delta units a log odds ratio: 4 / 1.7, easier items below 0
LARGE, LARGE_BOUND = 1.5, 1.0  # category C: |delta| >= 1.5 and significantly above 1
ONE_SIDED: Final = 1.6449  # 5%
STRATA: Final = 20  # of models of similar score
LEAST_GROUP: Final = 20  # models: with fewer, the sd of delta is above 1.5 even for items of medium difficulty
NONE_LARGE: Final = Limit(
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


def group_difference(answers: FittedAnswers, member: npt.NDArray[np.bool_]) -> GroupDifference:
    """Compare the odds of a right answer of a group's models with those of other models of the same score.

    Parameters
    ----------
    answers : FittedAnswers
        0/1 answers.
    member : array of shape (model,)
        Whether a model belongs to the group.

    Notes
    -----
    The common odds ratio over strata of the score [1]_ with the variance of Robins, Breslow & Greenland [2]_. The score
    is the mean over asked items, the item included [1]_, and up to `STRATA` strata hold scores that are alike.

    References
    ----------
    .. [1] Holland, Thayer, Differential item performance and the Mantel-Haenszel procedure, 1988.
    .. [2] Robins, Breslow, Greenland, Estimators of the Mantel-Haenszel variance consistent in both sparse data and
       large-strata limiting models, 1986, DOI 10.2307/2531052.
    """
    group, n_groups = score_groups(answers.score, STRATA)
    agree, disagree, agree_share, disagree_share, mixed = np.zeros((5, answers.right.shape[1]))
    for stratum in range(n_groups):
        inside, outside = (group == stratum) & member, (group == stratum) & ~member
        tables = [(answers.right[rows].sum(axis=0), answers.asked[rows].sum(axis=0)) for rows in (inside, outside)]
        (a, n_in), (c, n_out) = tables
        b, d, n = n_in - a, n_out - c, np.maximum(n_in + n_out, 1)
        r, s, p, q = a * d / n, b * c / n, (a + d) / n, (b + c) / n
        agree, disagree, mixed = agree + r, disagree + s, mixed + p * s + q * r
        agree_share, disagree_share = agree_share + p * r, disagree_share + q * s
    defined = np.where((agree > 0) & (disagree > 0), 1.0, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_ratio = np.log(agree / disagree) * defined
        variance = agree_share / agree**2 + mixed / (agree * disagree) + disagree_share / disagree**2
    # Negative where the group finds the item harder: -2.35 times the log odds ratio of the others to the group.
    return GroupDifference(-DELTA * log_ratio, -DELTA * np.sqrt(variance / 2) * defined)


def large_groups(groups: pd.Series) -> list[str]:
    """List groups with enough models, and enough others, to be compared; of two groups only the first."""
    sizes = groups.dropna().astype(str).value_counts().sort_index()
    fit = [str(name) for name, size in sizes.items() if LEAST_GROUP <= size <= sizes.sum() - LEAST_GROUP]
    return fit[:1] if len(sizes) == 2 else fit


def n_large(answers: FittedAnswers, members: list[npt.NDArray[np.bool_]]) -> float:
    """Count items with a large difference for any group."""
    return float(sum(int(group_difference(answers, member).large.sum()) for member in members))


def difference_table(found: dict[str, GroupDifference], labels: pd.Index) -> pd.DataFrame:
    """Tabulate the differences, long: ``group, item, delta, delta_q05, delta_q95, large``."""
    parts = []
    for name, each in found.items():
        half = Z_LIMIT * each.standard_error
        columns = {"delta": each.delta, "delta_q05": each.delta - half, "delta_q95": each.delta + half}
        parts.append(pd.DataFrame({"group": name, "item": labels, **columns, "large": each.large}))
    empty = pd.DataFrame(columns=["group", "item", "delta", "delta_q05", "delta_q95", "large"])
    return pd.concat(parts, ignore_index=True) if parts else empty


def difference_check(found: dict[str, GroupDifference], labels: pd.Index, chance: FloatArray, reason: str) -> Check:
    """Check that no more items differ largely between groups than chance gives.

    Parameters
    ----------
    found : dict
        Group → its differences.
    labels : pd.Index
        Of the items.
    chance : array of shape (replicate,)
        `n_large` of each replicate.
    reason : str
        Why there are none, where there are none.
    """
    if not found:
        return not_applicable("dif", reason)
    value = sum(int(each.large.sum()) for each in found.values())
    name, worst = max(found.items(), key=lambda pair: np.nanmax(np.where(pair[1].large, np.abs(pair[1].delta), 0)))
    message = f"{value} items differ largely between groups ({', '.join(found)})"
    if value:
        place = int(np.nanargmax(np.where(worst.large, np.abs(worst.delta), 0)))
        message += f"; most {labels[place]}, {worst.delta[place]:+.1f} for {name}"
    return above_limit("dif", float(value), message, limit=NONE_LARGE, chance=chance)
