import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from irt_bench.cli import app

DATA = Path(__file__).resolve().parents[2] / "data"
SEEDS, CLOZE = DATA / "planted_seeds.parquet", DATA / "planted_cloze.parquet"


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["variance", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("variance") / "out"
    run(SEEDS, "-o", folder, "--seed", 3)
    return folder


def test_variance_writes_the_documented_files_and_columns(written):
    metrics = pd.read_csv(written / "metrics.csv")
    documented = "benchmark subtask run measure n_items n_seeds n_steps mean seed_sd seed_sd_q05 seed_sd_q95 \
        ci95_analytic ci95_bootstrap binomial_sd monotonicity snr"
    assert set(documented.split()) <= set(metrics)
    assert metrics["subtask"].isna().sum() == 2
    components = pd.read_csv(written / "components.csv")
    assert {"benchmark", "run", "step", "component", "estimate", "q05", "q95"} <= set(components)
    columns = list(pd.read_csv(written / "curve.csv"))
    expected = "benchmark run k predicted_sd simulated_sd simulated_q05 simulated_q95"
    assert columns[:7] == expected.split()
    assert json.loads((written / "summary.json").read_text())["seed"] == 3
    assert len(list(written.glob("*.png"))) == 2


def test_the_same_seed_gives_the_same_bytes(written, tmp_path):
    run(SEEDS, "-o", tmp_path / "again", "--seed", 3)
    for file in written.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name


def test_two_framings_are_compared_on_the_same_seeds():
    found = json.loads(run(CLOZE, SEEDS, "--compare").stdout)
    assert found["verdict"] == "lower" and found["ratio_q95"] < 1 and found["n_matched"] == 200


def test_two_models_are_compared_item_by_item():
    table = pd.read_parquet(SEEDS)
    a, b = table["model"].astype(str).unique()[:2]
    found = json.loads(run(SEEDS, "--models", a, b).stdout)
    assert found["n_items"] == 200 and found["n_groups"] == 20


def test_bad_input_is_one_clear_line(written, tmp_path):
    assert "needs two paths" in run(SEEDS, "--compare", code=2).output
    assert "exists" in run("no-such-file", "-o", written, code=2).output
    (tmp_path / "a.csv").write_text("model,item,correct\na,i,1\nb,i,0\n")
    assert "column 'seed'" in run(tmp_path / "a.csv", code=2).output
