"""Columns of a frame as text: an interval is folded into its column, "0.53 [0.41, 0.62]"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import pandas as pd
from rich.cells import cell_len

from irt_bench.report.tables.text import MISSING, fixed, interval_decimals, number_format, one_line, words

LOWER, UPPER = "_q05", "_q95"
INTERVAL_HEADER: Final = "[90%]"
LEAST_LABEL: Final = 14  # characters to which a label may shrink before intervals are stacked or columns left out


@dataclass(frozen=True)
class Column:
    """A column as text: `below` is the part of each cell that may move to a second line."""

    header: str
    cells: tuple[str, ...]
    below: tuple[str, ...] = ()
    label: bool = False  # part of the index: shortened, where other text wraps
    numeric: bool = True
    stacked: bool = False
    least: int = LEAST_LABEL  # for texts

    @property
    def lines(self) -> list[str]:
        """Cells, with their second part on a line of its own if stacked, else behind the first."""
        if not self.below:
            return list(self.cells)
        gap = "\n" if self.stacked else " "
        return [f"{cell}{gap}{rest}".strip() for cell, rest in zip(self.cells, self.below, strict=True)]

    @property
    def width(self) -> int:
        """Width that needs no shortening; headers may break between words."""
        parts = [part for line in self.lines for part in line.split("\n")] + self.header.split()
        return max(map(cell_len, parts), default=0)


def index_columns(shown: pd.DataFrame) -> list[Column]:
    """Levels of the index, as labels."""
    levels = [shown.index.get_level_values(level) for level in range(shown.index.nlevels)]
    return [
        replace(
            _plain(str(level.name or ""), pd.Series(level)), label=True, numeric=pd.api.types.is_numeric_dtype(level)
        )
        for level in levels
    ]


def value_columns(shown: pd.DataFrame, wanted: Sequence[str] | None) -> list[Column]:
    """Columns in order, those with an interval folded; an interval without its column stands by itself."""
    stems = [name.removesuffix(LOWER) for name in map(str, shown.columns) if name.endswith(LOWER)]
    centre_of = {stem: _centre(shown, stem) for stem in stems if f"{stem}{UPPER}" in shown}
    stem_of = {centre or f"{stem}{LOWER}": stem for stem, centre in centre_of.items()}
    limits = {f"{stem}{end}" for stem in centre_of for end in (LOWER, UPPER)}
    found = []
    for name in shown.columns if wanted is None else wanted:
        if name in stem_of:
            found.append(_folded(None if name in limits else str(name), shown, stem_of[name]))
        elif name not in limits:
            found.append(_plain(str(name), shown[name]))
    return found


def with_gap(columns: Sequence[Column], position: int, text: str) -> list[Column]:
    """Insert a row that holds only a text, in the first column."""

    def spread(cells: tuple[str, ...], new: str) -> tuple[str, ...]:
        return (*cells[:position], new, *cells[position:]) if cells else cells

    return [
        replace(column, cells=spread(column.cells, text if place == 0 else ""), below=spread(column.below, ""))
        for place, column in enumerate([replace(columns[0], least=len(text)), *columns[1:]])
    ]


def _centre(shown: pd.DataFrame, stem: str) -> str | None:
    """Return the column an interval belongs to: of the same name, or the only one that begins with it."""
    if stem in shown:
        return stem
    ends = (LOWER, UPPER)
    longer = [name for name in map(str, shown.columns) if name.startswith(f"{stem}_") and not name.endswith(ends)]
    return longer[0] if len(longer) == 1 else None


def _folded(name: str | None, shown: pd.DataFrame, stem: str) -> Column:
    """Value and interval, or the interval alone where there is no value."""
    low, high = (shown[f"{stem}{end}"].astype("float64") for end in (LOWER, UPPER))
    width = float((high - low).median())
    ranks = name is not None and width >= 1 and bool((shown[name] % 1 == 0).all())
    form = fixed(0 if ranks else interval_decimals(width))
    ends = ["" if pd.isna(a) and pd.isna(b) else f"[{form(a)}, {form(b)}]" for a, b in zip(low, high, strict=True)]
    header = f"{words(name or stem)} {INTERVAL_HEADER}"
    if name is None:
        return Column(header, tuple(text or MISSING for text in ends))
    return Column(header, tuple(form(value) for value in shown[name].astype("float64")), tuple(ends))


def _plain(name: str, values: pd.Series) -> Column:
    values = values.infer_objects()
    if pd.api.types.is_bool_dtype(values):
        return Column(
            words(name), tuple(MISSING if pd.isna(v) else "yes" if v else "no" for v in values), numeric=False
        )
    if pd.api.types.is_numeric_dtype(values):
        form = number_format(values.astype("float64"))
        return Column(words(name), tuple(form(value) for value in values.astype("float64")))
    texts = (
        MISSING if pd.api.types.is_scalar(v) and pd.isna(v) else one_line(str(v)).replace(";", ", ") for v in values
    )
    return Column(words(name), tuple(texts), numeric=False)
