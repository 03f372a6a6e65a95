"""Are ranks uniform? Simultaneous bands for their empirical distribution (Säilynoja, Bürkner & Vehtari 2022).

With N ranks out of 0, ..., L the empirical distribution at z_i = i / (L + 1), i = 1, ..., L, is binomial(N, z_i) / N if
ranks are uniform. Pointwise bands of probability 1 - gamma are widened until all points together lie within them with
the probability wanted; gamma is found by simulation (section 2.2 there, doi:10.1007/s11222-022-10090-6).
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import stats

SIMULATIONS = 4_000
BAND = 0.95  # of all points together


class Uniformity(NamedTuple):
    """What ranks say of draws."""

    p_value: float  # of uniform ranks, by the largest excursion
    mean: float  # of (rank + 1/2) / (L + 1): below 1/2, draws are too high
    spread: float  # variance of ranks over that of uniform ones: above 1, draws are too narrow
    z: np.ndarray
    difference: np.ndarray  # empirical minus uniform distribution at z


def uniformity(ranks: np.ndarray, n_draws: int) -> Uniformity:
    """Test whether ranks of the truth among `n_draws` draws are uniform on 0, ..., n_draws."""
    ranks = np.asarray(ranks)
    z = np.arange(1, n_draws + 1) / (n_draws + 1)
    counts = _counts(ranks[None], n_draws)
    usual = _null(len(ranks), n_draws)
    p_value = (1 + (usual <= _gamma(counts, len(ranks), z)[0] + 1e-12).sum()) / (1 + len(usual))
    scaled = (ranks + 0.5) / (n_draws + 1)
    spread = scaled.var(ddof=1) / ((1 - 1 / (n_draws + 1) ** 2) / 12)
    return Uniformity(float(p_value), float(scaled.mean()), float(spread), z, counts[0] / len(ranks) - z)


def simultaneous_band(n_ranks: int, n_draws: int, probability: float = BAND) -> tuple[np.ndarray, np.ndarray]:
    """Limits of the difference between the empirical and the uniform distribution at each z."""
    z = np.arange(1, n_draws + 1) / (n_draws + 1)
    gamma = np.quantile(_null(n_ranks, n_draws), 1 - probability)
    low, high = (stats.binom.ppf(level, n_ranks, z) for level in (gamma / 2, 1 - gamma / 2))
    return low / n_ranks - z, high / n_ranks - z


@lru_cache(maxsize=64)
def _null(n_ranks: int, n_draws: int) -> np.ndarray:
    """Smallest pointwise tail probability, doubled, of uniform ranks: many times."""
    rng = np.random.default_rng([n_ranks, n_draws])
    z = np.arange(1, n_draws + 1) / (n_draws + 1)
    return _gamma(_counts(rng.integers(0, n_draws + 1, (SIMULATIONS, n_ranks)), n_draws), n_ranks, z)


def _counts(ranks: np.ndarray, n_draws: int) -> np.ndarray:
    """Ranks below each i = 1, ..., n_draws, shape (set, i)."""
    rows = np.arange(len(ranks))[:, None] * (n_draws + 1)
    histogram = np.bincount((ranks + rows).ravel(), minlength=len(ranks) * (n_draws + 1))
    return np.cumsum(histogram.reshape(len(ranks), n_draws + 1), axis=1)[:, :-1]


def _gamma(counts: np.ndarray, n_ranks: int, z: np.ndarray) -> np.ndarray:
    table = stats.binom.cdf(np.arange(-1, n_ranks + 1)[:, None], n_ranks, z)  # of -1, 0, ..., n
    places = np.arange(len(z))
    below, up_to = table[counts, places], table[counts + 1, places]
    return 2 * np.minimum(up_to, 1 - below).min(axis=1)
