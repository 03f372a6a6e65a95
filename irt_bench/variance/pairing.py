"""The same runs, seeds, steps and items in two sets of scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from irt_bench.errors import AnalysisError
from irt_bench.variance.scores import RunScores

FEWEST_SEEDS: Final = 3  # of a run: with two, nothing tells how the two scores move together


def paired_runs(a: Sequence[RunScores], b: Sequence[RunScores], *, matched: bool) -> list[tuple[RunScores, RunScores]]:
    """Match runs by name, their seeds and steps by label; drop items with a missing cell.

    Parameters
    ----------
    a, b : sequences of RunScores
        One benchmark, framing or measure each.
    matched : bool
        Whether the items are the same ones, to be matched by label, or two sets to be taken whole.

    Raises
    ------
    AnalysisError
        If no run has `FEWEST_SEEDS` seeds and a step in common, or cells are missing beyond whole items.
    """
    others = {run.run: run for run in b}
    found = []
    for one in a:
        other = others.get(one.run)
        if other is None:
            continue
        seeds = [seed for seed in one.seeds if seed in other.seeds]
        steps = [step for step in one.steps if step in other.steps]
        if len(seeds) < FEWEST_SEEDS or not steps:
            continue
        items = one.items[one.items.isin(other.items)] if matched else None
        found.append(tuple(_aligned(run, seeds, steps, items) for run in (one, other)))
    kept = [_complete_items(*pair, matched=matched) for pair in found]
    if not kept:
        raise AnalysisError(
            f"no run has {FEWEST_SEEDS} seeds and a step in both; runs of the first: {[run.run for run in a][:5]}, of "
            f"the second: {[run.run for run in b][:5]}. Runs, seeds and steps must be named alike in both."
        )
    return kept


def _aligned(run: RunScores, seeds: list[str], steps: list[str], items: pd.Index | None) -> RunScores:
    rows, columns = pd.Index(run.seeds).get_indexer(pd.Index(seeds)), pd.Index(run.steps).get_indexer(pd.Index(steps))
    places = np.arange(run.n_items) if items is None else run.items.get_indexer(items)
    at = np.ix_(rows, columns, places)
    subtask = None if run.subtask is None else run.subtask.iloc[places]
    return replace(
        run, values=run.values[at], trials=run.trials[at], seeds=tuple(seeds), steps=tuple(steps),
        items=run.items[places], subtask=subtask, within=None if run.within is None else run.within[at],
    )  # fmt: skip


def _complete_items(one: RunScores, other: RunScores, *, matched: bool) -> tuple[RunScores, RunScores]:
    whole = [np.asarray(np.isfinite(run.values).all(axis=(0, 1))) for run in (one, other)]
    if matched:
        whole = [whole[0] & whole[1]] * 2
    for run, keep in zip((one, other), whole, strict=True):
        if keep.sum() < 2:
            raise AnalysisError(
                f"run {run.run!r}, {run.benchmark} {run.measure}: fewer than two items were answered by all seeds at "
                "all steps; a paired comparison needs them complete."
            )
    return one.take(whole[0]), other.take(whole[1])
