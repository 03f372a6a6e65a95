"""Score: from answers to a subset to the full score, with an interval, an ability, and flags."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.arrays import FloatArray
from irt_bench.errors import SubsetError
from irt_bench.names import MODEL
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.table import FILTER, METRIC
from irt_bench.subsets.estimators import Learned, estimate, estimator_of, possible
from irt_bench.subsets.score_intervals import UNKNOWN, Errors, limits, outside_of
from irt_bench.subsets.scorer import Evidence, instrument_of, read_answers
from irt_bench.subsets.subset import EstimatorNumbers, SubsetRecord

OUTSIDE: Final = "outside_calibration"
MISSING: Final = "missing_items"
NO_ANSWERS: Final = "no_answers"
MOST_LIKELY: Final = 0.5  # probability of lying outside the range from which on a model is flagged
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
    instrument = instrument_of(subset)
    answered = answers.asked.any(axis=1)
    if not answered.any():
        raise SubsetError(
            f"none of the {counts.n_models} models has an answer to an item of the subset of {subset.benchmark!r}."
        )
    evidence = read_answers(instrument, answers.take(models=answered))
    numbers = subset.numbers
    errors = UNKNOWN._replace(misfit_sd=numbers.misfit_sd, interval_scale=numbers.interval_scale)
    abler = UNKNOWN
    if numbers.abler_scale is not None and numbers.abler_misfit_sd is not None:
        abler = UNKNOWN._replace(misfit_sd=numbers.abler_misfit_sd, interval_scale=numbers.abler_scale)
    about = Scale(instrument.nodes, subset.calibration.ability_range, subset.n_items_full, instrument.targets.min())
    scored = score_evidence(subset.estimator, evidence, _learned(numbers), (errors, abler), about)
    ability_sd = evidence.abilities["ability_sd"].to_numpy(dtype=np.float64)
    table = pd.DataFrame(np.nan, index=counts.models.index.rename(MODEL), columns=list(COLUMNS[:5]))
    found = [np.where(scored.refused, np.nan, scored.estimate), scored.q05, scored.q95, evidence.ability, ability_sd]
    table.loc[answered] = np.stack(found, axis=1)
    table["n_items"] = answers.asked.sum(axis=1)
    table["n_missing"] = subset.size - table["n_items"]
    outside = np.zeros(len(table), dtype=np.bool_)
    outside[answered] = scored.outside
    table["flags"] = _flags(table, outside)
    return table


class Scale(NamedTuple):
    """Nodes and range of ability, number of items of the full benchmark, and the least share of one of them."""

    nodes: FloatArray
    ability_range: tuple[float, float]
    n_items: int
    step: float


class Scored(NamedTuple):
    """Full scores with their central 90% intervals, arrays of shape (model,)."""

    estimate: FloatArray
    q05: FloatArray
    q95: FloatArray
    outside: npt.NDArray[np.bool_]  # the ability lies outside the calibration's range, more likely than not
    refused: npt.NDArray[np.bool_]  # the estimator does not speak of such models, and has no interval for them


def score_evidence(
    name: str, evidence: Evidence, learned: Learned, errors: tuple[Errors, Errors], about: Scale
) -> Scored:
    """Estimate full scores with intervals.

    Parameters
    ----------
    name : str
        Estimator, in `ESTIMATORS`.
    evidence, learned : Evidence, Learned
        What the answers say, and what the estimator took from calibration models.
    errors : (Errors, Errors)
        On models held out: like those of the calibration, and abler.
    about : Scale
        Of the benchmark and its calibration.
    """
    estimator, prediction = estimator_of(name), evidence.prediction
    if prediction is None:
        raise SubsetError("evidence of several subsets was joined; full scores are estimated from one.")
    alike, abler = errors
    found, probability = estimate(name, evidence, learned), prediction.outside(about.nodes, *about.ability_range)
    low, high = limits(
        found,
        estimator.variance(evidence, learned),
        misfit_sd=alike.misfit_sd,
        scale=alike.interval_scale,
        step=about.step,
        within=possible(evidence),
        outside=outside_of(prediction, probability, about.n_items, abler),
    )
    outside = probability > MOST_LIKELY
    refused = outside & (not estimator.extrapolates)
    return Scored(found, np.where(refused, np.nan, low), np.where(refused, np.nan, high), outside, refused)


def _answers(counts: ResponseCounts, subset: SubsetRecord) -> ResponseCounts:
    """Answers to the items of the subset, in its order; items that were not asked have no trials."""
    if counts.measure != subset.calibration.measure == "correct":
        raise SubsetError(
            "the responses are fractional scores; the subset was calibrated on right and wrong answers. Choose another "
            "metric with --metric."
        )
    labels = counts.items.index.astype("str")
    check_same_reading(counts.items, labels, subset)
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


def check_same_reading(items: pd.DataFrame, ids: Iterable[object], subset: SubsetRecord) -> None:
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


def _learned(numbers: EstimatorNumbers) -> Learned:
    coefficients: FloatArray = np.array(numbers.coefficients, dtype=np.float64)
    variances = numbers.residual_variance, numbers.unseen_variance
    return Learned(numbers.weighted_share, numbers.intercept, coefficients, numbers.spline, *variances)


def _flags(table: pd.DataFrame, outside: npt.NDArray[np.bool_]) -> list[str]:
    raised = {OUTSIDE: outside, MISSING: table["n_missing"] > 0, NO_ANSWERS: table["n_items"] == 0}
    marks = zip(*(np.asarray(raised[name]).tolist() for name in FLAGS), strict=True)
    return [";".join(name for name, up in zip(FLAGS, row, strict=True) if up) for row in marks]
