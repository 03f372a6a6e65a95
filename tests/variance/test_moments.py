import numpy as np

from irt_bench.variance.moments import group_covariance, item_covariance, item_variance, trial_noise

Y = np.random.default_rng(0).normal(size=(4, 9))


def test_moments_are_mean_elements_of_the_sample_covariance_of_items():
    c = np.cov(Y, rowvar=False)
    found = item_covariance(Y)
    np.testing.assert_allclose(found.diagonal, np.trace(c) / 9)
    np.testing.assert_allclose(found.off_diagonal, (c.sum() - np.trace(c)) / 72)
    np.testing.assert_allclose(found.full_variance(), Y.mean(axis=1).var(ddof=1))


def test_with_cells_missing_the_average_over_patterns_is_the_complete_value():
    rng = np.random.default_rng(1)
    patterns = np.where(rng.random((8000, *Y.shape)) < 0.2, np.nan, Y)
    found = item_covariance(patterns)
    for name in ("diagonal", "off_diagonal"):
        values = getattr(found, name)
        expected = float(getattr(item_covariance(Y), name))
        assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(len(values)) + 0.02 * abs(expected)


def test_groups_average_the_blocks_of_the_covariance():
    c = np.cov(Y, rowvar=False)
    groups = np.repeat([0, 1, 2], 3)
    between, diagonal, sizes = group_covariance(Y, groups)
    np.testing.assert_allclose(between[0, 1], c[:3, 3:6].mean())
    np.testing.assert_allclose(between[1, 1], (c[3:6, 3:6].sum() - np.trace(c[3:6, 3:6])) / 6)
    np.testing.assert_allclose(diagonal[2], np.diag(c)[6:].mean())
    assert sizes.tolist() == [3, 3, 3]


def test_item_variance_is_the_covariance_of_seeds_over_items():
    c = np.cov(Y)
    np.testing.assert_allclose(item_variance(Y), (c.sum() - np.trace(c)) / 12)


def test_noise_of_answers_is_unbiased_from_two_answers_on():
    rng = np.random.default_rng(2)
    shares = rng.binomial(3, 0.3, size=(1, 200, 500)) / 3
    trial, noise = trial_noise(shares, np.full(shares.shape, 3))
    np.testing.assert_allclose(trial, 0.21, rtol=0.02)
    np.testing.assert_allclose(noise, trial / 3)
