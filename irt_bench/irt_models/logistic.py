"""Logistic item response models with one to four parameters per item: priors as fields, one formula for all.

P(right) = c + (d - c) sigmoid(a (theta - b)), theta ~ N(0, 1) or from populations, a > 0. Location and scale are fixed
by the ability's prior, the sign by a > 0 and d > c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import NoneType
from typing import Any, ClassVar, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from irt_bench import names
from irt_bench.arrays import Array, distinct_rows
from irt_bench.errors import ModelError, unknown_choice
from irt_bench.irt_models.item_regression import ItemRegression
from irt_bench.irt_models.model import (
    DIFFICULTY_PRIOR,
    LOG_DISCRIMINATION_PRIOR,
    Beta,
    Hierarchical,
    Normal,
    field_from_dict,
)
from irt_bench.irt_models.populations import (
    OTHER_MEAN,
    OTHER_SD,
    Groups,
    Population,
    PopulationDesign,
    Regression,
    population_from_dict,
    population_to_dict,
)
from irt_bench.responses.counts import ResponseCounts

LOG_DISCRIMINATION: Final = "log_discrimination"
UPPER_SHARE: Final = "upper_share"  # (d - c) / (1 - c): keeps d above c whatever the draw

ABILITY_PRIOR: Final = Normal(0.0, 1.0)
GUESSING_PRIOR: Final = Beta(5.0, 17.0)  # mean 0.23, BILOG's default for four to five choices
DISPERSION_PRIOR: Final = Beta(1.0, 3.0)  # mean 0.25
UPPER_SHARE_PRIOR: Final = Beta(30.0, 2.0)  # mean 0.94: able models rarely slip

PRIORS: Final = ("hierarchical", "independent")
INDEPENDENT_DIFFICULTY: Final = Normal(0.0, 2.0)
INDEPENDENT_LOG_DISCRIMINATION: Final = Normal(0.0, 0.3)  # slopes of 0.6 to 1.6
INDEPENDENT_SLOPE: Final = Normal(0.0, 0.03)  # the 1PL's: as the mean of a hundred independent ones


def log_odds(ability: Any, discrimination: Any, difficulty: Any) -> Any:
    """Logit of knowing the answer, a (theta - b), D = 1; any array library, by broadcasting."""
    return discrimination * (ability - difficulty)


def success_probability(known: Any, guessing: Any = 0.0, upper_asymptote: Any = 1.0) -> Any:
    """P(right) = c + (d - c) known, where known = sigmoid(log-odds), in [0, 1]."""
    return guessing + (upper_asymptote - guessing) * known


@dataclass(frozen=True, kw_only=True)
class Logistic:
    """Fields and sites shared by the four logistic models.

    Parameters
    ----------
    difficulty : Hierarchical or Normal
        Prior of b, on the ability scale: with a mean and an sd over items that are learned, or the same for each item
        whatever the others are.
    log_discrimination : Hierarchical or Normal
        Prior of log a, likewise; of `OnePL` a Normal, that of the one log a of all items.
    guessing : Beta, float, tuple of float or None
        Prior of c, its known value for all items, or its known values by item in the order of the responses
        (`ThreePL`, `FourPL`).
    upper_share : Beta or None
        Prior of (d - c) / (1 - c) (`FourPL`).
    dispersion : Beta, "auto" or None
        Prior of rho, the correlation that the trials of one model with one item have beyond ability: right answers of n
        trials are beta-binomial, of variance n P (1 - P) (1 + (n - 1) rho). "auto": Beta(1, 3) where some cells have
        several trials, None where all have one, or are none; None: trials are independent.
    population : Groups, Regression or None
        Where abilities come from: groups of models, each with a mean and an sd, or a regression on covariates of the
        models; by default one population, N(0, 1).
    item_regression : ItemRegression, optional
        Columns of the items on which difficulty and log discrimination are regressed.

    Raises
    ------
    ModelError
        If a prior is not of the kind that this model has, or a known value is out of range.

    Notes
    -----
    With a dispersion P is the mean over cells of one P(right), and a cell's own probability, given its k right answers
    of n, is Beta(r P + k, r (1 - P) + n - k) with r = 1 / rho - 1. In simulation 90% intervals of it covered .90 to .92
    where cells were beta-binomial and where they had normal effects on the log-odds; those of a logistic-normal model
    .90 to .92 and, of beta-binomial cells, .77 to .83.

    Hierarchical priors learn how hard and how steep items are, and hold in all designs where what a model was asked
    does not depend on how hard items are. Where it does, as in adaptive tests that choose by known difficulties, they
    may collapse: all items alike, slopes next to zero. With 250 models and 15 of 80 items each (the check ``pooling``)
    the marginal log-likelihood of the right difficulties is 38 higher at a point, -2,560 against -2,598 with equal
    ones; integrated over the difficulties it is 67 to 76 lower, since equal difficulties need not be fine-tuned. The
    prior, not the data, decides. `with_independent_priors` supposes slopes near one: difficulties then correlate
    .85 to .90 with the truth instead of .04.
    """

    name: ClassVar[str] = ""
    measures: ClassVar[tuple[str, ...]] = ("correct",)  # a share without its denominator has no likelihood here
    shared_slope: ClassVar[bool] = False  # whether one discrimination serves all items
    auxiliary: ClassVar[tuple[str, ...]] = (LOG_DISCRIMINATION, UPPER_SHARE, OTHER_MEAN, OTHER_SD)  # not reported
    kinds: ClassVar[Mapping[str, tuple[type, ...]]] = {
        names.DIFFICULTY: (Hierarchical, Normal),
        LOG_DISCRIMINATION: (Hierarchical, Normal),
        names.GUESSING: (NoneType,),
        UPPER_SHARE: (NoneType,),
        names.DISPERSION: (NoneType, Beta, str),
        "population": (NoneType, Groups, Regression),
        "item_regression": (NoneType, ItemRegression),
    }
    difficulty: Hierarchical | Normal = DIFFICULTY_PRIOR
    log_discrimination: Hierarchical | Normal = LOG_DISCRIMINATION_PRIOR
    guessing: Beta | float | tuple[float, ...] | None = None
    upper_share: Beta | None = None
    dispersion: Beta | Literal["auto"] | None = "auto"
    population: Population | None = None
    item_regression: ItemRegression | None = None

    def __post_init__(self) -> None:
        for name, kinds in self.kinds.items():
            if type(value := getattr(self, name)) not in kinds:
                raise ModelError(_wrong_kind(self, name, value))
        if self.dispersion not in (None, "auto") and not isinstance(self.dispersion, Beta):
            raise ModelError(unknown_choice("dispersion", self.dispersion, ("auto", "None", "Beta(1.0, 3.0)")))
        if self.item_regression is not None and not isinstance(self.difficulty, Hierarchical):
            raise ModelError("item_regression needs a hierarchical prior of difficulty, whose mean it moves.")
        values = self.guessing if isinstance(self.guessing, tuple) else (self.guessing,)
        for value in values:
            if isinstance(value, float | int) and not 0 <= value < 1:
                raise ModelError(f"guessing is {value!r}; a fixed value must be at least 0 and below 1.")

    def for_responses(self, counts: ResponseCounts) -> Logistic:
        """Resolve what depends on the responses: populations of their models, and whether trials are repeated."""
        several = bool(distinct_rows(counts.trials).max(initial=0) > 1)
        known = self.for_models(counts.models, np.asarray(counts.asked.any(axis=1)))
        if known.item_regression is not None:
            known = replace(known, item_regression=known.item_regression.bind(counts.items))
        if self.dispersion is None or (self.dispersion == "auto" and not several):
            return replace(known, dispersion=None)
        return replace(known, dispersion=DISPERSION_PRIOR) if self.dispersion == "auto" else known

    @property
    def has_dispersion(self) -> bool:
        """Whether trials of a cell are correlated; "auto" is resolved by `for_responses`."""
        return isinstance(self.dispersion, Beta)

    def for_models(self, models: pd.DataFrame, answered: npt.NDArray[np.bool_]) -> Logistic:
        """Look the populations of given models up in their metadata; `answered`, (model,): whether one has answers."""
        if self.population is None:
            return self
        return replace(self, population=self.population.bind(models, answered))

    @property
    def design(self) -> PopulationDesign | None:
        """Populations of the models that are fitted; None where there is one, N(0, 1)."""
        if self.population is None:
            return None
        if self.population.design is None:
            raise ModelError(f"{type(self).__name__} has populations; give their models first: for_models.")
        return self.population.design

    @property
    def dims(self) -> dict[str, str]:
        """Reported parameter → dimension."""
        item = [names.DIFFICULTY, names.DISCRIMINATION]
        item += [names.GUESSING] if self.guessing is not None else []
        item += [names.UPPER_ASYMPTOTE] if self.upper_share is not None else []
        return {names.ABILITY: names.MODEL} | dict.fromkeys(item, names.ITEM)

    @property
    def latent(self) -> dict[str, str | None]:
        """Latent quantity → dimension, None of a scalar; the mean and sd of a hierarchy before its items."""
        found: dict[str, str | None] = {names.ABILITY: names.MODEL}
        for name in (names.DIFFICULTY, LOG_DISCRIMINATION):
            if isinstance(getattr(self, name), Hierarchical):
                found |= {f"{name}_mean": None, f"{name}_sd": None}
            found[name] = names.ITEM
        if self.shared_slope:
            found[LOG_DISCRIMINATION] = None
        if isinstance(self.guessing, Beta):
            found[names.GUESSING] = names.ITEM
        if self.upper_share is not None:
            found[UPPER_SHARE] = names.ITEM
        if self.has_dispersion:
            found[names.DISPERSION] = None
        return found

    def known_parameters(self, n_items: int) -> dict[str, Any]:
        """Guessing where it is given, as an array of shape () or (item,).

        Raises
        ------
        ModelError
            If values are given by item and their number is not that of the items.
        """
        if self.guessing is None or isinstance(self.guessing, Beta):
            return {}
        if isinstance(self.guessing, tuple) and len(self.guessing) != n_items:
            raise ModelError(
                f"guessing has {len(self.guessing)} values for {n_items} items; one per item or one for all is needed."
            )
        return {names.GUESSING: np.asarray(self.guessing, dtype=np.float64)}

    def item_parameters(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Item parameters from values of `latent` quantities, items on the last axis; what items share is read-only."""
        difficulty = values[names.DIFFICULTY]

        def spread(value: Array) -> Array:
            return value if value.shape == difficulty.shape else np.broadcast_to(value, difficulty.shape)

        found = {names.DIFFICULTY: difficulty, names.DISCRIMINATION: spread(np.exp(values[LOG_DISCRIMINATION]))}
        if self.guessing is not None:
            found[names.GUESSING] = spread(values[names.GUESSING])
        if self.upper_share is not None:
            guessing = found.get(names.GUESSING, 0.0)
            found[names.UPPER_ASYMPTOTE] = guessing + (1 - guessing) * values[UPPER_SHARE]
        return found

    def expected_score(self, parameters: Mapping[str, Any], ability: Any) -> Any:
        """Chance of a right answer, (..., model, item), from reported item parameters of shape (..., item)."""
        item = {name: np.asarray(value)[..., None, :] for name, value in parameters.items()}
        known = expit(log_odds(ability[..., None], item[names.DISCRIMINATION], item[names.DIFFICULTY]))
        return success_probability(known, item.get(names.GUESSING, 0.0), item.get(names.UPPER_ASYMPTOTE, 1.0))

    @property
    def learns_asymptotes(self) -> bool:
        """Whether guessing or slips are learned, not known."""
        return isinstance(self.guessing, Beta) or self.upper_share is not None

    @property
    def is_approximated(self) -> bool:
        """Whether the fast method knows the whole model."""
        return not (self.learns_asymptotes or self.has_own_program or self.item_regression is not None)

    @property
    def has_own_program(self) -> bool:
        """Whether a subclass has altered the program, of which nothing is known but that it can be run."""
        return type(self).program is not Logistic.program

    def program(self, data: Any) -> None:
        """Pyro program of the model: see `irt_bench.irt_models.program.logistic_program`."""
        from irt_bench.irt_models.program import logistic_program  # noqa: PLC0415 - torch takes seconds to import

        logistic_program(self, data)

    def with_independent_priors(self) -> Logistic:
        """Give each item a prior of its own, b ~ N(0, 2^2) and log a ~ N(0, 0.3^2), with nothing learned from others.

        For answers that let the hierarchy collapse. The one slope of `OnePL` gets N(0, 0.03^2): a wider prior of one
        number would not outweigh the answers to all items.

        Notes
        -----
        The unit of the scale then is that of slopes near one. Where they are, at 40 x 20 and 100 x 200, difficulties
        err and cover as with the hierarchy (.50 and .53, .34 and .33). Where their geometric mean is 1.8 abilities and
        difficulties come out 1.5 times too wide (difficulties cover .45), but not relative to each other (.90). With 7
        to 10 answers to an item the information of other items is missed: difficulties err by .84, with the hierarchy
        by .77.
        """
        slope = INDEPENDENT_SLOPE if self.shared_slope else INDEPENDENT_LOG_DISCRIMINATION
        return replace(self, difficulty=INDEPENDENT_DIFFICULTY, log_discrimination=slope)

    def with_guessing(self, value: str, columns: Mapping[str, Any]) -> Logistic:
        """Fix guessing at a number for all items, or at 1 / choices from a column of the items' metadata.

        Parameters
        ----------
        value : str
            A number, or the name of a column.
        columns : mapping
            Name → values by item, numbers of choices among them.

        Raises
        ------
        ModelError
            If the model has no guessing, or `value` is neither a number nor a column of numbers of choices.
        """
        if self.guessing is None:
            raise ModelError(f"the {self.name} model has no guessing; choose 3pl or 4pl.")
        if value in columns:
            choices = np.asarray(columns[value], dtype=np.float64)
            bad = np.flatnonzero(~(choices >= 2))
            if bad.size:
                raise ModelError(
                    f"column {value!r} must hold the number of choices, 2 or more, of every item; {bad.size} items "
                    f"have none, first: item number {bad[0] + 1}."
                )
            return replace(self, guessing=tuple((1 / choices).tolist()))
        try:
            return replace(self, guessing=float(value))
        except ValueError as error:
            raise ModelError(f"{value!r} is no number. {unknown_choice('item column', value, columns)}") from error

    def to_dict(self) -> dict[str, Any]:
        """Name and priors as plain values; of a class derived from the package's four, its own name, too."""
        own = {} if type(self) is IRT_MODELS.get(self.name) else {"class": type(self).__name__}
        population = None if self.population is None else population_to_dict(self.population)
        items = None if self.item_regression is None else self.item_regression.to_dict()
        plain = asdict(replace(self, population=None, item_regression=None))
        return {"name": self.name, **own, **plain, "population": population, "item_regression": items}


@dataclass(frozen=True, kw_only=True)
class OnePL(Logistic):
    """Items differ in difficulty only, with one discrimination for all: Rasch's model with the sd of ability at 1.

    Examples
    --------
    >>> from irt_bench import Normal, OnePL
    >>> OnePL(log_discrimination=Normal(0.0, 0.1)).name
    '1pl'
    """

    name: ClassVar[str] = "1pl"
    shared_slope: ClassVar[bool] = True
    kinds: ClassVar[Mapping[str, tuple[type, ...]]] = {**Logistic.kinds, LOG_DISCRIMINATION: (Normal,)}
    log_discrimination: Hierarchical | Normal = Normal(0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class TwoPL(Logistic):
    """Items differ in difficulty and discrimination.

    Examples
    --------
    Priors are fields:

    >>> from irt_bench import HalfNormal, Hierarchical, Normal, TwoPL
    >>> model = TwoPL(difficulty=Hierarchical(mean=Normal(0.0, 1.0), sd=HalfNormal(1.0)))
    >>> model.log_discrimination == TwoPL().log_discrimination
    True
    """

    name: ClassVar[str] = "2pl"


@dataclass(frozen=True, kw_only=True)
class ThreePL(Logistic):
    """The 2PL with a lower asymptote for guessing: estimated, or known (1 / number of choices).

    Examples
    --------
    >>> from irt_bench import ThreePL
    >>> ThreePL(guessing=0.25).guessing  # known, of four choices
    0.25
    """

    name: ClassVar[str] = "3pl"
    kinds: ClassVar[Mapping[str, tuple[type, ...]]] = {**Logistic.kinds, names.GUESSING: (Beta, float, int, tuple)}
    guessing: Beta | float | tuple[float, ...] | None = GUESSING_PRIOR


@dataclass(frozen=True, kw_only=True)
class FourPL(ThreePL):
    """The 3PL with an upper asymptote for slips and broken items.

    Examples
    --------
    >>> from irt_bench import Beta, FourPL
    >>> FourPL(upper_share=Beta(50.0, 1.0)).upper_share
    Beta(successes=50.0, failures=1.0)
    """

    name: ClassVar[str] = "4pl"
    kinds: ClassVar[Mapping[str, tuple[type, ...]]] = {**ThreePL.kinds, UPPER_SHARE: (Beta,)}
    upper_share: Beta | None = UPPER_SHARE_PRIOR


def _wrong_kind(irt_model: Logistic, name: str, value: object) -> str:
    """Name the priors a model's field takes, and the model that takes this one."""
    own = type(irt_model)
    taken = " or ".join("None" if kind is NoneType else kind.__name__ for kind in own.kinds[name])
    other = [kind.__name__ for kind in IRT_MODELS.values() if type(value) in kind.kinds[name]]
    where = f"; use {' or '.join(other)} for it" if other else ""
    return f"{own.__name__} has {name}={value!r}, where {taken} is needed{where}."


IRT_MODELS: Final[Mapping[str, type[Logistic]]] = {kind.name: kind for kind in (OnePL, TwoPL, ThreePL, FourPL)}


def irt_model_from_name(name: str, *, priors: str = "hierarchical") -> Logistic:
    """Return the model of this name with its default priors, or with independent ones.

    Raises
    ------
    ModelError
        If the name is not one of `IRT_MODELS`, or the priors are not known.
    """
    if priors not in PRIORS:
        raise ModelError(unknown_choice("kind of priors", priors, PRIORS))
    if name not in IRT_MODELS:
        raise ModelError(unknown_choice("IRT model", name, get_args(names.ModelName)))  # all that `fit` knows
    irt_model = IRT_MODELS[name]()
    return irt_model.with_independent_priors() if priors == "independent" else irt_model


def irt_model_from_dict(fields: Mapping[str, Any]) -> Logistic:
    """Rebuild a model from `to_dict` (JSON included)."""
    changes = {key: field_from_dict(value) for key, value in fields.items() if key != "name"}
    for key, rebuild in (("population", population_from_dict), ("item_regression", ItemRegression.from_dict)):
        if fields.get(key) is not None:
            changes[key] = rebuild(fields[key])
    return replace(irt_model_from_name(str(fields["name"])), **changes)
