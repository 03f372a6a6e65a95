"""Tables for the terminal: frames, findings, checks, item analyses, fits and comparisons, down to 40 columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from irt_bench.analysis.classical import FLAGS, Reliability
from irt_bench.names import DIMENSION
from irt_bench.report.tables.text import (
    LOWER,
    UPPER,
    TableColumn,
    general,
    has_flag,
    index_columns,
    interval_text,
    lead_text,
    shorten,
    shorten_all,
    value_columns,
    with_gap,
    words,
)
from irt_bench.responses.table import Finding

if TYPE_CHECKING:
    from irt_bench.analysis.agreement import AbilityAccuracyComparison
    from irt_bench.checks.check_fit import ModelChecks


GAP: Final = 2  # spaces between columns
MIN_LABEL: Final = 14  # characters to which a label may shrink before intervals are stacked or columns left out
MAX_LABEL: Final = 40  # characters of a label; longer ones are cut in the middle


def print_table(
    frame: pd.DataFrame,
    *,
    title: str,
    console: Console,
    max_rows: int = 20,
    columns: Sequence[str] | None = None,
    index: bool = True,
) -> None:
    """Print a frame: numbers aligned on the right, intervals in the column of their estimate, long labels wrapped.

    Parameters
    ----------
    frame : pd.DataFrame
        What to print; ``x, x_q05, x_q95`` become one column.
    title : str
        Line above the table.
    console : Console
        Where to print; the table is no wider.
    max_rows : int
        Number of rows shown, the first and the last ones. A line between them counts the rows left out.
    columns : sequence of str, optional
        Columns to show, in order; intervals come with their column. All by default.
    index : bool
        Whether the index is shown.

    Notes
    -----
    If the table is too wide, intervals move below their estimates. If that does not suffice, columns at the right are
    left out and named below the table.
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
        parts = with_gap(parts, head, f"... {n_rows - head - tail:,} more")
    kept, left_out = _fit_width(parts, console.width)
    table = empty_table()
    for column in kept:
        justify: Literal["left", "right"] = "right" if column.numeric else "left"
        width = column.width if column.numeric else None  # Rich wraps texts alone, the widest column first
        table.add_column(Text(column.header), justify=justify, width=width, overflow="fold")
    for row in zip(*map(_cells, kept), strict=True):
        table.add_row(*row)
    console.print(table)
    if left_out:
        console.print(Text(f"not shown at this width: {', '.join(left_out)}", style="dim"))
    console.print()


def empty_table() -> Table:
    """Table without columns, in the style of all."""
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="")


def _cells(column: TableColumn) -> list[Text]:
    if column.numeric:
        return [Text(line) for line in column.lines]
    if column.label:
        return [Text(label) for label in shorten_all(column.lines, MAX_LABEL)]
    return [Text(" ".join(shorten(word, MAX_LABEL) for word in line.split(" "))) for line in column.lines]


def _fit_width(columns: Sequence[TableColumn], width: int) -> tuple[list[TableColumn], list[str]]:
    """Stack intervals, then leave out columns, numbers at the right first, until the table fits; headers left out."""
    kept, left_out = list(columns), []
    if _min_width(kept) > width:
        kept = [replace(column, stacked=True) for column in kept]
    while len(kept) > 1 and _min_width(kept) > width:
        numbers = [place for place, column in enumerate(kept) if column.numeric and place > 0]
        left_out.append(kept.pop(numbers[-1] if len(numbers) > 1 else -1).header)
    return kept, left_out[::-1]


def _min_width(columns: Sequence[TableColumn]) -> int:
    widths = [column.width if column.numeric else min(column.width, MIN_LABEL) for column in columns]
    return sum(widths) + GAP * (len(columns) - 1)


WIDE: Final = 100  # columns from which on pairs of models are shown with their differences
DIFFERENCES: Final = ("ability_difference", "accuracy_difference")
MIN_PAIRS: Final = 5  # ordered differently; fewer tell nothing on other items
MODEL_COLUMNS: Final = ("rank", "relative_ability", "p_first_abler", "accuracy", "n_items")  # of models
STATUS_STYLE: Final = {"passed": "green", "failed": "bold red", "not_applicable": "dim"}


class CheckLike(Protocol):
    """A named check: ``status`` is "passed", "failed" or "not_applicable"."""

    @property
    def name(self) -> str:
        """Name of the check."""

    @property
    def status(self) -> str:
        """Outcome."""

    @property
    def value(self) -> float | None:
        """Value found."""

    @property
    def fails_if(self) -> str:
        """Side of the limit on which it fails."""

    @property
    def message(self) -> str:
        """Finding, as a sentence."""


def print_findings(findings: Iterable[Finding], console: Console, *, max_rows: int = 20) -> None:
    """Print findings about the responses, one line each."""
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
    """Print checks with their values and limits, and how many passed."""
    listed = list(checks)
    count = {status: sum(check.status == status for check in listed) for status in STATUS_STYLE}
    text = ", ".join(f"{n} {words(status)}" for status, n in count.items() if n or status == "failed")
    console.print(Text(f"Checks: {text if listed else 'none'}", style="bold"))
    if not listed:
        console.print()
        return
    table = empty_table()
    for header, numeric in (("check", False), ("status", False), ("value", True), ("fails if", True)):
        table.add_column(Text(header), justify="right" if numeric else "left", no_wrap=True)
    table.add_column(Text("what was found"), overflow="fold")
    for check in listed:
        status = Text(words(check.status), style=STATUS_STYLE.get(check.status, ""))
        found = Text(general(check.value))
        table.add_row(Text(shorten(check.name, 24)), status, found, Text(check.fails_if), Text(check.message))
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
    """Print an item analysis: reliability of the score, counts of flags, flagged items, transfer of statistics."""
    alpha = interval_text(reliability.alpha, reliability.alpha_q05, reliability.alpha_q95)
    lines = (
        f"{benchmark}: {reliability.n_models:,} models x {reliability.n_items:,} items",
        f"  mean score {general(reliability.mean)}, sd over models {general(reliability.sd)}",
        f"  alpha {alpha}, standard error of measurement {general(reliability.sem)}",
    )
    console.print(Text("\n".join(lines)), end="\n\n")
    found = statistics["flags"].str.get_dummies(";").reindex(columns=list(FLAGS), fill_value=0)
    flags = pd.DataFrame({"items": found.sum(), "share": found.mean()}).rename_axis("flag")
    print_table(flags[flags["items"] > 0], title="Flags raised", console=console)
    flagged = statistics[statistics["flags"] != ""].sort_values("item_rest_correlation", kind="stable")
    columns = ("proportion_correct", "item_rest_correlation", "flags", *(["question"] if "question" in flagged else []))
    title = "Flagged items, lowest correlation first"
    print_table(flagged, title=title, console=console, max_rows=max_rows, columns=columns)
    title = "Do item statistics hold for other models? Correlation over items of two halves of the models"
    print_table(transfer, title=title, console=console, columns=["ability", "random", "ratio", "n_items_ability"])
    _explain(
        "ability: weaker and stronger half; random: random halves. ratio: the first divided by the second; near 1, "
        "statistics of weaker models hold for stronger ones; an interval below 1 shows that they do not.",
        console,
    )


def print_comparison(
    comparison: AbilityAccuracyComparison, *, benchmark: str, console: Console, max_rows: int = 10
) -> None:
    """Print rankings by ability and by accuracy, the pairs they order differently, and the items behind these."""
    console.print(
        Text(
            f"{benchmark}: ability and accuracy order {comparison.n_discordant:,} of {comparison.n_pairs:,} pairs of "
            f"models differently, {comparison.n_clear:,} of them clearly (both orders with probability 0.95 or more)"
        ),
        end="\n\n",
    )
    print_table(comparison.correlations, title="Rank correlation of ability and accuracy", console=console)
    _explain(
        "rankings: of the two orders of these models. estimate: of accuracy with true ability. Near 1, accuracy orders "
        "the models as ability does.",
        console,
    )
    print_table(comparison.reliability, title="Reliability over models", console=console)
    _explain("Share of the variance over models that is not error: 1 is perfect, 0.9 and more is high.", console)
    left_out = [] if console.width >= WIDE else list(DIFFERENCES)  # labels need the room more
    pairs = comparison.discordant.head(max_rows).drop(columns=left_out)
    print_table(pairs, title="Pairs most probably ordered differently", console=console, index=False)
    if len(comparison.confirmation) and float(comparison.confirmation["n_pairs"].max()) >= MIN_PAIRS:
        title = "Pairs that one half of the items orders differently: their order on the other half"
        print_table(comparison.confirmation, title=title, console=console)
        _explain(
            "repeated: ordered differently in the same way; reversed: in the opposite way. If both shares are alike, "
            "the differences are due to chance; if more pairs are repeated, ability and accuracy differ.",
            console,
        )
    if comparison.note:
        console.print(Text(f"No items are shown: {comparison.note}"), end="\n\n")
    else:
        print_table(comparison.items.head(max_rows), title="Items behind these differences", console=console)
        _explain(
            "contribution: how far an item moves these pairs towards the order by ability, as a share of the score. It "
            "is the item's part in the weighted score (ability side) less that in accuracy (accuracy side).",
            console,
        )


def _explain(text: str, console: Console) -> None:
    """Say below a table what its values mean."""
    console.print(Text(text, style="dim"), end="\n\n")


def print_scores(
    models: pd.DataFrame, pairs: pd.DataFrame, benchmark: str, measure: str, *, console: Console, max_rows: int = 20
) -> None:
    """Print the scores of models on one benchmark, best first, and the pairs that are hardest to tell apart."""
    best_first = models.sort_values("score", ascending=False, kind="stable").rename(
        columns={"benchmark_q05": "benchmark_se_q05", "benchmark_q95": "benchmark_se_q95"}
    )
    columns = ["score", "score_se", *(["benchmark_se"] if best_first["benchmark_se"].notna().any() else [])]
    columns += [name for name in ("rank_best", "rank_worst", "group") if name in best_first]
    if models["n_items"].nunique() > 1 or (models["n_answers"] != models["n_items"]).any():
        columns += ["n_items", "n_answers"]
        of = ""
    else:  # the same number in every row would take the room of names
        of = f"; {models['n_items'].iloc[0]:,} items"
    title = f"{benchmark}: {measure} with its 90% interval for other items{of}"
    print_table(best_first, title=title, console=console, max_rows=max_rows, columns=columns)
    these = (
        " benchmark se: for these items and other answers (benchmark accuracy)." if "benchmark_se" in columns else ""
    )
    _explain(f"score [90%], score se: for other items like these (generalized accuracy).{these}", console)
    own = pairs[pairs["benchmark"] == benchmark] if len(pairs) else pairs
    if 0 < len(own) <= max_rows:
        shown = ["b", "difference", "p", "p_holm", "n_items"]
        print_table(own.set_index("a"), title="Differences, a less b", console=console, columns=shown)


def _related(summary: Mapping[str, Any]) -> list[str]:
    """Describe related models of a fit in words."""
    about = summary.get("clusters", {})
    texts = [f"{about['n_copies']:,} near-copies left out of the items"] if "n_copies" in about else []
    if "n_clusters" in about:
        texts.append(f"{about['n_clusters']:,} clusters worth {about['n_effective']:,.0f} independent models")
    return texts


def print_fit(
    summary: Mapping[str, Any],
    checks: Iterable[CheckLike],
    abilities: pd.DataFrame,
    items: pd.DataFrame,
    *,
    console: Console,
    max_rows: int = 10,
) -> None:
    """Print a fit: its checks, the models by ability, the items by difficulty."""
    made = [f"{words(name)} {summary[name]}" for name in ("method", "seed") if name in summary]
    several = DIMENSION in abilities.index.names
    n_models = len(abilities.index.unique(0)) if several else len(abilities)
    size = f"{n_models:,} models x {len(items):,} items"
    console.print(Text(", ".join([size, *made, *_related(summary)])), end="\n\n")
    print_checks(checks, console)
    if several:
        _print_profiles(abilities, items, console, max_rows)
        return
    ranked = abilities.sort_values("rank", kind="stable")
    columns = [name for name in MODEL_COLUMNS if name in ranked]
    print_table(ranked, title=f"{lead_text(ranked, _label)}.", console=console, max_rows=max_rows, columns=columns)
    unknown = has_flag(items, "no_information")
    parts = (
        rows.sort_values("difficulty", ascending=False, kind="stable") for rows in (items[~unknown], items[unknown])
    )
    hardest = pd.concat(parts)
    columns = [name for name in items.columns if not str(name).endswith("_sd")]
    last = f"; last {int(unknown.sum()):,} without informative responses" if unknown.any() else ""
    print_table(hardest, title=f"Items, hardest first{last}", console=console, max_rows=max_rows, columns=columns)


def _print_profiles(abilities: pd.DataFrame, items: pd.DataFrame, console: Console, max_rows: int) -> None:
    """Print the abilities of models with several, by the first, and the items by discrimination."""
    dims = list(dict.fromkeys(abilities.index.get_level_values(DIMENSION)))
    ranked = abilities["ability"].unstack(DIMENSION).sort_values(dims[0], ascending=False, kind="stable")
    ranked["accuracy"] = abilities["accuracy"].groupby(level=0).first()
    more = f", the first {MAX_PROFILE} of {len(dims)} abilities" if len(dims) > MAX_PROFILE else ""
    title = f"Models by ability {dims[0]!r}{more} (posterior means)"
    print_table(ranked, title=title, console=console, max_rows=max_rows, columns=[*dims[:MAX_PROFILE], "accuracy"])
    steep = items.sort_values("discrimination", ascending=False, kind="stable")
    columns = [name for name in items.columns if not str(name).endswith("_sd")]
    print_table(steep, title="Items, most discriminating first", console=console, max_rows=max_rows, columns=columns)


def _label(label: object) -> str:
    return shorten(str(label), MAX_LABEL)


MAX_PROFILE = 6  # abilities of a model side by side
ROWS = 10


def print_model_checks(found: ModelChecks, *, benchmark: str, console: Console, max_rows: int = ROWS) -> None:
    """Print all checks, then items, pairs and models that misfit, and the notes."""
    n_models, n_items = len(found.models), len(found.items)
    size = f"{benchmark}: {n_models:,} models x {n_items:,} items, {found.replicates} simulated data sets"
    console.print(Text(size), end="\n\n")
    print_checks(found.checks, console)
    items = found.items[found.items["misfits"] != ""].sort_values("curve_misfit", ascending=False, kind="stable")
    if len(items):
        columns = ["infit", "outfit", "s_x2_rmsea", "largest_q3", "misfits"]
        print_table(items, title="Items that misfit", console=console, max_rows=max_rows, columns=columns)
    failed = {check.name for check in found.checks if check.status == "failed"}
    if "q3" in failed:
        title = "Pairs of items with the largest residual correlations"
        print_table(found.pairs.head(max_rows), title=title, console=console, index=False)
    models = found.models[found.models["misfit"]].sort_values("zh", kind="stable")
    if len(models):
        columns = ["score", "ability", "zh", "infit", "outfit"]
        print_table(models, title="Models that misfit", console=console, max_rows=max_rows, columns=columns)
    large = found.differences[found.differences["large"].astype(bool)]
    if "dif" in failed:
        large = large.set_index("item").drop(columns="large")
        print_table(large, title="Items that differ between groups (ETS delta)", console=console, max_rows=max_rows)
    for note in found.notes:
        console.print(f"Note: {note}", highlight=False, markup=False)
