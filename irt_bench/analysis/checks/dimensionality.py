"""How many abilities the answers tell of: eigenvalues of tetrachoric correlations against those of simulated data."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from irt_bench.analysis.checks.answers import FittedAnswers
from irt_bench.analysis.checks.named import Check, Limit, above_limit, not_applicable
from irt_bench.analysis.checks.tetrachoric import tetrachoric_correlations
from irt_bench.arrays import FloatArray

EIGENVALUES: Final = 10  # kept of each matrix
PERMUTATIONS: Final = 20  # psych::fa.parallel's default
QUANTILE: Final = 0.95  # of permuted data, Glorfeld 1995, doi:10.1177/0013164495055003002
ONE: Final = Limit(1.0, "one dimension; Horn 1965, doi:10.1007/BF02289447, and data simulated from the fit")
LEAST_ITEMS: Final = 4
LEAST_MODELS: Final = 30


def largest_eigenvalues(answers: FittedAnswers, items: npt.NDArray[np.intp]) -> FloatArray:
    """Largest eigenvalues of the tetrachoric correlations of some items, decreasing, at most `EIGENVALUES`."""
    return _eigenvalues(answers.right[:, items], answers.asked[:, items])


def permuted_eigenvalues(answers: FittedAnswers, items: npt.NDArray[np.intp], rng: np.random.Generator) -> FloatArray:
    """Eigenvalues where items have nothing in common: each item's answers dealt out among the models asked it.

    Returns
    -------
    array of shape (permutation, eigenvalue)
    """
    right, asked = answers.right[:, items], answers.asked[:, items]
    last = np.where(asked, 0.0, np.inf)  # models not asked stay where they are
    places = np.argsort(last, axis=0, kind="stable")
    found = []
    for _ in range(PERMUTATIONS):
        order = np.argsort(rng.random(right.shape) + last, axis=0)
        dealt = np.zeros_like(right)
        np.put_along_axis(dealt, places, np.take_along_axis(right, order, axis=0), axis=0)
        found.append(_eigenvalues(dealt, asked))
    return np.array(found)


def n_dimensions(observed: FloatArray, permuted: FloatArray, chance: FloatArray) -> int:
    """Count the leading eigenvalues above the 95% quantile of permuted data and, after the first, above all of chance.

    Parameters
    ----------
    observed : array of shape (eigenvalue,)
        Of the responses.
    permuted : array of shape (permutation, eigenvalue)
        Of unrelated items.
    chance : array of shape (replicate, eigenvalue)
        Of data of one dimension simulated from the fit.
    """
    limit = np.quantile(permuted, QUANTILE, axis=0)
    limit[1:] = np.maximum(limit, chance.max(axis=0, initial=-np.inf))[1:]
    above = observed > limit
    return int(np.argmin(above)) if not above.all() else len(above)


def parallel_check(observed: FloatArray, permuted: FloatArray, chance: FloatArray) -> Check:
    """Check by parallel analysis that the items have no more than one dimension in common.

    See `n_dimensions`. One dimension lifts the second eigenvalue, too: unrelated items alone are too low a limit, by
    which several of a hundred data sets of one dimension had two.
    """
    found = n_dimensions(observed, permuted, chance)
    listed = ", ".join(f"{value:.2f}" for value in observed[:4])
    message = f"{found} eigenvalues above those of unrelated items and of one dimension; the first are {listed}"
    return above_limit("parallel_analysis", float(found), message, limit=ONE, chance=np.empty(0))


def second_eigenvalue_check(observed: FloatArray, chance: FloatArray) -> Check:
    """Check that the second eigenvalue is no larger than in data of one dimension simulated from the fit.

    Notes
    -----
    Parallel analysis with data of the fitted model in place of unrelated items [1]_: what the first dimension's
    curvature and the items' difficulty do to the second eigenvalue is in both.

    References
    ----------
    .. [1] Drasgow, Lissak, Modified parallel analysis, 1983, DOI 10.1037/0021-9010.68.3.363.
    """
    message = f"second eigenvalue {observed[1]:.2f} after a first of {observed[0]:.2f}"
    return above_limit("second_eigenvalue", float(observed[1]), message, limit=None, chance=chance)


def eigenvalue_reason_against(answers: FittedAnswers, items: npt.NDArray[np.intp]) -> str:
    """Why tetrachoric correlations are not defined; empty where they are."""
    if not answers.binary:
        return "answers are counts of several trials; tetrachoric correlations need 0/1 answers"
    n_models = int(answers.asked.any(axis=1).sum())
    if len(items) < LEAST_ITEMS or n_models < LEAST_MODELS:
        return f"{n_models} models and {len(items)} items that vary; {LEAST_MODELS} and {LEAST_ITEMS} are needed"
    return ""


def eigenvalue_checks(reason: str) -> tuple[Check, Check]:
    """Build both checks as not applicable."""
    return not_applicable("parallel_analysis", reason), not_applicable("second_eigenvalue", reason)


def _eigenvalues(right: FloatArray, asked: npt.NDArray[np.bool_]) -> FloatArray:
    values = np.linalg.eigvalsh(tetrachoric_correlations(right, asked))
    return np.asarray(values[::-1][:EIGENVALUES])
