"""Many short Gibbs chains that carry draws of the normal approximation to the exact posterior.

Given the rest, abilities are independent, and so are items: each takes a short Hamiltonian trajectory (Duane et al.
1987) in the coordinates of the normal approximation. The hierarchy is drawn exactly. What mixes slowly in such a
scheme, the location and scale that abilities and items share, is drawn exactly, too, along the moves that leave the
likelihood alone (Liu & Sabatti 2000, doi:10.1093/biomet/87.2.353). The start is close, so that few sweeps suffice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np

from irt_bench import names
from irt_bench.arrays import Array
from irt_bench.inference.fast.bordered_precision import inverse_roots, times
from irt_bench.inference.fast.gibbs_targets import (
    Answers,
    LogDensity,
    State,
    Stretch,
    TargetAt,
    ability_density,
    ability_target,
    item_target,
)
from irt_bench.inference.fast.joint_normal import Mode
from irt_bench.inference.fast.parameter_updates import FrameScale, Held, frame_location, item_blocks, known_hierarchy
from irt_bench.irt_models.logistic import LOG_DISCRIMINATION, Logistic
from irt_bench.irt_models.model import HalfNormal, Hierarchical, Normal
from irt_bench.irt_models.populations import PopulationDesign
from irt_bench.workers import Progress

NODES: Final = np.linspace(-7, 7, 281)  # of a density of one variable, in sds
TINY: Final = 1e-12
KEPT: Final = 16  # sweeps of each chain whose draws are kept: with 8 as exact per draw, and half as long again
LEFT_OUT, MAX_LEFT_OUT = 12, 60  # sweeps before them, of large matrices and of small ones, where they cost nothing
CHEAP: Final = 15_000_000  # cells times chains times sweeps
MAX_SDS: Final = 4.0  # of an item from the others, at the start
MAX_NATS: Final = 1.0  # a coordinate, of log-likelihood below the mode's: normal draws lose a half
MAX_HALVINGS: Final = 8


def draw_hierarchy(irt_model: Logistic, state: State, rng: np.random.Generator) -> State:
    """Draw means and sds over items that are learned, given the items, and populations given the abilities."""
    if isinstance(irt_model.difficulty, Hierarchical):
        mean, sd = draw_normal_prior(state.difficulty, state.difficulty_sd, irt_model.difficulty, rng)
        state = replace(state, difficulty_mean=mean, difficulty_sd=sd)
    if isinstance(irt_model.log_discrimination, Hierarchical):
        mean, sd = draw_normal_prior(state.log_slope, state.slope_sd, irt_model.log_discrimination, rng)
        state = replace(state, slope_mean=mean, slope_sd=sd)
    if irt_model.design is not None:
        population = _draw_population(irt_model.design, state.population, state.ability, rng)
        state = replace(state, population=population)
    return state


def redraw_population(irt_model: Logistic, sites: dict[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Draw populations given the abilities of draws, exactly: sds over few models are far from log-normal."""
    design = irt_model.design
    if design is None:
        return sites
    values = {name: array[0].astype(np.float64) for name, array in sites.items()}
    drawn = _draw_population(design, design.pack(values), values[names.ABILITY], rng)
    return sites | {name: np.asarray(value, np.float32)[None] for name, value in design.unpack(drawn).items()}


def _draw_population(design: PopulationDesign, values: Array, ability: Array, rng: np.random.Generator) -> Array:
    """Draw coefficients given abilities and sds, and then the sds, (draw, value)."""
    precision, own = design.prior(values).sd ** -2, design.coefficient_precision(values)
    by_sd = np.hstack([design.split(values)[1] ** -2, np.ones((len(ability), 1))])
    matrix = np.einsum("ds,skl->dkl", by_sd, design.grams)
    at = np.arange(design.n_coefficients)
    matrix[:, at, at] += own
    pull = (precision * ability) @ design.loadings
    pull[:, : design.n_fixed] += own[:, : design.n_fixed] * design.coefficient.loc
    root = np.linalg.cholesky(matrix)
    centre = np.linalg.solve(matrix, pull[..., None])
    noise = np.linalg.solve(root.transpose(0, 2, 1), rng.standard_normal(pull.shape)[..., None])
    coefficients = (centre + noise)[..., 0]
    squares = (ability - coefficients @ design.loadings.T) ** 2 @ design.members
    sizes = design.members.sum(axis=0).astype(int)
    found = [coefficients]
    for total, n in zip(squares.T, sizes, strict=True):
        found.append(_draw_sd(total[:, None], int(n), design.sd, rng))
    if design.n_random:
        effects = coefficients[:, design.n_fixed :]
        found.append(_draw_sd((effects**2).sum(1, keepdims=True), design.n_random, design.sd, rng))
    return np.hstack(found)


def draw_normal_prior(values: Array, sd: Array, prior: Hierarchical, rng: np.random.Generator) -> tuple[Array, Array]:
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
    return np.exp(draw_from_nodes(log_sd, -(n - 1) * log_sd - squares / (2 * square) - square / (2 * tau), rng))


def draw_frame(irt_model: Logistic, state: State, rng: np.random.Generator) -> State:
    """Draw the location, and then the scale, of abilities and items together: curves stay as they are."""
    difficulty = Held.make(irt_model.difficulty, state.difficulty, state.difficulty_mean)
    design, population = irt_model.design, state.population
    own, followers = state.ability, []
    if design is not None:
        own = _about_populations(design, state)
        if design.follows:
            followers = [Held(design.split(population)[0], design.coefficient)]
    centre, precision = frame_location(own, difficulty, *followers)
    location = centre + rng.standard_normal(centre.shape) / np.sqrt(precision)
    if design is not None and design.follows:
        k = design.n_coefficients
        population = np.hstack([population[:, :k] - location, population[:, k:]])
    state = replace(
        state,
        ability=state.ability - location,
        intercept=state.intercept + np.exp(state.log_slope) * location,
        difficulty_mean=state.difficulty_mean - location,
        population=population,
    )
    log_scale = _draw_log_scale(irt_model, state, rng)
    scale = np.exp(log_scale)
    known = {name: np.full_like(scale, value) for name, value in known_hierarchy(irt_model).items()}
    moved = {
        "difficulty_mean": state.difficulty_mean / scale,
        "difficulty_sd": state.difficulty_sd / scale,
        "slope_mean": state.slope_mean + log_scale,
    }
    moved |= {"ability": state.ability / scale, "population": state.population / scale}
    return replace(state, log_slope=state.log_slope + log_scale, **moved | known)


def _about_populations(design: PopulationDesign, state: State) -> Array:
    """Abilities that fix location and scale, about their populations' means, (draw, some models)."""
    mean = design.prior(state.population).mean
    return np.asarray((state.ability - mean)[:, design.anchors])


def _draw_log_scale(irt_model: Logistic, state: State, rng: np.random.Generator) -> Array:
    """Log of the factor by which abilities are divided."""
    design, divided = irt_model.design, [Held.make(irt_model.difficulty, state.difficulty, state.difficulty_mean)]
    own = state.ability if design is None else _about_populations(design, state)
    size, squares = own.shape[1], (own**2).sum(1, keepdims=True)
    if isinstance(irt_model.difficulty, Hierarchical):
        size, squares = size + 1, squares + (state.difficulty_sd / irt_model.difficulty.sd.scale) ** 2
    if design is not None:
        coefficients, *sds = design.split(state.population)
        every_sd = np.hstack(sds)
        size, squares = size + every_sd.shape[1], squares + ((every_sd / design.sd.scale) ** 2).sum(1, keepdims=True)
        divided.append(Held(coefficients[:, : design.n_fixed], design.coefficient))
    slope = Held.make(irt_model.log_discrimination, state.log_slope, state.slope_mean)
    frame = FrameScale.make(size, squares, slope, *divided)
    mode, precision = frame.peak()
    log_scale = mode + NODES / np.sqrt(precision)
    return draw_from_nodes(log_scale, frame.log_density(log_scale), rng)


def draw_from_nodes(nodes: Array, log_density: Array, rng: np.random.Generator) -> Array:
    """Draw from densities tabulated at evenly spaced nodes, (draw, node) → (draw, 1)."""
    total = np.exp(log_density - log_density.max(1, keepdims=True)).cumsum(1)
    cell = (total < rng.random((len(total), 1)) * total[:, -1:]).sum(1, keepdims=True)
    gap = nodes[:, 1:2] - nodes[:, :1]
    return np.asarray(np.take_along_axis(nodes, cell, 1) + gap * (rng.random(cell.shape) - 0.5))


class Path(NamedTuple):
    """Steps of a trajectory, which turn it by a right angle; their length in conditional sds is drawn from a range."""

    steps: int
    shortest: float
    longest: float


LONG: Final = Path(2, 0.6, 0.95)  # of abilities, and of what items share
SHORT: Final = Path(3, 0.4, 0.65)  # of items: with few models, conditional spreads change on the way


class Scales(NamedTuple):
    """Roots of the conditional covariances: abilities (model, 1, 1), items (item, k, k), `Stretch` (1, 2, 2)."""

    abilities: Array
    items: Array
    spreads: Array


def sample_gibbs(
    irt_model: Logistic,
    mode: Mode,
    answers: Answers,
    start: Mapping[str, Array],
    rng: np.random.Generator,
    *,
    draws: int,
    progress: Progress | None = None,
) -> dict[str, Array]:
    """Draw all sites, each of shape (1, draw, ...), by chains that start at the first of given draws.

    Trajectories' units are the spreads at the mode. Draws are kept sweep after sweep: those of one are independent.
    """
    chains = -(-draws // KEPT)
    state = _state(irt_model, mode, {name: values[:, :chains] for name, values in start.items()})
    scales = _scales(irt_model, mode)
    left_out = int(np.clip(CHEAP // (answers.n_cells * chains), LEFT_OUT, MAX_LEFT_OUT))
    state = _drawn_in(state, _centre(mode), answers)
    kept = []
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # a trajectory that runs away is rejected
        for at in range(left_out + KEPT):
            state = sweep(irt_model, answers, state, scales, rng)
            if at >= left_out:
                kept.append(state.map(lambda values: values.astype(np.float32)))
            if progress is not None:
                progress("refining", at + 1, left_out + KEPT)
    joined = {name: np.concatenate([getattr(each, name) for each in kept])[:draws] for name in vars(state)}
    return _sites(irt_model, State(**joined))


def chain_convergence(sites: Mapping[str, Array], kept: int = KEPT) -> dict[str, float]:
    """Measure whether chains are stationary, from what items share, or means over models and items; the worst counts.

    Returns
    -------
    dict
        ``shift``: change of the mean, in sds, between the first and the second half of the sweeps kept; ``apart``:
        share of the variance that lies between the chains, one where none of them has moved.
    """
    found = {"shift": 0.0, "apart": 0.0}
    shared = [array[0] for array in sites.values() if array.ndim == 2]
    means = [array[0].mean(axis=-1) for array in sites.values() if array.ndim > 2]
    for values in (array.astype(np.float64) for array in shared or means):
        chains = -(-len(values) // kept)
        by_sweep = values[: len(values) // chains * chains].reshape(-1, chains)
        first, second = np.array_split(values, 2)
        found["shift"] = max(found["shift"], abs(second.mean() - first.mean()) / max(values.std(), TINY))
        found["apart"] = max(found["apart"], by_sweep.mean(0).var() / max(by_sweep.var(), TINY))
    return {name: float(value) for name, value in found.items()}


def sweep(irt_model: Logistic, answers: Answers, state: State, scales: Scales, rng: np.random.Generator) -> State:
    """Draw items, abilities, hierarchy and frame in turn, each given the rest."""
    own = ["intercept"] if irt_model.shared_slope else ["intercept", "log_slope"]
    start = np.stack([getattr(state, name) for name in own], -1)
    target = item_target(answers, state, shared_slope=irt_model.shared_slope)
    items, by_item = trajectory(start, target, scales.items, rng, SHORT)
    state = replace(state, **{name: items[..., at] for at, name in enumerate(own)})
    by_model = None
    if scales.spreads.any():
        stretch = Stretch(irt_model, state)
        first = stretch.density_at_start(by_item)
        target = stretch.target(answers)
        position, by_model = trajectory(stretch.start[:, None], target, scales.spreads, rng, LONG, first=first)
        state = stretch.state(position[:, 0])
    first = ability_density(state.ability[..., None], _by_model(answers, state, by_model), state, irt_model.design)
    target = ability_target(answers, state, irt_model.design)
    ability, _ = trajectory(state.ability[..., None], target, scales.abilities, rng, LONG, first=first)
    state = replace(state, ability=ability[..., 0])
    return draw_frame(irt_model, draw_hierarchy(irt_model, state, rng), rng)


def _by_model(answers: Answers, state: State, known: Array | None) -> Array:
    """Sum over items in the draws where that is not known yet, NaN."""
    found = np.full((2, *state.ability.shape), np.nan, np.float32) if known is None else known
    left = np.isnan(found[0, :, 0])
    if left.any():
        slope = np.exp(state.log_slope[left])
        found[:, left], _ = answers.sums(state.ability[left], slope, state.intercept[left])
    return found


def trajectory(
    start: Array,
    target: LogDensity,
    roots: Array,
    rng: np.random.Generator,
    path: Path = SHORT,
    *,
    first: TargetAt | None = None,
) -> tuple[Array, Any]:
    """One Hamiltonian trajectory of every unit, (draw, unit, coordinate), accepted or not for each alone.

    Gives positions, and the target's sums there. `first` is the target at the start, if it is known.
    """
    back = np.swapaxes(roots, -1, -2)
    speed = rng.standard_normal(start.shape)
    step = rng.uniform(path.shortest, path.longest, start.shape[:2])[..., None]
    at = first = target(start) if first is None else first
    energy = at.density - (speed**2).sum(-1) / 2
    moved, speed = start, speed + step / 2 * times(at.slopes, roots)
    for left in reversed(range(path.steps)):
        moved = moved + step * times(speed, back)
        at = target(moved, density=not left)
        speed = speed + (step if left else step / 2) * times(at.slopes, roots)
    gain = at.density - (speed**2).sum(-1) / 2 - energy
    accepted = -rng.standard_exponential(gain.shape) < gain
    sums = None if at.sums is None or first.sums is None else np.where(accepted, at.sums, first.sums)
    return np.where(accepted[..., None], moved, start), sums


def _scales(irt_model: Logistic, mode: Mode) -> Scales:
    """Conditional spreads at the mode."""
    items, abilities = mode.items, mode.abilities
    sums = abilities.sums(items)
    blocks = item_blocks(items, sums)
    k = 1 if items.shared_slope else 2
    by_spread = by_slope = np.inf  # what is known stays where it is
    if isinstance(irt_model.difficulty, Hierarchical):
        by_spread = 2 + float(sums[2] @ (items.slope * (items.difficulty - items.difficulty_mean)) ** 2)
    if items.shared_slope:
        by_slope = 1 / items.slope_sd**2 + float(blocks[:, 1, 1].sum())
    elif isinstance(irt_model.log_discrimination, Hierarchical):
        by_slope = 2 + float(blocks[:, 1, 1] @ (items.log_slope - items.slope_mean) ** 2)
    return Scales(
        np.sqrt(abilities.variance)[:, None, None],
        inverse_roots(blocks[:, :k, :k]),
        np.diag([by_spread**-0.5, by_slope**-0.5])[None],
    )


def _state(irt_model: Logistic, mode: Mode, sites: Mapping[str, Array]) -> State:
    """Where chains start: at the draws, less their tails, from which a few sweeps would not come back."""
    items, slopes = mode.items, irt_model.log_discrimination
    value = {name: array[0].astype(np.float64).reshape(array.shape[1], -1) for name, array in sites.items()}
    like = np.ones((len(value[names.ABILITY]), 1))
    mean, sd = _start_hierarchy(value, names.DIFFICULTY, items.difficulty_sd * like, irt_model.difficulty)
    difficulty = np.where(np.isfinite(value[names.DIFFICULTY]), value[names.DIFFICULTY], mean)
    difficulty = np.clip(difficulty, mean - MAX_SDS * sd, mean + MAX_SDS * sd)
    slope_mean, slope_sd = _start_hierarchy(value, LOG_DISCRIMINATION, items.slope_sd * like, slopes)
    log_slope = value[LOG_DISCRIMINATION]
    log_slope = np.clip(log_slope, slope_mean - MAX_SDS * slope_sd, slope_mean + MAX_SDS * slope_sd)
    intercept = -np.exp(log_slope) * difficulty
    population = np.empty((len(like), 0)) if irt_model.design is None else _start_population(mode, value)
    return State(value[names.ABILITY], intercept, log_slope, mean, sd, slope_mean, slope_sd, population)


def _start_population(mode: Mode, value: Mapping[str, Array]) -> Array:
    """Values at the draws, sds within a factor of two around the mode's."""
    assert mode.populations is not None  # noqa: S101 - the model has a design
    design, k = mode.populations.design, mode.populations.design.n_coefficients
    given = design.pack({site.name: value[site.name] if site.dim else value[site.name][:, 0] for site in design.sites})
    sds = mode.populations.values[k:]
    return np.hstack([given[:, :k], np.clip(given[:, k:], sds / 2, 2 * sds)])


def _centre(mode: Mode) -> State:
    """Take the mode as one draw."""
    items = mode.items
    log_slope = items.log_slope[:1] if items.shared_slope else items.log_slope
    row = {"ability": mode.abilities.mean, "intercept": items.intercept, "log_slope": log_slope}
    for name in ("difficulty_mean", "difficulty_sd", "slope_mean", "slope_sd"):
        row[name] = np.array([getattr(items, name)])
    row["population"] = np.empty(0) if mode.populations is None else mode.populations.values
    return State(**row).map(lambda values: np.asarray(values, dtype=np.float64)[None])


def _drawn_in(state: State, centre: State, answers: Answers) -> State:
    """Draw starts in, half way to the mode at a time, whose likelihood is lower than that of any normal draw.

    Where abilities are known to a hundredth of what is not known of their scale, a normal distribution bends away from
    the posterior, and chains that start far out end in another peak.
    """

    def log_likelihood(at: State) -> Array:
        by_model, _ = answers.sums(at.ability, np.exp(at.log_slope), at.intercept)
        return np.asarray(by_model[0].sum(1, dtype=np.float64))

    least = log_likelihood(centre) - MAX_NATS * (centre.ability.size + 2 * centre.intercept.size)
    share = np.ones((len(state.ability), 1))
    for _ in range(MAX_HALVINGS):
        drawn = State(
            **{name: (1 - share) * getattr(centre, name) + share * each for name, each in vars(state).items()}
        )
        far = ~(log_likelihood(drawn) > least)
        if not far.any():
            break
        share[far] /= 2
    return drawn


def _start_hierarchy(
    value: Mapping[str, Array], name: str, sd: Array, prior: Hierarchical | Normal
) -> tuple[Array, Array]:
    """Mean and sd over items, within three sds of the mean's prior and a factor of two around the mode's sd."""
    if isinstance(prior, Normal):
        return np.full_like(sd, prior.loc), np.full_like(sd, prior.scale)
    reach = 3 * prior.mean.scale
    mean = np.clip(value[f"{name}_mean"], prior.mean.loc - reach, prior.mean.loc + reach)
    return mean, np.clip(value[f"{name}_sd"], sd / 2, 2 * sd)


def _sites(irt_model: Logistic, state: State) -> dict[str, Array]:
    found = {
        names.ABILITY: state.ability,
        names.DIFFICULTY: state.difficulty,
        f"{names.DIFFICULTY}_mean": state.difficulty_mean,
        f"{names.DIFFICULTY}_sd": state.difficulty_sd,
        LOG_DISCRIMINATION: state.log_slope,
        f"{LOG_DISCRIMINATION}_mean": state.slope_mean,
        f"{LOG_DISCRIMINATION}_sd": state.slope_sd,
    }
    dims = irt_model.latent
    found = {name: found[name] if dim else found[name][:, 0] for name, dim in dims.items() if name in found}
    if irt_model.design is not None:
        found |= irt_model.design.unpack(state.population)
    return {name: np.asarray(values, np.float32)[None] for name, values in found.items()}
