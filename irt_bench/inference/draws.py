"""What every method hands over, values of the sites, chain by chain, and how they get their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from irt_bench import names
from irt_bench.irt_models.base import IRTModel
from irt_bench.responses.counts import ResponseCounts

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Draws:
    """Draws of the sites of an IRT model.

    Parameters
    ----------
    sites : mapping
        Site → array of shape (chain, draw) or (chain, draw, model or item).
    sample_stats : mapping
        Per draw, shape (chain, draw): ``energy`` and ``diverging`` of NUTS; per step, shape (step,): ``elbo`` of SVI.
    notes : mapping
        Plain values worth keeping: step sizes, number of steps, whether a stopping rule was met.
    """

    sites: Mapping[str, Array]
    sample_stats: Mapping[str, Array] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


def label_draws(irt_model: IRTModel, draws: Draws, counts: ResponseCounts) -> xr.Dataset:
    """Name dimensions and coordinates; report item parameters on their own scales."""
    scalars = {site.name: site.dim for site in irt_model.sites() if site.dim is None}
    spread = {name: array[..., None] if name in scalars else array for name, array in draws.sites.items()}
    known = irt_model.known_parameters(counts.n_items)
    parameters = {**draws.sites, **irt_model.item_parameters({**known, **spread}, np.exp)}
    wanted = {name: dim for name, dim in (scalars | irt_model.dims).items() if name != "log_discrimination"}
    labels = {names.MODEL: counts.models.index, names.ITEM: counts.items.index}
    arrays = {}
    for name, dim in wanted.items():
        dims = (names.CHAIN, names.DRAW, *([dim] if dim else []))
        arrays[name] = dims, np.asarray(parameters[name])
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
