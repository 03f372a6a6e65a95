"""Calibration of subsets: fit the items, choose and weight them, train the estimator, and cross-validate its error.

Cross-validation repeats the whole procedure. In each fold, the IRT model is fitted, items are chosen and weighted, and
the estimator is trained without the held-out clusters. The error is therefore that of the method at this size, not that
of one favourable set of items.

gp-IRT as published (Maia Polo et al. 2024, arXiv 2402.14992) gives the weighted score the share
lam' = b^2 / (b^2 + v / n), with v / (4 n) for anchors. Here b is the mean absolute error of held-out models on the odd
items with ability estimated from the even items, and v is the mean variance of a model's answers over items.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from irt_bench.arrays import FloatArray
from irt_bench.errors import ConvergenceWarning, FitError, FitWarning, SubsetError, SubsetWarning
from irt_bench.inference.fit import draw_unchecked, fit
from irt_bench.inference.settings import LaplaceSettings, Settings, SVISettings
from irt_bench.irt_models.logistic import Logistic
from irt_bench.irt_models.model import Beta, IRTModel
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.labels import ClusterLabels, cluster_folds
from irt_bench.subsets.basis import Selection, SelectionBasis, as_answers, full_scores
from irt_bench.subsets.estimators import ANSWERS, ESTIMATORS, PUBLISHED, LearnedParameters, TrainingData, estimate
from irt_bench.subsets.score import UNKNOWN_ERRORS, HeldOutErrors, HeldOutScores, held_out_errors
from irt_bench.subsets.scorer import (
    ResponseSummary,
    SubsetScorer,
    join_summaries,
    make_scorer,
    maximum_likelihood_node,
    summarise_responses,
)
from irt_bench.subsets.select import select, weight_items
from irt_bench.workers import Progress

ANCHOR_METHODS: Final = ("anchors", "anchors-irt")
ANCHOR_FACTOR: Final = 4  # tinyBenchmarks assumes that anchors have a quarter of the variance of a random subset


def published_share(error: float, shares: FloatArray, method: str, size: int) -> float:
    """Return lam' for `size` items, from b and the calibration models' shares of right answers, (model, item)."""
    factor = ANCHOR_FACTOR if method in ANCHOR_METHODS else 1
    return error**2 / (error**2 + float(shares.var(axis=1).mean()) / (factor * size))


def odd_errors(basis: SelectionBasis, held_out: ResponseCounts) -> FloatArray:
    """Absolute errors whose mean is b, one per held-out model."""
    items = np.arange(basis.counts.n_items)
    even = basis.select(items[::2])
    scorer = make_scorer(basis, even, np.full(len(even.items), 1 / len(even.items)))
    best = maximum_likelihood_node(scorer, held_out.correct[:, ::2], held_out.trials[:, ::2])
    predicted = scorer.unseen[best] / basis.target[1::2].sum()
    truth = full_scores(held_out.take(items=items[1::2]), basis.target[1::2])
    return np.asarray(np.abs(predicted - truth)[~np.isnan(truth)])


N_FOLDS: Final = 5
FOLD_DRAWS: Final = 200  # of fits to folds: errors of subsets are those with 1,000
MIN_FOR_ABLER: Final = 20  # calibration models: the fit to the weaker half needs ten
ABLER_SHARE: Final = 0.3  # strongest share of the calibration models, held out as "abler" models: Zhang et al. 2025
MAX_ABILITY: Final = 10  # sds of the calibration models
ADVICE: Final = "use method='nuts'"
_ADVISED: Final = re.compile(r"[.;,]?\s*\buse method='nuts'[^.;]*\.?$|\.$", re.IGNORECASE)
FAILED_CHECKS: Final = "failed_checks"  # of a posterior: name → message
ADVICE_HERE: Final = "a better fit, by NUTS, can be given: fit=..."


class CalibrationPlan(NamedTuple):
    """IRT model, settings of its inference, and fields of the `SelectionBasis` of a calibration."""

    irt_model: IRTModel
    settings: Settings
    targets: FloatArray | None = None
    keep_negative: bool = False
    ability_range: tuple[float, float] | None = None
    n_folds: int = N_FOLDS
    checked: bool = True  # whether fits are, which takes longer

    def fit_basis(self, counts: ResponseCounts, posterior: xr.Dataset | None = None) -> SelectionBasis:
        """Make a basis from the given posterior, or fit the IRT model first."""
        low, high = self.ability_range or (-MAX_ABILITY, MAX_ABILITY)
        if not -MAX_ABILITY <= low < high <= MAX_ABILITY:
            raise SubsetError(
                f"ability_range is ({low:g}, {high:g}); a lower and a higher ability, from -{MAX_ABILITY} to "
                f"{MAX_ABILITY} sds of the calibration models, are needed."
            )
        found = fit_posterior(counts, self) if posterior is None else posterior
        return SelectionBasis(counts, found, self.targets, self.keep_negative, self.ability_range)

    @property
    def of_fold(self) -> CalibrationPlan:
        """Plan of fits to some of the models: with the fast method fewer draws, and no checks."""
        if not isinstance(self.settings, LaplaceSettings):
            return self
        return self._replace(settings=self.settings.model_copy(update={"draws": FOLD_DRAWS}), checked=False)


def fold_settings(irt_model: IRTModel, seed: int, settings: Settings | None = None) -> Settings:
    """Choose settings for the fits to folds: the fast method if it supports the IRT model, otherwise SVI.

    If `settings`, those of the fit to all models, are `SVISettings`, they are used for the folds too.
    """
    if (
        isinstance(irt_model, Logistic)
        and not irt_model.has_own_program
        and irt_model.upper_share is None
        and not isinstance(irt_model.guessing, Beta)
    ):
        return LaplaceSettings(seed=seed, refine=False)
    return settings if isinstance(settings, SVISettings) else SVISettings(seed=seed)


class Recipe(NamedTuple):
    """How to make a subset: name of the selection method, name of the weights, number of items, seed."""

    method: str
    weights: str
    size: int
    seed: int = 0


Chooser = Callable[[SelectionBasis], Selection]


@dataclass(frozen=True)
class Fold:
    """Basis of the models that are kept, and responses of the models that are held out."""

    kept: SelectionBasis
    held_out: ResponseCounts

    @cached_property
    def everyone(self) -> ResponseCounts:
        """Responses of the kept models, then of those held out."""
        kept, held_out = self.kept.counts, self.held_out
        correct, trials = (
            np.concatenate(pair) for pair in ((kept.correct, held_out.correct), (kept.trials, held_out.trials))
        )
        return replace(kept, correct=correct, trials=trials, models=pd.concat([kept.models, held_out.models]))

    @cached_property
    def truth(self) -> FloatArray:
        """Full scores of the held-out models."""
        return full_scores(self.held_out, self.kept.target)


@dataclass(frozen=True)
class Calibration:
    """IRT fits to all calibration models, and to the models kept in each fold."""

    whole: SelectionBasis  # basis of all calibration models
    folds: tuple[Fold, ...]  # folds of the cross-validation over clusters
    clusters: ClusterLabels  # (model,): Clusters of the calibration models
    plan: CalibrationPlan  # IRT model and settings

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(np.unique(self.clusters))

    @cached_property
    def abler(self) -> Fold | None:
        """Fit to the weaker half of the models, with the strongest models held out; None if the fit fails.

        It measures the error for models of higher ability than the calibration models, as the extrapolation of Zhang,
        Dorner, Hardt 2025 (arXiv 2506.07673). The split is by score, so a cluster may have models on both sides.
        """
        score = self.whole.full_score
        order = np.argsort(score, kind="stable")[: int((~np.isnan(score)).sum())]
        if len(order) < MIN_FOR_ABLER:
            return None
        weaker, strongest = order[: len(order) // 2], order[-round(ABLER_SHARE * len(order)) :]
        counts = self.whole.counts
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            try:
                kept = self.plan.of_fold.fit_basis(counts.take(models=np.sort(weaker)))
            except FitError:  # for example where all their answers are wrong
                return None
        return Fold(kept, counts.take(models=np.sort(strongest)))

    @cached_property
    def held_out_clusters(self) -> list[ClusterLabels]:
        """Clusters of the held-out models, by fold."""
        labels = self.whole.counts.models.index
        return [self.clusters[labels.get_indexer(fold.held_out.models.index)] for fold in self.folds]

    @cached_property
    def source_error(self) -> float:
        """Return b of the published gp-IRT: mean absolute error on odd items, with ability from even items."""
        return float(np.concatenate([odd_errors(fold.kept, fold.held_out) for fold in self.folds]).mean())

    def source_share(self, method: str, size: int) -> float:
        """Return lam' of the published gp-IRT."""
        return published_share(self.source_error, self.whole.shares, method, size)


class CalibratedSubset(NamedTuple):
    """Scorer of the chosen items, and for each estimator its learned parameters and its errors on held-out models.

    `new` summarises the responses of new models: see `ChosenItems.of`. `errors` are for models similar to the
    calibration models, `abler` for models of higher ability than all of them.
    """

    scorer: SubsetScorer
    new: ResponseSummary
    learned: Mapping[str, LearnedParameters]
    errors: Mapping[str, HeldOutErrors]
    abler: Mapping[str, HeldOutErrors]
    held_out: Mapping[str, HeldOutScores]


def fit_posterior(counts: ResponseCounts, plan: CalibrationPlan) -> xr.Dataset:
    """Fit the IRT model; failed checks are kept in the attribute `FAILED_CHECKS` of the posterior.

    Raises
    ------
    FitError
        If there are too few answers.

    Warns
    -----
    FitWarning
        Warnings of the fit.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FitWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            model = plan.irt_model  # its folds are scored with independent trials
            model = replace(model, dispersion=None) if isinstance(model, Logistic) else model
            if not plan.checked and isinstance(model, Logistic) and isinstance(plan.settings, LaplaceSettings):
                return draw_unchecked(as_answers(counts), model, plan.settings)
            found = fit(as_answers(counts), model, plan.settings, model_clusters=False)
        except FitError as error:  # a slower method is no remedy here: every fold is fitted
            raise FitError(_ADVISED.sub("", str(error)) + "; calibrate on more models.") from error
    for each in caught:
        warnings.warn(str(each.message).replace(ADVICE, ADVICE_HERE), each.category, stacklevel=2)
    failed = {check.name: _ADVISED.sub("", check.message) for check in found.checks if check.status == "failed"}
    return found.posterior.assign_attrs({FAILED_CHECKS: failed})


def prepare(
    counts: Responses,
    clusters: ClusterLabels,
    plan: CalibrationPlan,
    *,
    seed: int = 0,
    posterior: xr.Dataset | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Fit the IRT model to all calibration models, and to the models kept in each fold.

    `clusters` are those of `model_clusters`, `seed` is of the folds, and a `posterior` of a fit to `counts` stands for
    a new fit.

    Raises
    ------
    SubsetError
        If fewer than two models are outside the largest cluster.
    """
    counts = as_counts(counts)
    splits = list(cluster_folds(clusters, plan.n_folds, np.random.default_rng(seed)))
    folds, whole = [], plan.fit_basis(counts, posterior)
    for done, (kept, held_out) in enumerate(splits):
        if progress is not None:
            progress("fitting folds", done, len(splits))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)  # the fit to all models has warned
            basis = plan.of_fold.fit_basis(counts.take(models=kept))
        folds.append(Fold(basis, counts.take(models=held_out)))
    return Calibration(whole, tuple(folds), clusters, plan)


def learn_from_answers(estimators: Sequence[str]) -> bool:
    """Whether any estimator learns from the answers of the calibration models."""
    return any(ESTIMATORS[name].learns_from == ANSWERS for name in estimators)


@dataclass(frozen=True)
class FoldSummaries:
    """Items chosen by the kept models of a fold, and summaries of the responses of kept and held-out models."""

    fold: Fold
    selection: Selection
    scorer: SubsetScorer
    kept: ResponseSummary  # that of the held-out models where no estimator learns from answers
    held_out: ResponseSummary

    @classmethod
    def of(cls, fold: Fold, selection: Selection, estimators: Sequence[str]) -> FoldSummaries:
        """Read the responses to chosen items, equally weighted; of all models at once where both kinds are needed."""
        scorer = make_scorer(fold.kept, selection, np.full(len(selection.items), 1 / len(selection.items)))
        if not learn_from_answers(estimators):
            held_out = summarise_responses(scorer, fold.held_out, selection.items)
            return cls(fold, selection, scorer, held_out, held_out)
        found = summarise_responses(scorer, fold.everyone, selection.items)
        n_kept = fold.kept.counts.n_models
        return cls(fold, selection, scorer, found.of(slice(0, n_kept)), found.of(slice(n_kept, None)))

    def weighted(self, recipe: Recipe) -> FoldSummaries:
        """Weight the items by a recipe."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SubsetWarning)  # of every fold, with many recipes
            weights = weight_items(self.fold.kept, self.selection, recipe.weights)
        kept, held_out = (each.weighted_by(weights) for each in (self.kept, self.held_out))
        return replace(self, scorer=replace(self.scorer, weights=weights), kept=kept, held_out=held_out)

    def training(self, others: Sequence[FoldSummaries], source_share: float) -> TrainingData:
        """Training data of estimators: the kept models, and those held out by other folds."""
        basis, pooled = self.fold.kept, join_summaries([other.held_out for other in others])
        truth = np.concatenate([other.fold.truth for other in others])
        residuals = basis.residuals(self.selection.items)
        return TrainingData(self.kept, basis.full_score, pooled, truth, source_share, residuals)

    def estimates(self, name: str, training: TrainingData) -> tuple[FloatArray, FloatArray]:
        """Estimates of the held-out models' full scores and their variances, by an estimator trained on `training`."""
        learned = ESTIMATORS[name].learn(training)
        return estimate(name, self.held_out, learned), ESTIMATORS[name].variance(self.held_out, learned)


@dataclass(frozen=True)
class ChosenItems:
    """Items chosen by all calibration models, and again in each fold, with summaries of the responses to them."""

    calibration: Calibration
    whole: FoldSummaries  # keeps all calibration models
    folds: tuple[FoldSummaries, ...]
    abler: FoldSummaries | None  # None without such a fold, or without estimators that extrapolate

    @classmethod
    def of(
        cls,
        calibration: Calibration,
        choose: Chooser,
        estimators: Sequence[str] = tuple(ESTIMATORS),
        *,
        new: ResponseCounts | None = None,
    ) -> ChosenItems:
        """Choose items, and read the responses to them; those of `new` models, too, to the first choice."""

        def read(fold: Fold) -> FoldSummaries:
            return FoldSummaries.of(fold, choose(fold.kept), estimators)

        basis = calibration.whole
        if new is not None:
            whole = read(Fold(basis, new))
        else:  # one model is read where no estimator learns from answers
            own = basis.counts if learn_from_answers(estimators) else basis.counts.take(models=slice(1))
            whole = FoldSummaries.of(Fold(basis, own), choose(basis), ())
        beyond = calibration.abler if any(ESTIMATORS[name].extrapolates for name in estimators) else None
        return cls(calibration, whole, tuple(map(read, calibration.folds)), None if beyond is None else read(beyond))

    def calibrate(self, recipe: Recipe, estimators: Sequence[str]) -> CalibratedSubset:
        """Weight the items, train the estimators, and cross-validate their errors.

        Notes
        -----
        Items are chosen again in each fold, without the held-out models. With items chosen from all models, errors
        would be too small: 90% intervals covered 75 to 90% of new models.
        """
        share, clusters = 0.0, self.calibration.held_out_clusters
        if any(ESTIMATORS[name].learns_from == PUBLISHED for name in estimators):
            share = self.calibration.source_share(recipe.method, recipe.size)
        whole, *folds = (each.weighted(recipe) for each in (self.whole, *self.folds))
        by_fold = [fold.training([other for other in folds if other is not fold], share) for fold in folds]
        truths, training = [fold.fold.truth for fold in folds], whole.training(folds, share)
        known, responses = ~np.isnan(np.concatenate(truths)), [fold.fold.held_out for fold in folds]
        learned, errors, scores = {}, {}, {}
        for name in estimators:
            learned[name] = ESTIMATORS[name].learn(training)
            parts = [fold.estimates(name, own) for fold, own in zip(folds, by_fold, strict=True)]
            estimated, variance = (np.concatenate(each)[known] for each in zip(*parts, strict=True))
            error = estimated - np.concatenate(truths)[known]
            errors[name] = held_out_errors(error, variance, np.concatenate(clusters)[known])
            scores[name] = HeldOutScores([each for each, _ in parts], truths, clusters, responses)
        abler = dict.fromkeys(estimators, UNKNOWN_ERRORS)
        if self.abler is not None:
            beyond = self.abler.weighted(recipe)
            training = beyond.training(folds, share)
            for name in (name for name in estimators if ESTIMATORS[name].extrapolates):
                estimated, variance = beyond.estimates(name, training)
                abler[name] = held_out_errors(estimated - beyond.fold.truth, variance)
        return CalibratedSubset(whole.scorer, whole.held_out, learned, errors, abler, scores)


def calibrate(
    calibration: Calibration,
    recipe: Recipe,
    estimators: Sequence[str] = tuple(ESTIMATORS),
    *,
    choose: Chooser | None = None,
    new: ResponseCounts | None = None,
) -> CalibratedSubset:
    """Choose and weight items, train the estimators, and cross-validate their errors: see `ChosenItems`.

    A function `choose` stands for the method of the recipe.
    """
    choose = choose or partial(chosen_items, recipe=recipe)
    return ChosenItems.of(calibration, choose, estimators, new=new).calibrate(recipe, estimators)


def chosen_items(basis: SelectionBasis, recipe: Recipe) -> Selection:
    """Choose items by the method of a recipe; fewer than its size if the basis has fewer candidates."""
    size = min(recipe.size, len(basis.for_size(recipe.size).candidates))
    return select(basis.for_size(recipe.size), recipe.method, size, np.random.default_rng(recipe.seed))
