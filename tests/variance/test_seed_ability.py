from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from simulated_seeds import SeedSimulation, simulate_seeds

from irt_bench import NUTSSettings, SVISettings
from irt_bench.errors import AnalysisError
from irt_bench.variance.metrics import seen_spread
from irt_bench.variance.seed_effect import model_seed_effects, seed_model_settings
from irt_bench.variance.seed_variance import one_measure

PLAN = SeedSimulation(n_runs=2, n_seeds=4, n_steps=2, n_items=60, n_subtasks=1, subtask_sd=0, item_sd=0)
QUICK = SVISettings(seed=1, max_steps=600, draws=200)


def test_the_spread_seen_is_that_of_the_weighted_scores():
    runs, _ = one_measure(simulate_seeds(PLAN, seed=1))
    weights = pd.Series([1.0, 3.0], index=["item-0001", "item-0005"])
    found = seen_spread(runs, weights).set_index("run")["estimate"]
    own = [((run.values[..., 0] + 3 * run.values[..., 4]) / 4).var(axis=0, ddof=1).mean() for run in runs]
    np.testing.assert_allclose(found, np.sqrt([*own, np.mean(own)]))
    whole = seen_spread(runs)
    assert (whole["q05"] < whole["estimate"]).all() and (whole["estimate"] < whole["q95"]).all()


@pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")
def test_the_table_has_both_item_sets_and_says_where_the_items_come_from():
    weights = pd.Series(1.0, index=[f"item-{place:04d}" for place in range(1, 11)])
    found = model_seed_effects(simulate_seeds(PLAN, seed=1), QUICK, weights=weights, n_item_draws=2)
    assert set(found.table["items"]) == {"all", "subset"}
    assert {"seed_sd_ability", "step_sd_ability", "score_sd", "score_sd_seen"} <= set(found.table["quantity"])
    assert "the seeds among them" in found.notes[0]
    assert found.to_dict()["fits"]["planted"]["checks"]
    sds = found.table.set_index(["items", "run", "quantity"])["estimate"]
    assert sds["subset", "pooled", "score_sd"] > sds["all", "pooled", "score_sd"]


@pytest.mark.filterwarnings("ignore::irt_bench.errors.ConvergenceWarning")
def test_answers_given_several_times_vary_as_their_mean_does():
    plan = replace(PLAN, n_trials=8, n_runs=4)
    found = model_seed_effects(simulate_seeds(plan, seed=1), QUICK, n_item_draws=2)
    sds = found.table[found.table["run"] == "pooled"].set_index("quantity")["estimate"]
    assert sds["answer_sd"] == pytest.approx(np.sqrt(0.19 / 60 / 8), rel=0.15)
    assert sds["these_score_sd"] == pytest.approx(sds["score_sd_seen"], rel=0.25)


def test_methods_are_named_and_a_subset_of_several_benchmarks_is_refused():
    assert isinstance(seed_model_settings("nuts", 3), NUTSSettings)
    with pytest.raises(AnalysisError, match="'nuts'"):
        seed_model_settings("mcmc", 3)
