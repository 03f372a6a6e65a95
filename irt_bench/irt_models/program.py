"""The Pyro program of an item response model: what the priors and the formula say, as a generative story."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor
from torch.distributions import Transform, biject_to, constraints

from irt_bench import names
from irt_bench.irt_models.base import Beta, Given, HalfNormal, IRTModel, Normal, Site

Likelihood = Callable[[Tensor, Mapping[str, Tensor]], Tensor]


def make_program(
    irt_model: IRTModel, *, n_models: int, n_items: int, likelihood: Likelihood, dtype: torch.dtype = torch.float64
) -> Callable[[], dict[str, Tensor]]:
    """Return the Pyro program of a model for a matrix of given size.

    Parameters
    ----------
    irt_model : IRTModel
        Declares the sites, sampled in order in plates named after their dimension.
    n_models, n_items : int
        Size of the response matrix.
    likelihood : callable
        (ability, item parameters by name) → log-likelihood of all responses, a scalar tensor.
    dtype : torch.dtype
        Floating type of all sites.

    Notes
    -----
    | site                                   | shape    |
    |----------------------------------------|----------|
    | ability                                | (model,) |
    | difficulty, log_discrimination, ...    | (item,)  |
    | *_mean, *_sd, the 1PL's discrimination | ()       |
    """
    sizes = {names.MODEL: n_models, names.ITEM: n_items}
    known = {name: torch.tensor(value, dtype=dtype) for name, value in irt_model.known_parameters(n_items).items()}

    def program() -> dict[str, Tensor]:
        values: dict[str, Tensor] = dict(known)
        plates = {dim: pyro.plate(dim, size) for dim, size in sizes.items()}
        for site in irt_model.sites():
            with plates[site.dim] if site.dim else nullcontext():
                values[site.name] = pyro.sample(site.name, _distribution(site, values, dtype))
        items = irt_model.item_parameters(values, torch.exp)
        pyro.factor("responses", likelihood(values[names.ABILITY], items))
        return values

    return program


def log_density_of_program(
    irt_model: IRTModel, reals: Mapping[str, Tensor], *, sizes: Mapping[str, int], likelihood: Likelihood
) -> Tensor:
    """Log density of the program with its sites at real coordinates, change of variables included.

    Parameters
    ----------
    irt_model : IRTModel
        Declares the sites.
    reals : mapping
        Site → unconstrained value: the logit of one in (0, 1), the normal score of a half-normal one.
    sizes : mapping
        ``model`` and ``item`` → length.
    likelihood : callable
        See `make_program`.
    """
    program = make_program(irt_model, n_models=sizes[names.MODEL], n_items=sizes[names.ITEM], likelihood=likelihood)
    jacobian, values = torch.zeros((), dtype=torch.float64), {}
    for site in irt_model.sites():
        real = reals[site.name]
        if isinstance(site.prior, HalfNormal):
            transform: Any = _ToHalfNormal(site.prior.scale)
        else:
            transform = biject_to(_distribution(site, _Unit(), torch.float64).support)
        values[site.name] = transform(real)
        jacobian = jacobian + transform.log_abs_det_jacobian(real, values[site.name]).sum()
    trace = poutine.trace(poutine.condition(program, data=values)).get_trace()
    density: Tensor = trace.log_prob_sum() + jacobian
    return density


class _ToHalfNormal(Transform):
    """Carry N(0, 1) to |N(0, scale)|."""

    domain, codomain, bijective = constraints.real, constraints.positive, True

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def _call(self, x: Tensor) -> Tensor:
        """2 Phi(-half) = Phi(-x); below 0 by way of Phi(x), which there has all its digits."""
        low, high = x.clamp(max=0), x.clamp(min=0)
        below = 2**0.5 * torch.erfinv(torch.special.log_ndtr(low).exp())
        above = -torch.special.ndtri(torch.special.log_ndtr(-high).exp() / 2)
        return self.scale * torch.where(x < 0, below, above)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return ((y / self.scale).square() - x.square()) / 2 + math.log(self.scale / 2)


class _Unit(dict[str, Tensor]):
    """Stands in for values of sites where only a distribution's support is asked for."""

    def __missing__(self, key: str) -> Tensor:
        return torch.ones(())


def _distribution(site: Site, values: Mapping[str, Tensor], dtype: torch.dtype) -> Any:
    def number(value: float) -> Tensor:
        return torch.tensor(value, dtype=dtype)

    match site.prior:
        case Given(mean=mean, sd=sd):
            return dist.Normal(values[mean], values[sd])
        case Normal(loc=loc, scale=scale):
            return dist.Normal(number(loc), number(scale))
        case HalfNormal(scale=scale):
            return dist.HalfNormal(number(scale))
        case Beta(successes=successes, failures=failures):
            return dist.Beta(number(successes), number(failures))
