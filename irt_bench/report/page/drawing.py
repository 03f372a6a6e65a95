"""Figures as SVG inside the page: the colours are the page's, in light and dark, and letters are letters.

Matplotlib draws them, once for a desktop and once for a phone: one file with Plotly's script would be 4.8 MB before any
data, in colours of its own, and could not be printed in both.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import Final, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from irt_bench.report import canvas

DESKTOP, PHONE = 7.6, 3.75  # inches
COLOURS: Final = {
    canvas.INK: "ink",
    "#000000": "ink",
    canvas.GREY: "grey",
    canvas.PALE: "pale",
    "#ECECEC": "grid",
    "#ffffff": "card",
    canvas.BLUE: "blue",
    canvas.SKY: "sky",
    canvas.GREEN: "green",
    canvas.ORANGE: "orange",
    canvas.VERMILION: "vermilion",
    canvas.PURPLE: "purple",
}
_BEFORE: Final = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA: Final = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", re.DOTALL)
_NAMESPACES: Final = re.compile(r' (?:xmlns(?::xlink)?|width|height|version)="[^"]*"')
_IDS: Final = re.compile(r'( id="|xlink:href="#|url\(#)')  # not images, which lie in the file as data
_TURNED_BY_NOTHING: Final = re.compile(r' transform="rotate\(-?0(?:\.0)? [^)]*\)"')
_DIGITS: Final = re.compile(r"(\d+\.\d{2})\d+")


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
    """Write a figure as an SVG element for a page: its ids begin with `prefix`, its colours are variables."""
    target = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)  # a label in another script
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    text = _METADATA.sub("", _BEFORE.sub("", target.getvalue(), count=1))
    head, body = text.split(">", 1)
    body = _IDS.sub(rf"\g<1>{prefix}", body)
    body = _TURNED_BY_NOTHING.sub("", body)
    body = body.replace("font-family: 'DejaVu Sans'; ", "").replace("; font-family: 'DejaVu Sans'", "")
    parts = re.split(r"(<text.*?</text>)", body, flags=re.DOTALL)  # labels stay as they are, but for their style
    return _NAMESPACES.sub("", head) + ' role="img">' + "".join(map(_themed, parts))


def _themed(part: str) -> str:
    """Replace colours by variables of the page, and cut digits that no eye sees; texts keep their letters."""
    style, close, label = (*part.partition(">"),) if part.startswith("<text") else (part, "", "")
    for colour, variable in COLOURS.items():
        style = re.sub(rf"(: ?){colour}\b", rf"\1var(--{variable}, {colour.lower()})", style, flags=re.IGNORECASE)
    if not label:
        style = re.sub(r"\s*\n\s*", " ", style)
    return _DIGITS.sub(r"\1", style) + close + label
