"""irt-bench report and demo: a page of what commands found or of responses; all commands on simulated data."""

import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irt_bench import names
from irt_bench.cli.analyses import check
from irt_bench.cli.command import Force, ResponseOptions, Seed, command, flag, option, out, progress_bar
from irt_bench.cli.subset import subset
from irt_bench.cli.variance import study, variance
from irt_bench.errors import ReadError
from irt_bench.files import check_output, replacing_folder, write_csv, write_json

if TYPE_CHECKING:
    import pandas as pd

    from irt_bench.irt_models.simulate import Simulation
    from irt_bench.responses import ResponseCounts

TABLES = (".csv", ".tsv", ".parquet")  # suffixes, which results have too


@command
def report(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Responses to analyse, or folders that commands wrote with -o, or a folder that holds them.",
            metavar="PATH",
        ),
    ],
    reading: ResponseOptions,
    output: Annotated[Path, option("HTML file to write.", "--output", "-o")] = Path("report.html"),
    keep: Annotated[
        Path | None, option("With responses: folder in which to keep the tables of the page.", metavar="DIR")
    ] = None,
    title: Annotated[str | None, option("Title of the page; by default the name of the benchmark.")] = None,
    score_models: Annotated[
        bool, flag("--score-models", "With responses: fit IRT models to fractional scores, too; this takes minutes.")
    ] = False,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Make one HTML page, which needs no network: items, models, checks, seed variance, subsets.

    From responses, the command computes all that the page shows: scores, item analysis, a 2PL with its checks, ability
    compared with accuracy and, where there are seeds, seed variance. Each of several benchmarks has its own part. From
    folders that other commands wrote, it shows what they hold.
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
            how: dict[str, Any] = {"score_models": score_models, "seed": seed}
            call = _call(paths, vars(reading) | how)
            report_responses(table, output, keep=keep, title=title, **how, call=call, progress=progress)
    out.print(f"Wrote {output} ({output.stat().st_size / 1e6:.1f} MB)", highlight=False)


def _are_logs(paths: list[Path], format: str | None) -> bool:
    """Whether there is a log of an evaluation: then what hinders reading is what a user needs to know."""
    from irt_bench.responses.formats import find_sources

    try:
        return any(source.path.suffix.lower() not in TABLES for source in find_sources(paths, format=format))
    except ReadError:
        return False


def _call(paths: list[Path], options: Mapping[str, Any]) -> str:
    """Write the command for the foot of the page, with names of files alone, as pages are sent to others."""
    given = {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    flags = [f"{name} {value}" for name, value in given.items() if value is not None and not isinstance(value, bool)]
    flags += [name for name, value in given.items() if value is True]
    return " ".join(["irt-bench report", *(path.name for path in paths), *flags])


COMPARISON = "comparison"
CALIBRATION = "calibration.parquet"  # responses that the items are fitted to
N_OTHER_MODELS = 120  # enough to calibrate 200 items on
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


def run_demo(output: Path, *, seed: int) -> None:
    """Simulate, write, read, analyse, fit, score and compare; write everything to a folder and print the results."""
    from irt_bench.api.analysis import item_analysis
    from irt_bench.api.fitting import fit, fit_tables
    from irt_bench.irt_models.simulate import simulate_benchmark
    from irt_bench.report.figures import save_figure
    from irt_bench.report.tables import print_checks, print_table
    from irt_bench.responses import read_responses, table_from_frame, write_table

    with replacing_folder(output) as folder:
        out.rule("1. Simulate a benchmark with runs, seeds and steps, and write it as files")
        simulation = simulate_benchmark(seed=seed, n_other_models=N_OTHER_MODELS)
        write_table(simulation.table, folder / "responses.parquet")
        counts = read_responses([folder / "responses.parquet"]).counts()
        out.print(
            f"{counts.n_models} models (3 runs x 5 seeds x 6 steps, and {N_OTHER_MODELS} others) x "
            f"{counts.n_items} items"
        )
        trained = counts.models[names.RUN].notna().to_numpy()
        others, checkpoints = counts.take(models=~trained), counts.take(models=trained)
        frame = simulation.table.to_frame()
        calibrating = frame[frame[names.MODEL].isin(others.models.index)]
        write_table(table_from_frame(calibrating, benchmark=counts.benchmark), folder / CALIBRATION)

        out.rule("2. Item analysis on the other models")
        analysis = item_analysis(others)
        analysis.save(folder / "item_statistics.csv")
        save_figure(analysis.plot(), folder / "item_statistics.png")
        columns = ("proportion_correct", "item_rest_correlation", "flags")
        title = "Flagged items, lowest correlation first"
        print_table(analysis.flagged(), title=title, console=out, max_rows=8, columns=columns)

        out.rule("3. Fit a Bayesian 2PL to the other models")
        with progress_bar() as progress:
            fitted = fit(others, "2pl", seed=seed, progress=progress)
        fitted.save(folder / "fit.nc")
        tables = fit_tables(fitted)
        for name, table in tables.items():
            write_csv(table, folder / f"{name}.csv")
        save_figure(fitted.plot("fit"), folder / "fit.png")
        print_checks(fitted.checks, out)

        out.rule("4. Score the training runs with these items, and compare ability with accuracy")
        scores = fitted.score(checkpoints)
        write_csv(scores, folder / "scores.csv")
        comparison = fitted.compare_accuracy(seed=seed)
        print_table(comparison.correlations(), title="Ability against accuracy", console=out)

        out.rule("5. Estimates and the truth of the simulation")
        recovery = recovery_table(
            simulation, analysis.items(), tables["abilities"], tables["items"], scores, checkpoints
        )
        recovery.to_csv(folder / "recovery.csv", index_label="quantity", float_format="%.6g")
        records = recovery.reset_index(names="quantity").to_dict("records")
        write_json(folder / "summary.json", fitted.to_dict() | {"recovery": records})
        print_table(recovery, title="Estimates and the truth", console=out)
    about = {"benchmark": others.benchmark, "fit": output.name, "converged": fitted.converged}
    comparison.save(output / COMPARISON, about=about)


def recovery_table(
    simulation: "Simulation",
    statistics: "pd.DataFrame",
    abilities: "pd.DataFrame",
    items: "pd.DataFrame",
    scores: "pd.DataFrame",
    checkpoints: "ResponseCounts",
) -> "pd.DataFrame":
    """Compare estimates with the truth of a simulation.

    Returns
    -------
    pd.DataFrame
        One row per quantity: its ``true`` and its ``estimated`` value.

    Notes
    -----
    A slope of truth on estimate near 1 shows that estimates are on the right scale. Mis-keyed items and items that no
    or all models solve have no place on it, and are left out of the rows on items.
    """
    import numpy as np
    import pandas as pd

    from irt_bench.irt_models.simulate import MIS_KEYED, PLANTED

    truth = simulation.truth
    sound = [str(item) for item in truth[names.ITEM].values[(truth[PLANTED] == "").values]]
    mis_keyed = [str(item) for item in truth[names.ITEM].values[(truth[PLANTED] == MIS_KEYED).values]]
    rows: dict[str, tuple[object, object]] = {}
    for name, table in (
        (names.ABILITY, abilities),
        (f"{names.ABILITY} (scored)", scores),
        (names.DIFFICULTY, items.loc[sound]),
    ):
        column = name.split()[0]
        true = truth[column].to_series().loc[table.index]
        slope = np.polyfit(table[column], true, 1)[0]
        covered = ((true >= table[f"{column}_q05"]) & (true <= table[f"{column}_q95"])).mean()
        rows[f"{name}: slope of truth on estimate"] = (1.0, slope)
        rows[f"{name}: share of 90% intervals that cover"] = (0.9, covered)
    flagged = statistics.loc[mis_keyed, "flags"].str.contains("negative")
    rows["mis-keyed items flagged negative"] = (len(mis_keyed), int(flagged.sum()))
    rows["seed sd of ability at the last step"] = (float(truth["seed_sd"]), _seed_sd(scores, checkpoints))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["true", "estimated"])


def _seed_sd(scores: "pd.DataFrame", checkpoints: "ResponseCounts") -> float:
    """Pool the sd over seeds of the scored ability at the last step, after subtracting the error of the scores."""
    last = checkpoints.models[checkpoints.models[names.STEP] == checkpoints.models[names.STEP].max()]
    ability = scores.loc[last.index]
    between = ability.groupby(last[names.RUN].to_numpy())["ability"].var(ddof=1).mean()
    return math.sqrt(max(between - (ability["ability_sd"] ** 2).mean(), 0.0))
