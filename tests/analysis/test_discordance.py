from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from irt_bench.analysis import agreement
from irt_bench.analysis.agreement import AbilityAndAccuracy, discordant_pairs, responsible_items


def sides_of(n_models, seed, n_items=12):
    """Random abilities and accuracies, which order about half of all pairs differently."""
    rng = np.random.default_rng(seed)
    ability, accuracy = rng.normal(size=n_models), rng.integers(0, n_items + 1, n_models) / n_items
    draws, resampled = (values + rng.normal(0, 0.3, (80, n_models)) for values in (ability, accuracy))
    return AbilityAndAccuracy(draws.mean(axis=0), accuracy, draws, resampled), pd.Index(
        [f"m{k}" for k in range(n_models)]
    )


def test_pairs_and_probabilities_equal_their_enumeration():
    measures, labels = sides_of(15, seed=3)
    pairs, n_discordant, n_clear = discordant_pairs(measures, labels)
    expected, clear = {}, 0
    for a, b in combinations(range(15), 2):
        if (measures.ability[a] - measures.ability[b]) * (measures.accuracy[a] - measures.accuracy[b]) < 0:
            high, low = (a, b) if measures.ability[a] > measures.ability[b] else (b, a)
            shares = [
                (x[:, p] > x[:, q]).mean() for x, p, q in ((measures.draws, high, low), (measures.resampled, low, high))
            ]
            expected[labels[high], labels[low]] = shares
            clear += min(shares) >= 0.95
    found = pairs.set_index(["higher_ability", "higher_accuracy"])[["p_ability", "p_accuracy"]]
    assert set(found.index) == set(expected)
    np.testing.assert_allclose(found.loc[list(expected)], list(expected.values()))
    assert (n_discordant, n_clear) == (len(expected), clear)
    assert (pairs["p_ability"] * pairs["p_accuracy"]).is_monotonic_decreasing


def test_blocks_of_rows_do_not_change_the_pairs(monkeypatch):
    measures, labels = sides_of(60, seed=4)
    whole, n_discordant, _ = discordant_pairs(measures, labels)
    monkeypatch.setattr(agreement, "ROW_BLOCK", 7)
    pd.testing.assert_frame_equal(whole, discordant_pairs(measures, labels)[0])
    monkeypatch.setattr(agreement, "PAIR_POOL", 30)
    pool, n_with_pool, _ = discordant_pairs(measures, labels)
    assert n_with_pool == n_discordant > 30 == len(pool)
    pd.testing.assert_series_equal(pool.iloc[0], whole.iloc[0])


def test_rankings_that_agree_have_no_discordant_pairs():
    measures, labels = sides_of(20, seed=5)
    pairs, n_discordant, n_clear = discordant_pairs(measures._replace(accuracy=2 * measures.ability), labels)
    assert (len(pairs), n_discordant, n_clear) == (0, 0, 0)


def test_the_item_that_counts_for_one_ranking_only_comes_first(make_counts):
    # m0 solves the one sharp item, m1 two blunt ones: ability prefers m0, accuracy m1.
    counts = make_counts([[1, 0, 0, 0], [0, 1, 1, 0], [1, 1, 1, 0]])
    pairs = pd.DataFrame({"higher_ability": ["m0"], "higher_accuracy": ["m1"]})
    weights = np.array([3.0, 0.5, 0.5, 1.0])
    items, note = responsible_items(pairs, counts, weights)
    assert note == ""
    assert items.index.tolist()[0] == "i0"
    assert items.loc["i0", "ability_side"] == pytest.approx(3 / 5)
    assert items.loc["i1", ["ability_side", "accuracy_side"]].tolist() == pytest.approx([-0.1, -0.25])
    assert items["contribution"].sum() == pytest.approx((3 - 1) / 5 - (1 - 2) / 4)


@pytest.mark.parametrize(
    ("weights", "pairs", "reason"),
    [(None, 1, "no discriminations"), (np.full(3, 1.3), 1, "are equal"), (np.arange(1.0, 4.0), 0, "no pair")],
)
def test_no_items_are_blamed_without_a_reason(make_counts, weights, pairs, reason):
    frame = pd.DataFrame({"higher_ability": ["m0"], "higher_accuracy": ["m1"]}).head(pairs)
    items, note = responsible_items(frame, make_counts([[1, 0, 0], [0, 1, 1]]), weights)
    assert items.empty and reason in note
