"""Intervals from few seeds: exact where a closed form is, else what covers in simulation.

Seed effects are taken as normal. The variance of S seeds then has a chi-square distribution with S - 1 degrees of
freedom, and everything here is built on that: a plain bootstrap of 3 to 10 seeds covers 50 to 80% at a nominal 90%.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from irt_bench.names import INTERVAL

FloatArray = npt.NDArray[np.float64]

N_DRAWS: Final = 2000  # of the distributions that have no closed form: quantiles to about 2% of an interval's width
FEWEST_TO_CORRELATE: Final = 5  # seeds from which on the correlation of steps over seeds is estimated at all
FREEDOM: Final = np.geomspace(0.25, 1e7, 4000)  # degrees of freedom at which the spread of a chi variable is tabulated


class Estimate(NamedTuple):
    """A value with its 90% interval; arrays of equal shape."""

    value: FloatArray
    lower: FloatArray
    upper: FloatArray


def c4(n: npt.ArrayLike) -> FloatArray:
    """Give the expected standard deviation of n normal values as a share of the true one.

    References
    ----------
    .. [1] Holtzman, The unbiased estimate of the population variance and standard deviation, 1950,
       DOI 10.2307/1418879.
    """
    n = np.asarray(n, dtype=np.float64)
    return np.asarray(np.sqrt(2 / (n - 1)) * np.exp(special.gammaln(n / 2) - special.gammaln((n - 1) / 2)))


def sd_interval(sd: FloatArray, freedom: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Chi-square interval of a standard deviation from its root mean square estimate."""
    nu = np.asarray(freedom, dtype=np.float64)
    low, high = stats.chi2.ppf(INTERVAL[1], nu), stats.chi2.ppf(INTERVAL[0], nu)
    with np.errstate(divide="ignore", invalid="ignore"):
        return sd * np.sqrt(nu / low), sd * np.sqrt(nu / high)


def mean_sd_interval(mean_sd: FloatArray, scores: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Interval for E, the mean over steps of the standard deviation over seeds.

    Parameters
    ----------
    mean_sd : array of shape (...)
        The estimate, with ddof 1.
    scores : array of shape (..., seed, step)
        What it was computed from, which says how correlated the steps are over seeds.

    Returns
    -------
    tuple of arrays of shape (...)
        Lower and upper limit for the mean over steps of the true standard deviations, and the degrees of freedom.

    Notes
    -----
    E is treated as a scaled chi variable: its mean is c4(S) times the truth whatever the correlation of the steps, its
    variance gives the degrees of freedom (Satterthwaite), S - 1 where all steps move together, up to about
    (S - 1) T where they are independent. Exact at one step.
    """
    n_seeds = np.isfinite(scores).sum(axis=-2).max(axis=-1)
    freedom = _chi_freedom((1 / c4(n_seeds) ** 2 - 1) * steps_moving_as_one(scores))
    middle = mean_sd / c4(n_seeds) * c4(freedom + 1)
    return *sd_interval(middle, freedom), freedom


def steps_moving_as_one(scores: FloatArray) -> FloatArray:
    """Variance of a variance averaged over steps as a share of that at one step.

    Parameters
    ----------
    scores : array of shape (..., seed, step)

    Returns
    -------
    array of shape (...)
        1 / T for T independent steps, 1 where all move as one.

    Notes
    -----
    Variances over seeds correlate like squared correlations. The mean squared correlation, its bias of 1 / (S - 1)
    taken out, is replaced by its root: the estimate from few seeds is so noisy that intervals from it undercover, and
    those from its root cover 88 to 96% for 5 and 10 seeds, 2 to 20 steps and correlations from 0 to 1
    (tests/variance/test_few_seeds.py). Below 5 seeds steps are taken to move as one.
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
    shared = np.where(n_seeds < FEWEST_TO_CORRELATE, 1.0, np.sqrt(np.clip(unbiased, 0.0, 1.0)))
    own = (weights**2).sum(axis=-1)
    return np.asarray(own + (1 - own) * shared)


def _chi_freedom(relative_variance: FloatArray) -> FloatArray:
    """Degrees of freedom at which a chi variable has this variance over its squared mean."""
    # 1 / c4^2 - 1 loses its digits beyond 1e6 degrees of freedom, where it is 1 / (2 nu).
    spread = np.where(FREEDOM < 1e6, 1 / c4(np.minimum(FREEDOM, 1e6) + 1) ** 2 - 1, 1 / (2 * FREEDOM))
    wanted = np.log(np.maximum(relative_variance, spread[-1]))
    return np.asarray(np.exp(np.interp(-wanted, -np.log(spread), np.log(FREEDOM))))


def ratio_interval(mean: FloatArray, sd: FloatArray, n_seeds: int) -> tuple[FloatArray, FloatArray]:
    """Interval for the signal-to-noise ratio mean / sd of n seeds at one step: the noncentral t inverted.

    Notes
    -----
    P(T <= t | delta) = P(delta <= t sqrt(chi2 / nu) - z), so the limits are quantiles of that difference, which is
    integrated over chi2; inverting ``scipy.stats.nct`` gives the same and fails for ratios in the hundreds.
    """
    nu = n_seeds - 1
    shares = (np.arange(N_DRAWS) + 0.5) / N_DRAWS
    scale = np.sqrt(stats.chi2.ppf(shares, nu) / nu)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.asarray(mean / sd)
    centre = ratio[..., None] * scale * np.sqrt(n_seeds)
    return _mixture_quantile(centre, INTERVAL[0]) / np.sqrt(n_seeds), _mixture_quantile(centre, INTERVAL[1]) / np.sqrt(
        n_seeds
    )


def _mixture_quantile(centres: FloatArray, share: float) -> FloatArray:
    """Quantile of an even mixture of unit normals, by bisection; NaN where a centre is not finite."""
    finite = np.asarray(np.isfinite(centres).all(axis=-1))
    safe = np.where(finite[..., None], centres, 0.0)
    low, high = safe.min(axis=-1) - 6, safe.max(axis=-1) + 6
    for _ in range(60):
        middle = (low + high) / 2
        below = special.ndtr(middle[..., None] - safe).mean(axis=-1) < share
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.where(finite, (low + high) / 2, np.nan)


def mean_square_draws(
    mean_squares: FloatArray, freedom: FloatArray, rng: np.random.Generator, n_draws: int = N_DRAWS
) -> FloatArray:
    """Fiducial draws of expected mean squares: each mean square times its degrees of freedom over a chi-square.

    Parameters
    ----------
    mean_squares, freedom : arrays of shape (..., square)
        Estimates, and the degrees of freedom of each.
    rng : np.random.Generator
        For the draws.
    n_draws : int
        Number of draws.

    Returns
    -------
    array of shape (draw, ..., square)

    References
    ----------
    .. [1] Weerahandi, Generalized confidence intervals, 1993, DOI 10.1080/01621459.1993.10476355.
    """
    nu = np.maximum(freedom, 1e-3)
    return np.asarray(mean_squares * nu / rng.chisquare(nu, size=(n_draws, *np.shape(nu))))


def quantiles(draws: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Limits of the 90% interval over the first axis of draws."""
    lower, upper = np.quantile(draws, INTERVAL, axis=0)
    return lower, upper


def run_reliability(scores: Sequence[FloatArray]) -> tuple[float, float, float]:
    """Share of the variance of scores that lies between runs, the rest between the seeds of a run.

    Parameters
    ----------
    scores : sequence of arrays of shape (seed,)
        One array a run.

    Returns
    -------
    value, lower, upper : float
        Intraclass correlation (MSB - MSW) / (MSB + (n - 1) MSW), which may be negative, and its 90% interval from the
        F distribution: exact with the same number n of seeds in every run, and near it otherwise. NaN with one run.

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
    limits = f / stats.f.ppf(INTERVAL[::-1], between_df, within_df)
    value, lower, upper = ((each - 1) / (each + n - 1) for each in (f, *limits))
    return float(value), float(lower), float(upper)
