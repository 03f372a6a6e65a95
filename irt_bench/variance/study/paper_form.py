"""A study in the form of the paper's Tables 3 and 4, with what these lack: random subsets and V(k).

Random subsets are scored three ways: by plain means, and as the paper's columns are, by p-IRT and gp-IRT.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from irt_bench.names import BENCHMARK, RUN
from irt_bench.variance.study.reading import WEIGHTED, null_of
from irt_bench.variance.study.references import FULL, POOLED, is_null, is_plain

PAPER_METHOD: Final = ("anchors-irt", "anchor")  # as the paper: items clustered by their parameters


def paper_rows(results: pd.DataFrame) -> pd.DataFrame:
    """Set E and monotonicity of the full benchmark, p-IRT and gp-IRT beside random subsets and V(k)."""
    pooled = results[results[RUN] == POOLED]
    rows = []
    for size in sorted(pooled.loc[is_plain(pooled), "size"].unique()):
        chosen = {
            "full": pooled[(pooled["method"] == FULL) & (pooled["estimator"] == WEIGHTED)],
            **{name: _one(pooled, size, name) for name in ("p_irt", "gp_irt")},
            "random": pooled[is_plain(pooled) & (pooled["size"] == size)],
            **{f"random_{name}": _null(pooled, size, name) for name in ("p_irt", "gp_irt")},
        }
        row: dict[str, Any] = {BENCHMARK: pooled[BENCHMARK].iloc[0], "size": int(size)}
        for column in ("mean", "e", "seed_sd", "monotonicity", "movement"):
            for name, frame in chosen.items():
                has = len(frame) and column in frame
                row[f"{column}_{name}"] = float(frame[column].iloc[0]) if has else np.nan
        row["v_k_sd"] = float(chosen["random"]["v_k_sd"].iloc[0])
        rows.append(row)
    return pd.DataFrame(rows)


def _one(pooled: pd.DataFrame, size: float, estimator: str) -> pd.DataFrame:
    method, weights = PAPER_METHOD
    return pooled[
        (pooled["method"] == method)
        & (pooled["weights"] == weights)
        & (pooled["estimator"] == estimator)
        & (pooled["size"] == size)
    ]


def _null(pooled: pd.DataFrame, size: float, estimator: str) -> pd.DataFrame:
    weights, _ = null_of(PAPER_METHOD[1], estimator)
    rows = pooled[is_null(pooled) & (pooled["size"] == size)]
    return rows[(rows["weights"] == weights) & (rows["estimator"] == estimator)]
