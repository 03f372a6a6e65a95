"""RunScores: what the seeds of one run scored on every item at every step, one measure of one benchmark."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench import names
from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError
from irt_bench.responses.table import natural_order
from irt_bench.variance.layout import SeedLayout

ACCURACY = "accuracy"
MISSING_GROUP = "(none)"  # of items without a subtask, where others have one


@dataclass(frozen=True)
class RunScores:
    """Item scores of one run.

    Parameters
    ----------
    benchmark, run, measure : str
        What was asked, who answered, how an answer is valued.
    values : array of shape (seed, step, item)
        Mean over the trials of a cell; NaN where it was not answered. Items that no seed answered are left out.
    trials : array of shape (seed, step, item)
        Number of answers a cell.
    seeds, steps : tuple of str
        Labels; steps in the order of training.
    items : pd.Index
        Labels.
    subtask : pd.Series or None
        Of each item, where the benchmark has subtasks.
    binary : bool
        Whether each single answer is 0 or 1.
    falling : bool
        Whether a lower value is a better one, as with a loss.
    within : array of shape (seed, step, item), or None
        Variance (ddof 1) of the answers of a cell that are not 0/1; NaN with fewer than two. None: there are none.
    """

    benchmark: str
    run: str
    measure: str
    values: FloatArray
    trials: npt.NDArray[np.integer]
    seeds: tuple[str, ...]
    steps: tuple[str, ...]
    items: pd.Index
    subtask: pd.Series | None = None
    binary: bool = True
    falling: bool = False
    within: FloatArray | None = None

    @property
    def n_seeds(self) -> int:
        """Number of seeds."""
        return len(self.seeds)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.items)

    @property
    def complete(self) -> bool:
        """Whether every seed answered every item at every step."""
        return bool(np.isfinite(self.values).all())

    def scores(self) -> FloatArray:
        """Mean over the answered items, shape (seed, step); NaN for a snapshot that is not there."""
        return mean_over_items(self.values)

    def take(self, items: npt.NDArray[np.bool_] | npt.NDArray[np.integer]) -> RunScores:
        """Keep some items."""
        return replace(
            self,
            values=self.values[..., items],
            trials=self.trials[..., items],
            items=self.items[items],
            subtask=None if self.subtask is None else self.subtask.iloc[items],
            within=None if self.within is None else self.within[..., items],
        )

    def subtasks(self) -> dict[str, RunScores]:
        """Part by subtask; empty where there are fewer than two."""
        if self.subtask is None or self.subtask.nunique() < 2:
            return {}
        return {str(name): self.take(np.asarray(self.subtask == name)) for name in self.subtask.unique()}

    def subtask_codes(self) -> npt.NDArray[np.intp] | None:
        """Give each item the number of its subtask, by first occurrence; None where there are fewer than two."""
        if self.subtask is None or self.subtask.nunique() < 2:
            return None
        return pd.factorize(self.subtask)[0]


def mean_over_items(values: FloatArray) -> FloatArray:
    """Mean over the last axis of what is there; NaN without anything."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        return np.asarray(np.nanmean(values, axis=-1))


class Cells(NamedTuple):
    """Answers of all models to the items of one benchmark, one measure, as (model, item) arrays; see `RunScores`."""

    benchmark: str
    measure: str
    values: FloatArray
    trials: npt.NDArray[np.integer]
    models: pd.Index
    items: pd.DataFrame
    binary: bool = True
    falling: bool = False
    within: FloatArray | None = None


def run_scores(cells: Cells, layout: SeedLayout) -> list[RunScores]:
    """Arrange a (model, item) matrix by run, seed and step.

    Parameters
    ----------
    cells : Cells
        The matrix; its items have metadata ``subtask`` where there are subtasks.
    layout : SeedLayout
        Which row is which run, seed and step.

    Raises
    ------
    AnalysisError
        If no run has two seeds with answers.
    """
    found = []
    items = cells.items
    subtask = items[names.SUBTASK].astype("object").fillna(MISSING_GROUP) if names.SUBTASK in items else None
    place = pd.Series(np.arange(len(cells.models)), index=cells.models)
    answered = np.asarray(np.isfinite(cells.values).any(axis=1))
    for run in layout.runs:
        snapshots = layout.models[layout.models[names.RUN] == run]
        snapshots = snapshots[snapshots.index.isin(cells.models[answered])]
        if snapshots[names.SEED].nunique() < 2:
            continue
        seeds, steps = _labels(snapshots, layout.steps)
        rows = place.reindex(snapshots.index).to_numpy()
        at = (_codes(snapshots[names.SEED], seeds), _codes(snapshots[names.STEP], steps))
        shape = (len(seeds), len(steps), cells.values.shape[1])
        values = _placed(cells.values[rows], at, shape, np.nan)
        asked: npt.NDArray[np.bool_] = np.asarray(np.isfinite(values).any(axis=(0, 1)))
        run_of = RunScores(
            cells.benchmark, run, cells.measure, values, _placed(cells.trials[rows], at, shape, 0), seeds, steps,
            pd.Index(items.index), subtask, cells.binary, cells.falling,
            None if cells.within is None else _placed(cells.within[rows], at, shape, np.nan),
        )  # fmt: skip
        found.append(run_of if asked.all() else run_of.take(np.flatnonzero(asked)))
    if not found:
        raise AnalysisError(
            f"benchmark {cells.benchmark!r}, {cells.measure}: no run has two seeds with answers; seed variance needs "
            "two or more."
        )
    return found


def _labels(snapshots: pd.DataFrame, order: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    present = set(snapshots[names.STEP])
    return tuple(natural_order(set(snapshots[names.SEED]))), tuple(step for step in order if step in present)


def _codes(values: pd.Series, labels: Sequence[str]) -> npt.NDArray[np.intp]:
    return pd.Index(labels).get_indexer(pd.Index(values))


def _placed(values: npt.NDArray[Any], at: tuple[Any, ...], shape: tuple[int, ...], empty: float) -> npt.NDArray[Any]:
    """Put rows in their places of a (seed, step, item) array."""
    out = np.full(shape, empty, dtype=values.dtype)
    out[at] = values
    return out
