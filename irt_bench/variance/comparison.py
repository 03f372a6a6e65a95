"""Two benchmarks, framings or measures on the same seeds: which one's seed sd is smaller, and how sure is that.

The paper's section 3.3 asks it of multiple-choice against cloze framings of one benchmark. The scores of a seed in the
two are correlated, so everything here is paired by run, seed and step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from irt_bench.arrays import FloatArray
from irt_bench.variance.moments import without_rounding
from irt_bench.variance.paired_tests import VarianceTest, half_width, joint_bootstrap, leave_one_out, pitman_morgan
from irt_bench.variance.pairing import paired_runs
from irt_bench.variance.scores import RunScores

N_BOOTSTRAP: Final = 1000
UNDEFINED: Final = "undefined"

Verdict = Literal["lower", "higher", "no difference shown", "undefined"]


@dataclass(frozen=True)
class VarianceComparison:
    """The seed variance of a against b, and their signal-to-noise ratios.

    Parameters
    ----------
    ratio, ratio_q05, ratio_q95 : float
        E of a over E of b, and its 90% interval for repeating the training: whole seeds left out one by one.
    bootstrap_q05, bootstrap_q95 : float
        Percentile interval from resampling seeds and items together, steps kept together.
    test : VarianceTest
        At the last step, pooled within runs.
    snr_a, snr_b, snr_ratio, snr_ratio_q05, snr_ratio_q95 : float
        |mean| over sd at the last step, pooled within runs, and the ratio of a to b.
    verdict, snr_verdict : {"lower", "higher", "no difference shown", "undefined"}
        Of a against b, from the 90% intervals; undefined where there are none, as where one of the two has the same
        score for every seed.
    n_runs, n_seeds, n_steps, n_items_a, n_items_b, n_matched : int
        What was compared; items matched by label, 0 where they do not match and the item sets are taken whole.
    """

    a: str
    b: str
    n_runs: int
    n_seeds: int
    n_steps: int
    n_items_a: int
    n_items_b: int
    n_matched: int
    seed_sd_a: float
    seed_sd_b: float
    ratio: float
    ratio_q05: float
    ratio_q95: float
    bootstrap_q05: float
    bootstrap_q95: float
    test: VarianceTest
    snr_a: float
    snr_b: float
    snr_ratio: float
    snr_ratio_q05: float
    snr_ratio_q95: float
    verdict: Verdict
    snr_verdict: Verdict

    def row(self) -> dict[str, object]:
        """Plain values for a table."""
        own = {name: value for name, value in vars(self).items() if name != "test"}
        return own | {"pitman_morgan_t": self.test.t, "pitman_morgan_p": self.test.p}


def compare_variance(
    a: Sequence[RunScores],
    b: Sequence[RunScores],
    *,
    labels: tuple[str, str],
    seed: int = 0,
    n_bootstrap: int = N_BOOTSTRAP,
) -> VarianceComparison:
    """Compare the seed variance of two sets of scores of the same runs and seeds.

    Parameters
    ----------
    a, b : sequences of RunScores
        Runs are matched by name, seeds and steps by label; items by label where any match.
    labels : pair of str
        Names of a and b.
    seed : int
        Of the bootstrap.
    n_bootstrap : int
        Resamples of seeds and items.

    Raises
    ------
    AnalysisError
        If no run has three seeds in common, or cells are missing beyond whole items.
    """
    matched = bool(len(a[0].items.intersection(b[0].items)))
    pairs = paired_runs(a, b, matched=matched)
    x, y = ([run.scores() for run in side] for side in zip(*pairs, strict=True))
    ratio = _log_ratio(x, y)
    se, freedom = leave_one_out(x, y, _log_ratio)
    half = half_width(se, freedom)
    snr = _log_snr_ratio(x, y)
    snr_se, _ = leave_one_out(x, y, _log_snr_ratio)
    snr_half = half_width(snr_se, freedom)
    low, high = np.nan, np.nan
    if np.isfinite(ratio):
        low, high = joint_bootstrap(pairs, np.random.default_rng(seed), n_bootstrap, matched=matched)
    return VarianceComparison(
        a=labels[0],
        b=labels[1],
        n_runs=len(pairs),
        n_seeds=sum(len(scores) for scores in x),
        n_steps=max(scores.shape[1] for scores in x),
        n_items_a=pairs[0][0].n_items,
        n_items_b=pairs[0][1].n_items,
        n_matched=pairs[0][0].n_items if matched else 0,
        seed_sd_a=_mean_sd(x),
        seed_sd_b=_mean_sd(y),
        ratio=float(np.exp(ratio)),
        ratio_q05=float(np.exp(ratio - half)),
        ratio_q95=float(np.exp(ratio + half)),
        bootstrap_q05=low,
        bootstrap_q95=high,
        test=pitman_morgan([scores[:, -1] for scores in x], [scores[:, -1] for scores in y]),
        snr_a=_snr(x),
        snr_b=_snr(y),
        snr_ratio=float(np.exp(snr)),
        snr_ratio_q05=float(np.exp(snr - snr_half)),
        snr_ratio_q95=float(np.exp(snr + snr_half)),
        verdict=_verdict(ratio, half),
        snr_verdict=_verdict(snr, snr_half),
    )


def _mean_sd(scores: Sequence[FloatArray]) -> float:
    """E pooled over runs: root mean square over runs, weight S - 1, of the mean sd over steps."""
    weight = np.array([len(each) - 1 for each in scores], dtype=np.float64)
    e = np.array([_sd(each).mean() for each in scores])
    return float(np.sqrt((weight * e**2).sum() / weight.sum()))


def _sd(scores: FloatArray) -> FloatArray:
    return np.sqrt(without_rounding(scores.var(axis=0, ddof=1), scores.mean(axis=0)))


def _log_ratio(x: Sequence[FloatArray], y: Sequence[FloatArray]) -> float:
    return _log(_mean_sd(x)) - _log(_mean_sd(y))


def _snr(scores: Sequence[FloatArray]) -> float:
    mean = abs(float(np.mean([each[:, -1].mean() for each in scores])))
    sd = _mean_sd([each[:, -1:] for each in scores])
    return mean / sd if sd > 0 else float("nan")


def _log_snr_ratio(x: Sequence[FloatArray], y: Sequence[FloatArray]) -> float:
    return _log(_snr(x)) - _log(_snr(y))


def _log(value: float) -> float:
    return float(np.log(value)) if value > 0 else float("nan")


def _verdict(log_ratio: float, half: float) -> Verdict:
    if not np.isfinite(log_ratio) or not np.isfinite(half):
        return UNDEFINED
    if log_ratio + half < 0:
        return "lower"
    return "higher" if log_ratio - half > 0 else "no difference shown"
