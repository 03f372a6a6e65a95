"""Two models on the same items: the difference, its standard errors, and where its noise comes from.

The variance of a difference of two scores splits into data noise (which items were asked) and prediction noise (which
answers were drawn from the models). The split is unbiased from two answers a cell on; the plain plug-in is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from irt_bench import names
from irt_bench.errors import AnalysisError, unknown_choice
from irt_bench.names import INTERVAL
from irt_bench.responses.counts import ResponseCounts

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ModelPair:
    """Model a against model b on the items both answered.

    Parameters
    ----------
    difference, q05, q95 : float
        Mean of a - b with its 90% interval, from `se_cluster` where items are grouped, else from `se`.
    se : float
        Standard error for other items and other answers.
    se_data, se_prediction : float
        Its two parts, roots of variances; NaN with one answer a cell. A negative variance counts as 0 and `clipped`
        says so.
    se_cluster : float
        Standard error that lets items of one group move together; NaN without groups. `n_groups` says how many.
    a_wins, b_wins, sign_p : int, int, float
        Items on which one is better, and the exact sign test (McNemar's, for 0/1 answers).
    mcnemar, mcnemar_p : float
        McNemar's chi-square with continuity correction.
    """

    a: str
    b: str
    n_items: int
    score_a: float
    score_b: float
    difference: float
    q05: float
    q95: float
    se: float
    se_data: float
    se_prediction: float
    clipped: bool
    se_cluster: float
    n_groups: int
    a_wins: int
    b_wins: int
    sign_p: float
    mcnemar: float
    mcnemar_p: float


def compare_models(counts: ResponseCounts, a: str, b: str, *, group: str = names.SUBTASK) -> ModelPair:
    """Compare two models of a benchmark, item by item.

    Parameters
    ----------
    counts : ResponseCounts
        Of one benchmark.
    a, b : str
        Labels of the models.
    group : str
        Column of the items whose values move together, for the cluster-robust standard error.

    Raises
    ------
    AnalysisError
        If a model is unknown, or fewer than two items were answered by both.
    """
    for label in (a, b):
        if label not in counts.models.index:
            raise AnalysisError(unknown_choice("model", label, counts.models.index))
    rows = counts.models.index.get_indexer(pd.Index([a, b]))
    both = counts.asked[rows].all(axis=0)
    if both.sum() < 2:
        raise AnalysisError(f"models {a!r} and {b!r} have {int(both.sum())} items in common; two or more are needed.")
    p = counts.proportions()[rows][:, both]
    k = np.asarray(counts.trials[rows][:, both], dtype=np.float64)
    data, prediction = noise_split(p[0], p[1], k[0], k[1]) if counts.measure == "correct" else (np.nan, np.nan)
    difference = p[0] - p[1]
    n = int(both.sum())
    se = float(difference.std(ddof=1) / np.sqrt(n))
    groups = counts.items[group].to_numpy()[both] if group in counts.items else None
    robust, n_groups = cluster_error(difference, groups) if groups is not None else (np.nan, 0)
    used, freedom = (robust, n_groups - 1) if n_groups > 1 else (se, n - 1)
    half = float(stats.t.ppf(INTERVAL[1], freedom)) * used
    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    sign_p, statistic, mcnemar_p = sign_tests(wins, losses)
    mean = float(difference.mean())
    return ModelPair(
        a, b, n, float(p[0].mean()), float(p[1].mean()), mean, mean - half, mean + half, se,
        float(np.sqrt(max(data, 0.0) / n)), float(np.sqrt(max(prediction, 0.0) / n)), bool(data < 0 or prediction < 0),
        robust, n_groups, wins, losses, sign_p, statistic, mcnemar_p,
    )  # fmt: skip


def noise_split(
    share_a: FloatArray, share_b: FloatArray, answers_a: npt.ArrayLike, answers_b: npt.ArrayLike
) -> tuple[float, float]:
    """Part the variance over items of the difference of two answers, one of each model, without bias.

    Parameters
    ----------
    share_a, share_b : arrays of shape (item,)
        Share of right answers.
    answers_a, answers_b : int or arrays of shape (item,)
        Answers drawn.

    Returns
    -------
    data, prediction : float
        Variance over items of the expected difference, and mean variance of the difference given the item; NaN unless
        every cell has two answers.

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


def cluster_error(difference: FloatArray, groups: npt.ArrayLike) -> tuple[float, int]:
    """Give the standard error of a mean whose values move together within groups, and the number of groups.

    Notes
    -----
    sqrt(G / (G - 1) sum_g (sum of deviations in g)^2) / N; NaN with one group. Each value its own group: the usual
    standard error.

    References
    ----------
    .. [1] Liang, Zeger, Longitudinal data analysis using generalized linear models, 1986, DOI 10.1093/biomet/73.1.13.
    .. [2] Miller, Adding error bars to evals, 2024, arXiv 2411.00640.
    """
    codes, labels = pd.factorize(np.asarray(groups), use_na_sentinel=False)
    n_groups = len(labels)
    if n_groups < 2:
        return np.nan, n_groups
    sums = np.bincount(codes, weights=difference - difference.mean())
    return float(np.sqrt(n_groups / (n_groups - 1) * (sums**2).sum()) / len(difference)), n_groups


def sign_tests(wins: int, losses: int) -> tuple[float, float, float]:
    """Exact sign test of wins against losses, McNemar's chi-square with continuity correction, and its p-value."""
    if wins + losses == 0:
        return 1.0, 0.0, 1.0
    statistic = max(abs(wins - losses) - 1, 0) ** 2 / (wins + losses)
    return float(stats.binomtest(wins, wins + losses).pvalue), statistic, float(stats.chi2.sf(statistic, 1))
