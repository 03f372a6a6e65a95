"""Log-likelihoods of many draws at once, summed by model or by item, with their slopes: arrays in float32."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
HIGHEST: Final = 30.0  # log-odds


class Answers:
    """Responses, ready for many draws.

    Parameters
    ----------
    correct, trials : integer arrays of shape (model, item)
        Right answers and trials.
    guessing : array of shape (item,) or None
        Known lower asymptotes.
    """

    def __init__(self, correct: Array, trials: Array, guessing: Array | None) -> None:
        self._right = correct.astype(np.float32)
        self._trials = np.float32(1) if (trials == 1).all() else trials.astype(np.float32)
        self._low = None if guessing is None else guessing.astype(np.float32)

    @property
    def n_cells(self) -> int:
        """Models times items."""
        return self._right.size

    def by_model(self, ability: Array, slope: Array, intercept: Array) -> tuple[Array, Array]:
        """Log-likelihood of each model and its slope in the ability, (draw, model) each.

        Parameters
        ----------
        ability : array of shape (draw, model)
        slope, intercept : arrays of shape (draw, item)
            Log-odds are slope * ability + intercept; slope may be (draw, 1).
        """
        density, residual = self._cells(ability, slope, intercept)
        weights = np.broadcast_to(slope, intercept.shape).astype(np.float32)
        return density.sum(2), (residual @ weights[:, :, None])[:, :, 0]

    def by_item(self, ability: Array, slope: Array, intercept: Array) -> tuple[Array, Array, Array]:
        """Log-likelihood of each item, and its slopes in the intercept and in the slope, (draw, item) each."""
        density, residual = self._cells(ability, slope, intercept)
        both = np.stack([np.ones_like(ability), ability], 1).astype(np.float32) @ residual
        return density.sum(1), both[:, 0], both[:, 1]

    def _cells(self, ability: Array, slope: Array, intercept: Array) -> tuple[Array, Array]:
        """Log-likelihood of every cell and its slope in the log-odds, (draw, model, item) each."""
        ability, slope, intercept = (each.astype(np.float32) for each in (ability, slope, intercept))
        slope = np.broadcast_to(slope, intercept.shape)
        log_odds = ability[:, :, None] * slope[:, None, :]
        log_odds += intercept[:, None, :]
        np.clip(log_odds, -HIGHEST, HIGHEST, out=log_odds)
        odds = np.exp(log_odds)
        against = 1 + odds
        known = np.divide(odds, against, out=odds)
        missed = np.log(against, out=against)  # minus the log-probability of not knowing
        if self._low is None:
            density = np.multiply(self._right, log_odds, out=log_odds)
            density -= np.multiply(self._trials, missed, out=missed)
            return density, self._right - self._trials * known
        chance = self._low + (1 - self._low) * known
        density = self._right * np.log(chance) + (self._trials - self._right) * (np.log(1 - self._low) - missed)
        return density, (self._right - self._trials * chance) * known / chance
