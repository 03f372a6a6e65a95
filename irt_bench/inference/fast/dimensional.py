"""The fast method for models with several abilities: variational factors, Gibbs sweeps where the matrix is small.

`compare_dimensions` chooses the number of dimensions by held-out answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numba import get_num_threads, set_num_threads
from threadpoolctl import threadpool_limits

from irt_bench import names
from irt_bench.arrays import Array
from irt_bench.errors import FitError, ModelError
from irt_bench.inference.convergence import MIN_ITEMS, MIN_MODELS
from irt_bench.inference.draws import Draws
from irt_bench.inference.fast.dimensional_gibbs import KEPT, refine
from irt_bench.inference.fast.gaussian_variational import (
    LEAST_SPREAD,
    MIN_SD,
    DimensionalState,
    Factors,
    GaussianVariational,
    GroupCells,
    ItemGroup,
    item_groups,
    normal_draws,
    update_group,
    update_models,
)
from irt_bench.inference.fast.gibbs import LEFT_OUT, chain_convergence, draw_normal_prior
from irt_bench.inference.settings import LaplaceSettings
from irt_bench.irt_models.model import Hierarchical
from irt_bench.irt_models.multidimensional import Multidimensional, MultidimensionalTwoPL, Slots
from irt_bench.responses.counts import ResponseCounts
from irt_bench.workers import Progress

MAX_THREADS: Final = get_num_threads()  # as many as numba may ever use
MAX_REFINED: Final = 30_000_000  # cells times draws: some seconds
MAX_REFINED_OF_FEW: Final = 300_000_000  # the same where models, or items of a dimension, are too few for a normal one
LEFT_OUT_OF_FEW: Final = 60  # sweeps at least, where a dimension has few items: with 22 intervals covered .81, not .84
START_SPREAD: Final = 0.5  # of loadings where sweeps start, in their prior's scale: from alike ones they leave slowly
MIN_SPARE_MODELS: Final = 2  # beyond the dimensions
HELD_OUT: Final = 0.1  # of the cells
MIN_ANSWERS: Final = 1_000  # to choose by those held out
MOST_DIMENSIONS: Final = 8
GAIN_LIMIT: Final = 2.33  # standard errors
MIN_CHANCE: Final = 1e-6
MAX_PROFILE_STEPS: Final = 40
PROFILE_TOLERANCE: Final = 1e-3
SPAWN_KEY: Final = 0xD1  # random numbers apart from those of the method
SITE_DIMS: Final = {
    names.ABILITY: (names.DIMENSION, names.MODEL),
    "independent_ability": (names.DIMENSION, names.MODEL),
    names.LOADING: (names.DIMENSION, names.ITEM),
    "slot_loading": ("slot", names.ITEM),
    names.INTERCEPT: (names.ITEM,),
    "loading_mean": (names.DIMENSION,),
    "loading_sd": (names.DIMENSION,),
    "intercept_mean": (),
    "intercept_sd": (),
    names.ABILITY_CORRELATION: (),
    "ability_root": (),
}


def fit_dimensional(
    irt_model: Multidimensional,
    correct: Array,
    trials: Array,
    settings: LaplaceSettings,
    progress: Progress | None = None,
) -> Draws:
    """Draw from the approximate posterior of a model with several abilities."""
    n_models = int((trials > 0).any(axis=1).sum())
    n_items = int(irt_model.pattern(correct.shape[1])[(trials > 0).any(axis=0)].sum(axis=0).min())  # of a dimension
    most = MAX_REFINED if n_models >= MIN_MODELS and n_items >= MIN_ITEMS else MAX_REFINED_OF_FEW
    refined = settings.refine and correct.size * settings.draws <= most
    spread = START_SPREAD if refined else LEAST_SPREAD
    with _in_words(irt_model, trials):
        found = approximate_dimensions(irt_model, correct, trials, settings, progress, spread)
        rng = np.random.default_rng(settings.seed)
        notes = {"sweeps": found.sweeps, "change": found.change, "tolerance": settings.tolerance}
        notes |= {"n_models": n_models, "n_items": n_items, "several": 1}
        if refined:
            few = LEFT_OUT_OF_FEW if n_items < MIN_ITEMS else LEFT_OUT
            threads = settings.n_threads
            with threadpool_limits(1):  # the chains share the threads
                state = refine(
                    found, correct, trials, rng, draws=settings.draws, left_out=few, threads=threads, progress=progress
                )
            sites = program_sites(irt_model, state, rng)
            notes |= chain_convergence(_shared(irt_model, state), KEPT)
        else:
            sites = program_sites(irt_model, approximate_state(found, settings.draws, rng), rng)
        if not all(np.isfinite(site).all() for site in sites.values()):
            raise np.linalg.LinAlgError("draws without bounds")
        return Draws({name: value[None] for name, value in sites.items()}, SITE_DIMS, notes=notes)


@contextmanager
def _in_words(irt_model: Multidimensional, trials: Array) -> Iterator[None]:
    """Refuse what has no solution in words, and more dimensions than the answers can have before any work.

    Raises
    ------
    FitError
        If there are too few models or items for the dimensions, or no bounds to the posterior.
    """
    n_models, n_items = int((trials > 0).any(axis=1).sum()), int((trials > 0).any(axis=0).sum())
    n_dims = len(irt_model.dimension_names)
    learned = irt_model.rotates or irt_model.correlated  # a covariance of abilities
    if learned and (n_dims > n_items or n_models < n_dims + MIN_SPARE_MODELS):
        raise FitError(
            f"the {irt_model.name} model has {n_dims} dimensions, for {n_models} models and {n_items} items with "
            f"answers; no more than items, and {MIN_SPARE_MODELS} fewer than models, can be fitted by method 'laplace'."
        )
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # refused below
            yield
    except np.linalg.LinAlgError as error:
        raise FitError(
            f"{int((trials > 0).sum())} answers do not bound the posterior of the {irt_model.name} model ({error}); "
            "items may be copies of each other. Give fewer dimensions, or method='nuts'."
        ) from error


def approximate_dimensions(
    irt_model: Multidimensional,
    correct: Array,
    trials: Array,
    settings: LaplaceSettings | None = None,
    progress: Progress | None = None,
    least_spread: float = START_SPREAD,
) -> GaussianVariational:
    """Optimise the factors of a model; `least_spread` as in `GaussianVariational`."""
    settings = LaplaceSettings() if settings is None else settings
    threads = settings.sweep_threads(correct.size)
    set_num_threads(min(threads, MAX_THREADS))
    with threadpool_limits(threads):
        found = GaussianVariational(irt_model, irt_model.pattern(correct.shape[1]), correct, trials, least_spread)
        found.optimise(tolerance=settings.tolerance, max_sweeps=settings.max_sweeps, progress=progress)
    return found


class DimensionChoice(NamedTuple):
    """Held-out log scores of models with one dimension, two, and so on."""

    scores: list[float]  # mean log-likelihood of an answer, in nats
    # of each number of dimensions over one less, from two on, and standard errors
    gains: list[float]
    errors: list[float]
    n_answers: int  # held out

    @property
    def chosen(self) -> int:
        """Number of dimensions before the first that gains no more than chance."""
        for place, (gain, error) in enumerate(zip(self.gains, self.errors, strict=True)):
            if not gain > GAIN_LIMIT * error:
                return place + 1
        return len(self.scores)

    @property
    def message(self) -> str:
        """One line of the scores."""
        scores = ", ".join(f"{at}: {score:.4f}" for at, score in enumerate(self.scores, start=1))
        return f"{self.chosen} dimensions; log score of {self.n_answers:,} held-out answers by dimensions {scores}"


def compare_dimensions(
    irt_model: MultidimensionalTwoPL, correct: Array, trials: Array, *, seed: int, most: int = MOST_DIMENSIONS
) -> DimensionChoice:
    """Fit more and more dimensions to 90% of the cells, as long as they predict the rest better.

    Notes
    -----
    Prediction errors are dependent within models and within items: the standard error of a gain is the larger of those
    clustered by model and by item. A dimension is taken where its gain is above 2.33 standard errors (1%, one-sided).
    """
    held = (trials > 0) & (np.random.default_rng([seed, SPAWN_KEY]).random(trials.shape) < HELD_OUT)
    seen = np.where(held, 0, correct), np.where(held, 0, trials)
    right, asked = np.where(held, correct, 0), np.where(held, trials, 0)
    scores: list[Array] = []
    n_answers = int(asked.sum())
    found = DimensionChoice([], [], [], n_answers)
    for n_dims in range(1, min(most, len(correct) - MIN_SPARE_MODELS, correct.shape[1]) + 1):
        wider = replace(irt_model, dimensions=n_dims)
        with _in_words(wider, seen[1]):
            fitted = approximate_dimensions(wider, *seen)
        chance = np.clip(fitted.chances(), MIN_CHANCE, 1 - MIN_CHANCE).astype(np.float64)
        scores.append(right * np.log(chance) + (asked - right) * np.log1p(-chance))
        found.scores.append(float(scores[-1].sum() / n_answers))
        if n_dims > 1:
            gain = scores[-1] - scores[-2]
            found.gains.append(float(gain.sum() / n_answers))
            found.errors.append(max(clustered_error(gain, asked, axis) for axis in (0, 1)))
            if found.chosen < n_dims:
                break
    return found


def choose_dimensions(
    irt_model: Multidimensional, counts: ResponseCounts, seed: int
) -> tuple[Multidimensional, DimensionChoice | None]:
    """Choose the number of dimensions by held-out answers, where the model leaves it open.

    Raises
    ------
    ModelError
        If there are too few answers.
    """
    if not isinstance(irt_model, MultidimensionalTwoPL) or irt_model.dimensions is not None:
        return irt_model, None
    n_answers = int((counts.trials > 0).sum())
    if n_answers < MIN_ANSWERS:
        raise ModelError(
            f"{n_answers} answers are too few to choose the number of dimensions by those held out, {MIN_ANSWERS:,} or "
            "more are needed; give dimensions."
        )
    found = compare_dimensions(irt_model, counts.correct, counts.trials, seed=seed)
    return replace(irt_model, dimensions=found.chosen), found


def clustered_error(gain: Array, trials: Array, axis: int) -> float:
    """Estimate the standard error of the mean gain, clustered by row (axis 1) or column (axis 0)."""
    total, n = gain.sum(axis=axis), trials.sum(axis=axis)
    away = total - n * total.sum() / n.sum()
    k = int((n > 0).sum())
    return float(np.sqrt((away**2).sum() * k / max(k - 1, 1)) / n.sum())


class KnownScale(NamedTuple):
    """Items with known parameters, and the population that other items are taken from."""

    coefficient: Array  # (known item, dimension + 1): loadings and intercepts
    # (dimension + 1,), (dimension + 1, dimension + 1): of loadings and intercepts over items
    mean: Array
    covariance: Array
    correlation: Array  # (dimension, dimension): of abilities over models


def calibrate_given_items(
    scale: KnownScale, correct: Array, trials: Array, rng: np.random.Generator, n_draws: int
) -> Array:
    """Draw loadings and intercepts of new items on the scale of known ones, (draw, new item, dimension + 1).

    The known items are the first columns of the answers.

    Notes
    -----
    The population of the models that answer is estimated, too: taken as that of the fit, abler models would be drawn
    towards it, and the new items with them (Kim 2006, doi:10.1111/j.1745-3984.2006.00021.x).
    """
    n_known, k = scale.coefficient.shape
    n_models, n_items = correct.shape
    dims = np.arange(k - 1)
    groups = [ItemGroup(np.arange(n_known), dims), ItemGroup(np.arange(n_known, n_items), dims)]
    cells = [GroupCells(group, correct, trials) for group in groups]
    new = np.tile(scale.mean, (n_items - n_known, 1))
    share = (correct.sum(axis=0) + 0.5) / (trials.sum(axis=0) + 1)
    new[:, -1] = np.log(share / (1 - share))[n_known:]
    factors = Factors(
        ability=np.zeros((n_models, k - 1)),
        ability_cov=np.broadcast_to(scale.correlation, (n_models, k - 1, k - 1)).copy(),
        coefficient=np.concatenate([scale.coefficient, new]),
        item_cov=[np.zeros((n_known, k, k)), np.broadcast_to(scale.covariance, (len(new), k, k)).copy()],
        correlation=scale.correlation,
        prior_mean=scale.mean,
        prior_cov=scale.covariance,
    )
    for _ in range(MAX_PROFILE_STEPS):
        before = factors.coefficient
        update_models(factors, cells)
        factors.location = factors.ability.mean(axis=0)
        away = factors.ability - factors.location
        factors.correlation = away.T @ away / n_models + factors.ability_cov.mean(axis=0)
        update_group(factors, cells[1], 1)
        if np.abs(factors.coefficient - before).max() < PROFILE_TOLERANCE:
            break
    _, lost = cells[1].lost_information(factors, factors.item_cov[1])
    drawn = normal_draws(np.linalg.inv(factors.item_cov[1]) - lost, n_draws, rng)
    return np.asarray(drawn + factors.coefficient[n_known:])


def profiles_given_items(
    loading: Array, intercept: Array, correlation: Array, correct: Array, trials: Array
) -> tuple[Array, Array]:
    """Means and variances of abilities N(0, correlation) given loadings, (item, dimension), and intercepts."""
    groups = item_groups(loading != 0)
    n_models, n_dims = len(correct), loading.shape[1]
    factors = Factors(
        ability=np.zeros((n_models, n_dims)),
        ability_cov=np.broadcast_to(correlation, (n_models, n_dims, n_dims)).copy(),
        coefficient=np.column_stack([loading, intercept]),
        item_cov=[np.zeros((len(items), len(dims) + 1, len(dims) + 1)) for items, dims in groups],
        correlation=correlation,
        prior_mean=np.zeros(n_dims + 1),
        prior_cov=np.eye(n_dims + 1),
    )
    cells = [GroupCells(group, correct, trials) for group in groups]
    for _ in range(MAX_PROFILE_STEPS):
        before = factors.ability
        update_models(factors, cells)
        if np.abs(factors.ability - before).max() < PROFILE_TOLERANCE:
            break
    return factors.ability, np.diagonal(factors.ability_cov, axis1=1, axis2=2)


def approximate_state(found: GaussianVariational, n_draws: int, rng: np.random.Generator) -> DimensionalState:
    """Draw from the normal approximation, means and sds over items given the items."""
    drawn, priors = found.draw(rng, n_draws), found.irt_model
    loading = drawn.coefficient[..., :-1]
    population = [_population(loading[:, own, at], priors.loading, rng) for at, own in enumerate(found.pattern.T)]
    population.append(_population(drawn.coefficient[..., -1], priors.intercept, rng))
    mean, sd = (np.concatenate(each, axis=1) for each in zip(*population, strict=True))
    return replace(drawn, mean=mean, sd=sd)


def draw_sites(irt_model: Multidimensional, correct: Array, trials: Array, n_draws: int) -> dict[str, Array]:
    """Draw the sites of the program from the normal approximation, each of shape (draw, ...); always the same."""
    rng = np.random.default_rng(0)
    found = approximate_dimensions(irt_model, correct, trials)
    return program_sites(irt_model, approximate_state(found, n_draws, rng), rng)


def program_sites(irt_model: Multidimensional, state: DimensionalState, rng: np.random.Generator) -> dict[str, Array]:
    """Values of the sites of the program, (draw, ...); slots that an item does not use are N(0, 1)."""
    loading = state.coefficient[..., :-1]
    slots = Slots.from_pattern(irt_model.pattern(loading.shape[1]))
    places = np.minimum(slots.dimension.T, slots.n_dims - 1)
    slot_loading = np.take_along_axis(loading, places[None], axis=2)
    unused = np.equal(slots.dimension.T, slots.n_dims)
    slot_loading[:, unused] = rng.standard_normal((len(loading), int(unused.sum())))
    sites = {
        names.ABILITY: state.ability.transpose(0, 2, 1),
        names.LOADING: loading.transpose(0, 2, 1),
        names.INTERCEPT: state.coefficient[..., -1],
        "slot_loading": slot_loading.transpose(0, 2, 1),
        "loading_mean": state.mean[:, :-1, None],
        "loading_sd": state.sd[:, :-1, None],
        "intercept_mean": state.mean[:, -1],
        "intercept_sd": state.sd[:, -1],
    }
    if irt_model.correlated:
        root = np.linalg.cholesky(state.correlation.astype(np.float64))
        independent = np.linalg.solve(root, sites[names.ABILITY])
        sites |= {names.ABILITY_CORRELATION: state.correlation}
        sites |= {"ability_root": root, "independent_ability": independent}
    return sites


def _shared(irt_model: Multidimensional, state: DimensionalState) -> dict[str, Array]:
    """Give what items share, (1, draw) each; where abilities may be rotated, what rotations leave alone."""
    if irt_model.rotates:
        squares = (state.coefficient[..., :-1] ** 2).sum(axis=2).mean(axis=1)
        return {"squares": squares[None], "mean": state.mean[None, :, -1], "sd": state.sd[None, :, -1]}
    signs = np.sign(state.coefficient[..., :-1].sum(axis=1))  # a dimension and its loadings may be reflected
    both = np.concatenate([state.mean[:, :-1] * signs, state.mean[:, -1:], state.sd], axis=1)
    return {str(at): values[None] for at, values in enumerate(both.T)}


def _population(values: Array, prior: Hierarchical, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw mean and sd of values, (draw, item) → (draw, 1) each."""
    values = values.astype(np.float64)
    sd = np.maximum(values.std(axis=1, keepdims=True), MIN_SD)
    return draw_normal_prior(values, sd, prior, rng)
