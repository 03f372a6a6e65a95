"""Training runs: which rows of the responses are which seed of which run at which step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench import names
from irt_bench.errors import ModelError
from irt_bench.responses.table import natural_order

Array = npt.NDArray[Any]


class Pairs(NamedTuple):
    """(run, seed) or (run, step) pairs that occur, in natural order."""

    of: Array  # (checkpoint,): each checkpoint's pair
    run: Array  # (pair,)
    labels: Array  # (pair,)


@dataclass(frozen=True)
class SeedDesign:
    """Which rows of the responses are which seed of which run at which step.

    Parameters
    ----------
    rows : integer array of shape (checkpoint,)
        Rows of the responses used: a checkpoint with answers whose run has another seed at the same step.
    runs : array of str
        Labels of the runs.
    seeds, steps : Pairs
        The (run, seed) and the (run, step) pairs that occur.
    has_steps : bool
        Whether the step effect is identified beside the seed effect.
    """

    rows: Array
    runs: Array
    seeds: Pairs
    steps: Pairs
    has_steps: bool

    @property
    def run_of(self) -> Array:
        """Position of each checkpoint's run, shape (checkpoint,)."""
        return np.asarray(self.seeds.run[self.seeds.of])

    @classmethod
    def from_models(cls, models: pd.DataFrame, answered: npt.NDArray[np.bool_]) -> SeedDesign:
        """Read the design off the metadata of the models.

        Parameters
        ----------
        models : pd.DataFrame
            Column ``seed``; optionally ``run`` (else all models with a seed form one run) and ``step`` (else there is
            one step).
        answered : boolean array of shape (model,)
            Whether a model has any answer.

        Raises
        ------
        ModelError
            If there is no seed, two rows are the same checkpoint, or no run has two seeds at one step.
        """
        if names.SEED not in models or not models[names.SEED].notna().any():
            raise ModelError(
                f"no model has the seed it was trained with (columns: {', '.join(map(str, models)) or 'none'}); a "
                "column 'seed' is needed, and 'run' and 'step' where there are several."
            )
        frame = pd.DataFrame({name: _labels(models, name) for name in (names.RUN, names.SEED, names.STEP)})
        seeded = models[names.SEED].notna().to_numpy() & answered
        twice = np.zeros(len(frame), dtype=bool)
        twice[seeded] = frame[seeded].duplicated()
        if twice.any():
            place = int(twice.argmax())
            run, seed, step = frame.iloc[place]
            raise ModelError(
                f"{int(twice.sum())} models repeat a checkpoint; first: {models.index[place]!r} is another run "
                f"{run!r}, seed {seed!r}, step {step!r}. Give a column 'run' or 'step' that tells them apart."
            )
        shared = frame[seeded].groupby([names.RUN, names.STEP])[names.SEED].transform("size") > 1
        rows = np.flatnonzero(seeded)[shared.to_numpy()]
        kept = frame.iloc[rows]
        if not len(rows):
            raise ModelError(
                f"{int(seeded.sum())} models with a seed and answers, but no run has two of them at one step; a spread "
                "over seeds needs at least two seeds of one run."
            )
        several = kept.groupby([names.RUN, names.SEED]).size() > 1
        pairs = {name: _pairs(kept, name) for name in (names.SEED, names.STEP)}
        runs = np.array(natural_order(kept[names.RUN].unique()), dtype=str)
        return cls(rows, runs, pairs[names.SEED], pairs[names.STEP], bool(several.any()))


def _labels(models: pd.DataFrame, name: str) -> Array:
    """Values of a column as text; empty where missing, or where there is no such column."""
    if name not in models:
        return np.full(len(models), "", dtype=object)
    known = models[name].notna().to_numpy()
    return np.where(known, models[name].astype("str").to_numpy(dtype=object), "")


def _pairs(kept: pd.DataFrame, column: str) -> Pairs:
    """Pairs of a run and a value of a column, both in natural order."""
    run, code = (
        pd.Index(natural_order(kept[name].unique())).get_indexer(pd.Index(kept[name])) for name in (names.RUN, column)
    )
    _, first, of = np.unique(run * len(kept) + code, return_index=True, return_inverse=True)
    return Pairs(of, run[first], kept[column].to_numpy(dtype=str)[first])
