"""Coordinates for matrices of many items: abilities and items together, whitened by the fast method's joint normal.

A sampler wants a posterior that looks like a standard normal distribution. Three maps bring it there, none of which
needs a matrix with a row for every parameter:

1. abilities in their frame (`Alignment`), so that the location and scale that models and items share stand apart;
2. an item as intercept d = -a b and log slope, in which its likelihood is close to quadratic;
3. a root of the joint covariance at the mode, whose inverse has the shape of an arrow (`Arrow`).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg

from irt_bench import names
from irt_bench.errors import FitWarning
from irt_bench.inference.alignment import Alignment
from irt_bench.inference.arrow import Arrow, cholesky, inverse_roots
from irt_bench.inference.coordinates import BaseCoordinates, check_against_program
from irt_bench.inference.joint_normal import Mode, make_arrow
from irt_bench.inference.laplace import approximate
from irt_bench.inference.likelihood import Cells
from irt_bench.inference.posterior import Posterior, real_per_log_sd
from irt_bench.inference.runtime import CPU
from irt_bench.irt_models.base import Beta, Hierarchical
from irt_bench.irt_models.logistic import LOG_DISCRIMINATION, Logistic

Array = npt.NDArray[np.float64]
LEAST_ITEMS = 100  # with fewer, abilities are far from normal and cheap to integrate out
LOOSEST_SLOPES = 0.7  # sd of log slopes over items: beyond, those near zero have tails that no normal has
MOST_NUMBERS = 40_000_000  # of the root: 320 MB
B, B_MEAN, B_SD = names.DIFFICULTY, f"{names.DIFFICULTY}_mean", f"{names.DIFFICULTY}_sd"
A, A_MEAN, A_SD = LOG_DISCRIMINATION, f"{LOG_DISCRIMINATION}_mean", f"{LOG_DISCRIMINATION}_sd"


def find_joint_coordinates(
    irt_model: Logistic, correct: Array, trials: Array, *, threads: int
) -> BaseCoordinates | None:
    """Find such coordinates; None with few items, learned asymptotes, loose slopes, a root too large or no peak.

    None, too, where the mean and sd of a parameter over items are known: a row for each is part of the root.

    Raises
    ------
    ModelError
        If the density or its gradient is not that of the model's Pyro program.
    """
    (n_models, n_items), learned = correct.shape, irt_model.upper_share is not None
    if learned or isinstance(irt_model.guessing, Beta) or n_items < LEAST_ITEMS:
        return None
    if n_models * (n_models + 2 * n_items) > MOST_NUMBERS:
        return None
    if not isinstance(irt_model.difficulty, Hierarchical):
        return None
    if not isinstance(irt_model.log_discrimination, Hierarchical) and not irt_model.shared_slope:
        return None
    mode = approximate(irt_model, correct, trials, threads=threads).state
    if not mode.items.shared_slope and mode.items.slope_sd > LOOSEST_SLOPES:
        return None
    cells = Cells.from_arrays(correct, trials, device=CPU)
    ability = np.asarray(mode.abilities.mean, dtype=np.float64)
    reliability = float(np.mean(1 - mode.abilities.variance))
    safe = Alignment.is_safe(n_models, reliability)
    posterior = Posterior(irt_model, cells, alignment=Alignment(ability - ability.mean()) if safe else None)
    values = _values(mode, ability)
    check_against_program(Posterior(irt_model, cells), values)
    arrow, _ = make_arrow(irt_model, mode)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FitWarning)
        try:
            root = JointRoot.make(irt_model, posterior, mode, arrow)
        except FitWarning:
            return None
    return JointCoordinates(posterior, root.bent_back(posterior.flatten(values)), root)


def _values(mode: Mode, ability: Array) -> dict[str, Any]:
    """Site → value at the mode."""
    items = mode.items
    found = {
        names.ABILITY: ability,
        B_MEAN: np.float64(items.difficulty_mean),
        B_SD: np.float64(items.difficulty_sd),
        B: items.difficulty,
    }
    if items.shared_slope:
        return found | {A: items.log_slope[0]}
    return found | {A_MEAN: np.float64(items.slope_mean), A_SD: np.float64(items.slope_sd), A: items.log_slope}


@dataclass(frozen=True)
class JointRoot:
    """Linear map from u to deviations of the coordinates (abilities in their frame, d, log a, what items share).

    Parameters
    ----------
    layout : mapping
        Site → its place in the flat vector; difficulty's holds the intercepts.
    alignment : Alignment or None
        Frame of the abilities.
    lower : array of shape (model + shared, model + shared)
        Cholesky factor of their precision, items eliminated.
    cross : array of shape (model + shared, item * coordinate)
        (-B; H') G^-1/2; see `Arrow.whitened`.
    item_roots : array of shape (item, coordinate, coordinate)
        Roots of the items' covariance, all else given.
    slope, difficulty_mean : array of shape (item,), float
        At the mode: what a move of the frame does to intercepts and to the mean of the difficulties.
    sd_scales : array of shape (shared,)
        What a coordinate moves by as a mean, or the logarithm of an sd, moves by one.
    """

    layout: dict[str, slice]
    alignment: Alignment | None
    lower: Array
    cross: Array
    item_roots: Array
    slope: Array
    difficulty_mean: float
    sd_scales: Array

    @classmethod
    def make(cls, irt_model: Logistic, posterior: Posterior, mode: Mode, arrow: Arrow) -> JointRoot:
        """From the joint precision at the mode."""
        items = mode.items
        scales = [1.0, 1.0]
        for sd, prior in ((items.difficulty_sd, irt_model.difficulty), (items.slope_sd, irt_model.log_discrimination)):
            if isinstance(prior, Hierarchical):
                scales.append(real_per_log_sd(sd, prior.sd))
        return cls(
            layout=posterior.layout,
            alignment=posterior.alignment,
            lower=cholesky(arrow.abilities_precision()),
            cross=arrow.whitened(slice(0, arrow.n_items)).astype(np.float64),
            item_roots=inverse_roots(arrow.items),
            slope=items.slope,
            difficulty_mean=items.difficulty_mean,
            sd_scales=np.array(scales),
        )

    @property
    def _shared(self) -> list[int]:
        """Places of what items share, in the arrow's order."""
        order = (B_MEAN, A_MEAN, B_SD, A_SD) if A_MEAN in self.layout else (B_MEAN, A, B_SD)
        return [self.layout[name].start for name in order]

    def deviation(self, point: Array) -> Array:
        """Deviation from the centre at u."""
        n, found = len(self.lower), np.empty_like(point)
        both = linalg.solve_triangular(self.lower, point[:n], lower=True, trans=1)
        own = (point[n:] - both @ self.cross).reshape(len(self.slope), -1)
        moved = np.einsum("jpq,jq->jp", self.item_roots, own)
        found[self.layout[names.ABILITY]] = both[: n - len(self.sd_scales)]
        found[self._shared] = both[n - len(self.sd_scales) :] * self.sd_scales
        found[self.layout[B]] = moved[:, 0]
        if moved.shape[1] == 2:
            found[self.layout[A]] = moved[:, 1]
        return found if self.alignment is None else self._into_frame(found, self.alignment)

    def pull_back(self, gradient: Array) -> Array:
        """Gradient in u from that in the coordinates: the transpose of `deviation`."""
        if self.alignment is not None:
            gradient = self._out_of_frame(gradient, self.alignment)
        by_item = [gradient[self.layout[name]] for name in (B, A)[: self.item_roots.shape[1]]]
        own = np.einsum("jpq,pj->jq", self.item_roots, np.array(by_item)).ravel()
        both = np.concatenate([gradient[self.layout[names.ABILITY]], gradient[self._shared] * self.sd_scales])
        return np.concatenate([linalg.solve_triangular(self.lower, both - self.cross @ own, lower=True), own])

    def _into_frame(self, plain: Array, alignment: Alignment) -> Array:
        """Deviations as the frame has them: to first order, and with the mode's own frame taken as the standard one."""
        found = plain.copy()
        turned = alignment.turn(plain[self.layout[names.ABILITY]])
        found[self.layout[names.ABILITY]] = turned
        location, log_scale = turned[:2]
        found[self.layout[B]] += self.slope * location
        found[self.layout[B_MEAN]] -= location + self.difficulty_mean * log_scale
        found[self.layout[B_SD]] -= self.sd_scales[2] * log_scale
        for name in (A, A_MEAN):
            found[self.layout.get(name, slice(0))] += log_scale
        return found

    def _out_of_frame(self, gradient: Array, alignment: Alignment) -> Array:
        """Transpose of `_into_frame`."""
        found = gradient.copy()
        by_frame = gradient[self.layout[names.ABILITY]].copy()
        by_mean, by_sd = gradient[self.layout[B_MEAN]].sum(), gradient[self.layout[B_SD]].sum()
        by_frame[0] += self.slope @ gradient[self.layout[B]] - by_mean
        by_frame[1] -= self.difficulty_mean * by_mean + self.sd_scales[2] * by_sd
        by_frame[1] += sum(gradient[self.layout.get(name, slice(0))].sum() for name in (A, A_MEAN))
        found[self.layout[names.ABILITY]] = alignment.turn_back(by_frame)
        return found

    def bent(self, coordinates: Array) -> Array:
        """From intercepts to difficulties, b = -d / a."""
        found = coordinates.copy()
        found[self.layout[B]] *= -np.exp(-coordinates[self.layout[A]])
        return found

    def bent_back(self, flat: Array) -> Array:
        """From difficulties to intercepts."""
        found = flat.copy()
        found[self.layout[B]] *= -np.exp(flat[self.layout[A]])
        return found


@dataclass(frozen=True)
class JointCoordinates(BaseCoordinates):
    """Coordinates u with flat = (centre + root u), intercepts turned into difficulties."""

    root: JointRoot

    @property
    def whitened(self) -> bool:
        """Yes; variances adapted to some hundred draws are worse."""
        return True

    def flat(self, points: Array) -> Array:
        """Flat vectors at one or many points."""
        if points.ndim > 1:
            return np.array([self.flat(point) for point in points])
        return self.root.bent(self.centre + self.root.deviation(points))

    def value_and_gradient(self, point: Array) -> tuple[float, Array]:
        """Log posterior density at u, up to a constant, and its gradient."""
        flat, layout = self.flat(point), self.root.layout
        value, gradient = self.posterior.log_density(flat)
        log_slope, n_items = flat[layout[A]], len(self.root.slope)
        by_difficulty, gradient = gradient[layout[B]], gradient.copy()
        gradient[layout[B]] = -by_difficulty * np.exp(-log_slope)
        by_log_slope = -by_difficulty * flat[layout[B]] - 1  # of difficulties, and of the Jacobian 1 / a
        gradient[layout[A]] += by_log_slope if len(log_slope) == n_items else by_log_slope.sum()
        jacobian = log_slope.sum() * n_items / len(log_slope)
        return value - float(jacobian), self.root.pull_back(gradient)
