"""irt-bench check: does the IRT model describe the answers."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from irt_bench.cli.options import (
    Benchmark,
    Filter,
    FitFolder,
    Force,
    FormatName,
    Json,
    Metric,
    Paths,
    SafeCsv,
    Seed,
    Strict,
    clear_errors,
    fail_if_strict,
    for_terminal,
    read_paths,
)
from irt_bench.console import out, print_text, progress_bar
from irt_bench.errors import AnalysisError, unknown_choice
from irt_bench.files import check_output, json_text

if TYPE_CHECKING:
    import pandas as pd

    from irt_bench.responses import ResponseCounts


@clear_errors
def check(
    paths: Paths,
    fit: FitFolder,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to write.")] = None,
    groups: Annotated[
        str | None,
        typer.Option(help="Model column with groups: which items differ in difficulty between them?", metavar="COLUMN"),
    ] = None,
    replicates: Annotated[int, typer.Option(help="Number of data sets simulated from the fit.", min=9, max=9_999)] = 39,
    strict: Strict = False,
    benchmark: Benchmark = None,
    format: FormatName = None,
    metric: Metric = None,
    filter: Filter = None,
    seed: Seed = 0,
    safe_csv: SafeCsv = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Check whether the IRT model describes the answers: predictions, item and person fit, dependence, dimensions."""
    from irt_bench.api.analysis import FitChecks
    from irt_bench.checks import check_fit
    from irt_bench.inference.fit import FitResult
    from irt_bench.report.tables.terminal import print_model_checks

    if output is not None:
        check_output(output, force=force, folder=True)
    fitted = FitResult.load(fit)
    counts = read_paths(paths, benchmark, format, metric, filter).counts()
    column = None if groups is None else _groups(counts, groups)
    with progress_bar() as progress:
        found = check_fit(counts, fitted, groups=column, replicates=replicates, seed=seed, progress=progress)
    about = {"benchmark": counts.benchmark, "fit": str(fit), "group": groups, "converged": fitted.converged}
    summary = found.to_dict() | about
    if output is not None:
        FitChecks(found).save(output, about=about, safe_csv=safe_csv)
    if json:
        print_text(json_text(summary))
    else:
        shown = replace(found, checks=tuple(for_terminal(found.checks, check)))
        print_model_checks(shown, benchmark=counts.benchmark, console=out)
    fail_if_strict(found.checks, strict=strict)


def _groups(counts: "ResponseCounts", column: str) -> "pd.Series":
    if column not in counts.models:
        raise AnalysisError(unknown_choice("model column", column, counts.models.columns))
    return counts.models[column]
