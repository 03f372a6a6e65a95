import numpy as np
import pytest

from irt_bench.analysis.curves import (
    benchmark_information,
    expected_score_curve,
    item_information,
    success_curves,
)
from irt_bench.errors import AnalysisError

NODES = np.linspace(-3, 3, 13)


def test_information_is_the_squared_slope_over_the_variance(posterior):
    """Against numeric derivatives of P, with parameters that do not vary over draws."""
    fixed = posterior.isel(draw=[0, 0], chain=[0])
    step = 1e-5
    p, above, below = (success_curves(fixed, NODES + h)["probability"].values for h in (0, step, -step))
    expected = ((above - below) / (2 * step)) ** 2 / (p * (1 - p))
    np.testing.assert_allclose(item_information(fixed, NODES)["information"], expected, rtol=1e-6)
    whole = benchmark_information(fixed, NODES)
    np.testing.assert_allclose(whole["information"], expected.sum(0), rtol=1e-6)
    np.testing.assert_allclose(whole["standard_error"], 1 / np.sqrt(expected.sum(0)), rtol=1e-6)
    np.testing.assert_allclose(expected_score_curve(fixed, NODES)["score"], p.mean(0), rtol=1e-12)


def test_extreme_abilities_do_not_overflow(posterior):
    assert np.isfinite(item_information(posterior, [-1e6, 1e6])["information"]).all()


@pytest.mark.parametrize("nodes", [[np.nan], [], [[0.0]]])
def test_bad_nodes_are_refused(posterior, nodes):
    with pytest.raises(AnalysisError, match="finite"):
        success_curves(posterior, nodes)
