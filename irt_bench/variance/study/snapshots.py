"""Scores of the evaluated snapshots: which row is which run, seed and step, and what is measured of a set of scores.

Scores are arrays of shape (..., row): leading dimensions are random subsets, or nothing. Everything here looks at
scores alone, so that a subset, a weighting, an estimate of the full score and ability are measured alike.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import linalg

from irt_bench.names import RUN, SEED, STEP
from irt_bench.responses.table import natural_order
from irt_bench.variance.layout import step_order
from irt_bench.variance.metrics import monotonicity, tau_b

FloatArray = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Snapshots:
    """Evaluated models: a row each.

    Parameters
    ----------
    frame : pd.DataFrame
        ``run, seed, step`` as text, one row a snapshot, in the order of the scores.
    """

    frame: pd.DataFrame

    @cached_property
    def runs(self) -> list[str]:
        """Names of the runs, in natural order."""
        return natural_order(set(self.frame[RUN]))

    @cached_property
    def _grids(self) -> dict[str, _Grid]:
        return {run: _grid(self.frame, run) for run in self.runs}

    def arrange(self, scores: FloatArray, run: str) -> FloatArray:
        """Scores of one run as an array of shape (..., seed, step), steps in order; NaN where there is no snapshot."""
        grid = self._grids[run]
        out = np.full((*scores.shape[:-1], *grid.shape), np.nan)
        out[..., grid.seeds, grid.steps] = scores[..., grid.rows]
        return out

    @cached_property
    def last_rows(self) -> dict[str, Places]:
        """Rows at the last step of each run at which it has two or more seeds."""
        found = {}
        for run, grid in self._grids.items():
            n_seeds = np.bincount(grid.steps, minlength=grid.shape[1])
            found[run] = grid.rows[grid.steps == np.flatnonzero(n_seeds >= 2)[-1]]
        return found


class _Grid(NamedTuple):
    """Rows of a run, the numbers of their seeds and steps, and how many of both there are."""

    rows: Places
    seeds: Places
    steps: Places
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

    Parameters
    ----------
    scores : array of shape (..., seed, step)
        NaN for a snapshot that is not there; contrasts are of the steps, or else of the seeds, that are complete.
    """
    there: npt.NDArray[np.bool_] = np.asarray(np.isfinite(scores).reshape(-1, *scores.shape[-2:]).all(axis=0))
    whole = scores[..., there.all(axis=0)]
    if not whole.shape[-1]:
        last = int(np.flatnonzero(there.sum(axis=0) == there.sum(axis=0).max())[-1])
        whole = scores[..., np.flatnonzero(there[:, last]), last][..., None]
    n = whole.shape[-2]
    contrasts = np.einsum("fs,...st->...ft", linalg.helmert(n), whole) if n > 1 else whole[..., :0, :]
    return RunVariance(_variance(scores), contrasts, contrasts.shape[-2])


def _variance(scores: FloatArray) -> FloatArray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a step with fewer than two seeds is left out
        return np.asarray(np.nanmean(np.nanvar(scores, axis=-2, ddof=1), axis=-1))


def mean_sd(scores: FloatArray) -> FloatArray:
    """Return E of the paper: the mean over steps of the sd over seeds (ddof 1), shape (...)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(np.nanstd(scores, axis=-2, ddof=1), axis=-1))


def pooled_variance(runs: list[RunVariance]) -> FloatArray:
    """Pool within runs, weight seeds less one."""
    freedom = np.array([run.freedom for run in runs], dtype=np.float64)
    return np.asarray(np.tensordot(freedom, np.stack([run.value for run in runs]), 1) / freedom.sum())


def statistics_of(scores: FloatArray, full: FloatArray, snapshots: Snapshots) -> dict[str, float]:
    """Measure one set of scores beside the full benchmark's, over all runs given.

    Returns
    -------
    dict
        ``e`` (the paper's E, root mean square over runs), ``mean`` and ``bias`` (of the last step, against the full
        score; NaN for scores on another scale is up to the caller), ``movement`` (see `movement`), ``snr`` (mean / seed
        sd at the last step), ``monotonicity``, ``kendall_tau`` (tau-b with the full score, snapshots of the last step),
        ``decision_accuracy``.
    """
    arranged = {run: snapshots.arrange(scores, run) for run in snapshots.runs}
    last = snapshots.last_rows
    final = np.concatenate(list(last.values()))
    last_variance = pooled_variance([run_variance(scores[rows][:, None]) for rows in last.values()])
    mean = float(np.mean([scores[rows].mean() for rows in last.values()]))
    freedom = np.array([len(each) - 1 for each in arranged.values()], dtype=np.float64)
    squares = np.array([float(mean_sd(each)) ** 2 for each in arranged.values()])
    return {
        "e": float(np.sqrt((freedom * squares).sum() / freedom.sum())),
        "mean": mean,
        "bias": mean - float(np.mean([full[rows].mean() for rows in last.values()])),
        "movement": float(movement(scores, full, snapshots)),
        "snr": abs(mean) / float(np.sqrt(last_variance)) if last_variance > 0 else np.nan,
        "monotonicity": _mean_known(np.concatenate([monotonicity(each) for each in arranged.values()])),
        "kendall_tau": _tau(scores[final], full[final]),
        "decision_accuracy": decision_accuracy(scores, full, list(last.values())),
    }


def decision_accuracy(scores: FloatArray, full: FloatArray, runs: list[Places]) -> float:
    """Share of pairs of snapshots, one of each of two runs, that the scores order as the runs' mean full scores do.

    Parameters
    ----------
    scores, full : arrays of shape (row,)
        Scores looked at, and those of the full benchmark.
    runs : list of int arrays
        Rows of each run. NaN with fewer than two; pairs of runs with equal means do not count, equal scores half.
    """
    right, n = 0.0, 0
    for place, one in enumerate(runs):
        for other in runs[place + 1 :]:
            truth = np.sign(full[one].mean() - full[other].mean())
            if truth != 0:
                found = np.sign(scores[one][:, None] - scores[other][None])
                right += float((1 + found * truth).sum() / 2)
                n += found.size
    return right / n if n else np.nan


def movement(scores: FloatArray, full: FloatArray, snapshots: Snapshots) -> FloatArray:
    """Slope of the scores on the full scores, over means of runs and steps: 1 moves as much, 0 not at all.

    Parameters
    ----------
    scores : array of shape (..., row)
        Scores looked at.
    full : array of shape (row,)
        Scores of the full benchmark; with seeds averaged out these are the signal.

    Returns
    -------
    array of shape (...)
        NaN with a single run at a single step, or full scores that do not move.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        y, x = (
            np.concatenate([np.nanmean(snapshots.arrange(each, run), axis=-2) for run in snapshots.runs], axis=-1)
            for each in (scores, full)
        )
    known = np.isfinite(x) & np.isfinite(y).reshape(-1, y.shape[-1]).all(axis=0)
    x = x[known] - x[known].mean() if known.any() else x[known]
    square = float(x @ x)
    found = np.asarray(y[..., known] @ x)
    return found / square if square > 1e-12 * max(known.sum(), 1) else np.full(found.shape, np.nan)


def _tau(scores: FloatArray, full: FloatArray) -> float:
    known = np.isfinite(scores) & np.isfinite(full)
    return float(tau_b(full[known], scores[known])) if known.sum() >= 3 else np.nan


def _mean_known(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan
