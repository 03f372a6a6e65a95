"""Populations of models: abilities ~ N(mean, sd) by group, or regressed on covariates of the models.

Every population is one linear design: ability_m ~ N(Z_m c, s_m^2), coefficients c with a known prior, or one whose sd
is learned (random effects), and standard deviations s_m that are one or learned by group. What is one fixes the scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.arrays import Array
from irt_bench.errors import ModelError, unknown_choice
from irt_bench.irt_models.model import HalfNormal, Normal, field_from_dict
from irt_bench.responses.table import natural_order

POPULATION: Final = "population"  # field of a model, and attribute of its labelled draws
GROUP: Final = "group"  # dimension and plate
OTHER_GROUP: Final = "other_group"  # the same without the reference
COVARIATE: Final = "covariate"
GROUP_MEAN, GROUP_SD = "group_mean", "group_sd"
OTHER_MEAN, OTHER_SD = "other_mean", "other_sd"  # those that are learned
COEFFICIENT, GROUP_EFFECT, GROUP_EFFECT_SD = "coefficient", "group_effect", "group_effect_sd"
MIN_GROUP: Final = 2  # models of a group with a mean and an sd of its own
MIN_SCALE: Final = 1e-9  # of a covariate, of its mean's size
FEW_GROUPS: Final = 3


class AbilityPrior(NamedTuple):
    """Normal priors of abilities, each of shape (..., model)."""

    mean: Array
    sd: Array


class PopulationSite(NamedTuple):
    """A latent quantity of a population: its places among all values, and its dimension (None: a scalar)."""

    name: str
    place: slice
    dim: str | None


@dataclass(frozen=True)
class PopulationDesign:
    """What populations are for given models: ability ~ N(loadings @ coefficients, sd^2).

    Parameters
    ----------
    loadings : array of shape (model, coefficient)
        Z.
    spread : integer array of shape (model,)
        Which of the learned sds a model's ability has; -1: one, which fixes the scale.
    n_spreads : int
        Learned sds.
    n_random : int
        The last so many coefficients are normal with a learned sd.
    coefficient : Normal
        Prior of each of the other coefficients.
    sd : HalfNormal
        Prior of the sds that are learned.
    follows : bool
        Whether coefficients move with all abilities, as means of groups do.
    sites : tuple of PopulationSite
        Names of the values: coefficients, learned sds, and the sd of random coefficients.
    """

    loadings: Array
    spread: npt.NDArray[np.intp]
    n_spreads: int
    n_random: int
    coefficient: Normal
    sd: HalfNormal
    follows: bool
    sites: tuple[PopulationSite, ...]

    @property
    def n_coefficients(self) -> int:
        """Number of coefficients."""
        return int(self.loadings.shape[1])

    @property
    def n_fixed(self) -> int:
        """Coefficients whose prior is known."""
        return self.n_coefficients - self.n_random

    @property
    def size(self) -> int:
        """Number of values."""
        return self.n_coefficients + self.n_spreads + bool(self.n_random)

    @property
    def anchors(self) -> npt.NDArray[np.bool_]:
        """Whether a model's ability has the sd one, (model,): these fix location and scale."""
        return np.asarray(self.spread < 0)

    def split(self, values: Array) -> tuple[Array, Array, Array]:
        """Coefficients, learned sds, and the sd of random coefficients, from values of shape (..., size)."""
        first, second = self.n_coefficients, self.n_coefficients + self.n_spreads
        return values[..., :first], values[..., first:second], values[..., second:]

    def prior(self, values: Array) -> AbilityPrior:
        """Priors of the abilities, (..., model), given values of shape (..., size)."""
        coefficients, sds, _ = self.split(values)
        padded = np.concatenate([sds, np.ones((*sds.shape[:-1], 1))], axis=-1)
        return AbilityPrior(coefficients @ self.loadings.T, padded[..., self.spread])

    def coefficient_precision(self, values: Array) -> Array:
        """Precision of each coefficient's prior, (..., coefficient)."""
        precision = np.full((*values.shape[:-1], self.n_coefficients), 1 / self.coefficient.scale**2)
        if self.n_random:
            precision[..., self.n_fixed :] = 1 / self.split(values)[2] ** 2
        return precision

    @cached_property
    def grams(self) -> Array:
        """Z'Z over the models of each learned sd, those of sd one at last, (sd + 1, coefficient, coefficient)."""
        places = range(-1, self.n_spreads)
        parts = [self.loadings[self.spread == place] for place in (*places[1:], places[0])]
        return np.array([part.T @ part for part in parts])

    @cached_property
    def members(self) -> Array:
        """Whether a model has each learned sd, (model, sd), floating."""
        return np.asarray(self.spread[:, None] == np.arange(self.n_spreads), dtype=np.float64)

    def draw(self, rng: np.random.Generator) -> Array:
        """Draw values from their priors, (size,)."""
        k, n = self.n_fixed, self.n_spreads + bool(self.n_random)
        fixed = rng.normal(self.coefficient.loc, self.coefficient.scale, k)
        sds = np.abs(rng.normal(0.0, self.sd.scale, n))
        effects = rng.standard_normal(self.n_random) * (sds[-1] if self.n_random else 1.0)
        return np.concatenate([fixed, effects, sds])

    def unpack(self, values: Array) -> dict[str, Array]:
        """Name values of shape (..., size): site → (...) or (..., n)."""
        return {
            site.name: values[..., site.place] if site.dim else values[..., site.place.start] for site in self.sites
        }

    def pack(self, named: Mapping[str, Array]) -> Array:
        """Undo `unpack`."""
        return np.concatenate(
            [named[site.name] if site.dim else np.asarray(named[site.name])[..., None] for site in self.sites], axis=-1
        )


@dataclass(frozen=True)
class Groups:
    """Groups of models, each with a mean and an sd of ability of its own: ability ~ N(mean_g, sd_g^2).

    The reference group is N(0, 1), so that abilities are in sds of its models.

    Parameters
    ----------
    column : str
        Column of the models' metadata with the group of each model.
    reference : str, optional
        The group whose mean is 0 and sd 1; by default the one with most models.
    mean : Normal
        Prior of the other groups' means.
    sd : HalfNormal
        Prior of their sds.
    labels, sizes : tuple, optional
        Groups and how many models each has; found when a model is fitted.

    Examples
    --------
    >>> from irt_bench import Groups, TwoPL
    >>> TwoPL(population=Groups("family", reference="base")).population.reference
    'base'
    """

    kind: ClassVar[str] = "groups"
    column: str
    reference: str | None = None
    mean: Normal = Normal(0.0, 1.5)
    sd: HalfNormal = HalfNormal(1.0)  # flat in the log sd at the reference's
    labels: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    design: PopulationDesign | None = field(default=None, repr=False, compare=False)

    def bind(self, models: pd.DataFrame, answered: npt.NDArray[np.bool_]) -> Groups:
        """Find the groups of given models.

        Parameters
        ----------
        models : pd.DataFrame
            Metadata, indexed by model.
        answered : boolean array of shape (model,)
            Whether a model has any answer.

        Raises
        ------
        ModelError
            If the column is missing, a model has no group, or a group has fewer than two models with answers.
        """
        given = _column(models, self.column)
        _refuse_missing(given, f"group in column {self.column!r}")
        groups = given.astype(str).to_numpy(dtype=object)
        labels = natural_order(np.unique(groups))
        codes = pd.Index(labels).get_indexer(pd.Index(groups))
        sizes = np.bincount(codes[answered], minlength=len(labels))
        if len(labels) < 2:
            raise ModelError(f"column {self.column!r} has one group, {labels[0]!r}; leave out population.")
        if sizes.min() < MIN_GROUP:
            raise ModelError(
                f"group {labels[int(sizes.argmin())]!r} of column {self.column!r} has {sizes.min()} models with "
                f"answers; a mean and an sd need {MIN_GROUP}. Join groups, or give population=Regression((), "
                f"group={self.column!r}), whose groups share one sd."
            )
        reference = labels[int(sizes.argmax())] if self.reference is None else self.reference
        if reference not in labels:
            raise ModelError(unknown_choice("reference group", reference, labels))
        others = [at for at, label in enumerate(labels) if label != reference]
        place = np.full(len(labels), -1)
        place[others] = np.arange(len(others))
        spread, n = place[codes], len(others)
        sites = (
            PopulationSite(OTHER_MEAN, slice(0, n), OTHER_GROUP),
            PopulationSite(OTHER_SD, slice(n, 2 * n), OTHER_GROUP),
        )
        design = PopulationDesign(
            loadings=(spread[:, None] == np.arange(n)).astype(np.float64),
            spread=spread, n_spreads=n, n_random=0, coefficient=self.mean, sd=self.sd, follows=True, sites=sites,
        )  # fmt: skip
        sizes = np.bincount(codes, minlength=len(labels))
        return replace(self, reference=reference, labels=tuple(labels), sizes=tuple(sizes.tolist()), design=design)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the models' metadata that are needed."""
        return (self.column,)

    @property
    def place_of_reference(self) -> int:
        """Position of the reference among the groups."""
        return self.labels.index(str(self.reference))

    def reported(self, named: Mapping[str, Array]) -> dict[str, Array]:
        """Means and sds of all groups, the reference's 0 and 1 among them, from the latent ones."""
        at = self.place_of_reference
        return {
            GROUP_MEAN: np.insert(named[OTHER_MEAN], at, 0.0, axis=-1),
            GROUP_SD: np.insert(named[OTHER_SD], at, 1.0, axis=-1),
        }

    def prior_of(self, models: pd.DataFrame, named: Mapping[str, Array]) -> AbilityPrior:
        """Priors of models by their metadata, given reported quantities; N(0, 1) where the group is not known."""
        codes = codes_of(self.labels, self.column, models)
        known = codes >= 0
        mean, sd = (
            np.where(known, named[name][codes], default) for name, default in ((GROUP_MEAN, 0.0), (GROUP_SD, 1.0))
        )
        return AbilityPrior(mean, sd)

    @property
    def dims(self) -> dict[str, str]:
        """Reported quantity → dimension."""
        return {GROUP_MEAN: GROUP, GROUP_SD: GROUP}

    @property
    def coordinates(self) -> dict[str, tuple[str, ...]]:
        """Dimension → labels."""
        return {GROUP: self.labels}


@dataclass(frozen=True)
class Regression:
    """Latent regression: ability ~ N(x b + effect of the group, 1), covariates x standardised.

    Abilities are in residual standard deviations; 0 is a model with average covariates.

    Parameters
    ----------
    covariates : sequence of str
        Numeric columns of the models' metadata, such as log parameters; none for effects of groups alone.
    group : str, optional
        Column with the group of each model, whose effects ~ N(0, sd^2) are random: many small groups are possible.
    coefficient : Normal
        Prior of each coefficient, per sd of the covariate.
    group_sd : HalfNormal
        Prior of the sd of the groups' effects.
    labels, means, sds : tuple, optional
        Groups, and the covariates' means and sds over the models; found when a model is fitted.

    Examples
    --------
    >>> from irt_bench import Regression, TwoPL
    >>> TwoPL(population=Regression(["log_params"], group="family")).population.covariates
    ('log_params',)
    """

    kind: ClassVar[str] = "regression"
    covariates: Sequence[str]
    group: str | None = None
    coefficient: Normal = Normal(0.0, 2.0)
    group_sd: HalfNormal = HalfNormal(1.0)
    labels: tuple[str, ...] = ()
    means: tuple[float, ...] = ()
    sds: tuple[float, ...] = ()
    design: PopulationDesign | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.covariates, str):
            raise ModelError(f"covariates is {self.covariates!r}; a list of columns is needed: [{self.covariates!r}].")
        object.__setattr__(self, "covariates", tuple(self.covariates))
        if not self.covariates and self.group is None:
            raise ModelError("Regression has neither covariates nor a group; leave out population.")

    def bind(self, models: pd.DataFrame, answered: npt.NDArray[np.bool_]) -> Regression:
        """Standardise the covariates of given models, and find their groups.

        Raises
        ------
        ModelError
            If a column is missing or not numeric, a value is missing, a covariate does not vary or follows from the
            others, or there are fewer than three groups.
        """
        x = self._covariates(models)
        if len(x) and np.isnan(x).any():
            model, column = np.argwhere(np.isnan(x))[0]
            raise ModelError(
                f"{int(np.isnan(x).any(axis=1).sum())} models have no {self.covariates[column]!r}; first: "
                f"{models.index[model]!r}. Fill it in, or leave them out with counts.take(models=...)."
            )
        means, sds = x[answered].mean(axis=0), x[answered].std(axis=0)
        flat = sds <= MIN_SCALE * (1 + np.abs(means))
        if flat.any():
            raise ModelError(
                f"covariate {self.covariates[int(flat.argmax())]!r} is the same in all models; leave it out."
            )
        x = (x - means) / sds
        if np.linalg.matrix_rank(x[answered]) < x.shape[1]:
            raise ModelError(
                f"one of the covariates {', '.join(self.covariates)} follows from the others; leave it out."
            )
        labels: list[str] = []
        parts = [x]
        if self.group is not None:
            given = _column(models, self.group)
            _refuse_missing(given, f"group in column {self.group!r}")
            groups = given.astype(str).to_numpy(dtype=object)
            labels = natural_order(np.unique(groups))
            if len(labels) < FEW_GROUPS:
                raise ModelError(
                    f"column {self.group!r} has {len(labels)} groups; an sd of groups needs {FEW_GROUPS}. Give "
                    f"population=Groups({self.group!r})."
                )
            parts.append((groups[:, None] == np.array(labels, dtype=object)).astype(np.float64))
        loadings, k, n = np.hstack(parts), x.shape[1], len(labels)
        sites = [PopulationSite(COEFFICIENT, slice(0, k), COVARIATE)] if k else []
        if n:
            sites += [
                PopulationSite(GROUP_EFFECT, slice(k, k + n), GROUP),
                PopulationSite(GROUP_EFFECT_SD, slice(k + n, k + n + 1), None),
            ]
        design = PopulationDesign(
            loadings=loadings, spread=np.full(len(models), -1), n_spreads=0, n_random=n, coefficient=self.coefficient,
            sd=self.group_sd, follows=False, sites=tuple(sites),
        )  # fmt: skip
        return replace(self, labels=tuple(labels), means=tuple(means.tolist()), sds=tuple(sds.tolist()), design=design)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the models' metadata that are needed."""
        return (*self.covariates, *(() if self.group is None else (self.group,)))

    def standardised(self, models: pd.DataFrame) -> Array:
        """Covariates of other models in sds from the mean of those fitted, (model, covariate); NaN where missing."""
        return np.asarray((self._covariates(models) - np.array(self.means)) / np.array(self.sds))

    def _covariates(self, models: pd.DataFrame) -> Array:
        columns = []
        for name in self.covariates:
            given = _column(models, name)
            numbers = pd.to_numeric(given, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
            wrong = (np.isnan(numbers) & given.notna().to_numpy()) | np.isinf(numbers)
            if wrong.any():
                raise ModelError(
                    f"covariate {name!r} is {given.iloc[int(wrong.argmax())]!r} for model "
                    f"{models.index[int(wrong.argmax())]!r}; finite numbers are needed (groups go into group=)."
                )
            columns.append(numbers)
        return np.stack(columns, axis=1) if columns else np.empty((len(models), 0))

    def reported(self, named: Mapping[str, Array]) -> dict[str, Array]:
        """Nothing but what is latent."""
        return {}

    def prior_of(self, models: pd.DataFrame, named: Mapping[str, Array]) -> AbilityPrior:
        """Priors of models by their metadata, given reported quantities; what is not known counts as average."""
        mean = np.zeros(len(models))
        if self.covariates and {*self.covariates} <= {*map(str, models.columns)}:
            mean += np.nan_to_num(self.standardised(models)) @ named[COEFFICIENT]
        if self.group is not None:
            codes = codes_of(self.labels, self.group, models)
            mean += np.where(codes >= 0, named[GROUP_EFFECT][codes], 0.0)
        return AbilityPrior(mean, np.ones(len(models)))

    @property
    def dims(self) -> dict[str, str]:
        """Reported quantity → dimension."""
        found = {COEFFICIENT: COVARIATE} if self.covariates else {}
        return found | ({GROUP_EFFECT: GROUP} if self.group else {})

    @property
    def coordinates(self) -> dict[str, tuple[str, ...]]:
        """Dimension → labels."""
        found = {COVARIATE: tuple(self.covariates)} if self.covariates else {}
        return found | ({GROUP: self.labels} if self.group else {})


Population = Groups | Regression


def population_from_columns(
    groups: str | None, covariates: Sequence[str] = (), reference: str | None = None
) -> Population | None:
    """Choose groups by a column; with covariates, a regression with random effects of them; without either, none.

    Raises
    ------
    ModelError
        If there is a reference, and no groups with a mean and an sd of their own.
    """
    if reference is not None and (covariates or groups is None):
        raise ModelError("reference names one of groups with a mean and an sd; there are none of these.")
    if covariates:
        return Regression(covariates, group=groups)
    return None if groups is None else Groups(groups, reference=reference)


def population_to_dict(population: Population) -> dict[str, Any]:
    """Plain values, the design of the models left aside."""
    found = asdict(replace(population, design=None))
    del found["design"]
    return {"kind": population.kind, **found}


def population_from_dict(fields: Mapping[str, Any]) -> Population:
    """Undo `population_to_dict`, JSON included."""
    kinds: dict[str, type[Groups | Regression]] = {kind.kind: kind for kind in (Groups, Regression)}
    return kinds[fields["kind"]](**{name: field_from_dict(value) for name, value in fields.items() if name != "kind"})


def codes_of(labels: tuple[str, ...], column: str, models: pd.DataFrame) -> npt.NDArray[np.intp]:
    """Position of each model's group among labels; -1 where it is another, or none."""
    if column not in models:
        return np.full(len(models), -1)
    given = models[column]
    return np.where(given.notna(), pd.Index(labels).get_indexer(pd.Index(given.astype(str))), -1)


def _column(models: pd.DataFrame, name: str) -> pd.Series:
    if name not in models:
        raise ModelError(unknown_choice("column of the models", name, models.columns))
    return models[name]


def _refuse_missing(given: pd.Series, what: str) -> None:
    missing = given.isna().to_numpy()
    if missing.any():
        raise ModelError(
            f"{int(missing.sum())} models have no {what}; first: {given.index[int(missing.argmax())]!r}. Fill it in, "
            "or leave them out with counts.take(models=...)."
        )
