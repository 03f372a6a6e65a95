"""The posterior density in coordinates a sampler likes: one flat real vector, hierarchies partly non-centred.

The same sites as the Pyro program, with the gradient written out by hand: tracing the program and recording a graph
costs ten times the arithmetic. The tests compare density and gradient with those of the program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import erf, erfinv, expit, log_ndtr, logit, ndtr, ndtri, ndtri_exp

from irt_bench import names
from irt_bench.inference.ability_grid import AbilityGrid
from irt_bench.inference.alignment import STANDARD, Alignment, Frame
from irt_bench.inference.likelihood import Cells
from irt_bench.inference.sampled_cells import SampledCells
from irt_bench.irt_models.base import Beta, Given, HalfNormal, IRTModel, Normal, Site, Unit

Array = npt.NDArray[np.float64]
Values = dict[str, Any]  # site → array of its shape, NumPy scalars included


@dataclass(frozen=True)
class Posterior:
    """Unnormalised posterior of an IRT model given responses.

    Parameters
    ----------
    irt_model : IRTModel
        Declares the sites.
    cells : Cells, SampledCells or AbilityGrid
        Responses, shape (model, item); with a grid, abilities are integrated out and are no coordinates.
    centring : mapping
        Site → share in [0, 1], shape (item,): 1 samples x itself, 0 samples (x - mean) / sd, and in between
        x = mean + sd ** (1 - share) * (z - share * mean) with z ~ Normal(share * mean, sd ** share). Items with
        many informative answers want 1, items with few want 0 (Papaspiliopoulos et al. 2007). A site not named
        is centred.
    alignment : Alignment, optional
        Coordinates in which the abilities' shared location and scale stand apart; by default ability itself.
    """

    irt_model: IRTModel
    cells: Cells | SampledCells | AbilityGrid
    centring: Mapping[str, Array] = field(default_factory=dict)
    alignment: Alignment | None = None

    @cached_property
    def sites(self) -> tuple[Site, ...]:
        """Latent quantities in sampling order, those integrated out left aside."""
        sites = self.irt_model.sites()
        return tuple(site for site in sites if not (self.integrates_abilities and site.name == names.ABILITY))

    @property
    def integrates_abilities(self) -> bool:
        """Whether abilities are integrated out."""
        return isinstance(self.cells, AbilityGrid)

    @cached_property
    def layout(self) -> dict[str, slice]:
        """Where each site lies in the flat vector."""
        sizes = dict(zip((names.MODEL, names.ITEM), self.cells.shape, strict=True))
        stops = np.cumsum([site.size(sizes) for site in self.sites])
        starts = [0, *stops[:-1]]
        return {site.name: slice(int(a), int(b)) for site, a, b in zip(self.sites, starts, stops, strict=True)}

    def log_density(self, flat: Array) -> tuple[float, Array]:
        """Log density of the flat vector, change of variables included, up to a constant; and its gradient."""
        frame, relative, reals = self._read(flat)
        log_density, slopes = likelihood_and_slopes(self.irt_model, self.cells, relative)
        by_frame = np.zeros(2)  # in the location and the log scale
        gradient = np.empty_like(flat)
        for site in reversed(self.sites):  # a hierarchy's mean and sd come before its items
            if self.alignment is not None and site.name == names.ABILITY:
                term, slope = self.alignment.prior_term(reals[site.name], slopes[site.name])
                slope[:2] += by_frame
            else:
                term, slope = self._prior_term(site, reals[site.name], relative, slopes, frame, by_frame)
            log_density += term
            gradient[self.layout[site.name]] = slope
        return log_density, gradient

    def values(self, flat: Array) -> Values:
        """Values of the sites on their own scales."""
        frame, relative, _ = self._read(flat)
        units = {site.name: site.unit for site in self.sites}
        return {name: _absolute(value, units.get(name, Unit.NONE), frame) for name, value in relative.items()}

    def flatten(self, values: Mapping[str, Any]) -> Array:
        """Return the flat vector at which the sites have the given values."""
        frame, parts = STANDARD, []
        relative: Values = {}
        for site in self.sites:
            if self.alignment is not None and site.name == names.ABILITY:
                coordinates = self.alignment.coordinates(values[site.name])
                frame = Frame(*coordinates[:2])
                parts.append(coordinates)
            else:
                relative[site.name] = _relative(values[site.name], site.unit, frame)
                parts.append(np.ravel(self._to_real(site, relative)))
        return np.concatenate(parts)

    def _share(self, site: Site) -> Any:
        return self.centring.get(site.name, 1.0)

    def _read(self, flat: Array) -> tuple[Frame, Values, Values]:
        """Frame of the abilities, values relative to it, and coordinates of the sites."""
        frame, reals = STANDARD, {}
        values = self.irt_model.known_parameters(self.cells.shape[1])
        for site in self.sites:
            part = flat[self.layout[site.name]]
            reals[site.name] = real = part[0] if site.dim is None else part
            if self.alignment is not None and site.name == names.ABILITY:
                frame, values[site.name] = self.alignment.read(real)
                continue
            match site.prior:
                case HalfNormal(scale=scale):
                    values[site.name] = scale * _half_normal(real)
                case Beta():
                    values[site.name] = expit(real)
                case Given(mean=mean, sd=sd):
                    share = self._share(site)
                    values[site.name] = values[mean] + values[sd] ** (1 - share) * (real - share * values[mean])
                case Normal():
                    values[site.name] = real
        return frame, values, reals

    def _to_real(self, site: Site, values: Mapping[str, Any]) -> Any:
        value = values[site.name]
        match site.prior:
            case HalfNormal(scale=scale):
                return _as_normal(value / scale)
            case Beta():
                return logit(value)
            case Given(mean=mean, sd=sd):
                share = self._share(site)
                return share * values[mean] + (value - values[mean]) * values[sd] ** (share - 1)
        return value

    def _prior_term(
        self, site: Site, real: Any, values: Values, slopes: Values, frame: Frame, by_frame: Array
    ) -> tuple[float, Any]:
        """Log prior of a coordinate and the gradient in it; adds to the slopes of a hierarchy's mean, sd and the frame.

        `slopes[name]` is the derivative of everything after the site by the site's (relative) value.
        """
        value, slope = values[site.name], slopes.get(site.name, 0.0)
        match site.prior:
            case Normal(loc=loc, scale=scale):
                distance = (_absolute(real, site.unit, frame) - loc) / scale
                pull = -distance / scale
                term = -0.5 * float(np.sum(distance**2))
                if site.unit is Unit.ABILITY:  # the Jacobian of t + s x adds log s
                    n = np.size(real)
                    by_frame += np.sum(pull), np.sum(pull * frame.scale * real) + n
                    return term + n * frame.log_scale, slope + pull * frame.scale
                if site.unit is Unit.LOG_SLOPE:
                    by_frame[1] -= np.sum(pull)
                return term, slope + pull
            case HalfNormal(scale=scale):
                half = value / scale  # on the ability's scale: stretch * half
                stretch = frame.scale if site.unit is Unit.ABILITY_DIFFERENCE else 1.0
                excess = (1 - stretch**2) * half**2
                by_real = np.exp(0.5 * (half**2 - real**2)) / 2  # d half / d real
                if site.unit is Unit.ABILITY_DIFFERENCE:
                    by_frame[1] += 1 - (stretch * half) ** 2
                term = float(np.log(stretch) + 0.5 * (excess - real**2))
                return term, (slope * scale + (1 - stretch**2) * half) * by_real - real
            case Beta(successes=successes, failures=failures):
                term = float(np.sum(-successes * np.logaddexp(0, -real) - failures * np.logaddexp(0, real)))
                return term, slope * value * (1 - value) + successes * (1 - value) - failures * value
            case Given(mean=mean, sd=sd):  # the same in every frame
                loc, spread, share = values[mean], values[sd], self._share(site)
                stretch = spread ** (1 - share)  # value = loc + stretch * residual
                residual = real - share * loc
                pull = residual / spread ** (2 * share)
                term = -0.5 * float(np.sum(residual * pull)) - float(np.sum(share * np.ones_like(real))) * np.log(
                    spread
                )
                slopes[mean] = slopes.get(mean, 0.0) + np.sum(slope * (1 - share * stretch) + share * pull)
                by_sd = slope * (1 - share) * stretch * residual + share * (residual * pull - 1)
                slopes[sd] = slopes.get(sd, 0.0) + np.sum(by_sd) / spread
                return term, slope * stretch - pull


def _half_normal(real: Any) -> Any:
    """Map N(0, 1) onto |N(0, 1)|, so that an sd that few items tell has normal tails, also towards 0.

    2 Phi(-half) = Phi(-real).
    """
    return np.where(real < 0, np.sqrt(2) * erfinv(ndtr(real)), -ndtri_exp(log_ndtr(-real) - np.log(2)))[()]


def real_per_log_sd(sd: float, prior: HalfNormal) -> float:
    """Differentiate an sd's real coordinate by the logarithm of the sd."""
    half = sd / prior.scale
    return float(2 * half * np.exp(0.5 * (_as_normal(half) ** 2 - half**2)))


def _as_normal(half: Any) -> Any:
    """Inverse of `_half_normal`."""
    return np.where(half < 1, ndtri(erf(half / np.sqrt(2))), -ndtri_exp(np.log(2) + log_ndtr(-half)))[()]


def _absolute(value: Any, unit: Unit, frame: Frame) -> Any:
    match unit:
        case Unit.ABILITY:
            return frame.location + frame.scale * value
        case Unit.ABILITY_DIFFERENCE:
            return frame.scale * value
        case Unit.LOG_SLOPE:
            return value - frame.log_scale
    return value


def _relative(value: Any, unit: Unit, frame: Frame) -> Any:
    match unit:
        case Unit.ABILITY:
            return (value - frame.location) / frame.scale
        case Unit.ABILITY_DIFFERENCE:
            return value / frame.scale
        case Unit.LOG_SLOPE:
            return value + frame.log_scale
    return value


def likelihood_and_slopes(
    irt_model: IRTModel, cells: Cells | SampledCells | AbilityGrid, values: Mapping[str, Any]
) -> tuple[float, Values]:
    """Log-likelihood at the values of the sites, and its gradient in each site that it depends on directly."""
    parameters = irt_model.item_parameters(values, np.exp)
    if isinstance(cells, AbilityGrid):
        value, slopes = cells.value_and_slopes(parameters)
        return value, irt_model.pull_back(values, slopes)
    value, by_ability, slopes = cells.value_and_slopes(values[names.ABILITY], parameters)
    return value, {names.ABILITY: by_ability, **irt_model.pull_back(values, slopes)}
