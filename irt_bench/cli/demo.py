"""irt-bench demo: the whole way on a simulated benchmark."""

from pathlib import Path
from typing import Annotated

import typer

from irt_bench.cli.options import Force, Seed
from irt_bench.console import clear_errors
from irt_bench.files import check_output


@clear_errors
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")] = Path("irt-bench-demo"),
    seed: Seed = 1,
    force: Force = False,
) -> None:
    """Simulate a benchmark with runs, seeds and steps, go the whole way with it, and compare with the truth."""
    from irt_bench.demo import run_demo

    check_output(output, force=force, folder=True)
    run_demo(output, seed=seed)
