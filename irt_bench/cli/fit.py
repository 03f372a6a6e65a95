"""irt-bench fit: fit an IRT model."""

import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from irt_bench.cli.command import (
    FigureOptions,
    Paths,
    ResponseOptions,
    Seed,
    Strict,
    TableOptions,
    choice,
    command,
    fail_if_strict,
    flag,
    for_terminal,
    option,
    out,
    print_text,
    progress_bar,
    say_written,
)
from irt_bench.errors import FitError, ModelError
from irt_bench.files import json_text, replacing_folder, write_csv, write_json
from irt_bench.names import (
    DIMENSION,
    BackendName,
    CopiesName,
    DeviceName,
    DispersionName,
    GuideName,
    MethodName,
    ModelName,
    PriorsName,
)

if TYPE_CHECKING:
    import pandas as pd

    from irt_bench.api.fit import Fit
    from irt_bench.inference.related_models import Cluster
    from irt_bench.inference.settings import Settings
    from irt_bench.irt_models.logistic import Logistic
    from irt_bench.irt_models.model import ScoreModel
    from irt_bench.irt_models.multidimensional import Multidimensional
    from irt_bench.responses import ResponseCounts, ResponseTable

    AnyModel = Multidimensional | Logistic | ScoreModel

LAPLACE, NUTS, SVI = "Method laplace", "Method nuts", "Method svi"  # panels of the help
EACH = "Several benchmarks"
OF_MODELS, OF_ITEMS = "Groups and covariates of models", "Covariates of items"


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which IRT model, and what it is given."""

    irt_model: Annotated[str, choice(ModelName, "Item response model.")] = "2pl"
    guessing: Annotated[
        str | None,
        option("3PL and 4PL: a number, or an item column with the number of choices; by default estimated."),
    ] = None
    priors: Annotated[
        str, choice(PriorsName, "Priors of the items; use independent where the check pooling fails.")
    ] = "hierarchical"
    dimensions: Annotated[
        int | None, option("m2pl: number of abilities per model; by default chosen on held-out answers.")
    ] = None
    item_groups: Annotated[
        str | None,
        option("bifactor, confirmatory: item column with groups or dimensions, such as subtask.", metavar="COLUMN"),
    ] = None
    dispersion: Annotated[
        str, choice(DispersionName, "Repeated answers to an item. auto: correlated beyond ability; none: independent.")
    ] = "auto"
    groups: Annotated[
        str | None,
        option(
            "Model column with groups, each with a mean and an sd of ability of its own.",
            metavar="COLUMN",
            panel=OF_MODELS,
        ),
    ] = None
    covariates: Annotated[
        list[str] | None,
        option(
            "Model column on which ability is regressed. Repeatable. With --groups, groups are random effects.",
            metavar="COLUMN",
            panel=OF_MODELS,
        ),
    ] = None
    reference: Annotated[str | None, option("Group with mean 0 and sd 1; by default the largest.", panel=OF_MODELS)] = (
        None
    )
    item_covariates: Annotated[
        list[str] | None,
        option(
            "Item column on which difficulty and discrimination are regressed, by nuts or svi. Repeatable.",
            metavar="COLUMN",
            panel=OF_ITEMS,
        ),
    ] = None
    items_table: Annotated[
        Path | None,
        option("CSV or Parquet file with further columns of the items, such as covariates.", panel=OF_ITEMS),
    ] = None

    def model(self) -> "AnyModel":
        """Build the model; options that it does not have are refused."""
        from irt_bench.irt_models import SCORE_MODELS
        from irt_bench.irt_models.item_regression import ItemRegression
        from irt_bench.irt_models.logistic import irt_model_from_name
        from irt_bench.irt_models.multidimensional import BifactorTwoPL, ConfirmatoryTwoPL, MultidimensionalTwoPL
        from irt_bench.irt_models.populations import population_from_columns

        name = self.irt_model
        if name in SCORE_MODELS:
            self._refuse_all_but()
            return SCORE_MODELS[name]()
        if name == MultidimensionalTwoPL.name:
            self._refuse_all_but("dimensions", "dispersion")
            return MultidimensionalTwoPL(dimensions=self.dimensions)
        if name in (BifactorTwoPL.name, ConfirmatoryTwoPL.name):
            self._refuse_all_but("item_groups", "dispersion")
            if self.item_groups is None:
                raise ModelError(f"the model {name!r} needs --item-groups, a column of the items such as subtask.")
            if name == BifactorTwoPL.name:
                return BifactorTwoPL(groups=self.item_groups)
            return ConfirmatoryTwoPL(dimensions=self.item_groups)
        self._refuse_all_but("guessing", "priors", "dispersion", "groups", "covariates", "reference", "item_covariates")
        population = population_from_columns(self.groups, self.covariates or [], self.reference)
        regression = ItemRegression(self.item_covariates) if self.item_covariates else None
        model = replace(
            irt_model_from_name(name, priors=self.priors), population=population, item_regression=regression
        )
        return model if self.dispersion == "auto" else replace(model, dispersion=None)

    def _refuse_all_but(self, *known: str) -> None:
        """Refuse the first option that was given and is none of the model's."""
        for each in fields(self):
            given = getattr(self, each.name)
            if given and given != each.default and each.name not in ("irt_model", "items_table", *known):
                shown = f"--{each.name.replace('_', '-')}"
                raise ModelError(f"{shown} is no option of the model {self.irt_model!r}.")

    def item_columns(self) -> "pd.DataFrame | None":
        """Read the table of the items, where one is given."""
        from irt_bench.analysis.item_parameters import read_item_columns

        return None if self.items_table is None else read_item_columns(self.items_table)

    def with_guessing(self, model: "AnyModel", counts: "ResponseCounts") -> "AnyModel":
        """Fix guessing of a model at what was given, a number or a column of the items."""
        from irt_bench.irt_models.logistic import Logistic

        if self.guessing is None or not isinstance(model, Logistic):
            return model
        columns = {str(name): values.to_numpy() for name, values in counts.items.items()}
        return model.with_guessing(self.guessing, columns)


@dataclass(frozen=True, kw_only=True)
class MethodOptions:
    """How the model is fitted; what is None is left to the method."""

    method: Annotated[
        str | None,
        choice(MethodName, "laplace: fast; nuts: exact, slow; svi: approximate.", default="laplace where it can"),
    ] = None
    seed: Seed = 0
    draws: Annotated[int | None, option("Number of draws; of NUTS, per chain.", default="1000, nuts 2000")] = None
    threads: Annotated[int | None, option("Threads per process.", default="laplace: as needed; else 1")] = None
    max_sweeps: Annotated[
        int | None,
        option("Largest number of sweeps of the optimisation.", default="200", panel=LAPLACE),
    ] = None
    chains: Annotated[int | None, option("Number of chains.", default="4", panel=NUTS)] = None
    warmup: Annotated[int | None, option("Warm-up iterations per chain.", default="500", panel=NUTS)] = None
    target_accept: Annotated[
        float | None,
        option("Target acceptance rate; higher: fewer divergences, slower.", default="0.8 or 0.9", panel=NUTS),
    ] = None
    jobs: Annotated[
        int | None,
        option("Chains run in parallel; results do not depend on it.", default="all", panel=NUTS),
    ] = None
    guide: Annotated[
        str | None, choice(GuideName, "Covariance of the normal approximation.", panel=SVI, default="auto")
    ] = None
    max_steps: Annotated[int | None, option("Largest number of steps.", default="20000", panel=SVI)] = None
    device: Annotated[
        str | None,
        choice(DeviceName, "laplace, svi: where sums over the answers are computed.", default="cpu"),
    ] = None

    def settings(self, method: str) -> "Settings":
        """Check the settings of a method; those of another are refused."""
        from irt_bench.inference.settings import SETTINGS, settings_for

        given = {name: value for name, value in vars(self).items() if value is not None and name != "method"}
        for name in given if method in SETTINGS else ():
            if name not in SETTINGS[method].model_fields:
                raise FitError(f"--{name.replace('_', '-')} is no option of the method {method!r}.")
        return settings_for(method, **given)


@dataclass(frozen=True, kw_only=True)
class EachOptions:
    """Whether each of several benchmarks is fitted by itself, and where."""

    each_benchmark: Annotated[
        bool, flag("--each-benchmark", "Fit each benchmark by itself, into a folder of its own.", panel=EACH)
    ] = False
    workers: Annotated[int, option("Number of fits at a time; -1: one per processor.", panel=EACH)] = -1
    backend: Annotated[str, choice(BackendName, "loky: on this machine; dask: on a cluster.", panel=EACH)] = "loky"
    scheduler: Annotated[str | None, option("Address of the cluster's scheduler.", panel=EACH)] = None

    def where(self) -> dict[str, Any]:
        """Say where fits are computed."""
        return {"jobs": self.workers, "backend": self.backend, "scheduler": self.scheduler}

    def refuse(self, modelling: ModelOptions, writing: TableOptions, others: dict[str, Any]) -> None:
        """Refuse options that are of one benchmark alone."""
        of_model = {"--guessing": modelling.guessing, "--items-table": modelling.items_table, "--json": writing.json}
        if first := next((name for name, value in (of_model | others).items() if value), None):
            raise FitError(f"{first} is of one benchmark; leave it out, or --each-benchmark.")


@command
def fit(
    paths: Paths,
    output: Annotated[Path, option("Folder to write.", "--output", "-o")],
    modelling: ModelOptions,
    fitting: MethodOptions,
    reading: ResponseOptions,
    writing: TableOptions,
    drawing: FigureOptions,
    each: EachOptions,
    model_clusters: Annotated[
        str | None,
        option(
            "Model column with families of related models, which make intervals wider; 'names': families by name.",
            metavar="COLUMN",
        ),
    ] = None,
    copies: Annotated[
        str, choice(CopiesName, "once: of near-copies of a model, only one is used to estimate items.")
    ] = "keep",
    log_likelihood: Annotated[
        bool, flag("--log-likelihood", "Save the log-likelihood and replicated answers, for ArviZ.")
    ] = False,
    maximum_likelihood: Annotated[
        bool, flag("--maximum-likelihood", "Add marginal maximum-likelihood estimates to items.csv.")
    ] = False,
    strict: Strict = False,
) -> None:
    """Fit a Bayesian item response model, and write draws, items, abilities, a summary and a figure."""
    from irt_bench.api.fit import Fit, FitPlot
    from irt_bench.inference import fit as inference

    drawing.check(get_args(FitPlot), force=writing.force)
    model = modelling.model()
    method = fitting.method or ("laplace" if model.is_approximated else None)
    settings = None if method is None else fitting.settings(method)  # what is wrong is refused before all is read
    if each.each_benchmark:
        of_one = {"--log-likelihood": log_likelihood, "--figure": drawing.figure}
        each.refuse(modelling, writing, of_one | {"--model-clusters names": model_clusters == "names"})
        about = {"model_clusters": model_clusters, "copies": copies} | each.where()
        fits = _fit_each(reading.read(paths), model, settings, output, writing, maximum_likelihood, about)
        fail_if_strict([check for fitted in fits for check in fitted.checks], strict=strict)
        return
    writing.check(output, folder=True)
    columns, start = modelling.item_columns(), time.perf_counter()
    counts = (table := reading.read(paths)).counts()
    counts = counts if columns is None else counts.with_item_columns(columns)
    model = modelling.with_guessing(model, counts)
    settings = settings or fitting.settings(inference.default_method(model, counts))
    if log_likelihood:
        from irt_bench.inference.draws import check_room

        check_room(counts, settings.n_draws)
    read_seconds = time.perf_counter() - start
    related: dict[str, Any] = {"model_clusters": _clusters(counts, model_clusters), "copies": copies}
    with progress_bar() as progress:
        fitted = inference.fit(counts, model, settings, progress=progress, **related)
    result = Fit.of(fitted, counts)
    with_likelihood = counts if log_likelihood else None
    _write(result, table, with_likelihood, output, writing, read_seconds, maximum_likelihood=maximum_likelihood)
    drawing.write(result.plot)
    fail_if_strict(fitted.checks, strict=strict)


def _fit_each(
    table: "ResponseTable",
    model: "AnyModel",
    settings: "Settings | None",
    output: Path,
    writing: TableOptions,
    maximum_likelihood: bool,
    about: dict[str, Any],
) -> "list[Fit]":
    """Fit each benchmark and write its folder."""
    from irt_bench.api.fitting import fit_benchmarks
    from irt_bench.report.figures import file_name

    if settings is None:
        raise FitError(f"--each-benchmark needs --method for the model {model.name!r}: nuts or svi.")
    with progress_bar() as progress:
        about = about | {"folder": output, "force": writing.force, "progress": progress}
        fits = fit_benchmarks(table, model, settings, **about)
    for place, (name, fitted) in enumerate(fits.items()):
        folder = output / file_name(name, place)
        _write(fitted, table.select(name), None, folder, writing, 0.0, maximum_likelihood=maximum_likelihood)
    return list(fits.values())


def _clusters(counts: "ResponseCounts", given: str | None) -> "Cluster":
    """Families as the names of the models tell them, or the column."""
    if given != "names" or given in counts.models:
        return given
    from irt_bench.responses.labels import model_clusters

    return model_clusters(counts)


def _write(
    fitted: "Fit",
    table: "ResponseTable",
    with_likelihood: "ResponseCounts | None",
    output: Path,
    writing: TableOptions,
    read_seconds: float,
    *,
    maximum_likelihood: bool,
) -> None:
    """Write draws, tables, a figure and a summary, and print what a reader looks at first."""
    from irt_bench.api.fitting import fit_tables
    from irt_bench.inference.fit import FitResult
    from irt_bench.report.figures import fit_figure, save_figure
    from irt_bench.report.tables import print_fit, print_table
    from irt_bench.responses.quality import findings

    start, timings = time.perf_counter(), {"read": read_seconds, **fitted.timings}
    tables, several = fit_tables(fitted, maximum_likelihood=maximum_likelihood), DIMENSION in fitted.posterior.dims
    figure = fitted.plot("fit") if several else fit_figure(tables["abilities"], tables["items"])
    with replacing_folder(output) as folder:
        FitResult.save(fitted, folder / "fit.nc", with_likelihood)  # the responses only where they are asked for
        for name, each in tables.items():
            write_csv(each, folder / f"{name}.csv", safe=writing.safe_csv)
        save_figure(figure, folder / "fit.png")
        timings["write"] = time.perf_counter() - start
        found = [vars(each) for each in findings(table)]
        summary = fitted.to_dict() | {"findings": found, "timings": timings}
        write_json(folder / "summary.json", summary)
    if writing.json:
        print_text(json_text(summary))
        return
    print_fit(fitted.to_dict(), for_terminal(fitted.checks, fit), tables["abilities"], tables["items"], console=out)
    if (populations := tables.get("populations")) is not None:
        columns = [str(name) for name in populations if not str(name).endswith("_sd")]
        print_table(populations, title="Populations of abilities", console=out, columns=columns)
    say_written(output, sum(timings.values()))
