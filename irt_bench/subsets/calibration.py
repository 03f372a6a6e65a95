"""Calibration: fit the items, then choose, weigh and learn, and find on held-out models how far the estimate errs.

Cross-validation repeats the whole procedure: in each fold the IRT model is fitted, items chosen and weighed and the
estimator trained without the clusters held out. Its errors are therefore those of the method at that size, not of one
lucky set of items.
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

from irt_bench.analysis.intervals import FloatArray
from irt_bench.errors import ConvergenceWarning, FitError, FitWarning, SubsetError, SubsetWarning
from irt_bench.inference.fit import Progress, fit
from irt_bench.inference.settings import Settings
from irt_bench.irt_models.base import IRTModel
from irt_bench.responses.counts import ResponseCounts
from irt_bench.subsets.basis import Selection, SelectionBasis
from irt_bench.subsets.clusters import Labels, cluster_folds
from irt_bench.subsets.estimators import ESTIMATORS, Learned, Training, estimate
from irt_bench.subsets.instrument import Evidence, Instrument, join_evidence, make_instrument, read_answers
from irt_bench.subsets.intervals import Errors, held_out_errors
from irt_bench.subsets.published import odd_errors, published_share
from irt_bench.subsets.select import select
from irt_bench.subsets.shares import as_answers, full_scores
from irt_bench.subsets.weights import weigh

N_FOLDS: Final = 5
MOST_ABILITY: Final = 10  # sds of the calibration models
# Among the options of a subset --method names how to choose items.
ADVICE: Final = "use --method nuts"
_ADVISED: Final = re.compile(r"[.;,]?\s*\buse --method nuts\b[^.;]*\.?$|\.$", re.IGNORECASE)
FAILED_CHECKS: Final = "failed_checks"  # of a posterior: name → message
ADVICE_HERE: Final = "--fit takes a better one, made with: irt-bench fit --method nuts"


class Plan(NamedTuple):
    """What to calibrate with: IRT model, settings of its inference, and what a basis takes."""

    irt_model: IRTModel
    settings: Settings
    targets: FloatArray | None = None
    keep_negative: bool = False
    ability_range: tuple[float, float] | None = None
    n_folds: int = N_FOLDS

    def fit_basis(self, counts: ResponseCounts, posterior: xr.Dataset | None = None) -> SelectionBasis:
        """Fit the IRT model, or take the fit given, and make a basis of it."""
        low, high = self.ability_range or (-MOST_ABILITY, MOST_ABILITY)
        if not -MOST_ABILITY <= low < high <= MOST_ABILITY:
            raise SubsetError(
                f"ability_range is ({low:g}, {high:g}); a lower and a higher ability, from -{MOST_ABILITY} to "
                f"{MOST_ABILITY} sds of the calibration models, are needed."
            )
        found = fit_posterior(counts, self) if posterior is None else posterior
        return SelectionBasis(counts, found, self.targets, self.keep_negative, self.ability_range)


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
    n_clusters : int
        Number of clusters.
    plan : Plan
        What was fitted, and how.
    """

    whole: SelectionBasis
    folds: tuple[Fold, ...]
    n_clusters: int
    plan: Plan

    @cached_property
    def source_error(self) -> float:
        """Return b of the published gp-IRT: mean absolute error on odd items, with ability from the even ones."""
        return float(np.concatenate([odd_errors(fold.kept, fold.held_out) for fold in self.folds]).mean())

    def source_share(self, method: str, size: int) -> float:
        """Return lam' of the published gp-IRT."""
        return published_share(self.source_error, self.whole.shares, method, size)


class Calibrated(NamedTuple):
    """Chosen items ready for use, and by estimator what it learned and how far it errs on models held out."""

    instrument: Instrument
    evidence: Evidence
    learned: Mapping[str, Learned]
    errors: Mapping[str, Errors]


def fit_posterior(counts: ResponseCounts, plan: Plan) -> xr.Dataset:
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
    counts: ResponseCounts,
    clusters: Labels,
    plan: Plan,
    *,
    seed: int = 0,
    posterior: xr.Dataset | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Fit the IRT model to all calibration models and to those kept in each fold.

    Parameters
    ----------
    counts : ResponseCounts
        Right answers and trials of the calibration models, shape (model, item).
    clusters : array of str, shape (model,)
        From `model_clusters`.
    plan : Plan
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
    splits = list(cluster_folds(clusters, plan.n_folds, np.random.default_rng(seed)))
    folds, whole = [], plan.fit_basis(counts, posterior)
    for done, (kept, held_out) in enumerate(splits):
        if progress is not None:
            progress("fitting folds", done, len(splits))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)  # the fit to all models says it once
            basis = plan.fit_basis(counts.take(models=kept))
        folds.append(Fold(basis, counts.take(models=held_out)))
    return Calibration(whole, tuple(folds), len(np.unique(clusters)), plan)


def calibrate(
    calibration: Calibration,
    recipe: Recipe,
    estimators: Sequence[str] = tuple(ESTIMATORS),
    *,
    selection: Selection | None = None,
    choose: Chooser | None = None,
) -> Calibrated:
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
    whole = calibration.whole
    if selection is None:
        selection = choose(whole) if choose else select(whole, recipe.method, recipe.size, rng_of(recipe))
    instrument = weighed(whole, recipe, selection)
    evidence = answers_to(instrument, whole.counts)
    folds = _Folds.read(calibration, recipe, estimators, choose or partial(chosen_items, recipe=recipe))
    training = folds.training(evidence, whole.full_score)
    learned = {name: ESTIMATORS[name].learn(training) for name in estimators}
    return Calibrated(instrument, evidence, learned, folds.errors(calibration, estimators))


class _Folds(NamedTuple):
    """A cross-validation: evidence of kept and held-out models, and full scores of the latter, by fold."""

    kept: list[Evidence]
    held_out: list[Evidence]
    truths: list[FloatArray]
    source_share: float

    @classmethod
    def read(cls, calibration: Calibration, recipe: Recipe, estimators: Sequence[str], choose: Chooser) -> _Folds:
        """Choose items in each fold, and read the answers to them."""
        regression = any(ESTIMATORS[name].regression for name in estimators)
        kept, held_out = [], []
        for fold in calibration.folds:
            instrument = weighed(fold.kept, recipe, choose(fold.kept))
            held_out.append(answers_to(instrument, fold.held_out))
            # Only regressions look at the kept models' answers.
            kept.append(answers_to(instrument, fold.kept.counts) if regression else held_out[-1])
        truths = [full_scores(fold.held_out, calibration.whole.target) for fold in calibration.folds]
        return cls(kept, held_out, truths, calibration.source_share(recipe.method, recipe.size))

    def training(self, evidence: Evidence, truth: FloatArray, *, without: int | None = None) -> Training:
        """Say what estimators learn from; of the models held out, those of one fold may be left out."""
        places = [place for place in range(len(self.held_out)) if place != without]
        pooled = join_evidence([self.held_out[place] for place in places])
        return Training(evidence, truth, pooled, np.concatenate([self.truths[at] for at in places]), self.source_share)

    def errors(self, calibration: Calibration, estimators: Sequence[str]) -> dict[str, Errors]:
        """Errors of estimators that learned from other models, on those held out."""
        found: dict[str, list[FloatArray]] = {name: [] for name in estimators}
        for place, fold in enumerate(calibration.folds):
            training = self.training(self.kept[place], fold.kept.full_score, without=place)
            for name, parts in found.items():
                parts.append(estimate(name, self.held_out[place], ESTIMATORS[name].learn(training)))
        truth, variance = np.concatenate(self.truths), np.concatenate([held_out.variance for held_out in self.held_out])
        known = ~np.isnan(truth)
        return {
            name: held_out_errors((np.concatenate(parts) - truth)[known], variance[known])
            for name, parts in found.items()
        }


def chosen_items(basis: SelectionBasis, recipe: Recipe) -> Selection:
    """Choose items of a basis; fewer than asked for where a fold has fewer candidates."""
    size = min(recipe.size, len(basis.for_size(recipe.size).candidates))
    return select(basis.for_size(recipe.size), recipe.method, size, rng_of(recipe))


def rng_of(recipe: Recipe) -> np.random.Generator:
    """Return the generator that a recipe's choice of items starts from."""
    return np.random.default_rng(recipe.seed)


def weighed(basis: SelectionBasis, recipe: Recipe, selection: Selection) -> Instrument:
    """Weigh chosen items, and collect what a basis knows of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SubsetWarning)  # the choice from all models says it once
        weights = weigh(basis, selection, recipe.weights, np.random.default_rng([recipe.seed, 1]))
    return make_instrument(basis, selection, weights)


def answers_to(instrument: Instrument, counts: ResponseCounts) -> Evidence:
    """Read the answers that `counts` hold to the items of an instrument."""
    return read_answers(instrument, counts.take(items=counts.items.index.get_indexer(instrument.items)))
