"""Tables of the page: a frame as headers and cells, and as a CSV file to download that lies in the page itself."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

import pandas as pd

from irt_bench.files import without_formulas
from irt_bench.report.tables.columns import index_columns, value_columns

MOST_ROWS: Final = 120
MOST_BYTES: Final = 200_000  # of a download


@dataclass(frozen=True)
class HtmlTable:
    """Cells as text, for a template that escapes them.

    Parameters
    ----------
    headers : tuple of str
        One a column.
    numeric : tuple of bool
        Which columns are numbers.
    rows : tuple of rows
        Each a tuple of (text, rest): the rest is the interval, written smaller.
    note : str
        What is left out.
    csv : str
        A data URI.
    csv_note : str
        What the file leaves out.
    """

    headers: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[tuple[str, str], ...], ...]
    note: str
    csv: str
    csv_note: str


def html_table(frame: pd.DataFrame, *, columns: list[str] | None = None, whole: str = "") -> HtmlTable:
    """Make a table for the page of the first rows of a frame with its index.

    Parameters
    ----------
    frame : pd.DataFrame
        With a named index.
    columns : list of str, optional
        Those shown, with their intervals; the download holds all.
    whole : str
        File with all rows, named where some are left out.
    """
    shown = frame.head(MOST_ROWS)
    texts = [*index_columns(shown), *value_columns(shown, columns)]
    cells = [list(zip(column.cells, column.below or [""] * len(shown), strict=True)) for column in texts]
    elsewhere = f"; {whole} holds all" if whole else ""
    note = f"First {MOST_ROWS:,} of {len(frame):,} rows{elsewhere}." if len(frame) > MOST_ROWS else ""
    data, kept = _csv(frame)
    return HtmlTable(
        headers=tuple(column.header for column in texts),
        numeric=tuple(column.numeric for column in texts),
        rows=tuple(zip(*cells, strict=True)),
        note=note,
        csv=data,
        csv_note=f"first {kept:,} of {len(frame):,} rows{elsewhere}" if kept < len(frame) else "",
    )


def _csv(frame: pd.DataFrame) -> tuple[str, int]:
    """Write as many first rows as the page has room for as a data URI; a click opens it in a spreadsheet."""
    frame, kept = without_formulas(frame), len(frame)
    text = frame.to_csv(float_format="%.6g").encode()
    if len(text) > MOST_BYTES:
        kept = max(int(kept * MOST_BYTES / len(text)), 1)
        text = frame.head(kept).to_csv(float_format="%.6g").encode()
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(text).decode()}", kept
