"""Pruning paths and transfer: what dropping the least discriminating items does, and whether item statistics hold.

Madaan et al. 2024, section 4: items sorted by discrimination, the lowest dropped step by step; after each drop the
mean, the standard error, E and monotonicity. Beside each step stand random prunings to the same size, and its V(k).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from irt_bench.analysis.transfer import ROWS
from irt_bench.names import BENCHMARK, INTERVAL, RUN
from irt_bench.variance.study.collect import Collected
from irt_bench.variance.study.reading import WEIGHTED
from irt_bench.variance.study.snapshots import pooled_variance, statistics_of
from irt_bench.variance.study.verdicts import Ratio, holm_known, log_ratio, two_sided, verdict, with_interval

STATISTICS = ("mean", "bias", "movement", "snr", "monotonicity", "kendall_tau", "decision_accuracy")
POOLED = "pooled"


def path_table(found: Collected) -> pd.DataFrame:
    """One row a share dropped: sizes, mean, standard error, seed sd, its ratio to all items and to random prunings."""
    path = found.path()
    freedom = np.array([each.freedom for each in found.full_variance[WEIGHTED]], dtype=np.float64)
    rows: list[dict[str, Any]] = []
    ratios: list[Ratio] = []
    for place, size in enumerate(path["sizes"]):
        scores = path["scores"][place]
        own = found.variances(scores)
        pooled = np.sqrt(path["random"][:, place] @ freedom / freedom.sum())
        sd, null = float(np.sqrt(pooled_variance(own))), float(np.sqrt((pooled**2).mean()))
        ratio = with_interval(log_ratio(own, found.full_variance[WEIGHTED]), 0.0)
        low, high = np.quantile(pooled, INTERVAL)
        value = float(found.curve(float(size)) @ freedom / freedom.sum())
        rows.append(
            {
                BENCHMARK: found.plan.benchmark,
                RUN: POOLED,
                "dropped": 1 - float(size) / found.plan.n_items,
                "n_items": int(size),
                "standard_error": float(np.nanmean(path["standard_error"][place])),
                "seed_sd": sd,
                "seed_sd_full": float(np.sqrt(pooled_variance(found.full_variance[WEIGHTED]))),
                "v_k_sd": np.sqrt(value) if value >= 0 else np.nan,
                "random_sd": null, "random_q05": float(low), "random_q95": float(high),
                "ratio_full": ratio.ratio, "ratio_full_q05": ratio.lower, "ratio_full_q95": ratio.upper,
                "ratio": sd / null if null > 0 else np.nan,
                "percentile_random": float((1 + (pooled <= sd).sum()) / (1 + len(pooled))),
                "p_random": two_sided(sd, pooled) if size < found.plan.n_items else np.nan,
                "p_full": ratio.p if size < found.plan.n_items else np.nan,
            }
        )  # fmt: skip
        measured = statistics_of(scores, found.full[WEIGHTED], found.snapshots)
        rows[-1] |= {name: float(measured[name]) for name in ("e", *STATISTICS)}
        ratios.append(ratio)
    table = pd.DataFrame(rows)
    table["p_holm"] = holm_known(table["p_full"].to_numpy())
    table["verdict_full"] = [verdict(ratio, p) for ratio, p in zip(ratios, table["p_holm"], strict=True)]
    return table


def transfer_table(found: Collected) -> pd.DataFrame:
    """Agreement of item statistics between weaker and stronger models, and between random halves."""
    columns = found.transfer()
    table = pd.DataFrame(columns, index=ROWS).reset_index()
    table.insert(0, BENCHMARK, found.plan.benchmark)
    return table
