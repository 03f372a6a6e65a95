"""Closed-form 90% intervals for proportions, means, correlations and alpha, and Holm's adjustment of p-values.

Models (or items) are treated as a simple random sample. Fine-tunes of one another carry less information than their
number suggests; the intervals are then too narrow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special  # scipy.stats takes half a second to import

from irt_bench.arrays import BoolArray, FloatArray
from irt_bench.names import INTERVAL

Z_LIMIT = float(special.ndtri(INTERVAL[1]))  # 1.645: half-width of the interval in standard errors
SPREAD_FLOOR = 1e-12  # root mean square deviation of values in [0, 1] that is due to rounding


class Interval(NamedTuple):
    """Lower and upper limits, of equal shape."""

    lower: FloatArray
    upper: FloatArray


def wilson_interval(proportion: FloatArray, n: npt.NDArray[np.integer]) -> Interval:
    """Score interval for a proportion of n responses; NaN where n is 0.

    Notes
    -----
    Equals ``scipy.stats.binomtest(k, n).proportion_ci(method="wilson")``, which takes one proportion at a time.

    References
    ----------
    .. [1] Wilson, Probable inference, the law of succession, and statistical inference, 1927,
       DOI 10.1080/01621459.1927.10502953.
    .. [2] Brown, Cai, DasGupta, Interval estimation for a binomial proportion, 2001, section 3.1.1,
       DOI 10.1214/ss/1009213286.
    """
    size = np.where(n > 0, n, np.nan)
    shrink = 1 + Z_LIMIT**2 / size
    centre = (proportion + Z_LIMIT**2 / (2 * size)) / shrink
    half = Z_LIMIT / shrink * np.sqrt(proportion * (1 - proportion) / size + Z_LIMIT**2 / (4 * size**2))
    return Interval(np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1))


def column_mean_interval(values: FloatArray, asked: BoolArray, binary: BoolArray) -> Interval:
    """Interval for the mean of each column of proportions in [0, 1], over the observed rows.

    Parameters
    ----------
    values, asked : arrays of shape (row, column)
        Proportions (any value where not observed) and whether the cell was observed.
    binary : array of shape (column,)
        Whether all observed cells of the column are 0 or 1.

    Notes
    -----
    Binary columns: Wilson. Others: Student t with n - 1 degrees of freedom, clipped to [0, 1]. Without spread (or with
    one row) Wilson again, which is conservative, since a proportion has at most the variance p (1 - p) of a 0/1
    response.
    """
    n = asked.sum(axis=0)
    mean, sum_squares = centred_sums(values, asked)
    wilson = wilson_interval(mean, n)
    use_t = ~binary & (sum_squares > n * SPREAD_FLOOR**2) & (n > 1)
    freedom = np.where(use_t, n - 1, 1)
    half = special.stdtrit(freedom, INTERVAL[1]) * np.sqrt(sum_squares / freedom / np.maximum(n, 1))
    return Interval(
        np.where(use_t, np.clip(mean - half, 0, 1), wilson.lower),
        np.where(use_t, np.clip(mean + half, 0, 1), wilson.upper),
    )


def centred_sums(values: FloatArray, asked: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Mean and sum of squared deviations of each column over the observed cells; the mean is NaN without any."""
    n = asked.sum(axis=0)
    mean = np.where(asked, values, 0.0).sum(axis=0) / np.where(n > 0, n, np.nan)
    return mean, (np.where(asked, values - mean, 0.0) ** 2).sum(axis=0)


def correlation_interval(correlation: FloatArray, n: npt.NDArray[np.integer]) -> Interval:
    """Fisher z interval of a Pearson correlation from n pairs: tanh(atanh r -+ 1.645 / sqrt(n - 3)).

    Notes
    -----
    Equals ``scipy.stats.pearsonr(...).confidence_interval(0.9)``, which takes one pair of samples at a time: the whole
    range [-1, 1] for n <= 3, a single point for r = -1 or 1; NaN stays NaN. It assumes a bivariate normal pair. For a
    0/1 item and a score it is accurate near r = 0, where flags are decided, and too narrow for strong correlations of
    very easy or very hard items [2]_.

    References
    ----------
    .. [1] Fisher, On the probable error of a coefficient of correlation deduced from a small sample, Metron 1, 1921.
    .. [2] Tate, Correlation between a discrete and a continuous variable: point-biserial correlation, 1954,
       DOI 10.1214/aoms/1177728730.
    """
    n = np.asarray(n)
    with np.errstate(divide="ignore"):
        z = np.arctanh(correlation)
        half = Z_LIMIT / np.sqrt(np.maximum(n - 3, 0))
        lower, upper = np.tanh(z - half), np.tanh(z + half)
    unknown = np.isnan(correlation)
    none = (n <= 3) & ~unknown
    return Interval(np.where(none, -1.0, lower), np.where(none, 1.0, upper))


def alpha_interval(alpha: float, n_models: int, n_items: int) -> tuple[float, float]:
    """Feldt's F interval for coefficient alpha.

    Notes
    -----
    (1 - alpha) / (1 - estimate) has an F distribution with n_models - 1 and (n_models - 1)(n_items - 1) degrees of
    freedom under the two-way random-effects analysis of variance. That 0/1 items are not normal has little effect [1]_.

    References
    ----------
    .. [1] Feldt, The approximate sampling distribution of Kuder-Richardson reliability coefficient twenty, 1965,
       DOI 10.1007/BF02289499.
    """
    freedom = (n_models - 1, (n_models - 1) * (n_items - 1))
    high, low = special.fdtri(*freedom, INTERVAL[1]), special.fdtri(*freedom, INTERVAL[0])
    return float(1 - (1 - alpha) * high), float(1 - (1 - alpha) * low)


def resampled_counts(n: int, n_resamples: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw how often each of n units occurs in bootstrap resamples, shape (resample, n)."""
    return rng.multinomial(n, np.full(n, 1 / n), size=n_resamples)


def holm(p_values: FloatArray) -> FloatArray:
    """Adjust p-values for multiple tests by Holm's method (1979); NaN stays NaN and does not count as a test."""
    order = np.argsort(p_values)  # NaN last
    n = int(np.isfinite(p_values).sum())
    steps = np.maximum.accumulate(p_values[order][:n] * np.arange(n, 0, -1))
    adjusted = np.full(len(p_values), np.nan)
    adjusted[order[:n]] = np.minimum(steps, 1.0)
    return adjusted
