"""From cells to tables: ratios, intervals, percentiles and verdicts of every method and size; and what they come to.

Seed sds are roots of the variance over seeds, averaged over steps and pooled within runs, so that they compare with the
root of V(k) and with random subsets, whose sd is the root of their mean variance. The paper's E, a mean of sds, is the
column ``e``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.names import BENCHMARK, RUN
from irt_bench.subsets.controls import WITHIN, holm
from irt_bench.variance.study.cells import KEPT, WEIGHTED
from irt_bench.variance.study.collect import Collected, RandomSubsets, scale_of
from irt_bench.variance.study.design import STATISTICS, THETA
from irt_bench.variance.study.paper_form import paper_rows
from irt_bench.variance.study.plan import RANDOM, BenchmarkPlan, StudyPlan, control_size
from irt_bench.variance.study.references import FULL, POOLED, is_reference
from irt_bench.variance.study.snapshots import RunVariance, pooled_variance, run_variance, statistics_of
from irt_bench.variance.study.store import Store
from irt_bench.variance.study.verdicts import (
    CUTS,
    NO_DIFFERENCE,
    RAISES,
    Ratio,
    item_spread,
    log_ratio,
    percentile,
    two_sided,
    verdict,
    with_interval,
)

FloatArray = npt.NDArray[np.float64]

BROKEN: Final = "models"  # the shuffling after which nothing may be found
KEYS: Final = (BENCHMARK, RUN, "method", "weights", "estimator", "size")
NUMBERS: Final = (
    "n_items", "k_eff", "seed_sd", "seed_sd_full", "v_k_sd", "ratio", "ratio_q05", "ratio_q95", "percentile_random",
    "p_random", "p_holm", "verdict", "ratio_full", "ratio_full_q05", "ratio_full_q95", "p_full", "p_full_holm",
    "verdict_full", "ratio_v_k",
)  # fmt: skip


@dataclass(frozen=True)
class StudyResult:
    """What a study found.

    Parameters
    ----------
    results : pd.DataFrame
        One row a (benchmark, run, method, weights, estimator, size); run "pooled" is all runs together. Methods
        "random" and "full" are the references. Ratios are of seed sds: ``ratio`` to random subsets of the same size,
        ``ratio_full`` to the full benchmark, ``ratio_v_k`` to the root of V(k). Of the method "random", ``seed_sd`` is
        the root mean variance, ``ratio_q05, ratio_q95`` the range of single random subsets.
    paths : pd.DataFrame
        Along the pruning path: ``benchmark, run, drop, n_items, mean, standard_error, seed_sd, ..``.
    transfer : pd.DataFrame
        Item statistics of weaker against stronger models.
    control : pd.DataFrame
        The negative control: verdicts of methods calibrated on shuffled answers.
    paper : pd.DataFrame
        In the form of the paper's Tables 3 and 4, with what these lack.
    detectable : pd.DataFrame
        What could have been found with these seeds.
    plan : StudyPlan
        What was done.
    """

    results: pd.DataFrame
    paths: pd.DataFrame
    transfer: pd.DataFrame
    control: pd.DataFrame
    paper: pd.DataFrame
    detectable: pd.DataFrame
    plan: StudyPlan

    def summary(self) -> dict[str, Any]:
        """Plain values for a file."""
        pooled = self.results[(self.results[RUN] == POOLED) & ~is_reference(self.results)]
        return {
            "design": self.plan.design.model_dump(mode="json"),
            "split": self.plan.splits.how,
            "benchmarks": [each.benchmark for each in self.plan.benchmarks],
            "runs": {each.benchmark: _n_runs(each) for each in self.plan.benchmarks},
            "notes": list(self.plan.notes),
            "cells": len(self.plan.cells),
            "verdicts": {
                column: {name: int((pooled[column] == name).sum()) for name in (CUTS, RAISES, NO_DIFFERENCE)}
                for column in ("verdict", "verdict_full")
            },
            "control": _control_summary(self.control),
            "detectable": self.detectable.to_dict("records"),
        }


def assemble(plan: StudyPlan, store: Store) -> StudyResult:
    """Put the finished cells of a study together."""
    parts: dict[str, list[pd.DataFrame]] = {}
    for each in plan.benchmarks:
        found = Collected(each, store)
        frames = benchmark_tables(found, plan)
        for name, frame in frames.items():
            parts.setdefault(name, []).append(frame)
    return StudyResult(**{name: pd.concat(each, ignore_index=True) for name, each in parts.items()}, plan=plan)


def benchmark_tables(found: Collected, plan: StudyPlan) -> dict[str, pd.DataFrame]:
    """All tables of one benchmark."""
    from irt_bench.variance.study.paths import path_table, transfer_table
    from irt_bench.variance.study.power import detectable_table

    randoms = {size: found.random(size) for size in found.plan.sizes}
    rows = [row for run in [POOLED, *found.runs] for row in _full_rows(found, run)]
    for size in found.plan.sizes:
        rows += _size_rows(found, size, randoms[size])
    results = pd.DataFrame(rows)
    results.insert(0, BENCHMARK, found.plan.benchmark)
    kept = [name for name in STATISTICS if name in plan.design.statistics]
    results = results[[*KEYS, *NUMBERS, *kept]]
    return {
        "results": results,
        "paths": path_table(found),
        "transfer": transfer_table(found),
        "control": _control_table(found, plan, randoms),
        "paper": paper_rows(results),
        "detectable": detectable_table(found, randoms, len(plan.design.estimators)),
    }


class Scene:
    """References for one run, or all runs pooled: the full benchmark's variances and the random subsets'."""

    def __init__(self, found: Collected, run: str, scale: str, random: RandomSubsets | None = None) -> None:
        self.places = list(range(len(found.runs))) if run == POOLED else [found.runs.index(run)]
        self.snapshots, self.rows = found.part(None if run == POOLED else run)
        self.full = [found.full_variance[scale][place] for place in self.places]
        self.full_scores = found.full[WEIGHTED][self.rows]
        if random is None:
            return
        pooled = _pool(random.variance[:, self.places], self.freedom)
        self.null = float(pooled.mean())
        self.spread_of_random = np.sqrt(pooled)
        self.random_scores = random.scores[:, self.rows]
        own = [run_variance(found.snapshots.arrange(random.scores, found.runs[place])) for place in self.places]
        self.item_variance = item_spread(log_ratio(own, self.full, self.null))

    @property
    def freedom(self) -> FloatArray:
        """Seeds less one, of each run."""
        return np.array([each.freedom for each in self.full], dtype=np.float64)

    def sd(self, variances: list[RunVariance]) -> float:
        """Pooled seed sd."""
        return float(np.sqrt(max(float(pooled_variance(variances)), 0.0)))


def _pool(variance: FloatArray, freedom: FloatArray) -> FloatArray:
    return np.asarray(variance @ freedom / freedom.sum())


def _empty(run: str, method: str, weights: str, estimator: str, size: int) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys((*NUMBERS, *STATISTICS), np.nan)
    return row | {
        RUN: run, "method": method, "weights": weights, "estimator": estimator, "size": size, "n_items": size,
        "k_eff": float(size), "verdict": "", "verdict_full": "",
    }  # fmt: skip


def _full_rows(found: Collected, run: str) -> list[dict[str, Any]]:
    rows = []
    for scale in (WEIGHTED, THETA):
        scene = Scene(found, run, scale)
        row = _empty(run, FULL, "equal", scale, found.plan.n_items)
        sd = scene.sd(scene.full)
        row |= {
            "seed_sd": sd,
            "seed_sd_full": sd,
            "ratio_full": 1.0,
            "v_k_sd": _v_k(found, scene, found.plan.n_items, scale),
        }
        row |= _statistics(found.full[scale][scene.rows], scene, scale)
        rows.append(row)
    return rows


def _size_rows(found: Collected, size: int, random: dict[str, RandomSubsets]) -> list[dict[str, Any]]:
    """Rows of one size: the null, then every recipe and estimator, Holm's correction over all of these in a run."""
    recipes = {pair: found.recipe(size, *pair) for pair in found.plan.recipes}
    rows = []
    for run in [POOLED, *found.runs]:
        scenes = {scale: Scene(found, run, scale, random[scale]) for scale in random}
        own = []
        for (method, weights), scores in recipes.items():
            for estimator in (name for name in scores if name != "k_eff"):
                scene = scenes[scale_of(estimator)]
                row = _empty(run, method, weights, estimator, size)
                row["k_eff"] = float(scores["k_eff"].mean())
                own.append((row, compare_with(found, scene, scores[estimator], row, size)))
        rows += [_random_row(found, scenes[scale], run, size, scale) for scale in scenes]
        _add_verdicts(own)
        rows += [row for row, _ in own]
    return rows


def compare_with(
    found: Collected, scene: Scene, scores: FloatArray, row: dict[str, Any], size: int
) -> tuple[Ratio, Ratio]:
    """Fill a row with what does not depend on other methods; returns the ratios to random subsets and to all items."""
    scale = scale_of(row["estimator"])
    every = found.variances(scores)
    own = [every[place] for place in scene.places]
    to_random = with_interval(log_ratio(own, scene.full, scene.null), scene.item_variance)
    to_full = with_interval(log_ratio(own, scene.full), scene.item_variance)
    sd, v_k = scene.sd(own), _v_k(found, scene, size, scale)
    row |= {
        "seed_sd": sd,
        "seed_sd_full": scene.sd(scene.full),
        "v_k_sd": v_k,
        "ratio_full": to_full.ratio, "ratio_full_q05": to_full.lower, "ratio_full_q95": to_full.upper,
        "p_full": to_full.p,
        "ratio": to_random.ratio,
        "ratio_q05": to_random.lower,
        "ratio_q95": to_random.upper,
        "ratio_v_k": sd / v_k if v_k > 0 else np.nan,
        "percentile_random": percentile(sd, scene.spread_of_random),
        "p_random": two_sided(sd, scene.spread_of_random),
    }  # fmt: skip
    row |= _statistics(scores[scene.rows], scene, scale)
    return to_random, to_full


def _add_verdicts(rows: list[tuple[dict[str, Any], tuple[Ratio, Ratio]]]) -> None:
    for p, corrected, column, side in (
        ("p_random", "p_holm", "verdict", 0),
        ("p_full", "p_full_holm", "verdict_full", 1),
    ):
        adjusted = holm_known(np.array([row[p] for row, _ in rows], dtype=np.float64))
        for (row, ratios), value in zip(rows, adjusted, strict=True):
            row[corrected] = float(value)
            row[column] = verdict(ratios[side], float(value))


def holm_known(p: FloatArray) -> FloatArray:
    """Holm's correction of the p-values that are known; NaN stays."""
    out = np.full(len(p), np.nan)
    known = np.isfinite(p)
    out[known] = holm(p[known])
    return out


def _random_row(found: Collected, scene: Scene, run: str, size: int, scale: str) -> dict[str, Any]:
    row = _empty(run, RANDOM, "equal", scale, size)
    sd, full = float(np.sqrt(scene.null)), scene.sd(scene.full)
    v_k = _v_k(found, scene, size, scale)
    row |= {
        "seed_sd": sd, "seed_sd_full": full, "v_k_sd": v_k,
        "ratio_full": sd / full if full > 0 else np.nan,
        "ratio": 1.0,
        "ratio_q05": float(np.quantile(scene.spread_of_random, 0.05)) / sd if sd > 0 else np.nan,
        "ratio_q95": float(np.quantile(scene.spread_of_random, 0.95)) / sd if sd > 0 else np.nan,
        "ratio_v_k": sd / v_k if v_k > 0 else np.nan,
    }  # fmt: skip
    each = [_statistics(scores, scene, scale) for scores in scene.random_scores[: KEPT // 4]]
    return row | {name: _mean([one[name] for one in each]) for name in STATISTICS}


def _mean(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else np.nan


def _v_k(found: Collected, scene: Scene, size: float, scale: str) -> float:
    """Root of V(k), pooled; NaN for ability, which is no mean over items, and where it is estimated as negative."""
    if scale == THETA:
        return np.nan
    value = float(_pool(found.curve(size)[scene.places][None], scene.freedom)[0])
    return float(np.sqrt(value)) if value >= 0 else np.nan


def _statistics(scores: FloatArray, scene: Scene, scale: str) -> dict[str, float]:
    found = statistics_of(scores, scene.full_scores, scene.snapshots)
    return found | ({"bias": np.nan, "movement": np.nan} if scale == THETA else {})


def _control_table(found: Collected, plan: StudyPlan, randoms: dict[int, dict[str, RandomSubsets]]) -> pd.DataFrame:
    size = control_size(plan.design, found.plan.sizes, found.plan.n_items)
    scene = Scene(found, POOLED, WEIGHTED, randoms[size][WEIGHTED])
    tables = []
    for within in WITHIN:
        own = []
        for (method, weights), scores in found.control(within).items():
            row = _empty(POOLED, method, weights, WEIGHTED, size)
            own.append((row, compare_with(found, scene, scores, row, size)))
        _add_verdicts(own)
        frame = pd.DataFrame([row for row, _ in own])
        frame.insert(0, "shuffled_within", within)
        tables.append(frame)
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, BENCHMARK, found.plan.benchmark)
    columns = [name for name in NUMBERS if not name.startswith(("p_full", "verdict_full", "ratio_full"))]
    return table[[BENCHMARK, "shuffled_within", "method", "weights", "size", *columns[1:], "bias", "movement"]]


def _control_summary(control: pd.DataFrame) -> dict[str, Any]:
    found = {}
    for within, part in control.groupby("shuffled_within"):
        wins = part[part["verdict"] == CUTS]
        found[str(within)] = {
            "compared": len(part),
            "cuts": len(wins),
            "methods": sorted({str(name) for name in wins["method"]}),
            "benchmarks": sorted({str(name) for name in wins[BENCHMARK]}),
        }
    return found


def _n_runs(plan: BenchmarkPlan) -> int:
    return sum(len(task.job.snapshots.runs) for task in plan.tasks)
