"""The command line: parse, call, write. Heavy libraries are imported by the command that needs them."""

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irt_bench.console import clear_errors, out, print_text, progress_bar
from irt_bench.files import check_output, json_text, replacing, replacing_folder, write_json

if TYPE_CHECKING:
    import pandas as pd

    from irt_bench.inference.fit import Fit
    from irt_bench.responses import ResponseCounts, ResponseTable


class ScoreMethod(StrEnum):
    """Ways to score a model with frozen items."""

    EAP = "eap"
    MAP = "map"


app = typer.Typer(
    help="Can a benchmark number be trusted, and would fewer or reweighted items do? Start with: irt-bench demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

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
Seed = Annotated[int, typer.Option(help="Seed of all random numbers: the same seed gives the same result.", min=0)]
FitFolder = Annotated[Path, typer.Option("--fit", help="Folder that irt-bench fit wrote.", metavar="DIR")]


@app.command()
@clear_errors
def read(
    paths: Paths,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, .parquet or .csv.")],
    benchmark: Benchmark = None,
    format: FormatName = None,
    metric: Metric = None,
    filter: Filter = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Read responses in any format and write them as one canonical table."""
    from irt_bench.report.tables import print_findings, print_table
    from irt_bench.responses import write_table
    from irt_bench.responses.quality import findings, overview

    check_output(output, force=force)
    table = _read(paths, None, format, metric, filter)
    table = table.select(benchmark) if benchmark else table
    write_table(table, output)
    found = findings(table)
    if json:
        rows = overview(table).reset_index().to_dict("records")
        print_text(json_text({"output": str(output), "benchmarks": rows, "findings": [vars(each) for each in found]}))
        return
    print_table(overview(table), title="Responses", console=out)
    print_findings(found, out)
    out.print(f"Wrote {output}", highlight=False)


@app.command()
@clear_errors
def items(
    paths: Paths,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV file to write.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Figure to write, .png or .svg.")] = None,
    benchmark: Benchmark = None,
    format: FormatName = None,
    metric: Metric = None,
    filter: Filter = None,
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Item analysis: difficulty, discrimination, flags, reliability, and how well item statistics carry over."""
    from irt_bench.analysis.classical import item_statistics, score_reliability
    from irt_bench.analysis.transfer import compare_transfer
    from irt_bench.report.figures import items_figure, save_figure
    from irt_bench.report.tables import print_findings, print_item_report
    from irt_bench.responses.quality import findings

    for path in (output, figure):
        if path is not None:
            check_output(path, force=force)
    table = _read(paths, benchmark, format, metric, filter)
    counts = table.counts()
    statistics = item_statistics(counts)
    reliability = score_reliability(counts)
    transfer = compare_transfer(counts, seed=seed)
    if output is not None:
        _write_csv(statistics, output)
    if figure is not None:
        save_figure(items_figure(statistics), figure)
    if json:
        rows = {"benchmark": counts.benchmark, "seed": seed, "reliability": vars(reliability)}
        print_text(json_text(rows | {"transfer": _records(transfer), "items": _records(statistics)}))
        return
    print_item_report(statistics, reliability, transfer, benchmark=counts.benchmark, console=out)
    print_findings(findings(table), out)


@app.command()
@clear_errors
def fit(
    paths: Paths,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")],
    irt_model: Annotated[str, typer.Option(help="1pl, 2pl, 3pl or 4pl.")] = "2pl",
    method: Annotated[str, typer.Option(help="svi (fast) or nuts (exact).")] = "svi",
    guessing: Annotated[
        str | None,
        typer.Option(help="3PL and 4PL: a number, or an item column with the number of choices; by default learned."),
    ] = None,
    benchmark: Benchmark = None,
    seed: Seed = 0,
    chains: Annotated[int | None, typer.Option(help="NUTS: number of chains.")] = None,
    warmup: Annotated[int | None, typer.Option(help="NUTS: iterations that adapt, a chain.")] = None,
    draws: Annotated[int | None, typer.Option(help="Draws kept (NUTS: a chain).")] = None,
    target_accept: Annotated[float | None, typer.Option(help="NUTS: mean acceptance; higher diverges less.")] = None,
    jobs: Annotated[int | None, typer.Option(help="NUTS: chains at once; results do not depend on it.")] = None,
    guide: Annotated[str | None, typer.Option(help="SVI: item (parameters of an item correlated) or normal.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="SVI: steps after which to give up.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of a process; one is mostly fastest.")] = None,
    format: FormatName = None,
    metric: Metric = None,
    filter: Filter = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Fit a Bayesian item response model; writes draws, items, abilities, a summary and a figure."""
    from irt_bench.inference.fit import fit as fit_model
    from irt_bench.inference.fit import settings_for
    from irt_bench.irt_models.logistic import irt_model_from_name

    given = {
        "chains": chains, "warmup": warmup, "draws": draws, "target_accept": target_accept, "jobs": jobs,
        "guide": guide, "max_steps": max_steps, "threads": threads,
    }  # fmt: skip
    check_output(output, force=force, folder=True)
    settings = settings_for(method, seed=seed, **{name: value for name, value in given.items() if value is not None})
    model = irt_model_from_name(irt_model)
    start = time.perf_counter()
    table = _read(paths, benchmark, format, metric, filter)
    counts = table.counts()
    if guessing is not None:
        model = model.with_guessing(guessing, {str(name): column.to_numpy() for name, column in counts.items.items()})
    read_seconds = time.perf_counter() - start
    with progress_bar() as progress:
        fitted = fit_model(counts, model, settings, progress=progress)
    _write_fit(fitted, table, counts, output, {"read": read_seconds, **fitted.timings}, json=json)


@app.command()
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
    counts = _read(paths, benchmark, format, metric, filter).counts()
    scores = score_models(counts, fitted.posterior, method=method.value)
    if output is not None:
        _write_csv(scores, output)
    if json:
        print_text(
            json_text(
                {"benchmark": counts.benchmark, "fit": str(fit), "method": method.value, "scores": _records(scores)}
            )
        )
        return
    print_table(scores.sort_values("ability", ascending=False), title=f"Abilities on {counts.benchmark}", console=out)


@app.command()
@clear_errors
def compare(
    paths: Paths,
    fit: FitFolder,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to write.")] = None,
    benchmark: Benchmark = None,
    format: FormatName = None,
    metric: Metric = None,
    filter: Filter = None,
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Compare ability with raw accuracy: agreement, reliability, the models whose order differs, and why."""
    from irt_bench.analysis.agreement import compare_ability_accuracy
    from irt_bench.inference.fit import Fit
    from irt_bench.report.figures import comparison_figure, save_figure
    from irt_bench.report.tables import print_comparison

    if output is not None:
        check_output(output, force=force, folder=True)
    fitted = Fit.load(fit)
    counts = _read(paths, benchmark, format, metric, filter).counts()
    posterior = fitted.posterior
    discrimination = posterior["discrimination"].mean(("chain", "draw"))
    found = compare_ability_accuracy(posterior["ability"], counts, discrimination=discrimination, seed=seed)
    summary = found.summary() | {"benchmark": counts.benchmark, "fit": str(fit), "converged": fitted.converged}
    if output is not None:
        with replacing_folder(output) as folder:
            for name in ("models", "discordant", "items"):
                getattr(found, name).to_csv(folder / f"{name}.csv", float_format="%.9g", index=name != "discordant")
            save_figure(comparison_figure(found), folder / "comparison.png")
            write_json(folder / "summary.json", summary)
    if json:
        print_text(json_text(summary))
        return
    print_comparison(found, benchmark=counts.benchmark, console=out)


@app.command()
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


def _read(
    paths: list[Path], benchmark: str | None, format: str | None, metric: str | None, filter: str | None
) -> "ResponseTable":
    """Read, and choose the benchmark where one is named; several without a choice are refused by `counts`."""
    from irt_bench.responses import read_responses

    with progress_bar() as progress:
        table = read_responses(paths, format=format, metric=metric, filter=filter, progress=progress)
    return table.select(benchmark) if benchmark is not None else table


def _write_fit(
    fitted: "Fit",
    table: "ResponseTable",
    counts: "ResponseCounts",
    output: Path,
    timings: dict[str, float],
    *,
    json: bool,
) -> None:
    from irt_bench.analysis.irt import ability_table, item_table
    from irt_bench.report.figures import fit_figure, save_figure
    from irt_bench.report.tables import print_fit
    from irt_bench.responses.quality import findings

    start = time.perf_counter()
    abilities, item_parameters = ability_table(fitted.posterior, counts), item_table(fitted.posterior, counts)
    found = findings(table)
    with replacing_folder(output) as folder:
        fitted.save(folder / "fit.nc")
        item_parameters.to_csv(folder / "items.csv", float_format="%.9g")
        abilities.to_csv(folder / "abilities.csv", float_format="%.9g")
        save_figure(fit_figure(abilities, item_parameters), folder / "fit.png")
        timings["write"] = time.perf_counter() - start
        summary = fitted.summary() | {"findings": [vars(each) for each in found], "timings": timings}
        write_json(folder / "summary.json", summary)
    if json:
        print_text(json_text(summary))
        return
    print_fit(fitted.summary(), fitted.checks, abilities, item_parameters, console=out)
    out.print(f"Wrote {output} in {sum(timings.values()):.1f} s", highlight=False)


def _write_csv(frame: "pd.DataFrame", path: Path) -> None:
    with replacing(path) as beside:
        frame.to_csv(beside, float_format="%.9g")


def _records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    return frame.reset_index().to_dict("records")  # type: ignore[return-value]
