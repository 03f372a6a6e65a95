"""Random subsets of the same size, the standard that every method is held to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from irt_bench.names import INTERVAL
from irt_bench.responses.counts import ResponseCounts
from irt_bench.subsets.basis import SelectionBasis
from irt_bench.subsets.estimators import ESTIMATORS, Learned, Training, estimate
from irt_bench.subsets.instrument import make_instrument, read_answers
from irt_bench.subsets.shares import full_scores

MAX_RANDOM: Final = 100_000  # subsets of a size; the share of them that a method beats needs no fourth digit
FEW_DRAWS: Final = 2  # of item parameters for random subsets: these need no intervals


class RandomSubsets(NamedTuple):
    """Which random subsets are drawn: sizes, estimators (names in `ESTIMATORS`), number of each size, and seed."""

    sizes: tuple[int, ...]
    estimators: tuple[str, ...]
    n_random: int
    seed: int


def random_errors(
    basis: SelectionBasis, test: ResponseCounts, drawn: RandomSubsets, blind: Mapping[int, Mapping[str, Learned]]
) -> pd.DataFrame:
    """Sum of absolute errors of each random subset and estimator on held-out models.

    Subsets are simple random samples of all items, equally weighted. Regressions learn for each anew; estimators that
    mix take the share that the method "random" found at this size, in `blind`, and are left out where it was not.
    """
    truth = full_scores(test, basis.target)
    known, rows = ~np.isnan(truth), []
    for size in drawn.sizes:
        learned = blind.get(size, {})
        names = [name for name in drawn.estimators if name in learned or not name.startswith("gp")]
        regression = any(ESTIMATORS[name].regression for name in names)
        for replicate in range(drawn.n_random):
            rng = np.random.default_rng([drawn.seed, size, replicate])
            chosen = basis.select(np.sort(rng.choice(basis.counts.n_items, size, replace=False)))
            instrument = make_instrument(basis, chosen, np.full(size, 1 / size), intervals=False)
            places = basis.counts.items.index.get_indexer(chosen.items)
            evidence = read_answers(instrument, test.take(items=places), n_draws=FEW_DRAWS)
            own = evidence
            if regression:
                own = read_answers(instrument, basis.counts.take(items=places), n_draws=FEW_DRAWS)
            training = Training(own, basis.full_score, own, basis.full_score, 0.0, basis.residuals(places))
            for name in names:
                mixes = name.startswith("gp")
                taken = learned[name] if mixes else ESTIMATORS[name].learn(training)
                error = np.abs(estimate(name, evidence, taken) - truth)[known].sum()
                rows.append((size, name, replicate, error, known.sum()))
    return pd.DataFrame(rows, columns=["size", "estimator", "replicate", "error", "n"])


def beside_random(table: pd.DataFrame, random: pd.DataFrame) -> pd.DataFrame:
    """Join mean and quantiles of the random subsets' errors, and the share of them no larger than each row's."""
    grouped = random.groupby(["size", "estimator"])["mae"]
    low, high = (grouped.quantile(quantile) for quantile in INTERVAL)
    reference = pd.DataFrame({"random": grouped.mean(), "random_q05": low, "random_q95": high}).reset_index()
    joined = table.merge(reference, on=["size", "estimator"], how="left")
    by_key = {key: part.to_numpy() for key, part in grouped}
    joined["percentile"] = [
        (1 + (by_key[size, name] <= mae).sum()) / (1 + len(by_key[size, name])) if (size, name) in by_key else np.nan
        for size, name, mae in zip(joined["size"], joined["estimator"], joined["mae"], strict=True)
    ]
    return joined
