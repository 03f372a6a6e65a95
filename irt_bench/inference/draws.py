"""What every method hands over: values of the sites, chain by chain, before they get their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

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
