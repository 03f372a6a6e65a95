import itertools

import numpy as np
from scipy import stats

from irt_bench.variance.model_pair import cluster_error, compare_models, noise_split, sign_tests


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
    np.testing.assert_allclose(cluster_error(x, np.arange(40))[0], stats.sem(x))
    np.testing.assert_allclose(cluster_error(np.tile(x, 3), np.tile(np.arange(40), 3))[0], stats.sem(x))


def test_the_cluster_error_of_groups_of_one_size_is_that_of_their_means():
    x = np.random.default_rng(2).normal(size=(8, 5)) + np.random.default_rng(3).normal(size=(8, 1))
    found, n_groups = cluster_error(x.ravel(), np.repeat(np.arange(8), 5))
    np.testing.assert_allclose(found, stats.sem(x.mean(axis=1)))
    assert n_groups == 8 and found > 1.3 * stats.sem(x.ravel())


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
