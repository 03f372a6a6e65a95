"""One chain of Pyro's no-U-turn sampler, with the energies that BFMI needs; and what several chains say together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pyro.infer import MCMC, NUTS
from torch import Tensor

from irt_bench.inference.settings import NUTSSettings


class Chain(NamedTuple):
    """Draws of the blocks of coordinates, and how sampling went."""

    samples: dict[str, Tensor]  # block → (draw, coordinate)
    energy: npt.NDArray[np.float64]  # (draw,)
    diverging: npt.NDArray[np.bool_]  # (draw,)
    step_size: float


def run_chain(
    potential: Callable[[dict[str, Tensor]], Tensor],
    start: dict[str, Tensor],
    settings: NUTSSettings,
    *,
    full_mass: Any = False,
    adapt_mass_matrix: bool = True,
    after_each: Callable[[], None] | None = None,
) -> Chain:
    """Sample from exp(-potential); within `pyro_runtime`, whose seed makes the draws.

    Parameters
    ----------
    potential : callable
        Blocks of coordinates → minus the log density.
    start : dict
        Blocks at the beginning.
    settings : NUTSSettings
        Lengths and adaptation.
    full_mass : bool or list of tuples of str
        Blocks whose covariance is adapted whole.
    adapt_mass_matrix : bool
        Whether the mass matrix is adapted at all.
    after_each : callable, optional
        Called after each iteration.
    """
    energies: list[float] = []

    def hook(kernel: _EnergyNUTS, _: object, stage: str, __: int) -> None:
        if after_each is not None:
            after_each()
        if stage.startswith("Sample"):
            energies.append(float(kernel.energy))

    kernel = _EnergyNUTS(
        potential_fn=potential,
        target_accept_prob=settings.target_accept or 0.9,
        max_tree_depth=settings.max_tree_depth,
        adapt_mass_matrix=adapt_mass_matrix,
        full_mass=full_mass,
    )
    sampler = MCMC(
        kernel,
        num_samples=settings.draws,
        warmup_steps=settings.warmup,
        initial_params=start,
        disable_progbar=True,
        hook_fn=hook,
    )
    sampler.run()
    diverging = np.zeros(settings.draws, dtype=bool)
    diverging[sampler.diagnostics()["divergences"]["chain 0"]] = True
    return Chain(sampler.get_samples(), np.array(energies), diverging, float(kernel.step_size))


def sample_stats(chains: Sequence[Chain]) -> dict[str, npt.NDArray[Any]]:
    """Energies and divergences, shape (chain, draw)."""
    return {
        "energy": np.stack([chain.energy for chain in chains]),
        "diverging": np.stack([chain.diverging for chain in chains]),
    }


class _EnergyNUTS(NUTS):  # type: ignore[misc]
    """Pyro's kernel that remembers the energy at the start of each trajectory, which BFMI needs."""

    energy: Tensor = torch.tensor(float("nan"))

    def _sample_r(self, name: str) -> Any:
        momentum = super()._sample_r(name)
        if self._potential_energy_last is not None:
            self.energy = self._kinetic_energy(momentum[1]) + self._potential_energy_last
        return momentum
