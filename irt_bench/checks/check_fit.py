"""Check a fit against the responses it was made from: all checks at once, and their tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from irt_bench.arrays import FloatArray
from irt_bench.checks.check_data import CheckData, collect_check_data
from irt_bench.checks.dimensionality import (
    MIN_HELD_OUT,
    compare_dimensions,
    dimension_check,
    eigenvalue_checks,
    parallel_check,
    permuted_eigenvalues,
    second_eigenvalue_check,
)
from irt_bench.checks.fit_statistics import (
    MEAN_SQUARE_LIMIT,
    ZH_LIMIT,
    GroupDifference,
    MeanSquares,
    SummedScoreFit,
    difference_check,
    difference_table,
    group_difference,
    item_mean_squares,
    mean_square_check,
    model_mean_squares,
    person_fit_check,
    standardised_log_likelihood,
    summed_score_check,
    summed_score_fit,
    why_no_s_x2,
)
from irt_bench.checks.fitted_responses import not_applicable, score_groups
from irt_bench.checks.local_dependence import (
    ResidualCorrelations,
    dependence_checks,
    local_dependence_check,
    pair_limits,
    pair_table,
    residual_correlations,
    testlet_check,
)
from irt_bench.checks.predictive import (
    LeaveOneOut,
    SquaredZScores,
    curve_check,
    curve_misfit,
    leave_cells_out,
    leave_models_out,
    leave_one_out_check,
    odds_ratio_check,
    score_check,
    why_not_leave_models_out,
)
from irt_bench.errors import AnalysisError, check_range
from irt_bench.inference.convergence import Check, check_table
from irt_bench.inference.draws import check_responses
from irt_bench.inference.fit import FitResult
from irt_bench.inference.response_checks import response_checks
from irt_bench.names import INTERVAL, ITEM, MODEL
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts
from irt_bench.workers import Progress

RECORDS: Final = 10  # item pairs in a summary


@dataclass(frozen=True)
class ModelChecks:
    """All checks of a fit, and the tables behind them.

    Parameters
    ----------
    checks : tuple of Check
        All checks, including those that do not apply.
    items : pd.DataFrame
        Indexed by item: ``infit, outfit, s_x2, s_x2_df, s_x2_p, s_x2_p_holm, s_x2_rmsea, curve_misfit`` (mean squared
        standard score of the item-total curve), ``largest_q3, partner`` (of the pair furthest above its limit) and
        ``misfits`` (names of failed checks joined by ';').
    models : pd.DataFrame
        Indexed by model: ``score, ability, zh, infit, outfit, misfit``.
    pairs : pd.DataFrame
        Item pairs whose Q3 is furthest above its limit: ``item_a, item_b, q3, q3_excess, limit``.
    differences : pd.DataFrame
        Differences between groups of models: ``group, item, delta, delta_q05, delta_q95, large``.
    eigenvalues : pd.DataFrame
        Indexed by number: ``observed, unrelated_q95, one_dimension_q05, one_dimension_q95``.
    scores : pd.DataFrame
        Indexed by score: cumulative share of models, ``observed, predicted, predicted_q05, predicted_q95``.
    curves : pd.DataFrame
        Items whose curves are furthest from the fit: ``item, group, score, observed, predicted, predicted_q05,
        predicted_q95``.
    log_scores : tuple of LeaveOneOut
        Of cells and, where possible, of models.
    notes : tuple of str
        What was sampled or left out.
    replicates, seed : int
        Number of simulated data sets, and the seed.
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
        return check_table(self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
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


def item_table(
    data: CheckData,
    squares: MeanSquares,
    summed: SummedScoreFit | None,
    residuals: ResidualCorrelations,
    curves: SquaredZScores,
) -> pd.DataFrame:
    """Tabulate the fit of every item, with the names of its failed checks; see `ModelChecks.items`."""
    labels = data.counts.items.index
    nothing = np.full(len(labels), np.nan)
    names = ("statistic", "df", "p_value", "p_holm", "rmsea")
    columns = ("s_x2", "s_x2_df", "s_x2_p", "s_x2_p_holm", "s_x2_rmsea")
    table = pd.DataFrame({"infit": squares.infit, "outfit": squares.outfit}, index=labels.rename(ITEM))
    for name, column in zip(names, columns, strict=True):
        table[column] = nothing if summed is None else getattr(summed, name)
    table["curve_misfit"] = curves.observed
    table["largest_q3"], table["partner"] = _partners(residuals, data, labels)
    limits = {name: _limit(data, name) for name in ("infit", "outfit")}
    dependent = np.zeros(len(labels), dtype=bool)
    dependent[data.plan.q3] = (residuals.excess > pair_limits(residuals, data.chance("q3"))).any(axis=1)
    failed = {
        "infit": np.abs(squares.infit - 1) > max(limits["infit"], MEAN_SQUARE_LIMIT.value),
        "outfit": np.abs(squares.outfit - 1) > max(limits["outfit"], MEAN_SQUARE_LIMIT.value),
        "s_x2": np.zeros(len(labels), dtype=bool) if summed is None else summed.misfits,
        "item_total_curves": curves.observed > np.nanmax(curves.replicated, initial=0.0),
        "q3": dependent,
    }
    raised = np.stack(list(failed.values()), axis=1)
    table["misfits"] = [";".join(np.array(list(failed))[row]) for row in raised]
    return table


def model_table(data: CheckData) -> pd.DataFrame:
    """Tabulate the fit of every model; see `ModelChecks.models`."""
    fitted = data.fitted
    squares, zh = model_mean_squares(fitted), standardised_log_likelihood(fitted)
    columns: dict[str, Any] = {
        "score": fitted.score,
        "ability": fitted.ability,
        "zh": zh,
        "infit": squares.infit,
        "outfit": squares.outfit,
        "misfit": -zh > max(_limit(data, "misfit"), ZH_LIMIT.value),
    }
    return pd.DataFrame(columns, index=data.counts.models.index.rename(MODEL))


def eigenvalue_table(data: CheckData, permuted: FloatArray | None) -> pd.DataFrame:
    """Tabulate eigenvalues with those of unrelated items and of one-dimensional data; empty where undefined."""
    columns = ["observed", "unrelated_q95", "one_dimension_q05", "one_dimension_q95"]
    if permuted is None:
        return pd.DataFrame(columns=columns, index=pd.RangeIndex(1, 1, name="number"))
    low, high = np.quantile(data.chance("eigenvalues"), INTERVAL, axis=0)
    values = (data.found.eigenvalues, np.quantile(permuted, INTERVAL[1], axis=0), low, high)
    index = pd.RangeIndex(1, len(low) + 1, name="number")
    return pd.DataFrame(dict(zip(columns, values, strict=True)), index=index)


def score_table(observed: FloatArray, replicated: FloatArray) -> pd.DataFrame:
    """Cumulative shares of models by score, of the responses and of models with normal abilities."""
    known = np.isfinite(observed)
    steps = np.linspace(0, 1, SCORE_STEPS)
    share = [np.searchsorted(np.sort(row[known]), steps, side="right") / known.sum() for row in (observed, *replicated)]
    cumulated = np.array(share[1:])
    low, high = np.quantile(cumulated, INTERVAL, axis=0)
    columns = {"observed": share[0], "predicted": cumulated.mean(axis=0), "predicted_q05": low, "predicted_q95": high}
    return pd.DataFrame(columns, index=pd.Index(steps, name="score"))


def curve_table(data: CheckData, found: SquaredZScores) -> pd.DataFrame:
    """Item-total curves of the items furthest from the fit; see `ModelChecks.curves`."""
    columns = ["item", "group", "score", "observed", "predicted", "predicted_q05", "predicted_q95"]
    far = np.argsort(-np.nan_to_num(found.observed, nan=-1.0), kind="stable")[:CURVES_SHOWN]
    group, _ = score_groups(data.fitted.score)
    replicated = [each.curves.share for each in data.repeated]
    n_groups = min(len(share) for share in (data.found.curves.share, *replicated))
    parts = []
    for place in far.tolist():
        drawn = np.array([share[:n_groups, place] for share in replicated])
        at = [float(np.mean(data.fitted.score[group == number])) for number in range(n_groups)]
        low, high = np.nanquantile(drawn, INTERVAL, axis=0) if np.isfinite(drawn).any(axis=0).all() else drawn[:2]
        values = (data.found.curves.share[:n_groups, place], drawn.mean(axis=0), low, high)
        named = {"item": str(data.counts.items.index[place]), "group": np.arange(1, n_groups + 1), "score": at}
        parts.append(pd.DataFrame(named | dict(zip(columns[3:], values, strict=True))))
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _partners(residuals: ResidualCorrelations, data: CheckData, labels: pd.Index) -> tuple[FloatArray, list[str]]:
    """Q3 of each item's pair that is furthest above its limit, and the other item; NaN and "" where there is none."""
    values, partner = np.full(len(labels), np.nan), np.full(len(labels), "", dtype=object)
    some = np.isfinite(residuals.correlation).any(axis=1)
    if some.any():
        limit = pair_limits(residuals, data.chance("q3"))[some]
        other = np.nan_to_num(residuals.excess[some] / limit, nan=-np.inf).argmax(axis=1)
        places = data.plan.q3[some]
        values[places] = residuals.correlation[some][np.arange(len(places)), other]
        partner[places] = labels.to_numpy()[data.plan.q3[other]].astype(str)
    return values, partner.tolist()


def _limit(data: CheckData, name: str) -> float:
    chance = data.chance(name)
    return float(np.nanmax(chance)) if np.isfinite(chance).any() else 0.0


REPLICATES: Final = 39  # a value above all of them has probability 1 in 40
MIN_REPLICATES: Final = 9
MAX_REPLICATES: Final = 9_999
SEVERAL: Final = "abilities come from several populations"
MIN_DRAWS: Final = 25  # PSIS smooths a tail of a fifth of the draws, and needs five points


class _Details(NamedTuple):
    """Results for the responses that are not compared with replicates."""

    squares: MeanSquares
    summed: SummedScoreFit | None
    residuals: ResidualCorrelations
    curves: SquaredZScores
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
    """Check whether an IRT model describes the responses it was fitted to; see `irt_bench.Fit.check`.

    Models without a group take no part where groups are compared.

    Raises
    ------
    AnalysisError
        If there are too few replicates or draws.
    FitError
        If the fit is of other responses.

    Notes
    -----
    A check fails where its value is above a limit from the literature *and* above those of all simulated data sets.
    These have one ability per model, local independence, and the fitted curves. With R data sets, a check without a
    limit from the literature fails under the fitted model once in R + 1 times, the others less often.

    Responses and simulated data are refitted by the fast method, so that estimation affects both alike. Items keep
    their posterior means in both where the fast method cannot fit the model (estimated asymptotes), or the matrix has
    more than three million cells. The reference distributions are then slightly too wide.
    """
    counts = as_counts(counts)
    _check_input(counts, fit, replicates)
    streams = np.random.default_rng(seed).spawn(4)
    data = collect_check_data(counts, fit, groups, replicates=replicates, rng=streams[0], progress=progress)
    details = _details(data, streams[1])
    log_scores, loo_checks = _leave_out(data, streams[2])
    return ModelChecks(
        checks=(
            *_predictive_checks(data, details),
            *loo_checks,
            *_item_checks(data, details),
            *_dimension_checks(data, details, streams[3]),
            difference_check(
                details.differences,
                data.counts.items.index,
                data.chance("n_large"),
                data.plan.group_reason,
            ),
            *response_checks(fit.irt_model, fit.posterior, counts, seed=seed),
        ),
        items=item_table(data, details.squares, details.summed, details.residuals, details.curves),
        models=model_table(data),
        pairs=pair_table(details.residuals, data.counts.items.index[data.plan.q3], data.chance("q3")),
        differences=difference_table(details.differences, data.counts.items.index),
        eigenvalues=eigenvalue_table(data, details.permuted),
        scores=score_table(data.fitted.score, data.scores),
        curves=curve_table(data, details.curves),
        log_scores=log_scores,
        notes=data.notes,
        replicates=replicates,
        seed=seed,
    )


def _check_input(counts: ResponseCounts, fit: FitResult, replicates: int) -> None:
    check_range(AnalysisError, "replicates", replicates, MIN_REPLICATES, MAX_REPLICATES)
    n_draws = fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"]
    if n_draws < MIN_DRAWS:
        raise AnalysisError(f"the fit has {n_draws} draws; checks need {MIN_DRAWS} or more. Fit again with more.")
    check_responses(fit.responses, counts)


def _details(data: CheckData, rng: np.random.Generator) -> _Details:
    fitted, plan = data.fitted, data.plan
    n_parameters = data.draws.n_item_parameters
    return _Details(
        squares=item_mean_squares(fitted),
        summed=None if why_no_s_x2(fitted) else summed_score_fit(fitted, n_parameters),
        residuals=residual_correlations(fitted, plan.q3),
        curves=curve_misfit(data.found.curves, [each.curves for each in data.repeated]),
        permuted=None if plan.eigen_reason else permuted_eigenvalues(fitted, plan.eigen, rng),
        differences={}
        if plan.group_reason
        else {name: group_difference(fitted, member) for name, member in plan.members.items()},
    )


def _predictive_checks(data: CheckData, details: _Details) -> tuple[Check, ...]:
    return (
        not_applicable("score_distribution", SEVERAL)
        if data.draws.several_populations
        else score_check(data.fitted.score, data.scores),
        odds_ratio_check(data.found.odds, data.chance("odds")),
        curve_check(details.curves, data.counts.items.index.to_numpy()),
    )


def _leave_out(data: CheckData, rng: np.random.Generator) -> tuple[tuple[LeaveOneOut, ...], tuple[Check, ...]]:
    draws, counts = data.draws, data.counts
    n_parameters = draws.n_item_parameters
    cells = leave_cells_out(draws, counts.correct, counts.trials, rng)
    reason = why_not_leave_models_out(counts.n_models, counts.n_items, n_parameters)
    reason = SEVERAL if draws.several_populations else reason
    reason = "trials of a cell are correlated" if draws.dispersion is not None else reason
    models = None if reason else leave_models_out(draws, counts.correct, counts.trials)
    checks = (leave_one_out_check("loo_cells", cells), leave_one_out_check("loo_models", models, reason))
    return tuple(each for each in (cells, models) if each is not None), checks


def _item_checks(data: CheckData, details: _Details) -> tuple[Check, ...]:
    fitted, labels = data.fitted, data.counts.items.index
    return (
        mean_square_check("infit", details.squares.infit, labels.to_numpy(), data.chance("infit")),
        mean_square_check("outfit", details.squares.outfit, labels.to_numpy(), data.chance("outfit")),
        summed_score_check(fitted, details.summed, labels.to_numpy()),
        local_dependence_check(details.residuals, fitted, data.plan.q3, labels[data.plan.q3], data.chance("q3")),
        testlet_check(details.residuals, data.plan.testlets, data.chance("testlets")),
        person_fit_check(fitted, data.counts.models.index.to_numpy(), data.chance("misfit")),
        *dependence_checks(fitted, data.plan.model_groups, data.counts.models.index, data.chance("model_similarity")),
    )


def _dimension_checks(data: CheckData, details: _Details, rng: np.random.Generator) -> tuple[Check, ...]:
    enough = data.counts.asked.sum() >= 10 * MIN_HELD_OUT
    two = dimension_check(compare_dimensions(data.fitted, rng) if enough else None)
    if details.permuted is None:
        return (*eigenvalue_checks(data.plan.eigen_reason), two)
    observed = data.found.eigenvalues
    chance = data.chance("eigenvalues")
    return parallel_check(observed, details.permuted, chance), second_eigenvalue_check(observed, chance[:, 1]), two
