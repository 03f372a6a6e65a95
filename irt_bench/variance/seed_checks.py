"""Does the seed model describe the scores: their sd over seeds as seen, and named checks against the model's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from irt_bench.inference.convergence import Check
from irt_bench.variance.few_seeds import pooled_freedom, sd_interval, steps_moving_as_one
from irt_bench.variance.moments import FloatArray
from irt_bench.variance.scores import RunScores
from irt_bench.variance.seed_effect import COLUMNS, POOLED, SEEN

DISPERSION_LIMIT: Final = 1.25  # of the answers' variance over what the items imply, or the other way round
SPREAD_LIMIT: Final = 1.25  # of one sd of the score over another


def description_checks(ratio: float, table: pd.DataFrame) -> tuple[Check, ...]:
    """Check what the model supposes, and whether it comes to the scores seen.

    Parameters
    ----------
    ratio : float
        From `answer_variance_ratio`.
    table : pd.DataFrame
        From `seed_effect_table` and `seen_spread`, of one set of items.

    Returns
    -------
    tuple of Check
        ``answers``: they vary as P (1 - P); ``equal_spread``: seeds spread alike in ability at all runs and steps;
        ``score_sd``: the sd of these seeds' scores is that seen.
    """
    pooled = table[table["run"] == POOLED].set_index("quantity")["estimate"]
    return (
        _check(
            "answers", ratio, DISPERSION_LIMIT,
            "answers vary {:.2f} times as much around their expectation as the items imply",
            "; the model takes them so",
        ),
        _check(
            "equal_spread", pooled["score_sd"] / pooled["these_score_sd"], SPREAD_LIMIT,
            "the sd of a new seed's score is {:.2f} times that of these seeds",
            ": seeds spread more in ability at some runs or steps; go by the rows of these seeds",
        ),
        _check(
            "score_sd", pooled["these_score_sd"] / pooled[SEEN], SPREAD_LIMIT,
            "the model's sd of these seeds' scores is {:.2f} times the one seen",
            "; trust the components of variance",
        ),
    )  # fmt: skip


def _check(name: str, value: float, limit: float, text: str, consequence: str) -> Check:
    if not np.isfinite(value):
        return Check(name, "not_applicable", None, limit, "cells are missing")
    good = 1 / limit <= value <= limit
    message = text.format(value) + ("" if good else consequence)
    return Check(name, "passed" if good else "failed", float(value), limit, message)


def seen_spread(runs: Sequence[RunScores], weights: pd.Series | None = None) -> pd.DataFrame:
    """Tabulate the sd over seeds of the (weighted) score: variances averaged over steps, and over runs when pooled.

    The interval is the chi-square one, of as many degrees of freedom as seeds, and steps that move apart, have; NaN
    where cells are missing.
    """
    rows, variances, freedoms = [], [], []
    for run in runs:
        scores = _weighted_scores(run, weights)
        if not np.isfinite(scores).all():
            rows.append((run.benchmark, run.run, SEEN, np.nan, np.nan, np.nan))
            continue
        variances.append(float(scores.var(axis=0, ddof=1).mean()))
        freedoms.append(float((run.n_seeds - 1) / steps_moving_as_one(scores)))
        rows.append((run.benchmark, run.run, *_spread(variances[-1], freedoms[-1])))
    if variances:
        freedom = pooled_freedom(np.array(variances), np.array(freedoms))  # of variances with equal weights
        rows.append((runs[0].benchmark, POOLED, *_spread(float(np.mean(variances)), freedom)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _spread(variance: float, freedom: float) -> tuple[str, float, float, float]:
    sd = float(np.sqrt(variance))
    lower, upper = sd_interval(np.asarray(sd), freedom)
    return SEEN, sd, float(lower), float(upper)


def _weighted_scores(run: RunScores, weights: pd.Series | None) -> FloatArray:
    """Scores of shape (seed, step)."""
    if weights is None:
        return run.scores()
    by_label = pd.Series(weights.to_numpy(dtype=np.float64), weights.index.astype("str"))
    own = by_label.reindex(run.items.astype("str")).fillna(0.0).to_numpy()
    used = own != 0
    return np.asarray(run.values[..., used] @ (own[used] / own.sum()))
