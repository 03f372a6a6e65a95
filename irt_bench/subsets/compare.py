"""Comparison of selection methods, weights and estimators on held-out models, relative to random subsets.

Models are split by cluster. In each fold, everything is computed from the kept models: the IRT fit, the choice of
items, the weights, the training of the estimators and their intervals. Errors are measured on the held-out models.
Every method is compared with random subsets of the same size and the same estimator. A method is useful if its error is
below that of most random subsets.

Coverage of intervals is reported with its own error, because models of one family are not independent. With n held-out
models, the standard error of a coverage of 0.9 is at least sqrt(0.9 x 0.1 / n): 0.034 for 78 models. An exact interval
then has a coverage from 0.86 to 0.94 with probability 76%. A comparison therefore also pools coverage over methods, and
reports the share of recipes whose coverage would lie in this range if all intervals were exact.

A negative control calibrates on shuffled answers. There are two ways to shuffle. Shuffling within models permutes the
answers of each model over the items: all differences between items are lost, and no method can beat random subsets.
Shuffling within items permutes the answers of each item over the models: relations between items are lost, but their
difficulty is kept. Methods that use the difficulty may then still gain. Weighted means gain by stratification. p-IRT
gains from items of medium difficulty, although its predictions are worthless.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd
import scipy
from joblib import Parallel, delayed

from irt_bench.analysis.intervals import holm, resampled_counts
from irt_bench.arrays import FloatArray, slices
from irt_bench.errors import SubsetError, check_jobs, check_range, unknown_choice
from irt_bench.inference.settings import LaplaceSettings
from irt_bench.names import INTERVAL, MODEL
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.labels import ClusterLabels, cluster_folds
from irt_bench.subsets.basis import SelectionBasis, full_scores
from irt_bench.subsets.calibration import (
    CalibratedSubset,
    Calibration,
    CalibrationPlan,
    ChosenItems,
    Fold,
    FoldSummaries,
    Recipe,
    chosen_items,
    prepare,
)
from irt_bench.subsets.estimators import ESTIMATORS, LearnedParameters, estimate, subset_scores
from irt_bench.subsets.make import default_weights
from irt_bench.subsets.score import ScoringContext, estimate_with_interval
from irt_bench.subsets.scorer import LikelihoodCurves, ModelScorer, WeightedItems
from irt_bench.subsets.select import SELECTORS
from irt_bench.workers import Progress, processes

CLUSTER: Final = "cluster"
RECIPE: Final = ["size", "method", "weights", "estimator"]
RANGE: Final = (0.86, 0.94)  # of coverage, where 0.9 is nominal
ROUNDING: Final = 1e-9  # a limit equal to the highest possible score may differ from it in the last bit
N_RESAMPLES: Final = 2000  # of clusters


def within_interval(held_out: pd.DataFrame) -> pd.Series:
    """Whether ``truth`` lies between ``q05`` and ``q95``, limits included."""
    return (held_out["q05"] - ROUNDING <= held_out["truth"]) & (held_out["truth"] <= held_out["q95"] + ROUNDING)


def coverage_by(held_out: pd.DataFrame, by: list[str], rng: np.random.Generator) -> pd.DataFrame:
    """Coverage of the intervals of held-out models by some columns, with its 90% interval from resampled clusters.

    All groups use the same resampled clusters.

    Returns
    -------
    pd.DataFrame
        Indexed by `by`: ``coverage, coverage_q05, coverage_q95`` and ``coverage_se``. The last three are NaN if there
        is only one cluster.
    """
    frame = held_out.assign(within=within_interval(held_out).astype(np.float64), one=1.0)
    sums = frame.groupby([*by, CLUSTER], sort=False)[["within", "one"]].sum().unstack(CLUSTER, fill_value=0.0)
    within, models = sums["within"].to_numpy(), sums["one"].to_numpy()
    n_clusters = len(sums["one"].columns)
    found = pd.DataFrame({"coverage": within.sum(axis=1) / models.sum(axis=1)}, index=sums.index)
    if n_clusters == 1:
        return found.assign(coverage_q05=np.nan, coverage_q95=np.nan, coverage_se=np.nan)
    drawn = resampled_counts(n_clusters, N_RESAMPLES, rng).astype(np.float64)
    totals = drawn @ models.T
    shares = np.divide(drawn @ within.T, totals, out=np.full_like(totals, np.nan), where=totals > 0)
    low, high = np.nanquantile(shares, INTERVAL, axis=0)
    return found.assign(coverage_q05=low, coverage_q95=high, coverage_se=np.nanstd(shares, axis=0))


def coverage_summary(held_out: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Coverage pooled over methods, by size and by size and estimator.

    Returns
    -------
    pd.DataFrame
        Indexed by size and estimator ("all" first): ``coverage, coverage_q05, coverage_q95``; ``in_range``, the share
        of recipes with a coverage in `RANGE`; ``in_range_expected``, the same share expected if all intervals were
        exact, given the standard errors of the coverages.
    """
    recipes = coverage_by(held_out, RECIPE, rng)
    se = np.maximum(recipes["coverage_se"].to_numpy(dtype=np.float64), np.finfo(np.float64).tiny)
    low, high = ((edge - (INTERVAL[1] - INTERVAL[0])) / se for edge in RANGE)
    recipes["in_range"] = recipes["coverage"].between(*RANGE).astype(np.float64)
    recipes["in_range_expected"] = scipy.stats.norm.cdf(high) - scipy.stats.norm.cdf(low)
    parts = []
    for by in (["size"], ["size", "estimator"]):
        pooled = coverage_by(held_out, by, rng).drop(columns="coverage_se")
        pooled = pooled.join(recipes.groupby(by, sort=False)[["in_range", "in_range_expected"]].mean()).reset_index()
        parts.append(pooled if "estimator" in pooled else pooled.assign(estimator="all"))
    return pd.concat(parts).set_index(["size", "estimator"]).sort_index(level="size", sort_remaining=False)


N_FOLDS: Final = 4
MAX_FOLDS: Final = 1_000
N_RANDOM: Final = 200
MORE_WEIGHTS: Final = (  # compared in addition to each method with its default weights
    ("random", "anchor"),
    ("random", "discrimination"),
    ("random", "minimum-variance"),
    ("variance", "minimum-variance"),
    ("anchors", "minimum-variance"),
)


class ComparisonDesign(NamedTuple):
    """Recipes that are compared, and splits on which they are compared."""

    plan: CalibrationPlan  # IRT model and inference
    sizes: tuple[int, ...]  # numbers of items
    methods: tuple[tuple[str, str], ...]  # names in `SELECTORS` and `WEIGHTINGS`
    estimators: tuple[str, ...] = tuple(ESTIMATORS)  # names in `ESTIMATORS`
    n_random: int = N_RANDOM  # number of random subsets of each size
    n_folds: int = N_FOLDS  # number of folds of the outer split
    seed: int = 0  # seed of splits, methods and random subsets

    @property
    def sampling(self) -> RandomSubsets:
        """Random subsets of the comparison."""
        return RandomSubsets(self.sizes, self.estimators, self.n_random, self.seed)


class MethodComparison(NamedTuple):
    """Result of a comparison.

    Parameters
    ----------
    table : pd.DataFrame
        One row per size, method, weights and estimator. On held-out models: ``mae, bias, rmse, kendall, width`` (shares
        in [0, 1]); ``refused``, the share of models without an interval, because they lie outside the range of
        abilities of the calibration models; ``coverage`` of the others, with ``coverage_q05, coverage_q95,
        coverage_se`` as in `coverage_by`. Relative to random subsets with the same estimator: ``random, random_q05,
        random_q95``, mean and quantiles of their mean absolute error; ``percentile``, the share of random subsets whose
        error is no larger, which is a permutation p-value.
    random : pd.DataFrame
        ``size, estimator, replicate, mae`` of the random subsets.
    coverage : pd.DataFrame
        Coverage pooled over methods, from `coverage_summary`.
    """

    table: pd.DataFrame
    random: pd.DataFrame
    coverage: pd.DataFrame


def methods_for(counts: ResponseCounts, methods: Sequence[str] | None = None) -> tuple[tuple[str, str], ...]:
    """Pair methods with weights: named methods with their default weights; by default all, and `MORE_WEIGHTS`.

    Methods that use subtasks are left out if there are no subtasks.
    """
    several = "subtask" in counts.items and counts.items["subtask"].nunique() > 1
    if methods is not None:
        return tuple((method, default_weights(method)) for method in methods)
    own = [(method, default_weights(method)) for method in SELECTORS if several or method != "subtask"]
    return (*own, *MORE_WEIGHTS, *([("subtask", "balance")] if several else []))


def compare(
    counts: ResponseCounts,
    clusters: ClusterLabels,
    design: ComparisonDesign,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
) -> MethodComparison:
    """Measure the errors of every method and estimator, and of random subsets, on held-out models.

    `clusters` are those of `model_clusters`. Each of `jobs` processes takes a fold; the result does not depend on it.

    Raises
    ------
    SubsetError
        If a size is not below the number of items, or there are too few clusters.
    """
    _check(counts, design)
    check_jobs(SubsetError, jobs)
    splits = list(cluster_folds(clusters, design.n_folds, np.random.default_rng(design.seed)))
    tasks = (delayed(partial(_fold, counts, clusters, design))(*split) for split in splits)
    parts = []
    for done, part in enumerate(Parallel(n_jobs=jobs, return_as="generator", **processes())(tasks), start=1):
        parts.append(part)
        if progress is not None:
            progress("folds", done, len(splits))
    held_out = _with_clusters(pd.concat([part[0] for part in parts], ignore_index=True), counts, clusters)
    random = _errors_at_random(part[1] for part in parts)
    rng = np.random.default_rng(design.seed)
    return MethodComparison(
        relative_to_random(summarise(held_out, rng), random),
        random,
        coverage_summary(held_out.dropna(subset=["q05"]), rng),
    )


def shift(counts: ResponseCounts, clusters: ClusterLabels, design: ComparisonDesign) -> pd.DataFrame:
    """Calibrate on the weaker half of the models, and measure errors on the stronger half.

    Returns
    -------
    pd.DataFrame
        `MethodComparison.table` without the columns of random subsets.
    """
    _check(counts, design)
    score = full_scores(counts, _target(counts, design.plan))
    order = np.argsort(score[~np.isnan(score)], kind="stable")
    order = np.flatnonzero(~np.isnan(score))[order]
    weaker, stronger = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    calibration = prepare(counts.take(models=weaker), clusters[weaker], design.plan, seed=design.seed)
    held_out = _with_clusters(_methods(calibration, counts.take(models=stronger), design)[0], counts, clusters)
    return summarise(held_out, np.random.default_rng(design.seed))


def summarise(held_out: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Mean errors, rank correlation and coverage by size, method, weights and estimator; `rng` resamples clusters."""
    error = held_out["estimate"] - held_out["truth"]
    columns = {"mae": error.abs(), "bias": error, "rmse": error**2, "width": held_out["q95"] - held_out["q05"]}
    groups = held_out.assign(**columns, refused=held_out["q05"].isna()).groupby(RECIPE, sort=False)
    table = groups[["mae", "bias", "rmse", "width", "refused"]].mean()
    table["rmse"] = np.sqrt(table["rmse"])
    ranks = [scipy.stats.kendalltau(part["estimate"], part["truth"]).statistic for _, part in groups]
    table.insert(3, "kendall", ranks)
    table.insert(5, "n_models", groups.size())
    return table.reset_index().join(coverage_by(held_out.dropna(subset=["q05"]), RECIPE, rng), on=RECIPE)


def _with_clusters(held_out: pd.DataFrame, counts: ResponseCounts, clusters: ClusterLabels) -> pd.DataFrame:
    places = counts.models.index.get_indexer(pd.Index(held_out[MODEL]))
    return held_out.assign(**{CLUSTER: clusters[places]})


def _check(counts: ResponseCounts, design: ComparisonDesign) -> None:
    check_range(SubsetError, "n_random", design.n_random, 1, MAX_RANDOM)
    check_range(SubsetError, "n_folds", design.n_folds, 2, MAX_FOLDS)
    for size in design.sizes:
        if not 1 <= size < counts.n_items:
            raise SubsetError(f"size {size} was asked for; from 1 to {counts.n_items - 1} items can be compared.")


def _target(counts: ResponseCounts, plan: CalibrationPlan) -> FloatArray:
    return np.full(counts.n_items, 1 / counts.n_items) if plan.targets is None else plan.targets


def _fold(
    counts: ResponseCounts, clusters: ClusterLabels, design: ComparisonDesign, kept: FloatArray, held_out: FloatArray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Estimates for the held-out models by every recipe, and errors of random subsets."""
    calibration = prepare(counts.take(models=kept), clusters[kept], design.plan, seed=design.seed)
    test = counts.take(models=held_out)
    estimates, learned_at_random = _methods(calibration, test, design)
    return estimates, random_errors(calibration.whole, test, design.sampling, learned_at_random)


def _methods(
    calibration: Calibration, test: ResponseCounts, design: ComparisonDesign
) -> tuple[pd.DataFrame, dict[int, dict[str, LearnedParameters]]]:
    """Estimates for models by every recipe, and parameters learned with random items, by size and estimator."""
    parts, learned_at_random = {}, {}
    for size in design.sizes:
        for method in dict(design.methods):
            choose = partial(chosen_items, recipe=Recipe(method, "", size, design.seed))
            chosen = ChosenItems.of(calibration, choose, design.estimators, new=test)
            for weights in (weights for name, weights in design.methods if name == method):
                found = chosen.calibrate(Recipe(method, weights, size, design.seed), design.estimators)
                parts[size, method, weights] = _estimates(found, calibration.whole)
                if (method, weights) == ("random", "equal"):
                    learned_at_random[size] = dict(found.learned)
    keys, labels = [(size, *recipe) for size in design.sizes for recipe in design.methods], test.models.index
    recipes = pd.DataFrame([(*key, name) for key in keys for name in design.estimators], columns=RECIPE)
    frame = recipes.loc[recipes.index.repeat(len(labels))].reset_index(drop=True)
    truth = full_scores(test, calibration.whole.target)
    frame = frame.assign(**{MODEL: np.tile(labels, len(recipes)), "truth": np.tile(truth, len(recipes))})
    frame[["estimate", "q05", "q95"]] = np.concatenate([parts[key] for key in keys]).reshape(-1, 3)
    return frame.dropna(subset=["truth"]), learned_at_random


def _estimates(found: CalibratedSubset, basis: SelectionBasis) -> FloatArray:
    """Estimates of new models with their limits, shape (estimator, model, 3)."""
    scorer, rows = found.scorer, []
    context = ScoringContext(scorer.nodes, basis.ability_limits, basis.counts.n_items, float(scorer.targets.min()))
    for name, learned in found.learned.items():
        scored = estimate_with_interval(name, found.new, learned, (found.errors[name], found.abler[name]), context)
        rows.append(np.stack([scored.estimate, scored.q05, scored.q95], axis=1))
    return np.array(rows)


MAX_RANDOM: Final = 100_000  # subsets of a size: a percentile needs no more digits
BLOCK: Final = 1_000  # random subsets whose scores are kept at once


class RandomSubsets(NamedTuple):
    """Sizes of random subsets, estimators (names in `ESTIMATORS`), number of subsets per size, and seed."""

    sizes: tuple[int, ...]
    estimators: tuple[str, ...]
    n_random: int
    seed: int

    def draw(self, n_items: int, size: int, replicates: slice) -> WeightedItems:
        """Draw some of the subsets of a size."""
        rngs = [np.random.default_rng([self.seed, size, replicate]) for replicate in range(self.n_random)[replicates]]
        items = np.sort([rng.choice(n_items, size, replace=False) for rng in rngs], axis=1)
        return WeightedItems(items, np.full(items.shape, 1 / size))


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
    curves = LikelihoodCurves.of_records(basis)
    evaluated, calibrating = ModelScorer(basis, test, curves), ModelScorer(basis, basis.counts, curves)
    known, parts = ~np.isnan(evaluated.truth), []
    for size in drawn.sizes:
        learned = learned_at_random.get(size, {})
        names = [name for name in drawn.estimators if name in learned or not name.startswith("gp")]
        for replicates in slices(drawn.n_random, BLOCK):
            chosen = drawn.draw(basis.counts.n_items, size, replicates)
            for name, scores in subset_scores(evaluated, calibrating, chosen, names, learned).items():
                error = np.abs(scores - evaluated.truth)[:, known].sum(axis=1)
                columns = {"replicate": range(drawn.n_random)[replicates], "error": error, "n": known.sum()}
                parts.append(pd.DataFrame({"size": size, "estimator": name, **columns}))
    return pd.concat(parts, ignore_index=True)


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


Within = Literal["models", "items"]
WITHIN: Final[tuple[Within, ...]] = ("models", "items")
MIN_RANDOM_PER_METHOD: Final = 25  # with fewer random subsets no adjusted p-value could be below 0.05
CONTROL_TOLERANCE: Final = 0.01  # of fits to shuffled answers; that of others is a tenth
CONTROLLED: Final = ("weighted", "p_irt")  # estimators without training, except the item parameters


def shuffled(counts: ResponseCounts, within: Within, rng: np.random.Generator) -> ResponseCounts:
    """Permute cells within each model or within each item; right answers and trials stay together.

    Raises
    ------
    SubsetError
        If `within` is not known.
    """
    if within not in WITHIN:
        raise SubsetError(unknown_choice("way to shuffle, within", within, WITHIN))
    axis = 1 if within == "models" else 0
    places = np.argsort(rng.random(counts.correct.shape), axis=axis)
    correct, trials = (np.take_along_axis(array, places, axis=axis) for array in (counts.correct, counts.trials))
    return ResponseCounts(correct, trials, counts.models, counts.items, counts.benchmark, counts.measure)


def negative_control(
    counts: ResponseCounts, clusters: ClusterLabels, design: ComparisonDesign, within: Within, *, jobs: int = 1
) -> pd.DataFrame:
    """Compare methods calibrated on shuffled answers with random subsets, on the true answers of held-out models.

    Returns
    -------
    pd.DataFrame
        One row per size, method, weights and estimator of `CONTROLLED`: ``mae, random, random_q05, random_q95,
        percentile`` as in `MethodComparison.table`, and ``p_holm``, the percentile adjusted by Holm's method over all
        methods of the same size and estimator.
    """
    n_random = max(design.n_random, MIN_RANDOM_PER_METHOD * len(design.methods))
    design = design._replace(estimators=CONTROLLED, n_random=n_random)
    splits = cluster_folds(clusters, design.n_folds, np.random.default_rng(design.seed))
    parts = Parallel(n_jobs=jobs, **processes())(
        delayed(partial(_control_fold, counts, design, within))(*split) for split in splits
    )
    sums = pd.concat([part[0] for part in parts]).groupby(["size", "method", "weights", "estimator"], sort=False).sum()
    random = _errors_at_random(part[1] for part in parts)
    table = relative_to_random((sums["error"] / sums["n"]).rename("mae").reset_index(), random)
    table["p_holm"] = table.groupby(["size", "estimator"])["percentile"].transform(lambda p: holm(p.to_numpy()))
    return table


def _errors_at_random(folds: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Mean absolute error of each random subset over the folds, as ``mae``."""
    sums = pd.concat(list(folds)).groupby(["size", "estimator", "replicate"])[["error", "n"]].sum()
    return (sums["error"] / sums["n"]).rename("mae").reset_index()


def _control_fold(
    counts: ResponseCounts, design: ComparisonDesign, within: Within, kept: FloatArray, held_out: FloatArray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng([design.seed, WITHIN.index(within)])
    plan = design.plan.of_fold._replace(keep_negative=True)  # some items have negative discrimination by chance
    if isinstance(plan.settings, LaplaceSettings):  # shuffled answers lead nowhere, slowly
        plan = plan._replace(settings=plan.settings.model_copy(update={"tolerance": CONTROL_TOLERANCE}))
    basis = plan.fit_basis(shuffled(counts.take(models=kept), within, rng))
    test = counts.take(models=held_out)
    truth = full_scores(test, basis.target)
    known, rows = ~np.isnan(truth), []
    for size in design.sizes:
        read = {}
        for method, weights in design.methods:
            recipe = Recipe(method, weights, size, design.seed)
            if method not in read:
                read[method] = FoldSummaries.of(Fold(basis, test), chosen_items(basis, recipe), design.estimators)
            summary = read[method].weighted(recipe).held_out
            for name in design.estimators:
                error = np.abs(estimate(name, summary, LearnedParameters()) - truth)[known].sum()
                rows.append((size, method, weights, name, error, known.sum()))
    return pd.DataFrame(rows, columns=[*RECIPE, "error", "n"]), random_errors(basis, test, design.sampling, {})
