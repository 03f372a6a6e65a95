"""Do the seeds vary as is supposed: an outlying seed, heavy tails; and does the seed model describe their scores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import pandas as pd
import scipy

from irt_bench.arrays import FloatArray
from irt_bench.inference.convergence import Check
from irt_bench.names import POOLED
from irt_bench.variance.moments import ROUNDING
from irt_bench.variance.scores import RunScores
from irt_bench.variance.small_sample import satterthwaite_df, sd_interval, step_dependence

COLUMNS: Final = ("benchmark", "run", "quantity", "estimate", "q05", "q95")
SEEN: Final = "score_sd_seen"  # beside them, the sd over seeds of the score itself, which score_sd is to agree with
DISPERSION_LIMIT: Final = 1.25  # of the answers' variance over what the items imply, or the other way round
SPREAD_LIMIT: Final = 1.25  # of one sd of the score over another
LEVEL: Final = 0.05  # of each check of the seeds
FEWEST_SEEDS: Final = 3
FEWEST_RUNS: Final = 4  # from which on their sds are compared
OUT_BY: Final = 10.0  # sds of the diverged seed in the figure of power
COARSE: Final = 1.5  # items; below, the sds of runs are mostly rounding and not compared
HEAVY: Final = 3  # degrees of freedom of the t distribution in the figure of power
N_REFERENCE: Final = 20_000  # draws of normal seeds behind a p-value
N_POWER: Final = 400  # data sets behind a figure of power: +-.05


def seed_checks(runs: Sequence[RunScores]) -> tuple[Check, ...]:
    """Check whether the seeds of the runs look like values of a normal distribution, as intervals of their sd suppose.

    Parameters
    ----------
    runs : sequence of RunScores
        Of one benchmark and measure; their scores at the last step, runs of three seeds or more.

    Returns
    -------
    tuple of Check
        ``outlying_seed``: none stands out from its run (the largest deviation in sds, Grubbs), nor, with four runs or
        more, does one make its run's sd stand out (the largest log sd). ``normal_seeds``: the largest deviations of
        all runs together are not too large (Fisher's method). Values are p-values, from normal seeds drawn at random;
        each check fails in 5% of data sets of normal seeds. Messages state the power.

    Notes
    -----
    Three seeds of one run can show next to nothing, since two of them often lie close to each other.

    References
    ----------
    .. [1] Grubbs, Sample criteria for testing outlying observations, 1950, DOI 10.1214/aoms/1177729885.
    """
    used = [(run, final) for run in runs if (final := _final(run)).notna().sum() >= FEWEST_SEEDS]
    scores = [final.dropna().to_numpy(dtype=np.float64) for _, final in used]
    scores = [x if np.ptp(x) > ROUNDING * abs(x.mean()) else np.full(len(x), x[0]) for x in scores]
    if not any(np.ptp(x) > 0 for x in scores):
        text = f"no run has {FEWEST_SEEDS} seeds whose scores differ"
        return tuple(Check(name, "not_applicable", None, LEVEL, text) for name in ("outlying_seed", "normal_seeds"))
    grain = 1 / max(run.n_items for run, _ in used) if used[0][0].binary else 0.0
    within, between, shape = (each[0] for each in _seed_p_values([x[None] for x in scores], grain))
    powers = _powers(tuple(len(x) for x in scores))
    seed, text = _outlying([final.dropna() for _, final in used], within, between)
    return (
        Check(
            "outlying_seed", "passed" if seed > LEVEL else "failed", seed, LEVEL,
            (text if seed <= LEVEL else "no seed stands out") + f"; one {OUT_BY:g} sds off is found in {powers[0]:.0%} "
            "of such data",
        ),
        Check(
            "normal_seeds", "passed" if shape > LEVEL else "failed", float(shape), LEVEL,
            ("seeds lie farther out than normal ones: intervals of the seed sd are too narrow; go by seed_sd_robust"
             if shape <= LEVEL else "seeds lie no farther out than normal ones")
            + f"; heavy tails (t, {HEAVY} degrees of freedom) are found in {powers[1]:.0%} of such data",
        ),
    )  # fmt: skip


def _final(run: RunScores) -> pd.Series:
    """Scores at the last step by seed, named as the run."""
    return pd.Series(run.scores()[:, -1], index=list(run.seeds), name=run.run)


def _outlying(finals: Sequence[pd.Series], within: FloatArray, between: FloatArray) -> tuple[float, str]:
    """Smallest p-value of a seed, all runs and both ways of standing out taken into account, and what to say of it."""
    ways = [within * len(finals), between] if np.isfinite(between).all() else [within * len(finals)]
    first = min(ways, key=np.min)
    place = int(np.argmin(first))
    final = finals[place]
    away = (final - final.median()).abs()
    seed, others = str(away.idxmax()), away.drop(away.idxmax()).max()
    return min(1.0, float(first.min()) * len(ways)), (
        f"seed {seed!r} of run {final.name!r} is {away.max():.3g} off the median of its run, the others at most "
        f"{others:.3g}: the sd over seeds is mostly its doing; go by seed_sd_robust, or leave it out"
    )


def _seed_p_values(runs: Sequence[FloatArray], grain: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give p-values of each run's largest deviation and of each run's sd, and of all deviations together.

    Parameters
    ----------
    runs : sequence of arrays of shape (data set, seed)
    grain : float
        What scores are multiples of. Rounding to it makes seeds tie; its variance is added, lest ties look like seeds
        far closer together than the last.

    Returns
    -------
    within, between : arrays of shape (data set, run)
        The latter, of the run with the largest sd, holds its p-value for the largest of all; NaN with few runs.
    shape : array of shape (data set,)
    """
    sizes = tuple(x.shape[1] for x in runs)
    rounding = grain**2 / 6  # of the difference of two rounded scores
    variances = np.stack([x.var(axis=1, ddof=1) + rounding for x in runs], axis=1)
    within = np.ones(variances.shape)
    for place, x in enumerate(runs):
        known = variances[:, place] > 0
        largest = np.abs(x - x.mean(axis=1, keepdims=True)).max(axis=1)[known] / np.sqrt(variances[known, place])
        within[known, place] = _upper_share(largest, _largest_deviations(sizes[place]))
    with np.errstate(divide="ignore"):
        shape = scipy.stats.chi2.sf(-2 * np.log(within).sum(axis=1), 2 * len(runs))
    between = np.full(within.shape, np.nan)
    if len(runs) >= FEWEST_RUNS and (variances > 0).all():
        between = np.ones(within.shape)
        fine = np.flatnonzero(np.median(variances, axis=1) > (COARSE * grain) ** 2)
        logs = _standing(np.log(variances[fine]))
        between[fine, logs.argmax(axis=1)] = _upper_share(logs.max(axis=1), _largest_spreads(sizes))
    return within, between, np.asarray(shape)


def _standing(logs: FloatArray) -> FloatArray:
    spread = np.maximum(logs.std(axis=1, ddof=1, keepdims=True), ROUNDING)  # runs of few items may have equal sds
    return np.asarray((logs - logs.mean(axis=1, keepdims=True)) / spread)


def _upper_share(values: FloatArray, reference: FloatArray) -> FloatArray:
    """Share of sorted reference values that are at least as large, never 0."""
    above = len(reference) - np.searchsorted(reference, values, side="left")
    return np.asarray((above + 1) / (len(reference) + 1))


@lru_cache(maxsize=128)
def _largest_deviations(size: int) -> FloatArray:
    """Largest deviation in sds of so many normal seeds, sorted."""
    x = np.random.default_rng(0).normal(size=(2 * N_REFERENCE, size))
    return np.sort(np.abs(x - x.mean(axis=1, keepdims=True)).max(axis=1) / x.std(axis=1, ddof=1))


@lru_cache(maxsize=128)
def _largest_spreads(sizes: tuple[int, ...]) -> FloatArray:
    """Largest log variance of runs of so many normal seeds, in sds about their mean, sorted."""
    nu = np.array(sizes) - 1.0
    logs = np.log(np.random.default_rng(0).chisquare(nu, size=(N_REFERENCE, len(sizes))) / nu)
    return np.sort(_standing(logs).max(axis=1))


@lru_cache(maxsize=128)
def _powers(sizes: tuple[int, ...]) -> tuple[float, float]:
    """Power of the two checks: one seed of the first run off by `OUT_BY` sds; all seeds of a t distribution."""
    rng = np.random.default_rng(0)
    out = [rng.normal(size=(N_POWER, size)) for size in sizes]
    out[0][:, 0] += OUT_BY
    within, between, _ = _seed_p_values(out, 0.0)
    ways = [within.min(axis=1) * len(sizes)]
    if np.isfinite(between).all():
        ways.append(between.min(axis=1))
    shape = _seed_p_values([rng.standard_t(HEAVY, size=(N_POWER, size)) for size in sizes], 0.0)[2]
    return float((np.min(ways, axis=0) * len(ways) <= LEVEL).mean()), float((shape <= LEVEL).mean())


def description_checks(ratio: float, table: pd.DataFrame) -> tuple[Check, ...]:
    """Check what the model supposes, and whether it comes to the scores seen.

    Parameters
    ----------
    ratio : float
        From `answer_variance_ratio`.
    table : pd.DataFrame
        From `seed_effect_table` and `seen_spread`, of one set of items.

    Returns
    -------
    tuple of Check
        ``answers``: they vary as P (1 - P); ``equal_spread``: seeds spread alike in ability at all runs and steps;
        ``score_sd``: the sd of these seeds' scores is that seen.
    """
    pooled = table[table["run"] == POOLED].set_index("quantity")["estimate"]
    return (
        _check(
            "answers", ratio, DISPERSION_LIMIT,
            "answers vary {:.2f} times as much around their expectation as the items imply",
            "; the model takes them so",
        ),
        _check(
            "equal_spread", pooled["score_sd"] / pooled["these_score_sd"], SPREAD_LIMIT,
            "the sd of a new seed's score is {:.2f} times that of these seeds",
            ": seeds spread more in ability at some runs or steps; go by the rows of these seeds",
        ),
        _check(
            "score_sd", pooled["these_score_sd"] / pooled[SEEN], SPREAD_LIMIT,
            "the model's sd of these seeds' scores is {:.2f} times the one seen",
            "; trust the components of variance",
        ),
    )  # fmt: skip


def _check(name: str, value: float, limit: float, text: str, consequence: str) -> Check:
    if not np.isfinite(value):
        return Check(name, "not_applicable", None, limit, "cells are missing")
    good = 1 / limit <= value <= limit
    message = text.format(value) + ("" if good else consequence)
    return Check(name, "passed" if good else "failed", float(value), limit, message)


def seen_spread(runs: Sequence[RunScores], weights: pd.Series | None = None) -> pd.DataFrame:
    """Tabulate the sd over seeds of the (weighted) score: variances averaged over steps, and over runs when pooled.

    The interval is the chi-square one, of as many degrees of freedom as seeds, and steps that move apart, have; NaN
    where cells are missing.
    """
    rows, variances, freedoms = [], [], []
    for run in runs:
        scores = _weighted_scores(run, weights)
        if not np.isfinite(scores).all():
            rows.append((run.benchmark, run.run, SEEN, np.nan, np.nan, np.nan))
            continue
        variances.append(float(scores.var(axis=0, ddof=1).mean()))
        freedoms.append(float((run.n_seeds - 1) / step_dependence(scores)))
        rows.append((run.benchmark, run.run, *_spread(variances[-1], freedoms[-1])))
    if variances:
        freedom = satterthwaite_df(np.array(variances), np.array(freedoms))  # of variances with equal weights
        rows.append((runs[0].benchmark, POOLED, *_spread(float(np.mean(variances)), freedom)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _spread(variance: float, freedom: float) -> tuple[str, float, float, float]:
    sd = float(np.sqrt(variance))
    lower, upper = sd_interval(np.asarray(sd), freedom)
    return SEEN, sd, float(lower), float(upper)


def _weighted_scores(run: RunScores, weights: pd.Series | None) -> FloatArray:
    """Scores of shape (seed, step)."""
    if weights is None:
        return run.scores()
    by_label = pd.Series(weights.to_numpy(dtype=np.float64), weights.index.astype("str"))
    own = by_label.reindex(run.items.astype("str")).fillna(0.0).to_numpy()
    used = own != 0
    return np.asarray(run.values[..., used] @ (own[used] / own.sum()))
