"""irt-bench score: score new models with frozen items."""

from enum import StrEnum
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
    read_paths,
    records,
    write_csv,
)
from irt_bench.console import clear_errors, out, print_text
from irt_bench.files import check_output, json_text


class ScoreMethod(StrEnum):
    """Ways to score a model with frozen items."""

    EAP = "eap"
    MAP = "map"


@clear_errors
def score(
    paths: Paths,
    fit: FitFolder,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV file to write.")] = None,
    method: Annotated[ScoreMethod, typer.Option(help="Posterior mean (eap) or mode (map).")] = ScoreMethod.EAP,
    benchmark: Benchmark = None,
    format: FormatName = None,
    metric: Metric = None,
    filter: Filter = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Score new models with the item parameters of a fit held as they are."""
    from irt_bench.analysis.scoring import score_models
    from irt_bench.inference.fit import Fit
    from irt_bench.report.tables import print_table

    if output is not None:
        check_output(output, force=force)
    fitted = Fit.load(fit)
    counts = read_paths(paths, benchmark, format, metric, filter).counts()
    scores = score_models(counts, fitted.posterior, method=method.value)
    if output is not None:
        write_csv(scores, output)
    if json:
        print_text(
            json_text(
                {"benchmark": counts.benchmark, "fit": str(fit), "method": method.value, "scores": records(scores)}
            )
        )
        return
    print_table(scores.sort_values("ability", ascending=False), title=f"Abilities on {counts.benchmark}", console=out)
