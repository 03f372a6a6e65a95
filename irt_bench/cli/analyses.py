"""irt-bench items, check and compare: classical item analysis, checks of a fit, ability against accuracy."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from irt_bench.cli.command import command, for_terminal
from irt_bench.cli.options import (
    FigureFile,
    FitFolder,
    OutputCsv,
    OutputFolder,
    Paths,
    ResponseOptions,
    Seed,
    Strict,
    TableOptions,
    fail_if_strict,
    option,
    records,
)
from irt_bench.console import out, print_text, progress_bar
from irt_bench.errors import AnalysisError, unknown_choice
from irt_bench.files import json_text

if TYPE_CHECKING:
    import pandas as pd

    from irt_bench.responses import ResponseCounts


@command
def items(
    paths: Paths,
    reading: ResponseOptions,
    writing: TableOptions,
    output: OutputCsv = None,
    figure: FigureFile = None,
    seed: Seed = 0,
) -> None:
    """Analyse items: proportion correct, item-rest correlation, flags, reliability, stability over models."""
    from irt_bench.analysis.classical import item_statistics, score_reliability
    from irt_bench.analysis.transfer import compare_transfer
    from irt_bench.report.figures import items_figure, save_figure
    from irt_bench.report.tables import print_findings, print_item_report
    from irt_bench.responses.quality import findings

    writing.check(output)
    writing.check_figure(figure)
    table = reading.read(paths)
    counts = table.counts()
    statistics = item_statistics(counts)
    reliability = score_reliability(counts)
    transfer = compare_transfer(counts, seed=seed)
    writing.write(statistics, output)
    if figure is not None:
        save_figure(items_figure(statistics), figure)
    if writing.json:
        rows = {"benchmark": counts.benchmark, "seed": seed, "reliability": vars(reliability)}
        print_text(json_text(rows | {"transfer": records(transfer), "items": records(statistics)}))
        return
    print_item_report(statistics, reliability, transfer, benchmark=counts.benchmark, console=out)
    print_findings(findings(table), out)


@command
def check(
    paths: Paths,
    fit: FitFolder,
    reading: ResponseOptions,
    writing: TableOptions,
    output: OutputFolder = None,
    groups: Annotated[
        str | None, option("Model column with groups: which items differ in difficulty between them?", metavar="COLUMN")
    ] = None,
    replicates: Annotated[int, option("Number of data sets simulated from the fit.", min=9, max=9_999)] = 39,
    strict: Strict = False,
    seed: Seed = 0,
) -> None:
    """Check whether the IRT model describes the answers: predictions, item and person fit, dependence, dimensions."""
    from irt_bench.api.analysis import FitChecks
    from irt_bench.checks import check_fit
    from irt_bench.inference.fit import FitResult
    from irt_bench.report.tables.terminal import print_model_checks

    writing.check(output, folder=True)
    fitted = FitResult.load(fit)
    counts = reading.read(paths).counts()
    of_models = None if groups is None else _groups(counts, groups)
    with progress_bar() as progress:
        found = check_fit(counts, fitted, groups=of_models, replicates=replicates, seed=seed, progress=progress)
    about = {"benchmark": counts.benchmark, "fit": str(fit), "group": groups, "converged": fitted.converged}
    if output is not None:
        FitChecks(found).save(output, about=about, safe_csv=writing.safe_csv)
    if writing.json:
        print_text(json_text(found.to_dict() | about))
    else:
        shown = replace(found, checks=tuple(for_terminal(found.checks, check)))
        print_model_checks(shown, benchmark=counts.benchmark, console=out)
    fail_if_strict(found.checks, strict=strict)


def _groups(counts: "ResponseCounts", name: str) -> "pd.Series":
    if name not in counts.models:
        raise AnalysisError(unknown_choice("model column", name, counts.models.columns))
    return counts.models[name]


@command
def compare(
    paths: Paths,
    fit: FitFolder,
    reading: ResponseOptions,
    writing: TableOptions,
    output: OutputFolder = None,
    seed: Seed = 0,
) -> None:
    """Compare the order of models by ability with that by accuracy: agreement, reliability, pairs, items."""
    from irt_bench.analysis.agreement import compare_ability_accuracy
    from irt_bench.api.analysis import AccuracyComparison
    from irt_bench.inference.fit import FitResult
    from irt_bench.report.tables import print_comparison

    writing.check(output, folder=True)
    fitted = FitResult.load(fit)
    counts = reading.read(paths).counts()
    found = compare_ability_accuracy(fitted.posterior, counts, seed=seed)
    about = {"benchmark": counts.benchmark, "fit": str(fit), "converged": fitted.converged}
    if output is not None:
        AccuracyComparison(found).save(output, about=about, safe_csv=writing.safe_csv)
    if writing.json:
        print_text(json_text(found.to_dict() | about))
        return
    print_comparison(found, benchmark=counts.benchmark, console=out)
