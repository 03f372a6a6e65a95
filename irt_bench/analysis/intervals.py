"""Closed-form 90% intervals and standard errors for proportions, means, correlations and alpha; Holm's adjustment.

Models (or items) are treated as a simple random sample. Fine-tunes of one another carry less information than their
number suggests; the intervals are then too narrow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special  # scipy.stats takes half a second to import

from irt_bench.arrays import BoolArray, FloatArray
from irt_bench.names import INTERVAL

Z_LIMIT = float(special.ndtri(INTERVAL[1]))  # 1.645: half-width of the interval in standard errors
SPREAD_FLOOR = 1e-12  # root mean square deviation of values in [0, 1] that is due to rounding


class Interval(NamedTuple):
    """Lower and upper limits, of equal shape."""

    lower: FloatArray
    upper: FloatArray


class StandardError(NamedTuple):
    """Standard error of a mean difference over items, its degrees of freedom, and its number of groups."""

    se: float
    df: float
    n_groups: int


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
    """Interval for the mean of each column of proportions in [0, 1], over the observed rows; `binary` ones are 0 or 1.

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


def strata_error(difference: FloatArray, strata: npt.ArrayLike) -> StandardError:
    """Return the standard error of a mean over a stratified sample of items, with the same numbers per stratum.

    Notes
    -----
    sqrt(sum_h n_h s_h^2) / N with Satterthwaite's degrees of freedom [1]_. Differences between strata do not count.
    Strata of one item are joined; if there is only one, it is joined with the smallest other stratum.

    References
    ----------
    .. [1] Cochran, Sampling techniques, 1977, sections 5.3 and 5.4.
    """
    codes, labels = pd.factorize(np.asarray(strata), use_na_sentinel=False)
    sizes = np.bincount(codes)
    single = np.flatnonzero(sizes == 1)
    if len(single):
        larger = np.where(sizes > 1, sizes, len(codes) + 1)
        codes = np.where(sizes[codes] == 1, single[0] if len(single) > 1 else int(larger.argmin()), codes)
    codes = pd.factorize(codes)[0]
    n = np.bincount(codes).astype(np.float64)
    means = np.bincount(codes, weights=difference) / n
    variances = np.bincount(codes, weights=(difference - means[codes]) ** 2) / (n - 1) * n
    total = variances.sum()
    df = total**2 / (variances**2 / (n - 1)).sum() if total > 0 else len(codes) - len(n)
    return StandardError(float(np.sqrt(total)) / len(codes), float(df), len(labels))


def cluster_error(difference: FloatArray, clusters: npt.ArrayLike) -> StandardError:
    """Return the standard error of a mean over a random sample of clusters of correlated items.

    Returns
    -------
    StandardError
        NaN with one cluster.

    Notes
    -----
    sqrt(sum_g S_g^2 / (1 - n_g / N)) / N, with S_g the sum of deviations in cluster g; unbiased if items are
    uncorrelated [1]_. Degrees of freedom by Satterthwaite [1]_ [2]_, assuming that items of a cluster are perfectly
    correlated: G - 1 for clusters of one size, fewer if a few clusters are large. In simulation, 90% intervals cover
    .87 to .93 for 5 to 40 clusters whose log sizes have an sd of 1 (tests/variance/test_model_pair.py). The usual
    G / (G - 1) sum S_g^2 with G - 1 degrees of freedom covers .72 to .85.

    References
    ----------
    .. [1] Bell, McCaffrey, Bias reduction in standard errors for linear regression with multi-stage samples, Survey
       Methodology 28, 2002.
    .. [2] Imbens, Kolesar, Robust standard errors in small samples: some practical advice, 2016,
       DOI 10.1162/REST_a_00552.
    """
    codes, labels = pd.factorize(np.asarray(clusters), use_na_sentinel=False)
    n_groups = len(labels)
    if n_groups < 2:
        return StandardError(np.nan, np.nan, n_groups)
    share = np.bincount(codes) / len(codes)
    sums = np.bincount(codes, weights=difference - difference.mean()) / len(codes)
    variance = (sums**2 / (1 - share)).sum()
    return StandardError(float(np.sqrt(variance)), _cluster_freedom(share), n_groups)


def _cluster_freedom(share: FloatArray) -> float:
    """Degrees of freedom, trace(F)^2 / sum(F^2), of F = D (diag(m) - m s' - s m' + sum(m) s s') D.

    s are the shares of the clusters, m = s^2 the variances of their parts of the mean, but for a factor, and D is
    diagonal, 1 / sqrt(1 - s).
    """
    weight, moving = 1 / (1 - share), share**2
    total = moving.sum()
    crossed = total * share**2 - 2 * moving * share  # diagonal of F without diag(m)
    mm, ms, ss = ((weight * x * y).sum() for x, y in ((moving, moving), (moving, share), (share, share)))
    squares = 2 * mm * ss + (total * ss) ** 2 + 2 * ms**2 - 4 * total * ms * ss
    squares += (weight**2 * moving * (2 * crossed + moving)).sum()
    return float((weight * (moving + crossed)).sum() ** 2 / squares)


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


def with_limits(name: str, value: float, lower: float, upper: float) -> dict[str, float]:
    """Columns of a number and its interval, by the name of the number."""
    return {name: float(value), f"{name}_q05": float(lower), f"{name}_q95": float(upper)}
