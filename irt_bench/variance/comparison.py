"""Two benchmarks, framings or measures on the same seeds: which one's seed sd is smaller, and how sure is that.

The paper's section 3.3 asks it of multiple-choice against cloze framings of one benchmark. The scores of a seed in the
two are correlated, so everything here is paired by run, seed and step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from irt_bench.errors import AnalysisError
from irt_bench.names import INTERVAL
from irt_bench.variance.moments import FloatArray
from irt_bench.variance.scores import RunScores

N_BOOTSTRAP: Final = 1000
FEWEST_SEEDS: Final = 3  # for leaving one out

Statistic = Callable[[Sequence[FloatArray], Sequence[FloatArray]], float]
Verdict = Literal["lower", "higher", "no difference shown"]


class VarianceTest(NamedTuple):
    """Pitman-Morgan: correlation of sum and difference, with its t and p; ratio of the sds and its exact interval."""

    correlation: float
    t: float
    freedom: int
    p: float
    ratio: float
    lower: float
    upper: float


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
    verdict, snr_verdict : {"lower", "higher", "no difference shown"}
        Of a against b, from the 90% intervals.
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
    pairs = _paired(a, b, matched=matched)
    x, y = ([run.scores() for run in side] for side in zip(*pairs, strict=True))
    ratio = _log_ratio(x, y)
    se, freedom = leave_one_out(x, y, _log_ratio)
    half = float(stats.t.ppf(INTERVAL[1], freedom)) * se
    snr = _log_snr_ratio(x, y)
    snr_se, _ = leave_one_out(x, y, _log_snr_ratio)
    snr_half = float(stats.t.ppf(INTERVAL[1], freedom)) * snr_se
    low, high = _joint_bootstrap(pairs, np.random.default_rng(seed), n_bootstrap, matched=matched)
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


def leave_one_out(x: Sequence[FloatArray], y: Sequence[FloatArray], statistic: Statistic) -> tuple[float, int]:
    """Jackknife standard error over seeds within runs, whole seeds with all their steps, and its degrees of freedom.

    Notes
    -----
    sum over runs of (S - 1) / S times the sum of squared deviations. With Student t limits it covers 89 to 96% at a
    nominal 90% for 3 to 10 seeds, where a percentile bootstrap of 5 seeds covers 64% (Bayesian) or 84 to 89%
    (tests/variance/test_comparison.py).
    """
    variance, freedom = 0.0, 0
    for run, scores in enumerate(x):
        n = len(scores)
        without = np.array(
            [
                statistic(
                    [np.delete(s, drop, axis=0) if place == run else s for place, s in enumerate(x)],
                    [np.delete(s, drop, axis=0) if place == run else s for place, s in enumerate(y)],
                )
                for drop in range(n)
            ]
        )
        variance += (n - 1) / n * float(((without - without.mean()) ** 2).sum())
        freedom += n - 1
    return float(np.sqrt(variance)), freedom


def pitman_morgan(x: Sequence[FloatArray], y: Sequence[FloatArray]) -> VarianceTest:
    """Test whether two correlated variances are equal, pooled within runs.

    Parameters
    ----------
    x, y : sequences of arrays of shape (seed,)
        Paired scores, one array a run.

    Returns
    -------
    VarianceTest
        The interval of the ratio is the set of ratios that the test does not reject at 10%.

    References
    ----------
    .. [1] Pitman, A note on normal correlation, 1939, DOI 10.1093/biomet/31.1-2.9.
    .. [2] Morgan, A test for the significance of the difference between the two variances in a sample from a normal
       bivariate population, 1939, DOI 10.1093/biomet/31.1-2.13.
    """
    u, v = (np.concatenate([scores - scores.mean() for scores in side]) for side in (x, y))
    freedom = len(u) - len(x) - 1
    sxx, syy, sxy = float(u @ u), float(v @ v), float(u @ v)
    if freedom < 1 or sxx <= 0 or syy <= 0:
        return VarianceTest(np.nan, np.nan, max(freedom, 0), np.nan, np.nan, np.nan, np.nan)
    r = float(np.clip((sxx - syy) / np.sqrt(max((sxx + syy) ** 2 - 4 * sxy**2, 1e-300)), -1, 1))
    with np.errstate(divide="ignore"):
        t = float(r * np.sqrt(freedom / np.maximum(1 - r**2, 0.0)))
    p = float(2 * stats.t.sf(abs(t), freedom))
    # The ratio of variances f is kept where |r(f)| stays below its critical value: a quadratic in f.
    correlation = sxy / np.sqrt(sxx * syy)
    bound = 1 + 2 * (1 - correlation**2) * float(stats.t.ppf(INTERVAL[1], freedom)) ** 2 / freedom
    spread = bound + np.sqrt(bound**2 - 1)
    ratio = np.sqrt(sxx / syy)
    return VarianceTest(r, t, freedom, p, float(ratio), float(ratio / np.sqrt(spread)), float(ratio * np.sqrt(spread)))


def _paired(a: Sequence[RunScores], b: Sequence[RunScores], *, matched: bool) -> list[tuple[RunScores, RunScores]]:
    """Match runs by seeds, steps and, where any match, items; items with a missing cell are dropped."""
    others = {run.run: run for run in b}
    found = []
    for one in a:
        other = others.get(one.run)
        if other is None:
            continue
        seeds = [seed for seed in one.seeds if seed in other.seeds]
        steps = [step for step in one.steps if step in other.steps]
        if len(seeds) < FEWEST_SEEDS or not steps:
            continue
        items = one.items[one.items.isin(other.items)] if matched else None
        found.append(tuple(_aligned(run, seeds, steps, items) for run in (one, other)))
    kept = [_complete_items(*pair, matched=matched) for pair in found]
    if not kept:
        raise AnalysisError(
            f"no run has {FEWEST_SEEDS} seeds and a step in both; runs of the first: {[run.run for run in a][:5]}, of "
            f"the second: {[run.run for run in b][:5]}. Runs, seeds and steps must be named alike in both."
        )
    return kept


def _aligned(run: RunScores, seeds: list[str], steps: list[str], items: pd.Index | None) -> RunScores:
    rows, columns = pd.Index(run.seeds).get_indexer(pd.Index(seeds)), pd.Index(run.steps).get_indexer(pd.Index(steps))
    places = np.arange(run.n_items) if items is None else run.items.get_indexer(items)
    at = np.ix_(rows, columns, places)
    subtask = None if run.subtask is None else run.subtask.iloc[places]
    return replace(
        run, values=run.values[at], trials=run.trials[at], seeds=tuple(seeds), steps=tuple(steps),
        items=run.items[places], subtask=subtask, within=None if run.within is None else run.within[at],
    )  # fmt: skip


def _complete_items(one: RunScores, other: RunScores, *, matched: bool) -> tuple[RunScores, RunScores]:
    whole = [np.asarray(np.isfinite(run.values).all(axis=(0, 1))) for run in (one, other)]
    if matched:
        whole = [whole[0] & whole[1]] * 2
    for run, keep in zip((one, other), whole, strict=True):
        if keep.sum() < 2:
            raise AnalysisError(
                f"run {run.run!r}, {run.benchmark} {run.measure}: fewer than two items were answered by all seeds at "
                "all steps; a paired comparison needs them complete."
            )
    return one.take(whole[0]), other.take(whole[1])


def _mean_sd(scores: Sequence[FloatArray]) -> float:
    """E pooled over runs: root mean square over runs, weight S - 1, of the mean sd over steps."""
    weight = np.array([len(each) - 1 for each in scores], dtype=np.float64)
    e = np.array([each.std(axis=0, ddof=1).mean() for each in scores])
    return float(np.sqrt((weight * e**2).sum() / weight.sum()))


def _log_ratio(x: Sequence[FloatArray], y: Sequence[FloatArray]) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.log(_mean_sd(x)) - np.log(_mean_sd(y)))


def _snr(scores: Sequence[FloatArray]) -> float:
    mean = abs(float(np.mean([each[:, -1].mean() for each in scores])))
    return mean / _mean_sd([each[:, -1:] for each in scores])


def _log_snr_ratio(x: Sequence[FloatArray], y: Sequence[FloatArray]) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.log(_snr(x)) - np.log(_snr(y)))


def _verdict(log_ratio: float, half: float) -> Verdict:
    if log_ratio + half < 0:
        return "lower"
    return "higher" if log_ratio - half > 0 else "no difference shown"


def _joint_bootstrap(
    pairs: Sequence[tuple[RunScores, RunScores]], rng: np.random.Generator, n_bootstrap: int, *, matched: bool
) -> tuple[float, float]:
    """Give the ratio's percentile interval over resampled seeds (within runs) and items, shared where they match."""
    squares = np.zeros((2, n_bootstrap))
    item_seed = int(rng.integers(2**32))
    for one, other in pairs:
        n = one.n_seeds
        weights = rng.multinomial(n, np.full(n, 1 / n), size=n_bootstrap) / n
        for side, run in enumerate((one, other)):
            stream = np.random.default_rng([item_seed, 0 if matched else side])  # the same items in every run
            scores = _item_resamples(run, stream, n_bootstrap)
            mean = np.einsum("bs,bst->bt", weights, scores)
            spread = np.einsum("bs,bst->bt", weights, (scores - mean[:, None]) ** 2)
            squares[side] += (n - 1) * np.sqrt(spread).mean(axis=1) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt(squares[0] / squares[1])
    ratio = ratio[np.isfinite(ratio)]
    low, high = np.quantile(ratio, INTERVAL)
    return float(low), float(high)


def _item_resamples(run: RunScores, rng: np.random.Generator, n_bootstrap: int) -> FloatArray:
    rows = run.values.reshape(-1, run.n_items).T
    out = np.empty((n_bootstrap, rows.shape[1]))
    block = max(1, 2_000_000 // run.n_items)
    for start in range(0, n_bootstrap, block):
        n = min(block, n_bootstrap - start)
        drawn = rng.integers(run.n_items, size=(n, run.n_items)) + np.arange(n)[:, None] * run.n_items
        counts = np.bincount(drawn.ravel(), minlength=n * run.n_items).reshape(n, run.n_items)
        out[start : start + n] = counts @ rows / run.n_items
    return out.reshape(n_bootstrap, *run.values.shape[:2])
