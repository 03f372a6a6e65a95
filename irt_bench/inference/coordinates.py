"""Coordinates for inference: the posterior's flat vector, centred at a good start and scaled by what is known there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from irt_bench import names
from irt_bench.errors import ModelError
from irt_bench.inference.likelihood import Cells, log_likelihood
from irt_bench.inference.posterior import Posterior, item_curves
from irt_bench.inference.runtime import DTYPE
from irt_bench.inference.start import find_start
from irt_bench.irt_models.base import IRTModel
from irt_bench.irt_models.program import log_density_of_program

Array = npt.NDArray[np.float64]
AGREEMENT = 1e-6  # relative, between the density written by hand and that of the Pyro program


@dataclass(frozen=True)
class Coordinates:
    """Coordinates u in which every method works: flat = centre + scale * u.

    Parameters
    ----------
    posterior : Posterior
        Density of the flat vector.
    centre, scale : arrays of shape (coordinate,)
        Where inference starts, and conditional standard deviations there.
    """

    posterior: Posterior
    centre: Array
    scale: Array

    def log_density(self, point: Tensor) -> Tensor:
        """Log posterior density at u, a scalar, with its gradient attached."""
        value: Tensor = _LogDensity.apply(point, self)
        return value

    def values(self, points: Array) -> dict[str, Array]:
        """Values of the sites at many points, leading dimensions kept: (..., coordinate) → (...) or (..., dim)."""
        flat = self.centre + self.scale * points
        found: dict[str, Any] = {}
        for place in np.ndindex(flat.shape[:-1]):
            values = self.posterior.values(flat[place])
            for site in self.posterior.sites:
                value = values[site.name]
                found.setdefault(site.name, np.empty((*flat.shape[:-1], *np.shape(value))))[place] = value
        return found


def find_coordinates(irt_model: IRTModel, cells: Cells) -> Coordinates:
    """Find where to start, choose centring and alignment there, and check the density against the Pyro program.

    Raises
    ------
    ModelError
        If the density or its gradient is not that of the model's Pyro program: a model's `pull_back` is wrong.
    """
    start = find_start(irt_model, cells)
    posterior = Posterior(irt_model, cells, start.centring, start.alignment)
    scale = np.concatenate([np.sqrt(np.ravel(start.variances[name])) for name in posterior.layout])
    if posterior.alignment is not None:
        n_models = cells.shape[0]
        scale[:2] = 1 / np.sqrt(n_models), 1 / np.sqrt(2 * n_models)  # of the mean and log sd of so many N(0, 1)
    _check_against_program(Posterior(irt_model, cells), start.values)
    return Coordinates(posterior, posterior.flatten(start.values), scale)


def _check_against_program(posterior: Posterior, values: dict[str, Any]) -> None:
    """Compare differences of the log density, and the gradient, at the start and near it."""
    flat = posterior.flatten(values)
    near = flat + 0.1 * np.sin(np.arange(flat.size))

    def likelihood(ability: Tensor, items: Any) -> Tensor:
        return log_likelihood(posterior.cells, ability, item_curves(items))

    def program(point: Array) -> tuple[float, Array]:
        real = torch.tensor(point, dtype=DTYPE, requires_grad=True)
        parts = {
            site.name: real[posterior.layout[site.name]].reshape(() if site.dim is None else (-1,))
            for site in posterior.sites
        }
        n_models, n_items = posterior.cells.shape
        sizes = {names.MODEL: n_models, names.ITEM: n_items}
        density = log_density_of_program(posterior.irt_model, parts, sizes=sizes, likelihood=likelihood)
        return density.item(), torch.autograd.grad(density, real)[0].numpy()

    (here, _), (there, gradient) = program(flat), program(near)
    (ours_here, _), (ours_there, our_gradient) = posterior.log_density(flat), posterior.log_density(near)
    gap = abs((there - here) - (ours_there - ours_here)) / (1 + abs(there))
    slope_gap = np.abs(gradient - our_gradient).max() / (1 + np.abs(gradient).max())
    if not max(gap, slope_gap) < AGREEMENT:
        raise ModelError(
            f"the density of the {posterior.irt_model.name} model differs from that of its Pyro program by {gap:.2g}, "
            f"its gradient by {slope_gap:.2g} (relative); check item_parameters and pull_back of the model."
        )


class _LogDensity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, point: Tensor, coordinates: Coordinates) -> Tensor:
        centre, scale = coordinates.centre, coordinates.scale
        with np.errstate(over="ignore", invalid="ignore"):  # trajectories that fly off count as divergent
            value, gradient = coordinates.posterior.log_density(centre + scale * point.detach().numpy())
        ctx.save_for_backward(torch.from_numpy(gradient * scale))
        return point.new_tensor(value)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return grad_output * gradient, None
