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


def test_without_the_correction_the_data_noise_is_caught_as_biased():
    rng = np.random.default_rng(0)
    a, b = rng.beta(2, 2, size=(2, 300))
    plain = [(rng.binomial(3, a) / 3 - rng.binomial(2, b) / 2).var(ddof=1) for _ in range(200)]
    assert (np.mean(plain) - (a - b).var(ddof=1)) > 4 * np.std(plain) / np.sqrt(200)


def test_the_cluster_error_of_single_items_is_the_usual_one_and_of_copies_is_not():
    x = np.random.default_rng(1).normal(size=40)
    np.testing.assert_allclose(cluster_error(x, np.arange(40))[0], stats.sem(x))
    np.testing.assert_allclose(cluster_error(np.tile(x, 3), np.tile(np.arange(40), 3))[0], stats.sem(x))


def test_the_sign_test_is_exact():
    assert sign_tests(9, 1)[0] == stats.binomtest(9, 10).pvalue
    assert sign_tests(0, 0) == (1.0, 0.0, 1.0)


def test_two_models_are_compared_on_common_items(make_counts):
    counts = make_counts([[1, 1, 1, 0], [0, 1, 0, 0]], trials=[[1, 1, 1, 1], [1, 1, 1, 0]])
    found = compare_models(counts, "m0", "m1")
    assert found.n_items == 3 and (found.a_wins, found.b_wins) == (2, 0)
    assert np.isclose(found.difference, 2 / 3) and np.isnan(found.se_data)
