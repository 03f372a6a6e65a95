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
    """Of every benchmark with more items, averaged over its runs and steps; half the residual is the control."""
    table, found, halved = read_responses([shared_data / f"{name}.parquet"]), {}, []
    for benchmark in table.benchmarks:
        runs, _ = one_measure(table.select(benchmark))
        values = np.concatenate([np.swapaxes(run.values, 0, 1) for run in runs if run.n_seeds == 3])
        sizes = [k for k in (50, 100, 500) if k < values.shape[-1]]
        if not sizes:
            continue
        simulated = simulated_variances(values, sizes, np.random.default_rng(0), 2000)
        error = simulated.std(axis=0) / np.sqrt(2000)
        covariance = item_covariance(values)
        expected = covariance.variance(sizes).mean(axis=0)
        found[benchmark] = (simulated.mean(axis=0) - expected) / error
        halved.extend(abs(found[benchmark] + covariance.residual.mean() / 2 / np.array(sizes) / error))
        print(benchmark, sizes, (simulated.mean(axis=0) / expected).round(4), found[benchmark].round(2))
    t = np.concatenate(list(found.values()))
    print(name, f"{len(t)} sizes, largest |t| {np.abs(t).max():.2f}, root mean square {np.sqrt((t**2).mean()):.2f}")
    assert np.abs(t).max() < 4
    assert min(halved) > 4
