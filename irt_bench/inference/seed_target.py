"""Posterior density of the seed model in nearly normal coordinates, the items known."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from irt_bench.inference.seed_coordinates import Measurement, SeedCoordinates
from irt_bench.inference.seed_table import AbilityTable
from irt_bench.irt_models.seeds import SeedDesign, SeedModel

START_LOG_SD = -1.5  # sds of 0.2: a fifth of the spread between models


class SeedTarget(Protocol):
    """What the samplers need: sizes, where to start, a density, and the way back to the sites.

    Coordinates come in two blocks: `hyper` (logarithms of the standard deviations) and `effects`, which are
    nearly standard normal given `hyper`.
    """

    @property
    def n_effects(self) -> int:
        """Length of the second block."""

    @property
    def start(self) -> Tensor:
        """Where the first block starts; its length is its size."""

    def log_density(self, hyper: Tensor, effects: Tensor) -> Tensor:
        """Log densities of the independent parts of the posterior, shape (part,)."""

    def sites(self, hyper: Tensor, effects: Tensor) -> dict[str, Tensor]:
        """Values of the sites for draws of shape (draw, coordinate); ``ability`` of the snapshots among them."""


class KnownItemsTarget:
    """Items known, in one or several draws of their parameters, each with a posterior of its own.

    Parameters
    ----------
    model : SeedModel
        Priors.
    design : SeedDesign
        Snapshots, runs, seeds and steps.
    table : AbilityTable
        Log-likelihoods of the snapshots under each draw of the items.

    Notes
    -----
    The posteriors given each draw of the items do not know of each other: their product is the density here, and one
    chain moves in all of them at once. Sites have shape (draw, item_draw, ...).
    """

    def __init__(self, model: SeedModel, design: SeedDesign, table: AbilityTable) -> None:
        self.coordinates = SeedCoordinates(model, design)
        self.table = table
        self.measured = Measurement(*table.summary(model.run_mean.scale))
        self.n_copies = len(table.value)

    @property
    def n_effects(self) -> int:
        """Length of the second block."""
        return self.n_copies * self.coordinates.n_effects

    @property
    def start(self) -> Tensor:
        """All standard deviations alike."""
        size = self.n_copies * self.coordinates.n_groups * self.coordinates.n_sds
        return torch.full((size,), START_LOG_SD, dtype=torch.float64)

    def log_density(self, hyper: Tensor, effects: Tensor) -> Tensor:
        """Log density under each draw of the items, shape (item_draw,)."""
        placed = self.coordinates.place(*self._parted(hyper, effects), self.measured)
        return placed.log_density + self.table(placed.ability)

    def sites(self, hyper: Tensor, effects: Tensor) -> dict[str, Tensor]:
        """Values of the sites for draws of shape (draw, coordinate), each of shape (draw, item_draw, ...)."""
        log_sd, z = self._parted(hyper, effects)
        placed = self.coordinates.place(log_sd, z, self.measured)
        return {**self.coordinates.sds(log_sd), **placed.sites, "ability": placed.ability}

    def _parted(self, hyper: Tensor, effects: Tensor) -> tuple[Tensor, Tensor]:
        coordinates = self.coordinates
        log_sd = hyper.unflatten(-1, (self.n_copies, coordinates.n_groups, coordinates.n_sds))
        return log_sd, effects.unflatten(-1, (self.n_copies, coordinates.n_effects))
