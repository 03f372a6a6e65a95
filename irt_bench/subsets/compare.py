"""Compare methods, weights and estimators on models that took no part: error, bias, ranks, coverage; beside random.

Models are split by cluster. In each fold everything (IRT fit, choice of items, weights, what estimators learn, their
intervals) is made from the models kept, and judged on those held out. Beside every method stand random subsets of the
same size with the same estimator: a method is worth something where its error is below most of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy import stats

from irt_bench.arrays import FloatArray
from irt_bench.errors import SubsetError, check_jobs, check_range
from irt_bench.inference.fit import Progress
from irt_bench.names import MODEL
from irt_bench.responses.counts import ResponseCounts
from irt_bench.subsets.basis import SelectionBasis
from irt_bench.subsets.calibration import Calibrated, Calibration, Plan, Recipe, answers_to, calibrate, prepare
from irt_bench.subsets.clusters import Labels, cluster_folds
from irt_bench.subsets.coverage import CLUSTER, RECIPE, coverage_by, coverage_summary
from irt_bench.subsets.defaults import default_weights
from irt_bench.subsets.estimators import ESTIMATORS, Learned
from irt_bench.subsets.random_subsets import MAX_RANDOM, RandomSubsets, beside_random, random_errors
from irt_bench.subsets.score import Scale, score_evidence
from irt_bench.subsets.select import SELECTORS
from irt_bench.subsets.shares import full_scores
from irt_bench.workers import PROCESSES

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


class Design(NamedTuple):
    """What is compared, and on what splits.

    Parameters
    ----------
    plan : Plan
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

    plan: Plan
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


class Comparison(NamedTuple):
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
    counts: ResponseCounts, clusters: Labels, design: Design, *, jobs: int = 1, progress: Progress | None = None
) -> Comparison:
    """Find errors of every method and estimator on models held out, and of random subsets beside them.

    Parameters
    ----------
    counts : ResponseCounts
        Right answers and trials, shape (model, item).
    clusters : array of str, shape (model,)
        From `model_clusters`.
    design : Design
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
    return Comparison(
        beside_random(summarise(held_out, rng), random), random, coverage_summary(held_out.dropna(subset=["q05"]), rng)
    )


def shift(counts: ResponseCounts, clusters: Labels, design: Design) -> pd.DataFrame:
    """Calibrate on the weaker half of the models and judge on the stronger half.

    Returns
    -------
    pd.DataFrame
        As `Comparison.table`, without random subsets.
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


def _check(counts: ResponseCounts, design: Design) -> None:
    check_range(SubsetError, "n_random", design.n_random, 1, MAX_RANDOM)
    check_range(SubsetError, "n_folds", design.n_folds, 2, MAX_FOLDS)
    for size in design.sizes:
        if not 1 <= size < counts.n_items:
            raise SubsetError(f"size {size} was asked for; from 1 to {counts.n_items - 1} items can be compared.")


def _target(counts: ResponseCounts, plan: Plan) -> FloatArray:
    return np.full(counts.n_items, 1 / counts.n_items) if plan.targets is None else plan.targets


def _fold(
    counts: ResponseCounts, clusters: Labels, design: Design, kept: FloatArray, held_out: FloatArray
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Estimates of the held-out models by every recipe, and errors of random subsets."""
    calibration = prepare(counts.take(models=kept), clusters[kept], design.plan, seed=design.seed)
    test = counts.take(models=held_out)
    estimates, blind = _methods(calibration, test, design)
    return estimates, random_errors(calibration.whole, test, design.sampling, blind)


def _methods(
    calibration: Calibration, test: ResponseCounts, design: Design
) -> tuple[pd.DataFrame, dict[int, dict[str, Learned]]]:
    """Estimates of models by every recipe; and what estimators that mix learned from a random subset, by size."""
    truth = full_scores(test, calibration.whole.target)
    parts, blind = [], {}
    for size in design.sizes:
        for method, weights in design.methods:
            found = calibrate(calibration, Recipe(method, weights, size, design.seed), design.estimators)
            if (method, weights) == ("random", "equal"):
                blind[size] = dict(found.learned)
            frame = _estimates(found, calibration.whole, test, truth)
            parts.append(frame.assign(size=size, method=method, weights=weights))
    return pd.concat(parts, ignore_index=True), blind


def _estimates(found: Calibrated, basis: SelectionBasis, test: ResponseCounts, truth: FloatArray) -> pd.DataFrame:
    evidence, instrument, parts = answers_to(found.instrument, test), found.instrument, []
    about = Scale(instrument.nodes, basis.ability_limits, basis.counts.n_items, float(instrument.targets.min()))
    for name, learned in found.learned.items():
        scored = score_evidence(name, evidence, learned, (found.errors[name], found.abler[name]), about)
        columns = {"truth": truth, "estimate": scored.estimate, "q05": scored.q05, "q95": scored.q95}
        parts.append(pd.DataFrame({MODEL: test.models.index, "estimator": name, **columns}))
    return pd.concat(parts).dropna(subset=["truth"])
