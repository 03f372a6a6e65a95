"""irt-bench study: whether pruned or reweighted subsets cut seed variance."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irt_bench.cli.command import command, err, exit_code, out, print_text, progress_bar
from irt_bench.cli.options import FigureOptions, FileOptions, Json, SafeCsv, check_seed, choice, flag, option
from irt_bench.errors import AnalysisError
from irt_bench.files import json_text
from irt_bench.names import BackendName, EstimatorName, SelectorName, StatisticName, WeightingName

if TYPE_CHECKING:
    from irt_bench.responses import ResponseTable
    from irt_bench.study.design import StudyDesign
    from irt_bench.study.results import StudyResult
    from irt_bench.study.run import Workers


WHERE = "Where to compute"  # panel of the help


@dataclass(frozen=True, kw_only=True)
class DesignOptions:
    """What is studied; what is None is left to the design file or its defaults."""

    benchmark: Annotated[str | None, option("Benchmarks, comma-separated; by default all.")] = None
    sizes: Annotated[
        str | None,
        option("Sizes of subsets, comma-separated; below 1: shares of the items.", default="20,50,100"),
    ] = None
    methods: Annotated[str | None, choice(SelectorName, "How to choose items, comma-separated.", default="all")] = None
    weights: Annotated[
        str | None, choice(WeightingName, "How to weight items, comma-separated.", default="by method")
    ] = None
    estimators: Annotated[
        str | None,
        choice(EstimatorName, "Scores, comma-separated; also theta, ability.", default="weighted,p_irt,gp_irt,theta"),
    ] = None
    run: Annotated[
        str | None,
        option("Model columns that name the training run, comma-separated.", metavar="COLUMN,..."),
    ] = None
    model_clusters: Annotated[
        str | None, option("Model column; models with the same value are kept in the same fold.", metavar="COLUMN")
    ] = None
    calibrate_on: Annotated[str | None, option("Models to calibrate on: column=value,value;... or model=label,...")] = (
        None
    )
    evaluate_on: Annotated[str | None, option("Models to evaluate, in the same form; all others calibrate.")] = None
    folds: Annotated[int | None, option("Number of folds over runs, where no models are named.", default="4")] = None
    n_random: Annotated[int | None, option("Number of random subsets of each size.", default="400")] = None
    statistics: Annotated[
        str | None,
        choice(
            StatisticName, "Further columns, comma-separated; seed_model takes minutes.", default="all but seed_model"
        ),
    ] = None
    seed: Annotated[int | None, option("Seed of the random numbers.", callback=check_seed, default="0")] = None

    def design(self, paths: list[Path]) -> "StudyDesign":
        """Read the design file, or make a design of responses; what was given here wins."""
        from irt_bench.study.design import is_design, make_design, read_design

        fields = {
            "benchmarks": _words("--benchmark", self.benchmark), "sizes": _numbers(self.sizes),
            "methods": _words("--methods", self.methods), "weights": _words("--weights", self.weights),
            "estimators": _words("--estimators", self.estimators), "run": _words("--run", self.run),
            "model_clusters": self.model_clusters, "calibration": _models(self.calibrate_on),
            "evaluation": _models(self.evaluate_on), "n_folds": self.folds, "n_random": self.n_random,
            "statistics": _words("--statistics", self.statistics), "seed": self.seed,
        }  # fmt: skip
        given = {name: value for name, value in fields.items() if value is not None}
        if len(paths) == 1 and is_design(paths[0]):
            return read_design(paths[0], given)
        return make_design({"responses": tuple(map(str, paths)), **given})


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Where to compute."""

    backend: Annotated[str, choice(BackendName, "On this machine, or on a cluster.", panel=WHERE)] = "loky"
    scheduler: Annotated[str | None, option("Address of the cluster's scheduler.", panel=WHERE)] = None
    jobs: Annotated[int, option("Number of workers; -1: one per processor.", panel=WHERE)] = -1
    shard: Annotated[
        str | None,
        option("Compute only part i of n of the tasks, for job arrays.", metavar="I/N", panel=WHERE),
    ] = None

    def workers(self) -> "Workers":
        """Check the shard, and say where tasks are computed."""
        from irt_bench.study.run import Workers

        return Workers(self.backend, self.scheduler, self.jobs, _shard(self.shard))


@command
def study(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Files or folders with responses, or one design file.", metavar="RESPONSES|DESIGN"),
    ],
    output: Annotated[Path, option("Folder to write, or to continue in.", "--output", "-o")],
    designing: DesignOptions,
    computing: WorkerOptions,
    reading: FileOptions,
    drawing: FigureOptions,
    alternative: Annotated[
        list[str] | None,
        option("Other scores of the same models, such as another framing: NAME=FILE; may be repeated."),
    ] = None,
    dry_run: Annotated[
        bool, flag("--dry-run", "Print the plan, its cost and what can be detected, and write nothing.")
    ] = False,
    safe_csv: SafeCsv = False,
    json: Json = False,
) -> None:
    """Compare the seed variance of subsets and weightings of a benchmark, on models that took no part in making them.

    The same command continues a study that was stopped; a changed study computes only what changed.
    """
    from irt_bench.api.study import Study

    drawing.check(["forest", "path", "cures"], force=True)  # a study continues in what it wrote
    workers, design = computing.workers(), designing.design(paths)
    table = reading.read([Path(path) for path in design.responses])
    if dry_run:
        _dry_run(table, design, workers.jobs, json=json)
        return
    others = _alternatives(alternative or [], table, reading.format)
    found = _run(table, design, output, workers, others)
    if found is None:
        out.print(f"This shard is finished. When all are: the same command without --shard writes {output}.")
        return
    Study.of(found).save(output, safe_csv=safe_csv)
    drawing.write(Study.of(found).plot)
    _print(found, output, json=json)


def _alternatives(given: list[str], table: "ResponseTable", format: str | None) -> dict[str, Any]:
    """Read 'NAME=FILE' into mean scores by benchmark and model."""
    from irt_bench.api.study import mean_scores

    found = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or not name or not path:
            raise AnalysisError(f"--alternative {text!r}: a name and a file are needed, such as cloze=cloze.parquet.")
        found[name] = mean_scores(name, FileOptions(format=format).read([Path(path)]), table)
    return found


def _run(
    table: "ResponseTable", design: "StudyDesign", output: Path, workers: "Workers", others: dict[str, Any]
) -> "StudyResult | None":
    from irt_bench.study.run import run_study

    try:
        with progress_bar() as progress:
            return run_study(table, design, output, workers=workers, progress=progress, alternatives=others)
    except KeyboardInterrupt as stop:
        err.print(
            f"Stopped. Finished tasks are kept in {output}: the same command continues from there.", soft_wrap=True
        )
        raise typer.Exit(exit_code(stop)) from None


def _print(found: "StudyResult", output: Path, *, json: bool) -> None:
    from irt_bench.report.tables.score_tables import print_study

    if json:
        print_text(json_text(found.to_dict()))
        return
    print_study(found, out)
    out.print(f"Wrote {output}", highlight=False)


def _dry_run(table: "ResponseTable", design: "StudyDesign", jobs: int, *, json: bool) -> None:
    import tempfile

    from irt_bench.report.tables.score_tables import print_plan
    from irt_bench.study.plan import plan_study
    from irt_bench.study.rows import predict_power

    with tempfile.TemporaryDirectory() as folder:
        plan = plan_study(table, design, Path(folder))
        expected = predict_power(plan)
    if json:
        print_text(
            json_text({"cost": plan.cost(), "notes": list(plan.notes), "detectable": expected.to_dict("records")})
        )
        return
    print_plan(plan, expected, out, jobs=jobs)


def _words(option: str, text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    words = tuple(part.strip() for part in text.split(",") if part.strip())
    if not words:
        raise AnalysisError(f"{option} {text!r} names nothing; names joined by commas are needed, or leave it out.")
    return words


def _numbers(text: str | None) -> tuple[float, ...] | None:
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise AnalysisError(f"--sizes {text!r}: numbers joined by commas are needed, such as 20,50,100.") from error


def _models(text: str | None) -> dict[str, tuple[str, ...]] | None:
    """Read 'column=value,value;column=value'."""
    if text is None:
        return None
    found = {}
    for part in text.split(";"):
        column, equals, values = part.partition("=")
        if not equals or not values:
            raise AnalysisError(f"{part!r}: models are named as column=value,value or model=label,label.")
        found[column.strip()] = tuple(value.strip() for value in values.split(","))
    return found


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    number, slash, total = text.partition("/")
    if not (slash and number.isdecimal() and total.isdecimal() and 1 <= int(number) <= int(total)):
        raise AnalysisError(f"--shard {text!r}: i/n with i from 1 to n is needed, such as 3/8.")
    return int(number), int(total)
