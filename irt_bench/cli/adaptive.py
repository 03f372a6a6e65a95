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
        typer.Option(
            help="Answers of real models to all items, tested beside simulated models. Repeatable.", metavar="PATH"
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV file to write.")] = None,
    stop_sd: Annotated[float, typer.Option(help="A test ends when the posterior sd of ability is at most this,")] = 0.3,
    max_items: Annotated[int, typer.Option(help="or after this number of items.", min=1)] = 200,
    n_models: Annotated[int, typer.Option(help="Number of simulated models.", min=2, max=100_000)] = 500,
    benchmark: Benchmark = None,
    format: FormatName = None,
    metric: Metric = None,
    filter: Filter = None,
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Compare a subset with adaptive tests, which ask the most informative item until ability is known well enough."""
    import pandas as pd

    from irt_bench.inference.fit import FitResult
    from irt_bench.report.tables import print_table
    from irt_bench.subsets.adaptive import AdaptiveSettings, compare_adaptive, replay_adaptive
    from irt_bench.subsets.subset import read_subset

    if output is not None:
        check_output(output, force=force)
    settings = AdaptiveSettings(
        stop_sd=stop_sd, min_items=min(5, max_items), max_items=max_items, n_models=n_models, seed=seed
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
    title = f"Fixed and adaptive tests on {chosen.benchmark}: {n_models} simulated models"
    print_table(table, title=f"{title}{', and real answers' if responses else ''}", console=out)
    if not responses:
        print_text("Simulated answers are as the IRT model has it; real ones may take more items: add --responses.")
