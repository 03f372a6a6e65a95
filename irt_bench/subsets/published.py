"""The share lam' of the weighted score in gp-IRT as published (Maia Polo et al. 2024, arXiv 2402.14992).

lam' = b^2 / (b^2 + v / n), with v / (4 n) for anchors; b is the mean absolute error on odd items with ability from the
even ones, of models held out, and v the mean variance of a model's answers over items.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from irt_bench.arrays import FloatArray
from irt_bench.responses.counts import ResponseCounts
from irt_bench.subsets.basis import SelectionBasis
from irt_bench.subsets.instrument import interpolate, make_instrument, most_likely
from irt_bench.subsets.shares import full_scores

ANCHOR_METHODS: Final = ("anchors", "anchors-irt")
ANCHOR_FACTOR: Final = 4  # tinyBenchmarks takes anchors to have a fourth of a random subset's variance


def published_share(error: float, shares: FloatArray, method: str, size: int) -> float:
    """Return lam' for `size` items, from b and the calibration models' shares of right answers, (model, item)."""
    factor = ANCHOR_FACTOR if method in ANCHOR_METHODS else 1
    return error**2 / (error**2 + float(shares.var(axis=1).mean()) / (factor * size))


def odd_errors(basis: SelectionBasis, held_out: ResponseCounts) -> FloatArray:
    """Mean absolute errors behind b, one a held-out model."""
    items = np.arange(basis.counts.n_items)
    even = basis.select(items[::2])
    instrument = make_instrument(basis, even, np.full(len(even.items), 1 / len(even.items)))
    ability = most_likely(instrument, held_out.take(items=items[::2]))[:, None]
    predicted = interpolate(instrument.unseen[None], instrument.nodes, ability)[:, 0] / basis.target[1::2].sum()
    truth = full_scores(held_out.take(items=items[1::2]), basis.target[1::2])
    return np.asarray(np.abs(predicted - truth)[~np.isnan(truth)])
