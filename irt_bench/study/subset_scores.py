"""Scores of very many subsets: chosen items and random ones, by the same code.

A study scores thousands of random subsets by every estimator. Item parameters enter as curves averaged over their
draws. With items independent given the data, that is the posterior of ability over infinitely many draws, where
`irt_bench.subsets.scorer.summarise_responses` takes eight. Estimates differ by that noise alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.arrays import FloatArray
from irt_bench.responses.counts import ResponseCounts
from irt_bench.study.design import EQUAL
from irt_bench.subsets.basis import ABILITY_NODES, Selection, SelectionBasis, full_scores
from irt_bench.subsets.calibration import Calibration, Recipe
from irt_bench.subsets.estimators import ESTIMATORS, LearnedParameters, TrainingData, estimate
from irt_bench.subsets.scorer import (
    MIN_PROBABILITY,
    WIDE_PRIOR_SD,
    Prediction,
    ResponseSummary,
    join_summaries,
    posterior_on,
)
from irt_bench.subsets.select import weight_items

Places = npt.NDArray[np.intp]

WEIGHTED: Final = "weighted"
WEIGHT_SENSITIVE: Final = (
    WEIGHTED,
    "p_irt_weighted",
    "gp_irt",
    "gp_irt_source",
    "spline",
)  # the others see items alone
HELD_OUT: Final = ("gp_irt", "gp_irt_source")  # they learn one share from held-out calibration models
NO_ABILITIES: Final = pd.DataFrame()
BLOCK: Final = 100  # random subsets drawn at once
LEARNING_SUBSETS: Final = 20  # random subsets from which that share is learned, for all of them


def estimators_of(
    method: str, weights: str, recipes: Sequence[tuple[str, str]], estimators: Sequence[str]
) -> list[str]:
    """Estimators of a recipe (method, weights); those that ignore weights score only the first recipe of a method."""
    first = next(own for name, own in recipes if name == method)
    return [name for name in estimators if name in WEIGHT_SENSITIVE or weights == first]


def random_estimators(weights: str, estimators: Sequence[str]) -> list[str]:
    """Estimators of random subsets with these weights; with equal weights the mean is always among them."""
    if weights == EQUAL:
        return list(dict.fromkeys([WEIGHTED, *estimators]))
    return [name for name in estimators if name in WEIGHT_SENSITIVE]


def random_reference(weights: str, estimator: str) -> tuple[str, str]:
    """Weights and estimator of the random subsets that a recipe is compared with."""
    return (weights if estimator in WEIGHT_SENSITIVE else EQUAL, estimator)


def random_items(seed: int, n_items: int, size: int, n_random: int) -> npt.NDArray[np.int32]:
    """Draw random subsets, shape (subset, size), the same ones in every split.

    A method chooses much the same items in every split. Under the null hypothesis, its items are such a draw.
    """
    rng = np.random.default_rng([seed, size, n_items])
    parts = []
    for start in range(0, n_random, BLOCK):
        keys = rng.random((BLOCK, n_items), dtype=np.float32)[: min(BLOCK, n_random - start)]
        parts.append(np.argpartition(keys, size - 1, axis=1)[:, :size].astype(np.int32))
    return np.concatenate(parts)


class WeightedItems(NamedTuple):
    """Items, as positions in the benchmark, and their weights."""

    items: Places
    weights: FloatArray


class ModelScorer:
    """Scores the responses of some models with one calibration.

    Parameters
    ----------
    basis : SelectionBasis
        Fit to the calibration models.
    counts : ResponseCounts
        Responses of any models to the same items.
    """

    def __init__(self, basis: SelectionBasis, counts: ResponseCounts) -> None:
        self.basis = basis
        self.truth = full_scores(counts, basis.target)
        self._asked = counts.asked.astype(np.float64)
        self._complete = bool(counts.asked.all())
        self._shares = np.nan_to_num(counts.proportions(), copy=False)
        self._right = counts.correct.astype(np.float64)
        self._wrong = counts.trials - self._right
        chance = np.clip(basis.curves.chance, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
        self._logs = np.log(chance), np.log1p(-chance)
        self._total = basis.target @ basis.curves.chance

    def read(self, chosen: WeightedItems, *, abilities: bool = False, wide: bool = False) -> ResponseSummary:
        """Compute what estimators need from the responses to some items, without variances.

        Abilities and the prediction under the wide prior are computed only if asked for.
        """
        items, target = chosen.items, self.basis.target[chosen.items]
        shares, asked = self._shares[:, items], self._asked[:, items]
        chance = self.basis.curves.chance[items]
        likelihood = self._right[:, items] @ self._logs[0][items] + self._wrong[:, items] @ self._logs[1][items]
        posterior = posterior_on(ABILITY_NODES, likelihood)
        seen = (target @ chance)[None] if self._complete else (asked * target) @ chance
        unseen = self._total - seen
        weight = asked @ chosen.weights
        plugged = np.broadcast_to(unseen, posterior.shape)[np.arange(len(posterior)), likelihood.argmax(axis=1)]
        return ResponseSummary(
            abilities=pd.DataFrame({"ability": posterior @ ABILITY_NODES}) if abilities else NO_ABILITIES,
            answers=shares if self._complete else np.where(asked > 0, shares, posterior @ chance.T),
            weighted=shares @ chosen.weights / np.where(weight > 0, weight, np.nan),
            observed=shares @ target,
            asked_share=asked @ target,
            unseen=(posterior * unseen).sum(axis=1),
            unseen_plug_in=plugged,
            expected=posterior @ self._total,
            variance=np.full(len(posterior), np.nan),
            prediction=Prediction.of(
                posterior_on(ABILITY_NODES, likelihood, WIDE_PRIOR_SD),
                chance,
                unseen,
                (shares, asked > 0),
                (chosen.weights, target),
            )
            if wide
            else None,
        )


class SplitScorers(NamedTuple):
    """Scorers of the evaluated models, of the calibration models, and of the held-out models of each inner fold."""

    evaluated: ModelScorer
    calibrating: ModelScorer
    folds: tuple[ModelScorer, ...]


def split_scorers(calibration: Calibration, evaluated: ResponseCounts) -> SplitScorers:
    """Make all scorers of one split."""
    whole = calibration.whole
    folds = tuple(ModelScorer(fold.kept, fold.held_out) for fold in calibration.folds)
    return SplitScorers(ModelScorer(whole, evaluated), ModelScorer(whole, whole.counts), folds)


def weighted_items(basis: SelectionBasis, selection: Selection, recipe: Recipe) -> WeightedItems:
    """Weight chosen items."""
    weights = weight_items(basis, selection, recipe.weights, np.random.default_rng([recipe.seed, 1]))
    return WeightedItems(basis.counts.items.index.get_indexer(selection.items), weights)


def recipe_scores(
    scorers: SplitScorers,
    recipe: Recipe,
    names: Sequence[str],
    choose: Callable[[SelectionBasis], Selection],
    source_share: float,
) -> tuple[WeightedItems, dict[str, FloatArray]]:
    """Choose items with the calibration models, let estimators learn, and score the evaluated models.

    Parameters
    ----------
    work : Readers
        Of the split.
    recipe : Recipe
        Method, weights and size.
    names : sequence of str
        Names in `ESTIMATORS`.
    choose : callable
        Basis → items; called again for each fold that an estimator learns from.
    source_share : float
        Share of the weighted score in gp-IRT as published.
    """
    basis = scorers.evaluated.basis
    chosen = weighted_items(basis, choose(basis), recipe)
    held = []
    if any(name in HELD_OUT for name in names):
        held = [fold.read(weighted_items(fold.basis, choose(fold.basis), recipe)) for fold in scorers.folds]
    learned = learn(scorers, [held], names, source_share)
    return chosen, estimate_scores(scorers, chosen, names, learned)


def random_scores(
    scorers: SplitScorers, items: npt.NDArray[np.integer], recipe: Recipe, names: Sequence[str], source_share: float
) -> dict[str, FloatArray]:
    """Score the evaluated models by every estimator on random subsets, shape (subset, row).

    Notes
    -----
    Regressions are learned again for every subset. The share of gp-IRT depends on the size alone: it is learned once,
    from the held-out responses to the first `LEARNING_SUBSETS` subsets together.
    """
    held = []
    if any(name in HELD_OUT for name in names):
        held = [
            [fold.read(_random(fold.basis, subset, recipe)) for fold in scorers.folds]
            for subset in items[:LEARNING_SUBSETS]
        ]
    learned = learn(scorers, held, names, source_share)
    out: dict[str, FloatArray] = {name: np.empty((len(items), len(scorers.evaluated.truth))) for name in names}
    for place, subset in enumerate(items):
        found = estimate_scores(scorers, _random(scorers.evaluated.basis, subset, recipe), names, learned)
        for name, values in found.items():
            out[name][place] = values
    return out


def _random(basis: SelectionBasis, subset: npt.NDArray[np.integer], recipe: Recipe) -> WeightedItems:
    if recipe.weights == EQUAL:
        return WeightedItems(subset.astype(np.intp), np.full(len(subset), 1 / len(subset)))
    items = np.sort(subset).astype(np.intp)
    selection = Selection(basis.counts.items.index[items])
    return WeightedItems(items, weight_items(basis, selection, recipe.weights, np.random.default_rng([recipe.seed, 1])))


def learn(
    scorers: SplitScorers, held: Sequence[Sequence[ResponseSummary]], names: Sequence[str], source_share: float
) -> dict[str, LearnedParameters]:
    """Let estimators learn from held-out models; `held` is subset → fold → evidence."""
    if not any(name in HELD_OUT for name in names):
        return {}
    evidence = join_summaries([fold for subset in held for fold in subset])
    truth = np.concatenate([fold.truth for _ in held for fold in scorers.folds])
    known = ~np.isnan(truth) & ~np.isnan(evidence.weighted)
    training = TrainingData(evidence, truth, _rows(evidence, known), truth[known], source_share)
    return {name: ESTIMATORS[name].learn(training) for name in names if name in HELD_OUT}


def _rows(evidence: ResponseSummary, kept: npt.NDArray[np.bool_]) -> ResponseSummary:
    rows = {name: value[kept] if len(value) else value for name, value in vars(evidence).items() if value is not None}
    return ResponseSummary(**rows)


def estimate_scores(
    scorers: SplitScorers, chosen: WeightedItems, names: Sequence[str], learned: Mapping[str, LearnedParameters]
) -> dict[str, FloatArray]:
    """Estimate the full score of the evaluated models by each estimator."""
    by_ability, wide = "spline" in names, any(ESTIMATORS[name].wide for name in names)
    evidence = scorers.evaluated.read(chosen, abilities=by_ability, wide=wide)
    known, learning = dict(learned), [name for name in names if ESTIMATORS[name].regression]
    if learning:
        own = scorers.calibrating.read(chosen, abilities=by_ability)
        residuals = scorers.calibrating.basis.residuals(chosen.items)
        training = TrainingData(own, scorers.calibrating.truth, own, scorers.calibrating.truth, 0.0, residuals)
        known |= {name: ESTIMATORS[name].learn(training) for name in learning}
    return {name: estimate(name, evidence, known.get(name, LearnedParameters())) for name in names}
