import json

from irt_bench.responses.formats.lm_eval import run_of

TIME = "2025-01-01T00-00-00.1"


def run(tmp_path, **results):
    base = {"results": {}, "configs": {}}
    (tmp_path / f"results_{TIME}.json").write_text(json.dumps({**base, **results}))
    return run_of(tmp_path / f"samples_toy_{TIME}.jsonl", TIME)


def test_a_missing_model_name_is_taken_from_the_arguments(tmp_path):
    assert run(tmp_path, config={"model_args": "pretrained=org/a,peft=org/b"}).model == "org/b"
    assert run(tmp_path, config={"model_args": {"pretrained": "org/a", "dtype": "auto"}}).model == "org/a"
    assert run(tmp_path, config={}).model == tmp_path.name


def test_files_of_other_runs_and_other_kinds_are_passed_over(tmp_path):
    (tmp_path / f"other_{TIME}.json").write_text("{}")
    (tmp_path / "results_2024.json").write_text(json.dumps({"results": {}, "configs": {}, "model_name": "wrong"}))
    found = run_of(tmp_path / f"samples_toy_{TIME}.jsonl", TIME)
    assert found.model == tmp_path.name and found.findings[0].name == "no_results_file"


def test_groups_in_a_circle_end(tmp_path):
    assert run(tmp_path, group_subtasks={"a": ["b"], "b": ["a", "t"]}).group_of["t"] == "a/b"


def test_a_run_knows_which_tasks_it_covers_in_part(tmp_path):
    found = run(
        tmp_path, **{"n-samples": {"t": {"original": 20, "effective": 5}, "u": {"original": 5, "effective": 5}}}
    )
    assert found.is_part("t") and not found.is_part("u") and not found.is_part("unknown")


def test_a_changed_results_file_is_read_again(tmp_path):
    assert run(tmp_path, model_name="first").model == "first"
    assert run(tmp_path, model_name="second, and longer").model == "second, and longer"
