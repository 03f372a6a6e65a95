"""CSV and Parquet files read in a stream, into one column builder each."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pyarrow.types as pat

from irt_bench.errors import ReadError
from irt_bench.responses.canonical import check_unique_columns
from irt_bench.responses.formats.columns import Column, column_for
from irt_bench.responses.formats.jsonlines import first_line, open_bytes

CSV_SUFFIXES: Final = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zst", ".tsv.zst")
PARQUET_SUFFIXES: Final = (".parquet", ".pq")
PARQUET_MAGIC: Final = b"PAR1"
BATCH_ROWS: Final = 2**19  # of Parquet: scratch space of some MB a column
BATCH_CELLS: Final = 2**24  # fewer rows where a table is very wide
BLOCK_BYTES: Final = 2**24  # of CSV; the header must fit in one block
DELIMITERS: Final = (",", ";", "\t")
NUMBER_COLUMNS: Final = ("score", "loglikelihood")  # of CSV: nearly all values differ, so codes would not pay
ROLES_KEY: Final = b"irt_bench"  # Parquet metadata of canonical tables: JSON with column roles and the measure


def is_table(path: Path) -> bool:
    """Whether a file's name or first bytes say CSV or Parquet."""
    name = path.name.lower()
    if not path.is_file():
        return False
    if name.endswith((*CSV_SUFFIXES, *PARQUET_SUFFIXES)):
        return True
    with path.open("rb") as file:
        return file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC


def is_csv(path: Path) -> bool:
    """Whether a table's name says CSV; anything else is Parquet."""
    return path.name.lower().endswith(CSV_SUFFIXES)


def read_columns(path: Path) -> tuple[dict[str, pd.Series], Mapping[str, object]]:
    """Read all columns of a CSV or Parquet file, and what a canonical Parquet file says about them.

    Raises
    ------
    ReadError
        If the file is damaged, cut off or no such table.
    """
    try:
        if is_csv(path):
            return _read_csv(path), {}
        return _read_parquet(path)
    except (OSError, pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        kind = "CSV" if is_csv(path) else "Parquet"
        raise ReadError(f"{path} cannot be read as {kind}: {first_line(error)}. Is the file whole?") from error


def _read_parquet(path: Path) -> tuple[dict[str, pd.Series], Mapping[str, object]]:
    schema = pq.read_schema(path)
    check_unique_columns(schema.names)
    text = [field.name for field in schema if pat.is_string(field.type) or pat.is_large_string(field.type)]
    with pq.ParquetFile(path, read_dictionary=text, buffer_size=2**20) as file:
        builders = {field.name: column_for(field.name, field.type) for field in file.schema_arrow}
        rows = max(1, min(BATCH_ROWS, BATCH_CELLS // max(len(builders), 1)))
        _fill(builders, file.iter_batches(batch_size=rows))
    said = (schema.metadata or {}).get(ROLES_KEY)
    return _finish(builders), json.loads(said) if said else {}


def _read_csv(path: Path) -> dict[str, pd.Series]:
    header, delimiter = _header(path)
    check_unique_columns(header)
    text = pa.dictionary(pa.int32(), pa.string())
    types = {name: pa.float64() if name in NUMBER_COLUMNS else text for name in header}
    try:
        return _parse_csv(path, types, delimiter)
    except pa.ArrowInvalid as error:
        if "conversion error" not in str(error):
            raise
        return _parse_csv(path, dict.fromkeys(header, text), delimiter)  # let the measure say which value is no number


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
        _fill(builders, reader)
    return _finish(builders)


def _fill(builders: Mapping[str, Column], batches: Iterator[pa.RecordBatch]) -> None:
    for batch in batches:
        for builder, values in zip(builders.values(), batch.columns, strict=True):
            builder.add(values)


def _finish(builders: dict[str, Column]) -> dict[str, pd.Series]:
    pa.default_memory_pool().release_unused()
    return {name: builders.pop(name).finish() for name in list(builders)}
