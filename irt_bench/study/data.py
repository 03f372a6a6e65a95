"""The data of a split: responses that workers map, models that calibrate, evaluated checkpoints and their scores.

The responses are written once, as arrays. A worker holds in memory the rows of the split it works on, their fit, and
the item curves: see `memory_bytes`. Scores of the checkpoints are arrays of shape (..., row); leading dimensions are
random subsets, or absent. All statistics are of scores alone, so that a subset, a weighting, an estimate of the full
score and ability are measured in the same way.
"""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy

from irt_bench.arrays import FloatArray, Positions
from irt_bench.files import replacing
from irt_bench.inference.convergence import MIN_MODELS
from irt_bench.inference.settings import LaplaceSettings
from irt_bench.irt_models.logistic import TwoPL
from irt_bench.names import RUN, SEED, STEP, SUBTASK
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.table import natural_order
from irt_bench.study.design import Split
from irt_bench.subsets.basis import ABILITY_NODES, SelectionBasis
from irt_bench.subsets.calibration import CalibrationPlan
from irt_bench.variance.metrics import monotonicity, tau_b
from irt_bench.variance.scores import step_order

DATA: Final = "data"  # folder of the responses as arrays

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


MIN_RANKED: Final = 3  # checkpoints, to compare their order
MOVING_LEVEL: Final = 0.05  # of the test that full scores move
ROUNDING: Final = 1e-24  # variance of equal scores


@dataclass(frozen=True)
class Checkpoints:
    """Evaluated models, one per row."""

    frame: pd.DataFrame  # ``run, seed, step`` as text, one row per checkpoint, in the order of the scores
    halves: bool = False  # whether the runs are halves of the seeds of one run, which differ only by chance

    @cached_property
    def runs(self) -> list[str]:
        """Names of the runs, in natural order."""
        return natural_order(set(self.frame[RUN]))

    @cached_property
    def known_to_move(self) -> dict[bytes, bool]:
        """What `scores_move` found of the full scores whose bytes these are."""
        return {}

    @cached_property
    def _grids(self) -> dict[str, _Grid]:
        return {run: _grid(self.frame, run) for run in self.runs}

    def arrange(self, scores: FloatArray, run: str) -> FloatArray:
        """Scores of one run as an array of shape (..., seed, step), steps in order; NaN for a missing checkpoint."""
        grid = self._grids[run]
        out = np.full((*scores.shape[:-1], *grid.shape), np.nan)
        out[..., grid.seeds, grid.steps] = scores[..., grid.rows]
        return out

    @cached_property
    def last_rows(self) -> dict[str, Positions]:
        """Rows at the last step of each run at which it has two or more seeds."""
        found = {}
        for run, grid in self._grids.items():
            n_seeds = np.bincount(grid.steps, minlength=grid.shape[1])
            found[run] = grid.rows[grid.steps == np.flatnonzero(n_seeds >= 2)[-1]]
        return found


class _Grid(NamedTuple):
    """Rows of a run, the numbers of their seeds and steps, and how many of both there are."""

    rows: Positions
    seeds: Positions
    steps: Positions
    shape: tuple[int, int]


def _grid(frame: pd.DataFrame, run: str) -> _Grid:
    rows = np.flatnonzero(frame[RUN] == run)
    part = frame.iloc[rows]
    seeds, steps = natural_order(set(part[SEED])), step_order(set(part[STEP]))
    codes = (pd.Index(seeds).get_indexer(pd.Index(part[SEED])), pd.Index(steps).get_indexer(pd.Index(part[STEP])))
    return _Grid(rows, *codes, (len(seeds), len(steps)))


class RunVariance(NamedTuple):
    """Variance over the seeds of a run, averaged over its steps, and what it was computed from.

    ``value`` has shape (...); ``contrasts`` (..., seed - 1, step) are independent contrasts of the seeds with the same
    mean square; ``freedom`` is the number of seeds less one.
    """

    value: FloatArray
    contrasts: FloatArray
    freedom: int


def run_variance(scores: FloatArray) -> RunVariance:
    """Variance over seeds (ddof 1), averaged over steps, with Helmert contrasts of the seeds.

    Scores have shape (..., seed, step), NaN for a missing checkpoint. Contrasts use the steps that are complete, or
    else the seeds of the last step.
    """
    there: npt.NDArray[np.bool_] = np.asarray(np.isfinite(scores).reshape(-1, *scores.shape[-2:]).all(axis=0))
    whole = scores[..., there.all(axis=0)]
    if not whole.shape[-1]:
        last = int(np.flatnonzero(there.sum(axis=0) == there.sum(axis=0).max())[-1])
        whole = scores[..., np.flatnonzero(there[:, last]), last][..., None]
    n = whole.shape[-2]
    contrasts = np.einsum("fs,...st->...ft", _helmert(n), whole) if n > 1 else whole[..., :0, :]
    return RunVariance(_variance(scores), contrasts, contrasts.shape[-2])


@lru_cache
def _helmert(n: int) -> FloatArray:
    return np.asarray(scipy.linalg.helmert(n))


def _variance(scores: FloatArray) -> FloatArray:
    return finite_mean(_step_variances(scores))


def mean_sd(scores: FloatArray) -> FloatArray:
    """Return E of the paper: the mean over steps of the sd over seeds (ddof 1), shape (...)."""
    return finite_mean(np.sqrt(_step_variances(scores)))


def _step_variances(scores: FloatArray) -> FloatArray:
    """Variance over seeds (ddof 1) at each step, shape (..., step); NaN at steps with fewer than two seeds."""
    if scores.shape[-2] > 1 and np.isfinite(scores).all():
        return np.asarray(scores.var(axis=-2, ddof=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanvar(scores, axis=-2, ddof=1))


def pooled_variance(runs: list[RunVariance]) -> FloatArray:
    """Pool variances within runs, weighted by seeds less one."""
    total = sum(run.freedom * run.value for run in runs)
    return np.asarray(total / sum(run.freedom for run in runs))


def score_statistics(scores: FloatArray, full: FloatArray, checkpoints: Checkpoints) -> dict[str, FloatArray]:
    """Compute statistics of sets of scores, shape (..., row), over all runs; `full` are the scores on all items.

    Returns
    -------
    dict of arrays of shape (...)
        ``e`` (the paper's E, root mean square over runs), ``mean`` and ``bias`` (of the last step, against the full
        score; NaN for scores on another scale is up to the caller), ``movement`` (see `movement`), ``snr`` (mean / seed
        sd at the last step), ``monotonicity``, ``kendall_tau`` (tau-b with the full score over checkpoints of the last
        step), ``decision_accuracy``.
    """
    arranged = {run: checkpoints.arrange(scores, run) for run in checkpoints.runs}
    last = checkpoints.last_rows
    final = np.concatenate(list(last.values()))
    last_variance = pooled_variance([run_variance(scores[..., rows, None]) for rows in last.values()])
    mean = np.mean([scores[..., rows].mean(axis=-1) for rows in last.values()], axis=0)
    freedom = np.array([each.shape[-2] - 1 for each in arranged.values()], dtype=np.float64)
    squares = np.stack([mean_sd(each) ** 2 for each in arranged.values()], axis=-1)
    courses = np.concatenate([monotonicity(each) for each in arranged.values()], axis=-1)
    enough = np.isfinite(scores[..., final] + full[final]).sum(axis=-1) >= MIN_RANKED
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = np.where(last_variance > ROUNDING, np.abs(mean) / np.sqrt(last_variance), np.nan)
    return {
        "e": np.sqrt(squares @ freedom / freedom.sum()),
        "mean": np.asarray(mean),
        "bias": mean - np.mean([full[rows].mean() for rows in last.values()]),
        "movement": movement(scores, full, checkpoints),
        "snr": snr,
        "monotonicity": finite_mean(courses),
        "kendall_tau": np.where(enough, tau_b(full[final], scores[..., final]), np.nan),
        "decision_accuracy": decision_accuracy(scores, full, checkpoints),
    }


def decision_accuracy(scores: FloatArray, full: FloatArray, checkpoints: Checkpoints) -> FloatArray:
    """Share of pairs of checkpoints of two runs that the scores order as the mean full scores of the runs.

    Checkpoints are those of the last step. Pairs of runs with equal means do not count; equal scores count half. NaN
    with fewer than two runs, or if the runs are halves of one.
    """
    right, n = np.zeros(scores.shape[:-1]), 0
    for one, other in itertools.combinations([] if checkpoints.halves else checkpoints.last_rows.values(), 2):
        truth = np.sign(full[one].mean() - full[other].mean())
        if truth != 0:
            found = np.sign(scores[..., one, None] - scores[..., None, other])
            right += (1 + found * truth).sum(axis=(-2, -1)) / 2
            n += len(one) * len(other)
    return right / n if n else np.full(right.shape, np.nan)


def movement(scores: FloatArray, full: FloatArray, checkpoints: Checkpoints) -> FloatArray:
    """Slope of the scores on the full scores, over means of runs and steps: 1 if they move equally, 0 if not at all.

    Halves of one run count only by their movement from step to step.

    Returns
    -------
    array of shape (...)
        NaN if the full scores do not move by more than seed noise: see `scores_move`.
    """
    y, x = (_points(each, checkpoints) for each in (scores, full))
    known = np.isfinite(x) & np.isfinite(y).reshape(-1, y.shape[-1]).all(axis=0)
    key = full.tobytes()
    if key not in checkpoints.known_to_move:  # asked of the same scores for every subset
        checkpoints.known_to_move[key] = scores_move(full, checkpoints)
    if not checkpoints.known_to_move[key]:
        return np.full(y.shape[:-1], np.nan)
    x = x[known] - x[known].mean() if known.any() else x[known]
    return np.asarray(y[..., known] @ x / (x @ x))


def scores_move(full: FloatArray, checkpoints: Checkpoints) -> bool:
    """Whether mean full scores of runs and steps differ by more than seed noise.

    An F test at 5% of their variance against the variance of means over seeds. Without such a difference, a slope on
    the full scores is noise: between two halves of the seeds of one run it ranged from -32 to 79.
    """
    points = _points(full, checkpoints)
    points = points[np.isfinite(points)]
    free = len(points) - (len(checkpoints.runs) if checkpoints.halves else 1)
    runs = [run_variance(checkpoints.arrange(full, run)) for run in checkpoints.runs]
    if free < 1:
        return False
    between = float(((points - (0.0 if checkpoints.halves else points.mean())) ** 2).sum()) / free
    within = float(np.mean([run.value / (run.freedom + 1) for run in runs]))
    if not between > 1e-12:
        return False
    return within <= 0 or between / within > scipy.stats.f.ppf(1 - MOVING_LEVEL, free, sum(run.freedom for run in runs))


def _points(scores: FloatArray, checkpoints: Checkpoints) -> FloatArray:
    """Means over seeds, shape (..., run and step); for halves of one run, centred within each half."""
    means = [finite_mean(checkpoints.arrange(scores, run), axis=-2) for run in checkpoints.runs]
    if checkpoints.halves:
        means = [each - finite_mean(each)[..., None] for each in means]
    return np.concatenate(means, axis=-1)


def finite_mean(values: FloatArray, axis: int = -1) -> FloatArray:
    """Mean of the finite values over one axis; NaN if there are none."""
    known = np.isfinite(values)
    if values.size and known.all():
        return np.asarray(values.mean(axis=axis))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(np.where(known, values, np.nan), axis=axis))
