"""irt-bench read: list what responses there are, or read them in any format and write one canonical table."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irt_bench.cli.command import (
    READING,
    Paths,
    ResponseOptions,
    TableOptions,
    command,
    err,
    flag,
    option,
    out,
    print_text,
    progress_bar,
    say_written,
)
from irt_bench.files import json_text

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
        _list(paths, reading, columns, json=writing.json)
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


def _list(paths: list[Path], reading: ResponseOptions, columns: ColumnOptions, *, json: bool) -> None:
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
    out.print(_next(rows, undecided), highlight=False, markup=False, soft_wrap=True)


def _next(rows: "pd.DataFrame", undecided: "pd.Series") -> str:
    """Say which choices are left to make, and what comes next."""
    if not undecided.any():
        return "Nothing is left to choose; add -o responses.parquet to write one table."
    choices = []
    for what in ("metric", "filter"):
        names = rows.index.to_frame(index=False)[undecided.to_numpy()].groupby("benchmark", sort=False)[what].unique()
        several = [f"{benchmark}={'|'.join(found)}" for benchmark, found in names.items() if len(found) > 1]
        choices += [f"--{what} {','.join(several)}"] if several else []
    return f"To choose: {' '.join(choices)} (one of each; one name alone is for all benchmarks)."
