"""irt-bench subset --compare as a user runs it."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from irt_bench import table_from_frame
from irt_bench.cli import app
from irt_bench.cli.subset import comparison_design
from irt_bench.errors import SubsetError
from irt_bench.inference.settings import settings_for
from irt_bench.irt_models.logistic import TwoPL
from irt_bench.irt_models.simulate import simulate_responses
from irt_bench.responses import write_table
from irt_bench.subsets.calibration import CalibrationPlan


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


@pytest.fixture(scope="module")
def responses(tmp_path_factory):
    path = tmp_path_factory.mktemp("subset") / "responses.parquet"
    table = simulate_responses(TwoPL(), n_models=40, n_items=30, seed=3).table
    labels = table.answers["model"].astype(str)
    family = labels.factorize()[0] % 5
    frame = table.answers.assign(model=[f"org{code}/{label}" for code, label in zip(family, labels, strict=True)])
    write_table(table_from_frame(frame), path)
    return path


@pytest.mark.slow
def test_compare_writes_tables_and_a_figure(responses, tmp_path):
    folder = tmp_path / "compared"
    arguments = ["--compare", "--sizes", "6", "--method", "difficulty", "--n-random", 5, "-o", folder]
    output = run("subset", responses, *arguments)
    for words in ("Mean absolute error in points, 6 items", "weaker half", "90% interval", "shuffled within models"):
        assert words in output
    table = pd.read_csv(folder / "comparison.csv")
    assert set(table["method"]) == {"random", "difficulty"}
    names = {path.name for path in folder.iterdir()}
    assert {
        "comparison.png",
        "errors.md",
        "summary.json",
        "shift.csv",
        "control_within_models.csv",
        "coverage.csv",
    } <= names


@pytest.mark.slow
def test_compare_in_json_names_the_best_recipe_of_each_size(responses, tmp_path):
    arguments = [
        "--compare",
        "--sizes",
        "0.2",
        "--method",
        "difficulty",
        "--n-random",
        3,
        "-o",
        tmp_path / "c",
        "--json",
    ]
    found = json.loads(run("subset", responses, *arguments))
    assert [best["size"] for best in found["best"]] == [6]
    assert min(found["control_least_p_holm"]["models"].values()) > 0.05


def test_a_design_takes_counts_and_fractions_and_leaves_out_what_is_too_many(make_counts, capsys):
    counts, plan = make_counts([[1] * 30, [0] * 30]), CalibrationPlan(TwoPL(), settings_for("laplace"))
    design = comparison_design(counts, plan, "0.2,10,30", "anchors", n_random=7, seed=1)
    assert design.sizes == (6, 10) and design.methods == (("random", "equal"), ("anchors", "anchor"))
    assert "left out" in capsys.readouterr().err
    for sizes in ("30,90", "ten"):
        with pytest.raises(SubsetError, match="size"):
            comparison_design(counts, plan, sizes, None, n_random=7, seed=1)
