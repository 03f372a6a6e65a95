"""Ability against raw accuracy: whether they rank the models alike, how reliable each is, and why they differ.

With all items asked and equal discriminations (1PL) ability is an increasing function of accuracy, and the two rankings
are one. They part where items discriminate differently, as ability follows the answers weighted by discrimination, and
where models were asked different items, as accuracy does not know which of them were hard.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from scipy import stats

from irt_bench.analysis.classical import binary_cells, column_correlation
from irt_bench.analysis.intervals import Z_LIMIT, FloatArray, column_mean_interval
from irt_bench.errors import AnalysisError, UndefinedWarning
from irt_bench.names import INTERVAL, ITEM, MODEL
from irt_bench.responses.counts import ResponseCounts

LEAST_MODELS = 3  # two models correlate at -1 or 1
N_RESAMPLES = 500  # resamples of items, and draws correlated; a 5% quantile of 500 is known to 1 percentage point
N_HALVES = 200  # random halves of the items
MOST_DRAWS = 1000  # for ranks and pairs, evenly spaced; means and quantiles of ability use all draws
MOST_CORRELATION = 1 - 1e-12  # Fisher's z of 1 is infinite
DECIMALS = 12  # accuracies closer than this are ties: sums of k / n differ in the last bits
ROW_BLOCK = 256  # models compared with all others at once: 11 MB a temporary array for 5,500 models
PAIR_POOL = 5000  # discordant pairs whose probabilities are computed
PAIRS_SHOWN = 50
RECORDS = 10  # pairs and items in a summary
CLEAR = INTERVAL[1]  # probability from which on an order counts as shown
ITEM_COLUMNS = ("contribution", "ability_side", "accuracy_side", "discrimination")


class _Sampling(NamedTuple):
    """Variance of Fisher's z of a rank correlation over samples of models: numerator / (n_models - subtrahend)."""

    numerator: float
    subtrahend: int


SAMPLING = {"kendall_tau_b": _Sampling(0.437, 4), "spearman": _Sampling(1.060, 3)}  # Fieller, Hartley, Pearson 1957


@dataclass(frozen=True)
class Comparison:
    """How ability and accuracy rank the same models.

    Parameters
    ----------
    correlations : pd.DataFrame
        Indexed ``kendall_tau_b, spearman``. ``rankings``: between the two rankings as published, posterior mean
        ability and accuracy. ``estimate, q05, q95``: between ability itself and accuracy, posterior mean and quantiles.
        ``further_models_q05, further_models_q95``: the latter for further models like these.
    reliability : pd.DataFrame
        Indexed ``ability, accuracy``; ``estimate, q05, q95, method``.
    models : pd.DataFrame
        Indexed by model: ``ability, ability_sd, ability_q05, ability_q95, accuracy, accuracy_q05, accuracy_q95,
        rank_by_ability, rank_q05, rank_q95, rank_by_accuracy, accuracy_rank_q05, accuracy_rank_q95, ranks_disjoint``.
        Rank 1 is the best; ties share their mean rank.
    discordant : pd.DataFrame
        The `PAIRS_SHOWN` pairs of models most certain to be ordered one way by ability and the other by accuracy:
        ``higher_ability, higher_accuracy, ability_difference, accuracy_difference`` (both positive), ``p_ability``
        (posterior probability of the order by ability), ``p_accuracy`` (share of resamples of items with the order by
        accuracy, ties half), ``certainty`` (their product), decreasing.
    items : pd.DataFrame
        Indexed by item: ``contribution`` to the reversal of those pairs, decreasing, with ``ability_side -
        accuracy_side`` as its parts and ``discrimination``. Empty where discriminations are equal or not given.
    n_pairs, n_discordant, n_clear : int
        All pairs of models; those in opposite strict orders; of these, those with both probabilities at least 0.95.
    n_resamples, seed : int
        Resamples of items, and the seed of everything random.
    note : str
        Why `items` is empty, else empty.
    """

    correlations: pd.DataFrame
    reliability: pd.DataFrame
    models: pd.DataFrame
    discordant: pd.DataFrame
    items: pd.DataFrame
    n_pairs: int
    n_discordant: int
    n_clear: int
    n_resamples: int
    seed: int
    note: str

    def summary(self) -> dict[str, object]:
        """Plain values for JSON: correlations, reliability, counts of pairs, and the first pairs and items."""
        plain = ("n_pairs", "n_discordant", "n_clear", "n_resamples", "seed", "note")
        return {
            "correlations": self.correlations.to_dict("index"),
            "reliability": self.reliability.to_dict("index"),
            **{name: getattr(self, name) for name in plain},
            "discordant": self.discordant.head(RECORDS).to_dict("records"),
            "items": self.items.head(RECORDS).reset_index().to_dict("records"),
        }


def compare_ability_accuracy(
    ability: xr.DataArray,
    counts: ResponseCounts,
    *,
    discrimination: xr.DataArray | None = None,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare the ranking of models by posterior ability with the ranking by accuracy.

    Parameters
    ----------
    ability : xr.DataArray of shape (chain, draw, model) or (sample, model)
        Draws of ability, higher is better.
    counts : ResponseCounts
        The responses behind it. Models and items are joined by label.
    discrimination : xr.DataArray with dimension item
        Other dimensions are averaged over; needed for `Comparison.items`.
    n_resamples : int
        Resamples of items, and draws that are correlated with accuracy.
    seed : int
        Seed of resamples, halves and pairs of draws.

    Raises
    ------
    AnalysisError
        If labels do not match, ability is not finite, or fewer than three models have answers.

    Warns
    -----
    UndefinedWarning
        If models without answers are left out, or all accuracies (or abilities) are equal.

    Notes
    -----
    *Correlations.* The two rankings come from the same answers, so ``rankings`` says how far they agree and not how
    right they are. Correlating each draw of ability with accuracy [1]_ gives the posterior of "how well accuracy on
    these items orders these models by ability"; noise of accuracy lowers the value itself, noise of ability spreads the
    draws. It is mostly below ``rankings``, by the noise that both rankings share. Items are *not* resampled for it: a
    resample adds to accuracy the noise that is already in it, and intervals so made missed their target in simulations.
    The interval for further models adds, in Fisher's z, the variance over samples of models [2]_; it is the one that
    has to reach 0 where ability and accuracy are unrelated.

    *Ranks and pairs by accuracy* rest on resampled items [3]_.

    *Reliability.* Accuracy: correlation over models between random halves of the items, stepped up by Spearman-Brown to
    the full length [4]_, mean and quantiles over halves. Ability: var(posterior means) / (var(posterior means) + mean
    posterior variance) [5]_; its interval is that of the correlation over models between two draws, which estimates
    the same quantity.

    *Pairs.* All pairs are counted, in blocks of rows, so memory grows with the number of models and not of pairs. The
    5,000 most certain discordant ones by a normal approximation, both measures and both models independent, get their
    probabilities from draws and resamples; with fewer discordant pairs nothing is approximated.

    *Items.* In the 2PL ability depends on a model's answers through sum_i a_i y_i [6]_. Accuracy weighs item i with
    1/n, this score with a_i / sum a, over the items the model was asked. For models A (higher ability) and B,
    ``ability_side`` is the difference A - B of the item's part in the weighted score, ``accuracy_side`` that in
    accuracy; over items they add up to the differences of the two scores. Means over the pairs in
    `Comparison.discordant`. For other models than the 2PL the weights are an approximation.

    References
    ----------
    .. [1] Kendall, The treatment of ties in ranking problems, 1945, DOI 10.1093/biomet/33.3.239.
    .. [2] Fieller, Hartley, Pearson, Tests for rank correlation coefficients. I, 1957, DOI 10.1093/biomet/44.3-4.470.
    .. [3] Efron, Bootstrap methods: another look at the jackknife, 1979, DOI 10.1214/aos/1176344552.
    .. [4] Brown, Some experimental results in the correlation of mental abilities, 1910,
       DOI 10.1111/j.2044-8295.1910.tb00207.x.
    .. [5] Adams, Reliability as a measurement design effect, 2005, DOI 10.1016/j.stueduc.2005.05.008.
    .. [6] Birnbaum, in Lord, Novick, Statistical theories of mental test scores, 1968, chapter 18.
    """
    draws, counts = _join(ability, counts)
    weights = None if discrimination is None else _item_weights(discrimination, counts)
    rng = np.random.default_rng(seed)
    accuracy = np.asarray(counts.accuracy().to_numpy(), dtype=np.float64).round(DECIMALS)
    resampled = _resample_accuracy(counts, accuracy, n_resamples, rng)
    thinned = draws[_evenly(len(draws), MOST_DRAWS)]
    sides = _Sides(np.asarray(draws.mean(axis=0)), accuracy, thinned, resampled)
    discordant, n_discordant, n_clear = _discordant_pairs(sides, counts.models.index)
    items, note = _responsible_items(discordant, counts, weights)
    return Comparison(
        correlations=_correlations(sides, n_resamples),
        reliability=_reliability(draws, thinned, counts, rng),
        models=_model_table(draws, sides, counts),
        discordant=discordant.head(PAIRS_SHOWN),
        items=items,
        n_pairs=counts.n_models * (counts.n_models - 1) // 2,
        n_discordant=n_discordant,
        n_clear=n_clear,
        n_resamples=n_resamples,
        seed=seed,
        note=note,
    )


class _Sides(NamedTuple):
    """Both measures of the same models, with what says how sure they are; all models have answers."""

    ability: FloatArray  # (model,), posterior mean
    accuracy: FloatArray  # (model,)
    draws: FloatArray  # (draw, model), at most MOST_DRAWS
    resampled: FloatArray  # (resample, model), accuracy on resampled items


def _join(ability: xr.DataArray, counts: ResponseCounts) -> tuple[FloatArray, ResponseCounts]:
    """Draws of shape (draw, model) in the order of the models with answers, and the counts of those."""
    if MODEL not in ability.dims or MODEL not in ability.coords:
        raise AnalysisError(f"ability has dimensions {tuple(ability.dims)}; it needs {MODEL!r}, with labels.")
    positions = _match(ability[MODEL].to_index(), counts.models.index, "model", "ability")
    draws = (
        ability.transpose(..., MODEL)
        .to_numpy()
        .reshape(-1, len(positions))[:, positions]
        .astype(np.float64, copy=False)
    )
    answered = counts.asked.any(axis=1)
    if not answered.all():
        first = counts.models.index[int((~answered).argmax())]
        warnings.warn(
            f"{int((~answered).sum())} models have no answers, hence no accuracy, and are left out; first: {first!r}.",
            UndefinedWarning,
            stacklevel=3,
        )
        draws, counts = draws[:, answered], counts.take(models=answered)
    if counts.n_models < LEAST_MODELS or len(draws) < 2:
        raise AnalysisError(
            f"there are {counts.n_models} models with answers and {len(draws)} draws of ability; at least "
            f"{LEAST_MODELS} models and 2 draws are needed."
        )
    if not np.isfinite(draws).all():
        first = counts.models.index[int((~np.isfinite(draws)).any(axis=0).argmax())]
        raise AnalysisError(f"draws of ability are not finite; first: model {first!r}. Check the fit's convergence.")
    return draws, counts


def _item_weights(discrimination: xr.DataArray, counts: ResponseCounts) -> FloatArray:
    """Mean discrimination of each item, in the order of the counts."""
    if ITEM not in discrimination.dims or ITEM not in discrimination.coords:
        raise AnalysisError(
            f"discrimination has dimensions {tuple(discrimination.dims)}; it needs {ITEM!r}, with labels."
        )
    positions = _match(discrimination[ITEM].to_index(), counts.items.index, "item", "discrimination")
    weights = discrimination.mean([dim for dim in discrimination.dims if dim != ITEM]).to_numpy()[positions]
    if not np.isfinite(weights).all() or weights.sum() <= 0:
        raise AnalysisError("discriminations must be finite with a positive sum to weigh the items' answers.")
    return np.asarray(weights, dtype=np.float64)


def _match(labels: pd.Index, wanted: pd.Index, what: str, parameter: str) -> npt.NDArray[np.intp]:
    """Positions in `labels` of the `wanted` ones, all of which must be there, and no others."""
    labels, wanted = labels.astype("str"), wanted.astype("str")
    positions = labels.get_indexer(wanted) if labels.is_unique else np.full(len(wanted), -1)
    if (positions < 0).any() or len(labels) != len(wanted):
        lone = wanted.symmetric_difference(labels)
        first = f"first in only one of them: {lone[0]!r}" if len(lone) else "some occur twice"
        raise AnalysisError(
            f"{parameter} has {len(labels)} {what}s, the responses {len(wanted)}; {first}. "
            "Take ability and responses from the same fit."
        )
    return positions


def _resample_accuracy(
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


def _correlations(sides: _Sides, n_draws: int) -> pd.DataFrame:
    """Both rank correlations: of the two rankings, and of ability itself with its two intervals."""
    n_models = len(sides.ability)
    draws = sides.draws[_evenly(len(sides.draws), n_draws)]
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


def _evenly(n: int, most: int) -> npt.NDArray[np.intp]:
    """Positions of at most `most` of n rows, evenly spaced."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.intp)


def _rank_correlations(ability: FloatArray, accuracy: FloatArray) -> dict[str, FloatArray]:
    """Kendall's tau-b and Spearman's rho of each row of ability, shape (draw, model), with accuracy, shape (model,)."""
    tau = np.array(
        [stats.kendalltau(row, accuracy, method="asymptotic").statistic for row in ability], dtype=np.float64
    )
    ranks = stats.rankdata(ability, axis=1).T
    accuracy_ranks = np.broadcast_to(stats.rankdata(accuracy)[:, None], ranks.shape)
    rho = column_correlation(ranks, accuracy_ranks, np.ones(ranks.shape, dtype=np.bool_)).correlation
    return {"kendall_tau_b": tau, "spearman": rho}


def _reliability(
    draws: FloatArray, thinned: FloatArray, counts: ResponseCounts, rng: np.random.Generator
) -> pd.DataFrame:
    between, within = float(draws.mean(axis=0).var(ddof=1)), float(draws.var(axis=0, ddof=1).mean())
    order = rng.permutation(len(thinned))
    one, other = thinned[order].T, thinned[np.roll(order, 1)].T
    two_draws = column_correlation(one, other, np.ones(one.shape, dtype=np.bool_)).correlation
    halves = _split_half(counts, rng)
    total = between + within
    rows = {
        "ability": [between / total if total > 0 else np.nan, *_limits(two_draws), "empirical"],
        "accuracy": [
            float(np.nanmean(halves)) if np.isfinite(halves).any() else np.nan,
            *_limits(halves),
            "split-half, Spearman-Brown",
        ],
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "q05", "q95", "method"])


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


def _model_table(draws: FloatArray, sides: _Sides, counts: ResponseCounts) -> pd.DataFrame:
    shares, asked = np.nan_to_num(counts.proportions(), copy=False), counts.asked
    accuracy_limits = column_mean_interval(shares.T, asked.T, np.asarray(binary_cells(counts).all(axis=1)))
    ability_limits = np.quantile(draws, INTERVAL, axis=0)
    ability_ranks = np.quantile(stats.rankdata(-sides.draws, axis=1), INTERVAL, axis=0)
    accuracy_ranks = np.quantile(stats.rankdata(-sides.resampled, axis=1), INTERVAL, axis=0)
    columns = {
        "ability": sides.ability,
        "ability_sd": draws.std(axis=0, ddof=1),
        "ability_q05": ability_limits[0],
        "ability_q95": ability_limits[1],
        "accuracy": sides.accuracy,
        "accuracy_q05": accuracy_limits.lower,
        "accuracy_q95": accuracy_limits.upper,
        "rank_by_ability": stats.rankdata(-sides.ability),
        "rank_q05": ability_ranks[0],
        "rank_q95": ability_ranks[1],
        "rank_by_accuracy": stats.rankdata(-sides.accuracy),
        "accuracy_rank_q05": accuracy_ranks[0],
        "accuracy_rank_q95": accuracy_ranks[1],
        "ranks_disjoint": (ability_ranks[1] < accuracy_ranks[0]) | (accuracy_ranks[1] < ability_ranks[0]),
    }
    return pd.DataFrame(columns, index=counts.models.index.rename(MODEL))


def _discordant_pairs(sides: _Sides, labels: pd.Index) -> tuple[pd.DataFrame, int, int]:
    """Return the most certain discordant pairs, the number of discordant pairs, and how many are clear."""
    (high, low), n_discordant = _candidates(sides)
    by_ability = _share_above(sides.draws, high, low)
    by_accuracy = _share_above(sides.resampled, low, high)
    pairs = pd.DataFrame(
        {
            "higher_ability": labels[high],
            "higher_accuracy": labels[low],
            "ability_difference": sides.ability[high] - sides.ability[low],
            "accuracy_difference": sides.accuracy[low] - sides.accuracy[high],
            "p_ability": by_ability,
            "p_accuracy": by_accuracy,
            "certainty": by_ability * by_accuracy,
        }
    )
    n_clear = int(((by_ability >= CLEAR) & (by_accuracy >= CLEAR)).sum())
    order = ["certainty", "accuracy_difference", "ability_difference"]
    return pairs.sort_values(order, ascending=False, ignore_index=True), n_discordant, n_clear


def _candidates(sides: _Sides) -> tuple[npt.NDArray[np.intp], int]:
    """Positions (higher ability, higher accuracy) of the discordant pairs most certain by a normal approximation."""
    ability_variance, accuracy_variance = sides.draws.var(axis=0), sides.resampled.var(axis=0)
    pool, certainty, n_discordant = np.empty((2, 0), dtype=np.intp), np.empty(0), 0
    for start in range(0, len(sides.ability), ROW_BLOCK):
        rows = slice(start, start + ROW_BLOCK)
        opposite = (sides.ability[rows, None] > sides.ability) & (sides.accuracy[rows, None] < sides.accuracy)
        high, low = np.nonzero(opposite)
        high += start
        n_discordant += len(high)
        pool = np.hstack([pool, [high, low]])
        by_ability = _log_certainty(sides.ability, ability_variance, high, low)
        by_accuracy = _log_certainty(sides.accuracy, accuracy_variance, low, high)
        certainty = np.append(certainty, by_ability + by_accuracy)
        if len(certainty) > PAIR_POOL:
            best = np.argpartition(-certainty, PAIR_POOL)[:PAIR_POOL]
            pool, certainty = pool[:, best], certainty[best]
    return pool, n_discordant


def _log_certainty(
    values: FloatArray, variance: FloatArray, above: npt.NDArray[np.intp], below: npt.NDArray[np.intp]
) -> FloatArray:
    with np.errstate(divide="ignore"):
        z = (values[above] - values[below]) / np.sqrt(variance[above] + variance[below])
    return np.asarray(stats.norm.logcdf(z))


def _share_above(values: FloatArray, above: npt.NDArray[np.intp], below: npt.NDArray[np.intp]) -> FloatArray:
    """Share of rows in which one column exceeds another, ties counting half, for each pair of columns."""
    difference = values[:, above] - values[:, below]
    return np.asarray(((difference > 0) + 0.5 * (difference == 0)).mean(axis=0))


def _responsible_items(
    pairs: pd.DataFrame, counts: ResponseCounts, weights: FloatArray | None
) -> tuple[pd.DataFrame, str]:
    """Mean over the shown pairs of each item's part in the weighted score less its part in accuracy."""
    none = pd.DataFrame(columns=list(ITEM_COLUMNS), index=counts.items.index[:0].rename(ITEM), dtype=np.float64)
    if weights is None:
        return none, "no discriminations were given"
    if np.allclose(weights, weights[0], rtol=1e-9, atol=0):
        return (
            none,
            "discriminations are equal: the order differs only through cells never asked and noise of the draws",
        )
    if pairs.empty:
        return none, "no pair of models is ordered differently"
    shown, all_shares = pairs.head(PAIRS_SHOWN), np.nan_to_num(counts.proportions(), copy=False)
    ability_side, accuracy_side = np.zeros(counts.n_items), np.zeros(counts.n_items)
    for column, sign in (("higher_ability", 1), ("higher_accuracy", -1)):
        rows = counts.models.index.get_indexer(pd.Index(shown[column]))
        shares, asked = all_shares[rows], counts.asked[rows]
        ability_side += sign * (shares * weights / (asked @ weights)[:, None]).mean(axis=0)
        accuracy_side += sign * (shares / asked.sum(axis=1, keepdims=True)).mean(axis=0)
    values = (ability_side - accuracy_side, ability_side, accuracy_side, weights)
    items = pd.DataFrame(dict(zip(ITEM_COLUMNS, values, strict=True)), index=counts.items.index.rename(ITEM))
    return items.sort_values("contribution", ascending=False, kind="stable"), ""
