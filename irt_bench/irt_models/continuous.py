"""A model of scores in [0, 1] with shares of exact zeros and ones: beta between, ordered thresholds at the ends.

With z = a (theta - b) the mean of scores between 0 and 1 is sigmoid(z), which are beta distributed with precision phi;
P(score > 0) = sigmoid(a (theta - b_0)) and P(score = 1) = sigmoid(a (theta - b_1)), b_0 < b < b_1: the ordered beta
regression of Kubinec 2022 (DOI 10.1017/pan.2022.20), a zero-one-inflated beta whose ends follow the same ability.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, gammaln, log_expit

from irt_bench import names
from irt_bench.errors import ModelError
from irt_bench.irt_models.model import HalfNormal, Hierarchical, Normal, ScoreModel, draw_hierarchy
from irt_bench.responses.counts import ResponseCounts

Array = npt.NDArray[Any]
PRECISION, ZERO, ONE = "precision", "threshold_zero", "threshold_one"
BELOW, ABOVE, LOG_PRECISION = "log_below", "log_above", "log_precision"  # distances of the thresholds from b
DISTANCE_PRIOR: Final = Hierarchical(Normal(0.5, 1.0), HalfNormal(0.5))  # typical distances of 0.2 to 10
PRECISION_PRIOR: Final = Hierarchical(Normal(1.5, 1.0), HalfNormal(0.5))  # typical precisions of 0.6 to 33
OUTCOMES: Final = ("0", "between", "1", "expected score")
EDGE: Final = 1e-6  # a drawn score between 0 and 1 is this far from both
SMALLEST: Final = 1e-9  # mean, from 0 and 1


@dataclass(frozen=True, kw_only=True)
class ZeroOneBeta(ScoreModel):
    """Scores in [0, 1], some of them exactly 0 or 1: zero-one-inflated beta, the ends by ordered thresholds.

    Parameters
    ----------
    difficulty : Hierarchical or Normal
        Prior of b, where scores between 0 and 1 have the mean one half.
    log_discrimination : Hierarchical or Normal
        Prior of log a.
    log_below, log_above : Hierarchical
        Priors of the logarithms of b - b_0 and b_1 - b.
    log_precision : Hierarchical
        Prior of log phi: scores between 0 and 1 have the variance mean (1 - mean) / (1 + phi).

    Examples
    --------
    >>> from irt_bench import ZeroOneBeta, simulate_responses
    >>> simulate_responses(ZeroOneBeta(), n_models=20, n_items=5, seed=1).table.measure
    'score'
    """

    name: ClassVar[str] = "beta"
    auxiliary: ClassVar[tuple[str, ...]] = ("log_discrimination", BELOW, ABOVE, LOG_PRECISION)
    log_below: Hierarchical = DISTANCE_PRIOR
    log_above: Hierarchical = DISTANCE_PRIOR
    log_precision: Hierarchical = PRECISION_PRIOR

    def arranged(self, counts: ResponseCounts) -> ResponseCounts:
        """Means of the scores of each cell, in single precision as files hold them."""
        shares = np.nan_to_num(counts.proportions()).astype(np.float32).astype(np.float64)
        if not ((shares > 0) & (shares < 1)).any():
            raise ModelError("all scores are 0 or 1, and the beta model is of scores between; fit '2pl'.")
        return replace(counts, correct=shares, trials=counts.asked.astype(np.int8), measure="score")

    def program(self, data: Any) -> None:
        """Pyro program: theta, b and log a as in the 2PL, distances of the thresholds and precisions by item."""
        import pyro  # noqa: PLC0415 - torch takes seconds to import

        from irt_bench.irt_models import program  # noqa: PLC0415

        ability, difficulty, discrimination = program.sample_ability_and_items(self, data)
        found = {}
        for name in (BELOW, ABOVE, LOG_PRECISION):
            prior = program.sample_hierarchy(name, getattr(self, name), program.measured(), program.measured())
            with data.items:
                found[name] = pyro.sample(name, prior).exp()
        parameters = {ZERO: difficulty - found[BELOW], ONE: difficulty + found[ABOVE], PRECISION: found[LOG_PRECISION]}
        with data.items:
            for name, value in parameters.items():
                pyro.deterministic(name, value, event_dim=0)
        parameters |= {names.DIFFICULTY: difficulty, names.DISCRIMINATION: discrimination}
        data.observe_scores(self.statistics, lambda at: _coefficients(parameters, at[:, None], _of_tensors()), ability)

    def statistics(self, correct: Any, trials: Any) -> Array:
        """Whether a score is 0, 1 or between, and its logarithms where it is between."""
        given = np.asarray(trials) > 0
        between = given & (correct > 0) & (correct < 1)
        inside = np.where(between, correct, 0.5)
        parts = [given & (correct == 0), given & (correct == 1), between]
        return np.stack([*parts, between * np.log(inside), between * np.log1p(-inside)]).astype(np.float64)

    def terms(self, parameters: Mapping[str, Any], ability: Any) -> Array:
        """Log chances of the ends, and the coefficients of the beta density."""
        return np.asarray(_coefficients(parameters, np.asarray(ability)[:, None], OF_ARRAYS))

    def _chances(self, parameters: Mapping[str, Any], ability: Any) -> tuple[Array, Array, Array]:
        """P(0), P(1) and the mean between, (..., ability, item)."""
        item = {name: np.asarray(value)[..., None, :] for name, value in parameters.items()}
        theta, slope = np.asarray(ability)[..., None], item[names.DISCRIMINATION]
        zero, one = expit(-slope * (theta - item[ZERO])), expit(slope * (theta - item[ONE]))
        return zero, one, expit(slope * (theta - item[names.DIFFICULTY]))

    def expected_score(self, parameters: Mapping[str, Any], ability: Any) -> Any:
        """Give the expected score, (..., model, item), in [0, 1]."""
        zero, one, mean = self._chances(parameters, ability)
        return one + np.maximum(1 - zero - one, 0.0) * mean

    def outcomes(self, parameters: Mapping[str, Any], ability: Any) -> tuple[list[str], Array]:
        """Chances of 0, of 1 and of scores between, and the expected score."""
        zero, one, _ = self._chances(parameters, ability)
        parts = [zero, 1 - zero - one, one, self.expected_score(parameters, ability)]
        return list(OUTCOMES), np.stack(parts, axis=-1)

    def draw_scores(self, parameters: Mapping[str, Any], ability: Any, trials: Any, rng: np.random.Generator) -> Array:
        """Draw a score for each cell."""
        zero, one, mean = self._chances(parameters, ability)
        mean = np.clip(mean, SMALLEST, 1 - SMALLEST)
        precision = np.asarray(parameters[PRECISION])
        between = np.clip(rng.beta(mean * precision, (1 - mean) * precision), EDGE, 1 - EDGE)
        uniform = rng.random(mean.shape)
        return np.where(uniform < zero, 0.0, np.where(uniform > 1 - one, 1.0, between))

    def draw_items(self, n_items: int, rng: np.random.Generator, shared: Mapping[str, float]) -> dict[str, Array]:
        """Draw difficulties, discriminations, thresholds and precisions."""
        found: dict[str, Any] = {}
        drawn = {}
        fields = (names.DIFFICULTY, "log_discrimination", BELOW, ABOVE, LOG_PRECISION)
        for name, stream in zip(fields, rng.spawn(len(fields)), strict=True):
            drawn[name], of_all = draw_hierarchy(getattr(self, name), name, n_items, stream, shared)
            found |= of_all
        difficulty = drawn[names.DIFFICULTY]
        found |= {names.DIFFICULTY: difficulty, names.DISCRIMINATION: np.exp(drawn["log_discrimination"])}
        found |= {ZERO: difficulty - np.exp(drawn[BELOW]), ONE: difficulty + np.exp(drawn[ABOVE])}
        return found | {PRECISION: np.exp(drawn[LOG_PRECISION])}

    def score_columns(self, scores: Array) -> dict[str, Any]:
        """Scores."""
        return {names.SCORE: scores.ravel()}


class Functions(NamedTuple):
    """What coefficients need of a library of arrays."""

    log_sigmoid: Any
    log_gamma: Any
    sigmoid: Any
    expm1: Any
    log: Any
    clip: Any
    stack: Any


OF_ARRAYS: Final = Functions(log_expit, gammaln, expit, np.expm1, np.log, np.clip, np.stack)


@cache
def _of_tensors() -> Functions:
    import torch  # noqa: PLC0415 - torch takes seconds to import

    log_sigmoid = torch.nn.functional.logsigmoid
    return Functions(log_sigmoid, torch.lgamma, torch.sigmoid, torch.expm1, torch.log, torch.clamp, torch.stack)


def _coefficients(item: Mapping[str, Any], ability: Any, library: Functions) -> Any:
    """Coefficients of `ZeroOneBeta.statistics`, (statistic, ability, item), by one formula for arrays and tensors."""
    slope, precision = item[names.DISCRIMINATION], item[PRECISION]
    above_zero, at_one = slope * (ability - item[ZERO]), slope * (ability - item[ONE])
    between = library.log_sigmoid(above_zero) + library.log_sigmoid(-at_one)
    between = between + library.log(-library.expm1(-slope * (item[ONE] - item[ZERO])))
    mean = library.clip(library.sigmoid(slope * (ability - item[names.DIFFICULTY])), SMALLEST, 1 - SMALLEST)
    first, second = mean * precision, (1 - mean) * precision
    density = between + library.log_gamma(precision) - library.log_gamma(first) - library.log_gamma(second)
    zero, one = library.log_sigmoid(-above_zero), library.log_sigmoid(at_one)
    return library.stack([zero, one, density, first - 1, second - 1])
