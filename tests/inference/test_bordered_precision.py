import numpy as np
import pytest

from irt_bench import FitWarning
from irt_bench.inference.fast.bordered_precision import BorderedPrecision, cholesky, inverse_roots

M, J, P, K = 5, 4, 2, 2


@pytest.fixture
def bordered_and_whole(rng):
    """A random positive definite precision of the right shape, bordered and as a whole, order (a, p j, s)."""
    cross = 0.3 * rng.normal(size=(M, J, P))
    blocks = np.eye(P) * 4 + 0.5
    items = np.broadcast_to(blocks, (J, P, P)).copy()
    items_shared = 0.3 * rng.normal(size=(J, P, K))
    shared, abilities = np.diag([6.0, 7.0]), rng.uniform(4, 6, M)
    abilities_shared = 0.3 * rng.normal(size=(M, K))
    whole = np.zeros((M + P * J + K,) * 2)
    whole[:M, :M] = np.diag(abilities)
    flat = cross.transpose(0, 2, 1).reshape(M, -1)
    whole[:M, M : M + P * J] = -flat
    whole[:M, M + P * J :] = abilities_shared
    for one in range(P):
        for two in range(P):
            at = M + one * J + np.arange(J), M + two * J + np.arange(J)
            whole[at] = items[:, one, two]
        whole[M + one * J : M + (one + 1) * J, M + P * J :] = items_shared[:, one]
    whole[M + P * J :, M + P * J :] = shared
    whole = np.triu(whole) + np.triu(whole, 1).T
    found = BorderedPrecision(abilities, lambda block: cross[:, block], items, items_shared, shared, abilities_shared)
    return found, whole


def test_either_side_eliminated_leaves_the_inverse_of_its_part_of_the_covariance(bordered_and_whole):
    bordered, whole = bordered_and_whole
    covariance = np.linalg.inv(whole)
    np.testing.assert_allclose(bordered.items_precision(), np.linalg.inv(covariance[M:, M:]), atol=1e-10)
    at = np.r_[:M, M + P * J : M + P * J + K]
    np.testing.assert_allclose(bordered.abilities_precision(), np.linalg.inv(covariance[np.ix_(at, at)]), atol=1e-5)


def test_draws_of_both_orders_have_the_covariance_of_the_whole(bordered_and_whole, rng):
    bordered, whole = bordered_and_whole
    covariance, n = np.linalg.inv(whole), 200_000
    items, shared, follow = bordered.draw_items_first(bordered.items_precision(), rng, n)
    own = rng.standard_normal((n, M)) / np.sqrt(bordered.abilities)
    one = np.hstack([follow(slice(None)) + own, *items, shared])
    abilities, items, shared = bordered.draw_abilities_first(bordered.abilities_precision(), rng, n)
    two = np.hstack([abilities, *items, shared])
    for draws in (one, two):
        np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.006)


def test_inverse_roots_are_roots_of_the_inverse(rng):
    factors = rng.normal(size=(7, 2, 2))
    blocks = factors @ factors.transpose(0, 2, 1) + np.eye(2)
    roots = inverse_roots(blocks)
    np.testing.assert_allclose(roots @ roots.transpose(0, 2, 1), np.linalg.inv(blocks), atol=1e-10)


def test_what_has_no_peak_is_said_and_given_a_little_curvature():
    precision = np.diag([2.0, 2.0, -1.0])
    with pytest.warns(FitWarning, match="no peak in 1 of 3 directions"):
        root = cholesky(precision)
    np.testing.assert_allclose(root @ root.T, np.diag([2.0, 2.0, 0.1]), atol=1e-12)
