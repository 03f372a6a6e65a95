"""What all checks look at: the responses fitted again, and the statistics of every data set simulated from the fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.analysis.labelled_draws import draws_of, item_draws, positions_of
from irt_bench.arrays import FloatArray
from irt_bench.checks.answers import FittedAnswers, PosteriorDraws, fit_again, replicate_answers, replicate_scores
from irt_bench.checks.dimensionality import eigenvalue_reason_against, largest_eigenvalues
from irt_bench.checks.fit_statistics import (
    LEAST_GROUP,
    farthest,
    item_mean_squares,
    large_groups,
    largest_misfit,
    n_large,
)
from irt_bench.checks.local_dependence import (
    Likeness,
    Relatives,
    Testlets,
    design_effects,
    largest_excess,
    likeness,
    relatives_of,
    residual_correlations,
    testlets_of,
)
from irt_bench.checks.predictive import Curves, item_total_curves, log_odds_ratios
from irt_bench.errors import AnalysisError
from irt_bench.inference.fit import FitResult
from irt_bench.irt_models.logistic import Logistic
from irt_bench.names import ABILITY, DIFFICULTY, DISCRIMINATION, ITEM, MODEL
from irt_bench.responses.counts import ResponseCounts

Progress = Callable[[str, int, int], None]
Positions = npt.NDArray[np.intp]
MOST_CELLS: Final = 6_000_000  # beyond, models are sampled: a replicate would take half a minute
LEAST_SAMPLE: Final = 400  # models
LEAST_MODELS, LEAST_ITEMS = 3, 2
Q3_ITEMS, ODDS_ITEMS, EIGEN_ITEMS = 1_000, 400, 120  # of which pairs are formed; more are sampled


@dataclass(frozen=True)
class Plan:
    """Which items form pairs, and which models belong to which group.

    Parameters
    ----------
    q3, odds, eigen : integer arrays
        Positions of the items for residual correlations, odds ratios, and tetrachoric correlations.
    testlets : list of Testlets
        Items that columns put together, among those for residual correlations.
    relatives : Relatives
        Models of which pairs are formed.
    members : dict
        Group → whether each model belongs to it.
    eigen_reason, group_reason : str
        Why there are no eigenvalues, or groups to compare; empty where there are.
    """

    q3: Positions
    odds: Positions
    eigen: Positions
    testlets: list[Testlets]
    relatives: Relatives
    members: dict[str, npt.NDArray[np.bool_]]
    eigen_reason: str
    group_reason: str


class Statistics(NamedTuple):
    """What is kept of one data set."""

    infit: float
    outfit: float
    misfit: float
    likeness: Likeness
    q3: float
    testlets: FloatArray
    odds: FloatArray
    curves: Curves
    eigenvalues: FloatArray
    n_large: float


@dataclass(frozen=True)
class Evidence:
    """All that the checks rest on.

    Parameters
    ----------
    counts : ResponseCounts
        Models and items with answers.
    draws : PosteriorDraws
        Of the fit, in their order.
    answers : FittedAnswers
        The responses, fitted again like the replicates.
    plan : Plan
        What is looked at.
    found : Statistics
        Of the responses.
    repeated : tuple of Statistics
        Of the replicates.
    scores : array of shape (replicate, model)
        Of new models with normal abilities.
    notes : tuple of str
        What was sampled or left out.
    """

    counts: ResponseCounts
    draws: PosteriorDraws
    answers: FittedAnswers
    plan: Plan
    found: Statistics
    repeated: tuple[Statistics, ...]
    scores: FloatArray
    notes: tuple[str, ...]

    def chance(self, name: str) -> FloatArray:
        """One figure of all replicates, shape (replicate, ...)."""
        return np.array([getattr(each, name) for each in self.repeated])


def gather_evidence(
    counts: ResponseCounts,
    fit: FitResult,
    groups: pd.Series | None,
    *,
    replicates: int,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> Evidence:
    """Fit the responses again, simulate from the fit, and compute what the checks compare.

    Raises
    ------
    AnalysisError
        If labels do not match, or fewer than three models or two items have answers.
    """
    streams = rng.spawn(4)
    counts, notes = _restrict(counts, streams[0])
    draws = _join(counts, fit)
    answers = fit_again(draws, counts.correct, counts.trials)
    plan = _plan(answers, counts, groups, streams[1], notes)
    if not draws.refits(counts.correct.size):
        notes.append("items were not fitted again to simulated data, which widens what passes for chance")
    repeated = []
    for done, replicate in enumerate(replicate_answers(draws, counts.trials, replicates, streams[2]), start=1):
        repeated.append(_statistics(replicate, plan))
        if progress is not None:
            progress("simulating", done, replicates)
    return Evidence(
        counts=counts,
        draws=draws,
        answers=answers,
        plan=plan,
        found=_statistics(answers, plan),
        repeated=tuple(repeated),
        scores=replicate_scores(draws, counts.trials, replicates, streams[3]),
        notes=tuple(notes),
    )


def _restrict(counts: ResponseCounts, rng: np.random.Generator) -> tuple[ResponseCounts, list[str]]:
    """Leave out models and items without answers, and sample models of very large matrices."""
    notes = []
    models, items = counts.asked.any(axis=1), counts.asked.any(axis=0)
    for kept, what in ((models, "models"), (items, "items")):
        if not kept.all():
            notes.append(f"{int((~kept).sum())} {what} without answers are left out")
    places = np.flatnonzero(models)
    affordable = max(MOST_CELLS // max(int(items.sum()), 1), LEAST_SAMPLE)
    if len(places) > affordable:
        notes.append(f"{affordable:,} of {len(places):,} models, drawn at random, are checked")
        places = np.sort(rng.choice(places, affordable, replace=False))
    if len(places) < LEAST_MODELS or items.sum() < LEAST_ITEMS:
        raise AnalysisError(
            f"{len(places)} models and {int(items.sum())} items have answers; checks need at least {LEAST_MODELS} and "
            f"{LEAST_ITEMS}."
        )
    return counts.take(models=places, items=items), notes


def _join(counts: ResponseCounts, fit: FitResult) -> PosteriorDraws:
    """Draws in the order of the counts."""
    if missing := [name for name in (DIFFICULTY, DISCRIMINATION) if name not in fit.posterior]:
        raise AnalysisError(
            f"checks read difficulty and discrimination, and the fit of {fit.irt_model.name!r} does not report "
            f"{' and '.join(missing)}; give the program a site of that name."
        )
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
    return PosteriorDraws(irt_model, items, ability.astype(np.float64))


def _plan(
    answers: FittedAnswers,
    counts: ResponseCounts,
    groups: pd.Series | None,
    rng: np.random.Generator,
    notes: list[str],
) -> Plan:
    varying = np.flatnonzero(answers.varying)
    if len(varying) < len(answers.varying):
        notes.append(f"{len(answers.varying) - len(varying)} items that all models answered alike form no pairs")
    chosen = {}
    for name, most in (("residual correlations", Q3_ITEMS), ("odds ratios", ODDS_ITEMS), ("eigenvalues", EIGEN_ITEMS)):
        chosen[name] = np.sort(rng.choice(varying, most, replace=False)) if len(varying) > most else varying
        if len(varying) > most:
            notes.append(f"{name} are of {most} items drawn at random")
    q3, odds, eigen = chosen.values()
    members, reason = _members(counts, groups)
    relatives = relatives_of(counts.models.index, groups, rng)
    if len(relatives.models) < counts.n_models:
        notes.append(f"residual correlations of models are of {len(relatives.models):,} models drawn at random")
    return Plan(
        q3,
        odds,
        eigen,
        testlets_of(counts.items, q3),
        relatives,
        members,
        eigenvalue_reason_against(answers, eigen),
        reason if answers.binary else BINARY,
    )


BINARY: Final = "answers are counts of several trials; Mantel-Haenszel statistics need 0/1 answers"


def _members(counts: ResponseCounts, groups: pd.Series | None) -> tuple[dict[str, npt.NDArray[np.bool_]], str]:
    if groups is None:
        return {}, "no groups of models were named"
    here = groups.reindex(counts.models.index)
    names = large_groups(here)
    listed = here.astype(object).where(here.notna(), None).map(lambda value: None if value is None else str(value))
    reason = "" if names else f"no two groups of models have {LEAST_GROUP} members"
    return {name: np.asarray(listed == name) for name in names}, reason


def _statistics(answers: FittedAnswers, plan: Plan) -> Statistics:
    squares = item_mean_squares(answers)
    none = np.full(2, np.nan)
    residuals = residual_correlations(answers, plan.q3)
    return Statistics(
        infit=farthest(squares.infit)[0],
        outfit=farthest(squares.outfit)[0],
        misfit=largest_misfit(answers),
        likeness=likeness(answers, plan.relatives),
        q3=largest_excess(residuals),
        testlets=design_effects(residuals, plan.testlets),
        odds=log_odds_ratios(answers, plan.odds),
        curves=item_total_curves(answers),
        eigenvalues=none if plan.eigen_reason else largest_eigenvalues(answers, plan.eigen),
        n_large=np.nan if plan.group_reason else n_large(answers, list(plan.members.values())),
    )
