import itertools

import numpy as np
import pandas as pd
import pytest

from irt_bench import read_responses
from irt_bench.variance.moments import item_covariance
from irt_bench.variance.scores import RunScores
from irt_bench.variance.seed_variance import one_measure
from irt_bench.variance.variance_curve import curve_sizes, predicted_curve, simulated_variances

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
        [simulated] = simulated_variances([values], sizes, np.random.default_rng(0), 2000)
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


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [3, 4, 5])
def test_the_interval_of_v_of_k_covers_with_real_models_as_seeds_and_suites_of_unequal_size(shared_data, n_seeds):
    """Few of 42 models are the seeds of one run; the truth is V(k) of all. A bootstrap of seeds is the control."""
    frame = pd.read_parquet(shared_data / "syntax_seeds.parquet")
    answers = frame.pivot(index="model", columns="item", values="correct").dropna()
    subtask = frame.drop_duplicates("item").set_index("item")["subtask"].loc[answers.columns]
    everyone, groups, sizes = answers.to_numpy(float), pd.factorize(subtask)[0], [10, 50, 100, 842]
    truth = np.sqrt(item_covariance(everyone).variance(np.array(sizes, dtype=float)))
    rng, covered, control = np.random.default_rng(n_seeds), [], []
    for _ in range(400):
        seeds = everyone[rng.choice(len(everyone), n_seeds, replace=False)]
        found = predicted_curve(run_of(seeds, answers.columns), sizes, rng, groups)
        covered.append((found["predicted_sd_q05"] <= truth) & (truth <= found["predicted_sd_q95"]))
        again = seeds.mean(axis=1)[rng.integers(0, n_seeds, (200, n_seeds))].std(axis=1, ddof=1)
        control.append(np.quantile(again, 0.05) <= truth[-1] <= np.quantile(again, 0.95))
    print(n_seeds, np.mean(covered, axis=0), np.mean(control))
    assert (abs(np.mean(covered, axis=0) - 0.9) < 0.05).all()
    assert np.mean(control) < 0.8


def run_of(values, items):
    """Scores of one run at one step."""
    seeds = tuple(map(str, range(len(values))))
    return RunScores("b", "r", "accuracy", values[:, None], np.ones((len(values), 1, 1), int), seeds, ("0",), items)
