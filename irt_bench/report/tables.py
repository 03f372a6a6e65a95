"""Terminal tables: frames, findings and checks, readable at 80 columns.

Numbers get the digits they deserve: two of an interval's width, else three of the largest number. A column with
``_q05`` and ``_q95`` beside it becomes one, "0.53 [0.41, 0.62]". Labels are printed as they are, never as markup.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

import pandas as pd
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from irt_bench.analysis.agreement import Comparison
from irt_bench.analysis.classical import FLAGS, Reliability
from irt_bench.responses.table import Finding

MISSING: Final = "–"
LOWER, UPPER = "_q05", "_q95"
INTERVAL_HEADER: Final = "[90%]"
LEAST_LABEL: Final = 14  # characters to which a label may shrink before intervals are stacked or columns left out
GAP: Final = 2  # spaces between columns
MOST_DECIMALS: Final = {"interval": 4, "number": 3, "small number": 6}
SMALL: Final = 0.01  # where the largest number of a column is below
STATUS_STYLE: Final = {"passed": "green", "failed": "bold red", "not_applicable": "dim"}


class CheckLike(Protocol):
    """A named check: ``status`` is "passed", "failed" or "not_applicable"."""

    @property
    def name(self) -> str:
        """What was checked."""

    @property
    def status(self) -> str:
        """Outcome."""

    @property
    def value(self) -> float | None:
        """The figure found."""

    @property
    def threshold(self) -> float | None:
        """The limit it was held against."""

    @property
    def message(self) -> str:
        """What was found, in words."""


@dataclass(frozen=True)
class _Column:
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
    parts = [*(_index_columns(shown) if index else []), *_value_columns(shown, columns)]
    if head + tail < n_rows:
        parts = _with_gap(parts, head, f"... {n_rows - head - tail:,} more rows")
    fitted, left_out = _fit_width(parts, console.width)
    console.print(_rich_table(fitted, console.width))
    if left_out:
        console.print(Text(f"not shown at this width: {', '.join(left_out)}", style="dim"))
    console.print()


def print_findings(findings: Iterable[Finding], console: Console, *, max_rows: int = 20) -> None:
    """Print what was noticed about the responses, one line a finding."""
    listed = list(findings)
    if not listed:
        console.print(Text("Findings: none", style="bold"), end="\n\n")
        return
    console.print(Text("Findings", style="bold"))
    grid = Table.grid(padding=(0, GAP, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in listed[:max_rows]:
        grid.add_row(Text(finding.name, style="yellow"), Text(finding.message))
    console.print(grid)
    if len(listed) > max_rows:
        console.print(Text(f"... {len(listed) - max_rows:,} more findings", style="dim"))
    console.print()


def print_checks(checks: Iterable[CheckLike], console: Console) -> None:
    """Print named checks, the value found, the limit, and how many passed."""
    listed = list(checks)
    count = {status: sum(check.status == status for check in listed) for status in STATUS_STYLE}
    told = ", ".join(f"{n} {_words(status)}" for status, n in count.items() if n or status == "failed")
    console.print(Text(f"Checks: {told if listed else 'none'}", style="bold"))
    if not listed:
        console.print()
        return
    table = _empty_table()
    for header, numeric in (("check", False), ("status", False), ("value", True), ("limit", True)):
        table.add_column(Text(header), justify="right" if numeric else "left", no_wrap=True)
    table.add_column(Text("what was found"), overflow="fold")
    for check in listed:
        status = Text(_words(check.status), style=STATUS_STYLE.get(check.status, ""))
        numbers = (Text(_general(value)) for value in (check.value, check.threshold))
        table.add_row(Text(shorten(check.name, 24)), status, *numbers, Text(check.message))
    console.print(table)
    console.print()


def print_item_report(
    statistics: pd.DataFrame,
    reliability: Reliability,
    transfer: pd.DataFrame,
    *,
    benchmark: str,
    console: Console,
    max_rows: int = 20,
) -> None:
    """Print an item analysis: reliability of the score, how often each flag was raised, flagged items, transfer."""
    alpha = interval_text(reliability.alpha, reliability.alpha_q05, reliability.alpha_q95)
    lines = (
        f"{benchmark}: {reliability.n_models:,} models x {reliability.n_items:,} items",
        f"  mean score {_general(reliability.mean)}, sd over models {_general(reliability.sd)}",
        f"  alpha {alpha}, standard error of measurement {_general(reliability.sem)}",
    )
    console.print(Text("\n".join(lines)), end="\n\n")
    found = statistics["flags"].str.get_dummies(";").reindex(columns=list(FLAGS), fill_value=0)
    flags = pd.DataFrame({"items": found.sum(), "share": found.mean()}).rename_axis("flag")
    print_table(flags[flags["items"] > 0], title="Flags raised", console=console)
    flagged = statistics[statistics["flags"] != ""].sort_values("item_rest_correlation", kind="stable")
    columns = ("difficulty", "item_rest_correlation", "flags")
    title = "Flagged items, lowest correlation first"
    print_table(flagged, title=title, console=console, max_rows=max_rows, columns=columns)
    title = "Item statistics in weaker against stronger models, and in random halves"
    print_table(transfer, title=title, console=console, columns=("ability", "random", "ratio", "n_items_ability"))


def print_comparison(comparison: Comparison, *, benchmark: str, console: Console, max_rows: int = 10) -> None:
    """Print how ability and accuracy rank the models, the pairs they order differently, and the items behind them."""
    console.print(
        Text(
            f"{benchmark}: ability and accuracy order {comparison.n_discordant:,} of {comparison.n_pairs:,} pairs of "
            f"models differently, {comparison.n_clear:,} of them clearly"
        ),
        end="\n\n",
    )
    print_table(comparison.correlations, title="Rank correlation of ability and accuracy", console=console)
    print_table(comparison.reliability, title="Reliability over models", console=console)
    pairs = comparison.discordant.head(max_rows).drop(columns="certainty")
    print_table(pairs, title="Pairs most certain to be ordered differently", console=console, index=False)
    if comparison.note:
        console.print(Text(f"Items behind them: none shown, {comparison.note}"), end="\n\n")
    else:
        print_table(comparison.items.head(max_rows), title="Items behind them", console=console)


def print_fit(
    summary: Mapping[str, object],
    checks: Iterable[CheckLike],
    abilities: pd.DataFrame,
    items: pd.DataFrame,
    *,
    console: Console,
    max_rows: int = 10,
) -> None:
    """Print what a fit found: its checks, the models by ability, the items by difficulty."""
    made = [f"{_words(name)} {summary[name]}" for name in ("method", "seed") if name in summary]
    size = f"{len(abilities):,} models x {len(items):,} items"
    console.print(Text(", ".join([size, *made])), end="\n\n")
    print_checks(checks, console)
    for frame, by, title in ((abilities, "ability", "Abilities"), (items, "difficulty", "Items, hardest first")):
        columns = [name for name in frame.columns if not str(name).endswith("_sd")]
        ranked = frame.sort_values(by, ascending=False, kind="stable")
        print_table(ranked, title=title, console=console, max_rows=max_rows, columns=columns)


def shorten(text: str, width: int) -> str:
    """Put a label on one line and cut it in the middle, where paths and hashes say least, to `width` characters."""
    text = _one_line(text)
    if len(text) <= width:
        return text
    kept = max(width - 1, 1)
    tail = kept // 2
    return f"{text[: kept - tail]}…{text[len(text) - tail :] if tail else ''}"


def _one_line(text: str) -> str:
    """Replace line breaks by spaces, and what would steer the terminal by a mark."""
    printable = "".join(sign if sign.isprintable() or sign.isspace() else "\N{REPLACEMENT CHARACTER}" for sign in text)
    return " ".join(printable.split())


def _index_columns(shown: pd.DataFrame) -> list[_Column]:
    levels = [shown.index.get_level_values(level) for level in range(shown.index.nlevels)]
    return [
        replace(
            _plain(str(level.name or ""), pd.Series(level)), label=True, numeric=pd.api.types.is_numeric_dtype(level)
        )
        for level in levels
    ]


def _value_columns(shown: pd.DataFrame, wanted: Sequence[str] | None) -> list[_Column]:
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


def _centre(shown: pd.DataFrame, stem: str) -> str | None:
    """Return the column an interval belongs to: of the same name, or the only one that begins with it."""
    if stem in shown:
        return stem
    ends = (LOWER, UPPER)
    longer = [name for name in map(str, shown.columns) if name.startswith(f"{stem}_") and not name.endswith(ends)]
    return longer[0] if len(longer) == 1 else None


def _folded(name: str | None, shown: pd.DataFrame, stem: str) -> _Column:
    """Value and interval, or the interval alone where there is no value."""
    low, high = (shown[f"{stem}{end}"].astype("float64") for end in (LOWER, UPPER))
    form = _fixed(_interval_decimals(float((high - low).median())))
    ends = ["" if pd.isna(a) and pd.isna(b) else f"[{form(a)}, {form(b)}]" for a, b in zip(low, high, strict=True)]
    header = f"{_words(name or stem)} {INTERVAL_HEADER}"
    if name is None:
        return _Column(header, tuple(text or MISSING for text in ends))
    return _Column(header, tuple(form(value) for value in shown[name].astype("float64")), tuple(ends))


def _plain(name: str, values: pd.Series) -> _Column:
    values = values.infer_objects()
    if pd.api.types.is_bool_dtype(values):
        return _Column(
            _words(name), tuple(MISSING if pd.isna(v) else "yes" if v else "no" for v in values), numeric=False
        )
    if pd.api.types.is_numeric_dtype(values):
        form = _number_format(values.astype("float64"))
        return _Column(_words(name), tuple(form(value) for value in values.astype("float64")))
    texts = (
        MISSING if pd.api.types.is_scalar(v) and pd.isna(v) else _one_line(str(v)).replace(";", ", ") for v in values
    )
    return _Column(_words(name), tuple(texts), numeric=False)


def _number_format(values: pd.Series) -> Callable[[float], str]:
    """Whole numbers as they are; others with three digits of the largest, or four of each where all are tiny."""
    finite = values[values.abs() < math.inf]
    if (finite % 1 == 0).all():
        return _fixed(0)
    largest = float(finite.abs().max())
    decimals = max(2 - math.floor(math.log10(largest)), 0)
    if decimals > MOST_DECIMALS["small number"]:
        return _general
    return _fixed(decimals if largest < SMALL else min(decimals, MOST_DECIMALS["number"]))


def _interval_decimals(width: float) -> int:
    """Decimals that show two digits of the width of an interval; two decimals as a rule."""
    if not 0 < width < math.inf:
        return 2
    exact = 1 - math.floor(math.log10(width))
    return min(max(exact + (exact == 1), 0), MOST_DECIMALS["interval"])


def _fixed(decimals: int) -> Callable[[float], str]:
    def form(value: float) -> str:
        if pd.isna(value):
            return MISSING
        text = f"{value:,.{decimals}f}"
        return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text  # no -0.00

    return form


def _general(value: float | None) -> str:
    """Four digits, whole numbers whole."""
    if value is None or pd.isna(value):
        return MISSING
    return f"{value:,.0f}" if abs(value) < math.inf and value % 1 == 0 else f"{value:,.4g}"


def interval_text(value: float, low: float, high: float) -> str:
    """Write an estimate with its interval, as in "0.53 [0.41, 0.62]"."""
    form = _fixed(_interval_decimals(high - low))
    return form(value) if pd.isna(low) else f"{form(value)} [{form(low)}, {form(high)}]"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _with_gap(columns: Sequence[_Column], position: int, text: str) -> list[_Column]:
    """Insert a row that holds only a text, in the first column."""

    def spread(cells: tuple[str, ...], new: str) -> tuple[str, ...]:
        return (*cells[:position], new, *cells[position:]) if cells else cells

    return [
        replace(column, cells=spread(column.cells, text if place == 0 else ""), below=spread(column.below, ""))
        for place, column in enumerate([replace(columns[0], least=len(text)), *columns[1:]])
    ]


def _fit_width(columns: Sequence[_Column], width: int) -> tuple[list[_Column], list[str]]:
    """Stack intervals, then leave columns out, numbers at the right first, until the table fits; headers left out."""
    kept, left_out = list(columns), []
    if _least_width(kept) > width:
        kept = [replace(column, stacked=True) for column in kept]
    while len(kept) > 1 and _least_width(kept) > width:
        numbers = [place for place, column in enumerate(kept) if column.numeric and place > 0]
        left_out.append(kept.pop(numbers[-1] if len(numbers) > 1 else -1).header)
    return kept, left_out[::-1]


def _least_width(columns: Sequence[_Column]) -> int:
    widths = [column.width if column.numeric else min(column.width, column.least) for column in columns]
    return sum(widths) + GAP * (len(columns) - 1)


def _rich_table(columns: Sequence[_Column], width: int) -> Table:
    """Build the table; what the numbers leave of the width is shared by the texts, the longest being cut first."""
    room = width - GAP * (len(columns) - 1)
    limit = max(column.width for column in columns)
    while limit > 1 and sum(_size(column, limit) for column in columns) > room:
        limit -= 1
    table = _empty_table()
    cells = []
    for column in columns:
        size = _size(column, limit)
        justify: Literal["left", "right"] = "right" if column.numeric else "left"
        table.add_column(Text(column.header), justify=justify, width=size, overflow="fold")
        cells.append([_cell(line, column, size) for line in column.lines])
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    return table


def _size(column: _Column, limit: int) -> int:
    return column.width if column.numeric else min(column.width, max(limit, column.least))


def _cell(line: str, column: _Column, size: int) -> Text:
    if column.numeric:
        return Text(line)
    return Text(shorten(line, size) if column.label else " ".join(shorten(word, size) for word in line.split(" ")))


def _empty_table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="")
