"""Negative control of a comparison: calibration models whose answers say nothing of the items.

Two ways to shuffle. Within models, each model's answers change places among the items: scores stay, all that
distinguishes items is gone, every choice of items is a random one, and a method that beats random subsets is broken.
Within items, each item's answers change places among the models: what relates items is gone but their difficulty stays,
and with it what methods that know difficulty have a right to gain: weighted means where they stratify by it, and p-IRT,
whose predictions are worthless then, from answers to items of middling difficulty, on which full scores hang most.
"""

from __future__ import annotations

from functools import partial
from typing import Final, Literal

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from irt_bench.arrays import FloatArray
from irt_bench.errors import SubsetError, unknown_choice
from irt_bench.responses.counts import ResponseCounts
from irt_bench.subsets.calibration import Recipe, answers_to, chosen_items, weighed
from irt_bench.subsets.clusters import Labels, cluster_folds
from irt_bench.subsets.compare import Design
from irt_bench.subsets.estimators import Learned, estimate
from irt_bench.subsets.random_subsets import beside_random, random_errors
from irt_bench.subsets.shares import full_scores
from irt_bench.workers import PROCESSES

Within = Literal["models", "items"]
WITHIN: Final[tuple[Within, ...]] = ("models", "items")
LEAST_BY_METHOD: Final = 25  # random subsets a method: a p-value below 0.05 is possible after Holm's correction
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
    counts: ResponseCounts, clusters: Labels, design: Design, within: Within, *, jobs: int = 1
) -> pd.DataFrame:
    """Compare methods that were calibrated on shuffled answers with random subsets, on true answers held out.

    Returns
    -------
    pd.DataFrame
        A row for each size, method, weights and estimator of `CONTROLLED`: ``mae, random, random_q05, random_q95,
        percentile`` as in `Comparison.table`, and ``p_holm``, the percentile after Holm's correction for the methods of
        the same size and estimator.
    """
    n_random = max(design.n_random, LEAST_BY_METHOD * len(design.methods))
    design = design._replace(estimators=CONTROLLED, n_random=n_random)
    splits = cluster_folds(clusters, design.n_folds, np.random.default_rng(design.seed))
    parts = Parallel(n_jobs=jobs, **PROCESSES)(
        delayed(partial(_fold, counts, design, within))(*split) for split in splits
    )
    sums = pd.concat([part[0] for part in parts]).groupby(["size", "method", "weights", "estimator"], sort=False).sum()
    drawn = pd.concat([part[1] for part in parts]).groupby(["size", "estimator", "replicate"])[["error", "n"]].sum()
    random = (drawn["error"] / drawn["n"]).rename("mae").reset_index()
    table = beside_random((sums["error"] / sums["n"]).rename("mae").reset_index(), random)
    table["p_holm"] = table.groupby(["size", "estimator"])["percentile"].transform(lambda p: holm(p.to_numpy()))
    return table


def holm(p: FloatArray) -> FloatArray:
    """Adjust p-values for their number (Holm 1979): whatever is below 0.05 then is so with 5% chance at most."""
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    out = np.empty(len(p))
    out[order] = np.minimum(raised, 1)
    return out


def _fold(
    counts: ResponseCounts, design: Design, within: Within, kept: FloatArray, held_out: FloatArray
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
            evidence = answers_to(weighed(basis, recipe, chosen_items(basis, recipe)), test)
            for name in design.estimators:
                error = np.abs(estimate(name, evidence, Learned()) - truth)[known].sum()
                rows.append((size, method, weights, name, error, known.sum()))
    columns = ["size", "method", "weights", "estimator", "error", "n"]
    return pd.DataFrame(rows, columns=columns), random_errors(basis, test, design.sampling, {})
