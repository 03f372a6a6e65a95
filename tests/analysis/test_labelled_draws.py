import numpy as np
import pytest
import xarray as xr

from irt_bench.analysis.labelled_draws import draws_of, evenly_spaced, item_draws, match_labels
from irt_bench.errors import AnalysisError


def posterior():
    rng = np.random.default_rng(1)
    dims = ("chain", "draw", "item")
    arrays = {name: (dims, rng.uniform(0.5, 1.5, (2, 5, 3))) for name in ("difficulty", "discrimination")}
    return xr.Dataset(arrays, coords={"item": ["a", "b", "c"]})


def test_chains_are_joined_and_labels_travel():
    data = posterior()
    draws, labels = draws_of(data, "difficulty", "item")
    np.testing.assert_array_equal(draws, data["difficulty"].values.reshape(10, 3))
    assert list(labels) == ["a", "b", "c"]


def test_models_without_asymptotes_have_those_of_the_2pl():
    items, _ = item_draws(posterior(), 4)
    assert items.difficulty.shape == (4, 3)
    assert (items.guessing == 0).all() and (items.upper_asymptote == 1).all()
    assert items.at((slice(None), [1])).difficulty.shape == (4, 1)


def test_what_is_missing_or_not_finite_is_refused():
    data = posterior()
    with pytest.raises(AnalysisError, match="no 'ability'"):
        draws_of(data, "ability", "model")
    data["difficulty"][0, 0, 1] = np.nan
    with pytest.raises(AnalysisError):
        draws_of(data, "difficulty", "item")


def test_draws_are_thinned_evenly_and_labels_matched_by_name():
    assert len(evenly_spaced(10, 4)) == 4 and len(evenly_spaced(3, 10)) == 3
    data = posterior()
    order = match_labels(data["item"].to_index(), data["item"].to_index()[::-1], "item", "x", "y")
    assert list(order) == [2, 1, 0]
