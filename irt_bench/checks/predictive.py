"""Posterior predictive checks, and prediction of answers left out (PSIS-LOO).

Every statistic of the responses is compared with its replicates, and every replicate with the others: what is usual
is learned from data made by the fit itself.

PSIS-LOO: how well an answer, or a whole new model, would be predicted had it been left out.

Two things may be left out, and mean different things. A *cell*: the model and the item are known from their other
answers; this asks how well missing answers are filled in. A *model*: its ability is integrated over N(0, 1), given the
items; this asks how well the items describe models to come, and is the one to compare IRT models by. Leaving an item
out has no such meaning here: its parameters would be integrated over a prior that most users never look at.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, logsumexp

from irt_bench.analysis.curves import response_probabilities
from irt_bench.analysis.intervals import Z_LIMIT
from irt_bench.arrays import FloatArray
from irt_bench.checks.fitted_responses import FittedResponses, PosteriorDraws, score_groups
from irt_bench.checks.limits import Check, Limit, above_limit, not_applicable
from irt_bench.inference.fast.abilities import AbilityGrid, CurveTable

CORRECTION: Final = 0.5  # answers added to each cell of a table of two items: no odds ratio is infinite
MIN_SD: Final = 0.05  # of a log odds ratio: replicates that agree to less do so by chance
SCORE_STEPS: Final = 400  # of the cumulated distribution of scores


class SquaredZScores(NamedTuple):
    """Squared standard scores against replicates."""

    observed: FloatArray  # of the responses, any shape
    replicated: FloatArray  # (replicate, ...): of each replicate against the others


def squared_z_scores(observed: FloatArray, replicated: FloatArray, least_sd: FloatArray | float) -> SquaredZScores:
    """Standardise a statistic by the replicates' mean and sd, and each replicate's by those of the others.

    Parameters
    ----------
    observed : array
        Of the responses.
    replicated : array of shape (replicate, ...)
        Of data simulated from the fit.
    least_sd : array or float
        Sds are not taken to be smaller.

    Notes
    -----
    (x - mean)^2 / (sd^2 (1 + 1 / R)): with R replicates a normal statistic is squared Student t with R - 1 degrees of
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
    """Largest distance between cumulated distributions of scores: of the responses, and of each replicate.

    Parameters
    ----------
    observed : array of shape (model,)
        Scores in [0, 1]; NaN is left out.
    replicated : array of shape (replicate, model)
        Of models with normal abilities.

    Returns
    -------
    value : float
        Distance (Kolmogorov) from the mean distribution of the replicates.
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
    """Check that scores are distributed as those of models with normal abilities."""
    if np.isfinite(observed).sum() < 2:
        return not_applicable("score_distribution", "fewer than two models have answers")
    value, chance = score_distance(observed, replicated)
    message = f"cumulated shares of models differ by up to {value:.3f} from those with normal abilities"
    return above_limit("score_distribution", value, message, limit=None, chance=chance)


def log_odds_ratios(fitted: FittedResponses, items: npt.NDArray[np.intp]) -> FloatArray:
    """Log odds ratio of the answers to every two of some items, shape (pair,), of the upper triangle.

    Notes
    -----
    Log of (both right * both wrong) / (one right * the other right), over the models asked both; shares of trials count
    as shares [1]_.

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
    """Check that pairs of items go together as the fit says: mean squared standard score over pairs."""
    if observed.size == 0:
        return not_applicable("odds_ratios", "fewer than two items vary")
    found = squared_z_scores(observed, replicated, MIN_SD)
    value, chance = float(found.observed.mean()), found.replicated.mean(axis=1, dtype=np.float64)
    far = float((found.observed > 9).mean())
    away = float(np.abs(observed - replicated.mean(axis=0)).mean())
    message = f"{far:.1%} of {observed.size:,} pairs are three sds from the fit; log odds ratios are off by {away:.2f}"
    return above_limit("odds_ratios", value, message, limit=None, chance=chance)


class ItemTotalCurves(NamedTuple):
    """Shares of right answers by group of models of similar score."""

    share: FloatArray  # (group, item); NaN where nobody in the group was asked
    n: FloatArray  # (group, item): answers behind each


def item_total_curves(fitted: FittedResponses) -> ItemTotalCurves:
    """Share of right answers to each item in groups of models of similar score, the lowest first.

    Notes
    -----
    The score has the item in it, in the responses as in the replicates.
    """
    group, n_groups = score_groups(fitted.score)
    member = np.eye(n_groups)[np.maximum(group, 0)] * (group >= 0)[:, None]
    asked = member.T @ fitted.asked
    with np.errstate(invalid="ignore"):
        return ItemTotalCurves((member.T @ fitted.proportion) / np.where(asked > 0, asked, np.nan), asked)


def curve_misfit(observed: ItemTotalCurves, replicated: list[ItemTotalCurves]) -> SquaredZScores:
    """Mean over groups of squared standard scores, by item: of the responses (item,) and the replicates.

    Notes
    -----
    Where scores take few values a replicate may have fewer groups; only the groups that all have are compared. An sd is
    at least one answer: where hardly any is expected, one more is no surprise.
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
    """Check that no item's curve is further from the fit than the furthest in simulated data."""
    if not np.isfinite(found.observed).any():
        return not_applicable("item_total_curves", "no item has answers")
    place = int(np.nanargmax(found.observed))
    chance = np.nanmax(found.replicated, axis=1)
    beyond = int((found.observed > chance.max()).sum())
    message = f"{beyond} items' curves are beyond chance; furthest item {labels[place]}"
    return above_limit("item_total_curves", float(found.observed[place]), message, limit=None, chance=chance)


MAX_CELLS: Final = 2_000  # a second or two; a mean over them is known to 0.01 nats
MAX_DRAWS: Final = 1_000
CHUNK: Final = 500  # cells or models at once
MIN_DRAWS: Final = 100
GRID_WORK: Final = 3e9  # draws x cells x nodes: some seconds
GRID_SD: Final = 0.1  # of the narrowest ability, for the nodes
MAX_PARAMETERS: Final = 0.5  # item parameters a model, beyond which one model moves them all too much
LEVEL_TOLERANCE: Final = (
    0.01  # nats: where draws agree to it, all weights are within 1% and there is no tail to look at
)
MAX_PARETO_K: Final = 0.7  # Vehtari et al. 2024, JMLR 25(72), section 3.2.4: min(1 - 1 / log10 draws, 0.7)
MAX_INFLUENTIAL_SHARE: Final = 0.01  # share of units beyond: ours; they then weigh little in the sum
K_SOURCE: Final = "Pareto k above 0.7 (fewer draws: 1 - 1 / log10 draws), Vehtari et al. 2024, JMLR 25(72); in 1%: ours"


class LeaveOneOut(NamedTuple):
    """Log score of what is left out, nats a unit, with what tells whether it can be trusted."""

    unit: str  # cell or model
    elpd: float  # of all units
    elpd_se: float
    mean: float  # elpd a unit
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
        """Pareto k from which on an estimate is not to be trusted."""
        return float(min(1 - 1 / np.log10(self.n_draws), MAX_PARETO_K))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        plain = ("unit", "elpd", "elpd_se", "mean", "mean_se", "p_loo", "n_units", "n_used", "n_draws")
        limits = {"mean_q05": self.mean - Z_LIMIT * self.mean_se, "mean_q95": self.mean + Z_LIMIT * self.mean_se}
        worst = {"largest_k": float(self.pareto_k.max()), "k_limit": self.k_limit}
        return {**{name: getattr(self, name) for name in plain}, **limits, **worst}


def leave_cells_out(
    draws: PosteriorDraws, correct: npt.NDArray[Any], trials: npt.NDArray[Any], rng: np.random.Generator
) -> LeaveOneOut:
    """Predict each answer as if it had been left out, at most `MAX_CELLS` of them, drawn at random.

    Notes
    -----
    Sums over all cells are estimated from those used [1]_. A cell of several trials is one unit.

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
        ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
        parts.append(ways + k * np.log(right_chance) + (n - k) * np.log(wrong_chance))
    return _psis_loo("cell", np.concatenate(parts, axis=1), used, len(cells))


def leave_models_out(draws: PosteriorDraws, correct: npt.NDArray[Any], trials: npt.NDArray[Any]) -> LeaveOneOut:
    """Predict all answers of each model as if it had been left out, its ability integrated over N(0, 1).

    Notes
    -----
    A unit's log-likelihood is integrated on a grid, so that only the items' draws remain to be reweighted. The
    number of ways in which k of n answers can be right is left out.
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
    """Check that the estimate can be trusted: hardly a unit's Pareto k is too large.

    Notes
    -----
    Pareto k is itself an estimate: of thousands of units that are no trouble some come out above the limit.
    """
    if found is None:
        return not_applicable(name, reason)
    share = float((found.pareto_k > found.k_limit).mean())
    message = (
        f"log score {found.mean:.4f} (standard error {found.mean_se:.4f}) a {found.unit}; {share:.2%} of "
        f"{found.n_used:,} are too influential to be left out"
    )
    return above_limit(name, share, message, limit=Limit(MAX_INFLUENTIAL_SHARE, K_SOURCE), chance=np.empty(0))


def why_not_leave_models_out(n_models: int, n_items: int, n_parameters: int) -> str:
    """Why models cannot be left out one at a time; empty where they can."""
    if n_parameters * n_items <= MAX_PARAMETERS * n_models:
        return ""
    return (
        f"{n_parameters * n_items:,} item parameters rest on {n_models:,} models: leaving one out moves them all too "
        "far for importance weights; compare IRT models on models held out instead"
    )


def _psis_loo(unit: str, log_likelihood: FloatArray, at: npt.NDArray[np.intp], n_units: int) -> LeaveOneOut:
    """Weigh draws as if each unit had been left out; log-likelihoods of shape (draw, unit)."""
    from arviz_stats.base import array_stats  # noqa: PLC0415 - takes a second that only this check should cost

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
    """Units whose weights have no tail for ArviZ to smooth: they are level, or some stand alone above equal ones."""
    n_draws = len(log_likelihood)
    n_tail = int(np.ceil(min(n_draws / 5, 3 * np.sqrt(n_draws))))
    lowest = np.sort(log_likelihood, axis=0)[: n_tail + 1]  # of which the weights are largest
    level = (np.ptp(log_likelihood, axis=0) < LEVEL_TOLERANCE) | (lowest[n_tail - 1] == lowest[0])
    weights = np.exp(lowest[0] - lowest[[n_tail - int(n_tail / 4 + 0.5), n_tail]])
    return level, ~level & (weights[0] == weights[1])
