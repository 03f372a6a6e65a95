"""Models whose answers go together beyond ability: near-copies and families, as residual correlations of rows."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from irt_bench.analysis.checks.answers import FittedAnswers
from irt_bench.analysis.checks.named import Check, Limit, above_limit, not_applicable
from irt_bench.arrays import FloatArray
from irt_bench.inference.dependence import LEAST_INFORMATION, NEAR_COPY, alikeness, find_families, near_copies

MOST_MODELS: Final = 1_200  # of which pairs are formed; a second for all replicates
COPY: Final = Limit(NEAR_COPY, "half of what ability leaves open in common (ours; copies with 95% same answers: .85)")


class Relatives(NamedTuple):
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


class Likeness(NamedTuple):
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


def relatives_of(models: pd.Index, groups: pd.Series | None, rng: np.random.Generator) -> Relatives:
    """Choose the models, all where they are few, and number their groups; a model of no group is one of its own."""
    chosen = np.arange(len(models))
    if len(models) > MOST_MODELS:
        chosen = np.sort(rng.choice(chosen, MOST_MODELS, replace=False))
    if groups is None:
        return Relatives(chosen, None)
    named = groups.reindex(models).iloc[chosen]
    codes = pd.factorize(named)[0]
    return Relatives(chosen, np.where(codes < 0, len(codes) + np.arange(len(codes)), codes))


def likeness(answers: FittedAnswers, relatives: Relatives) -> Likeness:
    """Correlate the residuals of models, and sum them within families.

    Notes
    -----
    Families are the named groups; else groups found in half of the items by average linkage and judged by the others
    (`irt_bench.inference.dependence.find_families`).
    """
    residual, weight = _rows(answers, relatives)
    correlation = alikeness(residual, weight).correlation
    known = np.isfinite(correlation)
    largest = float(correlation[known].max()) if known.any() else np.nan
    if relatives.group is None:
        return Likeness(largest, find_families(residual, weight).design_effect if known.any() else np.nan)
    within = (relatives.group[:, None] == relatives.group) & known
    effect = 1 + float(correlation[within].sum()) / len(relatives.group)
    return Likeness(largest, effect if within.any() else np.nan)


def dependence_checks(
    answers: FittedAnswers, relatives: Relatives, labels: pd.Index, chance: FloatArray
) -> tuple[Check, Check]:
    """Check that no model is a near-copy of another, and that families amount to no more than chance makes of them.

    Parameters
    ----------
    answers : FittedAnswers
        The responses.
    relatives : Relatives
        What is looked at.
    labels : pd.Index
        Of all models.
    chance : array of shape (replicate, 2)
        `likeness` of each replicate.

    Notes
    -----
    The design effect of families has no limit but chance. What it means for the items' intervals can be read off: of
    those that take models as independent, a 90% interval covers 87% at 1.2, 82% at 1.5, 76% at 2.
    """
    found = likeness(answers, relatives)
    if not np.isfinite(found.largest):
        reason = f"no two models were both asked items that leave {LEAST_INFORMATION:.0f} answers open"
        return not_applicable("near_copies", reason), not_applicable("families", reason)
    residual, weight = _rows(answers, relatives)
    alike, names = alikeness(residual, weight), labels[relatives.models].astype(str)
    first, second = divmod(int(np.nanargmax(alike.correlation)), len(names))
    n_copies = len(names) - len(np.unique(near_copies(alike)))
    copies = f"{n_copies} models are near-copies of others; most alike {names[first]} and {names[second]}"
    group = find_families(residual, weight).group if relatives.group is None else relatives.group
    places = np.flatnonzero(group == np.bincount(group).argmax())
    largest = f"{len(places)}: {', '.join(names[places[:3]])}" + ("..." if len(places) > 3 else "")
    effective = len(names) / max(found.design_effect, 1.0)
    families = (
        f"{len(names)} models tell as much of the items as {effective:.0f} independent ones; largest "
        f"{'family found, of' if relatives.group is None else 'group, of'} {largest}"
    )
    return (
        above_limit("near_copies", found.largest, copies, limit=COPY, chance=chance[:, 0]),
        above_limit("families", found.design_effect, families, limit=None, chance=chance[:, 1]),
    )


def _rows(answers: FittedAnswers, relatives: Relatives) -> tuple[FloatArray, FloatArray]:
    return answers.residual[relatives.models], (answers.trials * answers.variance)[relatives.models]
