"""How often intervals hold on held-out models, with the error of that share: models of one family are not independent.

A share of n held-out models is known to sqrt(0.9 x 0.1 / n) at best: 0.034 for 78 models, of which 0.86 to 0.94 is
76% likely where intervals hold exactly. So a comparison states the error of each share, pools over methods, and says
how many shares would lie in a range if all intervals held.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from scipy import stats

from irt_bench.names import INTERVAL

CLUSTER: Final = "cluster"
RECIPE: Final = ["size", "method", "weights", "estimator"]
RANGE: Final = (0.86, 0.94)  # that a nominal 0.9 should lie in
ROUNDING: Final = 1e-9  # a limit at the last possible score is that score, but for its last bit
N_RESAMPLES: Final = 2000  # of clusters


def within_interval(held_out: pd.DataFrame) -> pd.Series:
    """Whether ``truth`` lies within ``q05`` and ``q95``, both included."""
    return (held_out["q05"] - ROUNDING <= held_out["truth"]) & (held_out["truth"] <= held_out["q95"] + ROUNDING)


def coverage_by(held_out: pd.DataFrame, by: list[str], rng: np.random.Generator) -> pd.DataFrame:
    """Share of intervals that hold, with its 90% interval by resampling clusters of models.

    Parameters
    ----------
    held_out : pd.DataFrame
        A row a model and recipe: ``truth, q05, q95``, ``cluster``, and the columns in `by`.
    by : list of str
        Columns that name the groups.
    rng : np.random.Generator
        For resampling; all groups see the same resampled clusters.

    Returns
    -------
    pd.DataFrame
        Indexed by `by`: ``coverage, coverage_q05, coverage_q95`` and ``coverage_se``; the last three NaN where there is
        one cluster.
    """
    frame = held_out.assign(within=within_interval(held_out).astype(np.float64), one=1.0)
    sums = frame.groupby([*by, CLUSTER], sort=False)[["within", "one"]].sum().unstack(CLUSTER, fill_value=0.0)
    within, models = sums["within"].to_numpy(), sums["one"].to_numpy()
    n_clusters = len(sums["one"].columns)
    found = pd.DataFrame({"coverage": within.sum(axis=1) / models.sum(axis=1)}, index=sums.index)
    if n_clusters == 1:
        return found.assign(coverage_q05=np.nan, coverage_q95=np.nan, coverage_se=np.nan)
    drawn = rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=N_RESAMPLES).astype(np.float64)
    totals = drawn @ models.T
    shares = np.divide(drawn @ within.T, totals, out=np.full_like(totals, np.nan), where=totals > 0)
    low, high = np.nanquantile(shares, INTERVAL, axis=0)
    return found.assign(coverage_q05=low, coverage_q95=high, coverage_se=np.nanstd(shares, axis=0))


def coverage_summary(held_out: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Coverage pooled over methods by size and by size and estimator, and how many single shares lie in `RANGE`.

    Returns
    -------
    pd.DataFrame
        Indexed by size and estimator ("all" first): ``coverage, coverage_q05, coverage_q95``; ``in_range``, the share
        of the pooled recipes with a coverage in `RANGE`, and ``in_range_expected``, what it would be if all intervals
        held, given the errors of the shares.
    """
    cells = coverage_by(held_out, RECIPE, rng)
    se = np.maximum(cells["coverage_se"].to_numpy(dtype=np.float64), np.finfo(np.float64).tiny)
    low, high = ((edge - (INTERVAL[1] - INTERVAL[0])) / se for edge in RANGE)
    cells["in_range"] = cells["coverage"].between(*RANGE).astype(np.float64)
    cells["in_range_expected"] = stats.norm.cdf(high) - stats.norm.cdf(low)
    parts = []
    for by in (["size"], ["size", "estimator"]):
        pooled = coverage_by(held_out, by, rng).drop(columns="coverage_se")
        pooled = pooled.join(cells.groupby(by, sort=False)[["in_range", "in_range_expected"]].mean()).reset_index()
        parts.append(pooled if "estimator" in pooled else pooled.assign(estimator="all"))
    return pd.concat(parts).set_index(["size", "estimator"]).sort_index(level="size", sort_remaining=False)
