"""What a program is given: plates, and the fused log-likelihood of all answers, value and gradient in one pass.

A cell with k right answers of n adds k log P + (n - k) log(1 - P), P = c + (d - c) sigmoid(a (theta - b)); n = 0
adds exactly 0. Constant binomial coefficients are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyro
import torch
from pyro import poutine
from torch import Tensor

from irt_bench import names
from irt_bench.arrays import Array
from irt_bench.inference.fast.ability_grid import AbilityGrid

MIN_DISPERSION = 1e-6  # below it, trials are independent to double precision
MIN_FRAMED = 10  # abilities whose spread is a scale to measure by
MIN_FACTOR = 1e-37  # eight of them multiply to a normal float64; reached where |log-odds| > 85
CHUNK_CELLS = {"cpu": 32_768, "cuda": 16_777_216}  # four float64 temporaries stay in a 1 MB cache, or fill the GPU
FARTHEST: Final = 6.0  # sds of ability that a grid covers
WIDEST_SPACING, SPACING_SDS = 0.3, 0.6  # between nodes
INFORMATION: Final = 0.5  # of a score about ability, as large as it mostly is
Statistics = Callable[[Any, Any], Array]
Coefficients = Callable[[Tensor], Tensor]
CURVE_NAMES: Final = (names.DISCRIMINATION, names.DIFFICULTY, names.GUESSING, names.UPPER_ASYMPTOTE)


@dataclass(frozen=True)
class ResponseCells:
    """Responses as tensors: right answers and trials of shape (model, item).

    `trials` is None where every cell holds exactly one trial; `correct` keeps its small integer type and is widened
    chunk by chunk.
    """

    correct: Tensor
    trials: Tensor | None

    @classmethod
    def from_arrays(cls, correct: npt.NDArray[Any], trials: npt.NDArray[Any], *, device: str = "cpu") -> ResponseCells:
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


def log_likelihood(
    cells: ResponseCells, ability: Tensor, curves: ItemCurves, dispersion: Tensor | None = None
) -> Tensor:
    """Log-likelihood of all responses, a scalar, with its gradient attached."""
    dispersion = None if cells.trials is None else dispersion  # one trial per cell does not inform it

    def evaluate(ability: Tensor, dispersion: Tensor | None, *parameters: Any) -> tuple[Tensor | None, ...]:
        total, by_ability, by_item, by_dispersion = value_and_gradient(
            cells, ability, ItemCurves(*parameters), dispersion
        )
        return total, by_ability, by_dispersion, *by_item

    total: Tensor = Fused.apply(evaluate, cells.device, ability, dispersion, *curves)
    return total


class Fused(torch.autograd.Function):
    """A value whose slopes in all arguments are computed with it: function of arguments → value, slope, slope, ...

    Arguments may be None; they are moved to the device, and what is found is moved back.
    """

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], device: Any, *arguments: Tensor | None) -> Tensor:
        """Give the value, slopes kept."""
        value, *slopes = function(*(None if each is None else each.detach().to(device) for each in arguments))
        ctx.save_for_backward(*(None if each is None else each.cpu() for each in slopes))
        total: Tensor = value.cpu()
        return total

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        """Give the slopes."""
        wanted = zip(ctx.saved_tensors, ctx.needs_input_grad[2:], strict=True)
        return None, None, *(grad_output * slope if needed else None for slope, needed in wanted)


class ScoreGrid:
    """Grid of abilities ~ N(0, 1) on which these are integrated out, for scores of any model.

    Parameters
    ----------
    n_items : int
        The more, the closer nodes are: at most six tenths of an ability's posterior sd apart.
    """

    def __init__(self, n_items: int) -> None:
        spacing = min(WIDEST_SPACING, SPACING_SDS / (1 + INFORMATION * n_items) ** 0.5)
        self.nodes = torch.linspace(-FARTHEST, FARTHEST, 1 + 2 * round(FARTHEST / spacing), dtype=torch.float64)
        self._log_prior = (-0.5 * self.nodes**2).log_softmax(0)

    def log_likelihoods(self, statistics: Tensor, coefficients: Coefficients) -> Tensor:
        """Log of likelihood times prior of each model at each node, (model, node)."""
        at_nodes = coefficients(self.nodes)  # (statistic, node, item)
        product = torch.einsum("fmi,fni->mn", statistics, at_nodes)
        return product + self._log_prior

    def draw(self, logs: Array, rng: np.random.Generator) -> Array:
        """Draw an ability of each model: a node, and a place about it."""
        weight = np.exp(logs - logs.max(axis=1, keepdims=True)).cumsum(axis=1)
        chosen = (weight < rng.random(len(logs))[:, None] * weight[:, -1:]).sum(axis=1)
        nodes = self.nodes.numpy()
        return np.asarray(nodes[chosen] + (rng.random(len(logs)) - 0.5) * (nodes[1] - nodes[0]))


class ResponseData:
    """Answers as a program sees them: plates, advice on coordinates, and the fused likelihood of all answers.

    Parameters
    ----------
    cells : ResponseCells
        Right answers and trials.
    grid : AbilityGrid or ScoreGrid, optional
        The same answers over a grid of abilities, which are then integrated out.
    chosen : mapping
        ``model`` and ``item`` → positions of a mini-batch, whose answers stand for all.
    framed : bool
        Whether items are measured from the abilities' mean in units of their sd, for which all abilities are needed.
    silent : bool
        Whether answers are left aside, where only values of the sites are wanted.
    """

    def __init__(
        self,
        cells: ResponseCells,
        grid: AbilityGrid | ScoreGrid | None = None,
        chosen: Mapping[str, Tensor] | None = None,
        *,
        framed: bool = True,
        silent: bool = False,
    ) -> None:
        self.cells, self.grid, self._chosen, self._silent = cells, grid, dict(chosen or {}), silent
        self.framed = framed
        self._made: Tensor | None = None
        with poutine.block():  # plates are no concern of handlers outside
            self._plates = {
                dim: pyro.plate(dim, size, subsample=self.chosen(dim), dim=-1) for dim, size in self.sizes.items()
            }
        sizes = [len(self._chosen.get(dim, range(size))) for dim, size in self.sizes.items()]
        self.n_models, self.n_items = sizes
        self.models, self.items = self._plates[names.MODEL], self._plates[names.ITEM]

    @cached_property
    def silenced(self) -> ResponseData:
        """All models and items, their answers left aside."""
        return ResponseData(self.cells, self.grid, framed=self.framed, silent=True)

    @property
    def sizes(self) -> dict[str, int]:
        """Plate → length, of all answers."""
        return dict(zip((names.MODEL, names.ITEM), self.cells.shape, strict=True))

    def subsampled(self, chosen: Mapping[str, Tensor]) -> ResponseData:
        """Answers of a mini-batch, which stand for all."""
        if self.framed:
            raise ValueError("abilities of a mini-batch are no frame for all items; give framed=False")
        return ResponseData(self.cells, self.grid, chosen, framed=False)

    def chosen(self, dim: str) -> Tensor | None:
        """Positions of a mini-batch; None where all are taken."""
        return self._chosen.get(dim)

    def frame(self, ability: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Mean and sd of the abilities; None where they are integrated out, or too few."""
        if not self.framed or self.grid is not None or len(ability) < MIN_FRAMED:
            return None, None
        return ability.mean(), ability.std()

    def at_items(self, values: Any) -> Tensor:
        """Known values of the items at hand."""
        known = torch.tensor(np.array(values, dtype=np.float64))
        some = self.chosen(names.ITEM)
        return known if some is None or not known.ndim else known[..., some]

    def at_models(self, values: Any) -> Tensor:
        """Known values of the models at hand."""
        known, some = torch.tensor(values), self.chosen(names.MODEL)
        return known if some is None else known[some]

    def plate(self, name: str, size: int) -> Any:
        """Plate of something else, made once."""
        if name not in self._plates:
            with poutine.block():
                self._plates[name] = pyro.plate(name, size, dim=-1)
        return self._plates[name]

    def observe(
        self,
        ability: Tensor,
        *,
        difficulty: Tensor,
        discrimination: Tensor,
        guessing: Tensor | None = None,
        upper_asymptote: Tensor | None = None,
        dispersion: Tensor | None = None,
    ) -> None:
        """Add the log-likelihood of the answers, as site ``responses``."""
        if self._silent:
            return
        shape = (self.n_items,)
        given = (discrimination, difficulty, guessing, upper_asymptote)
        curves = ItemCurves(*(None if value is None else value.expand(shape) for value in given))  # type: ignore[arg-type]
        if isinstance(self.grid, AbilityGrid):
            total = Fused.apply(partial(_integrated, self.grid), "cpu", *curves)
        else:
            total = log_likelihood(self._some_cells, ability, curves, dispersion)
        self._add(total)

    def observe_dimensions(self, ability: Tensor, *, loading: Tensor, intercept: Tensor) -> None:
        """Add the log-likelihood of the answers, abilities (dimension, model), loadings (dimension, item)."""
        if not self._silent:
            cells = self._some_cells
            self._add(Fused.apply(partial(_several_abilities, cells), cells.device, ability, loading, intercept))

    def observe_scores(self, statistics: Statistics, coefficients: Coefficients, ability: Tensor) -> None:
        """Add the log-likelihood of scores, abilities integrated out where there is a grid."""
        if isinstance(self.grid, ScoreGrid):
            self._scores = statistics, coefficients
        if self._silent:
            return
        found = self._statistics(statistics)
        if isinstance(self.grid, ScoreGrid):
            self._add(self.grid.log_likelihoods(found, coefficients).logsumexp(dim=1).sum())
            return
        total = torch.zeros((), dtype=torch.float64)
        step = max(1, CHUNK_CELLS["cpu"] // max(1, self.n_items))
        for start in range(0, self.n_models, step):
            rows = slice(start, start + step)
            total = total + (found[:, rows] * coefficients(ability[rows])).sum()
        self._add(total)

    def _statistics(self, statistics: Statistics) -> Tensor:
        """Statistics of the cells at hand, made once, (statistic, model, item)."""
        if self._made is None:
            cells = self._some_cells
            correct = cells.correct.cpu().numpy()
            trials = np.ones_like(correct) if cells.trials is None else cells.trials.cpu().numpy()
            self._made = torch.from_numpy(statistics(correct, trials))
        return self._made

    def draw_abilities(self, values: Mapping[str, Array], rng: np.random.Generator) -> Array:
        """Draw abilities that were integrated out, given the sites of the program's last run."""
        if isinstance(self.grid, ScoreGrid):
            statistics, coefficients = self._scores
            return self.grid.draw(self.grid.log_likelihoods(self._statistics(statistics), coefficients).numpy(), rng)
        assert self.grid is not None  # noqa: S101 - there would be nothing to draw
        return np.asarray(self.grid.draw({name: values[name] for name in CURVE_NAMES if name in values}, rng))

    def _add(self, total: Tensor) -> None:
        pyro.factor("responses", total if not self._chosen else self._stands_for * total)

    @cached_property
    def _some_cells(self) -> ResponseCells:
        at = [self._chosen.get(dim) for dim in (names.MODEL, names.ITEM)]
        parts = [self.cells.correct, self.cells.trials]
        for axis, places in enumerate(at):
            if places is not None:
                where = places.to(self.cells.device)
                parts = [None if part is None else part.index_select(axis, where) for part in parts]
        return ResponseCells(*parts)  # type: ignore[arg-type]

    @property
    def _stands_for(self) -> float:
        """ResponseCells for which a cell of a mini-batch stands."""
        n_models, n_items = self.cells.shape
        return n_models * n_items / (self.n_models * self.n_items)


def _integrated(grid: AbilityGrid, *parameters: Tensor | None) -> tuple[Tensor | None, ...]:
    """Log-likelihood of the items with abilities integrated out on a grid, and its slopes in the items' parameters."""
    items = {name: value.numpy() for name, value in zip(CURVE_NAMES, parameters, strict=True) if value is not None}
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # far off the path, which then diverges
        value, slopes = grid.value_and_slopes(items)
    total = torch.tensor(value, dtype=torch.float64)
    return total, *(torch.from_numpy(slopes[name]) if name in slopes else None for name in CURVE_NAMES)


def value_and_gradient(
    cells: ResponseCells, ability: Tensor, curves: ItemCurves, dispersion: Tensor | None = None
) -> tuple[Tensor, Tensor, ItemCurves, Tensor | None]:
    """Log-likelihood and its gradient in abilities, item parameters and dispersion, without a graph."""
    by_dispersion = None
    if dispersion is None and curves.guessing is None and curves.upper_asymptote is None:
        total, by_ability, *by_item = _logistic(cells, ability, curves)
    else:
        total, by_ability, *by_item, by_dispersion = _with_asymptotes(cells, ability, curves, dispersion)
    return total, by_ability, ItemCurves(*by_item), by_dispersion


def _logistic(cells: ResponseCells, ability: Tensor, curves: ItemCurves) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Value and gradients in (ability, discrimination, difficulty) without asymptotes."""
    slope, shift = curves.discrimination, curves.discrimination * curves.difficulty
    total = ability.new_zeros(())
    by_model = torch.empty_like(ability)
    by_item, by_item_ability = torch.zeros_like(slope), torch.zeros_like(slope)
    for rows, right, trials in cells.chunks(ability.dtype):
        theta = ability[rows]
        part, residual = _sum_and_residuals(torch.outer(theta, slope).sub_(shift), right, trials)
        total += part
        by_model[rows] = residual @ slope
        by_item += residual.sum(0)
        by_item_ability += theta @ residual
    return total, by_model, by_item_ability - curves.difficulty * by_item, -slope * by_item


def _several_abilities(cells: ResponseCells, ability: Tensor, loading: Tensor, intercept: Tensor) -> tuple[Tensor, ...]:
    """Value and gradients in (ability, loading, intercept)."""
    total, by_ability = ability.new_zeros(()), torch.empty_like(ability)
    by_loading, by_intercept = torch.zeros_like(loading), torch.zeros_like(intercept)
    for rows, right, trials in cells.chunks(ability.dtype):
        theta = ability[:, rows]
        part, residual = _sum_and_residuals(torch.addmm(intercept, theta.T, loading), right, trials)
        total += part
        by_ability[:, rows] = loading @ residual.T
        by_loading += theta @ residual
        by_intercept += residual.sum(0)
    return total, by_ability, by_loading, by_intercept


def _sum_and_residuals(log_odds: Tensor, right: Tensor, trials: Tensor | None) -> tuple[Tensor, Tensor]:
    """Log-likelihood of a chunk, and its slopes in the log-odds; both arrays are used up."""
    if trials is None:
        sign = right.mul_(2).sub_(1)
        observed = log_odds.mul_(sign).sigmoid_()  # P of the answer given, exact in both tails
        return _sum_of_logs(observed), sign.sub_(observed.mul_(sign))  # d value / d log-odds = sign * (1 - P)
    total = torch.dot(right.reshape(-1), log_odds.reshape(-1))
    total += (torch.nn.functional.logsigmoid(-log_odds) * trials).sum()
    return total, right.sub_(log_odds.sigmoid_().mul_(trials))


def _sum_of_logs(probabilities: Tensor) -> Tensor:
    """Sum of logarithms, as logarithms of products of eight: a logarithm costs twenty multiplications."""
    factors = probabilities.clamp(min=MIN_FACTOR)
    for _ in range(3):
        half = factors.shape[1] // 2
        product = factors[:, :half] * factors[:, half : 2 * half]
        if factors.shape[1] % 2:
            product = torch.cat([product, factors[:, -1:]], dim=1)
        factors = product
    return factors.log().sum()


def _beta_binomial(
    right: Tensor, wrong: Tensor, success: Tensor, failure: Tensor, rho: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probability of all counts, its slopes in each P, and in rho.

    A cell's probability is Beta(r P, r (1 - P)), r = 1 / rho - 1.
    """
    rho = rho.clamp(MIN_DISPERSION, 1 - MIN_DISPERSION)
    r = 1 / rho - 1
    first, second, total = r * success, r * failure, right + wrong
    gamma, psi = torch.lgamma, torch.digamma
    value = (gamma(first + right) - gamma(first) + gamma(second + wrong) - gamma(second)).sum()
    value = value - (gamma(r + total) - gamma(r)).sum()
    by_first, by_second = psi(first + right) - psi(first), psi(second + wrong) - psi(second)
    by_r = (success * by_first + failure * by_second).sum() - (psi(r + total) - psi(r)).sum()
    return value, r * (by_first - by_second), -by_r / rho**2


def _with_asymptotes(
    cells: ResponseCells, ability: Tensor, curves: ItemCurves, dispersion: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Value and gradients in (ability, discrimination, difficulty, guessing, upper asymptote, dispersion)."""
    slope, shift = curves.discrimination, curves.discrimination * curves.difficulty
    low = torch.zeros_like(slope) if curves.guessing is None else curves.guessing
    high = torch.ones_like(slope) if curves.upper_asymptote is None else curves.upper_asymptote
    tiny = torch.finfo(ability.dtype).tiny
    total = ability.new_zeros(())
    by_model = torch.empty_like(ability)
    by_item, by_item_ability, by_low, by_high = (torch.zeros_like(slope) for _ in range(4))
    by_dispersion = ability.new_zeros(())
    for rows, right, trials in cells.chunks(ability.dtype):
        theta = ability[rows]
        log_odds = torch.outer(theta, slope).sub_(shift)
        known, unknown = log_odds.sigmoid(), (-log_odds).sigmoid()
        success = (low + (high - low) * known).clamp_(min=tiny)
        failure = ((1 - high) + (high - low) * unknown).clamp_(min=tiny)
        wrong = (1 if trials is None else trials) - right
        if dispersion is None:
            total += (right * success.log() + wrong * failure.log()).sum()
            pull = right / success - wrong / failure  # d value / d P
        else:
            value, pull, by_rho = _beta_binomial(right, wrong, success, failure, dispersion)
            total, by_dispersion = total + value, by_dispersion + by_rho
        by_low += (pull * unknown).sum(0)
        by_high += (pull * known).sum(0)
        residual = pull * (high - low) * known * unknown
        by_model[rows] = residual @ slope
        by_item += residual.sum(0)
        by_item_ability += theta @ residual
    by_slope = by_item_ability - curves.difficulty * by_item
    return total, by_model, by_slope, -slope * by_item, by_low, by_high, by_dispersion
