import itertools

import numpy as np
import pytest

from irt_bench.responses import read_responses
from irt_bench.variance.benchmark_runs import one_measure
from irt_bench.variance.curve import curve_sizes, simulated_variances
from irt_bench.variance.moments import item_covariance

Y = np.random.default_rng(0).normal(size=(4, 6))


def variance_of(chosen):
    return Y[:, list(chosen)].mean(axis=1).var(ddof=1)


def test_v_of_k_equals_the_mean_over_all_subsets():
    for k in range(1, 7):
        exact = np.mean([variance_of(subset) for subset in itertools.combinations(range(6), k)])
        np.testing.assert_allclose(item_covariance(Y).variance(k), exact)


def test_sizes_hold_those_always_shown_and_all_items():
    assert {50, 100, 500, 2000} <= set(curve_sizes(2000))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["aann_seeds", "nlu_checkpoints_dev"])
def test_v_of_k_is_the_mean_over_real_random_subsets(shared_data, name):
    table = read_responses([shared_data / f"{name}.parquet"])
    table = table.select("hellaswag") if name.startswith("nlu") else table
    values = np.swapaxes(one_measure(table)[0][0].values, 0, 1)
    sizes = [50, 100, 500]
    simulated = simulated_variances(values, sizes, np.random.default_rng(0), 2000)
    expected = item_covariance(values).variance(sizes).mean(axis=0)
    t = (simulated.mean(axis=0) - expected) / (simulated.std(axis=0) / np.sqrt(2000))
    print(name, (simulated.mean(axis=0) / expected).round(4), t.round(2))
    assert np.abs(t).max() < 4
