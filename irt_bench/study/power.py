"""What a study can find with its seeds: the smallest cut of the seed sd, at 80% power.

Against random subsets: the log seed sd of random subsets of one size has a spread over subsets, which a method has to
leave by the margin that Holm's correction asks, and an interval that must not hold 1. Against the full benchmark: the
log ratio of two scores on the same seeds, correlated as V(k) says, has a variance of (1 - rho^2) / freedom (Pitman,
Morgan), and what the choice of items adds.

What a study will be able to show, before anything is fitted: from the evaluated answers alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import stats

from irt_bench.arrays import FloatArray
from irt_bench.names import BENCHMARK
from irt_bench.study.checkpoints import run_variance
from irt_bench.study.collect import Collected
from irt_bench.study.data import read_rows
from irt_bench.study.plan import LEVEL, BenchmarkPlan, StudyPlan, compared
from irt_bench.study.subset_scores import WEIGHTED, random_items
from irt_bench.study.verdicts import Ratio
from irt_bench.variance.detect import POWER, detectable_shift
from irt_bench.variance.moments import item_covariance

MANY: Final = 1e6  # degrees of freedom: normal
Z_POWER: Final = float(stats.norm.ppf(POWER))


def detectable_random(log_sds: FloatArray, n_compared: int) -> float:
    """Ratio to random subsets that is found with 80% power: at most this share of their seed sd.

    Parameters
    ----------
    log_sds : array of shape (subset,)
        Log seed sds of random subsets.
    n_compared : int
        Methods, weights and estimators compared at this size, for Holm's correction.
    """
    return float(np.exp(-_margin(n_compared) * log_sds.std(ddof=1)))


def _margin(n_compared: int) -> float:
    return float(stats.norm.ppf(1 - LEVEL / 2 / max(n_compared, 1))) + Z_POWER


def detectable_full(correlation: float, freedom: float, n_compared: int, item_variance: float = 0.0) -> float:
    """Ratio to the full benchmark that is found with 80% power, by a cut; its inverse by a rise.

    ``item_variance`` is that of the log ratio over items; it is known, and adds to the degrees of freedom (Welch).
    """
    seeds = max(1 - correlation**2, 0.0) / freedom
    total = seeds + item_variance
    welch = freedom * (total / seeds) ** 2 if seeds > 0 else np.inf
    return detectable_cut(float(np.sqrt(total)), welch, n_compared)


def detectable_cut(log_error: float, freedom: float, n_compared: int) -> float:
    """Ratio that a t test of its logarithm finds with 80% power, the first of so many by Holm's correction."""
    if not (np.isfinite(log_error) and freedom > 0):
        return np.nan
    return float(np.exp(-log_error * _shift(float(f"{min(freedom, MANY):.2g}"), LEVEL / max(n_compared, 1))))


@cache
def _shift(freedom: float, level: float) -> float:
    return detectable_shift(freedom, level=level)


def detectable_ratio(ratio: Ratio, n_compared: int) -> float:
    """Ratio to its reference that a way could have been found to have, with 80% power, by the rules of its verdict."""
    if np.isnan(ratio.spread):
        return detectable_cut(ratio.log_error, ratio.freedom, n_compared)
    by_interval = detectable_cut(ratio.log_error, ratio.freedom, 1)
    return min(by_interval, float(np.exp(-_margin(n_compared) * ratio.spread)))


def detectable_table(found: Collected, plain: Mapping[int, FloatArray], estimators: Sequence[str]) -> pd.DataFrame:
    """One row a size: degrees of freedom, comparisons, V(k), and the ratios that could be found.

    ``plain`` are variances of plain means of random subsets by size, shape (subset, run).
    """
    freedom = np.array([each.freedom for each in found.full_variance[WEIGHTED]], dtype=np.float64)
    rows = []
    n_compared = compared(found.plan.recipes, estimators)
    components = found.components.T @ freedom / freedom.sum()
    for size, variance in plain.items():
        pooled = variance @ freedom / freedom.sum()
        rows.append(power_row(found.plan, size, float(freedom.sum()), components, pooled, n_compared))
    return pd.DataFrame(rows)


def power_row(
    plan: BenchmarkPlan, size: int, freedom: float, components: FloatArray, pooled: FloatArray, n_compared: int
) -> dict[str, Any]:
    """Say what can be found at one size.

    Parameters
    ----------
    plan : BenchmarkPlan
        Benchmark and number of items.
    size : int
        Of the subsets.
    freedom : float
        Seeds less one over all runs.
    components : array of shape (2,)
        s2_seed and s2_res: V(k) = s2_seed + s2_res / k.
    pooled : array of shape (subset,)
        Seed variances of plain means of random subsets, pooled over runs.
    n_compared : int
        Comparisons at this size, for Holm's correction.
    """
    own, full = (float(components[0] + components[1] / k) for k in (size, plan.n_items))
    correlation = float(np.sqrt(np.clip(full / own, 0, 1))) if own > 0 else np.nan
    logs = 0.5 * np.log(pooled[pooled > 0])
    items = max(float(logs.var(ddof=1)) - (1 - correlation**2) / freedom, 0.0)
    return {
        BENCHMARK: plan.benchmark,
        "size": size,
        "degrees_of_freedom": int(freedom),
        "compared": n_compared,
        "v_k_sd": float(np.sqrt(own)) if own >= 0 else np.nan,
        "seed_sd_full": float(np.sqrt(full)) if full >= 0 else np.nan,
        "detectable_ratio_random": detectable_random(logs, n_compared),
        "detectable_ratio_full": detectable_full(correlation, freedom, n_compared, items),
        "power": POWER,
    }


N_SUBSETS = 200  # random subsets behind the spread: known to 5%


def foresee(plan: StudyPlan) -> pd.DataFrame:
    """One row a benchmark and size: seeds, V(k), and the ratios that could be found with 80% power."""
    estimators = plan.design.estimators
    tables = [_benchmark(each, compared(each.recipes, estimators), plan.design.seed) for each in plan.benchmarks]
    return pd.concat(tables, ignore_index=True)


def _benchmark(plan: BenchmarkPlan, n_compared: int, seed: int) -> pd.DataFrame:
    components, freedoms = [], []
    variances: dict[int, list[np.ndarray]] = {size: [] for size in plan.sizes}
    for task in plan.tasks:
        counts = read_rows(task.job.folder, task.job.evaluation, task.job.benchmark)
        values = counts.proportions()
        chosen = {size: random_items(seed, plan.n_items, size, N_SUBSETS) for size in plan.sizes}
        for run in task.job.snapshots.runs:
            arranged = task.job.snapshots.arrange(values.T, run)  # (item, seed, step)
            found = item_covariance(np.moveaxis(arranged, (0, 1, 2), (2, 1, 0)))
            components.append((np.nanmean(found.off_diagonal), np.nanmean(found.residual)))
            freedoms.append(arranged.shape[1] - 1)
            for size, items in chosen.items():
                scores = np.stack([np.nanmean(arranged[each], axis=0) for each in items])
                variances[size].append(run_variance(scores).value)
    freedom = np.array(freedoms, dtype=np.float64)
    pooled_components = np.average(np.array(components), axis=0, weights=freedom)
    rows = []
    for size in plan.sizes:
        pooled = np.stack(variances[size], axis=1) @ freedom / freedom.sum()
        rows.append(power_row(plan, size, float(freedom.sum()), pooled_components, pooled, n_compared))
    return pd.DataFrame(rows)
