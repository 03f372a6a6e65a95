"""Estimated full scores with intervals, and the smallest gap between two models that a subset orders correctly.

*Models within the range of abilities of the calibration models.* The IRT model gives the variance of the full score
given the answers: from ability, item parameters and the answers to other items. Held-out models vary more than that;
the excess variance is misfit, the same for all models. The interval is estimate +- scale x sd. The scale is chosen so
that 90% of the held-out models are covered (split conformal prediction over cross-validation folds). It is therefore
valid for estimators without an IRT model too.

*Models outside that range.* Held-out models within the range are no evidence for them. The half-width is the largest
of four: the one above; the same from a calibration on the weaker half of the models that scores the strongest; t x the
sd of a mean over as many random items, from the residuals of the model itself, which needs no IRT model; 1.645 x the
sd under the IRT model. The error is a mixture of both kinds: its variance is their mean, weighted by the posterior
probability that the ability lies outside the range. With fewer than `FEW_MODELS` calibration models, held-out models
say too little, and every model counts as outside; with random items and their plain mean, such an interval holds
whatever the calibration is worth.

*Smallest gap.* A pair of held-out models with full scores g apart is ordered correctly with probability Phi(g / s).
This is exact if the error of the difference is normal with sd s. s is the maximum-likelihood estimate over all pairs;
the smallest gap ordered correctly 8 times in 10 is s Phi^-1(0.8) [1]_, no smaller than the smallest gap observed, and
undefined above 1. It is compared with the gap of plain means over as many random items.

References
----------
.. [1] arXiv 2510.08730 calls the gap the minimum detectable ability difference, and finds that models 2 to 3 points
   apart need about 250 items.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy
from scipy import special

from irt_bench import names
from irt_bench.analysis.intervals import Z_LIMIT, resampled_counts
from irt_bench.arrays import FloatArray
from irt_bench.errors import SubsetError
from irt_bench.names import INTERVAL, MODEL
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.labels import ClusterLabels
from irt_bench.responses.table import FILTER, METRIC
from irt_bench.subsets.basis import filled_shares
from irt_bench.subsets.estimators import (
    LearnedParameters,
    SplineTables,
    estimate,
    estimator_of,
    possible_range,
    prediction_of,
)
from irt_bench.subsets.scorer import Prediction, ResponseSummary, scorer_of, summarise_responses
from irt_bench.subsets.subset import EstimatorParameters, SubsetRecord, bare_hash

COVERAGE = INTERVAL[1] - INTERVAL[0]
N_RESAMPLES: Final = 1000  # of clusters, for intervals of expected errors
RESAMPLING_SEED: Final = 20240522


class ExpectedError(NamedTuple):
    """Expected error for new models with its central 90% interval, in [0, 1]; NaN if unknown."""

    value: float
    q05: float
    q95: float


@dataclass(frozen=True)
class HeldOutErrors:
    """Errors of an estimator on held-out models, and parameters of the intervals for new models."""

    error: FloatArray  # (model,): estimate minus full score; empty if unknown
    clusters: ClusterLabels | None  # (model,); None: each model is one
    misfit_sd: float
    interval_scale: float

    @property
    def mean(self) -> float:
        """Mean error."""
        return float(self.error.mean()) if len(self.error) else math.nan

    @property
    def mean_absolute(self) -> ExpectedError:
        """Mean absolute error."""
        return self._means[0]

    @property
    def root_mean_square(self) -> ExpectedError:
        """Root mean square error."""
        return ExpectedError(*map(math.sqrt, self._means[1]))

    @cached_property
    def _means(self) -> list[ExpectedError]:
        """Mean absolute and mean squared error over the same resamples."""
        return _resampled_means(np.stack([np.abs(self.error), self.error**2]), self.clusters)


UNKNOWN_ERRORS: Final = HeldOutErrors(np.zeros(0), None, math.nan, math.nan)


def held_out_errors(error: FloatArray, variance: FloatArray, clusters: ClusterLabels | None = None) -> HeldOutErrors:
    """Summarise errors (estimate minus full score) of held-out models; `variance` is that under the IRT model.

    For intervals of the errors `clusters` are resampled; by default each model is a cluster.

    Notes
    -----
    The misfit variance is the mean squared error minus the mean variance, at least 0. The scale is the 0.9 (n + 1)-th
    smallest |error| / sd, interpolated; with fewer than 9 models it is the largest. It covers new exchangeable models
    with probability 90%. Lei et al. (2018, DOI 10.1080/01621459.2017.1307116) round up instead of interpolating, which
    with few models makes all intervals too wide.
    """
    misfit = max(0.0, float((error**2).mean() - variance.mean()))
    sd = np.sqrt(variance + misfit)
    ratio = np.abs(error) / np.maximum(sd, np.finfo(np.float64).tiny)
    scale = float(np.quantile(ratio, COVERAGE, method="weibull")) if sd.any() else 0.0
    return HeldOutErrors(error, clusters, math.sqrt(misfit), scale)


def _resampled_means(values: FloatArray, clusters: ClusterLabels | None) -> list[ExpectedError]:
    """Means of rows with quantiles over resampled clusters; these are NaN with one cluster, and all without values."""
    codes = np.arange(values.shape[1]) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    n_clusters = int(codes.max(initial=-1)) + 1
    means = values.mean(axis=1) if n_clusters else np.full(len(values), math.nan)
    if n_clusters <= 1:
        return [ExpectedError(float(mean), math.nan, math.nan) for mean in means]
    drawn = resampled_counts(n_clusters, N_RESAMPLES, np.random.default_rng(RESAMPLING_SEED)).astype(np.float64)
    sums = np.stack([np.bincount(codes, row) for row in values], axis=1)
    limits = np.quantile(drawn @ sums / (drawn @ np.bincount(codes))[:, None], INTERVAL, axis=0)
    return [ExpectedError(*map(float, each)) for each in zip(means, *limits, strict=True)]


class Extrapolation(NamedTuple):
    """Parameters of intervals for models outside the calibrated range of abilities, arrays of shape (model,)."""

    probability: FloatArray  # that the ability lies outside the range
    design_sd: FloatArray  # of a mean over random items, from the residuals of the model
    quantile: FloatArray  # of Student's t, for design_sd
    misfit_sd: float  # measured on abler models; NaN if there were too few
    scale: float


def extrapolation_of(
    prediction: Prediction, probability: FloatArray, n_items: int, abler: HeldOutErrors
) -> Extrapolation:
    """Parameters of intervals outside the range; `n_items` is the number of items of the full benchmark."""
    asked = prediction.asked.sum(axis=1)
    mean = prediction.residuals.sum(axis=1) / np.maximum(asked, 1)
    squares = ((prediction.residuals - mean[:, None]) ** 2 * prediction.asked).sum(axis=1)
    free = np.maximum(asked - 1, 1)
    design = np.where(asked > 1, (1 - asked / n_items) * squares / free / np.maximum(asked, 1), np.inf)
    quantile = special.stdtrit(free, INTERVAL[1])
    return Extrapolation(probability, np.sqrt(design), quantile, abler.misfit_sd, abler.interval_scale)


def interval_limits(
    estimate: FloatArray,
    variance: FloatArray,
    *,
    misfit_sd: float,
    scale: float,
    step: float,
    within: tuple[FloatArray, FloatArray],
    outside: Extrapolation | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Lower and upper limits of the 90% interval, clipped to the range `within`.

    Possible full scores are about `step`, the share of one item, apart: a narrower interval may contain none of them.
    """
    half = scale * np.sqrt(variance + misfit_sd**2)
    if outside is not None:
        abler = outside.scale * np.sqrt(variance + outside.misfit_sd**2)
        design = outside.quantile * outside.design_sd
        wide = np.fmax.reduce([half, abler, design, Z_LIMIT * np.sqrt(variance)])  # ignores NaN
        share = outside.probability
        half = np.where(share > 0, np.sqrt((1 - share) * half**2 + share * np.minimum(wide, 1) ** 2), half)
    half = np.maximum(half, step / 2)
    low, high = within
    half = np.where(high - low > 0, half, 0)  # all items were asked
    return np.clip(estimate - half, low, high), np.clip(estimate + half, low, high)


FEW_MODELS: Final = 10  # calibration models: with fewer, intervals are as outside their range, and items are random
ORDERED: Final = 0.8  # share of pairs ordered correctly
N_RANDOM: Final = 20  # random subsets per fold
GAP_RESAMPLES: Final = 200  # of clusters
SEED: Final = 20251008
MAX_SD: Final = 100.0  # of s: the order of pairs is then random at any gap
MAX_PAIRS: Final = 20_000  # per fold, of the subset, and of all random subsets together
BINS: Final = 200  # of similar gaps, in which pairs are counted
SAME: Final = 1e-12  # a smaller difference of scores is rounding

Codes = npt.NDArray[np.intp]


class GapEstimate(NamedTuple):
    """Smallest gap ordered correctly 8 times in 10, its 90% interval, and the gap of random items; [0, 1] or NaN."""

    value: float
    q05: float
    q95: float
    random: float


class HeldOutScores(NamedTuple):
    """Held-out models, one list entry per fold; models of one fold were asked the same items."""

    estimates: list[FloatArray]  # of the full score, shape (model,)
    truths: list[FloatArray]
    clusters: list[ClusterLabels]
    responses: list[ResponseCounts]


class _Pairs(NamedTuple):
    """Pairs of models with different full scores, arrays of shape (pair,)."""

    gap: FloatArray  # of full scores
    right: FloatArray  # 1 if the estimates have the same order, 1/2 if they tie, otherwise 0
    first: Codes  # cluster of each model
    second: Codes


def orderable_gap(scores: HeldOutScores, size: int) -> GapEstimate:
    """Estimate the smallest gap that subsets of a size order correctly 8 times in 10, beside random items."""
    names = np.unique(np.concatenate(scores.clusters))
    codes = [np.searchsorted(names, part) for part in scores.clusters]
    rng = np.random.default_rng(SEED)
    own = _joined([_pairs(*each, rng=rng) for each in zip(scores.estimates, scores.truths, codes, strict=True)])
    spread = np.full(1, math.nan)
    if len(names) > 1:
        drawn = resampled_counts(len(names), GAP_RESAMPLES, rng)
        place = _bins(own)
        spread = np.array([_gap(own, place, weights[own.first] * weights[own.second]) for weights in drawn])
    low, high = np.nanquantile(spread, INTERVAL) if np.isfinite(spread).any() else (math.nan, math.nan)
    means = []
    for fold, truth, code in zip(scores.responses, scores.truths, codes, strict=True):
        shares = filled_shares(fold)
        for _ in range(N_RANDOM):
            chosen = rng.choice(shares.shape[1], size, replace=False)
            means.append(_pairs(shares[:, chosen].mean(axis=1), truth, code, rng=rng, most=MAX_PAIRS // N_RANDOM))
    random = _joined(means)
    value, beside = (_possible(_gap(pairs, _bins(pairs)), pairs) for pairs in (own, random))
    least = own.gap.min(initial=math.inf)
    if not value > least:  # undefined, or all pairs are ordered correctly: resamples say nothing of smaller gaps
        return GapEstimate(value, math.nan, math.nan, beside)
    low, high = np.clip([low, high], least, 1)
    return GapEstimate(value, float(low), float(high), beside)


def _possible(gap: float, pairs: _Pairs) -> float:
    """Give a gap that is no smaller than any of these pairs has; NaN for one that scores in [0, 1] cannot have."""
    return max(gap, float(pairs.gap.min())) if gap <= 1 else math.nan


def _pairs(
    estimate: FloatArray, truth: FloatArray, codes: Codes, *, rng: np.random.Generator, most: int = MAX_PAIRS
) -> _Pairs:
    """All pairs of a fold, or as many random pairs as given if there are more."""
    n, n_pairs = len(truth), len(truth) * (len(truth) - 1) // 2
    drawn = rng.choice(n_pairs, most, replace=False) if n_pairs > most else np.arange(n_pairs)
    left = n_pairs - 1 - drawn  # pairs are numbered row by row above the diagonal, as by numpy.triu_indices
    from_last = ((np.sqrt(8 * left + 1) - 1) / 2).astype(np.intp)
    first, second = n - 2 - from_last, n - 1 - left + from_last * (from_last + 1) // 2
    gap = truth[first] - truth[second]
    kept = np.abs(np.nan_to_num(gap)) > SAME
    first, second, gap = first[kept], second[kept], gap[kept]
    ahead = estimate[first] - estimate[second]
    right = np.where(np.abs(ahead) > SAME, 0.5 + 0.5 * np.sign(ahead) * np.sign(gap), 0.5)
    return _Pairs(np.abs(gap), right, codes[first], codes[second])


def _joined(parts: list[_Pairs]) -> _Pairs:
    return _Pairs(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _bins(pairs: _Pairs) -> Codes:
    """Bin of each pair: about as many pairs of neighbouring gaps in each, (pair,)."""
    if not len(pairs.gap):
        return np.zeros(0, dtype=np.intp)
    edges = np.unique(np.quantile(pairs.gap, np.linspace(0, 1, BINS + 1)))
    place = np.searchsorted(edges, pairs.gap, side="right") - 1
    return np.asarray(np.clip(place, 0, max(len(edges) - 2, 0)), dtype=np.intp)


def _gap(pairs: _Pairs, place: Codes, count: npt.NDArray[np.integer] | None = None) -> float:
    """Maximum-likelihood gap from pairs in bins, each counted `count` times; NaN without pairs."""
    if not len(pairs.gap) or (count is not None and not count.any()):
        return math.nan
    weight = np.ones(len(pairs.gap)) if count is None else count.astype(np.float64)
    total = np.bincount(place, weight)
    gap = np.bincount(place, weight * pairs.gap) / np.maximum(total, SAME)
    right = np.bincount(place, weight * pairs.right)

    def loss(log_sd: float) -> float:
        score = gap / math.exp(log_sd)
        return -float(right @ special.log_ndtr(score) + (total - right) @ special.log_ndtr(-score))

    low = math.log(gap[total > 0].min() / MAX_SD)
    found = scipy.optimize.minimize_scalar(loss, bounds=(low, math.log(MAX_SD)), method="bounded")
    return float(math.exp(found.x) * special.ndtri(ORDERED))


OUTSIDE: Final = "outside_calibration"
MISSING: Final = "missing_items"
NO_ANSWERS: Final = "no_answers"
FLAG_PROBABILITY: Final = 0.5  # a model is flagged if its ability is outside the range with a higher probability
FLAGS: Final = {
    OUTSIDE: "the ability is outside the range of the calibration models: the estimate is an extrapolation, its "
    "interval is wider, and ridge and spline give no interval",
    MISSING: "items of the subset have no answer: their share is estimated, and the interval is wider",
    NO_ANSWERS: "the model answered no item of the subset",
}
COLUMNS: Final = ("estimate", "q05", "q95", "ability", "ability_sd", "n_items", "n_missing", "flags")


def estimate_full_score(counts: Responses, subset: SubsetRecord) -> pd.DataFrame:
    """Estimate the full score of each model from its answers to a subset.

    Items are matched by label, and by the hash of their document where it is known; others are ignored. The share of
    missing answers is estimated by the IRT model.

    Returns
    -------
    pd.DataFrame
        Indexed by model: ``estimate, q05, q95`` (full score in [0, 1] and its central 90% interval), ``ability,
        ability_sd`` (posterior mean and sd, in sds of the calibration models), ``n_items`` (of the subset, answered),
        ``n_missing``, ``flags`` (of `FLAGS`, joined by ';'). A model without answers has NaN for all but the counts.

    Raises
    ------
    SubsetError
        If no item of the subset is among the responses; if the answers are fractional scores, but the calibration used
        right and wrong answers; or if they were read by another metric or filter than those of the calibration.
    """
    counts = as_counts(counts)
    answers = _answers(counts, subset)
    scorer = scorer_of(subset)
    answered = answers.asked.any(axis=1)
    if not answered.any():
        raise SubsetError(f"none of the {counts.n_models} models has an answer to the subset of {subset.benchmark!r}.")
    summary = summarise_responses(scorer, answers.take(models=answered))
    numbers = subset.numbers
    errors = replace(UNKNOWN_ERRORS, misfit_sd=numbers.misfit_sd, interval_scale=numbers.interval_scale)
    abler = UNKNOWN_ERRORS
    if numbers.abler_scale is not None and numbers.abler_misfit_sd is not None:
        abler = replace(UNKNOWN_ERRORS, misfit_sd=numbers.abler_misfit_sd, interval_scale=numbers.abler_scale)
    few, limits = subset.calibration.n_models < FEW_MODELS, subset.calibration.ability_range
    context = ScoringContext(scorer.nodes, limits, subset.n_items_full, scorer.targets.min(), few)
    scored = estimate_with_interval(subset.estimator, summary, _learned(numbers), (errors, abler), context)
    table = pd.DataFrame(np.nan, index=counts.models.index.rename(MODEL), columns=list(COLUMNS[:5]))
    found = [np.where(scored.refused, np.nan, scored.estimate), scored.q05, scored.q95]
    found += [summary.ability, summary.ability_sd]
    table.loc[answered] = np.stack(found, axis=1)
    table["n_items"] = answers.asked.sum(axis=1)
    table["n_missing"] = subset.size - table["n_items"]
    outside = np.zeros(len(table), dtype=np.bool_)
    outside[answered] = scored.outside
    table["flags"] = _flags(table, outside)
    return table


class ScoringContext(NamedTuple):
    """Nodes and calibrated range of ability, number of items of the benchmark, and smallest share of an item."""

    nodes: FloatArray
    ability_range: tuple[float, float]
    n_items: int
    step: float
    few: bool = False  # calibration models, too few for intervals from their errors


class FullScoreEstimates(NamedTuple):
    """Full scores with their central 90% intervals, arrays of shape (model,)."""

    estimate: FloatArray
    q05: FloatArray
    q95: FloatArray
    outside: npt.NDArray[np.bool_]  # whether the ability is outside the calibrated range, more likely than not
    refused: npt.NDArray[np.bool_]  # outside, and the estimator does not extrapolate: no interval


def estimate_with_interval(
    name: str,
    summary: ResponseSummary,
    learned: LearnedParameters,
    errors: tuple[HeldOutErrors, HeldOutErrors],
    context: ScoringContext,
) -> FullScoreEstimates:
    """Estimate full scores with intervals by an estimator.

    `errors` are those on held-out models: within the calibrated range of abilities, and on abler models.
    """
    estimator, prediction = estimator_of(name), prediction_of(summary)
    within, abler = errors
    found, probability = estimate(name, summary, learned), prediction.outside(context.nodes, *context.ability_range)
    low, high = interval_limits(
        found,
        estimator.variance(summary, learned),
        misfit_sd=within.misfit_sd,
        scale=within.interval_scale,
        step=context.step,
        within=possible_range(summary),
        outside=extrapolation_of(prediction, np.maximum(probability, context.few), context.n_items, abler),
    )
    outside = probability > FLAG_PROBABILITY
    refused = outside & (not estimator.extrapolates)
    return FullScoreEstimates(found, np.where(refused, np.nan, low), np.where(refused, np.nan, high), outside, refused)


def _answers(counts: ResponseCounts, subset: SubsetRecord) -> ResponseCounts:
    """Answers to the items of the subset, in the order of the subset; items not asked have no trials."""
    if counts.measure != subset.calibration.measure == "correct":
        raise SubsetError(
            "the responses are fractional scores; the subset was calibrated on right and wrong answers. Choose another "
            "metric when reading them: metric='NAME'."
        )
    places = _places_of_items(counts.items, subset)
    known = places >= 0
    ids = np.full(counts.n_items, None, dtype=object)
    ids[places[known]] = np.array(subset.ids, dtype=object)[known]
    check_same_metric_and_filter(counts.items, ids, subset)
    if not known.any():
        raise SubsetError(
            f"none of the {subset.size} items of the subset is among the {counts.n_items} of the responses; the subset "
            f"has {subset.ids[0]!r}, the responses {str(counts.items.index[0])!r}. Is it the same benchmark, and the "
            "same revision of its documents?"
        )
    correct, trials = (
        np.where(known, array[:, np.where(known, places, 0)], 0) for array in (counts.correct, counts.trials)
    )
    items = pd.DataFrame(index=pd.Index(subset.ids, name="item", dtype="str"))
    return ResponseCounts(correct, trials, counts.models, items, counts.benchmark, counts.measure)


def _places_of_items(items: pd.DataFrame, subset: SubsetRecord) -> npt.NDArray[np.intp]:
    """Find the items of the subset among the responses by label; -1 where an item is not there.

    Where the hashes of documents are known they decide: another revision of a benchmark may number documents otherwise.
    """
    places = np.asarray(items.index.astype("str").get_indexer(pd.Index(subset.ids, dtype="str")), dtype=np.intp)
    wanted = np.array([bare_hash(item.doc_hash) if item.doc_hash else None for item in subset.items], dtype=object)
    if names.DOC_HASH not in items or not any(wanted):
        return places
    given = [bare_hash(str(text)) if pd.notna(text) else None for text in items[names.DOC_HASH]]
    logged = np.array([*given, None], dtype=object)  # the last place is that of items that are not there
    here = logged[places]
    other = pd.notna(wanted) & ((places < 0) | (pd.notna(here) & (here != wanted)))
    if other.any():
        by_hash = pd.Series(range(len(given)), index=pd.Index(given, dtype=object))
        by_hash = by_hash[by_hash.index.notna() & ~by_hash.index.duplicated(keep=False)]
        places[other] = by_hash.reindex(wanted[other]).fillna(-1).to_numpy(dtype=np.intp)
    return places


def check_same_metric_and_filter(items: pd.DataFrame, ids: Iterable[object], subset: SubsetRecord) -> None:
    """Check that answers were read by the metric and the filter of the calibration, where both are known.

    `ids` has the id of each row in the subset, and any other value for items outside it.

    Raises
    ------
    SubsetError
        If they differ; names both, and the first item.
    """
    places = pd.Index(subset.ids, dtype="object").get_indexer(pd.Index(list(ids), dtype="object"))
    for name in (METRIC, FILTER):
        if name not in items:
            continue
        calibrated = np.array([*(getattr(item, name) for item in subset.items), None], dtype=object)[places]
        read = items[name].to_numpy(dtype=object)
        differ = np.asarray(pd.notna(calibrated) & pd.notna(read) & (read != calibrated), dtype=bool)
        if differ.any():
            first = int(np.argmax(differ))
            raise SubsetError(
                f"the answers were read by {name} {str(read[first])!r}, and the subset was calibrated on "
                f"{name} {calibrated[first]!r} (first item {subset.ids[places[first]]!r}); read them by the latter."
            )


def _learned(numbers: EstimatorParameters) -> LearnedParameters:
    coefficients: FloatArray = np.array(numbers.coefficients, dtype=np.float64)
    variances = numbers.residual_variance, numbers.unseen_variance
    spline = None
    if numbers.spline is not None:
        spline = SplineTables(*(np.array(getattr(numbers.spline, name)) for name in SplineTables._fields))
    return LearnedParameters(numbers.weighted_share, numbers.intercept, coefficients, spline, *variances)


def _flags(table: pd.DataFrame, outside: npt.NDArray[np.bool_]) -> list[str]:
    raised = {OUTSIDE: outside, MISSING: table["n_missing"] > 0, NO_ANSWERS: table["n_items"] == 0}
    marks = zip(*(np.asarray(raised[name]).tolist() for name in FLAGS), strict=True)
    return [";".join(name for name, up in zip(FLAGS, row, strict=True) if up) for row in marks]
