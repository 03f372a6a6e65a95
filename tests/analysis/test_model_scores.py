"""Scores with standard errors, pass@k, pairs and ranks, held against scipy, enumeration, and simulated benchmarks."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

from irt_bench import ResponseCounts, as_counts, load_example, model_scores, table_from_frame
from irt_bench.analysis.model_scores import LEVEL, SUITE, cell_values, pair_table, ranked, score_table, suite_pairs
from irt_bench.errors import AnalysisError


def counts_of(right, trials, **columns):
    models = pd.DataFrame(index=pd.Index([f"m{i}" for i in range(len(right))], name="model"))
    items = pd.DataFrame(columns, index=pd.Index([f"i{j}" for j in range(right.shape[1])], name="item"))
    return ResponseCounts(right, np.broadcast_to(trials, right.shape), models, items, "made")


def test_single_answers_have_wilson_intervals():
    right = np.random.default_rng(0).integers(0, 2, (3, 41))
    right[0] = 1
    table = score_table(counts_of(right, 1))
    for row, (low, high, se) in zip(right, table[["score_q05", "score_q95", "score_se"]].to_numpy(), strict=True):
        expected = stats.binomtest(int(row.sum()), 41).proportion_ci(0.9, method="wilson")
        np.testing.assert_allclose((low, high, se), (*expected, stats.sem(row)), atol=1e-12)
    assert table["benchmark_se"].isna().all()


def test_repeated_answers_have_students_interval_for_other_items():
    right = np.random.default_rng(1).binomial(4, 0.6, (2, 30))
    table = score_table(counts_of(right, 4))
    for row, limits in zip(right / 4, table[["score_q05", "score_q95"]].to_numpy(), strict=True):
        np.testing.assert_allclose(limits, stats.t.interval(0.9, 29, row.mean(), stats.sem(row)))
    by_hand = np.sqrt((right / 4 * (1 - right / 4) / 3).sum(axis=1)) / 30
    np.testing.assert_allclose(table["benchmark_se"], by_hand)


def test_benchmark_accuracy_covers_the_chance_of_these_items_and_not_of_others():
    """Two estimands: the error for these items is too small for other items, by far."""
    rng = np.random.default_rng(2)
    chance = rng.beta(0.5, 0.5, 80)
    table = score_table(counts_of(rng.binomial(4, chance, (2_000, 80)), 4))
    low, high = table["benchmark_q05"], table["benchmark_q95"]
    assert abs(((low < chance.mean()) & (chance.mean() < high)).mean() - 0.9) < 0.02
    others = rng.beta(0.5, 0.5, (2_000, 80))
    table = score_table(counts_of(rng.binomial(4, others), 4))
    covered = {
        name: ((table[f"{name}_q05"] < 0.5) & (table[f"{name}_q95"] > 0.5)).mean() for name in ("score", "benchmark")
    }
    assert abs(covered["score"] - 0.9) < 0.02
    assert covered["benchmark"] < 0.6


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_pass_and_majority_are_means_over_all_choices_of_k_answers(k):
    right = np.arange(6)[None]  # of five answers
    counts = counts_of(right, 5)
    for name, wins in (("pass", lambda s: s > 0), ("majority", lambda s: (s > k / 2) + 0.5 * (s == k / 2))):
        expected = [
            np.mean([wins(sum(chosen)) for chosen in itertools.combinations([1] * c + [0] * (5 - c), k)])
            for c in range(6)
        ]
        np.testing.assert_allclose(cell_values(counts, f"{name}@{k}")[0], expected, atol=1e-12)


def test_pass_at_k_is_the_published_estimator_and_needs_k_answers():
    """Chen et al. 2021: 1 - prod(1 - k / i, i = n - c + 1 .. n)."""
    rng = np.random.default_rng(3)
    right = rng.binomial(200, 0.03, (1, 50))
    published = [1 - math.prod(1 - 100 / i for i in range(200 - c + 1, 201)) if c <= 100 else 1.0 for c in right[0]]
    np.testing.assert_allclose(cell_values(counts_of(right, 200), "pass@100")[0], published, atol=1e-10)
    few = cell_values(counts_of(np.array([[1, 1]]), np.array([[1, 3]])), "pass@2")
    assert np.isnan(few[0, 0])
    assert few[0, 1] == pytest.approx(2 / 3)


def test_pairs_are_paired_t_tests_on_common_items():
    rng = np.random.default_rng(4)
    right, asked = rng.integers(0, 2, (3, 60)), rng.random((3, 60)) < 0.8
    table = pair_table(counts_of(right * asked, asked.astype(int))).set_index(["a", "b"])
    for (a, b), row in table.iterrows():
        both = asked[int(a[1])] & asked[int(b[1])]
        expected = stats.ttest_rel(right[int(a[1])][both], right[int(b[1])][both])
        assert row["n_items"] == both.sum()
        assert row["p"] == pytest.approx(expected.pvalue)
        np.testing.assert_allclose(
            row[["difference_q05", "difference_q95"]].tolist(), expected.confidence_interval(0.9)
        )


def simulate(rng, ability, n_items=300):
    difficulty = rng.normal(0, 1.5, n_items)
    return counts_of((rng.random((len(ability), n_items)) < expit(ability[:, None] - difficulty)).astype(int), 1)


def test_true_ranks_lie_within_their_limits_together():
    """Of 8 models, three pairs of which are equal; without Holm's correction the limits are wrong too often."""
    rng = np.random.default_rng(5)
    ability = np.array([-1.0, -1.0, -0.3, -0.3, 0.2, 0.2, 0.9, 1.6])
    least = np.array([1 + (ability > own).sum() for own in ability])  # ranks that a model may have: ties share
    most = np.array([(ability >= own).sum() for own in ability])
    within = {"p_holm": [], "p": []}
    for _ in range(300):
        counts = simulate(rng, ability)
        scores, pairs = score_table(counts), pair_table(counts)
        for name, found in within.items():
            table = ranked(scores, pairs.assign(p_holm=pairs[name]))
            found.append(((table["rank_best"] <= least) & (table["rank_worst"] >= most)).all())
    assert np.mean(within["p_holm"]) > 1 - LEVEL - 0.02
    assert np.mean(within["p"]) < 0.9


def test_groups_begin_with_their_best_model():
    scores = pd.DataFrame({"score": [0.9, 0.8, 0.5, 0.45]}, index=list("abcd"))
    pairs = pd.DataFrame(
        [("a", "c", 0.4, 0.01), ("a", "d", 0.45, 0.01), ("b", "d", 0.35, 0.01), ("a", "b", 0.1, 0.5)],
        columns=["a", "b", "difference", "p_holm"],
    )
    found = ranked(scores, pairs)
    assert found["group"].tolist() == [1, 1, 2, 2]
    assert found["rank_best"].tolist() == [1, 1, 2, 3]
    assert found["rank_worst"].tolist() == [2, 3, 4, 4]


def test_the_mean_of_benchmarks_adds_their_variances():
    """Of benchmarks of unlike size: its difference covers the mean of the differences, that of all items does not."""
    rng = np.random.default_rng(6)
    ability, spread = np.array([0.8, 0.0]), {"fair": (0.0, 400), "hard": (5.0, 40)}
    draws = rng.normal(0, 1, 200_000)
    truth = np.mean([(expit(0.8 - mean - draws) - expit(-mean - draws)).mean() for mean, _ in spread.values()])
    covered, pooled = [], []
    for _ in range(300):
        chance = {name: expit(ability[:, None] - rng.normal(mean, 1, n)) for name, (mean, n) in spread.items()}
        right = {name: rng.binomial(1, own) for name, own in chance.items()}
        (row,) = suite_pairs({name: pair_table(counts_of(own, 1)) for name, own in right.items()}).to_dict("records")
        covered.append(row["difference_q05"] < truth < row["difference_q95"])
        (row,) = pair_table(counts_of(np.hstack(list(right.values())), 1)).to_dict("records")
        pooled.append(row["difference_q05"] < truth < row["difference_q95"])
    assert abs(np.mean(covered) - 0.9) < 0.04
    assert np.mean(pooled) < 0.86


def test_a_suite_and_a_baseline_through_public_names(tmp_path):
    long = load_example("benchmark").to_frame()
    some = long[long["model"].isin(["model-001", "model-002", "model-003"])]
    table = table_from_frame(
        pd.concat([some, some[some["model"] != "model-003"].assign(benchmark="other")])[
            ["benchmark", "model", "item", "correct"]
        ]
    )
    found = model_scores(table)
    assert found.benchmarks == ["benchmark", "other", SUITE]
    assert found.models(SUITE).index.tolist() == ["model-001", "model-002"]
    assert "2 of 3 models" in found.notes[0]
    assert found.models(SUITE)["score_se"].iloc[0] == pytest.approx(
        found.models("other")["score_se"].iloc[0] / np.sqrt(2)
    )
    against = model_scores(table, baseline="model-002").pairs()
    assert set(against["b"]) == {"model-002"}
    found.save(tmp_path / "scores")
    assert {path.name for path in (tmp_path / "scores").iterdir()} == {
        "models.csv", "pairs.csv", "scores.png", "summary.json",
    }  # fmt: skip


def test_many_models_are_scored_without_pairs():
    found = model_scores(np.random.default_rng(0).integers(0, 2, (201, 10)))
    assert len(found.models()) == 201
    assert not len(found.pairs())
    assert "models=" in found.notes[0]
    assert len(model_scores(np.eye(5, dtype=int), models=["model1", "model2"]).pairs()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measure": "pass@0"}, "measure 'pass@0' is not known"),
        ({"measure": "pass@9"}, "pass@9 needs 9 answers in a cell; the most in any cell is 3."),
        ({"models": ["nobody"]}, "model 'nobody' is not known"),
        ({"baseline": "nobody"}, "model 'nobody' is not known"),
        ({"item_clusters": "passage"}, "column of the items 'passage' is not known"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments, message):
    with pytest.raises(AnalysisError, match=message.replace("@", "@").replace(".", r"\.")):
        model_scores(load_example("repeats"), **arguments)


def test_clusters_widen_a_score():
    rng = np.random.default_rng(7)
    right = np.repeat(rng.integers(0, 2, (2, 20)), 5, axis=1)
    passage = np.repeat([f"p{i}" for i in range(20)], 5)
    apart, together = (
        score_table(counts_of(right, 1)),
        score_table(counts_of(right, 1, passage=passage), item_clusters="passage"),
    )
    np.testing.assert_allclose(together["score_se"], right[:, ::5].std(axis=1, ddof=1) / np.sqrt(20))
    assert (together["score_se"] > 2 * apart["score_se"]).all()
    assert as_counts(right).n_items == 100
