"""irt-bench adaptive: what adaptive testing would add to a subset, by simulation and on real answers."""

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
    Seed,
    clear_errors,
    read_paths,
    records,
    write_one_csv,
)
from irt_bench.console import out, print_text
from irt_bench.files import check_output, json_text


@clear_errors
def adaptive(
    subset: Annotated[Path, typer.Argument(help="File that irt-bench subset wrote.", metavar="SUBSET.json")],
    fit: FitFolder,
    responses: Annotated[
        list[Path] | None,
        typer.Option(help="Real answers to all items (repeat for more files), replayed beside simulated ones."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV file to write.")] = None,
    stop_sd: Annotated[float, typer.Option(help="A test ends when the sd of ability is at most this.")] = 0.3,
    most_items: Annotated[int, typer.Option(help="... or after so many items.", min=1)] = 200,
    models: Annotated[int, typer.Option(help="Models to simulate.", min=2, max=100_000)] = 500,
    benchmark: Benchmark = None,
    format: FormatName = None,
    metric: Metric = None,
    filter: Filter = None,
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Test adaptively (maximum information, until ability is known well enough) beside the fixed subset."""
    import pandas as pd

    from irt_bench.inference.fit import FitResult
    from irt_bench.report.tables import print_table
    from irt_bench.subsets.adaptive import AdaptiveSettings, compare_adaptive, replay_adaptive
    from irt_bench.subsets.subset import read_subset

    if output is not None:
        check_output(output, force=force)
    settings = AdaptiveSettings(
        stop_sd=stop_sd, min_items=min(5, most_items), max_items=most_items, n_models=models, seed=seed
    )
    chosen = read_subset(subset)
    posterior = FitResult.load(fit).posterior
    table = compare_adaptive(posterior, chosen.ids, settings).assign(answers="simulated")
    if responses:
        counts = read_paths(responses, benchmark, format, metric, filter).counts()
        real = replay_adaptive(posterior, chosen.ids, counts, settings).assign(answers="real")
        table = pd.concat([real, table])
    table = table.set_index("answers", append=True)
    if output is not None:
        write_one_csv(table, output, safe=False)  # names of designs, no ids
    if json:
        print_text(json_text({"benchmark": chosen.benchmark, "seed": seed, "designs": records(table)}))
        return
    title = f"Fixed and adaptive tests on {chosen.benchmark}: {models} simulated models"
    print_table(table, title=f"{title}{', and real answers' if responses else ''}", console=out)
    if not responses:
        print_text("Simulated answers are as the IRT model has it; real ones may take more items: add --responses.")
