"""PSIS-LOO: how well an answer, or a whole new model, would be predicted had it been left out.

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

from irt_bench.analysis.checks.named import Check, Limit, above_limit, not_applicable
from irt_bench.analysis.checks.replicates import PosteriorDraws
from irt_bench.analysis.curves import success
from irt_bench.analysis.intervals import Z_LIMIT
from irt_bench.arrays import FloatArray
from irt_bench.inference.ability_grid import AbilityGrid, CurveTable

MOST_CELLS: Final = 2_000  # a second or two; a mean over them is known to 0.01 nats
MOST_DRAWS: Final = 1_000
CHUNK: Final = 500  # cells or models at once
LEAST_DRAWS: Final = 100
GRID_WORK: Final = 3e9  # draws x cells x nodes: some seconds
GRID_SD: Final = 0.1  # of the narrowest ability, for the nodes
MOST_PARAMETERS: Final = 0.5  # item parameters a model, beyond which one model moves them all too much
LEVEL: Final = 0.01  # nats: where draws agree to it, all weights are within 1% and there is no tail to look at
LARGEST_K: Final = 0.7  # Vehtari et al. 2024, JMLR 25(72), section 3.2.4: min(1 - 1 / log10 draws, 0.7)
MOST_INFLUENTIAL: Final = 0.01  # share of units beyond: ours; they then weigh little in the sum
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
        return float(min(1 - 1 / np.log10(self.n_draws), LARGEST_K))

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        plain = ("unit", "elpd", "elpd_se", "mean", "mean_se", "p_loo", "n_units", "n_used", "n_draws")
        limits = {"mean_q05": self.mean - Z_LIMIT * self.mean_se, "mean_q95": self.mean + Z_LIMIT * self.mean_se}
        worst = {"largest_k": float(self.pareto_k.max()), "k_limit": self.k_limit}
        return {**{name: getattr(self, name) for name in plain}, **limits, **worst}


def leave_cells_out(
    draws: PosteriorDraws, correct: npt.NDArray[Any], trials: npt.NDArray[Any], rng: np.random.Generator
) -> LeaveOneOut:
    """Predict each answer as if it had been left out, at most `MOST_CELLS` of them, drawn at random.

    Notes
    -----
    Sums over all cells are estimated from those used [1]_. A cell of several trials is one unit.

    References
    ----------
    .. [1] Magnusson, Andersen, Jonasson, Vehtari, Bayesian leave-one-out cross-validation for large data, 2019.
    """
    cells = np.flatnonzero(trials.ravel() > 0)
    used = np.sort(rng.choice(cells, MOST_CELLS, replace=False)) if len(cells) > MOST_CELLS else cells
    taken = draws.evenly(min(draws.n_draws, MOST_DRAWS))
    parts = []
    for at in np.array_split(used, max(1, len(used) // CHUNK)):
        model, item = np.unravel_index(at, trials.shape)
        right_chance, wrong_chance = success(
            draws.items.at((taken[:, None], item)), draws.ability[taken[:, None], model]
        )
        k, n = correct[model, item].astype(np.float64), trials[model, item].astype(np.float64)
        ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
        parts.append(ways + k * np.log(right_chance) + (n - k) * np.log(wrong_chance))
    return _left_out("cell", np.concatenate(parts, axis=1), used, len(cells))


def leave_models_out(draws: PosteriorDraws, correct: npt.NDArray[Any], trials: npt.NDArray[Any]) -> LeaveOneOut:
    """Predict all answers of each model as if it had been left out, its ability integrated over N(0, 1).

    Notes
    -----
    A unit's log-likelihood is integrated on a grid, so that only the items' draws remain to be reweighted. The
    number of ways in which k of n answers can be right is left out.
    """
    grid = AbilityGrid.from_counts(correct, trials, least_sd=GRID_SD, dtype=np.float32)
    affordable = int(GRID_WORK / (grid.right.size * len(grid.nodes)))
    taken = draws.evenly(min(draws.n_draws, MOST_DRAWS, max(affordable, LEAST_DRAWS)))
    answering = np.flatnonzero((trials > 0).any(axis=1))
    marginal = np.empty((len(taken), len(grid.multiplicity)))
    for row, place in enumerate(taken):
        table = CurveTable(draws.items.at(place)._asdict(), grid.nodes)
        marginal[row] = grid.weights(table.log_right, table.log_wrong)[0]
    return _left_out("model", marginal[:, grid.pattern[answering]], answering, len(answering))


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
    return above_limit(name, share, message, limit=Limit(MOST_INFLUENTIAL, K_SOURCE), chance=np.empty(0))


def model_reason_against(n_models: int, n_items: int, n_parameters: int) -> str:
    """Why models cannot be left out one at a time; empty where they can."""
    if n_parameters * n_items <= MOST_PARAMETERS * n_models:
        return ""
    return (
        f"{n_parameters * n_items:,} item parameters rest on {n_models:,} models: leaving one out moves them all too "
        "far for importance weights; compare IRT models on models held out instead"
    )


def _left_out(unit: str, log_likelihood: FloatArray, at: npt.NDArray[np.intp], n_units: int) -> LeaveOneOut:
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
    level = (np.ptp(log_likelihood, axis=0) < LEVEL) | (lowest[n_tail - 1] == lowest[0])
    weights = np.exp(lowest[0] - lowest[[n_tail - int(n_tail / 4 + 0.5), n_tail]])
    return level, ~level & (weights[0] == weights[1])
