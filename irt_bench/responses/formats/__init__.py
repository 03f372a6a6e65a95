"""File formats of responses by name, and the files of known formats below given paths; pickles are never opened."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from irt_bench.errors import ReadError, unknown_choice
from irt_bench.responses.formats import inspect_ai, instances, json_records, lm_eval, tabular
from irt_bench.responses.formats.format import KNOWN_ENDINGS, Format, ParsedFile, ReadOptions
from irt_bench.responses.formats.jsonlines import SUFFIXES as JSON_LINES
from irt_bench.responses.formats.jsonlines import head, records

__all__ = ["FORMATS", "Format", "ParsedFile", "ReadOptions", "Source", "find_sources"]

FORMATS: Final[dict[str, Format]] = {  # in the order in which they are tried
    entry.name: entry
    for entry in (
        tabular.FORMAT,
        inspect_ai.FORMAT,
        instances.HELM,
        instances.EVERY_EVAL_EVER,
        lm_eval.FORMAT,
        *json_records.FORMATS,
        tabular.JSON,
        tabular.LONG,
        tabular.WIDE,
    )
}
PICKLE_SUFFIXES: Final = (".pkl", ".pickle", ".p")
PICKLE_PROTOCOLS: Final = range(2, 6)  # a pickle begins with byte 128 and its protocol
FOLDER_PARTS: Final = ("__pycache__",)
PROMPTFOO_COLUMNS: Final = b",Status,Score,Named Scores,"  # of each pair of provider and prompt
HEADER_BYTES: Final = 2**16
MAX_DEPTH: Final = 100  # folders below the given one
MAX_FOLDERS: Final = 1_000_000
MAX_FILES: Final = 1_000_000
MAX_PATH_CHARACTERS: Final = 300  # characters of a path in a message


class Source(NamedTuple):
    """A file, or a folder read as a whole, and the format that reads it."""

    path: Path
    format: Format


def find_sources(paths: Sequence[str | Path], *, format: str | None = None) -> list[Source]:
    """Find the files to read, each once, in the given order and by name within folders.

    Raises
    ------
    ReadError
        If a path is missing, or nothing in it can be read.
    """
    if format is not None and format not in FORMATS:
        raise ReadError(unknown_choice("format", format, FORMATS))
    if not paths:
        raise ReadError("no path was given; name files or folders with responses.")
    formats = [FORMATS[format]] if format is not None else list(FORMATS.values())
    found: dict[Path, Source] = {}
    for path in map(Path, paths):
        if not _exists(path):
            raise ReadError(f"{path} does not exist.")
        try:
            sources = (
                _in_folder(path, formats) if path.is_dir() else [_of_file(path, formats, forced=format is not None)]
            )
            found |= {source.path.resolve(): source for source in sources if source.path.resolve() not in found}
        except OSError as error:  # a folder that may not be searched, a path too long
            where = _shortened(Path(error.filename or path))
            raise ReadError(f"{where} cannot be read: {error.strerror or error}.") from error
    return list(found.values())


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # a name too long, a folder that may not be searched
        raise ReadError(f"{path} cannot be read: {error.strerror}.") from error


def _of_file(path: Path, formats: Sequence[Format], *, forced: bool) -> Source:
    if not path.is_file():  # opening a pipe waits for its writer, and devices do not end
        raise ReadError(f"{path} is not a regular file; save its content as a file first.")
    _refuse_pickle(path)
    claiming = formats[0] if forced else next((entry for entry in formats if entry.claims(path)), None)
    if claiming is None:
        if path.name.lower().endswith(JSON_LINES):
            first = next(records(path), None)  # raises where the first line is not JSON
            if first is not None:
                raise ReadError(f"{path}: line {first[0]} is JSON, but of no known log. Formats: {_listed_formats()}.")
        raise ReadError(
            f"{path} is in no known format.{_hint(path)} Formats: {_listed_formats()}. Choose one: format='NAME'."
        )
    return Source(path, claiming)


def _hint(path: Path) -> str:
    if path.suffix == ".json":
        return " If it is the results file of a run, name its folder or its samples_*.jsonl."
    if path.stat().st_size == 0:
        return " It is empty."
    return "" if path.suffix.lower() in KNOWN_ENDINGS else " If it holds a table, save that as .csv."


def _in_folder(folder: Path, formats: Sequence[Format]) -> list[Source]:
    sources = list(_walk(folder, formats, set()))
    if not sources:
        files = [file.relative_to(folder) for file in _files_below(folder)]
        shown = ", ".join(map(str, files[:5])) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
        raise ReadError(f"nothing in {folder} can be read; found {shown or 'no files'}. Formats: {_listed_formats()}.")
    return sources


def _walk(folder: Path, formats: Sequence[Format], seen: set[Path], depth: int = 0) -> Iterator[Source]:
    if folder.resolve() in seen:  # a link to where we came from
        return
    if depth > MAX_DEPTH:
        raise ReadError(f"{_shortened(folder)} lies more than {MAX_DEPTH} folders deep. Name the folder of the logs.")
    if len(seen) > MAX_FOLDERS:
        raise ReadError(f"more than {MAX_FOLDERS:,} folders were found up to {folder}. Name the folder of the logs.")
    seen.add(folder.resolve())
    whole = next((entry for entry in formats if entry.claims(folder)), None)
    if whole is not None:
        yield Source(folder, whole)
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in FOLDER_PARTS:
            continue
        if path.is_dir():
            yield from _walk(path, formats, seen, depth + 1)
        elif path.is_file() and not path.name.lower().endswith(PICKLE_SUFFIXES) and not _is_summary(path):
            claiming = next((entry for entry in formats if entry.claims(path)), None)
            if claiming is not None:
                yield Source(path, claiming)


def _is_summary(path: Path) -> bool:
    """Whether a CSV file is a harness's own table of results, beside the log: of AlpacaEval, or of promptfoo."""
    if path.suffix.lower() != ".csv":
        return False
    of_alpaca_eval = path.name == "leaderboard.csv" and (path.parent / "annotations.json").is_file()
    return of_alpaca_eval or PROMPTFOO_COLUMNS in head(path, HEADER_BYTES).partition(b"\n")[0]


def _shortened(path: Path) -> str:
    """Beginning and end of a long path."""
    text = str(path)
    return (
        text
        if len(text) <= MAX_PATH_CHARACTERS
        else f"{text[: MAX_PATH_CHARACTERS // 2]}...{text[-MAX_PATH_CHARACTERS // 2 :]}"
    )


def _files_below(folder: Path) -> list[Path]:
    files: list[Path] = []
    for parent, folders, names_in in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        visible = (Path(parent, name) for name in sorted(names_in) if not name.startswith("."))
        files.extend(path for path in visible if path.is_file())  # opening a pipe would wait for its writer
        if len(files) > MAX_FILES:
            raise ReadError(f"{folder} holds more than {MAX_FILES:,} files. Name the folder of the logs.")
    return files


def _listed_formats() -> str:
    """Names of the formats, and what the first, of tables, is; the others are named after their programs."""
    first, *others = FORMATS.values()
    return "; ".join([f"{first.name} ({first.description})", *(entry.name for entry in others)])


def _refuse_pickle(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(2)
    except OSError as error:
        raise ReadError(f"{path} cannot be read: {error.strerror}.") from error
    is_pickle = len(head) == 2 and head[0] == 0x80 and head[1] in PICKLE_PROTOCOLS
    if is_pickle or path.name.lower().endswith(PICKLE_SUFFIXES):
        raise ReadError(f"{path} is a pickle, which can run code and is never opened. Convert it to CSV or Parquet.")
