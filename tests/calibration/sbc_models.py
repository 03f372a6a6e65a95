"""Data sets of models that are more than one ability and right answers: a truth from the priors, and its answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from irt_bench import (
    Beta,
    BifactorTwoPL,
    ConfirmatoryTwoPL,
    GeneralizedPartialCredit,
    GradedResponse,
    Groups,
    Hierarchical,
    IRTModel,
    ItemRegression,
    ManyFacet,
    MultidimensionalTwoPL,
    Regression,
    ResponseCounts,
    TwoPL,
    ZeroOneBeta,
    simulate_responses,
)
from irt_bench.inference.draws import response_groups
from irt_bench.irt_models.model import arranged
from irt_bench.irt_models.simulate import Simulation

COVARIATE = "length"
Made = tuple[xr.Dataset, ResponseCounts, IRTModel]


def of_scores(irt_model: Any) -> Callable[[int, int, int], Made]:
    """Scores of a model of scores."""

    def make(n_models: int, n_items: int, seed: int) -> Made:
        made = simulate_responses(irt_model, n_models=n_models, n_items=n_items, seed=seed, hyperparameters={})
        return made.truth, arranged(irt_model, made.table.counts()), irt_model

    return make


def of_population(population: Any) -> Callable[[int, int, int], Made]:
    """Models of two families, the first the larger, and of many sizes."""
    irt_model = TwoPL(population=population)

    def make(n_models: int, n_items: int, seed: int) -> Made:
        places = np.arange(n_models)
        columns = {"family": np.where(places < 0.6 * n_models, "a", "b"), "size": np.sqrt(places)}
        models = pd.DataFrame(columns, index=[f"model-{place:02d}" for place in places])
        made = simulate_responses(
            irt_model, n_models=n_models, n_items=n_items, seed=seed, hyperparameters={}, models=models
        )
        return made.truth, made.table.counts(), irt_model

    return make


def of_trials(n_models: int, n_items: int, seed: int) -> Made:
    """Five trials per cell, correlated."""
    irt_model = TwoPL(dispersion=Beta(1, 9))
    made = simulate_responses(irt_model, n_models=n_models, n_items=n_items, seed=seed, n_samples=5, hyperparameters={})
    return made.truth, made.table.counts(), irt_model


def several_abilities(model_of: Callable[[int], Any]) -> Callable[[int, int, int], Made]:
    """Loadings from hierarchies drawn for each dimension, turned to be mostly positive, as fits are."""

    def make(n_models: int, n_items: int, seed: int) -> Made:
        rng = np.random.default_rng(seed)
        irt_model = model_of(n_items)
        pattern = irt_model.pattern(n_items)
        loading = _drawn(irt_model.loading, pattern.shape, rng) * pattern
        turn = np.where(loading.sum(axis=0) < 0, -1.0, 1.0)
        given = {"loading": loading * turn, "intercept": _drawn(irt_model.intercept, n_items, rng)}
        if irt_model.correlated:  # LKJ(1) of two dimensions is uniform
            correlation = rng.uniform(-1, 1) * turn.prod()
            given["ability_correlation"] = np.array([[1, correlation], [correlation, 1]])
        made = simulate_responses(irt_model, n_models=n_models, n_items=n_items, seed=seed, parameters=given)
        return made.truth, made.table.counts(), irt_model

    return make


def halves(n_items: int) -> list[str]:
    """Name the passage of each item."""
    return ["p" if place < n_items // 2 else "q" for place in range(n_items)]


def of_covariate(n_models: int, n_items: int, seed: int) -> Made:
    """Items regressed on a standardised column."""
    rng = np.random.default_rng(seed)
    irt_model = TwoPL(item_regression=ItemRegression([COVARIATE]))
    values = rng.normal(size=n_items)
    values = (values - values.mean()) / values.std()
    shared, given = {}, {}
    for name in ("difficulty", "log_discrimination"):
        prior = getattr(irt_model, name)
        effect = rng.normal(0.0, 1.0)
        mean, sd = rng.normal(prior.mean.loc, prior.mean.scale), abs(rng.normal(0.0, prior.sd.scale))
        given[name] = rng.normal(mean + effect * values, sd)
        shared |= {f"{name}_mean": mean, f"{name}_sd": sd, f"{name}_effect": ("item_covariate", [effect])}
    given["discrimination"] = np.exp(given.pop("log_discrimination"))
    made = simulate_responses(TwoPL(), n_models=n_models, n_items=n_items, seed=seed, parameters=given)
    counts = made.table.counts()
    columns = pd.DataFrame({COVARIATE: values}, index=_labels(made))
    return made.truth.drop_vars([*shared], errors="ignore").assign(shared), counts.with_item_columns(columns), irt_model


def _labels(made: Simulation) -> Any:
    return made.truth["item"].to_numpy()


def _drawn(prior: Hierarchical, shape: Any, rng: np.random.Generator) -> np.ndarray:
    """Draw values whose mean and sd, of each column, are drawn."""
    columns = shape[1:] if isinstance(shape, tuple) else ()
    mean = rng.normal(prior.mean.loc, prior.mean.scale, columns)
    return rng.normal(mean, np.abs(rng.normal(0.0, prior.sd.scale, columns)), shape)


MAKERS: dict[str, Callable[[int, int, int], Made]] = {
    "groups": of_population(Groups("family")),
    "regression": of_population(Regression(["size"])),
    "repeated trials": of_trials,
    "m2pl": several_abilities(lambda n_items: MultidimensionalTwoPL(dimensions=2)),
    "confirmatory": several_abilities(
        lambda n_items: ConfirmatoryTwoPL(dimensions=tuple((half,) for half in halves(n_items)))
    ),
    "bifactor": several_abilities(lambda n_items: BifactorTwoPL(groups=tuple(halves(n_items)))),
    "item regression": of_covariate,
    "grm": of_scores(GradedResponse(steps=3)),
    "gpcm": of_scores(GeneralizedPartialCredit(steps=3)),
    "mfrm": of_scores(ManyFacet(steps=2)),
    "beta": of_scores(ZeroOneBeta()),
}
FAST = ("groups", "regression", "repeated trials", "m2pl", "confirmatory", "bifactor")  # known to the fast method


def unrotated(irt_model: IRTModel, parameters: xr.Dataset) -> xr.Dataset:
    """Leave of abilities and loadings what their axes do not change: sums of squares, or the most loadings positive.

    Fits turn draws towards one another, which a truth by itself cannot follow: here each is turned by its own loadings.
    """
    if isinstance(irt_model, MultidimensionalTwoPL):
        squares = {name: (parameters[name] ** 2).sum("dimension") for name in ("ability", "loading")}
        return xr.Dataset({"intercept": parameters["intercept"], **squares})
    if "loading" not in parameters:
        return parameters
    turn = xr.where(parameters["loading"].sum("item") < 0, -1.0, 1.0)
    turned = {name: parameters[name] * turn for name in ("ability", "loading")}
    if (correlation := parameters.get("ability_correlation")) is not None:
        (other,) = {*correlation.dims} - {*turn.dims}
        turned["ability_correlation"] = correlation * turn * turn.rename(dimension=other)
    return parameters.assign(turned)


def log_likelihood(irt_model: IRTModel, parameters: xr.Dataset, counts: ResponseCounts) -> np.ndarray:
    """Log-likelihood of all answers by the model's own formula, (draw,)."""
    drawn = parameters if "draw" in parameters.dims else parameters.expand_dims("draw")
    order = ("chain", "draw", "model", "item")
    drawn = drawn.expand_dims("chain").transpose(*order, ..., missing_dims="ignore")
    groups = response_groups(irt_model, drawn, counts, groups=["log_likelihood"])
    return groups["log_likelihood"]["correct"].to_numpy().reshape(drawn.sizes["draw"], -1).sum(axis=1)
