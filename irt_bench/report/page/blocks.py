"""Parts of a page: sections that answer one question each, figures with their tables, and tables with a download.

Figures are SVG inside the page, drawn by Matplotlib once for a desktop and once for a phone: one file with Plotly's
script would have 4.8 MB before any data. The page restyles their colours and letters by CSS, in light, dark and print.
Each table can be downloaded as a CSV file that the page contains.
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple
from xml.etree import ElementTree

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from irt_bench.files import without_formulas
from irt_bench.report.figures import canvas
from irt_bench.report.page.folders import KINDS
from irt_bench.report.tables.text import index_columns, value_columns

DESKTOP, PHONE = 7.6, 3.75  # inches
_prefix: ContextVar[str] = ContextVar("prefix", default="")


@contextmanager
def named_from(prefix: str) -> Iterator[None]:
    """Let the names of blocks made now begin with a prefix: a page with several chapters has each name once."""
    token = _prefix.set(prefix)
    try:
        yield
    finally:
        _prefix.reset(token)


COLOURS: Final = {  # of figures → variables of the page
    colour.lower(): name
    for colour, name in (
        (canvas.INK, "ink"), ("#000000", "ink"), (canvas.GREY, "grey"), (canvas.PALE, "pale"), ("#ececec", "grid"),
        ("#ffffff", "card"), (canvas.BLUE, "blue"), (canvas.SKY, "sky"), (canvas.GREEN, "green"),
        (canvas.ORANGE, "orange"), (canvas.VERMILION, "vermilion"), (canvas.PURPLE, "purple"),
    )
}  # fmt: skip
_DIGITS: Final = re.compile(r"(\d+\.\d{2})\d+")  # the eye sees hundredths of a point at best


class PageFigure(NamedTuple):
    """A figure as SVG, for wide and for narrow pages."""

    wide: str
    narrow: str


def draw(figure: Callable[[], Figure], name: str) -> PageFigure:
    """Draw a figure for the page.

    Parameters
    ----------
    figure : callable
        Draws it; called once per width.
    name : str
        Letters and digits; ids in the SVG begin with it.
    """
    svg = []
    for kind, width in (("wide", DESKTOP), ("narrow", PHONE)):
        with canvas.on_page(width):
            svg.append(inline_svg(figure(), f"{name}-{kind}-"))
    return PageFigure(*svg)


def inline_svg(figure: Figure, prefix: str) -> str:
    """Write a figure as an SVG element for a page; its ids begin with `prefix`, its style comes from the page."""
    target = io.StringIO()
    texts = {f"texts-{place}": (points, own) for place, (points, own) in enumerate(canvas.texts_of(figure).items())}
    for name, (points, _) in texts.items():
        points.set_gid(name)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)  # a label in another script
        # `savefig` would draw all of it twice, first to lay it out.
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(target, metadata=metadata)  # type: ignore[no-untyped-call]
    root = ElementTree.fromstring(target.getvalue())  # noqa: S314 - Matplotlib wrote it
    for group in root.iter():
        if group.get("id") in texts:
            _add_texts(group, texts[group.get("id", "")][1])
    for parent in list(root.iter()):
        for child in [each for each in parent if each.tag.endswith("}style")]:
            parent.remove(child)  # it would hold for the whole page
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = {_local(name): _attribute(_local(name), value, prefix) for name, value in element.items()}
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img"}
    return ElementTree.tostring(root, encoding="unicode")


def _add_texts(group: ElementTree.Element, texts: Sequence[str]) -> None:
    """Give each drawn point the text that a browser shows beside the pointer; none where a point was not drawn."""
    points = [each for each in group.iter() if _local(each.tag) == "use"]
    for point, text in zip(points, texts, strict=False) if len(points) == len(texts) else ():
        ElementTree.SubElement(point, "title").text = text


def _local(name: str) -> str:
    """Name without its namespace."""
    return name.rpartition("}")[2]


def _attribute(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return prefix + value
    if name == "href":
        return value.replace("#", f"#{prefix}", 1) if value.startswith("#") else value  # an image lies in the file
    return _DIGITS.sub(r"\1", value.replace("url(#", f"url(#{prefix}"))


MAX_ROWS: Final = 120
MAX_BYTES: Final = 200_000  # of a download
Printed = Literal["whole", "figure", "nothing"]
MAX_HALF_WIDTH: Final = 4  # columns of a table that has room on half of a printed page


@dataclass(frozen=True)
class HtmlTable:
    """Cells of a table as text; the template escapes them.

    Parameters
    ----------
    headers : tuple of str
        One per column.
    numeric : tuple of bool
        Whether each column has numbers.
    rows : tuple of rows
        Each is a tuple of (text, rest); the rest is the interval, in small type.
    note : str
        Rows that the table leaves out.
    csv : str
        A data URI.
    csv_note : str
        Rows that the file leaves out.
    """

    headers: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[tuple[str, str], ...], ...]
    note: str
    csv: str
    csv_note: str


def html_table(frame: pd.DataFrame, *, columns: list[str] | None = None, whole: str = "") -> HtmlTable:
    """Make a table of the first rows of a frame with its index.

    Parameters
    ----------
    frame : pd.DataFrame
        With a named index.
    columns : list of str, optional
        Columns shown, with their intervals; the download has all.
    whole : str
        File with all rows, named if some are left out.
    """
    shown = frame.head(MAX_ROWS)
    texts = [*index_columns(shown), *value_columns(shown, columns)]
    cells = [list(zip(column.cells, column.below or [""] * len(shown), strict=True)) for column in texts]
    elsewhere = f"; {whole} has all" if whole else ""
    note = f"First {MAX_ROWS:,} of {len(frame):,} rows{elsewhere}." if len(frame) > MAX_ROWS else ""
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
    """Write the first rows, as many as the page has room for, as CSV in a data URI."""
    frame, kept = without_formulas(frame), len(frame)
    text = frame.to_csv(float_format="%.6g").encode()
    if len(text) > MAX_BYTES:
        kept = max(int(kept * MAX_BYTES / len(text)), 1)
        text = frame.head(kept).to_csv(float_format="%.6g").encode()
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(text).decode()}", kept


@dataclass(frozen=True)
class FigureBlock:
    """A table, with its figure if there is one.

    Parameters
    ----------
    name : str
        Letters and digits; ids and file names begin with it.
    title, caption : str
        Heading, and how to read the figure.
    table : HtmlTable
        The numbers.
    drawing : PageFigure, optional
        The figure.
    opened : bool
        Whether the table is open at first.
    printed : {"whole", "figure", "nothing"}
        What of it is printed; of the table the first rows.
    """

    name: str
    title: str
    caption: str
    table: HtmlTable
    drawing: PageFigure | None = None
    opened: bool = False
    printed: Printed = "whole"

    @property
    def kind(self) -> str:
        """Classes of the page's style: what is printed, and how wide."""
        slim = self.drawing is not None and len(self.table.headers) <= MAX_HALF_WIDTH
        kinds = {"wide-table": not slim, "table-only": self.drawing is None}
        return " ".join([f"print-{self.printed}", *(kind for kind, holds in kinds.items() if holds)])


@dataclass(frozen=True)
class PageSection:
    """One question and its answer.

    Parameters
    ----------
    name, question : str
        Id in the page, and the heading.
    sentences : sequence of str
        Conclusions, the most important first.
    blocks : sequence of FigureBlock
        Figures and tables.
    missing : sequence of str
        Kinds of results that were not given.
    notes : sequence of str
        What was left out, or how to read the section.
    items : mapping, optional
        Data of the table in which an item can be chosen.
    """

    name: str
    question: str
    sentences: Sequence[str] = ()
    blocks: Sequence[FigureBlock] = ()
    missing: Sequence[str] = ()
    notes: Sequence[str] = ()
    items: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.sentences or self.blocks or self.notes or self.items)

    @property
    def commands(self) -> list[str]:
        """Commands that write the missing results."""
        return [KINDS[kind].command for kind in self.missing]


class PageChapter(NamedTuple):
    """Sections of one benchmark, where a page has several; ids in it begin with the prefix."""

    prefix: str
    title: str
    facts: Sequence[str]
    sections: Sequence[PageSection]
    notes: Sequence[str]


def table_block(name: str, title: str, caption: str, table: HtmlTable, *, opened: bool = True) -> FigureBlock:
    """Make a block of a table alone."""
    return FigureBlock(_prefix.get() + name, title, caption, table, opened=opened)


def figure_block(
    name: str,
    title: str,
    caption: str,
    frame: pd.DataFrame,
    figure: Callable[[], Figure],
    *,
    columns: list[str] | None = None,
    whole: str = "",
    printed: Printed = "whole",
) -> FigureBlock:
    """Make a block of a figure and its table."""
    table, name = html_table(frame, columns=columns, whole=whole), _prefix.get() + name
    return FigureBlock(name, title, caption, table, draw(figure, name), printed=printed)
