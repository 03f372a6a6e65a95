"""irt-bench report: one offline page of what was found."""

from pathlib import Path
from typing import Annotated

import typer

from irt_bench.cli.options import Force, clear_errors
from irt_bench.console import out
from irt_bench.files import check_output


@clear_errors
def report(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Folders that commands wrote with -o, or a folder that holds them.", metavar="DIR..."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Title of the page; by default the name of the benchmark.")] = None,
    force: Force = False,
) -> None:
    """Make one HTML page of results, which needs no network: seed variance, subsets, items, models, checks."""
    check_output(output, force=force)
    from irt_bench.report.page import write_report

    write_report(folders, output, title=title)
    out.print(f"Wrote {output} ({output.stat().st_size / 1e6:.1f} MB)", highlight=False)
