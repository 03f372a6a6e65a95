"""Terminal tables of model checks."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from irt_bench.analysis.checks.model_checks import ModelChecks
from irt_bench.report.tables import print_checks, print_table

ROWS = 10


def print_model_checks(found: ModelChecks, *, benchmark: str, console: Console, max_rows: int = ROWS) -> None:
    """Print all checks, then the items, pairs and models that misfit, if any, and the notes."""
    n_models, n_items = len(found.models), len(found.items)
    size = f"{benchmark}: {n_models:,} models x {n_items:,} items, {found.replicates} simulated data sets"
    console.print(Text(size), end="\n\n")
    print_checks(found.checks, console)
    items = found.items[found.items["misfits"] != ""].sort_values("curve_surprise", ascending=False, kind="stable")
    if len(items):
        columns = ["infit", "outfit", "s_x2_rmsea", "largest_q3", "misfits"]
        print_table(items, title="Items that misfit", console=console, max_rows=max_rows, columns=columns)
    failed = {check.name for check in found.checks if check.status == "failed"}
    if "q3" in failed:
        title = "Pairs of items whose residuals go together most"
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
