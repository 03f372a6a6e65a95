"""Rows of the results of a study: every recipe, size and estimator beside its references, with verdicts.

Columns of the seed model: ``model_sd`` is the sd of the score over new seeds, which ``seed_sd`` estimates without a
model. ``model_seed_sd`` is the part due to the abilities of the seeds, which more items do not average out; on the row
of ability and the full benchmark it is the sd of ability itself. ``model_ratio`` is ``model_sd`` over the root mean
variance of random items of the same size, ``model_ratio_full`` over that of the full benchmark. Each has a 90%
posterior interval (``_q05, _q95``) over seeds and item parameters, without the choice of random items. Estimators that
are not a weighted sum of responses, and random items with weights, have NaN.

Power: the smallest cut of the seed sd that is found with 80% power. Against random subsets, the log seed sd of a recipe
must differ by the margin that Holm's correction requires, given the spread of random subsets. Against the full
benchmark, the log ratio of two scores on the same seeds with correlation rho, from V(k), has variance (1 - rho^2) /
freedom (Pitman, Morgan), plus the variance due to the choice of items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import pandas as pd
import scipy
from scipy import special

from irt_bench.analysis.intervals import holm, with_limits
from irt_bench.arrays import FloatArray
from irt_bench.names import BENCHMARK, INTERVAL, POOLED, RUN
from irt_bench.study.collect import FULL, SCALES, BenchmarkResults, Key, scale_of
from irt_bench.study.data import finite_mean, read_rows, run_variance
from irt_bench.study.design import EQUAL, SEED_MODEL, STATISTICS, THETA
from irt_bench.study.plan import LEVEL, RANDOM, BenchmarkPlan, StudyPlan
from irt_bench.study.split import REASON, WEIGHTED, random_items, random_reference, run_components
from irt_bench.study.tasks import ABILITY_KEY, FAILED, FULL_KEY, variance_key
from irt_bench.study.verdicts import (
    CUTS,
    MAX_FREEDOM,
    NO_DIFFERENCE,
    TINY,
    RandomReference,
    Ratio,
    ScoreComparison,
    Verdict,
    compare_random,
    compare_scores,
    pool,
    verdict,
)
from irt_bench.subsets.compare import WITHIN
from irt_bench.variance.detect import POWER, detectable_shift

Z_POWER: Final = float(special.ndtri(POWER))


def detectable_random(log_sds: FloatArray, n_compared: int) -> float:
    """Ratio to the seed sd of random subsets that is found with 80% power, after Holm's correction at this size."""
    return float(np.exp(-_margin(n_compared) * log_sds.std(ddof=1)))


def _margin(n_compared: int) -> float:
    return float(special.ndtri(1 - LEVEL / 2 / max(n_compared, 1))) + Z_POWER


def detectable_full(correlation: float, freedom: float, n_compared: int, item_variance: float = 0.0) -> float:
    """Ratio to the seed sd of the full benchmark that is found with 80% power; for a rise, its inverse.

    ``item_variance`` is the known variance of the log ratio over items; it adds to the degrees of freedom (Welch).
    """
    seeds = max(1 - correlation**2, 0.0) / freedom
    total = seeds + item_variance
    welch = freedom * (total / seeds) ** 2 if seeds > 0 else np.inf
    return detectable_cut(float(np.sqrt(total)), welch, n_compared)


def detectable_cut(log_error: float, freedom: float, n_compared: int) -> float:
    """Ratio that a t test of its logarithm finds with 80% power, the first of `n_compared` by Holm's correction."""
    if not (np.isfinite(log_error) and freedom > 0):
        return np.nan
    return float(np.exp(-log_error * _shift(float(f"{min(freedom, MAX_FREEDOM):.2g}"), LEVEL / max(n_compared, 1))))


@cache
def _shift(freedom: float, level: float) -> float:
    return detectable_shift(freedom, level=level)


def detectable_ratio(ratio: Ratio, n_compared: int) -> float:
    """Ratio to its reference that would have been found with 80% power by the rules of its verdict."""
    if np.isnan(ratio.spread):
        return detectable_cut(ratio.log_error, ratio.freedom, n_compared)
    by_interval = detectable_cut(ratio.log_error, ratio.freedom, 1)
    return min(by_interval, float(np.exp(-_margin(n_compared) * ratio.spread)))


def detectable_table(found: BenchmarkResults, plain: Mapping[int, FloatArray]) -> pd.DataFrame:
    """One row per size: degrees of freedom, comparisons, V(k), and the ratios that would be found with 80% power.

    ``plain`` maps sizes to variances of means of random subsets, shape (subset, run).
    """
    freedom = found.freedom
    components, total = pool(found.components.T, freedom), float(freedom.sum())
    rows = [power_row(found.plan, size, total, components, pool(each, freedom)) for size, each in plain.items()]
    return pd.DataFrame(rows)


def power_row(
    plan: BenchmarkPlan, size: int, freedom: float, components: FloatArray, pooled: FloatArray
) -> dict[str, Any]:
    """Compute the ratios that are found with 80% power at one size.

    `freedom` is the number of seeds less one over all runs, `components` are s2_seed and s2_res of
    V(k) = s2_seed + s2_res / k, and `pooled` the seed variances of means of random subsets, pooled over runs.
    """
    own, full = (float(components[0] + components[1] / k) for k in (size, plan.n_items))
    correlation = float(np.sqrt(np.clip(full / own, 0, 1))) if own > 0 else np.nan
    logs = 0.5 * np.log(pooled[pooled > 0])
    items = max(float(logs.var(ddof=1)) - (1 - correlation**2) / freedom, 0.0)
    return {
        BENCHMARK: plan.benchmark,
        "size": size,
        "degrees_of_freedom": int(freedom),
        "compared": plan.n_compared,
        "v_k_sd": float(np.sqrt(own)) if own >= 0 else np.nan,
        "seed_sd_full": float(np.sqrt(full)) if full >= 0 else np.nan,
        "detectable_ratio_random": detectable_random(logs, plan.n_compared),
        "detectable_ratio_full": detectable_full(correlation, freedom, plan.n_compared, items),
        "power": POWER,
    }


N_SUBSETS = 200  # random subsets behind the spread, then known to 5%


def predict_power(plan: StudyPlan) -> pd.DataFrame:
    """One row per benchmark and size: degrees of freedom, V(k), and the ratios that are found with 80% power.

    Nothing is fitted: the responses of the evaluated checkpoints suffice.
    """
    return pd.concat([_benchmark_power(each) for each in plan.benchmarks], ignore_index=True)


def _benchmark_power(plan: BenchmarkPlan) -> pd.DataFrame:
    components, freedoms = [], []
    variances: dict[int, list[np.ndarray]] = {size: [] for size in plan.sizes}
    for split in plan.splits:
        counts = read_rows(split.job.folder, split.job.evaluation, split.job.benchmark)
        values = counts.proportions()
        chosen = {size: random_items(plan.design.seed, plan.n_items, size, N_SUBSETS) for size in plan.sizes}
        for run in split.job.checkpoints.runs:
            arranged = split.job.checkpoints.arrange(values.T, run)  # (item, seed, step)
            components.append(run_components(arranged))
            freedoms.append(arranged.shape[1] - 1)
            for size, items in chosen.items():
                scores = np.stack([np.nanmean(arranged[each], axis=0) for each in items])
                variances[size].append(run_variance(scores).value)
    freedom = np.array(freedoms, dtype=np.float64)
    pooled_components = np.average(np.array(components), axis=0, weights=freedom)
    rows = []
    for size in plan.sizes:
        pooled = np.stack(variances[size], axis=1) @ freedom / freedom.sum()
        rows.append(power_row(plan, size, float(freedom.sum()), pooled_components, pooled))
    return pd.DataFrame(rows)


NAMES: Final = ("model_sd", "model_seed_sd", "model_ratio", "model_ratio_full")
COLUMNS: Final = tuple(f"{name}{end}" for name in NAMES for end in ("", "_q05", "_q95"))


def seed_model_columns(found: BenchmarkResults, rows: pd.DataFrame) -> pd.DataFrame:
    """Columns of the seed model, aligned with the rows of the results."""
    parts = found.seed_model()
    if any(REASON in part for part in parts):
        return pd.DataFrame(np.nan, index=rows.index, columns=list(COLUMNS))
    keys = [name for name in parts[0] if name != FAILED]
    draws = {key: found.in_order([part[key].astype(np.float64) for part in parts]) for key in keys}
    keyed = zip(rows[RUN], rows["method"], rows["weights"], rows["estimator"], rows["size"], strict=True)
    return pd.DataFrame([_row(found, draws, *key) for key in keyed], index=rows.index, columns=list(COLUMNS))


def seed_model_notes(found: BenchmarkResults) -> list[str]:
    """Note where the seed model could not be fitted, and which of its checks failed in how many splits."""
    parts = found.seed_model()
    name = found.plan.benchmark
    reasons = [str(part[REASON]) for part in parts if REASON in part]
    if reasons:
        return [f"{name}: the seed model could not be fitted in {len(reasons)} of {len(parts)} splits: {reasons[0]}"]
    failed = Counter(
        str(check) for part in parts for check in part[FAILED] if check != "answers"
    )  # its dispersion is estimated
    return [
        f"{name}: check {check} of the seed model failed in {n} of {len(parts)} splits: rely on seed_sd"
        for check, n in failed.items()
    ]


def _row(
    found: BenchmarkResults,
    draws: dict[str, FloatArray],
    run: str,
    method: str,
    weights: str,
    estimator: str,
    size: float,
) -> dict[str, float]:
    at = list(range(len(found.runs))) if run == POOLED else [found.runs.index(run)]

    def pooled(key: str) -> FloatArray:
        return pool(draws[key][..., at], found.freedom[at])

    if method == FULL and estimator == THETA:
        return _summary("model_seed_sd", np.sqrt(pooled(ABILITY_KEY)))
    key = FULL_KEY if method == FULL else variance_key(method, weights, int(size))
    if estimator != WEIGHTED or key not in draws:
        return {}
    (score, expected), full = pooled(key), pooled(FULL_KEY)[0]
    own = _summary("model_sd", np.sqrt(score)) | _summary("model_seed_sd", np.sqrt(expected))
    if method != FULL:
        random = pooled(variance_key("random", EQUAL, int(size)))[0]
        own |= _summary("model_ratio", np.sqrt(score / random))
    return own | _summary("model_ratio_full", np.sqrt(score / full))


def _summary(name: str, draws: FloatArray) -> dict[str, float]:
    return with_limits(name, *np.quantile(draws, (0.5, *INTERVAL)))


KEYS: Final = (BENCHMARK, RUN, "method", "weights", "estimator", "size")
NUMBERS: Final = (
    "n_items", "k_eff", "seed_sd", "seed_sd_full", "v_k_sd", "ratio", "ratio_q05", "ratio_q95", "percentile_random",
    "p_random", "p_holm", "verdict", "n_random", "ratio_signal", "ratio_signal_q05", "ratio_signal_q95",
    "percentile_signal", "p_signal", "p_signal_holm", "verdict_signal", "ratio_plain", "ratio_plain_q05",
    "ratio_plain_q95", "percentile_plain", "p_plain", "p_plain_holm", "verdict_plain", "ratio_plain_signal",
    "ratio_full", "ratio_full_q05", "ratio_full_q95", "p_full", "p_full_holm", "verdict_full", "ratio_v_k",
    *(f"{name}{end}" for end in ("", "_signal", "_plain", "_full") for name in ("log_error", "freedom", "detectable")),
)  # fmt: skip
SUFFIXES: Final = {"random": "", "signal": "_signal", "plain": "_plain", "full": "_full"}  # of the columns
PLAIN: Final = (EQUAL, WEIGHTED)

Row = dict[str, Any]


class RandomReferences:
    """Random subsets of one size by weights and estimator, from scores of shape (subset, row)."""

    def __init__(self, found: BenchmarkResults, scores: Mapping[Key, FloatArray]) -> None:
        self.by_key = {key: RandomReference(found, each, found.full[scale_of(key[1])]) for key, each in scores.items()}

    @property
    def plain(self) -> RandomReference:
        """Plain means."""
        return self.by_key[PLAIN]

    def comparisons(self, found: BenchmarkResults, run: str) -> dict[Key, ScoreComparison]:
        """Comparisons of one run, by weights and estimator of the random subsets."""
        return {key: ScoreComparison(found, run, scale_of(key[1]), reference) for key, reference in self.by_key.items()}


def result_rows(found: BenchmarkResults, references: Mapping[int, RandomReferences]) -> pd.DataFrame:
    """Make all rows of one benchmark: the full benchmark, then each size."""
    rows = [row for run in [POOLED, *found.runs] for row in _full_rows(found, run)]
    for size, reference in references.items():
        rows += _size_rows(found, size, reference)
    table, statistics = pd.DataFrame(rows), found.plan.design.statistics
    table.insert(0, BENCHMARK, found.plan.benchmark)
    table = table[[*KEYS, *NUMBERS, *(name for name in STATISTICS if name in statistics)]]
    return table if SEED_MODEL not in statistics else table.join(seed_model_columns(found, table))


def control_table(found: BenchmarkResults) -> pd.DataFrame:
    """Verdicts of methods calibrated on shuffled responses, against random subsets calibrated on the same.

    No rows if nothing was chosen, or if shuffled responses could not be fitted.
    """
    tables = []
    columns = ["shuffled_within", *KEYS[2:], *(name for name in NUMBERS[1:] if "_full" not in name), "bias", "movement"]
    for within in WITHIN if found.plan.recipes and found.plan.sizes else ():
        scores = found.control(within)
        references = RandomReferences(
            found, {(weights, name): each for (method, weights, name), each in scores.items() if method == RANDOM}
        )
        comparisons = references.comparisons(found, POOLED)
        size = found.plan.control_size
        chosen = {(*key, size): each for key, each in scores.items() if key[0] != RANDOM}
        own = _method_rows(found, comparisons, POOLED, chosen)
        frame = pd.DataFrame(_with_verdicts(own), columns=columns[1:])
        frame.insert(0, "shuffled_within", within)
        tables.append(frame)
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
    table.insert(0, BENCHMARK, found.plan.benchmark)
    return table


def _empty(run: str, method: str, weights: str, estimator: str, size: int) -> Row:
    row: Row = dict.fromkeys((*NUMBERS, *STATISTICS), np.nan)
    verdicts = dict.fromkeys((f"verdict{suffix}" for suffix in SUFFIXES.values()), "")
    return row | verdicts | {
        RUN: run, "method": method, "weights": weights, "estimator": estimator, "size": size, "n_items": size,
        "k_eff": float(size),
    }  # fmt: skip


def _full_rows(found: BenchmarkResults, run: str) -> list[Row]:
    rows = []
    for scale in SCALES:
        comparison, n_items = ScoreComparison(found, run, scale), found.plan.n_items
        sd = comparison.sd_full
        row = _empty(run, FULL, EQUAL, scale, n_items)
        row |= {"seed_sd": sd, "seed_sd_full": sd, "ratio_full": 1.0, "v_k_sd": _v_k(found, comparison, n_items)}
        statistics = comparison.statistics(found.full[scale][comparison.rows])
        rows.append(row | {name: float(value) for name, value in statistics.items()})
    return rows


def _size_rows(found: BenchmarkResults, size: int, references: RandomReferences) -> list[Row]:
    """Make the rows of one size: random subsets, then every recipe and estimator."""
    recipes = {pair: found.recipe(size, *pair) for pair in found.plan.recipes}
    chosen = {(*pair, name, size): own[name] for pair, own in recipes.items() for name in own if name != "k_eff"}
    rows: list[Row] = []
    for run in [POOLED, *found.runs]:
        comparisons = references.comparisons(found, run)
        rows += _with_verdicts([_random_row(found, comparisons, run, key, size) for key in comparisons], ("plain",))
        own = _method_rows(found, comparisons, run, chosen)
        for row, _ in own:
            row["k_eff"] = float(recipes[row["method"], row["weights"]]["k_eff"].mean())
        rows += _with_verdicts(own)
    return rows


def _method_rows(
    found: BenchmarkResults,
    comparisons: Mapping[Key, ScoreComparison],
    run: str,
    scores: Mapping[tuple[str, str, str, int], FloatArray],
) -> list[tuple[Row, dict[str, Ratio]]]:
    """Make the rows of scores by (method, weights, estimator, size); those with one reference are compared together."""
    rows = {}
    by_reference: dict[Key, list[tuple[str, str, str, int]]] = {}
    for key in scores:
        by_reference.setdefault(random_reference(key[1], key[2]), []).append(key)
    for reference, keys in by_reference.items():
        comparison, together = comparisons[reference], np.stack([scores[key] for key in keys])
        plain = None if reference[1] == THETA else comparisons[PLAIN]
        statistics = comparison.statistics(together[:, comparison.rows])
        for place, (key, compared) in enumerate(
            zip(keys, compare_scores(found, comparison, plain, together), strict=True)
        ):
            row = _empty(run, *key) | compared.numbers | _ratio_columns(compared.ratios)
            v_k = _v_k(found, comparison, key[3])
            row |= {"v_k_sd": v_k, "ratio_v_k": _over(row["seed_sd"], v_k)}
            row |= {name: float(values[place]) for name, values in statistics.items()}
            rows[key] = row, _comparable(found, compared.ratios, key[2], row["movement"])
    return [rows[key] for key in scores]


def _ratio_columns(ratios: Mapping[str, Ratio]) -> Row:
    found: Row = {}
    for name, each in ratios.items():
        suffix = SUFFIXES[name]
        found |= {f"ratio{suffix}": each.ratio, f"ratio{suffix}_q05": each.lower, f"ratio{suffix}_q95": each.upper}
        found |= {f"log_error{suffix}": each.log_error, f"freedom{suffix}": each.freedom}
    return found


def _comparable(found: BenchmarkResults, ratios: dict[str, Ratio], estimator: str, moves: float) -> dict[str, Ratio]:
    """Keep only comparisons with the same estimator if this one may merely shrink."""
    shrinks = estimator != WEIGHTED and (np.isnan(moves) or found.unreliable)
    return {name: each for name, each in ratios.items() if not shrinks or name in ("random", "signal")}


def _random_row(
    found: BenchmarkResults, comparisons: Mapping[Key, ScoreComparison], run: str, key: Key, size: int
) -> tuple[Row, dict[str, Ratio]]:
    comparison, (weights, estimator) = comparisons[key], key
    sd, full, v_k = (
        float(np.sqrt(comparison.random_variance)),
        comparison.sd_full,
        _v_k(found, comparison, size),
    )
    row = _empty(run, RANDOM, weights, estimator, size) | {
        "seed_sd": sd, "seed_sd_full": full, "v_k_sd": v_k, "n_random": comparison.n_random,
        "ratio": 1.0, "ratio_full": _over(sd, full), "ratio_v_k": _over(sd, v_k),
    }  # fmt: skip
    for end, quantile in (("q05", 0.05), ("q95", 0.95)):
        row[f"ratio_{end}"] = _over(float(np.quantile(comparison.sds, quantile)), sd)
    ratios = {}
    if estimator != THETA and key != PLAIN:
        ratios["plain"], row["ratio_plain_signal"] = compare_random(comparison, comparisons[PLAIN])
        row |= _ratio_columns(ratios) | {"p_plain": ratios["plain"].p}
    statistics = comparison.statistics(comparison.random_scores)
    row |= {name: float(finite_mean(values)) for name, values in statistics.items()}
    return row, _comparable(found, ratios, estimator, float(row["movement"]))


def _with_verdicts(rows: Sequence[tuple[Row, dict[str, Ratio]]], names: Sequence[str] = tuple(SUFFIXES)) -> list[Row]:
    """Add p-values after Holm's correction over the rows of one estimator, and verdicts."""
    for estimator in dict.fromkeys(row["estimator"] for row, _ in rows):
        family = [each for each in rows if each[0]["estimator"] == estimator]
        for name in names:
            suffix = SUFFIXES[name]
            evaluated = [each for each in family if name in each[1]]
            adjusted = holm(np.array([row[f"p_{name}"] for row, _ in evaluated], dtype=np.float64))
            for (row, ratios), value in zip(evaluated, adjusted, strict=True):
                row[f"p{suffix}_holm"] = float(value)
                row[f"verdict{suffix}"] = _gated(name, row, verdict(ratios[name], float(value)))
                row[f"detectable{suffix}"] = detectable_ratio(ratios[name], int(np.isfinite(adjusted).sum()))
    return [row for row, _ in rows]


def _gated(name: str, row: Row, found: Verdict) -> Verdict:
    """Take back a cut against the full benchmark by a score that moves less in proportion: it only shrinks."""
    shrinks = name == "full" and row.get("movement", np.nan) <= row.get("ratio_full_q95", np.nan)
    return NO_DIFFERENCE if found == CUTS and shrinks else found


def with_study_verdicts(results: pd.DataFrame) -> pd.DataFrame:
    """Add verdicts over the whole study, of pooled runs: ``p_study, verdict_study, detectable_study`` by comparison.

    Holm's correction covers all recipes of all benchmarks, sizes and estimators. It uses the p-values of the intervals,
    because those from random subsets are never small enough for so many comparisons.
    """
    out = results.copy()
    for suffix in SUFFIXES.values():
        evaluated = (out[RUN] == POOLED) & (out[f"verdict{suffix}"] != "")
        error, freedom = (out[f"{name}{suffix}"].where(evaluated) for name in ("log_error", "freedom"))
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(np.log(out[f"ratio{suffix}"].to_numpy(dtype=np.float64))) / error
        adjusted = holm(np.asarray(2 * scipy.stats.t.sf(t, freedom)))
        n = int(np.isfinite(adjusted).sum())
        could = [detectable_cut(*each, n) for each in zip(error, freedom, strict=True)]
        shown = out[f"verdict{suffix}"].where(adjusted <= LEVEL + TINY, NO_DIFFERENCE)
        out[f"p{suffix}_study"] = adjusted
        out[f"verdict{suffix}_study"] = shown.where(evaluated, "")
        out[f"detectable{suffix}_study"] = np.fmin(could, out[f"detectable{suffix}"].where(evaluated))
    return out


def _v_k(found: BenchmarkResults, comparison: ScoreComparison, size: float) -> float:
    """Root of V(k), pooled; NaN for ability, which is no mean over items, and for a negative estimate."""
    if comparison.scale == THETA:
        return np.nan
    value = float(pool(found.curve(size)[comparison.places], comparison.freedom))
    return float(np.sqrt(value)) if value >= 0 else np.nan


def _over(above: float, below: float) -> float:
    return above / below if below > 0 else np.nan
