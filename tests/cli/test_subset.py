"""irt-bench subset as a user runs it."""

import json

import pandas as pd
import pytest
from commands import printed

from irt_bench import Subset, TwoPL, compare_subsets, read_responses, simulate_responses, table_from_frame, write_table
from irt_bench.errors import SubsetWarning


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
    output = printed("subset", responses, "--size", "0.3", "-o", tmp_path / "subset.json", "--method", "difficulty")
    assert "9 of 30 items" in output and "Expected error" in output
    made = Subset.load(tmp_path / "subset.json").record
    assert (made.size, made.method, made.weights) == (9, "difficulty", "equal")
    assert "--force" in printed("subset", responses, "--size", 9, "-o", tmp_path / "subset.json", code=2)


def test_json_says_which_defaults_were_taken(responses, tmp_path):
    output = printed("subset", responses, "--size", 10, "-o", tmp_path / "subset.json", "--json")
    (found,) = json.loads(output[output.index("{") :])["subsets"]  # a warning comes before
    assert (found["method"], found["weights"], found["estimator"]) == (
        "anchors-proportional",
        "equal",
        "p_irt_residual",
    )
    assert found["expected_error"] < 0.2


def test_parallel_forms_are_two_files_without_common_items(responses, tmp_path):
    printed("subset", responses, "--size", 8, "-o", tmp_path / "s.json", "--parallel-forms", "--method", "difficulty")
    first, second = (Subset.load(tmp_path / f"s-{letter}.json").record for letter in "ab")
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
    output = printed("subset", responses, "-o", tmp_path / "x", *arguments, code=2)
    assert message in output and not (tmp_path / "x").exists()


def test_a_fit_that_is_there_is_used_and_one_to_other_responses_refused(responses, tmp_path):
    printed("fit", responses, "-o", tmp_path / "fit", "--method", "laplace")
    arguments = ["--size", 9, "--method", "difficulty", "--estimator", "p_irt", "--fit", tmp_path / "fit"]
    printed("subset", responses, "-o", tmp_path / "subset.json", *arguments)
    assert Subset.load(tmp_path / "subset.json").record.size == 9
    other = tmp_path / "other.parquet"
    write_table(simulate_responses(TwoPL(), n_models=40, n_items=30, seed=4).table, other)
    assert "other responses" in printed("subset", other, "-o", tmp_path / "x.json", *arguments, code=2)


@pytest.mark.slow
def test_compare_writes_tables_and_a_figure(responses, tmp_path):
    folder = tmp_path / "compared"
    arguments = ["--compare", "--sizes", "6", "--method", "difficulty", "--n-random", 5, "-o", folder]
    output = printed("subset", responses, *arguments)
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
    found = json.loads(printed("subset", responses, *arguments))
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
        assert message in printed("subset", responses, "--compare", "--sizes", sizes, "-o", tmp_path / "c", code=2)
