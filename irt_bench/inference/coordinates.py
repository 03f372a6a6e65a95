"""Coordinates for inference: the posterior's flat vector, centred at a good start and scaled by what is known there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from irt_bench import names
from irt_bench.errors import FitError, ModelError
from irt_bench.inference.ability_grid import AbilityGrid
from irt_bench.inference.laplace import approximate
from irt_bench.inference.likelihood import Cells, integrated_likelihood, item_curves, log_likelihood
from irt_bench.inference.posterior import Posterior
from irt_bench.inference.runtime import CPU, DTYPE
from irt_bench.inference.start import Start, find_start
from irt_bench.irt_models.logistic import Logistic
from irt_bench.irt_models.program import log_density_of_program

Array = npt.NDArray[np.float64]
LEAST_DRAWS, MOST_DRAWS = 1_000, 10_000  # behind a covariance matrix that whitens
DRAWS_PER_COORDINATE = 10  # of those by Gibbs sweeps a third are as good as independent
MOST_WHITENED = 2_500  # items whose covariance so many draws tell, and memory holds
GRADIENT_COST = 6e8  # cells times nodes: a tenth of a second a gradient
MARGIN = 0.9  # slopes on the way may be steeper than at the mode
ASYMPTOTE_VARIANCE = 0.25  # of the logit of an asymptote that is learned
FARTHEST = 6.0  # sds of a draw from the median, on its side
AGREEMENT = 1e-6  # relative, between the density written by hand and that of the Pyro program


@dataclass(frozen=True)
class BaseCoordinates(ABC):
    """Coordinates u in which a method works, and the way from there to the sites.

    Parameters
    ----------
    posterior : Posterior
        Density of the flat vector.
    centre : array of shape (coordinate,)
        What u = 0 stands for: where inference starts.
    """

    posterior: Posterior
    centre: Array

    @property
    @abstractmethod
    def whitened(self) -> bool:
        """Whether the posterior's covariance is so near the identity that nothing is left to adapt."""

    @abstractmethod
    def flat(self, points: Array) -> Array:
        """Flat vectors at one or many points."""

    @abstractmethod
    def value_and_gradient(self, point: Array) -> tuple[float, Array]:
        """Log posterior density at u, up to a constant, and its gradient."""

    def log_density(self, point: Tensor) -> Tensor:
        """Log posterior density at u, a scalar, with its gradient attached."""
        value: Tensor = _LogDensity.apply(point, self)
        return value

    def values(self, points: Array, rng: np.random.Generator) -> dict[str, Array]:
        """Values of the sites at many points, leading dimensions kept: (..., coordinate) → (...) or (..., dim).

        Abilities that are integrated out are drawn from their posterior given the items.
        """
        posterior, flat = self.posterior, self.flat(points)
        found: dict[str, Any] = {}
        for place in np.ndindex(flat.shape[:-1]):
            values = posterior.values(flat[place])
            if isinstance(posterior.cells, AbilityGrid):
                items = posterior.irt_model.item_parameters(values, np.exp)
                values[names.ABILITY] = posterior.cells.draw(items, rng)
            for site in posterior.irt_model.sites():
                value = values[site.name]
                found.setdefault(site.name, np.empty((*flat.shape[:-1], *np.shape(value))))[place] = value
        return found


@dataclass(frozen=True)
class Coordinates(BaseCoordinates):
    """Linear ones: flat = centre + root u.

    Parameters
    ----------
    root : array of shape (coordinate,) or (coordinate, coordinate)
        Standard deviations at the centre, or a root of the covariance matrix.
    """

    root: Array

    @property
    def whitened(self) -> bool:
        """Whether the posterior's covariance is near the identity in these coordinates."""
        return self.root.ndim == 2

    def flat(self, points: Array) -> Array:
        """Flat vectors at one or many points."""
        return self.centre + (points @ self.root.T if self.whitened else points * self.root)

    def pull_back(self, gradient: Array) -> Array:
        """Gradient in u from that in the flat vector."""
        return gradient @ self.root if self.whitened else gradient * self.root

    def value_and_gradient(self, point: Array) -> tuple[float, Array]:
        """Log posterior density at u, up to a constant, and its gradient."""
        value, gradient = self.posterior.log_density(self.flat(point))
        return value, self.pull_back(gradient)


def find_coordinates(irt_model: Logistic, correct: Array, trials: Array, device: str = "cpu") -> Coordinates:
    """Find where to start and how far to step, and check the density against the Pyro program.

    Abilities are integrated out on a grid where that takes few enough nodes: items then mix freely, which they do not
    next to abilities that are known badly. Otherwise, and on a GPU, all are sampled together, in aligned coordinates.

    Raises
    ------
    ModelError
        If the density or its gradient is not that of the model's Pyro program: a model's `pull_back` is wrong.
    FitError
        If there is no density where inference starts.
    """
    cells = Cells.from_arrays(correct, trials, device=CPU)
    start = find_start(irt_model, cells)
    approximation = approximate(irt_model, correct, trials, threads=torch.get_num_threads())
    least_sd = MARGIN * approximation.least_sd
    affordable = AbilityGrid.is_affordable(AbilityGrid.n_nodes(least_sd), correct.size, cost=GRADIENT_COST)
    if affordable and device == "cpu":
        grid = AbilityGrid.from_counts(correct, trials, least_sd=least_sd)
        posterior = Posterior(irt_model, grid, start.centring)
        check_against_program(posterior, start.values)
        plain = Coordinates(posterior, posterior.flatten(start.values), _scale(posterior, start))
        if correct.shape[1] > MOST_WHITENED:
            return plain
        n_draws = min(max(LEAST_DRAWS, DRAWS_PER_COORDINATE * 2 * correct.shape[1]), MOST_DRAWS)
        return _whitened(posterior, start.values, approximation.draws(n_draws)) or plain
    placed = cells if device == "cpu" else Cells.from_arrays(correct, trials, device=torch.device(device))
    posterior = Posterior(irt_model, placed, start.centring, start.alignment)
    scale = _scale(posterior, start)
    if posterior.alignment is not None:
        n_models = cells.shape[0]
        scale[:2] = 1 / np.sqrt(n_models), 1 / np.sqrt(2 * n_models)  # of the mean and log sd of so many N(0, 1)
    check_against_program(Posterior(irt_model, cells), start.values)
    return Coordinates(posterior, posterior.flatten(start.values), scale)


def _scale(posterior: Posterior, start: Start) -> Array:
    """Sd of each coordinate at the start, all others given."""
    return np.concatenate([np.sqrt(np.ravel(start.variances[name])) for name in posterior.layout])


def _whitened(posterior: Posterior, start: dict[str, Any], draws: dict[str, Array]) -> Coordinates | None:
    """Whiten by the mean and covariance of approximate draws; sites that these lack keep a spread of their own.

    Few answers may leave a direction without bounds, and some draws far out: they are taken as `FARTHEST` sds away.
    None where so many are out that their mean is not in the posterior's bulk, where the start is.
    """
    n_draws = len(draws[names.DIFFICULTY])
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        points = np.array(
            [
                posterior.flatten({**start, **{name: value[draw] for name, value in draws.items()}})
                for draw in range(n_draws)
            ]
        )
        low, middle, high = np.quantile(points, (0.16, 0.5, 0.84), axis=0)
        points = np.clip(points, middle - FARTHEST * (middle - low), middle + FARTHEST * (high - middle))
        centre = points.mean(axis=0)
        least = posterior.log_density(posterior.flatten(start))[0] - len(centre)
        if not posterior.log_density(centre)[0] > least:  # nor where it is no number
            return None
    covariance = np.atleast_2d(np.cov(points.T))
    for site in posterior.sites:
        if site.name not in draws:
            at = posterior.layout[site.name]
            np.fill_diagonal(covariance[at, at], ASYMPTOTE_VARIANCE)
    covariance += np.diag(1e-6 + 1e-3 * np.diag(covariance))
    return Coordinates(posterior, centre, np.linalg.cholesky(covariance))


def check_against_program(posterior: Posterior, values: dict[str, Any]) -> None:
    """Compare differences of the log density, and the gradient, at the start and near it.

    Raises
    ------
    ModelError
        If they differ.
    FitError
        If the program has none there: the answers contradict a prior beyond what floating numbers can tell.
    """
    irt_model, cells = posterior.irt_model, posterior.cells
    plain = Posterior(irt_model, cells)
    flat = plain.flatten(values)
    near = flat + 0.1 * np.sin(np.arange(flat.size))

    def likelihood(ability: Tensor, items: Any) -> Tensor:
        if isinstance(cells, AbilityGrid):
            return integrated_likelihood(cells, item_curves(items))
        return log_likelihood(cast(Cells, cells), ability, item_curves(items))

    def program(point: Array) -> tuple[float, Array]:
        real = torch.tensor(point, dtype=DTYPE, requires_grad=True)
        parts = {
            site.name: real[plain.layout[site.name]].reshape(() if site.dim is None else (-1,)) for site in plain.sites
        }
        n_models, n_items = cells.shape
        parts.setdefault(names.ABILITY, torch.zeros(n_models, dtype=DTYPE))  # no part of an integrated density
        sizes = {names.MODEL: n_models, names.ITEM: n_items}
        density = log_density_of_program(irt_model, parts, sizes=sizes, likelihood=likelihood)
        return density.item(), torch.autograd.grad(density, real)[0].numpy()

    (here, slopes_here), (there, gradient) = program(flat), program(near)
    if not np.isfinite([here, there, *slopes_here, *gradient]).all():
        raise FitError(_no_density(plain, values, slopes_here + gradient))
    (ours_here, _), (ours_there, our_gradient) = plain.log_density(flat), plain.log_density(near)
    gap = abs((there - here) - (ours_there - ours_here)) / (1 + abs(there))
    slope_gap = np.abs(gradient - our_gradient).max() / (1 + np.abs(gradient).max())
    if not max(gap, slope_gap) < AGREEMENT:
        raise ModelError(
            f"the density of the {irt_model.name} model differs from that of its Pyro program by {gap:.2g}, "
            f"its gradient by {slope_gap:.2g} (relative); check item_parameters and pull_back of the model."
        )


def _no_density(posterior: Posterior, values: dict[str, Any], slopes: Array) -> str:
    """Name the first site whose slope is no number, and its value there."""
    bad = (site for site in posterior.sites if not np.isfinite(slopes[posterior.layout[site.name]]).all())
    site = next(bad, posterior.sites[-1])
    value = np.ravel(values[site.name])
    place = 0 if site.dim is None else int(np.argmin(np.isfinite(slopes[posterior.layout[site.name]])))
    where = "" if site.dim is None else f" of {site.dim} {place + 1}"
    return (
        f"the {posterior.irt_model.name} model has no density where inference starts, first at {site.name}{where} = "
        f"{value[place]:.3g}: its prior all but rules that out. Widen it, or use --method laplace."
    )


class _LogDensity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, point: Tensor, coordinates: BaseCoordinates) -> Tensor:
        with np.errstate(
            over="ignore", invalid="ignore", divide="ignore"
        ):  # trajectories that fly off count as divergent
            value, gradient = coordinates.value_and_gradient(point.detach().numpy())
            ctx.save_for_backward(torch.from_numpy(gradient))
        return point.new_tensor(value)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return grad_output * gradient, None
