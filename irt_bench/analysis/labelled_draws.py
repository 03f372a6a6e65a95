"""Draws of a labelled posterior as arrays: chains joined, thinned, and ordered by label."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError, ResponsesWarning
from irt_bench.inference.draws import HASH_CHARACTERS, metadata_of
from irt_bench.irt_models.populations import (
    COEFFICIENT,
    COVARIATE,
    GROUP,
    GROUP_EFFECT,
    GROUP_EFFECT_SD,
    GROUP_MEAN,
    GROUP_SD,
    POPULATION,
    AbilityPrior,
    Groups,
    Population,
    Regression,
    codes_of,
    population_from_dict,
)
from irt_bench.names import (
    ABILITY,
    CHAIN,
    DIFFICULTY,
    DISPERSION,
    DOC_HASH,
    DRAW,
    GUESSING,
    ITEM,
    MODEL,
    UPPER_ASYMPTOTE,
)
from irt_bench.responses.counts import ResponseCounts
from irt_bench.responses.table import FILTER, METRIC

ASYMPTOTES = {GUESSING: 0.0, UPPER_ASYMPTOTE: 1.0}  # values for models without these parameters


class ItemParameters(NamedTuple):
    """Item parameters of equal shape, usually (draw, item) or (item,)."""

    difficulty: FloatArray
    discrimination: FloatArray
    guessing: FloatArray
    upper_asymptote: FloatArray

    def at(self, index: object) -> ItemParameters:
        """Index all parameters alike."""
        return ItemParameters(*(values[index] for values in self))  # type: ignore[call-overload]


def item_draws(posterior: xr.Dataset, most: int) -> tuple[ItemParameters, pd.Index]:
    """At most `most` evenly spaced draws of the item parameters, shape (draw, item), and the items' labels."""
    found: dict[str, FloatArray] = {}
    for name in ItemParameters._fields:
        if name in ASYMPTOTES and name not in posterior:
            found[name] = np.broadcast_to(np.float64(ASYMPTOTES[name]), found[DIFFICULTY].shape)
            continue
        draws, labels = draws_of(posterior, name, ITEM)
        found[name] = draws[evenly_spaced(len(draws), most)].astype(np.float64)
    return ItemParameters(**found), labels


class PopulationPriors(NamedTuple):
    """Normal priors of abilities at each draw, or mixtures of them for models whose population is not known.

    Attributes
    ----------
    mean, sd : arrays of shape (draw, component)
        Of each group, or of each model.
    share : array of shape (model, component), optional
        Shares of the groups; without, each model has a component of its own.
    unknown : boolean array of shape (model,)
        Whether the population of a model is not known.
    """

    mean: FloatArray
    sd: FloatArray
    share: FloatArray | None
    unknown: npt.NDArray[np.bool_]

    @classmethod
    def find(cls, posterior: xr.Dataset, models: pd.DataFrame) -> PopulationPriors | None:
        """Find the priors of models by their metadata; None where abilities are N(0, 1)."""
        population = population_of(posterior)
        if population is None:
            return None
        if not {*population.columns} <= {*map(str, models.columns)}:  # of models that were fitted, from the fit
            models = metadata_of(posterior).reindex(models.index.astype(str))
        if isinstance(population, Groups):
            return cls._of_groups(population, posterior, models)
        return cls._of_regression(population, posterior, models)

    @classmethod
    def _of_groups(cls, population: Groups, posterior: xr.Dataset, models: pd.DataFrame) -> PopulationPriors:
        codes = codes_of(population.labels, population.column, models)
        share = (codes[:, None] == np.arange(len(population.labels))).astype(np.float64)
        share[codes < 0] = np.array(population.sizes) / sum(population.sizes)
        mean, sd = (draws_of(posterior, name, GROUP)[0].astype(np.float64) for name in (GROUP_MEAN, GROUP_SD))
        return cls(mean, sd, share, codes < 0)

    @classmethod
    def _of_regression(cls, population: Regression, posterior: xr.Dataset, models: pd.DataFrame) -> PopulationPriors:
        """Priors by covariates and groups; where a covariate is missing, as spread as the fitted models are."""
        ability = draws_of(posterior, ABILITY, MODEL)[0].astype(np.float64)
        mean, variance = np.zeros((len(ability), len(models))), np.ones((len(ability), len(models)))
        unknown = np.array(not {*population.covariates} <= {*map(str, models.columns)}).repeat(len(models))
        if population.covariates and not unknown.any():
            covariates = population.standardised(models)
            unknown = np.asarray(np.isnan(covariates).any(axis=1))
            mean += draws_of(posterior, COEFFICIENT, COVARIATE)[0] @ np.nan_to_num(covariates).T
        if population.group is not None:
            codes = codes_of(population.labels, population.group, models)
            effects = draws_of(posterior, GROUP_EFFECT, GROUP)[0]
            mean[:, codes >= 0] += effects[:, codes[codes >= 0]]
            variance[:, codes < 0] += posterior[GROUP_EFFECT_SD].to_numpy().reshape(-1, 1) ** 2
        mean[:, unknown] = ability.mean(axis=1, keepdims=True)
        variance[:, unknown] = ability.var(axis=1, keepdims=True)
        return cls(mean, np.sqrt(variance), None, unknown)

    def at(self, places: npt.NDArray[np.intp]) -> PopulationPriors:
        """Keep some draws."""
        return self._replace(mean=self.mean[places], sd=self.sd[places])

    def of(self, models: npt.NDArray[np.intp]) -> PopulationPriors:
        """Keep some models."""
        if self.share is not None:
            return self._replace(share=self.share[models], unknown=self.unknown[models])
        return PopulationPriors(self.mean[:, models], self.sd[:, models], None, self.unknown[models])

    def widened(self, factor: float) -> PopulationPriors:
        """Multiply sds."""
        return self._replace(sd=self.sd * factor)

    def moments(self) -> AbilityPrior:
        """Mean and sd of each model's prior, draws and components together, (model,)."""
        mean, square = self.mean.mean(axis=0), (self.sd**2 + self.mean**2).mean(axis=0)
        if self.share is not None:
            mean, square = self.share @ mean, self.share @ square
        return AbilityPrior(mean, np.sqrt(square - mean**2))

    def log_density(self, draw: int, nodes: FloatArray) -> FloatArray:
        """Log density of each model's prior at nodes, (model, node), up to a constant."""
        mean, sd = self.mean[draw, :, None], self.sd[draw, :, None]
        if self.share is None:
            return np.asarray(-(((nodes - mean) / sd) ** 2) / 2)
        density = self.share @ (np.exp(-(((nodes - mean) / sd) ** 2) / 2) / sd)
        return np.asarray(np.log(np.maximum(density, np.finfo(np.float64).tiny)))

    def warn_of_unknown(self, models: pd.Index, *, stacklevel: int) -> None:
        """Warn of models that get the prior of all populations together."""
        if self.unknown.any():
            warnings.warn(
                f"{int(self.unknown.sum())} of {len(models)} models have no group or covariates that the fit knows; "
                f"first: {models[int(self.unknown.argmax())]!r}. Their prior is the mixture of all populations.",
                ResponsesWarning,
                stacklevel=stacklevel,
            )


def effective_counts(counts: ResponseCounts, posterior: xr.Dataset) -> ResponseCounts:
    """Divide counts of cells with n trials by 1 + (n - 1) rho where the fit found them correlated: as many count."""
    if DISPERSION not in posterior or not (counts.trials > 1).any():
        return counts
    effect = 1 + np.maximum(counts.trials - 1, 0) * float(posterior[DISPERSION].mean())
    return replace(counts, correct=counts.correct / effect, trials=counts.trials / effect)


def population_of(posterior: xr.Dataset) -> Population | None:
    """Look up where the abilities of labelled draws come from; None where they are N(0, 1)."""
    about = posterior.attrs.get(POPULATION)
    return None if about is None else population_from_dict(json.loads(about))


def groups_of_models(posterior: xr.Dataset) -> pd.Series:
    """Look up the group of each model of a fit with `Groups`, indexed by model; empty where there are none."""
    population = population_of(posterior)
    if not isinstance(population, Groups):
        return pd.Series(dtype=object)
    return metadata_of(posterior)[population.column].astype(str)


def refuse_populations(posterior: xr.Dataset, what: str) -> None:
    """Refuse draws whose abilities come from several populations, for what supposes N(0, 1).

    Raises
    ------
    AnalysisError
        Naming what was asked for.
    """
    if POPULATION in posterior.attrs:
        raise AnalysisError(f"{what} assumes one population of models, N(0, 1); fit the model without population.")


def draws_of(posterior: xr.Dataset, name: str, dim: str) -> tuple[npt.NDArray[np.floating], pd.Index]:
    """Draws of one parameter, shape (draw, model or item), chains joined, and the labels.

    Raises
    ------
    AnalysisError
        If the parameter is missing, has other dimensions or no labels, or is not finite.
    """
    if name not in posterior:
        raise AnalysisError(
            f"the posterior has no {name!r}; it has {', '.join(map(str, posterior.data_vars)) or 'none'}."
        )
    values = posterior[name]
    if set(values.dims) != {CHAIN, DRAW, dim} or dim not in values.coords:
        raise AnalysisError(
            f"{name} has dimensions {values.dims}; ({CHAIN!r}, {DRAW!r}, {dim!r}) with labels are needed."
        )
    labels = pd.Index(values[dim].to_index()).rename(dim)
    _refuse_doubled(labels, dim, "the fit")
    draws = values.transpose(CHAIN, DRAW, dim).to_numpy().reshape(-1, len(labels))
    finite = np.isfinite(draws).all(axis=0)
    if not finite.all() or not draws.size:
        first = f"; first: {dim} {labels[int(finite.argmin())]!r}" if draws.size else f": there are {draws.shape}"
        raise AnalysisError(f"draws of {name} are missing or not finite{first}. Check the fit's convergence.")
    return draws, labels


def thin(items: ItemParameters, most: int) -> ItemParameters:
    """Keep at most `most` evenly spaced draws, shifted to the mean slope and intercept of all draws.

    Ability given the items is linear in these to first order, so its mean over the kept draws is that over all draws.
    """
    places = evenly_spaced(len(items.difficulty), most)
    if len(places) == len(items.difficulty):
        return items
    every, kept = items.discrimination * items.difficulty, items.at(places)
    mean = kept.discrimination.mean(axis=0)
    slope = kept.discrimination * np.divide(
        items.discrimination.mean(axis=0), mean, out=np.ones_like(mean), where=mean != 0
    )
    intercept = every[places] + (every.mean(axis=0) - every[places].mean(axis=0))
    difficulty = np.divide(intercept, slope, out=kept.difficulty.copy(), where=slope != 0)
    return kept._replace(difficulty=difficulty, discrimination=slope)


def evenly_spaced(n: int, most: int) -> npt.NDArray[np.intp]:
    """Positions of at most `most` of n rows, evenly spaced."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.intp)


def positions_of(wanted: pd.Index, labels: pd.Index, what: str, left: str, right: str) -> npt.NDArray[np.intp]:
    """Find the positions in `labels` (of `right`) of all `wanted` labels (of `left`).

    Raises
    ------
    AnalysisError
        If one is missing, or a label occurs twice.
    """
    labels, wanted = labels.astype("str"), wanted.astype("str")
    _refuse_doubled(labels, what, right)
    positions = labels.get_indexer(wanted)
    if (positions < 0).any():
        raise AnalysisError(
            f"{int((positions < 0).sum())} of the {len(wanted)} {what}s of {left} are not among the {len(labels)} of "
            f"{right}; first: {wanted[int((positions < 0).argmax())]!r}. Take both from the same fit."
        )
    return np.asarray(positions, dtype=np.intp)


def _refuse_doubled(labels: pd.Index, what: str, where: str) -> None:
    if not labels.is_unique:
        first = labels[labels.duplicated()][0]
        raise AnalysisError(f"{what} {first!r} occurs twice in {where}; labels must be unique.")


def check_same_responses(items: pd.DataFrame, posterior: xr.Dataset) -> None:
    """Check that items of responses are the documents of a fit's items, read by the same metric and filter, if known.

    Raises
    ------
    AnalysisError
        If a label is of another document, or the metric or filter differs; names the first.
    """
    if DOC_HASH in posterior.coords and DOC_HASH in items:
        known = pd.Series(posterior[DOC_HASH].to_numpy().astype(str), index=posterior[ITEM].to_index().astype("str"))
        given = items[DOC_HASH].dropna().astype("str").str[:HASH_CHARACTERS]
        given.index = given.index.astype("str")
        known = known[(known != "").to_numpy() & known.index.isin(given.index)]
        differ = known.index[known.to_numpy() != given.loc[known.index].to_numpy()]
        if len(differ):
            raise AnalysisError(
                f"{len(differ)} items are other documents in the responses than in the fit, as doc_hash shows; first: "
                f"{differ[0]!r}. The benchmark was revised or reordered: fit and score the same revision."
            )
    for name in (METRIC, FILTER):
        fitted = json.loads(posterior.attrs.get(name, "[]"))
        read = sorted(items[name].dropna().astype("str").unique()) if name in items else []
        if other := [value for value in read if value not in fitted] if fitted else []:
            raise AnalysisError(
                f"the responses were read by {name} {other[0]!r}, those of the fit by {' and '.join(map(repr, fitted))}"
                f"; read them by the same: {name}={fitted[0]!r}."
            )


def match_labels(labels: pd.Index, wanted: pd.Index, what: str, left: str, right: str) -> npt.NDArray[np.intp]:
    """Find the positions in `labels` (of `left`) of the `wanted` labels (of `right`), where both have the same labels.

    Raises
    ------
    AnalysisError
        If a label is in only one of them or occurs twice.
    """
    labels, wanted = labels.astype("str"), wanted.astype("str")
    positions = labels.get_indexer(wanted) if labels.is_unique else np.full(len(wanted), -1)
    if (positions < 0).any() or len(labels) != len(wanted):
        lone = wanted.symmetric_difference(labels)
        first = f"first in only one of them: {lone[0]!r}" if len(lone) else "some occur twice"
        raise AnalysisError(
            f"{left} has {len(labels)} {what}s, {right} {len(wanted)}; {first}. Take both from the same fit."
        )
    return np.asarray(positions, dtype=np.intp)
