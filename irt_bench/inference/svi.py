"""Stochastic variational inference with Pyro: the program, a Gaussian guide, and a rule for when to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import Adam

from irt_bench.inference.ability_grid import AbilityGrid
from irt_bench.inference.coordinates import Coordinates, find_coordinates
from irt_bench.inference.draws import Draws
from irt_bench.inference.guides import POINT, GaussianGuide, Kind
from irt_bench.inference.runtime import DTYPE, pyro_runtime
from irt_bench.inference.settings import SVISettings
from irt_bench.irt_models.logistic import Logistic

Progress = Callable[[str, int, int], None]
MOST_FULL = 250  # coordinates up to which a full covariance matrix is learned in good time
MOST_CHECKED = 1_000  # coordinates up to which the guide's shape is checked: a gradient each
STEP_COST = 6e7  # cells times nodes of the grid: about 10 ms a step
LEAST_BATCH = 200
N_RATES = 4  # learning rates gone through, each `decay` times smaller than the one before


def fit_svi(
    irt_model: Logistic,
    correct: npt.NDArray[Any],
    trials: npt.NDArray[Any],
    settings: SVISettings,
    progress: Progress | None = None,
) -> Draws:
    """Fit a Gaussian guide to the posterior of an IRT model and draw from it.

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
    Works in the coordinates that NUTS samples in (`Coordinates`), where a Gaussian is a fair picture of the
    posterior: the uncertainty that all abilities share is a coordinate of its own, so that independent coordinates do
    not miss it. Stops when the ELBO has stopped rising at the smallest of four learning rates; see `Plateau`.
    """
    with pyro_runtime(seed=settings.seed, threads=settings.threads):
        coordinates = find_coordinates(irt_model, correct, trials)
        guide = GaussianGuide(coordinates.posterior, kind=_kind(settings, len(coordinates.centre)))
        flat = dist.Normal(torch.zeros(guide.size, dtype=DTYPE), 1.0).mask(False).to_event(1)

        batches = Batches(coordinates, settings)

        def target() -> None:
            pyro.factor("posterior", batches.next().log_density(pyro.sample(POINT, flat)))

        optimiser = Adam({"lr": settings.learning_rate, "betas": (0.9, 0.99)})
        svi = SVI(target, guide, optimiser, Trace_ELBO())
        plateau = Plateau(window=settings.window)
        rates_left = N_RATES - 1
        for step in range(settings.max_steps):
            plateau.add(-svi.step())
            if plateau.reached():
                if rates_left == 0:
                    break
                rates_left -= 1
                _scale_learning_rate(optimiser, 1 / settings.decay)
                plateau.restart()
            if progress is not None and step % settings.window == 0:
                progress("raising the ELBO", step, settings.max_steps)
        else:
            rates_left += 1
        values = coordinates.values(guide.draw(settings.draws).numpy()[None], np.random.default_rng(settings.seed))
        missed = missed_spread(guide, coordinates) if guide.size <= MOST_CHECKED else None
    if progress is not None:
        progress("raising the ELBO", settings.max_steps, settings.max_steps)
    elbo = np.array(plateau.history)
    notes = {"plateau_reached": rates_left == 0, "steps": len(elbo), "missed_spread": missed}
    return Draws(sites=values, sample_stats={"elbo": elbo}, notes=notes)


class Batches:
    """Posteriors that each see some of the models, whose answers stand for all.

    Parameters
    ----------
    coordinates : Coordinates
        Of the whole posterior.
    settings : SVISettings
        How many models a step looks at.
    """

    def __init__(self, coordinates: Coordinates, settings: SVISettings) -> None:
        self._all, self._rng = coordinates, np.random.default_rng(settings.seed)
        cells = coordinates.posterior.cells
        self._grid = cells if isinstance(cells, AbilityGrid) else None
        if self._grid is not None:
            n_patterns, n_items = self._grid.right.shape
            short = max(LEAST_BATCH, int(STEP_COST / (n_items * len(self._grid.nodes))))
            self.size = min(settings.batch or short, n_patterns)

    def next(self) -> Coordinates:
        """Draw the models of a step."""
        if self._grid is None or self.size == len(self._grid.right):
            return self._all
        posterior = replace(self._all.posterior, cells=self._grid.sampled(self._rng, self.size))
        return replace(self._all, posterior=posterior)


def missed_spread(guide: GaussianGuide, coordinates: Coordinates) -> float:
    """Ratio of the posterior's sd to the guide's, in the coordinate where it is largest.

    Notes
    -----
    At the best Gaussian the expected Hessian of the log posterior is minus its precision (Opper & Archambeau 2009,
    doi:10.1162/neco.2008.08-07-592, eq. 10). It is the slope of the gradient's regression on the guide's draws; in
    coordinates in which the guide is standard normal its inverse is the identity, unless the guide's shape forbids it.
    """
    shape = (guide.size + 200, guide.size)
    noise = torch.randn(shape, dtype=DTYPE)
    loc, root = guide.place()
    gradients = []
    for one in noise:
        point = (loc + root @ one).requires_grad_()
        coordinates.log_density(point).backward()
        gradients.append(root.T @ point.grad)
    design = torch.column_stack([torch.ones(shape[0], dtype=DTYPE), noise])
    slopes = torch.linalg.lstsq(design, torch.stack(gradients)).solution[1:]
    covariance = torch.linalg.pinv(-(slopes + slopes.T) / 2, hermitian=True)
    return round(float(covariance.diagonal().abs().max().sqrt()), 4)  # last digits of products vary with memory


def _kind(settings: SVISettings, n_coordinates: int) -> Kind:
    if settings.guide != "auto":
        return settings.guide
    return "full" if n_coordinates <= MOST_FULL else "item"


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
