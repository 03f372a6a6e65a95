"""Comparison of two models on the same items: their difference, its standard errors, and its sources of noise.

The variance of a difference of two scores is the sum of data noise (which items were asked) and prediction noise (which
answers the models gave). The two parts are estimated without bias from two or more answers per cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy
from scipy import special

from irt_bench import names
from irt_bench.analysis.intervals import StandardError, cluster_error, strata_error
from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError, unknown_choice
from irt_bench.names import INTERVAL
from irt_bench.responses.counts import ResponseCounts
from irt_bench.variance.moments import item_covariance
from irt_bench.variance.scores import seed_layout


class SeedVarianceEstimate(NamedTuple):
    """Variance that other seeds add to a difference, its uncertainty, and the runs from which it is estimated."""

    variance: float
    uncertainty: float  # sum of squared variances over degrees of freedom, for Satterthwaite
    runs: tuple[str, ...]


@dataclass(frozen=True)
class ModelPair:
    """Comparison of model a with model b on the items that both answered.

    Parameters
    ----------
    difference, q05, q95, p : float
        Mean of a - b with its 90% interval and t test, for other items: from `se_cluster` if clusters are given, from
        `se_strata` if items have strata, otherwise from `se`.
    se : float
        Standard error for other items and other answers, items drawn at random.
    se_data, se_prediction : float
        Roots of its two parts; NaN with one answer per cell. A negative variance counts as 0, and `clipped` is true.
    se_strata, se_cluster : float
        Standard error for as many other items of each stratum, and for other clusters; NaN without strata or clusters.
        `n_groups` is the number of strata or clusters used for q05, q95 and p.
    a_wins, b_wins, sign_p : int, int, float
        Numbers of items on which one model is better, and the exact sign test (McNemar's, for 0/1 answers).
    mcnemar, mcnemar_p : float
        McNemar's chi-square with continuity correction.
    se_seeds : float
        Root of the sum of the seed variances of both recipes; NaN if seeds are unknown.
    q05_with_seeds, q95_with_seeds, p_with_seeds : float
        Interval and t test of the difference of the two recipes, for other seeds and other items.
    note : str
        Scope of the p-values, and the runs from which seed variance is estimated.
    """

    a: str
    b: str
    n_items: int
    score_a: float
    score_b: float
    difference: float
    q05: float
    q95: float
    p: float
    se: float
    se_data: float
    se_prediction: float
    clipped: bool
    se_strata: float
    se_cluster: float
    n_groups: int
    a_wins: int
    b_wins: int
    sign_p: float
    mcnemar: float
    mcnemar_p: float
    se_seeds: float
    q05_with_seeds: float
    q95_with_seeds: float
    p_with_seeds: float
    note: str


def compare_models(
    counts: ResponseCounts,
    a: str,
    b: str,
    *,
    strata: str | None = names.SUBTASK,
    item_clusters: str | None = None,
    run_columns: Sequence[str] | None = None,
) -> ModelPair:
    """Compare two models of a benchmark, item by item; see `irt_bench.compare_models`.

    Another benchmark of the same kind would have as many items of each of the `strata`, such as the subtasks of MMLU.
    Clusters of items, such as passages or templates, are a random sample, and are used instead of strata.

    Raises
    ------
    AnalysisError
        If a model or the column of clusters is unknown, there is only one cluster, or fewer than two items were
        answered by both.

    Notes
    -----
    If the run of a model has other seeds at the same step, its seed variance is that of their scores on these items,
    minus the part explained by the items. A recipe without other seeds gets the seed variance of the other recipe. If
    both models are seeds of one run, the seed variance is estimated from the other seeds of the run; with one to three
    of them, 90% intervals cover .88 to .90.
    """
    for label in (a, b):
        if label not in counts.models.index:
            raise AnalysisError(unknown_choice("model", label, counts.models.index))
    rows = counts.models.index.get_indexer(pd.Index([a, b]))
    both = np.asarray(counts.asked[rows].all(axis=0))
    if both.sum() < 2:
        raise AnalysisError(f"models {a!r} and {b!r} have {int(both.sum())} items in common; two or more are needed.")
    p = counts.proportions()[rows][:, both]
    k = np.asarray(counts.trials[rows][:, both], dtype=np.float64)
    data, prediction = noise_split(p[0], p[1], k[0], k[1]) if counts.measure == "correct" else (np.nan, np.nan)
    difference = p[0] - p[1]
    n = int(both.sum())
    plain = StandardError(float(difference.std(ddof=1) / np.sqrt(n)), n - 1.0, 0)
    by_strata, by_cluster = _grouped_errors(counts.items.loc[both], difference, strata, item_clusters)
    used = by_cluster or by_strata or plain
    mean = float(difference.mean())
    seeds = _seed_part(counts, (a, b), both, run_columns)
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    sign_p, statistic, mcnemar_p = sign_tests(wins, losses)
    return ModelPair(
        a, b, n, float(p[0].mean()), float(p[1].mean()), mean, *_t_test(mean, used.se, used.df), plain.se,
        float(np.sqrt(max(data, 0.0) / n)), float(np.sqrt(max(prediction, 0.0) / n)), bool(data < 0 or prediction < 0),
        by_strata.se if by_strata else np.nan, by_cluster.se if by_cluster else np.nan, used.n_groups,
        wins, losses, sign_p, statistic, mcnemar_p,
        float(np.sqrt(seeds.variance)) if seeds else np.nan, *_with_seeds(mean, used, seeds), _note(seeds),
    )  # fmt: skip


def _grouped_errors(
    items: pd.DataFrame, difference: FloatArray, strata: str | None, item_clusters: str | None
) -> tuple[StandardError | None, StandardError | None]:
    if item_clusters is not None:
        if item_clusters not in items:
            raise AnalysisError(unknown_choice("column of the items", item_clusters, items.columns))
        found = cluster_error(difference, items[item_clusters].to_numpy())
        if found.n_groups < 2:
            raise AnalysisError(
                f"column {item_clusters!r} has one value for all {len(items)} items; two clusters are needed."
            )
        return None, found
    if strata is None or strata not in items or items[strata].nunique(dropna=False) < 2:
        return None, None
    return strata_error(difference, items[strata].to_numpy()), None


def _t_test(mean: float, se: float, df: float) -> tuple[float, float, float]:
    """Limits of the 90% interval and the two-sided p-value; NaN if the standard error is 0."""
    if not se > 0:
        return np.nan, np.nan, np.nan
    half = float(special.stdtrit(df, INTERVAL[1])) * se
    return mean - half, mean + half, float(2 * special.stdtr(df, -abs(mean) / se))


def _seed_part(
    counts: ResponseCounts, labels: tuple[str, str], items: npt.NDArray[np.bool_], run_columns: Sequence[str] | None
) -> SeedVarianceEstimate | None:
    """Seed variance of the difference of two models, from the seeds of their runs; None if no run has two seeds."""
    if names.SEED not in counts.models or counts.models[names.SEED].isna().all():
        return None
    try:
        models = seed_layout(counts.models, run_columns=run_columns).models
    except AnalysisError:  # no run has two seeds, or runs cannot be distinguished
        return None
    shares = counts.proportions()[:, items]
    found: list[tuple[str, float, float, int]] = []
    for label in labels:
        if label in models.index:
            own = models.loc[label]
            same_run = models.index[(models[names.RUN] == own[names.RUN]) & (models[names.STEP] == own[names.STEP])]
            found.append((str(own[names.RUN]), *_seed_variance(shares, counts.models.index, same_run, labels)))
    known = [each for each in found if each[-1] > 0]
    if not known:
        return None
    if len({run for run, *_ in known}) == 1:  # seeds of one run, or of the only run that has seeds
        run, off, whole, nu = known[0]
        parts = [(2 * off, 2 * whole, nu)]
    else:
        parts = [each[1:] for each in known]
    return SeedVarianceEstimate(
        sum(max(off, 0.0) for off, *_ in parts),
        sum(whole**2 / nu for _, whole, nu in parts),
        tuple(dict.fromkeys(repr(run) for run, *_ in known)),
    )


def _seed_variance(
    shares: FloatArray, models: pd.Index, same_run: pd.Index, labels: tuple[str, str]
) -> tuple[float, float, int]:
    """Seed variance without and with the contribution of single items, and degrees of freedom; these are 0 if unknown.

    If both models are seeds of one run, their difference is what is tested: it is removed from the variance, and the
    other seeds remain.
    """
    values = shares[models.get_indexer(same_run)]
    covariance = item_covariance(values)
    off, whole, nu = float(covariance.off_diagonal), float(covariance.full_variance()), len(same_run) - 1
    if set(labels) <= set(same_run):
        pair = item_covariance(shares[models.get_indexer(pd.Index(labels))])
        left = max(nu - 1, 1)
        off = (nu * off - float(pair.off_diagonal)) / left
        whole = (nu * whole - float(pair.full_variance())) / left
        nu -= 1
    return (off, whole, nu) if whole > 0 else (0.0, 0.0, 0)


def _with_seeds(mean: float, items: StandardError, seeds: SeedVarianceEstimate | None) -> tuple[float, float, float]:
    """Interval and test for other seeds and other items, from the sum of variances (Satterthwaite)."""
    if seeds is None or not items.se > 0:
        return np.nan, np.nan, np.nan
    variance = items.se**2 + seeds.variance
    return _t_test(mean, float(np.sqrt(variance)), variance**2 / (items.se**4 / items.df + seeds.uncertainty))


def _note(seeds: SeedVarianceEstimate | None) -> str:
    about = (
        "q05, q95 and all p-values except p_with_seeds are for other items and these two trained models. They do not "
        "include the variance over seeds"
    )
    if seeds is None:
        return f"{about}, which is unknown: their runs have no other seeds here."
    runs = " and ".join(seeds.runs)
    return f"{about}; q05_with_seeds, q95_with_seeds and p_with_seeds include it, from the seeds of run {runs}."


def noise_split(
    share_a: FloatArray, share_b: FloatArray, answers_a: npt.ArrayLike, answers_b: npt.ArrayLike
) -> tuple[float, float]:
    """Split the variance over items of the difference of two answers, one of each model, without bias.

    Shares are of right answers, shape (item,), and answers their number per cell, shape (item,) or one.

    Returns
    -------
    data, prediction : float
        Variance over items of the expected difference, and mean variance of the difference given the item; NaN unless
        every cell has two or more answers.

    Notes
    -----
    With e = p (1 - p) k / (k - 1), the unbiased variance of one answer: prediction = mean(e_a + e_b), and
    data = var(p_a - p_b) - mean(e_a / k_a + e_b / k_b), with ddof 1 in var. For equal k this is
    ``Paired.from_samples_unbiasedK`` of eval-arena (which has ddof 0 in var) [1]_.

    References
    ----------
    .. [1] Wang, Measuring all the noises of LLM evals, 2025, arXiv 2512.21326.
    """
    own = []
    for share, answers in ((share_a, answers_a), (share_b, answers_b)):
        k = np.broadcast_to(np.asarray(answers, dtype=np.float64), np.shape(share))
        if (k < 2).any():
            return np.nan, np.nan
        own.append((share * (1 - share) * k / (k - 1), share * (1 - share) / (k - 1)))
    prediction = float((own[0][0] + own[1][0]).mean())
    return float((share_a - share_b).var(ddof=1) - (own[0][1] + own[1][1]).mean()), prediction


def sign_tests(wins: int, losses: int) -> tuple[float, float, float]:
    """Exact sign test of wins against losses, McNemar's chi-square with continuity correction, and its p-value."""
    if wins + losses == 0:
        return 1.0, 0.0, 1.0
    statistic = max(abs(wins - losses) - 1, 0) ** 2 / (wins + losses)
    return float(scipy.stats.binomtest(wins, wins + losses).pvalue), statistic, float(special.chdtrc(1, statistic))
