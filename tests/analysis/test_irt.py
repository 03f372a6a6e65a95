import numpy as np
import pytest
import xarray as xr

from irt_bench.analysis.irt import (
    ability_table,
    benchmark_information,
    expected_score_curve,
    item_information,
    item_table,
    success_curves,
)
from irt_bench.errors import AnalysisError

NODES = np.linspace(-3, 3, 13)


@pytest.fixture
def posterior():
    rng = np.random.default_rng(2)
    shape = (2, 50, 4)
    return xr.Dataset(
        {
            "ability": (("chain", "draw", "model"), rng.normal(size=shape) + np.arange(4)),
            "difficulty": (("chain", "draw", "item"), rng.normal(size=shape)),
            "discrimination": (("chain", "draw", "item"), rng.uniform(0.5, 2, shape)),
            "guessing": (("chain", "draw", "item"), rng.uniform(0, 0.3, shape)),
        },
        coords={"model": ["m0", "m1", "m2", "m3"], "item": ["i0", "i1", "i2", "i3"]},
    )


def test_abilities_and_ranks_are_those_of_the_draws(posterior):
    table = ability_table(posterior)
    draws = posterior["ability"].values.reshape(100, 4)
    np.testing.assert_allclose(table["ability"], draws.mean(0))
    np.testing.assert_allclose(table["ability_sd"], draws.std(0, ddof=1))
    np.testing.assert_allclose(table["ability_q95"], np.quantile(draws, 0.95, axis=0))
    assert list(table["rank"]) == [4, 3, 2, 1]
    ranks = (draws[:, None, :] > draws[:, :, None]).sum(2) + 1  # models above, and itself
    np.testing.assert_allclose(table["rank_q05"], np.quantile(ranks, 0.05, axis=0))


def test_accuracy_is_joined_by_label_and_not_by_position(posterior, make_counts):
    counts = make_counts([[1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]], models=["m3", "m0", "m2", "m1"])
    table = ability_table(posterior, counts)
    assert table["accuracy"].to_dict() == {"m0": 0.0, "m1": 0.25, "m2": 0.5, "m3": 0.75}
    assert (item_table(posterior, counts)["n_models"] == 4).all()
    with pytest.raises(AnalysisError, match="m3"):
        ability_table(posterior, make_counts(np.ones((4, 4), int), models=["m0", "m1", "m2", "x9"]))


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


def test_bad_draws_and_nodes_are_refused(posterior):
    with pytest.raises(AnalysisError, match="at least 2"):
        ability_table(posterior.isel(chain=[0], draw=[0]))
    with pytest.raises(AnalysisError, match="finite"):
        success_curves(posterior, [np.nan])
