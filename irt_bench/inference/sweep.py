"""Sweeps over all responses for the fast method: one function, computed by numba, or by torch where numba is absent.

Both go over int8 cells in float32 with three Gauss-Hermite nodes an ability; numba in one compiled pass, torch in
chunks (on a GPU, too). Where all models answered the same items, curves are smooth functions of ability, needed at a
few abilities alone, and the answers come in as two products of a matrix and a vector.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from irt_bench.errors import FitWarning
from irt_bench.inference.item_updates import Items
from irt_bench.inference.smooth_sweep import SmoothSweep

Array = npt.NDArray[Any]
Kernel = Literal["numba", "torch"]


def best_kernel(device: str) -> Kernel:
    """Choose numba on the CPU, torch on a GPU or where numba is missing, which is said."""
    if device != "cpu":
        return "torch"
    if find_spec("numba") is None:
        warnings.warn("numba is not installed; torch takes its place, several times slower.", FitWarning, stacklevel=3)
        return "torch"
    return "numba"


class Sweeper:
    """All responses, ready for sweeps.

    Parameters
    ----------
    correct, trials : integer arrays of shape (model, item)
        Right answers and trials.
    threads : int
        Threads to use.
    device : str
        ``cpu`` or ``cuda``.
    kernel : {"numba", "torch"}, optional
        By default the best there is.
    """

    def __init__(
        self, correct: Array, trials: Array, *, threads: int, device: str = "cpu", kernel: Kernel | None = None
    ) -> None:
        self.kernel = kernel or best_kernel(device)
        self._correct, self._trials = correct, trials
        module: Any = import_module(f"irt_bench.inference.sweep_{self.kernel}")
        self._cells = module.Cells(correct, trials, threads=threads, device=device)
        self.common_trials: Array | None = trials[0] if (trials == trials[0]).all() else None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of models and of items."""
        n_models, n_items = self._correct.shape
        return n_models, n_items

    def cells(self, block: slice) -> tuple[Array, Array]:
        """Right answers and trials of some items."""
        return self._correct[:, block], self._trials[:, block]

    def over_items(self, mean: Array, variance: Array, items: Items) -> tuple[Array, Array]:
        """Sum the expected slope of the log-likelihood in each ability, and information about it, (model,) each."""
        if (smooth := self._smooth(mean, variance, items)) is not None:
            curves = self._curves(smooth.nodes, items)
            right, information = smooth.over_items(curves, items.slope, self._trials[0])
            return self._cells.right_by_model(items.slope) - right, information
        gradient, information = self._cells.over_items(*_single(mean, variance, items))
        return gradient.astype(np.float64), information.astype(np.float64)

    def over_models(self, mean: Array, variance: Array, items: Items) -> Array:
        """Sum over models, (5, item); see `AbilityPosterior.sums`."""
        if (smooth := self._smooth(mean, variance, items)) is not None:
            sums = smooth.over_models(self._curves(smooth.nodes, items), self._trials[0]).astype(np.float64)
            sums[:2] = np.stack([self._right, self._cells.right_by_item(mean)]) - sums[:2]
            return sums
        return np.asarray(self._cells.over_models(*_single(mean, variance, items)), dtype=np.float64)

    def _smooth(self, mean: Array, variance: Array, items: Items) -> SmoothSweep | None:
        """Nodes for curves, where answers enter linearly, are whole, and few nodes will do."""
        if self.common_trials is None or items.guessing is not None:
            return None
        return SmoothSweep.where_it_pays(mean, variance, float(items.slope.max()))

    def _curves(self, nodes: Array, items: Items) -> Array:
        """Logistic curves of the items at the nodes, (node, item)."""
        single = (np.asarray(value, dtype=np.float32) for value in (nodes, items.slope, items.intercept))
        return np.asarray(self._cells.curves(*single))

    @cached_property
    def _right(self) -> Array:
        """Right answers of each item."""
        return np.asarray(self._cells.right_by_item(np.ones(self.shape[0])))


def _single(mean: Array, variance: Array, items: Items) -> tuple[Any, ...]:
    """Everything in float32, the spread of the outer nodes in place of the variance."""
    guessing = None if items.guessing is None else items.guessing.astype(np.float32)
    values = mean, np.sqrt(3 * variance), items.slope, items.intercept
    return (*(np.ascontiguousarray(value, dtype=np.float32) for value in values), guessing)
