"""irt-bench report and demo: a page of what commands found or of responses; all commands on simulated data."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from irt_bench.cli.analyses import check
from irt_bench.cli.command import command
from irt_bench.cli.options import Force, ResponseOptions, Seed, option
from irt_bench.cli.study import study
from irt_bench.cli.subset import subset
from irt_bench.cli.variance import variance
from irt_bench.console import out, progress_bar
from irt_bench.errors import ReadError
from irt_bench.files import check_output

TABLES = (".csv", ".tsv", ".parquet")  # suffixes, which results have too


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

    Of responses, everything on the page is computed: scores, item analysis, a 2PL, its checks, ability against accuracy
    and, where there are seeds, their variance; of several benchmarks, each has its part. Of folders that commands
    wrote, what they hold is shown.
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
            if not _are_logs(paths, reading.format):
                write_report(paths, output, title=title)  # says what it needs
            raise
        with progress_bar() as progress:
            call = _call(paths, reading, seed)
            report_responses(table, output, keep=keep, title=title, seed=seed, call=call, progress=progress)
    out.print(f"Wrote {output} ({output.stat().st_size / 1e6:.1f} MB)", highlight=False)


def _are_logs(paths: list[Path], format: str | None) -> bool:
    """Whether there is a log of an evaluation: then what hinders reading is what a user needs to know."""
    from irt_bench.responses.sources import find_sources

    try:
        return any(source.path.suffix.lower() not in TABLES for source in find_sources(paths, format=format))
    except ReadError:
        return False


def _call(paths: list[Path], reading: ResponseOptions, seed: int) -> str:
    """Write the command for the foot of the page, with names of files alone, as pages are sent to others."""
    given = {name: value for name, value in vars(reading).items() if value is not None} | {"seed": seed}
    return " ".join(["irt-bench report", *(path.name for path in paths), *(f"--{k} {v}" for k, v in given.items())])


STUDY: dict[str, Any] = {  # small enough for a minute of one processor
    "sizes": "50",
    "methods": "discrimination,information,anchors,variance",
    "estimators": "weighted,p_irt",
    "n_random": 200,
}
INSTALL = "pip install 'irt-bench[report]', then irt-bench report"
COMPARED: dict[str, Any] = {"sizes": "50", "method": "anchors", "n_random": 20}
REPLICATES = 19  # simulated data sets behind the checks


@command
def demo(
    output: Annotated[Path, option("Folder to write.", "--output", "-o")] = Path("irt-bench-demo"),
    seed: Seed = 1,
    force: Force = False,
) -> None:
    """Simulate a benchmark with runs, seeds and steps, run every command on it, and write one page of results."""
    from irt_bench.demo import CALIBRATION, run_demo

    check_output(output, force=force, folder=True)
    run_demo(output, seed=seed)
    responses, calibrating = output / "responses.parquet", output / CALIBRATION
    out.rule("6. Does the 2PL describe the answers?")
    check(paths=[calibrating], fit=output, output=output / "checks", replicates=REPLICATES, seed=seed, force=True)
    out.rule("7. Fewer items: chosen ones beside random ones")
    subset(paths=[responses], output=output / "compared", compare=True, seed=seed, force=True, **COMPARED)
    out.rule("8. Seed variance of the training runs")
    variance(paths=[responses], output=output / "variance", seed=seed, force=True)
    out.rule("9. A small study: do subsets cut seed variance?")
    study(paths=[responses], output=output / "study", seed=seed, jobs=1, **STUDY)
    if find_spec("jinja2") is None:
        out.print(
            f"All tables and figures lie in {output}. The page needs Jinja: {INSTALL}", highlight=False, markup=False
        )
        return
    out.rule("10. Everything on one page")
    report(paths=[output], output=output / "report.html", force=True)
    out.print(f"Everything lies in {output}; open {output / 'report.html'} in a browser.", highlight=False)
