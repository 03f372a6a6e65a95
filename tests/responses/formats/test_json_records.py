"""Layouts of further harnesses, as their own writers have them, in small."""

import json
from pathlib import Path

import numpy as np
import pytest

from irt_bench import ResponseTable, read_responses
from irt_bench.errors import ReadError
from irt_bench.responses.formats.json_records import LAYOUTS


def put(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(line) + "\n" for line in content) if path.suffix == ".jsonl" else json.dumps(content)
    path.write_text(lines)
    return path


def values(table: ResponseTable) -> dict[tuple[str, str, str], float]:
    """Mean answer by benchmark, model and item."""
    frame = table.answers
    value = "correct" if "correct" in frame else "score"
    means = frame.astype({value: float}).groupby(["benchmark", "model", "item"], observed=True)[value].mean()
    return {tuple(map(str, key)): float(mean) for key, mean in means.items()}


def test_olmes_predictions_have_metrics_choices_seed_and_step(shared_cases):
    with pytest.raises(ReadError, match="several metrics: acc_per_char, acc_per_token, acc_raw; choose one"):
        read_responses([shared_cases / "olmes"])
    table = read_responses([shared_cases / "olmes"], metric="acc_per_char")
    (path,) = (shared_cases / "olmes").rglob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert table.benchmarks == ["arc_challenge"] and list(table.models.index) == ["model-x-1B"]
    assert table.models.iloc[0].to_dict() == {"step": 10000, "seed": 2}
    assert table.answers["correct"].tolist() == [line["metrics"]["acc_per_char"] for line in lines]
    for row, line in zip(table.answers.itertuples(), lines, strict=True):
        np.testing.assert_array_equal(row.choice_logprobs, [each["sum_logits"] for each in line["model_output"]])
        np.testing.assert_array_equal(row.choice_chars, [each["num_chars"] for each in line["model_output"]])
    items = table.items.droplevel(0)
    assert items["native_id"].tolist() == [line["native_id"] for line in lines]
    assert items["gold"].tolist() == [line["label"] for line in lines]
    assert list(items.index) == [f"arc_challenge/{n}" for n in range(6)]


@pytest.mark.parametrize(
    ("folders", "model", "about"),
    [
        ("m-1B/seed-2/step10000", "m-1B", {"seed": 2, "step": 10000}),
        ("m-1B/step10000-seed-2", "m-1B", {"seed": 2, "step": 10000}),
        ("m-1B/step70-tokens1B", "m-1B", {"step": 70, "revision": "step70-tokens1B"}),
        ("m-1B/seed-default", "m-1B", {"seed": "default"}),
        ("m-seed3", "m-seed3", {}),
    ],
)
def test_model_seed_and_step_of_olmes_are_those_of_the_folders(tmp_path, folders, model, about):
    path = tmp_path / folders / "task-001-boolq-predictions.jsonl"
    table = read_responses([put(path, [{"doc_id": 0, "native_id": None, "metrics": {"acc_raw": 1}}])])
    assert list(table.models.index) == [model] and table.models.iloc[0].to_dict() == about
    assert list(table.counts().items.index) == ["boolq/0"]


def test_evalplus_counts_extra_tests_only_where_the_original_ones_pass(tmp_path):
    new = {
        "HumanEval/0": [{"base_status": "pass", "plus_status": "pass"}, {"base_status": "fail", "plus_status": "pass"}],
        "HumanEval/1": [
            {"base_status": "pass", "plus_status": "fail"},
            {"base_status": "timeout", "plus_status": None},
        ],
    }
    path = put(tmp_path / "gpt_temp_0.8.eval_results.json", {"date": "d", "hash": "h", "eval": new})
    assert values(read_responses([path], metric="base")) == {
        ("humaneval", "gpt_temp_0.8", "HumanEval/0"): 0.5, ("humaneval", "gpt_temp_0.8", "HumanEval/1"): 0.5,
    }  # fmt: skip
    plus = read_responses([path], metric="plus")
    assert plus.counts().correct.tolist() == [[1, 0]] and plus.counts().trials.tolist() == [[2, 1]]
    old = {"HumanEval/0": {"nfiles": 2, "base": [["success", [True]], ["failed", []]], "plus": [["failed", []]] * 2}}
    path = put(tmp_path / "old" / "eval_results.json", {"eval": old})
    table = read_responses([path], metric="base")
    assert list(table.models.index) == ["old"] and table.counts().correct.tolist() == [[1]]


def test_swe_bench_reports_count_what_was_not_solved_as_wrong_and_what_was_not_graded_as_missing(tmp_path):
    report = {
        "total_instances": 5, "schema_version": 2, "submitted_ids": ["a-1", "a-2", "b-3", "b-4", "d-6"],
        "completed_ids": ["a-1", "a-2"], "resolved_ids": ["a-1"], "unresolved_ids": ["a-2"],
        "error_ids": ["b-3", "d-6"], "infra_failure_ids": ["d-6"],
        "empty_patch_ids": ["b-4"], "incomplete_ids": ["c-5"], "resolved_instances": 1,
    }  # fmt: skip
    table = read_responses([put(tmp_path / "org__agent.run-1.json", report)])
    assert list(table.models.index) == ["org/agent"]
    counts = table.counts()
    assert dict(zip(counts.items.index, counts.correct[0].tolist(), strict=True)) == {
        "a-1": 1, "a-2": 0, "b-3": 0, "b-4": 0, "c-5": 0, "d-6": 0,
    }  # fmt: skip
    assert counts.trials[0].tolist() == [1, 1, 1, 1, 0, 0]  # the environment failed the last
    old = {"no_generation": ["x-1"], "no_logs": [], "resolved": ["x-2"], "applied": ["x-2", "x-3"]}
    table = read_responses([put(tmp_path / "20240402_agent" / "results" / "results.json", old)])
    assert list(table.models.index) == ["20240402_agent"] and sum(values(table).values()) == 1


def promptfoo(models, repeats, n_tests, places=None, fails=()):
    """Rows as promptfoo writes them: a number for each provider and prompt, and one for each test and repeat."""
    rows = []
    for test, place in enumerate(places or range(n_tests)):
        for repeat in range(repeats):
            for number, (model, prompt) in enumerate((model, prompt) for model in models for prompt in "xy"):
                failed = (model, place) in fails
                right = not failed and (place + repeat + (prompt == "y")) % 2 == 0
                rows.append({
                    "provider": {"id": "file://p.js", "label": model}, "promptIdx": number,
                    "prompt": {"raw": f"{prompt} {place}", "label": prompt}, "promptId": f"hash-{prompt}",
                    "testIdx": test * repeats + repeat,
                    "vars": {"question": f"What is {place}?"}, "success": right, "score": 0 if failed else 0.5,
                    "testCase": {"vars": {"question": f"What is {place}?"}, "assert": [{"type": "equals"}]},
                    "namedScores": {} if failed else {"tone": 1.0}, "failureReason": 2 if failed else int(not right),
                    "error": "rate limit" if failed else None,
                })  # fmt: skip
    return rows


@pytest.mark.parametrize("name", ["out.json", "out.jsonl"])
def test_promptfoo_results_by_provider_and_prompt_with_repeats(tmp_path, name):
    """A test has a number for each repeat, and a prompt one for each provider; both are told by their content."""
    rows = promptfoo(["a", "b"], 2, 3, fails={("b", 0)})
    whole = {"evalId": "e", "results": {"version": 3, "results": rows[::-1]}, "config": {"description": "out"}}
    path = put(tmp_path / name, whole if name == "out.json" else rows)
    with pytest.raises(ReadError, match="several metrics: score, success, tone"):
        read_responses([path])
    table = read_responses([path], metric="success")
    assert table.benchmarks == ["out/prompt0", "out/prompt1"]
    counts = table.select("out/prompt0").counts()
    assert list(counts.models.index) == ["a", "b"] and list(counts.items.index) == ["test0", "test1", "test2"]
    assert counts.trials.tolist() == [[2, 2, 2], [0, 2, 2]] and counts.correct.tolist() == [[1, 1, 1], [0, 1, 1]]
    assert counts.items["question"].tolist()[1] == "What is 1?"
    assert any(finding.name == "ungraded" and "'b'" in finding.message for finding in table.findings)


def test_tests_of_promptfoo_are_the_same_in_a_run_of_some_of_them(tmp_path):
    """A run of some tests numbers them anew; its answers belong to the items of the full run all the same."""
    full = put(tmp_path / "full" / "out.json", {"evalId": "e", "results": {"results": promptfoo(["a"], 1, 5)}})
    part = put(tmp_path / "part" / "out.json", {"evalId": "f", "results": {"results": promptfoo(["c"], 2, 0, [4, 1])}})
    whole, some = (
        read_responses([path], metric="success").select("out/prompt0").items["doc_hash"] for path in (full, part)
    )
    assert set(some) == set(whole.iloc[[1, 4]])


def test_logs_of_openai_evals(tmp_path):
    spec = {"completion_fns": ["gpt-4"], "eval_name": "sums.dev.v0", "base_eval": "sums", "split": "dev"}
    events = [
        {"run_id": "r", "event_id": n, "sample_id": f"sums.dev.{n}", "type": kind, "data": data}
        for n in range(2)
        for kind, data in (("sampling", {"prompt": "x"}), ("match", {"correct": n == 1, "expected": "1"}))
    ]
    path = put(tmp_path / "log.jsonl", [{"spec": spec}, *events, {"final_report": {"accuracy": 0.5}}])
    assert values(read_responses([path])) == {("sums", "gpt-4", "sums.dev.0"): 0, ("sums", "gpt-4", "sums.dev.1"): 1}


def test_preferences_of_alpaca_eval_join_across_models_whatever_their_order(tmp_path):
    def record(model, question, preference):
        return {"instruction": question, "output_1": "x", "generator_1": "base", "dataset": "d", "output_2": "y",
                "generator_2": model, "annotator": "judge", "preference": preference}  # fmt: skip

    put(tmp_path / "a" / "annotations.json", [record("a", "One?", 2), record("a", "Two?", 1.25), record("a", "3?", 0)])
    put(
        tmp_path / "b" / "annotations.json", [record("b", "3?", None), record("b", "Two?", 1), record("b", "One?", 1.5)]
    )
    table = read_responses([tmp_path])
    frame = table.counts().to_frame()
    frame.columns = table.items["question"].tolist()
    assert frame.loc["a", ["One?", "Two?", "3?"]].tolist() == [1, 0.25, 0.5]
    assert frame.loc["b", ["One?", "Two?"]].tolist() == [0.5, 0] and np.isnan(frame.loc["b", "3?"])


def test_tables_of_results_that_a_harness_writes_beside_its_log_are_passed_over(tmp_path):
    """AlpacaEval's leaderboard was read as items, such as win_rate 48.0; promptfoo's table repeats its columns."""
    record = {"instruction": "One?", "output_1": "x", "generator_1": "base", "output_2": "y", "generator_2": "m",
              "preference": 2}  # fmt: skip
    put(tmp_path / "alpaca" / "annotations.json", [record])
    (tmp_path / "alpaca" / "leaderboard.csv").write_text(",win_rate,n_wins\nm,48.0,12\n")
    put(tmp_path / "foo" / "out.json", {"evalId": "e", "results": {"results": promptfoo(["m"], 1, 2)}})
    header = ",".join(["question", *(f"[{each}] x,Status,Score,Named Scores,Comment" for each in "ab")])
    (tmp_path / "foo" / "out.csv").write_text(header + "\n")
    table = read_responses([tmp_path], metric="preference,out/prompt*=success")
    assert table.benchmarks == ["alpaca_eval", "out/prompt0", "out/prompt1"]


def test_reviews_of_evalscope(tmp_path):
    def review(index, value, status="success", **more):
        score = {"value": {"acc": value}, "status": status, "main_score_name": "acc"}
        return {"index": index, "target": "A", "sample_score": {"score": score, "sample_id": index, **more}}

    rows = [review(0, 1.0), review(1, 0.0), review(2, 1.0, status="error")]
    put(tmp_path / "reviews" / "qwen" / "gsm8k_main.jsonl", rows)
    counts = read_responses([tmp_path]).counts()
    assert counts.benchmark == "gsm8k_main" and list(counts.models.index) == ["qwen"]
    assert counts.correct.tolist() == [[1, 0, 0]] and counts.trials.tolist() == [[1, 1, 0]]


def test_flat_json_has_many_names_for_the_same_columns(tmp_path):
    rows = [{"question_id": f"q{n}", "task": "maths", "model": "m", "score": n / 2, "category": "c"} for n in range(3)]
    table = read_responses([put(tmp_path / "ground_truth_judgment.jsonl", rows)])  # as LiveBench writes them
    assert values(table) == {("maths", "m", f"q{n}"): n / 2 for n in range(3)}
    rows = [{"example_id": n, "response": "Because", "correct": "yes" if n else "no"} for n in range(2)]
    table = read_responses([put(tmp_path / "set" / "gpt.json", rows)])
    assert values(table) == {("set", "gpt", "0"): 0, ("set", "gpt", "1"): 1}
    assert [finding.name for finding in table.findings] == ["no_model"]
    rows = [{"model": "m", "id": n, "resp": n} for n in range(2)]
    assert values(read_responses([put(tmp_path / "cat.jsonl", rows)])) == {("cat", "m", "0"): 0, ("cat", "m", "1"): 1}
    rows = [{"model": "m", "doc_id": n, "metrics": {"em": 1, "f1": 0.5}, "doc": {"x": 1}} for n in range(2)]
    nested = read_responses([put(tmp_path / "nested.jsonl", rows)], metric="f1")
    assert nested.answers["score"].tolist() == [0.5, 0.5] and nested.items["metric"].tolist() == ["f1", "f1"]


def test_canonical_json_lines_are_read(shared_cases):
    table = read_responses([shared_cases / "long.jsonl"])
    lines = [json.loads(line) for line in (shared_cases / "long.jsonl").read_text().splitlines()]
    assert values(table) == {("long", line["model"], line["item"]): float(line["correct"]) for line in lines}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_no_layout_claims_the_files_of_another_or_of_anything_else(tmp_path, layout):
    for name, content in (
        ("package.json", {"name": "x", "results": [1, 2], "eval": "y"}),
        ("list.json", [{"id": 1, "text": "t"}]),
        ("lines.jsonl", [{"id": 1, "text": "t"}]),
        ("results_2025-01-01T00-00-00.json", {"results": {"arc": {"acc,none": 1}}, "configs": {}}),
    ):
        assert not layout.format().claims(put(tmp_path / name, content))
    assert not layout.format().claims(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.eval_results.json", {"eval": {"HumanEval/0": 3, "a": [{"base_status": []}]}}),
        ("m.r.json", {"resolved_ids": {"a": 1}, "resolved_instances": 1}),
        ("out.json", {"evalId": "e", "results": {"results": [{"vars": [[1]], "provider": 7, "promptId": {}}]}}),
        ("log.jsonl", [{"spec": {"eval_name": ["x"], "completion_fns": "f"}}, {"type": "match", "data": 1}]),
        ("task-000-x-predictions.jsonl", [{"doc_id": 1, "metrics": {"acc_raw": [1]}}]),
        ("r.jsonl", [{"index": 1, "sample_score": {"score": {"value": 3}}}]),
    ],
)
def test_files_with_unexpected_parts_end_in_one_clear_error(tmp_path, name, content):
    with pytest.raises(ReadError, match=name.replace(".", r"\.")):
        read_responses([put(tmp_path / name, content)])


def test_wide_json_is_read_and_empty_json_is_refused(tmp_path):
    rows = [{"model": "a", "q1": 1, "q2": 0}, {"model": "b", "q1": 0, "q2": None}]
    for name in ("wide.json", "wide.jsonl"):
        counts = read_responses([put(tmp_path / name, rows)]).counts()
        assert counts.correct.tolist() == [[1, 0], [0, 0]] and counts.trials.tolist() == [[1, 1], [1, 0]]
    (tmp_path / "empty.json").write_text("[]")
    with pytest.raises(ReadError, match=r"empty\.json"):
        read_responses([tmp_path / "empty.json"], format="json")
