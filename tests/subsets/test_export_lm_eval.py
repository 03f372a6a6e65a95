import json

import pytest
import yaml

from irt_bench.errors import SubsetError
from irt_bench.subsets.harness.export import ExportOptions, export_subset
from irt_bench.subsets.harness.export_tasks import (
    sample_lists,
    samples_command,
    samples_json,
    task_command,
    write_task_folder,
)
from irt_bench.subsets.subset import EstimatorParameters


@pytest.fixture
def two_tasks(build_subset):
    places = [("mmlu_b", 19), ("mmlu_a", 7), ("mmlu_b", 4), ("mmlu_b", 1)]
    records = [{"id": f"{t}/{n}", "subtask": t, "doc_id": n, "doc_hash": f"{t}{n}"} for t, n in places]
    return build_subset(records, benchmark="mmlu")


def test_lists_of_samples_are_sorted_and_under_leaf_tasks_not_the_group(two_tasks):
    """The harness shifts doc_ids of unsorted lists, and ignores names of groups."""
    assert json.loads(samples_json(two_tasks)) == {"mmlu_a": [7], "mmlu_b": [1, 4, 19]}


def test_no_list_is_empty_and_the_command_runs_just_the_tasks_that_have_one(two_tasks, tmp_path):
    """The harness runs the whole of a task whose list is empty or that has none."""
    assert all(sample_lists(two_tasks).values())
    command = samples_command(two_tasks, tmp_path / "my samples.json")
    assert "--tasks mmlu_a,mmlu_b " in command
    assert f"--samples '{tmp_path}/my samples.json'" in command
    assert "--log_samples" in command
    assert "cache_requests" not in command and "limit" not in command


@pytest.mark.parametrize(("ids", "reason"), [([3, 3], "another item"), ([3, -1], "below 0"), ([3, None], "no doc_id")])
def test_repeated_negative_and_missing_document_ids_are_refused(build_subset, ids, reason):
    subset = build_subset([{"id": f"i{place}", "doc_id": number} for place, number in enumerate(ids)])
    with pytest.raises(SubsetError, match=reason) as caught:
        samples_json(subset)
    assert "'i1'" in str(caught.value)


@pytest.mark.parametrize("base", [None, "tasks/toy.yaml"])
def test_a_task_folder_names_a_task_of_the_harness_or_includes_a_file(build_subset, tmp_path, base):
    subset = build_subset([{"id": "x", "doc_id": 4}, {"id": "y", "doc_id": 2}])
    path = tmp_path / base if base else None
    if path is not None:
        path.parent.mkdir()
        path.write_text("task: toy\n")
    folder = tmp_path / "folder"
    folder.mkdir()
    write_task_folder(subset, folder, metric="acc_norm", split="validation", base_yaml=path)
    text = (folder / "toy_irt2.yaml").read_text()
    assert (f'include: "{path}"' in text) if base else ('group: "toy_irt2"' in text and '- task: "toy"' in text)
    assert '- metric: "acc_norm"' in text
    assert "!function subset_task.keep" in text and "!function subset_task.full_score" in text
    parameters = json.loads((folder / "parameters.json").read_text())
    assert parameters["doc_ids"] == [2, 4]
    assert parameters["split"] == "validation"
    assert not list(folder.glob("*.pkl"))
    assert f"--include_path {folder}" in task_command(subset, folder)


def test_a_folder_for_several_tasks_or_for_an_estimator_that_cannot_run_there_is_refused(
    two_tasks, build_subset, tmp_path
):
    with pytest.raises(SubsetError, match=r"2 tasks.*export it to 'lm-eval'"):
        write_task_folder(two_tasks, tmp_path, metric="acc")
    numbers = EstimatorParameters(misfit_sd=0.1, interval_scale=1.6)
    with pytest.raises(SubsetError, match=r"'p_irt_source' cannot run"):
        source = build_subset([{"id": "x", "doc_id": 1}], estimator="p_irt_source", numbers=numbers)
        write_task_folder(source, tmp_path, metric="acc")
    with pytest.raises(SubsetError, match="is no file"):
        subset = build_subset([{"id": "x", "doc_id": 1}])
        write_task_folder(subset, tmp_path, metric="acc", base_yaml=tmp_path / "none.yaml")


GENERATION = {"id": "x", "doc_id": 4, "metric": "exact_match", "filter": "strict-match"}
FULL_TASK = """task: toy
include: _common.yaml
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    ignore_case: true
    regexes_to_ignore: [",", "\\\\$"]
  - metric: !function utils.agree
    aggregation: mean
"""


@pytest.fixture
def full_task(tmp_path):
    (tmp_path / "_common.yaml").write_text("validation_split: validation\ndoc_to_text: !function utils.text\n")
    path = tmp_path / "full.yaml"
    path.write_text(FULL_TASK)
    return path


def test_an_exported_task_aggregates_the_calibrated_metric_as_the_full_task_measures_it(
    build_subset, full_task, tmp_path
):
    folder = tmp_path / "folder"
    options = ExportOptions(base_yaml=full_task)
    command = export_subset(build_subset([GENERATION]), "lm-eval-task", folder, options)
    assert "'exact_match,strict-match'" in command
    text = (folder / "toy_irt1.yaml").read_text().replace("!function ", "")
    assert yaml.safe_load(text)["metric_list"] == [
        {
            "metric": "exact_match", "ignore_case": True, "regexes_to_ignore": [",", "\\$"],
            "aggregation": "subset_task.full_score", "higher_is_better": True,
        }
    ]  # fmt: skip
    assert json.loads((folder / "parameters.json").read_text())["split"] == "validation"


@pytest.mark.parametrize(
    ("record", "metric", "with_yaml", "reason"),
    [
        (GENERATION, "acc", False, "calibrated on metric 'exact_match'"),
        (GENERATION, "nonsense", True, "calibrated on metric 'exact_match'"),
        ({"id": "x", "doc_id": 4}, None, True, "did not name their metric"),
        ({"id": "x", "doc_id": 4}, "nonsense", True, "'nonsense' is not known. Choices: agree, exact_match"),
        ({"id": "x", "doc_id": 4, "metric": "agree"}, None, True, "a function of the task's own"),
    ],
)
def test_no_task_is_exported_for_another_metric_than_the_calibrations(
    build_subset, full_task, tmp_path, record, metric, with_yaml, reason
):
    options = ExportOptions(metric=metric, base_yaml=full_task if with_yaml else None)
    with pytest.raises(SubsetError) as caught:
        export_subset(build_subset([record]), "lm-eval-task", tmp_path / "folder", options)
    assert reason in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "folder").exists()
