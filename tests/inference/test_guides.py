import numpy as np
import pytest
import torch

from irt_bench.inference.sampling.coordinates import AUTOGUIDES, optimise, pyro_runtime
from irt_bench.irt_models.program import DTYPE

MEAN = np.array([1.0, -2.0, 0.5])
ROOT = np.array([[1.0, 0, 0], [0.8, 0.6, 0], [0, 0.5, 0.7]])


def log_density(point):
    """A correlated normal distribution."""
    normal = torch.distributions.MultivariateNormal(torch.tensor(MEAN), scale_tril=torch.tensor(ROOT, dtype=DTYPE))
    return normal.log_prob(point)


def optimised(kind, steps=3_000):
    with pyro_runtime(seed=1, threads=1):
        return optimise(lambda: log_density, 3, kind=kind, steps=steps, rate=0.02, spread=1.0)


@pytest.mark.parametrize("kind", AUTOGUIDES)
def test_guides_find_the_mean_and_only_correlated_ones_the_covariance(kind):
    guide = optimised(kind)
    mean, root = guide.place()
    np.testing.assert_allclose(mean.numpy(), MEAN, atol=0.2)
    truth, found = ROOT @ ROOT.T, (root @ root.T).numpy()
    if kind == "normal":
        np.testing.assert_allclose(np.diag(found), 1 / np.diag(np.linalg.inv(truth)), rtol=0.25)
        assert found[1, 1] < 0.7 * truth[1, 1]
    else:
        np.testing.assert_allclose(found, truth, atol=0.25)


def test_draws_have_the_moments_of_the_guide():
    guide = optimised("full", steps=50)
    with pyro_runtime(seed=2, threads=1):
        draws = guide.draw(20_000)
    mean, root = guide.place()
    np.testing.assert_allclose(draws.mean(0), mean.numpy(), atol=0.05)
    np.testing.assert_allclose(np.cov(draws.T), (root @ root.T).numpy(), atol=0.06)
    assert len(guide.elbo) == 50


def test_optimisation_stops_when_told():
    with pyro_runtime(seed=1, threads=1):
        guide = optimise(
            lambda: log_density,
            3,
            kind="normal",
            steps=100,
            rate=0.1,
            spread=1.0,
            after_each=lambda step, *_: step == 9,
        )
    assert len(guide.elbo) == 10
