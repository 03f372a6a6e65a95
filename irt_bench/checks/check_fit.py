"""Check a fit against the responses it was made from: every check at once, and what they found.

ModelChecks: what the checks of a fit found, whole.

What the checks found as tables: items, models, eigenvalues, scores and curves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from irt_bench.arrays import FloatArray
from irt_bench.checks.answers import score_groups
from irt_bench.checks.dimensionality import (
    LEAST_HELD_OUT,
    compare_dimensions,
    dimension_check,
    eigenvalue_checks,
    parallel_check,
    permuted_eigenvalues,
    second_eigenvalue_check,
)
from irt_bench.checks.evidence import Evidence, gather_evidence
from irt_bench.checks.fit_statistics import (
    MEAN_SQUARE,
    MISFIT,
    GroupDifference,
    MeanSquares,
    difference_check,
    difference_table,
    group_difference,
    item_mean_squares,
    mean_square_check,
    model_mean_squares,
    person_fit_check,
    standardised_log_likelihood,
)
from irt_bench.checks.local_dependence import (
    Residuals,
    beyond_chance,
    dependence_checks,
    local_dependence_check,
    pair_table,
    residual_correlations,
    testlet_check,
)
from irt_bench.checks.named import Check
from irt_bench.checks.predictive import (
    LeaveOneOut,
    Surprise,
    curve_check,
    curve_surprise,
    leave_cells_out,
    leave_models_out,
    leave_one_out_check,
    model_reason_against,
    odds_ratio_check,
    score_check,
)
from irt_bench.checks.summed_score import SummedScoreFit, reason_against, summed_score_check, summed_score_fit
from irt_bench.errors import AnalysisError, check_range
from irt_bench.inference.draws import check_responses
from irt_bench.inference.fit import FitResult
from irt_bench.inference.response_checks import response_checks
from irt_bench.names import INTERVAL, ITEM, MODEL
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts

RECORDS: Final = 10  # pairs of items in a summary


@dataclass(frozen=True)
class ModelChecks:
    """Named checks, and the tables behind them.

    Parameters
    ----------
    checks : tuple of Check
        All of them, also those that do not apply.
    items : pd.DataFrame
        Indexed by item: ``infit, outfit, s_x2, s_x2_df, s_x2_p, s_x2_p_holm, s_x2_rmsea, curve_surprise`` (mean squared
        standard score of the item-total curve), ``largest_q3, partner`` (of the pair furthest beyond its limit) and
        ``misfits``, names joined by ';'.
    models : pd.DataFrame
        Indexed by model: ``ability, zh, infit, outfit, score, misfit``.
    pairs : pd.DataFrame
        Pairs of items whose Q3 is furthest beyond its limit: ``item_a, item_b, q3, q3_excess, limit``.
    differences : pd.DataFrame
        Between groups of models: ``group, item, delta, delta_q05, delta_q95, large``.
    eigenvalues : pd.DataFrame
        Indexed by number: ``observed, unrelated_q95, one_dimension_q05, one_dimension_q95``.
    scores : pd.DataFrame
        Indexed by score: cumulated share of models, ``observed, predicted, predicted_q05, predicted_q95``.
    curves : pd.DataFrame
        Of the items whose curves are furthest from the fit: ``item, group, score, observed, predicted, predicted_q05,
        predicted_q95``.
    log_scores : tuple of LeaveOneOut
        Of cells and, where it can be had, of models.
    notes : tuple of str
        What was sampled, left out or done otherwise.
    replicates, seed : int
        Simulated data sets, and the seed of everything random.
    """

    checks: tuple[Check, ...]
    items: pd.DataFrame
    models: pd.DataFrame
    pairs: pd.DataFrame
    differences: pd.DataFrame
    eigenvalues: pd.DataFrame
    scores: pd.DataFrame
    curves: pd.DataFrame
    log_scores: tuple[LeaveOneOut, ...]
    notes: tuple[str, ...]
    replicates: int
    seed: int

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.status != "failed" for check in self.checks)

    def table(self) -> pd.DataFrame:
        """Tabulate the checks, indexed by name."""
        return pd.DataFrame([check.to_dict() for check in self.checks]).set_index("name")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "passed": self.passed,
            "checks": [check.to_dict() for check in self.checks],
            "log_scores": [each.to_dict() for each in self.log_scores],
            "pairs": self.pairs.head(RECORDS).to_dict("records"),
            "notes": list(self.notes),
            "replicates": self.replicates,
            "seed": self.seed,
        }


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


Progress = Callable[[str, int, int], None]
REPLICATES: Final = 39  # a value beyond all of them has a chance of 1 in 40
LEAST_REPLICATES: Final = 9
MOST_REPLICATES: Final = 9_999
LEAST_DRAWS: Final = 25  # a fifth of them is the tail that PSIS smooths, and five points are the fewest it takes


class _Details(NamedTuple):
    """Of the responses, beyond the figures that are compared with replicates."""

    squares: MeanSquares
    summed: SummedScoreFit | None
    residuals: Residuals
    curves: Surprise
    permuted: FloatArray | None
    differences: dict[str, GroupDifference]


def check_fit(
    counts: Responses,
    fit: FitResult,
    *,
    groups: pd.Series | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
    progress: Progress | None = None,
) -> ModelChecks:
    """Check whether an IRT model describes the responses it was fitted to.

    Parameters
    ----------
    counts : ResponseCounts, or what `as_counts` takes
        The responses behind the fit.
    fit : FitResult
        Of any method.
    groups : pd.Series, optional
        Group of each model, indexed by model, for differential item functioning; missing values belong to none.
    replicates : int
        Data sets simulated from the fit.
    seed : int
        Of everything random.
    progress : callable, optional
        Told (what, done, total).

    Raises
    ------
    AnalysisError
        If there are too few replicates or draws.
    FitError
        If the fit is of other responses.

    Notes
    -----
    A check fails where its figure is above a limit from the literature *and* above those of all simulated data sets,
    which have the fitted model's one ability, local independence and curves. With R of them a check without a limit
    from the literature fails under the fitted model once in R + 1 times; the others more rarely.

    Simulated data are fitted again by the fast method, and so are the responses, so that both bear the same marks of
    estimation. Where the method cannot fit the model (asymptotes to be learned), or the matrix has more than three
    million cells, items stay at their posterior means in both, which makes chance look a little wider than it is.
    """
    counts = as_counts(counts)
    _check_input(counts, fit, replicates)
    streams = np.random.default_rng(seed).spawn(4)
    evidence = gather_evidence(counts, fit, groups, replicates=replicates, rng=streams[0], progress=progress)
    details = _details(evidence, streams[1])
    log_scores, loo_checks = _leave_out(evidence, streams[2])
    return ModelChecks(
        checks=(
            *_predictive_checks(evidence, details),
            *loo_checks,
            *_item_checks(evidence, details),
            *_dimension_checks(evidence, details, streams[3]),
            difference_check(
                details.differences,
                evidence.counts.items.index,
                evidence.chance("n_large"),
                evidence.plan.group_reason,
            ),
            *response_checks(fit.irt_model, fit.posterior, counts, seed=seed),
        ),
        items=item_table(evidence, details.squares, details.summed, details.residuals, details.curves),
        models=model_table(evidence),
        pairs=pair_table(details.residuals, evidence.counts.items.index[evidence.plan.q3], evidence.chance("q3")),
        differences=difference_table(details.differences, evidence.counts.items.index),
        eigenvalues=eigenvalue_table(evidence, details.permuted),
        scores=score_table(evidence.answers.score, evidence.scores),
        curves=curve_table(evidence, details.curves),
        log_scores=log_scores,
        notes=evidence.notes,
        replicates=replicates,
        seed=seed,
    )


def _check_input(counts: ResponseCounts, fit: FitResult, replicates: int) -> None:
    check_range(AnalysisError, "replicates", replicates, LEAST_REPLICATES, MOST_REPLICATES)
    n_draws = fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"]
    if n_draws < LEAST_DRAWS:
        raise AnalysisError(f"the fit has {n_draws} draws; checks need {LEAST_DRAWS} or more. Fit again with more.")
    check_responses(fit.responses, counts)


def _details(evidence: Evidence, rng: np.random.Generator) -> _Details:
    answers, plan = evidence.answers, evidence.plan
    n_parameters = evidence.draws.n_item_parameters
    return _Details(
        squares=item_mean_squares(answers),
        summed=None if reason_against(answers) else summed_score_fit(answers, n_parameters),
        residuals=residual_correlations(answers, plan.q3),
        curves=curve_surprise(evidence.found.curves, [each.curves for each in evidence.repeated]),
        permuted=None if plan.eigen_reason else permuted_eigenvalues(answers, plan.eigen, rng),
        differences={}
        if plan.group_reason
        else {name: group_difference(answers, member) for name, member in plan.members.items()},
    )


def _predictive_checks(evidence: Evidence, details: _Details) -> tuple[Check, ...]:
    return (
        score_check(evidence.answers.score, evidence.scores),
        odds_ratio_check(evidence.found.odds, evidence.chance("odds")),
        curve_check(details.curves, evidence.counts.items.index.to_numpy()),
    )


def _leave_out(evidence: Evidence, rng: np.random.Generator) -> tuple[tuple[LeaveOneOut, ...], tuple[Check, ...]]:
    draws, counts = evidence.draws, evidence.counts
    n_parameters = draws.n_item_parameters
    cells = leave_cells_out(draws, counts.correct, counts.trials, rng)
    reason = model_reason_against(counts.n_models, counts.n_items, n_parameters)
    models = None if reason else leave_models_out(draws, counts.correct, counts.trials)
    checks = (leave_one_out_check("loo_cells", cells), leave_one_out_check("loo_models", models, reason))
    return tuple(each for each in (cells, models) if each is not None), checks


def _item_checks(evidence: Evidence, details: _Details) -> tuple[Check, ...]:
    answers, labels = evidence.answers, evidence.counts.items.index
    return (
        mean_square_check("infit", details.squares.infit, labels.to_numpy(), evidence.chance("infit")),
        mean_square_check("outfit", details.squares.outfit, labels.to_numpy(), evidence.chance("outfit")),
        summed_score_check(answers, details.summed, labels.to_numpy()),
        local_dependence_check(
            details.residuals, answers, evidence.plan.q3, labels[evidence.plan.q3], evidence.chance("q3")
        ),
        testlet_check(details.residuals, evidence.plan.testlets, evidence.chance("testlets")),
        person_fit_check(answers, evidence.counts.models.index.to_numpy(), evidence.chance("misfit")),
        *dependence_checks(answers, evidence.plan.relatives, evidence.counts.models.index, evidence.chance("likeness")),
    )


def _dimension_checks(evidence: Evidence, details: _Details, rng: np.random.Generator) -> tuple[Check, ...]:
    enough = evidence.counts.asked.sum() >= 10 * LEAST_HELD_OUT
    two = dimension_check(compare_dimensions(evidence.answers, rng) if enough else None)
    if details.permuted is None:
        return (*eigenvalue_checks(evidence.plan.eigen_reason), two)
    observed = evidence.found.eigenvalues
    chance = evidence.chance("eigenvalues")
    return parallel_check(observed, details.permuted, chance), second_eigenvalue_check(observed, chance[:, 1]), two
