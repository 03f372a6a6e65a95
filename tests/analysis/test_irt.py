import numpy as np
import pytest

from irt_bench.analysis.irt import ability_table, item_table
from irt_bench.errors import AnalysisError


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


def test_one_draw_is_refused(posterior):
    with pytest.raises(AnalysisError, match="at least 2"):
        ability_table(posterior.isel(chain=[0], draw=[0]))
