"""What is taken where no method, weights or estimator is named: the recipe of least error on models held out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pandas as pd

from irt_bench.errors import SubsetError, unknown_choice
from irt_bench.subsets.calibration import Calibration, Recipe, calibrate
from irt_bench.subsets.coverage import RECIPE
from irt_bench.subsets.estimators import estimator_of
from irt_bench.subsets.select import SELECTORS
from irt_bench.subsets.weights import WEIGHTINGS

DEFAULT: Final = "default"  # names the rows of `default_choice`
DEFAULT_ESTIMATOR: Final = "p_irt_ridge"
BEST_METHODS: Final = ("anchors", "variance")  # tried where no method is named: one of them won every comparison made
# Tried where no estimator is named. The spline is as good on models like the calibration models, but wrong by 10 to 30
# points on abler ones, where these are wrong by 0 to 9 (weaker half against stronger half, HumanEval).
BEST_ESTIMATORS: Final = ("p_irt", "gp_irt", "p_irt_ridge")
OWN_WEIGHTS: Final = {"anchors": "anchor", "anchors-irt": "anchor"}  # of methods that make weights; others: equal
FOLD: Final = "fold"
EXPECTED: Final = "expected"


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
    methods: tuple[str, ...] = BEST_METHODS,
    weights: str | None = None,
    estimators: tuple[str, ...] = BEST_ESTIMATORS,
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
    """
    tried: dict[tuple[Recipe, str], float] = {}
    for method in methods:
        attempt = recipe._replace(method=method, weights=weights or default_weights(method))
        errors = calibrate(calibration, attempt, estimators).errors
        tried |= {(attempt, name): errors[name].root_mean_square for name in estimators}
    return min(tried, key=tried.__getitem__)


def default_choice(held_out: pd.DataFrame) -> pd.DataFrame:
    """Rows of what `best_recipe` would have made in each fold, under the name `DEFAULT`.

    Which recipe is taken is decided on the fold's calibration models alone, so that its errors on the models held out
    are not flattered by the choice.

    Parameters
    ----------
    held_out : pd.DataFrame
        A row a model and recipe: ``fold``, ``expected`` (root mean square error on held-out calibration models), the
        columns in `RECIPE`, and any others.

    Returns
    -------
    pd.DataFrame
        The rows chosen; none where some of the recipes tried did not take part.
    """
    own = held_out["weights"] == held_out["method"].map(default_weights)
    tried = held_out[own & held_out["method"].isin(BEST_METHODS) & held_out["estimator"].isin(BEST_ESTIMATORS)]
    if len(tried[["method", "estimator"]].drop_duplicates()) < len(BEST_METHODS) * len(BEST_ESTIMATORS):
        return held_out.iloc[:0]
    keys = [FOLD, *RECIPE]
    best = tried.loc[tried.groupby([FOLD, "size"])[EXPECTED].idxmin(), keys]
    return tried.merge(best, on=keys).assign(method=DEFAULT, weights=DEFAULT, estimator=DEFAULT)
