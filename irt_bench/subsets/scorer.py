"""SubsetScorer: chosen items with their curves, and summaries of the responses to them.

A scorer is made from a `SelectionBasis` during calibration, or from a `SubsetRecord` when a user scores models. Both
use the same code, so the errors found by cross-validation apply to the scores of a user.

A `ModelScorer` reads thousands of subsets, such as random ones. Beside subsets that are made, it reads as these are
read (`LikelihoodCurves.of_records`): posteriors of eight draws of the item parameters are averaged. Elsewhere
parameters enter as curves averaged over their draws. On MBPP (60 random subsets of 50) errors of p-IRT then are the
same for models like those of the calibration, by -.01 points (standard error .01), and larger by .47 (.02) for abler
ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.analysis.abilities import AbilityNodes, ResponseBlock, bounded, mixture_density
from irt_bench.analysis.curves import response_probabilities
from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.arrays import FloatArray, Positions
from irt_bench.errors import SubsetError
from irt_bench.names import ITEM
from irt_bench.responses.counts import ResponseCounts
from irt_bench.subsets.basis import (
    ABILITY_NODES,
    SPREAD_NODES,
    Selection,
    SelectionBasis,
    full_scores,
    sum_curves,
)
from irt_bench.subsets.subset import SubsetRecord

ITEM_DRAWS: Final = 8  # of the item parameters, for abilities
DRAW_SEED: Final = 20240522  # fixed, so that estimates are not random
MIN_PROBABILITY: Final = 1e-12  # keeps logarithms finite
WIDE_PRIOR_SD: Final = 3.0  # shrinks models outside the range of the calibration models less than N(0, 1)


@dataclass(frozen=True)
class SubsetScorer:
    """Chosen items with their parameters, and curves of all other items together.

    Parameters
    ----------
    items : pd.Index
        Labels, in the order of the benchmark.
    weights, targets : arrays of shape (item,)
        Share of each item in the weighted score (sum 1), and in the full score.
    parameters : ItemParameters
        Posterior means, shape (item,).
    difficulty_sd, discrimination_sd : arrays of shape (item,)
        Posterior sds.
    nodes : array of shape (node,)
        Abilities at which the curves are tabulated.
    unseen, unseen_sd, answer_variance : arrays of shape (node,)
        For the other items: sum of target weight x probability of a right answer; its sd from the uncertainty of the
        item parameters; variance of the sum of their answers.
    """

    items: pd.Index
    weights: FloatArray
    targets: FloatArray
    parameters: ItemParameters
    difficulty_sd: FloatArray
    discrimination_sd: FloatArray
    nodes: FloatArray
    unseen: FloatArray
    unseen_sd: FloatArray
    answer_variance: FloatArray

    @cached_property
    def draws(self) -> ItemParameters:
        """Draws with the known means and sds, shape (draw, item): difficulty normal, discrimination log-normal."""
        rng = np.random.default_rng(DRAW_SEED)
        half = rng.standard_normal((2, ITEM_DRAWS // 2, len(self.items)))
        normal = np.concatenate([half, -half], axis=1)
        normal /= normal.std(axis=1, keepdims=True)  # antithetic and scaled: exact mean and sd
        slope, spread = self.parameters.discrimination, self.discrimination_sd
        log_sd = np.sqrt(np.log1p((spread / np.maximum(slope, MIN_PROBABILITY)) ** 2))
        drawn = ItemParameters(
            difficulty=self.parameters.difficulty + self.difficulty_sd * normal[0],
            discrimination=slope * np.exp(log_sd * normal[1] - log_sd**2 / 2),
            guessing=np.broadcast_to(self.parameters.guessing, normal[0].shape),
            upper_asymptote=np.broadcast_to(self.parameters.upper_asymptote, normal[0].shape),
        )
        return bounded(drawn, self.items)

    @cached_property
    def expected_curves(self) -> FloatArray:
        """Probability of a right answer, mean over draws of the parameters, shape (item, node)."""
        found = sum_curves(self.draws, self.targets, self.nodes)[0] / ITEM_DRAWS
        return np.clip(found, MIN_PROBABILITY, 1 - MIN_PROBABILITY)

    @cached_property
    def curves(self) -> FloatArray:
        """Probability of a right answer at the posterior mean parameters, shape (item, node)."""
        cells = self.parameters.at((slice(None), None))
        return response_probabilities(cells, self.nodes)[0]


class Prediction(NamedTuple):
    """Prediction of the IRT model with the prior N(0, `WIDE_PRIOR_SD`^2) of ability.

    Parameters
    ----------
    posterior : array of shape (..., model, node)
        Posterior of ability, sum 1.
    chances : array of shape (..., item, node)
        Probabilities of a right answer to the chosen items, mean over draws of their parameters.
    unseen : array of shape (..., 1 or model, node)
        Sum over the items not asked of target weight x probability of a right answer.
    residuals : array of shape (..., model, item)
        Share of right answers minus its expectation; 0 in missing cells.
    asked : array of bool, shape (..., model, item)
        Whether a chosen item was asked.
    weights, targets : arrays of shape (..., item)
        Shares of the chosen items in the weighted score and in the full score.
    """

    posterior: FloatArray
    chances: FloatArray
    unseen: FloatArray
    residuals: FloatArray
    asked: npt.NDArray[np.bool_]
    weights: FloatArray
    targets: FloatArray

    @classmethod
    def of(
        cls,
        posterior: FloatArray,
        chances: FloatArray,
        unseen: FloatArray,
        answers: tuple[FloatArray, npt.NDArray[np.bool_]],
        shares: tuple[FloatArray, FloatArray],
    ) -> Prediction:
        """Make a prediction; `answers` are (shares of right answers, asked), `shares` are (weights, targets)."""
        right, asked = answers
        residuals = np.where(asked, right - posterior @ chances.swapaxes(-1, -2), 0.0)
        return cls(posterior, chances, np.atleast_2d(unseen), residuals, asked, *shares)

    @property
    def expected_unseen(self) -> FloatArray:
        """Expected contribution of the items not asked to the full score, shape (..., model)."""
        return np.asarray((self.posterior * self.unseen).sum(axis=-1))

    def outside(self, nodes: FloatArray, low: float, high: float) -> FloatArray:
        """Probability that the ability lies outside a range, shape (model,)."""
        return np.asarray(self.posterior @ ((nodes < low) | (nodes > high)).astype(np.float64))


@dataclass(frozen=True)
class ResponseSummary:
    """Summary of the responses of models to the chosen items; of many subsets at once along the first axis.

    Parameters
    ----------
    ability, ability_sd : arrays of shape (..., model)
        Posterior mean and sd of ability.
    answers : array of shape (..., model, item)
        Shares of right answers; the expected probability in missing cells.
    weighted : array of shape (..., model)
        Weighted score over the chosen items that were asked.
    observed, asked_share : arrays of shape (..., model)
        Contribution of the answers to the full score, and total share of the answered items in it.
    unseen, unseen_plug_in : arrays of shape (..., model)
        Expected contribution of the items not asked: mean over the posterior of ability, and at the maximum-likelihood
        ability.
    expected : array of shape (..., model)
        Expected full score over all items, mean over the posterior of ability.
    variance : array of shape (..., model)
        Variance of the full score given the answers, under the IRT model: from ability, item parameters and answers to
        the other items.
    prediction : Prediction, optional
        Prediction with the wide prior; None if summaries of several subsets were joined.
    """

    ability: FloatArray
    ability_sd: FloatArray
    answers: FloatArray
    weighted: FloatArray
    observed: FloatArray
    asked_share: FloatArray
    unseen: FloatArray
    unseen_plug_in: FloatArray
    expected: FloatArray
    variance: FloatArray
    prediction: Prediction | None = None

    def of(self, models: slice) -> ResponseSummary:
        """Keep some models, of one subset."""
        arrays: dict[str, Any] = {
            name: values[models] for name, values in vars(self).items() if isinstance(values, np.ndarray)
        }
        if self.prediction is None:
            return ResponseSummary(**arrays)
        posterior, chances, unseen, residuals, asked, *shares = self.prediction
        unseen = unseen if len(unseen) == 1 else unseen[models]
        prediction = Prediction(posterior[models], chances, unseen, residuals[models], asked[models], *shares)
        return ResponseSummary(**arrays, prediction=prediction)

    def weighted_by(self, weights: FloatArray) -> ResponseSummary:
        """Weight the items of one subset otherwise."""
        if self.prediction is None:
            raise SubsetError("responses to several subsets were joined; items can be weighted in one subset.")
        asked = self.prediction.asked
        total = asked @ weights
        weighted = np.where(asked, self.answers, 0) @ weights / np.where(total > 0, total, np.nan)
        return replace(self, weighted=weighted, prediction=self.prediction._replace(weights=weights))


def join_summaries(parts: list[ResponseSummary]) -> ResponseSummary:
    """Concatenate the models of several summaries, without the answers, which are to different items."""
    names = [name for name in vars(parts[0]) if name not in ("answers", "prediction")]
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in names}
    return ResponseSummary(answers=np.empty((*joined["weighted"].shape, 0)), **joined)


def make_scorer(
    basis: SelectionBasis, selection: Selection, weights: FloatArray, *, intervals: bool = True
) -> SubsetScorer:
    """Make a scorer of chosen items from a basis.

    Without `intervals`, `SubsetScorer.unseen_sd` is 0: computing it takes most of the time.
    """
    chosen = selection.items
    target, chance = basis.target[chosen], basis.curves.chance[chosen]
    unseen_sd = np.zeros(len(ABILITY_NODES))
    if intervals and len(chosen) < basis.counts.n_items:
        seen = sum_curves(basis.curve_draws.at((slice(None), chosen)), target, SPREAD_NODES)[1]
        unseen_sd = np.interp(ABILITY_NODES, SPREAD_NODES, (basis.curves.total_draws - seen.T).std(axis=0))
    difficulty_sd, discrimination_sd = basis.parameter_sds
    return SubsetScorer(
        items=basis.counts.items.index[chosen],
        weights=weights,
        targets=target,
        parameters=basis.parameters.at(chosen),
        difficulty_sd=difficulty_sd[chosen],
        discrimination_sd=discrimination_sd[chosen],
        nodes=ABILITY_NODES,
        unseen=np.maximum(basis.expected_score - target @ chance, 0),  # below it by rounding
        unseen_sd=unseen_sd,
        answer_variance=np.maximum(basis.answer_variance - target**2 @ (chance * (1 - chance)), 0),
    )


def scorer_of(subset: SubsetRecord) -> SubsetScorer:
    """Return the scorer of a subset."""

    def column(name: str) -> FloatArray:
        return np.array([getattr(item, name) for item in subset.items], dtype=np.float64)

    unseen = subset.unseen
    return SubsetScorer(
        items=pd.Index(subset.ids, name=ITEM, dtype="str"),
        weights=column("weight"),
        targets=column("target_weight"),
        parameters=ItemParameters(*(column(name) for name in ItemParameters._fields)),
        difficulty_sd=column("difficulty_sd"),
        discrimination_sd=column("discrimination_sd"),
        nodes=np.array(unseen.ability),
        unseen=np.array(unseen.score),
        unseen_sd=np.array(unseen.score_sd),
        answer_variance=np.array(unseen.answer_variance),
    )


def summarise_responses(
    scorer: SubsetScorer, counts: ResponseCounts, items: Positions | None = None
) -> ResponseSummary:
    """Summarise responses to the items of a scorer, in its order: ability, and contributions to the full score.

    Cells may be missing; `items` are the positions of the items in `counts`, by default all.
    """
    places = slice(None) if items is None else items
    right, trials = counts.correct[:, places].astype(np.float64), counts.trials[:, places]
    asked = trials > 0
    shares = np.divide(right, trials, out=np.zeros_like(right), where=asked)
    missing = np.where(asked, 0.0, scorer.targets)
    # Curves have one row for all models if no cell is missing, otherwise one row per model.
    some = missing.any()
    more = missing @ scorer.curves if some else np.zeros((1, len(scorer.nodes)))
    spread = missing**2 @ (scorer.curves * (1 - scorer.curves)) if some else more
    seen = (scorer.targets - missing) @ scorer.curves if some else scorer.targets @ scorer.curves
    unseen, posterior = scorer.unseen + more, _mean_posterior(scorer, right, trials)
    ability, mean_unseen = posterior @ scorer.nodes, (posterior * unseen).sum(axis=-1)
    by_ability = (posterior * unseen**2).sum(axis=-1) - mean_unseen**2
    given = scorer.answer_variance + spread + scorer.unseen_sd**2
    best = maximum_likelihood_node(scorer, right, trials)
    weight = asked @ scorer.weights
    return ResponseSummary(
        ability=ability,
        ability_sd=np.sqrt(np.maximum(posterior @ scorer.nodes**2 - ability**2, 0)),  # below 0 by rounding
        answers=np.where(asked, shares, posterior @ scorer.expected_curves.T) if some else shares,
        weighted=shares @ scorer.weights / np.where(weight > 0, weight, np.nan),
        observed=shares @ scorer.targets,
        asked_share=asked @ scorer.targets,
        unseen=mean_unseen,
        unseen_plug_in=np.take_along_axis(np.broadcast_to(unseen, posterior.shape), best[:, None], axis=1)[:, 0],
        expected=mean_unseen + (posterior * seen).sum(axis=-1),
        variance=np.maximum(by_ability, 0) + (posterior * given).sum(axis=-1),
        prediction=Prediction.of(
            posterior_on(scorer.nodes, log_likelihood(right, trials, scorer.expected_curves), WIDE_PRIOR_SD),
            scorer.expected_curves,
            unseen,
            (shares, asked),
            (scorer.weights, scorer.targets),
        ),
    )


def _mean_posterior(scorer: SubsetScorer, correct: FloatArray, trials: npt.NDArray[Any]) -> FloatArray:
    """Posterior of ability with prior N(0, 1), mean over draws of the item parameters, shape (model, node), sum 1."""
    density = mixture_density(ResponseBlock(correct, trials), scorer.draws, AbilityNodes(scorer.nodes, scorer.nodes))
    density *= np.gradient(scorer.nodes)
    return np.asarray(density / density.sum(axis=1, keepdims=True))


def log_likelihood(correct: npt.NDArray[Any], trials: npt.NDArray[Any], chances: FloatArray) -> FloatArray:
    """Log-likelihood of the answers at each node, shape (model, node); `chances` has shape (item, node)."""
    right = correct.astype(np.float64)
    return np.asarray(right @ np.log(chances) + (trials - right) @ np.log1p(-chances))


def posterior_on(nodes: FloatArray, likelihood: FloatArray, prior_sd: float = 1.0) -> FloatArray:
    """Posterior of ability with prior N(0, prior_sd^2) on a grid, shape (..., node), sum 1; nodes may be uneven."""
    density = likelihood + (np.log(np.gradient(nodes)) - (nodes / prior_sd) ** 2 / 2)
    density -= density.max(axis=-1, keepdims=True)
    density = np.exp(density, out=density)
    density /= density.sum(axis=-1, keepdims=True)
    return np.asarray(density)


def maximum_likelihood_node(scorer: SubsetScorer, correct: npt.NDArray[Any], trials: npt.NDArray[Any]) -> Positions:
    """Node with the highest likelihood for each model, as in the published p-IRT.

    It is the last node if all answers are right, the first if all are wrong.
    """
    curves = np.clip(scorer.curves, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    return np.asarray(log_likelihood(correct, trials, curves).argmax(axis=1))


MAX_KEPT: Final = 1_000  # subsets, or blocks of them, whose expectations are kept for other weights
SCORE_DIGITS: Final = 12  # of weighted means: as many right answers are as high a score, whichever items they are to


class WeightedItems(NamedTuple):
    """Items, as positions in the benchmark, and their weights, shape (item,); of many subsets (subset, item)."""

    items: Positions
    weights: FloatArray


class LikelihoodCurves(NamedTuple):
    """Probabilities of a right answer by which a likelihood of ability is computed, shape (item, node)."""

    expected: FloatArray  # mean over draws of the parameters
    plug_in: FloatArray  # for the maximum-likelihood ability
    draws: tuple[FloatArray, ...] = ()  # of each draw, whose posteriors are averaged; none: those of `expected` stand

    @classmethod
    def of_records(cls, basis: SelectionBasis) -> LikelihoodCurves:
        """Curves by which `summarise_responses` reads an item of a subset that is made."""
        n_items = basis.counts.n_items
        every = make_scorer(basis, Selection(np.arange(n_items)), np.full(n_items, 1 / n_items), intervals=False)
        draws = (
            response_probabilities(every.draws.at((k, slice(None), None)), every.nodes)[0] for k in range(ITEM_DRAWS)
        )
        return cls(every.expected_curves, every.curves, tuple(draws))


class ModelScorer:
    """Scores the responses of some models with one fit to the calibration models, of the same items.

    The likelihood is that of the mean curves of the basis, or of other `curves`.
    """

    def __init__(self, basis: SelectionBasis, counts: ResponseCounts, curves: LikelihoodCurves | None = None) -> None:
        self.basis = basis
        self._curves = curves or LikelihoodCurves(basis.curves.chance, basis.curves.chance)
        self.truth = full_scores(counts, basis.target)
        self._complete = bool(counts.asked.all())
        self._shares = np.nan_to_num(counts.proportions(), copy=False)
        self._right = counts.correct.astype(np.float64)
        alike = (counts.trials == counts.trials[:1]).all()  # one row then stands for all models
        self._trials = counts.trials[: 1 if alike else None].astype(np.float64)
        self._asked = (self._trials > 0).astype(np.float64)
        self._expected: dict[tuple[tuple[int, ...], bytes], dict[str, FloatArray]] = {}
        self._last: tuple[object, list[FloatArray], FloatArray] | None = None

    @cached_property
    def _logs(self) -> tuple[tuple[FloatArray, FloatArray], ...]:
        """Log-odds of a right answer, and the log-probability of a wrong one, (item, node): mean, draws, plug-in."""
        found, (expected, plug_in, draws) = [], self._curves
        for chance in (expected, *draws, plug_in) if plug_in is not expected else (expected,):
            chance = np.clip(chance, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
            wrong = np.log1p(-chance)
            found.append((np.log(chance) - wrong, wrong))
        return tuple(found)

    def read(self, chosen: WeightedItems, *, expected: bool = True, wide: bool = False) -> ResponseSummary:
        """Compute what estimators need from the responses to some items or to many subsets, without variances.

        What rests on ability is computed only if `expected`, and the prediction under the wide prior only if `wide`.
        """
        items, weights = chosen
        shares, asked, target = self._of(self._shares, items), self._of(self._asked, items), self.basis.target[items]
        weight, observed = weighted_sum(asked, weights), weighted_sum(shares, target)
        unknown = np.full_like(observed, np.nan)
        answers, prediction = shares, None
        if wide or not self._complete:
            likelihoods, unseen = self._by_ability(items)
            chance = self._curves.expected[items]
            present = np.broadcast_to(asked > 0, shares.shape)
            if not self._complete:
                answers = np.where(present, shares, _averaged(likelihoods) @ chance.swapaxes(-1, -2))
            if wide:
                widened = posterior_on(ABILITY_NODES, likelihoods[0], WIDE_PRIOR_SD)
                prediction = Prediction.of(widened, chance, unseen, (shares, present), (weights, target))
        names = ("ability", "unseen", "unseen_plug_in", "expected")
        return ResponseSummary(
            ability_sd=unknown,
            answers=answers,
            weighted=np.round(weighted_sum(shares, weights) / np.where(weight > 0, weight, np.nan), SCORE_DIGITS),
            observed=observed,
            asked_share=np.broadcast_to(weighted_sum(asked, target), observed.shape),
            variance=unknown,
            prediction=prediction,
            **(self._expectations(items) if expected else dict.fromkeys(names, unknown)),
        )

    def _expectations(self, items: Positions) -> dict[str, FloatArray]:
        """Compute abilities, and expected contributions of items to the full score, shape (..., model)."""
        key = items.shape, items.tobytes()
        found = self._expected.get(key)
        if found is None:  # not read with other weights
            likelihoods, unseen = self._by_ability(items)
            posterior, best = _averaged(likelihoods), likelihoods[-1].argmax(axis=-1)[..., None]
            everywhere = np.broadcast_to(unseen, posterior.shape)
            found = {
                "ability": posterior @ ABILITY_NODES,
                "unseen": np.einsum("...mn,...mn->...m", posterior, everywhere),
                "unseen_plug_in": np.take_along_axis(everywhere, best, axis=-1)[..., 0],
                "expected": posterior @ self.basis.expected_score,
            }
            if len(self._expected) < MAX_KEPT:
                self._expected[key] = found
        return found

    def _by_ability(self, items: Positions) -> tuple[list[FloatArray], FloatArray]:
        """Log-likelihoods, (..., model, node), and what items not asked contribute, (..., 1 or model, node)."""
        key = items.shape, items.tobytes()
        if self._last is None or self._last[0] != key:
            right, trials = self._of(self._right, items), self._of(self._trials, items)
            asked = self._of(self._asked, items) * self.basis.target[items][..., None, :]
            likelihoods = [right @ log_odds[items] + trials @ wrong[items] for log_odds, wrong in self._logs]
            self._last = key, likelihoods, self.basis.expected_score - asked @ self.basis.curves.chance[items]
        return self._last[1:]

    @staticmethod
    def _of(values: FloatArray, items: Positions) -> FloatArray:
        """Values of shape (model, item) of each subset, (..., model, item)."""
        return np.moveaxis(values[:, items], 0, -2)


def _averaged(likelihoods: Sequence[FloatArray]) -> FloatArray:
    """Average the posteriors of `LikelihoodCurves.draws`, prior N(0, 1); or that of the mean curves, where none are."""
    drawn = likelihoods[1:-1] or likelihoods[:1]
    return np.asarray(np.mean([posterior_on(ABILITY_NODES, each) for each in drawn], axis=0))


def weighted_sum(values: npt.NDArray[Any], weights: FloatArray) -> FloatArray:
    """Sum values of shape (..., model, item) with weights of shape (..., item)."""
    return np.asarray((values @ weights[..., None])[..., 0])
