"""irt-bench variance: how far a score would move if training were repeated."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from irt_bench.cli.options import Benchmark, Filter, Force, FormatName, Json, Metric, Paths, Seed, read_paths
from irt_bench.console import clear_errors, out, print_text, progress_bar
from irt_bench.errors import AnalysisError
from irt_bench.files import check_output, json_text, replacing_folder, write_json

if TYPE_CHECKING:
    from irt_bench.variance.seed_variance import SeedVariance


@clear_errors
def variance(
    paths: Paths,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to write.")] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare two paths, or framings, on the same seeds.")
    ] = False,
    measure: Annotated[str, typer.Option(help="With --compare: the measure to compare.")] = "accuracy",
    run: Annotated[
        str | None, typer.Option(help="Columns of the models that name the training run, joined by commas.")
    ] = None,
    models: Annotated[
        tuple[str, str] | None, typer.Option(help="Compare two models, item by item, instead of seeds.")
    ] = None,
    benchmark: Benchmark = None,
    format: FormatName = None,
    metric: Metric = None,
    filter: Filter = None,
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Measure seed variance: the paper's table, variance components, V(k), and what differences can be detected."""
    if output is not None:
        check_output(output, force=force, folder=True)
    columns = None if run is None else tuple(part.strip() for part in run.split(","))
    reading = (format, metric, filter)
    if models is not None:
        _pair(paths, models, benchmark, reading, output)
        return
    if compare:
        _framings(paths, benchmark, measure, columns, reading, output, seed)
        return
    from irt_bench.report.variance_tables import print_seed_variance
    from irt_bench.variance.seed_variance import analyse_seed_variance

    table = read_paths(paths, benchmark, *reading)
    with progress_bar() as progress:
        found = analyse_seed_variance(table, run_columns=columns, seed=seed, progress=progress)
    if output is not None:
        _write(found, output)
    if json:
        print_text(json_text(found.summary()))
        return
    print_seed_variance(found, console=out)


def _write(found: "SeedVariance", output: Path) -> None:
    from irt_bench.report.canvas import save_figure
    from irt_bench.report.variance_figures import curve_figure, file_name, measures_figure, steps_figure

    with replacing_folder(output) as folder:
        for name in ("metrics", "pooled", "components", "coefficients", "curve", "measures", "detectable", "scores"):
            getattr(found, name).to_csv(folder / f"{name}.csv", float_format="%.9g", index=False)
        for place, benchmark in enumerate(found.metrics["benchmark"].unique()):
            name = file_name(str(benchmark), place)
            save_figure(steps_figure(found, str(benchmark)), folder / f"steps-{name}.png")
            save_figure(curve_figure(found, str(benchmark)), folder / f"curve-{name}.png")
            if len(found.measures) and (found.measures["benchmark"] == benchmark).any():
                save_figure(measures_figure(found, str(benchmark)), folder / f"measures-{name}.png")
        write_json(folder / "summary.json", found.summary())


def _framings(
    paths: list[Path],
    benchmark: str | None,
    measure: str,
    columns: tuple[str, ...] | None,
    reading: tuple[str | None, str | None, str | None],
    output: Path | None,
    seed: int,
) -> None:
    from irt_bench.variance.comparison import compare_variance
    from irt_bench.variance.benchmark_runs import one_measure

    if len(paths) != 2:
        raise AnalysisError(f"--compare needs two paths, {len(paths)} were given: the two framings to compare.")
    sides = [read_paths([path], benchmark, *reading).one_benchmark() for path in paths]
    runs = [one_measure(side, measure, run_columns=columns)[0] for side in sides]
    labels = (str(paths[0]), str(paths[1]))
    found = compare_variance(runs[0], runs[1], labels=labels, seed=seed)
    _finish(found.row(), output)


def _pair(
    paths: list[Path],
    models: tuple[str, str],
    benchmark: str | None,
    reading: tuple[str | None, str | None, str | None],
    output: Path | None,
) -> None:
    from irt_bench.variance.model_pair import compare_models

    counts = read_paths(paths, benchmark, *reading).counts()
    _finish(asdict(compare_models(counts, *models)), output)


def _finish(row: dict[str, object], output: Path | None) -> None:
    """Write one comparison and print it as JSON, which is short enough for people too."""
    if output is not None:
        with replacing_folder(output) as folder:
            write_json(folder / "summary.json", row)
    print_text(json_text(row))
