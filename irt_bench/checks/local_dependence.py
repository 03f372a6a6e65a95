"""Answers that go together beyond ability: pairs of items (Q3), testlets, and related models.

Testlets: items of one subtask or template whose answers go together beyond ability.

Models whose answers go together beyond ability: near-copies and families, as residual correlations of rows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.arrays import BoolArray, FloatArray
from irt_bench.checks.fitted_responses import FittedResponses
from irt_bench.checks.limits import CHANCE, Check, Limit, above_limit, not_applicable
from irt_bench.inference.related_models import MIN_INFORMATION, NEAR_COPY, alikeness, find_families, near_copies

Q3_LIMIT: Final = Limit(0.2, "0.2 above the mean, Christensen, Makransky & Horton 2017, doi:10.1177/0146621616677520")
MIN_MODELS: Final = 20  # that answered both items: correlations of fewer reach 0.6 by chance
PAIRS_KEPT: Final = 1_000
COPIES_NAMED: Final = 3


class ResidualCorrelations(NamedTuple):
    """Correlations of the residuals of pairs of items."""

    correlation: FloatArray  # (item, item), symmetric; NaN on the diagonal and where undefined
    mean: float  # over pairs
    rarer: FloatArray  # (item, item): answers of the rarer kind, right or wrong, to the item that has fewer of them

    @property
    def excess(self) -> FloatArray:
        """Q3 above the mean over pairs, Q3*."""
        return np.asarray(self.correlation - self.mean)

    @property
    def standardised(self) -> FloatArray:
        """Q3* in units of 1 / sqrt(answers of the rarer kind), about which chance moves it by at most."""
        return np.asarray(self.excess * np.sqrt(self.rarer))


def residual_correlations(fitted: FittedResponses, items: npt.NDArray[np.intp]) -> ResidualCorrelations:
    """Correlate residuals of every two of some items over the models asked both.

    Parameters
    ----------
    answers : FittedResponses
        Answers and what the model expects.
    items : integer array
        Positions of the items.

    Notes
    -----
    Q3 is Pearson's correlation of (share right - P) [1]_. Estimating ability from the same answers moves its mean to
    about -1 / (items - 1); what counts is the distance from the mean over pairs, Q3* [2]_. Two items that the same one
    model solved have a Q3 of 1 by chance: replicates are looked at for the largest Q3* times the root of the number of
    answers of the rarer kind, to which chance brings rare and common answers alike.

    References
    ----------
    .. [1] Yen, Effects of local item dependence on the fit and equating performance of the three-parameter logistic
       model, 1984, DOI 10.1177/014662168400800201.
    .. [2] Christensen, Makransky, Horton, Critical values for Yen's Q3, 2017, DOI 10.1177/0146621616677520.
    """
    asked = fitted.asked[:, items].astype(np.float64)
    share = np.where(asked > 0, fitted.residual[:, items] / np.maximum(fitted.trials[:, items], 1), 0.0)
    varying = fitted.varying[items]
    both = asked.T @ asked
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = share.T @ asked  # of item i over models asked i and j
        squares = (share**2).T @ asked
        covariance = share.T @ share - sums * sums.T / both
        spread = np.maximum(squares - sums**2 / both, 0.0)
        found = covariance / np.sqrt(spread * spread.T)
    found[~(varying[:, None] & varying) | (both < MIN_MODELS)] = np.nan
    np.fill_diagonal(found, np.nan)
    known = np.isfinite(found)
    solved = fitted.proportion[:, items].T @ asked
    fewer = np.minimum(solved, both - solved)
    return ResidualCorrelations(
        found, float(found[known].mean()) if known.any() else np.nan, np.minimum(fewer, fewer.T)
    )


def largest_excess(found: ResidualCorrelations) -> float:
    """Return the largest standardised Q3*, see `Residuals.standardised`; NaN where no pair has one."""
    known = np.isfinite(found.correlation)
    return float(found.standardised[known].max()) if known.any() else np.nan


def pair_limits(found: ResidualCorrelations, chance: FloatArray) -> FloatArray:
    """Limit of each pair's Q3*, shape (item, item): 0.2, or what chance brings at its number of rarer answers.

    Parameters
    ----------
    found : Residuals
        Of the responses.
    chance : array of shape (replicate,)
        `largest_excess` of each replicate.
    """
    largest = float(np.nanmax(chance)) if np.isfinite(chance).any() else 0.0
    return np.maximum(Q3_LIMIT.value, largest / np.sqrt(np.maximum(found.rarer, 1e-9)))


def pair_table(found: ResidualCorrelations, labels: pd.Index, chance: FloatArray) -> pd.DataFrame:
    """Tabulate the pairs furthest beyond their limits: ``item_a, item_b, q3, q3_excess, limit``."""
    first, second = np.nonzero(np.triu(np.isfinite(found.correlation), 1))
    excess, limit = found.excess[first, second], pair_limits(found, chance)[first, second]
    order = np.argsort(-excess / limit, kind="stable")[:PAIRS_KEPT]
    columns: dict[str, Any] = {
        "item_a": labels[first[order]],
        "item_b": labels[second[order]],
        "q3": found.correlation[first[order], second[order]],
        "q3_excess": excess[order],
        "limit": limit[order],
    }
    return pd.DataFrame(columns)


def local_dependence_check(
    found: ResidualCorrelations,
    fitted: FittedResponses,
    items: npt.NDArray[np.intp],
    labels: pd.Index,
    chance: FloatArray,
) -> Check:
    """Check that no pair's Q3 is further above the mean than 0.2, or than chance alone brings one.

    Parameters
    ----------
    found : Residuals
        Of the responses.
    answers : FittedResponses
        The responses, where exact copies are looked for.
    items : integer array
        Positions of the items.
    labels : pd.Index
        Of these items.
    chance : array of shape (replicate,)
        `largest_excess` of each replicate.

    Notes
    -----
    The figure and its limit are those of the pair that is furthest beyond its own limit.
    """
    if not np.isfinite(largest_excess(found)):
        return not_applicable("q3", f"no two items that vary were answered by {MIN_MODELS} models")
    limit = pair_limits(found, chance)
    beyond = np.triu(found.excess > limit, 1)
    ratio = np.nan_to_num(found.excess / limit, nan=-np.inf)
    first, second = divmod(int(ratio.argmax()), len(labels))
    message = f"{int(beyond.sum())} pairs of items beyond their limits; first {labels[first]} with {labels[second]}"
    pairs = np.argwhere(beyond)
    copies = pairs[_identical_responses(fitted, items[pairs[:, 0]], items[pairs[:, 1]])]
    if len(copies):
        named = "; ".join(f"{labels[one]} = {labels[other]}" for one, other in copies[:COPIES_NAMED])
        message += f"; {len(copies)} pairs with the same answers: {named}"
    value, own = float(found.excess[first, second]), Limit(float(limit[first, second]), Q3_LIMIT.source)
    check = above_limit("q3", value, message, limit=own, chance=np.empty(0))
    return replace(check, source=f"{Q3_LIMIT.source}; or {CHANCE}: the most of {np.isfinite(chance).sum()}")


def _identical_responses(
    fitted: FittedResponses, first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]
) -> npt.NDArray[np.bool_]:
    """Whether two items have the same answers from all models asked both, pair by pair."""
    both = fitted.asked[:, first] & fitted.asked[:, second]
    return np.asarray(
        (
            ~both
            | (
                (fitted.correct[:, first] == fitted.correct[:, second])
                & (fitted.trials[:, first] == fitted.trials[:, second])
            )
        ).all(axis=0)
    )


DESIGN_EFFECT_LIMIT: Final = Limit(
    1.1, "1.1, ours: intervals 5% too narrow; design effect, Kish 1965, Survey Sampling, section 5.4"
)
MAX_COLUMNS: Final = 20
NO_TESTLETS: Final = "no column of the items puts some of them together (subtask, template)"


class Testlets(NamedTuple):
    """Items that a column puts together."""

    column: str
    group: npt.NDArray[np.intp]  # of each item whose residuals are correlated; -1: of none
    names: pd.Index  # of the groups
    partners: FloatArray  # (group,): other items of the group, among all items
    mean_partners: float  # of an item

    def together(self, group: int | None = None) -> BoolArray:
        """Whether two items belong to the same group, or to the one named, shape (item, item)."""
        member = self.group >= 0 if group is None else self.group == group
        same = (self.group[:, None] == self.group) & member[:, None] & member
        return np.asarray(same & ~np.eye(len(same), dtype=bool))


def testlets_of(items: pd.DataFrame, places: npt.NDArray[np.intp]) -> list[Testlets]:
    """Find the columns of text that put some items together and others apart.

    Parameters
    ----------
    items : pd.DataFrame
        Metadata of all items.
    places : integer array
        Positions of those whose residuals are correlated.
    """
    found = []
    for column in items.columns[:MAX_COLUMNS]:
        if pd.api.types.is_numeric_dtype(items[column]) or pd.api.types.is_bool_dtype(items[column]):
            continue
        codes, labels = pd.factorize(items[column].astype(object).map(str, na_action="ignore"))
        size = np.bincount(codes[codes >= 0], minlength=len(labels)).astype(np.float64)
        each = Testlets(str(column), codes[places], pd.Index(labels), size - 1, 0.0)
        if len(labels) > 1 and each.together().any():
            found.append(each._replace(mean_partners=float((size * (size - 1)).sum() / size.sum())))
    return found


def design_effects(found: ResidualCorrelations, testlets: list[Testlets]) -> FloatArray:
    """Variance of a model's score over that of independent answers, shape (column,).

    Notes
    -----
    1 + (mean number of other items of an item's testlet) x (mean Q3 within testlets less the mean over all pairs) [1]_;
    residuals are taken to vary alike.

    References
    ----------
    .. [1] Kish, Survey Sampling, 1965, section 5.4.
    """
    return np.array([1 + each.mean_partners * _mean(found.excess, each.together()) for each in testlets])


def testlet_check(found: ResidualCorrelations, testlets: list[Testlets], chance: FloatArray) -> Check:
    """Check that answers within testlets go together no more than chance brings, or too little to matter.

    Parameters
    ----------
    found : Residuals
        Of the responses.
    testlets : list of Testlets
        One for each column.
    chance : array of shape (replicate, column)
        `design_effects` of each replicate; of several columns the largest counts.
    """
    if not testlets:
        return not_applicable("testlets", NO_TESTLETS)
    effects = design_effects(found, testlets)
    if not np.isfinite(effects).any():
        return not_applicable("testlets", "no two items of a testlet have a residual correlation")
    place = int(np.nanargmax(effects))
    worst, value = testlets[place], float(effects[place])
    message = f"answers within {worst.column!r} make scores vary {value:.2f} times as much as independent ones"
    own = [worst.partners[group] * _mean(found.excess, worst.together(group)) for group in range(len(worst.names))]
    if np.isfinite(own).any():
        first = int(np.nanargmax(own))
        message += f"; most in {worst.names[first]}, {1 + own[first]:.2f} times"
    largest = np.nanmax(np.where(np.isfinite(chance), chance, -np.inf), axis=1)
    return above_limit("testlets", value, message, limit=DESIGN_EFFECT_LIMIT, chance=largest)


def _mean(excess: FloatArray, pairs: BoolArray) -> float:
    known = pairs & np.isfinite(excess)
    return float(excess[known].mean()) if known.any() else np.nan


MAX_MODELS: Final = 1_200  # of which pairs are formed; a second for all replicates
COPY_LIMIT: Final = Limit(
    NEAR_COPY, "half of what ability leaves open in common (ours; copies with 95% same answers: .85)"
)


class ModelGroups(NamedTuple):
    """Models of which pairs are formed, and the groups they are said to belong to.

    Parameters
    ----------
    models : integer array
        Positions of the models.
    group : integer array of the same shape, or None
        Number of each one's group; None where no groups were named.
    """

    models: npt.NDArray[np.intp]
    group: npt.NDArray[np.intp] | None


class ModelSimilarity(NamedTuple):
    """How far models answer alike.

    Parameters
    ----------
    largest : float
        Residual correlation of the pair that is most alike; NaN where no pair has one.
    design_effect : float
        One plus a model's residual correlations with the others of its family, summed, mean over models: how many times
        the variance of an item's difficulty is that from as many independent models (Kish 1965).
    """

    largest: float
    design_effect: float


def group_models(models: pd.Index, groups: pd.Series | None, rng: np.random.Generator) -> ModelGroups:
    """Choose the models, all where they are few, and number their groups; a model of no group is one of its own."""
    chosen = np.arange(len(models))
    if len(models) > MAX_MODELS:
        chosen = np.sort(rng.choice(chosen, MAX_MODELS, replace=False))
    if groups is None:
        return ModelGroups(chosen, None)
    named = groups.reindex(models).iloc[chosen]
    codes = pd.factorize(named)[0]
    return ModelGroups(chosen, np.where(codes < 0, len(codes) + np.arange(len(codes)), codes))


def model_similarity(fitted: FittedResponses, model_groups: ModelGroups) -> ModelSimilarity:
    """Correlate the residuals of models, and sum them within families.

    Notes
    -----
    Families are the named groups; else groups found in half of the items by average linkage and judged by the others
    (`irt_bench.inference.related_models.find_families`).
    """
    residual, weight = _rows(fitted, model_groups)
    correlation = alikeness(residual, weight).correlation
    known = np.isfinite(correlation)
    largest = float(correlation[known].max()) if known.any() else np.nan
    if model_groups.group is None:
        return ModelSimilarity(largest, find_families(residual, weight).design_effect if known.any() else np.nan)
    within = (model_groups.group[:, None] == model_groups.group) & known
    effect = 1 + float(correlation[within].sum()) / len(model_groups.group)
    return ModelSimilarity(largest, effect if within.any() else np.nan)


def dependence_checks(
    fitted: FittedResponses, model_groups: ModelGroups, labels: pd.Index, chance: FloatArray
) -> tuple[Check, Check]:
    """Check that no model is a near-copy of another, and that families amount to no more than chance makes of them.

    Parameters
    ----------
    answers : FittedResponses
        The responses.
    relatives : Relatives
        What is looked at.
    labels : pd.Index
        Of all models.
    chance : array of shape (replicate, 2)
        `model_similarity` of each replicate.

    Notes
    -----
    The design effect of families has no limit but chance. What it means for the items' intervals can be read off: of
    those that take models as independent, a 90% interval covers 87% at 1.2, 82% at 1.5, 76% at 2.
    """
    found = model_similarity(fitted, model_groups)
    if not np.isfinite(found.largest):
        reason = f"no two models were both asked items that leave {MIN_INFORMATION:.0f} answers open"
        return not_applicable("near_copies", reason), not_applicable("families", reason)
    residual, weight = _rows(fitted, model_groups)
    alike, names = alikeness(residual, weight), labels[model_groups.models].astype(str)
    first, second = divmod(int(np.nanargmax(alike.correlation)), len(names))
    n_copies = len(names) - len(np.unique(near_copies(alike)))
    copies = f"{n_copies} models are near-copies of others; most alike {names[first]} and {names[second]}"
    group = find_families(residual, weight).group if model_groups.group is None else model_groups.group
    places = np.flatnonzero(group == np.bincount(group).argmax())
    largest = f"{len(places)}: {', '.join(names[places[:3]])}" + ("..." if len(places) > 3 else "")
    effective = len(names) / max(found.design_effect, 1.0)
    families = (
        f"{len(names)} models tell as much of the items as {effective:.0f} independent ones; largest "
        f"{'family found, of' if model_groups.group is None else 'group, of'} {largest}"
    )
    return (
        above_limit("near_copies", found.largest, copies, limit=COPY_LIMIT, chance=chance[:, 0]),
        above_limit("families", found.design_effect, families, limit=None, chance=chance[:, 1]),
    )


def _rows(fitted: FittedResponses, model_groups: ModelGroups) -> tuple[FloatArray, FloatArray]:
    return fitted.residual[model_groups.models], (fitted.trials * fitted.variance)[model_groups.models]
