"""irt-bench subset --compare as a user runs it."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from irt_bench import TwoPL, compare_subsets, read_responses, simulate_responses, table_from_frame, write_table
from irt_bench.cli import app
from irt_bench.errors import SubsetWarning


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


def test_sizes_that_are_too_large_are_left_out_and_what_is_no_size_is_refused(responses, tmp_path):
    counts = read_responses([responses]).counts()
    with pytest.warns(SubsetWarning, match="sizes of 30 items and more are left out"):
        found = compare_subsets(
            counts, [0.2, 30], methods=["difficulty"], estimators=["weighted"], n_random=5, controls=False
        )
    assert set(found.table()["size"]) == {6} and set(found.table()["method"]) == {"random", "difficulty"}
    for sizes, message in (("30,90", "is below the number of items"), ("ten", "--sizes is 'ten'")):
        assert message in run("subset", responses, "--compare", "--sizes", sizes, "-o", tmp_path / "c", code=2)
