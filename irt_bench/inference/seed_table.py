"""Known items: log-likelihood of each snapshot's answers as a function of its ability, tabulated once.

With the items known, a snapshot's ability meets its answers in one smooth function of one number. Its values and
slopes on a row of nodes, and cubics between them, replace all items at every step of inference: errors are far below
0.001 (`SPACING_PER_SLOPE`), however many items there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from irt_bench import names
from irt_bench.arrays import FloatArray
from irt_bench.errors import FitError
from irt_bench.irt_models.logistic import success_probability

FURTHEST = 15.0  # abilities looked at; beyond the table's ends a log-likelihood goes on along its slope
SCAN_SPACING = 0.25
REACH = 8.0  # the table covers each snapshot's answers to exp(-8^2 / 2) of their peak
WIDEST_SPACING = 0.05
NARROWEST_SPACING = 0.005
# Nodes are 0.1 logits of the steepest item apart: a cubic with exact slopes at the ends then errs by at most
# 0.1^4 / 384 * max |d^4 log P / d logit^4| = 0.1^4 / 384 / 8 = 3e-8 an answer.
SPACING_PER_SLOPE = 0.1
STEEPEST = SPACING_PER_SLOPE / NARROWEST_SPACING  # discrimination that the nodes resolve; steeper items are steps
BLOCK_CELLS = 500_000  # items x nodes at once
LEAST_PRECISION = 1e-3  # of a snapshot's summary; its answers may carry no information at all
LEAST_PROBABILITY = 1e-300  # keeps the logarithm of an impossible answer finite


class KnownItems(NamedTuple):
    """Item parameters, each of shape (item_draw, item)."""

    difficulty: FloatArray
    discrimination: FloatArray
    guessing: FloatArray
    upper_asymptote: FloatArray

    @classmethod
    def from_posterior(cls, posterior: xr.Dataset, items: pd.Index, n_draws: int) -> KnownItems:
        """Take evenly spaced draws of the parameters of some items out of a posterior, none steeper than `STEEPEST`.

        Parameters
        ----------
        posterior : xr.Dataset
            ``difficulty``, ``discrimination`` and, where the items have them, ``guessing`` and ``upper_asymptote``, of
            dimensions (chain, draw, item); or (item,) where they are known exactly.
        items : pd.Index
            Labels wanted, in order.
        n_draws : int
            Draws to take; all where there are fewer.

        Raises
        ------
        FitError
            If parameters are missing or not finite, an item is not in the posterior, or n_draws is below 1.
        """
        if n_draws < 1:
            raise FitError(f"the number of draws of the items is {n_draws}; at least 1 is needed.")
        found = {
            name: _draws_of(posterior, name, n_draws)
            for name in cls._fields
            if name in (names.DIFFICULTY, names.DISCRIMINATION) or name in posterior
        }
        positions = _positions(pd.Index(posterior[names.ITEM].to_index()), items)
        shape = found[names.DIFFICULTY].shape
        found[names.DISCRIMINATION] = found[names.DISCRIMINATION].clip(-STEEPEST, STEEPEST)
        found.setdefault(names.GUESSING, np.zeros(shape))
        found.setdefault(names.UPPER_ASYMPTOTE, np.ones(shape))
        return cls(**{name: np.ascontiguousarray(found[name][:, positions]) for name in cls._fields})

    @property
    def n_draws(self) -> int:
        """Number of draws of the item parameters."""
        return len(self.difficulty)


class AbilityTable(NamedTuple):
    """Log-likelihoods and slopes, shape (item_draw, snapshot, node), and where the nodes are.

    Notes
    -----
    Calling it sums over snapshots: abilities of shape (item_draw, snapshot) → log-likelihoods of shape (item_draw,).
    """

    lowest: float
    spacing: float
    value: Tensor
    slope: Tensor

    def __call__(self, ability: Tensor) -> Tensor:
        """Log-likelihood of all answers under each draw of the items, with its gradient attached."""
        found: Tensor = _Lookup.apply(ability, self)
        return found

    def nodes(self) -> FloatArray:
        """Abilities tabulated."""
        steps = np.arange(self.value.shape[-1], dtype=np.float64)
        return np.asarray(self.lowest + self.spacing * steps, dtype=np.float64)

    def summary(self, prior_sd: float) -> tuple[Tensor, Tensor]:
        """Gaussian picture of each log-likelihood: mean and precision, shape (item_draw, snapshot).

        Taken where the log-likelihood plus the log density of N(0, prior_sd^2) is highest, so that all answers right
        or all wrong have one too.
        """
        nodes = torch.tensor(self.nodes())
        top = (self.value - (nodes / prior_sd) ** 2 / 2).argmax(-1, keepdim=True)
        inner = top.clamp(1, len(nodes) - 2)
        curvature = (self.slope.gather(-1, inner + 1) - self.slope.gather(-1, inner - 1)) / (2 * self.spacing)
        precision = (-curvature).clamp(min=LEAST_PRECISION)
        mean = nodes[top] + self.slope.gather(-1, top) / precision
        return mean[..., 0], precision[..., 0]


def tabulate(
    correct: npt.NDArray[Any], trials: npt.NDArray[Any], items: KnownItems, *, prior_sd: float
) -> AbilityTable:
    """Tabulate the log-likelihood of each snapshot over abilities.

    Parameters
    ----------
    correct, trials : integer arrays of shape (snapshot, item)
        Right answers and trials; trials = 0 where never asked.
    items : KnownItems
        Parameters of the items.
    prior_sd : float
        Of the abilities, about 0; bounds the table where answers do not.
    """
    right, asked = correct.astype(np.float64), trials.astype(np.float64)
    scan = np.linspace(-FURTHEST, FURTHEST, round(2 * FURTHEST / SCAN_SPACING) + 1)
    rough = _evaluate(right, asked, items, scan)[0] - (scan / prior_sd) ** 2 / 2
    near = (rough > rough.max(axis=-1, keepdims=True) - REACH**2 / 2).any(axis=(0, 1))
    low, high = scan[near.argmax()] - SCAN_SPACING, scan[len(scan) - 1 - near[::-1].argmax()] + SCAN_SPACING
    steepest = np.abs(items.discrimination).max()
    spacing = min(WIDEST_SPACING, max(NARROWEST_SPACING, SPACING_PER_SLOPE / max(steepest, SPACING_PER_SLOPE)))
    nodes = low + spacing * np.arange(int(np.ceil((high - low) / spacing)) + 1)
    value, slope = _evaluate(right, asked, items, nodes)
    return AbilityTable(float(low), float(spacing), torch.tensor(value), torch.tensor(slope))


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ability: Tensor, table: AbilityTable) -> Tensor:
        n_nodes, step = table.value.shape[-1], table.spacing
        place = (ability - table.lowest) / step
        inside = place.clamp(0, n_nodes - 1)
        left = inside.long().clamp(max=n_nodes - 2)
        t = inside - left
        index = left + torch.arange(ability.numel()).reshape(ability.shape) * n_nodes
        (v0, v1), (s0, s1) = (
            (flat[index], flat[index + 1]) for flat in (table.value.reshape(-1), table.slope.reshape(-1))
        )
        # v0 + t (m0 + t (c2 + t c3)), the cubic with these values and slopes at its two ends.
        m0, m1, rise = s0 * step, s1 * step, v1 - v0
        c2, c3 = 3 * rise - 2 * m0 - m1, m0 + m1 - 2 * rise
        gradient = (m0 + t * (2 * c2 + 3 * t * c3)) / step
        ctx.save_for_backward(gradient)
        return (v0 + t * (m0 + t * (c2 + t * c3)) + gradient * (place - inside) * step).sum(-1)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_output[..., None], None


def _evaluate(
    right: FloatArray, trials: FloatArray, items: KnownItems, nodes: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Log-likelihood and its slope, shape (item_draw, snapshot, node)."""
    value = np.zeros((items.n_draws, len(right), len(nodes)))
    slope = np.zeros_like(value)
    for draw in range(items.n_draws):
        for block in _blocks(right.shape[1], len(nodes)):
            a, b, low, high = (
                parameter[draw, block, None]
                for parameter in (items.discrimination, items.difficulty, items.guessing, items.upper_asymptote)
            )
            decay = np.exp(-np.abs(logit := a * (nodes - b)))
            known, unknown = np.where(logit > 0, 1, decay) / (1 + decay), np.where(logit > 0, decay, 1) / (1 + decay)
            success = np.maximum(success_probability(known, low, high), LEAST_PROBABILITY)
            failure = np.maximum((1 - high) + (high - low) * unknown, LEAST_PROBABILITY)
            rate = a * (high - low) * known * unknown  # dP / d ability
            k, n = right[:, block], trials[:, block]
            value[draw] += k @ (np.log(success) - np.log(failure)) + n @ np.log(failure)
            slope[draw] += k @ (rate / success + rate / failure) - n @ (rate / failure)
    return value, slope


def _blocks(n_items: int, n_nodes: int) -> Iterator[slice]:
    size = max(1, BLOCK_CELLS // n_nodes)
    return (slice(start, start + size) for start in range(0, n_items, size))


def _draws_of(posterior: xr.Dataset, name: str, n_draws: int) -> FloatArray:
    """Evenly spaced draws, shape (item_draw, item)."""
    if name not in posterior:
        raise FitError(
            f"the items' {name} is missing; there are: {', '.join(map(str, posterior.data_vars)) or 'none'}."
        )
    dims = set(posterior[name].dims)
    if dims not in ({names.ITEM}, {names.CHAIN, names.DRAW, names.ITEM}) or names.ITEM not in posterior.coords:
        raise FitError(f"the items' {name} has dimensions {posterior[name].dims}; (chain, draw, item) are needed.")
    order = (names.CHAIN, names.DRAW, names.ITEM) if len(dims) > 1 else (names.ITEM,)
    values = posterior[name].transpose(*order).to_numpy().astype(np.float64)
    draws = values.reshape(-1, values.shape[-1])
    chosen = draws[np.linspace(0, len(draws) - 1, min(n_draws, len(draws))).astype(np.intp)]
    finite = np.isfinite(chosen).all(axis=0)
    if not finite.all():
        raise FitError(f"the items' {name} is not finite, first: {posterior[names.ITEM].values[finite.argmin()]!s}.")
    return chosen


def _positions(labels: pd.Index, items: pd.Index) -> npt.NDArray[np.intp]:
    labels, wanted = labels.astype("str"), items.astype("str")
    if not labels.is_unique:
        raise FitError(f"item {labels[labels.duplicated()][0]!r} occurs twice among the known items.")
    positions = labels.get_indexer(wanted)
    missing = positions < 0
    if missing.any():
        raise FitError(
            f"{int(missing.sum())} of the {len(wanted)} items of the responses are not among the {len(labels)} known "
            f"ones; first: {wanted[int(missing.argmax())]!r}. Leave them out with counts.take(items=...)."
        )
    return np.asarray(positions, dtype=np.intp)
