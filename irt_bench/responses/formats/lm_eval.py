"""lm-evaluation-harness 0.4.3 to 0.4.13: samples, joined to the results file of their run.

The results file has the model, its checkpoint, and the groups of tasks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

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
    choose,
    constant,
    revision_in,
    ungraded,
)
from irt_bench.responses.formats.jsonlines import Record, as_float, as_text, first_record, load_object, records
from irt_bench.responses.formats.py_irt import SUFFIXES
from irt_bench.responses.table import (
    CHOICE_BYTES,
    CHOICE_CHARS,
    CHOICE_LOGPROBS,
    DOC_ID,
    FILTER,
    GOLD,
    GROUP,
    LOGLIKELIHOOD,
    METRIC,
    PROMPT_HASH,
    REVISION,
    Finding,
)

NAME_KEYS: Final = (
    "peft",
    "delta",
    "pretrained",
    "model",
    "path",
    "engine",
)  # of the model, in the harness's own order


@dataclass(frozen=True)
class Run:
    """Content of a results file that concerns all samples of its run."""

    model: str
    checkpoint: Checkpoint
    group_of: Mapping[str, str]
    n_samples: Mapping[str, tuple[int, int]]
    findings: tuple[Finding, ...] = ()

    def is_part(self, task: str) -> bool:
        """Whether the run is known to cover only part of a task."""
        original, effective = self.n_samples.get(task, (0, 0))
        return effective < original


def run_of(samples: Path, time: str | None) -> Run:
    """Find the run that a samples file belongs to.

    Notes
    -----
    Without a results file the model is named after the folder, which the harness names after the model.
    """
    beside = sorted(samples.parent.glob(f"*_{time}.json")) if time else []
    for path in beside:
        run = _load(path, path.stat().st_mtime_ns)
        if run is not None:
            return run
    model = samples.absolute().parent.name or samples.stem
    message = f"{samples.name} has no results file beside it; the model is named {model!r} after the folder"
    return Run(model, Checkpoint(), {}, {}, (Finding("no_results_file", 1, message),))


@lru_cache(maxsize=8)  # one results file serves the samples of all its tasks
def _load(path: Path, modified_ns: int) -> Run | None:
    del modified_ns  # part of the key only
    results = load_object(path)
    if "results" not in results or "configs" not in results:
        return None
    config = results.get("config")
    config = config if isinstance(config, dict) else {}
    model_args = config.get("model_args")
    revision = revision_in(model_args) or config.get("model_revision")
    return Run(
        model=_model_name(results, model_args, path),
        checkpoint=checkpoint_of(revision),
        group_of=_groups(results.get("group_subtasks")),
        n_samples=_n_samples(results.get("n-samples")),
    )


def _model_name(results: Record, model_args: object, path: Path) -> str:
    if results.get("model_name"):
        return str(results["model_name"])
    for key in NAME_KEYS:
        if isinstance(model_args, dict) and model_args.get(key):
            return str(model_args[key])
        if isinstance(model_args, str) and (match := re.search(rf"(?:^|,){key}=([^,]+)", model_args)):
            return match[1]
    if not path.absolute().parent.name:
        raise ReadError(f"{path} does not name the model; put it in a folder named after the model.")
    return path.absolute().parent.name


def _groups(subtasks: object) -> dict[str, str]:
    """Path of groups, outermost first, of each task in a mapping from groups to members."""
    if not isinstance(subtasks, dict):
        return {}
    parent: dict[str, str] = {}
    for group, members in subtasks.items():
        for member in members if isinstance(members, list) else []:
            parent.setdefault(str(member), str(group))
    out = {}
    for task in parent:
        path: list[str] = []
        group = parent.get(task)
        while group is not None and group not in path:
            path.insert(0, group)
            group = parent.get(group)
        out[task] = "/".join(path)
    return out


def _n_samples(counts: object) -> dict[str, tuple[int, int]]:
    if not isinstance(counts, dict):
        return {}
    return {
        str(task): (int(n["original"]), int(n["effective"]))
        for task, n in counts.items()
        if isinstance(n, dict) and isinstance(n.get("original"), int) and isinstance(n.get("effective"), int)
    }


__all__ = ["Run", "run_of"]


NO_FILTER: Final = "none"  # the filter of lines before 0.4.7, which have none
FIXED_KEYS: Final = frozenset(
    [
        "doc_id",
        "doc",
        "target",
        "arguments",
        "resps",
        "filtered_resps",
        "filter",
        "metrics",
        "doc_hash",
        "prompt_hash",
        "target_hash",
    ]
)
UNCONDITIONAL_METRIC: Final = (
    "acc_mutual_info"  # its log holds the choices' log-probabilities twice, unconditional ones last
)
_FILE: Final = re.compile(r"^samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.+-]+)\.jsonl$")


@dataclass(frozen=True)
class _Answer:
    """Content of one line."""

    doc_id: int | None
    doc_hash: str | None
    prompt_hash: str | None
    filter: str
    values: dict[str, object]
    logprobs: list[float] | None
    choices: list[str] | None
    gold: int | None


@dataclass
class _Columns:
    """Responses with one filter, in the order of the file."""

    answers: list[_Answer] = field(default_factory=list)
    metrics: dict[str, bool] = field(default_factory=dict)  # metric → whether all its values are scores in [0, 1]


def claims(path: Path) -> bool:
    """Whether the name is that of a samples file, or the first line is a sample."""
    if not path.is_file() or not path.name.lower().endswith(SUFFIXES):
        return False
    if _FILE.match(path.name):
        return True
    record = first_record(path)
    return record is not None and "doc_id" in record and bool({"filtered_resps", "resps"} & record.keys())


def read(path: Path, options: ReadOptions) -> ParsedFile:
    """Read one task's samples; an item is a document, identified by its hash.

    Raises
    ------
    ReadError
        If a line is not a sample, or there are several metrics or filters and none was chosen.
    """
    match = _FILE.match(path.name)
    task = match["task"] if match else path.name.split(".")[0]
    run = run_of(path, match["time"] if match else None)
    by_filter = _by_filter(path)
    if not by_filter:
        raise ReadError(f"{path} holds no samples.")
    where = f"task {task!r}"
    chosen = choose("filter", options.filter, by_filter, where=where)
    columns = by_filter[chosen]
    metric = _choose_metric(columns, options.metric, where)
    if metric is None:
        found = ", ".join(columns.metrics) or "none"
        message = f"{where} was left out: no metric is a number in [0, 1] for each item (metrics: {found})"
        return ParsedFile(pd.DataFrame(), (Finding("no_metric", 1, message),))
    findings = list(run.findings)
    frame = _frame(columns.answers, metric)
    frame[DOC_ID] = _trusted_doc_ids(columns.answers, run, task, path, findings)
    n = len(frame)
    frame[names.BENCHMARK], frame[names.MODEL] = constant(task, n), constant(run.model, n)
    frame[METRIC], frame[FILTER] = constant(metric, n), constant(chosen, n)
    if task in run.group_of:
        frame[GROUP] = constant(run.group_of[task], n)
    if run.checkpoint.step is not None:
        frame[names.STEP] = run.checkpoint.step
    if run.checkpoint.revision is not None:
        frame[REVISION] = constant(run.checkpoint.revision, n)
    findings += ungraded(frame)
    empty = [name for name in frame if name != names.SCORE and frame[name].isna().all()]
    return ParsedFile(
        frame.drop(columns=empty), tuple(findings), metrics=frozenset([metric]), filters=frozenset([chosen])
    )


def _by_filter(path: Path) -> dict[str, _Columns]:
    out: dict[str, _Columns] = {}
    for number, record in records(path):
        if "doc_id" not in record:
            raise ReadError(f"{path}, line {number}: no 'doc_id'; this is not a line of lm-evaluation-harness samples.")
        answer = _answer(record)
        columns = out.setdefault(answer.filter, _Columns())
        columns.answers.append(answer)
        for metric, value in answer.values.items():
            columns.metrics[metric] = columns.metrics.get(metric, True) and _is_score(value)
    return out


def _answer(record: Record) -> _Answer:
    listed = record.get("metrics")
    given = listed if isinstance(listed, list) else [key for key in record if key not in FIXED_KEYS]
    metrics = [metric for metric in given if isinstance(metric, str)]
    logprobs = _logprobs(record, metrics)
    doc_id = record["doc_id"]
    return _Answer(
        doc_id=doc_id if isinstance(doc_id, int) and abs(doc_id) < 2**63 else None,
        doc_hash=as_text(record.get("doc_hash")),
        prompt_hash=as_text(record.get("prompt_hash")),
        filter=str(record.get("filter") or NO_FILTER),
        values={metric: record.get(metric) for metric in metrics},
        logprobs=logprobs,
        choices=_choices(record, len(logprobs)) if logprobs and len(logprobs) > 1 else None,
        gold=_gold(record, len(logprobs)) if logprobs and len(logprobs) > 1 else None,
    )


def _is_score(value: object) -> bool:
    """Whether a metric's value is nothing, or a number in [0, 1]."""
    number = as_float(value)
    return value is None or (number is not None and (math.isnan(number) or 0 <= number <= 1))


def _choose_metric(columns: _Columns, asked: str | None, where: str) -> str | None:
    usable = [metric for metric, worth in columns.metrics.items() if worth]
    if asked in columns.metrics and asked not in usable:
        listed = ", ".join(usable) or "none"
        raise ReadError(f"{where}: metric {asked!r} is not a number in [0, 1] for each item; usable: {listed}.")
    return choose("metric", asked, usable, where=where) if usable else None


def _logprobs(record: Record, metrics: Sequence[object]) -> list[float] | None:
    """Log-probabilities of the given continuations: [["-0.57", "False"], ...], stored as text."""
    responses = record.get("filtered_resps")
    pairs = _pairs(responses) if isinstance(responses, list) else None
    if pairs is None and isinstance(record.get("resps"), list):
        pairs = _pairs([first[0] if isinstance(first, list) and first else first for first in record["resps"]])
    if pairs and UNCONDITIONAL_METRIC in metrics:
        pairs = pairs[: len(pairs) // 2]
    return pairs


def _pairs(responses: Iterable[object]) -> list[float] | None:
    out = []
    for pair in responses:
        if not (isinstance(pair, list) and len(pair) == 2 and str(pair[1]) in ("True", "False")):
            return None
        try:
            out.append(float(pair[0]))
        except (TypeError, ValueError, OverflowError):
            return None
    return out or None


def _gold(record: Record, n_choices: int) -> int | None:
    """Position of the correct choice, where the target is a position and not the text of another choice."""
    target = str(record.get("target"))
    if not target.isdecimal() or len(target) > MAX_DIGITS or int(target) >= n_choices:
        return None
    named = [position for position, text in enumerate(_continuations(record)) if text.strip() == target]
    return int(target) if not named or named == [int(target)] else None


def _continuations(record: Record) -> list[str]:
    arguments = record.get("arguments")
    given = list(arguments.values()) if isinstance(arguments, dict) else []
    return [str(pair.get("arg_1", "")) if isinstance(pair, dict) else "" for pair in given]


def _choices(record: Record, n_choices: int) -> list[str] | None:
    """Texts of the choices without leading space, whose length the harness uses; None where unknown."""
    texts = [text.lstrip() for text in _continuations(record)[:n_choices]]
    return texts if len(texts) == n_choices and all(texts) else None


def _frame(answers: Sequence[_Answer], metric: str) -> pd.DataFrame:
    items = document_labels([answer.doc_hash for answer in answers], [answer.doc_id for answer in answers])
    several = [len(answer.logprobs or ()) > 1 for answer in answers]
    columns = {
        names.ITEM: items,
        names.SCORE: [_score_value(answer.values.get(metric)) for answer in answers],
        names.DOC_HASH: [item if answer.doc_hash else None for item, answer in zip(items, answers, strict=True)],
        PROMPT_HASH: [answer.prompt_hash for answer in answers],
        GOLD: pd.array([answer.gold for answer in answers], dtype="Int64"),
        LOGLIKELIHOOD: [
            answer.logprobs[0] if answer.logprobs and len(answer.logprobs) == 1 else np.nan for answer in answers
        ],
    }
    frame = pd.DataFrame(columns)
    if any(several):
        vectors = [np.array(answer.logprobs) if many else None for answer, many in zip(answers, several, strict=True)]
        frame[CHOICE_LOGPROBS] = pd.Series(vectors, dtype=object)
    for column, length in ((CHOICE_CHARS, len), (CHOICE_BYTES, lambda text: len(text.encode()))):
        lengths = [None if answer.choices is None else np.array([*map(length, answer.choices)]) for answer in answers]
        if any(each is not None for each in lengths):
            frame[column] = pd.Series(lengths, dtype=object)
    return frame


def _score_value(value: object) -> float:
    number = as_float(value)
    return np.nan if number is None else number


def document_labels(hashes: Sequence[str | None], ids: Sequence[object]) -> list[str]:
    """Hash of the document, else its id; a document that occurs twice in a benchmark is labelled "hash#2"."""
    seen: dict[str, list[object]] = {}
    out = []
    for doc_hash, doc_id in zip(hashes, ids, strict=True):
        if not doc_hash:
            out.append(str(doc_id))
            continue
        same = seen.setdefault(doc_hash, [])
        if doc_id not in same:
            same.append(doc_id)
        place = same.index(doc_id)
        out.append(doc_hash if place == 0 else f"{doc_hash}#{place + 1}")
    return out


def _trusted_doc_ids(
    answers: Sequence[_Answer], run: Run, task: str, path: Path, findings: list[Finding]
) -> pd.arrays.IntegerArray:
    """Document ids, unless the log shows that they are wrong.

    Notes
    -----
    A run over an unsorted or repeating list of samples evaluates in the order of the data but numbers in the order of
    the list (harness issue 4084). Ids that increase, or that number a whole task, are not affected.
    """
    ids = [answer.doc_id for answer in answers]
    known = [number for number in ids if number is not None]
    rising = all(a < b for a, b in zip(known, known[1:], strict=False))
    whole = sorted(known) == list(range(len(known))) and not run.is_part(task)
    if known and not rising and not whole:
        message = f"{path.name}: doc_id is out of order, as after a run on unsorted samples; only doc_hash is used"
        findings.append(Finding("doc_ids_unsorted", len(known), message))
        return pd.array([None] * len(ids), dtype="Int64")
    return pd.array(ids, dtype="Int64")


FORMAT: Final = Format("lm-eval", "lm-evaluation-harness samples_*.jsonl, with results_*.json beside", claims, read)
