"""Scenes: one set of scores beside its references, which are the full benchmark and random subsets.

Random subsets are of the same size and scored by the same estimator with the same weights: what is left is the choice
of items. Beside it stand three more comparisons, each with a name in the results: with the full benchmark (``_full``),
with plain means of random subsets (``_plain``, so that choice, weights and estimator count together), and again with
random subsets of the same estimator but in units of signal (``_signal``): an estimate that merely shrinks moves less
between runs and steps too, and cuts nothing then.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np

from irt_bench.arrays import FloatArray
from irt_bench.variance.study.collect import Collected
from irt_bench.variance.study.design import THETA
from irt_bench.variance.study.reading import WEIGHTED
from irt_bench.variance.study.references import POOLED
from irt_bench.variance.study.snapshots import RunVariance, mean_known, movement, pooled_variance, statistics_of
from irt_bench.variance.study.verdicts import (
    LogRatio,
    Ratio,
    item_spread,
    log_ratio,
    percentile,
    two_sided,
    with_interval,
)

SPREAD_SUBSETS: Final = 500  # random subsets behind the spread over items: known to 3%
NO_RATIO: Final = Ratio(np.nan, np.nan, np.nan, np.nan)
UNDEFINED: Final = {"bias": np.array(np.nan)}  # of ability, which is no estimate of the full score


class Null:
    """Random subsets of one size, scored by one estimator with one weighting, over all runs.

    Parameters
    ----------
    found : Collected
        Whose snapshots the scores are of.
    scores : array of shape (subset, row)
        Scores.
    full : array of shape (row,)
        The full benchmark's on the same scale.
    """

    def __init__(self, found: Collected, scores: FloatArray, full: FloatArray) -> None:
        self.scores = scores
        self.full = full
        self.own = found.variances(scores)
        self.common = found.variances(scores.mean(axis=0))

    @cached_property
    def variance(self) -> FloatArray:
        """Seed variance, shape (subset, run)."""
        return np.stack([each.value for each in self.own], axis=1)


class Scene:
    """References for one run, or all runs pooled: the full benchmark's variances and the random subsets'."""

    def __init__(self, found: Collected, run: str, scale: str, null: Null | None = None) -> None:
        self.places = list(range(len(found.runs))) if run == POOLED else [found.runs.index(run)]
        self.scale = scale
        self.snapshots, self.rows = found.part(None if run == POOLED else run)
        self.full = [found.full_variance[scale][place] for place in self.places]
        self.full_scores = found.full[WEIGHTED][self.rows]
        self.signal = found.full[scale][self.rows]
        if null is None:
            return
        self.n_random = len(null.scores)
        self.pooled = pool(null.variance[:, self.places], self.freedom)
        self.null = float(self.pooled.mean())
        self.sds = np.sqrt(self.pooled)
        self.random_scores = null.scores[:, self.rows]
        self.common = [null.common[place] for place in self.places]
        self.moves = movement(self.random_scores, self.signal, self.snapshots)
        self.common_moves = float(movement(self.random_scores.mean(axis=0), self.signal, self.snapshots))
        self.noise = per_signal(self.sds, self.moves)
        self.own = [_first(null.own[place], SPREAD_SUBSETS) for place in self.places]
        self._spread = log_ratio(self.own, self.common, self.null)

    @cached_property
    def item_variance(self) -> float:
        """Variance of the log ratio that the choice of items makes."""
        return item_spread(self._spread)

    @cached_property
    def signal_item_variance(self) -> float:
        """Variance of the log ratio in units of signal that the choice of items makes."""
        moves = self.moves[: len(self._spread.value)]
        return item_spread(shifted(self._spread, log_positive(moves / self.common_moves)))

    @property
    def freedom(self) -> FloatArray:
        """Seeds less one, of each run."""
        return np.array([each.freedom for each in self.full], dtype=np.float64)

    def sd(self, variances: list[RunVariance]) -> float:
        """Pooled seed sd."""
        return float(np.sqrt(max(float(pooled_variance(variances)), 0.0)))

    def statistics(self, scores: FloatArray) -> dict[str, float]:
        """Measure scores of the scene's rows, shape (..., row); of several sets the means of what is known."""
        found = statistics_of(scores, self.full_scores, self.snapshots)
        if self.scale == THETA:
            found |= UNDEFINED | {"movement": movement(scores, self.signal, self.snapshots)}
        return {name: float(mean_known(np.atleast_1d(each))) for name, each in found.items()}


class Compared(NamedTuple):
    """Numbers of one row, and its ratios with intervals by comparison: random, full, plain, signal."""

    numbers: dict[str, Any]
    ratios: dict[str, Ratio]


def compare_scores(found: Collected, scene: Scene, plain: Scene | None, scores: FloatArray) -> Compared:
    """Hold scores, shape (row,), against the references; `plain` is None where plain means are on another scale."""
    every = found.variances(scores)
    own = [every[place] for place in scene.places]
    sd, moves = scene.sd(own), float(movement(scores[scene.rows], scene.signal, scene.snapshots))
    against = log_ratio(own, scene.common, scene.null)
    noise = float(per_signal(np.array(sd), np.array(moves)))
    relative = log_positive(np.array(moves / scene.common_moves))
    ratios = {
        "random": with_interval(against, scene.item_variance, scene.sds),
        "full": with_interval(log_ratio(own, scene.full), scene.item_variance),
        "plain": NO_RATIO,
        "signal": with_interval(shifted(against, relative), scene.signal_item_variance, scene.noise),
    }
    numbers = {
        "seed_sd": sd,
        "seed_sd_full": scene.sd(scene.full),
        "percentile_random": percentile(sd, scene.sds),
        "percentile_signal": percentile(noise, scene.noise),
        "p_random": two_sided(sd, scene.sds),
        "p_full": ratios["full"].p,
        "p_signal": two_sided(noise, scene.noise),
        "n_random": scene.n_random,
    }
    if plain is not None:
        ratios["plain"] = with_interval(log_ratio(own, plain.common, plain.null), plain.item_variance, plain.sds)
        numbers |= {
            "percentile_plain": percentile(sd, plain.sds),
            "p_plain": two_sided(sd, plain.sds),
            "ratio_plain_signal": ratios["plain"].ratio / moves * plain.common_moves if moves > 0 else np.nan,
        }
    return Compared(numbers, ratios)


def compare_nulls(scene: Scene, plain: Scene) -> tuple[Ratio, float]:
    """Ratio of seed sds of random subsets to plain means of the same subsets, and its value in units of signal.

    The seeds are the same and, subset by subset, so are the items: what differs is the estimator and the weights.
    """
    n = len(scene.own[0].value)
    pairs = log_ratio(scene.own, [_first(each, n) for each in plain.own])
    known = np.isfinite(pairs.value) & np.isfinite(pairs.variance)  # a subset without any spread has no ratio
    if not known.any():
        return NO_RATIO, np.nan
    # All subsets see the same seeds, so their chance does not average out; that of the items does.
    value = 0.5 * np.log(scene.pooled.mean() / plain.pooled[: len(scene.pooled)].mean())
    mean = LogRatio(*(np.asarray(each) for each in (value, pairs.variance[known].mean(), pairs.freedom[known].mean())))
    spread = float(pairs.value[known].var()) / n
    found = with_interval(mean, spread)
    moves = scene.common_moves
    return found, found.ratio / moves * plain.common_moves if moves > 0 else np.nan


def per_signal(sd: FloatArray, moves: FloatArray) -> FloatArray:
    """Seed sd in units of signal; infinite for scores that do not move, or move the other way; NaN if not known."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isnan(moves), np.nan, np.where(moves > 0, sd / moves, np.inf))


def log_positive(values: FloatArray) -> FloatArray:
    """Logarithm; minus infinity, not a warning, where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(np.isnan(values), np.nan, np.log(np.maximum(values, 0))))


def shifted(found: LogRatio, by: FloatArray) -> LogRatio:
    """Take a logarithm off a log ratio, its variance over seeds left as it is; NaN without noise and signal."""
    with np.errstate(invalid="ignore"):
        return found._replace(value=np.asarray(found.value - by))


def pool(variance: FloatArray, freedom: FloatArray) -> FloatArray:
    """Pool variances of shape (..., run) by the seeds less one."""
    return np.asarray(variance @ freedom / freedom.sum())


def _first(run: RunVariance, n: int) -> RunVariance:
    return RunVariance(run.value[:n], run.contrasts[:n], run.freedom)
