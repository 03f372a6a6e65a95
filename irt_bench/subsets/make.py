"""Make subsets: of a given size, of the smallest size with a target error, or as two disjoint parallel forms."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import partial
from importlib.metadata import version
from typing import Final

import numpy as np
import pandas as pd

from irt_bench.analysis.labelled_draws import refuse_populations
from irt_bench.errors import FitWarning, SubsetError, SubsetWarning, unknown_choice
from irt_bench.inference.draws import check_responses
from irt_bench.inference.fit import FitResult
from irt_bench.irt_models.logistic import OnePL, TwoPL
from irt_bench.irt_models.model import SCORE_MODEL, IRTModel
from irt_bench.names import DIMENSION, DOC_HASH, SUBTASK
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.labels import model_clusters
from irt_bench.responses.table import DOC_ID, FILTER, METRIC, PROMPT_HASH, ResponseTable
from irt_bench.subsets.basis import Selection, SelectionBasis, balanced_targets
from irt_bench.subsets.calibration import (
    FAILED_CHECKS,
    CalibratedSubset,
    Calibration,
    CalibrationPlan,
    Recipe,
    calibrate,
    chosen_items,
    fold_settings,
    prepare,
)
from irt_bench.subsets.estimators import ESTIMATORS, LearnedParameters, estimator_of
from irt_bench.subsets.score import FEW_MODELS, ExpectedError, GapEstimate, HeldOutErrors, orderable_gap
from irt_bench.subsets.select import SELECTORS, WEIGHTINGS, item_number
from irt_bench.subsets.subset import (
    AblerErrors,
    CalibrationRecord,
    EstimatorParameters,
    SmallestGap,
    Spline,
    SubsetItem,
    SubsetRecord,
    UnseenItems,
)
from irt_bench.workers import Progress

# On the five benchmarks of `tests/benchmarks/shift.py`, the defaults have the smallest error, or one within noise of
# it, for models like the calibration models and for abler models. Regressions on the answers (p_irt_ridge, spline) are
# as good for the former, but have errors of 10 to 20 points for the latter. Choosing the recipe of each benchmark by
# its held-out error was no better on average, and the error of the best of six recipes is underestimated: on HumanEval
# with 100 items, its 90% intervals covered 77%.
MAX_TARGET_SE: Final = 0.5  # a share; above it percentage points are meant
DEFAULT_METHOD: Final = "anchors-proportional"
DEFAULT_ESTIMATOR: Final = "p_irt_residual"
OWN_WEIGHTS: Final = {"anchors": "anchor", "anchors-irt": "anchor"}  # of methods that compute weights


def default_choice(n_models: int) -> tuple[str, str]:
    """Names of the default method and estimator: random items and their mean where an IRT model has too few models."""
    return (DEFAULT_METHOD, DEFAULT_ESTIMATOR) if n_models >= FEW_MODELS else ("random", "weighted")


def default_weights(method: str) -> str:
    """Name of the default weights of a method."""
    return OWN_WEIGHTS.get(method, "equal")


def calibrated(
    counts: ResponseCounts,
    plan: CalibrationPlan,
    fit: FitResult | None = None,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Calibration:
    """Fit the items by a plan, or take the fit it was made with, and fit those of each fold."""
    posterior = None if fit is None else fit.posterior
    few = posterior is None and counts.n_models < FEW_MODELS
    if few:
        warnings.warn(
            f"{counts.n_models} models say too little about the items ({FEW_MODELS} do): by default, items are random "
            "and scored by their mean, and intervals hold for any new model. Of other methods that is not known.",
            SubsetWarning,
            stacklevel=3,
        )
    with warnings.catch_warnings():
        if few:
            warnings.simplefilter("ignore", FitWarning)  # said above
        clusters = np.array(counts.models.index, dtype=np.str_) if few else model_clusters(counts)
        calibration = prepare(counts, clusters, plan, seed=seed, posterior=posterior, progress=progress)
    if few:
        return calibration
    for name, message in calibration.whole.posterior.attrs.get(FAILED_CHECKS, {}).items():
        warnings.warn(
            f"check {name} of the calibration failed: {message}. Give a better fit as fit=..., such as one by NUTS.",
            FitWarning,
            stacklevel=3,
        )
    return calibration


def calibration_plan(
    counts: ResponseCounts,
    fit: FitResult | None = None,
    *,
    macro: bool = False,
    keep_negative: bool = False,
    ability_range: tuple[float, float] | None = None,
    seed: int = 0,
) -> CalibrationPlan:
    """Choose what to calibrate with; parameters are those of `irt_bench.make_subset`."""
    if macro and SUBTASK not in counts.items:
        raise SubsetError("macro needs subtasks, and the responses name none.")
    targets = balanced_targets(counts.items[SUBTASK].astype(str).to_numpy(np.str_)) if macro else None
    model: IRTModel = TwoPL()
    if fit is not None:
        check_responses(fit.responses, counts)
        if {SCORE_MODEL, DIMENSION} & {*fit.posterior.attrs, *fit.posterior.dims}:
            raise SubsetError(f"fit is of the model {fit.irt_model.name}; give one with one ability, a 1PL to 4PL.")
        refuse_populations(fit.posterior, "a subset")
        model = fit.irt_model
    elif counts.n_models < FEW_MODELS:  # few models say nothing of discriminations, and little of a hierarchy
        model = OnePL().with_independent_priors()
    settings = fold_settings(model, seed, None if fit is None else fit.settings)
    return CalibrationPlan(model, settings, targets, keep_negative, ability_range)


def check_names(methods: Iterable[str | None], weights: Iterable[str | None], estimators: Iterable[str | None]) -> None:
    """Check names before any expensive step; None is a default.

    Raises
    ------
    SubsetError
        If a name is not known.
    """
    for what, names, known in (
        ("method", methods, SELECTORS),
        ("weights", weights, WEIGHTINGS),
        ("estimator", estimators, ESTIMATORS),
    ):
        for name in names:
            if name is not None and name not in known:
                raise SubsetError(unknown_choice(what, name, known))


def make_subsets(
    calibration: Calibration,
    size: int,
    *,
    target_se: float | None = None,
    method: str | None = None,
    weights: str | None = None,
    estimator: str | None = None,
    two_forms: bool = False,
    seed: int = 0,
    hashes: pd.Series | None = None,
) -> list[SubsetRecord]:
    """Make the subset of a size, or the smallest one with a target error, or two forms; None is the default choice."""
    usual = default_choice(calibration.whole.counts.n_models)
    chosen, scored_by = method or usual[0], estimator or usual[1]
    recipe = Recipe(chosen, weights or default_weights(chosen), size, seed)
    if two_forms:
        return list(parallel_forms(calibration, recipe, estimator=scored_by, hashes=hashes))
    if target_se is not None:
        return [smallest_subset(calibration, recipe, target_se, estimator=scored_by, hashes=hashes)]
    return [make_subset(calibration, recipe, estimator=scored_by, hashes=hashes)]


def asked_number(size: float | None, n_items: int) -> int:
    """Turn a size into a number of items of a benchmark; 1 where there is none, as a target error is to find it.

    Raises
    ------
    SubsetError
        If there are fewer items.
    """
    number = 1 if size is None else item_number(size, n_items)
    if number > n_items:
        raise SubsetError(f"size {number} was asked for, of {n_items} items.")
    return number


MIN_SIZE: Final = 5  # the first size tried for a target error


def make_subset(
    calibration: Calibration, recipe: Recipe, *, estimator: str = DEFAULT_ESTIMATOR, hashes: pd.Series | None = None
) -> SubsetRecord:
    """Choose, weight and calibrate a subset; `hashes` are those of `prompt_hashes`.

    Raises
    ------
    SubsetError
        If a name is not known or the size is out of range.
    """
    estimator_of(estimator)
    found = calibrate(calibration, recipe, (estimator,))
    return _record(calibration, recipe, estimator, found, hashes)


def smallest_subset(
    calibration: Calibration,
    recipe: Recipe,
    target_se: float,
    *,
    estimator: str = DEFAULT_ESTIMATOR,
    hashes: pd.Series | None = None,
) -> SubsetRecord:
    """Make the smallest subset whose expected error is at most `target_se`; the size of the recipe is ignored.

    The expected error is the root mean square error on held-out calibration models (`SubsetRecord.expected_se`), which
    is valid for models like these. The size is found by doubling and bisection. This assumes that the error falls with
    the size, which is true except for noise.

    Raises
    ------
    SubsetError
        If `target_se` is out of range, or no subset smaller than the benchmark reaches it.
    """
    if not 0 < target_se < MAX_TARGET_SE:
        raise SubsetError(
            f"target_se is {target_se:g}; a share of the full score above 0 and below {MAX_TARGET_SE:g} is needed: "
            "0.02 is 2 points."
        )
    n_items = calibration.whole.counts.n_items
    most = n_items - 1  # with all items the error is 0
    estimator_of(estimator)

    def attempt(size: int) -> tuple[CalibratedSubset, bool]:
        found = calibrate(calibration, recipe._replace(size=size), (estimator,))
        return found, found.errors[estimator].root_mean_square.value <= target_se

    too_small, size = 0, min(MIN_SIZE, most)
    best, reached = attempt(size)
    while not reached and size < most:
        too_small, size = size, min(2 * size, most)
        best, reached = attempt(size)
    if not reached:
        raise SubsetError(
            f"even {most} of the {n_items} items have a predicted error of "
            f"{best.errors[estimator].root_mean_square.value:.4f}, above the target {target_se:g}. Raise the target, "
            "or give more calibration models."
        )
    while size - too_small > 1:
        middle = (size + too_small) // 2
        found, reached = attempt(middle)
        if reached:
            best, size = found, middle
        else:
            too_small = middle
    return _record(calibration, recipe._replace(size=size), estimator, best, hashes)


def parallel_forms(
    calibration: Calibration, recipe: Recipe, *, estimator: str = DEFAULT_ESTIMATOR, hashes: pd.Series | None = None
) -> tuple[SubsetRecord, SubsetRecord]:
    """Make two disjoint subsets by the same recipe, each with its size.

    The method chooses twice as many items. These are ordered by difficulty, and of each two neighbours one goes to each
    form. Weights and estimators are then computed for each form separately.

    Raises
    ------
    SubsetError
        If there are not twice as many items.
    """
    estimator_of(estimator)
    n_chosen = len(chosen_items(calibration.whole, recipe._replace(size=2 * recipe.size)).items)
    if n_chosen < 2 * recipe.size:
        raise SubsetError(
            f"two forms of {recipe.size} items need {2 * recipe.size}; there are {n_chosen} to choose from."
        )
    records = []
    for places in ((0, 3), (1, 2)):  # a b b a: otherwise one form would have the easier item of every pair
        found = calibrate(calibration, recipe, (estimator,), choose=partial(_form, recipe=recipe, places=places))
        records.append(_record(calibration, recipe, estimator, found, hashes))
    return records[0], records[1]


def _form(basis: SelectionBasis, recipe: Recipe, places: tuple[int, int]) -> Selection:
    """Items at two of every four places, among twice as many items as the recipe asks for, ordered by difficulty."""
    both = chosen_items(basis, recipe._replace(size=2 * recipe.size)).items
    mean = basis.item_means[both]
    rank = np.argsort(np.argsort(mean, kind="stable"), kind="stable")
    return Selection(both[np.isin(rank % 4, places)])


def prompt_hashes(table: ResponseTable) -> pd.Series | None:
    """Prompt hash of each item whose answers all have the same hash; None if the responses have no hashes."""
    if PROMPT_HASH not in table.answers:
        return None
    by_item = table.answers.groupby("item", observed=True)[PROMPT_HASH]
    distinct = by_item.nunique()
    return by_item.first()[distinct == 1].astype(str)


def _record(
    calibration: Calibration, recipe: Recipe, estimator: str, found: CalibratedSubset, hashes: pd.Series | None
) -> SubsetRecord:
    """Make the record of a calibrated subset."""
    basis, errors, scorer = calibration.whole, found.errors[estimator], found.scorer
    unseen = UnseenItems(
        ability=tuple(scorer.nodes.tolist()),
        score=tuple(scorer.unseen.tolist()),
        score_sd=tuple(scorer.unseen_sd.tolist()),
        answer_variance=tuple(scorer.answer_variance.tolist()),
    )
    return SubsetRecord(
        benchmark=basis.counts.benchmark,
        n_items_full=basis.counts.n_items,
        items=_items(calibration, found, hashes),
        size=len(scorer.items),
        method=recipe.method,
        weights=recipe.weights,
        estimator=estimator,
        seed=recipe.seed,
        expected_error=errors.mean_absolute.value,
        expected_bias=errors.mean,
        expected_se=errors.root_mean_square.value,
        expected_error_interval=_interval(errors.mean_absolute),
        expected_se_interval=_interval(errors.root_mean_square),
        abler=_abler(found.abler[estimator]),
        smallest_gap=_smallest_gap(orderable_gap(found.held_out[estimator], len(scorer.items))),
        unseen=unseen,
        numbers=_numbers(found.learned[estimator], errors, found.abler[estimator]),
        calibration=CalibrationRecord(
            fingerprint=basis.counts.fingerprint(),
            n_models=basis.counts.n_models,
            n_clusters=calibration.n_clusters,
            irt_model=calibration.plan.irt_model.name,
            inference=calibration.plan.settings.method,
            ability_range=basis.ability_limits,
            measure=basis.counts.measure,
        ),
        package_version=version("irt-bench"),
    )


def _interval(expected: ExpectedError | GapEstimate) -> tuple[float, float] | None:
    return None if np.isnan(expected.q05) else (expected.q05, expected.q95)


def _abler(errors: HeldOutErrors) -> AblerErrors | None:
    error, se = errors.mean_absolute, errors.root_mean_square
    limits = _interval(error), _interval(se)
    if limits[0] is None or limits[1] is None:
        return None
    return AblerErrors(
        error=error.value, bias=errors.mean, se=se.value, error_interval=limits[0], se_interval=limits[1]
    )


def _smallest_gap(gap: GapEstimate) -> SmallestGap | None:
    if np.isnan(gap.value):
        return None
    return SmallestGap(gap=gap.value, interval=_interval(gap), random=_known_number(gap.random))


def _known_number(value: float) -> float | None:
    return None if np.isnan(value) else value


def _numbers(learned: LearnedParameters, errors: HeldOutErrors, abler: HeldOutErrors) -> EstimatorParameters:
    return EstimatorParameters(
        weighted_share=learned.weighted_share,
        intercept=float(learned.intercept),
        coefficients=tuple(learned.coefficients.tolist()),
        spline=None if learned.spline is None else Spline(**{k: tuple(v) for k, v in learned.spline._asdict().items()}),
        misfit_sd=errors.misfit_sd,
        interval_scale=errors.interval_scale,
        residual_variance=float(learned.residual_variance),
        unseen_variance=float(learned.unseen_variance),
        abler_misfit_sd=_known_number(abler.misfit_sd),
        abler_scale=_known_number(abler.interval_scale),
    )


def _items(calibration: Calibration, found: CalibratedSubset, hashes: pd.Series | None) -> tuple[SubsetItem, ...]:
    basis, scorer = calibration.whole, found.scorer
    places = basis.counts.items.index.get_indexer(scorer.items)
    means, metadata = basis.shares.mean(axis=0)[places], basis.counts.items.iloc[places]
    numbers = pd.DataFrame(
        {
            "weight": scorer.weights,
            "target_weight": scorer.targets,
            **scorer.parameters._asdict(),
            "difficulty_sd": scorer.difficulty_sd,
            "discrimination_sd": scorer.discrimination_sd,
            "mean": means,
        }
    )
    texts = {
        "subtask": basis.subtasks[places].tolist(),
        "doc_id": _known(metadata, DOC_ID, int),
        "doc_hash": _known(metadata, DOC_HASH, str),
        METRIC: _known(metadata, METRIC, str),
        FILTER: _known(metadata, FILTER, str),
        "prompt_hash": [None if hashes is None else hashes.get(label) for label in scorer.items],
    }
    rows = zip(scorer.items, numbers.to_dict("records"), *texts.values(), strict=True)
    return tuple(
        SubsetItem(id=str(label), **row, **dict(zip(texts, words, strict=True))) for label, row, *words in rows
    )


def _known(metadata: pd.DataFrame, name: str, kind: type) -> list[object]:
    """Values of a metadata column, None if missing."""
    if name not in metadata:
        return [None] * len(metadata)
    return [None if pd.isna(value) else kind(value) for value in metadata[name]]
