"""What a study can find with its seeds: the smallest cut of the seed sd, at 80% power.

Against random subsets: the log seed sd of random subsets of one size has a spread over subsets, which a method has to
leave by the margin that Holm's correction asks. Against the full benchmark: the log ratio of two scores on the same
seeds, correlated as V(k) says, has a variance of (1 - rho^2) / freedom (Pitman, Morgan).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from irt_bench.names import BENCHMARK
from irt_bench.variance.detect import POWER, detectable_shift
from irt_bench.variance.study.collect import Collected
from irt_bench.variance.study.plan import LEVEL, compared
from irt_bench.variance.study.reading import WEIGHTED

FloatArray = npt.NDArray[np.float64]
Z_POWER: Final = float(stats.norm.ppf(POWER))


def detectable_random(log_sds: FloatArray, n_compared: int) -> float:
    """Ratio to random subsets that is found with 80% power: at most this share of their seed sd.

    Parameters
    ----------
    log_sds : array of shape (subset,)
        Log seed sds of random subsets.
    n_compared : int
        Methods, weights and estimators compared at this size, for Holm's correction.
    """
    critical = float(stats.norm.ppf(1 - LEVEL / 2 / max(n_compared, 1)))
    return float(np.exp(-(critical + Z_POWER) * log_sds.std(ddof=1)))


def detectable_full(correlation: float, freedom: float, n_compared: int) -> float:
    """Ratio to the full benchmark that is found with 80% power, by a cut; its inverse by a rise."""
    shift = detectable_shift(freedom, level=LEVEL / max(n_compared, 1))
    return float(np.exp(-shift * np.sqrt(max(1 - correlation**2, 0.0) / freedom)))


def detectable_table(found: Collected, plain: Mapping[int, FloatArray], estimators: Sequence[str]) -> pd.DataFrame:
    """One row a size: degrees of freedom, comparisons, V(k), and the ratios that could be found.

    ``plain`` are variances of plain means of random subsets by size, shape (subset, run).
    """
    freedom = np.array([each.freedom for each in found.full_variance[WEIGHTED]], dtype=np.float64)
    rows = []
    n_compared = compared(found.plan.recipes, estimators)
    for size, variance in plain.items():
        pooled = variance @ freedom / freedom.sum()
        own, full = (float(found.curve(k) @ freedom / freedom.sum()) for k in (size, found.plan.n_items))
        correlation = np.sqrt(np.clip(full / own, 0, 1)) if own > 0 else np.nan
        rows.append(
            {
                BENCHMARK: found.plan.benchmark,
                "size": size,
                "degrees_of_freedom": int(freedom.sum()),
                "compared": n_compared,
                "v_k_sd": float(np.sqrt(own)) if own >= 0 else np.nan,
                "seed_sd_full": float(np.sqrt(full)) if full >= 0 else np.nan,
                "detectable_ratio_random": detectable_random(0.5 * np.log(pooled[pooled > 0]), n_compared),
                "detectable_ratio_full": detectable_full(float(correlation), float(freedom.sum()), n_compared),
                "power": POWER,
            }
        )
    return pd.DataFrame(rows)
