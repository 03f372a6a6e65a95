"""Answers beside what the model says of them: abilities given the items, and the chance of every answer.

All checks that rest on residuals read this record, made in the same way from the responses and from every data set
simulated from the fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from irt_bench.analysis.curves import chances, information, knowing, success
from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.arrays import BoolArray, FloatArray
from irt_bench.inference.ability_grid import AbilityGrid, CurveTable

SCAN: Final = np.linspace(-3.0, 3.0, 25)  # abilities at which the information of the items is looked at
LEAST_SD: Final = 0.05  # 301 nodes; narrower posteriors are normal, and found by Newton steps from the nodes
NEWTON_STEPS: Final = 2
GROUPS: Final = 6  # of models by their score, for curves


@dataclass(frozen=True)
class FittedAnswers:
    """Answers, point values of the items, and what follows from both.

    Parameters
    ----------
    right, trials : arrays of shape (model, item)
        Right answers and trials; trials = 0 where never asked.
    items : ItemParameters of shape (item,)
        Point values.
    ability : array of shape (model,)
        Posterior means given the items (EAP).
    probability, variance : arrays of shape (model, item)
        Chance of a right answer P at that ability, and P (1 - P), accurate near 0.
    """

    right: FloatArray
    trials: FloatArray
    items: ItemParameters
    ability: FloatArray
    probability: FloatArray
    variance: FloatArray

    @property
    def asked(self) -> BoolArray:
        """Whether a model was asked an item."""
        return np.asarray(self.trials > 0)

    @cached_property
    def residual(self) -> FloatArray:
        """Right answers beyond those expected; 0 where never asked."""
        return np.asarray(self.right - self.trials * self.probability)

    @cached_property
    def share(self) -> FloatArray:
        """Share of right answers a cell; 0 where never asked."""
        return np.asarray(self.right / np.maximum(self.trials, 1))

    @cached_property
    def score(self) -> FloatArray:
        """Mean share over the asked items, shape (model,); NaN without answers."""
        n_asked = self.asked.sum(axis=1)
        return np.asarray(self.share.sum(axis=1) / np.where(n_asked > 0, n_asked, np.nan))

    @property
    def binary(self) -> bool:
        """Whether every asked cell is one answer."""
        return bool(self.trials.max(initial=0) <= 1)

    @property
    def complete(self) -> BoolArray:
        """Models that were asked every item."""
        return np.asarray(self.asked.all(axis=1))

    @cached_property
    def varying(self) -> BoolArray:
        """Items that were not answered alike by all models, shape (item,)."""
        low = np.where(self.asked, self.share, np.inf).min(axis=0, initial=np.inf)
        high = np.where(self.asked, self.share, -np.inf).max(axis=0, initial=-np.inf)
        return np.asarray(high > low)


def fit_abilities(correct: npt.NDArray[Any], trials: npt.NDArray[Any], items: ItemParameters) -> FittedAnswers:
    """Find each model's posterior mean ability given the items, and the chances of its answers.

    Parameters
    ----------
    correct, trials : arrays of shape (model, item)
        Right answers and trials.
    items : ItemParameters of shape (item,)
        Point values.
    """
    right, trials = np.asarray(correct, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    told = information(items.at((slice(None), None)), SCAN)
    least_sd = 1 / np.sqrt(1 + (trials @ told).max(initial=0.0))
    grid = AbilityGrid.from_counts(right, trials, least_sd=max(least_sd, LEAST_SD), dtype=np.float32)
    table = CurveTable(items._asdict(), grid.nodes)
    _, weights = grid.weights(table.log_right, table.log_wrong)
    ability = (weights.astype(np.float64) @ grid.nodes)[grid.pattern]
    for _ in range(NEWTON_STEPS if least_sd < LEAST_SD else 0):
        ability = _climb(right, trials, items, ability)
    right_chance, wrong_chance = success(items.at((None, slice(None))), ability[:, None])
    return FittedAnswers(right, trials, items, ability, right_chance, right_chance * wrong_chance)


def _climb(right: FloatArray, trials: FloatArray, items: ItemParameters, ability: FloatArray) -> FloatArray:
    """Step towards each model's posterior mode by Fisher scoring."""
    row = items.at((None, slice(None)))
    known, unknown = knowing(row, ability[:, None])
    right_chance, wrong_chance = chances(row, known, unknown)
    slope = row.discrimination * (row.upper_asymptote - row.guessing) * known * unknown
    pull = slope / right_chance / wrong_chance  # in this order nothing overflows
    gradient = ((right - trials * right_chance) * pull).sum(axis=1) - ability
    return np.asarray(ability + gradient / (1 + (trials * slope * pull).sum(axis=1)))


def score_groups(score: FloatArray, most: int = GROUPS) -> tuple[npt.NDArray[np.intp], int]:
    """Group models by score into at most `most` groups of about equal size, equal scores together.

    Returns
    -------
    group : integer array of shape (model,)
        Counted from 0, the lowest scores first; -1 for models without a score.
    n_groups : int
        Number of groups.
    """
    known = np.isfinite(score)
    values = np.unique(score[known])
    if len(values) > most:
        values = np.unique(np.quantile(score[known], np.arange(1, most) / most, method="higher"))
        values = np.concatenate([[-np.inf], values])
    group = np.where(known, np.searchsorted(values, score, side="right") - 1, -1)
    return group, len(values)
