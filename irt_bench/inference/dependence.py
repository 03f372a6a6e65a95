"""Models whose answers go together beyond ability: near-copies and families, found in the residuals of a fit.

Residuals of two models on the same items are unrelated under the model. Those of a fine-tune and its base are not.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform
from scipy.special import ndtri

Array = npt.NDArray[Any]
NEAR_COPY: Final = 0.5  # residual correlation: half of what ability leaves open is answered alike
BY_CHANCE: Final = 0.01  # pairs of independent models, of all together, that pass for near-copies
LEAST_INFORMATION: Final = (
    10.0  # answers that ability leaves open, counted as P (1 - P); of fewer no correlation is taken
)
FAMILY: Final = 0.1  # mean residual correlation with a family: that of item-level deviations of .8 in log-odds
MOST_PRODUCTS: Final = 5e9  # pairs times items in a matrix product: a quarter of a second


class Alikeness(NamedTuple):
    """How far models answer alike beyond ability.

    Parameters
    ----------
    correlation : array of shape (model, model)
        Of residuals: 1 for copies, 0 on average for independent models; NaN on the diagonal and for pairs with too few
        answers in common that ability leaves open.
    standardised : array of shape (model, model)
        The same in standard errors: those of the model, or of Fisher's transformed correlation of as many items where
        that is less.
    """

    correlation: Array
    standardised: Array


def alikeness(residual: Array, weight: Array) -> Alikeness:
    """Correlate the residuals of every two models.

    Parameters
    ----------
    residual : array of shape (model, item)
        Right answers beyond those expected, 0 where never asked.
    weight : array of shape (model, item)
        Their variance under the model, 0 where never asked.

    Notes
    -----
    As Yen's Q3 [1]_ with models and items exchanged: the sum of the products of residuals over the items that both were
    asked, over the root of the product of their sums of squares. Its standard error under independence is taken from
    the model: the variance of the sum of products is the sum of the products of the variances. With few items and many
    trials per cell the sum is far from normal, and cells that vary more than binomially make it larger: there Fisher's
    transformation, which takes the variance from the residuals themselves, says less.

    References
    ----------
    .. [1] Yen, Effects of local item dependence on the fit and equating performance of the three-parameter logistic
       model, 1984, DOI 10.1177/014662168400800201.
    """
    residual, weight = (np.asarray(each, dtype=np.float32) for each in (residual, weight))
    square, open_answers = _in_common(residual**2, weight > 0), _in_common(weight, weight > 0)
    product, variance = residual @ residual.T, weight @ weight.T
    enough = (open_answers >= LEAST_INFORMATION) & (square > 0)
    np.fill_diagonal(enough, False)
    correlation, standardised = (
        np.divide(product, scale, out=np.full_like(product, np.nan), where=enough)
        for scale in (square, np.sqrt(variance))
    )
    asked = (weight > 0).astype(np.float32)
    n_common = asked @ asked.T
    with np.errstate(invalid="ignore"):
        fisher = np.arctanh(np.clip(correlation, -0.999, 0.999)) * np.sqrt(np.maximum(n_common - 3, 0))
        return Alikeness(correlation, np.minimum(standardised, fisher))


def _in_common(values: Array, asked: Array) -> Array:
    """Geometric mean of two models' sums over the items that both were asked, (model, model)."""
    if asked.all():
        total = np.sqrt(values.sum(axis=1))
        return np.outer(total, total)
    total = values @ asked.T.astype(np.float32)  # of one model's values where the other was asked
    return np.asarray(np.sqrt(total * total.T))


def affordable_items(n_models: int, n_items: int) -> npt.NDArray[np.intp]:
    """Evenly spaced items, all of them where matrix products are cheap enough."""
    most = int(np.clip(MOST_PRODUCTS // n_models**2, 1, n_items))
    return np.linspace(0, n_items - 1, most).astype(np.intp)


def near_copies(alike: Alikeness) -> npt.NDArray[np.intp]:
    """Give each model the number of its group: models linked by near-copies; alone where there are none."""
    n_pairs = max(len(alike.correlation) * (len(alike.correlation) - 1) / 2, 1)
    linked = (alike.correlation >= NEAR_COPY) & (alike.standardised >= -ndtri(BY_CHANCE / n_pairs))
    return np.asarray(connected_components(linked, directed=False)[1], dtype=np.intp)


class Families(NamedTuple):
    """Groups of models found in some items, and what they amount to in others.

    Parameters
    ----------
    group : integer array of shape (model,)
        Number of each model's group.
    design_effect : float
        One plus the residual correlations of a model with the others of its group, summed, mean over models.
    error : float
        Standard error of `design_effect` if no models were related.
    """

    group: npt.NDArray[np.intp]
    design_effect: float
    error: float


def find_families(residual: Array, weight: Array) -> Families:
    """Group models by average linkage of their residual correlations.

    Notes
    -----
    Groups are found in every other item, and how alike their members are is taken from the rest: chance that made a
    group in the one has no part in the other.
    """
    found, judged = (alikeness(residual[:, half], weight[:, half]) for half in (slice(0, None, 2), slice(1, None, 2)))
    distance = 1 - np.clip(np.nan_to_num(found.correlation), -1, 1)
    np.fill_diagonal(distance, 0)
    group = fcluster(linkage(squareform(distance, checks=False), "average"), 1 - FAMILY, "distance")
    within = (group[:, None] == group) & np.isfinite(judged.correlation)
    related, n = judged.correlation[within], len(group)
    error = np.sqrt(2 * np.square(related / judged.standardised[within]).sum()) / n if related.size else 0.0
    return Families(np.asarray(group, dtype=np.intp), float(1 + related.sum() / n), float(error))
