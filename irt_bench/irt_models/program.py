"""The Pyro programs of item response models, and what a program is given: plates, answers, advice on coordinates.

A program describes how abilities and items come about under a model, and ends with the answers::

    def program(self, data: ProgramData) -> None:
        with data.models:
            ability = pyro.sample("ability", dist.Normal(zero, one))
        with data.items:
            difficulty = pyro.sample("difficulty", dist.Normal(zero, two))
        data.observe(ability, difficulty=difficulty, discrimination=one)

NUTS and SVI sample exactly that. Sites in the plates ``model`` and ``item``, `pyro.deterministic` ones too, are
labelled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from irt_bench import names
from irt_bench.irt_models.item_regression import EFFECT, ITEM_COVARIATE
from irt_bench.irt_models.model import Beta, HalfNormal, Hierarchical, Normal
from irt_bench.irt_models.multidimensional import Multidimensional, item_slots
from irt_bench.irt_models.populations import (
    COEFFICIENT,
    GROUP,
    GROUP_EFFECT,
    GROUP_EFFECT_SD,
    GROUP_MEAN,
    GROUP_SD,
    OTHER_MEAN,
    OTHER_SD,
    Groups,
    Population,
)

if TYPE_CHECKING:
    from irt_bench.irt_models.logistic import Logistic
    from irt_bench.irt_models.model import ScoreModel

DTYPE = torch.float64  # log-likelihoods of a million cells need more than float32's seven digits


class ProgramData(Protocol):
    """Answers as a program sees them."""

    @property
    def sizes(self) -> dict[str, int]:
        """Plate ``model`` and ``item`` → length, of all answers."""

    @property
    def n_models(self) -> int:
        """Number of models, those of a mini-batch where there is one."""

    @property
    def n_items(self) -> int:
        """Number of items, those of a mini-batch where there is one."""

    @property
    def models(self) -> Any:
        """Plate ``model``, the rightmost dimension."""

    @property
    def items(self) -> Any:
        """Plate ``item``, the rightmost dimension."""

    def frame(self, ability: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Location and scale of the abilities, for `measured`; None where they are no coordinates."""

    def at_items(self, values: Any) -> Tensor:
        """Known values of shape () or (item,), as a tensor that goes with the plate's items."""

    def at_models(self, values: Any) -> Tensor:
        """Known values of shape (model, ...), as a tensor that goes with the plate's models."""

    def plate(self, name: str, size: int) -> Any:
        """Plate of something else than models and items, such as groups of models."""

    def observe(
        self,
        ability: Tensor,
        *,
        difficulty: Tensor,
        discrimination: Tensor,
        guessing: Tensor | None = None,
        upper_asymptote: Tensor | None = None,
        dispersion: Tensor | None = None,
    ) -> None:
        """Add the answers: P(right) = c + (d - c) sigmoid(a (theta - b)), as one fused operation.

        With a dispersion, in (0, 1), the right answers of several trials are beta-binomial.
        """

    def observe_scores(
        self, statistics: Callable[[Any, Any], Any], coefficients: Callable[[Tensor], Tensor], ability: Tensor
    ) -> None:
        """Add the answers of any other model: the log density of a cell is a sum of statistics times coefficients.

        Parameters
        ----------
        statistics : callable
            (Right answers, trials), arrays of shape (model, item) → (statistic, model, item), 0 where trials are 0.
        coefficients : callable
            Abilities, (ability,) → (statistic, ability, item), finite.
        ability : Tensor of shape (model,)
            theta.
        """

    def observe_dimensions(self, ability: Tensor, *, loading: Tensor, intercept: Tensor) -> None:
        """Add the answers: P(right) = sigmoid(sum_d a_d theta_d + intercept), abilities (dimension, model)."""


def measured(*, origin: Tensor | None = None, unit: Tensor | None = None) -> dict[str, Any]:
    """Advise a sampler to move (value - origin) / unit in place of value: ``pyro.sample(..., infer=measured(...))``.

    Parameters
    ----------
    origin, unit : Tensor, optional
        May depend on earlier sites; the unit is positive. By default 0 and 1.

    Notes
    -----
    The model is the same without it: what moves is a coordinate, and the change of variables is accounted for. Answers
    leave the location and scale of all abilities and items open, so that items are best measured from the abilities'
    mean in units of their spread, and an item's difficulty in units of 1 / discrimination, in which its likelihood is
    close to quadratic.
    """
    return {"origin": origin, "unit": unit}


def logistic_program(model: Logistic, data: ProgramData) -> None:
    """Run the 1PL to 4PL: theta from its population, b and log a from hierarchies or independent, c and d if any."""
    ability, difficulty, discrimination = sample_ability_and_items(model, data)
    with data.items:
        guessing = _sample_guessing(model, data)
        upper = _sample_upper_asymptote(model, guessing)
    dispersion = pyro.sample(names.DISPERSION, _beta(model.dispersion)) if isinstance(model.dispersion, Beta) else None
    data.observe(
        ability,
        difficulty=difficulty,
        discrimination=discrimination,
        guessing=guessing,
        upper_asymptote=upper,
        dispersion=dispersion,
    )


def sample_ability_and_items(model: Logistic | ScoreModel, data: ProgramData) -> tuple[Tensor, Tensor, Tensor]:
    """Sample what models with one ability share: theta from its population, b and log a; gives theta, b and a."""
    prior = dist.Normal(number(0.0), number(1.0))
    if model.population is not None:
        prior = sample_population(model.population, data)
    with data.models:
        ability = pyro.sample(names.ABILITY, prior)
    location, scale = data.frame(ability)
    log_slope = measured(origin=None if scale is None else -scale.log())
    moves = _sample_effects(model, data)
    prior = sample_hierarchy("log_discrimination", model.log_discrimination, log_slope, measured(), moves)
    with nullcontext() if model.shared_slope else data.items:
        log_discrimination = pyro.sample("log_discrimination", prior, infer=log_slope)
    discrimination = log_discrimination.exp()
    prior = sample_hierarchy(
        names.DIFFICULTY, model.difficulty, measured(origin=location, unit=scale), measured(unit=scale), moves
    )
    with data.items:
        difficulty = pyro.sample(names.DIFFICULTY, prior, infer=measured(origin=location, unit=1 / discrimination))
        pyro.deterministic(names.DISCRIMINATION, discrimination.expand(data.n_items), event_dim=0)
    return ability, difficulty, discrimination


def sample_population(population: Population, data: ProgramData) -> Any:
    """Distribution of the abilities: means and sds of groups, or coefficients and effects, are sampled."""
    design = population.design
    assert design is not None  # noqa: S101 - Logistic.design refuses it
    values: dict[str, Tensor] = {}
    for name, place, dim in sorted(design.sites, key=lambda site: site.name != GROUP_EFFECT_SD):  # an sd before effects
        if name == GROUP_EFFECT:
            prior = dist.Normal(number(0.0), values[GROUP_EFFECT_SD])
        else:
            prior = normal(design.coefficient) if name in (OTHER_MEAN, COEFFICIENT) else half_normal(design.sd)
        with nullcontext() if dim is None else data.plate(dim, place.stop - place.start):
            values[name] = pyro.sample(name, prior)
    effects = [values[name] for name in (OTHER_MEAN, COEFFICIENT, GROUP_EFFECT) if name in values]
    mean = data.at_models(design.loadings) @ torch.cat(effects)
    if not isinstance(population, Groups):
        return dist.Normal(mean, number(1.0))
    at = population.place_of_reference
    for name, known, learned in ((GROUP_MEAN, 0.0, values[OTHER_MEAN]), (GROUP_SD, 1.0, values[OTHER_SD])):
        every = torch.cat([learned[:at], number(known)[None], learned[at:]])
        with data.plate(GROUP, len(every)):
            pyro.deterministic(name, every, event_dim=0)
    sds = torch.cat([values[OTHER_SD], number(1.0)[None]])  # the reference's place is -1
    return dist.Normal(mean, sds[data.at_models(design.spread)])


def _sample_effects(model: Logistic | ScoreModel, data: ProgramData) -> dict[str, Tensor]:
    """Sample coefficients of covariates of the items: what is regressed → by how much its means move, (item,)."""
    regression = model.item_regression
    if regression is None:
        return {}
    assert regression.design is not None  # noqa: S101 - for_responses binds it
    design, found = data.at_items(regression.design.T), {}
    for name in (names.DIFFICULTY, "log_discrimination"):
        if isinstance(getattr(model, name), Hierarchical):
            with data.plate(ITEM_COVARIATE, len(regression.terms)):
                effect = pyro.sample(f"{name}{EFFECT}", normal(regression.coefficient))
            found[name] = effect @ design
    return found


def sample_hierarchy(
    name: str,
    prior: Hierarchical | Normal,
    of_mean: dict[str, Any],
    of_sd: dict[str, Any],
    moves: Mapping[str, Tensor] | None = None,
) -> Any:
    """Distribution of one item's parameter: its mean and sd over items are sampled, or known; covariates move it."""
    if isinstance(prior, Normal):
        return normal(prior)
    mean = pyro.sample(f"{name}_mean", normal(prior.mean), infer=of_mean)
    mean = mean + moves[name] if moves and name in moves else mean
    return dist.Normal(mean, pyro.sample(f"{name}_sd", half_normal(prior.sd), infer=of_sd))


def _sample_guessing(model: Logistic, data: ProgramData) -> Any:
    if model.guessing is None:
        return None
    if isinstance(model.guessing, Beta):
        return pyro.sample(names.GUESSING, _beta(model.guessing))
    known = data.at_items(model.guessing)
    return pyro.deterministic(names.GUESSING, known.expand(data.n_items), event_dim=0)


def _sample_upper_asymptote(model: Logistic, guessing: Tensor | None) -> Any:
    if model.upper_share is None:
        return None
    low = number(0.0) if guessing is None else guessing
    share = pyro.sample("upper_share", _beta(model.upper_share))  # keeps d above c whatever the draw
    return pyro.deterministic(names.UPPER_ASYMPTOTE, low + (1 - low) * share, event_dim=0)


def multidimensional_program(model: Multidimensional, data: ProgramData) -> None:
    """Run a 2PL with several abilities: theta ~ N(0, R), loadings and intercepts from hierarchies."""
    slots, n_dims = item_slots(model, data.sizes[names.ITEM])
    dimensions, slot_plate = pyro.plate(names.DIMENSION, n_dims, dim=-2), pyro.plate("slot", len(slots), dim=-2)
    root = pyro.sample("ability_root", dist.LKJCholesky(n_dims, number(1.0))) if model.correlated else None
    with dimensions, data.models:
        name = names.ABILITY if root is None else "independent_ability"
        ability = pyro.sample(name, dist.Normal(number(0.0), number(1.0)))
        if root is not None:
            ability = pyro.deterministic(names.ABILITY, root @ ability, event_dim=0)
    if root is not None:
        pyro.deterministic(names.ABILITY_CORRELATION, root @ root.T)
    with dimensions:
        mean = pyro.sample(f"{names.LOADING}_mean", normal(model.loading.mean))
        sd = pyro.sample(f"{names.LOADING}_sd", half_normal(model.loading.sd))
    mean, sd = mean.expand(n_dims, 1), sd.expand(n_dims, 1)
    at = data.at_items(slots)
    used = at < n_dims  # other slots are N(0, 1), and nothing comes of them
    place = at.clamp(max=n_dims - 1).long()
    slot_mean, slot_sd = torch.where(used, mean[place, 0], 0.0), torch.where(used, sd[place, 0], 1.0)
    with slot_plate, data.items:
        own = pyro.sample("slot_loading", dist.Normal(slot_mean, slot_sd))
    prior = sample_hierarchy(names.INTERCEPT, model.intercept, measured(), measured())
    with data.items:
        intercept = pyro.sample(names.INTERCEPT, prior)
    loading = own.new_zeros((n_dims, data.n_items)).scatter_add(0, place, own * used)
    with dimensions, data.items:
        pyro.deterministic(names.LOADING, loading, event_dim=0)
    data.observe_dimensions(ability, loading=loading, intercept=intercept)


@cache
def number(value: float) -> Tensor:
    """Make a float64 scalar, once."""
    return torch.tensor(value, dtype=DTYPE)


def normal(prior: Normal) -> Any:
    """Turn a normal prior into a distribution."""
    return dist.Normal(number(prior.loc), number(prior.scale))


def half_normal(prior: HalfNormal) -> Any:
    """Turn a half-normal prior into a distribution."""
    return dist.HalfNormal(number(prior.scale))


def _beta(prior: Beta) -> Any:
    return dist.Beta(number(prior.successes), number(prior.failures))
