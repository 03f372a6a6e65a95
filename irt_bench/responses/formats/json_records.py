"""Results of further programs in JSON: a layout is a row of `LAYOUTS`, which says where its answers lie.

OLMES predictions, EvalPlus, SWE-bench reports, promptfoo, OpenAI evals, AlpacaEval, evalscope; and JSON lines of py-irt
and Fluid Benchmarking, whose labels are read once: ``{"subject_id": "a", "responses": {"q1": 1, "q2": 0}}``.
"""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from irt_bench import names
from irt_bench.errors import ReadError
from irt_bench.responses.formats.format import (
    MAX_DIGITS,
    Format,
    ParsedFile,
    ReadOptions,
    checkpoint_of,
    constant,
    first_words,
    metric_label,
    number_of,
    stem,
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
    head,
    load_object,
    objects_in,
    records,
)
from irt_bench.responses.table import (
    CHOICE_CHARS,
    CHOICE_LOGPROBS,
    DOC_ID,
    GOLD,
    METRIC,
    QUESTION,
    REVISION,
    Finding,
)

HEAD_BYTES: Final = 2**16  # in which a layout must be recognised
MAX_TRIALS: Final = 10_000  # per item
GENERIC_NAMES: Final = ("eval_results", "annotations", "results", "output", "report", "predictions")  # of files
HASH_CHARACTERS: Final = 12


class Answer(NamedTuple):
    """One graded answer with all its metrics; what a layout does not know is None."""

    model: str
    benchmark: str
    item: str
    values: Mapping[str, object]  # by metric
    trial: int | None = None
    more: Mapping[str, object] = {}  # further columns


@dataclass(frozen=True)
class Layout:
    """How one harness writes its results."""

    # name, description: as of a `Format`
    name: str
    description: str
    recognises: Callable[[Path, bytes], bool]  # (path, first bytes) → whether a file has this layout
    answers: Callable[[Path], Iterable[Answer]]  # path → the answers of the file

    def format(self) -> Format:
        """Return the format that reads this layout."""

        def claims(path: Path) -> bool:
            if not path.is_file() or not path.name.lower().endswith((*SUFFIXES, ".json")):
                return False
            return self.recognises(path, head(path, HEAD_BYTES))

        def read(path: Path, options: ReadOptions) -> ParsedFile:
            return _parsed(path, list(self.answers(path)), options)

        return Format(self.name, self.description, claims, read)


def _parsed(path: Path, answers: list[Answer], options: ReadOptions) -> ParsedFile:
    """Arrange the answers of a file by the metric chosen for each benchmark."""
    if not answers:
        return ParsedFile(pd.DataFrame(), (Finding("no_answers", 1, f"{path.name} was left out: it has no answers"),))
    parts = []
    findings: list[Finding] = []
    by_benchmark: dict[str, list[Answer]] = {}
    for answer in answers:
        by_benchmark.setdefault(answer.benchmark, []).append(answer)
    for benchmark, own in by_benchmark.items():
        own = [each._replace(values={metric_label(name): each.values[name] for name in each.values}) for each in own]
        usable = usable_metrics(answer.values for answer in own)
        if not usable:
            found = ", ".join(dict.fromkeys(metric for answer in own for metric in answer.values)) or "none"
            message = f"{benchmark!r} in {path.name} was left out: no metric is a number in [0, 1] (metrics: {found})"
            findings.append(Finding("no_metric", 1, message))
            continue
        metric = options.choose("metric", usable, benchmark=benchmark, where=f"{benchmark!r} in {path.name}")
        parts.append(_frame(own, benchmark, metric))
    if not parts:
        return ParsedFile(pd.DataFrame(), tuple(findings))
    frame = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
    findings += ungraded(frame)
    empty = [name for name in frame if name != names.SCORE and frame[name].isna().all()]
    return ParsedFile(frame.drop(columns=empty), tuple(findings), metrics=frozenset(frame[METRIC].astype("str")))


def _frame(answers: list[Answer], benchmark: str, metric: str) -> pd.DataFrame:
    n = len(answers)
    more = dict.fromkeys(name for answer in answers for name in answer.more)
    columns: dict[str, Any] = {
        names.MODEL: [answer.model for answer in answers],
        names.ITEM: [answer.item for answer in answers],
        names.TRIAL: pd.array([answer.trial for answer in answers], dtype="Int64"),
        names.SCORE: [number_of(answer.values.get(metric)) for answer in answers],
        **{name: pd.Series([answer.more.get(name) for answer in answers]) for name in more},
    }
    frame = pd.DataFrame(columns)
    frame[names.BENCHMARK], frame[METRIC] = constant(benchmark, n), constant(metric, n)
    return frame


def _model_of(path: Path) -> str:
    """Model named by a file, or by its folder where the name of the file is the same for all models."""
    name = stem(path)
    if name in GENERIC_NAMES:
        return path.absolute().parent.name or name
    return re.sub(r"[-_.](?:sanitized|raw|eval_results|results|annotations)(?=[-_.]|$)", "", name)


# OLMES ------------------------------------------------------------------------------------------------------------

_OLMES: Final = re.compile(r"^(?:task-\d+-)?(?P<task>.+)-predictions\.jsonl(?:\.gz|\.zst)?$")
_OLMES_FOLDER: Final = re.compile(
    r"(?:(?:step[-_]?(?P<step>\d{1,16})|seed[-_]?(?P<seed>[a-z0-9]+))[-_]?){1,2}", re.IGNORECASE
)
NOT_MEASURES: Final = ("predicted_index", "correct_choice", "num_", "sum_logits", "logits_", "bits_", "label")


def _is_olmes(path: Path, start: bytes) -> bool:
    return _OLMES.match(path.name) is not None and b'"metrics"' in start and b'"doc_id"' in start


def _olmes(path: Path) -> Iterator[Answer]:
    match = _OLMES.match(path.name)
    task = match["task"] if match else stem(path)
    model, about = _olmes_run(path)
    for number, record in records(path):
        metrics = record.get("metrics")
        if not isinstance(metrics, dict):
            raise ReadError(f"{path}, line {number}: no 'metrics'; this is not a line of OLMES predictions.")
        doc_id = record.get("doc_id")
        own = as_text(doc_id) if doc_id is not None else as_text(record.get("native_id"))
        outputs = list(objects_in(record.get("model_output")))
        logits, lengths = ([output.get(key) for output in outputs] for key in ("sum_logits", "num_chars"))
        label = record.get("label", metrics.get("correct_choice"))
        more = about | {
            "native_id": as_text(record.get("native_id")),
            DOC_ID: doc_id if isinstance(doc_id, int) and abs(doc_id) < 2**63 else None,
            QUESTION: first_words(record.get("doc")),
            GOLD: label if isinstance(label, int) and len(outputs) > 1 and 0 <= label < len(outputs) else None,
            CHOICE_LOGPROBS: _vector(logits),
            CHOICE_CHARS: _vector(lengths),
        }
        measured = {name: value for name, value in metrics.items() if not name.startswith(NOT_MEASURES)}
        yield Answer(model, task, f"{task}/{own}", measured, more=more)


def _vector(values: list[object]) -> np.ndarray | None:
    """Numbers of several choices; None where one is missing."""
    numbers = [as_float(value) for value in values]
    return np.array(numbers, dtype=np.float64) if len(numbers) > 1 and None not in numbers else None


def _olmes_run(path: Path) -> tuple[str, dict[str, object]]:
    """Model, seed and step from the folders above, such as model-1B/seed-2/step10000 or model-1B/step10000-seed-2."""
    about: dict[str, object] = {}
    for folder in path.absolute().parents:
        own, checkpoint = _OLMES_FOLDER.fullmatch(folder.name), checkpoint_of(folder.name)
        found: dict[str, object] = {}
        if own is not None:
            seed = own["seed"]
            found[names.SEED] = int(seed) if seed and seed.isdecimal() and len(seed) < MAX_DIGITS else seed
            found[names.STEP] = int(own["step"]) if own["step"] else None
        elif folder.name.lower().startswith("step") and checkpoint.step is not None:
            found = {names.STEP: checkpoint.step, REVISION: checkpoint.revision}
        else:
            return folder.name or stem(path), about
        about = {name: value for name, value in found.items() if value is not None} | about
    return stem(path), about


# EvalPlus ---------------------------------------------------------------------------------------------------------


def _is_evalplus(path: Path, start: bytes) -> bool:
    keys = b'"base_status"' in start or b'"nfiles"' in start
    return path.suffix.lower() == ".json" and b'"eval"' in start and keys


def _evalplus(path: Path) -> Iterator[Answer]:
    tasks = load_object(path).get("eval")
    model = _model_of(path)
    for item, entry in tasks.items() if isinstance(tasks, dict) else ():
        benchmark = item.partition("/")[0].lower()
        for trial, (base, plus) in enumerate(_statuses(entry), start=1):
            values: dict[str, object] = {"base": base == "pass" if base is not None else None}
            if plus is not None:  # the extra tests count where those of the original benchmark pass, too
                values["plus"] = base == plus == "pass"
            yield Answer(model, benchmark, str(item), values, trial=trial)


def _statuses(entry: object) -> Iterator[tuple[str | None, str | None]]:
    """Outcomes of the original and the extra tests, of each sample of a problem; in the new and the old layout."""
    if isinstance(entry, dict):
        base, plus = entry.get("base"), entry.get("plus")
        extra = plus if isinstance(plus, list) else []
        for place, status in enumerate(base if isinstance(base, list) else []):
            yield _status(status), _status(extra[place]) if place < len(extra) else None
    for sample in objects_in(entry):
        yield _status(sample.get("base_status")), _status(sample.get("plus_status"))


def _status(status: object) -> str | None:
    first = status[0] if isinstance(status, list) and status else status
    return "pass" if first == "success" else as_text(first)


# SWE-bench --------------------------------------------------------------------------------------------------------

UNSOLVED: Final = ("unresolved_ids", "error_ids", "empty_patch_ids", "submitted_ids", "completed_ids", "applied")


def _is_swe_bench(path: Path, start: bytes) -> bool:
    return path.suffix.lower() == ".json" and (
        (b'"resolved_ids"' in start or b'"resolved_instances"' in start)
        or (b'"no_generation"' in start and (b'"resolved"' in start or b'"no_logs"' in start))
    )


def _swe_bench(path: Path) -> Iterator[Answer]:
    """Report of a run: an instance is solved, or not, or not graded, for want of a patch or by the environment."""
    report = load_object(path)
    name = stem(path)
    model = name.rpartition(".")[0].replace("__", "/") if "resolved_ids" in report and "." in name else _model_of(path)
    if model in ("results", "results/results"):
        model = path.absolute().parent.parent.name
    solved = set(_texts(report.get("resolved_ids", report.get("resolved"))))
    failed = dict.fromkeys(text for text in _texts(report.get("infra_failure_ids")) if text not in solved)
    listed = UNSOLVED if "resolved_ids" in report else tuple(key for key in report if key != "resolved")
    unsolved = dict.fromkeys(
        text for key in listed for text in _texts(report.get(key)) if text not in solved | failed.keys()
    )
    missing = [text for text in _texts(report.get("incomplete_ids")) if text not in solved | unsolved.keys()]
    missing += failed
    outcomes: list[tuple[str, bool | None]] = [(each, True) for each in sorted(solved)]
    outcomes += [(each, False) for each in sorted(unsolved)] + [(each, None) for each in missing]
    for item, value in outcomes:
        repository = item.rpartition("-")[0] or None
        yield Answer(model, "swe-bench", item, {"resolved": value}, more={"repository": repository})


def _texts(values: object) -> Iterator[str]:
    yield from (value for value in values if isinstance(value, str)) if isinstance(values, list) else ()


# promptfoo --------------------------------------------------------------------------------------------------------


def _is_promptfoo(path: Path, start: bytes) -> bool:
    if path.name.lower().endswith(SUFFIXES):
        record = first_record(path) if b'"promptIdx"' in start else None
        return record is not None and {"promptIdx", "testIdx", "provider"} <= record.keys()
    if path.suffix.lower() != ".json" or b'"results"' not in start:
        return False
    return b'"evalId"' in start or (b'"promptIdx"' in start and b'"provider"' in start)


def _promptfoo(path: Path) -> Iterator[Answer]:
    """Outcome of each test, by provider; each prompt is a benchmark of its own where there are several.

    A test is told by its content: repeats have numbers of their own, as have pairs of provider and prompt.
    """
    content = {} if path.name.lower().endswith(SUFFIXES) else load_object(path)
    outer = content.get("results")
    inner = outer.get("results") if isinstance(outer, dict) else outer
    entries = list(objects_in(inner)) if content else [record for _, record in records(path)]
    title = as_text(as_object(content.get("config")).get("description")) or stem(path)
    prompts = _numbered(entries, "promptIdx", _prompt_of)
    tests = _numbered(entries, "testIdx", _test_of)
    times: dict[tuple[object, ...], int] = {}
    for entry in sorted(entries, key=lambda entry: _index(entry, "testIdx")):
        provider = entry.get("provider")
        given = provider if isinstance(provider, dict) else {"id": provider}
        model = as_text(given.get("label")) or as_text(given.get("id")) or stem(path)
        benchmark = title + (f"/prompt{prompts[_prompt_of(entry)]}" if len(prompts) > 1 else "")
        test = _test_of(entry)
        times[model, benchmark, test] = times.get((model, benchmark, test), 0) + 1
        scores = entry.get("namedScores")
        failed = entry.get("failureReason") == ERROR_REASON or (entry.get("error") and entry.get("success") is None)
        values = {} if failed else {"success": entry.get("success"), "score": entry.get("score")}
        values |= scores if isinstance(scores, dict) and not failed else {}
        about = as_object(entry.get("testCase")).get("description")
        more = {QUESTION: first_words(about) or first_words(_joined(entry.get("vars"))), names.DOC_HASH: test}
        trial, item = times[model, benchmark, test], f"test{tests[test]}"
        yield Answer(model, benchmark, item, values or {"success": None}, trial=trial, more=more)


def _prompt_of(entry: Record) -> str:
    prompt = as_object(entry.get("prompt"))
    return as_text(entry.get("promptId")) or as_text(prompt.get("label")) or ""


def _test_of(entry: Record) -> str:
    case = as_object(entry.get("testCase"))
    return _digest([entry.get("vars"), case.get("assert"), case.get("description")])


def _numbered(entries: Sequence[Record], key: str, identity: Callable[[Record], str]) -> dict[str, int]:
    """Numbers from 0 of what entries have in common, in the order of the harness's own numbers."""
    first: dict[str, int] = {}
    for entry in entries:
        first[identity(entry)] = min(_index(entry, key), first.get(identity(entry), MAX_INDEX))
    return {each: place for place, each in enumerate(sorted(first, key=lambda each: first[each]))}


MAX_INDEX: Final = 2**62
ERROR_REASON: Final = 2  # of promptfoo: the provider failed, and nothing was graded


def _index(entry: Record, key: str) -> int:
    value = entry.get(key)
    return value if isinstance(value, int) else MAX_INDEX


def _joined(values: object) -> str | None:
    texts = [text for text in values.values() if isinstance(text, str)] if isinstance(values, dict) else []
    return " ".join(texts) or None


def _digest(content: object) -> str:
    text = repr(content) if isinstance(content, str) else json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:HASH_CHARACTERS]


# OpenAI evals -----------------------------------------------------------------------------------------------------


def _is_openai_evals(path: Path, start: bytes) -> bool:
    record = first_record(path) if b'"spec"' in start else None
    spec = record.get("spec") if record is not None else None
    return isinstance(spec, dict) and "eval_name" in spec


def _openai_evals(path: Path) -> Iterator[Answer]:
    """Events of one run that grade a sample: "match" with correct, "metrics" with any values."""
    benchmark = model = None
    times: dict[str, int] = {}
    for _, record in records(path):
        spec = record.get("spec")
        if isinstance(spec, dict):
            functions = spec.get("completion_fns")
            model = as_text(functions[0]) if isinstance(functions, list) and functions else as_text(spec.get("model"))
            benchmark = as_text(spec.get("base_eval")) or str(spec.get("eval_name")).partition(".")[0]
        data, item = record.get("data"), as_text(record.get("sample_id"))
        if record.get("type") not in ("match", "metrics") or not isinstance(data, dict) or item is None:
            continue
        if record["type"] == "match":
            values: dict[str, object] = {"correct": data.get("correct")}
        else:
            values = {str(key): value for key, value in data.items() if as_float(value) is not None}
        times[item] = times.get(item, 0) + 1
        yield Answer(model or stem(path), benchmark or stem(path), item, values, trial=times[item])


# AlpacaEval -------------------------------------------------------------------------------------------------------


def _is_alpaca_eval(path: Path, start: bytes) -> bool:
    return path.suffix.lower() == ".json" and all(
        key in start for key in (b'"instruction"', b'"generator_1"', b'"generator_2"')
    )


def _alpaca_eval(path: Path) -> Iterator[Answer]:
    """Preferences for the second generator: 1 is a loss, 2 a win, between them a probability, 0 and 1.5 a draw."""
    for number, record in records(path):
        model, instruction = as_text(record.get("generator_2")), record.get("instruction")
        if model is None or not isinstance(instruction, str):
            raise ReadError(f"{path}, entry {number}: no 'generator_2' or 'instruction'; this is no AlpacaEval record.")
        preference = as_float(record.get("preference"))
        value = None if preference is None else 0.5 if preference == 0 else preference - 1
        more = {QUESTION: first_words(instruction), names.SUBTASK: as_text(record.get("dataset"))}
        benchmark = "alpaca_eval"
        yield Answer(model, benchmark, f"{benchmark}/{_digest(instruction)}", {"preference": value}, more=more)


# evalscope --------------------------------------------------------------------------------------------------------


def _is_evalscope(path: Path, start: bytes) -> bool:
    return path.name.lower().endswith(SUFFIXES) and b'"sample_score"' in start and b'"index"' in start


def _evalscope(path: Path) -> Iterator[Answer]:
    """Reviews of one benchmark in the folder of a model; what was not graded successfully is missing."""
    benchmark, model = stem(path), path.absolute().parent.name or stem(path)
    for _, record in records(path):
        graded = as_object(record.get("sample_score"))
        score = as_object(graded.get("score"))
        values = score.get("value")
        succeeded = score.get("status") in (None, "success")
        trial = graded.get("generation_index")
        trial = trial if isinstance(trial, int) and abs(trial) < MAX_TRIALS else None
        item = f"{benchmark}/{graded.get('group_id', record.get('index'))}"
        found = values if isinstance(values, dict) and succeeded else dict.fromkeys(values or ("score",))
        yield Answer(model, benchmark, item, found, trial, {QUESTION: first_words(record.get("messages"))})


# py-irt -----------------------------------------------------------------------------------------------------------


def _is_py_irt(path: Path) -> bool:
    """Whether the first line has a subject and its responses."""
    if not path.is_file() or not path.name.lower().endswith(SUFFIXES):
        return False
    record = first_record(path)
    return record is not None and {"subject_id", "responses"} <= record.keys()


def _read_py_irt(path: Path, options: ReadOptions) -> ParsedFile:
    """Read the responses of one subject per line; an absent or null item is missing."""
    subjects: dict[str, int] = {}
    item_places: dict[str, int] = {}
    models, items, values = array("i"), array("i"), array("d")  # one number per response, however long the labels
    empty: list[int] = []  # subjects without any response keep their label
    for number, record in records(path):
        subject, responses = record.get("subject_id"), record.get("responses")
        if subject is None or not isinstance(responses, dict):
            raise ReadError(f'{path}, line {number}: {{"subject_id": ..., "responses": {{...}}}} is needed.')
        place = subjects.setdefault(str(subject), len(subjects))
        if not responses:
            empty.append(place)
        models.extend([place] * len(responses))
        items.extend(item_places.setdefault(item, len(item_places)) for item in responses)
        values.extend(_py_irt_value(path, number, item, value) for item, value in responses.items())
    if not items:
        raise ReadError(f"{path} holds no responses.")
    models.extend(empty)
    items.extend([0] * len(empty))
    values.extend([np.nan] * len(empty))
    keys = {
        name: pd.Categorical.from_codes(np.asarray(codes), pd.Index(list(labels), dtype="str"))
        for name, codes, labels in ((names.MODEL, models, subjects), (names.ITEM, items, item_places))
    }
    return ParsedFile(pd.DataFrame({**keys, names.SCORE: np.asarray(values)}))


def _py_irt_value(path: Path, number: int, item: str, value: object) -> float:
    parsed = np.nan if value is None else number_of(value)
    if parsed is None:
        raise ReadError(f"{path}, line {number}: response {value!r} to item {item!r} is not a number.")
    return parsed


LAYOUTS: Final = (
    Layout("olmes", "OLMES *-predictions.jsonl, model, seed and step from the folders", _is_olmes, _olmes),
    Layout("evalplus", "EvalPlus *eval_results.json", _is_evalplus, _evalplus),
    Layout("swe-bench", "SWE-bench reports of a run", _is_swe_bench, _swe_bench),
    Layout("promptfoo", "promptfoo results in JSON or JSON lines", _is_promptfoo, _promptfoo),
    Layout("openai-evals", "OpenAI evals logs of a run", _is_openai_evals, _openai_evals),
    Layout("alpaca-eval", "AlpacaEval annotations.json", _is_alpaca_eval, _alpaca_eval),
    Layout("evalscope", "evalscope reviews", _is_evalscope, _evalscope),
)
PY_IRT: Final = Format("py-irt", "py-irt JSON lines: subject_id, responses", _is_py_irt, _read_py_irt)
FORMATS: Final = (PY_IRT, *(layout.format() for layout in LAYOUTS))
