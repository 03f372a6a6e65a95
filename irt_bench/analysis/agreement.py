"""Ability and raw accuracy compared: whether they rank models alike, how reliable each is, and why they differ.

With complete responses and equal discriminations (1PL) ability is an increasing function of accuracy, and the rankings
agree. They differ where items discriminate differently, since ability weights responses by discrimination. They also
differ where models responded to different items, since accuracy ignores their difficulty.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy
import xarray as xr
from scipy import special

from irt_bench.analysis.abilities import abilities_given_items
from irt_bench.analysis.classical import binary_cells, column_correlation
from irt_bench.analysis.intervals import Z_LIMIT, alpha_interval, column_mean_interval, resampled_counts
from irt_bench.analysis.irt import model_abilities, tabulate_abilities
from irt_bench.analysis.labelled_draws import ItemParameters, evenly_spaced, match_labels
from irt_bench.arrays import FloatArray, Positions
from irt_bench.errors import AnalysisError, UndefinedWarning
from irt_bench.irt_models.model import SCORE_MODEL
from irt_bench.names import ABILITY, CHAIN, CLEAR_PROBABILITY, DISCRIMINATION, DRAW, INTERVAL, ITEM, MODEL
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts

MIN_MODELS = 3  # two models correlate at -1 or 1
N_RESAMPLES = 500  # of items, and draws that are correlated: a 5% quantile of 500 is known to 1 percentage point
MAX_DRAWS = 1000  # for correlations and pairs, evenly spaced
RECORDS = 10  # pairs and items in a summary
N_HALVES = 200  # random halves of the items
MAX_CORRELATION = 1 - 1e-12  # Fisher's z of 1 is infinite
DECIMALS = 12  # accuracies closer than this are ties, since sums of k / n differ by rounding
ROW_BLOCK = 256  # models compared with all others at once: a temporary array of 11 MB for 5,500 models
PAIR_POOL = 5000  # discordant pairs whose probabilities are computed
PAIRS_SHOWN = 50
N_SPLITS = 20  # of the items into halves; each half is used as the first
MAX_SPLIT_MODELS = 500  # 125,000 pairs
CONFIRMED = ("repeated", "reversed", "ability_order")
TINY = 1e-12
# Variance of Fisher's z over samples of models: first / (n_models - second). Fieller, Hartley, Pearson 1957.
SAMPLING = {"kendall_tau_b": (0.437, 4), "spearman": (1.060, 3)}
ITEM_COLUMNS = ("contribution", "ability_side", "accuracy_side", "discrimination")


@dataclass(frozen=True)
class AbilityAccuracyComparison:
    """How ability and accuracy rank the same models.

    Parameters
    ----------
    correlations : pd.DataFrame
        Indexed ``kendall_tau_b, spearman``. ``rankings``: correlation of posterior mean ability with accuracy.
        ``estimate, q05, q95``: correlation of ability itself with accuracy, posterior mean and quantiles.
        ``further_models_q05, further_models_q95``: interval of the latter for further models from the same population.
    reliability : pd.DataFrame
        Indexed ``ability, accuracy``; ``estimate, q05, q95, method``.
    models : pd.DataFrame
        Indexed by model: columns of `ability_table`, ``rank`` as ``rank_by_ability``, and ``accuracy_q05,
        accuracy_q95, rank_by_accuracy, accuracy_rank_q05, accuracy_rank_q95, ranks_disjoint``. Rank 1 is the best; ties
        share their mean rank.
    discordant : pd.DataFrame
        The `PAIRS_SHOWN` discordant pairs of models that are most certain: ``higher_ability, higher_accuracy,
        ability_difference, accuracy_difference`` (both positive), ``p_ability`` (posterior probability of the order by
        ability, under the IRT model) and ``p_accuracy`` (share of resamples of items with the order by accuracy, ties
        count half). Both come from the same responses. Their product is therefore not the probability that both hold;
        see `confirmation`.
    confirmation : pd.DataFrame
        Discordant pairs on held-out items: `confirm_by_other_items`; empty without item parameters, and for models of
        scores.
    items : pd.DataFrame
        Indexed by item: ``contribution`` to the reversal of those pairs, decreasing, with its parts ``ability_side -
        accuracy_side``, and ``discrimination``. Empty where discriminations are equal or not given.
    n_pairs, n_discordant, n_clear : int
        Number of pairs of models; of discordant pairs; of discordant pairs with both probabilities at least 0.95.
    n_resamples, seed : int
        Number of resamples of items, and the seed.
    note : str
        Why `items` is empty, else empty.
    """

    correlations: pd.DataFrame
    reliability: pd.DataFrame
    models: pd.DataFrame
    discordant: pd.DataFrame
    confirmation: pd.DataFrame
    items: pd.DataFrame
    n_pairs: int
    n_discordant: int
    n_clear: int
    n_resamples: int
    seed: int
    note: str

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON: correlations, reliability, numbers of pairs, and the first pairs and items."""
        plain = ("n_pairs", "n_discordant", "n_clear", "n_resamples", "seed", "note")
        return {
            "correlations": self.correlations.to_dict("index"),
            "reliability": self.reliability.to_dict("index"),
            "confirmation": self.confirmation.to_dict("index"),
            **{name: getattr(self, name) for name in plain},
            "discordant": self.discordant.head(RECORDS).to_dict("records"),
            "items": self.items.head(RECORDS).reset_index().to_dict("records"),
        }


def compare_ability_accuracy(
    posterior: xr.Dataset | xr.DataArray,
    counts: Responses,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> AbilityAccuracyComparison:
    """Compare the ranking of models by posterior ability with that by accuracy; see `irt_bench.Fit.compare_accuracy`.

    `posterior` may be draws of ability alone, a DataArray of shape (chain, draw, model) or (sample, model), higher is
    better; `AbilityAccuracyComparison.items` and `AbilityAccuracyComparison.confirmation` are then empty.

    Raises
    ------
    AnalysisError
        If labels do not match, ability is not finite, or fewer than three models have responses.

    Warns
    -----
    UndefinedWarning
        If models without responses are left out, or all accuracies (or abilities) are equal.

    Notes
    -----
    *Correlations.* Both rankings come from the same responses, so ``rankings`` shows how far they agree, not how
    accurate they are. Correlating each draw of ability with accuracy [1]_ gives the posterior of "how well accuracy on
    these items orders these models by ability". Noise of accuracy lowers this value; noise of ability spreads the
    draws. It is usually below ``rankings``, because both rankings share noise. Items are *not* resampled for it: a
    resample would add noise that accuracy already has, and such intervals had too low coverage in simulations. The
    interval for further models adds, in Fisher's z, the variance over samples of models [2]_. It is the interval that
    must include 0 where ability and accuracy are unrelated.

    *Ranks and pairs by accuracy* use resampled items [3]_.

    *Reliability.* Ability: the squared correlation over these models between posterior mean and true ability [5]_,
    which is invariant to shifts and scaling. Given the responses, true ability is distributed like its draws, so the
    squared correlations of the mean with the draws are a posterior; the table has its mean and quantiles. Accuracy:
    correlation over models between random halves of the items, extended to the full length by Spearman-Brown [4]_, mean
    over halves, with Feldt's interval over models, as for alpha.

    *Pairs.* All pairs are counted, in blocks of rows, so memory grows with the number of models and not of pairs. The
    5,000 most certain discordant pairs are chosen by a normal approximation in which measures and models are
    independent. Their probabilities come from draws and resamples; with fewer discordant pairs nothing is approximated.
    With complete responses and one ability no pair is *truly* discordant, since expected accuracy increases with
    ability. Such pairs are due to noise of either measure, or to dimensions that the IRT model lacks. Held-out items
    distinguish the two: the responses to random halves of the items, with items at their posterior means, are two tests
    of the models, and an order due to noise is reversed as often as it is repeated.

    *Items.* In the 2PL ability depends on a model's responses through sum_i a_i y_i [6]_. Accuracy weights item i by
    1/n, this score by a_i / sum a, over the observed items. For models A (higher ability) and B, ``ability_side`` is
    the difference A - B of the item's part in the weighted score, ``accuracy_side`` that in accuracy. Summed over items
    they give the differences of the two scores. Both are means over the pairs in
    `AbilityAccuracyComparison.discordant`. For models other than the 2PL the weights are an approximation.

    References
    ----------
    .. [1] Kendall, The treatment of ties in ranking problems, 1945, DOI 10.1093/biomet/33.3.239.
    .. [2] Fieller, Hartley, Pearson, Tests for rank correlation coefficients. I, 1957, DOI 10.1093/biomet/44.3-4.470.
    .. [3] Efron, Bootstrap methods: another look at the jackknife, 1979, DOI 10.1214/aos/1176344552.
    .. [4] Brown, Some experimental results in the correlation of mental abilities, 1910,
       DOI 10.1111/j.2044-8295.1910.tb00207.x.
    .. [5] Kim, A note on the reliability coefficients for item response model-based ability estimates, 2012,
       DOI 10.1007/s11336-011-9238-0.
    .. [6] Birnbaum, in Lord, Novick, Statistical theories of mental test scores, 1968, chapter 18.
    """
    counts = as_counts(counts)
    posterior, counts = _join(posterior, counts)
    halves = DISCRIMINATION in posterior and SCORE_MODEL not in posterior.attrs  # scored by curves of right answers
    weights = _item_weights(posterior[DISCRIMINATION], counts) if DISCRIMINATION in posterior else None
    rng = np.random.default_rng(seed)
    accuracy = np.asarray(counts.accuracy().to_numpy(), dtype=np.float64).round(DECIMALS)
    resampled = resample_accuracy(counts, accuracy, n_resamples, rng)
    found = model_abilities(posterior, counts)
    thinned = found.draws.of(rows=evenly_spaced(len(found.draws.drawn), MAX_DRAWS)).astype(np.float64)
    measures = AbilityAndAccuracy(found.table[ABILITY].to_numpy(), accuracy, thinned, resampled)
    discordant, n_discordant, n_clear = discordant_pairs(measures, counts.models.index)
    items, note = responsible_items(discordant, counts, weights)
    return AbilityAccuracyComparison(
        correlations=correlation_table(measures, n_resamples),
        reliability=reliability_table(measures, counts, rng),
        models=model_table(tabulate_abilities(found, counts), measures, counts),
        discordant=discordant.head(PAIRS_SHOWN),
        confirmation=confirm_by_other_items(counts, posterior, rng) if halves else pd.DataFrame(),
        items=items,
        n_pairs=counts.n_models * (counts.n_models - 1) // 2,
        n_discordant=n_discordant,
        n_clear=n_clear,
        n_resamples=n_resamples,
        seed=seed,
        note=note,
    )


def _join(posterior: xr.Dataset | xr.DataArray, counts: ResponseCounts) -> tuple[xr.Dataset, ResponseCounts]:
    """Posterior and counts of the models with responses, in the order of the counts."""
    if isinstance(posterior, xr.DataArray):
        posterior = posterior.rename(ABILITY).to_dataset()
    ability = posterior.get(ABILITY)
    if ability is None or MODEL not in ability.dims or MODEL not in ability.coords:
        raise AnalysisError(
            f"ability has dimensions {() if ability is None else ability.dims}; it needs {MODEL!r}, with labels."
        )
    if CHAIN not in ability.dims:
        posterior = posterior.rename({dim: DRAW for dim in ability.dims if dim != MODEL}).expand_dims(CHAIN)
    positions = match_labels(ability[MODEL].to_index(), counts.models.index, MODEL, "ability", "the responses")
    answered = counts.asked.any(axis=1)
    if not answered.all():
        first = counts.models.index[int((~answered).argmax())]
        warnings.warn(
            f"{int((~answered).sum())} models have no responses and are left out; first: {first!r}.",
            UndefinedWarning,
            stacklevel=3,
        )
        positions, counts = positions[answered], counts.take(models=answered)
    if counts.n_models < MIN_MODELS:
        raise AnalysisError(f"{counts.n_models} models have responses; at least {MIN_MODELS} models are needed.")
    return posterior.isel({MODEL: positions}), counts


def _item_weights(discrimination: xr.DataArray, counts: ResponseCounts) -> FloatArray:
    """Mean discrimination of each item, in the order of the counts."""
    if ITEM not in discrimination.dims or ITEM not in discrimination.coords:
        raise AnalysisError(
            f"discrimination has dimensions {tuple(discrimination.dims)}; it needs {ITEM!r}, with labels."
        )
    positions = match_labels(
        discrimination[ITEM].to_index(), counts.items.index, ITEM, "discrimination", "the responses"
    )
    weights = discrimination.mean([dim for dim in discrimination.dims if dim != ITEM]).to_numpy()[positions]
    if not np.isfinite(weights).all() or weights.sum() <= 0:
        raise AnalysisError("discriminations must be finite with a positive sum to weight the responses.")
    return np.asarray(weights, dtype=np.float64)


class AbilityAndAccuracy(NamedTuple):
    """Ability and accuracy of the same models with draws and resamples; all models have responses."""

    ability: FloatArray  # (model,), posterior mean
    accuracy: FloatArray  # (model,)
    draws: FloatArray  # (draw, model), at most MAX_DRAWS, around `ability`
    resampled: FloatArray  # (resample, model), accuracy on resampled items


def resample_accuracy(
    counts: ResponseCounts, accuracy: FloatArray, n_resamples: int, rng: np.random.Generator
) -> FloatArray:
    """Accuracy of each model on items drawn with replacement, shape (resample, model)."""
    times = resampled_counts(counts.n_items, n_resamples, rng).astype(np.float64)
    right = times @ np.nan_to_num(counts.proportions(), copy=False).T
    n_asked = times @ counts.asked.T.astype(np.float64)
    # A model with few responses may have none in a resample: it keeps its accuracy there.
    drawn = np.divide(right, n_asked, out=np.broadcast_to(accuracy, right.shape).copy(), where=n_asked > 0)
    return drawn.round(DECIMALS)


def correlation_table(measures: AbilityAndAccuracy, n_draws: int) -> pd.DataFrame:
    """Rank correlations of accuracy with posterior mean ability, and with ability itself with two intervals."""
    n_models = len(measures.ability)
    draws = measures.draws[evenly_spaced(len(measures.draws), n_draws)]
    rankings = _rank_correlations(measures.ability[None], measures.accuracy)
    over_draws = _rank_correlations(draws, measures.accuracy)
    rows = {}
    for name, (numerator, subtrahend) in SAMPLING.items():
        values, freedom = over_draws[name], n_models - subtrahend
        z = np.arctanh(np.clip(values, -MAX_CORRELATION, MAX_CORRELATION))
        half = Z_LIMIT * np.sqrt(z.var() + numerator / freedom) if freedom > 0 else np.inf
        wide = np.tanh(z.mean() - half), np.tanh(z.mean() + half)
        rows[name] = [float(rankings[name][0]), values.mean(), *np.quantile(values, INTERVAL), *wide]
    if np.ptp(measures.accuracy) == 0:
        message = "rank correlations are undefined and reported as NaN: all models have the same accuracy."
        warnings.warn(message, UndefinedWarning, stacklevel=3)
    columns = ["rankings", "estimate", "q05", "q95", "further_models_q05", "further_models_q95"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def reliability_table(measures: AbilityAndAccuracy, counts: ResponseCounts, rng: np.random.Generator) -> pd.DataFrame:
    """Reliability over models of ability, from its draws, and of accuracy, from halves of the items."""
    estimate = np.broadcast_to(measures.ability[:, None], measures.draws.T.shape)
    squared = column_correlation(estimate, measures.draws.T, np.ones(estimate.shape, dtype=np.bool_)).correlation ** 2
    halves = _split_half(counts, rng)
    stepped_up = float(np.nanmean(halves)) if np.isfinite(halves).any() else np.nan
    interval = alpha_interval(stepped_up, counts.n_models, counts.n_items)
    rows = {
        "ability": [np.nanmean(squared) if np.isfinite(squared).any() else np.nan, *_limits(squared), "posterior"],
        "accuracy": [stepped_up, *interval, "split-half, Spearman-Brown, Feldt"],
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "q05", "q95", "method"])


def model_table(abilities: pd.DataFrame, measures: AbilityAndAccuracy, counts: ResponseCounts) -> pd.DataFrame:
    """Ability, accuracy and both ranks of each model with intervals, and whether the ranks' intervals are disjoint."""
    shares, asked = np.nan_to_num(counts.proportions(), copy=False), counts.asked
    accuracy_limits = column_mean_interval(shares.T, asked.T, np.asarray(binary_cells(counts).all(axis=1)))
    accuracy_ranks = np.quantile(scipy.stats.rankdata(-measures.resampled, axis=1), INTERVAL, axis=0)
    columns = {
        "accuracy_q05": accuracy_limits.lower,
        "accuracy_q95": accuracy_limits.upper,
        "rank_by_accuracy": scipy.stats.rankdata(-measures.accuracy),
        "accuracy_rank_q05": accuracy_ranks[0],
        "accuracy_rank_q95": accuracy_ranks[1],
        "ranks_disjoint": (abilities["rank_q95"].to_numpy() < accuracy_ranks[0])
        | (accuracy_ranks[1] < abilities["rank_q05"].to_numpy()),
    }
    found = abilities.rename(columns={"rank": "rank_by_ability"}).assign(accuracy=measures.accuracy, **columns)
    return found.set_axis(counts.models.index.rename(MODEL))


def _rank_correlations(ability: FloatArray, accuracy: FloatArray) -> dict[str, FloatArray]:
    """Kendall's tau-b and Spearman's rho of each row of ability, shape (draw, model), with accuracy, shape (model,)."""
    tau = np.array([float(scipy.stats.kendalltau(row, accuracy, method="asymptotic").statistic) for row in ability])
    ranks = scipy.stats.rankdata(ability, axis=1).T
    accuracy_ranks = np.broadcast_to(scipy.stats.rankdata(accuracy)[:, None], ranks.shape)
    rho = column_correlation(ranks, accuracy_ranks, np.ones(ranks.shape, dtype=np.bool_)).correlation
    return {"kendall_tau_b": tau, "spearman": rho}


def _split_half(counts: ResponseCounts, rng: np.random.Generator) -> FloatArray:
    """Correlations between accuracies on random halves of the items, extended by Spearman-Brown, shape (half,)."""
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


def discordant_pairs(measures: AbilityAndAccuracy, labels: pd.Index) -> tuple[pd.DataFrame, int, int]:
    """Return the most certain discordant pairs, the number of discordant pairs, and how many are clear."""
    (high, low), n_discordant = _candidates(measures)
    by_ability = _share_above(measures.draws, high, low)
    by_accuracy = _share_above(measures.resampled, low, high)
    pairs = pd.DataFrame(
        {
            "higher_ability": labels[high],
            "higher_accuracy": labels[low],
            "ability_difference": measures.ability[high] - measures.ability[low],
            "accuracy_difference": measures.accuracy[low] - measures.accuracy[high],
            "p_ability": by_ability,
            "p_accuracy": by_accuracy,
        }
    )
    n_clear = int(((by_ability >= CLEAR_PROBABILITY) & (by_accuracy >= CLEAR_PROBABILITY)).sum())
    order = np.lexsort((-pairs["ability_difference"], -pairs["accuracy_difference"], -by_ability * by_accuracy))
    return pairs.iloc[order].reset_index(drop=True), n_discordant, n_clear


def confirm_by_other_items(counts: ResponseCounts, items: xr.Dataset, rng: np.random.Generator) -> pd.DataFrame:
    """Check discordant pairs from one half of the items on the other half, of up to `MAX_SPLIT_MODELS` models.

    Returns
    -------
    pd.DataFrame
        Indexed ``all, most_certain``: discordant pairs of a random half of the items, and the `PAIRS_SHOWN` of them (a
        tenth where they are fewer) whose smaller standardised difference is largest. ``n_pairs`` (mean number), and
        shares of the pairs: ``repeated`` (discordant in the same way on the other half), ``reversed`` (discordant in
        the opposite way, as often by chance) and ``ability_order`` (accuracy on the other half has the order of
        ability, ties count half). Means over halves, with quantiles over halves as ``_q05, _q95``; NaN without such
        pairs.
    """
    mean = items[[name for name in ItemParameters._fields if name in items]].mean(("chain", "draw"), keepdims=True)
    if counts.n_models > MAX_SPLIT_MODELS:
        counts = counts.take(models=np.sort(rng.choice(counts.n_models, MAX_SPLIT_MODELS, replace=False)))
    found: dict[str, list[list[float]]] = {"all": [], "most_certain": []}
    for _ in range(N_SPLITS if counts.n_items >= 2 else 0):
        order = rng.permutation(counts.n_items)
        halves = [_half(counts.take(items=np.sort(half)), mean) for half in np.array_split(order, 2)]
        for first, other in (halves, halves[::-1]):
            pairs = _pairs_of_half(first)
            most_certain = pairs[:, : min(PAIRS_SHOWN, max(pairs.shape[1] // 10, 1))]
            for name, chosen in (("all", pairs), ("most_certain", most_certain)):
                found[name].append(_confirmed(chosen, other))
    rows = {name: _over_halves(np.array(values).reshape(-1, len(CONFIRMED) + 1)) for name, values in found.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("pairs")


class _HalfTest(NamedTuple):
    """Ability and accuracy of the models on half of the items, shape (model,), with their standard errors."""

    ability: FloatArray
    ability_sd: FloatArray
    accuracy: FloatArray
    accuracy_se: FloatArray


def _half(counts: ResponseCounts, mean: xr.Dataset) -> _HalfTest:
    found = abilities_given_items(counts, mean)
    accuracy, asked = counts.accuracy().to_numpy(dtype=np.float64), counts.asked.sum(axis=1)
    error = np.sqrt(accuracy * (1 - accuracy) / np.maximum(asked, 1))
    return _HalfTest(found["ability"].to_numpy(), found["ability_sd"].to_numpy(), np.round(accuracy, DECIMALS), error)


def _pairs_of_half(half: _HalfTest) -> Positions:
    """Positions (higher ability, higher accuracy) of discordant pairs, most certain first."""
    high, low = np.nonzero(
        (half.ability[:, None] > half.ability) & (half.accuracy[:, None] < half.accuracy)  # NaN without responses
    )
    distances = (
        np.abs(values[high] - values[low]) / np.maximum(np.hypot(error[high], error[low]), TINY)
        for values, error in ((half.ability, half.ability_sd), (half.accuracy, half.accuracy_se))
    )
    return np.stack([high, low])[:, np.argsort(-np.minimum(*distances), kind="stable")]


def _confirmed(pairs: Positions, other: _HalfTest) -> list[float]:
    """Count the pairs, and compute their shares named in `CONFIRMED`."""
    known = ~np.isnan(other.accuracy[pairs]).any(axis=0)
    high, low = pairs[:, known]
    if not len(high):
        return [0.0, *[np.nan] * len(CONFIRMED)]
    by_ability, by_accuracy = (np.sign(values[high] - values[low]) for values in (other.ability, other.accuracy))
    repeated, reverse = (by_ability > 0) & (by_accuracy < 0), (by_ability < 0) & (by_accuracy > 0)
    return [len(high), repeated.mean(), reverse.mean(), ((1 + by_accuracy) / 2).mean()]


def _over_halves(values: FloatArray) -> dict[str, float]:
    """Mean number of pairs, and mean and quantiles of the shares over halves that have pairs."""
    known = values[values[:, 0] > 0]
    row = {"n_pairs": float(values[:, 0].mean()) if len(values) else 0.0}
    for name, column in zip(CONFIRMED, known[:, 1:].T, strict=True):
        limits = np.quantile(column, INTERVAL) if len(column) else (np.nan, np.nan)
        row |= {name: float(column.mean()) if len(column) else np.nan}
        row |= {f"{name}_q05": float(limits[0]), f"{name}_q95": float(limits[1])}
    return row


def responsible_items(
    pairs: pd.DataFrame, counts: ResponseCounts, weights: FloatArray | None
) -> tuple[pd.DataFrame, str]:
    """Mean over the shown pairs of each item's part in the weighted score minus its part in accuracy."""
    none = pd.DataFrame(columns=list(ITEM_COLUMNS), index=counts.items.index[:0].rename(ITEM), dtype=np.float64)
    if weights is None:
        return none, "no discriminations were given"
    if np.allclose(weights, weights[0], rtol=1e-9, atol=0):
        return none, "discriminations are equal: the orders differ only through missing responses"
    if pairs.empty:
        return none, "no pair of models is discordant"
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


def _candidates(measures: AbilityAndAccuracy) -> tuple[Positions, int]:
    """Positions (higher ability, higher accuracy) of the most certain discordant pairs by a normal approximation."""
    ability, accuracy = measures.ability, measures.accuracy
    ability_variance, accuracy_variance = measures.draws.var(axis=0), measures.resampled.var(axis=0)
    pool, certainty, n_discordant = np.empty((2, 0), dtype=np.intp), np.empty(0), 0
    for start in range(0, len(ability), ROW_BLOCK):
        rows = slice(start, start + ROW_BLOCK)
        high, low = np.nonzero((ability[rows, None] > ability) & (accuracy[rows, None] < accuracy))
        high += start
        n_discordant += len(high)
        pool = np.hstack([pool, [high, low]])
        by_ability = _log_certainty(ability, ability_variance, high, low)
        certainty = np.append(certainty, by_ability + _log_certainty(accuracy, accuracy_variance, low, high))
        if len(certainty) > PAIR_POOL:
            best = np.argpartition(-certainty, PAIR_POOL)[:PAIR_POOL]
            pool, certainty = pool[:, best], certainty[best]
    return pool, n_discordant


def _log_certainty(values: FloatArray, variance: FloatArray, above: Positions, below: Positions) -> FloatArray:
    with np.errstate(divide="ignore"):
        z = (values[above] - values[below]) / np.sqrt(variance[above] + variance[below])
    return np.asarray(special.log_ndtr(z))


def _share_above(values: FloatArray, above: Positions, below: Positions) -> FloatArray:
    """Share of rows in which one column exceeds another, ties counting half, for each pair of columns."""
    difference = values[:, above] - values[:, below]
    return np.asarray(((difference > 0) + 0.5 * (difference == 0)).mean(axis=0))
