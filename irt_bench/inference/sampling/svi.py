"""Stochastic variational inference with Pyro: the program, one of Pyro's autoguides, and a rule for when to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from irt_bench import names
from irt_bench.arrays import Array
from irt_bench.errors import FitError
from irt_bench.inference.draws import Draws
from irt_bench.inference.sampling.coordinates import Coordinates, Guide, Kind, find_coordinates, optimise, pyro_runtime
from irt_bench.inference.sampling.likelihood import ResponseData
from irt_bench.inference.settings import SVISettings
from irt_bench.irt_models.model import IRTModel
from irt_bench.irt_models.program import DTYPE
from irt_bench.workers import Progress

LogDensity = Callable[[Tensor], Tensor]
MAX_FULL: Final = 250  # coordinates up to which a full covariance matrix is learned in good time
MAX_FULL_ON_GRID: Final = 100  # where steps are slow and whitening leaves little to learn
MAX_CHECKED: Final = 1_000  # coordinates up to which the guide's shape is checked: a gradient each
EXTRA_PAIRS: Final = 100  # beyond one per coordinate, for a half of the check
MIN_CURVATURE: Final = 0.05  # a spread of more than four times the guide's is not sought
MIN_PRECISION: Final = 1e-6  # none at all, or a negative one
ROW: Final = 3.0  # square root of the length of a row up to which the learning rate is as set
N_RATES: Final = 4  # learning rates gone through, each `decay` times smaller than the one before
STEP_CELLS: Final = 2e7  # of a mini-batch: a tenth of a second or two per step
MIN_BATCH: Final = 200  # models, and items, where there are so many


def fit_svi(
    irt_model: IRTModel, correct: Array, trials: Array, settings: SVISettings, progress: Progress | None = None
) -> Draws:
    """Fit a Gaussian guide to the posterior of an IRT model and draw from it.

    Notes
    -----
    The guide lives in whitened coordinates (`find_coordinates`), in which independent ones miss little: what all
    abilities share is a direction of the map. Stops when the ELBO has stopped rising at the smallest of four learning
    rates; see `Plateau`.
    """
    with pyro_runtime(seed=settings.seed, threads=settings.threads):
        whole = sizes_of_a_step(correct.shape, settings) == correct.shape
        coordinates = find_coordinates(irt_model, correct, trials, device=settings.device, whole=whole)
        draws = fit_coordinates(coordinates, settings, progress)
    sizes = {"n_models": int((trials > 0).any(axis=1).sum()), "n_items": int((trials > 0).any(axis=0).sum())}
    return replace(draws, notes={**draws.notes, **sizes})


def fit_coordinates(coordinates: Coordinates, settings: SVISettings, progress: Progress | None = None) -> Draws:
    """Fit a guide to a program in given coordinates and draw values of its sites; within `pyro_runtime`."""
    guide, at_rest = fit_guide(coordinates, settings, progress)
    if not torch.isfinite(guide.posterior.mean).all():
        raise FitError("method 'svi' left all bounds: these answers are too few for it; use method='nuts'.")
    missed = missed_spread(guide, Batches(coordinates, settings)) if coordinates.size <= MAX_CHECKED else None
    values = coordinates.values(guide.draw(settings.draws), np.random.default_rng(settings.seed))
    notes = {"plateau_reached": at_rest, "steps": len(guide.elbo), "missed_spread": missed}
    sites = {name: value[None] for name, value in values.items()}
    return Draws(sites=sites, dims=coordinates.target.dims, sample_stats={"elbo": guide.elbo}, notes=notes)


def fit_guide(coordinates: Coordinates, settings: SVISettings, progress: Progress | None) -> tuple[Guide, bool]:
    """Optimise a guide until the ELBO has stopped rising at the smallest learning rate, and whether it has."""
    plateau, rates_left = Plateau(window=settings.window), N_RATES
    most = MAX_FULL if coordinates.target.data.grid is None else MAX_FULL_ON_GRID
    kind: Kind = "full" if coordinates.size <= most else "normal"
    kind = kind if settings.guide == "auto" else settings.guide

    def after_each(step: int, elbo: float, optimiser: Any) -> bool:
        nonlocal rates_left
        plateau.add(elbo)
        if plateau.reached():
            rates_left -= 1
            if rates_left == 0:
                return True
            for one in optimiser.optim_objs.values():
                for group in one.param_groups:
                    group["lr"] *= 1 / settings.decay
            plateau.restart()
        if progress is not None and step % settings.window == 0:
            progress("raising the ELBO", step, settings.max_steps)
        return False

    rate = settings.learning_rate * (min(1.0, ROW / coordinates.size**0.5) if kind == "full" else 1.0)
    batches = Batches(coordinates, settings)
    guide = optimise(
        batches.draw, coordinates.size, kind=kind, steps=settings.max_steps, rate=rate, spread=1.0,
        after_each=after_each,
    )  # fmt: skip
    if progress is not None:
        progress("raising the ELBO", settings.max_steps, settings.max_steps)
    return guide, rates_left == 0


class Batches:
    """The log posterior, each time from some of the models and items, by subsampling the program's plates.

    Notes
    -----
    The log density of the models of a step at u is compared with that of the same models at the centre, and to first
    order that of all models there is put in its place: value and gradient keep their expectation, and lose most of the
    noise that the choice makes (Johnson & Zhang 2013, stochastic variance reduced gradient).
    """

    def __init__(self, coordinates: Coordinates, settings: SVISettings) -> None:
        self._all, self._rng = coordinates, np.random.default_rng(settings.seed)
        data = coordinates.target.data
        self._data = data if isinstance(data, ResponseData) and data.grid is None else None  # what can be sampled
        if self._data is not None:
            self._sizes = sizes_of_a_step(self._data.cells.shape, settings)
        self._takes_all = self._data is None or self._sizes == self._data.cells.shape
        self._centre = torch.zeros(coordinates.size, dtype=DTYPE)
        if not self._takes_all:
            self._whole = _value_and_gradient(coordinates.log_density, self._centre)

    def draw(self) -> LogDensity:
        """Draw the models and items of a step: a log density, its gradient attached."""
        if self._takes_all or self._data is None:
            return self._all.log_density
        target, shape = self._all.target, self._data.cells.shape
        chosen = {
            dim: torch.from_numpy(np.sort(self._rng.choice(size, some, replace=False)))
            for dim, size, some in zip((names.MODEL, names.ITEM), shape, self._sizes, strict=True)
        }
        some = replace(self._all, target=target.with_data(self._data.subsampled(chosen)))
        (value, gradient), (value_of_some, gradient_of_some) = (
            self._whole,
            _value_and_gradient(some.log_density, self._centre),
        )

        def log_density(point: Tensor) -> Tensor:
            return some.log_density(point) + (value - value_of_some) + (gradient - gradient_of_some) @ point

        return log_density


def sizes_of_a_step(shape: tuple[int, int], settings: SVISettings) -> tuple[int, int]:
    """Models and items that a step looks at: `batch` models, or as many as take less than a tenth of a second."""
    n_models, n_items = shape
    if settings.device != "cpu":
        return n_models, n_items
    if settings.batch:
        some = min(settings.batch, n_models)
        return some, min(max(MIN_BATCH, round(n_items * some / n_models)), n_items)
    some = min(max(MIN_BATCH, int(n_models * (STEP_CELLS / (n_models * n_items)) ** 0.5)), n_models)
    items = min(max(MIN_BATCH, int(STEP_CELLS / some)), n_items)
    return min(max(MIN_BATCH, int(STEP_CELLS / items)), n_models), items


def missed_spread(guide: Guide, batches: Batches) -> float:
    """Ratio of the posterior's sd to the guide's, in the coordinate where it is largest.

    Notes
    -----
    At the best Gaussian the expected Hessian of the log posterior is minus its precision (Opper & Archambeau 2009,
    doi:10.1162/neco.2008.08-07-592, eq. 10). It is the slope of the gradient's regression on the guide's draws; in
    coordinates in which the guide is standard normal it is minus the identity, unless the guide's shape forbids it.

    The variance of coordinate j is the largest 1 / x'Hx over all x with x_j = 1. Directions are sought with one half of
    the draws and measured with the other, or the noise in so many slopes would pass for a spread that was missed.
    """
    loc, root = guide.place()
    halves = [_curvature(loc, root, batches) for _ in range(2)]
    missed = 1.0
    for seeking, measuring in (halves, halves[::-1]):
        along, vectors = torch.linalg.eigh(seeking)
        sought = (vectors / along.clip(min=MIN_CURVATURE)) @ vectors.T
        for directions in (sought / sought.diagonal()[:, None], torch.eye(len(loc), dtype=DTYPE)):
            precision = ((directions @ measuring) * directions).sum(dim=1)
            missed = max(missed, float(precision.min().clip(min=MIN_PRECISION).rsqrt()))
    return round(missed, 4)  # last digits of products vary with memory


def _curvature(loc: Tensor, root: Tensor, batches: Batches) -> Tensor:
    """Slopes of minus the gradient on standard normal draws in pairs z and -z, in which even terms cancel."""
    noise = torch.randn((len(loc) + EXTRA_PAIRS, len(loc)), dtype=DTYPE)
    odd = []
    for one in noise:
        log_density = batches.draw()
        up, down = (_value_and_gradient(log_density, loc + sign * (root @ one))[1] for sign in (1, -1))
        odd.append(root.T @ (down - up) / 2)
    slopes: Tensor = torch.linalg.lstsq(noise, torch.stack(odd)).solution
    return (slopes + slopes.T) / 2


def _value_and_gradient(log_density: LogDensity, point: Tensor) -> tuple[float, Tensor]:
    point = point.detach().requires_grad_()
    value = log_density(point)
    (gradient,) = torch.autograd.grad(value, point)
    return value.item(), gradient


@dataclass
class Plateau:
    """Rule for when a noisy rising series has stopped rising.

    The steps since the last restart are cut into their second and third thirds. The series has levelled off when the
    later third is not higher than the earlier by more than one standard error of the difference, of which there
    must be two windows each.
    """

    window: int
    history: list[float] = field(default_factory=list)
    _since: int = 0

    def add(self, value: float) -> None:
        """Append a value."""
        self.history.append(value)

    def restart(self) -> None:
        """Forget what came before, as at a new learning rate."""
        self._since = len(self.history)

    def reached(self) -> bool:
        """Whether the series has levelled off; decided once per window."""
        n = len(self.history) - self._since
        if n % self.window or n < 6 * self.window // 2:
            return False
        third = n // 3
        earlier = np.array(self.history[-2 * third : -third])
        later = np.array(self.history[-third:])
        error = np.sqrt((earlier.var(ddof=1) + later.var(ddof=1)) / third)
        return bool(later.mean() - earlier.mean() < error)
