"""Metrics of seed variance for every benchmark, subtask, run and measure, each with an interval.

The metrics are those of Madaan et al., Quantifying variance in evaluation benchmarks, 2024, section 3.1, arXiv
2406.10229. Two other definitions of the signal-to-noise ratio have their own names. Scores are computed on the whole
benchmark, on its subtasks, and as their macro-average.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from irt_bench import names
from irt_bench.analysis.intervals import with_limits
from irt_bench.arrays import FloatArray, slices
from irt_bench.errors import UndefinedWarning
from irt_bench.names import INTERVAL, POOLED
from irt_bench.variance.moments import check_covariance, item_covariance, without_rounding
from irt_bench.variance.scores import RunScores, mean_over_items
from irt_bench.variance.small_sample import (
    beta_excess,
    c4,
    mean_sd_interval,
    ratio_correction,
    ratio_interval,
    robust_spread,
    satterthwaite_df,
    sd_interval,
    step_dependence,
)
from irt_bench.variance.variance_curve import stratified_variance

MACRO_AVERAGE: Final = "macro-average"  # in column ``subtask``: mean of the scores of the subtasks
CI_LEVEL: Final = 0.95  # of the confidence intervals of the paper
Z_CI: Final = float(special.ndtri((1 + CI_LEVEL) / 2))  # 1.96
N_BOOTSTRAP: Final = 400  # resamples of the items


class ScoreSet(NamedTuple):
    """Scores of a run on a benchmark, a subtask or the macro-average of subtasks.

    ``scores, item_sd`` (from sampling items alone) and ``ci_bootstrap`` (half-width) have shape (seed, step),
    ``variance`` (over seeds) has shape (step,).
    """

    run: RunScores
    subtask: str
    scores: FloatArray
    variance: FloatArray
    item_sd: FloatArray
    ci_bootstrap: FloatArray


def score_sets(run: RunScores, seed: int, n_bootstrap: int = N_BOOTSTRAP) -> list[ScoreSet]:
    """Scores on the whole benchmark; with subtasks, also on each subtask and their macro-average."""
    rng = np.random.default_rng(seed)
    whole = _plain(run, "", rng, n_bootstrap)
    parts = [_plain(part, name, rng, n_bootstrap) for name, part in run.subtasks().items()]
    return [whole, *parts, _macro(run, parts)] if parts else [whole]


def _plain(run: RunScores, subtask: str, rng: np.random.Generator, n_bootstrap: int) -> ScoreSet:
    covariance = item_covariance(np.swapaxes(run.values, 0, 1))
    check_covariance(covariance, f"benchmark {run.benchmark!r}, run {run.run!r}")
    scores = run.scores()
    n = np.maximum(np.isfinite(run.values).sum(axis=-1), 1)
    spread = np.where(np.isfinite(run.values), run.values - scores[..., None], 0.0)
    variance = scores * (1 - scores) if run.binary else (spread**2).sum(axis=-1) / np.maximum(n - 1, 1)
    bootstrap = bootstrap_half_width(run.values, rng, n_bootstrap)
    over_seeds = without_rounding(covariance.full_variance(), mean_over_items(scores.T))
    return ScoreSet(run, subtask, scores, over_seeds, np.sqrt(variance / n), bootstrap)


def _macro(run: RunScores, parts: Sequence[ScoreSet]) -> ScoreSet:
    codes = run.subtask_codes()
    if codes is None:
        raise ValueError("a macro-average needs subtasks")
    n = len(parts)
    sizes = np.bincount(codes)
    variance = stratified_variance(np.swapaxes(run.values, 0, 1), codes, sizes, np.full(n, 1 / n))
    item_sd, bootstrap = (
        np.sqrt(sum(getattr(part, name) ** 2 for part in parts)) / n for name in ("item_sd", "ci_bootstrap")
    )  # subtasks are sampled independently
    scores = np.mean([part.scores for part in parts], axis=0)
    return ScoreSet(
        run, MACRO_AVERAGE, scores, without_rounding(variance, mean_over_items(scores.T)), item_sd, bootstrap
    )


def bootstrap_half_width(values: FloatArray, rng: np.random.Generator, n_bootstrap: int = N_BOOTSTRAP) -> FloatArray:
    """Half-width of the 95% percentile interval of the mean of each checkpoint, (seed, step), over resampled items.

    `values` has shape (seed, step, item), NaN where missing. Resamples are the same for all checkpoints.
    """
    means = resampled_means(values, rng, n_bootstrap)
    low, high = np.quantile(means, [(1 - CI_LEVEL) / 2, (1 + CI_LEVEL) / 2], axis=0)
    return np.asarray((high - low) / 2)


def root(variance: FloatArray) -> FloatArray:
    """Root of a variance; a negative estimate, possible with missing cells, counts as 0."""
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


DDOF: Final = 1
LAST_CHECKPOINTS: Final = 5  # of a run: their sd is the noise in the other two definitions of SNR
MIN_STEPS: Final = 3  # for monotonicity
# Scores are treated as normal if their mean is at least this many seed sds away from 0 and 1. Closer to a bound, the
# distribution over seeds is skewed: chi-square intervals cover .25 to .85. Without an upper limit, and with degrees of
# freedom from the beta distribution, they cover .86 to .95.
NEAR_BOUND: Final = 3.0
EQUAL, NEAR_0, NEAR_1 = "equal scores", "near 0", "near 1"  # reasons for an interval without an upper limit
OPEN_BECAUSE: Final = {
    EQUAL: "all its seeds have the same score",
    NEAR_0: "scores near 0 are not normal: most seeds are at the bound and few are far from it",
    NEAR_1: "scores near 1 are not normal: most seeds are at the bound and few are far from it",
}
MAX_SEEDS_BIASED: Final = 5  # with at most this many seeds, SNR is biased by a factor of 1.25 or more
AVERAGED: Final = ("mean", "ci95_analytic", "ci95_bootstrap", "monotonicity")  # over runs, in pooled rows


def variance_metrics(runs: Sequence[RunScores], *, seed: int = 0, n_bootstrap: int = N_BOOTSTRAP) -> pd.DataFrame:
    """Measure the seed variance of runs on one benchmark, with one or several measures.

    Returns
    -------
    pd.DataFrame
        One row per (subtask, run, measure); ``subtask`` is empty for the whole benchmark. Columns: ``benchmark,
        subtask, run, measure, n_items, n_seeds, n_steps``; ``mean`` at the last step; ``seed_sd``, root of the variance
        over seeds (ddof 1) averaged over steps; ``e``, the E of the paper, mean over steps of the sd over seeds;
        ``e_unbiased``, unbiased for normal scores; ``seed_sd_final``, at the last step; ``seed_sd_robust``, from
        `robust_spread`; ``seed_sd_open``, the reason if the intervals of ``seed_sd`` and ``e`` have no upper limit;
        ``seed_sd_df``, their degrees of freedom; ``ci95_analytic, ci95_bootstrap``, half-widths of 95% intervals for
        the sampling of items, means over checkpoints; ``binomial_sd, item_sampling_sd``, the sd of the score from the
        sampling of items alone; ``monotonicity``; ``snr``, mean / sd over seeds at the last step; ``snr_unbiased``,
        unbiased for normal scores; ``snr_range, snr_models``, other definitions; ``missing``, share of cells. Limits of
        90% intervals end in ``_q05, _q95``. Undefined values are NaN.

    Notes
    -----
    Intervals of ``mean, seed_sd, e, snr`` are for repeated training with the same items. Measures other than 0/1
    answers have no analytic interval and no binomial sd.
    """
    sets = [found for run in runs for found in score_sets(run, seed, n_bootstrap)]
    frame = pd.DataFrame([_row(each) for each in sets])
    _add_other_ratios(frame, sets)
    still = frame["monotonicity"].isna() & (frame["n_steps"] >= MIN_STEPS)
    if still.any():
        first = frame[still].iloc[0]
        message = f"{runs[0].benchmark}: run {first[names.RUN]!r} has a constant score; monotonicity is undefined"
        warnings.warn(message, UndefinedWarning, stacklevel=2)
    return frame


def monotonicity(scores: FloatArray, *, lower_is_better: bool = False) -> FloatArray:
    """Kendall's tau-b of the scores of each seed, (..., step), with the order of the steps; 1 if they always improve.

    NaN with fewer than three steps, or if the score is constant; missing checkpoints are NaN.
    """
    out = tau_b(np.arange(scores.shape[-1], dtype=np.float64), -scores if lower_is_better else scores)
    return np.where(np.isfinite(scores).sum(axis=-1) >= MIN_STEPS, out, np.nan)


def tau_b(x: FloatArray, y: FloatArray) -> FloatArray:
    """Kendall's tau-b of x, (n,), and y, (..., n), without pairs that contain NaN; NaN if one is constant."""
    agreeing, x_moves, y_moves = np.zeros((3, *y.shape[:-1]))
    complete = np.isfinite(x).all() and np.isfinite(y).all()
    for place in range(len(x) - 1):
        right = np.sign(x[place + 1 :] - x[place])
        up = np.sign(y[..., place + 1 :] - y[..., place, None])
        if complete:
            agreeing += up @ right
            x_moves += np.abs(right).sum()
            y_moves += np.abs(up).sum(axis=-1)
            continue
        known = np.isfinite(right) & np.isfinite(up)
        agreeing += np.where(known, right * up, 0.0).sum(axis=-1)
        x_moves += np.where(known, np.abs(right), 0.0).sum(axis=-1)
        y_moves += np.where(known, np.abs(up), 0.0).sum(axis=-1)
    square = x_moves * y_moves
    return np.asarray(np.divide(agreeing, np.sqrt(square), out=np.full(agreeing.shape, np.nan), where=square > 0))


def _row(found: ScoreSet) -> dict[str, Any]:
    run, scores = found.run, found.scores
    n_there = np.isfinite(scores).sum(axis=0)
    usable = n_there >= 2
    last = int(np.flatnonzero(usable)[-1])
    final = scores[:, last][np.isfinite(scores[:, last])]
    sd = root(found.variance)
    e, seed_sd = float(np.mean(sd[usable])), float(root(found.variance[usable].mean()))
    mean = float(np.nanmean(scores[:, usable]))
    excess = beta_excess(mean, e) if run.binary else 0.0
    *e_limits, df = mean_sd_interval(np.asarray(e), scores[:, usable], excess)
    reason = open_limit_reason(mean, e, bounded=run.binary)
    (e_low, e_high), (low, high) = (
        (float(lower), np.nan if reason else float(upper))
        for lower, upper in (e_limits, sd_interval(np.asarray(seed_sd), df))
    )
    robust = robust_spread([scores[:, usable]], seed_sd, float(df), granularity=1 / run.n_items if run.binary else 0.0)
    trained = monotonicity(scores, lower_is_better=run.lower_is_better)
    snr = _ratio(float(final.mean()), float(sd[last]))
    snr_limits = ratio_interval(np.asarray(final.mean()), np.asarray(sd[last]), len(final))
    return {
        names.BENCHMARK: run.benchmark,
        names.SUBTASK: found.subtask,
        names.RUN: run.run,
        "measure": run.measure,
        "n_items": run.n_items,
        "n_seeds": run.n_seeds,
        "n_steps": int(usable.sum()),
        **with_limits("mean", float(final.mean()), *_mean_limits(final, float(sd[last]))),
        **with_limits("seed_sd", seed_sd, low, high),
        **with_limits("e", e, e_low, e_high),
        "e_unbiased": float(np.mean(sd[usable] / c4(n_there[usable]))),
        "seed_sd_final": float(sd[last]),
        **with_limits("seed_sd_robust", *robust),
        "seed_sd_open": reason,
        "seed_sd_df": float(df),
        "ddof": DDOF,
        "ci95_analytic": float(np.nanmean(Z_CI * found.item_sd)) if run.binary else np.nan,
        "ci95_bootstrap": float(np.nanmean(found.ci_bootstrap)),
        "binomial_sd": float(np.nanmean(found.item_sd)) if run.binary else np.nan,
        "item_sampling_sd": float(np.nanmean(found.item_sd)),
        **with_limits("monotonicity", *_mean_of_seeds(trained)),
        **with_limits("snr", snr, np.nan if reason else float(snr_limits[0]), float(snr_limits[1])),
        "snr_unbiased": snr * float(ratio_correction(len(final) - 1)),
        "missing": float(np.isnan(run.values[:, usable]).mean()),
    }


def open_limit_reason(mean: float, sd: float, *, bounded: bool) -> str:
    """Return the reason if the interval of a seed sd has no upper limit; empty if it has one.

    `mean` and `sd` are of the scores; `bounded` ones are shares in [0, 1].
    """
    if not sd > 0:
        return EQUAL
    if bounded and min(mean, 1 - mean) < NEAR_BOUND * sd:
        return NEAR_0 if mean < 0.5 else NEAR_1
    return ""


def metric_notes(metrics: pd.DataFrame) -> list[str]:
    """Return notes on the rows of one benchmark: intervals without an upper limit, bias of SNR with few seeds."""
    notes = []
    whole = metrics[metrics[names.SUBTASK] == ""]
    benchmark = metrics[names.BENCHMARK].iloc[0]
    for reason, why in OPEN_BECAUSE.items():
        rows = metrics[metrics["seed_sd_open"] == reason]
        if len(rows):
            first = rows.iloc[0]
            part = f", subtask {first[names.SUBTASK]!r}" if first[names.SUBTASK] else ""
            notes.append(
                f"{benchmark}: no upper limit of the seed sd in {len(rows)} of {len(metrics)} rows, first "
                f"{first['measure']} of run {first[names.RUN]!r}{part}: {why}"
            )
    few = whole[whole["snr"].notna() & (whole["n_seeds"] <= MAX_SEEDS_BIASED)]
    if len(few):
        n = int(few["n_seeds"].mode()[0])
        factor = float(ratio_correction(n - 1))
        bias = f"on average {1 / factor:.2f} times the true SNR" if factor > 0 else "on average infinite"
        notes.append(
            f"{benchmark}: SNR of a run with {n} seeds is {bias}, if scores are normal; snr_unbiased is corrected"
        )
    return notes


def _mean_limits(final: FloatArray, sd: float) -> tuple[float, float]:
    """Student t interval of the mean over seeds; NaN if all are equal."""
    if not sd > 0:
        return np.nan, np.nan
    half = float(special.stdtrit(len(final) - 1, INTERVAL[1])) * sd / np.sqrt(len(final))
    return float(final.mean() - half), float(final.mean() + half)


def _mean_of_seeds(values: FloatArray) -> tuple[float, float, float]:
    """Mean of correlations over seeds with its t interval, clipped to [-1, 1]."""
    known = values[np.isfinite(values)]
    if not len(known):
        return np.nan, np.nan, np.nan
    if len(known) < 2:
        return float(known[0]), np.nan, np.nan
    half = float(special.stdtrit(len(known) - 1, INTERVAL[1]) * known.std(ddof=1) / np.sqrt(len(known)))
    mean = float(known.mean())
    return mean, max(mean - half, -1.0), min(mean + half, 1.0)


def _add_other_ratios(frame: pd.DataFrame, sets: Sequence[ScoreSet]) -> None:
    """Add two other definitions of the signal-to-noise ratio, which need several runs and several steps.

    ``snr_range`` is the relative range of the final scores of all runs divided by the relative sd of the last
    checkpoints of a run. ``snr_models`` has the sd of the final scores in place of their range. Both sds have ddof 0,
    as in allenai/signal-and-noise (``snr/metrics.py``, ``snr/mask_analysis.py``); noise is averaged over seeds.
    """
    final = np.array([_last_mean(each.scores) for each in sets])
    noise = np.array([_checkpoint_noise(each.scores) for each in sets])
    frame["snr_range"], frame["snr_models"] = np.nan, np.nan
    for _, places in frame.groupby([names.SUBTASK, "measure"], sort=False).indices.items():
        if len(places) < 2:
            continue
        own, mean = final[places], abs(final[places].mean())
        for name, signal in (("snr_range", np.ptp(own)), ("snr_models", own.std())):
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = signal / mean / noise[places]
            frame.loc[frame.index[places], name] = np.where(noise[places] > 0, ratio, np.nan)


def _last_mean(scores: FloatArray) -> float:
    there = np.flatnonzero(np.isfinite(scores).sum(axis=0) >= 2)
    return float(np.nanmean(scores[:, there[-1]]))


def _checkpoint_noise(scores: FloatArray) -> float:
    """Relative sd of the last checkpoints of a run, mean over seeds; NaN with fewer than two checkpoints."""
    last = scores[:, -LAST_CHECKPOINTS:]
    if last.shape[1] < 2:
        return np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(np.nanmean(np.nanstd(last, axis=1) / np.abs(np.nanmean(last, axis=1))))


def pooled_metrics(metrics: pd.DataFrame, runs: Sequence[RunScores]) -> pd.DataFrame:
    """Pool the seed variance of `variance_metrics` within runs: one row per (benchmark, subtask, measure).

    Returns
    -------
    pd.DataFrame
        ``n_runs``; ``n_items, n_seeds, n_steps``, maxima over runs; ``mean, ci95_analytic, ci95_bootstrap,
        monotonicity``, means over runs; ``seed_sd``, root of the variance averaged over steps and over runs with weight
        S - 1, with a chi-square interval that is valid if sds of runs differ (`satterthwaite_df`); ``seed_sd_robust``;
        ``seed_sd_open``; ``snr``, mean / seed sd at the last step; ``snr_unbiased``.
    """
    scores = _scores_by_part(runs)
    rows = []
    for keys, group in metrics.groupby([names.BENCHMARK, names.SUBTASK, "measure"], sort=False):
        rows.append(
            dict(zip((names.BENCHMARK, names.SUBTASK, "measure"), keys, strict=True))
            | {"n_runs": len(group)}
            | {name: int(group[name].max()) for name in ("n_items", "n_seeds", "n_steps")}
            | {name: float(group[name].mean()) for name in AVERAGED}
            | _pooled_sd(group, scores[str(keys[1]), str(keys[2])])
            | _pooled_ratio(group)
        )
    return pd.DataFrame(rows)


def _scores_by_part(runs: Sequence[RunScores]) -> dict[tuple[str, str], list[FloatArray]]:
    """Scores of each run by subtask (empty for the whole benchmark) and measure."""
    found: dict[tuple[str, str], list[FloatArray]] = {}
    for run in runs:
        parts = {name: part.scores() for name, part in run.subtasks().items()}
        whole = {"": run.scores()} | parts
        if parts:
            whole[MACRO_AVERAGE] = np.mean(list(parts.values()), axis=0)
        for name, scores in whole.items():
            found.setdefault((name, run.measure), []).append(scores)
    return found


def _pooled_sd(group: pd.DataFrame, scores: Sequence[FloatArray]) -> dict[str, Any]:
    share = _seed_shares(group)
    variances = share * group["seed_sd"].to_numpy() ** 2
    rms = float(np.sqrt(variances.sum()))
    df = satterthwaite_df(variances, group["seed_sd_df"].to_numpy())
    lower, upper = sd_interval(np.asarray(rms), df)
    binary = bool(group["binomial_sd"].notna().any())
    reason = open_limit_reason(float(group["mean"].mean()), rms, bounded=binary)
    robust = robust_spread(scores, rms, df, granularity=1 / group["n_items"].max() if binary else 0.0)
    return (
        with_limits("seed_sd", rms, float(lower), np.nan if reason else float(upper))
        | with_limits("seed_sd_robust", *robust)
        | {"seed_sd_open": reason, "seed_sd_df": df}
    )


def _pooled_ratio(group: pd.DataFrame) -> dict[str, float]:
    """Mean over runs divided by the pooled sd at the last step."""
    n, final = group["n_seeds"].to_numpy(), group["seed_sd_final"].to_numpy()
    variances = _seed_shares(group) * final**2
    last, mean = float(np.sqrt(variances.sum())), float(group["mean"].mean())
    if not last > 0:
        return {"seed_sd_final": last, **with_limits("snr", np.nan, np.nan, np.nan), "snr_unbiased": np.nan}
    df = satterthwaite_df(variances, n - 1.0)
    n_equivalent = last**2 / float((final**2 / n).sum() / len(group) ** 2)  # seeds with the pooled sd and this error
    lower, upper = ratio_interval(np.asarray(mean), np.asarray(last), n_equivalent, df)
    return {
        "seed_sd_final": last,
        **with_limits("snr", mean / last, float(lower), float(upper)),
        "snr_unbiased": mean / last * float(ratio_correction(df)),
    }


def _seed_shares(group: pd.DataFrame) -> FloatArray:
    """Weight S - 1 of each run, normalised to sum 1."""
    weight = group["n_seeds"].to_numpy(dtype=np.float64) - 1
    return np.asarray(weight / weight.sum())


def _ratio(mean: float, sd: float) -> float:
    return mean / sd if sd > 0 else np.nan


RESAMPLED_CELLS: Final = 2_000_000  # resamples x items at once: 16 MB


def resampled_means(values: FloatArray, rng: np.random.Generator, n_resamples: int) -> FloatArray:
    """Mean over resampled items, shape (resample, ...); NaN is missing. All leading dimensions use the same items."""
    n_items = values.shape[-1]
    rows = values.reshape(-1, n_items).T
    asked = np.isfinite(rows)
    filled = np.where(asked, rows, 0.0)
    means = np.empty((n_resamples, rows.shape[1]))
    for block in slices(n_resamples, RESAMPLED_CELLS // n_items):
        n = block.stop - block.start
        drawn = rng.integers(n_items, size=(n, n_items)) + np.arange(n)[:, None] * n_items
        weights = np.bincount(drawn.ravel(), minlength=n * n_items).reshape(n, n_items).astype(np.float64)
        total = weights @ asked if not asked.all() else n_items
        with np.errstate(invalid="ignore", divide="ignore"):
            means[block] = (weights @ filled) / total
    return means.reshape(n_resamples, *values.shape[:-1])


COLUMNS: Final = ("benchmark", "run", "quantity", "estimate", "q05", "q95")
SEEN: Final = "score_sd_seen"  # beside them, the sd over seeds of the score itself, which score_sd is to agree with


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
