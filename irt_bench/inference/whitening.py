"""A linear map after which a posterior is nearly standard normal, found from draws of an approximation of it.

Coordinates of one model, or of one item, belong together: their covariance is taken whole. What many of them share (the
level of all abilities, a hierarchy's mean) shows in few directions of large or small variance: those eigenvectors of
the covariance left over that noise alone would not make [1]_.

References
----------
.. [1] Baik, Silverstein, 2006, Eigenvalues of large sample covariance matrices of spiked population models,
   doi:10.1016/j.jmva.2005.08.003: noise in n draws of p standard normal coordinates has eigenvalues within
   (1 +- sqrt(p / n))^2, and one l beyond belongs to a true one k with l = k + k p / (n (k - 1)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[np.float64]
FARTHEST: Final = 6.0  # sds of a draw from the median, on its side: few answers leave a direction without bounds
MARGIN: Final = 1.05  # beyond the edges of what noise makes
LEAST_EIGENVALUE: Final = 0.02
MOST_RANK: Final = 500
RIDGE: Final = 1e-9


@dataclass(frozen=True)
class Whitening:
    """The map u → centre + R (I + V diag(s) V') u, R made of blocks, V of orthonormal columns.

    Parameters
    ----------
    centre : array of shape (coordinate,)
        Image of u = 0.
    groups : sequence of integer arrays of shape (block, coordinate of a block)
        Coordinates of each block.
    roots : sequence of arrays of shape (block, k, k)
        Lower triangular roots of the blocks' covariances.
    stretches : sequence of pairs of arrays of shape (rank, coordinate), (rank,)
        V' and s: first of what all share, then of what the coordinates of one group share.
    """

    centre: Array
    groups: Sequence[npt.NDArray[np.intp]]
    roots: Sequence[Array]
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

    Returns
    -------
    directions : array of shape (rank, coordinate)
        Orthonormal rows.
    stretch : array of shape (rank,)
        Sds less one.
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
    upper, lower = (1 + ratio**0.5) ** 2 * MARGIN, max(1 - ratio**0.5, 0.0) ** 2 / MARGIN
    chosen = np.flatnonzero((eigenvalues > upper) | ((eigenvalues < lower) & (n > p)))
    if len(chosen) > MOST_RANK:
        chosen = chosen[np.argsort(-np.abs(np.log(np.maximum(eigenvalues[chosen], RIDGE))))[:MOST_RANK]]
    seen = eigenvalues[chosen]
    middle = seen + 1 - ratio
    root = np.sqrt(np.maximum(middle**2 - 4 * seen, 0))
    true = np.where(seen > 1, middle + root, middle - root) / 2
    directions = np.zeros((len(chosen), deviations.shape[1]))
    directions[:, places] = vectors[:, chosen].T
    return directions, np.sqrt(np.maximum(true, LEAST_EIGENVALUE)) - 1
