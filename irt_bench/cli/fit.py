"""irt-bench fit: fit an IRT model."""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

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
    Strict,
    choice,
    clear_errors,
    fail_if_strict,
    flag,
    for_terminal,
    read_paths,
)
from irt_bench.console import out, print_text, progress_bar
from irt_bench.files import check_output, json_text, replacing_folder, write_csv, write_json
from irt_bench.names import (
    DIMENSION,
    CopiesName,
    DeviceName,
    DispersionName,
    GuideName,
    MethodName,
    ModelName,
    PriorsName,
)

LAPLACE, NUTS, SVI = "Method laplace", "Method nuts", "Method svi"  # panels of the help
LogLikelihood = Annotated[bool, flag("--log-likelihood", "Save the log-likelihood and replicated answers, for ArviZ.")]
MaximumLikelihood = Annotated[
    bool, flag("--maximum-likelihood", "Add marginal maximum-likelihood estimates to items.csv.")
]

if TYPE_CHECKING:
    from irt_bench.inference.fit import FitResult
    from irt_bench.inference.related_models import Cluster
    from irt_bench.inference.settings import Settings
    from irt_bench.irt_models.logistic import Logistic
    from irt_bench.irt_models.model import ScoreModel
    from irt_bench.irt_models.multidimensional import Multidimensional
    from irt_bench.responses import ResponseCounts, ResponseTable

    AnyModel = Multidimensional | Logistic | ScoreModel

Guessing = Annotated[
    str | None,
    typer.Option(help="3PL and 4PL: a number, or an item column with the number of choices; by default learned."),
]
Dispersion = Annotated[
    str, choice(DispersionName, "Repeated answers to an item: auto, correlated beyond ability; none, independent.")
]
Dimensions = Annotated[
    int | None, typer.Option(help="m2pl: number of abilities per model; by default chosen on held-out answers.")
]
ItemGroups = Annotated[
    str | None,
    typer.Option(help="bifactor, confirmatory: item column with groups or dimensions, such as subtask."),
]
Priors = Annotated[str, choice(PriorsName, "Priors of the items; use independent where the check pooling fails.")]
Draws = Annotated[int | None, typer.Option(help="Number of draws; of NUTS, per chain.", show_default="1000, nuts 2000")]
MaxSweeps = Annotated[
    int | None,
    typer.Option(help="Largest number of sweeps of the optimisation.", show_default="200", rich_help_panel=LAPLACE),
]
Chains = Annotated[int | None, typer.Option(help="Number of chains.", show_default="4", rich_help_panel=NUTS)]
Warmup = Annotated[
    int | None, typer.Option(help="Warm-up iterations per chain.", show_default="500", rich_help_panel=NUTS)
]
TargetAccept = Annotated[
    float | None,
    typer.Option(
        help="Target acceptance rate; higher: fewer divergences, slower.",
        show_default="0.8 or 0.9",
        rich_help_panel=NUTS,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(help="Chains run in parallel; results do not depend on it.", show_default="all", rich_help_panel=NUTS),
]
Guide = Annotated[str | None, choice(GuideName, "Covariance of the normal approximation.", panel=SVI, default="auto")]
MaxSteps = Annotated[
    int | None, typer.Option(help="Largest number of steps.", show_default="20000", rich_help_panel=SVI)
]
Device = Annotated[str | None, choice(DeviceName, "Device that sums likelihoods.", panel=SVI, default="cpu")]
Threads = Annotated[int | None, typer.Option(help="Threads per process.", show_default="laplace: as needed; else 1")]
ClusterColumn = Annotated[
    str | None,
    typer.Option(
        help="Model column with families of related models, which widen intervals; 'names': families by name.",
        metavar="COLUMN",
    ),
]
GroupsColumn = Annotated[
    str | None,
    typer.Option("--groups", help="Model column with groups, each with a mean and an sd of ability of its own."),
]
Covariate = Annotated[
    list[str] | None,
    typer.Option(
        help="Model column on which ability is regressed; repeatable. With --groups, groups are random effects."
    ),
]
Reference = Annotated[str | None, typer.Option(help="Group with mean 0 and sd 1; by default the largest.")]
Copies = Annotated[str, choice(CopiesName, "once: of models that are near-copies, one is used to estimate items.")]


Method = Annotated[
    str | None,
    choice(MethodName, "laplace: fast; nuts: exact, slow; svi: approximate.", default="laplace where it can"),
]


@clear_errors
def fit(
    paths: Paths,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")],
    irt_model: Annotated[str, choice(ModelName, "Item response model.")] = "2pl",
    method: Method = None,
    guessing: Guessing = None,
    priors: Priors = "hierarchical",
    dimensions: Dimensions = None,
    item_groups: ItemGroups = None,
    dispersion: Dispersion = "auto",
    benchmark: Benchmark = None,
    seed: Seed = 0,
    draws: Draws = None,
    max_sweeps: MaxSweeps = None,
    chains: Chains = None,
    warmup: Warmup = None,
    target_accept: TargetAccept = None,
    jobs: Jobs = None,
    guide: Guide = None,
    max_steps: MaxSteps = None,
    device: Device = None,
    threads: Threads = None,
    cluster: ClusterColumn = None,
    log_likelihood: LogLikelihood = False,
    maximum_likelihood: MaximumLikelihood = False,
    copies: Copies = "keep",
    population: GroupsColumn = None,
    covariates: Covariate = None,
    reference: Reference = None,
    format: FormatName = None,
    metric: Metric = None,
    filter: Filter = None,
    strict: Strict = False,
    safe_csv: SafeCsv = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Fit a Bayesian item response model; writes draws, items, abilities, a summary and a figure."""
    from irt_bench.inference import fit as inference
    from irt_bench.inference.settings import settings_for

    given = {
        "chains": chains, "warmup": warmup, "draws": draws, "target_accept": target_accept, "jobs": jobs,
        "guide": guide, "max_steps": max_steps, "max_sweeps": max_sweeps, "device": device, "threads": threads,
    }  # fmt: skip
    check_output(output, force=force, folder=True)
    of_models = (population, covariates, reference)
    model = _model(irt_model, (priors, dispersion), (dimensions, item_groups), guessing, of_models)
    given = {"seed": seed, **{name: value for name, value in given.items() if value is not None}}
    settings = settings_for(method or "laplace", **given) if method or model.is_approximated else None
    start = time.perf_counter()
    counts = (table := read_paths(paths, benchmark, format, metric, filter)).counts()
    model = _with_guessing(model, guessing, counts)
    settings = settings or settings_for(inference.default_method(model, counts), **given)
    _check_room(counts, settings, log_likelihood=log_likelihood)
    read_seconds, clusters = time.perf_counter() - start, _clusters(counts, cluster)
    with progress_bar() as progress:
        fitted = inference.fit(counts, model, settings, cluster=clusters, copies=cast(Any, copies), progress=progress)
    more = (log_likelihood, maximum_likelihood)
    _write_fit(fitted, table, counts, output, read_seconds, safe=safe_csv, json=json, more=more)
    fail_if_strict(fitted.checks, strict=strict)


def _several_abilities(
    name: str, dimensions: int | None, item_groups: str | None, others: tuple[object, ...]
) -> "Multidimensional | None":
    """Build a model with several abilities; None where the name is that of another. `others` are options of those."""
    from irt_bench.errors import ModelError
    from irt_bench.irt_models.multidimensional import BifactorTwoPL, ConfirmatoryTwoPL, MultidimensionalTwoPL

    grouped = name in (BifactorTwoPL.name, ConfirmatoryTwoPL.name)
    if dimensions is not None and name != MultidimensionalTwoPL.name:
        raise ModelError(f"--dimensions is no option of the model {name!r}.")
    if item_groups is not None and not grouped:
        raise ModelError(f"--item-groups is no option of the model {name!r}.")
    several = grouped or name == MultidimensionalTwoPL.name
    options = ("--guessing", "--groups", "--covariate", "--reference", "--priors")
    if several and (wrong := [option for option, given in zip(options, others, strict=True) if given]):
        raise ModelError(f"{wrong[0]} is no option of the model {name!r}.")
    if name == MultidimensionalTwoPL.name:
        return MultidimensionalTwoPL(dimensions=dimensions)
    if not grouped:
        return None
    if item_groups is None:
        raise ModelError(f"the model {name!r} needs --item-groups, a column of the items such as subtask.")
    if name == BifactorTwoPL.name:
        return BifactorTwoPL(groups=item_groups)
    return ConfirmatoryTwoPL(dimensions=item_groups)


def _model(
    name: str,
    choices: tuple[str, str],
    dimensions: tuple[int | None, str | None],
    guessing: str | None,
    population: tuple[str | None, list[str] | None, str | None],
) -> "AnyModel":
    """Build the model of a name; options that it does not have are refused."""
    from irt_bench.errors import ModelError
    from irt_bench.irt_models import SCORE_MODELS
    from irt_bench.irt_models.logistic import irt_model_from_name
    from irt_bench.irt_models.populations import population_from_columns

    (priors, dispersion), (groups, covariates, reference) = choices, population
    found = _several_abilities(name, *dimensions, others=(guessing, *population, priors != "hierarchical"))
    if found is not None:
        return found
    if name in SCORE_MODELS:
        given: dict[str, Any] = {
            "--guessing": guessing,
            "--groups": groups,
            "--covariate": covariates,
            "--reference": reference,
        }
        given |= {"--priors": priors != "hierarchical", "--dispersion": dispersion != "auto"}
        if wrong := [option for option, value in given.items() if value]:
            raise ModelError(f"{wrong[0]} is no option of the model {name!r}.")
        return SCORE_MODELS[name]()
    population_of = population_from_columns(groups, covariates or [], reference)
    model = replace(irt_model_from_name(name, priors=priors), population=population_of)
    return model if dispersion == "auto" else replace(model, dispersion=None)


def _with_guessing(model: "AnyModel", guessing: str | None, counts: "ResponseCounts") -> "AnyModel":
    from irt_bench.irt_models.logistic import Logistic

    if guessing is None or not isinstance(model, Logistic):
        return model
    return model.with_guessing(guessing, {str(name): column.to_numpy() for name, column in counts.items.items()})


def _clusters(counts: "ResponseCounts", cluster: str | None) -> "Cluster":
    """Families as the names of the models tell them, or the column."""
    if cluster != "names" or cluster in counts.models:
        return cluster
    from irt_bench.subsets.clusters import model_clusters

    return model_clusters(counts)


def _check_room(counts: "ResponseCounts", settings: "Settings", *, log_likelihood: bool) -> None:
    """Refuse log-likelihoods that are too large to save, before the fit."""
    if log_likelihood:
        from irt_bench.inference.draws import check_room

        check_room(counts, settings.n_draws)


def _write_fit(
    fitted: "FitResult",
    table: "ResponseTable",
    counts: "ResponseCounts",
    output: Path,
    read_seconds: float,
    *,
    safe: bool,
    json: bool,
    more: tuple[bool, bool],
) -> None:
    from irt_bench.analysis.curves import observed_shares
    from irt_bench.analysis.irt import (
        ability_table,
        item_table,
        loading_table,
        maximum_likelihood_items,
        population_table,
    )
    from irt_bench.irt_models.populations import POPULATION
    from irt_bench.report.figures import fit_figure, loadings_figure, save_figure
    from irt_bench.report.tables import print_fit, print_table
    from irt_bench.responses.quality import findings

    log_likelihood, maximum_likelihood = more
    start, timings = time.perf_counter(), {"read": read_seconds, **fitted.timings}
    abilities, item_parameters = ability_table(fitted.posterior, counts), item_table(fitted.posterior, counts)
    if maximum_likelihood:
        item_parameters = item_parameters.join(maximum_likelihood_items(counts, fitted.irt_model))
    populations = population_table(fitted.posterior) if POPULATION in fitted.posterior.attrs else None
    found = findings(table)
    with replacing_folder(output) as folder:
        fitted.save(folder / "fit.nc", counts if log_likelihood else None)
        write_csv(item_parameters, folder / "items.csv", safe=safe)
        write_csv(abilities, folder / "abilities.csv", safe=safe)
        if populations is not None:
            write_csv(populations, folder / "populations.csv", safe=safe)
        if DIMENSION in fitted.posterior.dims:
            write_csv(loadings := loading_table(fitted.posterior), folder / "loadings.csv", safe=safe)
            save_figure(loadings_figure(loadings), folder / "fit.png")
        else:
            shares = observed_shares(abilities["ability"], counts).to_dataframe()
            write_csv(shares, folder / "observed.csv", safe=safe)
            save_figure(fit_figure(abilities, item_parameters), folder / "fit.png")
        timings["write"] = time.perf_counter() - start
        summary = fitted.to_dict() | {"findings": [vars(each) for each in found], "timings": timings}
        write_json(folder / "summary.json", summary)
    if json:
        print_text(json_text(summary))
        return
    print_fit(fitted.to_dict(), for_terminal(fitted.checks, fit), abilities, item_parameters, console=out)
    if populations is not None:
        columns = [str(name) for name in populations if not str(name).endswith("_sd")]
        print_table(populations, title="Populations of abilities", console=out, columns=columns)
    out.print(f"Wrote {output} in {sum(timings.values()):.1f} s", highlight=False)
