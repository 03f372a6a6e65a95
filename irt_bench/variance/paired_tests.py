"""Intervals and tests for two scores of the same seeds: leaving one out, Pitman and Morgan, resampling.

Scores are sequences of arrays of shape (seed, step), one a run; the seeds of a run are rows of both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy import optimize, stats

from irt_bench.arrays import FloatArray
from irt_bench.names import INTERVAL
from irt_bench.variance.moments import ROUNDING
from irt_bench.variance.scores import RunScores

FURTHEST: Final = 25.0  # logarithms of ratios of sds looked at

Scores = Sequence[FloatArray]
Statistic = Callable[[Scores, Scores], float]


class VarianceTest(NamedTuple):
    """Pitman-Morgan: correlation of sum and difference, with its t and p; ratio of the sds and its interval."""

    correlation: float
    t: float
    freedom: int
    p: float
    ratio: float
    lower: float
    upper: float


def leave_one_out(x: Scores, y: Scores, statistic: Statistic) -> tuple[float, int]:
    """Give the standard error of a log ratio of sds for repeating the training, by leaving out seeds one by one.

    Parameters
    ----------
    x, y : sequences of arrays of shape (seed, step)
        One array a run, of three seeds or more; a seed goes with all its steps.
    statistic : callable
        Takes the scores of both sides.

    Returns
    -------
    error : float
    freedom : int
        Seeds less one, summed over runs.

    Notes
    -----
    The jackknife of each run, sum (n - 1) / n (value without a seed - their mean)^2, times (n - 1) / (n - 2). Of a sum
    of squares of n normal values about their mean the jackknife expects but (n - 2) / (n - 1) of the variance, which is
    half of it with three seeds; over many runs nothing else hides that (`half_width`).
    """
    variance, freedom = 0.0, 0
    for run, scores in enumerate(x):
        n = len(scores)
        without = np.array(
            [
                statistic(
                    [np.delete(s, drop, axis=0) if place == run else s for place, s in enumerate(x)],
                    [np.delete(s, drop, axis=0) if place == run else s for place, s in enumerate(y)],
                )
                for drop in range(n)
            ]
        )
        variance += (n - 1) ** 2 / (n * (n - 2)) * float(((without - without.mean()) ** 2).sum())
        freedom += n - 1
    return float(np.sqrt(variance)), freedom


def half_width(error: float, freedom: int) -> float:
    """Half of the 90% interval of a log ratio of sds, from its standard error.

    Notes
    -----
    asinh(t error), the form that the exact interval of Pitman and Morgan has at one step; Student's t alone gives
    limits no one needs where seeds are very few. Covers 86 to 95% in simulation: 3, 5 and 10 seeds, 1 to 28 runs that
    may differ in their sds, 1 to 20 steps; 93 to 99% with one run of three seeds (tests/variance/test_paired_tests.py).
    """
    return float(np.arcsinh(stats.t.ppf(INTERVAL[1], freedom) * error))


def pitman_morgan(x: Scores, y: Scores) -> VarianceTest:
    """Test whether two correlated variances are equal.

    Parameters
    ----------
    x, y : sequences of arrays of shape (seed,)
        Paired scores, one array a run.

    Returns
    -------
    VarianceTest
        Exact with one run. With several, correlations within runs are averaged with weight n - 1, so that runs may
        differ in their sds, and the average is taken for one correlation of as many degrees of freedom. The interval is
        the set of ratios that the test does not reject at 10%.

    References
    ----------
    .. [1] Pitman, A note on normal correlation, 1939, DOI 10.1093/biomet/31.1-2.9.
    .. [2] Morgan, A test for the significance of the difference between the two variances in a sample from a normal
       bivariate population, 1939, DOI 10.1093/biomet/31.1-2.13.
    """
    pairs = [(_centred(u), _centred(v)) for u, v in zip(x, y, strict=True)]
    squares = np.array([(u @ u, v @ v, u @ v) for u, v in pairs])
    freedom = sum(len(u) - 1 for u, _ in pairs) - 1
    if freedom < 1 or (squares[:, :2] <= 0).any():
        return VarianceTest(np.nan, np.nan, max(freedom, 0), np.nan, np.nan, np.nan, np.nan)
    weights = np.array([len(u) - 1 for u, _ in pairs]) / (freedom + 1)
    r = _mean_correlation(squares, weights, 0.0)
    with np.errstate(divide="ignore"):
        t = float(r * np.sqrt(freedom / np.maximum(1 - r**2, 0.0)))
    critical = float(stats.t.ppf(INTERVAL[1], freedom))
    bound = critical / np.sqrt(freedom + critical**2)
    middle, lower, upper = (_ratio_at(squares, weights, level) for level in (0.0, bound, -bound))
    return VarianceTest(r, t, freedom, float(2 * stats.t.sf(abs(t), freedom)), middle, lower, upper)


def _centred(scores: FloatArray) -> FloatArray:
    """Deviations from the mean, 0 where all values are the same."""
    return np.where(np.ptp(scores) > ROUNDING * abs(scores.mean()), scores - scores.mean(), 0.0)


def _mean_correlation(squares: FloatArray, weights: FloatArray, log_ratio: float) -> float:
    """Correlation of sum and difference within runs, x over y scaled down by a ratio, averaged over runs."""
    xx, yy, xy = squares.T
    scale = np.exp(log_ratio)
    one, other = xx / scale, yy * scale  # both sides times a constant: the correlation is the same
    product = np.maximum((one + other) ** 2 - 4 * xy**2, 1e-300)
    return float(weights @ np.clip((one - other) / np.sqrt(product), -1, 1))


def _ratio_at(squares: FloatArray, weights: FloatArray, level: float) -> float:
    """Ratio of the sds at which the correlation takes a value; it falls as the ratio rises."""

    def above(log_ratio: float) -> float:
        return _mean_correlation(squares, weights, log_ratio) - level

    if above(-FURTHEST) <= 0 or above(FURTHEST) >= 0:
        return float("nan")  # the two scores are the same in all but scale
    return float(np.exp(optimize.brentq(above, -FURTHEST, FURTHEST)))


def joint_bootstrap(
    pairs: Sequence[tuple[RunScores, RunScores]], rng: np.random.Generator, n_bootstrap: int, *, matched: bool
) -> tuple[float, float]:
    """Give the ratio's percentile interval over resampled seeds (within runs) and items, shared where they match."""
    squares = np.zeros((2, n_bootstrap))
    item_seed = int(rng.integers(2**32))
    for one, other in pairs:
        n = one.n_seeds
        weights = rng.multinomial(n, np.full(n, 1 / n), size=n_bootstrap) / n
        for side, run in enumerate((one, other)):
            stream = np.random.default_rng([item_seed, 0 if matched else side])  # the same items in every run
            scores = _item_resamples(run, stream, n_bootstrap)
            mean = np.einsum("bs,bst->bt", weights, scores)
            spread = np.einsum("bs,bst->bt", weights, (scores - mean[:, None]) ** 2)
            squares[side] += (n - 1) * np.sqrt(spread).mean(axis=1) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt(squares[0] / squares[1])
    ratio = ratio[np.isfinite(ratio)]
    if not len(ratio):
        return np.nan, np.nan
    low, high = np.quantile(ratio, INTERVAL)
    return float(low), float(high)


def _item_resamples(run: RunScores, rng: np.random.Generator, n_bootstrap: int) -> FloatArray:
    rows = run.values.reshape(-1, run.n_items).T
    out = np.empty((n_bootstrap, rows.shape[1]))
    block = max(1, 2_000_000 // run.n_items)
    for start in range(0, n_bootstrap, block):
        n = min(block, n_bootstrap - start)
        drawn = rng.integers(run.n_items, size=(n, run.n_items)) + np.arange(n)[:, None] * run.n_items
        counts = np.bincount(drawn.ravel(), minlength=n * run.n_items).reshape(n, run.n_items)
        out[start : start + n] = counts @ rows / run.n_items
    return out.reshape(n_bootstrap, *run.values.shape[:2])
