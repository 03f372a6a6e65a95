"""Posterior predictive checks and leave-one-out prediction (PSIS-LOO).

Every statistic of the responses is compared with those of the replicates, and each replicate with the other
replicates.

Leave-one-out prediction has two units. A *cell* is predicted from all other responses of its model and item: this
measures how well missing responses are filled in. A *model* is predicted with its ability integrated over N(0, 1),
given the items: this measures how well the items describe new models, and is the one to compare IRT models by. Leaving
an item out is not offered, since its parameters would be integrated over their prior.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, logsumexp

from irt_bench.analysis.curves import response_probabilities
from irt_bench.analysis.intervals import Z_LIMIT
from irt_bench.arrays import FloatArray
from irt_bench.checks.fitted_responses import (
    FittedResponses,
    Limit,
    PosteriorDraws,
    above_limit,
    not_applicable,
    score_groups,
)
from irt_bench.inference.convergence import Check
from irt_bench.inference.draws import log_beta_binomial
from irt_bench.inference.fast.ability_grid import AbilityGrid, CurveTable

CORRECTION: Final = 0.5  # responses added to each cell of a 2 x 2 table, so that no odds ratio is infinite
MIN_SD: Final = 0.05  # of a log odds ratio; a smaller sd over replicates is due to chance
SCORE_STEPS: Final = 400  # of the cumulative distribution of scores


class SquaredZScores(NamedTuple):
    """Squared standard scores relative to the replicates."""

    observed: FloatArray  # of the responses, any shape
    replicated: FloatArray  # (replicate, ...): of each replicate relative to the others


def squared_z_scores(observed: FloatArray, replicated: FloatArray, least_sd: FloatArray | float) -> SquaredZScores:
    """Standardise a statistic by the replicates' mean and sd, and each replicate's by those of the other replicates.

    Sds below `least_sd` count as that.

    Notes
    -----
    (x - mean)^2 / (sd^2 (1 + 1 / R)): with R replicates a normal statistic is a squared Student t with R - 1 degrees of
    freedom. The means without replicate r follow from the sums.
    """
    n = len(replicated)
    mean, variance = replicated.mean(axis=0), replicated.var(axis=0, ddof=1)
    found = (observed - mean) ** 2 / (np.maximum(variance, np.square(least_sd)) * (1 + 1 / n))
    away = replicated - mean
    others = (variance * (n - 1) - away**2 * n / (n - 1)) / (n - 2)
    distance = (away * n / (n - 1)) ** 2
    return SquaredZScores(found, distance / (np.maximum(others, np.square(least_sd)) * n / (n - 1)))


def score_distance(observed: FloatArray, replicated: FloatArray) -> tuple[float, FloatArray]:
    """Largest distance between cumulative distributions of scores: of the responses, and of each replicate.

    Scores are in [0, 1], NaN is left out; replicates, shape (replicate, model), are of models with normal abilities.

    Returns
    -------
    value : float
        Kolmogorov distance from the mean distribution of the replicates.
    chance : array of shape (replicate,)
        Distance of each replicate from the mean of the others.
    """
    known = np.isfinite(observed)
    steps = np.linspace(0, 1, SCORE_STEPS + 1)
    share = [np.searchsorted(np.sort(row[known]), steps, side="right") / known.sum() for row in (observed, *replicated)]
    cumulated = np.array(share[1:])
    n, mean = len(cumulated), cumulated.mean(axis=0)
    chance = np.abs(cumulated - mean).max(axis=1) * n / (n - 1)
    return float(np.abs(share[0] - mean).max()), chance


def score_check(observed: FloatArray, replicated: FloatArray) -> Check:
    """Check that scores are distributed like those of models with normal abilities."""
    if np.isfinite(observed).sum() < 2:
        return not_applicable("score_distribution", "fewer than two models have responses")
    value, chance = score_distance(observed, replicated)
    message = f"the distribution of scores differs by up to {value:.3f} from that of models with normal abilities"
    return above_limit("score_distribution", value, message, limit=None, chance=chance)


def log_odds_ratios(fitted: FittedResponses, items: npt.NDArray[np.intp]) -> FloatArray:
    """Log odds ratio of the responses to every pair of items, shape (pair,), from the upper triangle.

    Notes
    -----
    Log of (both correct * both incorrect) / (only one correct * only the other correct), over the models that responded
    to both [1]_. With several trials, a cell counts by its proportion correct.

    References
    ----------
    .. [1] Sinharay, Johnson, Stern, Posterior predictive assessment of item response theory models, 2006,
       DOI 10.1177/0146621605285517.
    """
    right, asked = fitted.proportion[:, items].astype(np.float32), fitted.asked[:, items].astype(np.float32)
    wrong = asked - right
    pair = np.triu_indices(len(items), 1)
    both, neither, one = right.T @ right, wrong.T @ wrong, right.T @ wrong
    tables = np.stack([both[pair], neither[pair], one[pair], one.T[pair]]) + CORRECTION
    logs = np.log(tables)
    return np.asarray(logs[0] + logs[1] - logs[2] - logs[3], dtype=np.float32)


def odds_ratio_check(observed: FloatArray, replicated: FloatArray) -> Check:
    """Check that the association of item pairs is as under the fit: mean squared standard score over pairs."""
    if observed.size == 0:
        return not_applicable("odds_ratios", "fewer than two items vary")
    found = squared_z_scores(observed, replicated, MIN_SD)
    value, chance = float(found.observed.mean()), found.replicated.mean(axis=1, dtype=np.float64)
    far = float((found.observed > 9).mean())
    away = float(np.abs(observed - replicated.mean(axis=0)).mean())
    distance = f"log odds ratios differ by {away:.2f} on average"
    message = f"{far:.1%} of {observed.size:,} pairs are more than three sds from the fit; {distance}"
    return above_limit("odds_ratios", value, message, limit=None, chance=chance)


class ItemTotalCurves(NamedTuple):
    """Proportion correct of each item per group of models with similar scores."""

    share: FloatArray  # (group, item); NaN where no model of the group responded
    n: FloatArray  # (group, item): number of responses


def item_total_curves(fitted: FittedResponses) -> ItemTotalCurves:
    """Proportion correct of each item in groups of models with similar scores, lowest score first.

    Notes
    -----
    The score includes the item, in the responses and in the replicates.
    """
    group, n_groups = score_groups(fitted.score)
    member = np.eye(n_groups)[np.maximum(group, 0)] * (group >= 0)[:, None]
    asked = member.T @ fitted.asked
    with np.errstate(invalid="ignore"):
        return ItemTotalCurves((member.T @ fitted.proportion) / np.where(asked > 0, asked, np.nan), asked)


def curve_misfit(observed: ItemTotalCurves, replicated: list[ItemTotalCurves]) -> SquaredZScores:
    """Mean squared standard score per item over score groups: of the responses (item,) and the replicates.

    Notes
    -----
    Where scores take few values a replicate may have fewer groups; only groups present in all data sets are compared.
    An sd is at least that of one response, so that one response more than expected is no misfit.
    """
    n_groups = min(len(each.share) for each in (observed, *replicated))
    least_sd = 1 / np.maximum(observed.n[:n_groups], 1)
    found = squared_z_scores(
        observed.share[:n_groups], np.stack([each.share[:n_groups] for each in replicated]), least_sd
    )
    count = np.isfinite(found.observed).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return SquaredZScores(
            np.nansum(found.observed, axis=0) / np.where(count > 0, count, np.nan),
            np.nansum(found.replicated, axis=1) / np.where(count > 0, count, np.nan),
        )


def curve_check(found: SquaredZScores, labels: npt.NDArray[np.generic]) -> Check:
    """Check that no item-total curve is further from the fit than the furthest in simulated data."""
    if not np.isfinite(found.observed).any():
        return not_applicable("item_total_curves", "no item has responses")
    place = int(np.nanargmax(found.observed))
    chance = np.nanmax(found.replicated, axis=1)
    beyond = int((found.observed > chance.max()).sum())
    message = f"{beyond} item-total curves are further from the fit than by chance; furthest: item {labels[place]}"
    return above_limit("item_total_curves", float(found.observed[place]), message, limit=None, chance=chance)


MAX_CELLS: Final = 2_000  # takes a second or two, and gives the mean to 0.01 nats
MAX_DRAWS: Final = 1_000
CHUNK: Final = 500  # cells or models computed at once
MIN_DRAWS: Final = 100
GRID_WORK: Final = 3e9  # draws x cells x nodes: some seconds
GRID_SD: Final = 0.1  # of the narrowest ability, for the nodes
MAX_PARAMETERS: Final = 0.5  # item parameters per model; above it leaving out one model changes all of them too much
LEVEL_TOLERANCE: Final = (  # nats; within it all weights are equal to 1%, and there is no tail to smooth
    0.01  # nats: where draws agree to it, all weights are within 1% and there is no tail to look at
)
MAX_PARETO_K: Final = 0.7  # Vehtari et al. 2024, JMLR 25(72), section 3.2.4: min(1 - 1 / log10 draws, 0.7)
MAX_INFLUENTIAL_SHARE: Final = 0.01  # of units above the limit of k (our choice); their part of the sum is then small
K_SOURCE: Final = (
    "Pareto k > 0.7 (or 1 - 1 / log10 draws), Vehtari et al. 2024, JMLR 25(72), in at most 1% (our choice)"
)


class LeaveOneOut(NamedTuple):
    """Leave-one-out log score in nats per unit, with the Pareto k that show whether it is reliable."""

    unit: str  # cell or model
    elpd: float  # of all units
    elpd_se: float
    mean: float  # elpd per unit
    mean_se: float
    p_loo: float  # effective number of parameters
    n_units: int
    n_used: int
    n_draws: int
    pareto_k: FloatArray  # (unit used,)
    pointwise: FloatArray  # (unit used,)
    at: npt.NDArray[np.intp]  # positions of the units used: flat cells, or models

    @property
    def k_limit(self) -> float:
        """Largest Pareto k of a reliable estimate."""
        return float(min(1 - 1 / np.log10(self.n_draws), MAX_PARETO_K))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = ("unit", "elpd", "elpd_se", "mean", "mean_se", "p_loo", "n_units", "n_used", "n_draws")
        limits = {"mean_q05": self.mean - Z_LIMIT * self.mean_se, "mean_q95": self.mean + Z_LIMIT * self.mean_se}
        worst = {"largest_k": float(self.pareto_k.max()), "k_limit": self.k_limit}
        return {**{name: getattr(self, name) for name in plain}, **limits, **worst}


def leave_cells_out(
    draws: PosteriorDraws, correct: npt.NDArray[Any], trials: npt.NDArray[Any], rng: np.random.Generator
) -> LeaveOneOut:
    """Predict each cell from all others, for a random sample of at most `MAX_CELLS` cells.

    Notes
    -----
    Sums over all cells are estimated from the sample [1]_. A cell of several trials is one unit.

    References
    ----------
    .. [1] Magnusson, Andersen, Jonasson, Vehtari, Bayesian leave-one-out cross-validation for large data, 2019.
    """
    cells = np.flatnonzero(trials.ravel() > 0)
    used = np.sort(rng.choice(cells, MAX_CELLS, replace=False)) if len(cells) > MAX_CELLS else cells
    taken = draws.evenly(min(draws.n_draws, MAX_DRAWS))
    parts = []
    for at in np.array_split(used, max(1, len(used) // CHUNK)):
        model, item = np.unravel_index(at, trials.shape)
        right_chance, wrong_chance = response_probabilities(
            draws.items.at((taken[:, None], item)), draws.ability[taken[:, None], model]
        )
        k, n = correct[model, item].astype(np.float64), trials[model, item].astype(np.float64)
        if draws.dispersion is not None:
            parts.append(log_beta_binomial(k, n, right_chance, draws.dispersion[taken, None]))
            continue
        ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
        parts.append(ways + k * np.log(right_chance) + (n - k) * np.log(wrong_chance))
    return _psis_loo("cell", np.concatenate(parts, axis=1), used, len(cells))


def leave_models_out(draws: PosteriorDraws, correct: npt.NDArray[Any], trials: npt.NDArray[Any]) -> LeaveOneOut:
    """Predict all responses of each model from the other models, its ability integrated over N(0, 1).

    Notes
    -----
    The log-likelihood of a model is integrated on a grid, so that only draws of the items are reweighted. The binomial
    coefficients are left out.
    """
    grid = AbilityGrid.from_counts(correct, trials, least_sd=GRID_SD, dtype=np.float32)
    affordable = int(GRID_WORK / (grid.right.size * len(grid.nodes)))
    taken = draws.evenly(min(draws.n_draws, MAX_DRAWS, max(affordable, MIN_DRAWS)))
    answering = np.flatnonzero((trials > 0).any(axis=1))
    marginal = np.empty((len(taken), len(grid.multiplicity)))
    for row, place in enumerate(taken):
        table = CurveTable(draws.items.at(place)._asdict(), grid.nodes)
        marginal[row] = grid.weights(table.log_right, table.log_wrong)[0]
    return _psis_loo("model", marginal[:, grid.pattern[answering]], answering, len(answering))


def leave_one_out_check(name: str, found: LeaveOneOut | None, reason: str = "") -> Check:
    """Check that the estimate is reliable: Pareto k is too large for very few units.

    Notes
    -----
    Pareto k is itself estimated. Of thousands of units some exceed the limit by chance.
    """
    if found is None:
        return not_applicable(name, reason)
    share = float((found.pareto_k > found.k_limit).mean())
    message = (
        f"log score {found.mean:.4f} (standard error {found.mean_se:.4f}) per {found.unit}; Pareto k is too large for "
        f"{share:.2%} of {found.n_used:,}"
    )
    return above_limit(name, share, message, limit=Limit(MAX_INFLUENTIAL_SHARE, K_SOURCE), chance=np.empty(0))


def why_not_leave_models_out(n_models: int, n_items: int, n_parameters: int) -> str:
    """Why models cannot be left out one at a time; empty where they can."""
    if n_parameters * n_items <= MAX_PARAMETERS * n_models:
        return ""
    return (
        f"{n_parameters * n_items:,} item parameters are estimated from {n_models:,} models. Leaving one out changes "
        "them too much for importance weights; compare IRT models on held-out models instead"
    )


def _psis_loo(unit: str, log_likelihood: FloatArray, at: npt.NDArray[np.intp], n_units: int) -> LeaveOneOut:
    """Reweight the draws as if each unit had been left out; log-likelihoods of shape (draw, unit)."""
    from arviz_stats.base import array_stats  # noqa: PLC0415 - takes a second to import

    n_draws, n_used = log_likelihood.shape
    level, torn = _without_tail(log_likelihood)
    pointwise = np.log(n_draws) - logsumexp(-log_likelihood, axis=0)
    n_parameters, pareto_k = (
        logsumexp(log_likelihood, axis=0) - np.log(n_draws) - pointwise,
        np.where(torn, np.inf, 0.0),
    )
    smooth = np.flatnonzero(~(level | torn))
    for block in np.split(smooth, range(CHUNK, len(smooth), CHUNK)):
        found = array_stats.loo(log_likelihood[:, block].T, chain_axis=None, draw_axis=-1)
        pointwise[block], pareto_k[block], n_parameters[block] = found
    sd, mean = float(pointwise.std(ddof=1)), float(pointwise.mean())
    return LeaveOneOut(
        unit=unit,
        elpd=mean * n_units,
        elpd_se=float(sd * n_units / np.sqrt(n_used)),
        mean=mean,
        mean_se=float(sd / np.sqrt(n_used)),
        p_loo=float(n_parameters.mean()) * n_units,
        n_units=n_units,
        n_used=n_used,
        n_draws=n_draws,
        pareto_k=pareto_k,
        pointwise=pointwise,
        at=at,
    )


def _without_tail(log_likelihood: FloatArray) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Units whose weights ArviZ cannot smooth: nearly constant weights, or a few large weights above equal ones."""
    n_draws = len(log_likelihood)
    n_tail = int(np.ceil(min(n_draws / 5, 3 * np.sqrt(n_draws))))
    lowest = np.sort(log_likelihood, axis=0)[: n_tail + 1]  # of which the weights are largest
    level = (np.ptp(log_likelihood, axis=0) < LEVEL_TOLERANCE) | (lowest[n_tail - 1] == lowest[0])
    weights = np.exp(lowest[0] - lowest[[n_tail - int(n_tail / 4 + 0.5), n_tail]])
    return level, ~level & (weights[0] == weights[1])
