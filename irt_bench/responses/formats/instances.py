"""Results by instance, with a file beside them that describes the run: HELM and Every Eval Ever.

HELM's run folders hold ``run_spec.json`` and ``per_instance_stats.json``; read are unperturbed instances of the main
split. Every Eval Ever 0.3 has ``<id>_samples.jsonl``, one row per sample, metric and filter, beside ``<id>.json``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from irt_bench import names
from irt_bench.errors import ReadError
from irt_bench.responses.formats.format import (
    MAX_DIGITS,
    Checkpoint,
    Format,
    ParsedFile,
    ReadOptions,
    checkpoint_of,
    choice_for,
    constant,
    first_words,
    number_of,
    revision_in,
    ungraded,
    usable_metrics,
)
from irt_bench.responses.formats.jsonlines import (
    SUFFIXES,
    Record,
    as_float,
    as_object,
    as_text,
    first_record,
    load_json,
    load_object,
    objects_in,
    records,
)
from irt_bench.responses.formats.lm_eval import NO_FILTER, document_labels
from irt_bench.responses.table import DOC_ID, FILTER, METRIC, PROMPT_HASH, QUESTION, REVISION, Finding

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


def claims_run(path: Path) -> bool:
    """Whether a folder is that of one run, or a file its statistics."""
    if path.is_dir():
        return (path / SPEC).is_file() and (path / STATS).is_file()
    return path.name == STATS and (path.parent / SPEC).is_file()


def read_run(path: Path, options: ReadOptions) -> ParsedFile:
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


HELM: Final = Format("helm", "HELM run folders: run_spec.json, per_instance_stats.json", claims_run, read_run)


ENDING: Final = "_samples.jsonl"
REQUIRED: Final = ("model_id", "evaluation_name", "sample_id", "evaluation")
NO_METRIC: Final = "score"  # where a record does not name its metric


class _Sample(NamedTuple):
    model: str
    benchmark: str
    metric: str
    filter: str
    sample_id: str
    doc_hash: str | None
    prompt_hash: str | None
    question: str | None
    score: float


def claims_samples(path: Path) -> bool:
    """Whether the first line has the keys that every record of the schema has."""
    if not path.is_file() or not path.name.lower().endswith(SUFFIXES):
        return False
    record = first_record(path)
    return record is not None and "schema_version" in record and all(key in record for key in REQUIRED)


def read_samples(path: Path, options: ReadOptions) -> ParsedFile:
    """Read the samples of one file; an item is a document, identified by its hash where there is one.

    Raises
    ------
    ReadError
        If a line is not a valid record, or there are several metrics or filters and none was chosen.
    """
    samples = [_sample(path, number, record) for number, record in records(path)]
    if not samples:
        raise ReadError(f"{path} holds no samples.")
    chosen: list[_Sample] = []
    labels: list[str] = []
    for benchmark in dict.fromkeys(sample.benchmark for sample in samples):
        part = _chosen([sample for sample in samples if sample.benchmark == benchmark], options)
        chosen.extend(part)
        labels.extend(_labels(part))
    frame = pd.DataFrame(
        {
            names.BENCHMARK: [sample.benchmark for sample in chosen],
            names.MODEL: [sample.model for sample in chosen],
            names.ITEM: labels,
            names.SCORE: [sample.score for sample in chosen],
            DOC_ID: _numbered([sample.sample_id for sample in chosen]),
            names.DOC_HASH: [sample.doc_hash for sample in chosen],
            QUESTION: [sample.question for sample in chosen],
            PROMPT_HASH: [sample.prompt_hash for sample in chosen],
            METRIC: [sample.metric for sample in chosen],
            FILTER: [sample.filter for sample in chosen],
        }
    )
    findings = ungraded(frame)
    frame = frame.drop(columns=[name for name in frame if name != names.SCORE and frame[name].isna().all()])
    checkpoint = _checkpoint(path)
    known = {names.STEP: checkpoint.step, REVISION: checkpoint.revision}
    frame = frame.assign(**{column: value for column, value in known.items() if value is not None})
    return ParsedFile(frame, tuple(findings), metrics=frozenset(frame[METRIC]), filters=frozenset(frame[FILTER]))


def _sample(path: Path, number: int, record: Record) -> _Sample:
    missing = [key for key in REQUIRED[:-1] if as_text(record.get(key)) is None]
    missing += [key for key in REQUIRED[-1:] if record.get(key) is None]
    if missing:
        raise ReadError(f"{path}, line {number}: no {missing[0]!r}; this is not an Every Eval Ever sample.")
    metadata = as_object(record.get("metadata"))
    metric, _, suffix = str(record.get("evaluation_result_id") or NO_METRIC).partition(":")
    chosen_filter = str(metadata.get("filter") or suffix or NO_FILTER)
    return _Sample(
        model=str(record["model_id"]),
        benchmark=str(record["evaluation_name"]).removesuffix(f"/{chosen_filter}"),
        metric=metric,
        filter=chosen_filter,
        sample_id=str(record["sample_id"]),
        doc_hash=as_text(metadata.get("doc_hash")),
        prompt_hash=as_text(metadata.get("prompt_hash")),
        question=first_words(record.get("input")),
        score=_score(record),
    )


def _score(record: Record) -> float:
    evaluation = record["evaluation"]
    if record.get("error") or not isinstance(evaluation, dict):
        return np.nan
    score = number_of(evaluation.get("score"))
    score = as_float(evaluation.get("is_correct")) if score is None else score
    return np.nan if score is None else score


def _chosen(samples: Sequence[_Sample], options: ReadOptions) -> list[_Sample]:
    """Keep the samples of one benchmark by one metric and one filter; "metric:filter" chooses both."""
    benchmark = samples[0].benchmark
    where = f"evaluation {benchmark!r}"
    metric, _, suffix = (choice_for(options.metric, benchmark)[0] or "").partition(":")
    if suffix:
        own = choice_for(options.filter, benchmark)[0] or suffix
        options = replace(options, metric={benchmark: metric}, filter={benchmark: own})
    filters = dict.fromkeys(sample.filter for sample in samples)
    by = options.choose("filter", filters, benchmark=benchmark, where=where)
    kept = [sample for sample in samples if sample.filter == by]
    unusable = {s.metric for s in kept if not (np.isnan(s.score) or 0 <= s.score <= 1)}
    usable = [metric for metric in dict.fromkeys(sample.metric for sample in kept) if metric not in unusable]
    if not usable:
        raise ReadError(f"{where} has no metric in [0, 1]; found {', '.join(sorted({s.metric for s in kept}))}.")
    best = options.choose("metric", usable, benchmark=benchmark, where=where)
    return [sample for sample in kept if sample.metric == best]


def _labels(samples: Sequence[_Sample]) -> list[str]:
    """Labels of documents, as after reading the log of lm-evaluation-harness itself; other ids as they are."""
    numbers = _numbered([sample.sample_id for sample in samples])
    rising = all(a < b for a, b in zip(numbers, numbers[1:], strict=False) if isinstance(a, int) and isinstance(b, int))
    ids = [None if sample.doc_hash and not rising else sample.sample_id for sample in samples]
    labels = document_labels(samples[0].benchmark, ids, [sample.doc_hash for sample in samples])
    return [label if sample.doc_hash else sample.sample_id for label, sample in zip(labels, samples, strict=True)]


def _numbered(ids: Sequence[str]) -> Sequence[str] | Sequence[int]:
    """Ids as numbers where all are positions, as after conversion from lm-evaluation-harness."""
    numbers = [int(text) for text in ids if text.isdecimal() and len(text) < MAX_DIGITS]
    return numbers if list(map(str, numbers)) == list(ids) else ids


def _checkpoint(path: Path) -> Checkpoint:
    beside = path.with_name(path.name.removesuffix(ENDING) + ".json")
    if not path.name.endswith(ENDING) or not beside.is_file():
        return Checkpoint()
    details = as_object(as_object(load_object(beside).get("model_info")).get("additional_details"))
    known = (revision_in(details.get("model_args")), details.get("model_revision"), details.get("revision"))
    return checkpoint_of(next(filter(None, known), None))


EVERY_EVAL_EVER: Final = Format(
    "every-eval-ever", "Every Eval Ever *_samples.jsonl, with its .json beside", claims_samples, read_samples
)
