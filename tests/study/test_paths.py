import numpy as np
import pytest

from irt_bench.analysis.transfer import compare_transfer


def test_the_path_begins_at_the_full_benchmark_and_shows_what_each_drop_does(result):
    path = result.paths
    assert list(path["n_items"]) == [60, 48, 30]
    first = path.iloc[0]
    assert first["dropped"] == 0 and first["ratio_full"] == 1 and first["bias"] == 0
    assert first["verdict_full"] == ""  # it is the full benchmark
    assert first["seed_sd"] == pytest.approx(first["seed_sd_full"]) == pytest.approx(first["v_k_sd"])
    rest = path.iloc[1:]
    assert (rest["ratio_full_q05"] < rest["ratio_full"]).all() and (rest["ratio_full"] < rest["ratio_full_q95"]).all()
    assert ((rest["random_q05"] < rest["v_k_sd"]) & (rest["v_k_sd"] < rest["random_q95"])).all()
    assert rest["percentile_random"].between(0, 1).all() and np.isfinite(rest["monotonicity"]).sum() == 0  # two steps


@pytest.mark.filterwarnings("ignore::irt_bench.errors.UndefinedWarning")  # few models, short benchmark
def test_transfer_is_that_of_the_item_analysis(result, table, design):
    expected = compare_transfer(table.counts(), n_splits=design.transfer_splits, seed=design.seed)
    found = result.transfer.set_index(["statistic", "method"])
    assert found["ability"].to_numpy() == pytest.approx(expected["ability"].to_numpy(), nan_ok=True)
    assert found["ratio_q05"].to_numpy() == pytest.approx(expected["ratio_q05"].to_numpy(), nan_ok=True)
