"""irt-bench compare: ability against raw accuracy."""

from pathlib import Path
from typing import Annotated

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
    clear_errors,
    read_paths,
)
from irt_bench.console import out, print_text
from irt_bench.files import check_output, json_text


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
