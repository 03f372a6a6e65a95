"""irt-bench variance: how far a score would move if training were repeated."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from irt_bench.cli.options import (
    Benchmark,
    Filter,
    Force,
    FormatName,
    Json,
    Metric,
    Paths,
    SafeCsv,
    Seed,
    choice,
    clear_errors,
    flag,
    read_paths,
    records,
)
from irt_bench.console import out, print_text, progress_bar
from irt_bench.errors import AnalysisError
from irt_bench.files import check_output, json_text, replacing_folder, write_csv, write_json
from irt_bench.names import SamplerName

if TYPE_CHECKING:
    from irt_bench.responses import ResponseTable

RECIPES, COMPARE, MODELS, SEED_MODEL = (
    "Two training recipes",
    "Two versions of a benchmark",
    "Two models",
    "Hierarchical model of seeds",
)  # panels of the help


def _share(text: str | float) -> float:
    """Read 0.01, 1pt or 1% as a share."""
    plain = str(text).strip().lower()
    unit = next((each for each in ("points", "pts", "pt", "%") if plain.endswith(each)), "")
    try:
        return float(plain.removesuffix(unit)) / (100 if unit else 1)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a difference of scores, such as 0.01, 1pt or 1%.") from None


Detect = Annotated[
    float | None,
    typer.Option(
        help="Difference between two recipes, such as 0.01 or 1pt: how many seeds, items or trials detect it?",
        parser=_share,
        metavar="SHARE",
    ),
]


class _Reading(NamedTuple):
    """What to read, and which columns say what."""

    paths: list[Path]
    benchmark: str | None
    format: str | None
    metric: str | None
    filter: str | None
    runs: tuple[str, ...] | None
    group: str | None

    def table(self, paths: list[Path] | None = None) -> "ResponseTable":
        table = read_paths(paths or self.paths, self.benchmark, self.format, self.metric, self.filter)
        if self.group is None:
            return table
        from irt_bench.variance.benchmark_runs import with_subtasks_from

        return with_subtasks_from(table, self.group)


Compare = Annotated[
    bool,
    flag(
        "--compare",
        "Compare the seed variance of two paths, such as two prompt formats, on the same seeds.",
        panel=COMPARE,
    ),
]
Measure = Annotated[
    str,
    typer.Option(
        help="Measure to compare: accuracy, or a continuous one in the logs, such as gold_probability.",
        rich_help_panel=COMPARE,
    ),
]
TwoModels = Annotated[
    tuple[str, str] | None,
    typer.Option(help="Labels of two models to compare, item by item.", metavar="MODEL MODEL", rich_help_panel=MODELS),
]
TwoRecipes = Annotated[
    tuple[str, str] | None,
    typer.Option(
        help="Two runs of several seeds: is one better, per task and over all? See --detect and --group.",
        metavar="RUN RUN",
        rich_help_panel=RECIPES,
    ),
]
ItemCluster = Annotated[
    str | None,
    typer.Option(
        help="Item column with clusters that were drawn together, such as passages.",
        metavar="COLUMN",
        rich_help_panel=MODELS,
    ),
]


@clear_errors
def variance(
    paths: Paths,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to write.")] = None,
    recipes: TwoRecipes = None,
    compare: Compare = False,
    measure: Measure = "accuracy",
    models: TwoModels = None,
    run: Annotated[
        str | None,
        typer.Option(help="Model columns that name the training run, comma-separated.", metavar="COLUMN,..."),
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Item column with the subtask or template.", metavar="COLUMN")
    ] = None,
    cluster: ItemCluster = None,
    detect: Detect = None,
    power: Annotated[float, typer.Option(help="Power of the test for that difference.")] = 0.8,
    seed_model: Annotated[
        str | None,
        choice(SamplerName, "Fit a 2PL in which abilities vary with seed and step, by this method.", panel=SEED_MODEL),
    ] = None,
    fit: Annotated[
        Path | None,
        typer.Option(
            help="Fit to other models, whose item parameters are used.", metavar="DIR", rich_help_panel=SEED_MODEL
        ),
    ] = None,
    subset: Annotated[
        Path | None,
        typer.Option(
            help="Subset whose seed sd is given beside that of all items.", metavar="FILE", rich_help_panel=SEED_MODEL
        ),
    ] = None,
    benchmark: Benchmark = None,
    format: FormatName = None,
    metric: Metric = None,
    filter: Filter = None,
    seed: Seed = 0,
    safe_csv: SafeCsv = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Measure seed variance: how much scores move between seeds, variance components, detectable differences."""
    _check(paths, output, compare=compare, force=force, power=power, detect=detect)
    if cluster is not None and models is None:
        raise AnalysisError("--cluster belongs to --models; for seeds, name the items' column with --group.")
    columns = None if run is None else tuple(part.strip() for part in run.split(","))
    reading = _Reading(paths, benchmark, format, metric, filter, columns, group)
    if models is not None:
        _finish(_pair(reading, models, cluster), output, "Two models, item by item", json=json)
    elif recipes is not None:
        _recipes(reading, recipes, (detect, power), output, safe=safe_csv, json=json)
    elif compare:
        _finish(_framings(reading, measure, seed), output, "Seed variance of a against b, on the same seeds", json=json)
    else:
        how = _seed_model(seed_model, fit, subset, seed)
        _analyse(reading, output, (detect, power), how, seed=seed, safe=safe_csv, json=json)


def _check(
    paths: list[Path], output: Path | None, *, compare: bool, force: bool, power: float, detect: float | None
) -> None:
    """Refuse what cannot work before anything is read."""
    if output is not None:
        check_output(output, force=force, folder=True)
    if compare and len(paths) != 2:
        raise AnalysisError(f"--compare needs two paths, {len(paths)} were given: the two versions to compare.")
    if not 0.05 < power < 1:
        raise AnalysisError(f"--power is {power}; a chance above 0.05 and below 1, such as 0.8, is needed.")
    if detect is not None and not 0 < detect < 1:
        raise AnalysisError(f"--detect is {detect}; a difference of scores between 0 and 1, such as 0.01, is needed.")


def _seed_model(method: str | None, fit: Path | None, subset: Path | None, seed: int) -> dict[str, Any] | None:
    """Arguments of `model_seed_effects`; None where the model is not asked for."""
    if method is None:
        if fit is not None or subset is not None:
            raise AnalysisError("--fit and --subset belong to --seed-model; add --seed-model svi or nuts.")
        return None
    from irt_bench.inference.fit import FitResult
    from irt_bench.subsets.subset import read_subset
    from irt_bench.variance.seed_ability import seed_model_settings

    chosen: dict[str, Any] = {"settings": seed_model_settings(method, seed)}
    if fit is not None:
        chosen["items"] = FitResult.load(fit).posterior
    if subset is not None:
        import pandas as pd

        chosen["weights"] = pd.Series({item.id: item.weight for item in read_subset(subset).items})
    return chosen


def _analyse(
    reading: _Reading,
    output: Path | None,
    detection: tuple[float | None, float],
    how: dict[str, Any] | None,
    *,
    seed: int,
    safe: bool,
    json: bool,
) -> None:
    from irt_bench.api.variance import SeedVariance
    from irt_bench.report.tables.score_tables import print_seed_model, print_seed_variance
    from irt_bench.variance.seed_variance import analyse_seed_variance

    table = reading.table()
    with progress_bar() as progress:
        found = analyse_seed_variance(
            table, run_columns=reading.runs, seed=seed, difference=detection[0], power=detection[1], progress=progress
        )
        modelled = None
        if how is not None:
            from irt_bench.variance.seed_ability import model_seed_effects

            modelled = model_seed_effects(table, run_columns=reading.runs, progress=progress, **how)
    result = SeedVariance(found, modelled)
    if output is not None:
        result.save(output, safe_csv=safe)
    if json:
        print_text(json_text(result.to_dict()))
        return
    print_seed_variance(found, console=out)
    if modelled is not None:
        print_seed_model(modelled, console=out)


def _framings(reading: _Reading, measure: str, seed: int) -> dict[str, object]:
    from irt_bench.variance.benchmark_runs import one_measure
    from irt_bench.variance.paired_scores import compare_variance

    sides = [reading.table([path]).one_benchmark() for path in reading.paths]
    runs = [one_measure(side, measure, run_columns=reading.runs)[0] for side in sides]
    labels = (str(reading.paths[0]), str(reading.paths[1]))
    return compare_variance(runs[0], runs[1], labels=labels, seed=seed).row()


def _recipes(
    reading: _Reading,
    recipes: tuple[str, str],
    detection: tuple[float | None, float],
    output: Path | None,
    *,
    safe: bool,
    json: bool,
) -> None:
    from irt_bench.api.variance import compare_recipes
    from irt_bench.report.tables.score_tables import print_recipes
    from irt_bench.variance.detect import DIFFERENCE

    difference = DIFFERENCE if detection[0] is None else detection[0]
    table = compare_recipes(
        reading.table(), *recipes, difference=difference, power=detection[1], run=reading.runs, group=reading.group
    )
    if output is not None:
        with replacing_folder(output) as folder:
            write_csv(table, folder / "recipes.csv", safe=safe)
            write_json(folder / "summary.json", {"a": recipes[0], "b": recipes[1], "tasks": records(table)})
    if json:
        print_text(json_text({"a": recipes[0], "b": recipes[1], "tasks": records(table)}))
    else:
        print_recipes(table, recipes, difference, console=out)


def _pair(reading: _Reading, models: tuple[str, str], cluster: str | None) -> dict[str, object]:
    from irt_bench.variance.model_pair import compare_models

    return asdict(compare_models(reading.table().counts(), *models, cluster=cluster, run_columns=reading.runs))


def _finish(row: dict[str, object], output: Path | None, title: str, *, json: bool) -> None:
    """Write one comparison, and print it as a table or as JSON."""
    from irt_bench.report.tables.score_tables import print_row

    if output is not None:
        with replacing_folder(output) as folder:
            write_json(folder / "summary.json", row)
    if json:
        print_text(json_text(row))
    else:
        print_row(row, title=title, console=out)
