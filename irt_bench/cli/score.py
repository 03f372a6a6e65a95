"""irt-bench score and scores: models by the items of a fit, by a subset, or by their accuracy with its errors."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, cast

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
    choice,
    clear_errors,
    read_paths,
    records,
    write_one_csv,
)
from irt_bench.console import out, print_text, progress_bar
from irt_bench.errors import SubsetError
from irt_bench.files import check_output, json_text
from irt_bench.names import ScoreMethod

if TYPE_CHECKING:
    import pandas as pd

    from irt_bench.responses.counts import ResponseCounts


@clear_errors
def score(
    paths: Paths,
    fit: Annotated[Path | None, typer.Option(help="Folder that irt-bench fit wrote.", metavar="DIR")] = None,
    subset: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --fit: file that irt-bench subset wrote, to estimate full scores.", metavar="FILE"
        ),
    ] = None,
    params: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --fit: item parameters a, b, c from anywhere (.csv, .parquet, py-irt's .json).",
            metavar="FILE",
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV file to write.")] = None,
    method: Annotated[str, choice(ScoreMethod, "Ability: posterior mean (eap) or mode (map).")] = "eap",
    prior_sd: Annotated[
        float, typer.Option(help="Sd of the prior of ability; 3 for models much abler or weaker than those of the fit.")
    ] = 1.0,
    benchmark: Benchmark = None,
    format: FormatName = None,
    metric: Metric = None,
    filter: Filter = None,
    safe_csv: SafeCsv = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Score new models with the item parameters of a fit or of a table, or estimate full scores from a subset run."""
    if sum(source is not None for source in (fit, subset, params)) != 1:
        raise SubsetError(
            "name one of --fit DIR or --params FILE (abilities) and --subset subset.json (full scores), and only one."
        )
    if output is not None:
        check_output(output, force=force)
    choices = (benchmark, format, metric, filter)
    if subset is not None:
        _score_subset(paths, subset, output, choices, safe=safe_csv, json=json)
    else:
        source = _Source(fit, params, method, prior_sd)
        _score_abilities(paths, source, output, choices, safe=safe_csv, json=json)


class _Source(NamedTuple):
    """Where item parameters come from, and how abilities are estimated."""

    fit: Path | None
    params: Path | None
    method: str
    prior_sd: float

    def score(self, counts: "ResponseCounts") -> "pd.DataFrame":
        method = cast(ScoreMethod, self.method)
        if self.params is not None:
            from irt_bench.analysis.item_parameters import read_item_parameters, score_by_items

            return score_by_items(counts, read_item_parameters(self.params), method=method, prior_sd=self.prior_sd)
        from irt_bench.analysis.profiles import score_fitted
        from irt_bench.inference.fit import FitResult

        return score_fitted(
            counts, FitResult.load(cast(Path, self.fit)).posterior, method=method, prior_sd=self.prior_sd
        )


def _score_abilities(
    paths: list[Path],
    source: _Source,
    output: Path | None,
    choices: tuple[str | None, str | None, str | None, str | None],
    *,
    safe: bool,
    json: bool,
) -> None:
    from irt_bench.report.tables import print_table

    counts = read_paths(paths, *choices).counts()
    scores = source.score(counts)
    if output is not None:
        write_one_csv(scores, output, safe=safe)
    if json:
        paths_given = {"fit": source.fit, "params": source.params}
        about = {name: str(path) for name, path in paths_given.items() if path is not None}
        how = {"method": source.method, "prior_sd": source.prior_sd}
        print_text(json_text({"benchmark": counts.benchmark, **about, **how, "scores": records(scores)}))
        return
    shown = scores.assign(accuracy=counts.accuracy()).sort_values("ability", ascending=False)
    origin = "of the fit" if source.params is None else f"in {source.params.name}"
    title = f"Abilities by the items {origin}, and accuracy on these answers ({counts.benchmark})"
    print_table(shown, title=title, console=out)
    _say_written(output)


def _score_subset(
    paths: list[Path],
    subset: Path,
    output: Path | None,
    choices: tuple[str | None, str | None, str | None, str | None],
    *,
    safe: bool,
    json: bool,
) -> None:
    from irt_bench.report.tables import print_table
    from irt_bench.subsets.harness.logs import MEANINGS, read_subset_logs, score_logs
    from irt_bench.subsets.subset import read_subset

    chosen = read_subset(subset)
    benchmark, format, metric, filter = choices
    with progress_bar() as progress:
        logs = read_subset_logs(
            paths, chosen, benchmark=benchmark, format=format, metric=metric, filter=filter, progress=progress
        )
    scores = score_logs(logs, chosen)
    if output is not None:
        write_one_csv(scores, output, safe=safe)
    if json:
        content = {"benchmark": chosen.benchmark, "subset": chosen.digest(), "scores": records(scores)}
        print_text(json_text(content | {"logs": records(logs.checks)}))
        return
    title = f"Estimated full scores on {chosen.benchmark} from {chosen.size} of {chosen.n_items_full} items"
    print_table(scores.sort_values("estimate", ascending=False), title=title, console=out)
    raised = {flag for flags in scores["flags"] for flag in flags.split(";")}
    for flag, meaning in MEANINGS.items():
        if flag in raised:
            out.print(f"{flag}: {meaning}", highlight=False)
    _say_written(output)


@clear_errors
def scores(
    paths: Paths,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to write.")] = None,
    measure: Annotated[
        str, typer.Option(help="accuracy, pass@K or majority@K, such as pass@5, which need K or more answers per item.")
    ] = "accuracy",
    models: Annotated[
        str | None, typer.Option(help="Models to compare, comma-separated; by default all.", metavar="NAME,...")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Compare all models with this one, instead of all pairs.", metavar="NAME")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(help="Item column with clusters that were drawn together, such as passages.", metavar="COLUMN"),
    ] = None,
    strata: Annotated[
        str, typer.Option(help="Item column with fixed parts of the benchmark, such as subtasks.", metavar="COLUMN")
    ] = "subtask",
    figure: Annotated[Path | None, typer.Option(help="Figure to write, .png, .svg or .pdf.")] = None,
    benchmark: Benchmark = None,
    format: FormatName = None,
    metric: Metric = None,
    filter: Filter = None,
    safe_csv: SafeCsv = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Scores of models with standard errors, on one benchmark or several, and which models can be told apart."""
    from irt_bench.api.model_scores import model_scores
    from irt_bench.report.figures.canvas import check_figure_format, save_figure
    from irt_bench.report.tables.terminal import print_scores

    if output is not None:
        check_output(output, force=force, folder=True)
    if figure is not None:
        check_output(figure, force=force)
        check_figure_format(figure)
    chosen = None if models is None else [name.strip() for name in models.split(",")]
    table = read_paths(paths, benchmark, format, metric, filter)
    found = model_scores(table, measure=measure, models=chosen, baseline=baseline, cluster=cluster, strata=strata)
    if output is not None:
        found.save(output, safe_csv=safe_csv)
    if figure is not None:
        save_figure(found.plot(), figure)
    if json:
        print_text(json_text(found.to_dict()))
        return
    for name in found.benchmarks:
        print_scores(found.models(name), found.pairs(), name, found.measure, console=out)
    for note in found.notes:
        out.print(f"Note: {note}", highlight=False, markup=False)
    _say_written(output)


def _say_written(output: Path | None) -> None:
    if output is not None:
        out.print(f"Wrote {output}", highlight=False)
