"""Check a fit against the responses it was made from: every check at once, on the same simulated data sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from irt_bench.analysis.checks.dif import GroupDifference, difference_check, difference_table, group_difference
from irt_bench.analysis.checks.dimensionality import (
    eigenvalue_checks,
    parallel_check,
    permuted_eigenvalues,
    second_eigenvalue_check,
)
from irt_bench.analysis.checks.evidence import Evidence, gather_evidence
from irt_bench.analysis.checks.item_fit import MeanSquares, item_mean_squares, mean_square_check
from irt_bench.analysis.checks.local_dependence import (
    Residuals,
    local_dependence_check,
    pair_table,
    residual_correlations,
)
from irt_bench.analysis.checks.loo import (
    LeaveOneOut,
    leave_cells_out,
    leave_models_out,
    leave_one_out_check,
    model_reason_against,
)
from irt_bench.analysis.checks.model_checks import ModelChecks
from irt_bench.analysis.checks.model_dependence import dependence_checks
from irt_bench.analysis.checks.named import Check
from irt_bench.analysis.checks.person_fit import person_fit_check
from irt_bench.analysis.checks.predictive import Surprise, curve_check, curve_surprise, odds_ratio_check, score_check
from irt_bench.analysis.checks.summed_score import SummedScoreFit, reason_against, summed_score_check, summed_score_fit
from irt_bench.analysis.checks.tables import curve_table, eigenvalue_table, item_table, model_table, score_table
from irt_bench.analysis.checks.testlets import testlet_check
from irt_bench.analysis.checks.two_dimensions import LEAST_HELD_OUT, compare_dimensions, dimension_check
from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError, check_range
from irt_bench.inference.fit import FitResult
from irt_bench.inference.response_checks import response_checks
from irt_bench.inference.response_groups import check_responses
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts

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
        raise AnalysisError(f"the fit has {n_draws} draws; checks need {LEAST_DRAWS} or more. Fit again with --draws.")
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
