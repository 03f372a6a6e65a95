"""Adaptive tests in a harness: a task of Inspect that asks the best sample next, rounds for lm-evaluation-harness."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from irt_bench.analysis.labelled_draws import ItemParameters, item_draws, positions_of, refuse_populations
from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError, SubsetError, check_range
from irt_bench.names import ITEM
from irt_bench.responses.counts import ResponseCounts
from irt_bench.subsets.adaptive import ITEM_DRAWS, NODES, item_bank
from irt_bench.subsets.harness import inspect_adaptive
from irt_bench.subsets.harness.inspect_adaptive import LiveTest
from irt_bench.subsets.subset import SubsetRecord

MODULE: Final = "adaptive_test"
TASK_FILE: Final = "task.py"
TASK_NAME: Final = "adaptive"
ITEMS_FILE: Final = "items.json"
EVERY: Final = 2  # of the nodes: 0.1 apart
DIGITS: Final = 6
TASK_TEXT: Final = '''"""The task {task}, asked adaptively; see {module}.py. Written by irt_bench."""

import sys
from pathlib import Path

from inspect_ai import task, task_with

sys.path.insert(0, str(Path(__file__).resolve().parent))
from {module} import AdaptiveStopping, full_task


@task
def {name}():
    return task_with(full_task({task!r}), early_stopping=AdaptiveStopping(Path(__file__).with_name({items!r})))
'''


@dataclass(frozen=True)
class AdaptiveRules:
    """Rules of a live adaptive test.

    Parameters
    ----------
    stop_sd : float
        The test ends when the posterior sd of ability is at most this, in [0, 1).
    min_items, max_items : int
        Smallest and largest number of items.
    parallel : int
        Items asked at the same time; also the size of a round. More than one asks somewhat less informative items.
    exposure : int
        Each item is drawn at random among this many of the most informative, so that not all models see the same.
    balance : bool
        Whether subtasks keep their shares of the items.
    scorer : str, optional
        Scorer of Inspect whose score counts; by default the first.
    seed : int
        Seed of the draws among informative items.

    Raises
    ------
    AnalysisError
        If a setting is out of range.

    Examples
    --------
    >>> from irt_bench import AdaptiveRules
    >>> AdaptiveRules(stop_sd=0.25, exposure=5).max_items
    200
    """

    stop_sd: float = 0.3
    min_items: int = 5
    max_items: int = 200
    parallel: int = 1
    exposure: int = 1
    balance: bool = False
    scorer: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_range(AnalysisError, "stop_sd", self.stop_sd, 0, 1)
        check_range(AnalysisError, "min_items", self.min_items, 0, self.max_items)
        for name in ("max_items", "parallel", "exposure"):
            check_range(AnalysisError, name, getattr(self, name), 1, 10**6)


def live_content(subset: SubsetRecord, settings: AdaptiveRules, posterior: xr.Dataset | None = None) -> dict[str, Any]:
    """Content of ``items.json``: curves of the subset's items on a grid of abilities, and the rules.

    Parameters
    ----------
    subset : SubsetRecord
        Items that may be asked.
    settings : AdaptiveRules
        Rules.
    posterior : xr.Dataset, optional
        Draws of the items' parameters, whose uncertainty then counts; by default the items are as the subset has them.
    """
    bank = item_bank(_parameters(subset, posterior))
    scale = bank.scale
    plain = bool((scale == np.eye(len(scale))).all())
    items = [
        {
            "id": item.id,
            "subtask": item.subtask,
            "right": _rounded(bank.right[place, ::EVERY]),
            "information": _rounded(bank.information[place, ::EVERY]),
        }
        for place, item in enumerate(subset.items)
    ]
    return {
        "benchmark": subset.benchmark,
        "nodes": _rounded(NODES[::EVERY]),
        "scale": None if plain else [_rounded(row) for row in _coarser(scale)],
        "items": items,
        "settings": asdict(settings),
    }


def _parameters(subset: SubsetRecord, posterior: xr.Dataset | None) -> ItemParameters:
    if posterior is not None:
        refuse_populations(posterior, "an adaptive test")
        drawn, labels = item_draws(posterior, ITEM_DRAWS)
        return drawn.at((slice(None), positions_of(pd.Index(subset.ids), labels, ITEM, "the subset", "the fit")))
    names = ("difficulty", "discrimination", "guessing", "upper_asymptote")
    return ItemParameters(
        *(np.array([getattr(item, name) for item in subset.items], dtype=np.float64) for name in names)
    )


def _coarser(scale: FloatArray) -> FloatArray:
    """Distribution over every second node, from every second node; a node between two gives each half of its mass."""
    rows = scale[::EVERY]
    between = rows[:, 1::EVERY] / 2
    coarse = rows[:, ::EVERY].copy()
    coarse[:, :-1] += between
    coarse[:, 1:] += between
    return coarse


def _rounded(values: FloatArray) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values.tolist()]


def write_task(content: dict[str, Any], folder: Path, task: str | None) -> None:
    """Write the files of an adaptive task of Inspect into a folder.

    Raises
    ------
    SubsetError
        If the full task is not named as Python finds it.
    """
    if task is None or "@" not in task:
        raise SubsetError(
            "an adaptive test wraps the full task; name it as task='file.py@task' or 'package.module@task'."
        )
    place, _, function = task.partition("@")
    known = f"{Path(place).resolve()}@{function}" if place.endswith(".py") else task
    text = TASK_TEXT.format(task=known, module=MODULE, items=ITEMS_FILE, name=TASK_NAME)
    (folder / TASK_FILE).write_text(text, encoding="utf-8")
    shutil.copyfile(inspect_adaptive.__file__, folder / f"{MODULE}.py")
    (folder / ITEMS_FILE).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def next_round(content: dict[str, Any], answered: ResponseCounts | None) -> tuple[LiveTest, list[str]]:
    """State of a test after the answers so far, and the items of the next round; none where the test has ended.

    Parameters
    ----------
    content : dict
        From `live_content`.
    answered : ResponseCounts, optional
        Answers of one model; items that are not in the test are left out.

    Raises
    ------
    SubsetError
        If the answers are of several models.
    """
    test = LiveTest(content)
    if answered is not None:
        if answered.n_models != 1:
            raise SubsetError(
                f"the answers so far are of {answered.n_models} models, first {answered.models.index[0]!r}; each model "
                "has a test of its own: give the logs of one."
            )
        shares = answered.proportions()[0]
        for label, share in zip(answered.items.index.astype("str"), shares, strict=True):
            if label in test.items and np.isfinite(share):
                test.record(str(label), float(share))
    chosen: list[str] = []
    while not test.finished and len(chosen) < content["settings"]["parallel"]:
        label = test.choose([each for each in test.items if each not in chosen])
        if label is None or len(test.asked) + len(chosen) >= content["settings"]["max_items"]:
            break
        chosen.append(label)
    return test, chosen


def progress_of(test: LiveTest) -> str:
    """Say in one line what is known so far."""
    found = test.summary()
    known = f"ability {found['ability']:.2f}, sd {found['ability_sd']:.2f}, {found['n_items']} items asked"
    return f"the test has ended, {found['stopped']}: {known}" if test.finished else known
