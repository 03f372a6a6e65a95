"""irt-bench items: classical item analysis."""

from pathlib import Path
from typing import Annotated

import typer

from irt_bench.cli.options import (
    Benchmark,
    Filter,
    Force,
    FormatName,
    Json,
    Metric,
    Paths,
    SafeCsv,
    Seed,
    clear_errors,
    read_paths,
    records,
    write_one_csv,
)
from irt_bench.console import out, print_text
from irt_bench.files import check_output, json_text


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
