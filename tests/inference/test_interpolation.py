import numpy as np
import pytest
from scipy.special import expit

from irt_bench.inference.fast.sweep import MIN_NODES, interpolation, n_nodes


@pytest.mark.parametrize("steepest", [0.5, 3.0, 15.0])
def test_interpolation_reproduces_curves_up_to_the_steepest(rng, steepest):
    points = rng.normal(size=300)
    nodes, basis, coefficients = interpolation(points, steepest)
    assert basis.shape == (300, n_nodes(points, steepest)) and len(nodes) == basis.shape[1]

    def off(slope):
        curve = expit(slope * (points - 0.4))
        return np.abs(basis @ (coefficients @ expit(slope * (nodes - 0.4))) - curve).max()

    assert off(steepest) < 1e-6
    assert off(4 * steepest) > 1e-6  # the nodes are no denser than they need be


def test_abilities_that_are_all_alike_need_few_nodes():
    nodes, basis, coefficients = interpolation(np.full(5, 0.3), 2.0)
    assert len(nodes) == MIN_NODES
    np.testing.assert_allclose(basis @ (coefficients @ nodes**3), 0.027, atol=1e-12)
