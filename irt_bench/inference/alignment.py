"""Coordinates of the abilities in which their shared location and scale stand apart.

Responses tell only how abilities lie relative to the items: adding t to all abilities and difficulties, or stretching
both by s and dividing the discriminations by s, changes nothing but the prior. In plain coordinates these two
directions are long thin ridges in which a sampler crawls. Here ability = t + s * shape, and everything on the
ability's scale is measured from t in units of s, so that t and s meet the responses nowhere and the sampler sees them
as two more well-scaled coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
SURE_SIGN = 6.0  # standard deviations that the spread of the abilities must lie from zero


class Frame(NamedTuple):
    """Location t and log scale of the abilities."""

    location: Any
    log_scale: Any

    @property
    def scale(self) -> Any:
        """Scale s."""
        return np.exp(self.log_scale)


STANDARD = Frame(0.0, 0.0)


@dataclass(frozen=True)
class Alignment:
    """Ability ↔ (t, log s, rest): ability = t + s * (reference + H (0, 0, rest)).

    Parameters
    ----------
    reference : array of shape (model,)
        Abilities near the posterior's centre, with mean zero.

    Notes
    -----
    H is orthogonal and turns the first two axes into the constant vector's direction and the reference's: two
    Householder reflections, of linear cost. The log-Jacobian is (M - 1) log s and a constant. The map reaches the
    half-space of abilities that lie on the reference's side, so it is used only where the other half is out of reach
    (`is_safe`).
    """

    reference: Array

    @staticmethod
    def is_safe(n_models: int, reliability: float) -> bool:
        """Whether the abilities' direction is known well enough that their sign cannot flip."""
        return bool(np.sqrt(n_models * reliability) > SURE_SIGN)

    @cached_property
    def _reflections(self) -> tuple[Array, Array]:
        n = len(self.reference)
        axes = np.eye(2, n)
        first = axes[0] - np.full(n, 1 / np.sqrt(n))
        first /= np.linalg.norm(first)
        direction = _reflect(first, self.reference / np.linalg.norm(self.reference))
        second = axes[1] - direction
        return first, second / np.linalg.norm(second)

    def read(self, coordinates: Array) -> tuple[Frame, Array]:
        """Frame and shape (mean zero) at the coordinates."""
        rest = coordinates.copy()
        rest[:2] = 0
        first, second = self._reflections
        return Frame(coordinates[0], coordinates[1]), self.reference + _reflect(first, _reflect(second, rest))

    def coordinates(self, ability: Array) -> Array:
        """Coordinates of abilities."""
        first, second = self._reflections
        turned = _reflect(second, _reflect(first, ability - ability.mean()))
        scale = turned[1] / np.linalg.norm(self.reference)
        found = turned / scale
        found[:2] = ability.mean(), np.log(scale)
        return np.asarray(found)

    def turn(self, deviation: Array) -> Array:
        """Deviation of (t, log s, rest) from that of the abilities, at s = 1 and rest = 0: the derivative there."""
        first, second = self._reflections
        found = _reflect(second, _reflect(first, deviation))
        found[:2] = deviation.mean(), deviation @ self.reference / (self.reference @ self.reference)
        return found

    def turn_back(self, gradient: Array) -> Array:
        """Transpose of `turn`."""
        first, second = self._reflections
        rest = gradient.copy()
        rest[:2] = 0
        share = gradient[1] / (self.reference @ self.reference)
        found = _reflect(first, _reflect(second, rest)) + gradient[0] / len(gradient) + share * self.reference
        return np.asarray(found)

    def prior_term(self, coordinates: Array, slope: Array) -> tuple[float, Array]:
        """Log density of abilities ~ N(0, 1) in these coordinates, and the gradient with that of the responses.

        Parameters
        ----------
        coordinates : array of shape (model,)
            (t, log s, rest).
        slope : array of shape (model,)
            Gradient of all else in the shape.
        """
        n = len(coordinates)
        location, log_scale = coordinates[:2]
        rest = coordinates[2:]
        square = np.exp(2 * log_scale) * (self.reference @ self.reference + rest @ rest)
        first, second = self._reflections
        gradient = _reflect(second, _reflect(first, slope))
        gradient[0] = -n * location
        gradient[1] = n - 1 - square
        gradient[2:] -= np.exp(2 * log_scale) * rest
        return float(-0.5 * (n * location**2 + square) + (n - 1) * log_scale), gradient


def _reflect(normal: Array, vector: Array) -> Array:
    """Householder reflection of a vector at the plane with the given unit normal."""
    return np.asarray(vector - 2 * (normal @ vector) * normal)
