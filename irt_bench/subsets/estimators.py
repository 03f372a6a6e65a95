"""Estimators of the full score from answers to a subset, and random subsets as their reference.

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

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from irt_bench.arrays import FloatArray
from irt_bench.errors import SubsetError, unknown_choice
from irt_bench.names import INTERVAL
from irt_bench.responses.counts import ResponseCounts
from irt_bench.subsets.basis import NO_RESIDUALS, CalibrationResiduals, SelectionBasis, full_scores
from irt_bench.subsets.scorer import Prediction, ResponseSummary, make_scorer, summarise_responses
from irt_bench.subsets.subset import Spline

PENALTIES: Final = np.logspace(-2, 5, 15)  # of ridge regressions; chosen by leave-one-out cross-validation
KNOTS: Final = 5  # of each spline, at quantiles of the calibration models
TABLE: Final = 60  # points at which a spline is tabulated
AIPW_PENALTY: Final = 10.0  # Zhang et al. 2025
SHARED_SD: Final = 0.2  # tau: sd over models of a residual common to all items
ANSWER_VARIANCE: Final = 0.15  # s: variance P (1 - P) of an answer with P about .2 or .8
NOISY_MODELS: Final = 200  # m: calibration models whose covariances deserve as much shrinkage again


class LearnedParameters(NamedTuple):
    """Parameters of an estimator, learned from calibration models; see `EstimatorParameters`."""

    weighted_share: float = 0.0
    intercept: float = 0.0
    coefficients: FloatArray = np.zeros(0)
    spline: Spline | None = None
    residual_variance: float = 0.0
    unseen_variance: float = 0.0


class TrainingData(NamedTuple):
    """Data from which estimators learn."""

    summary: ResponseSummary  # of the calibration models on the final items
    truth: FloatArray  # their full scores
    held_out: ResponseSummary  # of the same models as held-out models: items and curves come from other models
    held_out_truth: FloatArray
    source_share: float  # lam' as published
    residuals: CalibrationResiduals = NO_RESIDUALS  # of the calibration models on the final items, at their abilities


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
    regression: bool = False  # whether it learns from the answers of the calibration models
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
    expected = _p_irt_wide(summary, learned) - predicted.residuals @ predicted.targets
    return np.asarray(expected + predicted.residuals @ predicted.weights / (predicted.asked @ predicted.weights))


def _learn_aipw(training: TrainingData) -> LearnedParameters:
    """Weights of the answers; they sum to 1 because the regression has an intercept."""
    items = training.summary.answers.T  # features of an item: the answers of the calibration models
    centred, size = items - items.mean(axis=0), len(items)
    ahead = np.nan_to_num(training.truth) - items.mean(axis=0)
    slopes = np.linalg.solve(centred @ centred.T + AIPW_PENALTY * np.eye(size), centred @ ahead)
    return LearnedParameters(coefficients=1 / size + slopes - slopes.mean())


def _learn_residuals(training: TrainingData) -> LearnedParameters:
    """Learn v (see the module), the variance of u given r, and the variance of u."""
    known, unseen, share = training.residuals
    n_models, size = known.shape
    shared, covariance, others = SHARED_SD**2, known.T @ known / n_models, known.T @ unseen / n_models
    noise = ANSWER_VARIANCE * (1 + NOISY_MODELS / n_models) * np.eye(size)
    found = np.linalg.solve(covariance + noise + shared, others + shared * share)
    prior = float(unseen @ unseen) / n_models
    left = prior - 2 * float(found @ others) + float(found @ covariance @ found)
    return LearnedParameters(
        coefficients=found,
        residual_variance=max(left, 0.0) + shared * (share - float(found.sum())) ** 2,
        unseen_variance=prior + shared * share**2,
    )


def _with_residuals(summary: ResponseSummary, learned: LearnedParameters) -> FloatArray:
    return np.asarray(_p_irt_wide(summary, learned) + prediction_of(summary).residuals @ learned.coefficients)


def _residual_variance(summary: ResponseSummary, learned: LearnedParameters) -> FloatArray:
    """Variance from ability plus variance from residuals.

    The second lies between the variance of u given r and the variance of u, by the share of missing answers.
    """
    predicted = prediction_of(summary)
    curve = predicted.unseen - (predicted.asked * learned.coefficients) @ predicted.chances
    mean = (predicted.posterior * curve).sum(axis=1)
    by_ability = (predicted.posterior * (curve - mean[:, None]) ** 2).sum(axis=1)
    answered = predicted.asked.mean(axis=1)
    given = answered * learned.residual_variance + (1 - answered) * learned.unseen_variance
    return np.asarray(by_ability + given)


def _best_share(training: TrainingData) -> LearnedParameters:
    """Share of D_w, in [0, 1], for which its mixture with p-IRT has the smallest squared error on held-out models."""
    base = _p_irt(training.held_out)
    difference, error = training.held_out.weighted - base, training.held_out_truth - base
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
    return _regress(training.summary.answers, training.truth)


def _linear(summary: ResponseSummary, learned: LearnedParameters) -> FloatArray:
    return np.asarray(learned.intercept + summary.answers @ learned.coefficients)


def _learn_correction(training: TrainingData) -> LearnedParameters:
    return _regress(training.summary.answers, training.truth - _p_irt(training.summary))


def _corrected(summary: ResponseSummary, learned: LearnedParameters) -> FloatArray:
    return _p_irt(summary) + _linear(summary, learned)


def _regress(answers: FloatArray, target: FloatArray) -> LearnedParameters:
    from sklearn.linear_model import RidgeCV  # noqa: PLC0415 - takes a second

    found = RidgeCV(PENALTIES).fit(answers, target)
    return LearnedParameters(intercept=float(found.intercept_), coefficients=np.asarray(found.coef_, dtype=np.float64))


def _learn_spline(training: TrainingData) -> LearnedParameters:
    """Fit both splines in one regression and tabulate them; the intercept is separate."""
    from sklearn.linear_model import RidgeCV  # noqa: PLC0415 - takes a second
    from sklearn.preprocessing import SplineTransformer  # noqa: PLC0415

    features = np.stack([training.summary.weighted, training.summary.ability], axis=1)
    bases = [SplineTransformer(KNOTS, knots="quantile", extrapolation="linear") for _ in range(2)]
    columns = [_fit_basis(basis, values) for basis, values in zip(bases, features.T, strict=True)]
    found = RidgeCV(np.logspace(-6, 2, 17)).fit(np.concatenate(columns, axis=1), training.truth)
    parts, start = [], 0
    for basis, values, column in zip(bases, features.T, columns, strict=True):
        slopes = found.coef_[start : start + column.shape[1]]
        start += column.shape[1]
        at = np.linspace(values.min(), values.max() + (values.max() == values.min()), TABLE)
        parts.append((tuple(at.tolist()), tuple((basis.transform(at[:, None]) @ slopes).tolist())))
    (score, score_part), (ability, ability_part) = parts
    spline = Spline(score=score, score_part=score_part, ability=ability, ability_part=ability_part)
    return LearnedParameters(intercept=float(found.intercept_), spline=spline)


def _fit_basis(basis: Any, values: FloatArray) -> FloatArray:
    """Fit a spline basis with knots at quantiles, or evenly where ties make quantiles equal."""
    if len(np.unique(np.quantile(values, np.linspace(0, 1, KNOTS)))) < KNOTS:
        basis.set_params(knots="uniform")
    return np.asarray(basis.fit_transform(values[:, None]), dtype=np.float64)


def _spline(summary: ResponseSummary, learned: LearnedParameters) -> FloatArray:
    if learned.spline is None:
        raise SubsetError("the subset has no spline, which its estimator needs; make it again.")
    curves = learned.spline
    of_score = _extended(summary.weighted, curves.score, curves.score_part)
    return learned.intercept + of_score + _extended(summary.ability, curves.ability, curves.ability_part)


def _extended(at: FloatArray, x: tuple[float, ...], y: tuple[float, ...]) -> FloatArray:
    """Linear interpolation and extrapolation; constant if all models had the same value."""
    inside = np.interp(at, x, y)
    first, last = ((y[b] - y[a]) / (x[b] - x[a]) if x[b] > x[a] else 0.0 for a, b in ((0, 1), (-2, -1)))
    return np.asarray(inside + np.minimum(at - x[0], 0) * first + np.maximum(at - x[-1], 0) * last)


ESTIMATORS: Final[Mapping[str, Estimator]] = {
    "weighted": Estimator(_nothing, _weighted, "weighted"),
    "p_irt": Estimator(_nothing, _p_irt, "p-IRT"),
    "p_irt_weighted": Estimator(_nothing, _p_irt_weighted, "p-IRT, weighted D"),
    "gp_irt": Estimator(_best_share, _mix(_p_irt), "gp-IRT"),
    "irt_smoothed": Estimator(_nothing, _smoothed, "IRT-smoothed"),
    "ridge": Estimator(_learn_ridge, _linear, "ridge", regression=True, extrapolates=False),
    "spline": Estimator(_learn_spline, _spline, "spline", regression=True, extrapolates=False),
    "p_irt_ridge": Estimator(_learn_correction, _corrected, "p-IRT + ridge", regression=True, extrapolates=False),
    "p_irt_wide": Estimator(_nothing, _p_irt_wide, "p-IRT, wide prior", wide=True),
    "irt_difference": Estimator(_nothing, _difference, "IRT difference", wide=True),
    "p_irt_residual": Estimator(
        _learn_residuals, _with_residuals, "p-IRT + residuals", regression=True, wide=True, variance=_residual_variance
    ),
    "aipw": Estimator(_learn_aipw, _linear, "AIPW", regression=True),
    "p_irt_source": Estimator(_nothing, _p_irt_source, "p-IRT, as published"),
    "gp_irt_source": Estimator(_source_share, _mix(_p_irt_source), "gp-IRT, as published"),
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


MAX_RANDOM: Final = 100_000  # subsets of a size: a percentile needs no more digits
FEW_DRAWS: Final = 2  # of item parameters for random subsets, which need no intervals


class RandomSubsets(NamedTuple):
    """Sizes of random subsets, estimators (names in `ESTIMATORS`), number of subsets per size, and seed."""

    sizes: tuple[int, ...]
    estimators: tuple[str, ...]
    n_random: int
    seed: int


def random_errors(
    basis: SelectionBasis,
    test: ResponseCounts,
    drawn: RandomSubsets,
    learned_at_random: Mapping[int, Mapping[str, LearnedParameters]],
) -> pd.DataFrame:
    """Sum of absolute errors of each random subset and estimator on held-out models.

    Subsets are simple random samples of all items with equal weights. Regressions are fitted to each subset. gp-IRT
    takes its share from `learned_at_random`, where the method "random" learned it for this size; otherwise it is left
    out.
    """
    truth = full_scores(test, basis.target)
    known, rows = ~np.isnan(truth), []
    for size in drawn.sizes:
        learned = learned_at_random.get(size, {})
        names = [name for name in drawn.estimators if name in learned or not name.startswith("gp")]
        regression = any(ESTIMATORS[name].regression for name in names)
        for replicate in range(drawn.n_random):
            rng = np.random.default_rng([drawn.seed, size, replicate])
            places = np.sort(rng.choice(basis.counts.n_items, size, replace=False))
            scorer = make_scorer(basis, basis.select(places), np.full(size, 1 / size), intervals=False)
            summary = summarise_responses(scorer, test.take(items=places), n_draws=FEW_DRAWS)
            own = summary
            if regression:
                own = summarise_responses(scorer, basis.counts.take(items=places), n_draws=FEW_DRAWS)
            training = TrainingData(own, basis.full_score, own, basis.full_score, 0.0, basis.residuals(places))
            for name in names:
                mixes = name.startswith("gp")
                taken = learned[name] if mixes else ESTIMATORS[name].learn(training)
                error = np.abs(estimate(name, summary, taken) - truth)[known].sum()
                rows.append((size, name, replicate, error, known.sum()))
    return pd.DataFrame(rows, columns=["size", "estimator", "replicate", "error", "n"])


def relative_to_random(table: pd.DataFrame, random: pd.DataFrame) -> pd.DataFrame:
    """Add the mean and quantiles of the errors of random subsets, and the percentile of each row among them."""
    grouped = random.groupby(["size", "estimator"])["mae"]
    low, high = (grouped.quantile(quantile) for quantile in INTERVAL)
    reference = pd.DataFrame({"random": grouped.mean(), "random_q05": low, "random_q95": high}).reset_index()
    joined = table.merge(reference, on=["size", "estimator"], how="left")
    by_key = {key: part.to_numpy() for key, part in grouped}
    joined["percentile"] = [
        (1 + (by_key[size, name] <= mae).sum()) / (1 + len(by_key[size, name])) if (size, name) in by_key else np.nan
        for size, name, mae in zip(joined["size"], joined["estimator"], joined["mae"], strict=True)
    ]
    return joined
