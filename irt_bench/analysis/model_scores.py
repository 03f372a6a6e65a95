"""Scores of models with standard errors, and all pairs of models: what can be told apart, on one benchmark or several.

Two questions have two standard errors (NIST AI 800-3, 2026). *Generalized accuracy* is the score on the population of
items of which the benchmark is a sample: ``score_q05`` and ``score_q95`` are of it. *Benchmark accuracy* is the score
on these very items over all answers that the model might give: ``benchmark_se`` and its limits are of it, and need two
answers or more in each cell.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from irt_bench import names
from irt_bench.analysis.intervals import (
    StandardError,
    centred_sums,
    cluster_error,
    column_mean_interval,
    holm,
    strata_error,
    wilson_interval,
)
from irt_bench.arrays import BoolArray, FloatArray
from irt_bench.errors import AnalysisError, unknown_choice
from irt_bench.names import INTERVAL, MODEL
from irt_bench.responses.counts import ResponseCounts

ACCURACY_MEASURE: Final = "accuracy"
SUITE: Final = "mean of benchmarks"
LEVEL: Final = 0.05  # chance that any pair of equal models is told apart
MAX_PAIRED: Final = 200  # models, of which all pairs are compared: 19,900
PAIR_COLUMNS: Final = (
    "a",
    "b",
    "n_items",
    "difference",
    "difference_se",
    "difference_q05",
    "difference_q95",
    "df",
    "p",
)
_MEASURE: Final = re.compile(r"^(pass|majority)@(\d+)$")


def cell_values(counts: ResponseCounts, measure: str = ACCURACY_MEASURE) -> FloatArray:
    """Compute the score of each cell, in [0, 1], shape (model, item); NaN where there are too few answers.

    Parameters
    ----------
    counts : ResponseCounts
        Right answers and trials.
    measure : str
        "accuracy"
            Share of right answers: the unbiased estimate of avg@k for every k.
        "pass@k"
            Chance that one or more of k answers are right, ``1 - C(n - c, k) / C(n, k)`` of c right answers of n [1]_.
        "majority@k"
            Chance that more than half of k answers are right, half of it where half of them are: a vote that wrong
            answers never win by agreeing, so that a vote over texts is right at least as often.

    Raises
    ------
    AnalysisError
        If the measure is not known, cells hold scores and not numbers of right answers, or no cell has k answers.

    References
    ----------
    .. [1] Chen et al., Evaluating large language models trained on code, 2021, arXiv 2107.03374, section 2.1.
    """
    if measure == ACCURACY_MEASURE:
        return counts.proportions()
    match = _MEASURE.match(measure)
    if match is None or int(match[2]) < 1:
        raise AnalysisError(unknown_choice("measure", measure, (ACCURACY_MEASURE, "pass@5", "majority@5")))
    k = int(match[2])
    if counts.measure != "correct":
        raise AnalysisError(f"{measure} needs numbers of right answers; these responses are scores in [0, 1].")
    most = int(counts.trials.max(initial=0))
    if most < k:
        raise AnalysisError(f"{measure} needs {k} answers in a cell; the most in any cell is {most}.")
    from scipy.stats import hypergeom  # takes half a second to import

    kinds, where = np.unique(
        np.stack([counts.correct.ravel(), counts.trials.ravel()], axis=1), axis=0, return_inverse=True
    )
    right, n = kinds.T.astype(np.int64)
    enough = np.maximum(n, k)
    if match[1] == "pass":
        value = hypergeom.sf(0, enough, right, k)
    else:
        value = hypergeom.sf(k // 2, enough, right, k)
        value = value + (hypergeom.pmf(k // 2, enough, right, k) / 2 if k % 2 == 0 else 0.0)
    return np.asarray(np.where(n >= k, value, np.nan)[where.ravel()].reshape(counts.correct.shape))


def score_table(
    counts: ResponseCounts,
    *,
    measure: str = ACCURACY_MEASURE,
    item_clusters: str | None = None,
    strata: str | None = names.SUBTASK,
) -> pd.DataFrame:
    """Score of each model on one benchmark, for other items and for these; see `irt_bench.model_scores`.

    Returns
    -------
    pd.DataFrame
        Indexed by model:

        ``score``
            mean over the items answered, in [0, 1].
        ``score_se, score_q05, score_q95``
            for other items (generalized accuracy): clusters where they are given (`cluster_error`), else strata
            (`strata_error`), else Wilson's interval of 0/1 items with one answer each, and Student's t of others.
        ``benchmark_se, benchmark_q05, benchmark_q95``
            for these items and other answers (benchmark accuracy): sqrt(sum of p (1 - p) / (k - 1)) / n, NaN with one
            answer in any cell, and of pass@k and majority@k.
        ``n_items, n_answers``
            items answered, and answers.

    Raises
    ------
    AnalysisError
        If the column of clusters is unknown, or holds one value.
    """
    _check_cluster(counts, item_clusters)
    values = cell_values(counts, measure)
    found = np.isfinite(values)
    mean, low, high, se = _for_other_items(values, found)
    groups = _group_items(counts.items, item_clusters, strata)
    if groups.error is not None:
        errors = [_mean_error(row[there], groups, there) for row, there in zip(values, found, strict=True)]
        se, df, n_groups = (np.array(part, dtype=np.float64) for part in zip(*errors, strict=True))
        half = special.stdtrit(np.where(df > 0, df, np.nan), INTERVAL[1]) * se
        flat = wilson_interval(mean, n_groups.astype(np.intp))  # all alike: no more is known than of so many items
        low = np.where(se > 0, np.clip(mean - half, 0, 1), flat.lower)
        high = np.where(se > 0, np.clip(mean + half, 0, 1), flat.upper)
    columns = {"score": mean, "score_se": se, "score_q05": low, "score_q95": high, **_for_these_items(counts, measure)}
    n_answers = np.where(found, counts.trials, 0).sum(axis=1)
    table = pd.DataFrame({**columns, "n_items": found.sum(axis=1), "n_answers": n_answers}, index=counts.models.index)
    return table.rename_axis(MODEL)


def pair_table(
    counts: ResponseCounts,
    *,
    measure: str = ACCURACY_MEASURE,
    item_clusters: str | None = None,
    strata: str | None = names.SUBTASK,
    baseline: str | None = None,
) -> pd.DataFrame:
    """Differences of pairs of models, of all or with `baseline`, on the items that both answered; see `score_table`.

    Returns
    -------
    pd.DataFrame
        Row per pair: ``a, b, n_items``, ``difference`` (a less b) with ``_se``, ``_q05``, ``_q95``, ``df`` and ``p`` of
        Student's t for other items, and ``p_holm``, adjusted for all rows. NaN where two models answered alike.

    Raises
    ------
    AnalysisError
        If there are more than 200 models and no baseline, or the baseline or the column of clusters is unknown.
    """
    _check_cluster(counts, item_clusters)
    labels = [str(label) for label in counts.models.index]
    if baseline is None and len(labels) > MAX_PAIRED:
        raise AnalysisError(f"{len(labels):,} models have too many pairs; name up to {MAX_PAIRED} as models=...")
    if baseline is not None and baseline not in labels:
        raise AnalysisError(unknown_choice("model", baseline, labels))
    values = cell_values(counts, measure)
    found = np.isfinite(values)
    pairs = list(combinations(range(len(labels)), 2))
    if baseline is not None:
        first = labels.index(baseline)
        pairs = [(other, first) for other in range(len(labels)) if other != first]
    groups = _group_items(counts.items, item_clusters, strata)
    rows = []
    for a, b in pairs:
        both = found[a] & found[b]
        difference = values[a][both] - values[b][both]
        error = _mean_error(difference, groups, both)
        rows.append((labels[a], labels[b], int(both.sum()), *_tested(difference, error)))
    table = pd.DataFrame(rows, columns=list(PAIR_COLUMNS))
    return table.assign(p_holm=holm(table["p"].to_numpy(dtype=np.float64)))


def suite_scores(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Mean over benchmarks of each model's score: the benchmarks stay, their items are a sample.

    Columns are those of `score_table`, of the models that took all benchmarks; limits by the normal distribution.
    """
    kept = _taken_by_all(tables)
    stacked = {name: _stacked(tables, kept, name) for name in ("score", "score_se", "benchmark_se")}
    mean = stacked["score"].mean(axis=0)
    found = {"score": mean}
    for name in ("score", "benchmark"):
        se = np.sqrt((stacked[f"{name}_se"] ** 2).sum(axis=0)) / len(tables)
        half = float(special.ndtri(INTERVAL[1])) * se
        limits = {f"{name}_q05": np.clip(mean - half, 0, 1), f"{name}_q95": np.clip(mean + half, 0, 1)}
        found |= {f"{name}_se": se, **limits}
    counted = {name: _stacked(tables, kept, name).sum(axis=0).astype(np.int64) for name in ("n_items", "n_answers")}
    return pd.DataFrame({**found, **counted}, index=kept).rename_axis(MODEL)


def suite_pairs(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Mean over benchmarks of the differences of pairs that all benchmarks have, by Satterthwaite's degrees of freedom.

    Parameters
    ----------
    tables : dict
        Benchmark → `pair_table`.
    """
    keyed = {name: table.set_index(["a", "b"]) for name, table in tables.items()}
    kept = _taken_by_all(keyed)
    difference = _stacked(keyed, kept, "difference").mean(axis=0)
    variances = _stacked(keyed, kept, "difference_se") ** 2
    total = variances.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        df = total**2 / (variances**2 / _stacked(keyed, kept, "df")).sum(axis=0)
    se = np.sqrt(total) / len(tables)
    rows = [
        (*pair, n, *_limits(*row))
        for pair, n, row in zip(
            kept, _stacked(keyed, kept, "n_items").sum(axis=0), zip(difference, se, df, strict=True), strict=True
        )
    ]
    table = pd.DataFrame(rows, columns=list(PAIR_COLUMNS)).astype({"n_items": np.int64})
    return table.assign(p_holm=holm(table["p"].to_numpy(dtype=np.float64)))


def ranked(scores: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Add ranks, the ranks that are not ruled out, and groups of models that cannot be told apart, from all pairs.

    Returns
    -------
    pd.DataFrame
        With ``rank`` (1 is best, ties share), ``rank_best`` and ``rank_worst``, and ``group``: 1 is the best model and
        all that cannot be told apart from it, 2 the best of the others and those like it, and so on.

    Notes
    -----
    A model ranks below those that are better with p_holm < .05 and above those that are worse: all models' ranks lie
    within ``rank_best`` and ``rank_worst`` together with a chance of 95% [1]_.

    References
    ----------
    .. [1] Mogstad, Romano, Shaikh, Wilhelm, Inference for ranks, 2024, DOI 10.1093/restud/rdad006.
    """
    known = scores["score"].notna()
    order = scores["score"][known].sort_values(ascending=False, kind="stable").index
    apart = pairs[pairs["p_holm"] < LEVEL]
    better = np.where(apart["difference"] > 0, apart["a"], apart["b"])
    worse = np.where(apart["difference"] > 0, apart["b"], apart["a"])
    above, below = (pd.Series(each).value_counts().reindex(scores.index, fill_value=0) for each in (worse, better))
    groups = _groups(order, set(zip(better, worse, strict=True)))
    return scores.assign(
        rank=scores["score"].rank(ascending=False, method="min"),
        rank_best=(1 + above).where(known),
        rank_worst=(len(order) - below).where(known),
        group=pd.Series(groups, dtype="float64").reindex(scores.index),
    )


class _ItemGroups(NamedTuple):
    """Groups of items, and the standard error of a mean that allows for them; None for that of single items."""

    error: Callable[[FloatArray, npt.NDArray[np.intp]], StandardError] | None
    codes: npt.NDArray[np.intp]  # (item,)


def _group_items(items: pd.DataFrame, item_clusters: str | None, strata: str | None) -> _ItemGroups:
    """Group items by clusters, else by strata where there are several."""
    column = strata if item_clusters is None else item_clusters
    codes = np.zeros(len(items), np.intp)
    if column is not None and column in items:
        codes = pd.factorize(items[column], use_na_sentinel=False)[0]
    if item_clusters is not None:
        return _ItemGroups(cluster_error, codes)
    return _ItemGroups(strata_error if codes.any() else None, codes)


def _mean_error(values: FloatArray, groups: _ItemGroups, chosen: BoolArray) -> StandardError:
    """Compute the standard error of a mean over chosen items."""
    if len(values) < 2:
        return StandardError(np.nan, np.nan, 0)
    codes = groups.codes[chosen]
    if groups.error is None or (groups.error is strata_error and (codes == codes[0]).all()):
        return StandardError(float(values.std(ddof=1) / np.sqrt(len(values))), len(values) - 1.0, 0)
    return groups.error(values, codes)


def _check_cluster(counts: ResponseCounts, item_clusters: str | None) -> None:
    if item_clusters is None:
        return
    if item_clusters not in counts.items:
        raise AnalysisError(unknown_choice("column of the items", item_clusters, counts.items.columns))
    if counts.items[item_clusters].nunique(dropna=False) < 2:
        n = counts.n_items
        raise AnalysisError(f"column {item_clusters!r} has one value for all {n:,} items; two clusters are needed.")


def _for_other_items(values: FloatArray, found: BoolArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Mean, limits and standard error of each model, items drawn at random."""
    filled = np.where(found, values, 0.0).T
    binary = ((filled == 0) | (filled == 1)).all(axis=0)
    limits = column_mean_interval(filled, found.T, binary)
    mean, squares = centred_sums(filled, found.T)
    n = found.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        se = np.sqrt(squares / np.where(n > 1, n - 1, np.nan) / n)
    return mean, limits.lower, limits.upper, se


def _for_these_items(counts: ResponseCounts, measure: str) -> dict[str, FloatArray]:
    """Error and limits for other answers to the same items; NaN where they are not known."""
    found = np.full((3, counts.n_models), np.nan)
    k, asked = counts.trials.astype(np.float64), counts.asked
    repeated = ((k >= 2) | ~asked).all(axis=1) & asked.any(axis=1)
    if measure == ACCURACY_MEASURE and counts.measure == "correct" and repeated.any():
        share = np.nan_to_num(counts.proportions())
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = np.where(asked, share * (1 - share) / np.where(k > 1, k - 1, np.nan), 0.0)
            n, total = asked.sum(axis=1), variance.sum(axis=1)
            mean = share.sum(axis=1) / n
            df = total**2 / np.where(asked, variance**2 / np.where(k > 1, k - 1, np.nan), 0.0).sum(axis=1)
            se = np.where(repeated, np.sqrt(total) / n, np.nan)
            half = np.where(se > 0, special.stdtrit(df, INTERVAL[1]) * se, np.nan)
        found = np.stack([se, np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1)])
    return dict(zip(("benchmark_se", "benchmark_q05", "benchmark_q95"), found, strict=True))


def _tested(difference: FloatArray, error: StandardError) -> tuple[float, ...]:
    return _limits(float(difference.mean()) if len(difference) else np.nan, error.se, error.df)


def _limits(mean: float, se: float, df: float) -> tuple[float, ...]:
    """Mean, standard error, limits of the 90% interval, degrees of freedom and two-sided p; NaN without a spread."""
    if not se > 0:
        return mean, se, np.nan, np.nan, df, np.nan
    half = float(special.stdtrit(df, INTERVAL[1])) * se
    return mean, se, mean - half, mean + half, df, float(2 * special.stdtr(df, -abs(mean) / se))


def _taken_by_all(tables: dict[str, pd.DataFrame]) -> pd.Index:
    """Labels that all tables have, in the order of the first."""
    first, *others = (table.index for table in tables.values())
    return first[np.logical_and.reduce([first.isin(other) for other in others])] if others else first


def _stacked(tables: dict[str, pd.DataFrame], kept: pd.Index, name: str) -> FloatArray:
    """One column of all tables, shape (table, row)."""
    return np.stack([table.loc[kept, name].to_numpy(dtype=np.float64) for table in tables.values()])


def _groups(order: pd.Index, apart: set[tuple[str, str]]) -> dict[str, int]:
    """Put models into numbered groups, best first: each holds the best of those left and all not told apart from it."""
    found: dict[str, int] = {}
    left, group = list(order), 1
    while left:
        best = left[0]
        found |= {name: group for name in left if (best, name) not in apart}
        left, group = [name for name in left if name not in found], group + 1
    return found
