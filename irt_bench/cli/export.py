"""irt-bench export: hand a subset to an evaluation harness."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from irt_bench.cli.options import Force, SafeCsv, choice, clear_errors, flag, read_paths
from irt_bench.console import out, print_text
from irt_bench.files import check_output
from irt_bench.names import ExportName

if TYPE_CHECKING:
    import xarray as xr

    from irt_bench.responses.counts import ResponseCounts
    from irt_bench.subsets.subset import SubsetRecord

TASK, INSPECT, LIVE = "To lm-eval-task", "To inspect", "Adaptive: to inspect-adaptive, lm-eval-round"  # panels

ROUND = 20  # items

Answers = Annotated[
    list[Path] | None,
    typer.Option(help="lm-eval-round: logs of one model so far. Repeatable.", metavar="PATH", rich_help_panel=LIVE),
]
FitOfItems = Annotated[
    Path | None,
    typer.Option(help="Fit, whose uncertainty of the items then counts.", metavar="DIR", rich_help_panel=LIVE),
]
StopSd = Annotated[float, typer.Option(help="The test ends at this posterior sd of ability,", rich_help_panel=LIVE)]
MaxItems = Annotated[int, typer.Option(help="or after so many items.", rich_help_panel=LIVE)]
Parallel = Annotated[
    int | None,
    typer.Option(help="Items at a time; 1 for inspect-adaptive, 20 for lm-eval-round.", rich_help_panel=LIVE),
]
Exposure = Annotated[
    int, typer.Option(help="Draw each item among so many of the most informative.", rich_help_panel=LIVE)
]
Balance = Annotated[bool, flag("--balance", "Keep the subtasks' shares of the items.", panel=LIVE)]


@clear_errors
def export(
    subset: Annotated[Path, typer.Argument(help="File that irt-bench subset wrote.", metavar="SUBSET.json")],
    to: Annotated[str, choice(ExportName, "Target format.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write; a folder for lm-eval-task, inspect-adaptive.")
    ],
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
        str | None,
        typer.Option(help="Task of the run, such as file.py@task; also for inspect-adaptive.", rich_help_panel=INSPECT),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model to write into the run configuration.", rich_help_panel=INSPECT)
    ] = None,
    responses: Annotated[
        Path | None,
        typer.Option(help="Responses of the calibration models.", metavar="PATH", rich_help_panel="To py-irt"),
    ] = None,
    answers: Answers = None,
    fit: FitOfItems = None,
    stop_sd: StopSd = 0.3,
    max_items: MaxItems = 200,
    parallel: Parallel = None,
    exposure: Exposure = 1,
    balance: Balance = False,
    safe_csv: SafeCsv = False,
    force: Force = False,
) -> None:
    """Write a subset for lm-evaluation-harness (needs calibration on its logs), Inspect, py-irt, or as a list."""
    from irt_bench.subsets.harness.export import MODEL, ExportOptions, export_subset
    from irt_bench.subsets.harness.export_adaptive import AdaptiveRules
    from irt_bench.subsets.subset import read_subset

    check_output(output, force=force or to == "lm-eval-round", folder=to in ("lm-eval-task", "inspect-adaptive"))
    at_once = parallel or (ROUND if to == "lm-eval-round" else 1)
    rules = AdaptiveRules(stop_sd, min(5, max_items), max_items, at_once, exposure, balance)
    chosen = read_subset(subset)
    counts = _counts(answers or ([] if responses is None else [responses]), chosen)
    options = ExportOptions(metric, split, base_yaml, task, model or MODEL, counts, safe_csv, rules, _posterior(fit))
    command = export_subset(chosen, to, output, options)
    if output.exists():
        out.print(f"Wrote {output}. Next:", highlight=False)
    print_text(command)


def _counts(paths: list[Path], chosen: "SubsetRecord") -> "ResponseCounts | None":
    if not paths:
        return None
    table = read_paths(paths, None, None, chosen.choice("metric"), chosen.choice("filter"))
    return table.one_benchmark(chosen.benchmark if len(table.benchmarks) > 1 else None).counts()


def _posterior(fit: Path | None) -> "xr.Dataset | None":
    if fit is None:
        return None
    from irt_bench.inference.fit import FitResult

    return FitResult.load(fit).posterior
