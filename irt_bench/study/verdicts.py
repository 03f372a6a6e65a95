"""Verdicts on a subset: the ratio of its seed sd to that of a reference, with an interval and a p-value.

References are the full benchmark and random subsets of the same size. There are four comparisons, with these endings in
the names of columns:

- none: with random subsets, scored by the same estimator with the same weights: only the choice of items differs;
- ``_signal``: the same in units of movement, because an estimate that merely shrinks also moves less between runs and
  steps, and reduces nothing;
- ``_plain``: with unweighted means of random subsets, so that choice, weights and estimator count together;
- ``_full``: with the full benchmark.

Three sources of chance enter. Seeds are few: two scores of the same seeds are correlated normals, as in the test of
Pitman and Morgan [1]_, pooled within runs. The chosen items are a sample: the spread of random subsets beyond what
their seeds explain is added. Many recipes are compared: Holm's correction covers all that one estimator scores at one
size. A jackknife over seeds, as usually given, covers 78% for 90% with many runs of three seeds. The variance from the
correlation needs no scores without each seed, and also holds against a mean variance of many random subsets.

A verdict is *cuts* or *raises* only if the 90% interval of the log ratio excludes 0 and the p-value after Holm's
correction is at most 0.1, else *no difference shown*. Without an interval or a p-value there is no verdict. The verdict
over the whole study also requires that the p-value of the interval is at most 0.1 after Holm's correction over all
recipes of all benchmarks, sizes and estimators.

References
----------
.. [1] Pitman, A note on normal correlation, 1939, DOI 10.1093/biomet/31.1-2.9.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from scipy import special

from irt_bench.arrays import FloatArray
from irt_bench.names import INTERVAL, POOLED
from irt_bench.study.collect import BenchmarkResults
from irt_bench.study.data import RunVariance, movement, pooled_variance, score_statistics
from irt_bench.study.design import THETA
from irt_bench.study.plan import LEVEL
from irt_bench.study.split import WEIGHTED
from irt_bench.variance.small_sample import step_dependence

Verdict = Literal["cuts", "raises", "no difference shown", ""]

CUTS: Final = "cuts"
RAISES: Final = "raises"
NO_DIFFERENCE: Final = "no difference shown"
UNDEFINED: Final = ""
TINY: Final = 1e-12
MAX_FREEDOM: Final = 1e6  # degrees of freedom: a normal distribution
MIN_CONTRASTS: Final = 5  # to estimate the correlation of steps over seeds


class LogRatio(NamedTuple):
    """Log ratio of two seed sds, its variance over repeated training, and the degrees of freedom of that variance.

    Arrays of shape (...). The variance is NaN with one run of two seeds, which have no correlation.
    """

    value: FloatArray
    variance: FloatArray
    freedom: FloatArray

    def at(self, place: int) -> LogRatio:
        """One of several."""
        return LogRatio(*(np.asarray(each[place]) for each in self))


class Ratio(NamedTuple):
    """Ratio of two seed sds with its 90% interval, and the two-sided p-value of a ratio of 1.

    ``log_error`` is the standard error of its logarithm, with ``freedom`` degrees of freedom. ``spread`` is the sd of
    the logarithms of random subsets, if it is compared with them.
    """

    ratio: float
    lower: float
    upper: float
    p: float
    log_error: float = np.nan
    freedom: float = np.nan
    spread: float = np.nan


def log_ratio(x: list[RunVariance], y: list[RunVariance], reference: float | None = None) -> LogRatio:
    """Log ratio of the pooled seed sd of x to that of a reference, with its variance.

    Parameters
    ----------
    x, y : lists of RunVariance
        The same runs and seeds in both, in one order; values of shape (...) that broadcast.
    reference : float, optional
        Pooled variance to compare with, by default that of y. The mean variance of random subsets is that of their mean
        score, y, and a precisely known part of the items: for means, V(k) = V(N) + s2_res (1 / k - 1 / N).

    Notes
    -----
    With correlation rho of the two scores over nu degrees of freedom, and g the share of y's variance in the reference,
    the variance of the log ratio is (1 + g^2 - 2 g rho^2) / (2 nu): (1 - rho^2) / nu where the reference is y. One
    degree is lost for rho, as in the test of Pitman and Morgan. nu counts seeds less one, fewer where runs differ in
    variance (Satterthwaite), more where steps move apart.
    """
    own, other = pooled_variance(x), pooled_variance(y)
    against = other if reference is None else np.asarray(reference)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = 0.5 * (np.log(own) - np.log(against))
        share = np.clip(np.where(against > 0, other / against, np.nan), 0, 1)
        squared = _squared_correlation(x, y)
    freedom = effective_freedom(x, y) - 1
    spread = (1 + share**2 - 2 * share * squared) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.where(freedom > 0, np.maximum(spread, 0.0) / np.maximum(freedom, 1e-9), np.nan)
    return LogRatio(
        np.asarray(value), np.asarray(variance * np.ones_like(value)), np.broadcast_to(freedom, value.shape)
    )


def _squared_correlation(x: list[RunVariance], y: list[RunVariance]) -> FloatArray:
    """Squared correlation of two scores over seeds, pooled over runs and steps."""
    products = [np.zeros(()), np.zeros(()), np.zeros(())]
    for one, other in zip(x, y, strict=True):
        steps = min(one.contrasts.shape[-1], other.contrasts.shape[-1])
        a, b = one.contrasts[..., -steps:], other.contrasts[..., -steps:]
        for place, (left, right) in enumerate(((a, b), (a, a), (b, b))):
            products[place] = products[place] + (left * right).sum(axis=(-2, -1)) / steps
    xy, xx, yy = products
    return np.asarray(np.clip(np.divide(xy**2, xx * yy, out=np.zeros(np.shape(xx * yy)), where=xx * yy > 0), 0, 1))


def effective_freedom(x: list[RunVariance], y: list[RunVariance]) -> FloatArray:
    """Degrees of freedom of pooled variances: seeds less one, corrected for unequal runs and independent steps.

    Notes
    -----
    Satterthwaite: nu^2 / sum f w^2, w the variance of a run over the pooled variance. The square of an estimate with f
    degrees of freedom is too large by (f + 2) / f, which is corrected. `step_dependence` gives the weight of steps.
    """
    apart = np.maximum(_steps_share(x), _steps_share(y))
    f = np.array([run.freedom for run in x], dtype=np.float64)
    squares: FloatArray = np.zeros(np.shape(apart))
    pooled_x, pooled_y = pooled_variance(x), pooled_variance(y)
    with np.errstate(divide="ignore", invalid="ignore"):
        for one, other, own in zip(x, y, f, strict=True):
            w = np.nan_to_num(0.5 * (one.value / pooled_x + other.value / pooled_y), nan=1.0)
            seeds = own / apart
            squares = squares + own * w**2 * seeds / (seeds + 2)
    runs = np.clip(f.sum() ** 2 / np.maximum(squares, 1e-12), 1.0, f.sum())
    return np.asarray(runs / apart)


def _steps_share(runs: list[RunVariance]) -> FloatArray:
    """Variance of the pooled variance as a share of that at one step; 1 if runs have different steps."""
    n_steps = {run.contrasts.shape[-1] for run in runs}
    contrasts = np.concatenate([run.contrasts for run in runs], axis=-2) if len(n_steps) == 1 else None
    if contrasts is None or n_steps == {1} or contrasts.shape[-2] < MIN_CONTRASTS:
        return np.ones(runs[0].contrasts.shape[:-2])
    return step_dependence(contrasts)


def item_spread(random: LogRatio) -> float:
    """Variance of the log ratio over random subsets that is due to their items, beyond what their seeds explain.

    `random` is of random subsets against their root mean variance, shape (subset,).
    """
    known = np.isfinite(random.value) & np.isfinite(random.variance)
    if known.sum() < 2:
        return np.nan
    return max(float(random.value[known].var(ddof=1) - random.variance[known].mean()), 0.0)


def ratio_with_interval(found: LogRatio, spread: float, random: FloatArray | None = None) -> Ratio:
    """Ratio with its 90% interval: Student t over seeds and items together (Welch-Satterthwaite).

    `spread` is that of `item_spread`, 0 if no items were chosen; `random` are the seed sds of the random subsets that
    the p-value comes from.
    """
    value, own = float(found.value), float(found.variance)
    ratio = float(np.exp(value))
    total = own + spread
    if not np.isfinite(value) or not np.isfinite(total):
        return Ratio(ratio if np.isfinite(ratio) else np.nan, np.nan, np.nan, np.nan)
    if total <= 0:  # the two scores are the same
        return Ratio(ratio, ratio, ratio, 1.0 if abs(value) < 1e-9 else 0.0)
    freedom = max(float(found.freedom), 1e-3) * (total / own) ** 2 if own > 0 else np.inf
    error = np.sqrt(total)
    freedom = min(freedom, MAX_FREEDOM)
    half = float(special.stdtrit(freedom, INTERVAL[1])) * error  # as stats.t, without its checks of arguments
    p = float(2 * special.stdtr(freedom, -abs(value) / error))
    logs = np.log(random[np.isfinite(random) & (random > 0)]) if random is not None else np.empty(0)
    spread_random = float(logs.std(ddof=1)) if len(logs) > 1 else np.nan
    return Ratio(ratio, float(np.exp(value - half)), float(np.exp(value + half)), p, error, freedom, spread_random)


def percentile(value: float, random: FloatArray) -> float:
    """Share of random subsets with a seed sd no larger, the method counted among them: a permutation p-value."""
    if not np.isfinite(value):
        return np.nan
    return float((1 + (random <= value).sum()) / (1 + len(random)))


def two_sided(value: float, random: FloatArray) -> float:
    """Two-sided permutation p-value: twice the smaller of the shares of random subsets as low and as high."""
    if not np.isfinite(value):
        return np.nan
    low, high = (random <= value).sum(), (random >= value).sum()
    return float(min(2 * (1 + min(low, high)) / (1 + len(random)), 1.0))


def verdict(ratio: Ratio, p_holm: float) -> Verdict:
    """Return what the interval shows if the corrected p-value agrees; empty if either is undefined."""
    if not np.isfinite(p_holm) or np.isnan(ratio.lower):
        return UNDEFINED
    if not p_holm <= LEVEL + TINY:
        return NO_DIFFERENCE
    if ratio.upper < 1:
        return CUTS
    return RAISES if ratio.lower > 1 else NO_DIFFERENCE


SPREAD_SUBSETS: Final = 500  # random subsets behind the spread over items, then known to 3%
NO_RATIO: Final = Ratio(np.nan, np.nan, np.nan, np.nan)


class RandomReference:
    """Random subsets of one size, scored by one estimator with one weighting, over all runs.

    `scores` have shape (subset, row); `full` are those of the full benchmark on the same scale, shape (row,).
    """

    def __init__(self, found: BenchmarkResults, scores: FloatArray, full: FloatArray) -> None:
        self.scores = scores
        self.full = full
        self.own = found.variances(scores)
        self.common = found.variances(scores.mean(axis=0))

    @cached_property
    def variance(self) -> FloatArray:
        """Seed variance, shape (subset, run)."""
        return np.stack([each.value for each in self.own], axis=1)


class ScoreComparison:
    """References for one run, or for all runs pooled: the full benchmark's variances and the random subsets'."""

    def __init__(self, found: BenchmarkResults, run: str, scale: str, reference: RandomReference | None = None) -> None:
        self.places = list(range(len(found.runs))) if run == POOLED else [found.runs.index(run)]
        self.scale = scale
        self.checkpoints, self.rows = found.part(None if run == POOLED else run)
        self.full = [found.full_variance[scale][place] for place in self.places]
        self.full_scores = found.full[WEIGHTED][self.rows]
        self.signal = found.full[scale][self.rows]
        if reference is None:
            return
        self.n_random = len(reference.scores)
        self.pooled = pool(reference.variance[:, self.places], self.freedom)
        self.random_variance = float(self.pooled.mean())
        self.sds = np.sqrt(self.pooled)
        self.random_scores = reference.scores[:, self.rows]
        self.common = [reference.common[place] for place in self.places]
        self.moves = movement(self.random_scores, self.signal, self.checkpoints)
        self.common_moves = float(movement(self.random_scores.mean(axis=0), self.signal, self.checkpoints))
        self.noise = noise_per_signal(self.sds, self.moves)
        self.own = [_first_subsets(reference.own[place], SPREAD_SUBSETS) for place in self.places]
        self._spread = log_ratio(self.own, self.common, self.random_variance)

    @cached_property
    def item_variance(self) -> float:
        """Variance of the log ratio that the choice of items makes."""
        return item_spread(self._spread)

    @cached_property
    def signal_item_variance(self) -> float:
        """Variance of the log ratio in units of signal that the choice of items makes."""
        moves = self.moves[: len(self._spread.value)]
        return item_spread(shift_log_ratio(self._spread, log_positive(moves / self.common_moves)))

    @property
    def freedom(self) -> FloatArray:
        """Seeds less one, of each run."""
        return np.array([each.freedom for each in self.full], dtype=np.float64)

    def sds_of(self, variances: list[RunVariance]) -> FloatArray:
        """Pooled seed sds, shape (...)."""
        return np.sqrt(np.maximum(pooled_variance(variances), 0.0))

    @cached_property
    def sd_full(self) -> float:
        """Pooled seed sd of the full benchmark."""
        return float(self.sds_of(self.full))

    def statistics(self, scores: FloatArray) -> dict[str, FloatArray]:
        """Measure scores of the rows compared, shape (..., row)."""
        found = score_statistics(scores, self.full_scores, self.checkpoints)
        if self.scale == THETA:
            unknown = np.full(scores.shape[:-1], np.nan)  # ability is no estimate of the full score
            found |= {"bias": unknown, "movement": movement(scores, self.signal, self.checkpoints)}
        return found


class ComparisonNumbers(NamedTuple):
    """Numbers of one row, and its ratios with intervals by comparison: random, full, plain, signal."""

    numbers: dict[str, Any]
    ratios: dict[str, Ratio]


def compare_scores(
    found: BenchmarkResults, comparison: ScoreComparison, plain: ScoreComparison | None, scores: FloatArray
) -> list[ComparisonNumbers]:
    """Compare scores of shape (method, row) with the references; `plain` is None if means are on another scale."""
    every = found.variances(scores)
    own = [every[place] for place in comparison.places]
    sds = comparison.sds_of(own)
    moves = movement(scores[:, comparison.rows], comparison.signal, comparison.checkpoints)
    noise = noise_per_signal(sds, moves)
    against = log_ratio(own, comparison.common, comparison.random_variance)
    against_full = log_ratio(own, comparison.full)
    per_signal = shift_log_ratio(against, log_positive(moves / comparison.common_moves))
    against_plain = None if plain is None else log_ratio(own, plain.common, plain.random_variance)
    rows = []
    for place, (sd, moved, noisy) in enumerate(zip(sds.tolist(), moves.tolist(), noise.tolist(), strict=True)):
        ratios = {
            "random": ratio_with_interval(against.at(place), comparison.item_variance, comparison.sds),
            "full": ratio_with_interval(against_full.at(place), comparison.item_variance),
            "plain": NO_RATIO,
            "signal": ratio_with_interval(per_signal.at(place), comparison.signal_item_variance, comparison.noise),
        }
        numbers = {
            "seed_sd": sd,
            "seed_sd_full": comparison.sd_full,
            "percentile_random": percentile(sd, comparison.sds),
            "percentile_signal": percentile(noisy, comparison.noise),
            "p_random": two_sided(sd, comparison.sds),
            "p_full": ratios["full"].p,
            "p_signal": two_sided(noisy, comparison.noise),
            "n_random": comparison.n_random,
        }
        if plain is not None and against_plain is not None:
            ratios["plain"] = ratio_with_interval(against_plain.at(place), plain.item_variance, plain.sds)
            numbers |= {
                "percentile_plain": percentile(sd, plain.sds),
                "p_plain": two_sided(sd, plain.sds),
                "ratio_plain_signal": ratios["plain"].ratio / moved * plain.common_moves if moved > 0 else np.nan,
            }
        rows.append(ComparisonNumbers(numbers, ratios))
    return rows


def compare_random(comparison: ScoreComparison, plain: ScoreComparison) -> tuple[Ratio, float]:
    """Ratio of seed sds of random subsets to plain means of the same subsets, and its value in units of signal.

    Seeds and items are the same in each pair of subsets; only the estimator and the weights differ.
    """
    n = len(comparison.own[0].value)
    pairs = log_ratio(comparison.own, [_first_subsets(each, n) for each in plain.own])
    known = np.isfinite(pairs.value) & np.isfinite(pairs.variance)  # a subset without variance has no ratio
    if not known.any():
        return NO_RATIO, np.nan
    # All subsets share the seeds, so that seed noise does not average out over subsets; item noise does.
    value = 0.5 * np.log(comparison.pooled.mean() / plain.pooled[: len(comparison.pooled)].mean())
    mean = LogRatio(*(np.asarray(each) for each in (value, pairs.variance[known].mean(), pairs.freedom[known].mean())))
    spread = float(pairs.value[known].var()) / n
    found = ratio_with_interval(mean, spread)
    moves = comparison.common_moves
    return found, found.ratio / moves * plain.common_moves if moves > 0 else np.nan


def noise_per_signal(sd: FloatArray, moves: FloatArray) -> FloatArray:
    """Seed sd in units of signal; infinite for scores that do not move or move the other way; NaN if undefined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isnan(moves), np.nan, np.where(moves > 0, sd / moves, np.inf))


def log_positive(values: FloatArray) -> FloatArray:
    """Logarithm; minus infinity for 0 and below."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(np.isnan(values), np.nan, np.log(np.maximum(values, 0))))


def shift_log_ratio(found: LogRatio, by: FloatArray) -> LogRatio:
    """Subtract from a log ratio; its variance over seeds stays. NaN without noise and signal."""
    with np.errstate(invalid="ignore"):
        return found._replace(value=np.asarray(found.value - by))


def pool(variance: FloatArray, freedom: FloatArray) -> FloatArray:
    """Pool variances of shape (..., run) by the seeds less one."""
    return np.asarray(variance @ freedom / freedom.sum())


def _first_subsets(run: RunVariance, n: int) -> RunVariance:
    return RunVariance(run.value[:n], run.contrasts[:n], run.freedom)
