"""One ability against two: which predicts answers that were held back better."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from irt_bench.analysis.checks.answers import FittedAnswers
from irt_bench.analysis.checks.named import Check, Limit, above_limit, not_applicable
from irt_bench.arrays import FloatArray

HELD_OUT: Final = 0.1  # share of the cells
MOST_CELLS, LEAST_ITEMS = 1_000_000, 200  # beyond, items are sampled
SWEEPS: Final = 40
SETTLED: Final = 1e-3  # largest change of a log-odds, in the root of the mean square over cells
SLOPE_SD, INTERCEPT_SD = 1.0, 3.0  # of the normal priors; abilities have sd 1
LEAST_HELD_OUT: Final = 100
Z_LIMIT: Final = Limit(2.33, "1% one-sided normal; standard error over models and over items, the larger")


class HeldOut(NamedTuple):
    """Gain in log score of two dimensions over one, nats an answer, on answers held back."""

    gain: float
    standard_error: float
    one: float
    two: float
    n_answers: int

    @property
    def z(self) -> float:
        """Gain in standard errors."""
        return self.gain / self.standard_error if self.standard_error > 0 else np.nan


def compare_dimensions(answers: FittedAnswers, rng: np.random.Generator) -> HeldOut:
    """Fit one and two dimensions to 90% of the cells, and predict the rest.

    Notes
    -----
    Log-odds = intercept_i + sum_d slope_id ability_md, all normal a priori, at the mode of all together, by alternating
    Newton steps for models and items: a mode is no posterior, but the same is done for one dimension as for two, and
    two pay for the parameters they do not need on the answers held back. Errors are independent neither within models
    nor within items: the standard error is the larger of those over models and over items. Of more than a million cells
    as many items are drawn at random as fit into one.
    """
    n_models, n_items = answers.right.shape
    most = max(MOST_CELLS // n_models, LEAST_ITEMS)
    some = np.sort(rng.choice(n_items, most, replace=False)) if n_items > most else np.arange(n_items)
    right, trials = answers.right[:, some], answers.trials[:, some]
    held = (trials > 0) & (rng.random(trials.shape) < HELD_OUT)
    seen = np.where(held, 0.0, right), np.where(held, 0.0, trials)
    unseen = right - seen[0], trials - seen[1]
    scores = [_log_score(*unseen, fit_dimensions(*seen, n, rng)) for n in (1, 2)]
    n_answers = float(unseen[1].sum())
    errors = [_clustered(scores[1] - scores[0], unseen[1], axis) for axis in (0, 1)]
    one, two = (float(score.sum() / n_answers) for score in scores)
    return HeldOut(two - one, max(errors), one, two, int(n_answers))


def fit_dimensions(right: FloatArray, trials: FloatArray, n_dimensions: int, rng: np.random.Generator) -> FloatArray:
    """Log-odds of every cell at the mode of a model with so many dimensions, shape (model, item)."""
    n_models, n_items = right.shape
    asked = trials.sum(axis=0)
    share = (right.sum(axis=0) + 0.5) / (asked + 1)
    items = np.column_stack([np.full((n_items, n_dimensions), 0.5), np.log(share / (1 - share))])
    items[:, :n_dimensions] += 0.3 * rng.standard_normal((n_items, n_dimensions))
    models = np.column_stack([0.3 * rng.standard_normal((n_models, n_dimensions)), np.ones(n_models)])
    item_prior = np.array([1 / SLOPE_SD**2] * n_dimensions + [1 / INTERCEPT_SD**2])
    log_odds = models @ items.T
    for _ in range(SWEEPS):
        models[:, :n_dimensions] = _newton(
            models[:, :n_dimensions], items[:, :n_dimensions], log_odds, right, trials, np.ones(n_dimensions)
        )
        items = _newton(items, models, (models @ items.T).T, right.T, trials.T, item_prior)
        last, log_odds = log_odds, models @ items.T
        if np.sqrt(np.mean((log_odds - last) ** 2)) < SETTLED:
            break
    return np.asarray(log_odds)


def dimension_check(found: HeldOut | None, reason: str = "") -> Check:
    """Check that a second dimension does not predict answers held back better than one alone."""
    if found is None or not np.isfinite(found.z):
        return not_applicable("two_dimensions", reason or "too few answers to hold some back")
    low, high = (found.gain + sign * 1.645 * found.standard_error for sign in (-1, 1))
    message = f"a second dimension gains {found.gain:.4f} [{low:.4f}, {high:.4f}] nats an answer on {found.n_answers:,}"
    return above_limit("two_dimensions", found.z, message, limit=Z_LIMIT, chance=np.empty(0))


def _newton(
    at: FloatArray, design: FloatArray, log_odds: FloatArray, right: FloatArray, trials: FloatArray, prior: FloatArray
) -> FloatArray:
    """One Newton step for every row, with the curvature of a chance of 1/2 as a floor of a tenth against overshooting.

    Parameters
    ----------
    at : array of shape (row, p)
        Coefficients now.
    design : array of shape (column, p)
        What they multiply.
    log_odds, right, trials : arrays of shape (row, column)
        Cells.
    prior : array of shape (p,)
        Precisions.
    """
    chance = 1 / (1 + np.exp(-np.clip(log_odds, -30, 30)))
    weight = trials * np.maximum(chance * (1 - chance), 0.025)
    gradient = (right - trials * chance) @ design - at * prior
    n_columns, p = design.shape
    products = (design[:, :, None] * design[:, None, :]).reshape(n_columns, p * p)
    curvature = (weight @ products).reshape(-1, p, p) + np.diag(prior)
    step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
    return np.asarray(at + np.clip(step, -2, 2))


def _log_score(right: FloatArray, trials: FloatArray, log_odds: FloatArray) -> FloatArray:
    """Log-likelihood of answers, cell by cell; 0 where there are none."""
    return np.asarray(right * log_odds - trials * np.logaddexp(0, log_odds))


def _clustered(gain: FloatArray, trials: FloatArray, axis: int) -> float:
    """Estimate the standard error of the mean gain, rows (axis 1) or columns (axis 0) being independent."""
    total, n = gain.sum(axis=axis), trials.sum(axis=axis)
    away = total - n * total.sum() / n.sum()
    k = int((n > 0).sum())
    return float(np.sqrt((away**2).sum() * k / max(k - 1, 1)) / n.sum())
