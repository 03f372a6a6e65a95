import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, stats
from scipy.special import expit

from irt_bench import ResponseCounts
from irt_bench.analysis.intervals import StandardError, cluster_error, strata_error
from irt_bench.errors import AnalysisError
from irt_bench.variance.model_pair import compare_models, noise_split, sign_tests


def test_the_noise_split_is_unbiased():
    rng = np.random.default_rng(0)
    a, b = rng.beta(2, 2, size=(2, 300))
    found = np.array([noise_split(rng.binomial(3, a) / 3, rng.binomial(2, b) / 2, 3, 2) for _ in range(600)])
    truth = [(a - b).var(ddof=1), (a * (1 - a) + b * (1 - b)).mean()]
    t = (found.mean(0) - truth) / (found.std(0) / np.sqrt(600))
    assert np.abs(t).max() < 4


def test_the_noise_split_is_unbiased_over_all_answers_there_can_be():
    """Every outcome of 2 and 3 answers to two items, weighed by its probability: exact, no simulation."""
    a, b = np.array([0.2, 0.9]), np.array([0.5, 0.3])
    expected = np.zeros(2)
    for right in itertools.product(range(3), range(3), range(4), range(4)):
        share = stats.binom.pmf(right, [2, 2, 3, 3], [*a, *b]).prod()
        expected += share * np.array(noise_split(np.array(right[:2]) / 2, np.array(right[2:]) / 3, 2, 3))
    np.testing.assert_allclose(expected, [(a - b).var(ddof=1), (a * (1 - a) + b * (1 - b)).mean()])


def test_without_the_correction_the_data_noise_is_caught_as_biased():
    rng = np.random.default_rng(0)
    a, b = rng.beta(2, 2, size=(2, 300))
    plain = [(rng.binomial(3, a) / 3 - rng.binomial(2, b) / 2).var(ddof=1) for _ in range(200)]
    assert (np.mean(plain) - (a - b).var(ddof=1)) > 4 * np.std(plain) / np.sqrt(200)


def test_the_cluster_error_of_single_items_is_the_usual_one_and_of_copies_is_not():
    x = np.random.default_rng(1).normal(size=40)
    found = cluster_error(x, np.arange(40))
    np.testing.assert_allclose(found, (stats.sem(x), 39, 40))
    np.testing.assert_allclose(cluster_error(np.tile(x, 3), np.tile(np.arange(40), 3)), found)


def test_the_cluster_error_of_groups_of_one_size_is_that_of_their_means():
    x = np.random.default_rng(2).normal(size=(8, 5)) + np.random.default_rng(3).normal(size=(8, 1))
    found = cluster_error(x.ravel(), np.repeat(np.arange(8), 5))
    np.testing.assert_allclose(found, (stats.sem(x.mean(axis=1)), 7, 8))
    assert found.se > 1.3 * stats.sem(x.ravel())


def test_the_cluster_error_and_its_freedom_are_those_of_bell_and_mccaffrey_in_matrices():
    """Every matrix written out: residuals times (I - H)^(-1/2), and the quadratic form's degrees of freedom."""
    rng = np.random.default_rng(4)
    clusters = np.repeat(np.arange(5), [1, 2, 4, 9, 20])
    x, n = rng.normal(size=36), 36
    hat, whole = np.full((n, n), 1 / n), np.eye(n)
    columns = []
    for g in range(5):
        own = clusters == g
        adjust = linalg.fractional_matrix_power((whole - hat)[np.ix_(own, own)], -0.5)
        columns.append(((whole - hat)[own].T @ adjust.T @ np.ones(own.sum())) / n)
    columns = np.array(columns)
    moving = (clusters[:, None] == clusters).astype(float)
    form = columns @ moving @ columns.T
    expected = np.sqrt(((columns @ x) ** 2).sum()), np.trace(form) ** 2 / (form**2).sum(), 5
    np.testing.assert_allclose(cluster_error(x, clusters), expected)


def test_the_error_of_strata_is_that_of_a_weighted_mean_of_their_means():
    rng = np.random.default_rng(5)
    strata = np.repeat(list("abcd"), [3, 8, 20, 2])
    x = rng.normal(size=33)
    v = np.array([(n / 33) ** 2 * x[strata == s].var(ddof=1) / n for s, n in zip("abcd", (3, 8, 20, 2), strict=True)])
    expected = np.sqrt(v.sum()), v.sum() ** 2 / (v**2 / np.array([2, 7, 19, 1])).sum(), 4
    np.testing.assert_allclose(strata_error(x, strata), expected)
    alone = np.where(np.arange(33) < 31, strata, "e")  # one of d left, and one of e: joined
    joined = np.where(np.isin(alone, ["d", "e"]), "d", alone)
    alone[32] = "f"
    np.testing.assert_allclose(strata_error(x, alone)[:2], strata_error(x, joined)[:2])
    assert np.isclose(strata_error(x, np.arange(33)).se, stats.sem(x))  # nothing but single ones: no strata


def t_covers(found, mean, truth):
    half = stats.t.ppf(0.95, found.df) * found.se
    return abs(mean - truth) <= half


def old_cluster_error(x, clusters):
    """What a count of clusters makes of it: G / (G - 1) sums, G - 1 degrees of freedom."""
    sums = np.bincount(clusters, weights=x - x.mean())
    n = len(sums)
    return StandardError(float(np.sqrt(n / (n - 1) * (sums**2).sum()) / len(x)), n - 1, n)


@pytest.mark.slow
@pytest.mark.parametrize("n_clusters", [5, 10, 40])
def test_clusters_of_unequal_size_are_covered_and_by_counting_them_are_not(record_coverage, n_clusters):
    """Sizes vary by 1 in logarithms; differences of 0/1 answers share .1 to .5 of their variance within clusters."""
    rng = np.random.default_rng(8)
    covered = {cluster_error: [], old_cluster_error: []}
    for _ in range(1500):
        sizes = np.maximum(np.exp(2.5 + rng.normal(size=n_clusters)).astype(int), 1)
        clusters = np.repeat(np.arange(n_clusters), sizes)
        shared = rng.choice([0.3, 0.7]) * rng.normal(size=n_clusters)
        x = shared[clusters] + np.sqrt(0.5) * rng.normal(size=len(clusters))
        for error, each in covered.items():
            each.append(t_covers(error(x, clusters), x.mean(), 0.0))
    label = f"{n_clusters} clusters, sizes vary by 1 in logarithms"
    row = record_coverage("difference of models", label, covered[cluster_error], seeds=8, limits=(0.86, 0.96))
    assert row.right
    if n_clusters < 40:
        about = {"seeds": 8, "control": "G - 1 degrees of freedom"}
        assert record_coverage("difference of models", label, covered[old_cluster_error], **about).right


@pytest.mark.slow
def test_strata_are_covered_and_taken_as_clusters_are_not(record_coverage):
    """Subtasks of unequal size that the models differ on by subtask: fixed, so that only their items are a sample."""
    rng = np.random.default_rng(9)
    sizes = rng.integers(2, 60, size=20)
    strata = np.repeat(np.arange(20), sizes)
    gap = 0.3 * rng.normal(size=20)
    truth = (gap * sizes).sum() / sizes.sum()
    errors = {strata_error: "", cluster_error: "taken as clusters"}
    covered = {error: [] for error in errors}
    for _ in range(1500):
        x = gap[strata] + rng.choice([-1, 0, 1], p=[0.2, 0.6, 0.2], size=len(strata))
        for error, each in covered.items():
            each.append(t_covers(error(x, strata), x.mean(), truth))
    for error, control in errors.items():
        about = {"seeds": 9, "control": control, "limits": (0.88, 0.92)}
        assert record_coverage("difference of models", "20 strata of 2 to 59 items", covered[error], **about).right


def seeded(rng, gap=0.0, seed_sd=0.3, n_items=300, n_seeds=5):
    """Two recipes of several seeds each on the same items; logits with seed effects, recipe b better by `gap`."""
    difficulty = rng.normal(size=n_items)
    logit = np.repeat([0.0, gap], n_seeds)[:, None] + seed_sd * rng.normal(size=(2 * n_seeds, 1)) - difficulty
    correct = (rng.random(logit.shape) < expit(logit)).astype(int)
    labels = [f"{run}-{seed}" for run in "AB" for seed in range(n_seeds)]
    models = pd.DataFrame(
        {"run": np.repeat(["A", "B"], n_seeds), "seed": np.tile(np.arange(n_seeds), 2)},
        index=pd.Index(labels, name="model"),
    )
    items = pd.DataFrame(index=pd.Index([f"i{i}" for i in range(n_items)], name="item"))
    return ResponseCounts(correct, np.ones_like(correct), models, items, "b", "correct")


@pytest.mark.slow
@pytest.mark.parametrize("pair", [("A-0", "A-1"), ("A-0", "B-0")])
def test_seeds_are_in_the_interval_where_they_are_known_and_without_them_it_misses(record_coverage, pair):
    """Recipes that do not differ: the sign test and the items' interval call two of their seeds different."""
    found = [compare_models(seeded(np.random.default_rng(each)), *pair) for each in range(400)]
    label = f"two trained models, {'one recipe' if pair[1] == 'A-1' else 'two recipes'} of 5 seeds each"
    with_seeds = [each.q05_with_seeds <= 0 <= each.q95_with_seeds for each in found]
    without = [each.q05 <= 0 <= each.q95 for each in found]
    about = {"seeds": "0-399", "limits": (0.86, 0.95)}
    assert record_coverage("difference of models", label, with_seeds, **about).right
    assert record_coverage("difference of models", label, without, **about, control="seeds left out").right
    assert (
        np.mean([each.p_with_seeds < 0.05 for each in found])
        < 0.08
        < 0.2
        < np.mean([each.sign_p < 0.05 for each in found])
    )
    assert all("from the seeds of run 'A'" in each.note for each in found)


def test_the_seeds_part_of_two_recipes_is_that_of_the_scores_less_what_items_make():
    counts = seeded(np.random.default_rng(1), seed_sd=1.0)
    found = compare_models(counts, "A-0", "B-0")
    scores = counts.proportions().reshape(2, 5, 300)
    covariances = [np.cov(each.T) for each in scores]
    off = sum((c.sum() - np.trace(c)) / (300 * 299) for c in covariances)
    np.testing.assert_allclose(found.se_seeds, np.sqrt(off))
    se = np.hypot(found.se_seeds, found.se)
    np.testing.assert_allclose(found.p_with_seeds, 2 * stats.t.sf(abs(found.difference) / se, 8), rtol=0.5)
    rest = compare_models(counts, "A-0", "A-1")  # the two in question count as one
    joined = np.concatenate([scores[0][:2].mean(axis=0, keepdims=True) * 1, scores[0][2:]])
    centred = joined - np.average(joined, axis=0, weights=[2, 1, 1, 1])
    c = (centred.T * [2, 1, 1, 1]) @ centred / 3
    np.testing.assert_allclose(rest.se_seeds, np.sqrt(2 * (c.sum() - np.trace(c)) / (300 * 299)))


def test_without_known_seeds_that_is_said_and_nothing_is_made_up(make_counts):
    found = compare_models(make_counts(np.random.default_rng(0).integers(2, size=(2, 50))), "m0", "m1")
    assert np.isnan([found.se_seeds, found.q05_with_seeds, found.p_with_seeds]).all()
    assert "no other seeds" in found.note and 0 < found.p < 1


def test_subtasks_are_strata_and_clusters_are_asked_for_by_name(make_counts):
    counts = make_counts(np.random.default_rng(0).integers(2, size=(2, 60)))
    counts.items["subtask"], counts.items["passage"] = np.arange(60) % 3, np.arange(60) % 6
    counts.items["same"] = "x"
    plain, strata, clusters = (
        compare_models(counts, "m0", "m1", **about) for about in ({"strata": None}, {}, {"item_clusters": "passage"})
    )
    assert (plain.n_groups, strata.n_groups, clusters.n_groups) == (0, 3, 6)
    assert np.isnan(plain.se_strata) and np.isnan(strata.se_cluster) and np.isnan(clusters.se_strata)
    assert np.isclose(clusters.q95 - clusters.difference, stats.t.ppf(0.95, 5) * clusters.se_cluster)
    with pytest.raises(AnalysisError, match="column of the items"):
        compare_models(counts, "m0", "m1", item_clusters="nowhere")
    with pytest.raises(AnalysisError, match="two clusters are needed"):
        compare_models(counts, "m0", "m1", item_clusters="same")


def test_the_sign_test_is_the_share_of_all_signs_as_uneven_and_mcnemar_its_chi_square():
    signs = np.array(list(itertools.product((-1, 1), repeat=11))).sum(axis=1)
    for wins in range(12):
        p, statistic, chi_p = sign_tests(wins, 11 - wins)
        np.testing.assert_allclose(p, np.mean(np.abs(signs) >= abs(2 * wins - 11)))
        np.testing.assert_allclose(statistic, max(abs(2 * wins - 11) - 1, 0) ** 2 / 11)
        np.testing.assert_allclose(chi_p, stats.chi2.sf(statistic, 1))


def test_the_sign_test_is_exact():
    assert sign_tests(9, 1)[0] == stats.binomtest(9, 10).pvalue
    assert sign_tests(0, 0) == (1.0, 0.0, 1.0)


def test_two_models_are_compared_on_common_items(make_counts):
    counts = make_counts([[1, 1, 1, 0], [0, 1, 0, 0]], trials=[[1, 1, 1, 1], [1, 1, 1, 0]])
    found = compare_models(counts, "m0", "m1")
    assert found.n_items == 3 and (found.a_wins, found.b_wins) == (2, 0)
    assert np.isclose(found.difference, 2 / 3) and np.isnan(found.se_data)
