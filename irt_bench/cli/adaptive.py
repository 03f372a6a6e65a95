"""irt-bench adaptive: what adaptive testing would add to a subset, by simulation."""

from pathlib import Path
from typing import Annotated

import typer

from irt_bench.cli.options import FitFolder, Force, Json, Seed, records, write_one_csv
from irt_bench.console import clear_errors, out, print_text
from irt_bench.files import check_output, json_text


@clear_errors
def adaptive(
    subset: Annotated[Path, typer.Argument(help="File that irt-bench subset wrote.", metavar="SUBSET.json")],
    fit: FitFolder,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV file to write.")] = None,
    stop_sd: Annotated[float, typer.Option(help="A test ends when the sd of ability is at most this.")] = 0.3,
    most_items: Annotated[int, typer.Option(help="... or after so many items.", min=1)] = 200,
    models: Annotated[int, typer.Option(help="Models to simulate.", min=2, max=100_000)] = 500,
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Simulate adaptive tests (maximum information, until ability is known well enough) beside the fixed subset."""
    from irt_bench.inference.fit import Fit
    from irt_bench.report.tables import print_table
    from irt_bench.subsets.adaptive import AdaptiveSettings, compare_adaptive
    from irt_bench.subsets.subset import read_subset

    if output is not None:
        check_output(output, force=force)
    settings = AdaptiveSettings(
        stop_sd=stop_sd, least_items=min(5, most_items), most_items=most_items, n_models=models, seed=seed
    )
    chosen = read_subset(subset)
    table = compare_adaptive(Fit.load(fit).posterior, chosen.ids, settings)
    if output is not None:
        write_one_csv(table, output, safe=False)  # names of designs, no ids
    if json:
        print_text(json_text({"benchmark": chosen.benchmark, "seed": seed, "designs": records(table)}))
        return
    title = f"Fixed and adaptive tests on {chosen.benchmark}: {models} simulated models"
    print_table(table, title=title, console=out)
