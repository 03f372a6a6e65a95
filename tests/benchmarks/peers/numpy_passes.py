"""The yardstick: plain numpy passes over the matrix for the log-likelihood and all its gradients, float64, in blocks.

Option ``passes`` (40): ``fit_seconds`` and ``cpu_seconds`` are for so many, estimated from the few that are run.
"""

import time

import numpy as np
from common import serve

CELLS = 2**17  # of a block: 1 MB in float64, so that intermediate arrays stay in cache
PASSES_RUN = 5


def prepare(responses, options):
    rng = np.random.default_rng(0)
    n_models, n_items = responses.shape
    return responses, rng.normal(size=n_models), rng.normal(size=n_items), np.exp(0.3 * rng.normal(size=n_items))


def gradient(responses, ability, difficulty, discrimination):
    """Log-likelihood and gradients in ability, difficulty and discrimination."""
    n_models, n_items = responses.shape
    rows = max(1, CELLS // n_items)
    total, by_ability = 0.0, np.empty(n_models)
    by_difficulty, by_discrimination = np.zeros(n_items), np.zeros(n_items)
    for first in range(0, n_models, rows):
        cells, here = responses[first : first + rows], ability[first : first + rows]
        log_odds = discrimination * (here[:, None] - difficulty)
        probability = 1 / (1 + np.exp(-log_odds))
        asked = cells >= 0
        residual = np.where(asked, cells - probability, 0.0)
        total += float(
            np.log(np.where(cells > 0, probability, 1 - probability), where=asked, out=np.zeros_like(residual)).sum()
        )
        by_ability[first : first + rows] = residual @ discrimination
        by_difficulty += residual.sum(axis=0)
        by_discrimination += here @ residual
    by_discrimination -= difficulty * by_difficulty
    return total, by_ability, -discrimination * by_difficulty, by_discrimination


def fit(prepared, options):
    seconds = []
    for _ in range(PASSES_RUN):
        start = time.perf_counter(), time.process_time()
        gradient(*prepared)
        seconds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return [min(kind) for kind in zip(*seconds, strict=True)]


def export(seconds, prepared, options):
    wall, cpu = (options["passes"] * each for each in seconds)
    return {}, {"fit_seconds": wall, "cpu_seconds": cpu}


if __name__ == "__main__":
    serve(prepare, fit, export, ("numpy",), warm_up={})
