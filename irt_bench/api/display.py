"""How results show themselves: a line as text, tables in a notebook, figures by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final, Unpack

import numpy as np
import pandas as pd
import xarray as xr

from irt_bench import names
from irt_bench.analysis.curves import expected_score_curve, observed_shares, outcome_curves, success_curves
from irt_bench.analysis.labelled_draws import groups_of_models
from irt_bench.errors import AnalysisError, FitError, OutputError, unknown_choice
from irt_bench.files import check_output, replacing_folder
from irt_bench.irt_models.model import SCORE_MODEL
from irt_bench.report import figures
from irt_bench.report.tables.text import TableColumn, general, index_columns, value_columns, words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from irt_bench.api.fit import Fit
    from irt_bench.report.figures import FigureLook
    from irt_bench.responses.canonical import Responses

ABILITIES: Final = np.linspace(-4, 4, 81)  # where curves are evaluated
N_CURVES: Final = 4  # items drawn where none are named
MAX_ROWS: Final = 8  # of a table in a notebook
CHECK_COLUMNS: Final = ("status", "value", "fails_if", "message")


def draw(kind: str, kinds: Mapping[str, Callable[[], Figure]], **look: Unpack[FigureLook]) -> Figure:
    """Draw the figure of a name, of the size and with the title that `look` says.

    Raises
    ------
    OutputError
        If no figure has this name, or a size is out of range.
    """
    if kind not in kinds:
        raise OutputError(unknown_choice("figure", kind, kinds))
    return figures.with_look(kinds[kind], **look)


def html_checks(table: pd.DataFrame, title: str) -> str:
    """Write a table of checks, those that failed first; each number with digits of its own."""
    order = table["status"].map({"failed": 0, "passed": 1}).fillna(2).sort_values(kind="stable").index
    numbers = {name: table[name].map(general) for name in ("value", "threshold")}
    return html_frame(table.assign(**numbers).loc[order], title, CHECK_COLUMNS)


def notebook_html(heading: str, *parts: str) -> str:
    """Put parts below a heading; the heading is text."""
    return f"<div><strong>{escape(heading)}</strong>{''.join(parts)}</div>"


def html_lines(lines: Iterable[str]) -> str:
    """Write lines of text below each other."""
    return "".join(f"<div>{escape(line)}</div>" for line in lines)


def html_frame(frame: pd.DataFrame, title: str, columns: Iterable[str] | None = None) -> str:
    """Write the first rows of a frame with its index: intervals beside what they belong to, labels as text."""
    shown = frame.head(MAX_ROWS).dropna(axis=1, how="all")
    if "estimate" in shown:
        shown = shown.rename(columns={"q05": "estimate_q05", "q95": "estimate_q95"})
    chosen = None if columns is None else [name for name in columns if name in shown]
    parts = [*index_columns(shown), *value_columns(shown, chosen)]
    rows = "".join(f"<tr>{''.join(cells)}</tr>" for cells in zip(*map(_cells, parts), strict=True))
    head = "".join(f'<th style="{_style(part)}">{escape(part.header)}</th>' for part in parts)
    more = f"<div>... {len(frame) - MAX_ROWS:,} more rows</div>" if len(frame) > MAX_ROWS else ""
    caption = f'<caption style="text-align:left;caption-side:top">{escape(title)}</caption>'
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"


@contextmanager
def saved_folder(folder: str | Path) -> Iterator[Path]:
    """Yield a folder to fill, and put it in place if the block succeeds; one of other files is refused."""
    check_output(Path(folder), force=True, folder=True)
    with replacing_folder(Path(folder)) as path:
        yield path


def _cells(column: TableColumn) -> list[str]:
    lines = (words_of(line) if not column.label and not column.numeric else line for line in column.lines)
    return [f'<td style="{_style(column)}">{escape(line)}</td>' for line in lines]


def plural(n: int, noun: str) -> str:
    """Write a number with its noun."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def words_of(text: str) -> str:
    """Names such as ``not_applicable`` as words; other text as it is."""
    return words(text) if text.isidentifier() else text


def _style(column: TableColumn) -> str:
    return f"text-align:{'right' if column.numeric else 'left'};padding:1px 8px"


def figures_of(
    fitted: Fit, items: Sequence[str] | None, responses: Responses | None = None
) -> dict[str, Callable[[], Figure]]:
    """Figures that a fit has, by name; curves of some items, scores of the models of some responses."""
    scores = {"scores": partial(_scored_figure, fitted, responses)}
    if names.DIMENSION in fitted.posterior.dims:
        return profile_figures(fitted) | scores
    kinds = ability_figures(fitted, items) | scores
    if SCORE_MODEL in fitted.posterior.attrs:
        kinds = {name: kinds[name] for name in ("fit", "abilities", "ranks", "items", "wright", "trace", "scores")}
        kinds["curves"] = partial(_outcomes_figure, fitted, items)
        kinds["raters"] = lambda: figures.raters_figure(fitted.raters())
    return kinds


def _scored_figure(fitted: Fit, responses: Responses | None) -> Figure:
    """Draw the abilities of new models."""
    if responses is None:
        raise FitError("the figure 'scores' needs the answers of the new models; give responses=.")
    return figures.scored_figure(fitted.score(responses), "the items of the fit")


def _outcomes_figure(fitted: Fit, items: Sequence[str] | None) -> Figure:
    """Draw the chances of scores of some items, of those named or of a few."""
    chosen = posterior_of_items(fitted.posterior, _some_items(fitted, items))
    return figures.outcomes_figure(outcome_curves(chosen, ABILITIES), fitted.abilities()["ability"])


def _some_items(fitted: Fit, items: Sequence[str] | None) -> Sequence[str]:
    """Items that are named, or a few from the easiest to the hardest."""
    if items is not None:
        return items
    order = fitted.items()["difficulty"].sort_values().index
    return list(order[np.unique(np.linspace(0, len(order) - 1, N_CURVES).round().astype(int))])


def profile_figures(fitted: Fit) -> dict[str, Callable[[], Figure]]:
    """Figures of a fit with several abilities, by name."""
    kinds = dict.fromkeys(("fit", "loadings"), lambda: figures.loadings_figure(fitted.loadings()))
    return {**kinds, "trace": lambda: figures.posterior_figure(fitted.posterior)}


def ability_figures(fitted: Fit, items: Sequence[str] | None) -> dict[str, Callable[[], Figure]]:
    """Figures of a fit with one ability, by name; curves of some items."""
    return {
        "fit": lambda: figures.fit_figure(fitted.abilities(), fitted.items()),
        "abilities": lambda: figures.abilities_figure(fitted.abilities()),
        "ranks": lambda: figures.ranks_figure(fitted.abilities()),
        "items": lambda: figures.parameters_figure(fitted.items(), fitted.abilities()["ability"]),
        "wright": lambda: figures.wright_map(fitted.abilities()["ability"], fitted.items()["difficulty"]),
        "information": lambda: figures.information_figure(fitted.information(), fitted.abilities()["ability"]),
        "curves": partial(_curves_figure, fitted, items),
        "populations": lambda: figures.populations_figure(
            fitted.populations(), fitted.abilities(), groups_of_models(fitted.posterior)
        ),
        "score": lambda: figures.curves_figure(
            expected_score_curve(fitted.posterior, ABILITIES), None if fitted.data is None else fitted.abilities()
        ),
        "trace": lambda: figures.posterior_figure(fitted.posterior),
        "loadings": lambda: figures.loadings_figure(fitted.loadings()),
        "raters": lambda: figures.raters_figure(fitted.raters()),
    }


def _curves_figure(fitted: Fit, items: Sequence[str] | None) -> Figure:
    """Draw curves beside shares that were observed; without items named, from the easiest to the hardest."""
    if fitted.data is None:
        raise FitError("the figure 'curves' needs the responses, and this fit was saved without them.")
    curves = success_curves(posterior_of_items(fitted.posterior, _some_items(fitted, items)), ABILITIES)
    return figures.item_curves_figure(curves, observed_shares(fitted.abilities()["ability"], fitted.data))


def posterior_of_items(posterior: xr.Dataset, items: Sequence[str] | None) -> xr.Dataset:
    """Take the draws of some items.

    Raises
    ------
    AnalysisError
        If one is not there.
    """
    if items is None:
        return posterior
    known = posterior[names.ITEM].to_index()
    for item in items:
        if item not in known:
            raise AnalysisError(unknown_choice("item", item, known))
    chosen: xr.Dataset = posterior.sel({names.ITEM: list(items)})
    return chosen
