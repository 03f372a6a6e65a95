"""Read logs of subset runs: answers to the items of the subset, and checks of the logs.

Items are matched by the hash of the document, else by label or number. The number of a document in a log is wrong after
a run on an unsorted list of samples, so it is used only if there are no hashes. Answers that cannot be repaired are
left out with an error or a warning, such as answers to the prompts of other documents from a cache of requests. Answers
that are only less comparable, such as those with other few-shot examples, are flagged.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from irt_bench import names
from irt_bench.errors import ReadError, SubsetError, SubsetWarning
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.formats.format import Choice, parse_choice
from irt_bench.responses.formats.inspect_ai import EvalArchive
from irt_bench.responses.formats.jsonlines import as_object, as_text, load_object, records
from irt_bench.responses.formats.lm_eval import run_of
from irt_bench.responses.labels import MODEL_NAME
from irt_bench.responses.read import Source, find_sources, read_preferred
from irt_bench.responses.table import DOC_ID, FILTER, METRIC, PROMPT_HASH, REVISION, ResponseTable
from irt_bench.subsets.score import FLAGS, check_same_metric_and_filter, estimate_full_score
from irt_bench.subsets.subset import SubsetItem, SubsetRecord, bare_hash
from irt_bench.workers import Progress

IRT_DOC_ID: Final = "irt_doc_id"  # field that an exported task adds to each document
_TIME: Final = re.compile(r"_(?P<time>\d{4}-\d\d-\d\dT[\d.+-]+)\.jsonl$")
_TASK: Final = re.compile(r"^samples_(?P<task>.+)_\d{4}-\d\d-\d\dT[\d.+-]+\.jsonl$")


@dataclass(frozen=True)
class LoggedDocument:
    """One document of a log."""

    doc_id: int | None  # in the full task
    logged_hash: str | None
    doc_hash: str | None  # of the document in the full task
    prompt_hash: str | None
    is_stale: bool  # the document in the log differs from the one that was asked


@dataclass(frozen=True)
class LogFacts:
    """Facts about the run of one log file."""

    path: Path
    task: str
    model: str
    step: object
    revision: str | None
    n_full: int | None
    n_run: int | None
    asked: Sequence[LoggedDocument] = ()
    exported: bool = False  # whether the task was exported by irt-bench
    doc_ids_rise: bool = True

    @property
    def n_stale(self) -> int:
        """Number of documents whose answer belongs to another prompt."""
        return sum(one.is_stale for one in self.asked)


def facts_of(source: Source, known_hashes: Collection[str] = ()) -> LogFacts | None:
    """Read the facts about the run of a log; None for formats without them.

    Hashes of documents of the subset that occur show whether the harness hashes in the same way.
    """
    if source.format.name == "lm-eval":
        return _facts_of_lm_eval_log(source.path, known_hashes)
    if source.format.name == "inspect":
        return _facts_of_inspect_log(source.path)
    return None


def document_hash(document: Any) -> str:
    """Hash a document as lm-evaluation-harness does."""
    return hashlib.sha256(json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8")).hexdigest()


def _facts_of_lm_eval_log(path: Path, known_hashes: Collection[str]) -> LogFacts:
    time, task = _TIME.search(path.name), _TASK.match(path.name)
    run = run_of(path, time["time"] if time else None)
    name = task["task"] if task else path.name.split(".")[0]
    asked = [_asked(record) for _, record in records(path)]
    # If no document has the hash in the log, the harness hashes in another way, and stale documents cannot be found.
    if asked and all(one.is_stale for one in asked) and not _hashes_alike(asked, path, known_hashes):
        asked = [LoggedDocument(one.doc_id, one.logged_hash, one.logged_hash, one.prompt_hash, False) for one in asked]
    ids = list(dict.fromkeys(one.doc_id for one in asked if one.doc_id is not None))
    n_full, n_run = run.n_samples.get(name, (None, None))
    exported = _exported(path, time["time"] if time else None, name)
    return LogFacts(
        path=path,
        task=str(exported.get("task", name)),
        model=run.model,
        step=run.checkpoint.step,
        revision=run.checkpoint.revision,
        n_full=exported.get("n_full", n_full),
        n_run=n_run,
        asked=asked,
        exported=bool(exported),
        doc_ids_rise=all(a < b for a, b in zip(ids, ids[1:], strict=False)),
    )


def _asked(record: dict[str, Any]) -> LoggedDocument:
    document, logged = record.get("doc"), as_text(record.get("doc_hash"))
    doc_id, own, is_stale = record.get("doc_id"), logged, False
    if isinstance(document, dict) and logged:
        is_stale = document_hash(document) != logged
        if IRT_DOC_ID in document:
            doc_id = document[IRT_DOC_ID]
            own = document_hash({key: value for key, value in document.items() if key != IRT_DOC_ID})
    return LoggedDocument(
        doc_id if isinstance(doc_id, int) else None, logged, own, as_text(record.get("prompt_hash")), is_stale
    )


def _hashes_alike(asked: Sequence[LoggedDocument], path: Path, known_hashes: Collection[str]) -> bool:
    """Whether some document has a hash of the log or the subset, which shows that documents are hashed the same way."""
    own = {document_hash(record["doc"]) for _, record in records(path) if isinstance(record.get("doc"), dict)}
    return bool(own & ({one.logged_hash for one in asked} | set(known_hashes)))


def _exported(path: Path, time: str | None, task: str) -> dict[str, Any]:
    """Metadata of an exported task in the results file."""
    for beside in sorted(path.parent.glob(f"*_{time}.json")) if time else []:
        config = as_object(as_object(load_object(beside).get("configs")).get(task))
        own = as_object(as_object(config.get("metadata")).get("irt_bench"))
        if isinstance(own.get("task"), str) and isinstance(own.get("n_full"), int):
            return own
    return {}


def _facts_of_inspect_log(path: Path) -> LogFacts | None:
    if path.suffix.lower() == ".eval":
        with EvalArchive(path) as archive:
            header = archive.json("header.json") if "header.json" in archive.names() else {}
    else:
        header = load_object(path)
    evaluation = as_object(header).get("eval")
    if not isinstance(evaluation, dict):
        return None
    dataset = as_object(evaluation.get("dataset"))
    ids, n_full = dataset.get("sample_ids"), dataset.get("samples")
    return LogFacts(
        path=path,
        task=str(evaluation.get("task", "")).rsplit("/", maxsplit=1)[-1],
        model=str(evaluation.get("model")),
        step=None,
        revision=None,
        n_full=n_full if isinstance(n_full, int) else None,
        n_run=len(ids) if isinstance(ids, list) else None,
    )


def renamed_tasks(facts: Sequence[LogFacts]) -> dict[str, str]:
    """Map exported tasks to their full tasks."""
    return {_logged_task(found): found.task for found in facts if found.exported}


def _logged_task(found: LogFacts) -> str:
    return found.path.name.removeprefix("samples_").rsplit("_", 1)[0] if found.exported else found.task


class _ItemLookup(NamedTuple):
    """Items of a subset by hash, number and label; the task is empty if the subset has only one."""

    by_hash: dict[tuple[str, str], list[SubsetItem]]
    by_number: dict[tuple[str, str], SubsetItem]
    by_label: dict[str, SubsetItem]

    @classmethod
    def of(cls, subset: SubsetRecord, *, one_task: bool) -> _ItemLookup:
        known = cls({}, {}, {item.id: item for item in subset.items})
        for item in subset.items:
            task = "" if one_task else item.subtask
            if item.doc_hash:
                known.by_hash.setdefault((task, bare_hash(item.doc_hash)), []).append(item)
            if item.doc_id is not None:
                known.by_number[task, str(item.doc_id)] = item
        return known


def match_items(table: ResponseTable, subset: SubsetRecord, facts: Sequence[LogFacts]) -> pd.Series:
    """Id in the subset of each (benchmark, item) of the table; missing for items outside the subset.

    Raises
    ------
    SubsetError
        If no item is in the subset.
    """
    renamed, one_task = renamed_tasks(facts), len({item.subtask for item in subset.items}) == 1
    known = _ItemLookup.of(subset, one_task=one_task)
    asked_as = {one.logged_hash: one for found in facts for one in found.asked if one.logged_hash}
    blank = pd.Series(pd.NA, index=table.items.index, dtype="object")
    numbers, hashes = table.items.get(DOC_ID, blank), table.items.get(names.DOC_HASH, blank)
    found_ids: list[str | None] = []
    for (benchmark, label), number, logged in zip(table.items.index, numbers, hashes, strict=True):
        task = "" if one_task else renamed.get(benchmark, benchmark)
        if isinstance(logged, str):
            asked = asked_as.get(bare_hash(logged))
            candidates = known.by_hash.get((task, str(asked.doc_hash) if asked else bare_hash(logged)), [])
            chosen = _pick(candidates, asked.doc_id if asked and asked.doc_hash != asked.logged_hash else number)
            if chosen is None and not known.by_hash:
                chosen = known.by_label.get(label)
        else:
            own = label.removeprefix(f"{benchmark}/")
            chosen = known.by_label.get(label) or (known.by_number.get((task, own)) if known.by_hash else None)
        found_ids.append(chosen.id if chosen is not None else None)
    matched = pd.Series(found_ids, index=table.items.index, dtype="object")
    if matched.isna().all():
        raise SubsetError(
            f"none of the {len(matched)} items of the logs is in the subset of {subset.benchmark!r}; the subset has "
            f"{subset.ids[0]!r}, the logs {table.items.index[0][1]!r}. Is it the same benchmark and revision?"
        )
    return matched


def _pick(candidates: list[SubsetItem], number: object) -> SubsetItem | None:
    """Return the candidate with this document number, else the first; a document that occurs twice is used once."""
    if not candidates:
        return None
    same = [item for item in candidates if item.doc_id == number] if number is not pd.NA else []
    chosen = same[0] if same else candidates[0]
    if len(candidates) > 1:
        candidates.remove(chosen)
    return chosen


FULL_SHARE: Final = 0.75  # of the benchmark's items; some answers of a full run may lack a grade
NOT_TRUSTED: Final = "not_trusted"
STALE: Final = "stale_prompts"  # answers belong to the prompts of other documents
WRONG_IDS: Final = "doc_ids_wrong"  # harmless if hashes match
NO_HASHES: Final = "matched_without_hashes"
CHANGED: Final = "prompts_changed"
UNEXPECTED: Final = "unexpected_items"
FULL_RUN: Final = "full_run"

MESSAGES: Final = {
    STALE: "its answers belong to the prompts of other documents, as after --cache_requests true; run again with "
    "--cache_requests refresh or without. The log cannot be trusted",
    f"{WRONG_IDS};{NO_HASHES}": "its doc_ids are out of order and there are no hashes of documents; run again "
    "with a sorted --samples file. The log cannot be trusted",
    CHANGED: "prompts differ from those of the calibration: the few-shot sampler draws other examples in a subset run; "
    "the estimate assumes that this does not matter",
    UNEXPECTED: "items outside the subset were asked; the run did not get the list of items, or not by leaf tasks",
}
MEANINGS: Final = {
    **FLAGS,
    NOT_TRUSTED: "no estimate is made",
    STALE: "answers belong to the prompts of other documents",
    WRONG_IDS: "the log numbers documents wrongly; answers were matched by the hashes of documents",
    NO_HASHES: "the log has no hashes: documents were matched by label or number",
    CHANGED: "prompts differ from those of the calibration, as few-shot examples do in a subset run",
    UNEXPECTED: "items outside the subset were asked; they are left out",
    FULL_RUN: "the whole benchmark was run; the estimate uses the items of the subset only",
}


@dataclass(frozen=True)
class SubsetLogs:
    """Answers to a subset, with checks of their logs.

    Parameters
    ----------
    counts : ResponseCounts
        Answers, shape (model, item), in the order of the subset; answers of logs that cannot be trusted are missing.
    checks : pd.DataFrame
        Indexed by model: ``run`` ("full", "subset" or "unknown"), ``n_unexpected``, ``n_prompts_changed``, ``flags``.
    """

    counts: ResponseCounts
    checks: pd.DataFrame


def read_subset_logs(
    paths: Sequence[str | Path],
    subset: SubsetRecord,
    *,
    format: str | None = None,
    metric: Choice = None,
    filter: Choice = None,
    benchmark: str | None = None,
    progress: Progress | None = None,
) -> SubsetLogs:
    """Read logs of a subset run or of a full run, and keep the items of the subset; parameters as of `read_responses`.

    Metric and filter are by default those of the calibration, for each task, and others are an error where these are
    known. The benchmark is by default that of the tasks of the subset.

    Raises
    ------
    SubsetError
        If no item matches, an answer occurs twice, the metric or the filter differs from that of the calibration, or no
        log can be trusted.

    Warns
    -----
    SubsetWarning
        For each reason for caution, with the number of models and the first of them.
    """
    known = {bare_hash(item.doc_hash) for item in subset.items if item.doc_hash}
    facts = [found for source in find_sources(paths, format=format) if (found := facts_of(source, known)) is not None]
    if facts and all(found.n_stale for found in facts):
        raise SubsetError(f"{facts[0].path.name}: {MESSAGES[STALE]}.")
    by, extracted = _calibrated("metric", metric, subset), _calibrated("filter", filter, subset)
    try:
        table = read_preferred(
            paths, _tasks(subset, facts, benchmark), format=format, metric=by, filter=extracted, progress=progress
        )
    except ReadError as error:
        if (by, extracted) == (metric, filter):
            raise
        reading = {METRIC: by, FILTER: extracted}
        named = " and ".join(f"{name} {value!r}" for name, value in reading.items() if value is not None)
        raise SubsetError(f"{error} (The subset was calibrated on {named}.)") from error
    table = _relevant(table, subset, facts, benchmark)
    item_of = match_items(table, subset, facts)
    check_same_metric_and_filter(table.items, item_of, subset)
    frame = _answers(table, item_of)
    checks = _checks(table, frame, subset, facts)
    bad = checks.index[checks["flags"].str.contains(NOT_TRUSTED)]
    flags_of = {str(label): str(flags) for label, flags in checks["flags"].items()}
    for flag, message in MESSAGES.items():
        models = [label for label, flags in flags_of.items() if set(flag.split(";")) <= set(flags.split(";"))]
        if models and len(bad) < len(checks):
            more = f" and {len(models) - 1} more" if len(models) > 1 else ""
            warnings.warn(f"model {models[0]!r}{more}: {message}.", SubsetWarning, stacklevel=2)
        elif models and len(bad) == len(checks) and NOT_TRUSTED in flags_of[models[0]]:
            raise SubsetError(f"model {models[0]!r}: {message}.")
    kept = frame[~frame[names.MODEL].isin(bad)]
    return SubsetLogs(_counts(kept, table, subset), checks)


def score_logs(logs: SubsetLogs, subset: SubsetRecord) -> pd.DataFrame:
    """Estimate full scores from logs.

    Returns
    -------
    pd.DataFrame
        As `estimate_full_score`, with the flags of the logs; NaN for models whose log cannot be trusted.
    """
    table = estimate_full_score(logs.counts, subset)
    joined = table["flags"].str.cat(logs.checks["flags"].reindex(table.index), sep=";")
    return table.assign(flags=joined.str.strip(";"))


def _calibrated(name: Literal["metric", "filter"], asked: Choice, subset: SubsetRecord) -> Choice:
    """Metric or filter to read: `asked`, else that of the calibration, for each task where tasks have several."""
    known = subset.metrics if name == METRIC else subset.filters
    asked = parse_choice(asked)
    wrong = [each for each in (asked.values() if isinstance(asked, Mapping) else [asked]) if each and each not in known]
    if wrong and known:
        raise SubsetError(
            f"the subset was calibrated on {name} {' and '.join(map(repr, known))}, not on {wrong[0]!r}, so it does "
            f"not estimate {wrong[0]!r}. Leave {name} out, or calibrate a subset on it."
        )
    return asked if asked is not None else subset.choice(name)


def _tasks(subset: SubsetRecord, facts: Sequence[LogFacts], benchmark: str | None) -> set[str]:
    """Names in the logs of what may contain items of the subset."""
    if benchmark is not None:
        return {benchmark}
    tasks = {item.subtask for item in subset.items} | {subset.benchmark}
    return tasks | {name for name, task in renamed_tasks(facts).items() if task in tasks}


def _relevant(
    table: ResponseTable, subset: SubsetRecord, facts: Sequence[LogFacts], benchmark: str | None
) -> ResponseTable:
    """Keep the benchmarks that may contain items of the subset."""
    if benchmark is not None:
        return table.select(benchmark)
    tasks = _tasks(subset, facts, benchmark)
    kept = [name for name in table.benchmarks if name in tasks]
    if not kept and len(table.benchmarks) == 1:
        kept = table.benchmarks
    if not kept:
        raise SubsetError(
            f"the logs are of {', '.join(table.benchmarks[:5])}; the subset is of {', '.join(sorted(tasks)[:5])}. "
            "Name the one that is meant: benchmark='NAME'."
        )
    return table.keep_benchmarks(kept)


def _answers(table: ResponseTable, item_of: pd.Series) -> pd.DataFrame:
    """Answers with ids of the subset in column ``matched``."""
    pairs = pd.MultiIndex.from_frame(table.answers[[names.BENCHMARK, names.ITEM]].astype("str"))
    places = pd.MultiIndex.from_tuples([tuple(map(str, key)) for key in item_of.index]).get_indexer(pairs)
    frame = table.answers.assign(matched=item_of.to_numpy()[places])
    frame[names.MODEL] = frame[names.MODEL].astype("str")
    inside = frame.dropna(subset="matched")
    several = inside.groupby([names.MODEL, "matched"])[names.BENCHMARK].nunique()
    if (several > 1).any():
        model, item = several.index[int((several > 1).to_numpy().argmax())]
        found = inside.loc[(inside[names.MODEL] == model) & (inside["matched"] == item), names.BENCHMARK].unique()
        raise SubsetError(
            f"model {model!r} answered item {item!r} in {' and '.join(map(str, found))}; choose one: benchmark='NAME'."
        )
    return frame


def _checks(table: ResponseTable, frame: pd.DataFrame, subset: SubsetRecord, facts: Sequence[LogFacts]) -> pd.DataFrame:
    prompts = {item.id: item.prompt_hash for item in subset.items if item.prompt_hash}
    numbers = {
        bare_hash(item.doc_hash): item.doc_id for item in subset.items if item.doc_hash and item.doc_id is not None
    }
    rows = {}
    for label in table.models.index:
        own = frame[frame[names.MODEL] == label]
        files = [found for found in facts if _is_run_of(found, label, table)]
        inside = own.dropna(subset="matched")
        run = _run(files)
        if run == "unknown" and own[names.ITEM].nunique() >= FULL_SHARE * subset.n_items_full:
            run = "full"  # a response matrix has no such metadata
        n_changed = 0
        if PROMPT_HASH in own and prompts:
            expected = inside["matched"].map(prompts)
            n_changed = int((expected.notna() & (inside[PROMPT_HASH].astype("str") != expected)).sum())
        n_unexpected = int(own["matched"].isna().sum()) if run != "full" else 0
        flags = _flags(files, numbers, n_changed, n_unexpected, run)
        rows[label] = {"run": run, "n_unexpected": n_unexpected, "n_prompts_changed": n_changed, "flags": flags}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(names.MODEL)


def _flags(files: Sequence[LogFacts], numbers: dict[str, int], n_changed: int, n_unexpected: int, run: str) -> str:
    asked = [one for found in files for one in found.asked]
    stale = any(one.is_stale for one in asked)
    wrong = any(
        one.doc_hash in numbers and one.doc_id != numbers[one.doc_hash] for one in asked if not one.is_stale
    ) or any(not found.doc_ids_rise for found in files if run != "full")
    no_hashes = any(one.doc_hash is None for one in asked)
    raised = {
        NOT_TRUSTED: stale or (wrong and no_hashes),
        STALE: stale,
        WRONG_IDS: wrong and not stale,
        NO_HASHES: no_hashes,
        CHANGED: n_changed > 0 and not stale,
        UNEXPECTED: n_unexpected > 0 and not stale,
        FULL_RUN: run == "full",
    }
    return ";".join(flag for flag, up in raised.items() if up)


def _is_run_of(found: LogFacts, label: str, table: ResponseTable) -> bool:
    row = table.models.loc[label]
    name = row.get(MODEL_NAME, label)
    if found.model != (label if pd.isna(name) else name):
        return False
    ours = {names.STEP: found.step, REVISION: found.revision}
    return all(value is None or pd.isna(row.get(key)) or str(row.get(key)) == str(value) for key, value in ours.items())


def _run(files: Iterable[LogFacts]) -> str:
    """Whether all of a task was run, according to the logs."""
    known = [found.n_run < found.n_full or found.exported for found in files if found.n_run and found.n_full]
    return "unknown" if not known else "subset" if any(known) else "full"


def _counts(kept: pd.DataFrame, table: ResponseTable, subset: SubsetRecord) -> ResponseCounts:
    """Arrange matched answers in the order of the subset."""
    inside = kept.dropna(subset="matched")
    clean = replace(
        table,
        answers=inside.drop(columns="matched").assign(
            **{
                names.BENCHMARK: pd.Categorical([subset.benchmark] * len(inside)),
                names.ITEM: pd.Categorical(inside["matched"], categories=list(subset.ids)),
                names.MODEL: pd.Categorical(inside[names.MODEL], categories=list(table.models.index)),
            }
        ),
        items=pd.DataFrame(
            index=pd.MultiIndex.from_product([[subset.benchmark], subset.ids], names=[names.BENCHMARK, names.ITEM])
        ),
        entries=pd.DataFrame(
            {
                names.BENCHMARK: np.repeat(subset.benchmark, len(table.models)),
                names.MODEL: table.models.index.to_numpy(),
            }
        ),
    )
    return clean.counts()
