"""Sweeps over all responses, compiled by numba.

The logistic function is a rational function fitted by reweighted least squares: its absolute error stays below 3e-7 in
float32, and it vectorises, which the exponential of the C library does not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import get_num_threads, njit, prange, set_num_threads
from numba.core import event
from numpy.polynomial import chebyshev

from irt_bench.workers import report

CLIP = np.float32(18.0)  # |log-odds| beyond which sigmoid is 0 or 1 to float32
# sigmoid(z) - 1/2 = s P(s^2) / Q(s^2), s = z / 18.
P0, P1, P2, P3, P4, P5 = (
    np.float32(x) for x in (4.499998865525082, 47.06053492913845, 85.98313054281888, 21.99344268902145,
                            -2.439281259693793, 0.27982707585360506)
)  # fmt: skip
Q1, Q2, Q3 = (np.float32(x) for x in (37.45781858576415, 155.6755705040514, 120.62191438569928))
ZERO, HALF, ONE, TINY, INV_CLIP = np.float32(0), np.float32(0.5), np.float32(1), np.float32(1e-7), np.float32(1 / 18)
OUTER, INNER = np.float32(1 / 6), np.float32(2 / 3)  # weights of the three-point Gauss-Hermite rule
# log(q) on [1/2, 1], a polynomial in 4 q - 3 through Chebyshev points: its error stays below 2e-8.
L0, L1, L2, L3, L4, L5, L6, L7, L8, L9 = (
    np.float32(x) for x in chebyshev.cheb2poly(
        chebyshev.chebfit(chebyshev.chebpts1(10), np.log((chebyshev.chebpts1(10) + 3) / 4), 9)
    )
)  # fmt: skip
MAX_LOGIT, SAME_GAP = 700.0, 1e-9  # above it the exponential overflows; gaps of nodes that differ by rounding
THREE, FOUR, HIGHEST = np.float32(3), np.float32(4), np.float32(30)  # the last in log-odds
TILE, STEPS = 16, 256  # rows whose tables stay in the processor's first cache; steps of a table
WIDTH, MIN_ROWS, MAX_BLOCKS = 2_048, 64, 64  # columns in the first cache; rows of a block, and blocks
NAN_SAFE = {"reassoc", "contract", "nsz", "arcp"}  # fast, but what is not a number stays so

_MAX_THREADS = get_num_threads()  # as many as numba may ever use


class _Compiling(event.Listener):
    """Reports that a loop is compiled, which takes seconds and is kept on disk for the next time."""

    def on_start(self, event: Any) -> None:
        report("compiling, the first time only")

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Compiling())


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a loop to be compiled, once for all processes; anew in each where numba can write its files nowhere."""

    def decorate(loop: Callable[..., Any]) -> Any:
        try:
            return njit(cache=True, **options)(loop)
        except RuntimeError:  # a read-only installation without a home, as in a container
            return njit(**options)(loop)

    return decorate


def use_threads(threads: int) -> None:
    """Let compiled loops use so many threads, as far as there are any."""
    set_num_threads(min(threads, _MAX_THREADS))


class NumbaCells:
    """Responses by model, not copied; and by item, where sums of curves over models are asked for."""

    dtype = np.float32

    def __init__(self, correct: npt.NDArray[Any], trials: npt.NDArray[Any], *, threads: int) -> None:
        self._threads = threads
        self._trials, self._right_by_model = trials, _read_only(correct)

    @cached_property
    def _trials_by_model(self) -> npt.NDArray[Any]:
        return _read_only(self._trials)

    @cached_property
    def _by_item(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        return _read_only(self._right_by_model.T), _read_only(self._trials.T)

    def over_items(self, *state: Any) -> Any:
        """Sum over items, (2, model)."""
        use_threads(self._threads)
        return sum_over_items(self._right_by_model, self._trials_by_model, *state)

    def over_models(self, *state: Any) -> Any:
        """Sum over models, (5, item)."""
        use_threads(self._threads)
        return sum_over_models(*self._by_item, *state)

    def right_by_model(self, weights: npt.NDArray[np.float64]) -> Any:
        """Sum right answers over items, weighted, (model,)."""
        use_threads(self._threads)
        return weigh_rows(self._right_by_model, weights)

    def right_by_item(self, weights: npt.NDArray[np.float64]) -> Any:
        """Sum right answers over models, weighted, (item,)."""
        use_threads(self._threads)
        return weigh_columns(self._right_by_model, weights)

    def curves(self, nodes: Any, slope: Any, intercept: Any) -> Any:
        """Logistic curves at abilities, (node, item)."""
        use_threads(self._threads)
        return curves_at(nodes, slope, intercept)


def _read_only(cells: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Lay out by rows, copied only where that is needed; loops are compiled for arrays that nobody writes to."""
    found = np.ascontiguousarray(cells).view()
    found.flags.writeable = False
    return found


@njit(inline="always", fastmath=True)
def _sigmoid(z: Any) -> Any:
    s = min(max(z, -CLIP), CLIP) * INV_CLIP
    u = s * s
    numerator = ((((P5 * u + P4) * u + P3) * u + P2) * u + P1) * u + P0
    denominator = ((Q3 * u + Q2) * u + Q1) * u + ONE
    return min(max(HALF + s * numerator / denominator, TINY), ONE - TINY)


@njit(inline="always", fastmath=True)
def _residual_and_weight(z: Any, right: Any, trials: Any, guessing: Any) -> Any:
    """Slope of the log-likelihood in the log-odds, and the expected information about them."""
    known = _sigmoid(z)
    if guessing is None:  # decided when compiled
        return right - trials * known, trials * (known - known * known)
    chance = guessing + (ONE - guessing) * known
    share = known / chance
    return (right - trials * chance) * share, trials * (ONE - chance) * share * known


@compiled(parallel=True, fastmath=True)
def weigh_rows(cells: Any, weights: Any) -> Any:
    """Multiply small integers, (row, column), by a vector."""
    n_rows, n_columns = cells.shape
    sums = np.empty(n_rows)
    for row in prange(n_rows):
        these, total = cells[row], 0.0
        for column in range(n_columns):
            total += these[column] * weights[column]
        sums[row] = total
    return sums


@compiled(parallel=True, fastmath=True)
def weigh_columns(cells: Any, weights: Any) -> Any:
    """Multiply a vector by small integers, (row, column): blocks of rows apart, whatever the number of threads."""
    n_rows, n_columns = cells.shape
    size = max(MIN_ROWS, -(-n_rows // MAX_BLOCKS))
    n_blocks = -(-n_rows // size)
    parts = np.zeros((n_blocks, n_columns))
    for block in prange(n_blocks):
        first, last = block * size, min(block * size + size, n_rows)
        whole = last - (last - first) % 4
        for start in range(0, n_columns, WIDTH):
            these, own = cells[:, start : start + WIDTH], parts[block, start : start + WIDTH]
            for row in range(first, whole, 4):
                w0, w1, w2, w3 = weights[row], weights[row + 1], weights[row + 2], weights[row + 3]
                c0, c1, c2, c3 = these[row], these[row + 1], these[row + 2], these[row + 3]
                for j in range(own.size):
                    own[j] += w0 * c0[j] + w1 * c1[j] + w2 * c2[j] + w3 * c3[j]
            for row in range(whole, last):
                weight, each = weights[row], these[row]
                for j in range(own.size):
                    own[j] += weight * each[j]
    return parts.sum(axis=0)


@compiled(parallel=True, fastmath=True)
def curves_at(nodes: Any, slope: Any, intercept: Any) -> Any:
    """Logistic curves, (node, item)."""
    found = np.empty((nodes.size, slope.size), np.float32)
    for node in prange(nodes.size):
        for j in range(slope.size):
            found[node, j] = _sigmoid(slope[j] * nodes[node] + intercept[j])
    return found


@compiled(parallel=True, fastmath=True)
def sum_over_items(
    correct: Any, trials: Any, ability: Any, spread: Any, slope: Any, intercept: Any, guessing: Any
) -> Any:
    """Sum the expected slope and information of each ability, (2, model); cells are (model, item)."""
    n_models, n_items = correct.shape
    sums = np.empty((2, n_models), np.float32)
    for row in prange(n_models):
        right, asked = correct[row], trials[row]
        middle, low, high = ability[row], ability[row] - spread[row], ability[row] + spread[row]
        gradient, information = np.float32(0), np.float32(0)
        for j in range(n_items):
            a, d = slope[j], intercept[j]
            c = None if guessing is None else guessing[j]
            y, n = np.float32(right[j]), np.float32(asked[j])
            r0, w0 = _residual_and_weight(a * middle + d, y, n, c)
            r1, w1 = _residual_and_weight(a * low + d, y, n, c)
            r2, w2 = _residual_and_weight(a * high + d, y, n, c)
            gradient += a * (INNER * r0 + OUTER * (r1 + r2))
            information += a * a * (INNER * w0 + OUTER * (w1 + w2))
        sums[0, row], sums[1, row] = gradient, information
    return sums


@compiled(parallel=True, fastmath=True)
def sum_over_models(
    correct: Any, trials: Any, ability: Any, spread: Any, slope: Any, intercept: Any, guessing: Any
) -> Any:
    """Sum what item updates need, (5, item); cells are (item, model)."""
    n_items, n_models = correct.shape
    sums = np.empty((5, n_items), np.float32)
    for j in prange(n_items):
        right, asked = correct[j], trials[j]
        a, d = slope[j], intercept[j]
        c = None if guessing is None else guessing[j]
        by_intercept, by_slope = np.float32(0), np.float32(0)
        weight, weight_ability, weight_square = np.float32(0), np.float32(0), np.float32(0)
        for row in range(n_models):
            middle, reach = ability[row], spread[row]
            low, high = middle - reach, middle + reach
            y, n = np.float32(right[row]), np.float32(asked[row])
            r0, w0 = _residual_and_weight(a * middle + d, y, n, c)
            r1, w1 = _residual_and_weight(a * low + d, y, n, c)
            r2, w2 = _residual_and_weight(a * high + d, y, n, c)
            r0, w0 = r0 * INNER, w0 * INNER
            r1, w1, r2, w2 = r1 * OUTER, w1 * OUTER, r2 * OUTER, w2 * OUTER
            by_intercept += r0 + r1 + r2
            by_slope += r0 * middle + r1 * low + r2 * high
            weight += w0 + w1 + w2
            weight_ability += w0 * middle + w1 * low + w2 * high
            weight_square += w0 * middle * middle + w1 * low * low + w2 * high * high
        sums[0, j], sums[1, j] = by_intercept, by_slope
        sums[2, j], sums[3, j], sums[4, j] = weight, weight_ability, weight_square
    return sums


@njit(inline="always", fastmath=NAN_SAFE)
def _log_likelihood_and_slope(z: Any, right: Any, trials: Any, guessing: Any) -> Any:
    """Log-likelihood of right answers among trials, and its slope, in the log-odds.

    Where the value is not used it costs nothing: compilers leave it out.
    """
    known = _sigmoid(z)
    z = min(max(z, -HIGHEST), HIGHEST)
    t = FOUR * max(known, ONE - known) - THREE
    log_larger = ((((((((L9 * t + L8) * t + L7) * t + L6) * t + L5) * t + L4) * t + L3) * t + L2) * t + L1) * t + L0
    missed = max(z, ZERO) - log_larger  # minus the log-probability of not knowing
    if guessing is None:  # decided when compiled
        return right * z - trials * missed, right - trials * known
    chance = guessing + (ONE - guessing) * known
    value = right * np.log(chance) + (trials - right) * (np.log(ONE - guessing) - missed)
    return value, (right - trials * chance) * known / chance


@compiled(fastmath=NAN_SAFE, nogil=True)
def log_likelihood_of_cells(log_odds: Any, right: Any, trials: Any, value: Any) -> None:
    """Replace log-odds, (draw, row, column), by slopes of the log-likelihood, itself written to `value` unless None."""
    n_draws, n_rows, n_columns = log_odds.shape
    for draw in range(n_draws):
        for row in range(n_rows):
            z, y, n = log_odds[draw, row], right[row], trials[row]
            for j in range(n_columns):
                each, residual = _log_likelihood_and_slope(z[j], y[j], n[j], None)
                if value is not None:  # decided when compiled
                    value[draw, row, j] = each
                z[j] = residual


@compiled(parallel=True, fastmath=NAN_SAFE)
def log_likelihood_along_items(
    correct: Any, trials: Any, ability: Any, slope: Any, intercept: Any, guessing: Any, with_value: Any
) -> Any:
    """Log-likelihood (left out: 0) of models and of items, and its slopes; cells are (model, item).

    Slopes in the ability, (2, draw, model) with the log-likelihood, and in intercept and slope, (3, draw, item).
    """
    (n_draws, n_models), n_items = ability.shape, correct.shape[1]
    by_model, by_item = np.empty((2, n_draws, n_models), np.float32), np.zeros((3, n_draws, n_items), np.float32)
    for draw in prange(n_draws):
        a, d = slope[draw], intercept[draw]
        value, by_intercept, by_slope = by_item[0, draw], by_item[1, draw], by_item[2, draw]
        for row in range(n_models):
            right, asked, theta = correct[row], trials[row], ability[draw, row]
            total, pull = ZERO, ZERO
            for j in range(n_items):
                c = None if guessing is None else guessing[j]
                each, residual = _log_likelihood_and_slope(a[j] * theta + d[j], right[j], asked[j], c)
                if with_value is not None:  # decided when compiled
                    total += each
                    value[j] += each
                pull += a[j] * residual
                by_intercept[j] += residual
                by_slope[j] += residual * theta
            by_model[0, draw, row], by_model[1, draw, row] = total, pull
    return by_model, by_item


@compiled(parallel=True, fastmath=NAN_SAFE)
def log_likelihood_along_models(
    correct: Any, trials: Any, ability: Any, slope: Any, intercept: Any, guessing: Any, with_value: Any
) -> Any:
    """Give the same where models are more; cells are (item, model)."""
    (n_draws, n_models), n_items = ability.shape, correct.shape[0]
    by_model, by_item = np.zeros((2, n_draws, n_models), np.float32), np.empty((3, n_draws, n_items), np.float32)
    for draw in prange(n_draws):
        theta, value, pull = ability[draw], by_model[0, draw], by_model[1, draw]
        for j in range(n_items):
            right, asked, a, d = correct[j], trials[j], slope[draw, j], intercept[draw, j]
            c = None if guessing is None else guessing[j]
            total, by_intercept, by_slope = ZERO, ZERO, ZERO
            for row in range(n_models):
                each, residual = _log_likelihood_and_slope(a * theta[row] + d, right[row], asked[row], c)
                if with_value is not None:
                    total += each
                    value[row] += each
                pull[row] += a * residual
                by_intercept += residual
                by_slope += residual * theta[row]
            by_item[0, draw, j], by_item[1, draw, j], by_item[2, draw, j] = total, by_intercept, by_slope
    return by_model, by_item


@compiled(fastmath=NAN_SAFE, nogil=True)
def add_curves(
    difficulty: Any, discrimination: Any, guessing: Any, height: Any, weights: Any, nodes: Any, chance: Any, total: Any
) -> None:
    """Add chances of right answers: over draws to `chance`, (item, node), and over items to `total`, (node, draw).

    Parameters of items are (item, draw); `height` is the upper asymptote less guessing. From node to node the odds of a
    wrong answer change by a factor: exponentials are needed only where the gap between nodes changes.
    """
    n_items, n_draws = difficulty.shape
    odds, factor = np.empty(n_draws), np.empty(n_draws)
    reach = max(abs(nodes[0]), abs(nodes[-1]))
    for item in range(n_items):
        b, a, c, h = difficulty[item], discrimination[item], guessing[item], height[item]
        weight, curve, gap = weights[item], chance[item], 0.0
        far = False  # odds that overflow would stay infinite
        for draw in range(n_draws):
            far |= abs(a[draw]) * (abs(b[draw]) + reach) > MAX_LOGIT
        for node in range(nodes.size):
            if far or node == 0:
                for draw in range(n_draws):
                    odds[draw] = np.exp(min(a[draw] * (b[draw] - nodes[node]), MAX_LOGIT))
            else:
                if abs(nodes[node] - nodes[node - 1] - gap) > SAME_GAP:
                    gap = nodes[node] - nodes[node - 1]
                    for draw in range(n_draws):
                        factor[draw] = np.exp(-a[draw] * gap)
                for draw in range(n_draws):
                    odds[draw] *= factor[draw]
            own, summed = total[node], 0.0
            for draw in range(n_draws):
                right = c[draw] + h[draw] / (1.0 + odds[draw])
                own[draw] += weight * right
                summed += right
            curve[node] += summed


@compiled(fastmath=NAN_SAFE, nogil=True)
def nearest_row(distances: Any, rows: Any) -> Any:
    """Which of some rows of a table, (row, column), has the smallest entry in each column, the first of several."""
    least, found = distances[rows[0]].copy(), np.zeros(distances.shape[1], np.int64)
    for place in range(1, rows.size):
        own = distances[rows[place]]
        for column in range(own.size):
            less = own[column] < least[column]
            least[column] = own[column] if less else least[column]
            found[column] = place if less else found[column]
    return found


@compiled(parallel=True, fastmath=True)
def invert_cells(weights: Any, pattern: Any, uniform: Any, start: Any, gap: Any, found: Any) -> None:
    """Invert cumulative weights of cells, (pattern, cell), at uniform numbers, (row, draw).

    Places, from `start` half a `gap` into the first cell, go to `found`, (draw, row). A table says in which cell to
    begin to look, and some rows at a time keep what is written together.
    """
    n_cells, (n_rows, n_draws) = weights.shape[1], uniform.shape
    for tile in prange(-(-n_rows // TILE)):
        first = tile * TILE
        rows = min(TILE, n_rows - first)
        table = np.empty((TILE, STEPS), np.int32)
        below, rate = np.empty((TILE, n_cells + 1)), np.empty((TILE, n_cells))
        for row in range(rows):
            own, total, cell = weights[pattern[first + row]], 0.0, 0
            for at in range(n_cells):
                total += own[at]
            below[row, 0] = 0.0
            for at in range(n_cells):
                below[row, at + 1] = below[row, at] + own[at] / total
                rate[row, at] = gap * total / max(own[at], 1e-30)
            below[row, n_cells] = 2.0  # the search ends here
            for at in range(STEPS):
                while below[row, cell + 1] * STEPS <= at:
                    cell += 1
                table[row, at] = cell
        for draw in range(n_draws):
            for row in range(rows):
                share = uniform[first + row, draw]
                cell = table[row, int(share * STEPS)]
                while below[row, cell + 1] <= share:
                    cell += 1
                within = min((share - below[row, cell]) * rate[row, cell], gap)
                found[draw, first + row] = start + gap * (cell - 0.5) + within
