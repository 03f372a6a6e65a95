"""CSV and Parquet files: read in batches into columns of the narrowest type, and written as one canonical table.

Text is read as codes, numbers unchanged; a table that was written reads back as the same table.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pyarrow.types as pat

from irt_bench import names
from irt_bench.arrays import slices
from irt_bench.errors import OutputError, ReadError, ResponsesError
from irt_bench.files import FORMULA, QUOTE, replacing
from irt_bench.responses.canonical import check_unique_columns, no_column
from irt_bench.responses.columns import EMPTY, rename_aliases
from irt_bench.responses.counts import ResponseCounts, smallest_integer
from irt_bench.responses.formats.format import stem
from irt_bench.responses.formats.jsonlines import (
    UNPACKED_RATIO,
    first_line,
    is_json,
    open_bytes,
    read_columns_of_records,
)
from irt_bench.responses.labels import Codes, label_text
from irt_bench.responses.table import KEYS, ResponseTable, in_order, natural_order

Part = npt.NDArray[np.generic]


class ColumnBuilder(Protocol):
    """One column under construction."""

    def add(self, values: pa.Array) -> None:
        """Append a batch."""

    def finish(self) -> pd.Series:
        """Return the whole column; the builder is empty afterwards."""


class TextColumn:
    """Text as codes into a list of distinct texts, in order of first occurrence; -1 where missing."""

    def __init__(self) -> None:
        self._code_of: dict[str | None, int] = {}
        self._parts: list[Part] = []

    def add(self, values: pa.Array) -> None:
        """Append a batch of text, dictionary-encoded or not, or of bytes that hold text."""
        if pat.is_binary(values.type) or pat.is_large_binary(values.type):
            values = values.cast(pa.string())
        if not pat.is_dictionary(values.type):
            values = values.dictionary_encode()
        local = values.dictionary.to_pylist()
        codes = [-1 if text is None else self._code_of.setdefault(text, len(self._code_of)) for text in local]
        codes.append(-1)  # the last place is for missing values
        lookup = np.array(codes, dtype=smallest_integer(len(self._code_of)))
        indices = values.indices
        if indices.null_count:
            fits = len(local) < 2 ** (indices.type.bit_width - 1)
            indices = (indices if fits else indices.cast(pa.int32())).fill_null(len(local))
        self._parts.append(lookup[indices.to_numpy(zero_copy_only=False)])

    def finish(self) -> pd.Series:
        """Return a categorical column."""
        codes = cast(Codes, _joined(self._parts, np.dtype(smallest_integer(len(self._code_of)))))
        texts = pd.Index(list(self._code_of), dtype="str")
        return pd.Series(pd.Categorical.from_codes(codes, texts, validate=False), copy=False)


class NumberColumn:
    """Numbers and booleans; whole numbers with gaps stay whole, with a mask."""

    def __init__(self, *, narrow: bool = False) -> None:
        self._narrow = narrow  # to one byte where the values allow it
        self._parts: list[Part] = []
        self._masks: list[npt.NDArray[np.bool_]] = []

    def add(self, values: pa.Array) -> None:
        """Append a batch."""
        if pat.is_null(values.type):
            values = values.cast(pa.float64())
        whole = pat.is_integer(values.type) or pat.is_boolean(values.type)
        self._masks.append(
            values.is_null().to_numpy(zero_copy_only=False) if whole and values.null_count else np.zeros(0, bool)
        )
        if whole and values.null_count:
            values = values.fill_null(0)
        numbers = values.to_numpy(zero_copy_only=False)
        if self._narrow and whole and (not len(numbers) or (numbers.min() >= -128 and numbers.max() <= 127)):
            numbers = numbers.astype(np.int8)
        self._parts.append(np.array(numbers))  # a copy, so that the batch can go

    def finish(self) -> pd.Series:
        """Return a column of the numbers' type, masked if whole numbers are missing."""
        lengths = [len(part) for part in self._parts]
        values = _joined(
            self._parts, np.result_type(*{part.dtype for part in self._parts}) if self._parts else np.dtype(float)
        )
        if not any(len(mask) for mask in self._masks):
            return pd.Series(values, copy=False)
        masks = [mask if len(mask) else np.zeros(n, bool) for mask, n in zip(self._masks, lengths, strict=True)]
        kind: Any = pd.arrays.BooleanArray if values.dtype == bool else pd.arrays.IntegerArray
        return pd.Series(kind(values, np.concatenate(masks)), copy=False)


class OtherColumn:
    """Lists, times and other types, kept as Arrow arrays."""

    def __init__(self) -> None:
        self._parts: list[pa.Array] = []

    def add(self, values: pa.Array) -> None:
        """Append a batch."""
        self._parts.append(values)

    def finish(self) -> pd.Series:
        """Return the column as converted by pandas."""
        column = pa.chunked_array(self._parts).to_pandas()
        return pd.Series(column).reset_index(drop=True)


def column_for(name: str, kind: pa.DataType) -> ColumnBuilder:
    """Return the builder for a column of a type."""
    value_type = kind.value_type if pat.is_dictionary(kind) else kind
    if pat.is_string(value_type) or pat.is_large_string(value_type) or pat.is_string_view(value_type):
        return TextColumn()
    if pat.is_binary(kind) or pat.is_large_binary(kind):
        return TextColumn()
    if pat.is_integer(kind) or pat.is_floating(kind) or pat.is_boolean(kind) or pat.is_null(kind):
        return NumberColumn(narrow=name == names.CORRECT)
    return OtherColumn()


def _joined(parts: list[Part], dtype: np.dtype) -> Part:
    """Concatenate parts, freeing each as soon as it is copied."""
    out = np.empty(sum(map(len, parts)), dtype=dtype)
    end = len(out)
    while parts:
        part = parts.pop()
        out[end - len(part) : end] = part
        end -= len(part)
    return out


CSV_SUFFIXES: Final = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zst", ".tsv.zst")
PARQUET_SUFFIXES: Final = (".parquet", ".pq")
PARQUET_MAGIC: Final = b"PAR1"
BATCH_ROWS: Final = 2**19  # of Parquet: some MB of memory per column
ROW_GROUP_ROWS: Final = 2**20  # of Parquet that is written
BLOCK_ROWS, BLOCK_MODELS = 2**22, 256  # of answers that go into one matrix
BATCH_CELLS: Final = 2**24  # fewer rows where a table is very wide
BLOCK_BYTES: Final = 2**24  # of CSV; the header must fit in one block
STRUCTS: Final = ("metric", "metrics", "doc", "__metric__", "__doc__")  # of Parquet details, read field by field
MAX_COLUMNS: Final = 200_000  # each has a builder of some kB
ROWS_AT_LEAST: Final = 2**24  # that any file may hold
ROWS_PER_BYTE: Final = 100  # above it; constant sorted responses have 20 rows per byte
UNPACKED_AT_LEAST: Final = 2**30  # bytes that a column of any file may unpack to
DELIMITERS: Final = (",", ";", "\t")
NUMBER_COLUMNS: Final = ("score", "loglikelihood")  # of CSV: nearly all values differ, so codes would not pay
ROLES: Final = ("model", "item")
MEASURES: Final = ("correct", "score")
ROLES_KEY: Final = b"irt_bench"  # Parquet metadata of canonical tables: JSON with column roles and the measure


def is_table(path: Path) -> bool:
    """Whether a file's name or first bytes identify CSV or Parquet."""
    name = path.name.lower()
    if not path.is_file():
        return False
    if name.endswith((*CSV_SUFFIXES, *PARQUET_SUFFIXES)):
        return True
    with path.open("rb") as file:
        return file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC


def is_csv(path: Path) -> bool:
    """Whether a table's name identifies CSV; any other table is Parquet."""
    return path.name.lower().endswith(CSV_SUFFIXES)


def read_columns(path: Path) -> tuple[dict[str, pd.Series], Mapping[str, object]]:
    """Read all columns of a CSV or Parquet file, and the metadata of a canonical Parquet file.

    Raises
    ------
    ReadError
        If the file is damaged, truncated or not such a table.
    """
    try:
        if is_json(path):
            columns = read_columns_of_records(path)
            _check_columns(path, [*columns])
            return columns, {}
        if is_csv(path):
            return _read_csv(path), {}
        return _read_parquet(path)
    except (OSError, ValueError, OverflowError, pa.ArrowException, csv.Error) as error:
        kind = "JSON" if is_json(path) else "CSV" if is_csv(path) else "Parquet"
        if kind == "CSV" and "UTF8" in str(error):
            raise ReadError(f"{path} is not in UTF-8 ({first_line(error)}). Save it as CSV in UTF-8.") from error
        raise ReadError(f"{path} cannot be read as {kind}: {first_line(error)}. Is the file whole?") from error


def _read_parquet(path: Path) -> tuple[dict[str, pd.Series], Mapping[str, object]]:
    schema = pq.read_schema(path)
    _check_columns(path, schema.names)
    text = [field.name for field in schema if pat.is_string(field.type) or pat.is_large_string(field.type)]
    with pq.ParquetFile(path, read_dictionary=text, buffer_size=2**20) as file:
        flat = _flattened(file.schema_arrow.empty_table())
        builders = {field.name: column_for(field.name, field.type) for field in flat.schema}
        rows = max(1, min(BATCH_ROWS, BATCH_CELLS // max(len(builders), 1)))
        _check_rows(path, file.metadata.num_rows)
        _check_unpacked(path, file.metadata)
        batches = (_flattened(pa.Table.from_batches([batch])) for batch in file.iter_batches(batch_size=rows))
        _fill(path, builders, (part for table in batches for part in table.to_batches()))
    return _finish(builders), _canonical_metadata((schema.metadata or {}).get(ROLES_KEY))


def _flattened(table: pa.Table) -> pa.Table:
    """Replace the records that details of evaluations hold by one column per field."""
    structs = [field.name for field in table.schema if field.name in STRUCTS and pat.is_struct(field.type)]
    if not structs:
        return table
    kept = table.drop_columns(structs)
    flat = table.select(structs).flatten()
    for field, column in zip(flat.schema, flat.columns, strict=True):
        if field.name not in kept.schema.names:
            kept = kept.append_column(field, column)
    return kept


def _canonical_metadata(metadata: bytes | None) -> dict[str, object]:
    """Read the roles of columns and the measure from the metadata of a canonical table; empty where invalid."""
    try:
        declared = json.loads(metadata or b"{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(declared, dict) or not declared:
        return {}
    roles = declared.get("roles")
    known = {name: role for name, role in roles.items() if role in ROLES} if isinstance(roles, dict) else {}
    return {"roles": known, "measure": declared.get("measure") if declared.get("measure") in MEASURES else None}


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    if len(columns) > MAX_COLUMNS:
        raise ReadError(f"{path} has {len(columns):,} columns; up to {MAX_COLUMNS:,} are read. Make it a long table.")
    check_unique_columns(columns)


def _check_rows(path: Path, n_rows: int) -> None:
    """Refuse a small file with more rows than responses can explain: a decompression bomb."""
    limit = max(ROWS_AT_LEAST, ROWS_PER_BYTE * path.stat().st_size)
    if n_rows > limit:
        raise ReadError(f"{path} has more than {limit:,} rows in {path.stat().st_size:,} bytes; this is no table.")


def _check_unpacked(path: Path, metadata: pq.FileMetaData) -> None:
    """Refuse a file whose columns unpack to far more bytes, or values of lists, than responses do."""
    size = path.stat().st_size
    most_values, most_bytes = max(ROWS_AT_LEAST, ROWS_PER_BYTE * size), max(UNPACKED_AT_LEAST, UNPACKED_RATIO * size)
    for place in range(metadata.num_columns):
        parts = [metadata.row_group(group).column(place) for group in range(metadata.num_row_groups)]
        n_values, n_bytes = sum(part.num_values for part in parts), sum(part.total_uncompressed_size for part in parts)
        if n_values > most_values or n_bytes > most_bytes:
            raise ReadError(
                f"{path}: column {parts[0].path_in_schema!r} unpacks to {n_values:,} values and {n_bytes:,} bytes, "
                f"of a file of {size:,}; this is no table of answers."
            )


def _read_csv(path: Path) -> dict[str, pd.Series]:
    header, delimiter = _header(path)
    _check_columns(path, header)
    text = pa.dictionary(pa.int32(), pa.string())
    types = {name: pa.float64() if name in NUMBER_COLUMNS else text for name in header}
    try:
        return _parse_csv(path, types, delimiter)
    except pa.ArrowInvalid as error:
        if "conversion error" not in str(error):
            raise
        # `normalise_measure` then names the value that is not a number
        return _parse_csv(path, dict.fromkeys(header, text), delimiter)


def _header(path: Path) -> tuple[list[str], str]:
    with open_bytes(path) as stream:
        start = stream.read(BLOCK_BYTES)
    lines = io.StringIO(start.decode("utf-8-sig", errors="replace"), newline="")
    first = lines.readline()
    if not first.strip():
        raise ReadError(f"{path} has no header line; the first line must name the columns.")
    delimiter = max(DELIMITERS, key=first.count)
    lines.seek(0)
    return next(csv.reader(lines, delimiter=delimiter)), delimiter


def _parse_csv(path: Path, types: Mapping[str, pa.DataType], delimiter: str) -> dict[str, pd.Series]:
    convert = pacsv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True)
    parse = pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    with open_bytes(path) as stream:
        reader = pacsv.open_csv(stream, pacsv.ReadOptions(block_size=BLOCK_BYTES), parse, convert)
        builders = {field.name: column_for(field.name, field.type) for field in reader.schema}
        _fill(path, builders, reader)
    return _finish(builders)


def _fill(path: Path, builders: Mapping[str, ColumnBuilder], batches: Iterator[pa.RecordBatch]) -> None:
    n_rows = 0
    for batch in batches:
        n_rows += batch.num_rows
        _check_rows(path, n_rows)
        for builder, values in zip(builders.values(), batch.columns, strict=True):
            builder.add(values)


def _finish(builders: dict[str, ColumnBuilder]) -> dict[str, pd.Series]:
    pa.default_memory_pool().release_unused()
    return {name: builders.pop(name).finish() for name in list(builders)}


def read_counts(path: str | Path) -> ResponseCounts:
    """Read right and wrong answers to one benchmark from long Parquet, by blocks of rows, into one byte an answer.

    `read_responses` takes ten bytes an answer; it also reads scores, repeated answers, other formats, and columns that
    describe models and items.

    Parameters
    ----------
    path : str or Path
        A file with the columns ``model, item, correct`` (0, 1 or missing), or a folder with the parts of one.

    Raises
    ------
    ReadError, ResponsesError
        If it is damaged, or lacks a column; or has several benchmarks, another value than 0 or 1, or an answer twice.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from irt_bench import load_example, read_counts, write_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_table(load_example("benchmark"), Path(folder) / "answers.parquet")
    ...     read_counts(Path(folder) / "answers.parquet")
    ResponseCounts(120 models x 100 items, 12,000 answers)
    """
    path = Path(path)
    try:
        return _counts_of_parts(path, sorted(path.glob("*.parquet")) if path.is_dir() else [path])
    except (OSError, pa.ArrowException) as error:
        raise ReadError(f"{path} cannot be read as Parquet: {first_line(error)}. Is the file whole?") from error


def _counts_of_parts(path: Path, parts: Sequence[Path]) -> ResponseCounts:
    benchmarks, models, items = (_labels(parts, key) for key in KEYS)
    if len(benchmarks) > 1 or not len(models):
        raise ResponsesError(f"{path} holds {len(benchmarks)} benchmarks of {len(models)} models; one is needed.")
    cells, n_answers = np.full((len(models), len(items)), EMPTY, np.int8), 0
    for model, item, correct in _blocks(parts, (*KEYS[1:], names.CORRECT)):
        given = correct.is_valid().to_numpy(zero_copy_only=False) if correct.null_count else slice(None)
        values = correct.to_numpy(zero_copy_only=False)[given]
        if not ((values == 0) | (values == 1)).all():
            raise ResponsesError(f"{path} holds values of 'correct' other than 0 and 1; see read_responses.")
        cells[_places(model, models)[given], _places(item, items)[given]] = values
        n_answers += len(values)
    n_cells = sum(int(np.count_nonzero(cells[rows] != EMPTY)) for rows in slices(len(cells), BLOCK_MODELS))
    if n_answers > n_cells:
        raise ResponsesError(f"{path} holds {n_answers - n_cells:,} answers twice; see read_responses.")
    asked = np.broadcast_to(np.int8(1), cells.shape) if n_cells == cells.size else (cells != EMPTY).astype(np.int8)
    np.maximum(cells, 0, out=cells)
    cells.setflags(write=False)  # made here: the counts need no copy
    axes = [pd.Index([*map(label_text, places.to_pylist())], dtype="str") for places in (models, items)]
    about = [pd.DataFrame(index=axis.rename(key)) for axis, key in zip(axes, KEYS[1:], strict=True)]
    return ResponseCounts(cells, asked, about[0], about[1], next(iter(benchmarks.to_pylist()), stem(path)))


def _blocks(parts: Sequence[Path], keys: Sequence[str]) -> Iterator[list[pa.Array]]:
    """Yield some columns of Parquet files by blocks of rows; nothing where a benchmark is asked for and not named."""
    for part in parts:
        schema = pq.read_schema(part)
        own = {name: name for name in schema.names}
        own |= {canonical: name for name, canonical in rename_aliases(schema.names).items()}
        if missing := [key for key in keys if key not in own]:
            if missing == [names.BENCHMARK]:
                continue
            raise ResponsesError(f"{part}: {no_column(missing[0], schema.names)}")
        columns = [own[key] for key in keys]
        with pq.ParquetFile(part, read_dictionary=columns, buffer_size=2**20) as file:
            _check_rows(part, file.metadata.num_rows)
            for batch in file.iter_batches(batch_size=BLOCK_ROWS, columns=columns):
                yield [batch.column(name) for name in columns]


def _places(column: pa.Array, among: pa.Array) -> Codes:
    labels, codes = _coded(column)
    return cast(Codes, pc.index_in(labels, among).to_numpy()[codes])


def _coded(column: pa.Array) -> tuple[pa.Array, Codes]:
    """Labels, those that occur among them, and the code of each row."""
    coded = column if pat.is_dictionary(column.type) else column.dictionary_encode()
    if coded.indices.null_count:
        raise ResponsesError("a row has no model, item or benchmark; every row needs one.")
    return coded.dictionary.cast(pa.string()), cast(Codes, coded.indices.to_numpy())


def _labels(parts: Sequence[Path], key: str) -> pa.Array:
    """Labels of a column that occur, in natural order."""
    found = pa.array([], pa.string())
    for (column,) in _blocks(parts, (key,)):
        labels, codes = _coded(column)
        used = np.bincount(codes, minlength=len(labels)) > 0
        found = pa.concat_arrays([found, labels.filter(pa.array(used))]).unique()
    return pa.array(natural_order(found.to_pylist()), pa.string())


def write_table(table: ResponseTable, path: str | Path, *, safe_csv: bool = False) -> None:
    """Write a table; the same responses give the same bytes, in whatever order they were read.

    Parameters
    ----------
    table : ResponseTable
        Table to write; models and items without responses are rows without a value at the end.
    path : str or Path
        Name ending in ``.parquet`` (reads back exactly) or ``.csv`` (column types are guessed on reading).
    safe_csv : bool
        Whether, in CSV, texts that a spreadsheet would run as a formula are prefixed by '. They read back with it.

    Raises
    ------
    OutputError
        If the name has another ending, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from irt_bench import load_example, read_responses, write_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_table(load_example("seeds"), Path(folder) / "seeds.parquet")
    ...     read_responses([folder])
    ResponseTable(planted: 64 models x 200 items, 12,800 answers)
    """
    path = Path(path)
    if path.suffix.lower() not in (".parquet", ".csv"):
        raise OutputError(f"{path.name} must end in .parquet or .csv, to say which to write.")
    arrow = pa.Table.from_pandas(in_order(table).to_frame(), preserve_index=False).replace_schema_metadata(
        {ROLES_KEY: _roles(table)}
    )
    with replacing(path) as temporary:
        if path.suffix.lower() == ".csv":
            text = _as_text(arrow)
            pacsv.write_csv(_without_formulas(text) if safe_csv else text, temporary)
        else:
            pq.write_table(arrow, temporary, compression="zstd", row_group_size=ROW_GROUP_ROWS)


def _roles(table: ResponseTable) -> str:
    roles = {**dict.fromkeys(table.models.columns, "model"), **dict.fromkeys(table.items.columns, "item")}
    return json.dumps({"roles": roles, "measure": table.measure}, sort_keys=True)


def _as_text(arrow: pa.Table) -> pa.Table:
    """Write codes as their text and lists as JSON, which CSV can hold."""
    for position, field in enumerate(arrow.schema):
        column = arrow.column(position)
        if pat.is_dictionary(field.type):
            column = column.cast(field.type.value_type)
        elif pat.is_nested(field.type):
            column = pa.array(
                [None if value is None else json.dumps(value) for value in column.to_pylist()], pa.string()
            )
        arrow = arrow.set_column(position, field.name, column)
    return arrow


def _without_formulas(text: pa.Table) -> pa.Table:
    columns = [
        pc.replace_substring_regex(column, FORMULA, rf"{QUOTE}\1") if pat.is_string(column.type) else column
        for column in (each.cast(pa.string()) if pat.is_large_string(each.type) else each for each in text.columns)
    ]
    return pa.table(columns, names=[re.sub(FORMULA, rf"{QUOTE}\1", name) for name in text.column_names])
