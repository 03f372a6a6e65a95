"""Difference of two training recipes: what was found, what can be detected, and seeds or items that would be needed.

Each recipe is trained with n seeds and scored on k items. The variance of its mean score over repeated training is
V(k) / n. If conclusions are to hold for other items too, the variance over items of the difference is added. The test
is Student's t for every n. Its variance is pooled from the given runs and the compared seeds, so one seed per recipe
can show a large difference.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from irt_bench import names
from irt_bench.analysis.intervals import holm
from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError
from irt_bench.names import INTERVAL
from irt_bench.variance.moments import item_covariance, trial_noise, without_rounding
from irt_bench.variance.scores import ACCURACY, RunScores, mean_over_items
from irt_bench.variance.small_sample import increasing_root, normal_density, satterthwaite_df, sd_interval

POWER: Final = 0.8
LEVEL: Final = 0.05  # of the two-sided test
SEEDS: Final = (1, 2, 3, 5, 10, 20)
MAX_SEEDS: Final = 10_000
NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)  # on [-1, 1]: shifts to five digits
DIFFERENCE: Final = 0.01  # of scores, that matters: one point
ITEM_MULTIPLES: Final = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the items there are
TRIALS: Final = (1, 2, 5, 10)
MIN_MOVES: Final = 4  # means of runs and steps, to translate a difference of accuracies to another measure
OVERALL: Final = "all tasks"  # row of the mean over tasks
REAL, NOISE, CANNOT_TELL = "real", "noise", "cannot tell"


class DifferenceNoise(NamedTuple):
    """Variances of the score of one recipe that contribute to the noise of a difference of two recipes.

    ``seed`` is s2_seed and ``residual`` is s2_res. ``recipe_item`` is half the variance over items of the difference of
    two recipes; 0 for conclusions about the same items. ``df`` are the degrees of freedom of the seed variance of the
    given runs; 0 if it is known from the compared seeds only.
    """

    seed: float
    residual: float
    recipe_item: float
    df: float


def estimate_noise(runs: list[RunScores], *, other_items: bool = False) -> DifferenceNoise:
    """Estimate the noise of one measure at the last step, pooled within runs.

    With `other_items`, conclusions are to hold for other items of the same kind.

    Raises
    ------
    AnalysisError
        If `other_items` is true and there is one run.

    Notes
    -----
    Runs have weight S - 1 and may have different variances (`satterthwaite_df`). If all seeds of every run have the
    same score, the noise is unknown: NaN, not 0.
    """
    found = [item_covariance(run.values[:, -1]) for run in runs]
    weights = np.array([run.n_seeds - 1.0 for run in runs])
    share = weights / weights.sum()
    whole = without_rounding(
        np.array([float(each.full_variance()) for each in found]),
        np.array([float(np.nanmean(run.values[:, -1])) for run in runs]),
    )
    seed, residual = (
        float(share @ [float(part) for part in parts])
        for parts in zip(*((each.off_diagonal, each.residual) for each in found), strict=True)
    )
    recipe_item = _recipe_item(runs) if other_items else 0.0
    df = satterthwaite_df(share * whole, weights)
    return DifferenceNoise(seed, residual, recipe_item, df) if df > 0 else DifferenceNoise(*4 * (float("nan"),))


def _recipe_item(runs: list[RunScores]) -> float:
    """Half the variance over items of the difference of expected answers of two runs, mean over pairs of runs."""
    if len(runs) < 2:
        raise AnalysisError("noise over other items needs two runs (recipes) on the same items; there is one.")
    means = pd.concat(
        [pd.Series(np.nanmean(run.values[:, -1], axis=0), index=run.items, name=run.run) for run in runs], axis=1
    ).dropna()
    if len(means) < 2:
        return float("nan")  # one item has no variance over items
    residual = means.sub(means.mean(axis=1), axis=0)
    total = float(residual.sub(residual.mean(axis=0), axis=1).pow(2).to_numpy().sum())
    within = np.mean([float(item_covariance(run.values[:, -1]).residual) / run.n_seeds for run in runs])
    return max(total / ((len(runs) - 1) * (len(means) - 1)) - float(within), 0.0)


def minimum_detectable(noise: DifferenceNoise, n_items: int, n_seeds: int, *, power: float = POWER) -> float:
    """Smallest true difference of two recipes that a two-sided t test detects with the given power.

    Notes
    -----
    The test has 2 (n_seeds - 1) degrees of freedom from the compared seeds, plus those of the noise estimate; NaN if
    the sum is 0. Power is from the noncentral t distribution [1]_.

    References
    ----------
    .. [1] Cohen, Statistical power analysis for the behavioral sciences, 1988, section 2.2.
    """
    df = _test_df(noise, n_seeds)
    if not df > 0:
        return float("nan")
    return standard_error(noise, n_items, n_seeds) * detectable_shift(df, power=power)


def _test_df(noise: DifferenceNoise, n_seeds: int) -> float:
    return noise.df + 2 * (n_seeds - 1)


def standard_error(noise: DifferenceNoise, n_items: int, n_seeds: int) -> float:
    """Return the standard error of the difference of the mean scores of two recipes."""
    variance = max(noise.seed + noise.residual / n_items, 0.0) / n_seeds + noise.recipe_item / n_items
    return float(np.sqrt(2 * variance))


@lru_cache(maxsize=4096)
def detectable_shift(df: float, *, power: float = POWER, level: float = LEVEL) -> float:
    """Shift in standard errors at which a two-sided t test has the given power."""
    critical = float(special.stdtrit(df, 1 - level / 2))
    # Integrates the noncentral t over its chi-square: SciPy gives NaN for few degrees of freedom and large shifts.
    scale = np.sqrt(special.chdtri(df, (1 + NODES) / 2) / df)

    def excess(shift: FloatArray) -> tuple[FloatArray, FloatArray]:
        upper, lower = shift - critical * scale, -shift - critical * scale
        reached = (special.ndtr(upper) + special.ndtr(lower)) @ WEIGHTS / 2
        return reached - power, (normal_density(upper) - normal_density(lower)) @ WEIGHTS / 2

    return float(increasing_root(excess, np.asarray(0.0), np.asarray(critical * 10 + 10)))


def seeds_needed(noise: DifferenceNoise, n_items: int, difference: float, *, power: float = POWER) -> float:
    """Smallest number of seeds per recipe that detects a difference; NaN if the items are too few for any number."""
    if not minimum_detectable(noise, n_items, MAX_SEEDS, power=power) <= difference:
        return np.nan

    def enough(n_seeds: int) -> bool:
        return minimum_detectable(noise, n_items, n_seeds, power=power) <= difference

    low, high = 0, _seeds_by_z_test(noise, n_items, difference, power)  # the t test needs a few more
    step = 1
    while high < MAX_SEEDS and not enough(high):
        low, high, step = high, min(high + step, MAX_SEEDS), 2 * step
    while high - low > 1:
        middle = high - 1 if low == 0 else (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return float(high)


def _seeds_by_z_test(noise: DifferenceNoise, n_items: int, difference: float, power: float) -> int:
    shift = special.ndtri(1 - LEVEL / 2) + special.ndtri(power)
    allowed = (difference / shift) ** 2 / 2 - noise.recipe_item / n_items
    variance = max(noise.seed + noise.residual / n_items, 0.0)
    return int(np.clip(np.ceil(variance / allowed), 1, MAX_SEEDS)) if allowed > 0 else MAX_SEEDS


def items_needed(noise: DifferenceNoise, n_seeds: int, difference: float, *, power: float = POWER) -> float:
    """Smallest number of items that detects a difference; NaN if seed variance is too large for any number."""
    df = _test_df(noise, n_seeds)
    if not df > 0:
        return np.nan
    allowed = (difference / detectable_shift(df, power=power)) ** 2 / 2 - max(noise.seed, 0) / n_seeds
    if allowed <= 0:
        return np.nan
    return float(max(1, np.ceil((max(noise.residual, 0) / n_seeds + noise.recipe_item) / allowed)))


def detection_table(runs: list[RunScores], *, difference: float | None = None, power: float = POWER) -> pd.DataFrame:
    """Minimum detectable differences for several numbers of seeds, from the runs of one benchmark and measure.

    The difference to detect is by default half of the minimum detectable difference of each number of seeds.

    Returns
    -------
    pd.DataFrame
        One row per number of seeds. ``benchmark, measure, n_items, n_seeds`` (per recipe), ``power``; ``detectable``,
        the minimum detectable difference for these items, with the interval from the uncertainty of the seed variance;
        ``detectable_other_items``, for other items of the same kind (NaN with one run); ``difference``, with
        ``seeds_needed`` for these items and ``items_needed`` for these seeds, and both with ``_other_items``. NaN: no
        number is sufficient, or, if ``detectable`` is NaN, all seeds of every run have the same score.
    """
    n_items = max(run.n_items for run in runs)
    noise = estimate_noise(runs)
    wider = estimate_noise(runs, other_items=True) if len(runs) > 1 else None
    rows = []
    for n_seeds in SEEDS:
        found = minimum_detectable(noise, n_items, n_seeds, power=power)
        lower, upper = sd_interval(np.asarray(found), noise.df)
        wanted = found / 2 if difference is None else difference
        rows.append(
            {
                names.BENCHMARK: runs[0].benchmark,
                "measure": runs[0].measure,
                "n_items": n_items,
                "n_seeds": n_seeds,
                "power": power,
                "detectable": found,
                "detectable_q05": float(lower),
                "detectable_q95": float(upper),
                "detectable_other_items": (
                    np.nan if wider is None else minimum_detectable(wider, n_items, n_seeds, power=power)
                ),
                "difference": wanted,
                **_needs(noise, n_items, n_seeds, wanted, power, ""),
                **_needs(wider, n_items, n_seeds, wanted, power, "_other_items"),
            }
        )
    return pd.DataFrame(rows)


def _needs(
    noise: DifferenceNoise | None, n_items: int, n_seeds: int, difference: float, power: float, suffix: str
) -> dict[str, float]:
    if noise is None or not difference > 0:
        return {f"seeds_needed{suffix}": np.nan, f"items_needed{suffix}": np.nan}
    return {
        f"seeds_needed{suffix}": seeds_needed(noise, n_items, difference, power=power),
        f"items_needed{suffix}": items_needed(noise, n_seeds, difference, power=power),
    }


def needed_table(measures: dict[str, list[RunScores]], *, difference: float, power: float = POWER) -> pd.DataFrame:
    """Seeds per recipe that detect a difference of accuracies, by task, measure, number of items and of trials.

    Returns
    -------
    pd.DataFrame
        ``benchmark, subtask`` ("" for the whole), ``measure, difference`` (in units of the measure), ``power, n_items,
        n_trials, seeds_needed`` with its interval from the uncertainty of the seed variance and, with two runs,
        ``seeds_needed_other_items``; ``n_items_there, n_trials_there``.
        NaN: no number is enough, or the noise is not known.

    Notes
    -----
    The numbers of items are multiples of those there are. Other numbers of trials need repeated answers. A difference
    in another measure is that of accuracy times the slope of the measure over accuracy, across the means of runs and
    steps; a measure is left out of tasks where there are fewer than four means, or accuracy does not move. Subtasks of
    one item are left out.
    """
    accuracy = measures[ACCURACY]
    rows = []
    for name, runs in measures.items():
        for task, (own, base) in _tasks(runs, accuracy).items():
            wanted = difference * (1.0 if name == ACCURACY else _slope(own, base))
            if np.isfinite(wanted) and wanted != 0:
                rows += [row | {"subtask": task, "measure": name} for row in _needed_rows(own, abs(wanted), power)]
    table = pd.DataFrame(rows)
    table.insert(0, names.BENCHMARK, accuracy[0].benchmark)
    first = [names.BENCHMARK, names.SUBTASK, "measure", "difference", "power", "n_items", "n_trials", "seeds_needed"]
    return table[[*first, *table.columns.difference(first)]]


def _tasks(runs: list[RunScores], base: list[RunScores]) -> dict[str, tuple[list[RunScores], list[RunScores]]]:
    """Split runs of a measure and of accuracy by subtask, with the whole benchmark under ""."""
    found = {"": (runs, base)}
    parts = [[run.subtasks() for run in each] for each in (runs, base)]
    for task in parts[0][0]:
        if all(task in own and own[task].n_items > 1 for each in parts for own in each):
            found[task] = ([own[task] for own in parts[0]], [own[task] for own in parts[1]])
    return found


def _slope(runs: list[RunScores], base: list[RunScores]) -> float:
    """Slope of a measure over accuracy across means of runs and steps."""
    y, x = (np.concatenate([np.nanmean(run.scores(), axis=0) for run in each]) for each in (runs, base))
    known = np.isfinite(x + y) if len(x) == len(y) else np.zeros(0, dtype=bool)
    if known.sum() < MIN_MOVES or np.ptp(x[known]) == 0:
        return np.nan
    return float(np.polyfit(x[known], y[known], 1)[0])


def _needed_rows(runs: list[RunScores], difference: float, power: float) -> list[dict[str, Any]]:
    noise = estimate_noise(runs)
    n_items, (there, single, left) = max(run.n_items for run in runs), _trials(runs)
    kinds = {"": noise} | {f"_{end}": _scaled(noise, limit) for end, limit in zip(("q05", "q95"), (0, 1), strict=True)}
    if len(runs) > 1:
        kinds["_other_items"] = estimate_noise(runs, other_items=True)
    rows: list[dict[str, Any]] = []
    for n_trials in sorted({there, *TRIALS}) if np.isfinite(single) else [there]:
        change = 0.0 if n_trials == there else single / n_trials - left
        for n in sorted({max(2, round(multiple * n_items)) for multiple in ITEM_MULTIPLES}):
            row = {"difference": difference, "power": power, "n_items": n, "n_trials": n_trials}
            row |= {"n_items_there": n_items, "n_trials_there": there}
            for suffix, each in kinds.items():
                seed = max(each.seed, 0.0) if n > n_items else each.seed  # below 0 only by chance
                own = each._replace(seed=seed, residual=each.residual + change)
                needed = seeds_needed(own, n, difference, power=power)
                if n > n_items:  # more items never take more seeds, which the bound at 0 would have it
                    needed = float(np.fmin(needed, rows[-1][f"seeds_needed{suffix}"]))
                row[f"seeds_needed{suffix}"] = needed
            rows.append(row)
    return rows


def _scaled(noise: DifferenceNoise, limit: int) -> DifferenceNoise:
    """Noise at the lower (0) or upper (1) limit of its 90% interval."""
    factor = float(sd_interval(np.asarray(1.0), noise.df)[limit]) ** 2
    return noise._replace(seed=factor * noise.seed, residual=factor * noise.residual)


def _trials(runs: list[RunScores]) -> tuple[int, float, float]:
    """Trials per cell; variance of a single answer in its cell, and its part in the residual, NaN without repeats."""
    found = [trial_noise(run.values[:, -1], run.trials[:, -1], _last(run.within)) for run in runs]
    weights = np.array([run.n_seeds - 1.0 for run in runs])
    single, left = (float(np.average([float(each[part]) for each in found], weights=weights)) for part in (0, 1))
    trials = np.concatenate([run.trials[:, -1].ravel() for run in runs])
    return max(1, round(float(trials[trials > 0].mean()))), single, left


def _last(within: FloatArray | None) -> FloatArray | None:
    return None if within is None else within[:, -1]


class RecipePair(NamedTuple):
    """What the seeds and the items of one task say of two recipes.

    ``scores`` are those of the seeds of each recipe. ``item`` is the variance of the mean difference over items, and
    ``shared`` the part of it that is due to seeds and single answers.
    """

    task: str
    n_items: int
    scores: tuple[pd.Series, pd.Series]
    item: float
    shared: float


def compare_recipes(
    tasks: dict[str, tuple[RunScores, RunScores]], *, difference: float = DIFFERENCE, power: float = POWER
) -> pd.DataFrame:
    """Compare two recipes on each task and over all: for other seeds and other items; see `irt_bench.compare_recipes`.

    Returns
    -------
    pd.DataFrame
        Row per task, and ``all tasks``, their mean, where there are several: ``task, n_items, n_seeds_a, n_seeds_b,
        paired`` (whether the same seeds were trained with both), ``score_a, score_b, difference`` (a less b) with
        ``_se, _q05, _q95``; ``seed_se, item_se``, its parts; ``df, p, p_holm`` (over tasks); ``verdict``;
        ``seeds_needed`` per recipe, NaN where no number on these items would do.

    Notes
    -----
    Seeds and items are crossed random effects: the variance of the mean difference is that over seeds plus that over
    items, less the part of single answers that both contain; degrees of freedom are Satterthwaite's [1]_. The verdict
    is "real" where p_holm < .05, "noise" where the 90% interval has no difference as large as `difference` (two
    one-sided tests at 5% [2]_), else "cannot tell".

    References
    ----------
    .. [1] Baayen, Davidson, Bates, Mixed-effects modeling with crossed random effects for subjects and items, 2008,
       DOI 10.1016/j.jml.2007.12.005.
    .. [2] Schuirmann, A comparison of the two one-sided tests procedure, 1987, DOI 10.1007/BF01068419.
    """
    pairs = [_recipe_pair(task, a, b) for task, (a, b) in tasks.items()]
    rows = [_compared(pair, difference, power) for pair in pairs]
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"].to_numpy(dtype=np.float64))
    if len(pairs) > 1:
        overall = pd.DataFrame([_compared(_mean_of(pairs), difference, power)])
        table = pd.concat([table, overall.assign(p_holm=overall["p"])], ignore_index=True)
    inside = (table["difference_q05"] > -difference) & (table["difference_q95"] < difference)
    table["verdict"] = np.select([table["p_holm"] < LEVEL, inside], [REAL, NOISE], CANNOT_TELL)
    return table


def _recipe_pair(task: str, a: RunScores, b: RunScores) -> RecipePair:
    common = a.items.intersection(b.items, sort=False)
    if len(common) < 2:
        raise AnalysisError(
            f"task {task!r}: recipes {a.run!r} and {b.run!r} share {len(common)} items; two are needed."
        )
    at_a, at_b = (run.values[:, -1][:, run.items.get_indexer(common)] for run in (a, b))
    scores = (_seed_scores(at_a, a), _seed_scores(at_b, b))
    of_items = mean_over_items(at_a.T) - mean_over_items(at_b.T)
    of_items = of_items[np.isfinite(of_items)]
    if _is_paired(scores):
        at_b = at_b[pd.Index(b.seeds).get_indexer(pd.Index(a.seeds))]
        residual = float(item_covariance(at_a - at_b).residual) / len(a.seeds)
    else:
        residual = sum(float(item_covariance(own).residual) / len(own) for own in (at_a, at_b))
    n = len(of_items)
    return RecipePair(task, n, scores, float(of_items.var(ddof=1)) / n, residual / n)


def _seed_scores(values: FloatArray, run: RunScores) -> pd.Series:
    return pd.Series(mean_over_items(values), index=run.seeds).dropna()


def _is_paired(scores: tuple[pd.Series, ...]) -> bool:
    """Whether the same seeds were trained with both recipes."""
    return len(scores[0]) > 1 and set(scores[0].index) == set(scores[1].index)


def _mean_of(pairs: list[RecipePair]) -> RecipePair:
    """Mean over tasks, of the seeds that took all; items of different tasks are independent."""
    a, b = (pd.concat([pair.scores[side] for pair in pairs], axis=1).dropna().mean(axis=1) for side in (0, 1))
    n = len(pairs)
    item, shared = (sum(getattr(pair, name) for pair in pairs) / n**2 for name in ("item", "shared"))
    return RecipePair(OVERALL, sum(pair.n_items for pair in pairs), (a, b), item, shared)


def _compared(pair: RecipePair, difference: float, power: float) -> dict[str, object]:
    a, b = pair.scores
    paired = _is_paired(pair.scores)
    samples = [a - b.reindex(a.index)] if paired else [a, b]
    variances = np.array([sample.var(ddof=1) for sample in samples])
    sizes = np.array([len(sample) for sample in samples])
    seed, item = float((variances / sizes).sum()), max(pair.item - pair.shared, 0.0)
    found, se, df = float(a.mean() - b.mean()), np.nan, np.nan
    if seed > 0:
        se = float(np.sqrt(seed + item))
        freedom = ((variances / sizes) ** 2 / (sizes - 1)).sum() + pair.item**2 / (pair.n_items - 1)
        df = float((seed + item) ** 2 / freedom)
    half = float(special.stdtrit(df, INTERVAL[1])) * se
    noise = DifferenceNoise(float(variances.sum()) / 2, 0.0, item * pair.n_items / 2, float((sizes - 1).sum()))
    return {
        "task": pair.task, "n_items": pair.n_items, "n_seeds_a": len(a), "n_seeds_b": len(b), "paired": paired,
        "score_a": float(a.mean()), "score_b": float(b.mean()), "difference": found, "difference_se": se,
        "difference_q05": found - half, "difference_q95": found + half,
        "seed_se": float(np.sqrt(seed)), "item_se": float(np.sqrt(item)), "df": df,
        "p": float(2 * special.stdtr(df, -abs(found) / se)),
        "seeds_needed": seeds_needed(noise, pair.n_items, difference, power=power) if seed > 0 else np.nan,
    }  # fmt: skip
