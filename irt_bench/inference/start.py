"""Where inference starts: items fitted to abilities imputed from the scores, and the information around there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize
from scipy.special import expit

from irt_bench import names
from irt_bench.inference.alignment import Alignment
from irt_bench.inference.likelihood import Cells
from irt_bench.inference.posterior import likelihood_and_slopes
from irt_bench.inference.runtime import DTYPE
from irt_bench.irt_models.base import Beta, Given, HalfNormal, IRTModel, Normal
from irt_bench.irt_models.logistic import LOG_DISCRIMINATION

Array = npt.NDArray[np.float64]
ITERATIONS = 60  # of L-BFGS; the mode need not be exact
MODE_SD = {names.DIFFICULTY: 2.0, LOG_DISCRIMINATION: 0.5}  # held fixed: with free sds the mode runs to sd = 0
RELIABILITY_RANGE = (0.2, 0.99)


@dataclass(frozen=True)
class Start:
    """A good point, and how much the responses say about each parameter there.

    Parameters
    ----------
    values : dict
        Site → value, on the site's own scale.
    variances : dict
        Site → conditional posterior variance of the real-valued coordinate.
    centring : dict
        Hierarchical site → share of centring, shape (item,), for `Posterior`.
    alignment : Alignment or None
        Coordinates for the abilities, where their direction is sure enough.
    """

    values: dict[str, Any]
    variances: dict[str, Any]
    centring: dict[str, Any]
    alignment: Alignment | None


def find_start(irt_model: IRTModel, cells: Cells) -> Start:
    """Impute abilities from the scores, fit the items to them, leave all else at the prior's centre.

    Maximising over abilities and items together would overfit: with few items the slopes run away.
    """
    values = {**irt_model.known_parameters(cells.shape[1]), **_prior_centres(irt_model, cells)}
    values[names.ABILITY] = _imputed_abilities(cells)
    values.update(_item_mode(irt_model, cells, values))
    information = _information(cells, values)
    reliability = np.mean(information[names.ABILITY] / (information[names.ABILITY] + 1))
    variances, centring = {}, {}
    for site in irt_model.sites():  # the hierarchy, from the spread of the items
        if isinstance(site.prior, Given):
            values[site.prior.mean] = np.mean(values[site.name])
            values[site.prior.sd] = np.clip(np.std(values[site.name]), 0.2, 3.0)
            gained = information[site.name] * reliability * _least_sd(values[site.name], information[site.name]) ** 2
            centring[site.name] = gained / (gained + 1)
    for site in irt_model.sites():
        variances[site.name] = _variance(values[site.name], site.prior, information.get(site.name), values)
    ability = values[names.ABILITY]
    alignment = Alignment(ability - ability.mean()) if Alignment.is_safe(len(ability), float(reliability)) else None
    return Start(values, variances, centring, alignment)


def _least_sd(items: Array, information: Array) -> float:
    """Return a low value that the sd over items may well have: their spread without noise, less two standard errors.

    Where the sd may be near zero, its funnel must be sampled non-centred however much is known about each item.
    """
    spread = np.sqrt(max(float(np.var(items) - np.mean(1 / (information + 1))), 0.0))
    return float(spread * max(1 - 2 / np.sqrt(2 * len(items)), 0.05))


def _prior_centres(irt_model: IRTModel, cells: Cells) -> dict[str, Any]:
    sizes = dict(zip((names.MODEL, names.ITEM), cells.shape, strict=True))
    found = {}
    for site in irt_model.sites():
        match site.prior:
            case Normal(loc=loc):
                centre = loc
            case HalfNormal(scale=scale):
                centre = scale / 2
            case Beta(successes=successes, failures=failures):
                centre = successes / (successes + failures)
            case Given():
                centre = 0.0
        found[site.name] = np.float64(centre) if site.dim is None else np.full(sizes[site.dim], centre)
    return found


def _item_mode(irt_model: IRTModel, cells: Cells, values: Mapping[str, Any]) -> dict[str, Any]:
    """Posterior mode of difficulty and log discrimination given the abilities, under normal priors (`MODE_SD`)."""
    stops = np.cumsum([np.size(values[name]) for name in MODE_SD])[:-1]
    sds = np.concatenate([np.full(np.size(values[name]), sd) for name, sd in MODE_SD.items()])

    def point(flat: Array) -> dict[str, Any]:
        parts = zip(MODE_SD, np.split(flat, stops), strict=True)
        return {name: part if np.ndim(values[name]) else part[0] for name, part in parts}

    def objective(flat: Array) -> tuple[float, Array]:
        total, slopes = likelihood_and_slopes(irt_model, cells, {**values, **point(flat)})
        gradient = np.concatenate([np.ravel(slopes[name]) for name in MODE_SD])
        return 0.5 * float(np.sum((flat / sds) ** 2)) - total, flat / sds**2 - gradient

    guess = np.zeros(len(sds))
    found = optimize.minimize(objective, guess, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS})
    return point(found.x)


def _imputed_abilities(cells: Cells) -> Array:
    """One plausible value a model: its standardised score, shrunk by the test's reliability, and noise to match."""
    right = cells.correct.to(DTYPE).numpy()
    trials = np.ones_like(right) if cells.trials is None else cells.trials.to(DTYPE).numpy()
    k, n = right.sum(1), trials.sum(1)
    log_odds = np.log((k + 0.5) / (n - k + 0.5))
    score = (log_odds - log_odds.mean()) / max(log_odds.std(), 0.1)
    share = right / np.maximum(trials, 1)
    n_items = share.shape[1]
    alpha = 1 - share.var(axis=0).sum() / max(share.sum(axis=1).var(), 1e-9)
    reliability = np.clip(alpha * n_items / max(n_items - 1, 1), *RELIABILITY_RANGE)
    noise = np.random.default_rng(0).normal(size=len(score))  # a start, not a draw: the sampler has its own seed
    return np.asarray(np.sqrt(reliability) * score + np.sqrt(1 - reliability) * noise)


def _information(cells: Cells, values: Mapping[str, Any]) -> dict[str, Array]:
    """Sum up the expected information about each parameter, the others known: n a^2 p q and its like."""
    ability, difficulty = values[names.ABILITY], values[names.DIFFICULTY]
    slope = np.exp(values[LOG_DISCRIMINATION])
    by_model = np.empty_like(ability)
    by_difficulty, by_slope = np.zeros_like(difficulty), np.zeros_like(difficulty)
    for rows, _, trials in cells.chunks(DTYPE):
        distance = ability[rows, None] - difficulty
        known = expit(slope * distance)
        weight = (1 if trials is None else trials.numpy()) * known * (1 - known) * slope**2
        by_model[rows] = weight.sum(1)
        by_difficulty += weight.sum(0)
        by_slope += (weight * distance**2).sum(0)
    return {names.ABILITY: by_model, names.DIFFICULTY: by_difficulty, LOG_DISCRIMINATION: by_slope}


def _variance(value: Any, prior: object, information: Array | None, values: Mapping[str, Any]) -> Any:
    """Conditional variance of a coordinate: inverse of information plus prior precision."""
    if information is not None:
        information = information if np.ndim(value) else information.sum()
        if isinstance(prior, Normal):
            return 1 / (information + 1 / prior.scale**2)
        if isinstance(prior, Given):
            return 1 / (information + 1 / values[prior.sd] ** 2)
    return np.full_like(value, 0.05)  # of a hyperparameter's coordinate: adapted soon
