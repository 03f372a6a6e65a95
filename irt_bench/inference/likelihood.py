"""Fused log-likelihood: value and gradient of all responses in one pass over dense integer cells, in chunks.

A cell with k right answers of n adds k log P + (n - k) log(1 - P), P = c + (d - c) sigmoid(a (theta - b)); n = 0
adds exactly 0. Constant binomial coefficients are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from irt_bench import names
from irt_bench.inference.ability_grid import AbilityGrid

LEAST_FACTOR = 1e-37  # eight of them multiply to a normal float64; reached where |log-odds| > 85
CHUNK_CELLS = {"cpu": 32_768, "cuda": 16_777_216}  # four float64 temporaries stay in a 1 MB cache, or fill the GPU


@dataclass(frozen=True)
class Cells:
    """Responses as tensors: right answers and trials of shape (model, item).

    `trials` is None where every cell holds exactly one trial; `correct` keeps its small integer type and is widened
    chunk by chunk.
    """

    correct: Tensor
    trials: Tensor | None

    @classmethod
    def from_arrays(cls, correct: npt.NDArray[Any], trials: npt.NDArray[Any], *, device: torch.device) -> Cells:
        """Copy NumPy counts to a device."""
        single = bool((trials == 1).all())
        right = torch.tensor(np.ascontiguousarray(correct), device=device)
        return cls(right, None if single else torch.tensor(np.ascontiguousarray(trials), device=device))

    @property
    def device(self) -> torch.device:
        """Where they lie."""
        return self.correct.device

    @property
    def shape(self) -> tuple[int, int]:
        """Number of models and of items."""
        n_models, n_items = self.correct.shape
        return n_models, n_items

    def value_and_slopes(
        self, ability: npt.NDArray[Any], parameters: Mapping[str, npt.NDArray[Any]]
    ) -> tuple[float, npt.NDArray[Any], dict[str, npt.NDArray[Any]]]:
        """Log-likelihood, and its gradient in the abilities and the item parameters.

        Parameters
        ----------
        ability : array of shape (model,)
            theta.
        parameters : mapping
            Item parameter → array of shape (item,).
        """
        items = {name: torch.tensor(value, device=self.device) for name, value in parameters.items()}
        total, by_ability, by_curve = value_and_gradient(
            self, torch.from_numpy(ability).to(self.device), item_curves(items)
        )
        slopes = zip(CURVE_NAMES, by_curve, strict=True)
        by_item = {name: slope.numpy(force=True) for name, slope in slopes if slope is not None}
        return float(total), by_ability.numpy(force=True), by_item

    def chunks(self, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor, Tensor | None]]:
        """Yield rows of models with their right answers and trials, widened to `dtype`."""
        n_models, n_items = self.shape
        step = max(1, CHUNK_CELLS[self.device.type] // max(1, n_items))
        for start in range(0, n_models, step):
            rows = slice(start, min(start + step, n_models))
            trials = None if self.trials is None else self.trials[rows].to(dtype)
            yield rows, self.correct[rows].to(dtype), trials


class ItemCurves(NamedTuple):
    """Parameters of the items, each of shape (item,); asymptotes may be None for 0 and 1."""

    discrimination: Tensor
    difficulty: Tensor
    guessing: Tensor | None = None
    upper_asymptote: Tensor | None = None


CURVE_NAMES: Final = (names.DISCRIMINATION, names.DIFFICULTY, names.GUESSING, names.UPPER_ASYMPTOTE)


def item_curves(items: Mapping[str, Tensor]) -> ItemCurves:
    """Item parameters by name as the likelihood takes them."""
    return ItemCurves(*(items.get(name) for name in CURVE_NAMES))  # type: ignore[arg-type]


def log_likelihood(cells: Cells, ability: Tensor, curves: ItemCurves) -> Tensor:
    """Log-likelihood of all responses, a scalar, with its gradient attached.

    Parameters
    ----------
    cells : Cells
        Right answers and trials, shape (model, item).
    ability : Tensor of shape (model,)
        theta.
    curves : ItemCurves
        Item parameters, each of shape (item,).
    """
    total: Tensor = _LogLikelihood.apply(cells, ability, *curves)
    return total


def integrated_likelihood(grid: AbilityGrid, curves: ItemCurves) -> Tensor:
    """Log-likelihood with abilities integrated out, by torch's own differentiation: what the fast one is held against.

    Parameters
    ----------
    grid : AbilityGrid
        Responses and nodes.
    curves : ItemCurves
        Item parameters, each of shape (item,).
    """
    slope, difficulty = curves.discrimination[:, None], curves.difficulty[:, None]
    low = torch.zeros_like(slope) if curves.guessing is None else curves.guessing[:, None]
    high = torch.ones_like(slope) if curves.upper_asymptote is None else curves.upper_asymptote[:, None]
    log_odds = slope * (torch.from_numpy(grid.nodes) - difficulty)
    right = low + (high - low) * log_odds.sigmoid()
    wrong = (1 - high) + (high - low) * (-log_odds).sigmoid()
    density = torch.from_numpy(grid.right) @ right.log() + torch.from_numpy(grid.wrong) @ wrong.log()
    total: Tensor = torch.logsumexp(density + torch.from_numpy(grid.log_prior()), dim=1) @ torch.from_numpy(
        grid.multiplicity
    )
    return total


def value_and_gradient(cells: Cells, ability: Tensor, curves: ItemCurves) -> tuple[Tensor, Tensor, ItemCurves]:
    """Log-likelihood and its gradient in the abilities and the item parameters, without a graph."""
    if curves.guessing is None and curves.upper_asymptote is None:
        total, by_ability, *by_item = _logistic(cells, ability, curves)
    else:
        total, by_ability, *by_item = _with_asymptotes(cells, ability, curves)
    return total, by_ability, ItemCurves(*by_item)


class _LogLikelihood(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cells: Cells, ability: Tensor, *parameters: Tensor | None) -> Tensor:
        curves = ItemCurves(*(None if value is None else value.detach() for value in parameters))  # type: ignore[arg-type]
        total, by_ability, by_item = value_and_gradient(cells, ability.detach(), curves)
        ctx.save_for_backward(by_ability, *by_item)
        return total

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        wanted = zip(ctx.saved_tensors, ctx.needs_input_grad[1:], strict=True)
        return (None, *(grad_output * value if needed else None for value, needed in wanted))


def _logistic(cells: Cells, ability: Tensor, curves: ItemCurves) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Value and gradients in (ability, discrimination, difficulty) without asymptotes."""
    slope, shift = curves.discrimination, curves.discrimination * curves.difficulty
    total = ability.new_zeros(())
    by_model = torch.empty_like(ability)
    by_item, by_item_ability = torch.zeros_like(slope), torch.zeros_like(slope)
    for rows, right, trials in cells.chunks(ability.dtype):
        theta = ability[rows]
        log_odds = torch.outer(theta, slope).sub_(shift)
        if trials is None:
            sign = right.mul_(2).sub_(1)
            observed = log_odds.mul_(sign).sigmoid_()  # P of the answer given, exact in both tails
            total += _sum_of_logs(observed)
            residual = sign.sub_(observed.mul_(sign))  # d value / d log-odds = sign * (1 - P)
        else:
            total += torch.dot(right.reshape(-1), log_odds.reshape(-1))
            total += (torch.nn.functional.logsigmoid(-log_odds) * trials).sum()
            residual = right.sub_(log_odds.sigmoid_().mul_(trials))
        by_model[rows] = residual @ slope
        by_item += residual.sum(0)
        by_item_ability += theta @ residual
    return total, by_model, by_item_ability - curves.difficulty * by_item, -slope * by_item


def _sum_of_logs(probabilities: Tensor) -> Tensor:
    """Sum of logarithms, as logarithms of products of eight: a logarithm costs twenty multiplications."""
    factors = probabilities.clamp(min=LEAST_FACTOR)
    for _ in range(3):
        half = factors.shape[1] // 2
        product = factors[:, :half] * factors[:, half : 2 * half]
        if factors.shape[1] % 2:
            product = torch.cat([product, factors[:, -1:]], dim=1)
        factors = product
    return factors.log().sum()


def _with_asymptotes(cells: Cells, ability: Tensor, curves: ItemCurves) -> tuple[Tensor, ...]:
    """Value and gradients in (ability, discrimination, difficulty, guessing, upper asymptote)."""
    slope, shift = curves.discrimination, curves.discrimination * curves.difficulty
    low = torch.zeros_like(slope) if curves.guessing is None else curves.guessing
    high = torch.ones_like(slope) if curves.upper_asymptote is None else curves.upper_asymptote
    tiny = torch.finfo(ability.dtype).tiny
    total = ability.new_zeros(())
    by_model = torch.empty_like(ability)
    by_item, by_item_ability, by_low, by_high = (torch.zeros_like(slope) for _ in range(4))
    for rows, right, trials in cells.chunks(ability.dtype):
        theta = ability[rows]
        log_odds = torch.outer(theta, slope).sub_(shift)
        known, unknown = log_odds.sigmoid(), (-log_odds).sigmoid()
        success = (low + (high - low) * known).clamp_(min=tiny)
        failure = ((1 - high) + (high - low) * unknown).clamp_(min=tiny)
        wrong = (1 if trials is None else trials) - right
        total += (right * success.log() + wrong * failure.log()).sum()
        pull = right / success - wrong / failure  # d value / d P
        by_low += (pull * unknown).sum(0)
        by_high += (pull * known).sum(0)
        residual = pull * (high - low) * known * unknown
        by_model[rows] = residual @ slope
        by_item += residual.sum(0)
        by_item_ability += theta @ residual
    return total, by_model, by_item_ability - curves.difficulty * by_item, -slope * by_item, by_low, by_high
