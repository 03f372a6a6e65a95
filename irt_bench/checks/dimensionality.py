"""Dimensionality: eigenvalues of tetrachoric correlations, and held-out prediction with one and two dimensions."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from irt_bench.arrays import BoolArray, FloatArray
from irt_bench.checks.fitted_responses import FittedResponses, Limit, above_limit, not_applicable
from irt_bench.inference.convergence import Check

CORRECTION: Final = 0.5  # responses added to an empty cell of a table, as psych::tetrachoric does
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
STEPS: Final = 30  # of Newton's method or bisection; five are usually enough
ANGLE_TOLERANCE: Final = 1e-7  # radians of arcsin(correlation)
MAX_CORRELATION: Final = 0.9999


def tetrachoric_correlations(right: FloatArray, asked: BoolArray) -> FloatArray:
    """Correlate the normal variables behind every two items, from the responses to both.

    Parameters
    ----------
    right : array of shape (model, item)
        1 for a correct response, 0 for an incorrect or missing one.
    asked : array of shape (model, item)
        Whether there is a response.

    Returns
    -------
    array of shape (item, item)
        Symmetric with unit diagonal; 0 for pairs whose 2 x 2 table has an empty row or column.

    Notes
    -----
    Solves Phi2(h, k; r) = proportion of models correct on both, where h and k are the normal quantiles of the items'
    proportions correct among the models that responded to both [1]_. Phi2(h, k; r) - Phi(h) Phi(k) is the integral of
    the normal density at (h, k) over correlations from 0 to r [2]_, here over their arcsine by Gauss-Legendre.

    References
    ----------
    .. [1] Divgi, Calculation of the tetrachoric correlation coefficient, 1979, DOI 10.1007/BF02293968.
    .. [2] Drezner, Wesolowsky, On the computation of the bivariate normal integral, 1990,
       DOI 10.1080/00949659008811236.
    """
    answered = asked.astype(np.float64)
    wrong = answered - right
    pair = np.triu_indices(right.shape[1], 1)
    one = (right.T @ wrong)[pair], (wrong.T @ right)[pair]
    table = np.stack([(right.T @ right)[pair], *one, (wrong.T @ wrong)[pair]])
    margins = np.stack([table[0] + table[1], table[0] + table[2], table[2] + table[3], table[1] + table[3]])
    table = np.where(table == 0, CORRECTION, table)
    both, only_first, only_second, _ = table / table.sum(axis=0)
    found = np.where((margins > 0).all(axis=0), _solve(both, both + only_first, both + only_second), 0.0)
    matrix = np.eye(right.shape[1])
    matrix[pair] = found
    matrix.T[pair] = found
    return matrix


def _solve(both: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    """Find the correlation that gives the probability of both; Newton's method in a bracket, else bisection."""
    h, k = ndtri(np.clip(first, 1e-12, 1 - 1e-12)), ndtri(np.clip(second, 1e-12, 1 - 1e-12))
    found, edge = np.zeros(h.shape), np.arcsin(MAX_CORRELATION)
    target, squares, product = both - ndtr(h) * ndtr(k), (h * h + k * k) / 2, h * k
    at, low, high, angle = np.arange(len(h)), np.full(h.shape, -edge), np.full(h.shape, edge), np.zeros(h.shape)
    for _ in range(STEPS):
        nodes = np.outer(NODES + 1, angle / 2)
        away = target - (WEIGHTS @ _density(nodes, squares, product)) * angle / 2
        low, high = np.where(away > 0, angle, low), np.where(away > 0, high, angle)
        new = angle + away / np.maximum(_density(angle, squares, product), 1e-300)
        new = np.where((new > low) & (new < high), new, (low + high) / 2)
        found[at] = new
        going = np.abs(new - angle) > ANGLE_TOLERANCE  # later steps cost only the few pairs that need them
        if not going.any():
            break
        at, target, squares, product = at[going], target[going], squares[going], product[going]
        low, high, angle = low[going], high[going], new[going]
    return np.asarray(np.sin(found))


def _density(angle: FloatArray, squares: FloatArray, product: FloatArray) -> FloatArray:
    """Bivariate normal density at (h, k) times the cosine: the integrand over the arcsine of the correlation."""
    sine = np.sin(angle)
    return np.asarray(np.exp((product * sine - squares) / (1 - sine * sine)) / (2 * np.pi))


EIGENVALUES: Final = 10  # kept per matrix
PERMUTATIONS: Final = 20  # psych::fa.parallel's default
QUANTILE: Final = 0.95  # of permuted data, Glorfeld 1995, doi:10.1177/0013164495055003002
ONE_DIMENSION: Final = Limit(1.0, "one dimension; Horn 1965, doi:10.1007/BF02289447, and data simulated from the fit")
MIN_ITEMS: Final = 4
MIN_MODELS: Final = 30


def largest_eigenvalues(fitted: FittedResponses, items: npt.NDArray[np.intp]) -> FloatArray:
    """Largest eigenvalues of the tetrachoric correlations of some items, decreasing, at most `EIGENVALUES`."""
    return _eigenvalues(fitted.correct[:, items], fitted.asked[:, items])


def permuted_eigenvalues(fitted: FittedResponses, items: npt.NDArray[np.intp], rng: np.random.Generator) -> FloatArray:
    """Eigenvalues for unrelated items: each item's responses are permuted over the models that gave one.

    Returns
    -------
    array of shape (permutation, eigenvalue)
    """
    right, asked = fitted.correct[:, items], fitted.asked[:, items]
    last = np.where(asked, 0.0, np.inf)  # models without a response stay in place
    places = np.argsort(last, axis=0, kind="stable")
    found = []
    for _ in range(PERMUTATIONS):
        order = np.argsort(rng.random(right.shape) + last, axis=0)
        permuted = np.zeros_like(right)
        np.put_along_axis(permuted, places, np.take_along_axis(right, order, axis=0), axis=0)
        found.append(_eigenvalues(permuted, asked))
    return np.array(found)


def n_dimensions(observed: FloatArray, permuted: FloatArray, chance: FloatArray) -> int:
    """Count the leading eigenvalues above the 95% quantile of permuted data and, after the first, above all replicates.

    `observed` has shape (eigenvalue,), `permuted` (permutation, eigenvalue), and `chance` (replicate, eigenvalue).
    """
    limit = np.quantile(permuted, QUANTILE, axis=0)
    limit[1:] = np.maximum(limit, chance.max(axis=0, initial=-np.inf))[1:]
    above = observed > limit
    return int(np.argmin(above)) if not above.all() else len(above)


def parallel_check(observed: FloatArray, permuted: FloatArray, chance: FloatArray) -> Check:
    """Check by parallel analysis that the items have at most one dimension in common.

    Notes
    -----
    See `n_dimensions`. One dimension raises the second eigenvalue, too. Unrelated items alone are therefore too low a
    limit: several of a hundred one-dimensional data sets had two eigenvalues above it.
    """
    found = n_dimensions(observed, permuted, chance)
    listed = ", ".join(f"{value:.2f}" for value in observed[:4])
    message = f"{found} eigenvalues above those of unrelated items and of one-dimensional data; the first are {listed}"
    return above_limit("parallel_analysis", float(found), message, limit=ONE_DIMENSION, chance=np.empty(0))


def second_eigenvalue_check(observed: FloatArray, chance: FloatArray) -> Check:
    """Check that the second eigenvalue is no larger than in one-dimensional data simulated from the fit.

    Notes
    -----
    Modified parallel analysis, with data from the fitted model in place of unrelated items [1]_. Both have the effects
    of nonlinear curves and of item difficulty on the second eigenvalue.

    References
    ----------
    .. [1] Drasgow, Lissak, Modified parallel analysis, 1983, DOI 10.1037/0021-9010.68.3.363.
    """
    message = f"second eigenvalue {observed[1]:.2f} after a first of {observed[0]:.2f}"
    return above_limit("second_eigenvalue", float(observed[1]), message, limit=None, chance=chance)


def why_no_eigenvalues(fitted: FittedResponses, items: npt.NDArray[np.intp]) -> str:
    """Why tetrachoric correlations are undefined; empty where they are defined."""
    if not fitted.binary:
        return "cells hold several trials; tetrachoric correlations need 0/1 responses"
    n_models = int(fitted.asked.any(axis=1).sum())
    if len(items) < MIN_ITEMS or n_models < MIN_MODELS:
        return f"{n_models} models and {len(items)} varying items; at least {MIN_MODELS} and {MIN_ITEMS} are needed"
    return ""


def eigenvalue_checks(reason: str) -> tuple[Check, Check]:
    """Build both checks as not applicable."""
    return not_applicable("parallel_analysis", reason), not_applicable("second_eigenvalue", reason)


def _eigenvalues(right: FloatArray, asked: npt.NDArray[np.bool_]) -> FloatArray:
    values = np.linalg.eigvalsh(tetrachoric_correlations(right, asked))
    return np.asarray(values[::-1][:EIGENVALUES])


HELD_OUT: Final = 0.1  # proportion of the cells
MAX_CELLS, MIN_SAMPLED_ITEMS = 1_000_000, 200  # of larger matrices, items are sampled
SWEEPS: Final = 40
LOG_ODDS_TOLERANCE: Final = 1e-3  # root mean square change of a cell's log-odds in one sweep
SLOPE_SD, INTERCEPT_SD = 1.0, 3.0  # of the normal priors; abilities have sd 1
MIN_HELD_OUT: Final = 100
Z_LIMIT: Final = Limit(2.33, "1% one-sided normal; standard error over models and over items, the larger")


class DimensionGain(NamedTuple):
    """Gain in held-out log score of two dimensions over one, in nats per response."""

    gain: float
    standard_error: float
    one: float
    two: float
    n_answers: int

    @property
    def z(self) -> float:
        """Gain divided by its standard error."""
        return self.gain / self.standard_error if self.standard_error > 0 else np.nan


def compare_dimensions(fitted: FittedResponses, rng: np.random.Generator) -> DimensionGain:
    """Fit one and two dimensions to 90% of the cells, and predict the rest.

    Notes
    -----
    Log-odds = intercept_i + sum_d slope_id ability_md, all with normal priors. The joint mode is found by alternating
    Newton steps for models and items. Modes are used for one dimension as for two, and superfluous parameters lower the
    score on held-out responses. Prediction errors are dependent within models and within items: the standard error is
    the larger of those clustered by model and by item. Of more than a million cells, a random sample of items is used.
    """
    from irt_bench.inference.fast.dimensional import clustered_error  # noqa: PLC0415 - compiled loops

    n_models, n_items = fitted.correct.shape
    most = max(MAX_CELLS // n_models, MIN_SAMPLED_ITEMS)
    some = np.sort(rng.choice(n_items, most, replace=False)) if n_items > most else np.arange(n_items)
    right, trials = fitted.correct[:, some], fitted.trials[:, some]
    held = (trials > 0) & (rng.random(trials.shape) < HELD_OUT)
    seen = np.where(held, 0.0, right), np.where(held, 0.0, trials)
    unseen = right - seen[0], trials - seen[1]
    scores = [_log_score(*unseen, fit_dimensions(*seen, n, rng)) for n in (1, 2)]
    n_answers = float(unseen[1].sum())
    errors = [clustered_error(scores[1] - scores[0], unseen[1], axis) for axis in (0, 1)]
    one, two = (float(score.sum() / n_answers) for score in scores)
    return DimensionGain(two - one, max(errors), one, two, int(n_answers))


def fit_dimensions(right: FloatArray, trials: FloatArray, n_dimensions: int, rng: np.random.Generator) -> FloatArray:
    """Log-odds of every cell at the joint mode of a model with `n_dimensions` dimensions, shape (model, item)."""
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
        if np.sqrt(np.mean((log_odds - last) ** 2)) < LOG_ODDS_TOLERANCE:
            break
    return np.asarray(log_odds)


def dimension_check(found: DimensionGain | None) -> Check:
    """Check that two dimensions do not predict held-out responses better than one."""
    if found is None or not np.isfinite(found.z):
        return not_applicable("two_dimensions", "too few responses to hold some out")
    low, high = (found.gain + sign * 1.645 * found.standard_error for sign in (-1, 1))
    gain = f"{found.gain:.4f} [{low:.4f}, {high:.4f}] nats per response"
    message = f"a second dimension gains {gain} on {found.n_answers:,} held-out responses"
    return above_limit("two_dimensions", found.z, message, limit=Z_LIMIT, chance=np.empty(0))


def _newton(
    at: FloatArray, design: FloatArray, log_odds: FloatArray, right: FloatArray, trials: FloatArray, prior: FloatArray
) -> FloatArray:
    """One Newton step for every row; P (1 - P) is at least 0.025, a tenth of its maximum, against overshooting.

    Coefficients `at` have shape (row, p), the `design` that they multiply (column, p), cells (row, column), and
    precisions of the prior (p,).
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
    """Log-likelihood of the responses per cell; 0 where there are none."""
    return np.asarray(right * log_odds - trials * np.logaddexp(0, log_odds))
