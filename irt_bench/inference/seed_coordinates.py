"""Coordinates in which the hierarchy over runs, seeds and steps is nearly standard normal, and its density there.

Each snapshot's answers are pictured as a Gaussian measurement of its ability (mean, precision). Given the standard
deviations, run means, seed effects and step effects then have a Gaussian posterior in closed form; coordinates z place
the effects at its mean plus its square root times z. Were the picture exact, z would be N(0, 1) and independent of
the standard deviations: no funnels, no need to choose between centred and non-centred forms. The map is one-to-one
however poor the picture is, and its Jacobian is in the density, so that the posterior sampled is the exact one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from irt_bench.irt_models.seeds import RUN_MEAN, SD_SEED, SD_STEP, SEED_EFFECT, STEP_EFFECT, SeedDesign, SeedModel

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


class Measurement(NamedTuple):
    """Gaussian picture of what answers say about abilities: mean and precision, shape (..., snapshot)."""

    mean: Tensor
    precision: Tensor


class Placed(NamedTuple):
    """Effects by site, abilities of the snapshots, and log density of the prior with the Jacobian, shape (...)."""

    sites: Mapping[str, Tensor]
    ability: Tensor
    log_density: Tensor


class _Pointers(NamedTuple):
    """Positions as tensors: of snapshots in pairs, of pairs in padded grids, of everything in the pairs of sds."""

    seed_of: Tensor
    mean_of: Tensor
    cells: Tensor  # (run * seed * step,): snapshot in each cell of the grid; the number of snapshots where none is
    seeds: Tensor  # (pair,): in (run, seed)
    means: Tensor  # (pair,): in (run, step)
    snapshot_by_seed: Tensor  # (pair,): without a step effect, the one snapshot of each seed
    run_group: Tensor  # (run,)
    seed_group: Tensor  # (pair,)
    snapshot_group: Tensor  # (snapshot,)


class _Grid(NamedTuple):
    """What the snapshots of each run say, on (..., run, seed, step): weights, and weights times means."""

    weight: Tensor
    pull: Tensor
    mean_precision: Tensor  # of the run means given the seed effects, (..., run, step)
    mean_pull: Tensor  # their precision times their mean, were all seed effects 0


@dataclass(frozen=True)
class SeedCoordinates:
    """The way from coordinates to effects.

    Parameters
    ----------
    model : SeedModel
        Priors.
    design : SeedDesign
        Snapshots, runs, seeds and steps.

    Notes
    -----
    | quantity              | shape                                          |
    |-----------------------|------------------------------------------------|
    | log_sd                | (..., run or 1, 1 or 2): of seeds, of steps    |
    | z                     | (..., n_effects): means, seeds, steps in order |

    Without a step effect every seed has one snapshot, and the seed effect is the innermost one, in the order of the
    snapshots.
    """

    model: SeedModel
    design: SeedDesign

    @property
    def n_groups(self) -> int:
        """Number of pairs of standard deviations."""
        return 1 if self.model.pooled else len(self.design.runs)

    @property
    def n_sds(self) -> int:
        """Standard deviations in a pair: 2, or 1 without a step effect."""
        return 1 + self.design.has_steps

    @property
    def n_effects(self) -> int:
        """Number of coordinates z."""
        return sum(self._sizes)

    def place(self, log_sd: Tensor, z: Tensor, measured: Measurement) -> Placed:
        """Place the effects, and return them with the log density of (log_sd, z) under the prior."""
        to, sd = self._pointers, log_sd.exp()
        z_mean, z_seed, z_last = z.split(self._sizes, dim=-1)
        last_sd = sd[..., -1].index_select(-1, to.snapshot_group)
        grid = self._grid(last_sd, measured)
        log_density = self._prior_of_sds(log_sd) - HALF_LOG_TAU * self.n_effects
        sites: dict[str, Tensor] = {}
        mean_pull, seed_at = grid.mean_pull, torch.zeros(())
        if self.design.has_steps:
            seeds, effect, log_seeds = self._place_seeds(grid, sd[..., 0], z_seed)
            mean_pull = mean_pull - (grid.weight * seeds[..., None]).sum(-2)
            seed_at = effect.index_select(-1, to.seed_of)
            sites[SEED_EFFECT] = effect
            log_density = log_density + log_seeds
        means, log_means = self._place_means(_pick(mean_pull, to.means), _pick(grid.mean_precision, to.means), z_mean)
        centre = means.index_select(-1, to.mean_of) + seed_at
        precision = last_sd**-2 + measured.precision
        last = measured.precision * (measured.mean - centre) / precision + z_last * precision.rsqrt()
        log_last = -((last / last_sd) ** 2 / 2 + last_sd.log() + precision.log() / 2).sum(-1)
        sites[RUN_MEAN] = means
        if self.design.has_steps:
            sites[STEP_EFFECT] = last
        else:
            sites[SEED_EFFECT] = last.index_select(-1, to.snapshot_by_seed)
        return Placed(sites, centre + last, log_density + log_means + log_last)

    def sds(self, log_sd: Tensor) -> dict[str, Tensor]:
        """Return standard deviations by site, shape (...) when pooled, else (..., run)."""
        sd = log_sd.exp()
        kept = sd[..., 0, :] if self.model.pooled else sd
        return {name: kept[..., place] for place, name in enumerate((SD_SEED, SD_STEP)[: self.n_sds])}

    @property
    def _sizes(self) -> list[int]:
        """Numbers of run means, seed effects that are not innermost, innermost effects."""
        design = self.design
        return [len(design.means.run), design.has_steps * len(design.seeds.run), len(design.rows)]

    @cached_property
    def _shape(self) -> tuple[int, int, int]:
        """Runs, most seeds of a run, most steps of a run."""
        design = self.design
        return len(design.runs), int(design.seeds.place.max()) + 1, int(design.means.place.max()) + 1

    @cached_property
    def _pointers(self) -> _Pointers:
        design, (n_runs, n_seeds, n_steps) = self.design, self._shape
        run, n_rows = design.run_of, len(design.rows)
        seed, step = design.seeds.place[design.seed_of], design.means.place[design.mean_of]
        cells = np.full(n_runs * n_seeds * n_steps, n_rows)
        cells[(run * n_seeds + seed) * n_steps + step] = np.arange(n_rows)
        group: npt.NDArray[np.intp] = np.arange(n_runs) * (not self.model.pooled)
        places = (
            design.seed_of,
            design.mean_of,
            cells,
            design.seeds.run * n_seeds + design.seeds.place,
            design.means.run * n_steps + design.means.place,
            np.argsort(design.seed_of),
            group,
            group[design.seeds.run],
            group[run],
        )
        return _Pointers(*(torch.tensor(place, dtype=torch.long) for place in places))

    def _grid(self, last_sd: Tensor, measured: Measurement) -> _Grid:
        """Lay out the measurements of run mean + seed effect, with variance last_sd^2 + 1 / precision."""
        weight = 1 / (last_sd**2 + 1 / measured.precision)
        weights, pulls = self._to_grid(weight), self._to_grid(weight * measured.mean)
        prior = self.model.run_mean
        return _Grid(weights, pulls, weights.sum(-2) + prior.scale**-2, pulls.sum(-2) + prior.loc * prior.scale**-2)

    def _to_grid(self, values: Tensor) -> Tensor:
        padded = torch.cat([values, values.new_zeros((*values.shape[:-1], 1))], dim=-1)
        grid: Tensor = padded.index_select(-1, self._pointers.cells).unflatten(-1, self._shape)
        return grid

    def _place_seeds(self, grid: _Grid, sd: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Seed effects on (..., run, seed) and by pair, and their log density, the run means integrated out."""
        to, (n_runs, n_seeds, _) = self._pointers, self._shape
        share = grid.weight / grid.mean_precision[..., None, :]
        own = grid.weight.sum(-1) + sd.index_select(-1, to.run_group)[..., None] ** -2
        root = torch.linalg.cholesky(torch.diag_embed(own) - share @ grid.weight.mT)
        target = (grid.pull - share * grid.mean_pull[..., None, :]).sum(-1)
        noise = z.new_zeros((*z.shape[:-1], n_runs * n_seeds)).index_copy(-1, to.seeds, z)
        half = torch.linalg.solve_triangular(root, target[..., None], upper=False)
        whole = half + noise.unflatten(-1, (n_runs, n_seeds))[..., None]
        seeds = torch.linalg.solve_triangular(root.mT, whole, upper=True)[..., 0]
        effect, by_pair = _pick(seeds, to.seeds), sd.index_select(-1, to.seed_group)
        log_root = _pick(torch.diagonal(root, dim1=-2, dim2=-1).log(), to.seeds)
        return seeds, effect, -((effect / by_pair) ** 2 / 2 + by_pair.log() + log_root).sum(-1)

    def _place_means(self, pull: Tensor, precision: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Run means by pair, and their log density."""
        prior = self.model.run_mean
        means = pull / precision + z * precision.rsqrt()
        spread = (means - prior.loc) / prior.scale
        return means, -(spread**2 / 2 + math.log(prior.scale) + precision.log() / 2).sum(-1)

    def _prior_of_sds(self, log_sd: Tensor) -> Tensor:
        """Log density of the logarithms of half-normal standard deviations."""
        scales = [self.model.sd_seed.scale, self.model.sd_step.scale][: self.n_sds]
        scale = torch.tensor(scales, dtype=log_sd.dtype)
        density = math.log(2) - HALF_LOG_TAU - scale.log() - (log_sd.exp() / scale) ** 2 / 2 + log_sd
        return density.sum((-1, -2))


def _pick(grid: Tensor, places: Tensor) -> Tensor:
    """Those of (..., run, place) that occur, shape (..., pair)."""
    return grid.flatten(-2).index_select(-1, places)
