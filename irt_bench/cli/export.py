"""irt-bench export: hand a subset to an evaluation harness."""

from pathlib import Path
from typing import Annotated

import typer

from irt_bench.cli.options import Force, SafeCsv, choice, clear_errors, read_paths
from irt_bench.console import out, print_text
from irt_bench.files import check_output
from irt_bench.names import ExportName

TASK, INSPECT = "To lm-eval-task", "To inspect"  # panels of the help


@clear_errors
def export(
    subset: Annotated[Path, typer.Argument(help="File that irt-bench subset wrote.", metavar="SUBSET.json")],
    to: Annotated[str, choice(ExportName, "Target format.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write; for lm-eval-task, a folder.")],
    metric: Annotated[
        str | None,
        typer.Option(help="Metric of the calibration, where the subset does not name it.", rich_help_panel=TASK),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Split to evaluate; by default that of the full task, or test.", rich_help_panel=TASK),
    ] = None,
    base_yaml: Annotated[
        Path | None,
        typer.Option(
            help="YAML of the full task; by default that of the installed lm-eval.",
            metavar="FILE",
            rich_help_panel=TASK,
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Task of the run, such as file.py@task.", rich_help_panel=INSPECT)
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model to write into the run configuration.", rich_help_panel=INSPECT)
    ] = None,
    responses: Annotated[
        Path | None,
        typer.Option(help="Responses of the calibration models.", metavar="PATH", rich_help_panel="To py-irt"),
    ] = None,
    safe_csv: SafeCsv = False,
    force: Force = False,
) -> None:
    """Write a subset for lm-evaluation-harness (needs calibration on its logs), Inspect, py-irt, or as a list."""
    from irt_bench.subsets.harness.export import MODEL, ExportOptions, export_subset
    from irt_bench.subsets.subset import read_subset

    check_output(output, force=force, folder=to == "lm-eval-task")
    chosen = read_subset(subset)
    counts = None
    if responses is not None:
        table = read_paths([responses], None, None, chosen.choice("metric"), chosen.choice("filter"))
        counts = table.one_benchmark(chosen.benchmark if len(table.benchmarks) > 1 else None).counts()
    options = ExportOptions(metric, split, base_yaml, task, model or MODEL, counts, safe_csv)
    command = export_subset(chosen, to, output, options)
    out.print(f"Wrote {output}. Next:", highlight=False)
    print_text(command)
