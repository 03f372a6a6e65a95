"""The only door to Pyro's global state, and Pyro's autoguides over a flat vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoDiagonalNormal, AutoLowRankMultivariateNormal, AutoMultivariateNormal
from pyro.infer.autoguide.initialization import init_to_value
from pyro.optim import ClippedAdam
from threadpoolctl import threadpool_limits
from torch import Tensor

from irt_bench.irt_models.program import DTYPE

Array = npt.NDArray[Any]
LogDensity = Callable[[Tensor], Tensor]
Kind = Literal["full", "low_rank", "normal"]
POINT: Final = "point"  # the one site: all coordinates
AUTOGUIDES: Final[dict[str, Any]] = {
    "full": AutoMultivariateNormal,
    "low_rank": AutoLowRankMultivariateNormal,
    "normal": AutoDiagonalNormal,
}


@contextmanager
def pyro_runtime(*, seed: int, threads: int) -> Iterator[None]:
    """Run a block with its own random state, thread count and parameter store; restore what was before.

    NumPy's threads are limited too: on a busy machine they wait for one another longer than they work.
    """
    threads_before = torch.get_num_threads()
    random_before = torch.get_rng_state()
    torch.set_num_threads(threads)
    try:
        torch.manual_seed(seed)
        with pyro.get_param_store().scope(), pyro.validation_enabled(False), threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(threads_before)
        torch.set_rng_state(random_before)


@dataclass(frozen=True)
class Guide:
    """A Gaussian that Pyro has optimised.

    Parameters
    ----------
    posterior : torch Distribution
        The Gaussian, over all coordinates.
    elbo : array of shape (step,)
        Of each step.
    """

    posterior: Any
    elbo: Array

    def draw(self, n_draws: int) -> Array:
        """Draw points, shape (draw, coordinate)."""
        with torch.no_grad():
            return np.asarray(self.posterior.sample((n_draws,)).numpy())

    def place(self) -> tuple[Tensor, Tensor]:
        """Mean and a root of the covariance: point = mean + root eps."""
        with torch.no_grad():
            mean = self.posterior.mean.detach()
            if hasattr(self.posterior, "covariance_matrix"):
                return mean, torch.linalg.cholesky(self.posterior.covariance_matrix.detach())
            return mean, torch.diag(self.posterior.stddev.detach())


def optimise(
    draw_density: Callable[[], LogDensity],
    size: int,
    *,
    kind: Kind,
    steps: int,
    rate: float,
    spread: float,
    after_each: Callable[[int, float, Any], bool] | None = None,
) -> Guide:
    """Optimise a guide by Pyro's SVI; within `pyro_runtime`, whose seed makes the noise.

    Parameters
    ----------
    draw_density : callable
        Gives, for each step, a function point → log density with its gradient: the same, or that of a mini-batch.
    size : int
        Number of coordinates.
    kind : {"full", "low_rank", "normal"}
        Covariance: whole, of low rank and a diagonal, diagonal.
    steps : int
        At most.
    rate : float
        Adam's first learning rate.
    spread : float
        Sds at the start.
    after_each : callable, optional
        (step, ELBO, optimiser) → whether to stop.
    """
    flat = dist.Normal(torch.zeros(size, dtype=DTYPE), 1.0).mask(False).to_event(1)

    def target() -> None:
        pyro.factor("posterior", draw_density()(pyro.sample(POINT, flat)))

    start = init_to_value(values={POINT: torch.zeros(size, dtype=DTYPE)})
    guide = AUTOGUIDES[kind](target, init_loc_fn=start, init_scale=spread)
    optimiser = ClippedAdam({"lr": rate, "betas": (0.9, 0.99)})
    svi, elbo = SVI(target, guide, optimiser, Trace_ELBO()), []
    for step in range(steps):
        elbo.append(-svi.step())
        if after_each is not None and after_each(step, elbo[-1], optimiser):
            break
    return Guide(guide.get_posterior(), np.array(elbo))
