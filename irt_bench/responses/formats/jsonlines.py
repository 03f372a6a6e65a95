"""JSON and JSON lines from plain or compressed files; every error names the file and the line."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from irt_bench.errors import ReadError

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAX_LINE_BYTES = 32 * 2**20  # a longer line is not a log record, or a decompression bomb
MAX_JSON_BYTES = 2**28  # per JSON text, which is held three times while it is parsed
MAX_JSON_VALUES = 6_000_000  # per JSON text, at 100 bytes each at worst
UNPACKED_AT_LEAST: Final = 2**26  # bytes that any compressed file may unpack to
UNPACKED_RATIO: Final = 200  # above it, maximal bytes per compressed byte; logs and tables reach 50, bombs 1,000
BLOCK_BYTES: Final = 2**20
LOGS_HEAD_BYTES: Final = 2**16  # arguments of the run stand before its logs
LIST_HEAD_BYTES: Final = 64  # white space before the first bracket
JSON_SUFFIXES: Final = (".json", ".jsonl", ".jsonlines", ".jsonl.gz", ".jsonl.zst")
SUFFIXES: Final = (".jsonl", ".jsonlines", ".jsonl.gz", ".jsonl.zst")  # of JSON lines
MAX_JSON_CELLS: Final = 50_000_000
LISTS: Final = ("choice_logprobs", "choice_chars", "choice_bytes")  # of numbers, which are kept
CODECS = {".gz": "gzip", ".zst": "zstd"}
_HALF_OF_A_PAIR: Final = re.compile("[\ud800-\udfff]")
_MAY_HOLD_HALVES: Final = re.compile(rb"\\u[dD][89a-fA-F]")

Record = dict[str, Any]


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressed if its name ends in .gz or .zst.

    Raises
    ------
    ReadError
        If it cannot be opened; later, if it unpacks to far more than responses ever do.
    """
    codec = CODECS.get(path.suffix.lower())
    try:
        stream: IO[bytes] = pa.input_stream(str(path), compression=codec)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ReadError(f"{path} cannot be opened: {first_line(error)}.") from error
    return stream if codec is None else _Unpacked(path, stream)  # type: ignore[return-value]


class _Unpacked(io.RawIOBase):
    """The decompressed content of a file as a stream, up to a limit."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self._path, self._stream = path, stream
        self._limit = max(UNPACKED_AT_LEAST, UNPACKED_RATIO * path.stat().st_size)
        self._left = self._limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        block = self._stream.read(len(view))
        self._left -= len(block)
        if self._left < 0:
            raise ReadError(
                f"{self._path} unpacks to more than {self._limit:,} bytes, which no table or log of its size does. "
                "If it is one, unpack it first."
            )
        view[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._stream.close()
        super().close()


def parse_json(text: bytes) -> Any:
    """Read one JSON text of bounded size; repeated keys are refused, unpaired surrogates replaced.

    Raises
    ------
    ValueError
        Describing the error.
    """
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(f"larger than {MAX_JSON_BYTES:,} bytes")
    if len(text) > MAX_JSON_VALUES and sum(map(text.count, (b",", b"[", b"{"))) > MAX_JSON_VALUES:
        raise ValueError(f"more than {MAX_JSON_VALUES:,} values")
    try:
        value = json.loads(text, object_pairs_hook=_unique_keys)
        return _without_halves(value) if _MAY_HOLD_HALVES.search(text) else value
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> Record:
    out = dict(pairs)
    if len(out) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key {twice[:80]!r} occurs twice in one object")
    return out


def _without_halves(value: Any) -> Any:
    if isinstance(value, str):
        return _HALF_OF_A_PAIR.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, list):
        return [_without_halves(each) for each in value]
    if isinstance(value, dict):
        return {_without_halves(key): _without_halves(each) for key, each in value.items()}
    return value


def records(path: Path) -> Iterator[tuple[int, Record]]:
    """Yield number and JSON object of every line that is not blank, or of every entry of a JSON list or its ``logs``.

    Raises
    ------
    ReadError
        At the first line that is not a JSON object, or where the file breaks off.
    """
    if head(path, LIST_HEAD_BYTES).lstrip().startswith(b"[") or holds_logs(path):
        yield from _entries(path)
        return
    for number, line in _lines(path):
        try:
            record = parse_json(line)
        except ValueError as error:
            raise ReadError(f"{path}, line {number}: not JSON ({first_line(error)}). Was the file cut off?") from error
        if not isinstance(record, dict):
            raise ReadError(f"{path}, line {number}: a JSON object is needed, found {type(record).__name__}.")
        yield number, record


def _entries(path: Path) -> Iterator[tuple[int, Record]]:
    entries = load_json(path)
    if isinstance(entries, dict):
        entries = entries.get("logs")
    if not isinstance(entries, list):
        raise ReadError(f"{path}: a list of JSON objects is needed, found {type(entries).__name__}.")
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            raise ReadError(f"{path}, entry {number}: a JSON object is needed, found {type(entry).__name__}.")
        yield number, entry


def holds_logs(path: Path) -> bool:
    """Whether a file is one object whose ``logs`` are the records, as lmms-eval wrote them before 0.3."""
    start = head(path, LOGS_HEAD_BYTES) if path.suffix.lower() == ".json" else b""
    return start.lstrip().startswith(b"{") and all(key in start for key in (b'"logs"', b'"doc_id"', b'resps"'))


def head(path: Path, n_bytes: int) -> bytes:
    """Return the first bytes of a file, decompressed; empty if it cannot be read."""
    try:
        state = path.stat()
    except OSError:
        return b""
    return _head(path, n_bytes, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4)  # each format looks at it in turn
def _head(path: Path, n_bytes: int, size: int, modified_ns: int) -> bytes:
    del size, modified_ns  # parts of the key only
    try:
        with open_bytes(path) as stream:
            return bytes(stream.read(n_bytes))
    except (ReadError, OSError, pa.ArrowException):
        return b""


def first_record(path: Path) -> Record | None:
    """Return the first line's JSON object; None if there is none, or the file holds a list."""
    try:
        state = path.stat()
    except OSError:
        return None
    return _first_record(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4)  # each format looks at it in turn
def _first_record(path: Path, size: int, modified_ns: int) -> Record | None:
    del size, modified_ns  # parts of the key only
    if head(path, LIST_HEAD_BYTES).lstrip().startswith(b"["):
        return None
    try:
        return next((record for _, record in records(path)), None)
    except ReadError:
        return None


def load_object(path: Path) -> Record:
    """Read a file that is one JSON object.

    Raises
    ------
    ReadError
        If it is not.
    """
    value = load_json(path)
    if not isinstance(value, dict):
        raise ReadError(f"{path}: a JSON object is needed, found {type(value).__name__}.")
    return value


def load_json(path: Path) -> Any:
    """Read a file that is one JSON text.

    Raises
    ------
    ReadError
        If it is not, or is too large.
    """
    try:
        with open_bytes(path) if path.suffix.lower() in CODECS else path.open("rb") as stream:
            text = stream.read(MAX_JSON_BYTES + 1)
        return parse_json(text)
    except OSError as error:
        raise ReadError(f"{path} cannot be read: {error.strerror or first_line(error)}.") from error
    except ValueError as error:
        raise ReadError(f"{path} is not JSON ({first_line(error)}). Was the file cut off?") from error


def read_columns_of_records(path: Path) -> dict[str, pd.Series]:
    """Read records as columns: numbers, texts and lists of numbers; fields of records inside as "metric.acc".

    Raises
    ------
    ReadError
        If there are too many.
    """
    found: dict[str, tuple[list[int], list[object]]] = {}
    n_rows = 0
    for _, record in records(path):
        for name, value in record.items():
            fields = value.items() if isinstance(value, dict) else ()
            for key, part in [(name, value), *((f"{name}.{field}", part) for field, part in fields)]:
                if isinstance(part, (str, int, float)) or (isinstance(part, list) and name in LISTS):
                    rows, values = found.setdefault(key, ([], []))
                    rows.append(n_rows)
                    values.append(part)
        n_rows += 1
    if n_rows * len(found) > MAX_JSON_CELLS:
        raise ReadError(f"{path} has {n_rows:,} records with {len(found):,} fields; up to {MAX_JSON_CELLS:,} are read.")
    return {name: _column(n_rows, *found.pop(name)) for name in list(found)}


def _column(n_rows: int, rows: list[int], values: list[object]) -> pd.Series:
    """Column with values in some rows; texts as categories."""
    column = np.full(n_rows, None, dtype=object)
    column[rows] = np.fromiter(values, dtype=object, count=len(values))
    if any(isinstance(value, str) for value in values):
        return pd.Series([None if value is None else str(value) for value in column], dtype="str").astype("category")
    if any(isinstance(value, list) for value in values):
        return pd.Series(column)
    return pd.Series(column).infer_objects() if len(values) == n_rows else pd.Series(column, dtype="Float64")


def is_json(path: Path) -> bool:
    """Whether a table's name identifies JSON or JSON lines."""
    return path.name.lower().endswith(JSON_SUFFIXES)


def as_float(value: object) -> float | None:
    """Return a JSON number or boolean as a float; None for anything else."""
    try:
        return float(value) if isinstance(value, (bool, int, float)) else None
    except OverflowError:  # a whole number beyond what a float holds
        return math.inf


def as_text(value: object) -> str | None:
    """Return JSON text, or a number as text; None for anything else."""
    return str(value) if isinstance(value, (str, int, float)) else None


def as_object(value: object) -> Record:
    """Return a JSON object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def objects_in(values: object) -> Iterator[Record]:
    """Yield the JSON objects of a list; anything else is passed over."""
    yield from (value for value in values if isinstance(value, dict)) if isinstance(values, list) else ()


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without a full stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    rest: list[bytes] = []  # blocks of a line whose end has not come yet
    with open_bytes(path) as stream:
        while True:
            try:
                block = stream.read(BLOCK_BYTES)
            except (OSError, pa.ArrowException) as error:
                raise ReadError(f"{path} breaks off after line {number}: {first_line(error)}.") from error
            first, *others = block.split(b"\n")
            rest.append(first)
            if others or not block:
                for line in [b"".join(rest), *others[:-1]]:
                    number += 1
                    if line.strip():
                        yield number, line
                rest = others[-1:]
            if not block:
                return
            if sum(map(len, rest)) > MAX_LINE_BYTES:
                raise ReadError(
                    f"{path}, line {number + 1}: longer than {MAX_LINE_BYTES:,} bytes; this is no log record."
                )
