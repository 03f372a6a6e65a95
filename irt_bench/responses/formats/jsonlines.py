"""JSON and JSON lines from plain or compressed files, every failure named by file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from irt_bench.errors import ReadError

MAX_LINE_BYTES = 256 * 2**20  # a longer line is no log record, or a decompression bomb
CODECS = {".gz": "gzip", ".zst": "zstd"}

Record = dict[str, Any]


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressed if its name ends in .gz or .zst.

    Raises
    ------
    ReadError
        If it cannot be opened.
    """
    try:
        stream: IO[bytes] = pa.input_stream(str(path), compression=CODECS.get(path.suffix.lower()))
    except (OSError, pa.ArrowException) as error:
        raise ReadError(f"{path} cannot be opened: {first_line(error)}.") from error
    return stream


def records(path: Path) -> Iterator[tuple[int, Record]]:
    """Yield line number and JSON object of every line that is not blank.

    Raises
    ------
    ReadError
        At the first line that is not a JSON object, or where the file breaks off.
    """
    for number, line in _lines(path):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ReadError(f"{path}, line {number}: not JSON ({first_line(error)}). Was the file cut off?") from error
        if not isinstance(record, dict):
            raise ReadError(f"{path}, line {number}: a JSON object is needed, found {type(record).__name__}.")
        yield number, record


def first_record(path: Path) -> Record | None:
    """Return the first line's JSON object; None if there is no such thing."""
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
    try:
        with path.open("rb") as file:
            value = json.load(file)
    except OSError as error:
        raise ReadError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ReadError(f"{path} is not JSON ({first_line(error)}). Was the file cut off?") from error
    if not isinstance(value, dict):
        raise ReadError(f"{path}: a JSON object is needed, found {type(value).__name__}.")
    return value


def as_float(value: object) -> float | None:
    """Return a JSON number or boolean as a float; None for anything else."""
    return float(value) if isinstance(value, (bool, int, float)) else None


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without a full stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    rest = b""
    with open_bytes(path) as stream:
        while True:
            try:
                block = stream.read(2**20)
            except (OSError, pa.ArrowException) as error:
                raise ReadError(f"{path} breaks off after line {number}: {first_line(error)}.") from error
            *whole, rest = (rest + block).split(b"\n")
            for line in [*whole, *([rest] if not block else [])]:
                number += 1
                if line.strip():
                    yield number, line
            if not block:
                return
            if len(rest) > MAX_LINE_BYTES:
                raise ReadError(
                    f"{path}, line {number + 1}: longer than {MAX_LINE_BYTES:,} bytes; this is no log record."
                )
