"""Sweeps over all responses with torch, chunk by chunk: on a GPU, and where numba is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

CHUNK_CELLS = {"cpu": 65_536, "cuda": 16_777_216}  # temporaries stay in the cache, or fill the GPU
NODES = ((0.0, 2 / 3), (-1.0, 1 / 6), (1.0, 1 / 6))  # three-point Gauss-Hermite rule, in units of the spread
CLIP, TINY = 18.0, 1e-7


class Cells:
    """Responses on a device."""

    def __init__(self, correct: npt.NDArray[Any], trials: npt.NDArray[Any], *, threads: int, device: str) -> None:
        self._threads, self._device = threads, torch.device(device)
        self._correct = torch.tensor(np.ascontiguousarray(correct), device=self._device)
        self._trials = torch.tensor(np.ascontiguousarray(trials), device=self._device)

    def over_items(self, *state: Any) -> npt.NDArray[np.float32]:
        """Sum over items, (2, model)."""
        return self._sum(state)[0]

    def over_models(self, *state: Any) -> npt.NDArray[np.float32]:
        """Sum over models, (5, item)."""
        return self._sum(state)[1]

    def right_by_model(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Sum right answers over items, weighted, (model,)."""
        by_item = self._on_device(weights)
        with _threads(self._threads):
            return torch.cat([self._correct[rows].double() @ by_item for rows in self._chunks()]).cpu().numpy()

    def right_by_item(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Sum right answers over models, weighted, (item,)."""
        by_model = self._on_device(weights)
        found = torch.zeros(self._correct.shape[1], dtype=torch.float64, device=self._device)
        with _threads(self._threads):
            for rows in self._chunks():
                found += by_model[rows] @ self._correct[rows].double()
        return found.cpu().numpy()

    def curves(self, *state: Any) -> npt.NDArray[np.float32]:
        """Logistic curves at abilities, (node, item)."""
        nodes, slope, intercept = map(self._on_device, state)
        with _threads(self._threads):
            return _known(torch.outer(nodes, slope).add_(intercept)).cpu().numpy()

    def _on_device(self, values: npt.NDArray[Any]) -> Tensor:
        return torch.tensor(values, device=self._device)

    def _chunks(self) -> list[slice]:
        n_models, n_items = self._correct.shape
        step = max(1, CHUNK_CELLS.get(self._device.type, 65_536) // max(n_items, 1))
        return [slice(start, start + step) for start in range(0, n_models, step)]

    def _sum(self, state: tuple[Any, ...]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        with _threads(self._threads):
            ability, spread, slope, intercept = map(self._on_device, state[:4])
            guessing = None if state[4] is None else self._on_device(state[4])
            n_models, n_items = self._correct.shape
            by_model = torch.empty((2, n_models), device=self._device)
            by_item = torch.zeros((5, n_items), dtype=torch.float64, device=self._device)
            for rows in self._chunks():
                right, trials = self._correct[rows].float(), self._trials[rows].float()
                by_model[:, rows] = 0
                for place, share in NODES:
                    theta = ability[rows] + place * spread[rows]
                    log_odds = torch.outer(theta, slope).add_(intercept)
                    residual, weight = _residual_and_weight(log_odds, right, trials, guessing)
                    by_model[0, rows] += share * (residual @ slope)
                    by_model[1, rows] += share * (weight @ slope.square())
                    powers = torch.stack([torch.ones_like(theta), theta, theta.square()])
                    by_item[:2] += share * (powers[:2] @ residual)
                    by_item[2:] += share * (powers @ weight)
            return by_model.cpu().numpy(), by_item.float().cpu().numpy()


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """So many threads of torch for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _known(log_odds: Tensor) -> Tensor:
    return log_odds.clamp(-CLIP, CLIP).sigmoid().clamp(TINY, 1 - TINY)


def _residual_and_weight(
    log_odds: Tensor, right: Tensor, trials: Tensor, guessing: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Slope of the log-likelihood in the log-odds, and the expected information about them."""
    known = _known(log_odds)
    if guessing is None:
        return right - trials * known, trials * (known - known.square())
    chance = guessing + (1 - guessing) * known
    share = known / chance
    return (right - trials * chance) * share, trials * (1 - chance) * share * known
