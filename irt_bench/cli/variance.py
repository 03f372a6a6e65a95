"""irt-bench variance: how far a score would move if training were repeated."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from irt_bench.cli.command import command, out, print_text, progress_bar
from irt_bench.cli.options import (
    FigureOptions,
    OutputFolder,
    Paths,
    ResponseOptions,
    Seed,
    TableOptions,
    choice,
    flag,
    option,
    say_written,
)
from irt_bench.errors import AnalysisError
from irt_bench.files import json_text, replacing_folder, write_json
from irt_bench.names import SamplerName

if TYPE_CHECKING:
    from irt_bench.api.model_scores import RecipeComparison
    from irt_bench.api.variance import SeedVariance
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


@dataclass(frozen=True, kw_only=True)
class LayoutOptions:
    """Which columns name runs and subtasks."""

    run: Annotated[
        str | None,
        option("Model columns that name the training run, comma-separated.", metavar="COLUMN,..."),
    ] = None
    group: Annotated[str | None, option("Item column with the subtask or template.", metavar="COLUMN")] = None

    @property
    def run_columns(self) -> tuple[str, ...] | None:
        """Columns of the models."""
        return None if self.run is None else tuple(part.strip() for part in self.run.split(","))

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
            "Difference between two recipes, such as 0.01 or 1pt: how many seeds, items or trials detect it?",
            parser=_share,
            metavar="SHARE",
        ),
    ] = None
    power: Annotated[float, option("Power of the test for that difference.")] = 0.8

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
        Path | None,
        option("Fit to other models, whose item parameters are used.", metavar="DIR", panel=SEED_MODEL),
    ] = None
    subset: Annotated[
        Path | None,
        option("Subset whose seed sd is given beside that of all items.", metavar="FILE", panel=SEED_MODEL),
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
        option("Item column with clusters that were drawn together, such as passages.", metavar="COLUMN", panel=MODELS),
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
            "Two runs of several seeds: is one better, per task and over all? See --detect and --group.",
            metavar="RUN RUN",
            panel=RECIPES,
        ),
    ] = None,
    compare: Annotated[
        bool,
        flag(
            "--compare",
            "Compare the seed variance of two paths, such as two prompt formats, on the same seeds.",
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
