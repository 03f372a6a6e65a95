import numpy as np
import pytest
from scipy import stats

from irt_bench.analysis.abilities import AbilityNodes, ResponseBlock, choose_nodes, mixture_density, moments
from irt_bench.analysis.labelled_draws import ItemParameters

SKEWED = stats.skewnorm(5, loc=-0.5, scale=1.2)


@pytest.mark.parametrize("law", [stats.norm(0.3, 0.7), SKEWED], ids=["normal", "skewed"])
def test_moments_and_limits_of_a_density_at_three_nodes_an_sd(law):
    nodes = np.arange(-6, 6, law.std() / 3)
    found = moments(law.pdf(nodes)[None], nodes)[:, 0]
    limit = 0.002 if law is SKEWED else 0.001
    np.testing.assert_allclose(found, [law.mean(), law.std(), law.ppf(0.05), law.ppf(0.95)], atol=limit * law.std())


def test_nodes_are_as_close_as_the_narrowest_posterior_asks_and_interpolated():
    """Two thousand items: posteriors a thirtieth of the prior wide, and answers evaluated on fewer nodes."""
    rng = np.random.default_rng(1)
    one = np.ones(2_000)
    items = ItemParameters(rng.normal(size=2_000), 1.5 * one, 0 * one, one)
    right = (rng.random((3, 2_000)) < 1 / (1 + np.exp(-1.5 * (np.array([[-2.0], [0], [1]]) - items.difficulty)))) * 1
    cells = ResponseBlock(right, np.ones_like(right))
    chosen = choose_nodes(cells, items)
    assert len(chosen.evaluated) < len(chosen.integrated)
    drawn = ItemParameters(*(values[None] for values in items))
    mean, sd = moments(mixture_density(cells, drawn, chosen), chosen.integrated)[:2]
    assert np.diff(chosen.integrated).max() < sd.min() / 2
    plain = np.linspace(-6, 6, 6_001)
    exact = moments(mixture_density(cells, drawn, AbilityNodes(plain, plain)), plain)[:2]
    np.testing.assert_allclose([mean, sd], exact, atol=1e-5)
