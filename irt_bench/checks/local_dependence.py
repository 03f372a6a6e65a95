"""Local dependence: Q3 of item pairs, testlets, and models whose residuals correlate (near-copies and families)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.arrays import BoolArray, FloatArray
from irt_bench.checks.fitted_responses import FittedResponses, Limit, above_limit, chance_source, not_applicable
from irt_bench.inference.convergence import Check
from irt_bench.inference.related_models import MIN_INFORMATION, NEAR_COPY, alikeness, find_families, near_copies

Q3_LIMIT: Final = Limit(0.2, "0.2 above the mean, Christensen, Makransky & Horton 2017, doi:10.1177/0146621616677520")
MIN_MODELS: Final = 20  # models that responded to both items; with fewer, correlations reach 0.6 by chance
PAIRS_KEPT: Final = 1_000
COPIES_NAMED: Final = 3


class ResidualCorrelations(NamedTuple):
    """Correlations of the residuals of pairs of items."""

    correlation: FloatArray  # (item, item), symmetric; NaN on the diagonal and where undefined
    mean: float  # over pairs
    rarer: FloatArray  # (item, item): responses of the rarer kind (correct or not), to the item that has fewer of them

    @property
    def excess(self) -> FloatArray:
        """Q3*: Q3 minus the mean over pairs."""
        return np.asarray(self.correlation - self.mean)

    @property
    def standardised(self) -> FloatArray:
        """Q3* in units of 1 / sqrt(responses of the rarer kind), about the largest deviation that chance causes."""
        return np.asarray(self.excess * np.sqrt(self.rarer))


def residual_correlations(fitted: FittedResponses, items: npt.NDArray[np.intp]) -> ResidualCorrelations:
    """Correlate the residuals of every pair of the items at some positions over the models that responded to both.

    Notes
    -----
    Q3 is Pearson's correlation of (proportion correct - P) [1]_. Estimating ability from the same responses
    shifts its mean to about -1 / (items - 1). The statistic is therefore the distance from the mean over pairs, Q3*
    [2]_. Two items solved by the same single model have a Q3 of 1 by chance. Replicates are therefore compared by the
    largest Q3* times the square root of the number of responses of the rarer kind, on which chance acts alike for rare
    and common responses.

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
    """Return the largest standardised Q3* (`ResidualCorrelations.standardised`); NaN where no pair has one."""
    known = np.isfinite(found.correlation)
    return float(found.standardised[known].max()) if known.any() else np.nan


def pair_limits(found: ResidualCorrelations, chance: FloatArray) -> FloatArray:
    """Limit of each pair's Q3*, shape (item, item): 0.2, or the largest chance value at its number of rarer responses.

    `chance` is the `largest_excess` of each replicate.
    """
    largest = float(np.nanmax(chance)) if np.isfinite(chance).any() else 0.0
    return np.maximum(Q3_LIMIT.value, largest / np.sqrt(np.maximum(found.rarer, 1e-9)))


def pair_table(found: ResidualCorrelations, labels: pd.Index, chance: FloatArray) -> pd.DataFrame:
    """Tabulate the pairs furthest above their limits: ``item_a, item_b, q3, q3_excess, limit``."""
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
    """Check that no pair's Q3 exceeds the mean by more than 0.2, or by more than the `largest_excess` of replicates.

    `labels` are those of the items that are examined. The responses are searched for identical items.

    Notes
    -----
    The value and limit of the check are those of the pair that is furthest above its own limit.
    """
    if not np.isfinite(largest_excess(found)):
        return not_applicable("q3", f"no two items that vary have responses of {MIN_MODELS} common models")
    limit = pair_limits(found, chance)
    beyond = np.triu(found.excess > limit, 1)
    ratio = np.nan_to_num(found.excess / limit, nan=-np.inf)
    first, second = divmod(int(ratio.argmax()), len(labels))
    message = f"{int(beyond.sum())} item pairs above their limits; largest: {labels[first]} with {labels[second]}"
    pairs = np.argwhere(beyond)
    copies = pairs[_identical_responses(fitted, items[pairs[:, 0]], items[pairs[:, 1]])]
    if len(copies):
        named = "; ".join(f"{labels[one]} = {labels[other]}" for one, other in copies[:COPIES_NAMED])
        message += f"; {len(copies)} pairs with identical responses: {named}"
    value, own = float(found.excess[first, second]), Limit(float(limit[first, second]), Q3_LIMIT.source)
    check = above_limit("q3", value, message, limit=own, chance=np.empty(0))
    return replace(check, source=f"{Q3_LIMIT.source}; or {chance_source(int(np.isfinite(chance).sum()))}")


def _identical_responses(
    fitted: FittedResponses, first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]
) -> npt.NDArray[np.bool_]:
    """Whether two items have the same responses from all models that responded to both, per pair."""
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
    1.1, "1.1 (our choice): intervals 5% too narrow; design effect, Kish 1965, Survey Sampling, section 5.4"
)
MAX_COLUMNS: Final = 20
NO_TESTLETS: Final = "no column of the item metadata (subtask, template) groups some of the items"


class Testlets(NamedTuple):
    """Groups of items defined by one column of the item metadata."""

    column: str
    group: npt.NDArray[np.intp]  # (item,), of the items whose residuals are correlated; -1: no group
    names: pd.Index  # (group,)
    partners: FloatArray  # (group,): number of other items of an item's group, among all items
    mean_partners: float  # mean over items

    def together(self, group: int | None = None) -> BoolArray:
        """Whether two items belong to the same group, or to the given one, shape (item, item)."""
        member = self.group >= 0 if group is None else self.group == group
        same = (self.group[:, None] == self.group) & member[:, None] & member
        return np.asarray(same & ~np.eye(len(same), dtype=bool))


def testlets_of(items: pd.DataFrame, places: npt.NDArray[np.intp]) -> list[Testlets]:
    """Find the text columns that give some items, but not all, the same value; `places` are those examined."""
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
    """Variance of a model's score relative to independent responses, shape (column,).

    Notes
    -----
    1 + (mean number of other items in an item's testlet) x (mean Q3 within testlets minus the mean over all
    pairs) [1]_. This assumes that all residuals have the same variance.

    References
    ----------
    .. [1] Kish, Survey Sampling, 1965, section 5.4.
    """
    return np.array([1 + each.mean_partners * _mean(found.excess, each.together()) for each in testlets])


def testlet_check(found: ResidualCorrelations, testlets: list[Testlets], chance: FloatArray) -> Check:
    """Check that responses within testlets correlate no more than in the replicates, or too little to matter.

    `chance` are the `design_effects` of each replicate, (replicate, column); the largest over columns counts.
    """
    if not testlets:
        return not_applicable("testlets", NO_TESTLETS)
    effects = design_effects(found, testlets)
    if not np.isfinite(effects).any():
        return not_applicable("testlets", "no two items of a testlet have a residual correlation")
    place = int(np.nanargmax(effects))
    worst, value = testlets[place], float(effects[place])
    message = f"dependence within {worst.column!r} multiplies the variance of scores by {value:.2f}"
    own = [worst.partners[group] * _mean(found.excess, worst.together(group)) for group in range(len(worst.names))]
    if np.isfinite(own).any():
        first = int(np.nanargmax(own))
        message += f"; largest in {worst.names[first]}, {1 + own[first]:.2f}"
    largest = np.nanmax(np.where(np.isfinite(chance), chance, -np.inf), axis=1)
    return above_limit("testlets", value, message, limit=DESIGN_EFFECT_LIMIT, chance=largest)


def _mean(excess: FloatArray, pairs: BoolArray) -> float:
    known = pairs & np.isfinite(excess)
    return float(excess[known].mean()) if known.any() else np.nan


MAX_MODELS: Final = 1_200  # models that form pairs; one second for all replicates
COPY_LIMIT: Final = Limit(
    NEAR_COPY, "half of the residual variance in common (our choice; copies with 95% equal responses have 0.85)"
)


class ModelGroups(NamedTuple):
    """Models that form pairs, and the groups they belong to."""

    models: npt.NDArray[np.intp]  # positions of the models
    group: npt.NDArray[np.intp] | None  # number of each model's group; None where no groups were given


class ModelSimilarity(NamedTuple):
    """How similar the responses of models are, beyond ability.

    Parameters
    ----------
    largest : float
        Largest residual correlation of a pair; NaN where no pair has one.
    design_effect : float
        One plus the sum of a model's residual correlations with the others of its family, mean over models. It
        multiplies the variance of an item's difficulty relative to as many independent models (Kish 1965).
    """

    largest: float
    design_effect: float


def group_models(models: pd.Index, groups: pd.Series | None, rng: np.random.Generator) -> ModelGroups:
    """Choose the models (all, or a sample of many) and number their groups; a model without a group forms its own."""
    chosen = np.arange(len(models))
    if len(models) > MAX_MODELS:
        chosen = np.sort(rng.choice(chosen, MAX_MODELS, replace=False))
    if groups is None:
        return ModelGroups(chosen, None)
    named = groups.reindex(models).iloc[chosen]
    codes = pd.factorize(named)[0]
    return ModelGroups(chosen, np.where(codes < 0, len(codes) + np.arange(len(codes)), codes))


def model_similarity(fitted: FittedResponses, model_groups: ModelGroups) -> ModelSimilarity:
    """Correlate the residuals of models, and sum the correlations within families.

    Notes
    -----
    Families are the given groups. Without groups they are clusters found in half of the items by average linkage, and
    their correlations come from the other half (`irt_bench.inference.related_models.find_families`).
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
    """Check that no model is a near-copy of another, and that families matter no more than by chance.

    `labels` are those of all models, `chance` the `model_similarity` of each replicate, (replicate, 2).

    Notes
    -----
    The design effect of families has no limit but chance. It shows what intervals of the items are worth that assume
    independent models: a 90% interval covers 87% at 1.2, 82% at 1.5, 76% at 2.
    """
    found = model_similarity(fitted, model_groups)
    if not np.isfinite(found.largest):
        reason = f"no two models responded to common items with a residual variance of {MIN_INFORMATION:.0f} in sum"
        return not_applicable("near_copies", reason), not_applicable("families", reason)
    residual, weight = _rows(fitted, model_groups)
    alike, names = alikeness(residual, weight), labels[model_groups.models].astype(str)
    first, second = divmod(int(np.nanargmax(alike.correlation)), len(names))
    n_copies = len(names) - len(np.unique(near_copies(residual, weight).group))
    copies = f"{n_copies} models are near-copies of others; most similar: {names[first]} and {names[second]}"
    group = find_families(residual, weight).group if model_groups.group is None else model_groups.group
    places = np.flatnonzero(group == np.bincount(group).argmax())
    largest = f"{len(places)}: {', '.join(names[places[:3]])}" + ("..." if len(places) > 3 else "")
    effective = len(names) / max(found.design_effect, 1.0)
    families = (
        f"{len(names)} models carry as much information on the items as {effective:.1f} independent ones; largest "
        f"{'family found' if model_groups.group is None else 'group'} has {largest}"
    )
    return (
        above_limit("near_copies", found.largest, copies, limit=COPY_LIMIT, chance=chance[:, 0]),
        above_limit("families", found.design_effect, families, limit=None, chance=chance[:, 1]),
    )


def _rows(fitted: FittedResponses, model_groups: ModelGroups) -> tuple[FloatArray, FloatArray]:
    return fitted.residual[model_groups.models], (fitted.trials * fitted.variance)[model_groups.models]
