"""irt-bench variance and study: how far a score moves if training is repeated, and whether subsets move less."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from irt_bench.cli.command import (
    FigureOptions,
    FileOptions,
    Json,
    OutputFolder,
    Paths,
    ResponseOptions,
    SafeCsv,
    Seed,
    TableOptions,
    check_seed,
    choice,
    command,
    err,
    exit_code,
    flag,
    option,
    out,
    print_text,
    progress_bar,
    say_written,
)
from irt_bench.errors import AnalysisError
from irt_bench.files import json_text, replacing_folder, write_json
from irt_bench.names import BackendName, EstimatorName, SamplerName, SelectorName, StatisticName, WeightingName

if TYPE_CHECKING:
    from irt_bench.api.model_scores import RecipeComparison
    from irt_bench.api.variance import SeedVariance
    from irt_bench.responses import ResponseTable
    from irt_bench.study.design import StudyDesign
    from irt_bench.study.results import StudyResult
    from irt_bench.workers import Workers

RECIPES, COMPARE, MODELS, SEED_MODEL = (
    "Two training recipes",
    "Two versions of a benchmark",
    "Two models",
    "Hierarchical model of seeds",
)  # panels of the help
WHERE = "Where to compute"
RunColumns = Annotated[
    str | None, option("Model columns that name the training run, comma-separated.", metavar="COLUMN,...")
]


def _share(text: str | float) -> float:
    """Read 0.01, 1pt or 1% as a share."""
    plain = str(text).strip().lower()
    unit = next((each for each in ("points", "pts", "pt", "%") if plain.endswith(each)), "")
    try:
        return float(plain.removesuffix(unit)) / (100 if unit else 1)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a difference of scores, such as 0.01, 1pt or 1%.") from None


@dataclass(frozen=True, kw_only=True)
class LayoutOptions:
    """Which columns name runs and subtasks."""

    run: RunColumns = None
    group: Annotated[str | None, option("Item column with the subtask or template.", metavar="COLUMN")] = None

    @property
    def run_columns(self) -> tuple[str, ...] | None:
        """Columns of the models."""
        return _words("--run", self.run)

    def read(self, paths: list[Path], reading: ResponseOptions) -> "ResponseTable":
        """Read responses, with the subtasks that the column names."""
        table = reading.read(paths)
        if self.group is None:
            return table
        from irt_bench.variance.seed_variance import with_subtasks_from

        return with_subtasks_from(table, self.group)


@dataclass(frozen=True, kw_only=True)
class DetectionOptions:
    """Which difference is to be detected."""

    detect: Annotated[
        float | None,
        option(
            "Difference between two recipes, such as 0.01 or 1pt; shows how many seeds, items or trials detect it.",
            parser=_share,
            metavar="SHARE",
        ),
    ] = None
    power: Annotated[float, option("Power with which it is to be detected.")] = 0.8

    def given(self) -> dict[str, Any]:
        """Arguments of `seed_variance`."""
        return {"difference": self.detect, "power": self.power}

    def check(self) -> None:
        """Refuse what is out of range."""
        if not 0.05 < self.power < 1:
            raise AnalysisError(f"--power is {self.power}; a chance above 0.05 and below 1, such as 0.8, is needed.")
        if self.detect is not None and not 0 < self.detect < 1:
            raise AnalysisError(
                f"--detect is {self.detect}; a difference of scores between 0 and 1, such as 0.01, is needed."
            )


@dataclass(frozen=True, kw_only=True)
class SeedModelOptions:
    """Whether and how the hierarchical model of seeds is fitted."""

    seed_model: Annotated[
        str | None,
        choice(SamplerName, "Fit a 2PL in which abilities vary with seed and step, by this method.", panel=SEED_MODEL),
    ] = None
    fit: Annotated[
        Path | None, option("Fit of other models; its item parameters are used.", metavar="DIR", panel=SEED_MODEL)
    ] = None
    subset: Annotated[
        Path | None, option("Subset whose seed sd is given beside that of all items.", metavar="FILE", panel=SEED_MODEL)
    ] = None

    def given(self, seed: int) -> dict[str, Any]:
        """Arguments of `seed_variance`."""
        if self.seed_model is None:
            if self.fit is not None or self.subset is not None:
                raise AnalysisError("--fit and --subset belong to --seed-model; add --seed-model svi or nuts.")
            return {}
        from irt_bench.api.subset import Subset
        from irt_bench.inference.fit import FitResult
        from irt_bench.variance.seed_effect import seed_model_settings

        return {
            "seed_model": seed_model_settings(self.seed_model, seed),
            "fit": None if self.fit is None else FitResult.load(self.fit),
            "subset": None if self.subset is None else Subset.load(self.subset),
        }


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """Which two models are compared, and which of their items belong together."""

    models: Annotated[
        tuple[str, str] | None,
        option("Labels of two models to compare, item by item.", metavar="MODEL MODEL", panel=MODELS),
    ] = None
    item_clusters: Annotated[
        str | None,
        option("Item column with clusters of items, such as those on one passage.", metavar="COLUMN", panel=MODELS),
    ] = None

    def check(self) -> None:
        """Refuse clusters without models."""
        if self.item_clusters is not None and self.models is None:
            raise AnalysisError("--item-clusters belongs to --models; for seeds, name the items' column with --group.")


@command
def variance(
    paths: Paths,
    pair: PairOptions,
    layout: LayoutOptions,
    detection: DetectionOptions,
    modelling: SeedModelOptions,
    reading: ResponseOptions,
    writing: TableOptions,
    drawing: FigureOptions,
    output: OutputFolder = None,
    recipes: Annotated[
        tuple[str, str] | None,
        option(
            "Two runs of several seeds; shows whether one is better, per task and overall. See --detect and --group.",
            metavar="RUN RUN",
            panel=RECIPES,
        ),
    ] = None,
    compare: Annotated[
        bool,
        flag(
            "--compare",
            "Compare the seed variance of two paths with the same seeds, such as two prompt formats.",
            panel=COMPARE,
        ),
    ] = False,
    measure: Annotated[
        str,
        option(
            "Measure to compare: accuracy, or a continuous one in the logs, such as gold_probability.", panel=COMPARE
        ),
    ] = "accuracy",
    seed: Seed = 0,
) -> None:
    """Measure seed variance: how much scores move between seeds, variance components, detectable differences."""
    from irt_bench.api.model_scores import compare_models
    from irt_bench.api.variance import VariancePlot, compare_seed_variance

    writing.check(output, folder=True)
    drawing.check(["recipes"] if recipes is not None else get_args(VariancePlot), force=writing.force)
    if drawing.figure is not None and (compare or pair.models is not None):
        raise AnalysisError("--figure draws seed variance or --recipes; --models and --compare give one row.")
    if compare and len(paths) != 2:
        raise AnalysisError(f"--compare needs two paths, {len(paths)} were given: the two versions to compare.")
    detection.check()
    pair.check()
    if pair.models is not None:
        counts = layout.read(paths, reading).counts()
        row = compare_models(counts, *pair.models, item_clusters=pair.item_clusters, run=layout.run_columns)
        _finish(row.to_dict(), output, "Two models, item by item", json=writing.json)
    elif recipes is not None:
        found = _recipes(layout.read(paths, reading), recipes, layout, detection, output, writing)
        drawing.write(found.plot)
    elif compare:
        a, b = (layout.read([path], reading) for path in paths)
        labels = (str(paths[0]), str(paths[1]))
        row = compare_seed_variance(a, b, measure=measure, labels=labels, run=layout.run_columns, seed=seed)
        _finish(row.to_dict(), output, "Seed variance of a against b, on the same seeds", json=writing.json)
    else:
        how = {"run": layout.run_columns, "seed": seed} | detection.given() | modelling.given(seed)
        drawing.write(_analyse(layout.read(paths, reading), how, output, writing).plot)


def _analyse(table: "ResponseTable", how: dict[str, Any], output: Path | None, writing: TableOptions) -> "SeedVariance":
    from irt_bench.api.variance import seed_variance
    from irt_bench.report.tables.score_tables import print_seed_model, print_seed_variance

    with progress_bar() as progress:
        found = seed_variance(table, **how, progress=progress)
    if output is not None:
        found.save(output, safe_csv=writing.safe_csv)
    if writing.json:
        print_text(json_text(found.to_dict()))
        return found
    print_seed_variance(found.result, console=out)
    if found.modelled is not None:
        print_seed_model(found.modelled, console=out)
    say_written(output)
    return found


def _recipes(
    table: "ResponseTable",
    recipes: tuple[str, str],
    layout: LayoutOptions,
    detection: DetectionOptions,
    output: Path | None,
    writing: TableOptions,
) -> "RecipeComparison":
    from irt_bench.api.variance import compare_recipes
    from irt_bench.report.tables.score_tables import print_recipes
    from irt_bench.variance.detect import DIFFERENCE

    difference = DIFFERENCE if detection.detect is None else detection.detect
    found = compare_recipes(
        table, *recipes, difference=difference, power=detection.power, run=layout.run_columns, group=layout.group
    )
    if output is not None:
        found.save(output, safe_csv=writing.safe_csv)
    if writing.json:
        print_text(json_text(found.to_dict()))
    else:
        print_recipes(found.tasks, recipes, difference, console=out)
        say_written(output)
    return found


def _finish(row: dict[Any, object], output: Path | None, title: str, *, json: bool) -> None:
    """Write one comparison, and print it as a table or as JSON."""
    from irt_bench.report.tables.score_tables import print_row

    if output is not None:
        with replacing_folder(output) as folder:
            write_json(folder / "summary.json", row)
    if json:
        print_text(json_text(row))
    else:
        print_row(row, title=title, console=out)
        say_written(output)


@dataclass(frozen=True, kw_only=True)
class DesignOptions:
    """What is studied; what is None is left to the design file or its defaults."""

    benchmark: Annotated[str | None, option("Benchmarks, comma-separated; by default all.")] = None
    sizes: Annotated[
        str | None, option("Sizes of subsets, comma-separated; below 1: shares of the items.", default="20,50,100")
    ] = None
    methods: Annotated[str | None, choice(SelectorName, "How to choose items, comma-separated.", default="all")] = None
    weights: Annotated[
        str | None, choice(WeightingName, "How to weight items, comma-separated.", default="by method")
    ] = None
    estimators: Annotated[
        str | None,
        choice(
            EstimatorName,
            "How to score, comma-separated; theta (ability) is possible, too.",
            default="weighted,p_irt,gp_irt,theta",
        ),
    ] = None
    run: RunColumns = None
    model_clusters: Annotated[
        str | None, option("Model column; models with the same value are kept in the same fold.", metavar="COLUMN")
    ] = None
    calibrate_on: Annotated[str | None, option("Models to calibrate on: column=value,value;... or model=label,...")] = (
        None
    )
    evaluate_on: Annotated[str | None, option("Models to evaluate, in the same form; the others calibrate.")] = None
    folds: Annotated[int | None, option("Number of folds over runs, where no models are named.", default="4")] = None
    n_random: Annotated[int | None, option("Number of random subsets of each size.", default="400")] = None
    statistics: Annotated[
        str | None,
        choice(
            StatisticName, "Statistics to add, comma-separated; seed_model takes minutes.", default="all but seed_model"
        ),
    ] = None
    seed: Annotated[
        int | None,
        option("Seed of random numbers; the same seed gives the same result.", callback=check_seed, default="0"),
    ] = None

    def design(self, paths: list[Path]) -> "StudyDesign":
        """Read the design file, or make a design of responses; what was given here wins."""
        from irt_bench.study.design import is_design, make_design, read_design

        fields = {
            "benchmarks": _words("--benchmark", self.benchmark), "sizes": _numbers(self.sizes),
            "methods": _words("--methods", self.methods), "weights": _words("--weights", self.weights),
            "estimators": _words("--estimators", self.estimators), "run": _words("--run", self.run),
            "model_clusters": self.model_clusters, "calibration": _named_models(self.calibrate_on),
            "evaluation": _named_models(self.evaluate_on), "n_folds": self.folds, "n_random": self.n_random,
            "statistics": _words("--statistics", self.statistics), "seed": self.seed,
        }  # fmt: skip
        given = {name: value for name, value in fields.items() if value is not None}
        if len(paths) == 1 and is_design(paths[0]):
            return read_design(paths[0], given)
        return make_design({"responses": tuple(map(str, paths)), **given})


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Where to compute."""

    backend: Annotated[str, choice(BackendName, "loky: on this machine; dask: on a cluster.", panel=WHERE)] = "loky"
    scheduler: Annotated[str | None, option("Address of the cluster's scheduler.", panel=WHERE)] = None
    jobs: Annotated[int, option("Number of workers; -1: one per processor.", panel=WHERE)] = -1
    shard: Annotated[
        str | None, option("Compute only part I of N of the tasks, for job arrays.", metavar="I/N", panel=WHERE)
    ] = None

    def workers(self) -> "Workers":
        """Check the shard, and say where tasks are computed."""
        from irt_bench.workers import Workers

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
        option("Other scores of the same models, such as another prompt format, as NAME=FILE. Repeatable."),
    ] = None,
    dry_run: Annotated[
        bool, flag("--dry-run", "Print the plan, its cost and what can be detected, and write nothing.")
    ] = False,
    safe_csv: SafeCsv = False,
    json: Json = False,
) -> None:
    """Compare the seed variance of subsets and weightings of a benchmark, on models not used to choose them.

    The same command continues a study that was stopped. After a change of the study, it computes only what changed.
    """
    from irt_bench.api.study import Study

    drawing.check(["forest", "path", "cures"], force=True)  # a study continues in what it wrote
    workers, design = computing.workers(), designing.design(paths)
    table = reading.read([Path(path) for path in design.responses])
    if dry_run:
        _dry_run(table, design, workers.jobs, json=json)
        return
    others = _alternatives(alternative or [], table, reading.format)
    found = _run_study(table, design, output, workers, others)
    if found is None:
        out.print(f"This shard is finished. When all are: the same command without --shard writes {output}.")
        return
    Study.of(found).save(output, safe_csv=safe_csv)
    drawing.write(Study.of(found).plot)
    _print_study(found, output, json=json)


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


def _run_study(
    table: "ResponseTable", design: "StudyDesign", output: Path, workers: "Workers", others: dict[str, Any]
) -> "StudyResult | None":
    from irt_bench.study.results import run_study

    try:
        with progress_bar() as progress:
            return run_study(table, design, output, workers=workers, progress=progress, alternatives=others)
    except KeyboardInterrupt as stop:
        err.print(
            f"Stopped. Finished tasks are kept in {output}: the same command continues from there.", soft_wrap=True
        )
        raise typer.Exit(exit_code(stop)) from None


def _print_study(found: "StudyResult", output: Path, *, json: bool) -> None:
    from irt_bench.report.tables.score_tables import print_study

    if json:
        print_text(json_text(found.to_dict()))
        return
    print_study(found, out)
    out.print(f"Wrote {output}", highlight=False)


def _dry_run(table: "ResponseTable", design: "StudyDesign", jobs: int, *, json: bool) -> None:
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


def _named_models(text: str | None) -> dict[str, tuple[str, ...]] | None:
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
