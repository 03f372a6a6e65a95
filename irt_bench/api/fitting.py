"""Fit an item response model to responses of any form."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.analysis.curves import observed_shares
from irt_bench.analysis.irt import item_table, summarise, tables_of_model
from irt_bench.analysis.item_parameters import LINKS, calibrate_new_items, equated_scores, link_draws
from irt_bench.analysis.labelled_draws import draws_of, evenly_spaced
from irt_bench.api.display import html_frame, notebook_html
from irt_bench.api.fit import Fit
from irt_bench.errors import AnalysisError, FitError, ModelError, renamed, unknown_choice
from irt_bench.files import claim_folder
from irt_bench.inference.fit import FitResult, default_method, versions
from irt_bench.inference.fit import fit as fit_model
from irt_bench.inference.related_models import Cluster
from irt_bench.inference.settings import SETTINGS, Settings, settings_for
from irt_bench.irt_models import SCORE_MODELS
from irt_bench.irt_models.item_regression import ITEM_REGRESSION, ItemRegression, predicted_draws
from irt_bench.irt_models.logistic import irt_model_from_name
from irt_bench.irt_models.model import IRTModel, arranged
from irt_bench.irt_models.multidimensional import MULTIDIMENSIONAL_MODELS, MultidimensionalTwoPL
from irt_bench.names import ABILITY, ITEM, MODEL, BackendName, CopiesName, LinkingName, MethodName, ModelName
from irt_bench.report.figures import file_name
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.table import ResponseTable
from irt_bench.workers import Progress, Workers, as_completed


@renamed(cluster="model_clusters")
def fit(
    responses: Responses,
    model: ModelName | IRTModel = "2pl",
    method: MethodName | Settings | None = None,
    *,
    seed: int | None = None,
    model_clusters: Cluster = None,
    copies: CopiesName = "keep",
    models: Sequence[object] | None = None,
    items: Sequence[object] | None = None,
    progress: Progress | None = None,
) -> Fit:
    """Fit a Bayesian item response model: draw from its posterior given responses.

    Parameters
    ----------
    responses : ResponseCounts, ResponseTable, DataFrame or array
        Answers: a table of one benchmark, a long DataFrame (columns ``model, item, correct``), a wide one or an array
        (a row per model, a column per item; 0, 1, NaN where not asked).
    model : {"1pl", "2pl", "3pl", "4pl", "m2pl", "grm", "gpcm", "mfrm", "beta"} or IRTModel
        The model by name, with its default priors, or as an object: `TwoPL` and the others take other priors, and any
        class with the members of `IRTModel` is a model. With several abilities: `MultidimensionalTwoPL` ("m2pl", as
        many as held-out answers show), `ConfirmatoryTwoPL` and `BifactorTwoPL`, which need to know which items go
        together. For ordered scores: `GradedResponse` ("grm"), `GeneralizedPartialCredit` ("gpcm"), and with several
        raters `ManyFacet` ("mfrm"); for scores in [0, 1]: `ZeroOneBeta` ("beta").
    method : {"laplace", "svi", "nuts"} or Settings, optional
        How to draw. By default "laplace" where it knows the model; else, with a warning, "nuts", or "svi" where there
        are more than 50,000 answers.

        "laplace"
            Fast: a normal approximation that is refined by Gibbs sweeps where the matrix is small.
        "nuts"
            Pyro's no-U-turn sampler, exact and slow.
        "svi"
            Pyro's variational inference.

        As an object, with other settings: `LaplaceSettings` (such as ``LaplaceSettings(draws=500)``), `NUTSSettings`,
        `SVISettings`.
    seed : int, optional
        Seed of the random numbers; by default 0, or that of the settings.
    model_clusters : str, sequence or False, optional
        Families, runs or other clusters of models that answer alike beyond their ability: a column of the models'
        metadata, or a label per model. Intervals then allow for the clusters. False: do not look for any.
    copies : {"keep", "once"}
        "once": of models that are near-copies of each other only the first counts in the items' estimates.
    models, items : sequence, optional
        Labels of the rows and columns of an array.
    progress : callable, optional
        Called with (what, done, total).

    Raises
    ------
    ResponsesError
        If the responses are of no known form.
    ModelError, FitError
        If model, settings and responses do not fit each other.

    Warns
    -----
    ConvergenceWarning, FitWarning
        If a check failed; `Fit.diagnostics` lists all.

    Notes
    -----
    Priors of items are hierarchical: their mean and spread are learned. ``TwoPL().with_independent_priors()`` gives
    each item a prior of its own, which answers from adaptive tests need.

    Examples
    --------
    By name, and with other priors. Priors are fields of the model:

    >>> from irt_bench import HalfNormal, Hierarchical, LaplaceSettings, Normal, TwoPL, fit, load_example
    >>> table = load_example("benchmark")
    >>> quick = LaplaceSettings(refine=False)
    >>> fit(table, "1pl", quick, seed=1)
    Fit(1pl, laplace, 120 models x 100 items, converged=True)
    >>> easy = TwoPL(difficulty=Hierarchical(mean=Normal(-1.0, 1.0), sd=HalfNormal(1.0)))
    >>> fit(table, easy, quick).irt_model.difficulty.mean
    Normal(loc=-1.0, scale=1.0)

    From an array:

    >>> import numpy as np
    >>> answers = np.array(table.counts().correct)
    >>> answers.shape
    (120, 100)
    >>> fit(answers, "2pl", quick).items().index.tolist()[:2]
    ['item0', 'item1']
    """
    settings = None if method is None else _settings(method, seed)
    chosen = _model(model)
    counts = arranged(chosen, as_counts(responses, models=models, items=items))
    settings = settings or _settings(default_method(chosen, counts), seed)
    found = fit_model(counts, chosen, settings, model_clusters=model_clusters, copies=copies, progress=progress)
    return Fit.of(found, counts)


def fit_benchmarks(
    table: ResponseTable,
    model: ModelName | IRTModel = "2pl",
    method: MethodName | Settings | None = None,
    *,
    seed: int | None = None,
    model_clusters: str | Literal[False] | None = None,
    copies: CopiesName = "keep",
    jobs: int = 1,
    backend: BackendName = "loky",
    scheduler: str | None = None,
    folder: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> dict[str, Fit]:
    """Fit every benchmark of a table by itself, several at a time, on this machine or a Dask cluster.

    Parameters
    ----------
    table : ResponseTable
        Of one benchmark or several.
    model, method, seed, copies
        As in `fit`, the same for all.
    model_clusters : str or False, optional
        Column of the models' metadata, or False, as in `fit`.
    jobs : int
        Number of workers, of one thread each; -1: one per processor. Results do not depend on it.
    backend : {"loky", "dask"}
        Processes on this machine, or a Dask cluster.
    scheduler : str, optional
        Address of a Dask scheduler; by default a cluster is started on this machine.
    folder : str or Path, optional
        Where each fit is kept as soon as it ends, as ``fit.nc`` in a folder of its own; ``summary.json`` there names
        them. The same call made again reads the fits that are there, and makes the rest.
    force : bool
        Whether fits of another call that are there may be replaced.
    progress : callable, optional
        Called with (benchmark, number of fits made, number to make) when a fit ends.

    Returns
    -------
    dict
        Benchmark → its fit, in the order of the table.

    Raises
    ------
    AnalysisError
        If the backend is unknown or not installed.
    OutputError
        If the folder holds something else, or fits of another call, and `force` is False.

    Warns
    -----
    ConvergenceWarning, FitWarning
        As `fit` does; the benchmark is named.

    Examples
    --------
    >>> import pandas as pd
    >>> from irt_bench import LaplaceSettings, fit_benchmarks, load_example, table_from_frame
    >>> answers = load_example("benchmark").to_frame()[["model", "item", "correct"]]
    >>> both = pd.concat([answers.assign(benchmark="first"), answers.assign(benchmark="second")])
    >>> fit_benchmarks(table_from_frame(both), "1pl", LaplaceSettings(refine=False))["second"]
    Fit(1pl, laplace, 120 models x 100 items, converged=True)
    """
    workers = Workers(backend, scheduler, jobs)
    settings = None if method is None else _settings(method, seed)
    chosen = _model(model)
    parts = {name: arranged(chosen, table.select(name).counts()) for name in table.benchmarks}
    methods = {name: settings or _settings(default_method(chosen, part), seed) for name, part in parts.items()}
    fits, places = {}, {}
    if folder is not None:
        names = {name: file_name(name, place) for place, name in enumerate(parts)}
        each = [[names[name], name, methods[name].model_dump(), part.fingerprint()] for name, part in parts.items()]
        call = {"irt_model": chosen.to_dict(), "model_clusters": model_clusters, "copies": copies, "benchmarks": each}
        again = claim_folder(Path(folder), {**call, "versions": versions()}, force=force)
        places = {name: Path(folder) / names[name] / "fit.nc" for name in parts}
        there = [name for name, path in places.items() if again and path.is_file()]
        fits = {name: Fit.of(FitResult.load(places[name], irt_model=chosen), parts[name]) for name in there}
    missing = [name for name in parts if name not in fits]
    calls = [(parts[name], chosen, methods[name], model_clusters, copies) for name in missing]
    for done, (place, (found, warned)) in enumerate(as_completed(_fit_and_listen, calls, workers), 1):
        name = missing[place]
        for message, category in warned:
            warnings.warn(f"{name}: {message}", category, stacklevel=2)
        fits[name] = Fit.of(found, parts[name])
        if name in places:
            places[name].parent.mkdir(exist_ok=True)
            fits[name].save(places[name])
        if progress is not None:
            progress(name, done, len(missing))
    return {name: fits[name] for name in parts}


def _fit_and_listen(
    counts: ResponseCounts, model: IRTModel, settings: Settings, model_clusters: Cluster, copies: CopiesName
) -> tuple[FitResult, list[tuple[str, type[Warning]]]]:
    """Fit in a worker, and hand on what it warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        found = fit_model(counts, model, settings, model_clusters=model_clusters, copies=copies)
    return found, [(str(each.message), each.category) for each in caught if issubclass(each.category, UserWarning)]


def calibrate_items(
    fitted: Fit,
    responses: Responses,
    *,
    seed: int = 0,
    models: Sequence[object] | None = None,
    items: Sequence[object] | None = None,
) -> pd.DataFrame:
    """Estimate new items on the scale of a fit, whose own items stay fixed (fixed-item calibration).

    Parameters
    ----------
    fitted : Fit
        Of a 1PL, a 2PL or `MultidimensionalTwoPL`.
    responses : ResponseCounts, ResponseTable, DataFrame or array
        Answers of some models to items of the fit, joined by label, and to new ones.
    seed, models, items
        As in `fit`.

    Returns
    -------
    pd.DataFrame
        The new items, as `Fit.items` has those of the fit.

    Raises
    ------
    AnalysisError
        If there is no new item or no known one, or the fit is of another model.

    Examples
    --------
    >>> from irt_bench import LaplaceSettings, calibrate_items, fit, load_example
    >>> counts = load_example("benchmark").counts()
    >>> fitted = fit(counts.take(items=slice(90)), "2pl", LaplaceSettings(refine=False))
    >>> calibrate_items(fitted, counts).index.tolist()[:2]
    ['item-091', 'item-092']
    """
    counts = as_counts(responses, models=models, items=items)
    posterior = calibrate_new_items(counts, fitted.posterior, seed=seed)
    new = counts.items.index.astype(str).isin(posterior[ITEM].to_index())
    return item_table(posterior, counts.take(items=new))


def predict_items(fitted: Fit, items: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Predict the parameters of items that no model has answered, from their covariates.

    Parameters
    ----------
    fitted : Fit
        Of a model with an `ItemRegression`.
    items : pd.DataFrame
        A row per item, with the columns that the regression names; a text that no item of the fit has counts as
        average.
    seed : int
        Seed of the random numbers.

    Returns
    -------
    pd.DataFrame
        Indexed as `items`: ``difficulty`` and, where items differ in it, ``discrimination``, each with ``_sd``,
        ``_q05`` and ``_q95``; intervals include the residual variation.

    Raises
    ------
    AnalysisError
        If the model has no regression of items.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from irt_bench import ItemRegression, SVISettings, TwoPL, fit, load_example, predict_items
    >>> model = TwoPL(item_regression=ItemRegression(["subtask"]))
    >>> fitted = fit(load_example("benchmark"), model, SVISettings(), seed=1)  # doctest: +SKIP
    >>> new = pd.DataFrame({"subtask": ["subtask-1"]}, index=["new"])
    >>> predict_items(fitted, new).columns[0]  # doctest: +SKIP
    'difficulty'
    """
    about = fitted.posterior.attrs.get(ITEM_REGRESSION)
    if about is None:
        raise AnalysisError("the model has no regression of items; fit one with item_regression=ItemRegression([...]).")
    drawn = predicted_draws(ItemRegression.from_dict(json.loads(about)), fitted.posterior, items, seed=seed)
    return pd.concat([summarise(draws, name, items.index) for name, draws in drawn.items()], axis=1)


@dataclass(frozen=True, repr=False)
class ScaleLink:
    """The linear map from the ability scale of one fit to that of another, made by `link_scales`.

    Parameters
    ----------
    draws : array of shape (draw, 2)
        Slope A and intercept B: ability on the first scale = A x ability on the second + B.
    common : pd.DataFrame
        Items of both fits, by label: ``difficulty`` of the first, ``linked_difficulty`` of the second on its scale, and
        their ``difference`` with interval. An item whose interval leaves out 0 has changed; leave it out, and link
        again.
    other : Fit
        The second fit.

    Examples
    --------
    A fit and itself:

    >>> from irt_bench import LaplaceSettings, fit, link_scales, load_example
    >>> fitted = fit(load_example("benchmark"), "2pl", LaplaceSettings(refine=False))
    >>> link_scales(fitted, fitted)
    ScaleLink(1.000 x ability + 0.000, 100 common items)
    """

    draws: npt.NDArray[np.float64]
    common: pd.DataFrame
    other: Fit

    def __repr__(self) -> str:
        slope, intercept = self.draws.mean(axis=0)
        return f"ScaleLink({slope:.3f} x ability + {intercept:.3f}, {len(self.common)} common items)"

    def _repr_html_(self) -> str:
        parts = (html_frame(self.summary(), "Slope and intercept"), html_frame(self.common, "Items of both fits"))
        return notebook_html(repr(self), *parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rows = {"link": self.summary(), "items": self.common}
        return {name: table.reset_index().to_dict("records") for name, table in rows.items()}

    def summary(self) -> pd.DataFrame:
        """Tabulate slope and intercept, the sd and mean of the second scale on the first: mean, sd, interval."""
        return summarise(self.draws, "value", pd.Index(["slope", "intercept"], name="parameter"))

    def abilities(self) -> pd.DataFrame:
        """Abilities of the second fit's models on the first scale; intervals include the uncertainty of the link."""
        drawn, labels = draws_of(self.other.posterior, ABILITY, MODEL)
        chosen = drawn[evenly_spaced(len(drawn), len(self.draws))][: len(self.draws)]
        return summarise(self.draws[:, :1] * chosen + self.draws[:, 1:], ABILITY, labels)


def link_scales(fitted: Fit, other: Fit, *, method: LinkingName = "stocking-lord") -> ScaleLink:
    """Put the abilities of a second fit on the scale of a first, by the items that both have.

    Parameters
    ----------
    fitted, other : Fit
        Fits of a 1PL to 4PL, to different models and with some items in common, by label. Each has a scale of its own,
        the mean and sd of its models.
    method : {"stocking-lord", "mean-sigma"}
        Nearest expected scores on the common items (Stocking and Lord 1983), or equal means and sds of their
        difficulties.

    Returns
    -------
    ScaleLink
        With `ScaleLink.abilities`, on the first scale.

    Raises
    ------
    AnalysisError
        If fewer than five items are common, or a fit is of another model.

    Notes
    -----
    Each draw of the items of both fits gives a slope and an intercept, so that intervals include the uncertainty of the
    common items. These are assumed to be the same for both groups of models: see ``common``. Where the answers are at
    hand, one fit of all with `Groups` uses them better, and `calibrate_items` adds items to a scale.

    Examples
    --------
    >>> import numpy as np
    >>> from irt_bench import LaplaceSettings, TwoPL, fit, link_scales, simulate_responses
    >>> ability = np.repeat([-0.5, 0.5], 150) + np.random.default_rng(1).normal(0, 1, 300)
    >>> made = simulate_responses(TwoPL(), n_models=300, n_items=70, seed=1, parameters={"ability": ability})
    >>> counts, quick = made.table.counts(), LaplaceSettings(refine=False)
    >>> weaker = fit(counts.take(models=slice(150), items=slice(0, 50)), "2pl", quick)
    >>> abler = fit(counts.take(models=slice(150, 300), items=slice(20, 70)), "2pl", quick)
    >>> link = link_scales(weaker, abler)
    >>> len(link.common), bool(link.summary().loc["intercept", "value_q05"] > 0.5)
    (30, True)
    """
    if method not in LINKS:
        raise AnalysisError(unknown_choice("method", method, LINKS))
    return ScaleLink(*link_draws(fitted.posterior, other.posterior, method), other)


def equate_scores(
    fitted: Fit, source: Sequence[str], target: Sequence[str], scores: npt.ArrayLike | None = None
) -> pd.DataFrame:
    """Give the score on other items that is equivalent to a score on some items of a fit (true-score equating).

    Parameters
    ----------
    fitted : Fit
        Of a 1PL to 4PL, which has all of these items.
    source, target : sequence of str
        Labels of the items of the two tests, such as two subsets of a benchmark; ``subset.items.index`` of a `Subset`.
    scores : array, optional
        Shares right on the first; by default all between none and all right.

    Returns
    -------
    pd.DataFrame
        Indexed by score: ``equivalent``, the share right on the second that a model of the same ability is expected to
        have, and this ``ability``, each with ``_sd``, ``_q05`` and ``_q95``. NaN, with a warning, where no ability has
        the score: none or all right, or below guessing.

    Notes
    -----
    Intervals show the uncertainty of the items' parameters. They do not include the chance in a model's own score. For
    the ability of a model from its answers see `Fit.score`.

    Examples
    --------
    >>> from irt_bench import LaplaceSettings, equate_scores, fit, load_example
    >>> fitted = fit(load_example("benchmark"), "2pl", LaplaceSettings(refine=False))
    >>> easiest_first = fitted.items()["difficulty"].sort_values().index
    >>> table = equate_scores(fitted, easiest_first[:50], easiest_first[50:], [0.5, 0.8])
    >>> bool((table["equivalent"] < table.index).all())
    True
    """
    return equated_scores(fitted.posterior, source, target, None if scores is None else np.asarray(scores))


def fit_tables(fitted: Fit, *, maximum_likelihood: bool = False) -> dict[str, pd.DataFrame]:
    """Tabulate a fit and the responses it holds, by the names of the files that ``irt-bench fit`` writes."""
    abilities = fitted.abilities()
    items = fitted.items(maximum_likelihood=maximum_likelihood)
    tables = {"items": items, "abilities": abilities, **tables_of_model(fitted.posterior)}
    if "loadings" not in tables and fitted.data is not None:
        tables["observed"] = observed_shares(abilities["ability"], fitted.data).to_dataframe()
    return tables


def _model(model: str | IRTModel) -> IRTModel:
    """Give the model of a name, with its default priors."""
    if not isinstance(model, str):
        return model
    if model in SCORE_MODELS:
        return SCORE_MODELS[model]()
    if model == MultidimensionalTwoPL.name:
        return MultidimensionalTwoPL()
    if model in MULTIDIMENSIONAL_MODELS:
        kind = MULTIDIMENSIONAL_MODELS[model].__name__
        raise ModelError(
            f"the model {model!r} needs a column of the items; give {kind}(...) with one, such as subtask."
        )
    return irt_model_from_name(model)


def _settings(method: str | Settings, seed: int | None) -> Settings:
    """Build settings of a method, with the seed where one is given."""
    if isinstance(method, str):
        return settings_for(method, **({} if seed is None else {"seed": seed}))
    if not isinstance(method, Settings):
        kinds = ", ".join(f"{kind.__name__}(...)" for kind in SETTINGS.values())
        raise FitError(f"method is {method!r}; one of {', '.join(map(repr, SETTINGS))}, or {kinds}, is needed.")
    return method if seed is None else settings_for(method.method, **(method.model_dump() | {"seed": seed}))
