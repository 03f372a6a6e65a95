"""Coordinates in which NUTS and SVI work: those of the program, whitened by an approximation of the posterior.

The approximation is the fast method's where the model has one, else a guide that Pyro has optimised. Only its draws are
used: what they lack (asymptotes that are learned) is drawn from the prior.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from irt_bench.errors import FitError
from irt_bench.inference.ability_grid import AbilityGrid
from irt_bench.inference.guides import optimise
from irt_bench.inference.laplace import approximate
from irt_bench.inference.likelihood import Cells, ResponseData
from irt_bench.inference.runtime import DTYPE
from irt_bench.inference.target import Reading, Target
from irt_bench.inference.whitening import Whitening
from irt_bench.irt_models.base import IRTModel
from irt_bench.irt_models.logistic import Logistic

Array = npt.NDArray[np.float64]
DRAWS_PER_COORDINATE: Final = 8  # behind the map
LEAST_DRAWS, MOST_DRAWS = 500, 4_000
MOST_NUMBERS: Final = 12_000_000  # draws times coordinates: 100 MB
MARGIN: Final = 0.9  # slopes on the way may be steeper than at the mode
USABLE: Final = 0.5  # share of the draws
LOW: Final = 0.05  # quantile of an sd over its draws
START_STEPS: Final = 1_500  # of a guide, where there is no fast method
START_RATE: Final = 0.03


@dataclass(frozen=True)
class Coordinates:
    """The log density of a program in whitened coordinates u.

    Parameters
    ----------
    target : Target
        The program's log density.
    whitening : Whitening
        Map from u to the target's coordinates.
    """

    target: Target
    whitening: Whitening

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return self.target.size

    def log_density(self, point: Tensor) -> Tensor:
        """Log posterior density at u, up to a constant, with its gradient attached."""
        return self.target.log_density(self.whitening(point))

    def values(self, points: Array, rng: np.random.Generator) -> dict[str, Array]:
        """Values of the program's sites at many points, leading dimensions kept."""
        return self.target.values(self.whitening.place(points), rng)


def find_coordinates(
    irt_model: IRTModel, correct: Array, trials: Array, *, device: str = "cpu", whole: bool = True
) -> Coordinates:
    """Find coordinates for a model and its responses.

    Parameters
    ----------
    irt_model : IRTModel
        Its program.
    correct, trials : integer arrays of shape (model, item)
        Right answers and trials.
    device : {"cpu", "cuda"}
        Where likelihoods are summed.
    whole : bool
        Whether every step looks at all answers; otherwise items are not measured by the abilities of the moment.

    Raises
    ------
    FitError
        If there is no density where inference starts.

    Notes
    -----
    Where models outnumber items, abilities are integrated out on a grid of few nodes (`AbilityGrid`): the dimension
    falls by more than half, and items that share a thousand abilities mix freely. Not under a program that a subclass
    has altered.
    """
    cells = Cells.from_arrays(correct, trials, device=torch.device(device))
    data = ResponseData(cells, framed=whole)
    if not isinstance(irt_model, Logistic):
        return _by_guide(Target(irt_model, data))
    approximation = approximate(irt_model, correct, trials, threads=torch.get_num_threads())
    if not irt_model.has_own_program and whole and correct.shape[0] > correct.shape[1] and device == "cpu":
        least_sd = MARGIN * approximation.least_sd
        if AbilityGrid.is_affordable(AbilityGrid.n_nodes(least_sd), correct.size, cost=0.0):
            grid = AbilityGrid.from_counts(correct, trials, least_sd=least_sd)
            data = ResponseData(cells, grid)
    target = Target(irt_model, data)
    n_draws = int(np.clip(DRAWS_PER_COORDINATE * target.size, LEAST_DRAWS, MOST_DRAWS))
    n_draws = max(min(n_draws, MOST_NUMBERS // target.size), LEAST_DRAWS)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        drawn = approximation.draws(n_draws)
        readings = [target.read({name: values[at] for name, values in drawn.items()}) for at in range(n_draws)]
        return _whitened(target, readings) or _by_guide(target)


def _whitened(target: Target, readings: list[dict[str, Reading]]) -> Coordinates | None:
    """Whiten by draws as they were read, each value centred as far as these say that the answers determine it.

    None where most draws have no bounds.
    """
    points = np.array([target.flatten(reading) for reading in readings])
    usable = np.isfinite(points).all(axis=1)
    if usable.mean() < USABLE:
        return None
    readings = [reading for reading, good in zip(readings, usable, strict=True) if good]
    centring = {}
    for name, block in target.blocks.items():
        moved, sd = (_stack(readings, name, part) for part in ("moved", "sd"))
        if block.plates and sd is not None and np.ptp(sd, axis=0).max() > 0:
            centring[name] = torch.from_numpy(_share_of_centring(moved, sd))
    moved_target = Target(target.irt_model, target.data, centring)
    points = np.array([moved_target.flatten(reading) for reading in readings])
    return Coordinates(moved_target, Whitening.from_draws(points, moved_target.groups))


def _share_of_centring(moved: Array, sd: Array) -> Array:
    """Information of the answers about each value as a share of all, were the hierarchy's sd as low as it may be.

    Where that sd may be near zero, its funnel must be sampled non-centred however much is known about each value.
    """
    spread = np.broadcast_to(sd, moved.shape) ** 2
    gained = np.maximum(1 / moved.var(axis=0) - 1 / spread.mean(axis=0), 0) * np.quantile(spread, LOW, axis=0)
    return np.asarray(np.nan_to_num(gained / (gained + 1), nan=0.0))


def _stack(readings: list[dict[str, Reading]], name: str, part: str) -> Any:
    values = [getattr(reading[name], part) for reading in readings]
    return None if values[0] is None else np.array(values)


def _by_guide(target: Target) -> Coordinates:
    """Whiten by draws of a guide with a low-rank covariance, found by some steps of Pyro's SVI."""
    plain = Coordinates(target, Whitening.identity(target.size))
    if not np.isfinite(plain.log_density(torch.zeros(target.size, dtype=DTYPE)).item()):
        raise FitError(
            f"the {target.irt_model.name} model has no density where inference starts: its priors all but rule these "
            "answers out, or its program gives no finite log density. Widen them, or check the program."
        )
    guide = optimise(
        lambda: plain.log_density, target.size, kind="low_rank", steps=START_STEPS, rate=START_RATE, spread=0.1
    )
    points = guide.draw(int(np.clip(DRAWS_PER_COORDINATE * target.size, LEAST_DRAWS, MOST_DRAWS)))
    values = target.values(points, np.random.default_rng(0))
    readings = [target.read({name: v[at] for name, v in values.items()}) for at in range(len(points))]
    return _whitened(target, readings) or plain
