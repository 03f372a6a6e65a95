"""What the commands share: their options, reading of paths, writing of tables."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irt_bench.console import progress_bar
from irt_bench.files import replacing, write_csv

if TYPE_CHECKING:
    import pandas as pd

    from irt_bench.report.tables import CheckLike
    from irt_bench.responses import ResponseTable

EXIT_CHECK_FAILED = 3

Paths = Annotated[
    list[Path], typer.Argument(help="Files or folders with responses, in any known format.", metavar="RESPONSES...")
]
Benchmark = Annotated[
    str | None, typer.Option(help="Benchmark (or group of tasks) to use, where there are several.", metavar="NAME")
]
FormatName = Annotated[
    str | None,
    typer.Option("--format", help="Format of the files; by default their names and contents decide.", metavar="NAME"),
]
Metric = Annotated[str | None, typer.Option(help="Metric or scorer to read, where logs hold several.", metavar="NAME")]
Filter = Annotated[str | None, typer.Option(help="Answer filter to read, where logs hold several.", metavar="NAME")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of tables.")]
Seed = Annotated[
    int, typer.Option(help="Seed of all random numbers: the same seed gives the same result.", min=0, max=2**32 - 1)
]
SafeCsv = Annotated[
    bool,
    typer.Option("--safe-csv", help="In CSV files, put ' before text that a spreadsheet would run as a formula."),
]
Strict = Annotated[bool, typer.Option("--strict", help="End with exit code 3 if a check failed.")]
FitFolder = Annotated[Path, typer.Option("--fit", help="Folder that irt-bench fit wrote.", metavar="DIR")]


def read_paths(
    paths: list[Path], benchmark: str | None, format: str | None, metric: str | None, filter: str | None
) -> "ResponseTable":
    """Read, and choose the benchmark where one is named; several without a choice are refused by `counts`."""
    from irt_bench.responses import read_responses

    with progress_bar() as progress:
        table = read_responses(paths, format=format, metric=metric, filter=filter, progress=progress)
    return table.select(benchmark) if benchmark is not None else table


def fail_if_strict(checks: Iterable["CheckLike"], *, strict: bool) -> None:
    """End with exit code 3 where a check failed and failures are to count; what was found is written by then."""
    if strict and any(check.status == "failed" for check in checks):
        raise typer.Exit(EXIT_CHECK_FAILED)


def write_one_csv(frame: "pd.DataFrame", path: Path, *, safe: bool) -> None:
    """Write a table with its index, whole or not at all."""
    with replacing(path) as beside:
        write_csv(frame, beside, safe=safe)


def records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows as plain values, the index among them."""
    return frame.reset_index().to_dict("records")  # type: ignore[return-value]
