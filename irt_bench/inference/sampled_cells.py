"""Some models' answers to some items, which stand for all: what a step over a matrix that is too large looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from irt_bench.inference.likelihood import Cells

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SampledCells:
    """A block of the responses.

    Parameters
    ----------
    block : Cells
        Responses of the models and items drawn.
    rows, columns : integer arrays of shape (model drawn,), (item drawn,)
        Which they are.
    shape : tuple of int
        Of all responses.
    """

    block: Cells
    rows: Array
    columns: Array
    shape: tuple[int, int]

    @classmethod
    def draw(cls, cells: Cells, rng: np.random.Generator, n_models: int, n_items: int) -> SampledCells:
        """Draw so many models and items, each without replacement."""
        rows, columns = (
            np.sort(rng.choice(size, most, replace=False))
            for size, most in zip(cells.shape, (n_models, n_items), strict=True)
        )
        at = torch.from_numpy(rows)[:, None], torch.from_numpy(columns)
        trials = None if cells.trials is None else cells.trials[at]
        return cls(Cells(cells.correct[at], trials), rows, columns, cells.shape)

    def value_and_slopes(self, ability: Array, parameters: dict[str, Array]) -> tuple[float, Array, dict[str, Array]]:
        """Estimate the log-likelihood and its gradient, as `Cells.value_and_slopes` gives them; unbiased."""
        drawn = {name: values[self.columns] for name, values in parameters.items()}
        value, by_ability, by_item = self.block.value_and_slopes(ability[self.rows], drawn)
        stands_for = np.prod(self.shape) / (len(self.rows) * len(self.columns))

        def placed(slope: Array, places: Array, size: int) -> Array:
            whole = np.zeros(size)
            whole[places] = stands_for * slope
            return whole

        n_models, n_items = self.shape
        slopes = {name: placed(slope, self.columns, n_items) for name, slope in by_item.items()}
        return stands_for * value, placed(by_ability, self.rows, n_models), slopes
