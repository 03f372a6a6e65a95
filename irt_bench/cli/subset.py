"""irt-bench subset, export and adaptive: make a reduced benchmark, hand it to a harness, test models adaptively."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from rich.markup import escape

from irt_bench.cli.command import (
    FigureOptions,
    FitFolder,
    Force,
    OutputCsv,
    Paths,
    ResponseOptions,
    SafeCsv,
    Seed,
    SubsetFile,
    WriteOptions,
    choice,
    command,
    err,
    flag,
    option,
    out,
    print_text,
    progress_bar,
    records,
    say_written,
)
from irt_bench.errors import SubsetError, check_jobs, check_range
from irt_bench.files import check_output, json_text, replacing, write_csv
from irt_bench.names import EstimatorName, ExportName, SelectorName, WeightingName

if TYPE_CHECKING:
    import pandas as pd

    from irt_bench.api.subset_comparison import CalibrationComparison, SubsetComparison
    from irt_bench.inference.fit import FitResult
    from irt_bench.responses import ResponseCounts
    from irt_bench.subsets.calibration import Calibration
    from irt_bench.subsets.harness.export_tasks import AdaptiveRules
    from irt_bench.subsets.subset import SubsetRecord


COMPARE = "With --compare"  # panels of the help
TASK, INSPECT, LIVE = "To lm-eval-task", "To inspect", "Adaptive: to inspect-adaptive, lm-eval-round"
ROUND = 20  # items
LEVEL = 0.05
MIN_TARGET_SE = 1e-6


@dataclass(frozen=True, kw_only=True)
class SubsetOptions:
    """What subset is asked for; what is None is left to the defaults."""

    size: Annotated[float | None, option("Number of items; below 1: share of all items.")] = None
    target_se: Annotated[
        float | None,
        option("Instead of --size: make the smallest subset whose standard error is at most this, such as 0.02."),
    ] = None
    method: Annotated[str | None, choice(SelectorName, "How to choose items.", default="anchors-proportional")] = None
    weights: Annotated[str | None, choice(WeightingName, "How to weight items.", default="by method")] = None
    estimator: Annotated[
        str | None, choice(EstimatorName, "How to estimate the full score.", default="p_irt_residual")
    ] = None
    parallel_forms: Annotated[bool, flag("--parallel-forms", "Make two subsets of this size without common items.")] = (
        False
    )

    def given(self) -> dict[str, Any]:
        """Arguments of `make_subsets`, beside the number of items."""
        names = ("target_se", "method", "weights", "estimator")
        return {name: getattr(self, name) for name in names} | {"two_forms": self.parallel_forms}


@dataclass(frozen=True, kw_only=True)
class CalibrationOptions:
    """What subsets are calibrated with."""

    fit: Annotated[Path | None, option("Folder that irt-bench fit wrote for these responses.", metavar="DIR")] = None
    keep_negative: Annotated[bool, flag("--keep-negative", "Allow items with negative discrimination.")] = False
    macro: Annotated[bool, flag("--macro", "Define the full score as the mean over subtasks, not over items.")] = False
    ability_range: Annotated[
        tuple[float, float] | None,
        option("Lowest and highest ability for which the method information chooses items.", metavar="LOW HIGH"),
    ] = None
    seed: Seed = 0

    def given(self) -> dict[str, Any]:
        """Arguments of `calibration_plan` and `compare_subsets`."""
        from irt_bench.inference.fit import FitResult

        return vars(self) | {"fit": None if self.fit is None else FitResult.load(self.fit)}


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions:
    """How the ways to make a subset are compared."""

    sizes: Annotated[str, option("Sizes, comma-separated.", panel=COMPARE)] = "20,50,100"
    max_models: Annotated[int, option("Largest number of models; of more, some are drawn.", min=4, panel=COMPARE)] = 400
    n_random: Annotated[int, option("Number of random subsets of each size.", min=1, max=100_000, panel=COMPARE)] = 200
    jobs: Annotated[
        int,
        option("Folds run in parallel; -1: one per processor.", min=-1, max=1_024, panel=COMPARE),
    ] = 1

    def given(self) -> dict[str, Any]:
        """Arguments of `compare_subsets`."""
        return vars(self) | {"sizes": numbers("--sizes", self.sizes)}


def numbers(name: str, text: str) -> list[float]:
    """Read numbers with commas between."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise SubsetError(f"{name} is {text!r}; numbers with commas between are needed: 20,50,100.") from None


@command
def subset(
    paths: Paths,
    output: Annotated[Path, option("File to write; with --compare, a folder.", "--output", "-o")],
    wanted: SubsetOptions,
    calibrating: CalibrationOptions,
    comparing: ComparisonOptions,
    reading: ResponseOptions,
    writing: WriteOptions,
    drawing: FigureOptions,
    compare: Annotated[bool, flag("--compare", "Compare all methods, weights and estimators instead.")] = False,
    calibration_models: Annotated[
        str | None,
        option(
            "Instead of --compare: numbers of calibration models, comma-separated; the error of the subset with each "
            "is written as CSV.",
            panel=COMPARE,
            metavar="N,...",
        ),
    ] = None,
) -> None:
    """Make a reduced benchmark that estimates the full score of new models, with an interval.

    What the methods, weights and estimators do: python -c "import irt_bench; help(irt_bench.make_subset)"
    """
    from irt_bench.api.subset import Subset
    from irt_bench.subsets.make import (
        asked_number,
        calibrated,
        calibration_plan,
        check_names,
        make_subsets,
        prompt_hashes,
    )

    writing.check(output, folder=compare)
    kind = "errors" if compare else "items" if calibration_models is None else "calibrations"
    drawing.check([kind], force=writing.force)
    _check(wanted, compare=compare, jobs=comparing.jobs)
    check_names([wanted.method], [wanted.weights], [wanted.estimator])
    table = reading.read(paths)
    counts = table.counts()
    _note_responses(counts)
    how = calibrating.given()
    if compare:
        methods = None if wanted.method is None else [wanted.method]
        found = _compare(counts, output, json=writing.json, methods=methods, **how, **comparing.given())
        drawing.write(found.plot)
        return
    number = asked_number(wanted.size, counts.n_items)
    if calibration_models is not None:
        n_models = numbers("--calibration-models", calibration_models)
        how = {"method": wanted.method, "estimator": wanted.estimator, "seed": calibrating.seed}
        drawing.write(_compare_calibrations(counts, output, number, n_models, json=writing.json, **how).plot)
        return
    with progress_bar() as progress:
        plan = calibration_plan(counts, **how)
        calibration = calibrated(counts, plan, how["fit"], seed=how["seed"], progress=progress)
    made = make_subsets(calibration, number, **wanted.given(), seed=how["seed"], hashes=prompt_hashes(table))
    if not writing.json:
        _show_negative(calibration, made)
    _write(made, output, writing)
    drawing.write(Subset(made[0]).plot)


def _check(wanted: SubsetOptions, *, compare: bool, jobs: int) -> None:
    """Refuse what cannot work before anything is read."""
    if not compare and (wanted.size is None) == (wanted.target_se is None):
        raise SubsetError("give either --size (a number of items, or a share of them) or --target-se, such as 0.02.")
    if wanted.target_se is not None:
        check_range(SubsetError, "--target-se", wanted.target_se, MIN_TARGET_SE, 1)
    check_jobs(SubsetError, jobs)


def _compare(counts: "ResponseCounts", output: Path, *, json: bool, **settings: Any) -> "SubsetComparison":
    """Compare, repeat under a shift and with shuffled answers, and write a folder of tables and a figure."""
    from irt_bench.api.subset_comparison import compare_subsets
    from irt_bench.report.tables import print_table
    from irt_bench.report.tables.score_tables import best_table

    with progress_bar() as progress:
        found = compare_subsets(counts, **settings, progress=progress)
    found.save(output)
    if json:
        print_text(json_text(found.to_dict()))
        return found
    for title, table in found.parts().items():
        print_table(table, title=title, console=out)
    for size in sorted(found.table()["size"].unique()):
        print_table(best_table(found.table(), size), title=f"Smallest errors with {size} items", console=out)
    for each in found.to_dict()["default"]:
        out.print(
            f"The default ({each['method']}, {each['weights']}, {each['estimator']}) with {each['size']} items: error "
            f"{100 * each['mae']:.2f} points, bias {100 * each['bias']:.2f}, coverage {100 * each['coverage']:.0f}%.",
            highlight=False,
        )
    for within, control in found.controls.items():
        for estimator, part in control.groupby("estimator", sort=False):
            out.print(f"Answers shuffled within {within}, {estimator}: {_verdict(part)}", highlight=False)
    say_written(output)
    return found


def _compare_calibrations(
    counts: "ResponseCounts",
    output: Path,
    size: int,
    n_models: list[float],
    *,
    json: bool,
    **settings: Any,
) -> "CalibrationComparison":
    """Show and write errors by the number of calibration models."""
    from irt_bench.api.subset_comparison import compare_calibrations
    from irt_bench.report.tables import print_table

    with progress_bar() as progress:
        found = compare_calibrations(counts, size, n_models, **settings, progress=progress)
    found.save(output)
    if json:
        print_text(json_text(found.to_dict()))
        return found
    print_table(found.summary(), title=f"Error of {size} items by number of calibration models", console=out)
    say_written(output)
    return found


def _verdict(control: "pd.DataFrame") -> str:
    """Say which methods beat random subsets after Holm's correction, and the smallest p-value."""
    better = control.loc[control["p_holm"] < LEVEL, "method"].unique()
    named = "no method beats" if len(better) == 0 else f"{', '.join(better)} beat{'s' * (len(better) == 1)}"
    return f"{named} random subsets (smallest adjusted p {control['p_holm'].min():.2g})."


def _note_responses(counts: "ResponseCounts") -> None:
    """Note what in the responses affects the estimates."""
    from irt_bench.responses.labels import models_without_family

    if counts.measure == "score":
        err.print(
            "[yellow]Note:[/] scores are fractional: each counts as part of a right answer. Intervals of full scores "
            "are calibrated on held-out models; sds of abilities are too wide rather than too narrow.",
            soft_wrap=True,
        )
    if len(alone := models_without_family(counts)):
        err.print(
            f"[yellow]Note:[/] the names of {len(alone):,} of {counts.n_models:,} models show no family, first: "
            f"{escape(repr(alone[0]))}. Each counts as a cluster of its own. If some come from one base model or run, "
            "name it in a column 'cluster'.",
            soft_wrap=True,
        )


def _show_negative(calibration: "Calibration", made: "list[SubsetRecord]") -> None:
    from irt_bench.report.tables import print_table
    from irt_bench.subsets.basis import negative_items

    negative = negative_items(calibration.whole)
    if len(negative):
        n_taken = sum(label in each.ids for each in made for label in negative.index)
        title = f"Items with negative discrimination: {len(negative)}, of which {n_taken} in the subset"
        print_table(negative, title=title, console=out, max_rows=8)


def _write(made: "list[SubsetRecord]", output: Path, writing: WriteOptions) -> None:
    """Write one subset, or two forms beside each other, and say what they are."""
    from irt_bench.subsets.subset import write_subset

    paths = [output]
    if len(made) > 1:
        paths = [output.with_name(f"{output.stem}-{letter}{output.suffix}") for letter in "ab"]
        for path in paths:
            writing.check(path)
    summaries = []
    for each, path in zip(made, paths, strict=True):
        write_subset(each, path)
        summaries.append(
            {
                "path": str(path),
                **{name: getattr(each, name) for name in ("benchmark", "size", "n_items_full", "method", "weights")},
                **{name: getattr(each, name) for name in ("estimator", "expected_error", "expected_se", "seed")},
                "expected_error_interval": each.expected_error_interval,
                "expected_se_interval": each.expected_se_interval,
                "abler": None if each.abler is None else each.abler.model_dump(),
                "smallest_gap": None if each.smallest_gap is None else each.smallest_gap.model_dump(),
                "n_models": each.calibration.n_models,
                "n_clusters": each.calibration.n_clusters,
                "metrics": list(each.metrics),
                "filters": list(each.filters),
            }
        )
        if not writing.json:
            out.print("\n".join([*_described(each), f"Wrote {path}"]), highlight=False)
    if writing.json:
        print_text(json_text({"subsets": summaries}))


def _described(subset: "SubsetRecord") -> list[str]:
    """Describe a subset, its expected errors, for which models they hold, and the gap that it orders correctly."""
    calibration, abler, gap = subset.calibration, subset.abler, subset.smallest_gap
    error = _points(subset.expected_error, subset.expected_error_interval)
    lines = [
        f"{subset.size} of {subset.n_items_full} items of {subset.benchmark}: method {subset.method}, weights "
        f"{subset.weights}, estimator {subset.estimator}.",
        f"Expected error of the full score, for models like these: {error} points (root mean square "
        f"{_points(subset.expected_se, subset.expected_se_interval)}), from {calibration.n_models} models in "
        f"{calibration.n_clusters} clusters, held out by cluster.",
    ]
    if abler is not None:
        lines.append(
            f"For abler models: {_points(abler.error, abler.error_interval)} points, bias {100 * abler.bias:.2f}, "
            "found by calibrating on the weaker half and scoring the strongest 30%."
        )
    else:
        lines.append("For abler models: not known, with so few models or an estimator that does not extrapolate.")
    if gap is not None:
        beside = "" if gap.random is None else f"; {100 * gap.random:.2f} with the mean of as many random items"
        lines.append(
            f"Smallest gap between two models that is ordered correctly 8 times in 10: "
            f"{_points(gap.gap, gap.interval)} points{'' if gap.interval else ' (no interval: too few pairs)'}{beside}."
        )
    else:
        lines.append("No gap between two models is known to be ordered correctly 8 times in 10.")
    return lines


def _points(value: float, interval: tuple[float, float] | None) -> str:
    limits = "" if interval is None else f" [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]"
    return f"{100 * value:.2f}{limits}"


@dataclass(frozen=True, kw_only=True)
class HarnessOptions:
    """What some formats need to know of a run."""

    metric: Annotated[
        str | None, option("Metric of the calibration, where the subset does not name it.", panel=TASK)
    ] = None
    split: Annotated[
        str | None, option("Split to evaluate; by default that of the full task, or test.", panel=TASK)
    ] = None
    base_yaml: Annotated[
        Path | None,
        option("YAML of the full task; by default that of the installed lm-eval.", metavar="FILE", panel=TASK),
    ] = None
    task: Annotated[
        str | None, option("Task of the run, such as file.py@task; also for inspect-adaptive.", panel=INSPECT)
    ] = None
    model: Annotated[str | None, option("Model to write into the run configuration.", panel=INSPECT)] = None


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """Rules of a live adaptive test, and what it starts from."""

    answers: Annotated[
        list[Path] | None,
        option("lm-eval-round: logs that one model has so far. Repeatable.", metavar="PATH", panel=LIVE),
    ] = None
    fit: Annotated[
        Path | None, option("Fit of the items; the test then allows for their uncertainty.", metavar="DIR", panel=LIVE)
    ] = None
    stop_sd: Annotated[float, option("Posterior sd of ability at which the test ends.", panel=LIVE)] = 0.3
    max_items: Annotated[int, option("Largest number of items of a test.", panel=LIVE)] = 200
    parallel: Annotated[
        int | None, option("Items asked at a time; by default 1, for lm-eval-round 20.", panel=LIVE)
    ] = None
    exposure: Annotated[int, option("Draw each item from this many of the most informative.", panel=LIVE)] = 1
    balance: Annotated[bool, flag("--balance", "Keep the subtasks' shares of the items.", panel=LIVE)] = False

    def rules(self, to: str) -> "AdaptiveRules":
        """Check the rules."""
        from irt_bench.subsets.harness.export_tasks import AdaptiveRules

        at_once = self.parallel or (ROUND if to == "lm-eval-round" else 1)
        shortest = min(AdaptiveRules.min_items, self.max_items)
        return AdaptiveRules(self.stop_sd, shortest, self.max_items, at_once, self.exposure, self.balance)

    def fitted(self) -> "FitResult | None":
        """Read the fit, where one is named."""
        from irt_bench.inference.fit import FitResult

        return None if self.fit is None else FitResult.load(self.fit)


@command
def export(
    subset: SubsetFile,
    to: Annotated[str, choice(ExportName, "Target format.")],
    output: Annotated[Path, option("File to write; a folder for lm-eval-task, inspect-adaptive.", "--output", "-o")],
    harness: HarnessOptions,
    live: LiveOptions,
    responses: Annotated[
        Path | None,
        option("Responses of the calibration models.", metavar="PATH", panel="To py-irt"),
    ] = None,
    safe_csv: SafeCsv = False,
    force: Force = False,
) -> None:
    """Write a subset for lm-evaluation-harness or Inspect, if calibrated on their logs, for py-irt, or as a list."""
    from irt_bench.api.subset import Subset

    check_output(output, force=force or to == "lm-eval-round", folder=to in ("lm-eval-task", "inspect-adaptive"))
    rules = live.rules(to)
    chosen = Subset.load(subset)
    answers = _counts(live.answers or ([] if responses is None else [responses]), chosen.record)
    given = {**vars(harness), "responses": answers, "rules": rules, "fit": live.fitted(), "safe_csv": safe_csv}
    instructions = chosen.export(cast(ExportName, to), output, **given)
    if output.exists():
        out.print(f"Wrote {output}. Next:", highlight=False)
    print_text(instructions)


def _counts(paths: list[Path], chosen: "SubsetRecord") -> "ResponseCounts | None":
    """Answers to the items of a subset in logs, found and checked as by ``score``."""
    if not paths:
        return None
    from irt_bench.subsets.harness.logs import read_subset_logs

    with progress_bar() as progress:
        return read_subset_logs(paths, chosen, progress=progress).counts


@command
def adaptive(
    subset: SubsetFile,
    fit: FitFolder,
    reading: ResponseOptions,
    writing: WriteOptions,
    drawing: FigureOptions,
    responses: Annotated[
        list[Path] | None,
        option(
            "Answers of real models to all items, tested beside simulated models. Repeatable.",
            metavar="PATH",
        ),
    ] = None,
    output: OutputCsv = None,
    stop_sd: Annotated[float, option("Posterior sd of ability at which a test ends.")] = 0.3,
    max_items: Annotated[int, option("Largest number of items of a test.", min=1)] = 200,
    n_models: Annotated[int, option("Number of simulated models.", min=2, max=100_000)] = 500,
    seed: Seed = 0,
) -> None:
    """Compare a subset with adaptive tests, which ask the most informative item until ability is known well enough."""
    import pandas as pd

    from irt_bench.api.subset import Subset
    from irt_bench.inference.fit import FitResult
    from irt_bench.report.tables import print_table

    writing.check(output)
    drawing.check(["adaptive"], force=writing.force)
    chosen, fitted = Subset.load(subset), FitResult.load(fit)
    compare = partial(
        chosen.compare_adaptive, fitted, stop_sd=stop_sd, max_items=max_items, n_models=n_models, seed=seed
    )
    table = compare().assign(answers="simulated")
    counts = reading.read_like(responses, fitted).counts() if responses else None
    if counts is not None:
        real = compare(counts).assign(answers="real")
        table = pd.concat([real, table])
    table, benchmark = table.set_index("answers", append=True), chosen.record.benchmark
    if output is not None:
        with replacing(output) as beside:
            write_csv(table, beside)  # names of designs, no ids
    course = partial(chosen.plot, kind="adaptive", responses=counts, fit=fitted, stop_sd=stop_sd, max_items=max_items)
    drawing.write(course)
    if writing.json:
        print_text(json_text({"benchmark": benchmark, "seed": seed, "designs": records(table)}))
        return
    title = f"Fixed and adaptive tests on {benchmark}: {n_models} simulated models"
    print_table(table, title=f"{title}{', and real answers' if responses else ''}", console=out)
    if not responses:
        print_text("Simulated answers follow the IRT model; tests of real models may need more items: add --responses.")
