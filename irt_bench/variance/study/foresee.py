"""What a study will be able to show, before anything is fitted: from the evaluated answers alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from irt_bench.variance.moments import item_covariance
from irt_bench.variance.study.data import read_rows
from irt_bench.variance.study.plan import BenchmarkPlan, StudyPlan, compared
from irt_bench.variance.study.power import power_row
from irt_bench.variance.study.reading import random_items
from irt_bench.variance.study.snapshots import run_variance

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
