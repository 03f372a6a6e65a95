"""irt-bench read, items, check, compare, score and scores: responses, and a fit against responses."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from irt_bench.cli.command import (
    READING,
    FigureOptions,
    FitFolder,
    OutputCsv,
    OutputFolder,
    Paths,
    ResponseOptions,
    Seed,
    Strict,
    TableOptions,
    choice,
    command,
    err,
    fail_if_strict,
    flag,
    for_terminal,
    option,
    out,
    print_text,
    progress_bar,
    records,
    say_written,
)
from irt_bench.errors import SubsetError
from irt_bench.files import json_text
from irt_bench.names import ScoreMethod

if TYPE_CHECKING:
    import pandas as pd

    from irt_bench.api.fit import Fit
    from irt_bench.responses import ResponseCounts
if TYPE_CHECKING:
    import pandas as pd

RUNS = "Runs, seeds and checkpoints"  # panel of the help
MAX_NAMED = 5  # models


def _expression(what: str) -> Any:
    text = f"Regular expression for the {what} in names of models or, if not there, in paths: its group, or all of it."
    return typer.Option(help=text, metavar="REGEX", rich_help_panel=RUNS)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Where runs, seeds and steps of models are found."""

    seed_from: Annotated[str | None, _expression("training seed")] = None
    run_from: Annotated[str | None, _expression("run (training recipe)")] = None
    step_from: Annotated[str | None, _expression("training step")] = None
    models_table: Annotated[
        Path | None,
        option(
            "CSV file with one row per model: column model, and columns to add, such as run, seed, step, family, size.",
            metavar="FILE",
            panel=RUNS,
        ),
    ] = None
    all_runs: Annotated[
        bool,
        flag(
            "--all-runs", "Read all runs of a model on a benchmark, as repeats; by default the newest only.", panel=RUNS
        ),
    ] = False


@dataclass(frozen=True, kw_only=True)
class ColumnOptions:
    """Which columns of tables are no items."""

    model_column: Annotated[
        str | None, option("Column that names the models, in tables.", metavar="NAME", panel=READING)
    ] = None
    group_columns: Annotated[
        str | None,
        option(
            "Columns of wide tables that are not items but describe models, comma-separated.",
            metavar="NAME,...",
            panel=READING,
        ),
    ] = None

    def given(self) -> dict[str, Any]:
        """Arguments of `read_responses` and `describe_responses`."""
        groups = [name.strip() for name in self.group_columns.split(",")] if self.group_columns else []
        return {"model_column": self.model_column, "group_columns": groups}


@command
def read(
    paths: Paths,
    runs: TrainingOptions,
    reading: ResponseOptions,
    columns: ColumnOptions,
    writing: TableOptions,
    output: Annotated[
        Path | None,
        option("File to write, .parquet or .csv. Without it, the contents of the files are listed.", "--output", "-o"),
    ] = None,
) -> None:
    """List what files of responses hold or, with -o, write it as one table that the other commands read fast.

    Columns of a long CSV or Parquet file (one row per answer):

    - model, item: labels, required.

    - correct (0 or 1); or n_correct and n_samples (right answers of several); or score (from 0 to 1).

    - benchmark, subtask, trial: the benchmark, a part of it, the number of the repeat.

    - run, seed, step: training recipe, its random seed, checkpoint; needed for seed variance.

    - cluster: the same for models that belong together, such as fine-tunes of one base.

    - Any other column is kept with the models or the items that it describes.

    A wide file has one row per model, labelled in column model, and one column per item: 0, 1, a score, or nothing.

    The metric and filter chosen here are written with the responses, and subsets made from them remember both.
    """
    if output is None:
        _list_contents(paths, reading, columns, json=writing.json)
        if any(vars(runs).values()):
            err.print("Runs, seeds and steps are found when the responses are read: name a file by -o.")
        return
    from irt_bench.report.tables import print_findings, print_table
    from irt_bench.responses import write_table
    from irt_bench.responses.quality import findings, overview

    writing.check(output)
    table = reading.read(paths, **columns.given(), **vars(runs))
    write_table(table, output, safe_csv=writing.safe_csv)
    found = findings(table)
    if writing.json:
        rows = overview(table).reset_index().to_dict("records")
        print_text(json_text({"output": str(output), "benchmarks": rows, "findings": [vars(each) for each in found]}))
        return
    print_table(overview(table), title="Responses", console=out)
    print_findings(found, out)
    say_written(output)


def _list_contents(paths: list[Path], reading: ResponseOptions, columns: ColumnOptions, *, json: bool) -> None:
    from irt_bench.report.tables import print_table
    from irt_bench.responses.read import describe_responses

    with progress_bar() as progress:
        there = describe_responses(paths, **vars(reading), **columns.given(), progress=progress)
    if json:
        print_text(json_text({"contents": there.to_dict("records")}))
        return
    keys = ["benchmark", "metric", "filter"]
    rows = there.groupby(keys, sort=False).agg(
        models=("model", "nunique"), items=("n_items", "max"), answers=("n_answers", "sum"), chosen=("chosen", "all")
    )
    undecided = ~rows.groupby(level="benchmark", sort=False)["chosen"].transform("any")
    rows["read"] = [
        "yes" if chosen else "to choose" if open_ else "no"
        for chosen, open_ in zip(rows["chosen"], undecided, strict=True)
    ]
    shown = rows.drop(columns="chosen").reset_index()
    empty = [name for name in keys if (shown[name] == "").all()]
    print_table(shown.drop(columns=empty), title="Contents of the files", console=out, index=False, max_rows=200)
    models = list(dict.fromkeys(there["model"]))
    more = f" and {len(models) - MAX_NAMED} more" if len(models) > MAX_NAMED else ""
    out.print(f"Models ({len(models):,}): {', '.join(models[:MAX_NAMED])}{more}", highlight=False, markup=False)
    out.print(_next_choices(rows, undecided), highlight=False, markup=False, soft_wrap=True)


def _next_choices(rows: "pd.DataFrame", undecided: "pd.Series") -> str:
    """Say which choices are left to make, and what comes next."""
    if not undecided.any():
        return "Nothing is left to choose; add -o responses.parquet to write one table."
    choices = []
    for what in ("metric", "filter"):
        names = rows.index.to_frame(index=False)[undecided.to_numpy()].groupby("benchmark", sort=False)[what].unique()
        several = [f"{benchmark}={'|'.join(found)}" for benchmark, found in names.items() if len(found) > 1]
        choices += [f"--{what} {','.join(several)}"] if several else []
    return f"To choose: {' '.join(choices)} (one of each; one name alone is for all benchmarks)."


@command
def items(
    paths: Paths,
    reading: ResponseOptions,
    writing: TableOptions,
    drawing: FigureOptions,
    output: OutputCsv = None,
    seed: Seed = 0,
) -> None:
    """Analyse items: proportion correct, item-rest correlation, flags, reliability, stability over models."""
    from irt_bench.api.analysis import item_analysis
    from irt_bench.report.tables import print_findings, print_item_report

    writing.check(output)
    drawing.check(["items"], force=writing.force)
    found = item_analysis(reading.read(paths), seed=seed)
    writing.write(found.items(), output)
    drawing.write(found.plot)
    if writing.json:
        print_text(json_text({"benchmark": found.benchmark, "seed": seed} | found.to_dict()))
        return
    print_item_report(found.items(), found.reliability, found.transfer(), benchmark=found.benchmark, console=out)
    print_findings(found.findings, out)
    say_written(output)


@command
def check(
    paths: Paths,
    fit: FitFolder,
    reading: ResponseOptions,
    writing: TableOptions,
    drawing: FigureOptions,
    output: OutputFolder = None,
    groups: Annotated[
        str | None,
        option(
            "Model column with groups, between which items are tested for a difference in difficulty.", metavar="COLUMN"
        ),
    ] = None,
    replicates: Annotated[int, option("Number of data sets simulated from the fit.", min=9, max=9_999)] = 39,
    strict: Strict = False,
    seed: Seed = 0,
) -> None:
    """Check whether the IRT model describes the answers: predictions, item and person fit, dependence, dimensions."""
    from irt_bench.api.fit import Fit
    from irt_bench.report.tables.terminal import print_model_checks

    writing.check(output, folder=True)
    drawing.check(["checks"], force=writing.force)
    fitted = Fit.load(fit)
    counts = reading.read_like(paths, fitted).counts()
    with progress_bar() as progress:
        found = fitted.check(counts, groups=groups, replicates=replicates, seed=seed, progress=progress)
    about = {"benchmark": counts.benchmark, "fit": str(fit), "group": groups, "converged": fitted.converged}
    if output is not None:
        found.save(output, about=about, safe_csv=writing.safe_csv)
    drawing.write(found.plot)
    if writing.json:
        print_text(json_text(found.to_dict() | about))
    else:
        shown = replace(found.result, checks=tuple(for_terminal(found.result.checks, check)))
        print_model_checks(shown, benchmark=counts.benchmark, console=out)
        say_written(output)
    fail_if_strict(found.result.checks, strict=strict)


@command
def compare(
    paths: Paths,
    fit: FitFolder,
    reading: ResponseOptions,
    writing: TableOptions,
    drawing: FigureOptions,
    output: OutputFolder = None,
    seed: Seed = 0,
) -> None:
    """Compare the ranking of models by ability with that by accuracy: agreement, reliability, and why they differ."""
    from irt_bench.api.fit import Fit
    from irt_bench.report.tables import print_comparison

    writing.check(output, folder=True)
    drawing.check(["comparison", "ranks"], force=writing.force)
    fitted = Fit.load(fit)
    counts = reading.read_like(paths, fitted).counts()
    found = fitted.compare_accuracy(counts, seed=seed)
    about = {"benchmark": counts.benchmark, "fit": str(fit), "converged": fitted.converged}
    if output is not None:
        found.save(output, about=about, safe_csv=writing.safe_csv)
    drawing.write(found.plot)
    if writing.json:
        print_text(json_text(found.to_dict() | about))
        return
    print_comparison(found.result, benchmark=counts.benchmark, console=out)
    say_written(output)


@dataclass(frozen=True, kw_only=True)
class AbilityOptions:
    """Where item parameters come from, and how abilities are estimated."""

    fit: Annotated[Path | None, option("Folder that irt-bench fit wrote.", metavar="DIR")] = None
    params: Annotated[
        Path | None,
        option(
            "Instead of --fit: table of item parameters a, b, c from any program (.csv, .parquet, py-irt's .json).",
            metavar="FILE",
        ),
    ] = None
    method: Annotated[str, choice(ScoreMethod, "Ability: posterior mean (eap) or mode (map).")] = "eap"
    prior_sd: Annotated[
        float, option("Sd of the prior of ability; use 3 for models much abler or weaker than those of the fit.")
    ] = 1.0

    def fitted(self) -> "Fit | None":
        """Read the fit, where one is named."""
        from irt_bench.api.fit import Fit

        return None if self.fit is None else Fit.load(self.fit)

    def score(self, counts: "ResponseCounts", fitted: "Fit | None") -> "pd.DataFrame":
        """Estimate abilities."""
        method = cast(ScoreMethod, self.method)
        if fitted is not None:
            return fitted.score(counts, method=method, prior_sd=self.prior_sd)
        from irt_bench.api.model_scores import score_with_items

        return score_with_items(counts, cast(Path, self.params), method=method, prior_sd=self.prior_sd)

    def about(self) -> dict[str, object]:
        """Describe them for JSON."""
        paths = {"fit": self.fit, "params": self.params}
        given = {name: str(path) for name, path in paths.items() if path is not None}
        return {**given, "method": self.method, "prior_sd": self.prior_sd}


@command
def score(
    paths: Paths,
    scoring: AbilityOptions,
    reading: ResponseOptions,
    writing: TableOptions,
    drawing: FigureOptions,
    subset: Annotated[
        Path | None,
        option("Instead of --fit: file that irt-bench subset wrote; full scores are then estimated.", metavar="FILE"),
    ] = None,
    output: OutputCsv = None,
) -> None:
    """Estimate abilities of new models from the items of a fit or a table, or full scores from answers to a subset."""
    from irt_bench.api.model_scores import plot_scores

    if sum(source is not None for source in (scoring.fit, subset, scoring.params)) != 1:
        raise SubsetError("give one of --fit DIR or --params FILE, for abilities, and --subset FILE, for full scores.")
    writing.check(output)
    drawing.check(["scores" if subset is None else "estimates"], force=writing.force)
    if subset is None:
        scores, of = _score_abilities(paths, scoring, reading, writing, output)
    else:
        scores, of = _score_subset(paths, subset, reading, writing, output)
    drawing.write(lambda kind="", **look: plot_scores(scores, of=of, **look))  # which has one kind


def _score_abilities(
    paths: list[Path], scoring: AbilityOptions, reading: ResponseOptions, writing: TableOptions, output: Path | None
) -> "tuple[pd.DataFrame, str]":
    """Show and write abilities; return them, and by what they are."""
    from irt_bench.report.tables import print_table

    fitted = scoring.fitted()
    counts = (reading.read(paths) if fitted is None else reading.read_like(paths, fitted)).counts()
    scores = scoring.score(counts, fitted)
    writing.write(scores, output)
    origin = "of the fit" if scoring.params is None else f"in {scoring.params.name}"
    if writing.json:
        print_text(json_text({"benchmark": counts.benchmark, **scoring.about(), "scores": records(scores)}))
        return scores, f"the items {origin}"
    shown = scores.assign(accuracy=counts.accuracy()).sort_values("ability", ascending=False)
    title = f"Abilities by the items {origin}, and accuracy on these answers ({counts.benchmark})"
    print_table(shown, title=title, console=out)
    say_written(output)
    return scores, f"the items {origin}"


def _score_subset(
    paths: list[Path], subset: Path, reading: ResponseOptions, writing: TableOptions, output: Path | None
) -> "tuple[pd.DataFrame, str]":
    """Show and write estimated full scores; return them, and by what they are."""
    from irt_bench.report.tables import print_table
    from irt_bench.subsets.harness.logs import MEANINGS, read_subset_logs, score_logs
    from irt_bench.subsets.subset import read_subset

    chosen = read_subset(subset)
    with progress_bar() as progress:
        logs = read_subset_logs(paths, chosen, **vars(reading), progress=progress)
    scores = score_logs(logs, chosen)
    writing.write(scores, output)
    of = f"{chosen.size:,} of {chosen.n_items_full:,} items"
    if writing.json:
        content = {"benchmark": chosen.benchmark, "subset": chosen.digest(), "scores": records(scores)}
        print_text(json_text(content | {"logs": records(logs.checks)}))
        return scores, of
    title = f"Estimated full scores on {chosen.benchmark} from {of}"
    print_table(scores.sort_values("estimate", ascending=False), title=title, console=out)
    raised = {name for flags in scores["flags"] for name in flags.split(";")}
    for name, meaning in MEANINGS.items():
        if name in raised:
            out.print(f"{name}: {meaning}", highlight=False)
    say_written(output)
    return scores, of


@command
def scores(
    paths: Paths,
    reading: ResponseOptions,
    writing: TableOptions,
    drawing: FigureOptions,
    output: OutputFolder = None,
    measure: Annotated[
        str,
        option("What to score: accuracy; or pass@K or majority@K, such as pass@5, from K or more answers per item."),
    ] = "accuracy",
    models: Annotated[
        str | None, option("Models to compare, comma-separated; by default all.", metavar="NAME,...")
    ] = None,
    baseline: Annotated[
        str | None, option("Compare all models with this one, instead of all pairs.", metavar="NAME")
    ] = None,
    item_clusters: Annotated[
        str | None, option("Item column with clusters of items, such as those on one passage.", metavar="COLUMN")
    ] = None,
    strata: Annotated[
        str, option("Item column with fixed parts of the benchmark, such as subtasks.", metavar="COLUMN")
    ] = "subtask",
) -> None:
    """Score models, with standard errors, on one or several benchmarks, and show which models can be told apart."""
    from irt_bench.api.model_scores import model_scores
    from irt_bench.report.tables.terminal import print_scores

    writing.check(output, folder=True)
    drawing.check(["scores"], force=writing.force)
    chosen = None if models is None else [name.strip() for name in models.split(",")]
    table = reading.read(paths)
    found = model_scores(
        table, measure=measure, models=chosen, baseline=baseline, item_clusters=item_clusters, strata=strata
    )
    if output is not None:
        found.save(output, safe_csv=writing.safe_csv)
    drawing.write(found.plot)
    if writing.json:
        print_text(json_text(found.to_dict()))
        return
    for name in found.benchmarks:
        print_scores(found.models(name), found.pairs(), name, found.measure, console=out)
    for note in found.notes:
        out.print(f"Note: {note}", highlight=False, markup=False)
    say_written(output)
