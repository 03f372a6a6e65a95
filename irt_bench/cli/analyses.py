"""irt-bench items, check and compare: classical item analysis, checks of a fit, ability against accuracy."""

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
    records,
    write_one_csv,
)
from irt_bench.console import out, print_text, progress_bar
from irt_bench.errors import AnalysisError, unknown_choice
from irt_bench.files import check_output, json_text

if TYPE_CHECKING:
    import pandas as pd

    from irt_bench.responses import ResponseCounts


@clear_errors
def items(
    paths: Paths,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV file to write.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Figure to write, .png, .svg or .pdf.")] = None,
    benchmark: Benchmark = None,
    format: FormatName = None,
    metric: Metric = None,
    filter: Filter = None,
    seed: Seed = 0,
    safe_csv: SafeCsv = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Analyse items: proportion correct, item-rest correlation, flags, reliability, stability over models."""
    from irt_bench.analysis.classical import item_statistics, score_reliability
    from irt_bench.analysis.transfer import compare_transfer
    from irt_bench.report.figures import items_figure, save_figure
    from irt_bench.report.figures.canvas import check_figure_format
    from irt_bench.report.tables import print_findings, print_item_report
    from irt_bench.responses.quality import findings

    for path in (output, figure):
        if path is not None:
            check_output(path, force=force)
    if figure is not None:
        check_figure_format(figure)
    table = read_paths(paths, benchmark, format, metric, filter)
    counts = table.counts()
    statistics = item_statistics(counts)
    reliability = score_reliability(counts)
    transfer = compare_transfer(counts, seed=seed)
    if output is not None:
        write_one_csv(statistics, output, safe=safe_csv)
    if figure is not None:
        save_figure(items_figure(statistics), figure)
    if json:
        rows = {"benchmark": counts.benchmark, "seed": seed, "reliability": vars(reliability)}
        print_text(json_text(rows | {"transfer": records(transfer), "items": records(statistics)}))
        return
    print_item_report(statistics, reliability, transfer, benchmark=counts.benchmark, console=out)
    print_findings(findings(table), out)


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


@clear_errors
def compare(
    paths: Paths,
    fit: FitFolder,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to write.")] = None,
    benchmark: Benchmark = None,
    format: FormatName = None,
    metric: Metric = None,
    filter: Filter = None,
    seed: Seed = 0,
    safe_csv: SafeCsv = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Compare the order of models by ability with that by accuracy: agreement, reliability, pairs, items."""
    from irt_bench.analysis.agreement import compare_ability_accuracy
    from irt_bench.api.analysis import AccuracyComparison
    from irt_bench.inference.fit import FitResult
    from irt_bench.report.tables import print_comparison

    if output is not None:
        check_output(output, force=force, folder=True)
    fitted = FitResult.load(fit)
    counts = read_paths(paths, benchmark, format, metric, filter).counts()
    found = compare_ability_accuracy(fitted.posterior, counts, seed=seed)
    about = {"benchmark": counts.benchmark, "fit": str(fit), "converged": fitted.converged}
    if output is not None:
        AccuracyComparison(found).save(output, about=about, safe_csv=safe_csv)
    if json:
        print_text(json_text(found.to_dict() | about))
        return
    print_comparison(found, benchmark=counts.benchmark, console=out)
