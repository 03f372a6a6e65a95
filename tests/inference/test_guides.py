import numpy as np
import pyro
import pytest
import torch
from pyro import poutine
from scipy import stats

from irt_bench.inference.guides import POINT, GaussianGuide
from irt_bench.inference.posterior import Posterior
from irt_bench.inference.runtime import DTYPE, pyro_runtime
from irt_bench.irt_models.logistic import IRT_MODELS

N_MODELS, N_ITEMS = 7, 5


@pytest.fixture(params=["1pl", "2pl", "4pl"])
def guide(request, simulate_cells):
    posterior = Posterior(IRT_MODELS[request.param](), simulate_cells(N_MODELS, N_ITEMS))
    with pyro_runtime(seed=3, threads=1):
        guide = GaussianGuide(posterior, kind="item")
        guide.draw(1)  # creates the parameters
        store = pyro.get_param_store()
        rng = np.random.default_rng(1)
        for name, value in dict(store.items()).items():
            store[name] = torch.tensor(rng.normal(size=value.shape), dtype=DTYPE)
        yield guide


def covariance(guide):
    """L L' from the parameters, L written out as a matrix."""
    store = {name: value.detach().numpy() for name, value in pyro.get_param_store().items()}
    factor = np.diag(np.exp(store["log_scale"]))
    for number, (later, earlier) in enumerate(guide.pairs):
        for item in range(N_ITEMS):
            row = later.start + item
            factor[row, earlier.start + item] = store[f"weight_{number}"][item] * np.exp(store["log_scale"][row])
    return store["loc"], factor @ factor.T


def test_density_is_that_of_a_multivariate_normal(guide):
    with torch.no_grad():
        trace = poutine.trace(guide).get_trace()
        got = float(trace.log_prob_sum())
    mean, matrix = covariance(guide)
    expected = stats.multivariate_normal.logpdf(trace.nodes[POINT]["value"].numpy(), mean, matrix)
    assert got == pytest.approx(expected + 0.5 * guide.size * np.log(2 * np.pi), rel=1e-8)


def test_draws_have_the_moments_of_the_guide(guide):
    draws = guide.draw(20_000).numpy()
    mean, matrix = covariance(guide)
    sd = np.sqrt(np.diag(matrix))
    assert np.abs((draws.mean(0) - mean) / sd).max() < 4.5 / np.sqrt(20_000)
    np.testing.assert_allclose(np.cov(draws.T) / np.outer(sd, sd), matrix / np.outer(sd, sd), atol=0.04)


def test_only_parameters_of_the_same_item_are_correlated(guide):
    _, matrix = covariance(guide)
    per_item = {"1pl": 1, "2pl": 2, "4pl": 4}
    n_correlated = int((np.abs(np.tril(matrix, -1)) > 1e-12).sum())
    assert n_correlated in {N_ITEMS * k * (k - 1) // 2 for k in per_item.values()}
    assert n_correlated == N_ITEMS * len(guide.pairs)


def test_without_correlation_the_matrix_is_diagonal(simulate_cells):
    posterior = Posterior(IRT_MODELS["2pl"](), simulate_cells(N_MODELS, N_ITEMS))
    with pyro_runtime(seed=3, threads=1):
        assert GaussianGuide(posterior, kind="normal").pairs == []
