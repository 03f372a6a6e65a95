"""Results of all tasks of one benchmark, joined over its splits, and the rows that serve as references."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError
from irt_bench.names import RUN
from irt_bench.study.data import Checkpoints, RunVariance, row_labels, run_variance
from irt_bench.study.design import EQUAL, HALF, THETA
from irt_bench.study.plan import RANDOM, BenchmarkPlan, SplitTasks, tasks_by
from irt_bench.study.split import REASON, WEIGHTED, link_abilities
from irt_bench.study.tasks import CURE, Store

Arrays = dict[str, npt.NDArray[Any]]

MIN_RELIABILITY: Final = 0.5  # of calibration scores
SCALES: Final = (WEIGHTED, THETA)  # accuracy and ability
Key = tuple[str, str]  # weights and estimator of random subsets


def scale_of(estimator: str) -> str:
    """Scale of an estimator's scores: ability, or (all others) accuracy."""
    return THETA if estimator == THETA else WEIGHTED


class BenchmarkResults:
    """Results of all tasks of one benchmark, once finished; rows are the evaluated checkpoints, split after split."""

    def __init__(self, plan: BenchmarkPlan, store: Store) -> None:
        self.plan = plan
        self._store = store
        self._results: dict[str, Arrays] = {}
        self._tasks = [tasks_by(split) for split in plan.splits]
        halves = all(split.job.split.startswith(HALF) for split in plan.splits)
        self.checkpoints = Checkpoints(
            pd.concat([split.job.checkpoints.frame for split in plan.splits], ignore_index=True), halves
        )
        self._parts: dict[str | None, tuple[Checkpoints, npt.NDArray[np.intp]]] = {
            None: (self.checkpoints, np.arange(len(self.checkpoints.frame)))
        }
        self._order = _run_order(plan.splits, self.checkpoints)
        full = [self._read(split, "full") for split in range(len(plan.splits))]
        self._curves = [part["curve"] for part in full]
        self.full = {scale: self._joined(scale, [part[scale] for part in full]) for scale in SCALES}
        self.components = np.concatenate([part["components"] for part in full])[self._order]  # (run, 2)
        self.failed = Counter(str(name) for part in full for name in part["failed"])  # checks, by the number of splits
        self.reliability = np.array([float(part["reliability"]) for part in full])  # of the calibration models' scores
        self.full_variance = {scale: self.variances(self.full[scale]) for scale in SCALES}

    @property
    def unreliable(self) -> bool:
        """Whether the scores of the calibration models of some split have a reliability below 0.5.

        Item curves then hardly distinguish abilities, and estimates that use them hardly move.
        """
        return not (self.reliability >= MIN_RELIABILITY).all()

    @property
    def freedom(self) -> FloatArray:
        """Seeds less one, of each run."""
        return np.array([each.freedom for each in self.full_variance[WEIGHTED]], dtype=np.float64)

    @property
    def runs(self) -> list[str]:
        """Names of the runs, in natural order."""
        return self.checkpoints.runs

    def part(self, run: str | None) -> tuple[Checkpoints, npt.NDArray[np.intp]]:
        """Checkpoints of one run, or all, and their rows."""
        if run not in self._parts:
            rows = np.flatnonzero(self.checkpoints.frame[RUN] == run)
            self._parts[run] = (
                Checkpoints(self.checkpoints.frame.iloc[rows].reset_index(drop=True), self.checkpoints.halves),
                rows,
            )
        return self._parts[run]

    def other_scores(self, values: pd.Series, name: str) -> FloatArray:
        """Scores of the evaluated checkpoints, shape (row,), from values by model label; NaN where there is none.

        Raises
        ------
        AnalysisError
            If the last checkpoint of a run has none.
        """
        jobs = [split.job for split in self.plan.splits]
        labels = np.concatenate([row_labels(job.folder, job.evaluation) for job in jobs])
        found = values.reindex(labels)
        last = found.iloc[np.sort(np.concatenate(list(self.checkpoints.last_rows.values())))]
        if missing := list(last.index[last.isna()]):
            raise AnalysisError(
                f"alternative {name!r} has no score of {len(missing)} of {len(last)} models at the last step; "
                f"first: {missing[0]!r}. Its models must have the same labels."
            )
        return found.to_numpy(dtype=np.float64)

    def variances(self, scores: FloatArray) -> list[RunVariance]:
        """Seed variance of each run from scores of shape (row,)."""
        return [run_variance(self.checkpoints.arrange(scores, run)) for run in self.runs]

    def curve(self, k: float) -> FloatArray:
        """Return V(k) of each run."""
        return np.asarray(self.components[:, 0] + self.components[:, 1] / k)

    def recipe(self, size: int, method: str, weights: str) -> dict[str, FloatArray]:
        """Scores by estimator, shape (row,), and ``k_eff``, one value per split."""
        parts = [self._read(split, "recipe", size, method, weights) for split in range(len(self.plan.splits))]
        names = [name for name in parts[0] if name not in ("items", "weights", "k_eff", "inner_fits")]
        joined = {name: self._joined(name, [part[name] for part in parts]) for name in names}
        return joined | {"k_eff": np.array([float(part["k_eff"]) for part in parts])}

    def splits_without_inner_fits(self) -> int:
        """Count the splits in which inner folds could not be fitted."""
        found = 0
        for split, tasks in enumerate(self._tasks):
            recipes = [key for key in tasks if key[0] == "recipe"]
            found += any(not self._read(split, *key)["inner_fits"] for key in recipes)
        return found

    def random(self, size: int) -> dict[Key, FloatArray]:
        """Scores of random subsets by weights and estimator, shape (subset, row)."""
        found: dict[Key, FloatArray] = {}
        for weights in self.plan.weightings:
            parts = [self._read(split, "random", size, weights) for split in range(len(self.plan.splits))]
            found |= {(weights, name): self._joined(name, [part[name] for part in parts]) for name in parts[0]}
        return found

    def path(self) -> Arrays:
        """Scores along the pruning path (drop, row), variances of random prunings (subset, drop, run)."""
        parts = [self._read(split, "path") for split in range(len(self.plan.splits))]
        return {
            "sizes": parts[0]["sizes"],
            "scores": np.concatenate([part["scores"] for part in parts], axis=1),
            "standard_error": np.concatenate([part["standard_error"] for part in parts], axis=1),
            "random": self.in_order([part["random"] for part in parts]),
        }

    def control(self, within: str) -> dict[tuple[str, str, str], FloatArray]:
        """Scores by (method, weights, estimator) calibrated on shuffled responses; of "random" (subset, row).

        Empty if the shuffled responses could not be fitted.
        """
        parts = [self._read(split, "control", within) for split in range(len(self.plan.splits))]
        if any(REASON in part for part in parts):
            return {}
        found = {}
        for key in (key for key in parts[0] if not key.startswith(CURE)):
            method, weights, estimator = key.split("|")
            found[method, weights, estimator] = self._joined(estimator, [part[key] for part in parts])
        return found

    def cures(self, within: str | None = None) -> dict[str, FloatArray]:
        """Scores of cures by ``kind|how``, (row,) or (subset, row); ``within``: calibrated on shuffled responses.

        Empty if the shuffled responses could not be fitted.
        """
        task = ("cures",) if within is None else ("control", within)
        parts = [self._read(split, *task) for split in range(len(self.plan.splits))]
        if any(REASON in part for part in parts):
            return {}
        prefix = "" if within is None else f"{CURE}|"
        curves = [part[f"{prefix}curve"] for part in parts]
        found = {}
        for key in parts[0]:
            kind, _, how = key.removeprefix(prefix).partition("|")
            if key.startswith(prefix) and how and all(key in part for part in parts):
                ability = kind in ("adaptive", "random") or how == "ability"
                scale = THETA if ability else WEIGHTED
                found[f"{kind}|{how}"] = self._joined(scale, [part[key] for part in parts], curves)
        return found

    def seed_model(self) -> list[Arrays]:
        """Seed variances of the hierarchical model, one result per split; see `irt_bench.study.split`."""
        return [self._read(split, "seed_model") for split in range(len(self.plan.splits))]

    def in_order(self, parts: list[FloatArray]) -> FloatArray:
        """Put values of the runs of each split, shape (..., run), in the order of `runs`."""
        return np.concatenate(parts, axis=-1)[..., self._order]

    def transfer(self) -> Arrays:
        """Columns of `irt_bench.analysis.transfer.compare_transfer`."""
        return self._read(0, "transfer")

    def _joined(self, name: str, parts: list[npt.NDArray[Any]], curves: list[FloatArray] | None = None) -> FloatArray:
        """Put the rows of all splits side by side; abilities on the scale of the first split."""
        parts = [part.astype(np.float64) for part in parts]
        if name == THETA:
            curves = curves or self._curves
            parts = [link_abilities(part, curve, curves[0]) for part, curve in zip(parts, curves, strict=True)]
        return np.concatenate(parts, axis=-1)

    def _read(self, split: int, kind: str, *key: Any) -> Arrays:
        name = self._tasks[split][(kind, *key)]
        if kind == RANDOM:  # large, and read once
            return self._store.read(name)
        if name not in self._results:
            self._results[name] = self._store.read(name)
        return self._results[name]


def fit_failure(plan: BenchmarkPlan, store: Store) -> str | None:
    """Return why the calibration models of some split cannot be fitted; None if all are fitted."""
    for split in plan.splits:
        found = store.read(tasks_by(split)["full",])
        if REASON in found:
            return str(found[REASON])
    return None


def _run_order(splits: tuple[SplitTasks, ...], checkpoints: Checkpoints) -> npt.NDArray[np.intp]:
    """Position of each run, in natural order, among the runs of all splits."""
    found = [run for split in splits for run in split.job.checkpoints.runs]
    if len(set(found)) != len(found):
        raise ValueError("a run is evaluated in two splits")
    order = {run: place for place, run in enumerate(found)}
    return np.array(
        [order[run] for run in sorted(set(checkpoints.frame[RUN]), key=checkpoints.runs.index)], dtype=np.intp
    )


FULL: Final = "full"


def is_random(rows: pd.DataFrame) -> pd.Series:
    """Whether each row is of random items, the reference of methods with the same estimator and weights."""
    return rows["method"] == RANDOM


def is_random_mean(rows: pd.DataFrame) -> pd.Series:
    """Whether each row is of unweighted means of random items."""
    return is_random(rows) & (rows["weights"] == EQUAL) & (rows["estimator"] == WEIGHTED)


def is_reference(rows: pd.DataFrame) -> pd.Series:
    """Whether each row is of random items or of the full benchmark."""
    return is_random(rows) | (rows["method"] == FULL)
