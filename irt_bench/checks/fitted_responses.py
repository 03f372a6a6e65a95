"""What all checks share: responses with their expected probabilities, replicates of them, and limits of statistics.

All checks of residuals read a `FittedResponses`. It is computed in the same way for the responses and for every
replicate. A replicate takes one draw of the posterior, simulates a response in every observed cell, and fits the IRT
model again by the fast method. Estimation makes residuals smaller and correlates them; refitting does the same to the
replicates, so that observed and replicated statistics can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from irt_bench.analysis.curves import information, response_curve, response_probabilities
from irt_bench.analysis.labelled_draws import ASYMPTOTES, ItemParameters
from irt_bench.arrays import BoolArray, FloatArray
from irt_bench.inference.convergence import Check
from irt_bench.inference.fast.ability_grid import AbilityGrid, CurveTable
from irt_bench.inference.fast.laplace import approximate
from irt_bench.irt_models.logistic import Logistic
from irt_bench.irt_models.model import Beta, IRTModel, draw_cells
from irt_bench.names import ITEM

SCAN: Final = np.linspace(-3.0, 3.0, 25)  # abilities at which the information of the items is evaluated
MIN_SD: Final = 0.05  # 301 nodes; a narrower posterior is near normal, and Newton steps find its mean
NEWTON_STEPS: Final = 2
GROUPS: Final = 6  # number of score groups of models, for item-total curves


@dataclass(frozen=True)
class FittedResponses:
    """Responses, point estimates of the items, and the probabilities that follow from both."""

    # correct, trials: (model, item), numbers of correct responses and of trials; trials = 0 where there is no response
    correct: FloatArray
    trials: FloatArray
    items: ItemParameters  # (item,), point estimates
    ability: FloatArray  # (model,), posterior means given the items (EAP)
    # probability, variance: (model, item), probability P of a correct response at that ability, and P (1 - P),
    # accurate near 0
    probability: FloatArray
    variance: FloatArray

    @property
    def asked(self) -> BoolArray:
        """Whether a model responded to an item, shape (model, item)."""
        return np.asarray(self.trials > 0)

    @cached_property
    def residual(self) -> FloatArray:
        """Correct responses minus their expected number; 0 where there is no response."""
        return np.asarray(self.correct - self.trials * self.probability)

    @cached_property
    def proportion(self) -> FloatArray:
        """Proportion of correct responses per cell; 0 where there is no response."""
        return np.asarray(self.correct / np.maximum(self.trials, 1))

    @cached_property
    def score(self) -> FloatArray:
        """Mean proportion correct over the observed items, shape (model,); NaN without responses."""
        n_asked = self.asked.sum(axis=1)
        return np.asarray(self.proportion.sum(axis=1) / np.where(n_asked > 0, n_asked, np.nan))

    @property
    def binary(self) -> bool:
        """Whether every observed cell is a single response."""
        return bool(self.trials.max(initial=0) <= 1)

    @property
    def complete(self) -> BoolArray:
        """Whether a model responded to every item, shape (model,)."""
        return np.asarray(self.asked.all(axis=1))

    @cached_property
    def varying(self) -> BoolArray:
        """Whether the responses to an item differ between models, shape (item,)."""
        low = np.where(self.asked, self.proportion, np.inf).min(axis=0, initial=np.inf)
        high = np.where(self.asked, self.proportion, -np.inf).max(axis=0, initial=-np.inf)
        return np.asarray(high > low)


def fit_abilities(correct: npt.NDArray[Any], trials: npt.NDArray[Any], items: ItemParameters) -> FittedResponses:
    """Estimate each model's ability (EAP) given the items, and the probabilities of its responses."""
    right, trials = np.asarray(correct, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    min_sd = 1 / np.sqrt(1 + (trials @ information(items.at((slice(None), None)), SCAN)).max(initial=0.0))
    grid = AbilityGrid.from_counts(right, trials, least_sd=max(min_sd, MIN_SD), dtype=np.float32)
    table = CurveTable(items._asdict(), grid.nodes)
    _, weights = grid.weights(table.log_right, table.log_wrong)
    ability = (weights.astype(np.float64) @ grid.nodes)[grid.pattern]
    for _ in range(NEWTON_STEPS if min_sd < MIN_SD else 0):
        ability = _fisher_scoring_step(right, trials, items, ability)
    right_chance, wrong_chance = response_probabilities(items.at((None, slice(None))), ability[:, None])
    return FittedResponses(right, trials, items, ability, right_chance, right_chance * wrong_chance)


def _fisher_scoring_step(
    correct: FloatArray, trials: FloatArray, items: ItemParameters, ability: FloatArray
) -> FloatArray:
    """Move towards each model's posterior mode by one step of Fisher scoring."""
    curve = response_curve(items.at((None, slice(None))), ability[:, None])
    weight = curve.slope / curve.correct / curve.incorrect  # in this order nothing overflows
    gradient = ((correct - trials * curve.correct) * weight).sum(axis=1) - ability
    return np.asarray(ability + gradient / (1 + (trials * curve.slope * weight).sum(axis=1)))


def score_groups(score: FloatArray, most: int = GROUPS) -> tuple[npt.NDArray[np.intp], int]:
    """Group models by score into at most `most` groups of about equal size; equal scores stay together.

    Returns
    -------
    group : integer array of shape (model,)
        Number of the group, from 0 for the lowest scores; -1 for models without a score.
    n_groups : int
        Number of groups.
    """
    known = np.isfinite(score)
    values = np.unique(score[known])
    if len(values) > most:
        values = np.unique(np.quantile(score[known], np.arange(1, most) / most, method="higher"))
        values = np.concatenate([[-np.inf], values[values > score[known].min()]])  # no group without models
    group = np.where(known, np.searchsorted(values, score, side="right") - 1, -1)
    return group, len(values)


REFIT_CELLS: Final = 3_000_000  # above it items are not refitted: one replicate would take half a minute


@dataclass(frozen=True)
class PosteriorDraws:
    """Draws of a fit in the order of the responses."""

    irt_model: IRTModel  # the fitted model
    items: ItemParameters  # (draw, item), item parameters
    ability: FloatArray  # (draw, model), abilities, from the same draws
    dispersion: FloatArray | None = None  # (draw,), correlation of the trials of a cell

    @property
    def n_draws(self) -> int:
        """Number of draws."""
        return len(self.ability)

    @property
    def several_populations(self) -> bool:
        """Whether abilities come from others than N(0, 1)."""
        return isinstance(self.irt_model, Logistic) and self.irt_model.population is not None

    @property
    def n_item_parameters(self) -> int:
        """Number of estimated parameters per item; for a user's own model, of parameters that differ between items."""
        if isinstance(self.irt_model, Logistic):
            return sum(dim == ITEM for dim in self.irt_model.latent.values())
        return sum(bool(np.ptp(values, axis=-1).any()) for values in self.items)

    def evenly(self, n: int) -> npt.NDArray[np.intp]:
        """Positions of n evenly spaced draws; some repeat where there are fewer draws."""
        return np.linspace(0, self.n_draws - 1, n).astype(np.intp)

    def can_refit(self, n_cells: int) -> bool:
        """Whether the fast method can fit this model, and quickly enough to refit every replicate."""
        if not isinstance(self.irt_model, Logistic) or self.irt_model.has_own_program or self.several_populations:
            return False
        learned = isinstance(self.irt_model.guessing, Beta) or self.irt_model.upper_share is not None
        return not learned and n_cells <= REFIT_CELLS


def refit(draws: PosteriorDraws, correct: npt.NDArray[Any], trials: npt.NDArray[Any]) -> FittedResponses:
    """Refit items and abilities; where the items cannot be refitted, keep their posterior means.

    Notes
    -----
    The responses and the replicates are treated alike, so that only their responses differ.
    """
    irt_model = draws.irt_model
    if not isinstance(irt_model, Logistic) or not draws.can_refit(correct.size):
        return fit_abilities(correct, trials, ItemParameters(*(values.mean(axis=0) for values in draws.items)))
    independent = replace(irt_model, dispersion=None)  # of responses and replicates alike
    found = approximate(independent, correct, trials, threads=1).state.items
    one = np.ones(len(found.log_slope))
    guessing = ASYMPTOTES["guessing"] if found.guessing is None else found.guessing
    items = ItemParameters(found.difficulty, found.slope, guessing * one, one)
    return fit_abilities(correct, trials, items)


def replicate_responses(
    draws: PosteriorDraws, trials: npt.NDArray[Any], n: int, rng: np.random.Generator
) -> Iterator[FittedResponses]:
    """Simulate n data sets for the same models, one at a time, and refit each."""
    for place, stream in zip(draws.evenly(n), rng.spawn(n), strict=True):
        chance, _ = response_probabilities(draws.items.at((place, None)), draws.ability[place, :, None])
        if draws.dispersion is not None:
            chance = draw_cells(chance, draws.dispersion[place], stream)
        yield refit(draws, stream.binomial(trials, chance), trials)


def replicate_scores(draws: PosteriorDraws, trials: npt.NDArray[Any], n: int, rng: np.random.Generator) -> FloatArray:
    """Simulate scores of n sets of new models with normal abilities, shape (replicate, model).

    Notes
    -----
    The abilities of a set are shifted and scaled to the mean and sd that the draw has over the models. A fit
    matches these two whatever the distribution is, so only the shape of the distribution is checked.
    """
    asked = trials > 0
    scores = np.empty((n, trials.shape[0]))
    for row, (place, stream) in enumerate(zip(draws.evenly(n), rng.spawn(n), strict=True)):
        drawn = draws.ability[place]
        new = stream.standard_normal(len(drawn))
        new = drawn.mean() + drawn.std() * (new - new.mean()) / new.std()
        chance, _ = response_probabilities(draws.items.at((place, None)), new[:, None])
        if draws.dispersion is not None:
            chance = draw_cells(chance, draws.dispersion[place], stream)
        share = stream.binomial(trials, chance) / np.maximum(trials, 1)
        scores[row] = share.sum(axis=1) / np.where(asked.any(axis=1), asked.sum(axis=1), np.nan)
    return scores


class Limit(NamedTuple):
    """A limit from the literature."""

    value: float
    source: str


def above_limit(name: str, value: float, message: str, *, limit: Limit | None, chance: FloatArray) -> Check:
    """Fail where a value exceeds both a limit from the literature and all values of the replicates.

    Parameters
    ----------
    name, message : str
        Name of the check, and what was found.
    value : float
        Statistic of the responses; larger is worse. NaN: the check does not apply.
    limit : Limit or None
        Limit from the literature, where there is one.
    chance : array of shape (replicate,)
        The same statistic for data sets simulated from the fit. Empty where only the limit counts.

    Notes
    -----
    Under the fitted model a value exceeds all R replicates with probability at most 1 / (R + 1).
    """
    drawn = chance[np.isfinite(chance)]
    ends = ([limit.value] if limit is not None else []) + ([float(drawn.max())] if drawn.size else [])
    if not np.isfinite(value) or not ends:
        return not_applicable(name, message or "undefined for these responses")
    threshold = max(ends)
    sources = ([limit.source] if limit is not None else []) + ([chance_source(drawn.size)] if drawn.size else [])
    source = "; or ".join(sources)
    return Check(name, "failed" if value > threshold else "passed", float(value), threshold, message, source)


def chance_source(n_replicates: int) -> str:
    """Describe a limit that is the largest value of the replicates."""
    return f"the largest of {n_replicates} data sets simulated from the fit (Efron & Tibshirani 1993, chapter 16)"


def not_applicable(name: str, reason: str) -> Check:
    """Build a check that does not apply, with the reason."""
    return Check(name, "not_applicable", None, None, reason, "")
