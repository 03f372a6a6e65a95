"""Data that the tasks of one split share, and scores of very many subsets: chosen items and random ones alike.

Ability is the posterior mode, with item parameters fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Final, NamedTuple

import numpy as np

from irt_bench.analysis.curves import response_probabilities
from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.arrays import FloatArray, Positions
from irt_bench.errors import FitError
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.labels import cluster_folds, model_clusters
from irt_bench.study.data import INNER_FOLDS, SplitJob, calibration_plan, fit_calibration, read_rows
from irt_bench.study.design import EQUAL
from irt_bench.subsets.basis import Selection, SelectionBasis
from irt_bench.subsets.calibration import Calibration, Fold, Recipe, chosen_items, prepare
from irt_bench.subsets.estimators import ESTIMATORS, LearnedParameters, TrainingData, subset_scores
from irt_bench.subsets.scorer import MIN_PROBABILITY, ModelScorer, ResponseSummary, WeightedItems, join_summaries
from irt_bench.subsets.select import weight_items
from irt_bench.variance.moments import item_covariance

SPACING: Final = 0.05
NODES: Final = np.arange(-6.0, 6.0 + SPACING / 2, SPACING)


class ItemLogLikelihoods(NamedTuple):
    """Log-odds of a right response, and log probability of a wrong one, at `NODES`, shape (item, node)."""

    odds: FloatArray
    wrong: FloatArray


def item_log_likelihoods(parameters: ItemParameters) -> ItemLogLikelihoods:
    """Tabulate the log probabilities of items with parameters of shape (item,)."""
    chances = response_probabilities(parameters.at((slice(None), None)), NODES)
    right, wrong = (np.log(np.clip(each, MIN_PROBABILITY, None)) for each in chances)
    return ItemLogLikelihoods(right - wrong, wrong)


def ability_modes(logs: ItemLogLikelihoods, correct: FloatArray, trials: FloatArray) -> FloatArray:
    """Mode of the posterior of ability under a N(0, 1) prior, from a parabola through the highest node.

    Right responses and trials have shape (..., model, item), or (..., 1, item) if alike for all models, and `logs`
    (..., item, node); modes have shape (..., model).

    Notes
    -----
    Log-likelihoods are smooth on the logit scale for any number of items. Between nodes 0.05 apart, the error of a
    parabola is below 0.001 (tests/study/test_ability.py).
    """
    height = correct @ logs.odds + trials @ logs.wrong - NODES**2 / 2
    peak = np.clip(height.argmax(axis=-1), 1, len(NODES) - 2)
    before, at, after = (np.take_along_axis(height, peak[..., None] + step, -1)[..., 0] for step in (-1, 0, 1))
    curvature = before - 2 * at + after
    shift = np.where(curvature < 0, (before - after) / (2 * np.where(curvature < 0, curvature, -1.0)), 0.0)
    return np.asarray(NODES[peak] + SPACING * np.clip(shift, -1, 1))


def expected_curve(logs: ItemLogLikelihoods) -> FloatArray:
    """Return the expected share of right responses to all items at `NODES`, made increasing, shape (node,)."""
    return np.asarray(np.maximum.accumulate(np.exp(logs.odds + logs.wrong).mean(axis=0)))


def link_abilities(ability: FloatArray, curve: FloatArray, reference: FloatArray) -> FloatArray:
    """Carry abilities from the scale of one fit to that of another, with the same expected share of right responses.

    Notes
    -----
    Each fit has the calibration models of its split as the origin of its scale. Without a common scale, runs of
    different splits seem further apart than they are: the others, which a good run is measured by, are worse without
    it. The link is true-score equating (Kolen and Brennan, Test equating, scaling, and linking, 2014, chapter 6).
    """
    return np.asarray(np.interp(np.interp(ability, NODES, curve), reference, NODES))


REASON: Final = "reason"  # key of why a fit is missing
WEIGHTED: Final = "weighted"
WEIGHT_SENSITIVE: Final = (WEIGHTED, "p_irt_weighted", "gp_irt", "gp_irt_source", "spline")  # others see items alone
HELD_OUT: Final = ("gp_irt", "gp_irt_source")  # they learn one share from held-out calibration models
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


@lru_cache(maxsize=16)
def random_items(seed: int, n_items: int, size: int, n_random: int) -> Positions:
    """Draw random subsets, shape (subset, size), the same ones in every split.

    A method chooses much the same items in every split. Under the null hypothesis, its items are such a draw.
    """
    rng = np.random.default_rng([seed, size, n_items])
    parts = []
    for start in range(0, n_random, BLOCK):
        keys = rng.random((BLOCK, n_items), dtype=np.float32)[: min(BLOCK, n_random - start)]
        parts.append(np.argpartition(keys, size - 1, axis=1)[:, :size])
    return np.concatenate(parts)


class SplitScorers(NamedTuple):
    """Scorers of the evaluated models, of the calibration models, and of the held-out models of each inner fold."""

    evaluated: ModelScorer
    calibrating: ModelScorer
    folds: tuple[ModelScorer, ...]


def split_scorers(whole: SelectionBasis, evaluated: ResponseCounts, folds: Sequence[Fold] = ()) -> SplitScorers:
    """Make all scorers of one split, from the fit to all calibration models and those of the inner folds."""
    inner = tuple(ModelScorer(fold.kept, fold.held_out) for fold in folds)
    return SplitScorers(ModelScorer(whole, evaluated), ModelScorer(whole, whole.counts), inner)


def weighted_items(basis: SelectionBasis, selection: Selection, recipe: Recipe) -> WeightedItems:
    """Weight chosen items."""
    return WeightedItems(selection.items, weight_items(basis, selection, recipe.weights))


def recipe_scores(
    scorers: SplitScorers,
    recipe: Recipe,
    names: Sequence[str],
    choose: Callable[[SelectionBasis], Selection],
    source_share: float,
) -> tuple[WeightedItems, dict[str, FloatArray]]:
    """Choose items with the calibration models, let estimators learn, and score the evaluated models.

    `choose` is called again for each fold that an estimator learns from; `source_share` is the share of the weighted
    score in gp-IRT as published.
    """
    basis = scorers.evaluated.basis
    chosen = weighted_items(basis, choose(basis), recipe)
    held = []
    if any(name in HELD_OUT for name in names):
        held = [fold.read(weighted_items(fold.basis, choose(fold.basis), recipe)) for fold in scorers.folds]
    learned = learn(scorers, held, names, source_share)
    alone = WeightedItems(chosen.items[None], chosen.weights[None])
    found = subset_scores(scorers.evaluated, scorers.calibrating, alone, names, learned)
    return chosen, {name: values[0] for name, values in found.items()}


def random_scores(
    scorers: SplitScorers, items: Positions, recipe: Recipe, names: Sequence[str], source_share: float
) -> dict[str, FloatArray]:
    """Score the evaluated models by every estimator on random subsets, shape (subset, row).

    Notes
    -----
    Regressions are learned again for every subset. The share of gp-IRT depends on the size alone: it is learned once,
    from the held-out responses to the first `LEARNING_SUBSETS` subsets together.
    """
    items, held = np.sort(items, axis=1), []
    if any(name in HELD_OUT for name in names):
        first = items[:LEARNING_SUBSETS]
        held = [fold.read(_weighted(fold.basis, first, recipe)) for fold in scorers.folds]
    learned = learn(scorers, held, names, source_share)
    chosen = _weighted(scorers.evaluated.basis, items, recipe)
    return subset_scores(scorers.evaluated, scorers.calibrating, chosen, names, learned)


def _weighted(basis: SelectionBasis, items: Positions, recipe: Recipe) -> WeightedItems:
    """Weight random subsets, shape (subset, item)."""
    if recipe.weights == EQUAL:
        return WeightedItems(items, np.full(items.shape, 1 / items.shape[1]))
    return WeightedItems(items, np.stack([weighted_items(basis, Selection(own), recipe).weights for own in items]))


def learn(
    scorers: SplitScorers, held: Sequence[ResponseSummary], names: Sequence[str], source_share: float
) -> dict[str, LearnedParameters]:
    """Let estimators learn from held-out models; `held` has the summary of each fold, of one subset or several."""
    if not any(name in HELD_OUT for name in names):
        return {}
    evidence, truth = join_summaries(list(held)), np.concatenate([fold.truth for fold in scorers.folds])
    training = TrainingData(evidence, truth, evidence, truth, source_share)
    return {name: ESTIMATORS[name].learn(training) for name in names if name in HELD_OUT}


class SplitData:
    """Data that the tasks of one split share: responses, fit, chosen items; each is made when first needed."""

    def __init__(self, job: SplitJob) -> None:
        self.job = job
        self._choices: dict[tuple[int, str, int], Selection] = {}

    @cached_property
    def calibration(self) -> ResponseCounts:
        """Responses of the calibration models."""
        return read_rows(self.job.folder, self.job.calibration, self.job.benchmark)

    @cached_property
    def evaluation(self) -> ResponseCounts:
        """Responses of the evaluated checkpoints."""
        return read_rows(self.job.folder, self.job.evaluation, self.job.benchmark)

    @cached_property
    def shares(self) -> tuple[FloatArray, FloatArray]:
        """Shares of right responses of the evaluated checkpoints (0 if not asked), and whether asked, (row, item)."""
        return np.nan_to_num(self.evaluation.proportions(), copy=False), self.evaluation.asked.astype(np.float64)

    @cached_property
    def answers(self) -> tuple[FloatArray, FloatArray]:
        """Right responses of the evaluated checkpoints, (row, item), and trials, in one row if alike for all."""
        trials = self.evaluation.trials
        alike = (trials == trials[:1]).all()
        return self.evaluation.correct.astype(np.float64), trials[: 1 if alike else None].astype(np.float64)

    @cached_property
    def basis(self) -> SelectionBasis:
        """Fit to the calibration models."""
        return fit_calibration(self.job, self.calibration)

    @cached_property
    def logs(self) -> ItemLogLikelihoods:
        """Log probabilities of the items by ability."""
        return item_log_likelihoods(self.basis.parameters)

    @cached_property
    def folds(self) -> Calibration:
        """Calibration with inner folds, for estimators that learn from held-out models.

        If a fold leaves too few responses for a fit, held-out models are scored with the fit to all models.
        """
        clusters = model_clusters(self.calibration)
        if len(np.unique(clusters)) < INNER_FOLDS:  # nothing but seeds of one run
            clusters = np.array([f"model {place}" for place in range(len(clusters))], dtype=np.str_)
        plan = calibration_plan(self.job, self.calibration)
        plan = plan._replace(settings=plan.settings.model_copy(update={"refine": False}))  # one share is learned
        try:
            found = prepare(self.calibration, clusters, plan, seed=self.job.seed, posterior=self.basis.posterior).folds
        except FitError:
            splits = cluster_folds(clusters, INNER_FOLDS, np.random.default_rng(self.job.seed))
            found = tuple(Fold(self.basis, self.calibration.take(models=held)) for _, held in splits)
        return Calibration(self.basis, found, clusters, plan)

    def inner_fits(self, names: list[str]) -> bool:
        """Whether inner folds that an estimator needs could be fitted."""
        needed = any(name in HELD_OUT for name in names)
        return not needed or all(fold.kept is not self.basis for fold in self.folds.folds)

    def scorers(self, names: list[str]) -> SplitScorers:
        """Scorers of the responses; with inner folds if an estimator learns from held-out models."""
        if any(name in HELD_OUT for name in names):
            return self._learning_scorers
        return self._plain_scorers

    @cached_property
    def _learning_scorers(self) -> SplitScorers:
        inner = tuple(ModelScorer(fold.kept, fold.held_out) for fold in self.folds.folds)
        return self._plain_scorers._replace(folds=inner)

    @cached_property
    def _plain_scorers(self) -> SplitScorers:
        return split_scorers(self.basis, self.evaluation)

    def source_share(self, method: str, size: int, names: list[str]) -> float:
        """Share of the weighted score in gp-IRT as published; 0 if that estimator is not asked for."""
        return self.folds.source_share(method, size) if "gp_irt_source" in names else 0.0

    def choose(self, basis: SelectionBasis, recipe: Recipe) -> Selection:
        """Choose items with the basis of all calibration models or of one inner fold, once for all weights."""
        key = (id(basis), recipe.method, recipe.size)  # all bases live as long as this object
        if key not in self._choices:
            self._choices[key] = chosen_items(basis, recipe)
        return self._choices[key]

    def mean_scores(self, items: Positions) -> FloatArray:
        """Mean share of right responses over those of some items that were asked, shape (row,)."""
        shares, asked = self.shares
        return divide(shares[:, items].sum(axis=1), asked[:, items].sum(axis=1))

    def abilities(self, items: Positions) -> FloatArray:
        """Ability from the responses to some items, (item,) or (subset, item); shape (row,) or (subset, row)."""
        right, trials = (np.moveaxis(values[:, items], 0, -2) for values in self.answers)
        return ability_modes(ItemLogLikelihoods(self.logs.odds[items], self.logs.wrong[items]), right, trials)


def divide(above: FloatArray, below: FloatArray) -> FloatArray:
    """Divide; NaN where the denominator is not positive."""
    out: FloatArray = np.full(np.shape(above), np.nan)
    np.divide(above, below, out=out, where=np.asarray(below) > 0)
    return out


def run_components(shares: FloatArray) -> tuple[float, float]:
    """Components s2_seed and s2_res of V(k) from shares of one run, shape (item, seed, step)."""
    found = item_covariance(np.moveaxis(shares, (0, 1, 2), (2, 1, 0)))
    return float(np.nanmean(found.off_diagonal)), float(np.nanmean(found.residual))
