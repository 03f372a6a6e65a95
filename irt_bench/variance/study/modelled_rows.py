"""Columns of a study's results from the hierarchical seed model, and what to beware of in them.

``model_sd`` is the sd over new seeds of the score, what `seed_sd` estimates without a model; ``model_seed_sd`` the part
that the seeds' abilities make, which more items do not average out. On the row of ability and the full benchmark
``model_seed_sd`` is the sd of ability itself. ``model_ratio`` is that of ``model_sd`` to the root mean variance of
random items of the same size, ``model_ratio_full`` to the full benchmark's. Each has a 90% posterior interval
(``_q05, _q95``) over seeds and item parameters, without the chance of which random items there are. Estimators that are
no weighted sum of answers, and random items with weights, have none: NaN.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
import pandas as pd

from irt_bench.arrays import FloatArray
from irt_bench.names import INTERVAL, RUN
from irt_bench.variance.study.collect import Collected
from irt_bench.variance.study.design import EQUAL, THETA
from irt_bench.variance.study.modelled import ABILITY_KEY, FAILED, FULL_KEY, REASON, model_key
from irt_bench.variance.study.reading import WEIGHTED
from irt_bench.variance.study.references import FULL, POOLED

NAMES: Final = ("model_sd", "model_seed_sd", "model_ratio", "model_ratio_full")
COLUMNS: Final = tuple(f"{name}{end}" for name in NAMES for end in ("", "_q05", "_q95"))


def modelled_columns(found: Collected, rows: pd.DataFrame) -> pd.DataFrame:
    """Say what the seed model makes of each row of the results; aligned with them."""
    parts = found.seed_model()
    if any(REASON in part for part in parts):
        return pd.DataFrame(np.nan, index=rows.index, columns=list(COLUMNS))
    keys = [name for name in parts[0] if name != FAILED]
    draws = {key: found.in_order([part[key].astype(np.float64) for part in parts]) for key in keys}
    keyed = zip(rows[RUN], rows["method"], rows["weights"], rows["estimator"], rows["size"], strict=True)
    return pd.DataFrame([_row(found, draws, *key) for key in keyed], index=rows.index, columns=list(COLUMNS))


def modelled_notes(found: Collected) -> list[str]:
    """Say where the seed model could not be fitted, and which checks failed in how many splits."""
    parts = found.seed_model()
    name = found.plan.benchmark
    reasons = [str(part[REASON]) for part in parts if REASON in part]
    if reasons:
        return [f"{name}: the seed model could not be fitted in {len(reasons)} of {len(parts)} splits: {reasons[0]}"]
    failed = Counter(str(check) for part in parts for check in part[FAILED] if check != "answers")  # taken as they vary
    return [
        f"{name}: check {check} of the seed model failed in {n} of {len(parts)} splits: go by seed_sd"
        for check, n in failed.items()
    ]


def _row(
    found: Collected, draws: dict[str, FloatArray], run: str, method: str, weights: str, estimator: str, size: float
) -> dict[str, float]:
    at = list(range(len(found.runs))) if run == POOLED else [found.runs.index(run)]
    freedom = np.array([found.full_variance[WEIGHTED][place].freedom for place in at], dtype=np.float64)

    def pooled(key: str) -> FloatArray:
        return np.asarray(draws[key][..., at] @ freedom / freedom.sum())

    if method == FULL and estimator == THETA:
        return _summary("model_seed_sd", np.sqrt(pooled(ABILITY_KEY)))
    key = FULL_KEY if method == FULL else model_key(method, weights, int(size))
    if estimator != WEIGHTED or key not in draws:
        return {}
    (score, expected), full = pooled(key), pooled(FULL_KEY)[0]
    own = _summary("model_sd", np.sqrt(score)) | _summary("model_seed_sd", np.sqrt(expected))
    if method != FULL:
        random = pooled(model_key("random", EQUAL, int(size)))[0]
        own |= _summary("model_ratio", np.sqrt(score / random))
    return own | _summary("model_ratio_full", np.sqrt(score / full))


def _summary(name: str, draws: FloatArray) -> dict[str, float]:
    middle, low, high = np.quantile(draws, (0.5, *INTERVAL))
    return {name: float(middle), f"{name}_q05": float(low), f"{name}_q95": float(high)}
