"""From cells to tables: what every method, size and estimator came to, and the summary.

Seed sds are roots of the variance over seeds, averaged over steps and pooled within runs, so that they compare with the
root of V(k) and with random subsets, whose sd is the root of their mean variance. The paper's E, a mean of sds, is the
column ``e``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from irt_bench.errors import AnalysisError
from irt_bench.names import BENCHMARK, RUN
from irt_bench.subsets.controls import WITHIN
from irt_bench.variance.study.collect import Collected, unfitted
from irt_bench.variance.study.design import SEED_MODEL
from irt_bench.variance.study.modelled_rows import modelled_notes
from irt_bench.variance.study.paper_form import paper_rows
from irt_bench.variance.study.paths import path_table, transfer_table
from irt_bench.variance.study.plan import BenchmarkPlan, StudyPlan
from irt_bench.variance.study.power import detectable_table
from irt_bench.variance.study.reading import WEIGHTED
from irt_bench.variance.study.references import POOLED, is_reference
from irt_bench.variance.study.rows import Nulls, control_table, result_rows, with_study_verdicts
from irt_bench.variance.study.snapshots import moves
from irt_bench.variance.study.store import Store
from irt_bench.variance.study.verdicts import CUTS, NO_DIFFERENCE, RAISES

DO_NOT_MOVE: Final = (
    "mean full scores of runs and steps differ by no more than their seeds do; movement and ratios per unit of it are "
    "undefined, and a score that merely shrinks looks as if it cut"
)
HALVES_DO_NOT_MOVE: Final = (
    "the halves of the only run's seeds differ by chance, and no steps do; movement, ratios per unit of it and "
    "decision accuracy are undefined, and a score that merely shrinks looks as if it cut"
)
VERDICTS: Final = ("verdict", "verdict_signal", "verdict_plain", "verdict_full")


@dataclass(frozen=True)
class StudyResult:
    """What a study found.

    Parameters
    ----------
    results : pd.DataFrame
        One row a (benchmark, run, method, weights, estimator, size); run "pooled" is all runs together. Methods
        "random" and "full" are the references. Ratios are of seed sds: ``ratio`` to random subsets of the same size,
        scored by the same estimator with the same weights; ``ratio_signal`` the same in units of ``movement``, the
        slope on the full scores, which shrinking changes too; ``ratio_plain`` to plain means of random subsets;
        ``ratio_full`` to the full benchmark; ``ratio_v_k`` to the root of V(k). Each has an interval and a verdict. Of
        the method "random", ``seed_sd`` is the root mean variance over ``n_random`` subsets, ``ratio_q05, ratio_q95``
        the range of single ones, and ``ratio_plain`` what estimator and weights do on the same items. ``detectable``
        is the ratio that would have been found with 80% power by a way whose log ratio has this error (``log_error``,
        with ``freedom`` degrees of freedom); ``verdict_study`` and ``detectable_study`` are after Holm's correction
        over all ways of the study, others over those of one benchmark, size and estimator. With the statistic
        "seed_model" also ``model_sd, model_seed_sd, model_ratio, model_ratio_full``; see
        `irt_bench.variance.study.modelled_rows`.
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
    notes : tuple of str
        What was decided, left out or done otherwise.
    """

    results: pd.DataFrame
    paths: pd.DataFrame
    transfer: pd.DataFrame
    control: pd.DataFrame
    paper: pd.DataFrame
    detectable: pd.DataFrame
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
            "cells": len(self.plan.cells),
            "verdicts": {column: verdict_counts(pooled, column) for column in VERDICTS},
            "study": {column: verdict_counts(pooled, f"{column}_study") for column in VERDICTS},
            "control": _control_summary(self.control),
            "detectable": self.detectable.to_dict("records"),
        }


def assemble(plan: StudyPlan, store: Store) -> StudyResult:
    """Put the finished cells of a study together.

    Raises
    ------
    AnalysisError
        If the calibration models of no benchmark can be fitted.
    """
    parts: dict[str, list[pd.DataFrame]] = {}
    notes = list(plan.notes)
    for each in plan.benchmarks:
        if reason := unfitted(each, store):
            notes.append(f"{each.benchmark} is left out, its calibration models cannot be fitted: {reason}")
            continue
        found = Collected(each, store)
        if n := found.splits_without_inner_fits():
            notes.append(
                f"{each.benchmark}: in {n} of {len(each.tasks)} splits inner folds have too few answers to be fitted; "
                "gp-IRT learns its share with the curves of all calibration models there"
            )
        notes += calibration_notes(found)
        if not moves(found.full[WEIGHTED], found.snapshots):
            notes.append(f"{each.benchmark}: {HALVES_DO_NOT_MOVE if found.snapshots.halves else DO_NOT_MOVE}")
        if SEED_MODEL in plan.design.statistics:
            notes += modelled_notes(found)
        frames = benchmark_tables(found, plan)
        for within in WITHIN if each.recipes else ():
            if not found.control(within):
                notes.append(f"{each.benchmark}: answers shuffled within {within} cannot be fitted; no such control")
        for name, frame in frames.items():
            parts.setdefault(name, []).append(frame)
    if not parts:
        raise AnalysisError(f"no benchmark can be studied: {notes[-1]}")
    tables = {name: pd.concat(each, ignore_index=True) for name, each in parts.items()}
    tables["results"] = with_study_verdicts(tables["results"])
    return StudyResult(**tables, plan=plan, notes=tuple(notes))


def benchmark_tables(found: Collected, plan: StudyPlan) -> dict[str, pd.DataFrame]:
    """All tables of one benchmark."""
    nulls = {size: Nulls(found, found.random(size)) for size in found.plan.sizes}
    results = result_rows(found, nulls, plan.design.statistics)
    plain = {size: each.plain.variance for size, each in nulls.items()}
    return {
        "results": results,
        "paths": path_table(found),
        "transfer": transfer_table(found),
        "control": control_table(found, plan),
        "paper": paper_rows(results),
        "detectable": detectable_table(found, plain, plan.design.estimators),
    }


def verdict_counts(rows: pd.DataFrame, column: str) -> dict[str, float]:
    """Count the verdicts of one comparison, with the median ratio that would have been found with 80% power."""
    counts = {name: int((rows[column] == name).sum()) for name in (CUTS, RAISES, NO_DIFFERENCE)}
    return counts | {"detectable": float(rows[column.replace("verdict", "detectable")].median())}


def calibration_notes(found: Collected) -> list[str]:
    """Say which checks the calibration fits failed, and where these cannot tell models apart."""
    name, tasks = found.plan.benchmark, found.plan.tasks
    models = f"{min(len(task.job.calibration) for task in tasks)} models or more"
    notes = [
        f"{name}: check {check} of the calibration failed in {n} of {len(tasks)} splits ({models}); scores by item "
        "curves (p_irt, gp_irt, theta) may be off"
        for check, n in found.failed.items()
    ]
    if found.degenerate:
        notes.append(
            f"{name}: calibration models ({models}) differ by little more than chance, the reliability of their scores "
            f"is {found.reliability.min():.2f}: their curves tell no abilities apart, scores by them (p_irt, gp_irt, "
            "theta) hardly move, and get no verdict against other scores; add models that differ"
        )
    return notes


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
