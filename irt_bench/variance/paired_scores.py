"""Paired comparison of the seed variances of two scores of the same seeds.

An example is the multiple-choice and the cloze framing of one benchmark (Madaan et al. 2024, section 3.3). The two
scores of a seed are correlated, so all statistics are paired by run, seed and step. There are a jackknife interval, the
test of Pitman and Morgan, and a bootstrap interval. Scores are sequences of arrays of shape (seed, step), one per run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd
import scipy
from scipy import special

from irt_bench.analysis.intervals import resampled_counts
from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError
from irt_bench.names import INTERVAL
from irt_bench.variance.metrics import resampled_means
from irt_bench.variance.moments import ROUNDING, without_rounding
from irt_bench.variance.scores import RunScores

MAX_LOG_RATIO: Final = 25.0  # bound of the log ratio of sds in the search of a root

Scores = Sequence[FloatArray]
Statistic = Callable[[Scores, Scores], float]


class VarianceTest(NamedTuple):
    """Test of Pitman and Morgan: correlation of sum and difference with its t and p; ratio of sds with its interval."""

    correlation: float
    t: float
    df: int
    p: float
    ratio: float
    lower: float
    upper: float


def jackknife_error(x: Scores, y: Scores, statistic: Statistic) -> tuple[float, int]:
    """Return the jackknife standard error over seeds of a log ratio of sds.

    Parameters
    ----------
    x, y : sequences of arrays of shape (seed, step)
        One array per run, with three or more seeds; a seed is left out with all its steps.
    statistic : callable
        Function of the scores of both sides.

    Returns
    -------
    error : float
    df : int
        Number of seeds minus one, summed over runs.

    Notes
    -----
    The jackknife variance of each run, sum (n - 1) / n (value without a seed - their mean)^2, is multiplied by
    (n - 1) / (n - 2). For a sum of squares of n normal values about their mean, the expectation of the jackknife is
    only (n - 2) / (n - 1) of the variance, which is half of it with three seeds.
    """
    variance, df = 0.0, 0
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
        df += n - 1
    return float(np.sqrt(variance)), df


def log_ratio_half_width(error: float, df: int) -> float:
    """Half of the 90% interval of a log ratio of sds, from its standard error.

    Notes
    -----
    asinh(t error) is the form of the exact interval of Pitman and Morgan at one step; with very few seeds, t error is
    far too wide. In simulation it covers 86 to 95% for 3, 5 and 10 seeds, 1 to 28 runs with different sds, and 1 to 20
    steps; 93 to 99% with one run of three seeds (tests/variance/test_paired_tests.py).
    """
    return float(np.arcsinh(special.stdtrit(df, INTERVAL[1]) * error))


def pitman_morgan(x: Scores, y: Scores) -> VarianceTest:
    """Test whether two correlated variances are equal.

    Parameters
    ----------
    x, y : sequences of arrays of shape (seed,)
        Paired scores, one array per run.

    Returns
    -------
    VarianceTest
        Exact with one run. With several runs, correlations within runs are averaged with weight n - 1, so that runs may
        have different sds; the mean is treated as one correlation with the total degrees of freedom. The interval is
        the set of ratios that the test does not reject at 10%.

    References
    ----------
    .. [1] Pitman, A note on normal correlation, 1939, DOI 10.1093/biomet/31.1-2.9.
    .. [2] Morgan, A test for the significance of the difference between the two variances in a sample from a normal
       bivariate population, 1939, DOI 10.1093/biomet/31.1-2.13.
    """
    pairs = [(_centred(u), _centred(v)) for u, v in zip(x, y, strict=True)]
    squares = np.array([(u @ u, v @ v, u @ v) for u, v in pairs])
    df = sum(len(u) - 1 for u, _ in pairs) - 1
    if df < 1 or (squares[:, :2] <= 0).any():
        return VarianceTest(np.nan, np.nan, max(df, 0), np.nan, np.nan, np.nan, np.nan)
    weights = np.array([len(u) - 1 for u, _ in pairs]) / (df + 1)
    r = _mean_correlation(squares, weights, 0.0)
    with np.errstate(divide="ignore"):
        t = float(r * np.sqrt(df / np.maximum(1 - r**2, 0.0)))
    critical = float(special.stdtrit(df, INTERVAL[1]))
    bound = critical / np.sqrt(df + critical**2)
    middle, lower, upper = (_ratio_at(squares, weights, level) for level in (0.0, bound, -bound))
    return VarianceTest(r, t, df, float(2 * special.stdtr(df, -abs(t))), middle, lower, upper)


def _centred(scores: FloatArray) -> FloatArray:
    """Deviations from the mean; 0 if all values are equal."""
    return np.where(np.ptp(scores) > ROUNDING * abs(scores.mean()), scores - scores.mean(), 0.0)


def _mean_correlation(squares: FloatArray, weights: FloatArray, log_ratio: float) -> float:
    """Correlation of sum and difference within runs after division of x / y by a ratio, mean over runs."""
    xx, yy, xy = squares.T
    scale = np.exp(log_ratio)
    one, other = xx / scale, yy * scale  # a common factor of both sides does not change the correlation
    product = np.maximum((one + other) ** 2 - 4 * xy**2, 1e-300)
    return float(weights @ np.clip((one - other) / np.sqrt(product), -1, 1))


def _ratio_at(squares: FloatArray, weights: FloatArray, level: float) -> float:
    """Ratio of the sds at which the correlation has the value `level`; the correlation falls with the ratio."""

    def above(log_ratio: float) -> float:
        return _mean_correlation(squares, weights, log_ratio) - level

    if above(-MAX_LOG_RATIO) <= 0 or above(MAX_LOG_RATIO) >= 0:
        return float("nan")  # the two scores differ only in scale
    return float(np.exp(scipy.optimize.brentq(above, -MAX_LOG_RATIO, MAX_LOG_RATIO)))


def joint_bootstrap(
    pairs: Sequence[tuple[RunScores, RunScores]], rng: np.random.Generator, n_bootstrap: int, *, matched: bool
) -> tuple[float, float]:
    """Percentile interval of the ratio over resampled seeds (within runs) and items, which are shared if `matched`."""
    squares = np.zeros((2, n_bootstrap))
    item_seed = int(rng.integers(2**32))
    for one, other in pairs:
        n = one.n_seeds
        weights = resampled_counts(n, n_bootstrap, rng) / n
        for side, run in enumerate((one, other)):
            stream = np.random.default_rng([item_seed, 0 if matched else side])  # the same items in every run
            scores = resampled_means(run.values, stream, n_bootstrap)
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


MIN_PAIRED_SEEDS: Final = 3  # of a run: two have no correlation of the two scores


def paired_runs(a: Sequence[RunScores], b: Sequence[RunScores], *, matched: bool) -> list[tuple[RunScores, RunScores]]:
    """Match runs by name, seeds and steps by label; drop items with a missing cell.

    Parameters
    ----------
    a, b : sequences of RunScores
        Runs of one benchmark, framing or measure each.
    matched : bool
        Whether both have the same items, which are matched by label; otherwise the two sets of items are kept.

    Raises
    ------
    AnalysisError
        If no run has `MIN_PAIRED_SEEDS` seeds and a step in common, or fewer than two items are complete.
    """
    others = {run.run: run for run in b}
    found = []
    for one in a:
        other = others.get(one.run)
        if other is None:
            continue
        seeds = [seed for seed in one.seeds if seed in other.seeds]
        steps = [step for step in one.steps if step in other.steps]
        if len(seeds) < MIN_PAIRED_SEEDS or not steps:
            continue
        items = one.items[one.items.isin(other.items)] if matched else None
        found.append(tuple(_aligned(run, seeds, steps, items) for run in (one, other)))
    kept = [_complete_items(*pair, matched=matched) for pair in found]
    if not kept:
        raise AnalysisError(
            f"no run has {MIN_PAIRED_SEEDS} seeds and a step in both; runs of the first: {[run.run for run in a][:5]}, "
            f"of the second: {[run.run for run in b][:5]}. Runs, seeds and steps must have the same names in both."
        )
    return kept


def _aligned(run: RunScores, seeds: list[str], steps: list[str], items: pd.Index | None) -> RunScores:
    rows, columns = pd.Index(run.seeds).get_indexer(pd.Index(seeds)), pd.Index(run.steps).get_indexer(pd.Index(steps))
    places = np.arange(run.n_items) if items is None else run.items.get_indexer(items)
    at = np.ix_(rows, columns, places)
    subtask = None if run.subtask is None else run.subtask.iloc[places]
    return replace(
        run, values=run.values[at], trials=run.trials[at], seeds=tuple(seeds), steps=tuple(steps),
        items=run.items[places], subtask=subtask, within=None if run.within is None else run.within[at],
    )  # fmt: skip


def _complete_items(one: RunScores, other: RunScores, *, matched: bool) -> tuple[RunScores, RunScores]:
    whole = [np.asarray(np.isfinite(run.values).all(axis=(0, 1))) for run in (one, other)]
    if matched:
        whole = [whole[0] & whole[1]] * 2
    for run, keep in zip((one, other), whole, strict=True):
        if keep.sum() < 2:
            raise AnalysisError(
                f"run {run.run!r}, {run.benchmark} {run.measure}: fewer than two items were answered by all seeds at "
                "all steps; a paired comparison needs them complete."
            )
    return one.take(whole[0]), other.take(whole[1])


N_BOOTSTRAP: Final = 1000
UNDEFINED: Final = "undefined"

Verdict = Literal["lower", "higher", "no difference shown", "undefined"]


@dataclass(frozen=True)
class VarianceComparison:
    """Comparison of the seed variances and signal-to-noise ratios of a and b.

    Parameters
    ----------
    ratio, ratio_q05, ratio_q95 : float
        E of a divided by E of b, and its 90% jackknife interval for repeated training.
    bootstrap_q05, bootstrap_q95 : float
        Percentile interval from resampled seeds (with all their steps) and items.
    test : VarianceTest
        At the last step, pooled within runs.
    snr_a, snr_b, snr_ratio, snr_ratio_q05, snr_ratio_q95 : float
        |mean| divided by the sd at the last step, pooled within runs, and the ratio of a to b.
    verdict, snr_verdict : {"lower", "higher", "no difference shown", "undefined"}
        a compared with b, from the 90% intervals; undefined without an interval, for example if one of the two has the
        same score for every seed.
    n_runs, n_seeds, n_steps, n_items_a, n_items_b, n_matched : int
        Numbers compared; `n_matched` is the number of items matched by label, 0 if the two sets of items differ.
    """

    a: str
    b: str
    n_runs: int
    n_seeds: int
    n_steps: int
    n_items_a: int
    n_items_b: int
    n_matched: int
    seed_sd_a: float
    seed_sd_b: float
    ratio: float
    ratio_q05: float
    ratio_q95: float
    bootstrap_q05: float
    bootstrap_q95: float
    test: VarianceTest
    snr_a: float
    snr_b: float
    snr_ratio: float
    snr_ratio_q05: float
    snr_ratio_q95: float
    verdict: Verdict
    snr_verdict: Verdict

    def row(self) -> dict[str, object]:
        """Plain values for a table."""
        own = {name: value for name, value in vars(self).items() if name != "test"}
        return own | {"pitman_morgan_t": self.test.t, "pitman_morgan_p": self.test.p}


def compare_variance(
    a: Sequence[RunScores],
    b: Sequence[RunScores],
    *,
    labels: tuple[str, str],
    seed: int = 0,
    n_bootstrap: int = N_BOOTSTRAP,
) -> VarianceComparison:
    """Compare the seed variance of two sets of scores of the same runs and seeds.

    Parameters
    ----------
    a, b : sequences of RunScores
        Runs are matched by name, seeds and steps by label; items by label if any match.
    labels : pair of str
        Names of a and b.
    seed : int
        Seed of the bootstrap.
    n_bootstrap : int
        Number of resamples of seeds and items.

    Raises
    ------
    AnalysisError
        If no run has three seeds in common, or fewer than two items are complete.
    """
    matched = bool(len(a[0].items.intersection(b[0].items)))
    pairs = paired_runs(a, b, matched=matched)
    x, y = ([run.scores() for run in side] for side in zip(*pairs, strict=True))
    ratio = _log_ratio(x, y)
    se, df = jackknife_error(x, y, _log_ratio)
    half = log_ratio_half_width(se, df)
    snr = _log_snr_ratio(x, y)
    snr_se, _ = jackknife_error(x, y, _log_snr_ratio)
    snr_half = log_ratio_half_width(snr_se, df)
    low, high = np.nan, np.nan
    if np.isfinite(ratio):
        low, high = joint_bootstrap(pairs, np.random.default_rng(seed), n_bootstrap, matched=matched)
    return VarianceComparison(
        a=labels[0],
        b=labels[1],
        n_runs=len(pairs),
        n_seeds=sum(len(scores) for scores in x),
        n_steps=max(scores.shape[1] for scores in x),
        n_items_a=pairs[0][0].n_items,
        n_items_b=pairs[0][1].n_items,
        n_matched=pairs[0][0].n_items if matched else 0,
        seed_sd_a=_mean_sd(x),
        seed_sd_b=_mean_sd(y),
        ratio=float(np.exp(ratio)),
        ratio_q05=float(np.exp(ratio - half)),
        ratio_q95=float(np.exp(ratio + half)),
        bootstrap_q05=low,
        bootstrap_q95=high,
        test=pitman_morgan([scores[:, -1] for scores in x], [scores[:, -1] for scores in y]),
        snr_a=_snr(x),
        snr_b=_snr(y),
        snr_ratio=float(np.exp(snr)),
        snr_ratio_q05=float(np.exp(snr - snr_half)),
        snr_ratio_q95=float(np.exp(snr + snr_half)),
        verdict=_verdict(ratio, half),
        snr_verdict=_verdict(snr, snr_half),
    )


def _mean_sd(scores: Sequence[FloatArray]) -> float:
    """E pooled over runs: root mean square, with weight S - 1, of the mean sd over steps."""
    weight = np.array([len(each) - 1 for each in scores], dtype=np.float64)
    e = np.array([_sd(each).mean() for each in scores])
    return float(np.sqrt((weight * e**2).sum() / weight.sum()))


def _sd(scores: FloatArray) -> FloatArray:
    return np.sqrt(without_rounding(scores.var(axis=0, ddof=1), scores.mean(axis=0)))


def _log_ratio(x: Sequence[FloatArray], y: Sequence[FloatArray]) -> float:
    return _log(_mean_sd(x)) - _log(_mean_sd(y))


def _snr(scores: Sequence[FloatArray]) -> float:
    mean = abs(float(np.mean([each[:, -1].mean() for each in scores])))
    sd = _mean_sd([each[:, -1:] for each in scores])
    return mean / sd if sd > 0 else float("nan")


def _log_snr_ratio(x: Sequence[FloatArray], y: Sequence[FloatArray]) -> float:
    return _log(_snr(x)) - _log(_snr(y))


def _log(value: float) -> float:
    return float(np.log(value)) if value > 0 else float("nan")


def _verdict(log_ratio: float, half: float) -> Verdict:
    if not np.isfinite(log_ratio) or not np.isfinite(half):
        return UNDEFINED
    if log_ratio + half < 0:
        return "lower"
    return "higher" if log_ratio - half > 0 else "no difference shown"
