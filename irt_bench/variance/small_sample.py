"""Small-sample intervals for few seeds: exact if there is a closed form, otherwise calibrated by simulation.

Seed effects are assumed to be normal. The variance of S seeds then has a scaled chi-square distribution with S - 1
degrees of freedom. (Bootstrap intervals with 3 to 10 seeds cover 50 to 80% instead of 90%.)

Degrees of freedom of mean squares over items are estimated from the spread over items of their contributions
(Satterthwaite). Counting, as for normal values, would be wrong for 0/1 answers, unequal noise and correlated items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

from irt_bench.arrays import FloatArray
from irt_bench.names import INTERVAL
from irt_bench.variance.moments import Codes

N_DRAWS: Final = 2000  # of distributions without a closed form: errors of quantiles are about 2% of the width
MIN_SEEDS_TO_CORRELATE: Final = 5  # with fewer seeds the correlation of steps is not estimated
DF_GRID: Final = np.geomspace(0.25, 1e7, 4000)  # degrees of freedom of a table of chi variables
MAX_STEPS: Final = 60  # to a root; Newton's method takes some five
TOLERANCE: Final = 1e-9  # of the last of them, relative, after which Newton's method is exact
N_NORMAL: Final = 2_000_000  # normal values for a table of a median absolute deviation: errors of about 1%
MIN_SEEDS_ROBUST: Final = 3  # with two seeds, neither is an outlier


def c4(n: npt.ArrayLike) -> FloatArray:
    """Return the expected standard deviation of n normal values divided by the true one.

    References
    ----------
    .. [1] Holtzman, The unbiased estimate of the population variance and standard deviation, 1950,
       DOI 10.2307/1418879.
    """
    n = np.asarray(n, dtype=np.float64)
    return np.asarray(np.sqrt(2 / (n - 1)) * np.exp(special.gammaln(n / 2) - special.gammaln((n - 1) / 2)))


def sd_interval(sd: FloatArray, df: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Chi-square interval of a standard deviation from its root mean square estimate.

    Notes
    -----
    If the estimate is 0, the lower limit is 0 and the upper limit is NaN: equal values give no upper limit.
    """
    nu = np.asarray(df, dtype=np.float64)
    low, high = special.chdtri(nu, INTERVAL[0]), special.chdtri(nu, INTERVAL[1])  # by the chance above
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sd > 0, sd * np.sqrt(nu / low), sd), np.where(sd > 0, sd * np.sqrt(nu / high), np.nan)


def satterthwaite_df(variances: FloatArray, df: FloatArray) -> float:
    """Degrees of freedom of a sum of independent variances of unequal size (Satterthwaite).

    Parameters
    ----------
    variances : array of shape (run,)
        Estimates times their weights in the sum.
    df : array of shape (run,)
        Degrees of freedom of each; NaN for an estimate of 0.

    Returns
    -------
    float
        Equal to `df` with one run; NaN if all variances are 0.

    Notes
    -----
    (sum v)^2 / sum(v^2 / (nu + 1)) - 1, because estimates replace expectations. With nu in place of nu + 1, intervals
    are too wide: they cover .97 for 28 runs of 3 seeds with equal sds. With nu + 2, for which v^2 / (nu + 2) is
    unbiased, they are too narrow if sds differ (.82). With nu + 1 they cover .89 to .94 in simulation if the log sds of
    runs have an sd of 0 to .6, and .86 to .89 if it is 1. The sum of all nu covers .69 to .86 and .51 to .83
    (tests/variance/test_small_sample.py).

    References
    ----------
    .. [1] Satterthwaite, An approximate distribution of estimates of variance components, 1946, DOI 10.2307/3002019.
    """
    used = variances > 0
    if not used.any():
        return float("nan")
    v, nu = variances[used], df[used]
    return float(v.sum() ** 2 / (v**2 / (nu + 1)).sum() - 1)


def beta_excess(mean: npt.ArrayLike, sd: npt.ArrayLike) -> FloatArray:
    """Excess kurtosis of the beta distribution with this mean and standard deviation, at least 0.

    It describes shares near 0 or 1; near 0 it tends to that of a gamma distribution, 6 (sd / mean)^2. It is 0 if no
    beta distribution has this mean and sd.
    """
    mean, variance = np.asarray(mean, dtype=np.float64), np.asarray(sd, dtype=np.float64) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        size = mean * (1 - mean) / variance - 1
        product = mean * (1 - mean) * size**2
        square = (1 - 2 * mean) ** 2 * size**2 * (size + 1)
        excess = 6 * (square - product * (size + 2)) / (product * (size + 2) * (size + 3))
    return np.where((size > 0) & np.isfinite(excess), np.maximum(excess, 0.0), 0.0)


def mean_sd_interval(
    mean_sd: FloatArray, scores: FloatArray, excess: npt.ArrayLike = 0.0
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Interval for E, the mean over steps of the standard deviation over seeds.

    Parameters
    ----------
    mean_sd : array of shape (...)
        Estimate, with ddof 1.
    scores : array of shape (..., seed, step)
        Scores from which it was computed; they show how correlated steps are over seeds.
    excess : array of shape (...)
        Excess kurtosis of the scores of seeds: 0 for normal scores, `beta_excess` for shares.

    Returns
    -------
    tuple of arrays of shape (...)
        Lower and upper limit for the mean over steps of the true standard deviations, and the degrees of freedom.

    Notes
    -----
    E is treated as a scaled chi variable. Its mean is c4(S) times the truth for any correlation of the steps. Its
    variance gives the degrees of freedom (Satterthwaite): S - 1 if steps are perfectly correlated, about (S - 1) T if T
    steps are independent. At one step the interval is exact. For scores with excess kurtosis g, the degrees of freedom
    are divided by 1 + g (S - 1) / (2 S). If the estimate is 0, they are NaN and there is no upper limit.
    """
    n_seeds = np.isfinite(scores).sum(axis=-2).max(axis=-1)
    df = _chi_df((1 / c4(n_seeds) ** 2 - 1) * step_dependence(scores))
    df = np.where(mean_sd > 0, df, np.nan)
    middle = np.where(mean_sd > 0, mean_sd / c4(n_seeds) * c4(df + 1), 0.0)
    df = df / (1 + np.asarray(excess) * (n_seeds - 1) / (2 * n_seeds))
    return *sd_interval(middle, df), df


def step_dependence(scores: FloatArray) -> FloatArray:
    """Variance of the mean over steps of a variance over seeds, divided by its variance at one step.

    Parameters
    ----------
    scores : array of shape (..., seed, step)

    Returns
    -------
    array of shape (...)
        1 / T for T independent steps, 1 for perfectly correlated steps.

    Notes
    -----
    The correlation of two variances over seeds is the squared correlation of the scores. Its mean over pairs of steps,
    corrected for the bias of 1 / (S - 1), is replaced by its root: with few seeds the estimate is so noisy that
    intervals would be too narrow. With the root they cover 88 to 96% for 5 and 10 seeds, 2 to 20 steps and correlations
    from 0 to 1 (tests/variance/test_small_sample.py). With fewer than 5 seeds, steps count as perfectly correlated.
    """
    n_seeds = np.isfinite(scores).sum(axis=-2).max(axis=-1)
    n_steps = scores.shape[-1]
    deviations = scores - np.nanmean(scores, axis=-2, keepdims=True)
    deviations = np.where(np.isfinite(deviations), deviations, 0.0)
    norm = np.sqrt((deviations**2).sum(axis=-2, keepdims=True))
    weights = norm[..., 0, :] / np.maximum(norm[..., 0, :].sum(axis=-1, keepdims=True), 1e-300)
    scaled = np.divide(deviations, norm, out=np.zeros_like(deviations), where=norm > 0)
    squared = np.einsum("...st,...su->...tu", scaled, scaled) ** 2
    pairs = np.maximum(n_steps * (n_steps - 1), 1)
    mean_squared = (squared.sum(axis=(-2, -1)) - np.einsum("...tt->...", squared)) / pairs
    unbiased = (mean_squared * (n_seeds - 1) - 1) / np.maximum(n_seeds - 2, 1)
    shared = np.where(n_seeds < MIN_SEEDS_TO_CORRELATE, 1.0, np.sqrt(np.clip(unbiased, 0.0, 1.0)))
    own = (weights**2).sum(axis=-1)
    return np.asarray(own + (1 - own) * shared)


def robust_spread(
    runs: Sequence[FloatArray], sd: float, df: float, *, granularity: float = 0.0
) -> tuple[float, float, float]:
    """Robust standard deviation over seeds, from the median absolute deviation.

    Parameters
    ----------
    runs : sequence of arrays of shape (seed, step)
        Scores; runs of fewer than three seeds are left out.
    sd, df : float
        Standard deviation over seeds of the same scores, and its degrees of freedom.
    granularity : float
        Smallest difference of scores: 1 / items for 0/1 answers.

    Returns
    -------
    value, lower, upper : float
        NaN without a run of three seeds, or if all seeds are equal.

    Notes
    -----
    The estimate is the median absolute deviation from the median of each run, averaged over steps and divided by its
    expectation for as many normal seeds [1]_. For normal seeds it estimates the sd; otherwise the sd of the normal
    distribution with the same quartiles. Heavy tails and a diverged seed have little influence on it.

    The lower limit is valid with one seed at infinity, which makes the deviations of the others up to twice as large.
    The upper limit is the smaller of two, each with half the error rate: from the median absolute deviation, and from
    the sd, which outliers only increase. With several steps, the limits are those of one step and conservative. They
    cover .86 to .98 with 3, 5 and 10 seeds that are normal, have a t distribution with 3 degrees of freedom, or include
    one seed diverged by 5 to 30 sds (tests/variance/test_small_sample.py).

    References
    ----------
    .. [1] Croux, Rousseeuw, Time-efficient algorithms for two highly robust estimators of scale, 1992,
       DOI 10.1007/978-3-662-26811-7_58 (factors for small samples).
    """
    used = [run for run in runs if len(run) >= MIN_SEEDS_ROBUST]
    if not used or not sd > 0:
        return np.nan, np.nan, np.nan
    by_step = [[run[:, step] for run in used if step < run.shape[1]] for step in range(max(r.shape[1] for r in used))]
    known = [[x[np.isfinite(x)] for x in step] for step in by_step]
    found, tables = [], []
    for step in known:
        there = [x for x in step if len(x) >= MIN_SEEDS_ROBUST]
        if there:
            found.append(float(np.median(np.concatenate([np.abs(x - np.median(x)) for x in there]))))
            tables.append(_deviation_table(tuple(sorted(len(x) for x in there))))
    if not found:
        return np.nan, np.nan, np.nan
    middle, smallest, largest = np.mean(tables, axis=0)
    half_error = INTERVAL[0] / 2
    by_sd = sd * np.sqrt(df / special.chdtri(df, 1 - half_error))
    value = float(np.mean(found))
    return value / middle, value / largest, float(min((value + granularity) / smallest, by_sd))


@lru_cache(maxsize=512)
def _deviation_table(sizes: tuple[int, ...]) -> tuple[float, float, float]:
    """Mean and 2.5% quantile of the median absolute deviation of normal seeds, and 95% quantile with one at infinity.

    Runs have the given sizes, and deviations are from the median of each run. The seed at infinity is in the smallest
    run.
    """
    rng = np.random.default_rng(0)
    n_draws = max(2000, min(100_000, N_NORMAL // sum(sizes)))
    usual, diverged = [], []
    for place, size in enumerate(sizes):
        z = rng.normal(size=(n_draws, size))
        usual.append(np.abs(z - np.median(z, axis=1, keepdims=True)))
        if place == 0:
            z[:, 0] = np.inf
            diverged.append(np.abs(z - np.median(z, axis=1, keepdims=True)))
        else:
            diverged.append(usual[-1])
    plain, odd = (np.median(np.concatenate(each, axis=1), axis=1) for each in (usual, diverged))
    return float(plain.mean()), float(np.quantile(plain, INTERVAL[0] / 2)), float(np.quantile(odd, INTERVAL[1]))


def _chi_df(relative_variance: FloatArray) -> FloatArray:
    """Degrees of freedom of a chi variable with this squared coefficient of variation."""
    # 1 / c4^2 - 1 loses its digits beyond 1e6 degrees of freedom, where it is 1 / (2 nu).
    spread = np.where(DF_GRID < 1e6, 1 / c4(np.minimum(DF_GRID, 1e6) + 1) ** 2 - 1, 1 / (2 * DF_GRID))
    log_variance = np.log(np.maximum(relative_variance, spread[-1]))
    return np.asarray(np.exp(np.interp(-log_variance, -np.log(spread), np.log(DF_GRID))))


def ratio_correction(df: npt.ArrayLike) -> FloatArray:
    """Factor that makes the ratio mean / sd of normal values unbiased: sqrt(2 / nu) G(nu / 2) / G((nu - 1) / 2).

    Notes
    -----
    The expectation of the inverse of an sd of few values is too large: with nu = 2, 4 and 9 degrees of freedom (3, 5
    and 10 seeds), the mean ratio is 1.77, 1.25 and 1.09 times the true one. NaN with one degree of freedom, for which
    the ratio has no expectation.

    References
    ----------
    .. [1] Hedges, Distribution theory for Glass's estimator of effect size and related estimators, 1981,
       DOI 10.3102/10769986006002107.
    """
    nu = np.asarray(df, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        factor = np.sqrt(2 / nu) * np.exp(special.gammaln(nu / 2) - special.gammaln((nu - 1) / 2))
    return np.asarray(np.where(nu > 1, factor, np.nan))


def ratio_interval(
    mean: FloatArray, sd: FloatArray, n_seeds: float, df: float | None = None
) -> tuple[FloatArray, FloatArray]:
    """Interval for the signal-to-noise ratio mean / sd of n seeds at one step, by inverting the noncentral t.

    Parameters
    ----------
    mean, sd : arrays of shape (...)
        Estimates.
    n_seeds : float
        Number of values in the mean.
    df : float, optional
        Degrees of freedom of the sd; n_seeds - 1 by default.

    Notes
    -----
    P(T <= t | delta) = P(delta <= t sqrt(chi2 / nu) - z), so the limits are quantiles of the right-hand side,
    integrated over chi2. Inverting ``scipy.stats.nct`` gives the same result, but fails for ratios in the hundreds.
    """
    nu = n_seeds - 1 if df is None else df
    shares = (np.arange(N_DRAWS) + 0.5) / N_DRAWS
    scale = np.sqrt(special.chdtri(nu, 1 - shares) / nu)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.asarray(mean / sd)
    centre = ratio[..., None] * scale * np.sqrt(n_seeds)
    return _mixture_quantile(centre, INTERVAL[0]) / np.sqrt(n_seeds), _mixture_quantile(centre, INTERVAL[1]) / np.sqrt(
        n_seeds
    )


def _mixture_quantile(centres: FloatArray, share: float) -> FloatArray:
    """Quantile of a mixture of unit normals with equal weights; NaN if a centre is not finite."""
    finite = np.asarray(np.isfinite(centres).all(axis=-1))
    safe = np.where(finite[..., None], centres, 0.0)

    def above(x: FloatArray) -> tuple[FloatArray, FloatArray]:
        away = x[..., None] - safe
        return special.ndtr(away).mean(axis=-1) - share, normal_density(away).mean(axis=-1)

    return np.where(finite, increasing_root(above, safe.min(axis=-1) - 6, safe.max(axis=-1) + 6), np.nan)


def normal_density(x: FloatArray) -> FloatArray:
    """Density of the standard normal distribution."""
    return np.asarray(np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi))


def increasing_root(
    function: Callable[[FloatArray], tuple[FloatArray, FloatArray]], low: FloatArray, high: FloatArray
) -> FloatArray:
    """Find the roots of an increasing function between limits: by Newton's method, or bisection where it leaves them.

    Parameters
    ----------
    function : callable
        Returns values and slopes at points of any shape.
    low, high : arrays of that shape
        Limits, with the root between them.
    """
    following = (low + high) / 2
    for _ in range(MAX_STEPS):
        at = following
        value, slope = function(at)
        low, high = np.where(value < 0, at, low), np.where(value < 0, high, at)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = at - value / slope
        following = np.where((newton >= low) & (newton <= high), newton, (low + high) / 2)
        if (np.abs(following - at) <= TOLERANCE * (1 + np.abs(at))).all():
            break
    return following


def mean_square_draws(
    mean_squares: FloatArray, df: FloatArray, rng: np.random.Generator, n_draws: int = N_DRAWS
) -> FloatArray:
    """Fiducial draws of expected mean squares: each mean square times its degrees of freedom over a chi-square.

    Parameters
    ----------
    mean_squares, df : arrays of shape (..., square)
        Estimates and their degrees of freedom.
    rng : np.random.Generator
        For the draws.
    n_draws : int
        Number of draws.

    Returns
    -------
    array of shape (draw, ..., square)
        NaN if a mean square is 0: equal answers give no upper limit.

    References
    ----------
    .. [1] Weerahandi, Generalized confidence intervals, 1993, DOI 10.1080/01621459.1993.10476355.
    """
    nu = np.fmax(df, 1e-3)
    known = np.where(mean_squares == 0, np.nan, mean_squares)
    return np.asarray(known * nu / rng.chisquare(nu, size=(n_draws, *np.shape(nu))))


def quantiles(draws: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Limits of the 90% interval along the first axis."""
    lower, upper = np.quantile(draws, INTERVAL, axis=0)
    return lower, upper


def run_reliability(scores: Sequence[FloatArray]) -> tuple[float, float, float]:
    """Share of the variance of scores between runs; the rest is between the seeds of a run.

    Parameters
    ----------
    scores : sequence of arrays of shape (seed,)
        One array per run.

    Returns
    -------
    value, lower, upper : float
        Intraclass correlation (MSB - MSW) / (MSB + (n - 1) MSW), which may be negative, and its 90% interval from the
        F distribution: exact with the same number n of seeds in every run, otherwise approximate. NaN with one run.

    References
    ----------
    .. [1] Shrout, Fleiss, Intraclass correlations: uses in assessing rater reliability, 1979, ICC(1, 1),
       DOI 10.1037/0033-2909.86.2.420.
    """
    used = [each for each in scores if len(each) > 1]
    sizes = np.array([len(each) for each in used], dtype=np.float64)
    if len(used) < 2:
        return np.nan, np.nan, np.nan
    means = np.array([each.mean() for each in used])
    total, between_df = sizes.sum(), len(used) - 1
    within_df = total - len(used)
    between = float((sizes * (means - (sizes * means).sum() / total) ** 2).sum()) / between_df
    within = sum(float(((each - each.mean()) ** 2).sum()) for each in used) / within_df
    if within <= 0:
        return np.nan, np.nan, np.nan
    n = (total - (sizes**2).sum() / total) / between_df
    f = between / within
    limits = f / special.fdtri(between_df, within_df, INTERVAL[::-1])
    value, lower, upper = ((each - 1) / (each + n - 1) for each in (f, *limits))
    return float(value), float(lower), float(upper)


MIN_GROUPS: Final = 10  # with fewer groups, items count as independent in `item_spread_df`
Z_LIMIT: Final = float(special.ndtri(INTERVAL[1]))
MAX_DF: Final = float(DF_GRID[-1])


def item_spread_df(per_item: FloatArray, groups: Codes | None) -> FloatArray:
    """Degrees of freedom of a mean square, from the spread over items (or groups) of their contributions.

    Notes
    -----
    Satterthwaite: 2 / relative variance of the sum over independent groups. The variance is enlarged by the squared
    ratio of the quantiles of Student's t and the normal distribution, because it is estimated from few groups. With
    fewer than `MIN_GROUPS` groups, items count as independent. If all contributions are equal, the degrees of freedom
    are the number of groups minus one.
    """
    sums, n = per_item, np.ones(per_item.shape[-1])
    if groups is not None and groups.max() + 1 >= MIN_GROUPS:
        member = np.eye(int(groups.max()) + 1)[groups]
        sums, n = per_item @ member, member.sum(axis=0)
    total = sums.sum(axis=-1)
    spread = ((sums - n * (total / n.sum())[..., None]) ** 2).sum(axis=-1) * len(n) / max(len(n) - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = 2 * total**2 / (spread * (special.stdtrit(max(len(n) - 1, 1), INTERVAL[1]) / Z_LIMIT) ** 2)
    return np.where(np.isfinite(df), np.clip(df, 1.0, MAX_DF), max(len(n) - 1.0, 1.0))


def residual_df(df: FloatArray, values: FloatArray, *, over_steps: bool) -> FloatArray:
    """Degrees of freedom of the residual mean square, with the effect of a seed's level on all its items.

    0/1 answers of an able seed vary less on all easy items, which the spread over items does not show. The additional
    variance is the spread over seeds minus the part explained by items.
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
    own = 2 / df
    return np.asarray(2 / (own + np.maximum(relative - own, 0.0)))


def trial_df(own: FloatArray, groups: Codes | None, *, over_steps: bool) -> FloatArray:
    """Return the degrees of freedom of the noise of answers; `own` is the variance of each cell."""
    summed = np.where(np.isfinite(own), own, 0.0).sum(axis=-2)
    return item_spread_df(summed.mean(axis=-2) if over_steps else summed, groups)
