"""Fit an item response model to responses of any form."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd

from irt_bench.analysis.irt import item_table, summarise
from irt_bench.analysis.profiles import calibrate_new_items
from irt_bench.api.fit import Fit
from irt_bench.errors import AnalysisError, FitError, ModelError, renamed
from irt_bench.inference.fit import default_method
from irt_bench.inference.fit import fit as fit_model
from irt_bench.inference.related_models import Cluster
from irt_bench.inference.settings import SETTINGS, Settings, settings_for
from irt_bench.irt_models import SCORE_MODELS
from irt_bench.irt_models.item_regression import ITEM_REGRESSION, ItemRegression, predicted_draws
from irt_bench.irt_models.logistic import irt_model_from_name
from irt_bench.irt_models.model import IRTModel, arranged
from irt_bench.irt_models.multidimensional import MULTIDIMENSIONAL_MODELS, MultidimensionalTwoPL
from irt_bench.names import ITEM, CopiesName, MethodName, ModelName
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.workers import Progress


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
        The model by name, with its default priors, or as an object: `TwoPL` and its kin take other priors, and any
        class with the members of `IRTModel` is a model. With several abilities: `MultidimensionalTwoPL` ("m2pl", as
        many as held-out answers show), `ConfirmatoryTwoPL` and `BifactorTwoPL`, which need to know which items go
        together. Of ordered scores: `GradedResponse` ("grm"), `GeneralizedPartialCredit` ("gpcm"),
        and by several raters `ManyFacet` ("mfrm"); of scores in [0, 1]: `ZeroOneBeta` ("beta").
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
        metadata, or a label per model. Intervals then hold with clusters. False: do not look for any.
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


def calibrate_items(
    fitted: Fit,
    responses: Responses,
    *,
    seed: int = 0,
    models: Sequence[object] | None = None,
    items: Sequence[object] | None = None,
) -> pd.DataFrame:
    """Estimate new items on the scale of a fit, whose items stay as they are (fixed-item calibration).

    Parameters
    ----------
    fitted : Fit
        Of a 1PL, a 2PL or `MultidimensionalTwoPL`.
    responses : ResponseCounts, ResponseTable, DataFrame or array
        Answers of some models to items of the fit, joined by label, and to new ones.
    seed : int
        Of everything random.
    models, items : sequence, optional
        Labels of the rows and columns of an array.

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
        ``_q05`` and ``_q95``: what covariates leave open is within these intervals.

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
