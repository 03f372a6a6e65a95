"""irt-bench export and adaptive: a subset in an evaluation harness, and what adaptive testing would add to it."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from irt_bench.cli.command import command, out, print_text
from irt_bench.cli.options import (
    FileOptions,
    FitFolder,
    Force,
    OutputCsv,
    ResponseOptions,
    SafeCsv,
    Seed,
    SubsetFile,
    WriteOptions,
    choice,
    flag,
    option,
    records,
)
from irt_bench.files import check_output, json_text, replacing, write_csv
from irt_bench.names import ExportName

if TYPE_CHECKING:
    from irt_bench.inference.fit import FitResult
    from irt_bench.responses.counts import ResponseCounts
    from irt_bench.subsets.harness.export_tasks import AdaptiveRules
    from irt_bench.subsets.subset import SubsetRecord

TASK, INSPECT, LIVE = "To lm-eval-task", "To inspect", "Adaptive: to inspect-adaptive, lm-eval-round"  # panels

ROUND = 20  # items


@dataclass(frozen=True, kw_only=True)
class HarnessOptions:
    """What some formats need to know of a run."""

    metric: Annotated[
        str | None,
        option("Metric of the calibration, where the subset does not name it.", panel=TASK),
    ] = None
    split: Annotated[
        str | None,
        option("Split to evaluate; by default that of the full task, or test.", panel=TASK),
    ] = None
    base_yaml: Annotated[
        Path | None,
        option("YAML of the full task; by default that of the installed lm-eval.", metavar="FILE", panel=TASK),
    ] = None
    task: Annotated[
        str | None,
        option("Task of the run, such as file.py@task; also for inspect-adaptive.", panel=INSPECT),
    ] = None
    model: Annotated[str | None, option("Model to write into the run configuration.", panel=INSPECT)] = None


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """Rules of a live adaptive test, and what it starts from."""

    answers: Annotated[
        list[Path] | None,
        option("lm-eval-round: logs of one model so far. Repeatable.", metavar="PATH", panel=LIVE),
    ] = None
    fit: Annotated[
        Path | None,
        option("Fit, whose uncertainty of the items then counts.", metavar="DIR", panel=LIVE),
    ] = None
    stop_sd: Annotated[float, option("The test ends at this posterior sd of ability,", panel=LIVE)] = 0.3
    max_items: Annotated[int, option("or after so many items.", panel=LIVE)] = 200
    parallel: Annotated[
        int | None,
        option("Items at a time; 1 for inspect-adaptive, 20 for lm-eval-round.", panel=LIVE),
    ] = None
    exposure: Annotated[int, option("Draw each item among so many of the most informative.", panel=LIVE)] = 1
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
    """Write a subset for lm-evaluation-harness (needs calibration on its logs), Inspect, py-irt, or as a list."""
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
    if not paths:
        return None
    table = FileOptions().read(paths, metric=chosen.choice("metric"), filter=chosen.choice("filter"))
    return table.one_benchmark(chosen.benchmark if len(table.benchmarks) > 1 else None).counts()


@command
def adaptive(
    subset: SubsetFile,
    fit: FitFolder,
    reading: ResponseOptions,
    writing: WriteOptions,
    responses: Annotated[
        list[Path] | None,
        option("Answers of real models to all items, tested beside simulated models. Repeatable.", metavar="PATH"),
    ] = None,
    output: OutputCsv = None,
    stop_sd: Annotated[float, option("A test ends when the posterior sd of ability is at most this,")] = 0.3,
    max_items: Annotated[int, option("or after this number of items.", min=1)] = 200,
    n_models: Annotated[int, option("Number of simulated models.", min=2, max=100_000)] = 500,
    seed: Seed = 0,
) -> None:
    """Compare a subset with adaptive tests, which ask the most informative item until ability is known well enough."""
    import pandas as pd

    from irt_bench.api.subset import Subset
    from irt_bench.inference.fit import FitResult
    from irt_bench.report.tables import print_table

    writing.check(output)
    chosen, fitted = Subset.load(subset), FitResult.load(fit)
    compare = partial(
        chosen.compare_adaptive, fitted, stop_sd=stop_sd, max_items=max_items, n_models=n_models, seed=seed
    )
    table = compare().assign(answers="simulated")
    if responses:
        real = compare(reading.read_like(responses, fitted).counts()).assign(answers="real")
        table = pd.concat([real, table])
    table, benchmark = table.set_index("answers", append=True), chosen.record.benchmark
    if output is not None:
        with replacing(output) as beside:
            write_csv(table, beside)  # names of designs, no ids
    if writing.json:
        print_text(json_text({"benchmark": benchmark, "seed": seed, "designs": records(table)}))
        return
    title = f"Fixed and adaptive tests on {benchmark}: {n_models} simulated models"
    print_table(table, title=f"{title}{', and real answers' if responses else ''}", console=out)
    if not responses:
        print_text("Simulated answers are as the IRT model has it; real ones may take more items: add --responses.")
