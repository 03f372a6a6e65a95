"""What NUTS and SVI sample: the log density of a Pyro program, its latent sites in real coordinates, one flat vector.

The program is run at every evaluation, by an effect handler that puts values in place of the latent sites and adds up
the log densities. Coordinates are found from the program's own description of a site:

* a positive or bounded value moves by its logarithm or logit (`torch.distributions.biject_to`);
* (value - origin) / unit moves where the program advises it (`irt_bench.irt_models.program.measured`);
* a normal site x ~ N(mean, sd) moves by z = sd ** (c - 1) * (x - mean) + c * mean, with a share c of centring for
  each value: 1 moves x itself, 0 its standardised deviation (Papaspiliopoulos, Roberts & Skold 2007,
  doi:10.1214/088342307000000014), as answers inform much or little about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from pyro.poutine.subsample_messenger import _Subsample
from scipy.special import erf, erfinv, log_ndtr, ndtr, ndtri, ndtri_exp
from torch import Tensor
from torch.distributions import biject_to

from irt_bench import names
from irt_bench.arrays import Array
from irt_bench.errors import ModelError


class SiteBlock(NamedTuple):
    """Coordinates of one latent site."""

    place: slice
    shape: torch.Size  # of the coordinates, all of a plate's
    plates: tuple[str, ...]


class SiteReading(NamedTuple):
    """A latent site at given values."""

    moved: Any  # its centred coordinates
    # of a normal site, in the same units
    mean: Any
    sd: Any


@dataclass(frozen=True)
class Target:
    """Log density of a model's program given responses."""

    irt_model: Any  # with a name and a program: an `IRTModel`, or a `SeedModel`
    data: Any  # what the program is given: `ResponseData` or `SeedData`
    # normal site → share of centring, shape of the site; 1 where a site is not named
    centring: Mapping[str, Tensor] = field(default_factory=dict)

    def with_data(self, data: Any) -> Target:
        """Make the same target for a mini-batch of its data; its sites are known."""
        other = replace(self, data=data)
        object.__setattr__(other, "_sites", self._sites)
        object.__setattr__(other, "blocks", self.blocks)
        return other

    @cached_property
    def _sites(self) -> dict[str, Any]:
        """Latent and deterministic sites of a run of the program."""
        silent = self.data.silenced
        with poutine.block(), torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            trace = poutine.trace(self.irt_model.program).get_trace(silent)
        return {
            name: site
            for name, site in trace.nodes.items()
            if site["type"] == "sample"
            and not isinstance(site["fn"], _Subsample)
            and (not site["is_observed"] or site["infer"].get("_deterministic"))
        }

    @cached_property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Plates of each latent and deterministic site, outermost first."""
        return {
            name: tuple(frame.name for frame in sorted(site["cond_indep_stack"], key=lambda frame: frame.dim))
            for name, site in self._sites.items()
        }

    @cached_property
    def blocks(self) -> dict[str, SiteBlock]:
        """Latent sites in the order of the program, abilities that are integrated out left aside."""
        found, start = {}, 0
        for name, site in self._sites.items():
            if site["is_observed"]:
                continue
            if name == names.ABILITY and self.data.grid is not None:
                continue
            if site["fn"].support.is_discrete or site["mask"] is not None:
                kind = (
                    "masked; leave it out"
                    if site["mask"] is not None
                    else "discrete; NUTS and SVI need continuous ones"
                )
                raise ModelError(f"site {name!r} of the {self.irt_model.name} model is {kind}.")
            shape = biject_to(site["fn"].support).inverse_shape(site["value"].shape)
            place = slice(start, start + shape.numel())
            found[name] = SiteBlock(place, shape, self.dims[name])
            start = place.stop
        return found

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return max((block.place.stop for block in self.blocks.values()), default=0)

    def log_density(self, point: Tensor) -> Tensor:
        """Log density at a point, change of variables included, up to a constant; with its gradient attached."""
        handler = _Placing(self, self.data, point)
        with handler:
            self.irt_model.program(self.data)
        return handler.total

    def value_and_gradient(self, point: Array) -> tuple[float, Array]:
        """Log density and its gradient, as arrays."""
        at = torch.tensor(point, requires_grad=True)
        value = self.log_density(at)
        (gradient,) = torch.autograd.grad(value, at)
        return value.item(), gradient.numpy()

    def values(self, points: Array, rng: np.random.Generator) -> dict[str, Array]:
        """Values of latent and deterministic sites at many points: (..., coordinate) → (...) or (..., plate).

        Abilities that are integrated out are drawn from their posterior given the items.
        """
        found: dict[str, Array] = {}
        silent = self.data.silenced
        for place in np.ndindex(points.shape[:-1]):
            handler = _Placing(self, silent, torch.from_numpy(points[place]))
            with torch.no_grad(), handler:
                self.irt_model.program(silent)
            values = {name: value.numpy() for name, value in handler.values.items()}
            if self.data.grid is not None:
                with torch.no_grad():
                    values[names.ABILITY] = silent.draw_abilities(values, rng)
            for name, value in values.items():
                found.setdefault(name, np.empty((*points.shape[:-1], *value.shape)))[place] = value
        return found

    def read(self, values: Mapping[str, Any]) -> dict[str, SiteReading]:
        """Latent sites as coordinates at given values; a site without a value is drawn from its prior."""
        silent = self.data.silenced
        handler = _ReadSites(
            self, silent, {name: torch.as_tensor(value, dtype=torch.float64) for name, value in values.items()}
        )
        with torch.no_grad(), handler:
            self.irt_model.program(silent)
        return handler.found

    def flatten(self, reading: Mapping[str, SiteReading]) -> Array:
        """Point of a reading, with this target's centring."""
        parts = []
        for name in self.blocks:
            moved, mean, sd = reading[name]
            share = self.centring.get(name)
            if sd is not None and share is not None:
                kept = share.numpy()
                moved = kept * mean + (moved - mean) * sd ** (kept - 1)
            parts.append(np.ravel(moved))
        return np.concatenate(parts)

    @cached_property
    def groups(self) -> list[npt.NDArray[np.intp]]:
        """Coordinates that belong together, one array of shape (block, coordinate of a block) for each group.

        A block holds the coordinates of one index of a plate, or those outside plates.
        """
        sizes = self.data.sizes
        found: dict[tuple[str, ...], list[npt.NDArray[np.intp]]] = {}
        for name, (place, _, plates) in self.blocks.items():
            at = np.arange(place.start, place.stop)
            if not plates:
                found.setdefault(plates, []).append(at[None])
            elif plates[-1] in sizes and not {*plates[:-1]} & {
                *sizes
            }:  # what a model or an item has on several dimensions belongs together, too
                found.setdefault(plates[-1:], []).append(at.reshape(-1, sizes[plates[-1]]).T)
            else:
                found[(*plates, name)] = [at[:, None]]
        return [np.concatenate(parts, axis=1) for parts in found.values()]


class _Handler(Messenger):  # type: ignore[misc]
    """Decides the value of each latent site of a program."""

    def __init__(self, target: Target, data: Any) -> None:
        super().__init__()
        self.target, self.data, self.blocks = target, data, target.blocks

    def _pyro_sample(self, message: Any) -> None:
        name = message["name"]
        message["stop"] = True  # the program's sites are no concern of handlers outside
        if message["is_observed"] or name not in self.blocks:
            if name == names.ABILITY and self.data.grid is not None:
                message["value"] = torch.full(message["fn"].shape(), torch.nan, dtype=torch.float64)
                message["done"] = True
            return
        message["value"] = self.place(name, message)
        message["done"] = True

    def place(self, name: str, message: Any) -> Tensor:
        """Value of a latent site."""
        raise NotImplementedError

    def scale_of(self, name: str, message: Any) -> Any:
        """Origin, unit, and the share of centring of a normal site, else None."""
        advice = message["infer"]
        share: Any = None
        if isinstance(message["fn"], dist.Normal):
            share = self.target.centring.get(name, 1.0)
            if isinstance(share, Tensor):
                share = self._own(message, share)
        return advice.get("origin"), advice.get("unit"), share

    def _own(self, message: Any, whole: Tensor) -> Tensor:
        """Part of a whole that goes with the models or items of a mini-batch."""
        for frame in message["cond_indep_stack"]:
            chosen = self.data.chosen(frame.name)
            if chosen is not None:
                whole = whole.index_select(frame.dim, chosen)
        return whole


class _Placing(_Handler):
    """Puts values at a point in place of the latent sites, and adds up log densities."""

    def __init__(self, target: Target, data: Any, point: Tensor) -> None:
        super().__init__(target, data)
        self.point = point
        self.total = point.new_zeros(())
        self.values: dict[str, Tensor] = {}

    def place(self, name: str, message: Any) -> Tensor:
        block, fn = self.blocks[name], message["fn"]
        real = self._own(message, self.point[block.place].reshape(block.shape))
        origin, unit, share = self.scale_of(name, message)
        if share is not None:
            value, density = _PlaceNormal.apply(real, fn.loc, fn.scale, origin, unit, share)
        elif isinstance(fn, dist.HalfNormal) and origin is None:
            half = _HalfNormalScore.apply(real)
            value, density = _outward(fn.scale * half, None, unit), -0.5 * real.square().sum()
            if unit is not None:
                density = density + (0.5 * half.square() * (1 - unit**2) + unit.log()).sum()
        else:
            transform = biject_to(fn.support)
            moved = transform(real)
            value = _outward(moved, origin, unit)
            density = fn.log_prob(value).sum() + transform.log_abs_det_jacobian(real, moved).sum()
            if unit is not None:
                density = density + unit.log() * moved.numel()
        self.total = self.total + (density if message["scale"] == 1 else message["scale"] * density)
        return cast(Tensor, value)

    def _pyro_post_sample(self, message: Any) -> None:
        name = message["name"]
        if message["is_observed"]:
            if message["infer"].get("_deterministic"):
                self.values[name] = message["value"]
            else:
                term = message["fn"].log_prob(message["value"])
                if message["mask"] is not None:
                    term = torch.where(torch.as_tensor(message["mask"]), term, 0.0)
                self.total = self.total + message["scale"] * term.sum()
        elif name in self.blocks:
            self.values[name] = message["value"]


class _ReadSites(_Handler):
    """Reads off the coordinates at which the latent sites have given values."""

    def __init__(self, target: Target, data: Any, given: Mapping[str, Tensor]) -> None:
        super().__init__(target, data)
        self.given = given
        self.found: dict[str, SiteReading] = {}

    def place(self, name: str, message: Any) -> Tensor:
        fn = message["fn"]
        value = self.given[name] if name in self.given else fn.sample()
        origin, unit, share = self.scale_of(name, message)
        moved = _inward(value, origin, unit)
        if share is None:
            score = isinstance(fn, dist.HalfNormal) and origin is None
            real = _half_normal_coordinate(moved / fn.scale) if score else biject_to(fn.support).inv(moved)
            self.found[name] = SiteReading(real.numpy(), None, None)
        else:
            mean, sd = _inward(fn.loc, origin, unit), _inward(fn.scale, None, unit)
            self.found[name] = SiteReading(*(part.numpy() for part in (moved, mean, sd)))
        return value


class _PlaceNormal(torch.autograd.Function):
    """Value and log density of a normal site at its coordinates, as one operation: small arrays, many evaluations.

    With m = (loc - origin) / unit, s = scale / unit and a share c of centring the value is
    origin + unit (m + s^(1 - c) (z - c m)), and z ~ N(c m, s^c).
    """

    @staticmethod
    def forward(ctx: Any, real: Tensor, loc: Tensor, scale: Tensor, origin: Any, unit: Any, share: Any) -> Any:
        z, c = real.detach().numpy(), share.numpy() if isinstance(share, Tensor) else share
        o = 0.0 if origin is None else origin.detach().numpy()
        u = 1.0 if unit is None else unit.detach().numpy()
        m, s = (loc.detach().numpy() - o) / u, scale.detach().numpy() / u
        stretch, spread = s ** (1 - c), s**c
        away = z - c * m
        deviation = away / spread
        moved = m + stretch * away
        ctx.parts = z.shape, o, u, c, m, s, stretch, spread, away, deviation, moved
        ctx.shapes = [None if part is None else part.shape for part in (loc, scale, origin, unit)]
        density = -0.5 * np.vdot(deviation, deviation) - np.sum(np.log(spread) * np.ones_like(z))
        return torch.from_numpy(np.asarray(o + u * moved)), real.new_tensor(density)

    @staticmethod
    def backward(ctx: Any, by_value: Tensor, by_density: Tensor) -> Any:
        shape, o, u, c, m, s, stretch, spread, away, deviation, moved = ctx.parts
        v, d = by_value.numpy(), by_density.item()
        pull = d * deviation / spread
        by_real = v * u * stretch - pull
        by_m = v * u * (1 - stretch * c) + pull * c
        by_s = (v * u * away * (1 - c) * stretch + d * c * (deviation**2 - 1)) / s
        by_unit = v * moved - (by_m * m + by_s * s) / u if ctx.shapes[3] is not None else None
        slopes = by_m / u, by_s / u, v - by_m / u, by_unit
        reduced = (_reduced(part, to) for part, to in zip(slopes, ctx.shapes, strict=True))
        return (torch.from_numpy(np.asarray(by_real)), *reduced, None)


def _reduced(slope: Any, shape: Any) -> Tensor | None:
    """Sum a gradient over what was broadcast."""
    if shape is None:
        return None
    slope = np.asarray(slope)
    if slope.shape == shape:
        return torch.from_numpy(slope)
    while slope.ndim > len(shape):
        slope = slope.sum(axis=0)
    for axis, size in enumerate(shape):
        if size == 1 and slope.shape[axis] != 1:
            slope = slope.sum(axis=axis, keepdims=True)
    return torch.from_numpy(np.asarray(slope))


class _HalfNormalScore(torch.autograd.Function):
    """Map N(0, 1) onto |N(0, 1)|, so that an sd that few answers determine has normal tails, also towards 0.

    2 Phi(-half) = Phi(-x); below 0 by way of Phi(x), which there has all its digits.
    """

    @staticmethod
    def forward(ctx: Any, real: Tensor) -> Tensor:
        x = real.detach().numpy()
        half = np.where(x < 0, np.sqrt(2) * erfinv(ndtr(x)), -ndtri_exp(log_ndtr(-x) - np.log(2)))
        ctx.slope = np.exp(0.5 * (half**2 - x**2)) / 2
        return torch.from_numpy(half)

    @staticmethod
    def backward(ctx: Any, by_half: Tensor) -> Tensor:
        return by_half * torch.from_numpy(np.asarray(ctx.slope))


def _half_normal_coordinate(half: Tensor) -> Tensor:
    """Inverse of `_HalfNormalScore`."""
    h = half.numpy()
    return torch.from_numpy(np.where(h < 1, ndtri(erf(h / np.sqrt(2))), -ndtri_exp(np.log(2) + log_ndtr(-h))))


def _inward(value: Tensor, origin: Any, unit: Any) -> Tensor:
    """Measure a value from an origin in a unit."""
    shifted = value - origin if isinstance(origin, Tensor) else value
    return shifted / unit if isinstance(unit, Tensor) else shifted


def _outward(moved: Tensor, origin: Any, unit: Any) -> Tensor:
    """Value of what was measured from an origin in a unit."""
    stretched = unit * moved if isinstance(unit, Tensor) else moved
    return origin + stretched if isinstance(origin, Tensor) else stretched
