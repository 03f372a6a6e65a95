import json

import numpy as np
import pandas as pd
import pytest
from commands import run

from irt_bench import TwoPL, simulate_responses, write_table


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Answers of a 2PL, the same with a duplicated item, and a fit of each; models belong to two groups."""
    folder = tmp_path_factory.mktemp("check")
    simulated = simulate_responses(TwoPL(), n_models=100, n_items=25, seed=5)
    frame = pd.DataFrame(simulated.table.counts().correct, columns=simulated.truth["item"].values)
    frame.insert(0, "model", simulated.truth["model"].values)
    long = frame.melt("model", var_name="item", value_name="correct")
    long["size"] = np.where(long["model"].str[-1].astype(int) < 5, "small", "large")
    long.to_csv(folder / "good.csv", index=False)
    frame["item-07"] = frame["item-08"]
    bad = frame.melt("model", var_name="item", value_name="correct")
    bad.to_csv(folder / "bad.csv", index=False)
    write_table(simulated.table, folder / "other.parquet")
    for name in ("good", "bad"):
        run("fit", folder / f"{name}.csv", "-o", folder / f"fit-{name}")
    return folder


def test_check_writes_the_documented_files(files, tmp_path):
    arguments = ["check", files / "good.csv", "--fit", files / "fit-good", "--replicates", 9, "--groups", "size"]
    output = run(*arguments, "-o", tmp_path / "out").output
    assert "simulated data sets" in output and "second_eigenvalue" in output
    names = {"checks.csv", "items.csv", "models.csv", "pairs.csv", "differences.csv", "checks.png", "summary.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    checks = pd.read_csv(tmp_path / "out" / "checks.csv").set_index("name")
    assert set(checks.columns) == {"status", "value", "threshold", "fails_if", "message", "source"}
    assert checks.loc["dif", "status"] == "passed"
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (
        summary["passed"] == (checks["status"] != "failed").all()
        and summary["group"] == "size"
        and summary["seed"] == 0
    )
    assert len(pd.read_csv(tmp_path / "out" / "items.csv")) == 25
    assert len(pd.read_csv(tmp_path / "out" / "models.csv")) == 100


def test_strict_turns_a_failed_check_into_exit_code_3_after_writing(files, tmp_path):
    arguments = ["check", files / "bad.csv", "--fit", files / "fit-bad", "--replicates", 9, "--json"]
    told = json.loads(run(*arguments).stdout)
    assert {check["name"]: check["status"] for check in told["checks"]}["q3"] == "failed" and not told["passed"]
    run(*arguments, "--strict", "-o", tmp_path / "out", code=3)
    assert (tmp_path / "out" / "summary.json").is_file()


def test_strict_fits_end_with_3_where_a_convergence_check_failed(files, tmp_path):
    run("fit", files / "good.csv", "-o", tmp_path / "fit", "--strict")
    run("fit", files / "good.csv", "-o", tmp_path / "short", "--max-sweeps", 1, "--strict", code=3)
    assert (tmp_path / "short" / "fit.nc").is_file()


def test_bad_input_is_one_clear_line_with_exit_code_2(files, tmp_path):
    fitted = ["--fit", files / "fit-good"]
    output = run("check", files / "bad.csv", *fitted, code=2).output
    assert "other responses" in " ".join(output.split())
    output = run("check", files / "good.csv", *fitted, "--groups", "sise", code=2).output
    assert "Did you mean" in " ".join(output.split())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    run("check", files / "good.csv", *fitted, "-o", tmp_path / "full", code=2)
    run("check", files / "good.csv", "--fit", tmp_path / "none", code=2)
