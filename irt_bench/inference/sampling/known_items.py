"""Data of the seed model: runs, seeds and steps, and log-likelihoods of answers to known items by ability.

With the items known, the likelihood of a checkpoint's answers is a smooth function of its ability alone. A cubic spline
through its values on a row of nodes replaces all items at every step of inference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyro
import torch
import xarray as xr
from scipy.interpolate import CubicSpline
from scipy.special import expit
from torch import Tensor

from irt_bench import names
from irt_bench.arrays import Array
from irt_bench.errors import FitError, ModelError
from irt_bench.inference.sampling.likelihood import Fused
from irt_bench.irt_models.logistic import success_probability
from irt_bench.responses.table import natural_order

ITEM_DRAW, RUN_SEED, RUN_STEP, CHECKPOINT = "item_draw", "run_seed", "run_step", "checkpoint"
FURTHEST = 15.0  # abilities looked at; beyond the table's ends a log-likelihood goes on along its slope
SCAN_SPACING = 0.25
REACH = 8.0  # the table covers each checkpoint's answers to exp(-8^2 / 2) of their peak
WIDEST_SPACING, NARROWEST_SPACING = 0.05, 0.005
# Nodes are 0.1 logits of the steepest item apart: a cubic spline then errs by about 5 / 384 * 0.1^4 *
# max |d^4 log P / d logit^4| = 5 / 384 * 0.1^4 / 8 = 2e-7 per answer.
SPACING_PER_SLOPE = 0.1
STEEPEST = SPACING_PER_SLOPE / NARROWEST_SPACING  # discrimination that the nodes resolve; steeper items are steps
BLOCK_CELLS = 500_000  # items x nodes at once
MIN_PRECISION = 1e-3  # of the likelihood of an ability; answers may carry no information at all
MIN_PROBABILITY = 1e-300  # keeps the logarithm of an impossible answer finite


class Pairs(NamedTuple):
    """(run, seed) or (run, step) pairs that occur, in natural order."""

    of: Array  # (checkpoint,): each checkpoint's pair
    run: Array  # (pair,)
    labels: Array  # (pair,)


@dataclass(frozen=True)
class SeedDesign:
    """Which rows of the responses are which seed of which run at which step."""

    # (checkpoint,): rows of the responses used: a checkpoint with answers whose run has another seed at the same step
    rows: Array
    runs: Array  # labels of the runs
    # the (run, seed) and the (run, step) pairs that occur
    seeds: Pairs
    steps: Pairs
    has_steps: bool  # whether the step effect is identified beside the seed effect

    @property
    def run_of(self) -> Array:
        """Position of each checkpoint's run, shape (checkpoint,)."""
        return np.asarray(self.seeds.run[self.seeds.of])

    @classmethod
    def from_models(cls, models: pd.DataFrame, answered: npt.NDArray[np.bool_]) -> SeedDesign:
        """Read the design off the metadata of the models.

        Parameters
        ----------
        models : pd.DataFrame
            Column ``seed``; optionally ``run`` (else all models with a seed form one run) and ``step`` (else there is
            one step).
        answered : boolean array of shape (model,)
            Whether a model has any answer.

        Raises
        ------
        ModelError
            If there is no seed, two rows are the same checkpoint, or no run has two seeds at one step.
        """
        if names.SEED not in models or not models[names.SEED].notna().any():
            raise ModelError(
                f"no model has the seed it was trained with (columns: {', '.join(map(str, models)) or 'none'}); a "
                "column 'seed' is needed, and 'run' and 'step' where there are several."
            )
        frame = pd.DataFrame({name: _labels(models, name) for name in (names.RUN, names.SEED, names.STEP)})
        seeded = models[names.SEED].notna().to_numpy() & answered
        twice = np.zeros(len(frame), dtype=bool)
        twice[seeded] = frame[seeded].duplicated()
        if twice.any():
            place = int(twice.argmax())
            run, seed, step = frame.iloc[place]
            raise ModelError(
                f"{int(twice.sum())} models repeat a checkpoint; first: {models.index[place]!r} is another run "
                f"{run!r}, seed {seed!r}, step {step!r}. Give a column 'run' or 'step' that tells them apart."
            )
        shared = frame[seeded].groupby([names.RUN, names.STEP])[names.SEED].transform("size") > 1
        rows = np.flatnonzero(seeded)[shared.to_numpy()]
        kept = frame.iloc[rows]
        if not len(rows):
            raise ModelError(
                f"{int(seeded.sum())} models with a seed and answers, but no run has two of them at one step; a spread "
                "over seeds needs at least two seeds of one run."
            )
        several = kept.groupby([names.RUN, names.SEED]).size() > 1
        pairs = {name: _pairs(kept, name) for name in (names.SEED, names.STEP)}
        runs = np.array(natural_order(kept[names.RUN].unique()), dtype=str)
        return cls(rows, runs, pairs[names.SEED], pairs[names.STEP], bool(several.any()))


def _labels(models: pd.DataFrame, name: str) -> Array:
    """Values of a column as text; empty where missing, or where there is no such column."""
    if name not in models:
        return np.full(len(models), "", dtype=object)
    known = models[name].notna().to_numpy()
    return np.where(known, models[name].astype("str").to_numpy(dtype=object), "")


def _pairs(kept: pd.DataFrame, column: str) -> Pairs:
    """Pairs of a run and a value of a column, both in natural order."""
    run, code = (
        pd.Index(natural_order(kept[name].unique())).get_indexer(pd.Index(kept[name])) for name in (names.RUN, column)
    )
    _, first, of = np.unique(run * len(kept) + code, return_index=True, return_inverse=True)
    return Pairs(of, run[first], kept[column].to_numpy(dtype=str)[first])


class KnownItems(NamedTuple):
    """Item parameters, each of shape (item_draw, item)."""

    difficulty: Array
    discrimination: Array
    guessing: Array
    upper_asymptote: Array

    @classmethod
    def from_posterior(cls, posterior: xr.Dataset, items: pd.Index, n_draws: int) -> KnownItems:
        """Take evenly spaced draws of the parameters of some items out of a posterior, none steeper than `STEEPEST`."""
        if n_draws < 1:
            raise FitError(f"the number of draws of the items is {n_draws}; at least 1 is needed.")
        needed = (names.DIFFICULTY, names.DISCRIMINATION)
        draws = {n: _draws_of(posterior, n, n_draws) for n in cls._fields if n in needed or n in posterior}
        labels, wanted = posterior[names.ITEM].to_index().astype("str"), items.astype("str")
        if not labels.is_unique:
            raise FitError(f"item {labels[labels.duplicated()][0]!r} occurs twice among the known items.")
        positions = labels.get_indexer(wanted)
        missing = positions < 0
        if missing.any():
            raise FitError(
                f"{int(missing.sum())} of the {len(wanted)} items of the responses are not among the {len(labels)} "
                f"known ones; first: {wanted[int(missing.argmax())]!r}. Leave them out with counts.take(items=...)."
            )
        draws[names.DISCRIMINATION] = draws[names.DISCRIMINATION].clip(-STEEPEST, STEEPEST)
        draws.setdefault(names.GUESSING, np.zeros(draws[names.DIFFICULTY].shape))
        draws.setdefault(names.UPPER_ASYMPTOTE, np.ones(draws[names.DIFFICULTY].shape))
        return cls(**{name: np.ascontiguousarray(draws[name][:, positions]) for name in cls._fields})

    def log_likelihood(self, correct: Array, trials: Array, nodes: Array) -> Array:
        """Of each checkpoint's answers at abilities, shape (node, item_draw, checkpoint)."""
        found = np.zeros((len(nodes), len(self.difficulty), len(correct)))
        size = max(1, BLOCK_CELLS // len(nodes))
        for draw, start in np.ndindex(len(self.difficulty), -(-correct.shape[1] // size)):
            block = slice(start * size, (start + 1) * size)
            b, a, low, high = (parameter[draw, block] for parameter in self)
            logit = a * (nodes[:, None] - b)
            right = np.maximum(success_probability(expit(logit), low, high), MIN_PROBABILITY)
            wrong = np.maximum(success_probability(expit(-logit), 1 - high, 1 - low), MIN_PROBABILITY)
            k, n = correct[:, block].astype(np.float64), trials[:, block].astype(np.float64)
            found[:, draw] += np.log(right) @ k.T + np.log(wrong) @ (n - k).T
        return found


def _draws_of(posterior: xr.Dataset, name: str, n_draws: int) -> Array:
    """Evenly spaced draws, shape (item_draw, item)."""
    if name not in posterior:
        raise FitError(
            f"the items' {name} is missing; there are: {', '.join(map(str, posterior.data_vars)) or 'none'}."
        )
    dims = set(posterior[name].dims)
    if dims not in ({names.ITEM}, {names.CHAIN, names.DRAW, names.ITEM}) or names.ITEM not in posterior.coords:
        raise FitError(f"the items' {name} has dimensions {posterior[name].dims}; (chain, draw, item) are needed.")
    order = (names.CHAIN, names.DRAW, names.ITEM) if len(dims) > 1 else (names.ITEM,)
    draws = posterior[name].transpose(*order).to_numpy().astype(np.float64).reshape(-1, posterior.sizes[names.ITEM])
    chosen = draws[np.linspace(0, len(draws) - 1, min(n_draws, len(draws))).astype(np.intp)]
    finite = np.isfinite(chosen).all(axis=0)
    if not finite.all():
        raise FitError(f"the items' {name} is not finite, first: {posterior[names.ITEM].values[finite.argmin()]!s}.")
    return np.asarray(chosen)


class AbilityTable(NamedTuple):
    """Log-likelihoods of checkpoints over their ability: cubic splines, which replace all items at every step.

    Calling it sums over all: abilities of shape (item_draw, checkpoint) → a log-likelihood with its gradient attached.
    """

    nodes: Array
    cubics: Tensor  # (item_draw, checkpoint, interval, 4): coefficients, that of the highest power first

    @classmethod
    def from_counts(cls, correct: Array, trials: Array, items: KnownItems, *, prior_sd: float) -> AbilityTable:
        """Tabulate right answers out of trials, (checkpoint, item), as far as they or the prior reach."""
        scan = np.linspace(-FURTHEST, FURTHEST, round(2 * FURTHEST / SCAN_SPACING) + 1)
        rough = items.log_likelihood(correct, trials, scan) - (scan[:, None, None] / prior_sd) ** 2 / 2
        near = np.flatnonzero((rough > rough.max(axis=0) - REACH**2 / 2).any(axis=(1, 2)))
        low, high = scan[near[0]] - SCAN_SPACING, scan[near[-1]] + SCAN_SPACING
        spacing = SPACING_PER_SLOPE / max(np.abs(items.discrimination).max(), SPACING_PER_SLOPE / WIDEST_SPACING)
        nodes = low + spacing * np.arange(int(np.ceil((high - low) / spacing)) + 1)
        cubics = CubicSpline(nodes, items.log_likelihood(correct, trials, nodes)).c
        return cls(nodes, torch.tensor(np.ascontiguousarray(cubics.transpose(2, 3, 1, 0))))

    def __call__(self, ability: Tensor) -> Tensor:
        """Log-likelihood of all answers."""
        found: Tensor = Fused.apply(self._look_up, "cpu", ability)
        return found

    def _look_up(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Value and slopes."""
        intervals = len(self.nodes) - 1
        inside = theta.clamp(self.nodes[0], self.nodes[-1])
        interval = ((inside - self.nodes[0]) / (self.nodes[1] - self.nodes[0])).long().clamp(max=intervals - 1)
        place = interval + intervals * torch.arange(theta.numel()).reshape(theta.shape)
        c3, c2, c1, c0 = self.cubics.reshape(-1, 4).index_select(0, place.reshape(-1)).T.reshape(4, *theta.shape)
        t = inside - torch.from_numpy(self.nodes)[interval]
        slope = c1 + t * (2 * c2 + 3 * t * c3)
        return (c0 + t * (c1 + t * (c2 + t * c3)) + slope * (theta - inside)).sum(), slope

    def top(self, prior_sd: float) -> Array:
        """Node where the likelihood times N(0, prior_sd^2) is highest, its position, shape (item_draw, checkpoint)."""
        return np.asarray((self.cubics[..., 3].numpy() - (self.nodes[:-1] / prior_sd) ** 2 / 2).argmax(-1))

    def summary(self, prior_sd: float) -> tuple[Tensor, Tensor]:
        """Gaussian picture of each log-likelihood there: mean and precision, shape (item_draw, checkpoint)."""
        top = self.top(prior_sd)
        cubics = torch.take_along_dim(self.cubics, torch.tensor(top)[..., None, None], dim=-2)[..., 0, :]
        precision = (-2 * cubics[..., 1]).clamp(min=MIN_PRECISION)
        return torch.tensor(self.nodes[top]) + cubics[..., 2] / precision, precision


class SeedData:
    """What the program is given: its plates, what known items make of the answers, and advice on coordinates.

    Parameters
    ----------
    design : SeedDesign
        Checkpoints, runs, seeds and steps.
    table : AbilityTable
        Log-likelihoods of the checkpoints under each draw of the items.
    prior_sd : float
        Of abilities about 0, for those whose answers have no peak.
    silent : bool
        Whether answers are left aside, where only values of the sites are wanted.
    """

    grid = None

    def __init__(self, design: SeedDesign, table: AbilityTable, prior_sd: float, *, silent: bool = False) -> None:
        self.design, self.table, self.prior_sd, self.silent = design, table, prior_sd, silent
        self.mean, self.precision = table.summary(prior_sd)
        self.of_seed = np.argsort(design.seeds.of)  # the one checkpoint of each seed, without steps
        self.sizes = {
            ITEM_DRAW: len(self.mean),
            names.RUN: len(design.runs),
            RUN_SEED: len(design.seeds.run),
            RUN_STEP: len(design.steps.run),
            CHECKPOINT: len(design.rows),
        }
        self.plate = {dim: pyro.plate(dim, size, dim=-1 - (dim == ITEM_DRAW)) for dim, size in self.sizes.items()}
        first = np.r_[True, np.diff(design.seeds.run) != 0]
        root = np.bincount(design.seeds.run)[design.seeds.run] ** -0.5
        self.mirror = torch.tensor((first - root) / np.sqrt(2 - 2 * root))

    @cached_property
    def silenced(self) -> SeedData:
        """The same, its answers left aside."""
        return SeedData(self.design, self.table, self.prior_sd, silent=True)

    def chosen(self, dim: str) -> None:
        """All checkpoints are taken at each step."""

    def observe(self, ability: Tensor) -> None:
        """Add the log-likelihood of the answers, as site ``responses``."""
        if not self.silent:
            pyro.factor("responses", self.table(ability))

    def turn(self, effect: Tensor) -> Tensor:
        """Mirror the effects of a run's seeds so that the first axis becomes their mean (Householder); its own inverse.

        Shape (..., run_seed).
        """
        run = self.design.seeds.run
        return effect - 2 * self.mirror * at_places(sum_by(self.mirror * effect, run, len(self.design.runs)), run)


def at_places(values: Tensor, places: Array) -> Tensor:
    """Values at places of the last dimension; the one there is, where there is but one."""
    return values if values.shape[-1] == 1 else values.index_select(-1, torch.from_numpy(places))


def sum_by(values: Tensor, places: Array, size: int) -> Tensor:
    """Sum over the last dimension by place."""
    return values.new_zeros((*values.shape[:-1], size)).index_add(-1, torch.from_numpy(places), values)
