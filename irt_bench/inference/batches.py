"""Mini-batches: the log posterior, each time from other models and items, for steps over matrices that are large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor

from irt_bench.inference.ability_grid import AbilityGrid
from irt_bench.inference.coordinates import Coordinates
from irt_bench.inference.likelihood import Cells
from irt_bench.inference.runtime import DTYPE
from irt_bench.inference.sampled_cells import SampledCells
from irt_bench.inference.settings import SVISettings

STEP_COST = 3e7  # cells times nodes of the grid, gone through twice: some 50 ms a step
STEP_CELLS = 2e7  # where abilities are not integrated out: as long
LEAST_BATCH = 200  # models, and items, where there are so many


class Batches:
    """The log posterior, each time from some of the models, and of the items where abilities are not integrated out.

    Parameters
    ----------
    coordinates : Coordinates
        Of the whole posterior.
    settings : SVISettings
        How many models a step looks at, whose answers stand for all.

    Notes
    -----
    What the models of a step say at u is compared with what the same models say at the centre, and to first order what
    all say there is put in its place: value and gradient keep their expectation, and lose most of the noise that the
    choice makes (Johnson & Zhang 2013, stochastic variance reduced gradient; Quiroz et al. 2019).
    """

    def __init__(self, coordinates: Coordinates, settings: SVISettings) -> None:
        self._all, self._rng = coordinates, np.random.default_rng(settings.seed)
        self._centre = torch.zeros(len(coordinates.centre), dtype=DTYPE)
        self._cells = cells = cast(AbilityGrid | Cells, coordinates.posterior.cells)
        self._sizes = sizes_of_a_step(cells, settings.batch)
        self._takes_all = self._sizes == all_of(cells)
        if not self._takes_all:
            self._whole = _value_and_gradient(coordinates, self._centre)

    def draw(self) -> Callable[[Tensor], Tensor]:
        """Draw the models and items of a step: a log density, its gradient attached."""
        if self._takes_all:
            return self._all.log_density
        some = replace(self._all, posterior=replace(self._all.posterior, cells=self._sampled()))
        (value, gradient), (value_of_some, gradient_of_some) = self._whole, _value_and_gradient(some, self._centre)

        def log_density(point: Tensor) -> Tensor:
            return some.log_density(point) + (value - value_of_some) + (gradient - gradient_of_some) @ point

        return log_density

    def _sampled(self) -> AbilityGrid | SampledCells:
        n_models, n_items = self._sizes
        if isinstance(self._cells, AbilityGrid):
            return self._cells.sampled(self._rng, n_models)
        return SampledCells.draw(self._cells, self._rng, n_models, n_items)


def all_of(cells: AbilityGrid | Cells) -> tuple[int, int]:
    """Models, or patterns of answers where equal ones are joined, and items."""
    n_models, n_items = cells.shape
    return (len(cells.right) if isinstance(cells, AbilityGrid) else n_models), n_items


def sizes_of_a_step(cells: AbilityGrid | Cells, batch: int) -> tuple[int, int]:
    """Models and items that a step looks at: `batch` models, or as many as take less than a tenth of a second.

    Of a grid the items are all taken, and on a GPU everything.
    """
    n_models, n_items = all_of(cells)
    if isinstance(cells, AbilityGrid):
        some = batch or max(LEAST_BATCH, int(STEP_COST / (n_items * len(cells.nodes))))
        return min(some, n_models), n_items
    if cells.device.type != "cpu":
        return n_models, n_items
    if batch:
        some = min(batch, n_models)
        return some, min(max(LEAST_BATCH, round(n_items * some / n_models)), n_items)
    some = min(max(LEAST_BATCH, int(n_models * (STEP_CELLS / (n_models * n_items)) ** 0.5)), n_models)
    items = min(max(LEAST_BATCH, int(STEP_CELLS / some)), n_items)
    return min(max(LEAST_BATCH, int(STEP_CELLS / items)), n_models), items


def _value_and_gradient(coordinates: Coordinates, point: Tensor) -> tuple[float, Tensor]:
    value, gradient = coordinates.value_and_gradient(point.numpy())
    return float(value), torch.from_numpy(gradient)
