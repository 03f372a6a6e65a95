"""ItemBank: what an adaptive test knows of its items, with the uncertainty of their parameters integrated out."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from irt_bench.analysis.curves import chances, knowing
from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.arrays import FloatArray

NODES: Final = np.linspace(-6, 6, 241)  # 0.05 apart: the trapezoid rule is exact to 1e-6 for sds from 0.05 on
BLOCK_CELLS: Final = 1_000_000  # draws x items x nodes at once: 8 MB a temporary array
LEAST_ALIGNED: Final = 10  # items from which a shift and a stretch of the scale can be told


class ItemBank(NamedTuple):
    """What a test knows of the items, arrays of shape (item, node) but for the last."""

    right: FloatArray  # chance of a right answer, mean over draws of the item parameters
    log_right: FloatArray
    log_wrong: FloatArray
    tells: FloatArray  # Fisher information of one answer
    scale: FloatArray  # (node, node): where the mass of a node on the items' mean scale may lie on the true one


def item_bank(items: ItemParameters) -> ItemBank:
    """Tabulate curves and information of items, parameters known (item,) or as draws (draw, item).

    Notes
    -----
    What draws differ in has a part that all items share, a shift and a stretch of the ability scale (the calibration
    models are a sample of N(0, 1)), and a part of each item's own, about independent. The own parts are integrated out
    item by item: one answer is right with the mean over draws of its chance, and its information is P'^2 / (P (1 - P)).
    The shared part is put back on the posterior of ability, by `ItemBank.scale`.
    """
    drawn = items if items.difficulty.ndim == 2 else items.at(None)
    shift, stretch = _shared_scale(drawn)
    drawn = drawn._replace(
        difficulty=(drawn.difficulty - shift) / stretch, discrimination=drawn.discrimination * stretch
    )
    n_draws, n_items = drawn.difficulty.shape
    right, wrong, slope = (np.empty((n_items, len(NODES))) for _ in range(3))
    size = max(1, BLOCK_CELLS // (n_draws * len(NODES)))
    for block in (slice(start, start + size) for start in range(0, n_items, size)):
        part = drawn.at((slice(None), block, None))
        known, unknown = knowing(part, NODES)
        chance = chances(part, known, unknown)
        right[block], wrong[block] = (values.mean(axis=0) for values in chance)
        steepness = part.discrimination * (part.upper_asymptote - part.guessing)
        slope[block] = (steepness * known * unknown).mean(axis=0)
    spread = _moved_mass(shift, stretch) if n_draws > 1 else np.eye(len(NODES))
    return ItemBank(right, np.log(right), np.log(wrong), slope / right * (slope / wrong), spread)


def _shared_scale(drawn: ItemParameters) -> tuple[FloatArray, FloatArray]:
    """Shift and stretch of each draw's difficulties against their mean, shape (draw, 1), by weighted least squares."""
    mean, variance = drawn.difficulty.mean(axis=0), drawn.difficulty.var(axis=0)
    if len(drawn.difficulty) == 1 or len(mean) < LEAST_ALIGNED or not variance.all():
        return np.zeros((len(drawn.difficulty), 1)), np.ones((len(drawn.difficulty), 1))
    weight = (1 / variance) / (1 / variance).sum()
    centre = weight @ mean
    apart = mean - centre
    stretch = np.ones((len(drawn.difficulty), 1))
    if weight @ apart**2 > weight @ variance:  # else the difficulties are too much alike to tell a stretch by
        stretch = (drawn.difficulty @ (weight * apart) / (weight @ apart**2))[:, None]
    return (drawn.difficulty @ weight)[:, None] - stretch * centre, stretch


def _moved_mass(shift: FloatArray, stretch: FloatArray) -> FloatArray:
    """Mean over draws of where shift + stretch x node lies, each mass split between the two nodes beside it."""
    moved = np.clip((shift + stretch * NODES - NODES[0]) / (NODES[1] - NODES[0]), 0, len(NODES) - 1)
    below = np.minimum(moved.astype(np.intp), len(NODES) - 2)
    found, rows = np.zeros((len(NODES), len(NODES))), np.broadcast_to(np.arange(len(NODES)), below.shape)
    np.add.at(found, (rows, below), 1 - (moved - below))
    np.add.at(found, (rows, below + 1), moved - below)
    return found / len(shift)
