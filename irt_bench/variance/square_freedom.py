"""Degrees of freedom of mean squares over items: as many as the spread over items of what each adds to it says.

Normal theory would give them by counting; 0/1 answers, items of unequal noise and items that move together do not
keep to it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import stats

from irt_bench.arrays import FloatArray
from irt_bench.names import INTERVAL
from irt_bench.variance.few_seeds import FREEDOM
from irt_bench.variance.moments import Codes

# Subtasks from which on their spread says how precise a mean square is; below, the items' does.
FEWEST_GROUPS: Final = 10
Z_LIMIT: Final = float(stats.norm.ppf(INTERVAL[1]))
CERTAIN: Final = float(FREEDOM[-1])  # degrees of freedom of a mean square without spread


def spread_freedom(per_item: FloatArray, groups: Codes | None) -> FloatArray:
    """Degrees of freedom of a mean square from the spread over items (or groups) of what each adds to it.

    Notes
    -----
    Satterthwaite: 2 / relative variance, the variance that of a sum over independent groups, widened as Student's t
    does for a spread estimated from so many. With fewer than `FEWEST_GROUPS` groups, items are taken as independent.
    Where all add the same, their number less one: that none of few differs does not make a mean square certain.
    """
    sums, n = per_item, np.ones(per_item.shape[-1])
    if groups is not None and groups.max() + 1 >= FEWEST_GROUPS:
        member = np.eye(int(groups.max()) + 1)[groups]
        sums, n = per_item @ member, member.sum(axis=0)
    total = sums.sum(axis=-1)
    spread = ((sums - n * (total / n.sum())[..., None]) ** 2).sum(axis=-1) * len(n) / max(len(n) - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = 2 * total**2 / (spread * (stats.t.ppf(INTERVAL[1], max(len(n) - 1, 1)) / Z_LIMIT) ** 2)
    return np.where(np.isfinite(freedom), np.clip(freedom, 1.0, CERTAIN), max(len(n) - 1.0, 1.0))


def with_seed_spread(freedom: FloatArray, values: FloatArray, *, over_steps: bool) -> FloatArray:
    """Degrees of freedom of the residual mean square, with what a seed's level does to all its items at once.

    An able seed's 0/1 answers vary less on easy items, whatever the item: variance that the spread over items does not
    show. It is the spread over seeds beyond what the items explain.
    """
    asked = np.isfinite(values)
    filled = np.where(asked, values, 0.0)
    centred = filled - filled.sum(axis=-2, keepdims=True) / np.maximum(asked.sum(axis=-2, keepdims=True), 1)
    level = np.where(asked, centred, 0.0).sum(axis=-1, keepdims=True) / np.maximum(asked.sum(axis=-1, keepdims=True), 1)
    per_seed = np.where(asked, (centred - level) ** 2, 0.0).sum(axis=-1)
    if over_steps:
        per_seed = per_seed.mean(axis=-2)
    n, total = per_seed.shape[-1], per_seed.sum(axis=-1)
    deviations = ((per_seed - (total / n)[..., None]) ** 2).sum(axis=-1)
    relative = np.divide(deviations * n, (n - 1) * total**2, out=np.zeros_like(total), where=total > 0)
    own = 2 / freedom
    return np.asarray(2 / (own + np.maximum(relative - own, 0.0)))


def trial_freedom(own: FloatArray, groups: Codes | None, *, over_steps: bool) -> FloatArray:
    """Give the degrees of freedom of the noise of answers: `own`, the variance of each cell, summed over seeds."""
    summed = np.where(np.isfinite(own), own, 0.0).sum(axis=-2)
    return spread_freedom(summed.mean(axis=-2) if over_steps else summed, groups)
