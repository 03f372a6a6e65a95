"""The joint normal posterior at the mode: precision of abilities, items and the items' hierarchy, and draws from it.

Draws lie around the items' posterior means, to first order, where skewness is small. Given the abilities an item's
posterior in (intercept, log slope) is close to normal, but skewed: with 400 models its mean lies a tenth of a standard
deviation from its mode, on the same side for all items. An item's own interval hardly notices; the mean over thousands
of items does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import linalg

from irt_bench import names
from irt_bench.arrays import Array
from irt_bench.inference.fast.ability_updates import AbilityPosterior, GaussianAbilities, GridAbilities
from irt_bench.inference.fast.bordered_precision import (
    BorderedPrecision,
    SmoothBorderedPrecision,
    SmoothCross,
    cholesky,
    item_slices,
    smooth,
)
from irt_bench.inference.fast.parameter_updates import (
    LARGEST_INTERCEPT,
    LARGEST_LOG_SLOPE,
    Items,
    Populations,
    covariances,
    item_blocks,
    precision_terms,
    sd_information,
)
from irt_bench.inference.fast.sweep import n_nodes
from irt_bench.irt_models.logistic import LOG_DISCRIMINATION, Logistic
from irt_bench.irt_models.model import Hierarchical, Normal
from irt_bench.irt_models.populations import AbilityPrior

STEP = 0.02  # of intercepts and log slopes, for derivatives
MAX_CORRECTION = 0.5  # sds, beyond which a first-order effect gives only the direction
MAX_FROM_PRIOR = 0.1  # of what is known of intercepts, on average, where first order will do
MAX_ELIMINATED = 3e7  # multiplications to eliminate one side exactly: some milliseconds
MIN_GAIN = 3  # times the rank of what is interpolated, at least, for that to pay
BLOCK_MODELS = 1008  # whose draws are made together; no power of two, which caches dislike
MAX_KEPT = 20_000_000  # cells whose cross derivatives are kept: 160 MB
OVERFLOW = float(np.log(np.finfo(np.float32).max))
MIN_INFORMATION = 1.0  # about a log sd


class BiasCorrection(NamedTuple):
    """From modes to means, shape (item,) each."""

    intercept: Array
    log_slope: Array

    def added_to(self, items: Items) -> Items:
        """Items at their means."""
        return _shifted(items, self.intercept, self.log_slope)


class SharedBiasCorrection(NamedTuple):
    """The same of a slope that all items share."""

    pull: float  # gradient in the log slope: times its variance, what to add to it
    follow: Array  # (item,): how intercepts move with it

    def turn(self, variance: float) -> float:
        """Correction of the log slope, of which so much variance is its own."""
        bound = MAX_CORRECTION * variance**0.5
        return float(np.clip(self.pull * variance, -bound, bound))


def is_small(abilities: AbilityPosterior, items: Items) -> bool:
    """Whether the correction is small: items are informed by answers, not by their prior, and nothing is guessed."""
    prior = items.prior_curvature(exact=False)[0]
    return items.guessing is None and bool(np.mean(prior / (prior + abilities.sums(items)[2])) < MAX_FROM_PRIOR)


def find_bias_correction(
    abilities: AbilityPosterior, items: Items
) -> tuple[BiasCorrection, SharedBiasCorrection | None]:
    """Find how far each item's posterior mean lies from its mode, the abilities and a shared slope given.

    Notes
    -----
    The mean of a posterior with precision H(x) lies at H^-1 p from its mode to first order, p the gradient of
    -1/2 tr(H(x) S) with S = H^-1 held (Tierney & Kadane 1986, section 2). `update_items` has followed a part of p, the
    prior's share of what is known of an intercept, in log slopes.
    """
    sums = abilities.sums(items)
    here = precision_terms(items, sums)
    blocks = item_blocks(items, sums)
    if items.shared_slope:  # an item has an intercept of its own alone
        covariance = np.zeros_like(blocks)
        covariance[:, 0, 0] = 1 / blocks[:, 0, 0]
    else:
        covariance = covariances(blocks)

    def rises(by_intercept: float, by_log_slope: float) -> Array:
        """How fast -1/2 tr(H S) rises."""
        there = _shifted(items, by_intercept, by_log_slope)
        dd, dl, ll = (new - old for new, old in zip(precision_terms(there, abilities.sums(there)), here, strict=True))
        change = covariance[:, 0, 0] * dd + 2 * covariance[:, 0, 1] * dl + covariance[:, 1, 1] * ll
        return np.asarray(-change / (2 * STEP))

    followed = items.prior_curvature(exact=False)[0] / here[0]
    pull = np.stack([rises(STEP, 0.0), rises(0.0, STEP) - followed], axis=-1)
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    correction = np.einsum("jpq,jq->jp", covariance, pull)
    bounded = BiasCorrection(*np.clip(correction, -MAX_CORRECTION * sd, MAX_CORRECTION * sd).T)
    if not items.shared_slope:
        return bounded, None
    follow = -here[1] / here[0]
    return bounded, SharedBiasCorrection(float(np.sum(pull[:, 1] + follow * pull[:, 0])), follow)


def _shifted(items: Items, by_intercept: Array | float, by_log_slope: Array | float) -> Items:
    return replace(items, intercept=items.intercept + by_intercept, log_slope=items.log_slope + by_log_slope)


@dataclass
class Mode:
    """Where the maximisation stands."""

    abilities: AbilityPosterior  # given the items
    items: Items  # with their hierarchy
    exact: bool  # whether what not knowing abilities costs the items is taken from the grid, or to first order
    sweeps: int = 0  # sweeps so far
    change: float = np.inf  # largest change in the last one
    # items and hierarchy at their posterior means, around which draws lie; by default at their mode
    means: Items | None = None
    shared_bias: SharedBiasCorrection | None = None  # of a slope that all items share
    populations: Populations | None = None  # where abilities come from; by default N(0, 1)

    @property
    def prior(self) -> AbilityPrior | None:
        """Of the abilities, where it is not N(0, 1)."""
        return None if self.populations is None else self.populations.prior


def draw_jointly(irt_model: Logistic, mode: Mode, rng: np.random.Generator, n_draws: int) -> dict[str, Array]:
    """Draw all sites, each of shape (1, draw, ...).

    Notes
    -----
    Normal in ability, intercept, log slope, the means of the hierarchy and the logarithms of its sds. That these sds
    are not known matters to all items together: held fixed, they would fix the scale that models and items share.
    """
    items = mode.means or mode.items  # but precision is that at the mode: elsewhere what is flat would seem known
    ability, moved, shared = _draw_deviations(irt_model, mode, rng, n_draws)
    # Draws of many items cost more than the fit: they are made where the deviations lie, mostly in float32.
    difficulty = moved[0]
    difficulty += items.intercept.astype(np.float32)
    np.clip(difficulty, -LARGEST_INTERCEPT, LARGEST_INTERCEPT, out=difficulty)
    if items.shared_slope:
        log_slope = items.log_slope[0] + shared[:, 1]
        if mode.shared_bias is not None:
            # Its variance as far as abilities do not share it: their scale and the slope are estimated together.
            turn = mode.shared_bias.turn(float(np.var(log_slope + np.log(ability.std(axis=1)))))
            log_slope += turn
            difficulty += np.asarray(mode.shared_bias.follow * turn, dtype=np.float32)
        difficulty *= -np.exp(-log_slope.astype(np.float32))[:, None]
    else:
        log_slope = moved[1]
        log_slope += items.log_slope.astype(np.float32)
        if np.abs(log_slope).max() < OVERFLOW:  # else there are no bounds, and the fit is refused
            np.clip(log_slope, -LARGEST_LOG_SLOPE, LARGEST_LOG_SLOPE, out=log_slope)  # as at the mode
        difficulty /= np.exp(log_slope)
        np.negative(difficulty, out=difficulty)
    sites = irt_model.latent  # means and sds that are known are none
    found = {
        names.ABILITY: ability,
        names.DIFFICULTY: difficulty,
        f"{names.DIFFICULTY}_mean": items.difficulty_mean + shared[:, 0],
        f"{names.DIFFICULTY}_sd": items.difficulty_sd * np.exp(shared[:, 2]),
        LOG_DISCRIMINATION: log_slope,
    }
    if not items.shared_slope:
        found[f"{LOG_DISCRIMINATION}_mean"] = items.slope_mean + shared[:, 1]
        found[f"{LOG_DISCRIMINATION}_sd"] = items.slope_sd * np.exp(shared[:, 3])
    found = {name: value for name, value in found.items() if name in sites}
    if mode.populations is not None:
        design = mode.populations.design
        found |= design.unpack(mode.populations.moved(shared[:, -design.size :]))
    return {name: np.asarray(value, dtype=np.float32)[None] for name, value in found.items()}


def _draw_deviations(
    irt_model: Logistic, mode: Mode, rng: np.random.Generator, n_draws: int
) -> tuple[Array, Array, Array]:
    """Abilities, and deviations of items and of what they share from their centre."""
    abilities = mode.abilities
    precision, lost = make_precision(irt_model, mode, interpolated=_interpolate(mode))
    if isinstance(abilities, GaussianAbilities) and isinstance(precision, SmoothBorderedPrecision):
        moved_abilities, moved, shared = precision.draw(rng, n_draws)
        return abilities.mean + moved_abilities, moved, shared
    if _is_items_first(mode):
        moved, shared, follow = precision.draw_items_first(precision.items_precision(lost), rng, n_draws)
        drawn = np.empty((n_draws, len(abilities.mean)), np.float32)
        for start in range(0, drawn.shape[1], BLOCK_MODELS):
            models = slice(start, start + BLOCK_MODELS)
            np.add(abilities.draw(rng, n_draws, models), follow(models), out=drawn[:, models])
        return drawn, moved, shared
    moved_abilities, moved, shared = precision.draw_abilities_first(precision.abilities_precision(), rng, n_draws)
    return abilities.mean + moved_abilities, moved, shared


def _n_coordinates(items: Items) -> int:
    """Coordinates that all items have."""
    return len(items.intercept) * (1 if items.shared_slope else 2)


def _is_items_first(mode: Mode) -> bool:
    """Whether abilities are drawn given the items."""
    return mode.exact or len(mode.abilities.mean) > _n_coordinates(mode.items)


def _interpolate(mode: Mode) -> SmoothCross | None:
    """Take cross derivatives for functions of ability, where elimination would cost much and that pays."""
    abilities, items = mode.abilities, mode.items
    few, many = sorted([len(abilities.mean), _n_coordinates(items)])
    if isinstance(abilities, GridAbilities):
        return abilities.smooth_cross(items) if _is_items_first(mode) else None
    if few**2 * many <= MAX_ELIMINATED or not isinstance(abilities, GaussianAbilities):
        return None
    trials = abilities.common_trials
    if trials is None or few <= MIN_GAIN * n_nodes(abilities.mean, float(items.slope.max())):
        return None
    return smooth(abilities.mean, trials, items)


def conditional_variances(items: Items, covariance: Array) -> tuple[Array, Array]:
    """Variances of b and log a from covariances of (intercept, log slope), to first order; a shared log a is given."""
    if items.shared_slope:
        given = covariance[:, 0, 0] - covariance[:, 0, 1] ** 2 / covariance[:, 1, 1]
        given = np.where(np.isnan(given), (items.difficulty_sd * items.slope) ** 2, given)  # never asked: the prior's
        return given / items.slope**2, np.zeros(len(given))
    gradient = np.stack([-1 / items.slope, -items.difficulty], axis=-1)
    return np.einsum("jp,jpq,jq->j", gradient, covariance, gradient), covariance[:, 1, 1]


def marginal_variances(irt_model: Logistic, mode: Mode) -> tuple[Array, Array]:
    """Variances of b and log a, abilities and the hierarchy's means not known, its sds given."""
    precision, lost = make_precision(irt_model, mode, with_sds=False, interpolated=_interpolate(mode))
    n = len(mode.items.intercept)
    root = cholesky(precision.items_precision(lost))
    inverse_root = linalg.solve_triangular(root, np.eye(len(root)), lower=True)
    inverse = inverse_root.T @ inverse_root
    if mode.items.shared_slope:
        return np.diag(inverse)[:n] / mode.items.slope**2, np.zeros(n)
    at = np.arange(n)
    covariance = inverse[np.stack([at, at + n])[:, None], np.stack([at, at + n])[None]].transpose(2, 0, 1)
    return conditional_variances(mode.items, np.asarray(covariance))


def make_precision(
    irt_model: Logistic, mode: Mode, *, with_sds: bool = True, interpolated: SmoothCross | None = None
) -> tuple[BorderedPrecision, Array | None]:
    """Joint precision at the mode, and what not knowing abilities costs the items where it is known exactly.

    What items share: mean of b, mean of log a (1PL: log a itself), log sd of b, log sd of log a.
    """
    items, abilities = mode.items, mode.abilities
    blocks = item_blocks(items, abilities.sums(items), residuals=mode.exact)
    by_shared, shared = _hierarchy_precision(items, irt_model, covariances(blocks), exact=mode.exact)
    populations = mode.populations
    lost = None
    if mode.exact and isinstance(abilities, GridAbilities):
        lost = abilities.lost_information(items, None if populations is None else populations.slopes())
    n, size = len(items.intercept), shared.shape[0] if with_sds else 2
    if with_sds:
        shared = _with_free_scale(irt_model, items, shared, exact=mode.exact)
    by_shared, shared = by_shared[..., :size], shared[:size, :size]
    if interpolated is None:
        cross = _remembered(lambda block: abilities.cross(items, block), len(abilities.mean) * n)
    else:
        cross = interpolated.cross
    abilities_shared = np.zeros((len(abilities.mean), size))
    if items.shared_slope:
        total = sum(cross(block)[1].sum(axis=1) for block in item_slices(n))
        abilities_shared[:, 1] = -total if interpolated is None else -interpolated.basis @ total
        by_shared[:, 0, 1] += blocks[:, 0, 1]
        shared[1, 1] += blocks[:, 1, 1].sum()
    n_coordinates = 1 if items.shared_slope else 2
    if populations is not None:
        by_ability, own = populations.precision(
            abilities.mean, abilities.variance, exact=lost is not None, with_sds=with_sds
        )
        abilities_shared = np.hstack([abilities_shared, by_ability])
        shared = linalg.block_diag(shared, own)
        by_shared = np.pad(by_shared, ((0, 0), (0, 0), (0, len(own))))
    if lost is not None:
        lost = _placed(lost, n, n_coordinates, size, len(shared))
    precision = BorderedPrecision(
        abilities=abilities.precision(items),
        cross=lambda block: np.stack(cross(block)[:n_coordinates], axis=-1),
        items=blocks[:, :n_coordinates, :n_coordinates],
        items_shared=by_shared[:, :n_coordinates],
        shared=shared,
        abilities_shared=abilities_shared,
    )
    return precision if interpolated is None else SmoothBorderedPrecision(
        **vars(precision), basis=interpolated.basis
    ), lost


def _hierarchy_precision(items: Items, irt_model: Logistic, covariance: Array, *, exact: bool) -> tuple[Array, Array]:
    """Precision between (intercept, log slope) and what items share, (item, 2, shared), and of the latter.

    Notes
    -----
    With deviations x = b - mean over all items, minus the second derivatives of the log prior are -2 x / sd^2 in b and
    log sd, and 1 / sd^2 in b and the mean; the expected information, if not `exact`, has half of the first. The
    diagonal of a log sd is such that, items eliminated, Louis's (1982) information remains (`sd_information`). A mean
    and an sd that are known have rows of their own, without information.
    """
    n, variances = len(items.intercept), conditional_variances(items, covariance)
    size = 3 if items.shared_slope else 4
    by_shared, shared = np.zeros((n, 2, size)), np.zeros((size, size))

    def add(
        values: Array, slopes: Array, mean: float, sd: float, variance: Array, prior: Hierarchical | Normal, at: int
    ) -> None:
        """Add one hierarchy, of values with slopes in (intercept, log slope)."""
        precision, deviation, spread = 1 / sd**2, values - mean, at + 2
        if isinstance(prior, Normal):
            shared[at, at] = shared[spread, spread] = 1.0
            return
        by_shared[..., at] += -precision * slopes
        times = 2 if exact else 1
        by_shared[..., spread] += -times * precision * deviation[:, None] * slopes
        shared[at, at] += n * precision + 1 / prior.mean.scale**2
        shared[at, spread] = shared[spread, at] = times * precision * deviation.sum()
        information = max(sd_information(variance, sd, prior.sd), MIN_INFORMATION)
        shared[spread, spread] = information + (times * precision) ** 2 * float(deviation**2 @ variance)

    by_b = np.stack([-1 / items.slope, -items.difficulty], axis=-1)
    add(items.difficulty, by_b, items.difficulty_mean, items.difficulty_sd, variances[0], irt_model.difficulty, 0)
    if not items.shared_slope:
        by_log_a = np.broadcast_to([0.0, 1.0], (n, 2))
        prior = irt_model.log_discrimination
        add(items.log_slope, by_log_a, items.slope_mean, items.slope_sd, variances[1], prior, 1)
        return by_shared, shared
    shared[1, 1] = 1 / items.slope_sd**2
    for other in (0, 2):
        shared[1, other] = shared[other, 1] = by_shared[:, 1, other].sum()
    return by_shared, shared


def _with_free_scale(irt_model: Logistic, items: Items, shared: Array, *, exact: bool) -> Array:
    """Leave the scale that models and items share to the prior of the abilities.

    Where abilities, difficulties and their sd are multiplied, and slopes divided, by one factor, the likelihood and the
    prior of the items stay. What the diagonal of the log sd of difficulties holds beyond that is therefore information
    about its sum with the mean log slope, which stays, too.
    """
    prior, slopes = irt_model.difficulty, irt_model.log_discrimination
    if isinstance(prior, Normal) or (isinstance(slopes, Normal) and not items.shared_slope):
        return shared  # something known fixes the scale
    squares = float(np.square((items.difficulty - items.difficulty_mean) / items.difficulty_sd).sum())
    beyond = shared[2, 2] - (2 if exact else 1) * squares - 2 * (items.difficulty_sd / prior.sd.scale) ** 2
    freed = shared.copy()
    freed[1, 1] += max(beyond, 0.0)
    freed[1, 2] += max(beyond, 0.0)
    freed[2, 1] = freed[1, 2]
    return freed


def _placed(lost: Array, n: int, n_coordinates: int, size: int, n_shared: int) -> Array:
    """From (intercepts, log slopes, populations) to items, of one or two coordinates, and all that is shared."""
    n_population = n_shared - size
    places = np.zeros((2 * n + n_population, n_coordinates * n + n_shared))
    np.fill_diagonal(places[:n, :n], 1.0)
    if n_coordinates == 1:
        places[n : 2 * n, n + 1] = 1.0  # one log slope, after the mean of b
    else:
        np.fill_diagonal(places[n : 2 * n, n : 2 * n], 1.0)
    np.fill_diagonal(places[2 * n :, len(places[0]) - n_population :], 1.0)
    kept = lost[: len(places), : len(places)]
    return np.asarray(places.T @ kept @ places)


def _remembered(cross: Callable[[slice], tuple[Array, Array]], n_cells: int) -> Callable[[slice], tuple[Array, Array]]:
    """Keep cross derivatives, which are asked for two or three times, where they are few."""
    kept: dict[tuple[int, int], tuple[Array, Array]] = {}

    def look_up(block: slice) -> tuple[Array, Array]:
        place = (block.start, block.stop)
        if n_cells > MAX_KEPT:
            return cross(block)
        if place not in kept:
            kept[place] = cross(block)
        return kept[place]

    return look_up
