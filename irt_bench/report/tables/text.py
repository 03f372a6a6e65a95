"""Numbers, names and labels as text, and columns of a frame as text with intervals in them: "0.53 [0.41, 0.62]".

Numbers with an interval show two digits of its width; others show three digits of the largest number of their column.
Labels are never markup.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pandas as pd
from rich.cells import cell_len

from irt_bench.names import CLEAR_PROBABILITY

MISSING: Final = "–"
MAX_DECIMALS: Final = {"interval": 4, "number": 3, "small number": 6}
POINTS: Final = 100  # percentage points of the full score
MAX_TIED: Final = 3  # models that share the first place, or benchmarks of one note, by name
MIN_CUT: Final = 8  # characters; shorter labels are not kept distinct
SMALL: Final = 0.01  # largest number of a column with small numbers


def interval_text(value: float, low: float, high: float) -> str:
    """Write an estimate with its interval, as in "0.53 [0.41, 0.62]"."""
    form = fixed(interval_decimals(high - low))
    return form(value) if pd.isna(low) else f"{form(value)} [{form(low)}, {form(high)}]"


def merged_notes(notes: Iterable[str], benchmarks: Iterable[object]) -> list[str]:
    """Write a note that several benchmarks have, each with its name in front, once for all of them."""
    known, of = set(map(str, benchmarks)), dict[str, list[str]]()
    for note in map(str, notes):
        name, _, text = note.partition(": ")
        of.setdefault(text if name in known else note, []).extend([name] if name in known else [])
    written = []
    for text, names in of.items():
        first = ", ".join(names[:MAX_TIED]) + (f" and {len(names) - MAX_TIED:,} more" if len(names) > MAX_TIED else "")
        written.append(f"{first}: {text}" if names else text)
    return written


def lead_text(models: pd.DataFrame, name: Callable[[object], str] = str) -> str:
    """Describe which model is ablest, and how certain that is.

    Parameters
    ----------
    models : pd.DataFrame
        Indexed by model: ``rank``, and ``p_first_abler``, the probability that the model of rank 1 is abler.
    name : callable
        Writes a label.
    """
    ranked = models.sort_values("rank", kind="stable")
    first = ranked[ranked["rank"] == ranked["rank"].iloc[0]]
    others = ranked["p_first_abler"].iloc[len(first) :]
    if len(first) == 1:
        lead, they = f"{name(first.index[0])} is estimated ablest", "it is"
    else:
        some = ", ".join(name(label) for label in first.index[:MAX_TIED])
        more = f" and {len(first) - MAX_TIED:,} more" if len(first) > MAX_TIED else ""
        lead, they = f"{len(first):,} models share the highest ability ({some}{more})", "they are"
    if not len(others):
        return lead
    shown, closest = (
        int((others >= CLEAR_PROBABILITY).sum()),
        f"{name(others.idxmin())} with probability {fixed(2)(others.min())}",
    )
    if len(others) == 1:
        return f"{lead}; {they} abler than {closest}"
    if shown == len(others):
        return f"{lead}; {they} abler than each of {shown:,} others with probability {CLEAR_PROBABILITY:.2f} or more"
    clear = f"{shown:,} of {len(others):,} others with {CLEAR_PROBABILITY:.2f} or more"
    return f"{lead}; {they} abler than {closest}, and than {clear}"


def has_flag(items: pd.DataFrame, flag: str) -> pd.Series:
    """Whether each item has a flag; flags are joined by ';' in the column ``flags``, which may be absent."""
    if "flags" not in items:
        return pd.Series(data=False, index=items.index)
    return items["flags"].fillna("").str.split(";").map(lambda raised: flag in raised).astype(bool)


def shorten(text: str, width: int) -> str:
    """Put a label on one line and cut it in the middle, where labels differ least, to `width` characters."""
    text = one_line(text)
    if len(text) <= width:
        return text
    kept = max(width - 1, 1)
    tail = kept // 2
    return f"{text[: kept - tail]}…{text[len(text) - tail :] if tail else ''}"


def shorten_all(texts: Sequence[str], width: int) -> list[str]:
    """Cut labels to `width` characters, in the middle, or nearer the start if that keeps more of them distinct."""
    cuts = [[shorten(text, width) for text in texts]]
    wanted = len({one_line(text) for text in texts})
    if len(set(cuts[0])) < wanted and width > MIN_CUT:
        for head in (width // 4, 0):
            tail = width - 1 - head
            lines = [one_line(text) for text in texts]
            cuts.append([line if len(line) <= width else f"{line[:head]}…{line[-tail:]}" for line in lines])
    return max(cuts, key=lambda cut: len(set(cut)))


def general(value: float | None) -> str:
    """Write a number with four digits; whole numbers without decimals."""
    if value is None or pd.isna(value):
        return MISSING
    return f"{value:,.0f}" if abs(value) < math.inf and value % 1 == 0 else f"{value:,.4g}"


def words(name: str) -> str:
    """Write the name of a column as words."""
    return name.replace("_", " ")


def one_line(text: str) -> str:
    """Replace line breaks by spaces, and control characters by a mark."""
    printable = "".join(sign if sign.isprintable() or sign.isspace() else "\N{REPLACEMENT CHARACTER}" for sign in text)
    return " ".join(printable.split())


def fixed(decimals: int) -> Callable[[float], str]:
    """Return a function that writes numbers with so many decimals."""

    def form(value: float) -> str:
        if pd.isna(value):
            return MISSING
        text = f"{value:,.{decimals}f}"
        return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text  # no -0.00

    return form


def number_format(values: pd.Series) -> Callable[[float], str]:
    """Format of a column: whole numbers in full, others with three digits of the largest, tiny ones with four."""
    finite = values[values.abs() < math.inf]
    if (finite % 1 == 0).all():
        return fixed(0)
    largest = float(finite.abs().max())
    decimals = max(2 - math.floor(math.log10(largest)), 0)
    if decimals > MAX_DECIMALS["small number"]:
        return general
    return fixed(decimals if largest < SMALL else min(decimals, MAX_DECIMALS["number"]))


def interval_decimals(width: float) -> int:
    """Decimals that show two digits of the width of an interval."""
    if not 0 < width < math.inf:
        return 2
    exact = 1 - math.floor(math.log10(width))
    return min(max(exact + (exact == 1), 0), MAX_DECIMALS["interval"])


LOWER, UPPER = "_q05", "_q95"
INTERVAL_HEADER: Final = "[90%]"


@dataclass(frozen=True)
class TableColumn:
    """A column as text; `below` is the part of each cell that may move to a second line."""

    header: str
    cells: tuple[str, ...]
    below: tuple[str, ...] = ()
    label: bool = False  # part of the index: cut where other text wraps
    numeric: bool = True
    stacked: bool = False

    @property
    def lines(self) -> list[str]:
        """Cells, with their second part below if stacked, else beside."""
        if not self.below:
            return list(self.cells)
        gap = "\n" if self.stacked else " "
        return [f"{cell}{gap}{rest}".strip() for cell, rest in zip(self.cells, self.below, strict=True)]

    @property
    def width(self) -> int:
        """Width that needs no shortening; headers may break between words."""
        parts = [part for line in self.lines for part in line.split("\n")] + self.header.split()
        return max(map(cell_len, parts), default=0)


def index_columns(shown: pd.DataFrame) -> list[TableColumn]:
    """Levels of the index, as labels."""
    levels = [shown.index.get_level_values(level) for level in range(shown.index.nlevels)]
    return [
        replace(
            _plain(str(level.name or ""), pd.Series(level)), label=True, numeric=pd.api.types.is_numeric_dtype(level)
        )
        for level in levels
    ]


def value_columns(shown: pd.DataFrame, wanted: Sequence[str] | None) -> list[TableColumn]:
    """Columns in order, intervals beside their estimates; an interval without an estimate is a column."""
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


def with_gap(columns: Sequence[TableColumn], position: int, text: str) -> list[TableColumn]:
    """Insert a row that holds only a text, in the first column."""

    def spread(cells: tuple[str, ...], new: str) -> tuple[str, ...]:
        return (*cells[:position], new, *cells[position:]) if cells else cells

    return [
        replace(column, cells=spread(column.cells, text if place == 0 else ""), below=spread(column.below, ""))
        for place, column in enumerate(columns)
    ]


def _centre(shown: pd.DataFrame, stem: str) -> str | None:
    """Return the column of an interval: of the same name, or the only one that begins with it."""
    if stem in shown:
        return stem
    ends = (LOWER, UPPER)
    longer = [name for name in map(str, shown.columns) if name.startswith(f"{stem}_") and not name.endswith(ends)]
    return longer[0] if len(longer) == 1 else None


def _folded(name: str | None, shown: pd.DataFrame, stem: str) -> TableColumn:
    """Value and interval, or the interval alone without a value."""
    low, high = (shown[f"{stem}{end}"].astype("float64") for end in (LOWER, UPPER))
    width = float((high - low).median())
    ranks = name is not None and width >= 1 and bool((shown[name] % 1 == 0).all())
    form = fixed(0 if ranks else interval_decimals(width))
    ends = ["" if pd.isna(a) and pd.isna(b) else f"[{form(a)}, {form(b)}]" for a, b in zip(low, high, strict=True)]
    header = f"{words(name or stem)} {INTERVAL_HEADER}"
    if name is None:
        return TableColumn(header, tuple(text or MISSING for text in ends))
    return TableColumn(header, tuple(form(value) for value in shown[name].astype("float64")), tuple(ends))


def _plain(name: str, values: pd.Series) -> TableColumn:
    values = values.infer_objects()
    if pd.api.types.is_bool_dtype(values):
        return TableColumn(
            words(name), tuple(MISSING if pd.isna(v) else "yes" if v else "no" for v in values), numeric=False
        )
    if pd.api.types.is_numeric_dtype(values):
        form = number_format(values.astype("float64"))
        return TableColumn(words(name), tuple(form(value) for value in values.astype("float64")))
    texts = (  # flags are joined by ";", without a space; sentences keep theirs
        MISSING if pd.api.types.is_scalar(v) and pd.isna(v) else re.sub(r";(?=\S)", ", ", one_line(str(v)))
        for v in values
    )
    return TableColumn(words(name), tuple(texts), numeric=False)


def against_rest(n: int, items: str) -> str:
    """Write how many items correlate negatively with the rest: "1 of 60 items goes against the rest: ..."."""
    verb, them = ("goes", "it") if n == 1 else ("go", "them")
    return f"{n:,} of {items} {verb} against the rest: better models fail {them} more often"


def in_points(share: float) -> str:
    """Write a difference of scores in percentage points: "1 point", "0.5 points"."""
    return f"{POINTS * share:g} point{'' if POINTS * share == 1 else 's'}"
