"""Two rankings of the same models: how they correlate, how reliable each is, and each model's place in both."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from irt_bench.analysis.classical import binary_cells, column_correlation
from irt_bench.analysis.intervals import Z_LIMIT, alpha_interval, column_mean_interval
from irt_bench.analysis.labelled_draws import evenly_spaced
from irt_bench.arrays import FloatArray
from irt_bench.errors import UndefinedWarning
from irt_bench.names import INTERVAL, MODEL
from irt_bench.responses.counts import ResponseCounts

N_HALVES = 200  # random halves of the items
MOST_CORRELATION = 1 - 1e-12  # Fisher's z of 1 is infinite
DECIMALS = 12  # accuracies closer than this are ties: sums of k / n differ in the last bits


class _Sampling(NamedTuple):
    """Variance of Fisher's z of a rank correlation over samples of models: numerator / (n_models - subtrahend)."""

    numerator: float
    subtrahend: int


SAMPLING = {"kendall_tau_b": _Sampling(0.437, 4), "spearman": _Sampling(1.060, 3)}  # Fieller, Hartley, Pearson 1957


class Sides(NamedTuple):
    """Both measures of the same models, with what says how sure they are; all models have answers."""

    ability: FloatArray  # (model,), posterior mean
    accuracy: FloatArray  # (model,)
    draws: FloatArray  # (draw, model), at most MOST_DRAWS, around `ability`
    resampled: FloatArray  # (resample, model), accuracy on resampled items


def resample_accuracy(
    counts: ResponseCounts, accuracy: FloatArray, n_resamples: int, rng: np.random.Generator
) -> FloatArray:
    """Accuracy of each model on items drawn with replacement, shape (resample, model)."""
    n_items = counts.n_items
    times = rng.multinomial(n_items, np.full(n_items, 1 / n_items), size=n_resamples).astype(np.float64)
    right = times @ np.nan_to_num(counts.proportions(), copy=False).T
    n_asked = times @ counts.asked.T.astype(np.float64)
    # A model with few answers may have none in a resample: it keeps its accuracy there.
    drawn = np.divide(right, n_asked, out=np.broadcast_to(accuracy, right.shape).copy(), where=n_asked > 0)
    return drawn.round(DECIMALS)


def correlation_table(sides: Sides, n_draws: int) -> pd.DataFrame:
    """Both rank correlations: of the two rankings, and of ability itself with its two intervals."""
    n_models = len(sides.ability)
    draws = sides.draws[evenly_spaced(len(sides.draws), n_draws)]
    rankings = _rank_correlations(sides.ability[None], sides.accuracy)
    over_draws = _rank_correlations(draws, sides.accuracy)
    rows = {}
    for name, sampling in SAMPLING.items():
        values = over_draws[name]
        z = np.arctanh(np.clip(values, -MOST_CORRELATION, MOST_CORRELATION))
        freedom = n_models - sampling.subtrahend
        half = Z_LIMIT * np.sqrt(z.var() + sampling.numerator / freedom) if freedom > 0 else np.inf
        wide = np.tanh(z.mean() - half), np.tanh(z.mean() + half)
        rows[name] = [float(rankings[name][0]), values.mean(), *np.quantile(values, INTERVAL), *wide]
    if np.ptp(sides.accuracy) == 0:
        message = "rank correlations are undefined and reported as NaN: all models have the same accuracy."
        warnings.warn(message, UndefinedWarning, stacklevel=3)
    columns = ["rankings", "estimate", "q05", "q95", "further_models_q05", "further_models_q95"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def reliability_table(sides: Sides, counts: ResponseCounts, rng: np.random.Generator) -> pd.DataFrame:
    """Reliability over models of ability, from its draws, and of accuracy, from halves of the items."""
    estimate = np.broadcast_to(sides.ability[:, None], sides.draws.T.shape)
    squared = column_correlation(estimate, sides.draws.T, np.ones(estimate.shape, dtype=np.bool_)).correlation ** 2
    halves = _split_half(counts, rng)
    stepped_up = float(np.nanmean(halves)) if np.isfinite(halves).any() else np.nan
    rows = {
        "ability": [np.nanmean(squared) if np.isfinite(squared).any() else np.nan, *_limits(squared), "posterior"],
        "accuracy": [
            stepped_up,
            *alpha_interval(stepped_up, counts.n_models, counts.n_items),
            "split-half, Spearman-Brown, Feldt",
        ],
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "q05", "q95", "method"])


def model_table(abilities: pd.DataFrame, sides: Sides, counts: ResponseCounts) -> pd.DataFrame:
    """Ability, accuracy and the rank of each model by either, with intervals, and whether those of the ranks part."""
    shares, asked = np.nan_to_num(counts.proportions(), copy=False), counts.asked
    accuracy_limits = column_mean_interval(shares.T, asked.T, np.asarray(binary_cells(counts).all(axis=1)))
    accuracy_ranks = np.quantile(stats.rankdata(-sides.resampled, axis=1), INTERVAL, axis=0)
    columns = {
        "accuracy_q05": accuracy_limits.lower,
        "accuracy_q95": accuracy_limits.upper,
        "rank_by_accuracy": stats.rankdata(-sides.accuracy),
        "accuracy_rank_q05": accuracy_ranks[0],
        "accuracy_rank_q95": accuracy_ranks[1],
        "ranks_disjoint": (abilities["rank_q95"].to_numpy() < accuracy_ranks[0])
        | (accuracy_ranks[1] < abilities["rank_q05"].to_numpy()),
    }
    found = abilities.rename(columns={"rank": "rank_by_ability"}).assign(accuracy=sides.accuracy, **columns)
    return found.set_axis(counts.models.index.rename(MODEL))


def _rank_correlations(ability: FloatArray, accuracy: FloatArray) -> dict[str, FloatArray]:
    """Kendall's tau-b and Spearman's rho of each row of ability, shape (draw, model), with accuracy, shape (model,)."""
    tau = np.array(
        [stats.kendalltau(row, accuracy, method="asymptotic").statistic for row in ability], dtype=np.float64
    )
    ranks = stats.rankdata(ability, axis=1).T
    accuracy_ranks = np.broadcast_to(stats.rankdata(accuracy)[:, None], ranks.shape)
    rho = column_correlation(ranks, accuracy_ranks, np.ones(ranks.shape, dtype=np.bool_)).correlation
    return {"kendall_tau_b": tau, "spearman": rho}


def _split_half(counts: ResponseCounts, rng: np.random.Generator) -> FloatArray:
    """Stepped-up correlations over models between accuracies on random halves of the items, shape (half,)."""
    shares, asked = np.nan_to_num(counts.proportions(), copy=False).T, counts.asked.T.astype(np.float64)
    in_first = np.tile(np.arange(counts.n_items) < counts.n_items // 2, (N_HALVES, 1))
    first = rng.permuted(in_first, axis=1).astype(np.float64)
    n = first @ asked, (1 - first) @ asked
    both = (n[0] > 0) & (n[1] > 0)
    one, other = (first @ shares / np.maximum(n[0], 1)).T, ((1 - first) @ shares / np.maximum(n[1], 1)).T
    correlation = column_correlation(one, other, both.T).correlation
    return np.asarray(2 * correlation / (1 + np.where(correlation > -1, correlation, np.nan)))


def _limits(values: FloatArray) -> FloatArray:
    """Limits of the central interval over the defined values; NaN if there are none."""
    known = values[~np.isnan(values)]
    return np.quantile(known, INTERVAL) if len(known) else np.full(2, np.nan)
