import json

import numpy as np
import pandas as pd
import pytest
from commands import printed, run
from simulated_seeds import SeedSimulation, simulate_seeds

from irt_bench import write_table

FLAGS = [
    "--sizes",
    "10",
    "--methods",
    "discrimination",
    "--estimators",
    "weighted",
    "--folds",
    "2",
    "--n-random",
    "100",
]


@pytest.fixture(scope="module")
def responses(tmp_path_factory):
    path = tmp_path_factory.mktemp("responses") / "planted.parquet"
    plan = SeedSimulation(n_runs=4, n_seeds=3, n_steps=3, n_items=40, n_subtasks=4)
    write_table(simulate_seeds(plan, seed=1), path)
    return path


def test_a_study_writes_its_tables_and_goes_on_when_asked_again(responses, tmp_path):
    found = run("study", responses, *FLAGS, "--jobs", "1", "-o", tmp_path / "s")
    results = pd.read_csv(tmp_path / "s" / "results.csv")
    assert {"ratio", "ratio_q05", "percentile_random", "p_holm", "verdict", "verdict_full"} <= set(results.columns)
    assert np.isfinite(results.loc[results["method"] == "random", "seed_sd"]).all()
    for name in ("paths.csv", "transfer.csv", "control.csv", "paper.csv", "detectable.csv", "summary.json"):
        assert (tmp_path / "s" / name).is_file()
    assert list((tmp_path / "s").glob("forest-*.png"))
    assert list((tmp_path / "s").glob("cures-*.png")) and "noise per signal" in found.output
    again = run("study", responses, *FLAGS, "--jobs", "1", "--json", "-o", tmp_path / "s")
    assert json.loads(again.stdout)["split"] == "folds over clusters"


def test_an_alternative_needs_a_name_and_a_file_and_has_its_row(responses, tmp_path):
    flags = ["study", str(responses), *FLAGS, "--jobs", "1", "-o", str(tmp_path / "s"), "--alternative"]
    assert "a name and a file are needed" in run(*flags, responses, code=2).output
    run(*flags, f"again={responses}")
    row = pd.read_csv(tmp_path / "s" / "cures.csv").set_index("how").loc["again"]
    assert row["noise"] > 0 and np.isclose(row["ratio"], 1)


def test_a_dry_run_prints_the_plan_and_writes_nothing(responses, tmp_path):
    found = run("study", responses, *FLAGS, "--dry-run", "-o", tmp_path / "s")
    assert "80% power" in found.output and not (tmp_path / "s").exists()


def test_statistics_that_are_left_out_are_in_no_table(responses, tmp_path):
    flags = [*FLAGS, "--statistics", "e,kendall_tau", "--jobs", "1", "-o", str(tmp_path / "s")]
    run("study", responses, *flags)
    columns = set(pd.read_csv(tmp_path / "s" / "results.csv").columns)
    assert {"e", "kendall_tau", "verdict"} <= columns and not {"bias", "movement", "model_sd"} & columns
    run("report", tmp_path / "s", "-o", tmp_path / "report.html")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--methods", "anchor"], "anchors"),
        (["--sizes", "ten"], "20,50,100"),
        (["--shard", "3/2"], "1 to n"),
        (["--evaluate-on", "run"], "column=value"),
        (["--backend", "spark"], "spark"),
        (["--methods", ""], "--methods '' names nothing"),
        (["--benchmark", " ,"], "names nothing"),
    ],
)
def test_bad_flags_are_one_line_and_exit_code_2(responses, tmp_path, flags, message):
    assert message in printed("study", responses, *flags, "-o", tmp_path / "s", code=2)


@pytest.mark.parametrize("more", [[], ["--estimators", "p_irt"]])
def test_random_items_alone_are_studied_and_reported(responses, tmp_path, more):
    flags = ["--sizes", "10", "--folds", "2", "--n-random", "40", "--jobs", "1", "--methods", "random", *more]
    run("study", responses, *flags, "-o", tmp_path / "s")
    results = pd.read_csv(tmp_path / "s" / "results.csv")
    assert set(results["method"]) == {"full", "random"}
    assert not list((tmp_path / "s").glob("forest-*")) and len(pd.read_csv(tmp_path / "s" / "control.csv")) == 0
    run("report", tmp_path / "s", "-o", tmp_path / "report.html")


def test_items_that_tell_nothing_are_studied_without_advice_of_another_command(shared_cases, tmp_path):
    path, flags = str(shared_cases / "study_flat_items.csv"), ["--folds", "2", "--n-random", "20", "--jobs", "1"]
    more = ["--sizes", "20", "--methods", "random", "--estimators", "p_irt"]
    found = run("study", path, *flags, *more, "-o", tmp_path / "s")
    assert "--method" not in found.output
    assert set(pd.read_csv(tmp_path / "s" / "results.csv")["estimator"]) >= {"weighted", "p_irt"}
