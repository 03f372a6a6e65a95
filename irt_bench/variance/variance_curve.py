"""V(k): the mean variance over seeds of a score on k items, for random, stratified and nested subsets.

The prediction for simple random subsets is an identity: over all subsets of k of the N items, the mean variance is
s2_seed + s2_res / k. Simulations differ from it by Monte Carlo error only. There are similar identities for subsets
stratified by subtask, and for nested subsets of whole subtasks (or templates).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError
from irt_bench.names import INTERVAL
from irt_bench.variance.components import two_way
from irt_bench.variance.moments import Codes, group_covariance, item_covariance
from irt_bench.variance.scores import RunScores
from irt_bench.variance.small_sample import sd_interval, step_dependence

N_SUBSETS: Final = 300  # random subsets of each size
N_POINTS: Final = 12  # of a curve
ALWAYS: Final = (50, 100, 500)  # sizes in every curve with more items
MAX_CHECKPOINTS: Final = 1000  # whose scores on all subsets are kept at once: 40 MB
BLOCK: Final = 100  # subsets drawn at once: random keys of 20,000 items take 16 MB


def curve_sizes(n_items: int) -> list[int]:
    """Sizes of subsets, evenly spaced on a logarithmic scale from 5 (or 1) to all items."""
    least = 5 if n_items > 10 else 1
    spaced = np.unique(np.geomspace(least, n_items, N_POINTS).round().astype(int))
    return sorted({*spaced.tolist(), *(k for k in ALWAYS if k < n_items), n_items})


def predicted_curve(
    run: RunScores, sizes: Sequence[int], rng: np.random.Generator, groups: Codes | None = None
) -> pd.DataFrame:
    """Root of V(k), the variance averaged over steps, with its interval.

    Returns
    -------
    pd.DataFrame
        ``k, predicted_sd, predicted_sd_q05, predicted_sd_q95``; NaN if the variance is negative.
    """
    values = np.swapaxes(run.values, 0, 1)
    k = np.asarray(sizes, dtype=np.float64)
    point = _root(item_covariance(values).variance(k).mean(axis=0))
    draws = two_way(values, groups=groups, over_steps=True).draws(rng)
    spread = draws[:, [0]] + draws[:, [2]] / k
    lower, upper = _root(np.quantile(np.maximum(spread, 0.0), INTERVAL, axis=0))
    return pd.DataFrame({"k": list(sizes), "predicted_sd": point, "predicted_sd_q05": lower, "predicted_sd_q95": upper})


def simulated_variances(
    values: Sequence[FloatArray], sizes: Sequence[int], rng: np.random.Generator, n_subsets: int = N_SUBSETS
) -> list[FloatArray]:
    """Variance over seeds of the score on random subsets, averaged over steps: of each run an array (subset, size).

    The `values` of a run have shape (step, seed, item), without missing cells; `sizes` ascend. Smaller subsets are part
    of larger ones, and all runs have the same.
    """
    n_items = values[0].shape[-1]
    rows = np.ascontiguousarray(np.concatenate([each.reshape(-1, n_items) for each in values]).T)
    parts = [size for size in sizes if size < n_items]
    added = np.empty((n_subsets, len(sizes), rows.shape[1]))  # by the items that a subset has more than the last
    for subset in added[:, : len(parts)] if parts else ():
        some = rows.take(rng.permutation(n_items)[: parts[-1]], axis=0)  # in half the time of indexing, or less
        np.add.reduceat(some, [0, *parts[:-1]], axis=0, out=subset)
    if len(parts) < len(sizes):
        added[:, -1] = rows.sum(axis=0) - added[:, :-1].sum(axis=1)
    scores = added.cumsum(axis=1) / np.asarray(sizes)[:, None]
    ends = np.cumsum([each.shape[0] * each.shape[1] for each in values])
    by_run = np.split(scores, ends[:-1], axis=2)
    shaped = [own.reshape(*own.shape[:2], *each.shape[:2]) for own, each in zip(by_run, values, strict=True)]
    return [np.asarray(own.var(axis=3, ddof=1).mean(axis=2)) for own in shaped]


def simulated_curves(
    runs: Sequence[RunScores], rng: np.random.Generator, n_subsets: int = N_SUBSETS
) -> dict[str, pd.DataFrame]:
    """Seed sd of random subsets of each run: root of the mean variance, and 5% and 95% quantiles over subsets.

    Runs of as many items have the same subsets, as many runs as have up to `MAX_CHECKPOINTS` together.

    Returns
    -------
    dict of pd.DataFrame
        By run: ``k, simulated_sd, simulated_q05, simulated_q95``, for the sizes of `curve_sizes`; NaN if cells are
        missing, because the items of a subset would then differ between seeds.
    """
    found = {run.run: pd.DataFrame({"k": curve_sizes(run.n_items)}) for run in runs}
    complete = [run for run in runs if run.complete]
    for n_items in dict.fromkeys(run.n_items for run in complete):
        alike = [run for run in complete if run.n_items == n_items]
        at_once = max(MAX_CHECKPOINTS // max(run.n_seeds * len(run.steps) for run in alike), 1)
        for start in range(0, len(alike), at_once):
            own = alike[start : start + at_once]
            values = [np.swapaxes(run.values, 0, 1) for run in own]
            for run, drawn in zip(own, simulated_variances(values, curve_sizes(n_items), rng, n_subsets), strict=True):
                low, high = np.sqrt(np.quantile(drawn, INTERVAL, axis=0))
                found[run.run] = found[run.run].assign(
                    simulated_sd=np.sqrt(drawn.mean(axis=0)), simulated_q05=low, simulated_q95=high
                )
    columns = ["k", "simulated_sd", "simulated_q05", "simulated_q95"]
    return {name: frame.reindex(columns=columns) for name, frame in found.items()}


def _root(variance: FloatArray) -> FloatArray:
    return np.sqrt(np.where(variance >= 0, variance, np.nan))


RANDOM: Final = "random"  # values of column ``form``
STRATIFIED: Final = "stratified"  # random items of every subtask, in proportion to its size
NESTED: Final = "nested"  # random whole subtasks with equal weights


def form_curves(
    run: RunScores, sizes: Sequence[int], rng: np.random.Generator, n_subsets: int = N_SUBSETS
) -> pd.DataFrame:
    """Root of V for stratified and nested subsets, predicted and simulated; empty with fewer than two subtasks.

    Sizes below the number of subtasks are left out for stratified subsets.

    Returns
    -------
    pd.DataFrame
        ``form, k, predicted_sd`` with its interval, ``simulated_sd, simulated_q05, simulated_q95`` (NaN if cells are
        missing). For nested subsets, k is the mean number of items.

    Notes
    -----
    The interval is the chi-square interval of the seeds. It is too wide if the noise of items, which is better known,
    is a large part of V.
    """
    codes = run.subtask_codes()
    if codes is None:
        return pd.DataFrame()
    values = np.swapaxes(run.values, 0, 1)
    available = np.bincount(codes)
    df = (run.n_seeds - 1) / float(step_dependence(run.scores()))
    rows = []
    for k in (k for k in sizes if k >= len(available)):
        drawn = proportional(available, k)
        predicted = stratified_variance(values, codes, drawn, drawn / k)
        rows.append(_row(STRATIFIED, k, predicted, _stratified_subsets(run, codes, drawn, rng, n_subsets), df))
    for n_groups in template_numbers(len(available)):
        predicted = nested_variance(values, codes, n_groups)
        k = round(n_groups * run.n_items / len(available))
        rows.append(_row(NESTED, k, predicted, _whole_subtasks(run, codes, n_groups, rng, n_subsets), df))
    return pd.DataFrame(rows)


def proportional(available: npt.NDArray[np.integer], k: int) -> npt.NDArray[np.intp]:
    """Allocate k items to strata in proportion to their sizes (largest remainders), at least one each."""
    exact = available * k / available.sum()
    drawn: npt.NDArray[np.intp] = np.maximum(np.floor(exact).astype(np.intp), 1)
    while drawn.sum() > k:  # small strata were raised to one item
        drawn[np.argmax(np.where(drawn > 1, drawn - exact, -np.inf))] -= 1
    short = k - int(drawn.sum())
    drawn[np.argsort(drawn - exact, kind="stable")[:short]] += 1
    return drawn


def template_numbers(n: int) -> list[int]:
    """Numbers of templates in a curve: 1, 2, 5, 10, .. and all."""
    return sorted({each for each in (1, 2, 5, 10, 20, 50, 100, 200, 500) if each < n} | {n})


def _row(form: str, k: int, predicted: FloatArray, simulated: FloatArray | None, df: float) -> dict[str, object]:
    variance = float(predicted.mean())
    sd = float(np.sqrt(variance)) if variance >= 0 else np.nan
    lower, upper = sd_interval(np.asarray(sd), df)
    row: dict[str, object] = {"form": form, "k": k, "predicted_sd": sd}
    row |= {"predicted_sd_q05": float(lower), "predicted_sd_q95": float(upper)}
    if simulated is None:
        return row | dict.fromkeys(("simulated_sd", "simulated_q05", "simulated_q95"), np.nan)
    low, high = np.sqrt(np.quantile(simulated, INTERVAL))
    return row | {
        "simulated_sd": float(np.sqrt(simulated.mean())), "simulated_q05": float(low), "simulated_q95": float(high)
    }  # fmt: skip


def _stratified_subsets(
    run: RunScores, codes: Codes, drawn: npt.NDArray[np.intp], rng: np.random.Generator, n_subsets: int
) -> FloatArray | None:
    if not run.complete:
        return None
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes))[:-1]])
    taken = np.concatenate([start + np.arange(n) for start, n in zip(starts, drawn, strict=True)])

    def chosen(n: int) -> FloatArray:
        shuffled = np.argsort(codes + rng.random((n, run.n_items)), axis=1)  # by stratum, at random within
        weights = np.zeros((n, run.n_items))
        np.put_along_axis(weights, shuffled[:, taken], 1 / len(taken), axis=1)
        return weights

    return _variances(run, [chosen(n) for n in _blocks(n_subsets)])


def _whole_subtasks(
    run: RunScores, codes: Codes, n_groups: int, rng: np.random.Generator, n_subsets: int
) -> FloatArray | None:
    if not run.complete:
        return None
    share = 1 / np.bincount(codes)

    def chosen(n: int) -> FloatArray:
        order = np.argsort(rng.random((n, len(share))), axis=1)[:, :n_groups]
        weights = np.zeros((n, len(share)))
        np.put_along_axis(weights, order, share[order] / n_groups, axis=1)
        return weights[:, codes]

    return _variances(run, [chosen(n) for n in _blocks(n_subsets)])


def _blocks(n_subsets: int) -> list[int]:
    return [min(BLOCK, n_subsets - start) for start in range(0, n_subsets, BLOCK)]


def _variances(run: RunScores, weights: Sequence[FloatArray]) -> FloatArray:
    """Variance over seeds of weighted scores, averaged over steps, shape (subset,)."""
    rows = run.values.reshape(-1, run.n_items).T
    scores = np.concatenate([each @ rows for each in weights]).reshape(-1, run.n_seeds, len(run.steps))
    return np.asarray(scores.var(axis=1, ddof=1).mean(axis=-1))


def stratified_variance(values: FloatArray, strata: Codes, sizes: npt.ArrayLike, weights: npt.ArrayLike) -> FloatArray:
    """V of stratified subsets: random items of each stratum, scored by the weighted mean of the stratum means.

    Parameters
    ----------
    values : array of shape (..., seed, item)
        Answers, NaN where missing.
    strata : array of shape (item,)
        Number of each item's stratum.
    sizes, weights : arrays of shape (stratum,)
        Number of items drawn from each stratum, and weights of the means, sum 1 (k_h / k for the mean of the subset).

    Returns
    -------
    array of shape (...)
        sum_hl w_h w_l C_hl + sum_h w_h^2 (V_h - C_hh) / k_h, with C_hl the mean covariance of two items of strata h
        and l, and V_h the mean variance of an item of stratum h.

    Raises
    ------
    AnalysisError
        If a size is below 1 or above the number of items of the stratum.
    """
    between, diagonal, available = group_covariance(values, strata)
    k, w = np.asarray(sizes, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    bad = (k < 1) | (k > available)
    if bad.any():
        first = int(np.argmax(bad))
        raise AnalysisError(
            f"stratum {first} has {int(available[first])} items, {k[first]:g} are to be drawn; 1 to all are needed."
        )
    own = np.where(available > 1, np.einsum("...gg->...g", between), diagonal)  # with one item: its variance
    crossed = np.einsum("...gh,g,h->...", np.where(np.eye(len(k), dtype=bool), 0.0, between), w, w)
    return np.asarray(crossed + (w**2 * (own + (diagonal - own) / k)).sum(axis=-1))


def nested_variance(values: FloatArray, templates: Codes, n_templates: int) -> FloatArray:
    """V of nested subsets: random templates with all of their items, scored by the mean of template means.

    Parameters
    ----------
    values : array of shape (..., seed, item)
        Answers, NaN where missing.
    templates : array of shape (item,)
        Number of each item's template.
    n_templates : int
        Number of templates drawn.

    Returns
    -------
    array of shape (...)
        A + (B + (D - B) / m - A) / g with g templates of m items. A is the mean covariance of items of two templates, B
        of two items of one template, D the mean variance of an item; templates have equal weights.

    Raises
    ------
    AnalysisError
        If there are fewer than two templates, or their number is out of range.
    """
    between, diagonal, available = group_covariance(values, templates)
    n = len(available)
    if n < 2 or not 1 <= n_templates <= n:
        raise AnalysisError(
            f"{n_templates} of {n} templates are to be drawn; two or more, and 1 to all drawn, are needed."
        )
    own = np.einsum("...gg->...g", between)
    across = (between.sum(axis=(-2, -1), where=~np.eye(n, dtype=bool))) / (n * (n - 1))
    own = np.where(available > 1, own, diagonal)
    within = (own + (diagonal - own) / available).mean(axis=-1)
    return np.asarray(across + (within - across) / n_templates)
