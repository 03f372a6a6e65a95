"""Short Hamiltonian chains that start at a guide's draws, to check the guide and to carry its draws on.

Transitions that leave the posterior as it is (Duane et al. 1987) leave right draws as they are, too; wrong ones drift
and spread until they are right. A Gaussian guide of few items needs that: the posterior of an sd over items has long
tails that no Gaussian follows, and the ELBO's optimum, narrow there, satisfies every condition at its own draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from irt_bench.inference.ability_grid import AbilityGrid
from irt_bench.inference.coordinates import Coordinates
from irt_bench.inference.gibbs import settling

Array = npt.NDArray[np.float64]
Target = Callable[[Array], tuple[float, Array]]  # log density and its gradient
Progress = Callable[[str, int, int], None]
CHAINS: Final = 64
LEFT_OUT: Final = 24  # sweeps before those that are kept
KEPT: Final = 16  # sweeps kept, at least
TUNING: Final = 20  # chains that the step is tuned with
FIRST_STEP, LEAST_STEP, SHRINK = 0.6, 0.02, 0.8
ACCEPTED: Final = 0.8  # of the trajectories, at least, where chains start (Beskos et al. 2013: 0.65 to 0.8)
LENGTHS: Final = (1.0, 5.0)  # of a trajectory, drawn anew each time: spreads up to three times the guide's turn round
STEP_RANGE: Final = (0.8, 1.2)
TYPICAL_STEPS: Final = 8  # of a trajectory
MOST_WORK: Final = 5e10  # cells times nodes times gradients: half a minute


class Chains(NamedTuple):
    """Log densities at the start, (chain,), and after each sweep kept, (sweep, chain); points, (sweep, chain, dim)."""

    start_density: Array
    log_density: Array
    points: Array


class GuideTarget:
    """The log posterior in coordinates in which a Gaussian guide is standard normal.

    Parameters
    ----------
    coordinates : Coordinates
        Of the posterior.
    mean : array of shape (coordinate,)
        Of the guide.
    root : array of shape (coordinate, coordinate)
        Root of its covariance.
    """

    def __init__(self, coordinates: Coordinates, mean: Array, root: Array) -> None:
        self.coordinates, self.mean, self.root = coordinates, mean, root

    def __call__(self, point: Array) -> tuple[float, Array]:
        """Log density and gradient."""
        value, gradient = self.coordinates.value_and_gradient(self.placed(point))
        return float(value), gradient @ self.root

    def placed(self, points: Array) -> Array:
        """Points in the posterior's coordinates."""
        return self.mean + points @ self.root.T

    def shared(self, points: Array) -> dict[str, Array]:
        """Read off what all items share, as real numbers: site → array of the points' leading shape."""
        posterior, flat = self.coordinates.posterior, self.coordinates.flat(self.placed(points))
        return {site.name: flat[..., posterior.layout[site.name].start] for site in posterior.sites if site.dim is None}


def is_affordable(coordinates: Coordinates, *, draws: int) -> bool:
    """Whether the chains take half a minute at most, told by sizes: results must not depend on a clock."""
    grid = coordinates.posterior.cells
    if not isinstance(grid, AbilityGrid):
        return False
    return grid.right.size * len(grid.nodes) * CHAINS * (LEFT_OUT + n_kept(draws)) * TYPICAL_STEPS <= MOST_WORK


def n_kept(draws: int) -> int:
    """Count the sweeps whose states are kept for so many draws."""
    return max(KEPT, -(-draws // CHAINS))


def run_short_chains(
    target: Target,
    start: Array,
    rng: np.random.Generator,
    *,
    left_out: int = LEFT_OUT,
    kept: int = KEPT,
    progress: Progress | None = None,
) -> Chains:
    """Run chains side by side, one trajectory a sweep, all with a step that the start was tuned on.

    Parameters
    ----------
    target : callable
        Point → log density and gradient, in coordinates in which the posterior is near a standard normal.
    start : array of shape (chain, coordinate)
        Independent draws that may or may not come from the target.
    rng : np.random.Generator
        Of all random numbers.
    left_out, kept : int
        Transitions of each chain before those that are kept, and of these.
    progress : callable, optional
        Told (what, sweeps done, sweeps).

    Notes
    -----
    Hamiltonian Monte Carlo (Duane et al. 1987, doi:10.1016/0370-2693(87)91197-X) from variational draws, as in Hoffman
    (2017, proceedings.mlr.press/v70/hoffman17a.html). Trajectories are of random length: none stays in step with a
    direction's period.
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # a trajectory that runs away is rejected
        states = [_State(point, *target(point)) for point in start]
        step = FIRST_STEP
        while (
            step > LEAST_STEP and np.mean([_moved(target, each, step, rng)[1] for each in states[:TUNING]]) < ACCEPTED
        ):
            step *= SHRINK
        start_density, sweeps = np.array([each.log_density for each in states]), []
        for sweep in range(left_out + kept):
            states = [_moved(target, each, step, rng)[0] for each in states]
            sweeps.append(states)
            if progress is not None:
                progress("carrying draws on", sweep + 1, left_out + kept)
    density, points = (
        np.array([[getattr(each, what) for each in one] for one in sweeps[left_out:]])
        for what in ("log_density", "point")
    )
    return Chains(start_density, density, points)


def invariance(target: GuideTarget, chains: Chains, drawn: Array) -> dict[str, float]:
    """Whether a guide's draws keep their distribution under exact transitions.

    Parameters
    ----------
    target : GuideTarget
        What the chains sampled.
    chains : Chains
        Started at the guide's draws.
    drawn : array of shape (draw, coordinate)
        As many of the guide's draws as its mean and sd take to be known.

    Returns
    -------
    dict
        Worst over what all items share and the log density: ``moved``: change of the mean, in the chains' sds;
        ``spread``: ratio of the chains' sd to the guide's, or its inverse where that is larger. And from the chains
        alone ``drift`` and ``apart``; see `settling`.

    Notes
    -----
    A right guide's draws keep their distribution under a kernel that leaves the posterior invariant. The importance
    ratios of Yao, Vehtari, Simpson & Gelman (2018, arXiv:1802.02538) tell less: their k-hat was .51, within its limit
    of 0.7, for a guide of 44 coordinates one sd of which was a third too small, and they do not say which.
    """
    kept = {name: values.ravel() for name, values in target.shared(chains.points).items()}
    before = target.shared(drawn)
    pairs = [(before[name], values) for name, values in kept.items()]
    pairs.append((chains.start_density, chains.log_density))
    moved = max(abs(new.mean() - old.mean()) / new.std() for old, new in pairs)
    spread = max(max(new.std() / old.std(), old.std() / new.std()) for old, new in pairs)
    settled = settling({name: values[None] for name, values in kept.items()}, kept=len(chains.points))
    return {"moved": round(float(moved), 4), "spread": round(float(spread), 4)} | settled


class _State(NamedTuple):
    point: Array
    log_density: float
    slope: Array


def _moved(target: Target, state: _State, step: float, rng: np.random.Generator) -> tuple[_State, float]:
    """One trajectory, accepted or not; and the chance that it is."""
    speed = rng.standard_normal(len(state.point))
    energy = state.log_density - speed @ speed / 2
    n_steps = max(1, round(rng.uniform(*LENGTHS) / step))
    step *= rng.uniform(*STEP_RANGE)
    new = state
    speed = speed + step / 2 * new.slope
    for left in reversed(range(n_steps)):
        point = new.point + step * speed
        new = _State(point, *target(point))
        speed = speed + (step if left else step / 2) * new.slope
    gain = new.log_density - speed @ speed / 2 - energy
    chance = math.exp(min(float(gain), 0.0)) if math.isfinite(gain) else 0.0
    return (new if rng.random() < chance else state), chance
