"""One frame as a terminal table that keeps to the width: what gives way, and in which order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from irt_bench.report.tables.text import (
    LOWER,
    UPPER,
    Column,
    index_columns,
    shorten,
    shorten_all,
    value_columns,
    with_gap,
)

GAP: Final = 2  # spaces between columns


def print_table(
    frame: pd.DataFrame,
    *,
    title: str,
    console: Console,
    max_rows: int = 20,
    columns: Sequence[str] | None = None,
    index: bool = True,
) -> None:
    """Print a frame: numbers right-aligned, intervals folded into their column, long labels shortened in the middle.

    Parameters
    ----------
    frame : pd.DataFrame
        What to print; ``x, x_q05, x_q95`` become one column.
    title : str
        Line above the table.
    console : Console
        Where to; its width is kept to.
    max_rows : int
        Rows shown, the first and the last ones, with a line between them that says how many there are more.
    columns : sequence of str, optional
        Columns to show, in order; intervals come with their column. All by default.
    index : bool
        Whether the index is shown.

    Notes
    -----
    Where the width is not enough, intervals move below their value, then columns at the right are left out and named
    below the table.
    """
    console.print(Text(title, style="bold"))
    n_rows = len(frame)
    if not n_rows:
        console.print(Text("no rows", style="dim"), end="\n\n")
        return
    head, tail = (n_rows, 0) if n_rows <= max_rows else (math.ceil(max_rows / 2), max_rows // 2)
    shown = frame.iloc[[*range(head), *range(n_rows - tail, n_rows)]]
    if "estimate" in shown:
        shown = shown.rename(columns={"q05": f"estimate{LOWER}", "q95": f"estimate{UPPER}"})
    parts = [*(index_columns(shown) if index else []), *value_columns(shown, columns)]
    if head + tail < n_rows:
        parts = with_gap(parts, head, f"... {n_rows - head - tail:,} more rows")
    fitted, left_out = _fit_width(parts, console.width)
    console.print(_rich_table(fitted, console.width))
    if left_out:
        console.print(Text(f"not shown at this width: {', '.join(left_out)}", style="dim"))
    console.print()


def empty_table() -> Table:
    """Table without columns, in the style of all."""
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="")


def _fit_width(columns: Sequence[Column], width: int) -> tuple[list[Column], list[str]]:
    """Stack intervals, then leave columns out, numbers at the right first, until the table fits; headers left out."""
    kept, left_out = list(columns), []
    if _least_width(kept) > width:
        kept = [replace(column, stacked=True) for column in kept]
    while len(kept) > 1 and _least_width(kept) > width:
        numbers = [place for place, column in enumerate(kept) if column.numeric and place > 0]
        left_out.append(kept.pop(numbers[-1] if len(numbers) > 1 else -1).header)
    return kept, left_out[::-1]


def _least_width(columns: Sequence[Column]) -> int:
    widths = [column.width if column.numeric else min(column.width, column.least) for column in columns]
    return sum(widths) + GAP * (len(columns) - 1)


def _rich_table(columns: Sequence[Column], width: int) -> Table:
    """Build the table; what the numbers leave of the width is shared by the texts, the longest being cut first."""
    room = width - GAP * (len(columns) - 1)
    limit = max(column.width for column in columns)
    while limit > 1 and sum(_size(column, limit) for column in columns) > room:
        limit -= 1
    table = empty_table()
    cells = []
    for column in columns:
        size = _size(column, limit)
        justify: Literal["left", "right"] = "right" if column.numeric else "left"
        table.add_column(Text(column.header), justify=justify, width=size, overflow="fold")
        cells.append(_cells(column, size))
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    return table


def _size(column: Column, limit: int) -> int:
    return column.width if column.numeric else min(column.width, max(limit, column.least))


def _cells(column: Column, size: int) -> list[Text]:
    if column.numeric:
        return [Text(line) for line in column.lines]
    if column.label:
        return [Text(label) for label in shorten_all(column.lines, size)]
    return [Text(" ".join(shorten(word, size) for word in line.split(" "))) for line in column.lines]
