"""Sums over the answers of models that all answered the same items, from curves at a few abilities.

An item's curve is a smooth function of ability: interpolated between Chebyshev nodes it is needed at some tens of
abilities, not at those of all models. What the models answered comes in apart, as the product of a matrix and a vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from irt_bench.inference.interpolation import interpolation, n_nodes

Array = npt.NDArray[Any]
LEAST_GAIN = 2  # models to a node, at least, for it to pay
HERMITE = np.array([[2 / 3], [1 / 6], [1 / 6]])  # weights of the three-point Gauss-Hermite rule, the middle one first


@dataclass(frozen=True)
class SmoothSweep:
    """Nodes for abilities that are normal, each with a mean and a variance.

    Parameters
    ----------
    points : array of shape (3, model)
        Gauss-Hermite nodes of every ability.
    nodes : array of shape (node,)
        Abilities at which curves are needed.
    basis : array of shape (3 * model, node)
        Chebyshev polynomials at the points.
    coefficients : array of shape (node, node)
        basis @ (coefficients @ values at nodes) interpolates at the points.
    """

    points: Array
    nodes: Array
    basis: Array
    coefficients: Array

    @classmethod
    def where_it_pays(cls, mean: Array, variance: Array, steepest: float) -> SmoothSweep | None:
        """Choose nodes for slopes up to the steepest, if they are few beside the models."""
        spread = np.sqrt(3 * variance)
        points = np.stack([mean, mean - spread, mean + spread])
        if LEAST_GAIN * n_nodes(points, steepest) > len(mean):
            return None
        return cls(points, *interpolation(points.ravel(), steepest))

    def over_items(self, curves: Array, slope: Array, trials: Array) -> tuple[Array, Array]:
        """Sum expected right answers weighted by slope, and information, over items; (model,) each.

        Parameters
        ----------
        curves : array of shape (node, item)
            Logistic curves at the nodes.
        slope, trials : arrays of shape (item,)
            Of the items.
        """
        weights = slope * trials
        by_node = np.stack([curves @ weights, (curves - curves**2) @ (slope * weights)], axis=-1)
        at_points = (self.basis @ (self.coefficients @ by_node)).reshape(*self.points.shape, 2)
        right, information = (HERMITE[..., None] * at_points).sum(axis=0).T
        return right, information

    def over_models(self, curves: Array, trials: Array) -> Array:
        """Sum p, p theta, w, w theta and w theta^2 as expected over models, (5, item); w is the information."""
        powers = np.stack([HERMITE * self.points**power for power in range(3)]).reshape(3, -1)
        weights = (powers @ self.basis @ self.coefficients).astype(curves.dtype)
        return np.concatenate([weights[:2] @ curves, weights @ (curves - curves**2)]) * trials
