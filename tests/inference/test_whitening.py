import numpy as np
import pytest
import torch

from irt_bench.inference.sampling.coordinates import Whitening


def covariance_of(whitening, size):
    root = whitening.place(np.eye(size)) - whitening.place(np.zeros(size))
    return root.T @ root


@pytest.fixture
def posterior(rng):
    """Covariance of 60 coordinates in pairs, all of which share one direction, and its pairs."""
    pairs = np.arange(60).reshape(2, 30).T
    blocks = np.zeros((60, 60))
    for first, second in pairs:
        root = rng.normal(size=(2, 2)) + 2 * np.eye(2)
        blocks[np.ix_([first, second], [first, second])] = root @ root.T
    shared = np.concatenate([np.ones(30), np.zeros(30)])
    return blocks + 3 * np.outer(shared, shared), pairs


def test_draws_are_white_afterwards(rng, posterior):
    covariance, pairs = posterior
    draws = rng.multivariate_normal(np.full(60, 5.0), covariance, size=4_000)
    whitening = Whitening.from_draws(draws, [pairs])
    found = covariance_of(whitening, 60)
    values = np.linalg.eigvals(np.linalg.solve(found, covariance)).real
    assert values.min() > 0.6 and values.max() < 1.5
    plain = np.linalg.eigvals(covariance / np.diag(covariance)).real  # negative control: sds alone
    assert plain.max() > 10
    np.testing.assert_allclose(whitening.centre, 5, atol=0.5)


def test_fewer_draws_than_coordinates_find_what_is_shared(rng):
    size = 400
    covariance = np.eye(size) + 0.5 * np.ones((size, size))
    draws = rng.multivariate_normal(np.zeros(size), covariance, size=200)
    whitening = Whitening.from_draws(draws, [np.arange(size)[:, None]])
    along = np.ones(size) / np.sqrt(size)
    left = along @ np.linalg.solve(covariance_of(whitening, size), along) * (1 + 0.5 * size)
    assert 0.5 < left < 2


def test_white_draws_are_left_alone(rng):
    whitening = Whitening.from_draws(rng.normal(size=(2_000, 50)), [np.arange(50)[:, None]])
    assert sum(len(stretch) for _, stretch in whitening.stretches) <= 1
    np.testing.assert_allclose(covariance_of(whitening, 50), np.eye(50), atol=0.12)


def test_one_draw_far_out_does_not_stretch_the_map(rng):
    draws = rng.normal(size=(1_000, 4))
    draws[0, 2] = 1e9
    whitening = Whitening.from_draws(draws, [np.arange(4)[:, None]])
    assert covariance_of(whitening, 4)[2, 2] < 2


def test_the_gradient_is_pulled_back(rng, posterior):
    covariance, pairs = posterior
    whitening = Whitening.from_draws(rng.multivariate_normal(np.zeros(60), covariance, size=500), [pairs])
    point = torch.tensor(rng.normal(size=60), requires_grad=True)
    weight = torch.tensor(rng.normal(size=60))
    (gradient,) = torch.autograd.grad((whitening(point) * weight).sum(), point)
    jacobian = whitening.place(np.eye(60)) - whitening.place(np.zeros(60))
    np.testing.assert_allclose(gradient.numpy(), jacobian @ weight.numpy(), atol=1e-9)


def test_no_map_is_the_identity(rng):
    point = rng.normal(size=(3, 5))
    np.testing.assert_array_equal(Whitening.identity(5).place(point), point)
