"""The fast method: expectation-maximisation with parameter expansion, and a joint normal posterior at its end."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg
from threadpoolctl import threadpool_limits

from irt_bench import names
from irt_bench.errors import FitError, FitWarning
from irt_bench.inference.ability_grid import AbilityGrid
from irt_bench.inference.ability_posterior import AbilityPosterior, GaussianAbilities, GridAbilities
from irt_bench.inference.arrow import Arrow, cholesky
from irt_bench.inference.draws import Draws
from irt_bench.inference.item_updates import (
    Items,
    item_blocks,
    sd_information,
    update_hierarchy,
    update_items,
)
from irt_bench.inference.settings import LaplaceSettings
from irt_bench.inference.smooth_arrow import SmoothArrow, smooth
from irt_bench.inference.sweep import Sweeper
from irt_bench.irt_models.base import Beta, Hierarchical
from irt_bench.irt_models.logistic import LOG_DISCRIMINATION, Logistic

Array = npt.NDArray[Any]
Progress = Callable[[str, int, int], None]
EXACT_ITEMS = 64  # up to so many, what not knowing abilities costs the items is exact; beyond, to first order
MANY_ITEMS = 500  # abilities that so many items tell are all but normal
MOST_ELIMINATED = 2e10  # multiplications to eliminate one side exactly: about a second
SWEEP_COST = 1.5e9  # cells times nodes: a tenth of a second or two a sweep
MOST_REFINEMENTS, FINER = 3, 0.85  # grids laid anew where slopes turn out steep, with a margin
OUTER_ROUNDS = 4  # updates of the hierarchy with the items' marginal variances


def fit_laplace(
    irt_model: Logistic,
    correct: Array,
    trials: Array,
    settings: LaplaceSettings,
    progress: Progress | None = None,
) -> Draws:
    """Draw from the normal approximation of the posterior of a 1PL, 2PL or 3PL with known guessing.

    Parameters
    ----------
    irt_model : Logistic
        Priors and formula.
    correct, trials : integer arrays of shape (model, item)
        Right answers and trials; trials = 0 where never asked.
    settings : LaplaceSettings
        Draws, tolerance, seed, threads, device.
    progress : callable, optional
        Told (what, sweeps done, sweeps allowed).

    Raises
    ------
    FitError
        If the model learns asymptotes, or so few answers are there that the draws are not finite.

    Notes
    -----
    Abilities are integrated out (on a grid where items are few, as normal where they are many), items and the means
    of their hierarchy are at their mode; after every sweep abilities and items are moved together so that abilities
    have mean 0 and mean square 1 (parameter expansion, Liu, Rubin & Wu 1998). The hierarchy's sds are at their mode
    (empirical Bayes): with a handful of items intervals are too short by what that leaves out.
    """
    if isinstance(irt_model.guessing, Beta) or irt_model.upper_share is not None:
        raise FitError(
            f"method 'laplace' does not learn asymptotes, and the {irt_model.name} model has some to learn. Use "
            "--method nuts or svi, or fix guessing (--guessing 0.25, or a column with the number of choices)."
        )
    rng = np.random.default_rng(settings.seed)
    with threadpool_limits(settings.n_threads):
        state = _maximise(irt_model, correct, trials, settings, progress)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # refused below, in words
            posterior = _normal_posterior(irt_model, state, rng, settings.draws)
    if not all(np.isfinite(site).all() for site in posterior.values()):
        raise FitError(
            f"{int((trials > 0).sum())} answers of {correct.shape[0]} models to {correct.shape[1]} items are too few "
            f"for method 'laplace': its posterior has no bounds after {state.sweeps} sweeps. Use --method nuts."
        )
    notes = {"sweeps": state.sweeps, "change": state.change, "tolerance": settings.tolerance, "exact": state.exact}
    answering, asked = (trials > 0).any(axis=1).sum(), (trials > 0).any(axis=0).sum()
    return Draws(sites=posterior, notes=notes | {"n_models": int(answering), "n_items": int(asked)})


def approximate(irt_model: Logistic, correct: Array, trials: Array, *, threads: int) -> Approximation:
    """Approximate the posterior for methods that start from it, asymptotes to be learned held at their prior mean."""
    guessing = irt_model.guessing
    if isinstance(guessing, Beta):
        guessing = guessing.successes / (guessing.successes + guessing.failures)
    known = replace(irt_model, guessing=guessing, upper_share=None)
    with threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # a rough start is a start
        return Approximation(known, _maximise(known, correct, trials, LaplaceSettings(threads=threads), None))


@dataclass
class _State:
    """Where the maximisation stands."""

    abilities: AbilityPosterior
    items: Items
    exact: bool
    sweeps: int = 0
    change: float = np.inf


@dataclass(frozen=True)
class Approximation:
    """A normal approximation of the posterior, from which draws can be taken.

    Parameters
    ----------
    irt_model : Logistic
        With known asymptotes.
    state : _State
        The mode.
    """

    irt_model: Logistic
    state: _State

    @property
    def least_sd(self) -> float:
        """Sd of the ability known best, items given."""
        return self.state.abilities.least_sd(self.state.items)

    def draws(self, n_draws: int) -> dict[str, Array]:
        """Site → array of shape (draw, ...); always the same."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            drawn = _normal_posterior(self.irt_model, self.state, np.random.default_rng(0), n_draws)
        return {name: value[0] for name, value in drawn.items()}


def _maximise(
    irt_model: Logistic, correct: Array, trials: Array, settings: LaplaceSettings, progress: Progress | None
) -> _State:
    asked = trials.sum(axis=0)
    share = np.divide(correct.sum(axis=0), asked, out=np.full(len(asked), 0.5), where=asked > 0)
    items = Items.start(irt_model, share)
    abilities = _choose_abilities(correct, trials, settings, least_sd=_first_guess(trials, items))
    # With guessing the information used is the expected one, from which the exact loss must not be taken.
    exact = isinstance(abilities, GridAbilities) and correct.shape[1] <= EXACT_ITEMS and items.guessing is None
    state = _State(abilities, items, exact)
    _climb(state, irt_model, settings, progress)
    for _ in range(MOST_REFINEMENTS):
        least_sd = FINER * state.abilities.least_sd(state.items)
        if not isinstance(state.abilities, GridAbilities) or least_sd > FINER * state.abilities.least_known_sd:
            break
        state.abilities = _choose_abilities(correct, trials, settings, least_sd=least_sd)
        state.exact &= isinstance(state.abilities, GridAbilities)
        _climb(state, irt_model, settings, progress)
    for _ in range(OUTER_ROUNDS if exact else 0):
        variances = _marginal_variances(irt_model, state)
        state.items = update_hierarchy(state.items, irt_model, variances)
        _climb(state, irt_model, settings, progress, variances)
    return state


def _first_guess(trials: Array, items: Items) -> float:
    """Sd of the ability known best if slopes are not far above one."""
    share = 1 / (1 + np.exp(-items.intercept))
    return float(0.7 / np.sqrt(1 + (trials @ (share * (1 - share))).max()))


def _choose_abilities(correct: Array, trials: Array, settings: LaplaceSettings, *, least_sd: float) -> AbilityPosterior:
    """Choose a grid where it needs few nodes, else normal abilities."""
    cost = SWEEP_COST if correct.shape[1] <= MANY_ITEMS else 0.0
    if AbilityGrid.is_affordable(AbilityGrid.n_nodes(least_sd), correct.size, cost=cost):
        return GridAbilities(correct, trials, least_sd=least_sd)
    return GaussianAbilities(Sweeper(correct, trials, threads=settings.n_threads, device=settings.device))


def _climb(
    state: _State,
    irt_model: Logistic,
    settings: LaplaceSettings,
    progress: Progress | None,
    variances: tuple[Array, Array] | None = None,
) -> None:
    """Sweep until items stand still; without `variances` those given the abilities serve the hierarchy."""
    abilities = state.abilities
    for _ in range(settings.max_sweeps):
        before = state.items
        abilities.update(state.items)
        location = float(abilities.mean.mean())
        scale = float(np.sqrt(np.mean((abilities.mean - location) ** 2 + abilities.variance)))
        abilities.reframe(location, scale)
        items = state.items.in_frame(location, scale)
        for _ in range(abilities.newton_steps):
            sums = abilities.sums(items)
            items = update_items(items, sums)
        known = variances or _variances(items, np.linalg.inv(item_blocks(items, sums)))
        state.items = update_hierarchy(items, irt_model, known)
        state.sweeps += 1
        state.change = max(
            float(np.abs(getattr(state.items, name) - getattr(before, name)).max())
            for name in ("log_slope", "intercept", "difficulty_sd", "slope_sd")
        )
        if progress is not None:
            progress("maximising", state.sweeps, settings.max_sweeps)
        if state.change < settings.tolerance:
            break
    abilities.update(state.items)


def _variances(items: Items, covariance: Array) -> tuple[Array, Array]:
    """Variances of b and log a from covariances of (intercept, log slope), to first order."""
    gradient = np.stack([-1 / items.slope, -items.difficulty], axis=-1)
    return np.einsum("jp,jpq,jq->j", gradient, covariance, gradient), covariance[:, 1, 1]


def _marginal_variances(irt_model: Logistic, state: _State) -> tuple[Array, Array]:
    arrow, lost = _arrow(irt_model, state)
    n = len(state.items.intercept)
    root = cholesky(arrow.items_precision(lost))
    inverse_root = linalg.solve_triangular(root, np.eye(len(root)), lower=True)
    inverse = inverse_root.T @ inverse_root
    if state.items.shared_slope:
        return np.diag(inverse)[:n] / state.items.slope**2, np.zeros(n)
    at = np.arange(n)
    covariance = inverse[np.stack([at, at + n])[:, None], np.stack([at, at + n])[None]].transpose(2, 0, 1)
    return _variances(state.items, np.asarray(covariance))


def _arrow(irt_model: Logistic, state: _State) -> tuple[Arrow, Array | None]:
    """Joint precision at the mode, and what not knowing abilities costs the items where it is known exactly."""
    items, abilities = state.items, state.abilities
    blocks = item_blocks(items, abilities.sums(items))
    precision, n = 1 / items.difficulty_sd**2, len(items.intercept)
    lost = abilities.lost_information(items) if state.exact and isinstance(abilities, GridAbilities) else None
    mean_precision = n * precision + 1 / irt_model.difficulty.mean.scale**2
    by_mean = np.stack([precision / items.slope, precision * items.difficulty], axis=-1)  # (item, coordinate)
    if isinstance(irt_model.log_discrimination, Hierarchical):
        slope_precision = 1 / items.slope_sd**2
        by_slope_mean = np.stack([np.zeros(n), np.full(n, -slope_precision)], axis=-1)
        slope_mean_precision = n * slope_precision + 1 / irt_model.log_discrimination.mean.scale**2
        if lost is not None:
            lost = np.pad(lost, (0, 2))
        return (
            Arrow(
                abilities=1 / abilities.variance,
                cross=lambda block: np.stack(abilities.cross(items, block), axis=-1),
                items=blocks,
                items_shared=np.stack([by_mean, by_slope_mean], axis=-1),
                shared=np.diag([mean_precision, slope_mean_precision]),
                abilities_shared=np.zeros((len(abilities.mean), 2)),
            ),
            lost,
        )
    slope_precision = blocks[:, 1, 1].sum() + 1 / items.slope_sd**2
    if lost is not None:
        lost = _share_slope(lost, n)
    return (
        Arrow(
            abilities=1 / abilities.variance,
            cross=lambda block: abilities.cross(items, block)[0][..., None],
            items=blocks[:, :1, :1],
            items_shared=np.stack([by_mean[:, :1], blocks[:, :1, 1]], axis=-1),
            shared=np.array([[mean_precision, by_mean[:, 1].sum()], [by_mean[:, 1].sum(), slope_precision]]),
            abilities_shared=np.stack([np.zeros(len(abilities.mean)), -_summed_slopes(abilities, items)], axis=-1),
        ),
        lost,
    )


def _share_slope(lost: Array, n: int) -> Array:
    """From (intercepts, log slopes) to (intercepts, mean of b, one log slope)."""
    shared = np.zeros((n + 2, n + 2))
    shared[:n, :n] = lost[:n, :n]
    shared[:n, n + 1] = shared[n + 1, :n] = lost[:n, n:].sum(axis=1)
    shared[n + 1, n + 1] = lost[n:, n:].sum()
    return shared


def _summed_slopes(abilities: AbilityPosterior, items: Items) -> Array:
    """Cross derivatives of each ability with the slope that all items share."""
    step = 512
    starts = range(0, len(items.intercept), step)
    return np.asarray(sum(abilities.cross(items, slice(at, at + step))[1].sum(axis=1) for at in starts))


def _normal_posterior(irt_model: Logistic, state: _State, rng: np.random.Generator, n_draws: int) -> dict[str, Array]:
    """Draws of the sites, each of shape (1, draw, ...)."""
    items, abilities = state.items, state.abilities
    arrow, lost = _arrow(irt_model, state)
    smoothed = _smooth(arrow, state)
    if smoothed is not None:
        moved_abilities, moved, shared = smoothed.draw(rng, n_draws)
        ability = abilities.mean + moved_abilities
    elif state.exact or len(abilities.mean) > items_side(arrow):
        moved, shared, follow = arrow.draw_items_first(arrow.items_precision(lost), rng, n_draws)
        ability = follow + abilities.draw(rng, n_draws)
    else:
        moved_abilities, moved, shared = arrow.draw_abilities_first(arrow.abilities_precision(), rng, n_draws)
        ability = abilities.mean + moved_abilities
    # Draws of many items cost more than the fit: they stay in float32.
    if items.shared_slope:
        log_slope = np.asarray(items.log_slope[0] + shared[:, 1], dtype=np.float32)
        slope = np.exp(log_slope)[:, None]
    else:
        log_slope = np.add(items.log_slope, moved[..., 1], dtype=np.float32)
        slope = np.exp(log_slope)
    difficulty = np.add(items.intercept, moved[..., 0], dtype=np.float32)
    difficulty /= -slope
    known = _variances(items, np.linalg.inv(item_blocks(items, abilities.sums(items))))
    found = {
        names.ABILITY: ability,
        names.DIFFICULTY: difficulty,
        f"{names.DIFFICULTY}_mean": items.difficulty_mean + shared[:, 0],
        f"{names.DIFFICULTY}_sd": _draw_sd(known[0], items.difficulty_sd, irt_model.difficulty, rng, n_draws),
        LOG_DISCRIMINATION: log_slope,
    }
    if isinstance(irt_model.log_discrimination, Hierarchical):
        found[f"{LOG_DISCRIMINATION}_mean"] = items.slope_mean + shared[:, 1]
        prior = irt_model.log_discrimination
        found[f"{LOG_DISCRIMINATION}_sd"] = _draw_sd(known[1], items.slope_sd, prior, rng, n_draws)
    return {name: np.asarray(value, dtype=np.float32)[None] for name, value in found.items()}


def _smooth(arrow: Arrow, state: _State) -> SmoothArrow | None:
    """Interpolate over abilities where eliminating either side would cost too much and nothing is missing."""
    few, many = sorted([len(arrow.abilities), items_side(arrow)])
    abilities = state.abilities
    if few**2 * many <= MOST_ELIMINATED or not isinstance(abilities, GaussianAbilities):
        return None
    trials = abilities.common_trials
    return None if trials is None else smooth(arrow, abilities.mean, trials, state.items)


def _draw_sd(variance: Array, sd: float, prior: Hierarchical, rng: np.random.Generator, n_draws: int) -> Array:
    information = max(sd_information(variance, sd, prior.sd), 1.0)
    return np.asarray(sd * np.exp(rng.standard_normal(n_draws) / np.sqrt(information)))


def items_side(arrow: Arrow) -> int:
    """Size of the matrix to factorise when abilities are eliminated."""
    return int(arrow.items.shape[0] * arrow.items.shape[1])
