"""Facts in logs besides the answers: which documents were asked, with which prompts, and how much of a task was run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from irt_bench.responses.formats.inspect_ai import EvalArchive
from irt_bench.responses.formats.jsonlines import as_text, load_object, records
from irt_bench.responses.formats.lm_eval import run_of
from irt_bench.responses.read import Source

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

    Parameters
    ----------
    source : Source
        File and format.
    known_hashes : collection of str
        Hashes of documents of the subset, which show whether the harness hashes in the same way.
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
    doc_id = record.get("doc_id")
    own = logged
    is_stale = False
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
        configs = load_object(beside).get("configs")
        config = configs.get(task) if isinstance(configs, dict) else None
        metadata = config.get("metadata") if isinstance(config, dict) else None
        own = metadata.get("irt_bench") if isinstance(metadata, dict) else None
        if isinstance(own, dict) and isinstance(own.get("task"), str) and isinstance(own.get("n_full"), int):
            return own
    return {}


def _facts_of_inspect_log(path: Path) -> LogFacts | None:
    if path.suffix.lower() == ".eval":
        with EvalArchive(path) as archive:
            header = archive.json("header.json") if "header.json" in archive.names() else {}
    else:
        header = load_object(path)
    evaluation = header.get("eval") if isinstance(header, dict) else None
    if not isinstance(evaluation, dict):
        return None
    dataset = evaluation.get("dataset")
    dataset = dataset if isinstance(dataset, dict) else {}
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
