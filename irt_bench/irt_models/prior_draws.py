"""Draw the parameters of an IRT model from its priors, with some of them or of their hyperparameters given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from irt_bench import names
from irt_bench.arrays import FloatArray
from irt_bench.errors import ModelError, unknown_choice
from irt_bench.irt_models.base import Beta, Given, HalfNormal, Normal, Site
from irt_bench.irt_models.logistic import LOG_DISCRIMINATION, Logistic

HYPERPARAMETERS: Final[Mapping[str, float]] = {
    "difficulty_mean": 0.0,
    "difficulty_sd": 1.2,  # most items between 3% and 97% right at average ability
    "log_discrimination_mean": 0.0,
    "log_discrimination_sd": 0.4,  # 90% of slopes in [0.5, 1.9]
    LOG_DISCRIMINATION: 0.0,  # the 1PL's one slope: exp(0) = 1
}


def draw_parameters(
    irt_model: Logistic,
    sizes: Mapping[str, int],
    rng: np.random.Generator,
    given: Mapping[str, npt.ArrayLike],
    hyperparameters: Mapping[str, float],
) -> dict[str, Any]:
    """Ability, item parameters and hyperparameters: all sites are drawn, then those given take their place."""
    arrays = {name: _given(name, value, irt_model, sizes) for name, value in given.items()}
    shared = [site.name for site in irt_model.sites() if site.dim is None]
    for name in hyperparameters:
        if name not in {*shared, *HYPERPARAMETERS}:
            raise ModelError(unknown_choice("hyperparameter", name, shared))
    fixed = {**arrays, **{name: np.float64(value) for name, value in hyperparameters.items() if name in shared}}
    values: dict[str, Any] = irt_model.known_parameters(sizes[names.ITEM])
    for site, stream in zip(irt_model.sites(), rng.spawn(len(irt_model.sites())), strict=True):
        drawn = _draw(site, values, sizes, stream)
        values[site.name] = fixed.get(site.name, drawn)
    found = {names.ABILITY: values[names.ABILITY], **irt_model.item_parameters(values, np.exp), **arrays}
    _check_asymptotes(found)
    return found | {name: values[name] for name in shared if not any(parameter in name for parameter in arrays)}


def _given(name: str, value: npt.ArrayLike, irt_model: Logistic, sizes: Mapping[str, int]) -> FloatArray:
    if name not in irt_model.dims:
        raise ModelError(unknown_choice(f"parameter of the {irt_model.name} model", name, irt_model.dims))
    array = np.array(value, dtype=np.float64)
    size = sizes[irt_model.dims[name]]
    if array.shape not in ((), (size,)) or not np.isfinite(array).all():
        raise ModelError(
            f"{name} has shape {array.shape}{'' if np.isfinite(array).all() else ' and values that are not finite'}; "
            f"one finite number, or {size} of them, one for each {irt_model.dims[name]}, are needed."
        )
    return np.broadcast_to(array, (size,)).copy()


def _check_asymptotes(values: Mapping[str, Any]) -> None:
    lower, upper = values.get(names.GUESSING, 0.0), values.get(names.UPPER_ASYMPTOTE, 1.0)
    if not (np.all(lower >= 0) and np.all(lower < upper) and np.all(upper <= 1)):
        raise ModelError("asymptotes must satisfy 0 <= guessing < upper_asymptote <= 1 in every item.")


def _draw(site: Site, values: Mapping[str, Any], sizes: Mapping[str, int], rng: np.random.Generator) -> Any:
    size = None if site.dim is None else sizes[site.dim]
    match site.prior:
        case Normal(loc=loc, scale=scale):
            return rng.normal(loc, scale, size)
        case HalfNormal(scale=scale):
            return np.abs(rng.normal(0.0, scale, size))
        case Beta(successes=successes, failures=failures):
            return rng.beta(successes, failures, size)
        case Given(mean=mean, sd=sd):
            return rng.normal(values[mean], values[sd], size)
