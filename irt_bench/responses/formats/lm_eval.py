"""lm-evaluation-harness from 0.4.0, and lmms-eval: samples, joined to the results file of their run.

The results file has the model, its checkpoint, its seeds, and the groups of tasks. Samples are JSON lines, or, before
0.4.3, a JSON list.
"""

from __future__ import annotations

import math
import re
from collections import Counter
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
    choice_for,
    constant,
    first_words,
    number_of,
    revision_in,
    ungraded,
)
from irt_bench.responses.formats.jsonlines import (
    SUFFIXES,
    Record,
    as_object,
    as_text,
    first_record,
    head,
    holds_logs,
    load_object,
    objects_in,
    records,
)
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
    QUESTION,
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


OLD_RESULTS: Final = ("results.json", "*_results.json")  # before 0.4.3
SEED_KEYS: Final = ("fewshot_seed", "torch_seed", "numpy_seed", "random_seed")


@dataclass(frozen=True)
class Run:
    """Content of a results file that concerns all samples of its run."""

    model: str
    checkpoint: Checkpoint
    group_of: Mapping[str, str]
    n_samples: Mapping[str, tuple[int, int]]
    findings: tuple[Finding, ...] = ()
    seeds: Mapping[str, int] = field(default_factory=dict)
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of each task, in their order

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
    names_of = (f"*_{time}.json", f"{time}_*.json") if time else OLD_RESULTS
    for path in [
        path for name in names_of for path in sorted(samples.parent.glob(name)) if "samples_" not in path.name
    ]:
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
    config = as_object(results.get("config"))
    model_args = config.get("model_args")
    revision = revision_in(model_args) or config.get("model_revision")
    return Run(
        model=_model_name(results, model_args, path),
        checkpoint=checkpoint_of(revision),
        group_of=_groups(results.get("group_subtasks")),
        n_samples=_n_samples(results.get("n-samples")),
        seeds={key: config[key] for key in SEED_KEYS if isinstance(config.get(key), int)},
        filters=_filters(results["configs"]),
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


def _filters(configs: object) -> dict[str, tuple[str, ...]]:
    """Names of the filters of each task, in the order in which its samples are written."""
    out = {}
    for task, config in as_object(configs).items():
        named = [entry.get("name") for entry in objects_in(as_object(config).get("filter_list"))]
        out[str(task)] = tuple(name for name in named if isinstance(name, str))
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
UNNAMED: Final = "\0"  # before the place of a filter that lines do not name
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
        "input",  # of lmms-eval
    ]
)
HEAD_BYTES: Final = 2**16  # a prompt may stand before the keys that tell a sample
UNCONDITIONAL_METRIC: Final = (
    "acc_mutual_info"  # its log holds the choices' log-probabilities twice, unconditional ones last
)
_FILES: Final = (
    re.compile(r"^samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.+-]+)\.jsonl?$"),
    re.compile(r"^(?P<time>\d{8}_\d{6}|\d{4}-\d\d-\d\dT[\d.+-]+)_samples_(?P<task>.+)\.jsonl?$"),  # lmms-eval
)


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
    question: str | None


@dataclass
class _Columns:
    """Responses with one filter, in the order of the file."""

    answers: list[_Answer] = field(default_factory=list)
    metrics: dict[str, bool] = field(default_factory=dict)  # metric → whether all its values are scores in [0, 1]


def claims(path: Path) -> bool:
    """Whether the name is that of a samples file, or the first line is a sample."""
    if not path.is_file() or not path.name.lower().endswith((*SUFFIXES, ".json")):
        return False
    if task_and_time(path)[1]:
        return True
    if path.suffix.lower() == ".json":
        start = head(path, HEAD_BYTES)
        return holds_logs(path) or start.lstrip().startswith(b"[") and b'"doc_id"' in start and b'resps"' in start
    record = first_record(path)
    if record is None:
        start = head(path, HEAD_BYTES)
        return start.lstrip().startswith(b"[") and b'"doc_id"' in start and b'resps"' in start
    return "doc_id" in record and bool({"filtered_resps", "resps"} & record.keys())


def task_and_time(path: Path) -> tuple[str, str | None]:
    """Task and time of the run in the name of a samples file; without a time, the whole name is the task."""
    match = next((match for pattern in _FILES if (match := pattern.match(path.name))), None)
    return (match["task"], match["time"]) if match else (path.name.split(".")[0], None)


def read(path: Path, options: ReadOptions) -> ParsedFile:
    """Read one task's samples; an item is a document, labelled by the task and its number.

    Raises
    ------
    ReadError
        If a line is not a sample, or there are several metrics or filters and none was chosen.
    """
    task, time = task_and_time(path)
    run = run_of(path, time)
    if time is None:  # the name begins with the arguments of the model
        task = max((each for each in run.filters if task.endswith(f"_{each}")), key=len, default=task)
    group = run.group_of.get(task, "")
    if not options.wants(task, group):
        return ParsedFile(pd.DataFrame(), passed_over=frozenset({task, *group.split("/")} - {""}))
    by_filter = _by_filter(path, run.filters.get(task, ()))
    if not by_filter:
        raise ReadError(f"{path} holds no samples.")
    where = f"task {task!r}"
    chosen = options.choose("filter", by_filter, benchmark=task, group=group, where=where)
    columns = by_filter[chosen]
    metric = _choose_metric(columns, options, task, group)
    if metric is None:
        found = ", ".join(columns.metrics) or "none"
        message = f"{where} was left out: no metric is a number in [0, 1] for each item (metrics: {found})"
        return ParsedFile(pd.DataFrame(), (Finding("no_metric", 1, message),))
    findings = list(run.findings)
    ids = _trusted_doc_ids(columns.answers, run, task, path, findings)
    frame = _frame(columns.answers, metric, task, ids)
    n = len(frame)
    frame[names.BENCHMARK], frame[names.MODEL] = constant(task, n), constant(run.model, n)
    frame[METRIC], frame[FILTER] = constant(metric, n), constant(chosen, n)
    if group:
        frame[GROUP] = constant(group, n)
    if run.checkpoint.step is not None:
        frame[names.STEP] = run.checkpoint.step
    if run.checkpoint.revision is not None:
        frame[REVISION] = constant(run.checkpoint.revision, n)
    findings += ungraded(frame)
    n_nan = sum(any(map(math.isnan, answer.logprobs or ())) for answer in columns.answers)
    if n_nan:
        what = f"{n_nan:,} of {n:,} documents have log-probabilities that are not numbers, and grades without meaning"
        findings.append(Finding("nan_logprobs", n_nan, f"model {run.model!r}, {where}: {what}"))
    empty = [name for name in frame if name != names.SCORE and frame[name].isna().all()]
    return ParsedFile(
        frame.drop(columns=empty),
        tuple(findings),
        metrics=frozenset([metric]),
        filters=frozenset([chosen]),
        time=time or "",
        seeds=run.seeds,
    )


def _by_filter(path: Path, filters: Sequence[str]) -> dict[str, _Columns]:
    """Responses by filter; lines before 0.4.7 do not name it, and are told apart by how often their document came."""
    out: dict[str, _Columns] = {}
    times: dict[object, int] = {}
    unnamed = False
    for number, record in records(path):
        if "doc_id" not in record:
            raise ReadError(f"{path}, line {number}: no 'doc_id'; this is not a line of lm-evaluation-harness samples.")
        place = 0
        if not record.get("filter"):
            unnamed, key = True, str(record["doc_id"])
            times[key] = place = times.get(key, -1) + 1
        answer = _answer(record, f"{UNNAMED}{place}")
        columns = out.setdefault(answer.filter, _Columns())
        columns.answers.append(answer)
        for metric, value in answer.values.items():
            columns.metrics[metric] = columns.metrics.get(metric, True) and _is_score(value)
    if not unnamed:
        return out
    several = f"{UNNAMED}1" in out
    named = {f"{UNNAMED}{place}": name for place, name in enumerate(filters)} if several else {f"{UNNAMED}0": NO_FILTER}
    return {named.get(key, f"filter{key.removeprefix(UNNAMED)}"): columns for key, columns in out.items()}


def _answer(record: Record, unnamed_filter: str) -> _Answer:
    listed = record.get("metrics")
    given = listed if isinstance(listed, list) else [key for key in record if key not in FIXED_KEYS]
    metrics = [metric for metric in given if isinstance(metric, str)]
    logprobs = _logprobs(record, metrics)
    doc_id = record["doc_id"]
    return _Answer(
        doc_id=doc_id if isinstance(doc_id, int) and abs(doc_id) < 2**63 else None,
        doc_hash=as_text(record.get("doc_hash")),
        prompt_hash=as_text(record.get("prompt_hash")),
        filter=str(record.get("filter") or unnamed_filter),
        values={metric: _plain(record.get(metric)) for metric in metrics},
        logprobs=logprobs,
        choices=_choices(record, len(logprobs)) if logprobs and len(logprobs) > 1 else None,
        gold=_gold(record, len(logprobs)) if logprobs and len(logprobs) > 1 else None,
        question=first_words(record.get("doc") or record.get("input")),
    )


def _plain(value: object) -> object:
    """Value of a metric; lmms-eval wraps it in a record with the document's own id and category."""
    return value.get("score") if isinstance(value, dict) else value


def _is_score(value: object) -> bool:
    """Whether a metric's value is nothing, or a number in [0, 1]."""
    number = number_of(value)
    return value is None or (number is not None and (math.isnan(number) or 0 <= number <= 1))


def _choose_metric(columns: _Columns, options: ReadOptions, task: str, group: str) -> str | None:
    usable = [metric for metric, worth in columns.metrics.items() if worth]
    asked, _ = choice_for(options.metric, task, group)
    if asked in columns.metrics and asked not in usable:
        listed = ", ".join(usable) or "none"
        raise ReadError(f"task {task!r}: metric {asked!r} is not a number in [0, 1] for each item; usable: {listed}.")
    return options.choose("metric", usable, benchmark=task, group=group, where=f"task {task!r}") if usable else None


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


def _frame(answers: Sequence[_Answer], metric: str, task: str, doc_ids: pd.arrays.IntegerArray | None) -> pd.DataFrame:
    hashes, ids = [answer.doc_hash for answer in answers], [answer.doc_id for answer in answers]
    trusted = doc_ids is not None
    items = document_labels(task, ids if trusted or not any(hashes) else [None] * len(ids), hashes)
    several = [len(answer.logprobs or ()) > 1 for answer in answers]
    columns = {
        names.ITEM: items,
        names.SCORE: [_score_value(answer.values.get(metric)) for answer in answers],
        DOC_ID: doc_ids if trusted else pd.array([None] * len(ids), dtype="Int64"),
        names.DOC_HASH: hashes,
        QUESTION: [answer.question for answer in answers],
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
    number = number_of(value)
    return np.nan if number is None else number


def document_labels(task: str, ids: Sequence[object], hashes: Sequence[str | None]) -> list[str]:
    """Task and number of each document, "gsm8k/86"; its hash where the number is not known.

    Notes
    -----
    `identify_items` replaces hashes by labels that other files give the same documents.
    """
    times: Counter[str] = Counter()
    out = []
    for number, own in zip(ids, hashes, strict=True):
        if number is not None or own is None:
            out.append(f"{task}/{number}")
            continue
        times[own] += 1
        out.append(own if times[own] == 1 else f"{own}#{times[own]}")
    return out


def _trusted_doc_ids(
    answers: Sequence[_Answer], run: Run, task: str, path: Path, findings: list[Finding]
) -> pd.arrays.IntegerArray | None:
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
        return None
    return pd.array(ids, dtype="Int64")


FORMAT: Final = Format(
    "lm-eval", "lm-evaluation-harness and lmms-eval samples, with results_*.json beside", claims, read
)
