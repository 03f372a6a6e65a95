"""HELM run folders: ``run_spec.json`` and ``per_instance_stats.json``; unperturbed instances of the main split only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from irt_bench import names
from irt_bench.errors import ReadError
from irt_bench.responses.formats.format import (
    Format,
    ParsedFile,
    ReadOptions,
    choice_for,
    constant,
    ungraded,
    usable_metrics,
)
from irt_bench.responses.formats.jsonlines import Record, as_float, as_object, load_json, load_object, objects_in
from irt_bench.responses.table import METRIC, Finding

SPEC: Final = "run_spec.json"
STATS: Final = "per_instance_stats.json"
SPLITS: Final = ("test", "valid")  # the main split: the first of these that a run has, else its only one
TRAIN: Final = "train"  # never evaluated
# Settings of a run rather than of its questions: these parts of a run's name do not belong to the benchmark's.
RUN_ARGUMENTS: Final = frozenset({
    "model", "model_deployment", "method", "data_augmentation", "eval_split", "groups", "instructions",
    "max_eval_instances", "max_train_instances", "num_outputs", "num_train_trials", "num_trials", "output_format",
    "prompt", "stop", "temperature", "tokenizer", "train_trial_index", "use_chat",
})  # fmt: skip
_CORRECTNESS: Final = re.compile(
    r"match|correct|accura|\bacc\b|f1|\bem\b|pass|solved|win|score|rouge|bleu|ndcg", re.IGNORECASE
)


class _Row(NamedTuple):
    item: str
    trial: int
    values: dict[str, float]  # by statistic; NaN where it is not defined


def claims(path: Path) -> bool:
    """Whether a folder is that of one run, or a file its statistics."""
    if path.is_dir():
        return (path / SPEC).is_file() and (path / STATS).is_file()
    return path.name == STATS and (path.parent / SPEC).is_file()


def read(path: Path, options: ReadOptions) -> ParsedFile:
    """Read one run; a train trial is a trial.

    Raises
    ------
    ReadError
        If a file is damaged, or there are several statistics of correctness and none was chosen.
    """
    folder = path if path.is_dir() else path.parent
    spec = load_object(folder / SPEC)
    adapter = spec.get("adapter_spec")
    if not isinstance(adapter, dict) or not adapter.get("model"):
        raise ReadError(f"{folder / SPEC} does not name the model (adapter_spec.model).")
    benchmark = benchmark_of(str(spec.get("name", folder.name)))
    entries = _entries(folder / STATS)
    split = _main_split(_splits(entries), adapter.get("eval_splits"))
    rows = list(_rows(folder / STATS, entries, split))
    usable = usable_metrics(row.values for row in rows)
    asked, _ = choice_for(options.metric, benchmark)
    candidates = [name for name in usable if _CORRECTNESS.search(name) or name == asked]
    if not candidates:
        message = (
            f"run {folder.name!r} was left out: its {len(rows)} {split} instances have no statistic of correctness"
        )
        return ParsedFile(pd.DataFrame(), (Finding("no_metric", 1, message),))
    metric = options.choose("metric", candidates, benchmark=benchmark, where=f"run {benchmark!r}")
    n = len(rows)
    frame = pd.DataFrame(
        {
            names.BENCHMARK: constant(benchmark, n),
            names.MODEL: constant(str(adapter["model"]), n),
            names.ITEM: [row.item for row in rows],
            names.TRIAL: [row.trial for row in rows],
            names.SCORE: [row.values.get(metric, np.nan) for row in rows],
            METRIC: constant(metric, n),
        }
    )
    return ParsedFile(frame, tuple(ungraded(frame)), metrics=frozenset([metric]))


def benchmark_of(run_name: str) -> str:
    """Name of the benchmark of a run: "mmlu:subject=law,method=joint,model=m" → "mmlu:subject=law"."""
    scenario, _, arguments = run_name.partition(":")
    kept = [part for part in arguments.split(",") if part and part.partition("=")[0] not in RUN_ARGUMENTS]
    return f"{scenario}:{','.join(kept)}" if kept else scenario


def _splits(entries: list[Any]) -> list[str]:
    """List the splits that the statistics are of, other than the one of few-shot examples."""
    splits = (name.get("split") for entry in entries for name, _ in _named_statistics(as_object(entry)))
    return [split for split in dict.fromkeys(each for each in splits if isinstance(each, str)) if split != TRAIN]


def _main_split(found: list[str], evaluated: object) -> str:
    """Name the split that a run is judged by: of those evaluated "test", else "valid", else the first."""
    listed = [split for split in evaluated if split in found] if isinstance(evaluated, list) else []
    among = listed or found or [SPLITS[0]]
    return next((split for split in SPLITS if split in among), among[0])


def _rows(path: Path, entries: list[Any], split: str) -> Iterator[_Row]:
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict) or "instance_id" not in entry:
            raise ReadError(f"{path}: entry {position + 1} has no 'instance_id'.")
        values = _values(entry, split)
        if values and not entry.get("perturbation"):
            trial = entry.get("train_trial_index") or 0
            if not isinstance(trial, int):
                raise ReadError(f"{path}: entry {position + 1} has train_trial_index {trial!r}; a number is needed.")
            yield _Row(str(entry["instance_id"]), trial, values)


def _entries(path: Path) -> list[Any]:
    entries = load_json(path)
    if not isinstance(entries, list):
        raise ReadError(f"{path}: a list of instances is needed, found {type(entries).__name__}.")
    return entries


def _named_statistics(entry: Record) -> Iterator[tuple[Record, Record]]:
    """Yield the name of each statistic of an instance, and the statistic."""
    for stat in objects_in(entry.get("stats")):
        if isinstance(name := stat.get("name"), dict):
            yield name, stat


def _values(entry: Record, split: str) -> dict[str, float]:
    out = {}
    for name, stat in _named_statistics(entry):
        if name.get("split") == split and not name.get("perturbation"):
            value = as_float(stat.get("mean")) if stat.get("count") else None
            out[str(name.get("name"))] = np.nan if value is None else value
    return out


FORMAT: Final = Format("helm", "HELM run folders: run_spec.json, per_instance_stats.json", claims, read)
