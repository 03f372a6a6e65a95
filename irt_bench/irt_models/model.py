"""What an item response model is: the protocol, and priors as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from irt_bench.errors import ModelError


@dataclass(frozen=True)
class Normal:
    """Normal(loc, scale) on the real line; of items, for each by itself, with nothing learned from the others.

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
    """x_i ~ Normal(mean, sd), the mean and sd of the items learned from the data.

    Examples
    --------
    >>> from irt_bench import HalfNormal, Hierarchical, Normal, TwoPL
    >>> hard = Hierarchical(mean=Normal(1.0, 0.5), sd=HalfNormal(1.0))
    >>> TwoPL(difficulty=hard).difficulty.mean
    Normal(loc=1.0, scale=0.5)
    """

    mean: Normal
    sd: HalfNormal


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


def _positive(prior: object, field: str) -> None:
    value = getattr(prior, field)
    if not 0 < value < math.inf:
        raise ModelError(f"{type(prior).__name__}.{field} is {value!r}; a positive finite number is needed.")
