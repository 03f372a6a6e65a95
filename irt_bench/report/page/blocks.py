"""What a page is made of: sections that answer one question each, blocks of a figure with its table.

Figures as SVG inside the page: the colours are the page's, in light and dark, and letters are letters.

Matplotlib draws them, once for a desktop and once for a phone: one file with Plotly's script would be 4.8 MB before any
data, in colours of its own, and could not be printed in both.

Tables of the page: a frame as headers and cells, and as a CSV file to download that lies in the page itself.
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from irt_bench.files import without_formulas
from irt_bench.report.figures import canvas
from irt_bench.report.page.folders import KINDS
from irt_bench.report.tables.text import index_columns, value_columns

DESKTOP, PHONE = 7.6, 3.75  # inches
COLOURS: Final = {  # of figures → variables of the page
    colour.lower(): name
    for colour, name in (
        (canvas.INK, "ink"), ("#000000", "ink"), (canvas.GREY, "grey"), (canvas.PALE, "pale"), ("#ececec", "grid"),
        ("#ffffff", "card"), (canvas.BLUE, "blue"), (canvas.SKY, "sky"), (canvas.GREEN, "green"),
        (canvas.ORANGE, "orange"), (canvas.VERMILION, "vermilion"), (canvas.PURPLE, "purple"),
    )
}  # fmt: skip
_DIGITS: Final = re.compile(r"(\d+\.\d{2})\d+")  # the eye sees hundredths of a point at best


class Drawing(NamedTuple):
    """A figure as SVG, for wide and for narrow pages."""

    wide: str
    narrow: str


def draw(figure: Callable[[], Figure], name: str) -> Drawing:
    """Draw a figure for the page.

    Parameters
    ----------
    figure : callable
        Draws it; called once for each width.
    name : str
        Plain letters; ids in the SVG begin with it.
    """
    svg = []
    for kind, width in (("wide", DESKTOP), ("narrow", PHONE)):
        with canvas.on_page(width):
            svg.append(inline_svg(figure(), f"{name}-{kind}-"))
    return Drawing(*svg)


def inline_svg(figure: Figure, prefix: str) -> str:
    """Write a figure as an SVG element for a page; its ids begin with `prefix`, its style comes from the page."""
    target = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)  # a label in another script
        figure.savefig(target, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    root = ElementTree.fromstring(target.getvalue())  # noqa: S314 - Matplotlib wrote it
    for parent in list(root.iter()):
        for child in [each for each in parent if each.tag.endswith("}style")]:
            parent.remove(child)  # it would hold for the whole page
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = {_local(name): _attribute(_local(name), value, prefix) for name, value in element.items()}
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img"}
    return ElementTree.tostring(root, encoding="unicode")


def _local(name: str) -> str:
    """Name without its namespace."""
    return name.rpartition("}")[2]


def _attribute(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return prefix + value
    if name == "href":
        return value.replace("#", f"#{prefix}", 1) if value.startswith("#") else value  # an image lies in the file
    return _DIGITS.sub(r"\1", value.replace("url(#", f"url(#{prefix}"))


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


@dataclass(frozen=True)
class Block:
    """A figure, or none, with its table.

    Parameters
    ----------
    name : str
        Plain letters: ids and file names begin with it.
    title, caption : str
        What is shown, and how to read it.
    table : HtmlTable
        The numbers.
    drawing : Drawing, optional
        The figure.
    opened : bool
        Whether the table is open from the start.
    """

    name: str
    title: str
    caption: str
    table: HtmlTable
    drawing: Drawing | None = None
    opened: bool = False


@dataclass(frozen=True)
class Section:
    """One question and its answer.

    Parameters
    ----------
    name, question : str
        Id in the page, and the heading.
    sentences : sequence of str
        Conclusions, the weightiest first.
    blocks : sequence of Block
        Figures and tables.
    missing : sequence of str
        Kinds of parts that were not given.
    notes : sequence of str
        What was left out, or how to read all of it.
    items : mapping, optional
        Data of the table of items, in which one can be chosen.
    """

    name: str
    question: str
    sentences: Sequence[str] = ()
    blocks: Sequence[Block] = ()
    missing: Sequence[str] = ()
    notes: Sequence[str] = ()
    items: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def commands(self) -> list[str]:
        """Commands that make what is missing."""
        return [KINDS[kind].command for kind in self.missing]


def figure_block(
    name: str,
    title: str,
    caption: str,
    frame: pd.DataFrame,
    figure: Callable[[], Figure],
    *,
    columns: list[str] | None = None,
    whole: str = "",
) -> Block:
    """Make a block of a figure and the table it shows."""
    return Block(name, title, caption, html_table(frame, columns=columns, whole=whole), draw(figure, name))
