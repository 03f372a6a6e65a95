"""Cures for seed noise, each beside its control at equal cost: choose, reweight, average, ask otherwise, ask more.

Signal and noise are those of a score at the last checkpoint, over runs r (recipes) with seeds s. With y a score, x the
mean of the whole benchmark for the same models, and means of a run written y[r], x[r]:

- noise: the standard deviation of y over the seeds of a run, pooled: the root of the mean of (y[r, s] - y[r])^2;
- signal: how far the runs differ in the score, as far as they differ on the whole benchmark too:
  C(y, x) / sqrt(C(x, x)), where C is the covariance of the means of runs, less what the seeds contribute to it
  (their covariance within runs over the number of seeds). For the whole benchmark it is the standard deviation of runs;
- noise per signal: their ratio. A score that is only shrunk or stretched has the same one.

Decision accuracy is the share of pairs of checkpoints of two runs that the score orders as the whole benchmark orders
the means of the other seeds of these runs.

Madaan et al. (2024) call the mean over checkpoints of the first E, and mean over sd the SNR; Heineman et al. (2025,
arXiv 2508.13144) divide the largest difference of final scores by the sd over the last checkpoints of a run; Hofmann et
al. (2025, arXiv 2509.11106) measure the variation from checkpoint to checkpoint. These are columns too.

Noise per signal changes with the scale: the logit of accuracy can have more of it than accuracy, or less, though both
order models alike. Ability and other estimators are therefore compared with accuracy *on their own scale*: the cubic in
accuracy that is nearest to them. Without this, ability seems to cut noise even with items whose answers were shuffled.

Intervals are for repeated training of the same runs: the jackknife over seeds of a logarithm, with Student's t. Where
items were chosen, the variance that the choice of items makes among random subsets is added. A cure *cuts* only if it
cuts noise per signal: an estimate that only shrinks cuts nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
import scipy

from irt_bench.analysis.intervals import holm, with_limits
from irt_bench.arrays import FloatArray
from irt_bench.names import BENCHMARK, INTERVAL
from irt_bench.study.collect import BenchmarkResults
from irt_bench.study.data import MOVING_LEVEL, Checkpoints, finite_mean
from irt_bench.study.design import EQUAL, THETA
from irt_bench.study.rows import RandomReferences, detectable_cut
from irt_bench.study.split import WEIGHTED
from irt_bench.study.verdicts import LogRatio, Ratio, pool, ratio_with_interval, verdict
from irt_bench.subsets.compare import WITHIN
from irt_bench.variance.metrics import LAST_CHECKPOINTS, monotonicity

MIN_SEEDS: Final = 3  # of a run: two leave one, which has no spread
MEASURES: Final = ("noise", "signal", "noise_per_signal", "decision_accuracy")
MAX_PAIRED: Final = 50  # random subsets behind decision accuracy, then known to a few thousandths
MAX_SUBSETS: Final = 300  # random subsets behind noise and signal


@dataclass(frozen=True)
class Measured:
    """Noise and signal of a score: first with all seeds, then without each of them; shape (subset, 1 + row)."""

    noise_squared: FloatArray
    signal: FloatArray
    decisions: FloatArray
    """Decision accuracy, shape (1 + row,)."""

    @property
    def log_noise(self) -> FloatArray:
        """Logarithm of the root mean noise of the subsets, shape (1 + row,)."""
        return 0.5 * _log(self.noise_squared.mean(axis=0))

    @property
    def log_signal(self) -> FloatArray:
        """Logarithm of the mean signal of the subsets, shape (1 + row,)."""
        return _log(self.signal.mean(axis=0))

    @property
    def log_relative(self) -> FloatArray:
        """Logarithm of noise per signal, shape (1 + row,)."""
        return self.log_noise - self.log_signal

    def with_noise(self, added: float) -> Measured:
        """Add to the noise variance."""
        return replace(self, noise_squared=np.maximum(self.noise_squared + added, 0.0))


class FinalScores:
    """Runs at their last checkpoint: measures scores of shape (row,) or (subset, row), and compares them.

    `full` are the scores on the whole benchmark, shape (row,).
    """

    def __init__(self, checkpoints: Checkpoints, full: FloatArray) -> None:
        finite = {run: rows[np.isfinite(full[rows])] for run, rows in checkpoints.last_rows.items()}
        kept = [rows for rows in finite.values() if len(rows) >= MIN_SEEDS]
        self.left_out = [run for run, rows in finite.items() if len(rows) < MIN_SEEDS]
        self.rows = np.concatenate(kept) if kept else np.empty(0, dtype=np.intp)
        self.codes = np.repeat(np.arange(len(kept)), [len(rows) for rows in kept])
        self.n = np.array([len(rows) for rows in kept], dtype=np.float64)
        self.full = full[self.rows]
        self.halves = checkpoints.halves
        self.freedom = float((self.n - 1).sum())

    @cached_property
    def moves(self) -> bool:
        """Whether the means of runs differ by more than seed noise (F test at 5%)."""
        if self.halves or len(self.n) < 2:
            return False
        means, deviations = self._centred(self.full[None])
        centred = means[0] - np.average(means[0], weights=self.n)
        between = float((self.n * centred**2).sum()) / (len(self.n) - 1)
        within = float((deviations**2).sum()) / self.freedom
        limit = scipy.stats.f.ppf(1 - MOVING_LEVEL, len(self.n) - 1, self.freedom)
        return bool(between > 1e-12 and (within <= 0 or between / within > limit))

    def measure(self, scores: FloatArray) -> Measured:
        """Measure scores of all rows of the checkpoints, shape (row,) or (subset, row)."""
        return self.measure_final(np.atleast_2d(scores)[:MAX_SUBSETS, self.rows])

    def measure_final(self, y: FloatArray) -> Measured:
        """Measure scores of the last checkpoints, shape (subset, row)."""
        y_means, y_away = self._centred(y)
        x_means, x_away = self._centred(self.full[None])
        lost = self.n[self.codes] / (self.n[self.codes] - 1)

        def without(sums: FloatArray, products: FloatArray) -> FloatArray:
            """Pooled covariance within runs, and that without each row."""
            whole = sums[:, None] / self.freedom
            return np.concatenate([whole, (sums[:, None] - lost * products) / (self.freedom - 1)], axis=1)

        noise = without((y_away**2).sum(axis=1), y_away**2)
        if not self.moves:
            signal = np.full_like(noise, np.nan)
        else:
            within = without((y_away * x_away).sum(axis=1), y_away * x_away)
            own = without((x_away**2).sum(axis=1), x_away**2)
            shared = self._between(y_means, y_away, x_means, x_away) - self._share * within
            spread = self._between(x_means, x_away, x_means, x_away) - self._share * own
            with np.errstate(invalid="ignore", divide="ignore"):
                signal = shared / np.sqrt(np.where(spread > 0, spread, np.nan))
        return Measured(noise, signal, self._decisions(y[:MAX_PAIRED]))

    def _centred(self, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Means of runs, (subset, run), and deviations from them, (subset, row)."""
        runs = np.eye(len(self.n))[self.codes]
        means = y @ runs / self.n
        return means, y - means[:, self.codes]

    @cached_property
    def _share(self) -> FloatArray:
        """Mean over runs of 1 / number of seeds: with all rows, then without each, shape (1 + row,)."""
        n = self.n[self.codes]
        whole = (1 / self.n).mean()
        return np.concatenate([[whole], whole + (1 / (n - 1) - 1 / n) / len(self.n)])

    def _between(self, y: FloatArray, y_away: FloatArray, x: FloatArray, x_away: FloatArray) -> FloatArray:
        """Covariance of the means of runs, with all rows and without each, shape (subset, 1 + row)."""
        n_runs, seeds = len(self.n), self.n[self.codes] - 1
        dy, dx = -y_away / seeds, -x_away / seeds  # how the mean of its run changes without a row
        products = (y * x).sum(axis=1, keepdims=True)
        changed = products + y[:, self.codes] * dx + x[:, self.codes] * dy + dy * dx
        y_sum, x_sum = y.sum(axis=1, keepdims=True), x.sum(axis=1, keepdims=True)
        whole = products - y_sum * x_sum / n_runs
        return np.concatenate([whole, changed - (y_sum + dy) * (x_sum + dx) / n_runs], axis=1) / (n_runs - 1)

    def _decisions(self, y: FloatArray) -> FloatArray:
        """Decision accuracy with all rows and without each."""
        if self.halves or len(self.n) < 2:
            return np.full(1 + len(self.codes), np.nan)
        means, away = self._centred(self.full[None])
        others = (means[:, self.codes] - away / (self.n[self.codes] - 1))[0]  # mean of the other seeds of the run
        truth = np.sign(others[:, None] - others[None])
        counted = (self.codes[:, None] != self.codes[None]) & (truth != 0)
        found = np.mean([np.sign(each[:, None] - each[None]) for each in y], axis=0)
        right = np.where(counted, (1 + truth * found) / 2, 0.0)
        n, total = counted.sum(axis=1), right.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.concatenate([[total.sum() / n.sum()], (total.sum() - 2 * total) / (n.sum() - 2 * n)])

    def jackknife(self, values: FloatArray) -> FloatArray:
        """Variance over repeated training from values with all rows and without each, (..., 1 + row) to (...).

        As in `irt_bench.variance.paired_scores.jackknife_error`: a run of n seeds counts (n - 1)^2 / (n (n - 2)).
        """
        without = values[..., 1:]
        means = without @ np.eye(len(self.n))[self.codes] / self.n
        n = self.n[self.codes]
        return np.asarray((without - means[..., self.codes]) ** 2 @ ((n - 1) ** 2 / (n * (n - 2))))

    def compare(self, own: Measured, other: Measured, item_variance: float = 0.0) -> Ratio:
        """Ratio of noise per signal of two scores of the same models, with its interval."""
        logs = own.log_relative - other.log_relative
        found = LogRatio(logs[0], self.jackknife(logs), np.asarray(self.freedom))
        return ratio_with_interval(found, item_variance)

    def item_variance(self, subsets: Measured) -> float:
        """Variance of log noise per signal that the choice of items makes among random subsets."""
        logs = 0.5 * _log(subsets.noise_squared) - _log(subsets.signal)
        logs = logs - subsets.log_relative
        known = np.isfinite(logs).all(axis=1)
        if known.sum() < 2:
            return np.nan
        return max(float(logs[known, 0].var(ddof=1) - self.jackknife(logs[known]).mean()), 0.0)

    def limits(self, measured: Measured) -> dict[str, float]:
        """Noise, signal, noise per signal and decision accuracy, each with its 90% interval."""
        found: dict[str, float] = {}
        t = float(scipy.stats.t.ppf(INTERVAL[1], self.freedom))
        for name, logs in zip(MEASURES, (measured.log_noise, measured.log_signal, measured.log_relative), strict=False):
            half = t * np.sqrt(self.jackknife(logs))
            found |= with_limits(name, *np.exp([logs[0], logs[0] - half, logs[0] + half]))
        half = t * np.sqrt(self.jackknife(measured.decisions))
        value = measured.decisions[0]
        return found | with_limits(MEASURES[3], value, *np.clip([value - half, value + half], 0, 1))


def _log(values: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(np.where(values > 0, values, np.nan)))


@dataclass(frozen=True)
class Cure:
    """One cure: what is done, what it costs, and its scores and those of its control."""

    # kind, how, control: kind of the cure, what is done, and what it is compared with
    kind: str
    how: str
    control: str
    size: int  # items asked
    cost: float  # answers per model, over all checkpoints and trials
    # own, other, whole: of the cure, its control, and accuracy on the whole benchmark
    own: Measured
    other: Measured
    whole: Measured
    item_variance: float = 0.0  # from `FinalScores.item_variance`, where items were chosen
    course: FloatArray | None = None  # (row,), scores of all checkpoints, for statistics over steps


def cure_rows(final: FinalScores, checkpoints: Checkpoints, cures: Iterator[Cure]) -> pd.DataFrame:
    """One row per cure, with verdicts after Holm's correction over all of them."""
    rows: list[dict[str, Any]] = []
    ratios: list[Ratio] = []
    for cure in cures:
        ratio = final.compare(cure.own, cure.other, cure.item_variance)
        whole = final.compare(cure.own, cure.whole, cure.item_variance)
        row: dict[str, Any] = {"cure": cure.kind, "how": cure.how, "size": cure.size, "cost": cure.cost}
        row |= final.limits(cure.own)
        row |= {"control": cure.control, "control_noise_per_signal": float(np.exp(cure.other.log_relative[0]))}
        row["control_decision_accuracy"] = float(cure.other.decisions[0])
        row |= with_limits("ratio", ratio.ratio, ratio.lower, ratio.upper) | {"p": ratio.p}
        row |= with_limits("ratio_full", whole.ratio, whole.lower, whole.upper)
        rows.append(row | course_statistics(cure.course, checkpoints))
        ratios.append(ratio)
    table = pd.DataFrame(rows)
    if len(table):
        adjusted = holm(table["p"].to_numpy(dtype=np.float64))
        place = int(table.columns.get_loc("p")) + 1  # type: ignore[arg-type]
        table.insert(place, "p_holm", adjusted)
        table.insert(place + 1, "verdict", [verdict(*pair) for pair in zip(ratios, adjusted, strict=True)])
        n = int(np.isfinite(adjusted).sum())
        could = [detectable_cut(ratio.log_error, ratio.freedom, n) for ratio in ratios]  # with 80% power
        table.insert(place + 2, "detectable", could)
    return table


COURSE: Final = ("e", "snr", "monotonicity", "snr_range", "total_variation")


def course_statistics(scores: FloatArray | None, checkpoints: Checkpoints) -> dict[str, float]:
    """E, SNR and monotonicity (Madaan), signal-to-noise (Heineman), total variation (Fluid): means over runs."""
    if scores is None:
        return dict.fromkeys(COURSE, np.nan)
    arranged = [checkpoints.arrange(scores, run) for run in checkpoints.runs]
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # one seed has no sd: NaN
        sds = [np.nanstd(each, axis=0, ddof=1) for each in arranged if each.shape[0] > 1]
        finals = np.array([np.nanmean(each[:, -1]) for each in arranged])
        last = [np.nanstd(each[:, -LAST_CHECKPOINTS:], axis=1, ddof=1).mean() for each in arranged if each.shape[1] > 1]
        moved = [np.nansum(np.abs(np.diff(each, axis=1)), axis=1).mean() for each in arranged if each.shape[1] > 1]
        e = float(np.sqrt(np.mean([np.nanmean(each) ** 2 for each in sds])))
        final_sd = float(np.sqrt(np.mean([each[-1] ** 2 for each in sds])))
        return {
            "e": e,
            "snr": float(abs(finals.mean()) / final_sd) if final_sd > 0 else np.nan,
            "monotonicity": float(finite_mean(np.concatenate([monotonicity(each) for each in arranged]))),
            "snr_range": float(np.ptp(finals) / np.mean(last)) if last and np.mean(last) > 0 else np.nan,
            "total_variation": float(np.mean(moved)) if moved else np.nan,
        }


def averaged(scores: FloatArray, checkpoints: Checkpoints, n_last: int) -> FloatArray:
    """Mean over the last checkpoints up to the row's own; NaN for rows with fewer."""
    out = np.full(len(scores), np.nan)
    places = np.arange(len(scores), dtype=np.float64)
    for run in checkpoints.runs:
        grid, values = checkpoints.arrange(places, run), checkpoints.arrange(scores, run)
        for step in range(n_last - 1, values.shape[1]):
            known = np.isfinite(grid[:, step])
            out[grid[known, step].astype(np.intp)] = values[known, step - n_last + 1 : step + 1].mean(axis=1)
    return out


AVERAGED: Final = (2, 3, 5)  # checkpoints
MORE: Final = 2  # times as many items
DEGREE: Final = 3  # of the polynomial that carries accuracy to another scale
ALL_ITEMS: Final = "all items"
KINDS: Final = {
    "choose": "chosen items against random ones",
    "reweight": "weights or an estimator on the same items",
    "average": "mean of the last checkpoints against as many more items",
    "items": "more items, by V(k)",
    "trials": "several trials of fewer items against one trial of more",
    "adaptive": "ability from adaptively chosen items against ability from random ones",
    "alternative": "another score of the same models",
}


def cure_table(
    found: BenchmarkResults,
    references: Mapping[int, RandomReferences],
    alternatives: Mapping[str, FloatArray],
) -> pd.DataFrame:
    """Make the table of cures of one benchmark.

    `references` has the scores of random subsets by size; `alternatives` other scores of the evaluated checkpoints by
    name, shape (row,): another framing, a continuous measure.
    """
    final = FinalScores(found.checkpoints, found.full[WEIGHTED])
    if not len(final.rows):
        return pd.DataFrame()
    maker = _Maker(found, final, alternatives)
    table = cure_rows(final, found.checkpoints, maker.cures(references))
    table.insert(0, BENCHMARK, found.plan.benchmark)
    return table


def cure_notes(found: BenchmarkResults) -> list[str]:
    """Note the runs that the table of cures leaves out."""
    left = FinalScores(found.checkpoints, found.full[WEIGHTED]).left_out
    few = f"{len(left)} runs have fewer than {MIN_SEEDS} seeds at their last checkpoint and do not count in the table"
    return [f"{found.plan.benchmark}: {few} of cures, first: {left[0]!r}; give more seeds of them"] if left else []


class _Maker:
    """Makes the cures of one benchmark."""

    def __init__(self, found: BenchmarkResults, final: FinalScores, alternatives: Mapping[str, FloatArray]) -> None:
        self.found, self.final, self.alternatives = found, final, alternatives
        self.n_items = found.plan.n_items
        self.scores = found.full[WEIGHTED]
        self.full = final.measure(self.scores)
        self.residual = float(pool(found.components[:, 1], found.freedom))

    def cures(self, references: Mapping[int, RandomReferences]) -> Iterator[Cure]:
        """All cures that the data allow."""
        yield from self.whole(self.found.cures())
        for size, reference in references.items():
            yield from self._of_size(size, reference)
        yield from self._more()
        for name, scores in self.alternatives.items():
            own, full, n = self.final.measure(scores), self._on_scale(self.scores, scores), self.n_items
            yield Cure("alternative", name, f"{ALL_ITEMS}, same scale", n, n, own, full, full, course=scores)

    def whole(self, scores: Mapping[str, FloatArray]) -> Iterator[Cure]:
        """Weights and estimators on all items, trials, adaptive tests; see `irt_bench.study.tasks.cure_scores`."""
        for key, values in scores.items():
            kind, how = key.split("|")
            own = self.final.measure(values)
            if kind == "weights":
                control, n = ALL_ITEMS, self.n_items
                yield Cure("reweight", f"{how} weights", control, n, n, own, self.full, self.full, course=values)
            elif kind == "estimator":
                full, n = self._on_scale(self.scores, values), self.n_items
                yield Cure("reweight", how, f"{ALL_ITEMS}, same scale", n, n, own, full, full, course=values)
            elif kind == "adaptive":
                size, random = int(how), self.final.measure(scores[f"random|{how}"])
                full = self._on_scale(self.scores, values)
                yield Cure(kind, "ability", "ability, random items", size, size, own, random, full, course=values)
            elif kind == "trials":
                single, size = self.final.measure(scores["single|1"]), round(self.n_items / int(how))
                yield Cure(kind, f"{how} trials", "one trial, all items", size, self.n_items, own, single, self.full)

    def _on_scale(self, plain: FloatArray, scores: FloatArray) -> Measured:
        """Measure means of items on the scale of their other scores, (row,) or (subset, row): a cubic in the mean."""
        rows = self.final.rows
        plain, scores = np.atleast_2d(plain)[:MAX_SUBSETS, rows], np.atleast_2d(scores)[:MAX_SUBSETS, rows]
        plain = np.broadcast_to(plain, scores.shape)
        return self.final.measure_final(fitted_polynomials(plain, scores))

    def _of_size(self, size: int, references: RandomReferences) -> Iterator[Cure]:
        """Chosen items, and weights and estimators of random ones."""
        plain = self.final.measure(references.plain.scores)
        spread = self.final.item_variance(plain)
        for method, weights in self.found.plan.recipes:
            scores = self.found.recipe(size, method, weights).get(WEIGHTED)
            if scores is not None:
                how = method if weights == EQUAL else f"{method}, {weights} weights"
                own = self.final.measure(scores)
                yield Cure("choose", how, "random items", size, size, own, plain, self.full, spread, scores)
        for (weights, estimator), reference in references.by_key.items():
            own = self.final.measure(reference.scores)
            if estimator == WEIGHTED and weights != EQUAL:
                same = self.final.measure(references.plain.scores[: len(reference.scores)])
                yield Cure("reweight", f"{weights} weights", "random items", size, size, own, same, self.full)
            elif estimator != WEIGHTED and weights == EQUAL:
                same, full = (self._on_scale(each, reference.scores) for each in (references.plain.scores, self.scores))
                how = {THETA: "ability"}.get(estimator, estimator)
                yield Cure("reweight", how, "random items, same scale", size, size, own, same, full)

    def _more(self) -> Iterator[Cure]:
        """Means of the last checkpoints, and more items."""
        steps = min(self.found.checkpoints.arrange(self.scores, run).shape[1] for run in self.found.runs)
        for n_last in (n for n in AVERAGED if n <= steps):
            own = self.final.measure(averaged(self.scores, self.found.checkpoints, n_last))
            other = self.full.with_noise(-self.residual / self.n_items * (1 - 1 / n_last))
            how, control = f"last {n_last} checkpoints", f"{n_last} x as many items, by V(k)"
            yield Cure("average", how, control, self.n_items, n_last * self.n_items, own, other, self.full)
        own = self.full.with_noise(-self.residual / self.n_items * (1 - 1 / MORE))
        n = MORE * self.n_items
        yield Cure("items", f"{MORE} x as many items", ALL_ITEMS, n, n, own, self.full, self.full)


def fitted_polynomials(x: FloatArray, y: FloatArray) -> FloatArray:
    """Least-squares polynomials in x at x, of rows of shape (subset, row); of lower degree where few x differ."""
    low, width = x.min(axis=1, keepdims=True), np.ptp(x, axis=1, keepdims=True)
    unit = 2 * np.divide(x - low, width, out=np.zeros(x.shape), where=width > 0) - 1
    powers = unit[..., None] ** np.arange(DEGREE + 1)
    powers /= np.sqrt((powers**2).sum(axis=1, keepdims=True))
    basis, sizes, _ = np.linalg.svd(powers, full_matrices=False)
    known = sizes > x.shape[1] * np.finfo(np.float64).eps * sizes[:, :1]
    parts = np.einsum("srk,sr->sk", basis, y) * known
    return np.asarray(np.einsum("srk,sk->sr", basis, parts))


def cure_control(found: BenchmarkResults) -> pd.DataFrame:
    """Weights, abilities and adaptive tests calibrated on shuffled responses: none may cut noise per signal.

    Answers shuffled within items keep the items' difficulties, and with these adaptive tests rightly ask better items;
    their control is the shuffle within models.
    """
    final = FinalScores(found.checkpoints, found.full[WEIGHTED])
    maker = _Maker(found, final, {}) if len(final.rows) else None
    tables = []
    for within in WITHIN if maker else ():
        cures = maker.whole(found.cures(within)) if maker else iter(())
        cures = (cure for cure in cures if cure.kind != "adaptive" or within == "models")
        tables.append(cure_rows(final, found.checkpoints, cures).assign(shuffled_within=within))
    together = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    return together.assign(**{BENCHMARK: found.plan.benchmark}) if len(together) else together
