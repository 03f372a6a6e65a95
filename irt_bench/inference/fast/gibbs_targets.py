"""What Gibbs sweeps draw from: log densities of abilities, of items, and of items moved together, with slopes.

Many draws at once, likelihoods in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

import numpy as np

from irt_bench.arrays import Array
from irt_bench.irt_models.logistic import Logistic
from irt_bench.irt_models.model import Hierarchical, Normal
from irt_bench.irt_models.populations import PopulationDesign

VECTOR: Final = 32  # numbers that a compiled loop takes at a time


class TargetAt(NamedTuple):
    """Log densities of many units in many draws, at one position."""

    density: Array  # (draw, unit)
    slopes: Array  # (draw, unit, coordinate)
    sums: Array | None = None  # over answers, behind them, from which the next target may begin; (..., draw, unit or 1)


class LogDensity(Protocol):
    """Log densities of many units in many draws."""

    def __call__(self, position: Array, *, density: bool = True) -> TargetAt:
        """Look at a position, (draw, unit, coordinate); without `density` only the slopes count."""


class Answers:
    """Responses, ready for many draws.

    Parameters
    ----------
    correct, trials : integer arrays of shape (model, item)
        Right answers and trials.
    guessing : array of shape (item,) or None
        Known lower asymptotes.
    threads : int
        Threads to use; results do not depend on them.
    """

    def __init__(self, correct: Array, trials: Array, guessing: Array | None, *, threads: int = 1) -> None:
        self.n_models, self.n_items = len(correct), int(correct.shape[1])
        self.n_cells = self.n_models * self.n_items
        self._threads = threads
        self._along_items = correct.shape[1] >= len(correct)  # compiled loops run along the longer side
        self._correct, self._trials = (_padded(each if self._along_items else each.T) for each in (correct, trials))
        self._low = None if guessing is None else _padded(guessing)

    def sums(self, ability: Array, slope: Array, intercept: Array, *, density: bool = True) -> tuple[Array, Array]:
        """Sum the log-likelihood and its slopes over items and over models.

        Parameters
        ----------
        ability : array of shape (draw, model)
        slope, intercept : arrays of shape (draw, item)
            Log-odds are slope * ability + intercept; slope may be (draw, 1).
        density : bool
            Whether the log-likelihood is needed; otherwise it is 0, and the slopes come in half the time.

        Returns
        -------
        by_model : array of shape (2, draw, model)
            Log-likelihood of each model and its slope in the ability.
        by_item : array of shape (3, draw, item)
            Log-likelihood of each item and its slopes in the intercept and in the slope.
        """
        from irt_bench.inference.fast import sweep_numba  # noqa: PLC0415 - a quarter of a second that few fits need

        sweep_numba.use_threads(self._threads)
        slope = np.broadcast_to(slope, intercept.shape)
        if self._along_items:
            ability, slope, intercept = _single(ability), _padded(slope), _padded(intercept)
            sums = sweep_numba.log_likelihood_along_items
        else:
            ability, slope, intercept = _padded(ability), _single(slope), _single(intercept)
            sums = sweep_numba.log_likelihood_along_models
        by_model, by_item = sums(self._correct, self._trials, ability, slope, intercept, self._low, density or None)
        return by_model[..., : self.n_models], by_item[..., : self.n_items]


def _padded(values: Array) -> Array:
    """Fill the last axis up with zeros, cells that nobody was asked: compiled loops take whole vectors."""
    found = np.zeros((*values.shape[:-1], -(-values.shape[-1] // VECTOR) * VECTOR), np.float32)
    found[..., : values.shape[-1]] = values
    return found


def _single(values: Array) -> Array:
    return np.ascontiguousarray(values, dtype=np.float32)


@dataclass(frozen=True)
class State:
    """One value of everything in each of several draws."""

    ability: Array  # (draw, model)
    intercept: Array  # (draw, item)
    log_slope: Array  # (draw, item), or (draw, 1) where items share it
    # (draw, 1): of the priors of b and log a, learned or known
    difficulty_mean: Array
    difficulty_sd: Array
    slope_mean: Array
    slope_sd: Array
    population: Array  # (draw, value): values of a `PopulationDesign`; none where abilities are N(0, 1)

    def map(self, function: Callable[[Array], Array]) -> State:
        """Apply a function to every field."""
        return State(**{name: function(values) for name, values in vars(self).items()})

    @property
    def difficulty(self) -> Array:
        """b, shape (draw, item)."""
        return np.asarray(-self.intercept * np.exp(-self.log_slope))


def ability_target(answers: Answers, state: State, design: PopulationDesign | None = None) -> LogDensity:
    """Each model's log density in its ability, (draw, model, 1)."""
    slope = np.exp(state.log_slope)

    def target(position: Array, *, density: bool = True) -> TargetAt:
        by_model, _ = answers.sums(position[..., 0], slope, state.intercept, density=density)
        return ability_density(position, by_model, state, design)

    return target


def ability_density(position: Array, by_model: Array, state: State, design: PopulationDesign | None = None) -> TargetAt:
    """Evaluate `ability_target` where the sums over answers are known."""
    (value, residual), (centre, sd) = by_model, (0.0, 1.0) if design is None else design.prior(state.population)
    away = (position[..., 0] - centre) / sd
    return TargetAt(value - away**2 / 2, (residual - away / sd)[..., None])


def item_target(answers: Answers, state: State, *, shared_slope: bool = False) -> LogDensity:
    """Each item's log density in its intercept and log slope, (draw, item, 2), or in the intercept alone."""

    def target(position: Array, *, density: bool = True) -> TargetAt:
        intercept = position[..., 0]
        log_slope = state.log_slope if shared_slope else position[..., 1]
        slope = np.exp(log_slope)
        _, sums = answers.sums(state.ability, slope, intercept, density=density)
        value, residual, weighted = sums
        prior, by_intercept, by_slope = _difficulty_prior(state, intercept, log_slope)
        if shared_slope:
            return TargetAt(value + prior, (residual + by_intercept)[..., None], sums)
        distance = (log_slope - state.slope_mean) / state.slope_sd
        slopes = [residual + by_intercept, slope * weighted + by_slope - distance / state.slope_sd]
        return TargetAt(value + prior - distance**2 / 2, np.stack(slopes, -1), sums)

    return target


class Stretch:
    """Items moved together, each keeping its place among the others: the log sds of b and log a (1PL: log a itself).

    Where an sd is known there is nothing to move: the trajectory has no step in it.

    Where answers inform little about single items, these move far where draws given the items hardly do (Yu & Meng
    2011, doi:10.1198/jcgs.2011.203main).
    """

    def __init__(self, irt_model: Logistic, state: State) -> None:
        self._prior, self._slopes, self._state = irt_model.difficulty, irt_model.log_discrimination, state
        self._place = (state.difficulty - state.difficulty_mean) / state.difficulty_sd
        self._slope_place = (state.log_slope - state.slope_mean) / state.slope_sd
        self._shared_slope = irt_model.shared_slope
        second = state.log_slope if self._shared_slope else np.log(state.slope_sd)
        self.start = np.hstack([np.log(state.difficulty_sd), second])

    def state(self, position: Array) -> State:
        """Items and hierarchy at a position, (draw, 2)."""
        state, spread = self._state, np.exp(position[:, :1])
        difficulty = state.difficulty_mean + spread * self._place
        log_slope, slope_sd = position[:, 1:], state.slope_sd
        if not self._shared_slope:
            slope_sd = np.exp(log_slope)
            log_slope = state.slope_mean + slope_sd * self._slope_place
        intercept = -np.exp(log_slope) * difficulty
        return replace(state, intercept=intercept, log_slope=log_slope, difficulty_sd=spread, slope_sd=slope_sd)

    def target(self, answers: Answers) -> LogDensity:
        """Log density of a position, (draw, 1, 2)."""

        def target(position: Array, *, density: bool = True) -> TargetAt:
            state = self.state(position[:, 0])
            sums = answers.sums(state.ability, np.exp(state.log_slope), state.intercept, density=density)
            return self._density(state, *sums)

        return target

    def density_at_start(self, by_item: Array) -> TargetAt:
        """Evaluate the target at the start, where sums over models are known; those over items are not."""
        return self._density(self._state, np.asarray(np.nan), by_item)

    def _density(self, state: State, by_model: Array, by_item: Array) -> TargetAt:
        value, residual, weighted = by_item
        slope = np.exp(state.log_slope)
        by_spread = (-slope * residual * state.difficulty_sd * self._place).sum(1, keepdims=True)
        by_log_slope = slope * weighted + residual * state.intercept
        prior, pull = _log_sd_prior(state.difficulty_sd, self._prior)
        total, by_spread = value.sum(1, keepdims=True) + prior, by_spread + pull
        if self._shared_slope:
            distance = (state.log_slope - state.slope_mean) / state.slope_sd
            prior, pull, moved = -(distance**2) / 2, -distance / state.slope_sd, by_log_slope
        else:
            prior, pull = _log_sd_prior(state.slope_sd, self._slopes)
            moved = by_log_slope * state.slope_sd * self._slope_place
        slopes = np.stack([by_spread, moved.sum(1, keepdims=True) + pull], -1)
        return TargetAt(total + prior, slopes, by_model)


def _log_sd_prior(sd: Array, prior: Hierarchical | Normal) -> tuple[Array, Array]:
    """Log density of a log sd and its slope; none of one that is known, which no trajectory moves."""
    if isinstance(prior, Normal):
        return np.zeros_like(sd), np.zeros_like(sd)
    share = (sd / prior.sd.scale) ** 2
    return np.log(sd) - share / 2, 1 - share


def _difficulty_prior(state: State, intercept: Array, log_slope: Array) -> tuple[Array, Array, Array]:
    """Log density of b in (intercept, log slope), with the Jacobian 1 / a, and its slopes, (draw, item) each."""
    shrink = np.exp(-log_slope)
    difficulty = -intercept * shrink
    distance = (difficulty - state.difficulty_mean) / state.difficulty_sd
    pull = distance / state.difficulty_sd
    return -(distance**2) / 2 - log_slope, pull * shrink, pull * difficulty - 1
