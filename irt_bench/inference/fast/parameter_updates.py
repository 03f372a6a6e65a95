"""Items and populations of the fast method: state, prior, steps; their hierarchy, and part of the joint precision.

An item is log_slope (log a) and intercept (d = -a b), log-odds = a theta + d: in these coordinates an item's likelihood
is close to quadratic, and moving or stretching all abilities changes no volume. The prior is that of (b, log a), with
the Jacobian of b = -d / a.

Populations of abilities have coefficients, sds that are learned, and the sd of random coefficients
(`PopulationDesign`). Given the abilities coefficients are normal; sds are at their mode, around which their logarithms
are drawn with the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from irt_bench.arrays import Array
from irt_bench.irt_models.logistic import Logistic
from irt_bench.irt_models.model import HalfNormal, Hierarchical, Normal
from irt_bench.irt_models.populations import AbilityPrior, PopulationDesign

LARGEST_STEP = 1.0  # of an intercept or log slope in one Newton step
LARGEST_LOG_SLOPE, LARGEST_INTERCEPT = 5.0, 400.0  # no data reach so far
TINY = 1e-12
FRAME_STEPS = 8  # of Newton's method: from 50 times too far out they end within 1e-9
MIN_SD = 0.02  # of difficulties or log slopes over items: below it, items are alike to any data


@dataclass(frozen=True)
class Items:
    """Item parameters and the hierarchy they come from."""

    # (item,): log a, and d = -a b; all log slopes are equal in the 1PL
    log_slope: Array
    intercept: Array
    guessing: Array | None  # (item,): known lower asymptotes
    # of the normal priors of b and of log a
    difficulty_mean: float
    difficulty_sd: float
    slope_mean: float
    slope_sd: float
    shared_slope: bool  # whether all items have one slope
    # those of the four that are not learned; see `known_hierarchy`
    known: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def start(cls, irt_model: Logistic, share_right: Array) -> Items:
        """Slopes of one; intercepts at each item's share of right answers, guessing taken out."""
        n_items = len(share_right)
        given = irt_model.known_parameters(n_items).get("guessing")
        guessing = None if given is None else np.broadcast_to(given, n_items).astype(np.float64)
        low = 0.0 if guessing is None else guessing
        solved = np.clip((share_right - low) / (1 - low), 0.02, 0.98)
        learned = {"difficulty_mean": 0.0, "difficulty_sd": 1.5, "slope_mean": 0.0, "slope_sd": 0.5}
        known = known_hierarchy(irt_model)
        return cls(
            log_slope=np.zeros(n_items),
            intercept=1.2 * np.log(solved / (1 - solved)),
            guessing=guessing,
            **learned | known,
            shared_slope=irt_model.shared_slope,
            known=known,
        )

    @property
    def slope(self) -> Array:
        """a, shape (item,)."""
        return np.asarray(np.exp(self.log_slope))

    @property
    def difficulty(self) -> Array:
        """b, shape (item,)."""
        return -self.intercept / self.slope

    def in_frame(self, location: float, scale: float) -> Items:
        """Describe the same curves for abilities measured from `location` in units of `scale`."""
        moved = {
            "difficulty_mean": (self.difficulty_mean - location) / scale,
            "difficulty_sd": self.difficulty_sd / scale,
            "slope_mean": self.slope_mean + np.log(scale),
        }
        return replace(
            self,
            log_slope=self.log_slope + np.log(scale),
            intercept=self.intercept + self.slope * location,
            **{**moved, **self.known},
        )

    def prior_slope(self) -> tuple[Array, Array]:
        """Gradient of the log prior in (intercept, log slope), each of shape (item,)."""
        pull = -(self.difficulty - self.difficulty_mean) / self.difficulty_sd**2
        by_slope = -pull * self.difficulty - 1.0
        if not self.shared_slope:
            by_slope = by_slope - (self.log_slope - self.slope_mean) / self.slope_sd**2
        return -pull / self.slope, by_slope

    def prior_curvature(self, *, exact: bool) -> tuple[Array, Array, Array]:
        """Negative second derivatives of the log prior: (intercept, intercept), cross, (log slope, log slope).

        `exact=False` leaves out what can make the matrix indefinite far from the mode.
        """
        precision, b = 1 / self.difficulty_sd**2, self.difficulty
        bend = precision * (b - self.difficulty_mean) if exact else 0.0
        slope_precision = 0.0 if self.shared_slope else 1 / self.slope_sd**2
        return (
            precision / self.slope**2,
            (precision * b + bend) / self.slope,
            precision * b**2 + bend * b + slope_precision,
        )


def update_items(items: Items, sums: Array) -> Items:
    """Take one Newton step (Fisher scoring) from expected sums of shape (5, item); see `GridAbilities.sums`.

    A log slope moves up its own posterior, the intercept integrated out (Laplace): where answers inform little,
    intercepts spread in proportion to the slope, and the joint mode would lie at too small a slope.
    """
    a = items.slope
    by_intercept, by_slope = items.prior_slope()
    prior_dd, dl, ll = items.prior_curvature(exact=False)
    dd = prior_dd + sums[2]
    share = prior_dd / dd  # of what is known of an intercept, the prior's
    # What scoring leaves out, where it is positive: without it steps overshoot for ever, of items that go against the
    # rest, and of slopes about which answers inform less than the prior.
    bends = np.maximum(-a * sums[1], 0) + np.maximum(items.prior_curvature(exact=True)[2] - ll, 0)
    dl, ll = dl + a * sums[3], ll + a**2 * sums[4] + bends + 2 * share * (1 - share)
    if items.guessing is not None:  # answers below chance: their information fades as fast as its slope
        dd = dd + np.maximum(-sums[0], 0)
    by_intercept, by_slope = by_intercept + sums[0], by_slope + a * sums[1] + share
    if items.shared_slope:
        # The shared slope's step with intercepts following: a Schur complement.
        own = items.log_slope[0]
        total = (by_slope - dl / dd * by_intercept).sum() - (own - items.slope_mean) / items.slope_sd**2
        curvature = (ll - dl**2 / dd).sum() + 1 / items.slope_sd**2
        step = float(np.clip(total / curvature, -LARGEST_STEP, LARGEST_STEP))
        move = (by_intercept - dl * step) / dd
        return _moved(items, step, move)
    determinant = dd * ll - dl**2
    move = (ll * by_intercept - dl * by_slope) / determinant
    turn = (dd * by_slope - dl * by_intercept) / determinant
    return _moved(items, turn, move)


def _moved(items: Items, turn: Array | float, move: Array) -> Items:
    """Items after a step of bounded length, within bounds.

    A turn at a given difficulty moves the intercept, d = -a b, with the slope. That is straight over short turns only,
    the shorter the further the item lies from its intercept: the whole step is shortened, or b would jump.
    """
    longest = np.minimum(LARGEST_STEP, np.sqrt(2 * LARGEST_STEP / np.maximum(np.abs(items.intercept), TINY)))
    within = np.minimum(1, longest / np.maximum(np.abs(turn), TINY))
    within = within.min() if items.shared_slope else within
    aside = np.clip(move - items.intercept * turn, -2 * LARGEST_STEP, 2 * LARGEST_STEP)
    log_slope = items.log_slope + within * turn
    intercept = items.intercept + within * (aside + items.intercept * turn)
    return replace(
        items,
        log_slope=np.clip(log_slope, -LARGEST_LOG_SLOPE, LARGEST_LOG_SLOPE),
        intercept=np.clip(intercept, -LARGEST_INTERCEPT, LARGEST_INTERCEPT),
    )


def item_blocks(items: Items, sums: Array, *, residuals: bool = True) -> Array:
    """Negative Hessian of the log posterior in (intercept, log slope) with abilities as expected, (item, 2, 2).

    Without `residuals` it is the expected information, that of the prior included, as it must be beside expected cross
    derivatives: what moves all models and items together then has the information of the abilities' prior alone.
    """
    a = items.slope
    rough = items.prior_curvature(exact=False)
    expected = (rough[0] + sums[2], rough[1] + a * sums[3], rough[2] + a**2 * sums[4])
    dd, dl, ll = precision_terms(items, sums) if residuals else expected
    safe = dd * ll - dl**2 > 1e-3 * dd * np.abs(ll)
    dd, dl, ll = (np.where(safe & (ll > 0), x, y) for x, y in zip((dd, dl, ll), expected, strict=True))
    return np.stack([np.stack([dd, dl], -1), np.stack([dl, ll], -1)], -2)


def precision_terms(items: Items, sums: Array) -> tuple[Array, Array, Array]:
    """Negative second derivatives of an item's log posterior: (intercept, intercept), cross, (log slope, log slope).

    With guessing the information in them is the expected one.
    """
    a = items.slope
    dd, dl, ll = items.prior_curvature(exact=True)
    return dd + sums[2], dl + a * sums[3], ll + a**2 * sums[4] - a * sums[1]


def covariances(blocks: Array) -> Array:
    """Invert symmetric matrices of two rows, many at once, (item, 2, 2); nan where a slope has no information."""
    dd, dl, ll = blocks[:, 0, 0], blocks[:, 0, 1], blocks[:, 1, 1]
    adjugate = np.stack([np.stack([ll, -dl], -1), np.stack([-dl, dd], -1)], -2)
    determinant = dd * ll - dl**2
    return np.asarray(adjugate / np.where(determinant > 0, determinant, np.nan)[:, None, None])


def update_hierarchy(items: Items, irt_model: Logistic, variances: tuple[Array, Array]) -> Items:
    """Set means and sds over items that are learned to their most probable values given the items."""
    if isinstance(irt_model.difficulty, Hierarchical):
        mean, sd = _hierarchy(items.difficulty, variances[0], items.difficulty_sd, irt_model.difficulty)
        items = replace(items, difficulty_mean=mean, difficulty_sd=sd)
    if isinstance(irt_model.log_discrimination, Hierarchical):
        mean, sd = _hierarchy(items.log_slope, variances[1], items.slope_sd, irt_model.log_discrimination)
        items = replace(items, slope_mean=mean, slope_sd=sd)
    return items


def _hierarchy(values: Array, variance: Array, sd: float, prior: Hierarchical) -> tuple[float, float]:
    """Mean, and mode of the log sd: J log sd + S / (2 sd^2) + sd^2 / (2 tau^2) - log sd is least."""
    n = len(values)
    precision = n / sd**2 + 1 / prior.mean.scale**2
    mean = (values.sum() / sd**2 + prior.mean.loc / prior.mean.scale**2) / precision
    spread = float(np.sum((values - mean) ** 2 + variance) + n / precision)
    return float(mean), max(mode_of_sd(spread, n, prior.sd.scale), MIN_SD)


def mode_of_sd(squares: float, n: int, scale: float) -> float:
    """Mode, in its logarithm, of an sd ~ HalfNormal(scale) of which n deviations have this sum of squares."""
    tau = scale**2
    return float(np.sqrt(tau * (np.sqrt((n - 1) ** 2 + 4 * squares / tau) - (n - 1)) / 2))


def sd_information(variance: Array, sd: float, prior: HalfNormal) -> float:
    """Information about log sd from items known with some variance each: 2 sum (1 - variance / sd^2)^2."""
    return float(2 * np.sum(np.clip(1 - variance / sd**2, 0, 1) ** 2) + 2 * sd**2 / prior.scale**2)


def known_hierarchy(irt_model: Logistic) -> dict[str, float]:
    """Means and sds over items that are not learned, since a prior is one normal distribution, by field of `Items`."""
    priors = {"difficulty": irt_model.difficulty, "slope": irt_model.log_discrimination}
    known = {name: prior for name, prior in priors.items() if isinstance(prior, Normal)}
    return {f"{name}_mean": prior.loc for name, prior in known.items()} | {
        f"{name}_sd": prior.scale for name, prior in known.items()
    }


class Held(NamedTuple):
    """What a move of the frame takes away from its prior: a mean that is learned, items following it, or the items."""

    values: Array  # (..., value): means (one value), or items
    prior: Normal  # of each value

    @classmethod
    def make(cls, prior: Hierarchical | Normal, values: Array, mean: Any) -> Held:
        """From the items and their mean."""
        return cls(np.atleast_1d(mean), prior.mean) if isinstance(prior, Hierarchical) else cls(values, prior)


def frame_location(ability: Array, *held: Held) -> tuple[Array, float]:
    """Mean and precision of the location of abilities and items together, curves as they are, (..., 1)."""
    precision, pull = float(ability.shape[-1]), ability.sum(-1, keepdims=True)
    for values, prior in held:
        weight = 1 / prior.scale**2
        precision += values.shape[-1] * weight
        pull = pull + weight * (values - prior.loc).sum(-1, keepdims=True)
    return pull / precision, precision


class FrameScale(NamedTuple):
    """Log density of u, the log of the factor by which all abilities are divided, curves as they are.

    -size u - exp(-2 u) squares / 2 + exp(-u) products + pull u - stiffness u^2 / 2, each of shape (..., 1). The size
    counts what is divided by the factor, hierarchies' items left aside, since their density makes up for it.
    """

    size: int
    squares: Array
    products: Array
    pull: Array
    stiffness: float

    @classmethod
    def make(cls, size: int, squares: Array, slope: Held, *divided: Held) -> FrameScale:
        """From number and sum of squares of abilities and other standard normal numbers, and what the priors hold.

        Difficulties and what else is divided by the factor come after log slopes, to which its logarithm is added.
        """
        products = np.zeros_like(squares)
        for values, prior in divided:
            weight = 1 / prior.scale**2
            size += values.shape[-1]
            squares = squares + weight * (values**2).sum(-1, keepdims=True)
            products = products + weight * prior.loc * values.sum(-1, keepdims=True)
        return cls(
            size=size,
            squares=squares,
            products=products,
            pull=(slope.prior.loc - slope.values).sum(-1, keepdims=True) / slope.prior.scale**2,
            stiffness=slope.values.shape[-1] / slope.prior.scale**2,
        )

    def log_density(self, log_scale: Array) -> Array:
        """Log density, up to a constant."""
        shrink = np.exp(-log_scale)
        squares = self.squares * shrink**2 + self.stiffness * log_scale**2
        return np.asarray(self.products * shrink + (self.pull - self.size) * log_scale - squares / 2)

    def peak(self) -> tuple[Array, Array]:
        """Mode and precision there, by Newton's method from where the abilities alone would have it."""
        at = np.log(self.squares / self.size) / 2
        for _ in range(FRAME_STEPS):
            shrink = np.exp(-at)
            slope = self.squares * shrink**2 - self.products * shrink - self.size + self.pull - self.stiffness * at
            curvature = 2 * self.squares * shrink**2 - self.products * shrink + self.stiffness
            curvature = np.maximum(curvature, self.size + self.stiffness)
            at = at + np.clip(slope / curvature, -LARGEST_STEP, LARGEST_STEP)
        return at, curvature


MIN_INFORMATION = 1.0  # about a log sd
START_SD = 0.5  # of random coefficients
MIN_KNOWN = 1e-6  # information of the answers about an ability


@dataclass(frozen=True)
class Populations:
    """Where the maximisation stands."""

    design: PopulationDesign  # of the models
    values: Array  # (size,): coefficients, sds, and the sd of random coefficients
    covariance: Array  # (coefficient, coefficient): of the coefficients given the abilities

    @classmethod
    def start(cls, design: PopulationDesign | None) -> Populations | None:
        """One population, whatever the design."""
        if design is None:
            return None
        k, n = design.n_coefficients, design.n_spreads
        values = np.concatenate([np.zeros(k), np.ones(n), np.full(design.size - k - n, START_SD)])
        return cls(design, values, np.zeros((k, k)))

    @property
    def prior(self) -> AbilityPrior:
        """Of the abilities, (model,)."""
        return self.design.prior(self.values)

    def updated(self, mean: Array, variance: Array) -> Populations:
        """Most probable values given moments of the abilities."""
        design, sd = self.design, self.prior.sd
        weighted = design.loadings / sd[:, None] ** 2
        prior = design.coefficient_precision(self.values)
        covariance = np.linalg.inv(design.loadings.T @ weighted + np.diag(prior))
        centre = prior * np.r_[np.full(design.n_fixed, design.coefficient.loc), np.zeros(design.n_random)]
        coefficients = covariance @ (weighted.T @ mean + centre)
        squares = (mean - design.loadings @ coefficients) ** 2 + variance + self._spread_of_means(covariance)
        sds = [mode_of_sd(float(squares @ member), int(member.sum()), design.sd.scale) for member in design.members.T]
        if design.n_random:
            effects = coefficients[design.n_fixed :]
            total = float(effects @ effects + np.diag(covariance)[design.n_fixed :].sum())
            sds.append(mode_of_sd(total, design.n_random, design.sd.scale))
        values = np.concatenate([coefficients, np.maximum(sds, MIN_SD)])
        return replace(self, values=values, covariance=covariance)

    def in_frame(self, location: float, scale: float) -> Populations:
        """Describe the same for abilities measured from `location` in units of `scale`."""
        moved = self.values.copy()
        if self.design.follows:
            moved[: self.design.n_coefficients] -= location
        return replace(self, values=moved / scale, covariance=self.covariance / scale**2)

    def frame_moments(self, mean: Array, variance: Array) -> tuple[Array, Array]:
        """Mean and variance about their own populations of the abilities that fix location and scale."""
        anchors = self.design.anchors
        residual = mean - self.design.loadings @ self.design.split(self.values)[0]
        return residual[anchors], (variance + self._spread_of_means(self.covariance))[anchors]

    def _spread_of_means(self, covariance: Array) -> Array:
        """Variance of each ability's prior mean, (model,)."""
        loadings = self.design.loadings
        return np.asarray(((loadings @ covariance) * loadings).sum(axis=1))

    def precision(self, mean: Array, variance: Array, *, exact: bool, with_sds: bool = True) -> tuple[Array, Array]:
        """Precision between abilities and values, (model, value), and of the values, sds by their logarithms.

        Parameters
        ----------
        mean, variance : arrays of shape (model,)
            Of the abilities given the items.
        exact : bool
            Whether what not knowing abilities costs is taken off by covariances within their posteriors (Louis 1982);
            otherwise the diagonal of a log sd is such that, abilities eliminated, his information remains.
        with_sds : bool
            Whether sds are not known.

        Notes
        -----
        With deviations x = ability - Z c, minus the second derivatives of the log prior are -Z / s^2 in ability and c,
        -2 x / s^2 in ability and log s, 2 Z x / s^2 in c and log s.
        """
        design, (at, sd) = self.design, self.prior
        k, n = design.n_coefficients, design.n_spreads
        deviation, precision, z, members = mean - at, sd**-2, design.loadings, design.members
        by_ability, shared = np.zeros((len(mean), design.size)), np.zeros((design.size, design.size))
        by_ability[:, :k] = -z * precision[:, None]
        own = design.coefficient_precision(self.values)
        shared[:k, :k] = z.T @ (z * precision[:, None]) + np.diag(own)
        by_ability[:, k : k + n] = -2 * (deviation * precision)[:, None] * members
        shared[:k, k : k + n] = 2 * (z * (deviation * precision)[:, None]).T @ members
        for place, s in enumerate(self.values[k : k + n]):
            these = members[:, place] > 0
            if exact:
                total = float((deviation[these] ** 2 + variance[these]).sum())
                information = 2 * total / s**2 + 2 * s**2 / design.sd.scale**2
            else:
                information = max(sd_information(variance[these], s, design.sd), MIN_INFORMATION)
                information += 4 * float(deviation[these] ** 2 @ variance[these]) / s**4
            shared[k + place, k + place] = information
        if design.n_random:
            self._random_sd(shared, own, variance, sd)
        shared = np.triu(shared) + np.triu(shared, 1).T
        kept = design.size if with_sds else k
        return by_ability[:, :kept], shared[:kept, :kept]

    def _random_sd(self, shared: Array, own: Array, variance: Array, sd: Array) -> None:
        """Fill in the row of the log sd of random coefficients."""
        design, s = self.design, float(self.values[-1])
        first, k = design.n_fixed, design.n_coefficients
        known = np.maximum(1 / variance - sd**-2, MIN_KNOWN)  # by the answers
        z = design.loadings
        marginal = np.linalg.inv(z.T @ (z / (sd**2 + 1 / known)[:, None]) + np.diag(own))[first:, first:]
        effects = self.values[first:k]
        information = max(sd_information(np.diag(marginal), s, design.sd), MIN_INFORMATION)
        shared[first:k, -1] = -2 * effects / s**2
        shared[-1, -1] = information + 4 * float(effects @ marginal @ effects) / s**4

    def slopes(self) -> tuple[Array, Array]:
        """Slopes of every ability's log prior in the values, sds by their logarithms, less what is constant.

        Factors of the ability and of its square, (model, value) each.
        """
        design, (at, sd) = self.design, self.prior
        precision, none = sd[:, None] ** -2, np.zeros(design.loadings.shape)
        rest = np.zeros((len(at), design.size - design.n_coefficients - design.n_spreads))
        linear = np.hstack([design.loadings * precision, -2 * at[:, None] * precision * design.members, rest])
        return linear, np.hstack([none, precision * design.members, rest])

    def moved(self, deviations: Array) -> Array:
        """Values of draws, (draw, value), from deviations, those of sds in their logarithms."""
        k = self.design.n_coefficients
        return np.hstack([self.values[:k] + deviations[:, :k], self.values[k:] * np.exp(deviations[:, k:])])
