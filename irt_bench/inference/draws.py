"""What every method hands over, values of the sites, chain by chain, and how they get their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from irt_bench import names
from irt_bench.irt_models.logistic import Logistic
from irt_bench.responses.counts import ResponseCounts

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Draws:
    """Draws of the parameters of an IRT model.

    Parameters
    ----------
    sites : mapping
        Parameter → array of shape (chain, draw, ...).
    dims : mapping
        Parameter → names of the dimensions after (chain, draw): ``model``, ``item``, other plates of the program.
    sample_stats : mapping
        Per draw, shape (chain, draw): ArviZ's statistics of NUTS; per step, shape (step,): ``elbo`` of SVI.
    notes : mapping
        Plain values worth keeping: step sizes, number of steps, whether a stopping rule was met.
    """

    sites: Mapping[str, Array]
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sample_stats: Mapping[str, Array] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


def label_draws(draws: Draws, counts: ResponseCounts) -> xr.Dataset:
    """Name dimensions and coordinates: models and items by their labels, other plates by position."""
    labels: dict[str, Any] = {names.MODEL: counts.models.index, names.ITEM: counts.items.index}
    arrays: dict[str, Any] = {}
    for name, values in draws.sites.items():
        plates, extra = draws.dims[name], values.ndim - 2 - len(draws.dims[name])
        dims = (*plates, *(f"{name}_dim_{at}" for at in range(extra)))
        arrays[name] = (names.CHAIN, names.DRAW, *dims), values
    coordinates = {dim: np.asarray(index, dtype=str) for dim, index in labels.items()}
    n_chains, n_draws = draws.sites[names.ABILITY].shape[:2]
    return xr.Dataset(arrays, coords={names.CHAIN: np.arange(n_chains), names.DRAW: np.arange(n_draws), **coordinates})


def label_stats(stats: Mapping[str, Any]) -> xr.Dataset:
    """Name dimensions of what samplers and optimisers tell: by step, or by chain and draw."""
    per_step = {"elbo"}
    return xr.Dataset(
        {
            name: ((names.STEP,) if name in per_step else (names.CHAIN, names.DRAW), array)
            for name, array in stats.items()
        }
    )


def reported(irt_model: Logistic, sites: Mapping[str, Array], n_items: int) -> dict[str, Array]:
    """Add the item parameters of a logistic model on their own scales, as its program reports them."""
    spread = {name: array[..., None] if array.ndim == 2 else array for name, array in sites.items()}  # noqa: PLR2004
    known = irt_model.known_parameters(n_items)
    items = irt_model.item_parameters({**known, **spread}, np.exp)
    return {**sites, **items}
