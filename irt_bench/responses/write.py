"""Write a ResponseTable as one canonical long table, Parquet or CSV, that reads back as the same table."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pyarrow.types as pat

from irt_bench import names
from irt_bench.errors import OutputError
from irt_bench.files import FORMULA, QUOTE, replacing
from irt_bench.responses.formats.tables import ROLES_KEY
from irt_bench.responses.table import KEYS, ResponseTable, categorical

ROW_GROUP_ROWS: Final = 2**20


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


def in_order(table: ResponseTable) -> ResponseTable:
    """Sort answers by benchmark, model, item and trial."""
    answers = table.answers
    place = np.zeros(len(answers), dtype=np.int64)
    for key in KEYS:
        place *= len(categorical(answers[key]).categories)
        place += categorical(answers[key]).codes
    if names.TRIAL in answers:
        trial, trials = pd.factorize(answers[names.TRIAL], sort=True)
        place = place * (len(trials) + 1) + trial + 1
    if (place[1:] > place[:-1]).all():
        return table
    return replace(table, answers=answers.take(np.argsort(place, kind="stable")).reset_index(drop=True))


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
