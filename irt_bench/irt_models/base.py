"""What an item response model declares: priors as data, and the sites they make."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Protocol, runtime_checkable

from irt_bench import names
from irt_bench.errors import ModelError


@dataclass(frozen=True)
class Normal:
    """Normal(loc, scale) on the real line; of items, for each by itself, with nothing learned from the others."""

    loc: float
    scale: float

    def __post_init__(self) -> None:
        _positive(self, "scale")
        if not math.isfinite(self.loc):
            raise ModelError(f"Normal.loc is {self.loc!r}; a finite number is needed.")


@dataclass(frozen=True)
class HalfNormal:
    """|Normal(0, scale)|, for standard deviations."""

    scale: float

    def __post_init__(self) -> None:
        _positive(self, "scale")


@dataclass(frozen=True)
class Beta:
    """Beta(successes, failures) on (0, 1)."""

    successes: float
    failures: float

    def __post_init__(self) -> None:
        _positive(self, "successes")
        _positive(self, "failures")


@dataclass(frozen=True)
class Hierarchical:
    """x_i ~ Normal(mean, sd), the mean and sd of the items learned from the data."""

    mean: Normal
    sd: HalfNormal


@dataclass(frozen=True)
class Given:
    """x_i ~ Normal(value of site `mean`, value of site `sd`)."""

    mean: str
    sd: str


class Unit(Enum):
    """How a quantity changes when abilities become t + s * ability and the responses' distribution must not."""

    NONE = "unchanged"
    ABILITY = "t + s x"  # a point on the ability's scale
    ABILITY_DIFFERENCE = "s x"  # a distance on it
    LOG_SLOPE = "x - log s"  # a logarithm of log-odds per unit of it


@dataclass(frozen=True)
class Site:
    """One latent quantity: its name, the dimension it runs over (None for a scalar), its prior and its unit."""

    name: str
    dim: str | None
    prior: Normal | HalfNormal | Beta | Given
    unit: Unit = Unit.NONE

    def size(self, sizes: Mapping[str, int]) -> int:
        """Count the values."""
        return 1 if self.dim is None else sizes[self.dim]


@runtime_checkable
class IRTModel(Protocol):
    """An item response model: a name, what it accepts, and the sites that inference needs to know."""

    name: ClassVar[str]

    @property
    def measures(self) -> tuple[str, ...]:
        """Measures of responses the model accepts."""

    @property
    def dims(self) -> dict[str, str]:
        """Reported parameter → dimension."""

    def sites(self) -> tuple[Site, ...]:
        """Latent quantities in sampling order."""

    def known_parameters(self, n_items: int) -> dict[str, Any]:
        """Item parameters that are no sites, as arrays of shape () or (item,)."""

    def item_parameters(self, values: Mapping[str, Any], exp: Any) -> dict[str, Any]:
        """Item parameters from values of the sites; `exp` is the array library's."""

    def pull_back(self, values: Mapping[str, Any], gradient: Mapping[str, Any]) -> dict[str, Any]:
        """Gradient in the sites from the gradient in the item parameters (the chain rule of `item_parameters`)."""

    def to_dict(self) -> dict[str, Any]:
        """Name and priors as plain values, so that a fit can be read back."""


def item_sites(name: str, prior: Hierarchical | Normal, unit: Unit) -> tuple[Site, ...]:
    """Sites of a parameter of items, after those of its mean and sd where they are learned."""
    if isinstance(prior, Normal):
        return (Site(name, names.ITEM, prior, unit),)
    mean, sd = f"{name}_mean", f"{name}_sd"
    sd_unit = Unit.ABILITY_DIFFERENCE if unit is Unit.ABILITY else Unit.NONE
    return (
        Site(mean, None, prior.mean, unit),
        Site(sd, None, prior.sd, sd_unit),
        Site(name, names.ITEM, Given(mean, sd), unit),
    )


def _positive(prior: object, field: str) -> None:
    value = getattr(prior, field)
    if not 0 < value < math.inf:
        raise ModelError(f"{type(prior).__name__}.{field} is {value!r}; a positive finite number is needed.")
