"""Named checks: what was found, the limit it was held against, and where the limit comes from."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from irt_bench.arrays import FloatArray
from irt_bench.inference.convergence import Check

__all__ = ["Check", "Limit", "above_limit", "not_applicable"]

CHANCE: Final = "as far as chance goes in data simulated from the fit (Efron & Tibshirani 1993, chapter 16)"


class Limit(NamedTuple):
    """A limit from the literature."""

    value: float
    source: str


def above_limit(name: str, value: float, message: str, *, limit: Limit | None, chance: FloatArray) -> Check:
    """Fail where a value is above both a limit from the literature and all values that chance gave.

    Parameters
    ----------
    name, message : str
        Of the check.
    value : float
        Figure found; the larger the worse. NaN: not applicable.
    limit : Limit or None
        From the literature, where there is one.
    chance : array of shape (replicate,)
        The same figure in data sets simulated from the fit and treated alike. Empty where the limit stands alone.

    Notes
    -----
    Under the fitted model a value is above all of R replicates with probability 1 / (R + 1) at most.
    """
    drawn = chance[np.isfinite(chance)]
    ends = ([limit.value] if limit is not None else []) + ([float(drawn.max())] if drawn.size else [])
    if not np.isfinite(value) or not ends:
        return not_applicable(name, message or "undefined for these responses")
    threshold = max(ends)
    by_chance = f"{CHANCE}: the most of {drawn.size}" if drawn.size else ""
    source = "; or ".join(part for part in (limit.source if limit is not None else "", by_chance) if part)
    return Check(name, "failed" if value > threshold else "passed", float(value), threshold, message, source)


def not_applicable(name: str, reason: str) -> Check:
    """Build a check that does not apply, with the reason."""
    return Check(name, "not_applicable", None, None, reason, "")
