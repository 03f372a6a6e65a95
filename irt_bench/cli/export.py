"""irt-bench export: hand a subset to an evaluation harness."""

from pathlib import Path
from typing import Annotated

import typer

from irt_bench.cli.options import Force, SafeCsv, clear_errors, read_paths
from irt_bench.console import out, print_text
from irt_bench.files import check_output


@clear_errors
def export(
    subset: Annotated[Path, typer.Argument(help="File that irt-bench subset wrote.", metavar="SUBSET.json")],
    to: Annotated[str, typer.Option(help="lm-eval, lm-eval-task, inspect, py-irt, params or ids.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write (lm-eval-task: folder).")],
    metric: Annotated[
        str | None, typer.Option(help="lm-eval-task: the metric it was calibrated on, where the subset does not say.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="lm-eval-task: the split that is evaluated; by default the full task's, or test.")
    ] = None,
    base_yaml: Annotated[
        Path | None, typer.Option(help="lm-eval-task: YAML of the full task; by default the installed lm-eval's.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="inspect: task, as in file.py@task.")] = None,
    model: Annotated[str | None, typer.Option(help="inspect: model to write into the run configuration.")] = None,
    responses: Annotated[Path | None, typer.Option(help="py-irt: the calibration responses.")] = None,
    safe_csv: SafeCsv = False,
    force: Force = False,
) -> None:
    """Write a subset for lm-evaluation-harness, Inspect, py-irt, adaptive testers, or as a list; prints the command."""
    from irt_bench.subsets.harness.export import MODEL, ExportOptions, export_subset
    from irt_bench.subsets.subset import read_subset

    check_output(output, force=force, folder=to == "lm-eval-task")
    chosen = read_subset(subset)
    counts = None
    if responses is not None:
        table = read_paths([responses], None, None, None, None)
        counts = table.one_benchmark(chosen.benchmark if len(table.benchmarks) > 1 else None).counts()
    options = ExportOptions(metric, split, base_yaml, task, model or MODEL, counts, safe_csv)
    command = export_subset(chosen, to, output, options)
    out.print(f"Wrote {output}. Next:", highlight=False)
    print_text(command)
