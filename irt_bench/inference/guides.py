"""Gaussian guides for Pyro's SVI: coordinates independent, correlated within items, or all of them correlated."""

from __future__ import annotations

from typing import Final, Literal

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from irt_bench import names
from irt_bench.inference.posterior import Posterior
from irt_bench.inference.runtime import DTYPE

Kind = Literal["full", "item", "normal"]
POINT: Final = "point"  # the one site: all coordinates


class GaussianGuide:
    """A Gaussian over the coordinates of the posterior: point = loc + L eps, eps standard normal.

    Parameters
    ----------
    posterior : Posterior
        Says which coordinates belong to items.
    kind : {"full", "item", "normal"}
        Whether L is a lower triangle, has one for each item, or is diagonal.

    Notes
    -----
    The point is placed with density N(eps) / |L|, up to a constant, which keeps matrix solves out of the ELBO.
    """

    def __init__(self, posterior: Posterior, *, kind: Kind) -> None:
        self.size = posterior.layout[posterior.sites[-1].name].stop
        by_item = [posterior.layout[site.name] for site in posterior.sites if site.dim == names.ITEM]
        pairs = [(later, earlier) for k, later in enumerate(by_item) for earlier in by_item[:k]]
        self.pairs = pairs if kind == "item" else []
        self.full = kind == "full"

    def __call__(self) -> None:
        """Run as a Pyro guide."""
        noise = torch.randn(self.size, dtype=DTYPE)
        point, log_scale = self._place(noise)
        log_density = -0.5 * noise.square().sum() - log_scale.sum()
        pyro.sample(POINT, dist.Delta(point, log_density=log_density, event_dim=1))

    def draw(self, n_draws: int) -> Tensor:
        """Draw points, shape (draw, coordinate)."""
        with torch.no_grad():
            return torch.stack([self._place(torch.randn(self.size, dtype=DTYPE))[0] for _ in range(n_draws)])

    def place(self) -> tuple[Tensor, Tensor]:
        """Mean and root of the covariance: point = mean + root eps."""
        with torch.no_grad():
            mean = self._place(torch.zeros(self.size, dtype=DTYPE))[0]
            root = torch.stack([self._place(row)[0] - mean for row in torch.eye(self.size, dtype=DTYPE)], dim=1)
        return mean, root

    def _place(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        loc = pyro.param("loc", torch.zeros(self.size, dtype=DTYPE))
        log_scale = pyro.param("log_scale", torch.zeros(self.size, dtype=DTYPE))
        residual = log_scale.exp() * noise
        mixed = residual
        for number, (later, earlier) in enumerate(self.pairs):
            weight = pyro.param(f"weight_{number}", torch.zeros(later.stop - later.start, dtype=DTYPE))
            shift = torch.zeros_like(residual)
            shift[later] = weight * log_scale[later].exp() * noise[earlier]
            mixed = mixed + shift
        if self.full:
            lower = pyro.param("lower", torch.zeros((self.size, self.size), dtype=DTYPE))
            mixed = mixed + log_scale.exp() * (lower.tril(-1) @ noise)
        return loc + mixed, log_scale
