"""What all figures share: style, colours, saving, and marks.

Figures are 1200 pixels wide. Colour-blind readers can tell the colours apart (Okabe, Ito, Color universal design,
2008): models are blue, items vermilion, curves of the whole benchmark green.
"""

from __future__ import annotations

import functools
import io
import math
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, ParamSpec, TypedDict
from weakref import WeakKeyDictionary

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from irt_bench.arrays import FloatArray
from irt_bench.errors import OutputError, unknown_choice
from irt_bench.files import replacing
from irt_bench.report.tables.text import shorten
from irt_bench.workers import Workers, run_all

Drawing = tuple[Callable[[], Figure], Path]  # a figure, and the file that it goes to
P = ParamSpec("P")

BLUE, SKY, GREEN, ORANGE = "#0072B2", "#56B4E9", "#009E73", "#E69F00"
VERMILION, PURPLE, INK, GREY, PALE = "#D55E00", "#CC79A7", "#222222", "#8C8C8C", "#CFCFCF"
SIZES: Final = (2.0, 20.0)  # inches of a figure, the least and the most
WIDTH: Final = 8.0  # inches: 1200 pixels at 150 dots an inch
STYLE: Final[dict[str, Any]] = {
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "font.family": "DejaVu Sans",  # comes with Matplotlib: the same glyphs on every machine
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # otherwise each drawing measures all ticks, to move titles above them
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#ECECEC",
    "text.color": INK,
    "text.parse_math": False,  # labels may contain dollar signs
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.hashsalt": "irt-bench",  # otherwise ids in SVG change with each drawing
    "svg.fonttype": "path",
    "pdf.fonttype": 42,  # letters stay letters
}
TITLE: Final[dict[str, Any]] = {"x": 0.01, "ha": "left", "size": 11.5, "weight": "bold"}
TITLE_CHARACTERS: Final = 78  # per line of the title
SMALL_SIZE: Final = 7.5
FORMATS: Final[dict[str, dict[str, None]]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
NARROW: Final = 5.0  # inches; narrower figures are for phones
MAX_INTERVALS: Final = 300  # points drawn with intervals; more would hide one another
MANY_FIGURES: Final = 60  # from more on, processes draw them, which take as long to start as 20
MANY_POINTS: Final = 2000  # from this number on, points are faint, and pixels in SVG
LABEL_CHARACTERS: Final = 34
LABEL_GAP: Final = 0.045  # between labels, as a share of the height of the axes
MAX_TICKS: Final = 6  # decades of a logarithmic axis that are marked
MANY_MARKS: Final = 300  # from this number on, marks at the edge of the axes are faint
LEADER: Final[dict[str, Any]] = {"arrowstyle": "-", "color": GREY, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 2}
LABEL_DISTANCE: Final = 0.025  # from a point to its label, as a share of the width


def check_figure_format(path: Path) -> None:
    """Refuse a file name without the ending of a format, before anything is computed.

    Raises
    ------
    OutputError
        With the known formats.
    """
    if path.suffix.lower() not in FORMATS:
        raise OutputError(unknown_choice("figure format", path.suffix, FORMATS))


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, SVG or PDF; the same figure gives the same bytes.

    Raises
    ------
    OutputError
        If the ending is unknown, or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from irt_bench import item_analysis, load_example, save_figure
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_figure(item_analysis(load_example("benchmark")).plot(), Path(folder) / "items.svg")
    """
    path = Path(path)
    suffix = path.suffix.lower()
    check_figure_format(path)
    with _style(), replacing(path) as beside, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)  # a label in another script
        if (layout := figure.get_layout_engine()) is not None:
            layout.execute(figure)
            figure.set_layout_engine(None)  # as in `_style`: laying out again would move everything a little
        png: dict[str, Any] = {"pil_kwargs": {"compress_level": 2}} if suffix == ".png" else {}  # twice as fast as 6
        figure.savefig(beside, format=suffix.removeprefix("."), metadata=FORMATS[suffix], **png)


def save_figures(drawings: Sequence[Drawing]) -> None:
    """Draw and write figures, each as `save_figure` does; worker processes share the work where there is much of it."""
    if len(drawings) <= MANY_FIGURES:
        _draw_and_save(drawings)
    else:
        n_parts = Workers(jobs=-1).count
        run_all(_draw_and_save, [(drawings[part::n_parts],) for part in range(n_parts)], Workers(jobs=n_parts))


def _draw_and_save(drawings: Sequence[Drawing]) -> None:
    for draw, path in drawings:
        save_figure(draw(), path)


def log_scale(axes: Axes, which: Literal["x", "y", "both"] = "x") -> None:
    """Logarithmic scale with 1, 2 and 5 of each decade in plain numbers; drawing ticks between them takes long."""
    for name in ("x", "y") if which == "both" else (which,):
        axes.set(**{f"{name}scale": "log"})
        axis = axes.xaxis if name == "x" else axes.yaxis
        axis.set_major_locator(_LogLocatorInView(subs=(1, 2, 5), numticks=MAX_TICKS))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.set_minor_locator(NullLocator())


class _LogLocatorInView(LogLocator):
    """Logarithmic ticks, of which those outside the axes are not made: each takes a millisecond."""

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        low, high = sorted((vmin, vmax))
        return [tick for tick in super().tick_values(vmin, vmax) if low <= tick <= high]


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the style of this module; the settings of the caller have no effect and do not change."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with _style():
            return draw(*args, **kwargs)

    return drawn


def _style() -> AbstractContextManager[None]:
    """Matplotlib's defaults with `STYLE`; the backend stays."""
    defaults = {name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith("backend")}
    return mpl.rc_context(defaults | STYLE)


class FigureLook(TypedDict, total=False):
    """Size and title of a figure, as every `plot` takes them: `width` alone, or `figsize`; and `title`."""

    width: float | None
    figsize: tuple[float, float] | None
    title: str | None


class _Frame(NamedTuple):
    """Width of the figures drawn now, and a title in place of their own; "" is none."""

    width: float = WIDTH
    title: str | None = None


_frame: ContextVar[_Frame] = ContextVar("frame", default=_Frame())  # noqa: B039 - immutable


@contextmanager
def on_page(width: float, title: str | None = "") -> Iterator[None]:
    """Draw figures of a width in inches and without titles, which the page writes."""
    token = _frame.set(_Frame(width, title))
    try:
        yield
    finally:
        _frame.reset(token)


def with_look(
    draw: Callable[[], Figure],
    *,
    width: float | None = None,
    figsize: tuple[float, float] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw a figure of a size and with a title.

    Parameters
    ----------
    draw : callable
        Draws it.
    width : float, optional
        Width in inches; such a figure has no title of its own, as a caption says it.
    figsize : (float, float), optional
        Width and height in inches.
    title : str, optional
        In place of the title that states the finding; "" for none.

    Raises
    ------
    OutputError
        If a size is out of range, or both are given.
    """
    if width is not None and figsize is not None:
        raise OutputError("width and figsize were given; one of them is needed.")
    check_size("width", *([] if width is None else [width]))
    check_size("figsize", *(figsize or ()))
    wide = width if figsize is None else figsize[0]
    with on_page(WIDTH if wide is None else wide, "" if title is None and width is not None else title):
        figure = draw()
    if title and not figure.get_suptitle():  # drawn by ArviZ
        figure.suptitle(title, **TITLE)
    if figsize is not None:
        figure.set_size_inches(figsize)
    return figure


def check_size(name: str, *inches: float) -> None:
    """Refuse a figure that nobody could read or print."""
    for value in inches:
        if not SIZES[0] <= value <= SIZES[1]:
            raise OutputError(f"{name} is {value:g}; a size in inches from {SIZES[0]:g} to {SIZES[1]:g} is needed.")


def page_width() -> float:
    """Width of figures drawn now, in inches."""
    return _frame.get().width


def narrow() -> bool:
    """Whether figures are drawn for a narrow page now."""
    return page_width() < NARROW


class NotebookFigure(Figure):
    """A figure that a notebook shows, whether or not Pyplot was imported there."""

    def _repr_png_(self) -> bytes:
        target = io.BytesIO()
        with _style(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)  # a label in another script
            self.savefig(target, format="png")
        return target.getvalue()


def new_figure(height: float, title: str) -> Figure:
    """Empty figure of the common width with a title; on a page, of its width and without a title."""
    width, own = _frame.get()
    figure = NotebookFigure(figsize=(width, height), layout="constrained")
    text = title if own is None else own
    if text:
        characters = max(int(TITLE_CHARACTERS * width / WIDTH), 10)
        n_lines = math.ceil(len(text) / characters)
        wrapped = textwrap.fill(text, min(len(text) // n_lines + 8, characters))
        figure.suptitle(wrapped, **TITLE)
    return figure


def point_style(n: int, *, faint: bool = True) -> dict[str, Any]:
    """Size and opacity of n points; of many points, those that are not `faint` stand out."""
    many = n > MANY_POINTS
    size = float(np.clip(6000 / max(n, 1), 5 if faint else 9, 26))
    return {"s": size, "alpha": 0.35 if many and faint else 0.85, "linewidths": 0, "rasterized": many}


def padded(values: npt.NDArray[np.generic], share: float) -> tuple[float, float]:
    """Limits of the finite values with a margin at both ends."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    room = share * (high - low) if high > low else 0.5
    return low - room, high + room


def clear_legend(legend: Legend) -> None:
    """Show the marks of a legend large and opaque."""
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_alpha(1.0)
            handle.set_sizes([30.0])


def label_rows(
    axes: Axes, labels: Sequence[str], *, size: float | None = SMALL_SIZE, room: int = 0, line_below: int = 0
) -> None:
    """Name rows at 0, 1, ... from the top, in at least `room`; a dashed line is drawn below the first `line_below`."""
    axes.set_yticks(np.arange(len(labels)), labels, size=size)
    axes.set_ylim(max(len(labels), room) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    if line_below:
        axes.axhline(line_below - 0.5, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))


def band(axes: Axes, frame: pd.DataFrame, name: str, label: str | None = None) -> None:
    """Draw a curve over the index with its interval, from columns `name`, `name`_q05 and `name`_q95."""
    x = frame.index.to_numpy(dtype=np.float64)
    axes.fill_between(x, frame[f"{name}_q05"], frame[f"{name}_q95"], color=GREEN, alpha=0.25, linewidth=0)
    axes.plot(x, frame[name], color=GREEN, linewidth=1.6, label=label, zorder=4)


def rug(axes: Axes, values: FloatArray, label: str) -> None:
    """Mark abilities of models at the lower edge."""
    style: dict[str, Any] = {"s": 60, "linewidths": 0.8, "alpha": 0.8 if len(values) < MANY_MARKS else 0.15}
    at_edge = axes.get_xaxis_transform()
    axes.scatter(values, np.zeros(len(values)), marker="|", color=BLUE, transform=at_edge, label=label, **style)


_texts: WeakKeyDictionary[PathCollection, list[str]] = WeakKeyDictionary()


def with_texts(points: PathCollection, texts: Sequence[str]) -> None:
    """Give each point a text, in the order of the points, which a page shows beside the pointer."""
    _texts[points] = list(texts)


def texts_of(figure: Figure) -> dict[PathCollection, list[str]]:
    """Points of a figure that have texts."""
    return {points: _texts[points] for points in figure.findobj(PathCollection) if points in _texts}


def name_points(
    axes: Axes, x: FloatArray, y: FloatArray, labels: Sequence[object] | pd.Index, *, below: float = 0.0
) -> None:
    """Write labels beside points, towards the middle of the axes, stacked where they would overlap.

    Parameters
    ----------
    axes : Axes
        With its final limits.
    x, y : arrays of shape (point,)
        Coordinates of the points.
    labels : sequence of length point
        Long ones are shortened.
    below : float
        How much lower than its point a label is on the left half (on the right half: higher), as a share of the
        height, so that labels avoid a cloud that rises from left to right.
    """
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    across, up = (x - left) / (right - left), (y - low) / (high - low)
    written = [shorten(str(label), LABEL_CHARACTERS) for label in labels]
    for on_right in (True, False):  # of its point
        places = np.flatnonzero((across < 0.55) == on_right)
        direction = -1 if on_right and below else 1
        beside = _stack(across[places], up[places] + direction * below, direction, on_right=on_right)
        for place, text in zip(places.tolist(), beside, strict=True):
            axes.annotate(
                written[place],
                xy=(x[place], y[place]),
                xytext=text,
                textcoords="axes fraction",
                ha="left" if on_right else "right",
                va="center",
                size=SMALL_SIZE,
                zorder=5,
                bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.8},
                arrowprops=LEADER | {"relpos": (0 if on_right else 1, 0.5)},
            )


def _stack(across: FloatArray, up: FloatArray, direction: int, *, on_right: bool) -> list[tuple[float, float]]:
    """Positions of labels as shares of the axes; those that would touch are stacked in one column."""
    order = np.argsort(direction * up, kind="stable")
    heights = np.clip(up, 0.02, 0.98)
    columns = across + (LABEL_DISTANCE if on_right else -LABEL_DISTANCE)
    group: list[int] = []
    for place in order.tolist():
        if group and direction * (heights[place] - heights[group[-1]]) < LABEL_GAP:
            heights[place] = heights[group[-1]] + direction * LABEL_GAP
            group.append(place)
            columns[group] = columns[group].max() if on_right else columns[group].min()
        else:
            group = [place]
    edge = 0.02 if direction < 0 else 0.98  # a stack that left the axes is pushed back
    for place in order[::-1].tolist():
        heights[place] = max(heights[place], edge) if direction < 0 else min(heights[place], edge)
        edge = heights[place] - direction * LABEL_GAP
    return list(zip(columns.tolist(), heights.tolist(), strict=True))
