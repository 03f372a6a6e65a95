"""Estimators of the full score from answers to a subset.

Notation: A is the set of chosen items that were asked, t_i the share of item i in the full score (1/N), w_i its weight
in the subset, y_i the share of right answers, P_i(theta) the curve of the item, lam the sum of t_i over A (n/N).

======================  ==============================================================================================
weighted                D_w = sum w_i y_i
p_irt                   lam D + sum of t_i P_i over the other items, mean over the posterior of ability; D plain mean
p_irt_weighted          p_irt with D_w in place of D
gp_irt                  g D_w + (1 - g) p_irt; g minimises the squared error on held-out calibration models
irt_smoothed            sum of t_i P_i over all items, mean over the posterior of ability
ridge                   ridge regression of the full score on the answers y_i
spline                  ridge regression: a spline in D_w plus a spline in ability
p_irt_ridge             p_irt plus a ridge regression of its error on the answers
p_irt_wide              p_irt with the prior N(0, 3^2) of ability, which does not shrink towards the calibration models
irt_difference          sum of t_i P_i over all items plus sum w_i (y_i - P_i) over A, with the prior N(0, 3^2)
p_irt_residual          p_irt_wide plus a linear prediction of the residuals of the other items from the residuals
                        y_i - P_i, trained on the calibration models
aipw                    irt_difference with ridge predictions of the answers from calibration models for P_i [2]_
p_irt_source            p_irt with the maximum-likelihood ability: Maia Polo et al. 2024, as published
gp_irt_source           lam' D_w + (1 - lam') p_irt_source, lam' as published
======================  ==============================================================================================

`p_irt_residual` uses the best linear prediction (kriging) of u, the total residual of the items not asked, from r, the
residuals of the items asked. The prediction is v'r with
v = (R'R/M + s (1 + m/M) I + tau^2 11')^-1 (R'u/M + tau^2 U 1). R and u are the residuals of the M calibration models at
their abilities; U is the share of the items not asked. tau is the sd of a residual that all items of a model have in
common. As tau grows, v'r tends to a mean residual, and the estimate to irt_difference, which is unbiased for randomly
chosen items even if the IRT model is wrong. As tau tends to 0, only covariances seen in the calibration models count,
and these count less the fewer models there are: with m models as many covariances as noise. On five benchmarks
(`tests/benchmarks/shift.py`) tau = 0.2 of .05 to .2 had an error within 1% of the smallest for models of much higher
ability, and within 4% for models like the calibration models; m = 200 of 0 to 1,000 had an error within 4% of the
smallest, with 40 and with 220 calibration models.

References
----------
.. [1] Maia Polo et al., tinyBenchmarks: evaluating LLMs with fewer examples, 2024, arXiv 2402.14992.
.. [2] Zhang, Dorner, Hardt, How benchmark prediction from fewer data misses the mark, 2025, arXiv 2506.07673. Ridge
   penalty 10 as there. Ridge predictions are linear in the answers, so the estimate is a weighted mean.
.. [3] Särndal, Swensson, Wretman, Model assisted survey sampling, 1992, chapter 6: the difference estimator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from irt_bench.arrays import FloatArray, slices
from irt_bench.errors import SubsetError, unknown_choice
from irt_bench.subsets.basis import NO_RESIDUALS, CalibrationResiduals
from irt_bench.subsets.scorer import ModelScorer, Prediction, ResponseSummary, WeightedItems, weighted_sum

PENALTIES: Final = np.logspace(-2, 5, 15)  # of ridge regressions; chosen by leave-one-out cross-validation
SPLINE_PENALTIES: Final = np.logspace(-6, 2, 17)
KNOTS: Final = 5  # of each spline, at quantiles of the calibration models
DEGREE: Final = 3  # of each spline
TABLE: Final = 60  # points at which a spline is tabulated
AIPW_PENALTY: Final = 10.0  # Zhang et al. 2025
SHARED_SD: Final = 0.2  # tau: sd over models of a residual common to all items
ANSWER_VARIANCE: Final = 0.15  # s: variance P (1 - P) of an answer with P about .2 or .8
NOISY_MODELS: Final = 200  # m: calibration models whose covariances deserve as much shrinkage again


class SplineTables(NamedTuple):
    """Two functions whose sum is an estimate, tabulated; arrays of shape (..., point). See `Spline`."""

    score: FloatArray
    score_part: FloatArray
    ability: FloatArray
    ability_part: FloatArray


class LearnedParameters(NamedTuple):
    """Parameters of an estimator, learned from calibration models; see `EstimatorParameters`.

    Of many subsets, all but `weighted_share` have a first axis of subsets.
    """

    weighted_share: float = 0.0
    intercept: float | FloatArray = 0.0
    coefficients: FloatArray = np.zeros(0)
    spline: SplineTables | None = None
    residual_variance: float | FloatArray = 0.0
    unseen_variance: float | FloatArray = 0.0


@dataclass(frozen=True)
class TrainingData:
    """Data from which estimators learn, of one subset or of many at once."""

    summary: ResponseSummary  # of the calibration models on the final items
    truth: FloatArray  # their full scores
    held_out: ResponseSummary  # of the same models as held-out models: items and curves come from other models
    held_out_truth: FloatArray
    source_share: float = 0.0  # lam' as published
    residuals: CalibrationResiduals = NO_RESIDUALS  # of the calibration models on the final items, at their abilities

    @cached_property
    def regression(self) -> RidgeRegression:
        """Regression on the answers."""
        return RidgeRegression.on(self.summary.answers, ~np.isnan(self.truth))


NOTHING, ANSWERS, RESIDUALS, HELD_OUT, PUBLISHED = "nothing", "answers", "residuals", "held_out", "published"


def _given_variance(summary: ResponseSummary, learned: LearnedParameters) -> FloatArray:
    del learned
    return summary.variance


@dataclass(frozen=True)
class Estimator:
    """One way to estimate the full score."""

    learn: Callable[[TrainingData], LearnedParameters]  # TrainingData → LearnedParameters
    # ResponseSummary, LearnedParameters → full score of each model
    estimate: Callable[[ResponseSummary, LearnedParameters], FloatArray]
    title: str  # name in tables and figures
    # What `learn` uses of the calibration models: their answers, their residuals, the scores of held-out ones, or lam'
    learns_from: str = NOTHING
    curves: bool = True  # whether it uses what the IRT model expects with the prior N(0, 1) of ability
    wide: bool = False  # whether it uses `ResponseSummary.prediction`
    extrapolates: bool = True  # whether it is valid for models outside the range of abilities of the calibration models
    # ResponseSummary, LearnedParameters → variance of the full score around the estimate under the IRT model; by
    # default `ResponseSummary.variance`
    variance: Callable[[ResponseSummary, LearnedParameters], FloatArray] = _given_variance


def _nothing(training: TrainingData) -> LearnedParameters:
    del training
    return LearnedParameters()


def _weighted(summary: ResponseSummary, learned: LearnedParameters) -> FloatArray:
    del learned
    return summary.weighted


def _p_irt(summary: ResponseSummary, learned: LearnedParameters | None = None) -> FloatArray:
    del learned
    return summary.observed + summary.unseen


def _p_irt_weighted(summary: ResponseSummary, learned: LearnedParameters) -> FloatArray:
    del learned
    return summary.asked_share * summary.weighted + summary.unseen


def _p_irt_source(summary: ResponseSummary, learned: LearnedParameters | None = None) -> FloatArray:
    del learned
    return summary.observed + summary.unseen_plug_in


def prediction_of(summary: ResponseSummary) -> Prediction:
    """Return the prediction of a summary.

    Raises
    ------
    SubsetError
        If summaries of several subsets were joined.
    """
    if summary.prediction is None:
        raise SubsetError("responses to several subsets were joined; full scores are estimated from one subset.")
    return summary.prediction


def _p_irt_wide(summary: ResponseSummary, learned: LearnedParameters) -> FloatArray:
    del learned
    return summary.observed + prediction_of(summary).expected_unseen


def _difference(summary: ResponseSummary, learned: LearnedParameters) -> FloatArray:
    """Predictions of all items, plus the weighted mean residual of the items asked."""
    predicted = prediction_of(summary)
    mean = weighted_sum(predicted.residuals, predicted.weights) / weighted_sum(predicted.asked, predicted.weights)
    return _p_irt_wide(summary, learned) - weighted_sum(predicted.residuals, predicted.targets) + mean


def _learn_aipw(training: TrainingData) -> LearnedParameters:
    """Weights of the answers; they sum to 1 because the regression has an intercept."""
    items = training.summary.answers.swapaxes(-1, -2)  # features of an item: the answers of the calibration models
    mean, size = items.mean(axis=-2, keepdims=True), items.shape[-2]
    centred, ahead = items - mean, np.nan_to_num(training.truth) - mean[..., 0, :]
    slopes = solve(centred @ centred.swapaxes(-1, -2) + AIPW_PENALTY * np.eye(size), weighted_sum(centred, ahead))
    return LearnedParameters(coefficients=1 / size + slopes - slopes.mean(axis=-1, keepdims=True))


def _learn_residuals(training: TrainingData) -> LearnedParameters:
    """Learn v (see the module), the variance of u given r, and the variance of u."""
    known, unseen, share = training.residuals
    n_models, size = known.shape[-2:]
    shared, by_item = SHARED_SD**2, known.swapaxes(-1, -2)
    covariance, others = by_item @ known / n_models, weighted_sum(by_item, unseen) / n_models
    noise = ANSWER_VARIANCE * (1 + NOISY_MODELS / n_models) * np.eye(size)
    found = solve(covariance + noise + shared, others + shared * np.expand_dims(share, -1))
    prior = (unseen**2).sum(axis=-1) / n_models
    left = prior + (found * (weighted_sum(covariance, found) - 2 * others)).sum(axis=-1)
    return LearnedParameters(
        coefficients=found,
        residual_variance=np.maximum(left, 0) + shared * (share - found.sum(axis=-1)) ** 2,
        unseen_variance=prior + shared * share**2,
    )


def _with_residuals(summary: ResponseSummary, learned: LearnedParameters) -> FloatArray:
    return _p_irt_wide(summary, learned) + weighted_sum(prediction_of(summary).residuals, learned.coefficients)


def _residual_variance(summary: ResponseSummary, learned: LearnedParameters) -> FloatArray:
    """Variance from ability plus variance from residuals.

    The second lies between the variance of u given r and the variance of u, by the share of missing answers.
    """
    predicted = prediction_of(summary)
    curve = predicted.unseen - (predicted.asked * learned.coefficients) @ predicted.chances
    mean = (predicted.posterior * curve).sum(axis=-1)
    by_ability = (predicted.posterior * (curve - mean[..., None]) ** 2).sum(axis=-1)
    answered = predicted.asked.mean(axis=-1)
    given = answered * learned.residual_variance + (1 - answered) * learned.unseen_variance
    return np.asarray(by_ability + given)


def _best_share(training: TrainingData) -> LearnedParameters:
    """Share of D_w, in [0, 1], for which its mixture with p-IRT has the smallest squared error on held-out models."""
    base = _p_irt(training.held_out)
    difference, error = training.held_out.weighted - base, training.held_out_truth - base
    known = ~np.isnan(difference + error)
    difference, error = difference[known], error[known]
    square = float(difference @ difference)
    return LearnedParameters(weighted_share=float(np.clip(difference @ error / square, 0, 1)) if square > 0 else 0.0)


def _source_share(training: TrainingData) -> LearnedParameters:
    return LearnedParameters(weighted_share=training.source_share)


def _mix(base: Callable[[ResponseSummary], FloatArray]) -> Callable[[ResponseSummary, LearnedParameters], FloatArray]:
    def mixed(summary: ResponseSummary, learned: LearnedParameters) -> FloatArray:
        return learned.weighted_share * summary.weighted + (1 - learned.weighted_share) * base(summary)

    return mixed


def _smoothed(summary: ResponseSummary, learned: LearnedParameters) -> FloatArray:
    del learned
    return summary.expected


def _learn_ridge(training: TrainingData) -> LearnedParameters:
    return LearnedParameters(0.0, *training.regression.fit(training.truth, PENALTIES))


def _linear(summary: ResponseSummary, learned: LearnedParameters) -> FloatArray:
    return np.expand_dims(learned.intercept, -1) + weighted_sum(summary.answers, learned.coefficients)


def _learn_correction(training: TrainingData) -> LearnedParameters:
    return LearnedParameters(0.0, *training.regression.fit(training.truth - _p_irt(training.summary), PENALTIES))


def _corrected(summary: ResponseSummary, learned: LearnedParameters) -> FloatArray:
    return _p_irt(summary) + _linear(summary, learned)


class RidgeRegression(NamedTuple):
    """Ridge regressions on features of shape (..., model, feature), decomposed once for all targets and penalties.

    Parameters
    ----------
    mean : array of shape (..., feature)
        Means of the features.
    centred : array of shape (..., model, feature)
        X: features minus their means; 0 for models that are left out.
    squares : array of shape (..., component)
        Squares of the singular values of X.
    components : array of shape (..., model, component)
        Columns of length equal to the singular values: X = `components` V' with orthonormal V.
    known : array of bool, shape (..., model)
        Models that take part.
    """

    mean: FloatArray
    centred: FloatArray
    squares: FloatArray
    components: FloatArray
    known: npt.NDArray[np.bool_]

    @classmethod
    def on(cls, features: FloatArray, known: npt.NDArray[np.bool_]) -> RidgeRegression:
        """Decompose features; `known` are the models that take part."""
        kept = known[..., None]
        mean = np.where(kept, features, 0).sum(axis=-2) / known.sum(axis=-1)[..., None]
        centred = np.where(kept, features - mean[..., None, :], 0)
        turned = centred.swapaxes(-1, -2)
        if centred.shape[-1] < centred.shape[-2]:
            squares, axes = np.linalg.eigh(turned @ centred)
            return cls(mean, centred, squares, centred @ axes, known)
        squares, axes = np.linalg.eigh(centred @ turned)
        squares = np.maximum(squares, 0)
        return cls(mean, centred, squares, axes * np.sqrt(squares)[..., None, :], known)

    def fit(self, target: FloatArray, penalties: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Fit a target of shape (..., model) by the penalty with the smallest error if models are left out in turn.

        Returns
        -------
        intercept, coefficients : arrays of shape (...,) and (..., feature)
            The intercept is not penalised.
        """
        n = self.known.sum(axis=-1)[..., None]
        centre = np.where(self.known, target, 0).sum(axis=-1) / n[..., 0]
        ahead = np.where(self.known, target - centre[..., None], 0)
        by_component = self.components.swapaxes(-1, -2)
        shrunk = 1 / (self.squares[..., None, :] + penalties[:, None])  # (..., penalty, component)
        left = ahead[..., None, :] - (weighted_sum(by_component, ahead)[..., None, :] * shrunk) @ by_component
        leverage = 1 / n[..., None] + shrunk @ by_component**2
        errors = np.where(self.known[..., None, :], left / (1 - leverage), 0)
        best = (errors**2).sum(axis=-1).argmin(axis=-1)[..., None]
        left = np.take_along_axis(left, best[..., None], axis=-2)[..., 0, :]
        coefficients = weighted_sum(self.centred.swapaxes(-1, -2), left) / penalties[best]  # X'(y - Xb) = penalty b
        return centre - (self.mean * coefficients).sum(axis=-1), coefficients


def _learn_spline(training: TrainingData) -> LearnedParameters:
    """Fit both splines in one regression and tabulate them; the intercept is separate."""
    known = ~np.isnan(training.truth + training.summary.weighted)
    found, tables = [], []
    for values in (training.summary.weighted, training.summary.ability):
        values = np.where(known, values, np.nanmean(values, axis=-1, keepdims=True))
        knots = _knots(values)
        low, high = values.min(axis=-1), values.max(axis=-1)
        at = np.linspace(low, high + (high == low), TABLE, axis=-1)
        found.append(_spline_columns(values, knots))
        tables.append((at, _spline_columns(at, knots)))
    regression = RidgeRegression.on(np.concatenate(found, axis=-1), known)
    intercept, slopes = regression.fit(training.truth, SPLINE_PENALTIES)
    parts = [
        (at, weighted_sum(columns, own))
        for (at, columns), own in zip(tables, np.split(slopes, 2, axis=-1), strict=True)
    ]
    return LearnedParameters(intercept=intercept, spline=SplineTables(*parts[0], *parts[1]))


def _knots(values: FloatArray) -> FloatArray:
    """Knots at quantiles of values, (..., model), or evenly where ties make quantiles equal, and beyond them."""
    place = np.linspace(0, values.shape[-1] - 1, KNOTS)
    below, ordered = place.astype(np.intp), np.sort(values, axis=-1)
    above = np.minimum(below + 1, values.shape[-1] - 1)
    inside = ordered[..., below] + (place - below) * (ordered[..., above] - ordered[..., below])
    even = np.linspace(inside[..., 0], inside[..., -1], KNOTS, axis=-1)
    inside = np.where((np.diff(inside) <= 0).any(axis=-1, keepdims=True), even, inside)
    steps = np.arange(1, DEGREE + 1)
    before = inside[..., :1] - steps[::-1] * (inside[..., 1:2] - inside[..., :1])
    after = inside[..., -1:] + steps * (inside[..., -1:] - inside[..., -2:-1])
    return np.concatenate([before, inside, after], axis=-1)


def _spline_columns(at: FloatArray, knots: FloatArray) -> FloatArray:
    """B-splines by the recursion of Cox and de Boor, shape (..., model, column); 0 where all knots are equal."""
    at, knots = at[..., None], knots[..., None, :]
    columns = ((knots[..., :-1] <= at) & (at < knots[..., 1:])).astype(np.float64)
    for degree in range(1, DEGREE + 1):
        width = knots[..., degree:] - knots[..., :-degree]
        width = np.where(width > 0, width, np.inf)
        rising = (at - knots[..., : -degree - 1]) / width[..., :-1] * columns[..., :-1]
        columns = rising + (knots[..., degree + 1 :] - at) / width[..., 1:] * columns[..., 1:]
    return columns


def _spline(summary: ResponseSummary, learned: LearnedParameters) -> FloatArray:
    if learned.spline is None:
        raise SubsetError("the subset has no spline, which its estimator needs; make it again.")
    curves = learned.spline
    of_score = _extended(summary.weighted, curves.score, curves.score_part)
    of_ability = _extended(summary.ability, curves.ability, curves.ability_part)
    return np.expand_dims(learned.intercept, -1) + of_score + of_ability


def _extended(at: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Interpolate tables, (..., point), linearly and beyond their ends; constant if all models had one value."""
    right = np.clip((x[..., None, :] < at[..., None]).sum(axis=-1), 1, x.shape[-1] - 1)
    (x0, x1), (y0, y1) = ([np.take_along_axis(each, right - back, axis=-1) for back in (1, 0)] for each in (x, y))
    width = x1 - x0
    return np.asarray(y0 + (at - x0) * (y1 - y0) / np.where(width > 0, width, np.inf))


def solve(matrix: FloatArray, values: FloatArray) -> FloatArray:
    """Solve equations, matrices of shape (..., n, n) and values of shape (..., n)."""
    return np.asarray(np.linalg.solve(matrix, values[..., None])[..., 0])


ESTIMATORS: Final[Mapping[str, Estimator]] = {
    "weighted": Estimator(_nothing, _weighted, "weighted", curves=False),
    "p_irt": Estimator(_nothing, _p_irt, "p-IRT"),
    "p_irt_weighted": Estimator(_nothing, _p_irt_weighted, "p-IRT, weighted D"),
    "gp_irt": Estimator(_best_share, _mix(_p_irt), "gp-IRT", HELD_OUT),
    "irt_smoothed": Estimator(_nothing, _smoothed, "IRT-smoothed"),
    "ridge": Estimator(_learn_ridge, _linear, "ridge", ANSWERS, curves=False, extrapolates=False),
    "spline": Estimator(_learn_spline, _spline, "spline", ANSWERS, extrapolates=False),
    "p_irt_ridge": Estimator(_learn_correction, _corrected, "p-IRT + ridge", ANSWERS, extrapolates=False),
    "p_irt_wide": Estimator(_nothing, _p_irt_wide, "p-IRT, wide prior", curves=False, wide=True),
    "irt_difference": Estimator(_nothing, _difference, "IRT difference", curves=False, wide=True),
    "p_irt_residual": Estimator(
        _learn_residuals,
        _with_residuals,
        "p-IRT + residuals",
        RESIDUALS,
        curves=False,
        wide=True,
        variance=_residual_variance,
    ),
    "aipw": Estimator(_learn_aipw, _linear, "AIPW", ANSWERS, curves=False),
    "p_irt_source": Estimator(_nothing, _p_irt_source, "p-IRT, as published"),
    "gp_irt_source": Estimator(_source_share, _mix(_p_irt_source), "gp-IRT, as published", PUBLISHED),
}


def estimator_of(name: str) -> Estimator:
    """Return the estimator of this name.

    Raises
    ------
    SubsetError
        If it is not known.
    """
    if name not in ESTIMATORS:
        raise SubsetError(unknown_choice("estimator", name, ESTIMATORS))
    return ESTIMATORS[name]


def estimate(name: str, summary: ResponseSummary, learned: LearnedParameters) -> FloatArray:
    """Estimate the full score of each model, clipped to `possible_range`."""
    found = estimator_of(name).estimate(summary, learned)
    return np.clip(found, *possible_range(summary))


def possible_range(summary: ResponseSummary) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest full score that the answers allow: all items not asked wrong, or all right."""
    return summary.observed, np.minimum(summary.observed + 1 - summary.asked_share, 1)


READ_AT_ONCE: Final = 20  # subsets: their likelihoods stay in the processor's cache
NOTHING_LEARNED: Final = LearnedParameters()


def subset_scores(
    evaluated: ModelScorer,
    calibrating: ModelScorer,
    chosen: WeightedItems,
    names: Sequence[str],
    learned: Mapping[str, LearnedParameters],
) -> dict[str, FloatArray]:
    """Estimate the full scores of models from many subsets, shape (subset, model), by each estimator.

    Regressions learn from the calibration models, again for every subset. The others take what they have `learned`.
    """
    used = [ESTIMATORS[name] for name in names]
    learning = [name for name in names if ESTIMATORS[name].learns_from in (ANSWERS, RESIDUALS)]
    by_curves = any(each.curves for each in used if each.learns_from == ANSWERS)
    out = {name: np.empty((len(chosen.items), len(evaluated.truth))) for name in names}
    for block in slices(len(chosen.items), READ_AT_ONCE):
        part, known = WeightedItems(chosen.items[block], chosen.weights[block]), dict(learned)
        summary = evaluated.read(part, expected=any(each.curves for each in used), wide=any(each.wide for each in used))
        if learning:
            own, residuals = calibrating.read(part, expected=by_curves), calibrating.basis.residuals(part.items)
            training = TrainingData(own, calibrating.truth, own, calibrating.truth, residuals=residuals)
            known |= {name: ESTIMATORS[name].learn(training) for name in learning}
        for name in names:
            out[name][block] = estimate(name, summary, known.get(name, NOTHING_LEARNED))
    return out
