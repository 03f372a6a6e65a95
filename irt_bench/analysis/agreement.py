"""Ability and raw accuracy compared: whether they rank models alike, how reliable each is, and why they differ.

With complete responses and equal discriminations (1PL) ability is an increasing function of accuracy, and the rankings
agree. They differ where items discriminate differently, since ability weights responses by discrimination. They also
differ where models responded to different items, since accuracy ignores their difficulty.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from irt_bench.analysis.irt import model_abilities, tabulate_abilities
from irt_bench.analysis.labelled_draws import evenly_spaced, match_labels
from irt_bench.analysis.rankings import (
    DECIMALS,
    PAIRS_SHOWN,
    AbilityAndAccuracy,
    confirm_by_other_items,
    correlation_table,
    discordant_pairs,
    model_table,
    reliability_table,
    resample_accuracy,
    responsible_items,
)
from irt_bench.arrays import FloatArray
from irt_bench.errors import AnalysisError, UndefinedWarning
from irt_bench.irt_models.model import SCORE_MODEL
from irt_bench.names import ABILITY, CHAIN, DISCRIMINATION, DRAW, ITEM, MODEL
from irt_bench.responses.canonical import Responses, as_counts
from irt_bench.responses.counts import ResponseCounts

MIN_MODELS = 3  # two models correlate at -1 or 1
N_RESAMPLES = (
    500  # resamples of items, and draws that are correlated; a 5% quantile of 500 is known to 1 percentage point
)
MAX_DRAWS = 1000  # for correlations and pairs, evenly spaced
RECORDS = 10  # pairs and items in a summary


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
    thinned = found.draws[evenly_spaced(len(found.draws), MAX_DRAWS)].astype(np.float64)
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
