"""A study from its plan to its tables: every method, size and estimator, the pruning path, transfer, and the summary.

Seed sds are roots of the variance over seeds, averaged over steps and pooled within runs. They are therefore comparable
with the root of V(k), and with random subsets, whose sd is the root of their mean variance. The E of the paper, a mean
of sds, is the column ``e``.

``paper`` has the form of the paper's Tables 3 and 4, with random subsets and V(k) added; random subsets are scored by
means, p-IRT and gp-IRT. ``paths`` follows Madaan et al. 2024, section 4: items are sorted by discrimination, and the
lowest are dropped step by step; random subsets of the same size and V(k) are added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pandas as pd

from irt_bench.analysis.intervals import holm
from irt_bench.analysis.transfer import ROWS
from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError
from irt_bench.names import BENCHMARK, INTERVAL, POOLED, RUN
from irt_bench.responses.table import ResponseTable
from irt_bench.study.collect import FULL, BenchmarkResults, fit_failure, is_random, is_random_mean, is_reference
from irt_bench.study.cures import cure_control, cure_notes, cure_table
from irt_bench.study.data import pooled_variance, score_statistics, scores_move
from irt_bench.study.design import SEED_MODEL, StudyDesign
from irt_bench.study.plan import BenchmarkPlan, StudyPlan, compute_missing, missing_tasks, plan_study
from irt_bench.study.rows import (
    RandomReferences,
    control_table,
    detectable_table,
    result_rows,
    seed_model_notes,
    with_study_verdicts,
)
from irt_bench.study.split import WEIGHTED, random_reference
from irt_bench.study.tasks import Store
from irt_bench.study.verdicts import (
    CUTS,
    NO_DIFFERENCE,
    RAISES,
    Ratio,
    log_ratio,
    percentile,
    pool,
    ratio_with_interval,
    two_sided,
    verdict,
)
from irt_bench.subsets.compare import WITHIN
from irt_bench.workers import Progress, Workers

PAPER_METHOD: Final = ("anchors-irt", "anchor")  # as in the paper: items clustered by their parameters


def paper_rows(results: pd.DataFrame) -> pd.DataFrame:
    """Set E and monotonicity of the full benchmark, p-IRT and gp-IRT beside random subsets and V(k)."""
    pooled = results[results[RUN] == POOLED]
    rows = []
    for size in sorted(pooled.loc[is_random_mean(pooled), "size"].unique()):
        chosen = {
            "full": pooled[(pooled["method"] == FULL) & (pooled["estimator"] == WEIGHTED)],
            **{name: _one(pooled, size, name) for name in ("p_irt", "gp_irt")},
            "random": pooled[is_random_mean(pooled) & (pooled["size"] == size)],
            **{f"random_{name}": _null(pooled, size, name) for name in ("p_irt", "gp_irt")},
        }
        row: dict[str, Any] = {BENCHMARK: pooled[BENCHMARK].iloc[0], "size": int(size)}
        for column in ("mean", "e", "seed_sd", "monotonicity", "movement"):
            for name, frame in chosen.items():
                has = len(frame) and column in frame
                row[f"{column}_{name}"] = float(frame[column].iloc[0]) if has else np.nan
        row["v_k_sd"] = float(chosen["random"]["v_k_sd"].iloc[0])
        rows.append(row)
    return pd.DataFrame(rows)


def _one(pooled: pd.DataFrame, size: float, estimator: str) -> pd.DataFrame:
    method, weights = PAPER_METHOD
    return pooled[
        (pooled["method"] == method)
        & (pooled["weights"] == weights)
        & (pooled["estimator"] == estimator)
        & (pooled["size"] == size)
    ]


def _null(pooled: pd.DataFrame, size: float, estimator: str) -> pd.DataFrame:
    weights, _ = random_reference(PAPER_METHOD[1], estimator)
    rows = pooled[is_random(pooled) & (pooled["size"] == size)]
    return rows[(rows["weights"] == weights) & (rows["estimator"] == estimator)]


STATISTICS = ("mean", "bias", "movement", "snr", "monotonicity", "kendall_tau", "decision_accuracy")


def path_table(found: BenchmarkResults) -> pd.DataFrame:
    """One row per share dropped: size, mean, standard error, seed sd, its ratio to all items and to random prunings."""
    path = found.path()
    rows: list[dict[str, Any]] = []
    ratios: list[Ratio] = []
    for place, size in enumerate(path["sizes"]):
        scores = path["scores"][place]
        own = found.variances(scores)
        pooled = np.sqrt(pool(path["random"][:, place], found.freedom))
        sd, random_sd = float(np.sqrt(pooled_variance(own))), float(np.sqrt((pooled**2).mean()))
        ratio = ratio_with_interval(log_ratio(own, found.full_variance[WEIGHTED]), 0.0)
        low, high = np.quantile(pooled, INTERVAL)
        value = float(pool(found.curve(float(size)), found.freedom))
        rows.append(
            {
                BENCHMARK: found.plan.benchmark,
                RUN: POOLED,
                "dropped": 1 - float(size) / found.plan.n_items,
                "n_items": int(size),
                "standard_error": float(np.nanmean(path["standard_error"][place])),
                "seed_sd": sd,
                "seed_sd_full": float(np.sqrt(pooled_variance(found.full_variance[WEIGHTED]))),
                "v_k_sd": np.sqrt(value) if value >= 0 else np.nan,
                "random_sd": random_sd, "random_q05": float(low), "random_q95": float(high),
                "ratio_full": ratio.ratio, "ratio_full_q05": ratio.lower, "ratio_full_q95": ratio.upper,
                "ratio": sd / random_sd if random_sd > 0 else np.nan,
                "percentile_random": percentile(sd, pooled),
                "p_random": two_sided(sd, pooled) if size < found.plan.n_items else np.nan,
                "p_full": ratio.p if size < found.plan.n_items else np.nan,
            }
        )  # fmt: skip
        measured = score_statistics(scores, found.full[WEIGHTED], found.checkpoints)
        rows[-1] |= {name: float(measured[name]) for name in ("e", *STATISTICS)}
        ratios.append(ratio)
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p_full"].to_numpy())
    table["verdict_full"] = [verdict(ratio, p) for ratio, p in zip(ratios, table["p_holm"], strict=True)]
    return table


def transfer_table(found: BenchmarkResults) -> pd.DataFrame:
    """Agreement of item statistics between weaker and stronger models, and between random halves."""
    columns = found.transfer()
    table = pd.DataFrame(columns, index=ROWS).reset_index()
    table.insert(0, BENCHMARK, found.plan.benchmark)
    return table


DO_NOT_MOVE: Final = (
    "mean full scores of runs and steps differ by no more than seed noise; movement and ratios per unit of it are "
    "undefined, and a score that merely shrinks looks like a cut"
)
HALVES_DO_NOT_MOVE: Final = (
    "the two halves of the seeds of the only run differ by chance alone, and steps do not differ; movement, ratios per "
    "unit of it and decision accuracy are undefined, and a score that merely shrinks looks like a cut"
)
SHOWN: Final = (CUTS, RAISES, NO_DIFFERENCE)
VERDICTS: Final = ("verdict", "verdict_signal", "verdict_plain", "verdict_full")


@dataclass(frozen=True)
class StudyResult:
    """Results of a study.

    Parameters
    ----------
    results : pd.DataFrame
        One row per benchmark, run, method, weights, estimator and size; run "pooled" is all runs together. Methods
        "random" and "full" are the references. Ratios are of seed sds: ``ratio`` to random subsets of the same size,
        scored by the same estimator with the same weights; ``ratio_signal`` the same in units of ``movement``, the
        slope on the full scores, which shrinking changes too; ``ratio_plain`` to unweighted means of random subsets;
        ``ratio_full`` to the full benchmark; ``ratio_v_k`` to the root of V(k). Each has an interval and a verdict. Of
        the method "random", ``seed_sd`` is the root mean variance over ``n_random`` subsets, ``ratio_q05, ratio_q95``
        the range of single ones, and ``ratio_plain`` what estimator and weights do on the same items. ``detectable``
        is the ratio that would have been found with 80% power by a recipe whose log ratio has this error
        (``log_error``, with ``freedom`` degrees of freedom). ``verdict_study, detectable_study`` are after Holm's
        correction over all recipes of the study, others over those of one benchmark, size and estimator. With the
        statistic "seed_model" also ``model_sd, model_seed_sd, model_ratio, model_ratio_full``; see
        `irt_bench.study.rows`.
    paths : pd.DataFrame
        Along the pruning path: ``benchmark, run, drop, n_items, mean, standard_error, seed_sd, ..``.
    transfer : pd.DataFrame
        Item statistics of weaker against stronger models.
    control : pd.DataFrame
        The negative control: verdicts of methods calibrated on shuffled responses.
    paper : pd.DataFrame
        In the form of the paper's Tables 3 and 4, with random subsets and V(k).
    detectable : pd.DataFrame
        Ratios that these seeds would have shown with 80% power.
    cures : pd.DataFrame
        One row per benchmark and cure, beside its control at equal cost; see `irt_bench.study.cures`.
    cures_control : pd.DataFrame
        The same for cures that were calibrated on shuffled responses.
    plan : StudyPlan
        Plan of the study.
    notes : tuple of str
        What was decided, left out or done differently.
    """

    results: pd.DataFrame
    paths: pd.DataFrame
    transfer: pd.DataFrame
    control: pd.DataFrame
    paper: pd.DataFrame
    detectable: pd.DataFrame
    cures: pd.DataFrame
    cures_control: pd.DataFrame
    plan: StudyPlan
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a file."""
        pooled = self.results[(self.results[RUN] == POOLED) & ~is_reference(self.results)]
        return {
            "design": self.plan.design.model_dump(mode="json"),
            "split": self.plan.splits.how,
            "benchmarks": [each.benchmark for each in self.plan.benchmarks],
            "runs": {each.benchmark: _n_runs(each) for each in self.plan.benchmarks},
            "notes": list(self.notes),
            "tasks": len(self.plan.tasks),
            "verdicts": {column: verdict_counts(pooled, column) for column in VERDICTS},
            "study": {column: verdict_counts(pooled, f"{column}_study") for column in VERDICTS},
            "cures": _cure_counts(self.cures),
            "cures_control": {
                str(within): _cure_counts(part)["all"]
                for within, part in (self.cures_control.groupby("shuffled_within") if len(self.cures_control) else ())
            },
            "control": _control_summary(self.control),
            "detectable": self.detectable.to_dict("records"),
        }


Alternatives = Mapping[str, Mapping[str, "pd.Series[float]"]]  # name → benchmark → score by model label


def run_study(
    table: ResponseTable,
    design: StudyDesign,
    folder: Path,
    *,
    workers: Workers = Workers(),  # noqa: B008
    progress: Progress | None = None,
    alternatives: Alternatives = MappingProxyType({}),
) -> StudyResult | None:
    """Run a study, or continue one, and keep the results of tasks in a folder; see `irt_bench.run_study`.

    The tables are not written here. None is returned if tasks are still missing because this was one shard of several.
    """
    store = Store(folder)
    store.open()
    plan = plan_study(table, design, folder)
    compute_missing(plan, store, workers, progress)
    return None if missing_tasks(plan, store) else assemble(plan, store, alternatives)


def assemble(plan: StudyPlan, store: Store, alternatives: Alternatives = MappingProxyType({})) -> StudyResult:
    """Put the results of all tasks of a study together, once all are finished.

    Raises
    ------
    AnalysisError
        If the calibration models of no benchmark can be fitted.
    """
    parts: dict[str, list[pd.DataFrame]] = {}
    notes = list(plan.notes)
    for each in plan.benchmarks:
        if reason := fit_failure(each, store):
            notes.append(f"{each.benchmark} is left out, its calibration models cannot be fitted: {reason}")
            continue
        found = BenchmarkResults(each, store)
        if n := found.splits_without_inner_fits():
            notes.append(
                f"{each.benchmark}: in {n} of {len(each.splits)} splits inner folds have too few responses for a fit; "
                "gp-IRT learns its share with the curves of all calibration models there"
            )
        notes += calibration_notes(found) + cure_notes(found)
        if not scores_move(found.full[WEIGHTED], found.checkpoints):
            notes.append(f"{each.benchmark}: {HALVES_DO_NOT_MOVE if found.checkpoints.halves else DO_NOT_MOVE}")
        if SEED_MODEL in plan.design.statistics:
            notes += seed_model_notes(found)
        others = {name: found.other_scores(by[each.benchmark], name) for name, by in alternatives.items()}
        frames = benchmark_tables(found, others)
        for within in WITHIN if each.recipes and each.sizes else ():
            if not found.control(within):
                notes.append(
                    f"{each.benchmark}: responses shuffled within {within} cannot be fitted; this control is left out"
                )
        for name, frame in frames.items():
            parts.setdefault(name, []).append(frame)
    if not parts:
        raise AnalysisError(f"no benchmark can be studied: {notes[-1]}")
    tables = {name: _stacked(each) for name, each in parts.items()}
    tables["results"] = with_study_verdicts(tables["results"])
    return StudyResult(**tables, plan=plan, notes=tuple(notes))


def _stacked(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Rows of all benchmarks; a benchmark without rows has no columns either."""
    return pd.concat([each for each in frames if len(each)] or frames[:1], ignore_index=True)


def benchmark_tables(found: BenchmarkResults, others: Mapping[str, FloatArray]) -> dict[str, pd.DataFrame]:
    """Make all tables of one benchmark."""
    references = {size: RandomReferences(found, found.random(size)) for size in found.plan.sizes}
    results = result_rows(found, references)
    plain = {size: each.plain.variance for size, each in references.items()}
    return {
        "results": results,
        "paths": path_table(found),
        "transfer": transfer_table(found),
        "control": control_table(found),
        "paper": paper_rows(results),
        "detectable": detectable_table(found, plain),
        "cures": cure_table(found, references, others),
        "cures_control": cure_control(found),
    }


def verdict_counts(rows: pd.DataFrame, column: str) -> dict[str, float]:
    """Count the verdicts of one comparison; add the median ratio that would have been found with 80% power."""
    counts = {name: int((rows[column] == name).sum()) for name in SHOWN}
    return counts | {"detectable": float(rows[column.replace("verdict", "detectable")].median())}


def calibration_notes(found: BenchmarkResults) -> list[str]:
    """Note failed checks of the calibration, and calibration models that hardly differ."""
    name, splits = found.plan.benchmark, found.plan.splits
    models = f"{min(len(split.job.calibration) for split in splits)} models or more"
    notes = [
        f"{name}: check {check} of the calibration failed in {n} of {len(splits)} splits ({models}); scores by item "
        "curves (p_irt, gp_irt, theta) may be off"
        for check, n in found.failed.items()
    ]
    if found.unreliable:
        notes.append(
            f"{name}: calibration models ({models}) differ by little more than chance: the reliability of their scores "
            f"is {found.reliability.min():.2f}. Scores by their item curves (p_irt, gp_irt, theta) hardly move, and "
            "get no verdict against other scores; add models that differ"
        )
    return notes


def _cure_counts(cures: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count verdicts on noise per signal by kind of cure."""
    by_kind = {"all": cures} | (dict(list(cures.groupby("cure", sort=False))) if len(cures) else {})
    return {
        str(kind): {name: int((part["verdict"] == name).sum()) if len(part) else 0 for name in SHOWN}
        for kind, part in by_kind.items()
    }


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
    return sum(len(split.job.checkpoints.runs) for split in plan.splits)
