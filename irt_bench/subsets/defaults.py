"""What is taken where no method, weights or estimator is named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from irt_bench.errors import SubsetError, unknown_choice
from irt_bench.subsets.calibration import Calibration, Recipe, calibrate
from irt_bench.subsets.estimators import estimator_of
from irt_bench.subsets.select import SELECTORS
from irt_bench.subsets.weights import WEIGHTINGS

# Least error, or within noise of it, both for models like those of the calibration and for abler ones, on the five
# benchmarks of `tests/benchmarks/shift.py`; regressions on the answers (p_irt_ridge, spline) are as good for the former
# and wrong by 10 to 20 points for the latter. Choosing among methods and estimators by held-out error, for each
# benchmark anew, was no better on average, and the best of six looks better than it is: on HumanEval with 100 items its
# intervals held 77% for 90%.
DEFAULT_METHOD: Final = "anchors-proportional"
DEFAULT_ESTIMATOR: Final = "p_irt_residual"
OWN_WEIGHTS: Final = {"anchors": "anchor", "anchors-irt": "anchor"}  # of methods that make weights; others: equal


def default_weights(method: str) -> str:
    """Name of the weights that go with a method."""
    return OWN_WEIGHTS.get(method, "equal")


def check_names(methods: Iterable[str], weights: str | None, estimators: Iterable[str]) -> None:
    """Refuse unknown names before anything expensive.

    Raises
    ------
    SubsetError
        If a name is not known.
    """
    for method in methods:
        if method not in SELECTORS:
            raise SubsetError(unknown_choice("method", method, SELECTORS))
    if weights is not None and weights not in WEIGHTINGS:
        raise SubsetError(unknown_choice("weights", weights, WEIGHTINGS))
    for name in estimators:
        estimator_of(name)


def best_recipe(
    calibration: Calibration,
    recipe: Recipe,
    *,
    methods: tuple[str, ...],
    weights: str | None = None,
    estimators: tuple[str, ...] = (DEFAULT_ESTIMATOR,),
) -> tuple[Recipe, str]:
    """Find the recipe and the estimator of least root mean square error on held-out calibration models.

    Parameters
    ----------
    calibration : Calibration
        From `irt_bench.subsets.calibration.prepare`.
    recipe : Recipe
        Size and seed; its method and weights are not looked at.
    methods, estimators : tuple of str
        Names to choose from.
    weights : str, optional
        Name of the weights; by default those that go with each method.

    Notes
    -----
    The error expected of the best is too small, and its intervals are too narrow, the more so the fewer the models and
    the more names there are to choose from.
    """
    tried: dict[tuple[Recipe, str], float] = {}
    for method in methods:
        attempt = recipe._replace(method=method, weights=weights or default_weights(method))
        errors = calibrate(calibration, attempt, estimators).errors
        tried |= {(attempt, name): errors[name].root_mean_square.value for name in estimators}
    return min(tried, key=tried.__getitem__)
