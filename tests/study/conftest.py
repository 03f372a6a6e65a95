"""Small studies: runs with seeds and steps, and other models to calibrate on."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from irt_bench import table_from_frame
from irt_bench.study.collect import BenchmarkResults
from irt_bench.study.design import make_design
from irt_bench.study.plan import plan_study
from irt_bench.study.results import run_study
from irt_bench.study.split import SplitData
from irt_bench.study.tasks import Store, compute_task


def compute_tasks(table, design, folder, kinds):
    """Compute the tasks of some kinds only, which a whole study would make with many others."""
    store = Store(folder)
    store.open()
    plan = plan_study(table, design, folder)
    for split in plan.benchmarks[0].splits:
        data = SplitData(split.job)
        for task in split.tasks:
            if task.kind in kinds:
                store.write(task.name, compute_task(data, task))
    return BenchmarkResults(plan.benchmarks[0], store)


def draw_frame(
    rng,
    *,
    n_runs=4,
    n_seeds=3,
    n_steps=2,
    n_items=60,
    n_others=12,
    noisy=0.0,
    noise=0.0,
    n_trials=4,
    spread=1.0,
    shared=0.25,
):
    """Answers of runs and of other models; the first share of the items, `noisy`, moves with the seed by itself.

    With a spread of 0 items are otherwise all alike, so that there is nothing else to choose by. ``shared`` is the sd
    of the seed's effect on all items.
    """
    difficulty, slope = spread * rng.normal(size=n_items), np.exp(0.3 * spread * rng.normal(size=n_items))
    noisy_items = np.arange(n_items) < noisy * n_items
    rows, abilities, own = [], [], []
    for run in range(n_runs):
        level = rng.normal(scale=0.5)
        for seed in range(n_seeds):
            effect, moved = rng.normal(scale=shared), noise * rng.normal(size=n_items) * noisy_items
            for step in range(n_steps):
                rows.append((f"run-{run}", f"run-{run}", seed + 1, (step + 1) * 100))
                abilities.append(level + 0.6 * step + effect + rng.normal(scale=0.1))
                own.append(moved)
    for other in range(n_others):
        rows.append((f"other-{other}", None, None, None))
        abilities.append(rng.normal())
        own.append(np.zeros(n_items))
    chance = expit(slope * (np.array(abilities)[:, None] - difficulty) + np.array(own))
    right = rng.binomial(n_trials, chance)
    models = pd.DataFrame(rows, columns=["model", "run", "seed", "step"]).astype({"seed": "Int64", "step": "Int64"})
    frame = models.loc[np.repeat(np.arange(len(models)), n_items)].reset_index(drop=True)
    frame["item"] = np.tile([f"item-{k:03d}" for k in range(n_items)], len(models))
    return frame.assign(n_correct=right.ravel(), n_samples=n_trials)


def draw_table(seed, benchmark="toy", **changes):
    return table_from_frame(draw_frame(np.random.default_rng(seed), **changes), benchmark=benchmark)


@pytest.fixture(scope="session")
def table():
    return draw_table(1)


@pytest.fixture(scope="session")
def design():
    return make_design(
        {
            "sizes": (10, 20), "methods": ("discrimination", "variance"), "estimators": ("weighted", "p_irt", "theta"),
            "n_folds": 2, "n_random": 200, "drop": (0.0, 0.2, 0.5), "transfer_splits": 10, "seed": 3,
        }
    )  # fmt: skip


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="session")
def result(table, design, folder):
    return run_study(table, design, folder)
