"""What the checks found as tables: items, models, eigenvalues, scores and curves."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from irt_bench.analysis.checks.answers import score_groups
from irt_bench.analysis.checks.evidence import Evidence
from irt_bench.analysis.checks.item_fit import MEAN_SQUARE, MeanSquares, model_mean_squares
from irt_bench.analysis.checks.local_dependence import Residuals, beyond_chance
from irt_bench.analysis.checks.person_fit import MISFIT, standardised_log_likelihood
from irt_bench.analysis.checks.predictive import Surprise
from irt_bench.analysis.checks.summed_score import SummedScoreFit
from irt_bench.arrays import FloatArray
from irt_bench.names import INTERVAL, ITEM, MODEL

SCORE_STEPS: Final = 101
CURVES_SHOWN: Final = 4
OUTER: Final = (INTERVAL[0], INTERVAL[1])


def item_table(
    evidence: Evidence,
    squares: MeanSquares,
    summed: SummedScoreFit | None,
    residuals: Residuals,
    curves: Surprise,
) -> pd.DataFrame:
    """Tabulate the fit of every item, with the names of the checks it offends; see `ModelChecks.items`."""
    labels = evidence.counts.items.index
    nothing = np.full(len(labels), np.nan)
    names = ("statistic", "freedom", "p_value", "p_holm", "rmsea")
    columns = ("s_x2", "s_x2_df", "s_x2_p", "s_x2_p_holm", "s_x2_rmsea")
    table = pd.DataFrame({"infit": squares.infit, "outfit": squares.outfit}, index=labels.rename(ITEM))
    for name, column in zip(names, columns, strict=True):
        table[column] = nothing if summed is None else getattr(summed, name)
    table["curve_surprise"] = curves.observed
    table["largest_q3"], table["partner"] = _partners(residuals, evidence, labels)
    limits = {name: _limit(evidence, name) for name in ("infit", "outfit")}
    dependent = np.zeros(len(labels), dtype=bool)
    dependent[evidence.plan.q3] = (residuals.excess > beyond_chance(residuals, evidence.chance("q3"))).any(axis=1)
    offences = {
        "infit": np.abs(squares.infit - 1) > max(limits["infit"], MEAN_SQUARE.value),
        "outfit": np.abs(squares.outfit - 1) > max(limits["outfit"], MEAN_SQUARE.value),
        "s_x2": np.zeros(len(labels), dtype=bool) if summed is None else summed.misfits,
        "item_total_curves": curves.observed > np.nanmax(curves.replicated, initial=0.0),
        "q3": dependent,
    }
    raised = np.stack(list(offences.values()), axis=1)
    table["misfits"] = [";".join(np.array(list(offences))[row]) for row in raised]
    return table


def model_table(evidence: Evidence) -> pd.DataFrame:
    """Tabulate the fit of every model; see `ModelChecks.models`."""
    answers = evidence.answers
    squares, zh = model_mean_squares(answers), standardised_log_likelihood(answers)
    columns: dict[str, Any] = {
        "score": answers.score,
        "ability": answers.ability,
        "zh": zh,
        "infit": squares.infit,
        "outfit": squares.outfit,
        "misfit": -zh > max(_limit(evidence, "misfit"), MISFIT.value),
    }
    return pd.DataFrame(columns, index=evidence.counts.models.index.rename(MODEL))


def eigenvalue_table(evidence: Evidence, permuted: FloatArray | None) -> pd.DataFrame:
    """Tabulate eigenvalues beside those of unrelated items and of one dimension; empty where there are none."""
    columns = ["observed", "unrelated_q95", "one_dimension_q05", "one_dimension_q95"]
    if permuted is None:
        return pd.DataFrame(columns=columns, index=pd.RangeIndex(1, 1, name="number"))
    low, high = np.quantile(evidence.chance("eigenvalues"), OUTER, axis=0)
    values = (evidence.found.eigenvalues, np.quantile(permuted, INTERVAL[1], axis=0), low, high)
    index = pd.RangeIndex(1, len(low) + 1, name="number")
    return pd.DataFrame(dict(zip(columns, values, strict=True)), index=index)


def score_table(observed: FloatArray, replicated: FloatArray) -> pd.DataFrame:
    """Cumulated shares of models by score, of the responses and of models with normal abilities."""
    known = np.isfinite(observed)
    steps = np.linspace(0, 1, SCORE_STEPS)
    share = [np.searchsorted(np.sort(row[known]), steps, side="right") / known.sum() for row in (observed, *replicated)]
    cumulated = np.array(share[1:])
    low, high = np.quantile(cumulated, OUTER, axis=0)
    columns = {"observed": share[0], "predicted": cumulated.mean(axis=0), "predicted_q05": low, "predicted_q95": high}
    return pd.DataFrame(columns, index=pd.Index(steps, name="score"))


def curve_table(evidence: Evidence, found: Surprise) -> pd.DataFrame:
    """Item-total curves of the items furthest from the fit; see `ModelChecks.curves`."""
    columns = ["item", "group", "score", "observed", "predicted", "predicted_q05", "predicted_q95"]
    far = np.argsort(-np.nan_to_num(found.observed, nan=-1.0), kind="stable")[:CURVES_SHOWN]
    group, _ = score_groups(evidence.answers.score)
    replicated = [each.curves.share for each in evidence.repeated]
    n_groups = min(len(share) for share in (evidence.found.curves.share, *replicated))
    parts = []
    for place in far.tolist():
        drawn = np.array([share[:n_groups, place] for share in replicated])
        at = [float(np.mean(evidence.answers.score[group == number])) for number in range(n_groups)]
        low, high = np.nanquantile(drawn, OUTER, axis=0) if np.isfinite(drawn).any(axis=0).all() else drawn[:2]
        values = (evidence.found.curves.share[:n_groups, place], drawn.mean(axis=0), low, high)
        named = {"item": str(evidence.counts.items.index[place]), "group": np.arange(1, n_groups + 1), "score": at}
        parts.append(pd.DataFrame(named | dict(zip(columns[3:], values, strict=True))))
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _partners(residuals: Residuals, evidence: Evidence, labels: pd.Index) -> tuple[FloatArray, list[str]]:
    """Q3 of each item that is furthest beyond its limit, and the item it is with; NaN and an empty text without one."""
    values, partner = np.full(len(labels), np.nan), np.full(len(labels), "", dtype=object)
    some = np.isfinite(residuals.correlation).any(axis=1)
    if some.any():
        limit = beyond_chance(residuals, evidence.chance("q3"))[some]
        other = np.nan_to_num(residuals.excess[some] / limit, nan=-np.inf).argmax(axis=1)
        places = evidence.plan.q3[some]
        values[places] = residuals.correlation[some][np.arange(len(places)), other]
        partner[places] = labels.to_numpy()[evidence.plan.q3[other]].astype(str)
    return values, partner.tolist()


def _limit(evidence: Evidence, name: str) -> float:
    chance = evidence.chance(name)
    return float(np.nanmax(chance)) if np.isfinite(chance).any() else 0.0
