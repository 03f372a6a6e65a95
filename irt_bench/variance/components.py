"""What seed variance is made of: components of generalizability theory from mean squares, with 90% intervals.

A design names its components, the expected mean squares as combinations of them, and the degrees of freedom of each.
Components are the mean squares solved for; intervals are the same solution of fiducial draws of the mean squares.
Squares over seeds have S - 1 degrees of freedom; squares over items have as many as their spread over items (or over
subtasks, whose items move together) says, which holds for 0/1 answers and for items of unequal noise. Components may be
negative; nothing is clipped.

References
----------
Brennan, Generalizability theory, 2001, chapters 2 to 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from irt_bench.arrays import FloatArray
from irt_bench.variance.few_seeds import N_DRAWS, Estimate, mean_square_draws, quantiles, steps_moving_as_one
from irt_bench.variance.moments import Codes, contributions, item_covariance, item_variance, own_variance, trial_noise
from irt_bench.variance.scores import mean_over_items
from irt_bench.variance.square_freedom import spread_freedom, trial_freedom, with_seed_spread

SEED: Final = "seed"
ITEM: Final = "item"
SEED_ITEM: Final = "seed:item"  # with the noise of single answers, where none was repeated
TRIAL: Final = "trial"
NO_PART: Final = 1e-12  # of a mean square in a component: rounding


@dataclass(frozen=True)
class Design:
    """Components of variance, estimated, and how sure the mean squares behind them are.

    Parameters
    ----------
    components : tuple of str
        Names, "a:b" the interaction of a and b, or a within b.
    estimates : array of shape (..., component)
        Variances; may be negative.
    mixing : array of shape (component, component)
        Expected mean squares (rows) as combinations of components (columns), square for component.
    freedom : array of shape (..., component)
        Degrees of freedom of the mean squares.
    n_items : int
        Items in the benchmark.
    """

    components: tuple[str, ...]
    estimates: FloatArray
    mixing: FloatArray
    freedom: FloatArray
    n_items: int

    @property
    def mean_squares(self) -> FloatArray:
        """Mean squares, shape (..., component)."""
        return np.asarray(self.estimates @ self.mixing.T)

    def draws(self, rng: np.random.Generator, n_draws: int = N_DRAWS) -> FloatArray:
        """Fiducial draws of the components, shape (draw, ..., component); NaN where a mean square behind one is 0."""
        squares = mean_square_draws(self.mean_squares, self.freedom, rng, n_draws)
        inverse = np.linalg.inv(self.mixing).T
        unknown = np.isnan(squares)
        components = np.where(unknown, 0.0, squares) @ inverse
        return np.where(unknown.astype(np.float64) @ (np.abs(inverse) > NO_PART) > 0, np.nan, components)

    def intervals(self, rng: np.random.Generator) -> Estimate:
        """Components with their limits, each of shape (..., component)."""
        return Estimate(self.estimates, *quantiles(self.draws(rng)))


def two_way(
    values: FloatArray,
    trials: Codes | None = None,
    groups: Codes | None = None,
    *,
    within: FloatArray | None = None,
    over_steps: bool = False,
) -> Design:
    """Seed x item: components ``seed, item, seed:item``, and ``trial`` where answers were repeated.

    Parameters
    ----------
    values : array of shape (..., seed, item), or (..., step, seed, item) to average over steps
        Answers, NaN where missing.
    trials : array of the shape of `values`, optional
        Answers a cell; with two or more in some, the noise of single answers is parted from seed x item.
    groups : array of shape (item,), optional
        Items that move together, such as those of a subtask or made from one template.
    within : array of the shape of `values`, optional
        Variance of the answers of a cell, where they are not 0/1; see `RunScores`.
    over_steps : bool
        Whether to average the mean squares over steps.
    """
    n_seeds, n_items = values.shape[-2:]
    covariance = item_covariance(values)
    item = item_variance(values)
    per_residual, per_item = contributions(values)
    counts = np.ones(values.shape, dtype=np.int64) if trials is None else trials
    own = own_variance(values, counts) if within is None else within
    noise = trial_noise(values, counts, own) if np.isfinite(own).any() else None
    parts = [covariance.off_diagonal, item, covariance.residual]
    seed_freedom = np.full(covariance.off_diagonal.shape, n_seeds - 1.0)
    if over_steps:
        parts = [part.mean(axis=-1) for part in parts]
        per_residual, per_item = per_residual.mean(axis=-2), per_item.mean(axis=-2)
        noise = noise and (noise[0].mean(axis=-1), noise[1].mean(axis=-1))
        scores = np.swapaxes(mean_over_items(values), -1, -2)
        seed_freedom = (n_seeds - 1) / steps_moving_as_one(scores)
    per_square = [n_seeds * per_item + per_residual, per_residual]
    freedom = [seed_freedom, *(spread_freedom(each, groups) for each in per_square)]
    freedom[2] = with_seed_spread(freedom[2], values, over_steps=over_steps)
    common = float(np.nanmean(covariance.common)) if np.isfinite(covariance.common).any() else float(n_items)
    mixing = np.array([[common, 0, 1], [0, n_seeds, 1], [0, 0, 1.0]])
    names: tuple[str, ...] = (SEED, ITEM, SEED_ITEM)
    if noise is not None:
        trial, left = noise
        parts[2] = parts[2] - left
        parts.append(trial)
        share = float(np.nanmean(left / np.where(trial > 0, trial, np.nan))) if (trial > 0).any() else 1.0
        mixing = np.array([[common, 0, 1, share], [0, n_seeds, 1, share], [0, 0, 1, share], [0, 0, 0, 1.0]])
        names = (*names, TRIAL)
        freedom.append(trial_freedom(own, groups, over_steps=over_steps))
    return Design(names, np.stack(parts, axis=-1), mixing, np.stack(freedom, axis=-1), n_items)
