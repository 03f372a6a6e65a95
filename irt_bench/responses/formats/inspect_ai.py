"""Inspect AI logs, ``.eval`` and JSON.

An ``.eval`` file is a zip archive whose members are stored, deflated or zstd-compressed (method 93).
"""

from __future__ import annotations

import lzma
import re
import struct
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
import pandas as pd
import zstandard

from irt_bench import names
from irt_bench.errors import ReadError, ResponsesWarning
from irt_bench.responses.columns import value_of
from irt_bench.responses.formats.format import (
    MAX_DIGITS,
    Format,
    ParsedFile,
    ReadOptions,
    checkpoint_of,
    constant,
    first_words,
    ungraded,
)
from irt_bench.responses.formats.jsonlines import (
    MAX_JSON_BYTES,
    Record,
    as_float,
    as_object,
    as_text,
    first_line,
    load_object,
    parse_json,
)
from irt_bench.responses.table import METRIC, QUESTION, REVISION, Finding

ZSTD: Final = 93  # zip compression method, which the standard library reads from Python 3.14 on
LOCAL_HEADER_BYTES: Final = 30
MAX_MEMBER_BYTES: Final = MAX_JSON_BYTES  # decompressed; summaries of 500,000 samples take as much
MAX_ARCHIVE_BYTES: Final = 2**29  # decompressed, of all members that are read
MAX_MEMBERS: Final = 500_000
DAMAGED: Final = (
    OSError,
    EOFError,
    NotImplementedError,  # a compression method, or a version of the container
    RuntimeError,  # an encrypted member
    OverflowError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
)


class EvalArchive:
    """An open ``.eval`` file.

    Raises
    ------
    ReadError
        On opening or reading, if the file is not such an archive, is truncated or damaged, or would unpack too large.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._left = MAX_ARCHIVE_BYTES
        try:
            self._raw = path.open("rb")
        except OSError as error:
            raise ReadError(f"{path} cannot be read: {error.strerror}.") from error
        try:
            self._zip = zipfile.ZipFile(self._raw)
        except (*DAMAGED, ValueError) as error:
            self._raw.close()
            reason = first_line(error)
            raise ReadError(f"{path} cannot be read as an Inspect log: {reason}. Was the file cut off?") from error
        if len(self._zip.infolist()) > MAX_MEMBERS:
            raise ReadError(f"{path} has more than {MAX_MEMBERS:,} members; this is no Inspect log.")

    def __enter__(self) -> EvalArchive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()
        self._raw.close()

    def names(self) -> list[str]:
        """Names of the members, in the order of the archive."""
        return self._zip.namelist()

    def json(self, name: str) -> Any:
        """Read a member that is JSON."""
        try:
            return parse_json(self._bytes(self._zip.getinfo(name)))
        except ValueError as error:
            raise ReadError(f"{self.path}: member {name!r} is not JSON ({first_line(error)}).") from error

    def _bytes(self, member: zipfile.ZipInfo) -> bytes:
        try:
            content = self._unzstd(member) if member.compress_type == ZSTD else self._inflate(member)
        except (*DAMAGED, ValueError) as error:
            raise ReadError(
                f"{self.path}: member {member.filename!r} cannot be unpacked: {first_line(error)}."
            ) from error
        if len(content) > MAX_MEMBER_BYTES:
            raise ReadError(f"{self.path}: member {member.filename!r} unpacks to more than {MAX_MEMBER_BYTES:,} bytes.")
        self._left -= len(content)
        if self._left < 0:
            raise ReadError(f"{self.path}: its members unpack to more than {MAX_ARCHIVE_BYTES:,} bytes.")
        return content

    def _inflate(self, member: zipfile.ZipInfo) -> bytes:
        with self._zip.open(member) as stream:
            return stream.read(MAX_MEMBER_BYTES + 1)

    def _unzstd(self, member: zipfile.ZipInfo) -> bytes:
        self._raw.seek(member.header_offset)
        header = self._raw.read(LOCAL_HEADER_BYTES)
        name_bytes, extra_bytes = (int.from_bytes(header[start : start + 2], "little") for start in (26, 28))
        self._raw.seek(name_bytes + extra_bytes, 1)
        packed = self._raw.read(member.compress_size)
        with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as stream:
            content = stream.read(MAX_MEMBER_BYTES + 1)
        if len(content) <= MAX_MEMBER_BYTES and zlib.crc32(content) != member.CRC:
            raise zipfile.BadZipFile("checksum differs")
        return content


GRADE_VALUES: Final[Mapping[str, float]] = {
    "C": 1.0,
    "I": 0.0,
    "P": 0.5,
    "N": 0.0,
}  # correct, incorrect, partial, no answer
OTHER_GRADES: Final = frozenset("ABDEF")  # beside them C is a letter grade, and not "correct"
HEAD_BYTES: Final = 4096
MAX_TIME_CHARACTERS: Final = 40
_TIME: Final = re.compile(r"^\d{4}-\d\d-\d\dT[\d:+-]{5,20}")


@dataclass(frozen=True)
class _Log:
    """The parts of a log that are read."""

    eval: Record
    status: str
    plan: Record
    samples: list[Record]
    invalidated: bool = False


def claims(path: Path) -> bool:
    """Whether the name ends in .eval, or the file begins like an Inspect log in JSON."""
    if not path.is_file():
        return False
    if path.suffix.lower() != ".json":
        return path.suffix.lower() == ".eval"
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return b'"eval"' in head and b'"status"' in head


def read(path: Path, options: ReadOptions) -> ParsedFile:
    """Read one log; epochs are trials, and samples with an error or without a score are missing.

    Raises
    ------
    ReadError
        If the file is not such a log, or has several scorers and none was chosen.
    """
    log = _from_archive(path) if path.suffix.lower() == ".eval" else _from_json(path)
    task, model = log.eval.get("task"), log.eval.get("model")
    if not task or not model:
        raise ReadError(f"{path} does not name its task and model; it is no Inspect log.")
    benchmark = str(task).rsplit("/", maxsplit=1)[-1]
    findings = (
        [] if log.status == "success" else [Finding("partial_log", 1, f"{path.name} ended with status {log.status!r}")]
    )
    n_invalid = sum(bool(sample.get("invalidation")) for sample in log.samples)
    if n_invalid or log.invalidated:
        what = f"{n_invalid:,} of its samples are invalidated, and missing" if n_invalid else "it is marked as invalid"
        findings.append(Finding("invalidated", max(n_invalid, 1), f"{path.name}: {what}"))
    graded = [_scores(sample) for sample in log.samples]
    scorers = _scorers(graded)
    if not scorers:
        message = f"{path.name} was left out: none of its {len(graded)} samples has a score"
        return ParsedFile(pd.DataFrame(), (*findings, Finding("no_scores", 1, message)))
    where = f"task {benchmark!r} in {path.name}"
    asked = options.choose("metric", scorers, benchmark=benchmark, where=where, kind="scorer")
    unknown: Counter[str] = Counter()
    letters = _are_letters(scores.get(asked) for scores in graded)
    frame = pd.DataFrame(
        {
            names.ITEM: [str(sample.get("id")) for sample in log.samples],
            names.TRIAL: pd.array([_epoch(path, sample) for sample in log.samples], dtype="Int64"),
            names.SCORE: [_score_value(scores.get(asked), unknown, letters=letters) for scores in graded],
            QUESTION: [first_words(sample.get("input")) for sample in log.samples],
        }
    )
    frame[names.BENCHMARK], frame[names.MODEL] = constant(benchmark, len(frame)), constant(str(model), len(frame))
    frame[METRIC] = constant(asked, len(frame))
    frame = frame.drop(columns=[QUESTION] if frame[QUESTION].isna().all() else [])
    findings.extend([*_unknown_values(unknown, path), *ungraded(frame)])
    return ParsedFile(
        frame.assign(**_checkpoint_columns(log)),
        tuple(findings),
        metrics=frozenset([asked]),
        time=_time(log, path),
    )


def _time(log: _Log, path: Path) -> str:
    """When a run began, from the log, or the name of its file; empty where neither says so."""
    created = log.eval.get("created")
    return str(created)[:MAX_TIME_CHARACTERS] if created else "".join(_TIME.findall(path.name))


def _from_archive(path: Path) -> _Log:
    with EvalArchive(path) as archive:
        members = archive.names()
        header = archive.json("header.json") if "header.json" in members else {}
        if not header and "_journal/start.json" in members:  # a run that was cut short
            header = {"status": "started", **as_object(archive.json("_journal/start.json"))}
        if "summaries.json" in members:
            samples = archive.json("summaries.json")
        else:
            journal = sorted(name for name in members if name.startswith("_journal/summaries/"))
            parts = [archive.json(name) for name in journal]
            samples = [sample for part in parts if isinstance(part, list) for sample in part]
        if not samples:
            samples = [archive.json(name) for name in members if name.startswith("samples/") and name.endswith(".json")]
    return _log(path, header, samples)


def _from_json(path: Path) -> _Log:
    content = load_object(path)
    return _log(path, content, content.get("samples"))


def _log(path: Path, content: object, samples: object) -> _Log:
    header = as_object(content)
    evaluation = header.get("eval")
    if not isinstance(evaluation, dict):
        raise ReadError(f"{path} has no description of the evaluation; it is no Inspect log.")
    if not isinstance(samples, list) or not all(isinstance(sample, dict) for sample in samples):
        raise ReadError(f"{path} holds no samples; was it written with log_samples off?")
    plan, status = as_object(header.get("plan")), str(header.get("status", ""))
    return _Log(evaluation, status, plan, samples, header.get("invalidated") is True)


def _epoch(path: Path, sample: Record) -> int:
    epoch = sample.get("epoch", 1)
    if not isinstance(epoch, int) or abs(epoch) >= 2**31:
        raise ReadError(f"{path}: sample {str(sample.get('id'))!r} has epoch {epoch!r}; a whole number is needed.")
    return epoch


def _scores(sample: Record) -> dict[str, object]:
    """Values of one sample by scorer; a scorer with several values has "scorer/key" for each."""
    scores = sample.get("scores")
    if sample.get("error") or sample.get("invalidation") or not isinstance(scores, dict):
        return {}
    out: dict[str, object] = {}
    for scorer, score in scores.items():
        value = score.get("value") if isinstance(score, dict) else score
        if isinstance(value, dict):
            out.update({f"{scorer}/{key}": part for key, part in value.items()})
        else:
            out[scorer] = value
    return out


def _scorers(graded: Iterable[Mapping[str, object]]) -> dict[str, bool]:
    """Scorers with single values, in order of occurrence."""
    single: dict[str, bool] = {}
    for scores in graded:
        for scorer, value in scores.items():
            single[scorer] = single.get(scorer, True) and not isinstance(value, list)
    usable = {scorer: True for scorer, is_single in single.items() if is_single}
    if single and not usable:
        raise ReadError(f"scorer {next(iter(single))!r} gives lists; a single value, or a mapping of them, is needed.")
    return usable


def _score_value(value: object, unknown: Counter[str], *, letters: bool) -> float:
    """Convert a score to a number; unknown values, letter grades among them, are counted and missing."""
    if value is None:
        return np.nan
    if (given := as_float(value)) is not None:
        return given
    text = str(value).strip()
    if text in GRADE_VALUES and not letters:
        return GRADE_VALUES[text]
    number = None if len(text) == 1 and text.isalpha() else value_of(text)
    if number is None:
        unknown[text[:40]] += 1
    return np.nan if number is None else number


def _are_letters(values: Iterable[object]) -> bool:
    """Whether scores are letter grades, A to F."""
    return any(isinstance(value, str) and value.strip() in OTHER_GRADES for value in values)


def _unknown_values(unknown: Counter[str], path: Path) -> list[Finding]:
    if not unknown:
        return []
    shown = ", ".join(f"{value!r} ({count})" for value, count in unknown.most_common(3))
    message = f"{path.name}: {unknown.total()} score values are not known and were read as missing: {shown}"
    warnings.warn(message, ResponsesWarning, stacklevel=3)
    return [Finding("unknown_scores", unknown.total(), message)]


def _checkpoint_columns(log: _Log) -> dict[str, Any]:
    """Seed and training step, where the log has them."""
    own = as_object(log.eval.get("metadata"))
    configs = [*map(as_object, (log.eval.get("model_generate_config"), log.plan.get("config"))), own]
    seeds = [config["seed"] for config in configs if as_text(config.get("seed"))]
    out: dict[str, Any] = {names.SEED: seeds[0]} if seeds else {}
    step = own.get("step")
    if isinstance(step, str):
        checkpoint = checkpoint_of(step)
        step = int(step) if step.isdecimal() and len(step) < MAX_DIGITS else checkpoint.step
        if checkpoint.revision is not None and step is None:
            out[REVISION] = constant(checkpoint.revision, len(log.samples))
    if isinstance(step, (int, float)):
        out[names.STEP] = step
    return out


FORMAT: Final = Format("inspect", "Inspect AI logs, .eval or JSON", claims, read)
