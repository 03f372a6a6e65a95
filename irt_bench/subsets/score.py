"""Score: from answers to a subset to the full score, with an interval, an ability, and flags.

Intervals of the estimated full score, and the smallest gap between two models that a subset orders rightly.

*Models like those of the calibration.* The IRT model says how far the full score may be from an estimate, given the
answers: ability, item parameters and answers not seen. What held-out models scatter beyond that is misfit, the same for
all models. The interval is the estimate -+ scale x sd, with the scale at which 90% of the held-out models are covered
(split conformal prediction over cross-validation folds), so that it holds for estimators that the IRT model knows
nothing of, too.

*Models outside the range of the calibration's abilities.* What holds for models alike says nothing of them. The
half-width is the largest of four: the one above; the same learned by calibrating on the weaker half of the calibration
models and scoring the strongest (`ABLER`); t x the sd of a mean of as many randomly chosen items, from the scatter of
the model's own residuals, which rests on no IRT model; and 1.645 x the sd that the IRT model expects. Between the two
kinds goes the posterior probability that the ability lies outside the range.

The smallest gap between the full scores of two models that a subset orders rightly, 8 times in 10.

A pair of held-out models whose full scores lie g apart is taken to be ordered rightly with probability Phi(g / s):
exact where the difference of two estimates errs normally with sd s. s is found by maximum likelihood from which pairs
were ordered rightly, and the gap is s Phi^-1(0.8). Beside it stands the same for plain means of as many random items.

References
----------
.. [1] arXiv 2510.08730 asks for the gap (minimum detectable ability difference) and finds that about 250 items are
   needed where models are 2 to 3 points apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize, special, stats

from irt_bench.analysis.intervals import Z_LIMIT
from irt_bench.arrays import FloatArray
from irt_bench.errors import SubsetError
from irt_bench.names import INTERVAL, MODEL
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.table import FILTER, METRIC
from irt_bench.subsets.basis import filled_shares
from irt_bench.subsets.clusters import Labels
from irt_bench.subsets.estimators import LearnedParameters, estimate, estimator_of, possible_range
from irt_bench.subsets.scorer import Prediction, ResponseSummary, scorer_of, summarise_responses
from irt_bench.subsets.subset import EstimatorParameters, SubsetRecord

COVERAGE = INTERVAL[1] - INTERVAL[0]
N_RESAMPLES: Final = 1000  # of clusters, for intervals of expected errors
RESAMPLING_SEED: Final = 20240522


class ExpectedError(NamedTuple):
    """An error expected of new models with its central 90% interval, in [0, 1]; NaN where nothing tells it."""

    value: float
    q05: float
    q95: float


class HeldOutErrors(NamedTuple):
    """Errors of an estimator on models held out, and what they say of new ones."""

    mean_absolute: ExpectedError
    root_mean_square: ExpectedError
    mean: float
    misfit_sd: float
    interval_scale: float
    mean_half_width: float  # of the intervals of these models


_NOT_KNOWN = ExpectedError(math.nan, math.nan, math.nan)
UNKNOWN_ERRORS: Final = HeldOutErrors(_NOT_KNOWN, _NOT_KNOWN, math.nan, math.nan, math.nan, math.nan)


def held_out_errors(error: FloatArray, variance: FloatArray, clusters: Labels | None = None) -> HeldOutErrors:
    """Summarise errors of held-out models.

    Parameters
    ----------
    error, variance : arrays of shape (model,)
        Estimate minus full score, and the variance that the IRT model expects of it.
    clusters : array of str, shape (model,), optional
        Clusters that are resampled for the intervals of the errors; each model by itself by default.

    Notes
    -----
    The misfit variance is the mean squared error beyond the mean expected variance, not below 0. The scale is the
    0.9 (n + 1)-th smallest |error| / sd, interpolated, which covers new exchangeable models with 90%; the largest where
    there are fewer than 9 models. Departs from Lei et al. (2018, DOI 10.1080/01621459.2017.1307116), who round up, so
    that few models do not make all intervals too wide.
    """
    misfit = max(0.0, float((error**2).mean() - variance.mean()))
    sd = np.sqrt(variance + misfit)
    ratio = np.abs(error) / np.maximum(sd, np.finfo(np.float64).tiny)
    scale = float(np.quantile(ratio, COVERAGE, method="weibull")) if sd.any() else 0.0
    absolute, square = _resampled(np.stack([np.abs(error), error**2]), clusters)
    return HeldOutErrors(
        mean_absolute=absolute,
        root_mean_square=ExpectedError(*(math.sqrt(value) for value in square)),
        mean=float(error.mean()),
        misfit_sd=math.sqrt(misfit),
        interval_scale=scale,
        mean_half_width=scale * float(sd.mean()),
    )


def _resampled(values: FloatArray, clusters: Labels | None) -> list[ExpectedError]:
    """Mean of each row with the quantiles of its mean over resampled clusters; NaN limits with one cluster."""
    codes = np.arange(values.shape[1]) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    n_clusters = int(codes.max()) + 1
    sums, sizes = np.array([np.bincount(codes, row) for row in values]), np.bincount(codes)
    if n_clusters == 1:
        return [ExpectedError(float(mean), math.nan, math.nan) for mean in values.mean(axis=1)]
    rng = np.random.default_rng(RESAMPLING_SEED)
    drawn = rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=N_RESAMPLES)
    low, high = np.quantile(drawn @ sums.T / (drawn @ sizes)[:, None], INTERVAL, axis=0)
    return [ExpectedError(*map(float, each)) for each in zip(values.mean(axis=1), low, high, strict=True)]


class Extrapolation(NamedTuple):
    """What widens the intervals of models outside the calibration's range of abilities, arrays of shape (model,)."""

    probability: FloatArray  # of being outside
    design_sd: FloatArray  # of a mean over randomly chosen items, from the scatter of the model's residuals
    quantile: FloatArray  # of Student's t behind it
    misfit_sd: float  # found on abler models; NaN where there were too few to find it
    scale: float


def extrapolation_of(
    prediction: Prediction, probability: FloatArray, n_items: int, abler: HeldOutErrors
) -> Extrapolation:
    """Say what widens intervals of models outside; `n_items` is the number of items of the full benchmark."""
    asked = prediction.asked.sum(axis=1)
    mean = prediction.residuals.sum(axis=1) / np.maximum(asked, 1)
    squares = ((prediction.residuals - mean[:, None]) ** 2 * prediction.asked).sum(axis=1)
    free = np.maximum(asked - 1, 1)
    design = np.where(asked > 1, (1 - asked / n_items) * squares / free / np.maximum(asked, 1), np.inf)
    quantile = stats.t.ppf(INTERVAL[1], free)
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
    """Lower and upper limits of the 90% interval, kept within what the answers leave possible.

    Full scores are about `step`, one item's share, apart: an interval narrower than that could hold none of them.
    """
    half = scale * np.sqrt(variance + misfit_sd**2)
    if outside is not None:
        abler = outside.scale * np.sqrt(variance + outside.misfit_sd**2)
        design = outside.quantile * outside.design_sd
        wide = np.fmax.reduce([half, abler, design, Z_LIMIT * np.sqrt(variance)])  # NaN: not known
        share = outside.probability
        half = np.where(share > 0, (1 - share) * half + share * np.minimum(wide, 1), half)
    half = np.maximum(half, step / 2)
    low, high = within
    half = np.where(high - low > 0, half, 0)  # nothing is left to estimate
    return np.clip(estimate - half, low, high), np.clip(estimate + half, low, high)


ORDERED: Final = 0.8  # share of pairs that are to be ordered rightly
N_RANDOM: Final = 20  # random subsets per fold
GAP_RESAMPLES: Final = 200  # of clusters
SEED: Final = 20251008
WIDEST: Final = 100.0  # of s: pairs ordered no better than by chance at any gap
MAX_PAIRS: Final = 20_000  # per fold
BINS: Final = 200  # of like gaps, in which pairs are counted
SAME: Final = 1e-12  # scores no further apart are equal but for rounding

Codes = npt.NDArray[np.intp]


class GapEstimate(NamedTuple):
    """Smallest gap ordered rightly with 80%, its central 90% interval, and that of random items; in [0, 1] or NaN."""

    value: float
    q05: float
    q95: float
    random: float


class HeldOutScores(NamedTuple):
    """Models held out in cross-validation, a list entry per fold; pairs are of one fold, asked the same items."""

    estimates: list[FloatArray]  # of the full score, shape (model,)
    truths: list[FloatArray]
    clusters: list[Labels]
    responses: list[ResponseCounts]


class _Pairs(NamedTuple):
    """Pairs of models whose full scores differ, arrays of shape (pair,)."""

    gap: FloatArray  # of full scores
    right: FloatArray  # 1 where the estimates are ordered alike, 1/2 where they tie, else 0
    first: Codes  # clusters
    second: Codes


def orderable_gap(scores: HeldOutScores, size: int) -> GapEstimate:
    """Find the smallest gap that is ordered rightly with 80%.

    Parameters
    ----------
    scores : HeldOutScores
        Estimates of models held out beside their full scores.
    size : int
        Number of items of the subset, for the random ones beside it.
    """
    names = np.unique(np.concatenate(scores.clusters))
    codes = [np.searchsorted(names, part) for part in scores.clusters]
    rng = np.random.default_rng(SEED)
    own = _joined([_pairs(*each, rng=rng) for each in zip(scores.estimates, scores.truths, codes, strict=True)])
    spread = np.full(1, math.nan)
    if len(names) > 1:
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=GAP_RESAMPLES)
        spread = np.array([_gap(own, weights[own.first] * weights[own.second]) for weights in drawn])
    known = spread[~np.isnan(spread)]
    low, high = np.quantile(known, INTERVAL) if len(known) else (math.nan, math.nan)
    means = []
    for fold, truth, code in zip(scores.responses, scores.truths, codes, strict=True):
        shares = filled_shares(fold)
        for _ in range(N_RANDOM):
            chosen = rng.choice(shares.shape[1], size, replace=False)
            means.append(_pairs(shares[:, chosen].mean(axis=1), truth, code, rng=rng))
    return GapEstimate(_gap(own), float(low), float(high), _gap(_joined(means)))


def _pairs(estimate: FloatArray, truth: FloatArray, codes: Codes, *, rng: np.random.Generator) -> _Pairs:
    """All pairs of a fold, or as many drawn at random where there are more than `MAX_PAIRS`."""
    first, second = np.triu_indices(len(truth), 1)
    if len(first) > MAX_PAIRS:
        drawn = rng.choice(len(first), MAX_PAIRS, replace=False)
        first, second = first[drawn], second[drawn]
    gap = truth[first] - truth[second]
    kept = np.abs(np.nan_to_num(gap)) > SAME
    first, second, gap = first[kept], second[kept], gap[kept]
    ahead = estimate[first] - estimate[second]
    right = np.where(np.abs(ahead) > SAME, 0.5 + 0.5 * np.sign(ahead) * np.sign(gap), 0.5)
    return _Pairs(np.abs(gap), right, codes[first], codes[second])


def _joined(parts: list[_Pairs]) -> _Pairs:
    return _Pairs(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _gap(pairs: _Pairs, count: npt.NDArray[np.integer] | None = None) -> float:
    """Gap by maximum likelihood, from pairs in bins of like gaps; pairs may count several times. NaN without pairs."""
    if not len(pairs.gap) or (count is not None and not count.any()):
        return math.nan
    weight = np.ones(len(pairs.gap)) if count is None else count.astype(np.float64)
    edges = np.unique(np.quantile(pairs.gap, np.linspace(0, 1, BINS + 1)))
    place = np.clip(np.searchsorted(edges, pairs.gap, side="right") - 1, 0, max(len(edges) - 2, 0))
    total = np.bincount(place, weight)
    gap = np.bincount(place, weight * pairs.gap) / np.maximum(total, SAME)
    right = np.bincount(place, weight * pairs.right)

    def loss(log_sd: float) -> float:
        score = gap / math.exp(log_sd)
        return -float(right @ special.log_ndtr(score) + (total - right) @ special.log_ndtr(-score))

    low = math.log(gap[total > 0].min() / WIDEST)
    found = optimize.minimize_scalar(loss, bounds=(low, math.log(WIDEST)), method="bounded")
    return float(math.exp(found.x) * special.ndtri(ORDERED))


OUTSIDE: Final = "outside_calibration"
MISSING: Final = "missing_items"
NO_ANSWERS: Final = "no_answers"
FLAG_PROBABILITY: Final = 0.5  # probability of lying outside the range from which on a model is flagged
FLAGS: Final = {
    OUTSIDE: "the ability lies beyond those of all calibration models: the estimate extrapolates, its interval is "
    "wider, and ridge and spline give none",
    MISSING: "items of the subset have no answer: their share is estimated, and the interval is wider",
    NO_ANSWERS: "nothing can be said",
}
COLUMNS: Final = ("estimate", "q05", "q95", "ability", "ability_sd", "n_items", "n_missing", "flags")


def estimate_full_score(counts: Responses, subset: SubsetRecord) -> pd.DataFrame:
    """Estimate the full score of each model from its answers to a subset.

    Parameters
    ----------
    counts : ResponseCounts, or what `as_counts` takes
        Answers; items are joined to the subset's by label, those that are not in it are left aside. Cells never asked,
        and items of the subset that `counts` lack, are missing answers: their share is estimated by the IRT model.
    subset : SubsetRecord
        Items and what was learned from calibration models.

    Returns
    -------
    pd.DataFrame
        Indexed by model: ``estimate, q05, q95`` (full score in [0, 1] and its central 90% interval), ``ability,
        ability_sd`` (posterior mean and sd, in sds of the calibration models), ``n_items`` (of the subset, answered),
        ``n_missing``, ``flags`` (of `FLAGS`, joined by ';'). A model without answers has NaN for all but the counts.

    Raises
    ------
    SubsetError
        If no item of the subset is among the responses, the answers are fractional scores and the calibration's were
        right or wrong, or they were read by another metric or filter.
    """
    counts = as_counts(counts)
    answers = _answers(counts, subset)
    scorer = scorer_of(subset)
    answered = answers.asked.any(axis=1)
    if not answered.any():
        raise SubsetError(
            f"none of the {counts.n_models} models has an answer to an item of the subset of {subset.benchmark!r}."
        )
    summary = summarise_responses(scorer, answers.take(models=answered))
    numbers = subset.numbers
    errors = UNKNOWN_ERRORS._replace(misfit_sd=numbers.misfit_sd, interval_scale=numbers.interval_scale)
    abler = UNKNOWN_ERRORS
    if numbers.abler_scale is not None and numbers.abler_misfit_sd is not None:
        abler = UNKNOWN_ERRORS._replace(misfit_sd=numbers.abler_misfit_sd, interval_scale=numbers.abler_scale)
    context = ScoringContext(scorer.nodes, subset.calibration.ability_range, subset.n_items_full, scorer.targets.min())
    scored = estimate_with_interval(subset.estimator, summary, _learned(numbers), (errors, abler), context)
    ability_sd = summary.abilities["ability_sd"].to_numpy(dtype=np.float64)
    table = pd.DataFrame(np.nan, index=counts.models.index.rename(MODEL), columns=list(COLUMNS[:5]))
    found = [np.where(scored.refused, np.nan, scored.estimate), scored.q05, scored.q95, summary.ability, ability_sd]
    table.loc[answered] = np.stack(found, axis=1)
    table["n_items"] = answers.asked.sum(axis=1)
    table["n_missing"] = subset.size - table["n_items"]
    outside = np.zeros(len(table), dtype=np.bool_)
    outside[answered] = scored.outside
    table["flags"] = _flags(table, outside)
    return table


class ScoringContext(NamedTuple):
    """Nodes and range of ability, number of items of the full benchmark, and the least share of one of them."""

    nodes: FloatArray
    ability_range: tuple[float, float]
    n_items: int
    step: float


class FullScoreEstimates(NamedTuple):
    """Full scores with their central 90% intervals, arrays of shape (model,)."""

    estimate: FloatArray
    q05: FloatArray
    q95: FloatArray
    outside: npt.NDArray[np.bool_]  # the ability lies outside the calibration's range, more likely than not
    refused: npt.NDArray[np.bool_]  # the estimator does not speak of such models, and has no interval for them


def estimate_with_interval(
    name: str,
    summary: ResponseSummary,
    learned: LearnedParameters,
    errors: tuple[HeldOutErrors, HeldOutErrors],
    context: ScoringContext,
) -> FullScoreEstimates:
    """Estimate full scores with intervals.

    Parameters
    ----------
    name : str
        Estimator, in `ESTIMATORS`.
    evidence, learned : ResponseSummary, LearnedParameters
        What the answers say, and what the estimator took from calibration models.
    errors : (Errors, HeldOutErrors)
        On models held out: like those of the calibration, and abler.
    about : ScoringContext
        Of the benchmark and its calibration.
    """
    estimator, prediction = estimator_of(name), summary.prediction
    if prediction is None:
        raise SubsetError("evidence of several subsets was joined; full scores are estimated from one.")
    alike, abler = errors
    found, probability = estimate(name, summary, learned), prediction.outside(context.nodes, *context.ability_range)
    low, high = interval_limits(
        found,
        estimator.variance(summary, learned),
        misfit_sd=alike.misfit_sd,
        scale=alike.interval_scale,
        step=context.step,
        within=possible_range(summary),
        outside=extrapolation_of(prediction, probability, context.n_items, abler),
    )
    outside = probability > FLAG_PROBABILITY
    refused = outside & (not estimator.extrapolates)
    return FullScoreEstimates(found, np.where(refused, np.nan, low), np.where(refused, np.nan, high), outside, refused)


def _answers(counts: ResponseCounts, subset: SubsetRecord) -> ResponseCounts:
    """Answers to the items of the subset, in its order; items that were not asked have no trials."""
    if counts.measure != subset.calibration.measure == "correct":
        raise SubsetError(
            "the responses are fractional scores; the subset was calibrated on right and wrong answers. Choose another "
            "metric when reading them: metric='NAME'."
        )
    labels = counts.items.index.astype("str")
    check_same_metric_and_filter(counts.items, labels, subset)
    places = labels.get_indexer(pd.Index(subset.ids, dtype="str"))
    known = places >= 0
    if not known.any():
        raise SubsetError(
            f"none of the {subset.size} items of the subset is among the {counts.n_items} of the responses; the subset "
            f"has {subset.ids[0]!r}, the responses {str(counts.items.index[0])!r}. Is it the same benchmark?"
        )
    correct, trials = (
        np.where(known, array[:, np.where(known, places, 0)], 0) for array in (counts.correct, counts.trials)
    )
    items = pd.DataFrame(index=pd.Index(subset.ids, name="item", dtype="str"))
    return ResponseCounts(correct, trials, counts.models, items, counts.benchmark, counts.measure)


def check_same_metric_and_filter(items: pd.DataFrame, ids: Iterable[object], subset: SubsetRecord) -> None:
    """Refuse answers that were read by another metric or filter than the calibration's, where both are known.

    Parameters
    ----------
    items : pd.DataFrame
        Metadata of items; columns ``metric`` and ``filter`` where the responses name them.
    ids : iterable
        Id in the subset of each row; any other value for items that are not in it.
    subset : SubsetRecord
        Whose items name the metric and the filter of the calibration.

    Raises
    ------
    SubsetError
        Naming both readings, and the first item.
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
                f"{name} {calibrated[first]!r} (first item {subset.ids[places[first]]!r}); read them by that one."
            )


def _learned(numbers: EstimatorParameters) -> LearnedParameters:
    coefficients: FloatArray = np.array(numbers.coefficients, dtype=np.float64)
    variances = numbers.residual_variance, numbers.unseen_variance
    return LearnedParameters(numbers.weighted_share, numbers.intercept, coefficients, numbers.spline, *variances)


def _flags(table: pd.DataFrame, outside: npt.NDArray[np.bool_]) -> list[str]:
    raised = {OUTSIDE: outside, MISSING: table["n_missing"] > 0, NO_ANSWERS: table["n_items"] == 0}
    marks = zip(*(np.asarray(raised[name]).tolist() for name in FLAGS), strict=True)
    return [";".join(name for name, up in zip(FLAGS, row, strict=True) if up) for row in marks]
