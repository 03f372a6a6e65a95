"""irt-bench demo: the whole way on a simulated benchmark."""

from pathlib import Path
from typing import Annotated, Any

import typer

from irt_bench.cli.options import Force, Seed
from irt_bench.cli.report import report
from irt_bench.cli.study import study
from irt_bench.cli.variance import variance
from irt_bench.console import clear_errors, out
from irt_bench.files import check_output

STUDY: dict[str, Any] = {  # small enough for a minute of one processor
    "sizes": "50",
    "methods": "discrimination,information,anchors,variance",
    "estimators": "weighted,p_irt",
    "n_random": 200,
}


@clear_errors
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")] = Path("irt-bench-demo"),
    seed: Seed = 1,
    force: Force = False,
) -> None:
    """Simulate a benchmark with runs, seeds and steps, go the whole way with it, and end with its page."""
    from irt_bench.demo import run_demo

    check_output(output, force=force, folder=True)
    run_demo(output, seed=seed)
    responses = output / "responses.parquet"
    out.rule("6. Seed variance of the training runs")
    variance([responses], output=output / "variance", seed=seed, force=True)
    out.rule("7. A small study: do subsets cut seed variance?")
    study([responses], output=output / "study", seed=seed, jobs=1, **STUDY)
    out.rule("8. Everything on one page")
    report([output], output=output / "report.html", force=True)
    out.print(f"Everything lies in {output}; open {output / 'report.html'} in a browser.", highlight=False)
