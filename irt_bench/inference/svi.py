"""Stochastic variational inference with Pyro: the program, a Gaussian guide, and a rule for when to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import Adam
from torch import Tensor

from irt_bench.errors import FitError
from irt_bench.inference.batches import Batches
from irt_bench.inference.coordinates import Coordinates, find_coordinates
from irt_bench.inference.draws import Draws
from irt_bench.inference.gibbs_hierarchy import redraw_hierarchy
from irt_bench.inference.guides import POINT, GaussianGuide, Kind
from irt_bench.inference.runtime import DTYPE, pyro_runtime
from irt_bench.inference.settings import SVISettings
from irt_bench.inference.short_chains import (
    CHAINS,
    GuideTarget,
    invariance,
    is_affordable,
    n_kept,
    run_short_chains,
)
from irt_bench.irt_models.logistic import Logistic

Progress = Callable[[str, int, int], None]
MOST_FULL = 250  # coordinates up to which a full covariance matrix is learned in good time
MOST_CHECKED = 1_000  # coordinates up to which the guide's shape is checked: a gradient each
MANY = 4_000  # of the guide's draws: their sds are within a per cent or two
EXTRA_PAIRS = 100  # beyond one a coordinate, for a half of the check
LEAST_CURVATURE = 0.05  # a spread of more than four times the guide's is not sought
LEAST_PRECISION = 1e-6  # none at all, or a negative one
ROW = 3.0  # square root of the length of a row up to which the learning rate is as set
N_RATES = 4  # learning rates gone through, each `decay` times smaller than the one before


def fit_svi(
    irt_model: Logistic,
    correct: npt.NDArray[Any],
    trials: npt.NDArray[Any],
    settings: SVISettings,
    progress: Progress | None = None,
) -> Draws:
    """Fit a Gaussian guide to the posterior of an IRT model, draw from it, and carry draws on where answers are few.

    Parameters
    ----------
    irt_model : IRTModel
        Priors and formula.
    correct, trials : integer arrays of shape (model, item)
        Right answers and trials; trials = 0 where never asked.
    settings : SVISettings
        Guide, step sizes, seed.
    progress : callable, optional
        Told (what, steps done, steps allowed).

    Notes
    -----
    Works in coordinates (`find_coordinates`) where a Gaussian is a fair picture of the posterior: the uncertainty that
    all abilities share is a coordinate of its own, so that independent coordinates do not miss it. Stops when the ELBO
    has stopped rising at the smallest of four learning rates; see `Plateau`. Where the matrix is small, short chains
    from the guide's draws tell whether it is right (`invariance`), and their states are the draws: the sds over few
    items have longer tails than a Gaussian's. Where they would take too long, means and sds over items are drawn anew
    given the items (`redraw_hierarchy`).
    """
    with pyro_runtime(seed=settings.seed, threads=settings.threads):
        coordinates = find_coordinates(irt_model, correct, trials, settings.device)
        guide = GaussianGuide(coordinates.posterior, kind=_kind(settings, len(coordinates.centre)))
        flat = dist.Normal(torch.zeros(guide.size, dtype=DTYPE), 1.0).mask(False).to_event(1)

        batches = Batches(coordinates, settings)

        def target() -> None:
            pyro.factor("posterior", batches.draw()(pyro.sample(POINT, flat)))

        optimiser = Adam({"lr": _first_rate(settings, guide), "betas": (0.9, 0.99)})
        svi = SVI(target, guide, optimiser, Trace_ELBO())
        elbo, at_rest = _raise_elbo(svi, optimiser, settings, progress)
        if not torch.isfinite(guide.place()[0]).all():
            raise FitError("method 'svi' left all bounds: these answers are too few for it. Use --method nuts.")
        points = guide.draw(settings.draws).numpy()
        found: dict[str, float] = {}
        if at_rest and guide.size <= MOST_CHECKED and is_affordable(coordinates, draws=settings.draws):
            carried, found = _carry_on(coordinates, guide, settings, progress)
            points = carried if settings.refine else points
        refined = settings.refine and bool(found)
        missed = missed_spread(guide, batches) if guide.size <= MOST_CHECKED and not refined else None
        rng = np.random.default_rng(settings.seed)
        values = coordinates.values(points, rng)
    notes = {"plateau_reached": at_rest, "steps": len(elbo), "missed_spread": missed, "refined": refined} | found
    if not refined:
        redrawn, changes = redraw_hierarchy(irt_model, values, rng)
        values = redrawn if settings.refine else values
        notes |= {f"hierarchy_{name}": value for name, value in changes.items()} | {"redrawn": settings.refine}
    notes |= {"n_items": int((trials > 0).any(axis=0).sum()), "n_draws": settings.draws}
    values = {name: value[None] for name, value in values.items()}
    return Draws(sites=values, sample_stats={"elbo": elbo}, notes=notes)


def _raise_elbo(
    svi: SVI, optimiser: Adam, settings: SVISettings, progress: Progress | None
) -> tuple[npt.NDArray[np.float64], bool]:
    """Step until the ELBO has stopped rising at the smallest learning rate: ELBO of each step, and whether it has."""
    plateau, rates_left = Plateau(window=settings.window), N_RATES
    for step in range(settings.max_steps):
        plateau.add(-svi.step())
        if plateau.reached():
            rates_left -= 1
            if rates_left == 0:
                break
            _scale_learning_rate(optimiser, 1 / settings.decay)
            plateau.restart()
        if progress is not None and step % settings.window == 0:
            progress("raising the ELBO", step, settings.max_steps)
    if progress is not None:
        progress("raising the ELBO", settings.max_steps, settings.max_steps)
    return np.array(plateau.history), rates_left == 0


def _carry_on(
    coordinates: Coordinates, guide: GaussianGuide, settings: SVISettings, progress: Progress | None
) -> tuple[npt.NDArray[np.float64], dict[str, float]]:
    """Points that short chains reach from the guide's draws, shape (draw, coordinate), and how far they had to go."""
    rng = np.random.default_rng(settings.seed)
    mean, root = (part.numpy() for part in guide.place())
    target, drawn = GuideTarget(coordinates, mean, root), rng.standard_normal((MANY, guide.size))
    chains = run_short_chains(target, drawn[:CHAINS], rng, kept=n_kept(settings.draws), progress=progress)
    states = chains.points[::-1].reshape(-1, guide.size)  # the last sweep first
    return target.placed(states[: settings.draws]), invariance(target, chains, drawn)


def missed_spread(guide: GaussianGuide, batches: Batches) -> float:
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
        sought = (vectors / along.clip(min=LEAST_CURVATURE)) @ vectors.T
        for directions in (sought / sought.diagonal()[:, None], torch.eye(guide.size, dtype=DTYPE)):
            precision = ((directions @ measuring) * directions).sum(dim=1)
            missed = max(missed, float(precision.min().clip(min=LEAST_PRECISION).rsqrt()))
    return round(missed, 4)  # last digits of products vary with memory


def _curvature(loc: Tensor, root: Tensor, batches: Batches) -> Tensor:
    """Slopes of minus the gradient on standard normal draws in pairs z and -z, in which even terms cancel."""
    noise = torch.randn((len(loc) + EXTRA_PAIRS, len(loc)), dtype=DTYPE)
    odd = []
    for one in noise:
        log_density = batches.draw()
        up, down = (_gradient(log_density, loc + sign * (root @ one)) for sign in (1, -1))
        odd.append(root.T @ (down - up) / 2)
    slopes: Tensor = torch.linalg.lstsq(noise, torch.stack(odd)).solution
    return (slopes + slopes.T) / 2


def _gradient(log_density: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    point = point.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(log_density(point), point)
    return gradient


def _kind(settings: SVISettings, n_coordinates: int) -> Kind:
    if settings.guide != "auto":
        return settings.guide
    return "full" if n_coordinates <= MOST_FULL else "item"


def _first_rate(settings: SVISettings, guide: GaussianGuide) -> float:
    """Learning rate to begin with: Adam moves every number of a triangle's row, whose errors add up along the row."""
    return settings.learning_rate * min(1.0, ROW / guide.size**0.5 if guide.full else 1.0)


@dataclass
class Plateau:
    """Tells when a noisy rising series has stopped rising.

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
        """Whether the series has levelled off; decided once a window."""
        n = len(self.history) - self._since
        if n % self.window or n < 6 * self.window // 2:
            return False
        third = n // 3
        earlier = np.array(self.history[-2 * third : -third])
        later = np.array(self.history[-third:])
        error = np.sqrt((earlier.var(ddof=1) + later.var(ddof=1)) / third)
        return bool(later.mean() - earlier.mean() < error)


def _scale_learning_rate(optimiser: Adam, factor: float) -> None:
    for one in optimiser.optim_objs.values():
        for group in one.param_groups:
            group["lr"] *= factor
