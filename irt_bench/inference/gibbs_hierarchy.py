"""What Gibbs sweeps draw exactly: means and sds over items, and the frame that abilities and items share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from irt_bench.inference.gibbs_targets import State
from irt_bench.inference.item_updates import FrameScale, Held, frame_location, known_hierarchy
from irt_bench.irt_models.base import HalfNormal, Hierarchical
from irt_bench.irt_models.logistic import Logistic

Array = npt.NDArray[Any]
NODES: Final = np.linspace(-7, 7, 281)  # of a density of one variable, in sds
TINY: Final = 1e-12


def draw_hierarchy(irt_model: Logistic, state: State, rng: np.random.Generator) -> State:
    """Draw means and sds over items that are learned, given the items."""
    if isinstance(irt_model.difficulty, Hierarchical):
        mean, sd = _draw_normal_prior(state.difficulty, state.difficulty_sd, irt_model.difficulty, rng)
        state = replace(state, difficulty_mean=mean, difficulty_sd=sd)
    if isinstance(irt_model.log_discrimination, Hierarchical):
        mean, sd = _draw_normal_prior(state.log_slope, state.slope_sd, irt_model.log_discrimination, rng)
        state = replace(state, slope_mean=mean, slope_sd=sd)
    return state


def _draw_normal_prior(values: Array, sd: Array, prior: Hierarchical, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw the mean given the sd, and then the sd given the mean, (draw, 1) each."""
    n, least = values.shape[1], 1 / prior.mean.scale**2
    precision = n / sd**2 + least
    centre = (values.sum(1, keepdims=True) / sd**2 + prior.mean.loc * least) / precision
    mean = centre + rng.standard_normal(sd.shape) / np.sqrt(precision)
    return mean, _draw_sd(((values - mean) ** 2).sum(1, keepdims=True), n, prior.sd, rng)


def _draw_sd(squares: Array, n: int, prior: HalfNormal, rng: np.random.Generator) -> Array:
    """Draw an sd of which n deviations are known by the sum of their squares."""
    tau = prior.scale**2
    squares = np.maximum(squares, TINY)
    mode = 2 * squares / (np.sqrt((n - 1) ** 2 + 4 * squares / tau) + n - 1)
    width = 1 / np.sqrt(2 * squares / mode + 2 * mode / tau)
    log_sd = np.log(mode) / 2 + width * NODES
    square = np.exp(2 * log_sd)
    return np.exp(_draw_from(log_sd, -(n - 1) * log_sd - squares / (2 * square) - square / (2 * tau), rng))


def draw_frame(irt_model: Logistic, state: State, rng: np.random.Generator) -> State:
    """Draw the location, and then the scale, of abilities and items together: curves stay as they are."""
    difficulty = Held.make(irt_model.difficulty, state.difficulty, state.difficulty_mean)
    centre, precision = frame_location(state.ability, difficulty)
    location = centre + rng.standard_normal(centre.shape) / np.sqrt(precision)
    state = replace(
        state,
        ability=state.ability - location,
        intercept=state.intercept + np.exp(state.log_slope) * location,
        difficulty_mean=state.difficulty_mean - location,
    )
    log_scale = _draw_log_scale(irt_model, state, rng)
    scale = np.exp(log_scale)
    known = {name: np.full_like(scale, value) for name, value in known_hierarchy(irt_model).items()}
    moved = {
        "difficulty_mean": state.difficulty_mean / scale,
        "difficulty_sd": state.difficulty_sd / scale,
        "slope_mean": state.slope_mean + log_scale,
    }
    return replace(state, ability=state.ability / scale, log_slope=state.log_slope + log_scale, **moved | known)


def _draw_log_scale(irt_model: Logistic, state: State, rng: np.random.Generator) -> Array:
    """Log of the factor by which abilities are divided."""
    size, squares = state.ability.shape[1], (state.ability**2).sum(1, keepdims=True)
    if isinstance(irt_model.difficulty, Hierarchical):
        size, squares = size + 1, squares + (state.difficulty_sd / irt_model.difficulty.sd.scale) ** 2
    frame = FrameScale.make(
        size,
        squares,
        Held.make(irt_model.difficulty, state.difficulty, state.difficulty_mean),
        Held.make(irt_model.log_discrimination, state.log_slope, state.slope_mean),
    )
    mode, precision = frame.peak()
    log_scale = mode + NODES / np.sqrt(precision)
    return _draw_from(log_scale, frame.log_density(log_scale), rng)


def _draw_from(nodes: Array, log_density: Array, rng: np.random.Generator) -> Array:
    """Draw from densities tabulated at evenly spaced nodes, (draw, node) → (draw, 1)."""
    total = np.exp(log_density - log_density.max(1, keepdims=True)).cumsum(1)
    cell = (total < rng.random((len(total), 1)) * total[:, -1:]).sum(1, keepdims=True)
    gap = nodes[:, 1:2] - nodes[:, :1]
    return np.asarray(np.take_along_axis(nodes, cell, 1) + gap * (rng.random(cell.shape) - 0.5))
