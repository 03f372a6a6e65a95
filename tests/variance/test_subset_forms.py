import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from simulated_seeds import SeedSimulation, simulate_seeds

from irt_bench import read_responses
from irt_bench.variance.moments import item_covariance
from irt_bench.variance.seed_variance import one_measure
from irt_bench.variance.variance_curve import (
    form_curves,
    nested_variance,
    proportional,
    stratified_variance,
    template_numbers,
)

Y = np.random.default_rng(0).normal(size=(4, 6))


def variance_of(chosen):
    return Y[:, list(chosen)].mean(axis=1).var(ddof=1)


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


def test_items_are_shared_out_in_proportion_with_one_at_least():
    assert proportional(np.array([50, 30, 20]), 10).tolist() == [5, 3, 2]
    assert proportional(np.array([97, 2, 1]), 10).tolist() == [8, 1, 1]
    for k in range(3, 100):
        drawn = proportional(np.array([50, 31, 19]), k)
        assert drawn.sum() == k and (drawn <= [50, 31, 19]).all() and (drawn >= 1).all()


def test_curves_of_both_forms_agree_with_real_subsets_of_their_kind_and_not_with_random_ones():
    plan = SeedSimulation(n_runs=1, n_seeds=5, n_steps=2, n_items=120, n_subtasks=12, subtask_sd=1.0)
    (run,), _ = one_measure(simulate_seeds(plan, seed=1))
    found = form_curves(run, [5, 24, 60], np.random.default_rng(0), 3000)
    assert found["k"].tolist() == [24, 60, 10, 20, 50, 100, 120]  # 5 items cannot come from 12 subtasks
    np.testing.assert_allclose(found["simulated_sd"], found["predicted_sd"], rtol=0.03)
    nested = found[(found["form"] == "nested") & (found["k"] == 20)]["predicted_sd"].item()
    random = np.sqrt(item_covariance(np.swapaxes(run.values, 0, 1)).variance(20).mean())
    assert nested > 1.1 * random  # negative control: items of a subtask move together
    assert (found["predicted_sd_q05"] < found["predicted_sd"]).all()


def test_without_subtasks_there_are_no_other_forms_and_with_missing_cells_no_simulation():
    (run,), _ = one_measure(simulate_seeds(SeedSimulation(n_runs=1, n_subtasks=1), seed=1))
    assert form_curves(run, [50], np.random.default_rng(0)).empty
    (run,), _ = one_measure(simulate_seeds(SeedSimulation(n_runs=1, missing=0.1), seed=1))
    found = form_curves(run, [50], np.random.default_rng(0))
    assert found["simulated_sd"].isna().all() and found["predicted_sd"].notna().all()
    assert template_numbers(20) == [1, 2, 5, 10, 20]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["aann_seeds", "nlu_checkpoints_dev"])
def test_stratified_and_whole_template_curves_of_real_items_are_those_of_2000_real_subsets(shared_data, name):
    table = read_responses([shared_data / f"{name}.parquet"])
    table = table.select("hellaswag") if name.startswith("nlu") else table
    (run, *_), _ = one_measure(table)
    n = run.n_items // 40 * 40
    blocks = np.arange(n) // 40  # neighbours stand in for templates: ids follow them
    run = run.take(np.arange(n) if n == run.n_items else np.flatnonzero(np.arange(run.n_items) < n))
    for groups, sizes in ((np.arange(n) * 10 // n, [50, 100, 500]), (blocks, [])):
        chosen = replace(run, subtask=pd.Series(groups.astype(str), index=run.items))
        found = form_curves(chosen, sizes, np.random.default_rng(0), 2000)
        ratio = found["simulated_sd"] ** 2 / found["predicted_sd"] ** 2
        spread = (found["simulated_q95"] ** 2 - found["simulated_q05"] ** 2) / 3.29 / found["predicted_sd"] ** 2
        t = (ratio - 1) / (spread / np.sqrt(2000)).clip(lower=1e-9)
        print(name, found.assign(ratio=ratio, t=t)[["form", "k", "ratio", "t"]].round(3).to_string())
        assert (t.abs()[found["k"] < n] < 4).all()
