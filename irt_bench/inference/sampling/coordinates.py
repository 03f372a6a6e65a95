"""Coordinates in which NUTS and SVI work: those of the program, whitened by an approximation of the posterior.

The approximation is the fast method's where the model has one, else a guide that Pyro has optimised. Only its draws are
used: what they lack (asymptotes that are learned) is drawn from the prior. After the linear map found from them the
posterior is nearly standard normal. Coordinates of one model, or of one item, belong together: their covariance is
taken whole. What many of them share (the level of all abilities, a hierarchy's mean) shows in few directions of large
or small variance: those eigenvectors of the covariance left over that noise alone would not make [1]_.

Also here: `pyro_runtime`, the only door to Pyro's global state, and Pyro's autoguides over a flat vector (`optimise`).

References
----------
.. [1] Baik, Silverstein, 2006, Eigenvalues of large sample covariance matrices of spiked population models,
   doi:10.1016/j.jmva.2005.08.003: noise in n draws of p standard normal coordinates has eigenvalues within
   (1 +- sqrt(p / n))^2, and one l beyond belongs to a true one k with l = k + k p / (n (k - 1)).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoDiagonalNormal, AutoLowRankMultivariateNormal, AutoMultivariateNormal
from pyro.infer.autoguide.initialization import init_to_value
from pyro.optim import ClippedAdam
from threadpoolctl import threadpool_limits
from torch import Tensor

from irt_bench.arrays import Array
from irt_bench.errors import FitError
from irt_bench.inference.fast.ability_grid import AbilityGrid
from irt_bench.inference.fast.dimensional import draw_sites
from irt_bench.inference.fast.laplace import approximate
from irt_bench.inference.sampling.likelihood import ResponseCells, ResponseData, ScoreGrid
from irt_bench.inference.sampling.target import SiteReading, Target
from irt_bench.irt_models.item_regression import EFFECT, draw_effects
from irt_bench.irt_models.logistic import Logistic
from irt_bench.irt_models.model import Hierarchical, IRTModel, ScoreModel
from irt_bench.irt_models.multidimensional import Multidimensional
from irt_bench.irt_models.program import DTYPE

LogDensity = Callable[[Tensor], Tensor]
Kind = Literal["full", "low_rank", "normal"]
POINT: Final = "point"  # the one site: all coordinates
AUTOGUIDES: Final[dict[str, Any]] = {
    "full": AutoMultivariateNormal,
    "low_rank": AutoLowRankMultivariateNormal,
    "normal": AutoDiagonalNormal,
}


@contextmanager
def pyro_runtime(*, seed: int, threads: int) -> Iterator[None]:
    """Run a block with its own random state, thread count and parameter store; restore what was before.

    NumPy's threads are limited too: on a busy machine they wait for one another longer than they work.
    """
    threads_before = torch.get_num_threads()
    random_before = torch.get_rng_state()
    torch.set_num_threads(threads)
    try:
        torch.manual_seed(seed)
        with pyro.get_param_store().scope(), pyro.validation_enabled(False), threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(threads_before)
        torch.set_rng_state(random_before)


@dataclass(frozen=True)
class Guide:
    """A Gaussian that Pyro has optimised."""

    posterior: Any  # the Gaussian, over all coordinates
    elbo: Array  # (step,): of each step

    def draw(self, n_draws: int) -> Array:
        """Draw points, shape (draw, coordinate)."""
        with torch.no_grad():
            return np.asarray(self.posterior.sample((n_draws,)).numpy())

    def place(self) -> tuple[Tensor, Tensor]:
        """Mean and a root of the covariance: point = mean + root eps."""
        with torch.no_grad():
            mean = self.posterior.mean.detach()
            if hasattr(self.posterior, "covariance_matrix"):
                return mean, torch.linalg.cholesky(self.posterior.covariance_matrix.detach())
            return mean, torch.diag(self.posterior.stddev.detach())


def optimise(
    draw_density: Callable[[], LogDensity],
    size: int,
    *,
    kind: Kind,
    steps: int,
    rate: float,
    spread: float,
    after_each: Callable[[int, float, Any], bool] | None = None,
) -> Guide:
    """Optimise a guide by Pyro's SVI; within `pyro_runtime`, whose seed makes the noise.

    `draw_density` gives, for each step, a function point → log density with its gradient: the same, or that of a
    mini-batch. Sds are `spread` at the start; `after_each` takes (step, ELBO, optimiser) and tells whether to stop.
    """
    flat = dist.Normal(torch.zeros(size, dtype=DTYPE), 1.0).mask(False).to_event(1)

    def target() -> None:
        pyro.factor("posterior", draw_density()(pyro.sample(POINT, flat)))

    start = init_to_value(values={POINT: torch.zeros(size, dtype=DTYPE)})
    guide = AUTOGUIDES[kind](target, init_loc_fn=start, init_scale=spread)
    optimiser = ClippedAdam({"lr": rate, "betas": (0.9, 0.99)})
    svi, elbo = SVI(target, guide, optimiser, Trace_ELBO()), []
    for step in range(steps):
        elbo.append(-svi.step())
        if after_each is not None and after_each(step, elbo[-1], optimiser):
            break
    return Guide(guide.get_posterior(), np.array(elbo))


FARTHEST: Final = 6.0  # sds of a draw from the median, on its side: few answers leave a direction without bounds
NOISE_MARGIN: Final = 1.05  # beyond the edges of what noise makes
MIN_EIGENVALUE: Final = 0.02
MAX_RANK: Final = 500
RIDGE: Final = 1e-9
DRAWS_PER_COORDINATE: Final = 8  # behind the map
MIN_DRAWS, MAX_DRAWS = 500, 4_000
MAX_NUMBERS: Final = 12_000_000  # draws times coordinates: 100 MB
COARSER: Final = 1.8  # nodes than the fast method's: winogrande's log-likelihood of -203,180 is off by .005
MAX_GRID: Final = 5e8  # cells times nodes: a tenth of a second for a gradient
USABLE: Final = 0.5  # share of the draws
LOW: Final = 0.05  # quantile of an sd over its draws
START_STEPS: Final = 1_500  # of a guide, where there is no fast method
START_RATE: Final = 0.03


@dataclass(frozen=True)
class Whitening:
    """The map u → centre + R (I + V diag(s) V') u, R made of blocks, V of orthonormal columns."""

    centre: Array  # (coordinate,): image of u = 0
    groups: Sequence[npt.NDArray[np.intp]]  # (block, coordinate of a block): coordinates of each block
    roots: Sequence[Array]  # (block, k, k): lower triangular roots of the blocks' covariances
    # (rank, coordinate), (rank,): V' and s: first of what all share, then of what the coordinates of one group share
    stretches: Sequence[tuple[Array, Array]]

    @classmethod
    def identity(cls, size: int) -> Whitening:
        """No map at all."""
        return cls(np.zeros(size), [np.arange(size)[:, None]], [np.ones((size, 1, 1))], [])

    @classmethod
    def from_draws(cls, draws: Array, groups: Sequence[npt.NDArray[np.intp]]) -> Whitening:
        """Find it from draws of shape (draw, coordinate), by sample covariances of blocks and what they leave."""
        low, middle, high = np.quantile(draws, (0.16, 0.5, 0.84), axis=0)
        reach = FARTHEST * (middle - low), FARTHEST * (high - middle)
        draws = np.clip(draws, middle - reach[0], middle + reach[1])
        centre = draws.mean(axis=0)
        deviations, n = draws - centre, len(draws)
        roots = []
        for places in groups:
            own = deviations[:, places]
            covariance = np.einsum("nbi,nbj->bij", own, own) / (n - 1) + RIDGE * np.eye(places.shape[1])
            roots.append(np.linalg.cholesky(covariance))
            deviations[:, places] = np.linalg.solve(roots[-1], own[..., None])[..., 0]
        within = [_spikes(deviations, places.ravel()) for places in groups if len(places) > 1]
        stretches = [(np.concatenate([v for v, _ in within]), np.concatenate([s for _, s in within]))] if within else []
        for directions, stretch in stretches:
            deviations += ((deviations @ directions.T) * (1 / (1 + stretch) - 1)) @ directions
        stretches.insert(0, _spikes(deviations, np.arange(deviations.shape[1])))
        return cls(centre, list(groups), roots, stretches)

    def place(self, points: Array) -> Array:
        """Coordinates at u, (..., coordinate)."""
        stretched = points
        for directions, stretch in self.stretches:
            stretched = stretched + ((stretched @ directions.T) * stretch) @ directions
        found = np.broadcast_to(self.centre, points.shape).copy()
        for places, root in zip(self.groups, self.roots, strict=True):
            found[..., places] += np.einsum("bij,...bj->...bi", root, stretched[..., places])
        return found

    def pull_back(self, gradient: Array) -> Array:
        """Gradient in u from that in the coordinates."""
        found = np.empty_like(gradient)
        for places, root in zip(self.groups, self.roots, strict=True):
            found[places] = np.einsum("bij,bi->bj", root, gradient[places])
        for directions, stretch in reversed(self.stretches):
            found += ((found @ directions.T) * stretch) @ directions
        return found

    def __call__(self, point: Tensor) -> Tensor:
        """Coordinates at u, with the gradient attached."""
        placed: Tensor = _Place.apply(point, self)
        return placed


class _Place(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, point: Tensor, whitening: Whitening) -> Tensor:
        ctx.whitening = whitening
        return torch.from_numpy(whitening.place(point.detach().numpy()))

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None]:
        return torch.from_numpy(ctx.whitening.pull_back(grad_output.numpy())), None


def _spikes(deviations: Array, places: npt.NDArray[np.intp]) -> tuple[Array, Array]:
    """Directions among some coordinates in which draws that are nearly white have other sds than one, and by how much.

    Gives orthonormal rows, (rank, coordinate), and sds less one, (rank,).
    """
    own = deviations[:, places]
    n, p = own.shape
    ratio = p / n
    if n > p:
        eigenvalues, vectors = np.linalg.eigh(own.T @ own / (n - 1))
    else:
        eigenvalues, outer = np.linalg.eigh(own @ own.T / (n - 1))
        eigenvalues = np.maximum(eigenvalues, RIDGE)
        vectors = own.T @ outer / np.sqrt(eigenvalues * (n - 1))
    upper, lower = (1 + ratio**0.5) ** 2 * NOISE_MARGIN, max(1 - ratio**0.5, 0.0) ** 2 / NOISE_MARGIN
    chosen = np.flatnonzero((eigenvalues > upper) | ((eigenvalues < lower) & (n > p)))
    if len(chosen) > MAX_RANK:
        chosen = chosen[np.argsort(-np.abs(np.log(np.maximum(eigenvalues[chosen], RIDGE))))[:MAX_RANK]]
    seen = eigenvalues[chosen]
    middle = seen + 1 - ratio
    root = np.sqrt(np.maximum(middle**2 - 4 * seen, 0))
    true = np.where(seen > 1, middle + root, middle - root) / 2
    directions = np.zeros((len(chosen), deviations.shape[1]))
    directions[:, places] = vectors[:, chosen].T
    return directions, np.sqrt(np.maximum(true, MIN_EIGENVALUE)) - 1


@dataclass(frozen=True)
class Coordinates:
    """The log density of a program in whitened coordinates u."""

    target: Target  # the program's log density
    whitening: Whitening  # map from u to the target's coordinates

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

    Raises
    ------
    FitError
        If there is no density where inference starts.

    Notes
    -----
    Where models outnumber items, abilities are integrated out on a grid (`AbilityGrid`): the dimension falls by more
    than half, and items that share a thousand abilities mix freely. A guide in which abilities and items are
    independent would be biased besides: simulated like winogrande, 5,476 x 106, abilities came out 2% too wide, and
    90% intervals of difficulties covered .45, on the grid .91. Not under a program that a subclass has altered, nor
    where abilities come from several populations or trials are correlated.
    """
    cells = ResponseCells.from_arrays(correct, trials, device=device)
    data = ResponseData(cells, framed=whole)
    if isinstance(irt_model, Multidimensional):
        return _near(Target(irt_model, data), partial(draw_sites, irt_model, correct, trials))
    if isinstance(irt_model, ScoreModel) and whole and device == "cpu":
        nodes = ScoreGrid(correct.shape[1])
        cost = irt_model.statistics(correct[:1], trials[:1]).size * len(correct) * len(nodes.nodes)
        data = ResponseData(cells, nodes) if cost < MAX_GRID else data
    if not isinstance(irt_model, Logistic):
        return _by_guide(Target(irt_model, data))
    approximation = approximate(irt_model, correct, trials, threads=torch.get_num_threads())
    one_population = not irt_model.has_own_program and irt_model.population is None
    drawn = partial(_with_effects, irt_model, approximation.draws)
    independent = not irt_model.has_dispersion
    if one_population and independent and whole and correct.shape[0] > correct.shape[1] and device == "cpu":
        least_sd = COARSER * approximation.least_sd
        if AbilityGrid.is_affordable(AbilityGrid.n_nodes(least_sd), correct.size, cost=MAX_GRID):
            grid = AbilityGrid.from_counts(correct, trials, least_sd=least_sd)
            data = ResponseData(cells, grid)
    return _near(Target(irt_model, data), drawn)


def _with_effects(irt_model: Logistic, draw: Callable[[int], dict[str, Array]], n_draws: int) -> dict[str, Array]:
    """Add draws of the coefficients of items' covariates, which the approximation lacks, where there are any."""
    values, rng = draw(n_draws), np.random.default_rng(0)
    for name in ("difficulty", "log_discrimination") if irt_model.item_regression is not None else ():
        if isinstance(getattr(irt_model, name), Hierarchical) and irt_model.item_regression is not None:
            effects = draw_effects(irt_model.item_regression, values[name], values[f"{name}_sd"], rng)
            values[f"{name}{EFFECT}"], values[f"{name}_mean"] = effects
    return values


def _near(target: Target, draw: Callable[[int], dict[str, Array]]) -> Coordinates:
    """Whiten by draws of an approximation."""
    n_draws = int(np.clip(DRAWS_PER_COORDINATE * target.size, MIN_DRAWS, MAX_DRAWS))
    n_draws = max(min(n_draws, MAX_NUMBERS // target.size), MIN_DRAWS)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        drawn = draw(n_draws)
        readings = [target.read({name: values[at] for name, values in drawn.items()}) for at in range(n_draws)]
        return _whitened(target, readings) or _by_guide(target)


def _whitened(target: Target, readings: list[dict[str, SiteReading]]) -> Coordinates | None:
    """Whiten by draws as they were read, each value centred as far as answers determine it by these draws.

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


def _stack(readings: list[dict[str, SiteReading]], name: str, part: str) -> Any:
    values = [getattr(reading[name], part) for reading in readings]
    return None if values[0] is None else np.array(values)


def _by_guide(target: Target) -> Coordinates:
    """Whiten by draws of a guide with a low-rank covariance, found by some steps of Pyro's SVI."""
    unframed = target
    if isinstance(target.data, ResponseData) and target.data.grid is None:  # at 0 all abilities are alike: no frame
        unframed = Target(target.irt_model, ResponseData(target.data.cells, framed=False))
    plain = Coordinates(unframed, Whitening.identity(target.size))
    if not np.isfinite(plain.log_density(torch.zeros(target.size, dtype=DTYPE)).item()):
        raise FitError(
            f"the {target.irt_model.name} model has no density where inference starts: its priors all but rule these "
            "answers out, or its program gives no finite log density. Widen them, or check the program."
        )
    guide = optimise(
        lambda: plain.log_density, target.size, kind="low_rank", steps=START_STEPS, rate=START_RATE, spread=0.1
    )
    points = guide.draw(int(np.clip(DRAWS_PER_COORDINATE * target.size, MIN_DRAWS, MAX_DRAWS)))
    values = unframed.values(points, np.random.default_rng(0))
    readings = [target.read({name: v[at] for name, v in values.items()}) for at in range(len(points))]
    return _whitened(target, readings) or plain
