"""Calibration: fit the items, then choose, weigh and learn, and find on held-out models how far the estimate errs.

Cross-validation repeats the whole procedure: in each fold the IRT model is fitted, items chosen and weighed and the
estimator trained without the clusters held out. Its errors are therefore those of the method at that size, not of one
lucky set of items.

The share lam' of the weighted score in gp-IRT as published (Maia Polo et al. 2024, arXiv 2402.14992).

lam' = b^2 / (b^2 + v / n), with v / (4 n) for anchors; b is the mean absolute error on odd items with ability from the
even ones, of models held out, and v the mean variance of a model's answers over items.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final, NamedTuple

import numpy as np
import xarray as xr

from irt_bench.arrays import FloatArray
from irt_bench.errors import ConvergenceWarning, FitError, FitWarning, SubsetError, SubsetWarning
from irt_bench.inference.fit import Progress, fit
from irt_bench.inference.settings import LaplaceSettings, Settings, SVISettings
from irt_bench.irt_models.base import Beta, IRTModel
from irt_bench.irt_models.logistic import Logistic
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts
from irt_bench.subsets.basis import Selection, SelectionBasis, as_answers, full_scores
from irt_bench.subsets.clusters import Labels, cluster_folds
from irt_bench.subsets.estimators import ESTIMATORS, LearnedParameters, TrainingData, estimate
from irt_bench.subsets.score import UNKNOWN_ERRORS, HeldOutErrors, HeldOutScores, held_out_errors
from irt_bench.subsets.scorer import (
    ResponseSummary,
    SubsetScorer,
    interpolate,
    join_summaries,
    make_scorer,
    maximum_likelihood_ability,
    summarise_responses,
)
from irt_bench.subsets.select import select
from irt_bench.subsets.weights import weight_items

ANCHOR_METHODS: Final = ("anchors", "anchors-irt")
ANCHOR_FACTOR: Final = 4  # tinyBenchmarks takes anchors to have a fourth of a random subset's variance


def published_share(error: float, shares: FloatArray, method: str, size: int) -> float:
    """Return lam' for `size` items, from b and the calibration models' shares of right answers, (model, item)."""
    factor = ANCHOR_FACTOR if method in ANCHOR_METHODS else 1
    return error**2 / (error**2 + float(shares.var(axis=1).mean()) / (factor * size))


def odd_errors(basis: SelectionBasis, held_out: ResponseCounts) -> FloatArray:
    """Mean absolute errors behind b, one a held-out model."""
    items = np.arange(basis.counts.n_items)
    even = basis.select(items[::2])
    scorer = make_scorer(basis, even, np.full(len(even.items), 1 / len(even.items)))
    ability = maximum_likelihood_ability(scorer, held_out.take(items=items[::2]))[:, None]
    predicted = interpolate(scorer.unseen[None], scorer.nodes, ability)[:, 0] / basis.target[1::2].sum()
    truth = full_scores(held_out.take(items=items[1::2]), basis.target[1::2])
    return np.asarray(np.abs(predicted - truth)[~np.isnan(truth)])


N_FOLDS: Final = 5
MIN_FOR_ABLER: Final = 20  # calibration models: a fit needs the weaker ten of them
ABLER_SHARE: Final = 0.3  # of the calibration models, the strongest, that stand for abler ones: Zhang et al. 2025
MAX_ABILITY: Final = 10  # sds of the calibration models
# Among the options of a subset --method names how to choose items.
ADVICE: Final = "use method='nuts'"
_ADVISED: Final = re.compile(r"[.;,]?\s*\buse method='nuts'[^.;]*\.?$|\.$", re.IGNORECASE)
FAILED_CHECKS: Final = "failed_checks"  # of a posterior: name → message
ADVICE_HERE: Final = "--fit takes a better one, made with: irt-bench fit --method nuts"


class CalibrationPlan(NamedTuple):
    """What to calibrate with: IRT model, settings of its inference, and what a basis takes."""

    irt_model: IRTModel
    settings: Settings
    targets: FloatArray | None = None
    keep_negative: bool = False
    ability_range: tuple[float, float] | None = None
    n_folds: int = N_FOLDS

    def fit_basis(self, counts: ResponseCounts, posterior: xr.Dataset | None = None) -> SelectionBasis:
        """Fit the IRT model, or take the fit given, and make a basis of it."""
        low, high = self.ability_range or (-MAX_ABILITY, MAX_ABILITY)
        if not -MAX_ABILITY <= low < high <= MAX_ABILITY:
            raise SubsetError(
                f"ability_range is ({low:g}, {high:g}); a lower and a higher ability, from -{MAX_ABILITY} to "
                f"{MAX_ABILITY} sds of the calibration models, are needed."
            )
        found = fit_posterior(counts, self) if posterior is None else posterior
        return SelectionBasis(counts, found, self.targets, self.keep_negative, self.ability_range)


def fold_settings(irt_model: IRTModel, seed: int, settings: Settings | None = None) -> Settings:
    """Choose settings for the fits to folds: the fast method where it knows the IRT model, else SVI.

    `settings`, of a fit to all models, are taken where these are SVI's.
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
    """How to make a subset: names of the method and of the weights, size and seed."""

    method: str
    weights: str
    size: int
    seed: int = 0


Chooser = Callable[[SelectionBasis], Selection]


class Fold(NamedTuple):
    """A basis of the models kept, and the responses of those held out."""

    kept: SelectionBasis
    held_out: ResponseCounts


@dataclass(frozen=True)
class Calibration:
    """Calibration models with the IRT fit to all of them, and to all but each fold's.

    Parameters
    ----------
    whole : SelectionBasis
        Of all calibration models.
    folds : tuple of Fold
        Of cross-validation over clusters.
    clusters : array of str, shape (model,)
        Of the calibration models.
    plan : CalibrationPlan
        What was fitted, and how.
    """

    whole: SelectionBasis
    folds: tuple[Fold, ...]
    clusters: Labels
    plan: CalibrationPlan

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(np.unique(self.clusters))

    @cached_property
    def abler(self) -> Fold | None:
        """A fit to the weaker half of the models, with the strongest held out; None where they cannot be fitted.

        It says what is to be expected of models abler than those of the calibration (Zhang, Dorner, Hardt 2025, arXiv
        2506.07673, call it extrapolation). Models of one cluster may lie on both sides, as the split is by score.
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
                kept = self.plan.fit_basis(counts.take(models=np.sort(weaker)))
            except FitError:  # such as where they answered everything wrong
                return None
        return Fold(kept, counts.take(models=np.sort(strongest)))

    @cached_property
    def source_error(self) -> float:
        """Return b of the published gp-IRT: mean absolute error on odd items, with ability from the even ones."""
        return float(np.concatenate([odd_errors(fold.kept, fold.held_out) for fold in self.folds]).mean())

    def source_share(self, method: str, size: int) -> float:
        """Return lam' of the published gp-IRT."""
        return published_share(self.source_error, self.whole.shares, method, size)


class CalibratedSubset(NamedTuple):
    """Chosen items ready for use, and by estimator what it learned and how far it errs on models held out.

    `errors` are of models like those of the calibration, `abler` of models abler than all of them.
    """

    scorer: SubsetScorer
    summary: ResponseSummary
    learned: Mapping[str, LearnedParameters]
    errors: Mapping[str, HeldOutErrors]
    abler: Mapping[str, HeldOutErrors]
    held_out: Mapping[str, HeldOutScores]


def fit_posterior(counts: ResponseCounts, plan: CalibrationPlan) -> xr.Dataset:
    """Fit the IRT model; checks that failed are kept in the attribute `FAILED_CHECKS`, not reported one by one.

    Raises
    ------
    FitError
        If the answers are too few.

    Warns
    -----
    FitWarning
        What inference says of itself; its advice is put as this command takes it.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FitWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            found = fit(as_answers(counts), plan.irt_model, plan.settings, cluster=False)
        except FitError as error:  # another method would be too slow for all that is fitted here
            raise FitError(_ADVISED.sub("", str(error)) + "; calibrate on more models.") from error
    for each in caught:
        warnings.warn(str(each.message).replace(ADVICE, ADVICE_HERE), each.category, stacklevel=2)
    failed = {check.name: _ADVISED.sub("", check.message) for check in found.checks if check.status == "failed"}
    return found.posterior.assign_attrs({FAILED_CHECKS: failed})


def prepare(
    counts: Responses,
    clusters: Labels,
    plan: CalibrationPlan,
    *,
    seed: int = 0,
    posterior: xr.Dataset | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Fit the IRT model to all calibration models and to those kept in each fold.

    Parameters
    ----------
    counts : ResponseCounts, or what `as_counts` takes
        Right answers and trials of the calibration models, shape (model, item).
    clusters : array of str, shape (model,)
        From `model_clusters`.
    plan : CalibrationPlan
        What to fit.
    seed : int
        Of the folds.
    posterior : xr.Dataset, optional
        A fit to `counts`, instead of fitting again.
    progress : callable, optional
        Told (what, done, total).

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
            warnings.simplefilter("ignore", FitWarning)  # the fit to all models says it once
            basis = plan.fit_basis(counts.take(models=kept))
        folds.append(Fold(basis, counts.take(models=held_out)))
    return Calibration(whole, tuple(folds), clusters, plan)


def calibrate(
    calibration: Calibration,
    recipe: Recipe,
    estimators: Sequence[str] = tuple(ESTIMATORS),
    *,
    selection: Selection | None = None,
    choose: Chooser | None = None,
) -> CalibratedSubset:
    """Choose and weigh items, let estimators learn, and find their errors on models held out.

    Parameters
    ----------
    calibration : Calibration
        From `prepare`.
    recipe : Recipe
        Method, weights, size and seed.
    estimators : sequence of str
        Names in `ESTIMATORS`.
    selection : Selection, optional
        Items chosen already from all models, instead of choosing them.
    choose : callable, optional
        Basis → items, instead of the recipe's method.

    Notes
    -----
    Items are chosen anew in each fold, without the models held out. Errors with the items chosen from all models would
    flatter the choice: their intervals covered 75 to 90% of new models where 90% was wanted.
    """
    whole, choose = calibration.whole, choose or partial(chosen_items, recipe=recipe)
    if selection is None:
        selection = choose(whole)
    scorer = weighted_scorer(whole, recipe, selection)
    summary = summarise_chosen(scorer, whole.counts)
    folds = _Folds.read(calibration, recipe, estimators, choose)
    training = folds.training(summary, whole, scorer)
    learned = {name: ESTIMATORS[name].learn(training) for name in estimators}
    estimates = folds.estimates(estimators)
    abler = folds.abler_errors(calibration.abler, recipe, estimators, choose)
    responses = [fold.held_out for fold in calibration.folds]
    scores = {
        name: HeldOutScores([found for found, _ in parts], folds.truths, folds.clusters, responses)
        for name, parts in estimates.items()
    }
    return CalibratedSubset(scorer, summary, learned, folds.errors(estimates), abler, scores)


class _Read(NamedTuple):
    """Items chosen from the models kept of a fold, and the evidence of both its parts."""

    scorer: SubsetScorer
    kept: ResponseSummary
    held_out: ResponseSummary
    truth: FloatArray  # full scores of the models held out

    @classmethod
    def of(cls, fold: Fold, recipe: Recipe, choose: Chooser, *, regression: bool) -> _Read:
        scorer = weighted_scorer(fold.kept, recipe, choose(fold.kept))
        held_out = summarise_chosen(scorer, fold.held_out)
        # Only regressions look at the kept models' answers.
        kept = summarise_chosen(scorer, fold.kept.counts) if regression else held_out
        return cls(scorer, kept, held_out, full_scores(fold.held_out, fold.kept.target))


class _Folds(NamedTuple):
    """A cross-validation: evidence of kept and held-out models, and full scores of the latter, by fold."""

    folds: tuple[Fold, ...]
    read_folds: list[_Read]
    clusters: list[Labels]  # of the models held out
    source_share: float

    @classmethod
    def read(cls, calibration: Calibration, recipe: Recipe, estimators: Sequence[str], choose: Chooser) -> _Folds:
        """Choose items in each fold, and read the answers to them."""
        regression, models = any(ESTIMATORS[name].regression for name in estimators), calibration.whole.counts.models
        reads = [_Read.of(fold, recipe, choose, regression=regression) for fold in calibration.folds]
        clusters = [
            calibration.clusters[models.index.get_indexer(fold.held_out.models.index)] for fold in calibration.folds
        ]
        return cls(calibration.folds, reads, clusters, calibration.source_share(recipe.method, recipe.size))

    @property
    def truths(self) -> list[FloatArray]:
        """Full scores of the models held out, by fold."""
        return [read.truth for read in self.read_folds]

    def training(
        self, summary: ResponseSummary, basis: SelectionBasis, scorer: SubsetScorer, *, without: int | None = None
    ) -> TrainingData:
        """Say what estimators learn from; of the models held out, those of one fold may be left out."""
        places = [place for place in range(len(self.folds)) if place != without]
        pooled = join_summaries([self.read_folds[place].held_out for place in places])
        truth = np.concatenate([self.truths[at] for at in places])
        chosen = basis.counts.items.index.get_indexer(scorer.items)
        return TrainingData(summary, basis.full_score, pooled, truth, self.source_share, basis.residuals(chosen))

    def estimates(self, estimators: Sequence[str]) -> dict[str, list[tuple[FloatArray, FloatArray]]]:
        """Estimates of the models held out and their variances, by estimator and fold; each learned from the others."""
        found: dict[str, list[tuple[FloatArray, FloatArray]]] = {name: [] for name in estimators}
        for place, (fold, read) in enumerate(zip(self.folds, self.read_folds, strict=True)):
            training = self.training(read.kept, fold.kept, read.scorer, without=place)
            for name, parts in found.items():
                parts.append(_estimated(name, read.held_out, training))
        return found

    def errors(self, estimates: Mapping[str, list[tuple[FloatArray, FloatArray]]]) -> dict[str, HeldOutErrors]:
        """Errors of estimators that learned from other models, on those held out."""
        truth, clusters = np.concatenate(self.truths), np.concatenate(self.clusters)
        known = ~np.isnan(truth)
        found = {}
        for name, parts in estimates.items():
            estimated, variance = (np.concatenate(each)[known] for each in zip(*parts, strict=True))
            found[name] = held_out_errors(estimated - truth[known], variance, clusters[known])
        return found

    def abler_errors(
        self, fold: Fold | None, recipe: Recipe, estimators: Sequence[str], choose: Chooser
    ) -> dict[str, HeldOutErrors]:
        """Errors on models abler than all that were learned from; unknown where those are too few or it is refused."""
        found = dict.fromkeys(estimators, UNKNOWN_ERRORS)
        speaking = [name for name in estimators if ESTIMATORS[name].extrapolates]
        if fold is None or not speaking:
            return found
        read = _Read.of(fold, recipe, choose, regression=True)
        training = self.training(read.kept, fold.kept, read.scorer)
        for name in speaking:
            estimated, variance = _estimated(name, read.held_out, training)
            found[name] = held_out_errors(estimated - read.truth, variance)
        return found


def _estimated(name: str, summary: ResponseSummary, training: TrainingData) -> tuple[FloatArray, FloatArray]:
    """Estimates of the full score and their variances, by an estimator that learns from `training`."""
    learned = ESTIMATORS[name].learn(training)
    return estimate(name, summary, learned), ESTIMATORS[name].variance(summary, learned)


def chosen_items(basis: SelectionBasis, recipe: Recipe) -> Selection:
    """Choose items of a basis; fewer than asked for where a fold has fewer candidates."""
    size = min(recipe.size, len(basis.for_size(recipe.size).candidates))
    return select(basis.for_size(recipe.size), recipe.method, size, rng_of(recipe))


def rng_of(recipe: Recipe) -> np.random.Generator:
    """Return the generator that a recipe's choice of items starts from."""
    return np.random.default_rng(recipe.seed)


def weighted_scorer(basis: SelectionBasis, recipe: Recipe, selection: Selection) -> SubsetScorer:
    """Weigh chosen items, and collect what a basis knows of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SubsetWarning)  # the choice from all models says it once
        weights = weight_items(basis, selection, recipe.weights, np.random.default_rng([recipe.seed, 1]))
    return make_scorer(basis, selection, weights)


def summarise_chosen(scorer: SubsetScorer, counts: ResponseCounts) -> ResponseSummary:
    """Read the answers that `counts` hold to the items of an instrument."""
    return summarise_responses(scorer, counts.take(items=counts.items.index.get_indexer(scorer.items)))
