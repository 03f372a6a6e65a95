"""Folders as the commands write them: real ones of a small simulation, and studies and checks of a few rows."""

import json

import numpy as np
import pandas as pd
import pytest
from commands import run

from irt_bench import write_table
from irt_bench.irt_models.simulate import simulate_benchmark

HOSTILE = ['<script>alert("x")</script>', "</script><img src=x onerror=alert(1)>", '=1+"1" & <b>', "שלום עולם"]


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """What items, fit, compare and variance wrote for a small simulated benchmark."""
    folder = tmp_path_factory.mktemp("written")
    simulation = simulate_benchmark(seed=1, n_runs=2, n_seeds=3, n_steps=2, n_items=30, n_other_models=20)
    responses = folder / "responses.parquet"
    write_table(simulation.table, responses)
    run("items", responses, "-o", folder / "items.csv")
    run("fit", responses, "-o", folder / "fit", "--draws", 50)
    run("compare", responses, "--fit", folder / "fit", "-o", folder / "comparison")
    run("variance", responses, "-o", folder / "variance")
    return folder


def study_results(verdict="no difference shown", low=0.8):
    """Results of a study with two ways, two sizes, and their references."""
    rows = []
    for size in (20, 50):
        ways = (("anchors", "anchor", 0.9), ("subtask", "equal", 1.1))
        for method, weights, ratio in (("random", "equal", 1.0), ("random", "anchor", 1.0), *ways):
            null = method == "random"
            rows.append(
                {
                    "benchmark": "simulated", "run": "pooled", "method": method, "weights": weights,
                    "estimator": "weighted", "size": size, "seed_sd": 0.05 * ratio, "seed_sd_full": 0.03,
                    "v_k_sd": 0.05, "ratio": ratio, "ratio_q05": ratio * low, "ratio_q95": ratio / low,
                    "percentile_random": np.nan if null else 0.4, "p_holm": np.nan if null else 0.6,
                    "verdict": "" if null else verdict, "movement": 1.0, "ratio_signal": ratio,
                    "verdict_signal": "" if null else verdict, "ratio_plain": ratio,
                    "verdict_plain": "" if null else verdict, "ratio_full": 1.6, "ratio_full_q05": 1.2,
                    "ratio_full_q95": 2.2, "verdict_full": "" if null else "raises", "bias": 0.002, "snr": 10.0,
                    "monotonicity": 0.8, "kendall_tau": 0.9,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def write_study(tmp_path):
    """Write the folder of a study with given results."""

    def write(results, name="study", **summary):
        folder = tmp_path / name
        folder.mkdir()
        results.to_csv(folder / "results.csv", index=False)
        pd.DataFrame([{"benchmark": "simulated", "size": 20, "detectable_ratio_random": 0.7}]).to_csv(
            folder / "detectable.csv", index=False
        )
        control = {"items": {"compared": 9, "cuts": 0}, "models": {"compared": 9, "cuts": 0}}
        (folder / "summary.json").write_text(json.dumps({"notes": ["a note"], "control": control} | summary))
        return folder

    return write


@pytest.fixture
def checks_folder(tmp_path):
    """What check wrote: one check of each outcome."""
    folder = tmp_path / "checks"
    folder.mkdir()
    rows = [
        {"name": "infit", "status": "passed", "value": 1.1, "threshold": 1.3, "message": "fine", "source": "Linacre"},
        {"name": "q3", "status": "failed", "value": 0.4, "threshold": 0.2, "message": "two items", "source": "Yen"},
        {"name": "dif", "status": "not_applicable", "value": None, "threshold": None, "message": "none", "source": ""},
    ]
    pd.DataFrame(rows).to_csv(folder / "checks.csv", index=False)
    pd.DataFrame({"item": ["item-001"], "misfits": ["infit;q3"]}).to_csv(folder / "items.csv", index=False)
    (folder / "summary.json").write_text(json.dumps({"checks": rows, "notes": []}))
    return folder


@pytest.fixture
def hostile_folder(tmp_path):
    """Item statistics, a study and checks whose names try to leave their place."""
    items = pd.DataFrame(
        {
            "item": HOSTILE, "n_models": 10, "proportion_correct": [0.1, 0.4, 0.6, 0.9], "item_total_correlation": 0.2,
            "item_rest_correlation": [-0.4, 0.1, 0.3, np.nan], "biserial": 0.1,
            "flags": ["negative", "", HOSTILE[0], ""],
        }
    )  # fmt: skip
    items.to_csv(tmp_path / "items.csv", index=False)
    folder = tmp_path / "study"
    folder.mkdir()
    results = study_results().assign(benchmark=HOSTILE[1])
    results["method"] = results["method"].replace({"anchors": HOSTILE[0], "subtask": HOSTILE[2]})
    results.to_csv(folder / "results.csv", index=False)
    (folder / "summary.json").write_text(json.dumps({"benchmarks": HOSTILE, "notes": HOSTILE}))
    checks = tmp_path / "checks"
    checks.mkdir()
    rows = [{"name": HOSTILE[0], "status": "failed", "value": 1.0, "message": HOSTILE[1], "source": HOSTILE[2]}]
    pd.DataFrame(rows).to_csv(checks / "checks.csv", index=False)
    (checks / "summary.json").write_text(json.dumps({"checks": rows, "benchmark": HOSTILE[3]}))
    return tmp_path


@pytest.fixture
def results():
    """Make results of a study."""
    return study_results


@pytest.fixture
def hostile_names():
    """Names that try to leave their place."""
    return HOSTILE
