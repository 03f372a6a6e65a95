"""The data of all checks: the refitted responses, and the same statistics for them and for every replicate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.analysis.labelled_draws import check_same_responses, draws_of, item_draws, positions_of
from irt_bench.arrays import FloatArray, Positions
from irt_bench.checks.dimensionality import largest_eigenvalues, why_no_eigenvalues
from irt_bench.checks.fit_statistics import (
    MIN_GROUP,
    item_mean_squares,
    large_groups,
    largest_misfit,
    n_large,
    worst_mean_square,
)
from irt_bench.checks.fitted_responses import (
    FittedResponses,
    PosteriorDraws,
    refit,
    replicate_responses,
    replicate_scores,
)
from irt_bench.checks.local_dependence import (
    ModelGroups,
    ModelSimilarity,
    Testlets,
    design_effects,
    group_models,
    largest_excess,
    model_similarity,
    residual_correlations,
    testlets_of,
)
from irt_bench.checks.predictive import ItemTotalCurves, item_total_curves, log_odds_ratios
from irt_bench.errors import AnalysisError
from irt_bench.inference.draws import dispersion_draws
from irt_bench.inference.fit import FitResult
from irt_bench.irt_models.logistic import Logistic
from irt_bench.names import ABILITY, DIFFICULTY, DISCRIMINATION, ITEM, MODEL
from irt_bench.responses.counts import ResponseCounts
from irt_bench.workers import Progress

MAX_CELLS: Final = 6_000_000  # above it models are sampled: one replicate would take half a minute
MIN_SAMPLE: Final = 400  # models
MIN_MODELS, MIN_ITEMS = 3, 2
Q3_ITEMS, ODDS_ITEMS, EIGEN_ITEMS = 1_000, 400, 120  # of which pairs are formed; more are sampled


@dataclass(frozen=True)
class CheckPlan:
    """Items that form pairs, and groups of models."""

    # q3, odds, eigen: positions of the items for residual correlations, odds ratios, and tetrachoric correlations
    q3: Positions
    odds: Positions
    eigen: Positions
    # testlets among the items for residual correlations, one entry per column of the item metadata
    testlets: list[Testlets]
    model_groups: ModelGroups  # models that form pairs, and their groups
    members: dict[str, npt.NDArray[np.bool_]]  # name of the group → whether each model belongs to it, shape (model,)
    # eigen_reason, group_reason: why there are no eigenvalues, or no groups to compare; empty where there are
    eigen_reason: str
    group_reason: str


class CheckStatistics(NamedTuple):
    """Statistics of one data set, observed or replicated."""

    infit: float
    outfit: float
    misfit: float
    model_similarity: ModelSimilarity
    q3: float
    testlets: FloatArray
    odds: FloatArray
    curves: ItemTotalCurves
    eigenvalues: FloatArray
    n_large: float


@dataclass(frozen=True)
class CheckData:
    """What all checks read."""

    counts: ResponseCounts  # models and items with responses
    draws: PosteriorDraws  # draws of the fit, in the order of `counts`
    fitted: FittedResponses  # the responses, refitted like the replicates
    plan: CheckPlan  # items and models that are examined
    found: CheckStatistics  # statistics of the responses
    repeated: tuple[CheckStatistics, ...]  # statistics of the replicates
    scores: FloatArray  # (replicate, model), simulated scores of new models with normal abilities
    notes: tuple[str, ...]  # what was sampled or left out

    def chance(self, name: str) -> FloatArray:
        """One statistic of all replicates, shape (replicate, ...)."""
        return np.array([getattr(each, name) for each in self.repeated])


def collect_check_data(
    counts: ResponseCounts,
    fit: FitResult,
    groups: pd.Series | None,
    *,
    replicates: int,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> CheckData:
    """Refit the responses, simulate from the fit, and compute the statistics that the checks compare.

    Raises
    ------
    AnalysisError
        If labels do not match, or fewer than three models or two items have responses.
    """
    streams = rng.spawn(4)
    counts, notes = _restrict(counts, streams[0])
    draws = _join(counts, fit)
    fitted = refit(draws, counts.correct, counts.trials)
    plan = _plan(fitted, counts, groups, streams[1], notes)
    if not draws.can_refit(counts.correct.size):
        notes.append("items were not refitted to simulated data, which widens the reference distributions")
    repeated = []
    for done, replicate in enumerate(replicate_responses(draws, counts.trials, replicates, streams[2]), start=1):
        repeated.append(_statistics(replicate, plan))
        if progress is not None:
            progress("simulating", done, replicates)
    return CheckData(
        counts=counts,
        draws=draws,
        fitted=fitted,
        plan=plan,
        found=_statistics(fitted, plan),
        repeated=tuple(repeated),
        scores=replicate_scores(draws, counts.trials, replicates, streams[3]),
        notes=tuple(notes),
    )


def _restrict(counts: ResponseCounts, rng: np.random.Generator) -> tuple[ResponseCounts, list[str]]:
    """Leave out models and items without responses, and sample the models of a very large matrix."""
    notes = []
    models, items = counts.asked.any(axis=1), counts.asked.any(axis=0)
    for kept, what in ((models, "models"), (items, "items")):
        if not kept.all():
            notes.append(f"{int((~kept).sum())} {what} without responses are left out")
    places = np.flatnonzero(models)
    affordable = max(MAX_CELLS // max(int(items.sum()), 1), MIN_SAMPLE)
    if len(places) > affordable:
        notes.append(f"{affordable:,} of {len(places):,} models, drawn at random, are checked")
        places = np.sort(rng.choice(places, affordable, replace=False))
    if len(places) < MIN_MODELS or items.sum() < MIN_ITEMS:
        raise AnalysisError(
            f"{len(places)} models and {int(items.sum())} items have responses; checks need at least {MIN_MODELS} and "
            f"{MIN_ITEMS}."
        )
    return counts.take(models=places, items=items), notes


def _join(counts: ResponseCounts, fit: FitResult) -> PosteriorDraws:
    """Put the draws in the order of the counts."""
    if missing := [name for name in (DIFFICULTY, DISCRIMINATION) if name not in fit.posterior]:
        raise AnalysisError(
            f"checks read difficulty and discrimination, and the fit of {fit.irt_model.name!r} does not report "
            f"{' and '.join(missing)}; give the program a site of that name."
        )
    check_same_responses(counts.items, fit.posterior)
    posterior = fit.posterior.isel(
        {
            dim: positions_of(index, fit.posterior[dim].to_index(), dim, "the responses", "the fit")
            for dim, index in ((MODEL, counts.models.index), (ITEM, counts.items.index))
        }
    )
    ability, _ = draws_of(posterior, ABILITY, MODEL)
    items, labels = item_draws(posterior, len(ability))
    irt_model = fit.irt_model
    if (
        isinstance(irt_model, Logistic)
        and isinstance(irt_model.guessing, tuple)
        and len(irt_model.guessing) != len(labels)
    ):
        kept = fit.posterior[ITEM].to_index().get_indexer(labels)
        irt_model = type(irt_model)(**{**vars(irt_model), "guessing": tuple(np.array(irt_model.guessing)[kept])})
    return PosteriorDraws(irt_model, items, ability.astype(np.float64), dispersion_draws(posterior))


def _plan(
    fitted: FittedResponses,
    counts: ResponseCounts,
    groups: pd.Series | None,
    rng: np.random.Generator,
    notes: list[str],
) -> CheckPlan:
    varying = np.flatnonzero(fitted.varying)
    if len(varying) < len(fitted.varying):
        equal = counts.items.index[~fitted.varying]
        notes.append(f"{len(equal)} items with equal responses of all models form no pairs, first: {equal[0]!r}")
    chosen = {}
    for name, most in (("residual correlations", Q3_ITEMS), ("odds ratios", ODDS_ITEMS), ("eigenvalues", EIGEN_ITEMS)):
        chosen[name] = np.sort(rng.choice(varying, most, replace=False)) if len(varying) > most else varying
        if len(varying) > most:
            notes.append(f"{name} use {most} items, drawn at random")
    q3, odds, eigen = chosen.values()
    members, reason = _members(counts, groups)
    model_groups = group_models(counts.models.index, groups, rng)
    if len(model_groups.models) < counts.n_models:
        notes.append(f"residual correlations of models use {len(model_groups.models):,} models, drawn at random")
    return CheckPlan(
        q3,
        odds,
        eigen,
        testlets_of(counts.items, q3),
        model_groups,
        members,
        why_no_eigenvalues(fitted, eigen),
        reason if fitted.binary else NEEDS_BINARY,
    )


NEEDS_BINARY: Final = "cells hold several trials; Mantel-Haenszel statistics need 0/1 responses"


def _members(counts: ResponseCounts, groups: pd.Series | None) -> tuple[dict[str, npt.NDArray[np.bool_]], str]:
    if groups is None:
        return {}, "no groups of models were given"
    here = groups.reindex(counts.models.index)
    names = large_groups(here)
    listed = here.astype(object).where(here.notna(), None).map(lambda value: None if value is None else str(value))
    reason = "" if names else f"no two groups have {MIN_GROUP} models each"
    return {name: np.asarray(listed == name) for name in names}, reason


def _statistics(fitted: FittedResponses, plan: CheckPlan) -> CheckStatistics:
    squares = item_mean_squares(fitted)
    none = np.full(2, np.nan)
    residuals = residual_correlations(fitted, plan.q3)
    return CheckStatistics(
        infit=worst_mean_square(squares.infit)[0],
        outfit=worst_mean_square(squares.outfit)[0],
        misfit=largest_misfit(fitted),
        model_similarity=model_similarity(fitted, plan.model_groups),
        q3=largest_excess(residuals),
        testlets=design_effects(residuals, plan.testlets),
        odds=log_odds_ratios(fitted, plan.odds),
        curves=item_total_curves(fitted),
        eigenvalues=none if plan.eigen_reason else largest_eigenvalues(fitted, plan.eigen),
        n_large=np.nan if plan.group_reason else n_large(fitted, list(plan.members.values())),
    )
