"""How near estimates are to the truth: correlation, RMSE, slope and coverage, raw and after aligning the scale.

Only differences between abilities and difficulties, in units of their spread, meet the responses; location and scale
come from the prior. So everything is measured twice: as it is, and after the one shift and stretch
``ability → location + scale * ability`` that makes the regression of the true on the estimated abilities the identity
(difficulty likewise, discrimination divided by the scale). A calibrated posterior mean already has slope 1.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
PARAMETERS: Final = ("ability", "difficulty", "discrimination")
BOUNDS: Final = ("q05", "q95")


class ScoringContext(NamedTuple):
    """Location and scale that take estimates to the truth's scale."""

    location: float
    scale: float


def slope(truth: Array, estimate: Array) -> ScoringContext:
    """Intercept and slope of the regression of the truth on the estimate, over finite pairs."""
    good = np.isfinite(truth) & np.isfinite(estimate)
    if good.sum() < 2:
        return ScoringContext(np.nan, np.nan)
    x, y = estimate[good], truth[good]
    centred = x - x.mean()
    spread = centred @ centred
    value = centred @ y / spread if spread > 0 else np.nan
    return ScoringContext(float(y.mean() - value * x.mean()), float(value))


def aligned(estimates: Mapping[str, Array], scale: ScoringContext) -> dict[str, Array]:
    """Estimates and bounds shifted and stretched; keys are ``ability``, ``ability_q05``, ``difficulty`` and so on."""
    found = {}
    for name, value in estimates.items():
        if name.startswith("discrimination"):
            found[name] = value / scale.scale
        elif name.endswith("_sd"):
            found[name] = value * scale.scale
        else:
            found[name] = scale.location + scale.scale * value
    return found


def correlation(truth: Array, estimate: Array) -> float:
    """Pearson r over finite pairs; NaN without spread."""
    good = np.isfinite(truth) & np.isfinite(estimate)
    if good.sum() < 3 or np.ptp(truth[good]) == 0 or np.ptp(estimate[good]) == 0:
        return np.nan
    return float(np.corrcoef(truth[good], estimate[good])[0, 1])


def rmse(truth: Array, estimate: Array) -> float:
    """Root mean square error; NaN if any estimate is."""
    return float(np.sqrt(np.mean((truth - estimate) ** 2)))


def coverage(truth: Array, lower: Array, upper: Array) -> float:
    """Share of true values inside their intervals; an undefined bound does not cover."""
    return float(np.mean((lower <= truth) & (truth <= upper)))


def scores(truth: Mapping[str, Array], estimates: Mapping[str, Array]) -> dict[str, float]:
    """All measures of all parameters estimated, by name: ``r_ability``, ``aligned_rmse_difficulty`` and so on.

    Notes
    -----
    Discriminations are compared as logarithms. ``missing_ability`` counts estimates that are not finite.
    """
    found: dict[str, float] = {}
    versions = {"": estimates, "aligned_": aligned(estimates, slope(truth["ability"], estimates["ability"]))}
    for prefix, version in versions.items():
        for name in PARAMETERS:
            if name not in version or name not in truth:
                continue
            true, estimate = comparable(name, truth[name]), comparable(name, version[name])
            found[f"{prefix}rmse_{name}"] = rmse(true, estimate)
            bounds = [version.get(f"{name}_{bound}") for bound in BOUNDS]
            if all(bound is not None for bound in bounds):
                found[f"{prefix}coverage_{name}"] = coverage(truth[name], *bounds)
            if not prefix:
                found[f"r_{name}"] = correlation(true, estimate)
                found[f"slope_{name}"] = slope(true, estimate).scale
                found[f"missing_{name}"] = int((~np.isfinite(estimate)).sum())
    return found


def comparable(name: str, values: Array) -> Array:
    """Discriminations as logarithms (undefined where not positive), others as they are."""
    if name != "discrimination":
        return np.asarray(values, dtype=np.float64)
    return np.log(np.where(values > 0, values, np.nan))


def standardised(ability: Array, difficulty: Array, discrimination: Array) -> dict[str, Array]:
    """Put parameters on the scale on which the abilities have mean 0 and sd 1; models and items on the last axis.

    Applied to draws and truth alike, it leaves what the responses alone can tell: intervals of these are relative.
    """
    location = ability.mean(axis=-1, keepdims=True)
    scale = ability.std(axis=-1, keepdims=True)
    return {
        "ability": (ability - location) / scale,
        "difficulty": (difficulty - location) / scale,
        "discrimination": discrimination * scale,
    }
