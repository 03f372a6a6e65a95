"""irt-bench subset as a user runs it."""

import json

import pytest
from typer.testing import CliRunner

from irt_bench import TwoPL, simulate_responses, table_from_frame, write_table
from irt_bench.cli import app
from irt_bench.subsets.subset import read_subset


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


def test_a_subset_is_made_and_read_back(responses, tmp_path):
    output = run("subset", responses, "--size", "0.3", "-o", tmp_path / "subset.json", "--method", "difficulty")
    assert "9 of 30 items" in output and "Expected error" in output
    made = read_subset(tmp_path / "subset.json")
    assert (made.size, made.method, made.weights) == (9, "difficulty", "equal")
    assert "--force" in run("subset", responses, "--size", 9, "-o", tmp_path / "subset.json", code=2)


def test_json_says_which_defaults_were_taken(responses, tmp_path):
    output = run("subset", responses, "--size", 10, "-o", tmp_path / "subset.json", "--json")
    (found,) = json.loads(output[output.index("{") :])["subsets"]  # a warning comes before
    assert (found["method"], found["weights"], found["estimator"]) == (
        "anchors-proportional",
        "equal",
        "p_irt_residual",
    )
    assert found["expected_error"] < 0.2


def test_parallel_forms_are_two_files_without_common_items(responses, tmp_path):
    run("subset", responses, "--size", 8, "-o", tmp_path / "s.json", "--parallel-forms", "--method", "difficulty")
    first, second = (read_subset(tmp_path / f"s-{letter}.json") for letter in "ab")
    assert not set(first.ids) & set(second.ids)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--size"),
        (["--size", 5, "--target-se", 0.1], "--size"),
        (["--size", 5, "--method", "anchor"], "anchors"),
        (["--size", 5, "--weights", "same"], "equal"),
        (["--size", 5, "--estimator", "pirt"], "p_irt"),
        (["--size", 31], "30 items"),
        (["--size", 1.5], "whole number"),
        (["--size", 5, "--macro"], "subtasks"),
        (["--compare", "--sizes", "ten"], "20,50,100"),
    ],
)
def test_bad_options_are_one_clear_line(responses, tmp_path, arguments, message):
    output = run("subset", responses, "-o", tmp_path / "x", *arguments, code=2)
    assert message in output and not (tmp_path / "x").exists()


def test_a_fit_that_is_there_is_used_and_one_to_other_responses_refused(responses, tmp_path):
    run("fit", responses, "-o", tmp_path / "fit", "--method", "laplace")
    arguments = ["--size", 9, "--method", "difficulty", "--estimator", "p_irt", "--fit", tmp_path / "fit"]
    run("subset", responses, "-o", tmp_path / "subset.json", *arguments)
    assert read_subset(tmp_path / "subset.json").size == 9
    other = tmp_path / "other.parquet"
    write_table(simulate_responses(TwoPL(), n_models=40, n_items=30, seed=4).table, other)
    assert "other responses" in run("subset", other, "-o", tmp_path / "x.json", *arguments, code=2)
