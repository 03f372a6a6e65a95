"""The result of a check: a statistic, its limit, and the source of the limit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from irt_bench.arrays import FloatArray
from irt_bench.inference.convergence import Check

__all__ = ["Check", "Limit", "above_limit", "not_applicable"]


class Limit(NamedTuple):
    """A limit from the literature."""

    value: float
    source: str


def above_limit(name: str, value: float, message: str, *, limit: Limit | None, chance: FloatArray) -> Check:
    """Fail where a value exceeds both a limit from the literature and all values of the replicates.

    Parameters
    ----------
    name, message : str
        Name of the check, and what was found.
    value : float
        Statistic of the responses; larger is worse. NaN: the check does not apply.
    limit : Limit or None
        Limit from the literature, where there is one.
    chance : array of shape (replicate,)
        The same statistic for data sets simulated from the fit. Empty where only the limit counts.

    Notes
    -----
    Under the fitted model a value exceeds all R replicates with probability at most 1 / (R + 1).
    """
    drawn = chance[np.isfinite(chance)]
    ends = ([limit.value] if limit is not None else []) + ([float(drawn.max())] if drawn.size else [])
    if not np.isfinite(value) or not ends:
        return not_applicable(name, message or "undefined for these responses")
    threshold = max(ends)
    sources = ([limit.source] if limit is not None else []) + ([chance_source(drawn.size)] if drawn.size else [])
    source = "; or ".join(sources)
    return Check(name, "failed" if value > threshold else "passed", float(value), threshold, message, source)


def chance_source(n_replicates: int) -> str:
    """Describe a limit that is the largest value of the replicates."""
    return f"the largest of {n_replicates} data sets simulated from the fit (Efron & Tibshirani 1993, chapter 16)"


def not_applicable(name: str, reason: str) -> Check:
    """Build a check that does not apply, with the reason."""
    return Check(name, "not_applicable", None, None, reason, "")
