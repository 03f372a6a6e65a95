"""What a page is made of: sections that answer one question each, blocks of a figure with its table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from irt_bench.report.page.drawing import Drawing, draw
from irt_bench.report.page.folders import KINDS
from irt_bench.report.page.html_tables import HtmlTable, html_table


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
