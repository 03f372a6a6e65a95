"""Seed sds of the hierarchical model in a study: against what was planted, and where seeds differ in nothing."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from irt_bench import SVISettings, table_from_frame
from irt_bench.errors import FitError
from irt_bench.names import POOLED
from irt_bench.study import tasks
from irt_bench.study.design import SEED_MODEL, STATISTICS, make_design
from irt_bench.study.plan import plan_study
from irt_bench.study.rows import COLUMNS, RandomReferences, result_rows, seed_model_columns, seed_model_notes
from irt_bench.study.split import SplitData
from irt_bench.study.tasks import compute_task, make_task

from .conftest import compute_tasks

SIZE, N_ITEMS, N_RUNS, N_SEEDS = 20, 80, 10, 5
LEVELS = np.linspace(-0.8, 0.8, N_RUNS)


def items(seed):
    rng = np.random.default_rng([seed, 1])
    return rng.normal(size=N_ITEMS), np.exp(0.5 * rng.normal(size=N_ITEMS))


def planted(seed, sd, n_trials=1):
    """Runs of seeds whose abilities have sd `sd`, and 60 others; answers as the 2PL has them."""
    rng = np.random.default_rng([seed, 2])
    difficulty, slope = items(seed)
    ability = np.concatenate([np.repeat(LEVELS, N_SEEDS) + sd * rng.normal(size=N_RUNS * N_SEEDS), rng.normal(size=60)])
    right = rng.binomial(n_trials, expit(slope * (ability[:, None] - difficulty)))
    runs = [(f"run-{r}-{s}", f"run-{r}", s) for r in range(N_RUNS) for s in range(N_SEEDS)]
    models = pd.DataFrame([*runs, *((f"other-{k}", None, None) for k in range(60))], columns=["model", "run", "seed"])
    frame = models.astype({"seed": "Int64"}).loc[np.repeat(np.arange(len(models)), N_ITEMS)].reset_index(drop=True)
    frame["item"] = np.tile([f"item-{k:03d}" for k in range(N_ITEMS)], len(models))
    return table_from_frame(frame.assign(n_correct=right.ravel(), n_samples=n_trials), benchmark="toy")


def true_sds(seed, sd, weights, n_trials=1):
    """Sd of a score over seeds, and of its expectation, averaged as variances over runs."""
    difficulty, slope = items(seed)
    ability = LEVELS[:, None] + sd * np.random.default_rng(3).normal(size=(N_RUNS, 4000))
    chance = expit(slope * (ability[..., None] - difficulty))
    expected = (chance @ weights).var(axis=1).mean()
    return np.sqrt(expected + (chance * (1 - chance) @ weights**2).mean() / n_trials), np.sqrt(expected)


def studied(table, folder):
    """Rows with the seed model's columns, and the tasks behind them."""
    statistics = (*STATISTICS, SEED_MODEL)
    design = make_design(
        {
            "sizes": (SIZE,), "methods": ("discrimination",), "estimators": ("weighted", "p_irt", "theta"),
            "evaluation": {"run": tuple(f"run-{r}" for r in range(N_RUNS))}, "n_random": 200, "statistics": statistics,
        }
    )  # fmt: skip
    found = compute_tasks(table, design, folder, ("full", "random", "recipe", "seed_model"))
    rows = result_rows(found, {SIZE: RandomReferences(found, found.random(SIZE))})
    return found, rows.set_index(["run", "method", "estimator"]).sort_index()


@pytest.fixture(scope="module")
def table():
    return planted(5, 0.5)


@pytest.fixture(scope="module")
def study(table, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:  # a fifth of the steps: the controls, which are slow, take all
        patch.setattr(tasks, "SVISettings", partial(SVISettings, max_steps=800))
        return studied(table, tmp_path_factory.mktemp("modelled"))


def within(row, name, value, factor=1.0):
    return row[f"{name}_q05"] / factor <= value <= row[f"{name}_q95"] * factor


def chosen_weights(found):
    weights = np.zeros(N_ITEMS)
    weights[found._read(0, "recipe", SIZE, "discrimination", "equal")["items"]] = 1 / SIZE
    return weights


def test_the_model_finds_the_planted_seed_sd_of_all_items_and_of_chosen_ones(study):
    found, rows = study
    for method, weights in (("full", np.full(N_ITEMS, 1 / N_ITEMS)), ("discrimination", chosen_weights(found))):
        row = rows.loc[(POOLED, method, "weighted")]
        score, expected = true_sds(5, 0.5, weights)
        assert within(row, "model_sd", score, 1.02) and within(row, "model_seed_sd", expected, 1.05), method
        assert not within(row, "model_seed_sd", 2 * expected) and not within(row, "model_seed_sd", expected / 2)
    assert within(rows.loc[(POOLED, "full", "theta")], "model_seed_sd", 0.5, 1.1)


def test_items_that_discriminate_move_more_with_the_seed_than_random_ones(study):
    found, rows = study
    row = rows.loc[(POOLED, "discrimination", "weighted")]
    assert row["model_ratio_q05"] > 1 and row["model_ratio_full_q05"] > 1
    random = rows.loc[(POOLED, "random", "weighted")]
    assert random["model_ratio"] == pytest.approx(1)
    assert row["model_ratio"] == pytest.approx(row["model_sd"] / random["model_sd"], rel=0.03)
    assert random["model_sd"] == pytest.approx(random["v_k_sd"], rel=0.2)  # two ways to the same


def test_estimators_that_are_no_weighted_sum_have_no_model_sd(study):
    _, rows = study
    assert rows.loc[(POOLED, "discrimination", "p_irt"), list(COLUMNS)].isna().all()
    runs = rows.xs(("full", "weighted"), level=("method", "estimator"))
    assert len(runs) == N_RUNS + 1 and runs["model_sd"].notna().all()


@pytest.mark.slow
@pytest.mark.parametrize("n_trials", [1, 8])
def test_seeds_that_differ_in_nothing_are_given_no_effect(tmp_path, n_trials):
    """Negative control: what the seeds' abilities make is far below what was planted elsewhere, the rest is answers."""
    found, rows = studied(planted(5, 0.0, n_trials), tmp_path)
    row, weights = rows.loc[(POOLED, "discrimination", "weighted")], chosen_weights(found)
    assert row["model_seed_sd_q95"] < 0.5 * true_sds(5, 0.5, weights)[1]
    assert within(row, "model_sd", true_sds(5, 0.0, weights, n_trials)[0], 1.05)


def test_a_study_fits_no_seed_model_unless_asked(table, tmp_path):
    plan = plan_study(table, make_design({"sizes": (SIZE,), "n_random": 200}), tmp_path)
    assert all(task.kind != SEED_MODEL for split in plan.benchmarks[0].splits for task in split.tasks)


def test_a_model_that_cannot_be_fitted_shows_why_and_leaves_its_columns_empty(study, monkeypatch):
    found, rows = study

    def refuse(*_, **__):
        raise FitError("nothing known of the items")

    monkeypatch.setattr(tasks, "fit_as_varied", refuse)
    data = SplitData(found.plan.splits[0].job)
    part = compute_task(data, make_task(data.job, "seed_model", sizes=[SIZE], recipes=[]))
    monkeypatch.setattr(found, "seed_model", lambda: [part])
    assert seed_model_columns(found, rows.reset_index()).isna().all(axis=None)
    assert "nothing known of the items" in seed_model_notes(found)[0]
