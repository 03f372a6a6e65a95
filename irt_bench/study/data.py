"""Files of a study: the responses, once, as arrays that workers map; and the result of each task.

A result file has the hash of its inputs as its name. It appears under that name only when it is complete. A study that
was killed therefore continues from the files that exist, and a changed design finds the results it shares with the old
one. A worker holds in memory the rows of the split it works on, their fit, and the item curves: see `memory_bytes`.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.arrays import Positions
from irt_bench.errors import OutputError
from irt_bench.files import FOLDER_MARKER, HIDDEN_PREFIX, remove_abandoned, replacing
from irt_bench.inference.convergence import MIN_MODELS
from irt_bench.inference.settings import LaplaceSettings
from irt_bench.irt_models.logistic import TwoPL
from irt_bench.names import RUN, SEED, STEP, SUBTASK
from irt_bench.responses.counts import ResponseCounts
from irt_bench.study.checkpoints import Checkpoints
from irt_bench.study.design import Split
from irt_bench.subsets.basis import ABILITY_NODES, SelectionBasis
from irt_bench.subsets.calibration import CalibrationPlan

TASKS: Final = "tasks"  # folder of the results of tasks
DATA: Final = "data"  # folder of the responses as arrays
SUFFIX: Final = ".npz"

# What NumPy raises on an archive whose bytes were changed.
DAMAGED: Final = (
    OSError, ValueError, KeyError, EOFError, MemoryError, NotImplementedError, OverflowError, RuntimeError, SyntaxError,
    TypeError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip

Result = Mapping[str, npt.NDArray[Any]]


def input_hash(inputs: Mapping[str, Any]) -> str:
    """Return the name of a task: 40 digits of the SHA-256 over its sorted inputs."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


@dataclass(frozen=True)
class Store:
    """Folder of a study."""

    folder: Path

    def open(self) -> None:
        """Make the folder, or continue in one that a study made.

        Raises
        ------
        OutputError
            If it holds other files, or cannot be written.
        """
        path = self.folder
        if path.exists() and (not path.is_dir() or path.is_symlink()):
            raise OutputError(f"{path} is not a folder; choose another name.")
        if path.is_dir() and any(path.iterdir()) and not (path / TASKS).is_dir():
            raise OutputError(f"{path} holds files that no study of this version wrote; choose another folder.")
        try:
            for part in (TASKS, DATA):
                (path / part).mkdir(parents=True, exist_ok=True)
                remove_abandoned(path / part)
        except OSError as error:
            raise OutputError(f"folder {path} cannot be made: {error.strerror}.") from error

    def has(self, name: str) -> bool:
        """Whether a task is finished."""
        return self._path(name).is_file()

    def finished(self) -> set[str]:
        """Names of all finished tasks."""
        return {
            entry.name.removesuffix(SUFFIX)
            for entry in os.scandir(self.folder / TASKS)
            if entry.name.endswith(SUFFIX) and not entry.name.startswith(HIDDEN_PREFIX)
        }

    def write(self, name: str, result: Result) -> None:
        """Write the result of a task atomically; the same result gives the same bytes."""
        write_arrays(self._path(name), result)

    def read(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """Read the result of a finished task.

        Raises
        ------
        OutputError
            If the file is damaged; it is removed, so that the next run computes it again.
        """
        path = self._path(name)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                return {key: found[key] for key in found.files}
        except DAMAGED as error:
            path.unlink(missing_ok=True)
            raise OutputError(
                f"task result {path.name} was damaged ({error}) and is removed; run the study again to compute it."
            ) from error

    def unfinished_mark(self) -> None:
        """Remove the mark of a finished study while it is computed again."""
        (self.folder / FOLDER_MARKER).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.folder / TASKS / f"{name}{SUFFIX}"


def write_arrays(path: Path, arrays: Result) -> None:
    """Write named arrays: a reader sees a whole file or none."""
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez(file, **dict(arrays))  # type: ignore[arg-type]


FIT_DRAWS: Final = 200  # of the items' parameters: means are known to 7% of their posterior sd
MAX_REFINED: Final = 40_000_000  # responses times draws: some seconds per fit
INNER_FOLDS: Final = 2  # of the calibration models, from which gp-IRT learns its share
CONTROL_SWEEPS: Final = 20
CONTROL_TOLERANCE: Final = 0.05
CALIBRATED_BYTES: Final = 400  # per response of the calibration models, at most, over all working arrays
CURVE_BYTES: Final = 8 * 4  # per node of an item's curve


class SplitJob(NamedTuple):
    """One split of one benchmark: where its responses are, which rows calibrate, which are evaluated."""

    folder: Path
    benchmark: str
    split: str
    calibration: Positions
    evaluation: Positions
    checkpoints: Checkpoints
    seed: int
    fingerprints: tuple[str, str]  # of the calibration rows and the evaluation rows


def calibration_plan(job: SplitJob, calibration: ResponseCounts) -> CalibrationPlan:
    """Choose what is fitted to the calibration models: the 2PL, by the fast method.

    If the models are few, draws are refined to the exact posterior as long as that takes only seconds: at the modes,
    slopes are then near 0. For five models with 83% right on average, modes gave 79%, and refined draws 82.5%.
    """
    n_models, n_items = calibration.correct.shape
    refine = n_models < MIN_MODELS and n_models * n_items * FIT_DRAWS <= MAX_REFINED
    settings = LaplaceSettings(seed=job.seed, threads=1, draws=FIT_DRAWS, refine=refine)
    return CalibrationPlan(TwoPL(), settings, n_folds=INNER_FOLDS)


def write_data(counts: ResponseCounts, layout: pd.DataFrame, folder: Path) -> Path:
    """Write the responses of one benchmark once, for all workers, and return the folder that `read_rows` reads.

    `layout` has ``run, seed, step`` of the models that have them. The folder is absolute, as workers may run elsewhere.
    """
    place = folder.absolute() / DATA / counts.fingerprint().removeprefix("sha256:")[:24]
    models = layout.reindex(counts.models.index)[[RUN, SEED, STEP]].astype("object")
    items = pd.DataFrame({SUBTASK: counts.items[SUBTASK].astype("object")} if SUBTASK in counts.items else {},
                         index=counts.items.index)  # fmt: skip
    place.mkdir(parents=True, exist_ok=True)
    for name, array in (("correct", counts.correct), ("trials", counts.trials)):
        if not (place / f"{name}.npy").is_file():
            with replacing(place / f"{name}.npy") as beside, beside.open("wb") as file:
                np.save(file, array)
    for name, frame in (("models", models), ("items", items)):
        with replacing(place / f"{name}.parquet") as beside:
            frame.rename_axis("label").reset_index().to_parquet(beside, index=False)
    return place


def read_rows(place: Path, rows: Positions, benchmark: str) -> ResponseCounts:
    """Read the responses of some models; the others stay on disk."""
    correct, trials = (
        np.load(place / f"{name}.npy", mmap_mode="r", allow_pickle=False)[rows] for name in ("correct", "trials")
    )
    models, items = (pd.read_parquet(place / f"{name}.parquet").set_index("label") for name in ("models", "items"))
    models = models.iloc[rows].rename_axis("model")
    kept = [name for name in (RUN, SEED, STEP) if models[name].notna().any()]
    return ResponseCounts(correct, trials, models[kept], items.rename_axis("item"), benchmark)


def row_labels(place: Path, rows: Positions) -> pd.Index:
    """Labels of some models of the responses that were written."""
    labels: pd.Series[str] = pd.read_parquet(place / "models.parquet", columns=["label"])["label"]
    return pd.Index(labels.to_list()).take(rows)


def make_job(counts: ResponseCounts, place: Path, split: Split, seed: int) -> tuple[SplitJob | None, int]:
    """Take the rows of a split that have responses; None if no run has two seeds left.

    Returns
    -------
    job : Job or None
    n_equal : int
        Calibration models left out because their responses equal those of an evaluated one.
    """
    answered = counts.models.index[np.flatnonzero(counts.asked.any(axis=1))]
    evaluation = split.evaluation[split.evaluation.index.isin(answered)]
    together = evaluation.groupby([RUN, STEP])[SEED].transform("nunique")
    several = together.groupby(evaluation[RUN]).transform("max") >= 2
    evaluation = evaluation[several]
    if not len(evaluation):
        return None, 0
    evaluated = counts.models.index.get_indexer(evaluation.index)
    kept = counts.models.index.get_indexer(split.calibration.intersection(answered, sort=False))
    seen = {_row(counts, place) for place in evaluated.tolist()}
    equal = np.array([_row(counts, place) in seen for place in kept.tolist()], dtype=np.bool_)
    kept = kept[np.flatnonzero(~equal)]
    prints = [counts.take(models=rows).fingerprint() for rows in (kept, evaluated)]
    checkpoints = Checkpoints(evaluation.reset_index(drop=True))
    job = SplitJob(place, counts.benchmark, split.name, kept, evaluated, checkpoints, seed, (prints[0], prints[1]))
    return job, int(equal.sum())


def _row(counts: ResponseCounts, place: int) -> bytes:
    row: bytes = counts.correct[place].tobytes() + counts.trials[place].tobytes()
    return row


def memory_bytes(n_models: int, n_items: int) -> int:
    """Return the largest memory that one worker needs for one split, beside the libraries."""
    curves = n_items * len(ABILITY_NODES) * CURVE_BYTES
    return n_models * n_items * CALIBRATED_BYTES + curves * (1 + INNER_FOLDS)


def fit_calibration(job: SplitJob, counts: ResponseCounts) -> SelectionBasis:
    """Fit the calibration models of a split."""
    return calibration_plan(job, counts).fit_basis(counts)


def fit_shuffled(job: SplitJob, counts: ResponseCounts) -> SelectionBasis:
    """Fit shuffled responses roughly: they hold no information, so that a fit to full precision takes all its sweeps.

    Items of negative discrimination are kept: some are negative by chance.
    """
    plan = calibration_plan(job, counts)
    rough = {"max_sweeps": CONTROL_SWEEPS, "tolerance": CONTROL_TOLERANCE, "refine": False}
    settings = plan.settings.model_copy(update=rough)
    return plan._replace(settings=settings, keep_negative=True).fit_basis(counts)
