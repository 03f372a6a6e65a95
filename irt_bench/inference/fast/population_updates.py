"""Populations in the fast method: updates of their values, their part of the joint precision, and Gibbs draws.

Values are coefficients, sds that are learned, and the sd of random coefficients (`PopulationDesign`). Given the
abilities coefficients are normal; sds are at their mode, around which their logarithms are drawn with the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from irt_bench.inference.fast.item_updates import MIN_SD, mode_of_sd, sd_information
from irt_bench.irt_models.populations import AbilityPrior, PopulationDesign

Array = npt.NDArray[Any]
MIN_INFORMATION = 1.0  # about a log sd
START_SD = 0.5  # of random coefficients
MIN_KNOWN = 1e-6  # information of the answers about an ability


@dataclass(frozen=True)
class Populations:
    """Where the maximisation stands.

    Parameters
    ----------
    design : PopulationDesign
        Of the models.
    values : array of shape (size,)
        Coefficients, sds, and the sd of random coefficients.
    covariance : array of shape (coefficient, coefficient)
        Of the coefficients given the abilities.
    """

    design: PopulationDesign
    values: Array
    covariance: Array

    @classmethod
    def start(cls, design: PopulationDesign | None) -> Populations | None:
        """One population, whatever the design."""
        if design is None:
            return None
        k, n = design.n_coefficients, design.n_spreads
        values = np.concatenate([np.zeros(k), np.ones(n), np.full(design.size - k - n, START_SD)])
        return cls(design, values, np.zeros((k, k)))

    @property
    def prior(self) -> AbilityPrior:
        """Of the abilities, (model,)."""
        return self.design.prior(self.values)

    def updated(self, mean: Array, variance: Array) -> Populations:
        """Most probable values given moments of the abilities."""
        design, sd = self.design, self.prior.sd
        weighted = design.loadings / sd[:, None] ** 2
        prior = design.coefficient_precision(self.values)
        covariance = np.linalg.inv(design.loadings.T @ weighted + np.diag(prior))
        centre = prior * np.r_[np.full(design.n_fixed, design.coefficient.loc), np.zeros(design.n_random)]
        coefficients = covariance @ (weighted.T @ mean + centre)
        squares = (mean - design.loadings @ coefficients) ** 2 + variance + self._spread_of_means(covariance)
        sds = [mode_of_sd(float(squares @ member), int(member.sum()), design.sd.scale) for member in design.members.T]
        if design.n_random:
            effects = coefficients[design.n_fixed :]
            total = float(effects @ effects + np.diag(covariance)[design.n_fixed :].sum())
            sds.append(mode_of_sd(total, design.n_random, design.sd.scale))
        values = np.concatenate([coefficients, np.maximum(sds, MIN_SD)])
        return replace(self, values=values, covariance=covariance)

    def in_frame(self, location: float, scale: float) -> Populations:
        """Describe the same for abilities measured from `location` in units of `scale`."""
        moved = self.values.copy()
        if self.design.follows:
            moved[: self.design.n_coefficients] -= location
        return replace(self, values=moved / scale, covariance=self.covariance / scale**2)

    def frame_moments(self, mean: Array, variance: Array) -> tuple[Array, Array]:
        """Mean and variance about their own populations of the abilities that fix location and scale."""
        anchors = self.design.anchors
        residual = mean - self.design.loadings @ self.design.split(self.values)[0]
        return residual[anchors], (variance + self._spread_of_means(self.covariance))[anchors]

    def _spread_of_means(self, covariance: Array) -> Array:
        """Variance of each ability's prior mean, (model,)."""
        loadings = self.design.loadings
        return np.asarray(((loadings @ covariance) * loadings).sum(axis=1))

    def precision(self, mean: Array, variance: Array, *, exact: bool, with_sds: bool = True) -> tuple[Array, Array]:
        """Precision between abilities and values, (model, value), and of the values, sds by their logarithms.

        Parameters
        ----------
        mean, variance : arrays of shape (model,)
            Of the abilities given the items.
        exact : bool
            Whether what not knowing abilities costs is taken off by covariances within their posteriors (Louis 1982);
            otherwise the diagonal of a log sd is such that, abilities eliminated, his information remains.
        with_sds : bool
            Whether sds are not known.

        Notes
        -----
        With deviations x = ability - Z c, minus the second derivatives of the log prior are -Z / s^2 in ability and c,
        -2 x / s^2 in ability and log s, 2 Z x / s^2 in c and log s.
        """
        design, (at, sd) = self.design, self.prior
        k, n = design.n_coefficients, design.n_spreads
        deviation, precision, z, members = mean - at, sd**-2, design.loadings, design.members
        by_ability, shared = np.zeros((len(mean), design.size)), np.zeros((design.size, design.size))
        by_ability[:, :k] = -z * precision[:, None]
        own = design.coefficient_precision(self.values)
        shared[:k, :k] = z.T @ (z * precision[:, None]) + np.diag(own)
        by_ability[:, k : k + n] = -2 * (deviation * precision)[:, None] * members
        shared[:k, k : k + n] = 2 * (z * (deviation * precision)[:, None]).T @ members
        for place, s in enumerate(self.values[k : k + n]):
            these = members[:, place] > 0
            if exact:
                total = float((deviation[these] ** 2 + variance[these]).sum())
                information = 2 * total / s**2 + 2 * s**2 / design.sd.scale**2
            else:
                information = max(sd_information(variance[these], s, design.sd), MIN_INFORMATION)
                information += 4 * float(deviation[these] ** 2 @ variance[these]) / s**4
            shared[k + place, k + place] = information
        if design.n_random:
            self._random_sd(shared, own, variance, sd)
        shared = np.triu(shared) + np.triu(shared, 1).T
        kept = design.size if with_sds else k
        return by_ability[:, :kept], shared[:kept, :kept]

    def _random_sd(self, shared: Array, own: Array, variance: Array, sd: Array) -> None:
        """Fill in the row of the log sd of random coefficients."""
        design, s = self.design, float(self.values[-1])
        first, k = design.n_fixed, design.n_coefficients
        known = np.maximum(1 / variance - sd**-2, MIN_KNOWN)  # by the answers
        z = design.loadings
        marginal = np.linalg.inv(z.T @ (z / (sd**2 + 1 / known)[:, None]) + np.diag(own))[first:, first:]
        effects = self.values[first:k]
        information = max(sd_information(np.diag(marginal), s, design.sd), MIN_INFORMATION)
        shared[first:k, -1] = -2 * effects / s**2
        shared[-1, -1] = information + 4 * float(effects @ marginal @ effects) / s**4

    def slopes(self) -> tuple[Array, Array]:
        """Slopes of every ability's log prior in the values, sds by their logarithms, less what is constant.

        Factors of the ability and of its square, (model, value) each.
        """
        design, (at, sd) = self.design, self.prior
        precision, none = sd[:, None] ** -2, np.zeros(design.loadings.shape)
        rest = np.zeros((len(at), design.size - design.n_coefficients - design.n_spreads))
        linear = np.hstack([design.loadings * precision, -2 * at[:, None] * precision * design.members, rest])
        return linear, np.hstack([none, precision * design.members, rest])

    def moved(self, deviations: Array) -> Array:
        """Values of draws, (draw, value), from deviations, those of sds in their logarithms."""
        k = self.design.n_coefficients
        return np.hstack([self.values[:k] + deviations[:, :k], self.values[k:] * np.exp(deviations[:, k:])])
