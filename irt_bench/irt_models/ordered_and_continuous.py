"""Models of scores beyond right and wrong: graded response, generalized partial credit, and zero-one-inflated beta.

*Ordered scores*, such as a judge's 1 to 10. An item with K steps has scores of 0 to K points and K thresholds b_1 to
b_K on the ability scale; ``difficulty`` is their mean. In the graded response model (Samejima 1969) P(score >= k) =
sigmoid(a (theta - b_k)), thresholds in order. In the generalized partial credit model (Muraki 1992, DOI
10.1177/014662169201600206) P(k) / P(k - 1) = exp(a (theta - b_k)), thresholds in any order: where neighbours k - 1 and
k are equally likely. With one step both are the 2PL.

*Scores in [0, 1]* with shares of exact zeros and ones. With z = a (theta - b) the mean of scores between 0 and 1 is
sigmoid(z), which are beta distributed with precision phi; P(score > 0) = sigmoid(a (theta - b_0)) and P(score = 1) =
sigmoid(a (theta - b_1)), b_0 < b < b_1: the ordered beta regression of Kubinec 2022 (DOI 10.1017/pan.2022.20), a
zero-one-inflated beta whose ends follow the same ability.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar, Final, NamedTuple, Self

import numpy as np
import xarray as xr
from scipy.special import expit, gammaln, log_expit, log_softmax

from irt_bench import names
from irt_bench.arrays import Array
from irt_bench.errors import ModelError
from irt_bench.irt_models.model import RANGE, HalfNormal, Hierarchical, Normal, ScoreModel, draw_hierarchy
from irt_bench.responses.columns import MAX_STEPS
from irt_bench.responses.counts import ResponseCounts, smallest_integer

SPACING: Final = "spacing"
GAP: Final = "gap"  # plate of the distances between neighbouring thresholds
LOG_GAP_PRIOR: Final = Hierarchical(Normal(-0.5, 1.0), HalfNormal(0.5))  # typical distances of 0.1 to 4
GAP_PRIOR: Final = Hierarchical(Normal(0.5, 1.5), HalfNormal(1.0))
SIMULATED_STEPS: Final = 4  # a scale of 1 to 5
WHOLE: Final = 1e-6
TINY: Final = 1e-300
IMPOSSIBLE: Final = -1e9  # logit of what an item has not
PRECISION, ZERO, ONE = "precision", "threshold_zero", "threshold_one"
BELOW, ABOVE, LOG_PRECISION = "log_below", "log_above", "log_precision"  # distances of the thresholds from b
DISTANCE_PRIOR: Final = Hierarchical(Normal(0.5, 1.0), HalfNormal(0.5))  # typical distances of 0.2 to 10
PRECISION_PRIOR: Final = Hierarchical(Normal(1.5, 1.0), HalfNormal(0.5))  # typical precisions of 0.6 to 33
OUTCOMES: Final = ("0", "between", "1", "expected score")
EDGE: Final = 2.0**-20  # scores nearer to 0 or 1, and neither, count as that near or nearer: 1 - 1e-8 is 1 in files
SMALLEST: Final = 1e-9  # mean, from 0 and 1


@dataclass(frozen=True, kw_only=True)
class OrderedScores(ScoreModel):
    """Fields and sites shared by the models of ordered scores.

    Parameters
    ----------
    difficulty : Hierarchical or Normal
        Prior of the mean of an item's thresholds.
    log_discrimination : Hierarchical or Normal
        Prior of log a.
    spacing : Hierarchical
        Prior of the distances between neighbouring thresholds, of `GradedResponse` of their logarithms: each distance
        has a mean over items, all have one sd.
    steps : int or tuple of int, optional
        Highest number of points, or that of each item; found when a model is fitted.
    """

    auxiliary: ClassVar[tuple[str, ...]] = ("log_discrimination", SPACING)
    in_order: ClassVar[bool] = True  # whether thresholds are
    spacing: Hierarchical = LOG_GAP_PRIOR
    steps: int | tuple[int, ...] | None = None

    def arranged(self, counts: ResponseCounts) -> ResponseCounts:
        """Points as right answers, of as many trials as an item has steps."""
        steps = _steps_of(counts, self.name) if self.steps is None else self._steps(counts.n_items)
        points = np.nan_to_num(counts.proportions()) * steps
        wrong = np.abs(points - points.round()) > WHOLE
        wrong |= counts.asked & (counts.trials != steps) if counts.measure == "correct" else counts.trials > 1
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise ModelError(
                f"model {counts.models.index[row]!r} has {counts.correct[row, column]:.6g} of "
                f"{counts.trials[row, column]} in item {counts.items.index[column]!r}, where the {self.name} model "
                f"needs one score of 0 to {steps[column]} points. Make each of several scores an item of its own."
            )
        most = smallest_integer(int(steps.max(initial=1)))
        trials = np.where(counts.asked, steps, 0)
        return replace(counts, correct=points.round().astype(most), trials=trials.astype(most), measure="correct")

    def for_responses(self, counts: ResponseCounts) -> Self:
        """Count the steps of each item, of arranged responses; an item without scores has as many as most."""
        steps = counts.trials.max(axis=0).astype(int)
        return replace(self, steps=tuple(np.where(steps > 0, steps, steps.max(initial=1)).tolist()))

    def for_items(self, posterior: xr.Dataset) -> Self:
        """Take over the steps of items of a fit."""
        steps = np.isfinite(posterior[names.THRESHOLD].to_numpy()[0, 0]).sum(axis=-1)
        return replace(self, steps=tuple(steps.tolist()))

    def _steps(self, n_items: int) -> Array:
        found = np.asarray(SIMULATED_STEPS if self.steps is None else self.steps)
        if found.shape not in ((), (n_items,)) or (found < 1).any() or (found > MAX_STEPS).any():
            raise ModelError(f"steps are {self.steps!r}; 1 to {MAX_STEPS}, for all or for each of {n_items} items.")
        return np.broadcast_to(found, (n_items,))

    def program(self, data: Any) -> None:
        """Pyro program: theta, b and log a as in the 2PL, distances between thresholds from a hierarchy."""
        import pyro  # noqa: PLC0415 - torch takes seconds to import
        import torch  # noqa: PLC0415

        from irt_bench.irt_models import program  # noqa: PLC0415

        ability, difficulty, discrimination = program.sample_ability_and_items(self, data)
        steps = self._steps(data.sizes[names.ITEM])
        most, own = int(steps.max()), data.at_items(steps)
        threshold = difficulty.expand(1, data.n_items)
        if most > 1:
            gaps = pyro.plate(GAP, most - 1, dim=-2)
            with gaps:
                mean = pyro.sample(f"{SPACING}_mean", program.normal(self.spacing.mean))
            sd = pyro.sample(f"{SPACING}_sd", program.half_normal(self.spacing.sd))
            with gaps, data.items:
                spacing = pyro.sample(SPACING, pyro.distributions.Normal(mean, sd))
            distance = spacing.exp() if self.in_order else spacing
            first = torch.zeros((1, data.n_items), dtype=program.DTYPE)
            away = torch.cat([first, distance.cumsum(0)])
            used = torch.arange(most)[:, None] < own
            threshold = difficulty + away - (away * used).sum(0) / own
        with pyro.plate(names.POINT, most, dim=-2), data.items:
            pyro.deterministic(names.THRESHOLD, threshold, event_dim=0)

        def coefficients(at: Any) -> Any:
            return self.log_chances(at, discrimination, threshold, own)

        data.observe_scores(self.statistics, coefficients, ability)

    def log_chances(self, ability: Any, discrimination: Any, threshold: Any, steps: Any) -> Any:
        """Log of the chance of each number of points, (point, ability, item), of tensors; finite beyond the steps."""
        raise NotImplementedError

    def statistics(self, correct: Any, trials: Any) -> Array:
        """Whether each cell has each number of points, (point, model, item), floating."""
        most = int(np.max(SIMULATED_STEPS if self.steps is None else self.steps))  # of all items, in a mini-batch, too
        points = np.arange(most + 1)[:, None, None]
        return np.asarray((correct == points) & (trials > 0), dtype=np.float64)

    def oriented(self, posterior: xr.Dataset) -> xr.Dataset:
        """Thresholds as (chain, draw, item, point), points from 1; NaN beyond an item's steps."""
        steps = xr.DataArray(self._steps(posterior.sizes[names.ITEM]), dims=names.ITEM)
        found = posterior.assign_coords({names.POINT: np.arange(1, posterior.sizes[names.POINT] + 1)})
        threshold = found[names.THRESHOLD].where(found[names.POINT] <= steps)
        layout = (names.CHAIN, names.DRAW, names.ITEM, names.POINT)
        return super().oriented(found.assign({names.THRESHOLD: threshold.transpose(*layout)}))

    def probabilities(self, parameters: Mapping[str, Any], ability: Any) -> Array:
        """Chance of each number of points, (..., model, item, point); 0 beyond an item's steps."""
        raise NotImplementedError

    def outcomes(self, parameters: Mapping[str, Any], ability: Any) -> tuple[list[str], Array]:
        """Chance of each number of points."""
        chances = self.probabilities(parameters, ability)
        return [str(point) for point in range(chances.shape[-1])], chances

    def expected_score(self, parameters: Mapping[str, Any], ability: Any) -> Any:
        """Give the expected share of an item's points, (..., model, item), in [0, 1]."""
        chances = self.probabilities(parameters, ability)
        steps = np.isfinite(parameters[names.THRESHOLD]).sum(axis=-1)[..., None, :]
        return np.minimum(chances @ np.arange(chances.shape[-1]) / steps, 1.0)

    def terms(self, parameters: Mapping[str, Any], ability: Any) -> Array:
        """Logarithms of the chances."""
        return np.moveaxis(np.log(np.maximum(self.probabilities(parameters, ability), TINY)), -1, 0)

    def draw_scores(self, parameters: Mapping[str, Any], ability: Any, rng: np.random.Generator) -> Array:
        """Draw points of each cell."""
        cumulated = self.probabilities(parameters, np.asarray(ability)).cumsum(axis=-1)[..., :-1]
        return np.asarray((rng.random(cumulated.shape[:-1])[..., None] > cumulated).sum(axis=-1))

    def draw_items(self, n_items: int, rng: np.random.Generator, shared: Mapping[str, float]) -> dict[str, Array]:
        """Draw difficulties, discriminations and thresholds."""
        streams, steps = rng.spawn(3), self._steps(n_items)
        difficulty, of_difficulty = draw_hierarchy(self.difficulty, names.DIFFICULTY, n_items, streams[0], shared)
        log_slope, of_slope = draw_hierarchy(self.log_discrimination, "log_discrimination", n_items, streams[1], shared)
        found: dict[str, Any] = {names.DIFFICULTY: difficulty, names.DISCRIMINATION: np.exp(log_slope)}
        found |= of_difficulty | of_slope
        away = np.zeros((n_items, most := int(steps.max())))
        if most > 1:
            mean = streams[2].normal(self.spacing.mean.loc, self.spacing.mean.scale, most - 1)
            mean = np.full(most - 1, shared[f"{SPACING}_mean"]) if f"{SPACING}_mean" in shared else mean
            sd = shared.get(f"{SPACING}_sd", abs(streams[2].normal(0.0, self.spacing.sd.scale)))
            spacing = streams[2].normal(mean, sd, (n_items, most - 1))
            away[:, 1:] = (np.exp(spacing) if self.in_order else spacing).cumsum(axis=1)
            found[f"{SPACING}_sd"] = np.float64(sd)
        used = np.arange(most) < steps[:, None]
        centred = away - (away * used).sum(axis=1, keepdims=True) / steps[:, None]
        return found | {names.THRESHOLD: np.where(used, difficulty[:, None] + centred, np.nan)}

    def score_columns(self, scores: Array) -> dict[str, Any]:
        """Points, and the highest number of points of each item."""
        steps = np.broadcast_to(self._steps(scores.shape[1]), scores.shape)
        return {names.SCORE: scores.ravel(), names.MAX_SCORE: steps.ravel()}


@dataclass(frozen=True, kw_only=True)
class GradedResponse(OrderedScores):
    """Ordered scores with P(score >= k) = sigmoid(a (theta - b_k)): Samejima's graded response model.

    Examples
    --------
    >>> from irt_bench import GradedResponse, SVISettings, fit, simulate_responses
    >>> scores = simulate_responses(GradedResponse(), n_models=40, n_items=8, seed=1).table
    >>> fitted = fit(scores, GradedResponse(), SVISettings(max_steps=500, draws=200), seed=1)  # doctest: +SKIP
    >>> fitted.items().filter(like="threshold").shape  # doctest: +SKIP
    (8, 16)
    """

    name: ClassVar[str] = "grm"

    def log_chances(self, ability: Any, discrimination: Any, threshold: Any, steps: Any) -> Any:
        """P(k) = sigmoid(z_k) sigmoid(-z_k+1) (1 - exp(z_k+1 - z_k)), z_k = a (theta - b_k)."""
        import torch  # noqa: PLC0415 - torch takes seconds to import
        from torch.nn.functional import logsigmoid  # noqa: PLC0415

        z = discrimination * (ability[:, None] - threshold[:, None])
        reached, missed = logsigmoid(z), logsigmoid(-z)
        if len(threshold) == 1:
            return torch.cat([missed, reached])
        inner = (torch.arange(1, len(threshold))[:, None] < steps)[:, None]
        width = (discrimination * (threshold[1:] - threshold[:-1]))[:, None]
        above = missed[1:] + (-torch.expm1(-width)).clamp(min=TINY).log()
        return torch.cat([missed[:1], reached[:-1] + torch.where(inner, above, 0.0), reached[-1:]])

    def probabilities(self, parameters: Mapping[str, Any], ability: Any) -> Array:
        """Differences of the chances of at least so many points."""
        slope = np.asarray(parameters[names.DISCRIMINATION])[..., None, :, None]
        threshold = np.asarray(parameters[names.THRESHOLD])[..., None, :, :]
        reached = expit(slope * (np.asarray(ability)[..., :, None, None] - threshold))
        reached = np.where(np.isnan(reached), 0.0, reached)
        ends = np.ones((*reached.shape[:-1], 1))
        return np.asarray(-np.diff(np.concatenate([ends, reached, 0 * ends], axis=-1)))


@dataclass(frozen=True, kw_only=True)
class GeneralizedPartialCredit(OrderedScores):
    """Ordered scores with P(k) / P(k - 1) = exp(a (theta - b_k)): Muraki's generalized partial credit model.

    Examples
    --------
    >>> from irt_bench import GeneralizedPartialCredit, HalfNormal, Hierarchical, Normal
    >>> close = Hierarchical(mean=Normal(0.0, 1.0), sd=HalfNormal(0.5))
    >>> GeneralizedPartialCredit(spacing=close).name
    'gpcm'
    """

    name: ClassVar[str] = "gpcm"
    in_order: ClassVar[bool] = False
    spacing: Hierarchical = GAP_PRIOR

    def log_chances(self, ability: Any, discrimination: Any, threshold: Any, steps: Any) -> Any:
        """Logits of k points are a (k theta - b_1 - ... - b_k)."""
        import torch  # noqa: PLC0415 - torch takes seconds to import

        cumulated = torch.cat([threshold.new_zeros(1, threshold.shape[1]), threshold.cumsum(0)])
        points = torch.arange(len(cumulated), dtype=threshold.dtype)[:, None]
        shift, slope = discrimination * cumulated, points * discrimination
        logits = slope[:, None] * ability[:, None] - shift[:, None]
        return logits.masked_fill((points > steps)[:, None], IMPOSSIBLE).log_softmax(0)

    def probabilities(self, parameters: Mapping[str, Any], ability: Any) -> Array:
        """Exponentials of the logits, of sum one."""
        slope = np.asarray(parameters[names.DISCRIMINATION])[..., None, :, None]
        threshold = np.asarray(parameters[names.THRESHOLD])[..., None, :, :]
        steps = slope * (np.asarray(ability)[..., :, None, None] - threshold)
        logits = np.concatenate([np.zeros((*steps.shape[:-1], 1)), steps.cumsum(axis=-1)], axis=-1)
        return np.asarray(np.exp(log_softmax(np.where(np.isnan(logits), -np.inf, logits), axis=-1)))


def _steps_of(counts: ResponseCounts, model: str) -> Array:
    """Count the steps of each item: its trials, or as few as make all scores of the benchmark whole numbers."""
    if counts.measure == "correct":
        steps = np.maximum(counts.trials.max(axis=0), 1).astype(int)
        if (steps > MAX_STEPS).any():
            raise ModelError(f"{steps.max()} trials are more than the {MAX_STEPS} steps of the {model} model.")
        return np.asarray(steps)
    width = np.ones(counts.n_items)
    if set(RANGE) <= set(counts.items):
        low, high = (counts.items[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in RANGE)
        width = np.where(np.isnan(high - low), 1.0, high - low)
    shares = np.nan_to_num(counts.proportions())
    for factor in range(1, MAX_STEPS + 1):
        steps = width * factor
        off = np.abs(shares * steps - (shares * steps).round()).max(initial=0)
        if steps.max(initial=1) <= MAX_STEPS and off < WHOLE and (steps == steps.round()).all():
            return np.asarray(steps.astype(int))
    raise ModelError(
        f"the scores are not whole numbers of at most {MAX_STEPS} points, as the {model} model needs; of scores on a "
        "continuous scale, fit another model of scores."
    )


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
        between = (shares > 0) & (shares < 1)
        if not between.any():
            raise ModelError("all scores are 0 or 1, and the beta model is of scores between; fit '2pl'.")
        shares = np.where(between, np.clip(shares, EDGE, 1 - EDGE), shares)
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
        """Whether a score is 0, 1 or between, its logarithms where it is between, and whether it is at an `EDGE`."""
        given = np.asarray(trials) > 0
        between = given & (correct > 0) & (correct < 1)
        inside = np.where(between, correct, 0.5)
        parts = [given & (correct == 0), given & (correct == 1), between]
        logarithms, edges = (np.log(inside), np.log1p(-inside)), (inside <= EDGE, inside >= 1 - EDGE)
        return np.stack([*parts, *(between * each for each in (*logarithms, *edges))]).astype(np.float64)

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

    def draw_scores(self, parameters: Mapping[str, Any], ability: Any, rng: np.random.Generator) -> Array:
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
    # The mean density of scores up to e is e ** (first - 1) / first / B(first, second), but for a share of e.
    return library.stack([zero, one, density, first - 1, second - 1, -library.log(first), -library.log(second)])
