"""Scores of a run on a benchmark, its subtasks and their macro-average: seed variance, and what sampling items adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy import stats

from irt_bench.arrays import FloatArray
from irt_bench.variance.moments import check_covariance, item_covariance, without_rounding
from irt_bench.variance.scores import RunScores, mean_over_items
from irt_bench.variance.subset_forms import stratified_variance

MACRO_AVERAGE: Final = "macro-average"  # in the column of subtasks: the mean of the subtasks' scores
CI_LEVEL: Final = 0.95  # of the paper's confidence intervals, which are kept as it gives them
Z_CI: Final = float(stats.norm.ppf((1 + CI_LEVEL) / 2))  # 1.96
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
    """Give the scores on the whole benchmark, then, where there are subtasks, on each and their macro-average."""
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
    )  # subtasks are sampled apart
    scores = np.mean([part.scores for part in parts], axis=0)
    return ScoreSet(
        run, MACRO_AVERAGE, scores, without_rounding(variance, mean_over_items(scores.T)), item_sd, bootstrap
    )


def analytic_interval(score: FloatArray, n_items: int) -> FloatArray:
    """Half-width of the 95% interval of a mean of 0/1 answers: 1.96 sqrt(S (1 - S) / N)."""
    return np.asarray(Z_CI * np.sqrt(score * (1 - score) / n_items))


def bootstrap_half_width(values: FloatArray, rng: np.random.Generator, n_bootstrap: int = N_BOOTSTRAP) -> FloatArray:
    """Half-width of the 95% percentile interval of each snapshot's mean over resampled items.

    Parameters
    ----------
    values : array of shape (seed, step, item)
        NaN where missing.
    rng : np.random.Generator
        For the resamples, which all snapshots share.
    n_bootstrap : int
        Number of resamples.

    Returns
    -------
    array of shape (seed, step)
    """
    n_items = values.shape[-1]
    rows = values.reshape(-1, n_items).T
    asked = np.isfinite(rows)
    filled = np.where(asked, rows, 0.0)
    means = np.empty((n_bootstrap, rows.shape[1]))
    block = max(1, 2_000_000 // n_items)
    for start in range(0, n_bootstrap, block):
        n = min(block, n_bootstrap - start)
        drawn = rng.integers(n_items, size=(n, n_items)) + np.arange(n)[:, None] * n_items
        weights = np.bincount(drawn.ravel(), minlength=n * n_items).reshape(n, n_items).astype(np.float64)
        total = weights @ asked if not asked.all() else n_items
        with np.errstate(invalid="ignore", divide="ignore"):
            means[start : start + n] = (weights @ filled) / total
    low, high = np.quantile(means, [(1 - CI_LEVEL) / 2, (1 + CI_LEVEL) / 2], axis=0)
    return np.asarray(((high - low) / 2).reshape(values.shape[:-1]))


def root(variance: FloatArray) -> FloatArray:
    """Root of a variance; one estimated as negative, which missing cells allow, counts as 0 here and only here."""
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))
