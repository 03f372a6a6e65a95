"""NUTS and SVI for the seed model, both Pyro's, in the coordinates of its target."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import joblib
import numpy as np
import numpy.typing as npt
import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import ClippedAdam
from torch import Tensor

from irt_bench.inference.chains import Chain, run_chain, sample_stats
from irt_bench.inference.draws import Draws
from irt_bench.inference.runtime import DTYPE, pyro_runtime
from irt_bench.inference.seed_target import SeedTarget
from irt_bench.inference.settings import NUTSSettings, SVISettings
from irt_bench.workers import PROCESSES

Progress = Callable[[str, int, int], None]
Sites = dict[str, npt.NDArray[np.generic]]  # site → (draw, ...)
MOST_DENSE: Final = 60  # coordinates of the first block up to which their covariance is learned whole
START_SPREAD: Final = 0.5  # of the chains' first standard deviations, on the log scale
SVI_STEPS: Final = 4_000  # at falling step sizes; enough where the coordinates are nearly normal
LAST_RATE: Final = 0.01  # of the first learning rate
LEVEL: Final = 3.0  # standard errors by which the ELBO may still rise over the last quarter of the steps ...
LEAST_STEPS: Final = 500  # fewer cannot show a level
LEAST_RISE: Final = 0.1  # ... or nats for each standard deviation: too little to move its interval
SITES_AT_ONCE: Final = 200  # draws


def sample_seed_nuts(target: SeedTarget, settings: NUTSSettings, progress: Progress | None = None) -> Draws:
    """Draw from a target with the no-U-turn sampler; the same draws however many chains run at once."""
    seeds = np.random.SeedSequence(settings.seed).generate_state(settings.chains)
    jobs = min(settings.jobs or joblib.cpu_count(), settings.chains)
    tasks = (joblib.delayed(_run_chain)(target, settings, int(seed)) for seed in seeds)
    found: list[tuple[Sites, Chain]] = []
    for each in joblib.Parallel(n_jobs=jobs, return_as="generator", **PROCESSES)(tasks):
        found.append(each)
        if progress is not None:
            progress("sampling the seed model", len(found), settings.chains)
    sites, chains = zip(*found, strict=True)
    return Draws(
        sites={name: np.stack([one[name] for one in sites]) for name in sites[0]},
        sample_stats=sample_stats(chains),
        notes={"step_size": [chain.step_size for chain in chains]},
    )


def fit_seed_svi(target: SeedTarget, settings: SVISettings, progress: Progress | None = None) -> Draws:
    """Fit a Gaussian guide to a target, its first block correlated, and draw from it.

    Notes
    -----
    The step size falls from ``learning_rate`` to a hundredth of it.
    """
    n_steps = min(settings.max_steps, SVI_STEPS)
    with pyro_runtime(seed=settings.seed, threads=1):
        guide = _Guide(target)
        flat = {
            name: dist.Normal(torch.zeros_like(loc), 1.0).mask(False).to_event(1) for name, loc in guide.loc.items()
        }

        def model() -> None:
            point = {name: pyro.sample(name, flat[name]) for name in flat}
            pyro.factor("posterior", target.log_density(point["hyper"], point["effects"]).sum())

        decay = LAST_RATE ** (1 / n_steps)
        svi = SVI(model, guide, ClippedAdam({"lr": settings.learning_rate, "lrd": decay}), Trace_ELBO())
        elbo = np.empty(n_steps)
        for step in range(n_steps):
            elbo[step] = -svi.step()
            if progress is not None and step % settings.window == 0:
                progress("raising the ELBO of the seed model", step, n_steps)
        with torch.no_grad():
            hyper, effects = guide.draw(settings.draws)
    if progress is not None:
        progress("raising the ELBO of the seed model", n_steps, n_steps)
    sites = _sites(target, hyper, effects)
    return Draws(
        sites={name: values[None] for name, values in sites.items()},
        sample_stats={"elbo": elbo},
        notes={"plateau_reached": _levelled(elbo, LEAST_RISE * len(target.start)), "steps": n_steps},
    )


class _Guide:
    """Gaussian guide of two blocks: the first with a covariance (while it is small), the second independent."""

    def __init__(self, target: SeedTarget) -> None:
        self.loc = {"hyper": target.start, "effects": torch.zeros(target.n_effects, dtype=DTYPE)}
        self.dense = len(target.start) <= MOST_DENSE

    def __call__(self) -> None:
        for name, distribution in self._distributions().items():
            pyro.sample(name, distribution)

    def _distributions(self) -> dict[str, Any]:
        found = {}
        for name, start in self.loc.items():
            loc = pyro.param(f"{name}_loc", start.clone)
            scale = pyro.param(f"{name}_scale", torch.full_like(start, 0.5).clone, constraint=constraints.positive)
            if name == "hyper" and self.dense:
                unit = pyro.param(
                    "hyper_root", torch.eye(len(start), dtype=DTYPE), constraint=constraints.unit_lower_cholesky
                )
                found[name] = dist.MultivariateNormal(loc, scale_tril=scale[:, None] * unit)
            else:
                found[name] = dist.Normal(loc, scale).to_event(1)
        return found

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        """Draw n points of both blocks."""
        distributions = self._distributions()
        return distributions["hyper"].sample((n,)), distributions["effects"].sample((n,))


def _levelled(elbo: npt.NDArray[np.float64], least_rise: float) -> bool:
    """Whether the last eighth of the ELBOs is no higher than the eighth before it."""
    if len(elbo) < LEAST_STEPS:
        return False
    earlier, later = np.split(elbo[-(len(elbo) // 8) * 2 :], 2)
    error = math.sqrt((earlier.var(ddof=1) + later.var(ddof=1)) / len(later))
    return bool(later.mean() - earlier.mean() < max(LEVEL * error, least_rise))


def _run_chain(target: SeedTarget, settings: NUTSSettings, seed: int) -> tuple[Sites, Chain]:
    def potential(point: dict[str, Tensor]) -> Tensor:
        return -target.log_density(point["hyper"], point["effects"]).sum()

    with pyro_runtime(seed=seed, threads=1):
        start = target.start
        first = {
            "hyper": start + START_SPREAD * torch.randn(len(start), dtype=DTYPE),
            "effects": torch.randn(target.n_effects, dtype=DTYPE),
        }
        full_mass = [("hyper",)] if len(start) <= MOST_DENSE else False
        chain = run_chain(potential, first, settings, full_mass=full_mass)
    return _sites(target, chain.samples["hyper"], chain.samples["effects"]), chain


def _sites(target: SeedTarget, hyper: Tensor, effects: Tensor) -> Sites:
    """Values of the sites, shape (draw, ...)."""
    with torch.no_grad():
        parts = [
            target.sites(hyper[start : start + SITES_AT_ONCE], effects[start : start + SITES_AT_ONCE])
            for start in range(0, len(hyper), SITES_AT_ONCE)
        ]
    return {name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}
