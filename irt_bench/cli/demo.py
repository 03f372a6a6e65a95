"""irt-bench demo: the whole way on a simulated benchmark."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from irt_bench.cli.analyses import check
from irt_bench.cli.command import command
from irt_bench.cli.options import Force, Seed, option
from irt_bench.cli.report import report
from irt_bench.cli.study import study
from irt_bench.cli.subset import subset
from irt_bench.cli.variance import variance
from irt_bench.console import out
from irt_bench.files import check_output

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
