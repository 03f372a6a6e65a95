"""V(k): the seed variance of a random subset of k items, predicted from components and simulated with real subsets.

The prediction is an identity: over all subsets of k of the N items, the mean variance over seeds of the score is
s2_seed + s2_res / k. What differs from it in simulation is Monte Carlo error. Subsets drawn otherwise have forms of
their own: `irt_bench.variance.subset_forms`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from irt_bench.arrays import FloatArray
from irt_bench.names import INTERVAL
from irt_bench.variance.components import two_way
from irt_bench.variance.moments import Codes, item_covariance
from irt_bench.variance.scores import RunScores

N_SUBSETS: Final = 300  # random subsets of each size
ALWAYS: Final = (50, 100, 500)  # sizes that are in every curve with enough items
BLOCK: Final = 100  # subsets drawn at once: their random keys for 20,000 items take 16 MB


def curve_sizes(n_items: int, n_points: int = 12) -> list[int]:
    """Sizes of subsets, evenly spaced on a logarithmic scale from 5 (or 1) to all items."""
    least = 5 if n_items > 10 else 1
    spaced = np.unique(np.geomspace(least, n_items, n_points).round().astype(int))
    return sorted({*spaced.tolist(), *(k for k in ALWAYS if k < n_items), n_items})


def predicted_curve(
    run: RunScores, sizes: Sequence[int], rng: np.random.Generator, groups: Codes | None = None
) -> pd.DataFrame:
    """Root of V(k), the variance averaged over steps, with its interval.

    Returns
    -------
    pd.DataFrame
        ``k, predicted_sd, predicted_sd_q05, predicted_sd_q95``; NaN where the variance is negative.
    """
    values = np.swapaxes(run.values, 0, 1)
    k = np.asarray(sizes, dtype=np.float64)
    point = _root(item_covariance(values).variance(k).mean(axis=0))
    draws = two_way(values, groups=groups, over_steps=True).draws(rng)
    spread = draws[:, [0]] + draws[:, [2]] / k
    lower, upper = _root(np.quantile(np.maximum(spread, 0.0), INTERVAL, axis=0))
    return pd.DataFrame({"k": list(sizes), "predicted_sd": point, "predicted_sd_q05": lower, "predicted_sd_q95": upper})


def simulated_variances(
    values: FloatArray, sizes: Sequence[int], rng: np.random.Generator, n_subsets: int = N_SUBSETS
) -> FloatArray:
    """Variance over seeds of the score on random subsets, averaged over steps.

    Parameters
    ----------
    values : array of shape (step, seed, item)
        Answers, no cell missing.
    sizes : sequence of int
        Sizes of the subsets, each from 1 to all items.
    rng : np.random.Generator
        For the subsets; a small subset is the beginning of a larger one.
    n_subsets : int
        Subsets of each size.

    Returns
    -------
    array of shape (subset, size)
    """
    n_steps, n_seeds, n_items = values.shape
    rows = values.reshape(-1, n_items).T
    out = np.empty((n_subsets, len(sizes)))
    for start in range(0, n_subsets, BLOCK):
        n = min(BLOCK, n_subsets - start)
        rank = np.argsort(rng.random((n, n_items)), axis=1)
        for column, k in enumerate(sizes):
            chosen = np.zeros((n, n_items))
            np.put_along_axis(chosen, rank[:, :k], 1 / k, axis=1)
            scores = (chosen @ rows).reshape(n, n_steps, n_seeds)
            out[start : start + n, column] = scores.var(axis=2, ddof=1).mean(axis=1)
    return out


def simulated_curve(
    run: RunScores, sizes: Sequence[int], rng: np.random.Generator, n_subsets: int = N_SUBSETS
) -> pd.DataFrame:
    """Seed sd of real random subsets: root of the mean variance, and the 5% and 95% quantiles over subsets.

    Returns
    -------
    pd.DataFrame
        ``k, simulated_sd, simulated_q05, simulated_q95``; NaN where cells are missing, since the same subset then is
        another one for each seed.
    """
    frame = pd.DataFrame({"k": list(sizes), "simulated_sd": np.nan, "simulated_q05": np.nan, "simulated_q95": np.nan})
    if run.complete:
        variances = simulated_variances(np.swapaxes(run.values, 0, 1), sizes, rng, n_subsets)
        frame["simulated_sd"] = np.sqrt(variances.mean(axis=0))
        frame[["simulated_q05", "simulated_q95"]] = np.sqrt(np.quantile(variances, INTERVAL, axis=0)).T
    return frame


def _root(variance: FloatArray) -> FloatArray:
    return np.sqrt(np.where(variance >= 0, variance, np.nan))
