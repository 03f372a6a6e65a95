"""Named checks: what was found, the limit it was held against, and where the limit comes from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from irt_bench.analysis.intervals import FloatArray

Status = Literal["passed", "failed", "not_applicable"]
CHANCE: Final = "as far as chance goes in data simulated from the fit (Efron & Tibshirani 1993, chapter 16)"


@dataclass(frozen=True)
class Check:
    """Outcome of one named check.

    Parameters
    ----------
    name : str
        What was checked.
    status : {"passed", "failed", "not_applicable"}
        The outcome; a check that does not apply says why in `message`.
    value, threshold : float or None
        The figure and the limit it was held against.
    message : str
        What was found, in words, with the first offender.
    source : str
        Where the limit comes from.
    """

    name: str
    status: Status
    value: float | None
    threshold: float | None
    message: str
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


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
