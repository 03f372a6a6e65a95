"""Many short Gibbs chains that carry draws of models with several abilities to the exact posterior.

Given the rest, the abilities of models are independent, and so are items: each takes a short Hamiltonian trajectory in
units of its conditional spread, as in `irt_bench.inference.fast.gibbs`. Means and sds over items are drawn given the
items, and so are, exactly, the location and the scale of each dimension that models and items share.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.special import expit

from irt_bench.arrays import Array
from irt_bench.inference.fast.gaussian_variational import (
    DimensionalState,
    GaussianVariational,
    flatten,
    inverse_wishart,
    outer,
    single,
    symmetric,
)
from irt_bench.inference.fast.gibbs import LEFT_OUT, draw_from_nodes, draw_normal_prior, trajectory
from irt_bench.inference.fast.gibbs_targets import LogDensity, TargetAt
from irt_bench.inference.fast.sweep_numba import log_likelihood_of_cells
from irt_bench.irt_models.multidimensional import Multidimensional
from irt_bench.workers import Progress

BLOCK: Final = 200_000  # cells times draws at once: they stay in the cache
KEPT: Final = 8  # sweeps of each chain whose draws are kept; those of one chain are alike
CHEAP: Final = 50_000_000  # cells times chains times sweeps
MAX_LEFT_OUT: Final = 200  # sds over items that hardly differ move slowly, and small matrices cost nothing
MEASURED: Final = 4  # times that spreads are measured, before any draw is kept
SCALE_SDS: Final = np.linspace(-8, 8, 201)  # of the logarithm of a dimension's scale


class Units(NamedTuple):
    """Roots of conditional covariances, in whose units trajectories are run."""

    models: Array  # (chain, model, dimension, dimension)
    items: list[Array]  # by group, (chain, item of a group, k + 1, k + 1)
    population: Array  # (chain, 1, 2 dimension, 2 dimension): of means and log sds of loadings, items moved with them


class DimensionalGibbs:
    """Gibbs sweeps over many chains at once."""

    def __init__(self, found: GaussianVariational, correct: Array, trials: Array) -> None:
        self.irt_model: Multidimensional = found.irt_model
        self.pattern = found.pattern
        self._groups = [(cells.items, cells.columns) for cells in found.cells]
        self._right = correct.astype(np.float32)
        self._trials = trials.astype(np.float32)
        self.n_cells = correct.size

    def sample(
        self,
        start: DimensionalState,
        rng: np.random.Generator,
        *,
        draws: int,
        left_out: int,
        threads: int,
        progress: Progress | None,
    ) -> DimensionalState:
        """Draw states, sweep after sweep, those of one sweep independent; results do not depend on `threads`."""
        from joblib import Parallel, delayed  # noqa: PLC0415 - a tenth of a second that few fits need

        chains = len(start.ability)
        size = max(BLOCK // self.n_cells, 1)
        parts = [slice(at, min(at + size, chains)) for at in range(0, chains, size)]
        left_out = int(np.clip(CHEAP // (self.n_cells * chains), left_out, MAX_LEFT_OUT))
        streams = zip(parts, rng.spawn(len(parts)), strict=True)
        tasks = (delayed(self._run)(start.part(part), own, left_out) for part, own in streams)
        blocks = []
        for block in Parallel(n_jobs=threads, prefer="threads", return_as="generator")(tasks):
            blocks.append(block)
            if progress is not None:
                progress("refining", parts[len(blocks) - 1].stop, chains)
        kept = [block[at] for at in range(KEPT) for block in blocks]
        joined = {name: np.concatenate([getattr(each, name) for each in kept])[:draws] for name in vars(start)}
        return DimensionalState(**joined)

    def _run(self, state: DimensionalState, rng: np.random.Generator, left_out: int) -> list[DimensionalState]:
        kept, measured = [], {left_out * part // MEASURED for part in range(MEASURED)}
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # a trajectory that runs away is rejected
            for at in range(left_out + KEPT):
                if at in measured:
                    units = self.units(state)
                state = self.sweep(state, units, rng)
                if at >= left_out:
                    kept.append(state)
        return kept

    def units(self, state: DimensionalState) -> Units:
        """Measure conditional spreads, one chain apart from the others: hierarchies may lie at different places."""
        loading, n_dims = state.coefficient[..., :-1], self.pattern.shape[1]
        log_odds = state.ability @ np.swapaxes(loading, 1, 2) + state.coefficient[:, None, :, -1]
        chance = expit(log_odds)
        weight = (self._trials * chance * (1 - chance)).astype(np.float32)
        design = np.concatenate([state.ability, np.ones((*state.ability.shape[:2], 1))], axis=2)
        of_models = (
            symmetric(weight @ single(flatten(outer(loading))), n_dims) + np.linalg.inv(state.correlation)[:, None]
        )
        precision = symmetric(np.swapaxes(weight, 1, 2) @ single(flatten(outer(design))), n_dims + 1)
        own = np.where(self.pattern, np.diagonal(precision, axis1=2, axis2=3)[..., :-1], 0.0)
        away = (loading - state.mean[:, None, :-1]) ** 2
        known = [own.sum(1) + self.irt_model.loading.mean.scale**-2, (own * away).sum(1) + 2]
        of_items = []
        for items, columns in self._groups:
            prior = state.sd[:, None, columns, None] ** -2 * np.eye(len(columns))
            of_items.append(precision[:, items[:, None, None], columns[:, None], columns] + prior)
        of_population = np.concatenate(known, axis=1)[:, None, :, None] * np.eye(2 * n_dims)
        return Units(_root(of_models), [_root(each) for each in of_items], _root(of_population))

    def sweep(self, state: DimensionalState, units: Units, rng: np.random.Generator) -> DimensionalState:
        """Draw abilities, items, their population and what models and items share in turn, each given the rest."""
        ability, _ = trajectory(state.ability, self._model_target(state), units.models, rng)
        state, coefficient = replace(state, ability=ability), state.coefficient.copy()
        for (items, columns), roots in zip(self._groups, units.items, strict=True):
            place = (slice(None), items[:, None], columns)
            target = self._item_target(state, items, columns)
            coefficient[place], _ = trajectory(coefficient[place], target, roots, rng)
        state = self._move_together(replace(state, coefficient=coefficient), units.population, rng)
        state = self._draw_population(state, rng)
        state = self._draw_location(state, rng)
        return self._draw_correlation(state, rng) if self.irt_model.correlated else self._draw_scales(state, rng)

    def _likelihood(self, log_odds: Array, density: bool, items: Any = slice(None)) -> tuple[Array, Array]:
        """Log-likelihood of each cell, or 0, and its slope, (chain, model, item) each."""
        value = np.empty_like(log_odds) if density else None
        log_likelihood_of_cells(log_odds, self._right[:, items], self._trials[:, items], value)
        return np.zeros((1, 1, 1)) if value is None else value, log_odds

    def _model_target(self, state: DimensionalState) -> LogDensity:
        loading = state.coefficient[..., :-1].astype(np.float32)
        intercept = state.coefficient[:, None, :, -1].astype(np.float32)
        precision = np.linalg.inv(state.correlation)

        def target(position: Array, *, density: bool = True) -> TargetAt:
            log_odds = position.astype(np.float32) @ np.swapaxes(loading, 1, 2) + intercept
            value, residual = self._likelihood(log_odds, density)
            pull = position @ precision
            return TargetAt(value.sum(2) - (pull * position).sum(2) / 2, residual @ loading - pull)

        return target

    def _item_target(self, state: DimensionalState, items: Array, columns: Array) -> LogDensity:
        ones = np.ones((*state.ability.shape[:2], 1))
        design = np.concatenate([state.ability, ones], axis=2)[..., columns].astype(np.float32)
        mean, sd = state.mean[:, None, columns], state.sd[:, None, columns]

        def target(position: Array, *, density: bool = True) -> TargetAt:
            log_odds = design @ np.swapaxes(position.astype(np.float32), 1, 2)
            value, residual = self._likelihood(log_odds, density, items)
            away = (position - mean) / sd
            return TargetAt(value.sum(1) - (away**2).sum(2) / 2, np.swapaxes(residual, 1, 2) @ design - away / sd)

        return target

    def _move_together(self, state: DimensionalState, roots: Array, rng: np.random.Generator) -> DimensionalState:
        """Move mean and sd of the loadings on each dimension, items keeping their places among the others.

        Where answers inform little about single items these move far, where draws given the items hardly do (Yu & Meng
        2011, doi:10.1198/jcgs.2011.203main).
        """
        n_dims, prior = self.pattern.shape[1], self.irt_model.loading
        start = np.concatenate([state.mean[:, :-1], np.log(state.sd[:, :-1])], axis=1)
        place = (state.coefficient[..., :-1] - state.mean[:, None, :-1]) / state.sd[:, None, :-1]
        ability = state.ability.astype(np.float32)
        intercept = state.coefficient[:, None, :, -1].astype(np.float32)

        def loading_at(position: Array) -> Array:
            mean, sd = position[:, None, :n_dims], np.exp(position[:, None, n_dims:])
            return np.where(self.pattern, mean + sd * place, 0.0)

        def target(position: Array, *, density: bool = True) -> TargetAt:
            position = position[:, 0]
            mean, sd = position[:, :n_dims], np.exp(position[:, n_dims:])
            log_odds = ability @ np.swapaxes(loading_at(position).astype(np.float32), 1, 2) + intercept
            value, residual = self._likelihood(log_odds, density)
            slope = np.where(self.pattern, np.swapaxes(residual, 1, 2) @ ability, 0.0)
            away, share = (mean - prior.mean.loc) / prior.mean.scale, (sd / prior.sd.scale) ** 2
            total = value.sum((1, 2)) + (position[:, n_dims:] - share / 2 - away**2 / 2).sum(1)
            by_mean = slope.sum(1) - away / prior.mean.scale
            by_sd = (slope * place).sum(1) * sd + 1 - share
            return TargetAt(total[:, None], np.concatenate([by_mean, by_sd], axis=1)[:, None])

        position, _ = trajectory(start[:, None], target, roots, rng)
        moved, coefficient = position[:, 0], state.coefficient.copy()
        coefficient[..., :-1] = loading_at(moved)
        mean, sd = state.mean.copy(), state.sd.copy()
        mean[:, :-1], sd[:, :-1] = moved[:, :n_dims], np.exp(moved[:, n_dims:])
        return replace(state, coefficient=coefficient, mean=mean, sd=sd)

    def _draw_population(self, state: DimensionalState, rng: np.random.Generator) -> DimensionalState:
        mean, sd = state.mean.copy(), state.sd.copy()
        n_dims = self.pattern.shape[1]
        for at in range(n_dims + 1):
            own = self.pattern[:, at] if at < n_dims else slice(None)
            prior = self.irt_model.loading if at < n_dims else self.irt_model.intercept
            values = state.coefficient[:, own, at]
            mean[:, at : at + 1], sd[:, at : at + 1] = draw_normal_prior(values, sd[:, at : at + 1], prior, rng)
        return replace(state, mean=mean, sd=sd)

    def _draw_location(self, state: DimensionalState, rng: np.random.Generator) -> DimensionalState:
        """Shift all abilities, and intercepts so that curves stay as they are."""
        loading, n_models = state.coefficient[..., :-1], state.ability.shape[1]
        known = np.linalg.inv(state.correlation)
        away = (state.coefficient[..., -1] - state.mean[:, -1:]) / state.sd[:, -1:] ** 2
        precision = n_models * known + np.swapaxes(loading, 1, 2) @ loading / state.sd[:, -1, None, None] ** 2
        pull = (state.ability.sum(1)[:, None] @ known)[:, 0] - (away[:, None] @ loading)[:, 0]
        back = np.linalg.inv(np.linalg.cholesky(precision))
        noise = rng.standard_normal(pull.shape)
        shift = np.einsum("cba,cb->ca", back, np.einsum("cab,cb->ca", back, pull) + noise)
        coefficient = state.coefficient.copy()
        coefficient[..., -1] += (loading @ shift[..., None])[..., 0]
        return replace(state, ability=state.ability - shift[:, None], coefficient=coefficient)

    def _draw_scales(self, state: DimensionalState, rng: np.random.Generator) -> DimensionalState:
        """Stretch each dimension: abilities by 1 / s, its loadings, their mean and sd by s."""
        n_models, prior = state.ability.shape[1], self.irt_model.loading
        squares = (state.ability**2).sum(1)
        log_scale = np.empty(squares.shape)
        for at in range(squares.shape[1]):
            nodes = np.log(squares[:, at] / n_models)[:, None] / 2 + SCALE_SDS / np.sqrt(2 * n_models)
            density = -n_models * nodes - squares[:, at, None] * np.exp(-2 * nodes) / 2
            density += _log_prior_of_scaled(state, at, nodes, prior)
            log_scale[:, at] = draw_from_nodes(nodes, density, rng)[:, 0]
        return _stretched(state, np.exp(log_scale))

    def _draw_correlation(self, state: DimensionalState, rng: np.random.Generator) -> DimensionalState:
        """Draw correlations and scales together (Liu & Daniels 2006, doi:10.1198/106186006X160681), by Metropolis."""
        n_models, n_dims = state.ability.shape[1:]
        scatter = np.swapaxes(state.ability, 1, 2) @ state.ability
        covariance = inverse_wishart(scatter, n_models, rng)
        scale = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        correlation = covariance / (scale[:, :, None] * scale[:, None, :])
        gain = np.linalg.slogdet(correlation)[1] - np.linalg.slogdet(state.correlation)[1]
        gain *= (n_dims + 1) / 2
        for at in range(n_dims):
            nodes = np.stack([np.log(scale[:, at]), np.zeros(len(scale))], axis=1)
            log_prior = _log_prior_of_scaled(state, at, nodes, self.irt_model.loading)
            gain += log_prior[:, 0] - log_prior[:, 1]
        taken = -rng.standard_exponential(gain.shape) < gain
        moved = _stretched(state, np.where(taken[:, None], scale, 1.0))
        return replace(moved, correlation=np.where(taken[:, None, None], correlation, state.correlation))


def _root(precision: Array) -> Array:
    """Lower root of covariances from precisions, (..., k, k)."""
    return np.linalg.cholesky(np.linalg.inv(precision))


def _log_prior_of_scaled(state: DimensionalState, at: int, log_scale: Array, prior: Any) -> Array:
    """Log density of a dimension's mean and sd of loadings, stretched, with the change of volume, (chain, node)."""
    scale = np.exp(log_scale)
    mean = (scale * state.mean[:, at, None] - prior.mean.loc) / prior.mean.scale
    return np.asarray(2 * log_scale - mean**2 / 2 - (scale * state.sd[:, at, None] / prior.sd.scale) ** 2 / 2)


def _stretched(state: DimensionalState, scale: Array) -> DimensionalState:
    wide = np.concatenate([scale, np.ones((len(scale), 1))], axis=1)
    return replace(
        state,
        ability=state.ability / scale[:, None],
        coefficient=state.coefficient * wide[:, None],
        mean=state.mean * wide,
        sd=state.sd * wide,
    )


def refine(
    found: GaussianVariational,
    correct: Array,
    trials: Array,
    rng: np.random.Generator,
    *,
    draws: int,
    left_out: int = LEFT_OUT,
    threads: int = 1,
    progress: Progress | None = None,
) -> DimensionalState:
    """Draw states from the posterior, chains starting at draws of the normal approximation.

    At least `left_out` sweeps precede those that are kept; more where they cost nothing.
    """
    start = found.draw(rng, -(-draws // KEPT))
    start = DimensionalState(**{name: values.astype(np.float64) for name, values in vars(start).items()})
    gibbs = DimensionalGibbs(found, correct, trials)
    return gibbs.sample(start, rng, draws=draws, left_out=left_out, threads=threads, progress=progress)
