import numpy as np
import pytest

from irt_bench.inference.start import find_start
from irt_bench.irt_models.logistic import IRT_MODELS


@pytest.mark.parametrize("name", IRT_MODELS)
def test_every_site_gets_a_finite_start_and_a_positive_variance(simulate_cells, name):
    irt_model = IRT_MODELS[name]()
    start = find_start(irt_model, simulate_cells(30, 12, missing=0.2))
    for site in irt_model.sites():
        assert np.isfinite(start.values[site.name]).all()
        assert (np.asarray(start.variances[site.name]) > 0).all()


def test_slopes_do_not_run_away_where_items_are_few(simulate_cells):
    """Maximising over abilities and items at once gives slopes above e^5 here."""
    start = find_start(IRT_MODELS["2pl"](), simulate_cells(1000, 5))
    assert np.abs(start.values["log_discrimination"]).max() < 1.5


def test_items_with_more_answers_are_sampled_more_centred(simulate_cells):
    few, many = (find_start(IRT_MODELS["2pl"](), simulate_cells(n, 30)).centring["difficulty"] for n in (5, 500))
    assert np.median(few) < np.median(many)
    assert few.min() >= 0
    assert many.max() <= 1


def test_start_does_not_depend_on_global_randomness(simulate_cells):
    cells = simulate_cells(30, 12)
    first, second = (find_start(IRT_MODELS["2pl"](), cells).values["difficulty"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
