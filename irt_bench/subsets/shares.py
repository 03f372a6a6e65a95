"""Shares of right answers, and what selection makes of them: full scores, filled gaps, deviations of seeds.

Arrays are (model, item); items count by their share in the full score (`target`, sum 1).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.arrays import FloatArray
from irt_bench.names import RUN, SEED, STEP
from irt_bench.responses.counts import ResponseCounts


def balanced_targets(subtasks: npt.NDArray[np.str_]) -> FloatArray:
    """Shares in a macro-average over subtasks: 1 / (number of subtasks x items in the item's subtask)."""
    _, codes, sizes = np.unique(subtasks, return_inverse=True, return_counts=True)
    return np.asarray(1 / (len(sizes) * sizes[codes]), dtype=np.float64)


def as_answers(counts: ResponseCounts) -> ResponseCounts:
    """Read fractional scores as that much of a right answer, so that an IRT model can be fitted to them.

    Notes
    -----
    A quasi-likelihood [1]_: curves are those of the expected score, and consistent. Scores vary less than right and
    wrong answers of the same mean, so what the IRT model says of uncertainty is too much rather than too little;
    intervals of the full score are scaled to hold on held-out models, but sds of abilities stay too wide.

    References
    ----------
    .. [1] Papke, Wooldridge, Econometric methods for fractional response variables, 1996,
       DOI 10.1002/(SICI)1099-1255(199611)11:6<619::AID-JAE418>3.0.CO;2-1.
    """
    return counts if counts.measure == "correct" else replace(counts, measure="correct")


def full_scores(counts: ResponseCounts, target: FloatArray) -> FloatArray:
    """Mean share of right answers by target weight, over the items asked, shape (model,); NaN without answers."""
    shares = np.nan_to_num(counts.proportions(), copy=False)
    total = counts.asked @ target
    undefined = np.full(counts.n_models, np.nan)
    return np.asarray(np.divide(shares @ target, total, out=undefined, where=total > 0))


def filled_shares(counts: ResponseCounts) -> FloatArray:
    """Shares of right answers; a cell never asked is the item's mean plus the model's lead over the items it met."""
    shares, asked = counts.proportions(), counts.asked
    if asked.all():
        return shares
    known = np.where(asked, shares, 0.0)
    n_models, n_items = asked.sum(axis=0), asked.sum(axis=1)
    overall = known.sum() / max(asked.sum(), 1)
    item_mean = np.where(n_models > 0, known.sum(axis=0) / np.maximum(n_models, 1), overall)
    lead = np.where(asked, shares - item_mean, 0.0).sum(axis=1) / np.maximum(n_items, 1)
    return np.where(asked, shares, np.clip(item_mean + lead[:, None], 0, 1))


def seed_residuals(models: pd.DataFrame, shares: FloatArray) -> FloatArray | None:
    """Deviations of seeds from the mean of their run at their step, or None where no run has two seeds.

    Scaled by sqrt(rows / degrees of freedom): the mean square of a column is its pooled variance over seeds.
    """
    if SEED not in models or models[SEED].isna().all():
        return None
    keys = [models[name].astype("object").fillna("") for name in (RUN, STEP) if name in models]
    group = pd.MultiIndex.from_arrays(keys).factorize()[0] if keys else np.zeros(len(models), dtype=np.int64)
    group = np.where(models[SEED].isna(), -1, group)
    sizes = np.bincount(group[group >= 0], minlength=group.max(initial=-1) + 1)
    used = (group >= 0) & (np.append(sizes, 0)[group] >= 2)
    if not used.any():
        return None
    codes, members = np.unique(group[used], return_inverse=True)
    sums = np.zeros((len(codes), shares.shape[1]))
    np.add.at(sums, members, shares[used])
    residuals = shares[used] - (sums / np.bincount(members)[:, None])[members]
    freedom = len(residuals) - len(codes)
    return np.asarray(residuals * np.sqrt(len(residuals) / freedom))
