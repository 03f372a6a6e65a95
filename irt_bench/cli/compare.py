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
from irt_bench.files import check_output, json_text, replacing_folder, write_csv, write_json


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
    """Compare ability with raw accuracy: agreement, reliability, the models whose order differs, and why."""
    from irt_bench.analysis.agreement import compare_ability_accuracy
    from irt_bench.inference.fit import FitResult
    from irt_bench.report.figures import comparison_figure, save_figure
    from irt_bench.report.tables import print_comparison

    if output is not None:
        check_output(output, force=force, folder=True)
    fitted = FitResult.load(fit)
    counts = read_paths(paths, benchmark, format, metric, filter).counts()
    found = compare_ability_accuracy(fitted.posterior, counts, seed=seed)
    summary = found.to_dict() | {"benchmark": counts.benchmark, "fit": str(fit), "converged": fitted.converged}
    if output is not None:
        with replacing_folder(output) as folder:
            for name in ("models", "discordant", "confirmation", "items"):
                write_csv(getattr(found, name), folder / f"{name}.csv", safe=safe_csv, index=name != "discordant")
            save_figure(comparison_figure(found), folder / "comparison.png")
            write_json(folder / "summary.json", summary)
    if json:
        print_text(json_text(summary))
        return
    print_comparison(found, benchmark=counts.benchmark, console=out)
