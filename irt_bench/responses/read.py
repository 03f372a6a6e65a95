"""Read files and folders of any known format, stack their frames, and build one `ResponseTable`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from irt_bench import names
from irt_bench.errors import ReadError, ResponsesError, unknown_choice
from irt_bench.responses.canonical import table_from_frame
from irt_bench.responses.counts import Measure
from irt_bench.responses.formats import FORMATS, Format, ParsedFile, ReadOptions
from irt_bench.responses.formats.format import constant
from irt_bench.responses.formats.jsonlines import first_line, records
from irt_bench.responses.formats.lm_eval import NO_FILTER
from irt_bench.responses.formats.py_irt import SUFFIXES as JSON_LINES
from irt_bench.responses.measures import normalise_measure
from irt_bench.responses.table import MEASURE_COLUMNS, Finding, ResponseTable
from irt_bench.responses.wide import rename_aliases


def stack(frames: Sequence[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Concatenate frames; a column that a frame lacks is missing there.

    Beside counts, correct responses become one of one; beside scores, 0.0 and 1.0.

    Parameters
    ----------
    frames : sequence of (str, pd.DataFrame)
        Source of a frame, for messages; and the frame, in canonical columns.

    Raises
    ------
    ResponsesError
        If a frame has no value column, or some hold counts and others scores.
    """
    parts = _with_one_measure([(where, _checked(where, frame)) for where, frame in frames])
    columns = dict.fromkeys(column for part in parts for column in part.columns)
    return pd.DataFrame(
        {column: _column([part.get(column) for part in parts], parts) for column in columns}, copy=False
    )


def _checked(where: str, frame: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in (names.MODEL, names.ITEM) if name not in frame]
    if missing:
        raise ResponsesError(f"{where} has no column {missing[0]!r} among: {', '.join(map(str, frame.columns))}.")
    try:
        return normalise_measure(frame)
    except ResponsesError as error:
        raise ResponsesError(f"{where}: {error}") from error


def _with_one_measure(frames: Sequence[tuple[str, pd.DataFrame]]) -> list[pd.DataFrame]:
    first = {name: where for where, frame in frames[::-1] for name in MEASURE_COLUMNS if name in frame}
    if names.SCORE in first and names.N_CORRECT in first:
        raise ResponsesError(
            f"{first[names.N_CORRECT]} holds counts of correct responses and {first[names.SCORE]} fractional scores; "
            "scores have no number of samples. Read them separately."
        )
    if names.N_CORRECT in first:
        return [_as_counts(frame) for _, frame in frames]
    if names.SCORE in first:
        return [frame.rename(columns={names.CORRECT: names.SCORE}) for _, frame in frames]
    return [frame for _, frame in frames]


def _as_counts(frame: pd.DataFrame) -> pd.DataFrame:
    if names.N_CORRECT in frame:
        return frame
    frame = frame.rename(columns={names.CORRECT: names.N_CORRECT})
    return frame.assign(**{names.N_SAMPLES: frame[names.N_CORRECT].notna().astype("int8")})


def _column(parts: Sequence[pd.Series | None], frames: Sequence[pd.DataFrame]) -> pd.Series:
    """One column of all frames: text as a categorical with all texts, numbers in a type that holds them all."""
    given = [part for part in parts if part is not None]
    if any(isinstance(part.dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(part) for part in given):
        texts = [_categorical(part, len(frame)) for part, frame in zip(parts, frames, strict=True)]
        return pd.Series(union_categoricals(texts), copy=False)
    if any(part.dtype == object for part in given):
        blank = [
            part if part is not None else pd.Series([None] * len(f), dtype=object)
            for part, f in zip(parts, frames, strict=True)
        ]
        return pd.concat([part.astype(object) for part in blank], ignore_index=True)
    if any(part is None for part in parts) or any(part.isna().any() for part in given):
        whole = all(pd.api.types.is_integer_dtype(part) or pd.api.types.is_bool_dtype(part) for part in given)
        dtype: Any = "Int64" if whole else "float64"
        parts = [
            part.astype(dtype) if part is not None else pd.Series(np.nan, index=range(len(frame)), dtype=dtype)
            for part, frame in zip(parts, frames, strict=True)
        ]
    return pd.concat([part for part in parts if part is not None], ignore_index=True)


def _categorical(part: pd.Series | None, n_rows: int) -> pd.Series:
    if part is None:
        return pd.Series(pd.Categorical.from_codes(np.full(n_rows, -1, dtype=np.int8), pd.Index([], dtype="str")))
    if not isinstance(part.dtype, pd.CategoricalDtype):
        text = part if part.dtype == "str" else part.astype("str").where(part.notna())
        return text.astype("category")
    labels = part.cat.categories
    return part if labels.dtype == "str" else part.cat.rename_categories(list(labels.astype("str")))


Progress = Callable[[str, int, int], None]

PICKLE_SUFFIXES: Final = (".pkl", ".pickle", ".p")
PICKLE_PROTOCOLS: Final = range(2, 6)  # a pickle begins with byte 128 and its protocol
FOLDER_PARTS: Final = ("__pycache__",)
KNOWN_ENDINGS: Final = (".gz", ".zst", ".csv", ".tsv", ".parquet", ".pq", ".jsonl", ".jsonlines", ".json", ".eval")
MAX_DEPTH: Final = 100  # folders below the given one
MAX_FOLDERS: Final = 1_000_000
MAX_FILES: Final = 1_000_000
MAX_PATH_CHARACTERS: Final = 300  # characters of a path in a message
MAX_FINDINGS: Final = 5  # of one name that are listed one by one
# What a format's module may raise on a file whose parts have unexpected types.
LAYOUT_ERRORS: Final = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


class Source(NamedTuple):
    """A file, or a folder read as a whole, and the format that reads it."""

    path: Path
    format: Format


def read_responses(
    paths: Sequence[str | Path],
    *,
    format: str | None = None,
    metric: str | None = None,
    filter: str | None = None,
    progress: Progress | None = None,
) -> ResponseTable:
    r"""Read responses from files and folders, in any mixture of the known formats.

    Parameters
    ----------
    paths : sequence of str or Path
        Files, or folders searched for files of known formats (hidden and unknown files are ignored).
    format : str, optional
        Name in ``FORMATS``; by default each file's name and first bytes decide.
    metric, filter : str, optional
        What to read where a file holds several; see `ReadOptions`.
    progress : callable, optional
        Called with (path, done, total) before each file and once at the end.

    Raises
    ------
    ReadError
        If a path is missing, damaged, a pickle or of no known format, or a choice is needed.
    ResponsesError
        If the responses contradict one another.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from irt_bench import read_responses
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "answers.csv").write_text("model,item,correct\nsmall,q1,0\nlarge,q1,1\n")
    ...     read_responses([folder])
    ResponseTable(answers: 2 models x 1 items, 2 answers)
    """
    if isinstance(paths, (str, Path)):
        paths = [paths]
    sources = find_sources(paths, format=format)
    options = ReadOptions(metric, filter)
    readings = []
    for done, source in enumerate(sources):
        if progress is not None:
            progress(str(source.path), done, len(sources))
        readings.append(_read_one(source, options))
    if progress is not None:
        progress(str(sources[-1].path), len(sources), len(sources))
    _check_chosen(readings, options)
    return _table(sources, readings)


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
        elif path.is_file() and not path.name.lower().endswith(PICKLE_SUFFIXES):
            claiming = next((entry for entry in formats if entry.claims(path)), None)
            if claiming is not None:
                yield Source(path, claiming)


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
    return "; ".join(f"{entry.name} ({entry.description})" for entry in FORMATS.values())


def _refuse_pickle(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(2)
    except OSError as error:
        raise ReadError(f"{path} cannot be read: {error.strerror}.") from error
    is_pickle = len(head) == 2 and head[0] == 0x80 and head[1] in PICKLE_PROTOCOLS
    if is_pickle or path.name.lower().endswith(PICKLE_SUFFIXES):
        raise ReadError(f"{path} is a pickle, which can run code and is never opened. Convert it to CSV or Parquet.")


def _read_one(source: Source, options: ReadOptions) -> ParsedFile:
    before = _state(source.path)
    try:
        reading = source.format.read(source.path, options)
    except ResponsesError as error:
        raise ResponsesError(f"{source.path}: {error}") from error
    except OSError as error:
        raise ReadError(f"{source.path} cannot be read: {error.strerror or error}.") from error
    except MemoryError as error:
        raise ReadError(f"{source.path} does not fit into memory.") from error
    except LAYOUT_ERRORS as error:
        what = f"{type(error).__name__}: {first_line(error)[:200]}"
        raise ReadError(
            f"{source.path} does not have the layout of {source.format.name} files ({what}). "
            "If it is such a file, please report it; else choose its format: format='NAME'."
        ) from error
    if _state(source.path) != before:
        raise ReadError(f"{source.path} changed while it was read. Wait until it is complete.")
    return reading


def _state(path: Path) -> list[tuple[int, int, int]]:
    """Identity, size and time of a file, or of the files directly in a folder; they change when it is written to."""
    try:
        seen = [each.stat() for each in (sorted(path.iterdir()) if path.is_dir() else [path])]
    except OSError as error:
        raise ReadError(f"{path} cannot be read: {error.strerror}.") from error
    return [(one.st_ino, one.st_size, one.st_mtime_ns) for one in seen]


def _check_chosen(readings: Sequence[ParsedFile], options: ReadOptions) -> None:
    """Refuse a metric or filter that no file had."""
    for what, asked, found in (
        ("metric", options.metric, [reading.metrics for reading in readings]),
        ("filter", options.filter, [reading.filters for reading in readings]),
    ):
        there = frozenset().union(*found) - {NO_FILTER}  # answers without a filter have none to choose
        if asked is not None and there and asked not in there and asked.partition(":")[0] not in there:
            raise ReadError(unknown_choice(what, asked, there))


def _table(sources: Sequence[Source], readings: list[ParsedFile]) -> ResponseTable:
    findings = _merged([finding for reading in readings for finding in reading.findings])
    full = [(source, reading) for source, reading in zip(sources, readings, strict=True) if len(reading.frame)]
    readings.clear()  # frames are let go one by one below
    if not full:
        reasons = "; ".join(finding.message for finding in findings[:3])
        raise ReadError(f"{sources[0].path}: no answers were found{f' ({reasons})' if reasons else ''}.")
    where = str(full[0][0].path) if len(full) == 1 else f"{len(full)} files"
    try:
        if len(full) == 1:
            source, reading = full.pop()
            table = table_from_frame(
                reading.frame, benchmark=stem(source.path), roles=reading.roles, measure=reading.measure
            )
        else:
            table = _stacked(full)
    except ResponsesError as error:
        raise ResponsesError(f"{where}: {error}") from error
    return replace(table, findings=(*findings, *table.findings))


def _merged(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Merge findings of one name: the first are kept, the others counted."""
    by_name: dict[str, list[Finding]] = {}
    for finding in findings:
        by_name.setdefault(finding.name, []).append(finding)
    merged: list[Finding] = []
    for name, same in by_name.items():
        shown, rest = same[:MAX_FINDINGS], same[MAX_FINDINGS:]
        if rest:
            last = f"{shown[-1].message}. {len(rest):,} more such findings"
            shown[-1] = Finding(name, shown[-1].count + sum(finding.count for finding in rest), last)
        merged += shown
    return tuple(merged)


def _stacked(full: Sequence[tuple[Source, ParsedFile]]) -> ResponseTable:
    frames = []
    for source, reading in full:
        frame = reading.frame.rename(columns=rename_aliases(reading.frame.columns))
        if names.BENCHMARK not in frame:
            frame[names.BENCHMARK] = constant(stem(source.path), len(frame))
        frames.append((str(source.path), frame))
    roles = {column: role for _, reading in full for column, role in reading.roles.items()}
    measure: Measure | None = "score" if any(reading.measure == "score" for _, reading in full) else None
    return table_from_frame(stack(frames), roles=roles, measure=measure)


def stem(path: Path) -> str:
    """Name of a file without the endings of formats and compression."""
    name = path.name
    while (ending := Path(name).suffix.lower()) in KNOWN_ENDINGS and len(ending) < len(name):
        name = name[: -len(ending)]
    return name


__all__ = ["Source", "find_sources", "read_responses", "stem"]
