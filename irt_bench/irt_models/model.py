"""What an item response model is: the protocol, priors as data, and what models of scores share.

A model of scores that are more than right or wrong is one module: priors as fields, one Pyro program, and its
likelihood of a cell as an array function. Scores count as shares of their range, in [0, 1]; so do expected scores.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Final, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from irt_bench import names
from irt_bench.arrays import Array
from irt_bench.errors import ModelError, unknown_choice
from irt_bench.responses.counts import ResponseCounts

RANGE: Final = (names.LOWEST_SCORE, names.HIGHEST_SCORE)
TINY: Final = 1e-12
SCORE_MODEL: Final = "score_model"  # attribute of labelled draws


def _positive(prior: object, field: str) -> None:
    value = getattr(prior, field)
    if not 0 < value < math.inf:
        raise ModelError(f"{type(prior).__name__}.{field} is {value!r}; a positive finite number is needed.")


@dataclass(frozen=True)
class Normal:
    """Normal(loc, scale). As a prior of items it holds for each by itself, with nothing learned from the others.

    Examples
    --------
    >>> from irt_bench import Normal, TwoPL
    >>> TwoPL(difficulty=Normal(0.0, 1.0)).difficulty.scale  # the same prior for each item, nothing learned
    1.0
    """

    loc: float
    scale: float

    def __post_init__(self) -> None:
        _positive(self, "scale")
        if not math.isfinite(self.loc):
            raise ModelError(f"Normal.loc is {self.loc!r}; a finite number is needed.")


@dataclass(frozen=True)
class HalfNormal:
    """|Normal(0, scale)|, for standard deviations.

    Examples
    --------
    >>> from irt_bench import HalfNormal, Hierarchical, Normal, TwoPL
    >>> model = TwoPL(log_discrimination=Hierarchical(mean=Normal(0.0, 0.5), sd=HalfNormal(0.3)))
    >>> model.log_discrimination.sd
    HalfNormal(scale=0.3)
    """

    scale: float

    def __post_init__(self) -> None:
        _positive(self, "scale")


@dataclass(frozen=True)
class Beta:
    """Beta(successes, failures) on (0, 1).

    Examples
    --------
    >>> from irt_bench import Beta, ThreePL
    >>> ThreePL(guessing=Beta(5.0, 15.0)).guessing  # about four choices
    Beta(successes=5.0, failures=15.0)
    """

    successes: float
    failures: float

    def __post_init__(self) -> None:
        _positive(self, "successes")
        _positive(self, "failures")


@dataclass(frozen=True)
class Hierarchical:
    """x_i ~ Normal(mean, sd) for each item i, with mean and sd estimated from the data.

    Examples
    --------
    >>> from irt_bench import HalfNormal, Hierarchical, Normal, TwoPL
    >>> hard = Hierarchical(mean=Normal(1.0, 0.5), sd=HalfNormal(1.0))
    >>> TwoPL(difficulty=hard).difficulty.mean
    Normal(loc=1.0, scale=0.5)
    """

    mean: Normal
    sd: HalfNormal


_PRIORS: Final = {frozenset(vars(kind)["__match_args__"]): kind for kind in (Normal, HalfNormal, Beta, Hierarchical)}


def field_from_dict(value: Any) -> Any:
    """Rebuild a field of a model from plain values, JSON included: a prior by the names of its fields."""
    if isinstance(value, Mapping):
        plain = {name: field_from_dict(each) for name, each in value.items()}
        kind: Any = _PRIORS.get(frozenset(plain), dict)
        return kind(**plain)
    return tuple(map(field_from_dict, value)) if isinstance(value, list | tuple) else value


DIFFICULTY_PRIOR: Final = Hierarchical(Normal(0.0, 2.0), HalfNormal(2.0))  # items from far too easy to far too hard
LOG_DISCRIMINATION_PRIOR: Final = Hierarchical(Normal(0.0, 1.0), HalfNormal(0.5))  # typical slopes of 0.1 to 7


@runtime_checkable
class IRTModel(Protocol):
    """An item response model: a name, one Pyro program, and the score it expects.

    Any class with these members can be fitted with NUTS and SVI. Sites named ``ability`` (plate ``model``),
    ``difficulty`` and ``discrimination`` (plate ``item``), latent or deterministic, are what scoring, checks and
    subsets read.

    Examples
    --------
    A Rasch model with a prior of one's own:

    >>> import numpy as np, torch, pyro, pyro.distributions as dist
    >>> from irt_bench import IRTModel
    >>> class Rasch:
    ...     name = "rasch"
    ...
    ...     def program(self, data):
    ...         zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    ...         with data.models:
    ...             ability = pyro.sample("ability", dist.Normal(zero, one))
    ...         with data.items:
    ...             difficulty = pyro.sample("difficulty", dist.StudentT(4.0 * one, zero, one))
    ...             discrimination = pyro.deterministic("discrimination", one.expand(data.n_items), event_dim=0)
    ...         data.observe(ability, difficulty=difficulty, discrimination=discrimination)
    ...
    ...     def expected_score(self, parameters, ability):
    ...         return 1 / (1 + np.exp(parameters["difficulty"][..., None, :] - ability[..., None]))
    ...
    ...     def to_dict(self):
    ...         return {"name": self.name}
    >>> isinstance(Rasch(), IRTModel)  # fit(responses, Rasch(), "nuts") samples it
    True
    """

    @property
    def name(self) -> str:
        """What the model is called."""

    def program(self, data: Any) -> None:
        """Pyro program over an `irt_bench.irt_models.program.ProgramData`."""

    def expected_score(self, parameters: Mapping[str, Any], ability: Any) -> Any:
        """Chance of a right answer, shape (..., model, item).

        Parameters
        ----------
        parameters : mapping
            Reported item parameters, each of shape (..., item).
        ability : array of shape (..., model)
            theta.
        """

    def to_dict(self) -> dict[str, Any]:
        """Name and priors as plain values, so that a fit can be read back."""


@dataclass(frozen=True, kw_only=True)
class ScoreModel:
    """Fields and sites shared by models of scores: theta ~ N(0, 1), b and log a from hierarchies.

    Parameters
    ----------
    difficulty : Hierarchical or Normal
        Prior of b, on the ability scale.
    log_discrimination : Hierarchical or Normal
        Prior of log a.
    """

    name: ClassVar[str] = ""
    measures: ClassVar[tuple[str, ...]] = ("correct", "score")
    shared_slope: ClassVar[bool] = False
    is_approximated: ClassVar[bool] = False  # by the fast method
    item_regression: ClassVar[None] = None
    population: ClassVar[None] = None
    auxiliary: ClassVar[tuple[str, ...]] = ("log_discrimination",)
    dims: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # of what belongs to other things than models and items
    difficulty: Hierarchical | Normal = DIFFICULTY_PRIOR
    log_discrimination: Hierarchical | Normal = LOG_DISCRIMINATION_PRIOR

    def arranged(self, counts: ResponseCounts) -> ResponseCounts:
        """Scores as the likelihood takes them; what is arranged already stays as it is.

        Raises
        ------
        ModelError
            If they are no scores of this model.
        """
        raise NotImplementedError

    def for_responses(self, counts: ResponseCounts) -> Self:
        """Resolve what depends on the arranged responses."""
        return self

    def program(self, data: Any) -> None:
        """Pyro program over an `irt_bench.irt_models.program.ProgramData`."""
        raise NotImplementedError

    def statistics(self, correct: Any, trials: Any) -> Array:
        """Give what the likelihood is linear in, (statistic, model, item), 0 where trials are 0.

        The log density of a cell is the sum of its statistics times coefficients of ability and item, which the program
        gives to ``data.observe_scores``.
        """
        raise NotImplementedError

    def expected_score(self, parameters: Mapping[str, Any], ability: Any) -> Any:
        """Give the expected share of the range of scores, (..., model, item), in [0, 1]."""
        raise NotImplementedError

    def terms(self, parameters: Mapping[str, Any], ability: Any) -> Array:
        """Give the coefficients of `statistics` for reported parameters, (statistic, ability, item)."""
        raise NotImplementedError

    def log_likelihood(self, parameters: Mapping[str, Any], ability: Any, correct: Any, trials: Any) -> Array:
        """Log-likelihood of each cell, (model, item), 0 where trials are 0."""
        found = self.statistics(correct, trials)
        return np.asarray((found * self.terms(parameters, np.asarray(ability))[: len(found)]).sum(axis=0))

    def node_log_likelihood(self, parameters: Mapping[str, Any], nodes: Any, correct: Any, trials: Any) -> Array:
        """Log-likelihood of each model's scores were its ability each of some nodes, (model, node)."""
        pairs = zip(self.statistics(correct, trials), self.terms(parameters, np.asarray(nodes)), strict=False)
        return np.asarray(np.sum([statistic @ term.T for statistic, term in pairs], axis=0))

    def draw_scores(self, parameters: Mapping[str, Any], ability: Any, rng: np.random.Generator) -> Array:
        """Draw a score for each cell, (model, item), as `arranged` has them."""
        raise NotImplementedError

    def draw_items(self, n_items: int, rng: np.random.Generator, shared: Mapping[str, float]) -> dict[str, Array]:
        """Draw item parameters, (item, ...), and what they share, from priors given values of some that are shared."""
        raise NotImplementedError

    def score_columns(self, scores: Array) -> dict[str, Any]:
        """Columns of a long table with drawn scores, one for each cell."""
        raise NotImplementedError

    def item_metadata(self, labels: pd.Index) -> pd.DataFrame:
        """Metadata of simulated items, indexed by label."""
        return pd.DataFrame(index=labels)

    def outcomes(self, parameters: Mapping[str, Any], ability: Any) -> tuple[list[str], Array]:
        """Name what curves show, and give it at each ability, (..., model, item, outcome), in [0, 1]."""
        raise NotImplementedError

    def oriented(self, posterior: xr.Dataset) -> xr.Dataset:
        """Give labelled draws the layout that is reported; they name the model."""
        return posterior.assign_attrs({SCORE_MODEL: json.dumps(self.to_dict())})

    def for_items(self, posterior: xr.Dataset) -> Self:
        """Resolve what depends on the items, of some of those of a fit."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Name and fields as plain values."""
        return {"name": self.name, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a model from `to_dict`, JSON included."""
        own = {each.name for each in fields(cls)}
        return cls(**{name: field_from_dict(value) for name, value in values.items() if name in own})

    def draw_truth(
        self,
        models: pd.Index,
        items: pd.Index,
        rng: np.random.Generator,
        given: Mapping[str, npt.ArrayLike],
        shared: Mapping[str, float],
    ) -> xr.Dataset:
        """Draw abilities and item parameters, those given in their place.

        Raises
        ------
        ModelError
            If what is given is unknown or of another shape.
        """
        streams = rng.spawn(2)
        values = {names.ABILITY: streams[0].standard_normal(len(models))}
        values |= self.draw_items(len(items), streams[1], shared)
        for name, value in given.items():
            if name not in values:
                raise ModelError(unknown_choice(f"parameter of the {self.name} model", name, values))
            if np.shape(value) not in ((), np.shape(values[name])):
                raise ModelError(f"{name} has shape {np.shape(value)}; {np.shape(values[name])} is needed.")
            values[name] = np.broadcast_to(np.asarray(value, dtype=np.float64), np.shape(values[name])).copy()
        extra = {name: (names.ITEM, names.POINT)[: np.ndim(value)] for name, value in values.items()}
        dims = {**extra, names.ABILITY: (names.MODEL,), **self.dims}
        labels = {names.MODEL: models.to_numpy(dtype=object), names.ITEM: items.to_numpy(dtype=object)}
        return xr.Dataset({name: (dims[name], value) for name, value in values.items()}, coords=labels)


def arranged(irt_model: object, counts: ResponseCounts) -> ResponseCounts:
    """Responses as a model takes them: of a model of scores, as its likelihood does."""
    return irt_model.arranged(counts) if isinstance(irt_model, ScoreModel) else counts


def on_known_range(counts: ResponseCounts, known: xr.Dataset) -> ResponseCounts:
    """Make scores shares of the range that a fit had, where both name one: a judge who gave 2 to 9 may give 1 to 10.

    Raises
    ------
    ModelError
        If a score is outside it.
    """
    own, of_fit = set(RANGE) <= set(counts.items), set(RANGE) <= set(known.coords)
    if not (own and of_fit):
        return counts
    places = known[names.ITEM].to_index().get_indexer(counts.items.index.astype(str))
    low, high = (known[name].to_numpy()[places] for name in RANGE)
    lowest, highest = (counts.items[name].to_numpy(dtype=np.float64) for name in RANGE)
    scores = lowest + counts.proportions() * (highest - lowest)
    shares = np.where(np.isnan(high), counts.proportions(), (scores - low) / np.where(np.isnan(high), 1.0, high - low))
    if (bad := (shares < 0) | (shares > 1)).any():
        row, column = np.argwhere(bad)[0]
        raise ModelError(
            f"model {counts.models.index[row]!r} has the score {scores[row, column]:g} in item "
            f"{counts.items.index[column]!r}; those of the fit are from {low[column]:g} to {high[column]:g}."
        )
    items = counts.items.assign(**{names.LOWEST_SCORE: low, names.HIGHEST_SCORE: high})
    trials = counts.asked.astype(np.int8)
    return replace(counts, correct=np.nan_to_num(shares), trials=trials, items=items, measure="score")


def draw_hierarchy(
    prior: Hierarchical | Normal, name: str, size: int, rng: np.random.Generator, shared: Mapping[str, float]
) -> tuple[Array, dict[str, Any]]:
    """Draw values of items, and the mean and sd of their hierarchy, unless these are given."""
    if isinstance(prior, Normal):
        return rng.normal(prior.loc, prior.scale, size), {}
    mean = shared.get(f"{name}_mean", rng.normal(prior.mean.loc, prior.mean.scale))
    sd = shared.get(f"{name}_sd", abs(rng.normal(0.0, prior.sd.scale)))
    return rng.normal(mean, sd, size), {f"{name}_mean": np.float64(mean), f"{name}_sd": np.float64(sd)}


def draw_cells(
    chance: Array, correlation: float, rng: np.random.Generator, right: Array | float = 0, wrong: Array | float = 0
) -> Array:
    """Draw each cell's own chance about its mean, given its answers: Beta(r P + right, r (1 - P) + wrong)."""
    r = 1 / correlation - 1
    shapes = r * chance + right, r * (1 - chance) + wrong
    return np.asarray(rng.beta(*(np.maximum(shape, TINY) for shape in shapes)))  # chances may round to 0 and 1
