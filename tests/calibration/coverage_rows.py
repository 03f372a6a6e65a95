"""Coverage as measured, and what it says: a row for each quantity and design, with its 95% interval and verdict.

Intervals are central 90% ones. A quantity is as it should be where its coverage may be between 87% and 93%, and what is
done wrong on purpose must be told from that.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

QUANTITIES: Final = (
    "ability", "difficulty", "discrimination", "group difference", "expected score", "item-rest correlation", "alpha",
    "full score", "E", "robust spread", "SNR", "ratio of E", "ratio of SNR", "difference of models",
    "reliability over runs", "components", "V(k)", "seed model's sd",
)  # fmt: skip
WANTED: Final = (0.87, 0.93)
HOLDS, UNSURE, TOO_LOW, TOO_HIGH = "holds", "unsure", "too low", "too high"
CAUGHT, NOT_CAUGHT = "caught", "not caught"  # of controls


class Row(NamedTuple):
    """Coverage of 90% intervals of one quantity over independent data sets."""

    quantity: str
    design: str
    control: str  # what was done wrong on purpose
    n: int  # independent data sets, or independent truths of one
    coverage: float
    lower: float
    upper: float
    limits: tuple[float, float]  # outside of which the test fails
    seeds: str

    @property
    def verdict(self) -> str:
        """Where the coverage lies as seen from `WANTED`; unsure if it is outside, but its 95% interval is not."""
        off = TOO_LOW if self.upper < WANTED[0] else TOO_HIGH if self.lower > WANTED[1] else ""
        if self.control:
            return CAUGHT if off else NOT_CAUGHT
        return off or (HOLDS if WANTED[0] <= self.coverage <= WANTED[1] else UNSURE)

    @property
    def right(self) -> bool:
        """Whether a control is caught, or coverage within the limits."""
        return self.verdict == CAUGHT if self.control else self.limits[0] <= self.coverage <= self.limits[1]


def coverage_row(
    quantity: str,
    design: str,
    covered: npt.ArrayLike,
    *,
    seeds: object,
    control: str = "",
    n: int | None = None,
    limits: tuple[float, float] = WANTED,
) -> Row:
    """Make a row.

    Parameters
    ----------
    quantity : str
        One of `QUANTITIES`.
    design : str
        Sizes, method, component.
    covered : array of shape (data set,), or float
        Whether the interval holds the truth, or the share of intervals of a data set that do; or the share of `n`.
    seeds : object
        Of the random numbers, as text.
    control : str
        What was done wrong on purpose.
    n : int, optional
        Number of data sets behind a single share.
    limits : (float, float)
        What coverage is let pass.
    """
    if quantity not in QUANTITIES:
        raise ValueError(f"{quantity!r} is none of {', '.join(QUANTITIES)}.")
    values = np.asarray(covered, dtype=np.float64)
    if values.ndim == 0:
        if n is None:
            raise ValueError("a single share needs the number of data sets, n.")
        values = np.arange(n) < round(float(values) * n)
    size, coverage = len(values), float(values.mean())
    lower, upper = share_interval(values) if np.isin(values, (0, 1)).all() else mean_interval(values)
    return Row(quantity, design, control, size, coverage, lower, upper, limits, str(seeds))


def share_interval(covered: npt.ArrayLike) -> tuple[float, float]:
    """Clopper-Pearson limits, 95%, of the share of data sets whose interval holds the truth."""
    n, hits = np.size(covered), int(np.sum(covered))
    lower = stats.beta.ppf(0.025, hits, n - hits + 1) if hits > 0 else 0.0
    upper = stats.beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0
    return float(lower), float(upper)


def mean_interval(shares: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Mean -+ 2 standard errors of shares, one a data set, within 0 and 1."""
    error = 2 * shares.std(ddof=1) / np.sqrt(len(shares))
    return max(0.0, float(shares.mean() - error)), min(1.0, float(shares.mean() + error))


def row_of(kept: dict[str, Any]) -> Row:
    """Make a row again of what JSON keeps of it."""
    return Row(**(kept | {"limits": tuple(kept["limits"])}))
