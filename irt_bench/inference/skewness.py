"""From the mode of the items to their posterior means: the first-order effect of skewness.

Given the abilities an item's posterior in (intercept, log slope) is close to normal, but leans: with 400 models its
mean lies a tenth of a standard deviation from its mode, on the same side for all items. An item's own interval hardly
notices; the mean over thousands of items does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from irt_bench.inference.ability_posterior import AbilityPosterior
from irt_bench.inference.item_updates import Items, covariances, item_blocks, precision_terms

Array = npt.NDArray[Any]
STEP = 0.02  # of intercepts and log slopes, for derivatives
LARGEST_LEAN = 0.5  # sds, beyond which a first-order effect tells only the side
MOST_FROM_PRIOR = 0.1  # of what is known of intercepts, on average, where first order will do


class Lean(NamedTuple):
    """From modes to means, shape (item,) each."""

    intercept: Array
    log_slope: Array

    def added_to(self, items: Items) -> Items:
        """Items at their means."""
        return _shifted(items, self.intercept, self.log_slope)


class SharedLean(NamedTuple):
    """The same of a slope that all items share.

    Parameters
    ----------
    pull : float
        Gradient in the log slope: times its variance, what to add to it.
    follow : array of shape (item,)
        How intercepts move with it.
    """

    pull: float
    follow: Array

    def turn(self, variance: float) -> float:
        """Say what to add to the log slope, of which so much variance is its own."""
        bound = LARGEST_LEAN * variance**0.5
        return float(np.clip(self.pull * variance, -bound, bound))


def is_small(abilities: AbilityPosterior, items: Items) -> bool:
    """Whether items lean little enough: they are told by answers, not by their prior, and nothing is guessed."""
    prior = items.prior_curvature(exact=False)[0]
    return items.guessing is None and bool(np.mean(prior / (prior + abilities.sums(items)[2])) < MOST_FROM_PRIOR)


def find_lean(abilities: AbilityPosterior, items: Items) -> tuple[Lean, SharedLean | None]:
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
    lean = np.einsum("jpq,jq->jp", covariance, pull)
    bounded = Lean(*np.clip(lean, -LARGEST_LEAN * sd, LARGEST_LEAN * sd).T)
    if not items.shared_slope:
        return bounded, None
    follow = -here[1] / here[0]
    return bounded, SharedLean(float(np.sum(pull[:, 1] + follow * pull[:, 0])), follow)


def _shifted(items: Items, by_intercept: Array | float, by_log_slope: Array | float) -> Items:
    return replace(items, intercept=items.intercept + by_intercept, log_slope=items.log_slope + by_log_slope)
