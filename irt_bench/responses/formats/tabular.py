"""CSV and Parquet tables: long (one row per response) or wide (one row per model, one column per item)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench import names
from irt_bench.errors import ReadError, ResponsesError
from irt_bench.responses.formats.format import Format, ParsedFile, ReadOptions, stem
from irt_bench.responses.formats.tables import is_csv, is_table, read_columns
from irt_bench.responses.labels import Codes
from irt_bench.responses.table import (
    CHOICE_COLUMNS,
    FILTER,
    GROUP,
    MEASURE_COLUMNS,
    METRIC,
    REVISION,
    categorical,
)
from irt_bench.responses.wide import (
    EMPTY,
    INDEX_NAMES,
    WIDE_METADATA,
    CellArray,
    cell_matrix,
    model_column,
    rename_aliases,
    wide_columns,
    without_means,
)

# Ids and hashes of digits are text: "007" is not 7.
TEXT_COLUMNS: Final = frozenset(
    [names.BENCHMARK, names.MODEL, names.ITEM, names.CLUSTER, names.RUN, names.SUBTASK, GROUP, REVISION, METRIC, FILTER]
    + ["name"]
)


def read(path: Path, options: ReadOptions) -> ParsedFile:
    """Read a table, long if it has a column of items and one of values, else wide.

    Raises
    ------
    ReadError
        If the file is damaged, or neither long nor wide.
    """
    columns, declared = read_columns(path)
    present = {*columns, *rename_aliases(columns).values()}
    if names.ITEM in present:
        return _long(columns, declared, path, options)
    return _wide(columns, path)


def read_long(path: Path, options: ReadOptions) -> ParsedFile:
    """Read a table as long, whatever its columns.

    Raises
    ------
    ReadError
        If the file is damaged.
    """
    return _long(*read_columns(path), path, options)


def read_wide(path: Path, options: ReadOptions) -> ParsedFile:
    """Read a table as wide, whatever its columns.

    Raises
    ------
    ReadError
        If the file is damaged, or has no column of models.
    """
    return _wide(read_columns(path)[0], path)


def _long(columns: dict[str, pd.Series], declared: Mapping[str, Any], path: Path, options: ReadOptions) -> ParsedFile:
    renames = rename_aliases(columns)
    columns = {renames.get(name, name): values for name, values in columns.items() if name not in INDEX_NAMES}
    if is_csv(path):
        columns = {name: _parsed(name, values) for name, values in columns.items()}
    frame = pd.DataFrame(columns, copy=False)
    for what in (FILTER, METRIC):
        if what in frame:
            frame = _one_of_several(frame, what, options, path)
    read_by = {
        what: frozenset(frame[what].dropna().unique().astype("str")) if what in frame else frozenset()
        for what in (METRIC, FILTER)
    }
    return ParsedFile(
        frame,
        metrics=read_by[METRIC],
        filters=read_by[FILTER],
        roles=declared.get("roles", {}),
        measure=declared.get("measure"),
    )


def _parsed(name: str, values: pd.Series) -> pd.Series:
    """Convert a CSV column other than ids to numbers where every text is one as numbers are written."""
    if name in TEXT_COLUMNS or name in MEASURE_COLUMNS or not isinstance(values.dtype, pd.CategoricalDtype):
        return values
    texts = categorical(values).categories
    if name in CHOICE_COLUMNS:
        lists = np.empty(len(texts) + 1, dtype=object)  # the last place, of code -1, stays None
        lists[:-1] = [_list_of_numbers(text) for text in texts]
        return pd.Series(lists[categorical(values).codes])
    numbers = pd.to_numeric(pd.Series(texts.astype("object"), dtype=object), errors="coerce")
    if not len(numbers) or numbers.isna().any():
        return values
    if pd.api.types.is_integer_dtype(numbers) and (numbers.astype("str") == texts.to_numpy(dtype=object)).all():
        return pd.Series(numbers.astype("Int64").array.take(categorical(values).codes, allow_fill=True))
    written = texts.str.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?").all()
    return pd.Series(np.append(numbers.to_numpy(dtype=float), np.nan)[categorical(values).codes]) if written else values


def _list_of_numbers(text: str) -> npt.NDArray[np.float64] | None:
    """Read a list of numbers in JSON; None for anything else."""
    try:
        return np.array(json.loads(text), dtype=np.float64, ndmin=1)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None


def _one_of_several(frame: pd.DataFrame, what: str, options: ReadOptions, path: Path) -> pd.DataFrame:
    """Keep one metric (or filter) of each benchmark."""
    one = None if names.BENCHMARK in frame else stem(path)
    keys = [what] if one is not None else [names.BENCHMARK, what]
    keys += [GROUP] if GROUP in frame else []
    pairs = frame[keys].drop_duplicates().dropna(subset=[what])
    if len(pairs) == (1 if one is not None else pairs[names.BENCHMARK].nunique()) and options.listed is None:
        return frame
    groups = [(one, pairs)] if one is not None else list(pairs.groupby(names.BENCHMARK, observed=True))
    keep = np.zeros(len(frame), dtype=bool)
    for benchmark, rows in groups:
        name = str(benchmark)
        group = str(rows[GROUP].iloc[0]) if GROUP in rows and rows[GROUP].notna().any() else ""
        candidates = list(dict.fromkeys(rows[what].astype("str")))
        chosen = options.choose(what, candidates, benchmark=name, group=group, where=f"benchmark {name!r}")
        own = True if one is not None else frame[names.BENCHMARK] == benchmark
        keep |= ((frame[what].astype("str") == chosen) & own).to_numpy()
    return frame[keep].reset_index(drop=True)


def _wide(columns: dict[str, pd.Series], path: Path) -> ParsedFile:
    try:
        return _parse_wide(columns, path)
    except ResponsesError as error:
        raise ReadError(f"{path}: {error}") from error


def _parse_wide(columns: dict[str, pd.Series], path: Path) -> ParsedFile:
    columns = wide_columns(columns)
    key = model_column(columns)
    if key is None:
        first = ", ".join(map(repr, list(columns)[:6]))
        raise ReadError(
            f"{path} is neither a long table (columns 'model', 'item' and a value) nor a wide one (first column the "
            f"models, one column per item); its columns are {first}{', ...' if len(columns) > 6 else ''}. "
            "Name the column of models 'model'."
        )
    model = columns.pop(key)
    metadata = {name: columns.pop(name) for name in WIDE_METADATA if name in columns}
    if is_csv(path):
        metadata = {name: _parsed(name, values) for name, values in metadata.items()}
    if not columns:
        raise ReadError(
            f"{path} has models but no items: a wide table has one column per item; a long one needs a column 'item'."
        )
    items = pd.Index([str(name) for name in columns], dtype="str")
    cells, items = without_means(cell_matrix(columns, model), items)
    rows, places = _kept_cells(cells, metadata.get(names.BENCHMARK))
    values = _cell_values(cells[rows, places] if len(rows) < cells.size else cells.ravel())
    frame: dict[str, pd.Series] = {
        names.MODEL: model.iloc[rows].reset_index(drop=True),
        names.ITEM: pd.Series(pd.Categorical.from_codes(places, items), copy=False),
        names.CORRECT if cells.dtype == np.int8 else names.SCORE: pd.Series(values, copy=False),
        **{name: column.iloc[rows].reset_index(drop=True) for name, column in metadata.items()},
    }
    return ParsedFile(pd.DataFrame(frame, copy=False))


def _cell_values(cells: CellArray) -> CellArray:
    """Values of cells as a column: NaN where empty."""
    if cells.dtype != np.int8 or not (cells == EMPTY).any():
        return cells
    return np.where(cells == EMPTY, np.float32(np.nan), cells.astype(np.float32))


def _kept_cells(cells: CellArray, benchmark: pd.Series | None) -> tuple[Codes, Codes]:
    """Row and column of the cells that become rows: all, except items that a benchmark never uses."""
    n_rows, n_items = cells.shape
    row: Codes = np.arange(n_rows, dtype=np.int32)
    place: Codes = np.arange(n_items, dtype=np.int16 if n_items < 2**15 else np.int32)
    if benchmark is None or benchmark.nunique() < 2:
        return np.repeat(row, n_items), np.tile(place, n_rows)
    keep = np.ones(cells.shape, dtype=bool)
    empty = cells == EMPTY if cells.dtype == np.int8 else np.isnan(cells)
    nowhere = empty.all(axis=0)
    codes = pd.factorize(benchmark)[0]
    for code in np.unique(codes):
        own = codes == code
        keep[own] = ~empty[own].all(axis=0) | (nowhere & (code == 0))
        keep[own, 0] |= ~keep[own].any(axis=1)  # a model without responses keeps its label
    rows, places = np.nonzero(keep)
    return row[rows], place[places]


FORMAT: Final = Format(
    "tabular", "CSV or Parquet, long (model, item, correct) or wide (one column per item)", is_table, read
)
LONG: Final = Format("long", "CSV or Parquet, read as long", is_table, read_long)
WIDE: Final = Format("wide", "CSV or Parquet, read as wide", is_table, read_wide)
