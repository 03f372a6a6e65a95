"""Compare methods, weights and estimators on models that took no part: error, bias, ranks, coverage; beside random.

Models are split by cluster. In each fold everything (IRT fit, choice of items, weights, what estimators learn, their
intervals) is made from the models kept, and judged on those held out. Beside every method stand random subsets of the
same size with the same estimator: a method is worth something where its error is below most of theirs.

How often intervals hold on held-out models, with the error of that share: models of one family are not independent.

A share of n held-out models is known to sqrt(0.9 x 0.1 / n) at best: 0.034 for 78 models, of which 0.86 to 0.94 is
76% likely where intervals hold exactly. So a comparison states the error of each share, pools over methods, and says
how many shares would lie in a range if all intervals held.

Negative control of a comparison: calibration models whose answers say nothing of the items.

Two ways to shuffle. Within models, each model's answers change places among the items: scores stay, all that
distinguishes items is gone, every choice of items is a random one, and a method that beats random subsets is broken.
Within items, each item's answers change places among the models: what relates items is gone but their difficulty stays,
and with it what methods that know difficulty have a right to gain: weighted means where they stratify by it, and p-IRT,
whose predictions are worthless then, from answers to items of middling difficulty, on which full scores hang most.

Random subsets of the same size, the standard that every method is held to.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy import stats

from irt_bench.arrays import FloatArray
from irt_bench.errors import SubsetError, check_jobs, check_range, unknown_choice
from irt_bench.inference.fit import Progress
from irt_bench.names import INTERVAL, MODEL
from irt_bench.responses.counts import ResponseCounts
from irt_bench.subsets.basis import SelectionBasis, full_scores
from irt_bench.subsets.calibration import (
    CalibratedSubset,
    Calibration,
    CalibrationPlan,
    Recipe,
    calibrate,
    chosen_items,
    prepare,
    summarise_chosen,
    weighted_scorer,
)
from irt_bench.subsets.clusters import Labels, cluster_folds
from irt_bench.subsets.estimators import (
    ESTIMATORS,
    MAX_RANDOM,
    LearnedParameters,
    RandomSubsets,
    estimate,
    random_errors,
    relative_to_random,
)
from irt_bench.subsets.make import default_weights
from irt_bench.subsets.score import ScoringContext, estimate_with_interval
from irt_bench.subsets.select import SELECTORS
from irt_bench.workers import PROCESSES

CLUSTER: Final = "cluster"
RECIPE: Final = ["size", "method", "weights", "estimator"]
RANGE: Final = (0.86, 0.94)  # that a nominal 0.9 should lie in
ROUNDING: Final = 1e-9  # a limit at the last possible score is that score, but for its last bit
N_RESAMPLES: Final = 2000  # of clusters


def within_interval(held_out: pd.DataFrame) -> pd.Series:
    """Whether ``truth`` lies within ``q05`` and ``q95``, both included."""
    return (held_out["q05"] - ROUNDING <= held_out["truth"]) & (held_out["truth"] <= held_out["q95"] + ROUNDING)


def coverage_by(held_out: pd.DataFrame, by: list[str], rng: np.random.Generator) -> pd.DataFrame:
    """Share of intervals that hold, with its 90% interval by resampling clusters of models.

    Parameters
    ----------
    held_out : pd.DataFrame
        A row a model and recipe: ``truth, q05, q95``, ``cluster``, and the columns in `by`.
    by : list of str
        Columns that name the groups.
    rng : np.random.Generator
        For resampling; all groups see the same resampled clusters.

    Returns
    -------
    pd.DataFrame
        Indexed by `by`: ``coverage, coverage_q05, coverage_q95`` and ``coverage_se``; the last three NaN where there is
        one cluster.
    """
    frame = held_out.assign(within=within_interval(held_out).astype(np.float64), one=1.0)
    sums = frame.groupby([*by, CLUSTER], sort=False)[["within", "one"]].sum().unstack(CLUSTER, fill_value=0.0)
    within, models = sums["within"].to_numpy(), sums["one"].to_numpy()
    n_clusters = len(sums["one"].columns)
    found = pd.DataFrame({"coverage": within.sum(axis=1) / models.sum(axis=1)}, index=sums.index)
    if n_clusters == 1:
        return found.assign(coverage_q05=np.nan, coverage_q95=np.nan, coverage_se=np.nan)
    drawn = rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=N_RESAMPLES).astype(np.float64)
    totals = drawn @ models.T
    shares = np.divide(drawn @ within.T, totals, out=np.full_like(totals, np.nan), where=totals > 0)
    low, high = np.nanquantile(shares, INTERVAL, axis=0)
    return found.assign(coverage_q05=low, coverage_q95=high, coverage_se=np.nanstd(shares, axis=0))


def coverage_summary(held_out: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Coverage pooled over methods by size and by size and estimator, and how many single shares lie in `RANGE`.

    Returns
    -------
    pd.DataFrame
        Indexed by size and estimator ("all" first): ``coverage, coverage_q05, coverage_q95``; ``in_range``, the share
        of the pooled recipes with a coverage in `RANGE`, and ``in_range_expected``, what it would be if all intervals
        held, given the errors of the shares.
    """
    cells = coverage_by(held_out, RECIPE, rng)
    se = np.maximum(cells["coverage_se"].to_numpy(dtype=np.float64), np.finfo(np.float64).tiny)
    low, high = ((edge - (INTERVAL[1] - INTERVAL[0])) / se for edge in RANGE)
    cells["in_range"] = cells["coverage"].between(*RANGE).astype(np.float64)
    cells["in_range_expected"] = stats.norm.cdf(high) - stats.norm.cdf(low)
    parts = []
    for by in (["size"], ["size", "estimator"]):
        pooled = coverage_by(held_out, by, rng).drop(columns="coverage_se")
        pooled = pooled.join(cells.groupby(by, sort=False)[["in_range", "in_range_expected"]].mean()).reset_index()
        parts.append(pooled if "estimator" in pooled else pooled.assign(estimator="all"))
    return pd.concat(parts).set_index(["size", "estimator"]).sort_index(level="size", sort_remaining=False)


N_FOLDS: Final = 4
MAX_FOLDS: Final = 1_000
N_RANDOM: Final = 200
MORE_WEIGHTS: Final = (  # beside each method with the weights that go with it
    ("random", "anchor"),
    ("random", "discrimination"),
    ("random", "minimum-variance"),
    ("variance", "minimum-variance"),
    ("anchors", "minimum-variance"),
)


class ComparisonDesign(NamedTuple):
    """What is compared, and on what splits.

    Parameters
    ----------
    plan : CalibrationPlan
        IRT model and inference.
    sizes : tuple of int
        Numbers of items.
    methods : tuple of (method, weights)
        Names in `SELECTORS` and `WEIGHTINGS`.
    estimators : tuple of str
        Names in `ESTIMATORS`.
    n_random : int
        Random subsets of each size.
    n_folds : int
        Of the outer split.
    seed : int
        Of splits, methods and random subsets.
    """

    plan: CalibrationPlan
    sizes: tuple[int, ...]
    methods: tuple[tuple[str, str], ...]
    estimators: tuple[str, ...] = tuple(ESTIMATORS)
    n_random: int = N_RANDOM
    n_folds: int = N_FOLDS
    seed: int = 0

    @property
    def sampling(self) -> RandomSubsets:
        """What random subsets are drawn."""
        return RandomSubsets(self.sizes, self.estimators, self.n_random, self.seed)


class MethodComparison(NamedTuple):
    """What a comparison found.

    Parameters
    ----------
    table : pd.DataFrame
        A row for each size, method, weights and estimator: ``mae, bias, rmse, kendall, width`` on held-out models
        (shares in [0, 1]); ``refused``, the share of them for which the estimator gives no interval, as they lie
        outside the calibration's range of abilities, and of the others ``coverage`` with ``coverage_q05, coverage_q95,
        coverage_se`` of `coverage_by`; ``random,
        random_q05, random_q95``, mean and quantiles over random subsets of their mean absolute error with the same
        estimator; ``percentile``, the share of random subsets with an error no larger: a permutation p-value.
    random : pd.DataFrame
        ``size, estimator, replicate, mae`` of the random subsets.
    coverage : pd.DataFrame
        Of `coverage_summary`: pooled over methods.
    """

    table: pd.DataFrame
    random: pd.DataFrame
    coverage: pd.DataFrame


def methods_for(counts: ResponseCounts, methods: Sequence[str] | None = None) -> tuple[tuple[str, str], ...]:
    """Pair methods with weights: those named with their own weights, or all with these and `MORE_WEIGHTS`.

    Stratifying and balancing by subtask come only where there are subtasks.
    """
    several = "subtask" in counts.items and counts.items["subtask"].nunique() > 1
    if methods is not None:
        return tuple((method, default_weights(method)) for method in methods)
    own = [(method, default_weights(method)) for method in SELECTORS if several or method != "subtask"]
    return (*own, *MORE_WEIGHTS, *([("subtask", "balance")] if several else []))


def compare(
    counts: ResponseCounts,
    clusters: Labels,
    design: ComparisonDesign,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
) -> MethodComparison:
    """Find errors of every method and estimator on models held out, and of random subsets beside them.

    Parameters
    ----------
    counts : ResponseCounts
        Right answers and trials, shape (model, item).
    clusters : array of str, shape (model,)
        From `model_clusters`.
    design : ComparisonDesign
        What to compare.
    jobs : int
        Folds at once, each in a process of its own; results do not depend on it.
    progress : callable, optional
        Told (what, done, total).

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
    for done, part in enumerate(Parallel(n_jobs=jobs, return_as="generator", **PROCESSES)(tasks), start=1):
        parts.append(part)
        if progress is not None:
            progress("folds", done, len(splits))
    held_out = _with_clusters(pd.concat([part[0] for part in parts], ignore_index=True), counts, clusters)
    sums = pd.concat([part[1] for part in parts]).groupby(["size", "estimator", "replicate"])[["error", "n"]].sum()
    random = (sums["error"] / sums["n"]).rename("mae").reset_index()
    rng = np.random.default_rng(design.seed)
    return MethodComparison(
        relative_to_random(summarise(held_out, rng), random),
        random,
        coverage_summary(held_out.dropna(subset=["q05"]), rng),
    )


def shift(counts: ResponseCounts, clusters: Labels, design: ComparisonDesign) -> pd.DataFrame:
    """Calibrate on the weaker half of the models and judge on the stronger half.

    Returns
    -------
    pd.DataFrame
        As `MethodComparison.table`, without random subsets.
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
    """Mean errors, rank agreement and coverage by size, method, weights and estimator; `rng` resamples clusters."""
    rows = []
    for key, part in held_out.groupby(RECIPE, sort=False):
        error = part["estimate"] - part["truth"]
        rows.append(
            dict(zip(RECIPE, key, strict=True))
            | {
                "mae": error.abs().mean(),
                "bias": error.mean(),
                "rmse": float(np.sqrt((error**2).mean())),
                "kendall": stats.kendalltau(part["estimate"], part["truth"]).statistic,
                "width": (part["q95"] - part["q05"]).mean(),
                "n_models": len(part),
                "refused": part["q05"].isna().mean(),
            }
        )
    return pd.DataFrame(rows).join(coverage_by(held_out.dropna(subset=["q05"]), RECIPE, rng), on=RECIPE)


def _with_clusters(held_out: pd.DataFrame, counts: ResponseCounts, clusters: Labels) -> pd.DataFrame:
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
    counts: ResponseCounts, clusters: Labels, design: ComparisonDesign, kept: FloatArray, held_out: FloatArray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Estimates of the held-out models by every recipe, and errors of random subsets."""
    calibration = prepare(counts.take(models=kept), clusters[kept], design.plan, seed=design.seed)
    test = counts.take(models=held_out)
    estimates, learned_at_random = _methods(calibration, test, design)
    return estimates, random_errors(calibration.whole, test, design.sampling, learned_at_random)


def _methods(
    calibration: Calibration, test: ResponseCounts, design: ComparisonDesign
) -> tuple[pd.DataFrame, dict[int, dict[str, LearnedParameters]]]:
    """Estimates of models by every recipe; and what estimators that mix learned from a random subset, by size."""
    truth = full_scores(test, calibration.whole.target)
    parts, learned_at_random = [], {}
    for size in design.sizes:
        for method, weights in design.methods:
            found = calibrate(calibration, Recipe(method, weights, size, design.seed), design.estimators)
            if (method, weights) == ("random", "equal"):
                learned_at_random[size] = dict(found.learned)
            frame = _estimates(found, calibration.whole, test, truth)
            parts.append(frame.assign(size=size, method=method, weights=weights))
    return pd.concat(parts, ignore_index=True), learned_at_random


def _estimates(found: CalibratedSubset, basis: SelectionBasis, test: ResponseCounts, truth: FloatArray) -> pd.DataFrame:
    summary, scorer, parts = summarise_chosen(found.scorer, test), found.scorer, []
    context = ScoringContext(scorer.nodes, basis.ability_limits, basis.counts.n_items, float(scorer.targets.min()))
    for name, learned in found.learned.items():
        scored = estimate_with_interval(name, summary, learned, (found.errors[name], found.abler[name]), context)
        columns = {"truth": truth, "estimate": scored.estimate, "q05": scored.q05, "q95": scored.q95}
        parts.append(pd.DataFrame({MODEL: test.models.index, "estimator": name, **columns}))
    return pd.concat(parts).dropna(subset=["truth"])


Within = Literal["models", "items"]
WITHIN: Final[tuple[Within, ...]] = ("models", "items")
MIN_RANDOM_PER_METHOD: Final = 25  # random subsets a method: a p-value below 0.05 is possible after Holm's correction
CONTROLLED: Final = ("weighted", "p_irt")  # estimators that learn nothing from answers but the items' parameters


def shuffled(counts: ResponseCounts, within: Within, rng: np.random.Generator) -> ResponseCounts:
    """Shuffle cells within each model or within each item; right answers and trials move together.

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
    counts: ResponseCounts, clusters: Labels, design: ComparisonDesign, within: Within, *, jobs: int = 1
) -> pd.DataFrame:
    """Compare methods that were calibrated on shuffled answers with random subsets, on true answers held out.

    Returns
    -------
    pd.DataFrame
        One row per size, method, weights and estimator of `CONTROLLED`: ``mae, random, random_q05, random_q95,
        percentile`` as in `MethodComparison.table`, and ``p_holm``, the percentile after Holm's correction for the
        methods of the same size and estimator.
    """
    n_random = max(design.n_random, MIN_RANDOM_PER_METHOD * len(design.methods))
    design = design._replace(estimators=CONTROLLED, n_random=n_random)
    splits = cluster_folds(clusters, design.n_folds, np.random.default_rng(design.seed))
    parts = Parallel(n_jobs=jobs, **PROCESSES)(
        delayed(partial(_control_fold, counts, design, within))(*split) for split in splits
    )
    sums = pd.concat([part[0] for part in parts]).groupby(["size", "method", "weights", "estimator"], sort=False).sum()
    drawn = pd.concat([part[1] for part in parts]).groupby(["size", "estimator", "replicate"])[["error", "n"]].sum()
    random = (drawn["error"] / drawn["n"]).rename("mae").reset_index()
    table = relative_to_random((sums["error"] / sums["n"]).rename("mae").reset_index(), random)
    table["p_holm"] = table.groupby(["size", "estimator"])["percentile"].transform(lambda p: holm(p.to_numpy()))
    return table


def holm(p: FloatArray) -> FloatArray:
    """Adjust p-values for their number (Holm 1979): whatever is below 0.05 then is so with 5% chance at most."""
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    out = np.empty(len(p))
    out[order] = np.minimum(raised, 1)
    return out


def _control_fold(
    counts: ResponseCounts, design: ComparisonDesign, within: Within, kept: FloatArray, held_out: FloatArray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng([design.seed, WITHIN.index(within)])
    plan = design.plan._replace(keep_negative=True)  # by chance some items come out negative
    basis = plan.fit_basis(shuffled(counts.take(models=kept), within, rng))
    test = counts.take(models=held_out)
    truth = full_scores(test, basis.target)
    known, rows = ~np.isnan(truth), []
    for size in design.sizes:
        for method, weights in design.methods:
            recipe = Recipe(method, weights, size, design.seed)
            summary = summarise_chosen(weighted_scorer(basis, recipe, chosen_items(basis, recipe)), test)
            for name in design.estimators:
                error = np.abs(estimate(name, summary, LearnedParameters()) - truth)[known].sum()
                rows.append((size, method, weights, name, error, known.sum()))
    columns = ["size", "method", "weights", "estimator", "error", "n"]
    return pd.DataFrame(rows, columns=columns), random_errors(basis, test, design.sampling, {})
