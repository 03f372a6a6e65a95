"""Modes of abilities' posteriors given the items, with the spread that the curvature there says."""

from __future__ import annotations

import numpy as np

from irt_bench.analysis.ability_density import SCAN_SPACING, TINY_SLOPE, Cells, scan_posteriors
from irt_bench.analysis.curves import chances, knowing
from irt_bench.analysis.intervals import Z_LIMIT
from irt_bench.analysis.labelled_draws import ItemParameters
from irt_bench.arrays import FloatArray

MOST_STEPS = 60  # of Newton or bisection: an interval of 0.2 halved so often is below rounding
STEP_LIMIT = 1e-10
MODE_CELLS = 1_000_000  # models x items at once: 8 MB a temporary array


def find_modes(cells: Cells, items: ItemParameters) -> FloatArray:
    """Mode, sd by curvature and limits of each model's posterior, shape (4, model)."""
    scan, log_posterior = scan_posteriors(cells, items)
    start = scan[log_posterior.argmax(axis=1)]
    found, size = np.empty((2, len(start))), max(1, MODE_CELLS // max(len(items.difficulty), 1))
    for block in (slice(first, first + size) for first in range(0, len(start), size)):
        found[:, block] = _climb(Cells(cells.right[block], cells.trials[block]), items, start[block])
    mode, sd = found
    return np.stack([mode, sd, mode - Z_LIMIT * sd, mode + Z_LIMIT * sd])


def _climb(cells: Cells, items: ItemParameters, start: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Newton's method from `start`, in an interval that each slope narrows; mode and 1 / sqrt(curvature)."""
    at, low, high = start, start - SCAN_SPACING, start + SCAN_SPACING
    for _ in range(MOST_STEPS):
        by_ability, curvature = _derivatives(cells, items, at)
        low, high = np.where(by_ability > 0, at, low), np.where(by_ability > 0, high, at)
        newton = at - by_ability / np.where(curvature < 0, curvature, -TINY_SLOPE)
        kept = (curvature < 0) & (newton >= low) & (newton <= high)
        last, at = at, np.where(kept, newton, (low + high) / 2)
        if np.abs(at - last).max() < STEP_LIMIT:
            break
    return at, 1 / np.sqrt(-_derivatives(cells, items, at)[1])


def _derivatives(cells: Cells, items: ItemParameters, ability: FloatArray) -> tuple[FloatArray, FloatArray]:
    """First and second derivative of the log posterior, shape (model,).

    With P' = a (d - c) K (1 - K) and P'' = a (1 - 2 K) P', written in P' / P and P' / (1 - P), which stay below a.
    """
    known, unknown = knowing(items, ability[:, None])
    right, wrong = chances(items, known, unknown)
    slope = items.discrimination * (items.upper_asymptote - items.guessing) * known * unknown
    from_right, from_wrong = slope / right, slope / wrong
    n_wrong = cells.trials - cells.right
    first = cells.right * from_right - n_wrong * from_wrong
    second = items.discrimination * (unknown - known) * first - cells.right * from_right**2 - n_wrong * from_wrong**2
    return first.sum(axis=1) - ability, second.sum(axis=1) - 1
