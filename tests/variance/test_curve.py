import itertools

import numpy as np
import pytest

from irt_bench.responses import read_responses
from irt_bench.variance.benchmark_runs import one_measure
from irt_bench.variance.curve import (
    curve_sizes,
    nested_variance,
    simulated_variances,
    stratified_variance,
)
from irt_bench.variance.moments import item_covariance

Y = np.random.default_rng(0).normal(size=(4, 6))


def variance_of(chosen):
    return Y[:, list(chosen)].mean(axis=1).var(ddof=1)


def test_v_of_k_equals_the_mean_over_all_subsets():
    for k in range(1, 7):
        exact = np.mean([variance_of(subset) for subset in itertools.combinations(range(6), k)])
        np.testing.assert_allclose(item_covariance(Y).variance(k), exact)


def test_the_stratified_form_equals_the_mean_over_all_stratified_subsets():
    strata = np.array([0, 0, 0, 0, 1, 1])
    every = itertools.product(itertools.combinations(range(4), 2), itertools.combinations((4, 5), 1))
    exact = np.mean([variance_of((*a, *b)) for a, b in every])
    np.testing.assert_allclose(stratified_variance(Y, strata, [2, 1], [2 / 3, 1 / 3]), exact)


def test_the_nested_form_equals_the_mean_over_all_sets_of_templates():
    templates = np.repeat([0, 1, 2], 2)
    exact = np.mean([variance_of([2 * a, 2 * a + 1, 2 * b, 2 * b + 1]) for a, b in ((0, 1), (0, 2), (1, 2))])
    np.testing.assert_allclose(nested_variance(Y, templates, 2), exact)
    assert abs(float(item_covariance(Y).variance(4)) - exact) > 1e-3  # templates are no simple random sample


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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["aann_seeds", "nlu_checkpoints_dev"])
def test_stratified_and_whole_template_subsets_of_real_items_have_their_own_forms(shared_data, name):
    table = read_responses([shared_data / f"{name}.parquet"])
    table = table.select("hellaswag") if name.startswith("nlu") else table
    values = one_measure(table)[0][0].values[:, -1, :4000]  # neighbours stand in for templates: ids follow them
    rng, blocks = np.random.default_rng(0), np.arange(4000) // 40
    halves = np.arange(4000) // 2000
    first = np.argsort(rng.random((2000, 2000)), axis=1)[:, :60]
    second = 2000 + np.argsort(rng.random((2000, 2000)), axis=1)[:, :40]
    chosen = np.concatenate([first, second], axis=1)
    whole = np.argsort(rng.random((2000, 100)), axis=1)[:, :5]
    templates = (whole[:, :, None] * 40 + np.arange(40)).reshape(2000, -1)
    expected = [stratified_variance(values, halves, [60, 40], [0.6, 0.4]), nested_variance(values, blocks, 5)]
    for subsets, predicted in zip((chosen, templates), expected, strict=True):
        found = values[:, subsets].mean(axis=2).var(axis=0, ddof=1)
        t = (found.mean() - float(predicted)) / (found.std() / np.sqrt(2000))
        print(name, round(found.mean() / float(predicted), 3), round(t, 2))
        assert abs(t) < 4
