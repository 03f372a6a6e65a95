import numpy as np
import pytest
from scipy.special import expit

from irt_bench.inference.fast.sweep import HERMITE, SmoothSweep

M, J = 200, 30


@pytest.fixture
def made(rng):
    """Abilities, items, and curves at a sweep's nodes, in float64."""
    mean, variance = rng.normal(size=M), rng.uniform(0.01, 0.1, M)
    slope, intercept, trials = rng.uniform(0.4, 2, J), rng.normal(size=J), rng.integers(1, 4, J)
    sweep = SmoothSweep.where_it_pays(mean, variance, slope.max())
    return sweep, expit(np.outer(sweep.nodes, slope) + intercept), slope, intercept, trials


def test_sums_are_those_of_all_three_points_of_every_model(made):
    sweep, curves, slope, intercept, trials = made
    theta, share = sweep.points.ravel(), np.repeat(HERMITE, M)
    known = expit(np.outer(theta, slope) + intercept)
    weight = known * (1 - known)
    by_model = np.stack([known @ (slope * trials), weight @ (slope**2 * trials)])
    expected = (share * by_model).reshape(2, 3, M).sum(axis=1)
    np.testing.assert_allclose(sweep.over_items(curves, slope, trials), expected, rtol=1e-6)
    sums = [share @ known, (share * theta) @ known, *((share * theta**k) @ weight for k in range(3))]
    found = sweep.over_models(curves, trials)
    np.testing.assert_allclose(found, np.array(sums) * trials, atol=1e-4)
    assert np.abs(sweep.over_models(curves**1.01, trials) - found).max() > 1e-2  # the control: other curves


def test_it_pays_for_many_models_and_gentle_slopes_alone(rng):
    def pays(n_models, steepest):
        mean = np.linspace(-3, 3, n_models)
        return SmoothSweep.where_it_pays(mean, np.full(n_models, 0.05), steepest) is not None

    assert pays(200, 2.0) and pays(1_000, 10.0)
    assert not pays(50, 2.0) and not pays(200, 10.0)
