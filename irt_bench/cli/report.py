"""irt-bench report: one offline page, of what commands found or of responses themselves."""

from pathlib import Path
from typing import Annotated

import typer

from irt_bench.cli.command import command
from irt_bench.cli.options import Force, ResponseOptions, Seed, option
from irt_bench.console import out, progress_bar
from irt_bench.errors import ReadError
from irt_bench.files import check_output


@command
def report(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Responses to analyse, or folders that commands wrote with -o, or a folder that holds them.",
            metavar="PATH...",
        ),
    ],
    reading: ResponseOptions,
    output: Annotated[Path, option("HTML file to write.", "--output", "-o")] = Path("report.html"),
    keep: Annotated[Path | None, option("Responses: folder for the tables behind the page.", metavar="DIR")] = None,
    title: Annotated[str | None, option("Title of the page; by default the name of the benchmark.")] = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Make one HTML page, which needs no network: items, models, checks, seed variance, subsets.

    Of responses, everything on the page is computed: item analysis, a 2PL, its checks, ability against accuracy and,
    where there are seeds, their variance. Of folders that commands wrote, what they hold is shown.
    """
    check_output(output, force=force)
    from irt_bench.report.page import write_report
    from irt_bench.report.page.folders import are_results

    if are_results(paths):
        write_report(paths, output, title=title)
    else:
        from irt_bench.api.one_page import report_responses

        try:
            table = reading.read(paths)
        except ReadError:
            write_report(paths, output, title=title)  # says what it needs
            raise
        with progress_bar() as progress:
            report_responses(table, output, keep=keep, title=title, seed=seed, progress=progress)
    out.print(f"Wrote {output} ({output.stat().st_size / 1e6:.1f} MB)", highlight=False)
