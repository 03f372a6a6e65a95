import json
from pathlib import Path

import numpy as np
import pytest

from irt_bench import ResponseTable, read_responses
from irt_bench.errors import ReadError, ResponsesError


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def the_samples(folder: Path, task: str) -> list[dict]:
    (path,) = folder.rglob(f"samples_{task}_2*.jsonl")
    return lines(path)


def hashes(table: ResponseTable) -> list[str]:
    """Hash of the document of each answer."""
    by_item = table.items["doc_hash"].to_dict()
    return [by_item[key] for key in zip(table.answers["benchmark"], table.answers["item"], strict=True)]


def worth(table: ResponseTable) -> dict[tuple[str, str], int]:
    rows = table.answers
    return {(b, i): int(c) for b, i, c in zip(rows["benchmark"], hashes(table), rows["correct"], strict=True)}


def sample(doc_id: int = 0, **changes: object) -> dict:
    base = {
        "doc_id": doc_id,
        "doc": {"q": doc_id},
        "target": "1",
        "arguments": {"gen_args_0": {"arg_0": "Q", "arg_1": " a"}, "gen_args_1": {"arg_0": "Q", "arg_1": " b"}},
        "resps": [[["-1.5", "False"]], [["-0.5", "True"]]],
        "filtered_resps": [["-1.5", "False"], ["-0.5", "True"]],
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": f"hash{doc_id}",
        "prompt_hash": f"prompt{doc_id}",
        "target_hash": "t",
        "acc": 1.0,
    }
    return {**base, **changes}


TIME = "2025-01-02T03-04-05.678901"


def write_run(folder: Path, samples: list[dict], *, task: str = "toy", time: str = TIME, **results: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"samples_{task}_{time}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in samples))
    if results:
        base = {"results": {}, "configs": {}, "group_subtasks": {}, "config": {}, "n-samples": {}}
        (folder / f"results_{time}.json").write_text(json.dumps({**base, **results}))
    return path


def test_a_full_run_reads_to_the_values_in_its_lines(shared_fixtures):
    folder = shared_fixtures / "lm_eval/full"
    table = read_responses([folder], metric="acc", filter="strict-match")
    metrics = {"toy_mc": "acc", "toy_mc_b": "acc", "toy_ll": "acc", "toy_gen": "exact_match"}
    expected = {
        (task, line["doc_hash"]): int(line[metric])
        for task, metric in metrics.items()
        for line in the_samples(folder, task)
        if task != "toy_gen" or line["filter"] == "strict-match"
    }
    assert worth(table) == expected
    assert len(expected) == 80
    assert list(table.models.index) == ["bu6tyawv"]
    assert set(table.items["metric"]) == {"acc", "exact_match"}


def test_the_other_filter_gives_other_answers(shared_fixtures):
    folder = shared_fixtures / "lm_eval/full"
    table = read_responses([folder], metric="acc", filter="flexible-extract").select("toy_gen")
    wanted = [line for line in the_samples(folder, "toy_gen") if line["filter"] == "flexible-extract"]
    assert worth(table) == {("toy_gen", line["doc_hash"]): int(line["exact_match"]) for line in wanted}
    assert 0 < table.answers["correct"].sum() < 20


def test_choice_log_probabilities_and_gold_are_those_of_the_lines(shared_fixtures):
    folder = shared_fixtures / "lm_eval/full"
    table = read_responses([folder], metric="acc", filter="strict-match").select("toy_mc")
    by_hash = {line["doc_hash"]: line for line in the_samples(folder, "toy_mc")}
    assert len(table.answers) == 20
    for own, (_, row) in zip(hashes(table), table.answers.iterrows(), strict=True):
        line = by_hash[own]
        np.testing.assert_array_equal(row["choice_logprobs"], [float(pair[0]) for pair in line["filtered_resps"]])
        item = table.items.loc[("toy_mc", row["item"])]
        assert item["gold"] == int(line["target"])
        assert item["doc_id"] == line["doc_id"]
        assert row["prompt_hash"] == line["prompt_hash"]
        assert (np.argmax(row["choice_logprobs"]) == item["gold"]) == bool(row["correct"])


def test_a_loglikelihood_task_has_one_value_an_answer(shared_fixtures):
    folder = shared_fixtures / "lm_eval/full"
    table = read_responses([folder], metric="acc", filter="strict-match").select("toy_ll")
    by_hash = {line["doc_hash"]: float(line["filtered_resps"][0][0]) for line in the_samples(folder, "toy_ll")}
    answers = table.answers
    assert dict(zip(hashes(table), answers["loglikelihood"], strict=True)) == by_hash
    assert "choice_logprobs" not in answers and "gold" not in table.items


def test_several_metrics_need_a_choice_that_is_listed(shared_fixtures):
    with pytest.raises(ReadError, match="task 'toy_mc' has several metrics: acc, acc_norm; choose one: metric='NAME'"):
        read_responses([shared_fixtures / "lm_eval/json_path"])


def test_several_filters_need_a_choice_that_is_listed(shared_fixtures):
    with pytest.raises(
        ReadError, match="'toy_gen_r4' has several filters: flexible-extract, strict-match; .* filter='NAME'"
    ):
        read_responses([shared_fixtures / "lm_eval/repeats4"], metric="exact_match")


def test_an_unknown_metric_is_refused_with_a_near_match(shared_fixtures):
    with pytest.raises(ReadError, match="metric 'acc_nrm' is not known. Did you mean 'acc_norm'"):
        read_responses([shared_fixtures / "lm_eval/json_path"], metric="acc_nrm")


def test_a_choice_that_no_file_has_is_refused_even_if_none_was_needed(tmp_path):
    write_run(tmp_path / "m", [sample()])
    with pytest.raises(ReadError, match="metric 'exact' is not known"):
        read_responses([tmp_path], metric="exact")


def test_a_perplexity_is_no_candidate_but_can_be_named_and_is_refused(shared_fixtures):
    (path,) = (shared_fixtures / "lm_eval/full").rglob("samples_toy_ll_*.jsonl")
    assert read_responses([path]).answers["correct"].isin([0, 1]).all()
    with pytest.raises(ReadError, match=r"metric 'perplexity' is not a number in \[0, 1\].*usable: acc"):
        read_responses([path], metric="perplexity")


def test_repeats_are_one_answer_a_filter(shared_fixtures):
    table = read_responses([shared_fixtures / "lm_eval/repeats4"], filter="strict-match")
    assert len(table.answers) == 20
    assert "trial" not in table.answers


def test_two_revisions_in_one_folder_are_two_models(shared_fixtures):
    table = read_responses([shared_fixtures / "lm_eval/fs_full"], metric="acc")
    assert list(table.models.index) == ["org/model-a[step=1000]", "org/model-a[step=2000]"]
    assert list(table.models["step"]) == [1000, 2000]
    assert list(table.models["name"].unique()) == ["org/model-a"]
    counts = table.counts()
    assert counts.trials.shape == (2, 20) and counts.asked.all()


def test_the_layout_of_a_json_output_path_is_joined_by_time(shared_fixtures):
    table = read_responses([shared_fixtures / "lm_eval/json_path"], metric="acc_norm")
    assert list(table.models.index) == ["org/model-a"]
    rows = the_samples(shared_fixtures / "lm_eval/json_path", "toy_mc")
    assert worth(table) == {("toy_mc", line["doc_hash"]): int(line["acc_norm"]) for line in rows}


@pytest.mark.parametrize("run", ["subset_sorted", "subset_unsorted", "x_dup"])
def test_documents_of_a_subset_run_are_those_of_the_full_run_whatever_ids_it_logged(shared_fixtures, run):
    full = the_samples(shared_fixtures / "lm_eval/full", "toy_mc")
    text_of = {line["doc_hash"]: line["doc"]["question"] for line in full}
    folder = shared_fixtures / "lm_eval" / run
    table = read_responses([folder], metric="acc", filter="strict-match").select("toy_mc")
    logged = {line["doc_hash"]: line for line in the_samples(folder, "toy_mc")}
    for item in table.items["doc_hash"]:
        assert text_of[item] == logged[item]["doc"]["question"]
    assert set(hashes(table)) == set(logged) <= set(text_of)


def test_ids_of_an_unsorted_subset_are_wrong_and_not_kept(shared_fixtures):
    full = {line["doc_hash"]: line["doc_id"] for line in the_samples(shared_fixtures / "lm_eval/full", "toy_mc")}
    options = {"metric": "acc", "filter": "strict-match"}
    unsorted = read_responses([shared_fixtures / "lm_eval/subset_unsorted"], **options)
    assert "doc_id" not in unsorted.items
    assert {finding.name for finding in unsorted.findings} == {"doc_ids_unsorted"}
    assert all(label.split("/")[1] in own for (_, label), own in unsorted.items["doc_hash"].items())
    items = read_responses([shared_fixtures / "lm_eval/subset_sorted"], **options).select("toy_mc").items
    assert dict(zip(items["doc_hash"], items["doc_id"], strict=True)) == {own: full[own] for own in items["doc_hash"]}


@pytest.mark.filterwarnings("ignore:model .* runs")
def test_documents_with_wrong_ids_get_the_labels_of_a_run_with_right_ones(shared_fixtures):
    options = {"metric": "acc", "filter": "strict-match", "benchmark": "toy_mc"}
    folders = [shared_fixtures / "lm_eval" / name for name in ("full", "subset_unsorted")]
    table = read_responses(folders, **options)
    assert list(table.counts().items.index) == [f"toy_mc/{n}" for n in range(20)]
    assert table.counts().trials.sum() == 25
    alone = read_responses(folders[1:], **options)
    of_part = table.answers["model"].astype("str") == str(alone.models.index[0])
    labels = dict(zip(table.items["doc_hash"], table.items.index.get_level_values("item"), strict=True))
    expected = {labels[own]: right for own, right in zip(hashes(alone), alone.answers["correct"], strict=True)}
    rows = table.answers[of_part]
    assert dict(zip(rows["item"], rows["correct"], strict=True)) == expected and len(expected) == 5


def test_lines_from_before_filters_were_logged_are_read_by_their_last_keys(shared_fixtures):
    folder = shared_fixtures / "lm_eval_old/metabench"
    table = read_responses([folder], metric="acc")
    for task in ("metabench_arc_permute", "metabench_truthfulqa_permute"):
        rows = the_samples(folder, task)
        assert "filter" not in rows[0]
        part = table.select(task)
        assert worth(part) == {(task, line["doc_hash"]): int(line["acc"]) for line in rows}
        assert set(part.items["filter"]) == {"none"}
    assert list(table.models.index) == ["metabench"]
    assert [finding.name for finding in table.findings] == ["no_results_file"] * 2


def test_model_arguments_as_text_and_a_default_revision(shared_fixtures):
    table = read_responses([*(shared_fixtures / "lm_eval_old").glob("samples_*.jsonl")])
    assert list(table.models.index)[0].startswith("RylanSchaeffer/mem_Qwen3")
    assert "revision" not in table.models and "step" not in table.models
    assert len(table.answers) == 10


def test_tasks_of_a_group_become_subtasks_with_the_labels_kept_apart(shared_fixtures):
    folder = shared_fixtures / "lm_eval/full"
    table = read_responses([folder], metric="acc", filter="strict-match")
    group = table.select("toy_group")
    assert group.benchmarks == ["toy_group"]
    assert len(group.items) == len(group.answers) == 40
    assert group.items["subtask"].value_counts().to_dict() == {"toy_mc": 20, "toy_mc_b": 20}
    expected = {
        f"{task}/{line['doc_id']}": int(line["acc"])
        for task in ("toy_mc", "toy_mc_b")
        for line in the_samples(folder, task)
    }
    counts = group.counts()
    assert dict(zip(counts.items.index, counts.correct[0], strict=True)) == expected
    with pytest.raises(ResponsesError, match="benchmark 'toy_grup' is not known. Did you mean 'toy_group'"):
        table.select("toy_grup")


def test_nested_groups_can_all_be_chosen(tmp_path):
    groups = {"all": ["stem", "law"], "stem": ["maths", "physics"]}
    for task in ("maths", "physics", "law"):
        write_run(tmp_path / "m", [sample()], task=task, model_name="m", group_subtasks=groups)
    table = read_responses([tmp_path])
    assert table.items["group"].to_dict() == {
        ("law", "law/0"): "all",
        ("maths", "maths/0"): "all/stem",
        ("physics", "physics/0"): "all/stem",
    }
    assert len(table.select("stem").items) == 2
    assert len(table.select("all").items) == 3


@pytest.mark.parametrize(
    ("config", "columns"),
    [
        ({"model_args": {"revision": "step1000"}}, {"step": 1000}),
        ({"model_args": "pretrained=a,revision=step1000,dtype=float16"}, {"step": 1000}),
        ({"model_args": {}, "model_revision": "step70-tokens1B"}, {"step": 70, "revision": "step70-tokens1B"}),
        ({"model_args": "pretrained=a", "model_revision": "0a1b2c3"}, {"revision": "0a1b2c3"}),
        ({"model_args": "pretrained=a", "model_revision": "main"}, {}),
    ],
)
def test_revisions_are_steps_or_metadata(tmp_path, config, columns):
    write_run(tmp_path / "m", [sample()], model_name="m", config=config)
    models = read_responses([tmp_path]).models
    assert list(models.index) == ["m"]
    assert models.iloc[0].to_dict() == columns


def test_two_revisions_that_are_no_steps_keep_their_answers_apart(tmp_path):
    for number, revision in enumerate(("abc", "def")):
        write_run(
            tmp_path / "m",
            [sample(acc=float(number))],
            time=f"2025-01-02T03-04-0{number}.1",
            model_name="m",
            config={"model_revision": revision},
        )
    table = read_responses([tmp_path])
    assert list(table.models.index) == ["m[revision=abc]", "m[revision=def]"]
    assert list(table.counts().correct[:, 0]) == [0, 1]


def test_a_document_that_occurs_twice_is_two_items(tmp_path):
    twins = [sample(0, acc=0.0), sample(1, acc=1.0, doc_hash="hash0"), sample(2)]
    for model in "ab":
        write_run(tmp_path / model, twins, model_name=model)
    counts = read_responses([tmp_path]).counts()
    assert list(counts.items.index) == ["toy/0", "toy/1", "toy/2"]
    assert counts.correct.tolist() == [[0, 1, 1]] * 2


def test_interleaved_ids_of_a_whole_task_are_kept(tmp_path):
    write_run(tmp_path / "m", [sample(n) for n in (0, 2, 4, 1, 3)], model_name="m")
    items = read_responses([tmp_path]).items
    assert {item: doc_id for (_, item), doc_id in items["doc_id"].items()} == {f"toy/{n}": n for n in range(5)}


def test_a_prefix_in_wrong_order_is_known_as_part_of_a_task(tmp_path):
    part = {"toy": {"original": 9, "effective": 3}}
    write_run(tmp_path / "m", [sample(n) for n in (2, 0, 1)], model_name="m", **{"n-samples": part})
    assert "doc_id" not in read_responses([tmp_path]).items


def test_values_may_be_booleans_whole_numbers_or_missing(tmp_path):
    write_run(tmp_path / "m", [sample(0, acc=True), sample(1, acc=0), sample(2, acc=None), sample(3, acc=float("nan"))])
    counts = read_responses([tmp_path]).counts()
    assert counts.correct[0].tolist() == [1, 0, 0, 0]
    assert counts.trials[0].tolist() == [1, 1, 0, 0]


def test_fractional_metrics_are_scores(tmp_path):
    write_run(tmp_path / "m", [sample(0, acc=0.25), sample(1, acc=1.0)])
    table = read_responses([tmp_path])
    assert table.measure == "score"
    assert table.counts().correct[0].tolist() == [0.25, 1.0]


def test_a_task_without_a_usable_metric_is_left_out_and_named(tmp_path):
    write_run(tmp_path / "m", [sample()], task="good")
    write_run(tmp_path / "m", [sample(metrics=["ppl"], ppl=[-3.0, 4])], task="wiki")
    table = read_responses([tmp_path])
    assert table.benchmarks == ["good"]
    assert any("task 'wiki' was left out" in finding.message for finding in table.findings)
    with pytest.raises(ReadError, match="no answers were found .*task 'wiki' was left out"):
        read_responses([*tmp_path.rglob("samples_wiki*")])


def test_gold_is_unknown_where_the_target_is_the_text_of_another_choice(tmp_path):
    arguments = {f"gen_args_{n}": {"arg_0": "Q", "arg_1": f" {text}"} for n, text in enumerate(["1", "0"])}
    write_run(tmp_path / "m", [sample(0), sample(1, arguments=arguments)])
    assert read_responses([tmp_path]).items["gold"].tolist()[0] == 1
    assert read_responses([tmp_path]).items["gold"].isna().tolist() == [False, True]


def test_unconditional_log_probabilities_are_left_out(tmp_path):
    pairs = [[str(-n), "False"] for n in range(1, 5)]
    line = sample(metrics=["acc", "acc_mutual_info"], acc_mutual_info=1.0, filtered_resps=pairs)
    write_run(tmp_path / "m", [line])
    (logprobs,) = read_responses([tmp_path], metric="acc").answers["choice_logprobs"]
    assert logprobs.tolist() == [-1.0, -2.0]


def test_a_broken_line_is_named_by_file_and_number(tmp_path):
    path = write_run(tmp_path / "m", [sample(0), sample(1)])
    path.write_text(path.read_text()[:-40])
    with pytest.raises(ReadError, match=rf"{path.name}, line 2: not JSON"):
        read_responses([tmp_path])


def test_a_broken_results_file_is_named(tmp_path):
    path = write_run(tmp_path / "m", [sample()])
    path.with_name(f"results_{TIME}.json").write_text('{"results": ')
    with pytest.raises(ReadError, match="results_.*is not JSON"):
        read_responses([tmp_path])


def test_empty_and_foreign_samples_files_are_refused(tmp_path):
    (tmp_path / f"samples_toy_{TIME}.jsonl").write_text("")
    with pytest.raises(ReadError, match="holds no samples"):
        read_responses([tmp_path])
    (tmp_path / f"samples_toy_{TIME}.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(ReadError, match="line 1: no 'doc_id'"):
        read_responses([tmp_path])


def test_lines_without_hashes_are_known_by_their_id(tmp_path):
    write_run(tmp_path / "m", [{k: v for k, v in sample(n).items() if "hash" not in k} for n in range(3)])
    table = read_responses([tmp_path])
    assert list(table.counts().items.index) == ["toy/0", "toy/1", "toy/2"]
    assert "doc_hash" not in table.items


NAN = float("nan")


@pytest.mark.parametrize(("values", "n_answers"), [((NAN, NAN, NAN, 1.0, 0.0, 1.0), 9), ((NAN,) * 6, 6)])
def test_values_that_are_no_number_are_missing_and_reported_by_model_and_count(tmp_path, values, n_answers):
    write_run(tmp_path / "org__a", [sample(n, acc=value) for n, value in enumerate(values)], model_name="org/a")
    write_run(tmp_path / "org__b", [sample(n, acc=float(n % 2)) for n in range(6)], model_name="org/b")
    table = read_responses([tmp_path])
    counts = table.counts()
    assert list(counts.models.index) == ["org/a", "org/b"]
    assert counts.trials.sum() == n_answers and counts.trials[1].all()
    (finding,) = [each for each in table.findings if each.name == "ungraded"]
    assert finding.count == 12 - n_answers
    assert f"'org/a', 'toy': {finding.count} of 6 responses" in finding.message


def test_many_findings_of_one_kind_are_told_as_a_few_and_a_count(tmp_path):
    for model in range(9):
        write_run(tmp_path / f"m{model}", [sample(n, acc=NAN if n else 1.0) for n in range(3)], model_name=f"m{model}")
    found = [each for each in read_responses([tmp_path]).findings if each.name == "ungraded"]
    assert len(found) == 5 and sum(each.count for each in found) == 18
    assert "4 more such findings" in found[-1].message


@pytest.mark.parametrize(("case", "n_answers"), [("lm_eval_nan", 4), ("lm_eval_nan_partly", 9)])
def test_cases_with_values_that_are_no_number_are_read(shared_cases, case, n_answers):
    table = read_responses([shared_cases / case])
    assert table.counts().trials.sum() == n_answers
    assert any(each.name == "ungraded" and "'org/m1'" in each.message for each in table.findings)


def test_a_suite_is_read_by_a_metric_and_a_filter_per_benchmark(shared_cases):
    folder = shared_cases / "lm_eval_suite"
    choices = {"metric": "arc=acc_norm,ifeval=prompt_level_strict_acc", "filter": {"gsm": "flexible-extract"}}
    table = read_responses([folder], **choices)
    for task, metric, by in (
        ("arc", "acc_norm", "none"), ("ifeval", "prompt_level_strict_acc", "none"),
        ("gsm", "exact_match", "flexible-extract"),
    ):  # fmt: skip
        rows = [line for path in folder.rglob(f"samples_{task}_*") for line in lines(path) if line["filter"] == by]
        assert table.select(task).answers["correct"].sum() == sum(line[metric] for line in rows)
        items = table.select(task).items
        assert set(items["metric"]) == {metric} and set(items["filter"]) == {by}


def test_a_wanted_benchmark_is_selected_before_anything_must_be_chosen(shared_cases):
    table = read_responses([shared_cases / "lm_eval_suite"], benchmark="gsm", filter="strict-match")
    assert table.benchmarks == ["gsm"]
    with pytest.raises(ReadError, match="benchmark 'gms' is not known. Did you mean 'gsm'"):
        read_responses([shared_cases / "lm_eval_suite"], benchmark="gms")
    with pytest.raises(ReadError, match="metric: benchmark 'arcc' is not known. Did you mean 'arc'"):
        read_responses([shared_cases / "lm_eval_suite"], metric="acc,arcc=acc_norm,ifeval=prompt_level_strict_acc",
                       filter="strict-match")  # fmt: skip


def test_a_group_of_tasks_can_be_wanted_and_have_a_choice(tmp_path):
    groups = {"stem": ["maths", "physics"]}
    for task in ("maths", "physics", "law"):
        both = [sample(n, metrics=["acc", "acc_norm"], acc=1.0, acc_norm=0.0) for n in range(3)]
        write_run(tmp_path / "m", both, task=task, model_name="m", group_subtasks=groups)
    table = read_responses([tmp_path], benchmark="stem", metric={"stem": "acc_norm"})
    assert table.benchmarks == ["stem"] and table.answers["correct"].sum() == 0
    assert set(table.items["subtask"]) == {"maths", "physics"}
    several = read_responses([tmp_path], benchmark="maths,law", metric="acc")
    assert several.benchmarks == ["maths + law"] and several.answers["correct"].all()


def test_filters_that_lines_of_2024_do_not_name_are_told_apart(shared_cases, tmp_path):
    folder = shared_cases / "lm_eval_two_filters_2024"
    by_filter = [read_responses([folder], filter=f"filter{n}").answers["correct"].tolist() for n in (0, 1)]
    rows = [line["exact_match"] for path in folder.rglob("samples_*") for line in lines(path)]
    assert by_filter == [rows[:4], rows[4:]]
    bare = [
        {k: v for k, v in sample(n % 2, acc=float(n > 1)).items() if k not in ("filter", "metrics")} for n in range(4)
    ]
    configs = {"toy": {"filter_list": [{"name": "strict"}, {"name": "flexible"}]}}
    write_run(tmp_path / "m", bare, model_name="m", configs=configs)
    assert read_responses([tmp_path], filter="strict").answers["correct"].sum() == 0
    assert read_responses([tmp_path], filter="flexible").answers["correct"].sum() == 2


def test_json_lists_of_the_first_versions_are_joined_to_their_results(tmp_path):
    rows = [{k: v for k, v in sample(n, acc=n % 2).items() if k not in ("filter", "metrics")} for n in range(4)]
    (tmp_path / "pretrained__org__m_arc_easy.jsonl").write_text(json.dumps(rows, indent=2))
    results = {"results": {}, "configs": {"arc_easy": {}, "easy": {}}, "config": {"model_args": "pretrained=org/m"}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    table = read_responses([tmp_path])
    assert table.benchmarks == ["arc_easy"] and list(table.models.index) == ["org/m"]
    assert table.answers["correct"].tolist() == [0, 1, 0, 1]
    (tmp_path / f"samples_toy_{TIME}.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_responses([tmp_path / f"samples_toy_{TIME}.json"]).benchmarks == ["toy"]


def test_logs_of_lmms_eval_are_read(tmp_path):
    wrapped = {"question_id": "x", "category": "c", "score": 1.0}
    rows = [
        {
            "doc_id": n,
            "target": "A",
            "filtered_resps": ["A"],
            "doc_hash": f"h{n}",
            "mme_score": wrapped,
            "input": "What?",
        }
        for n in range(3)
    ]
    folder = tmp_path / "lmms-lab__llava"
    folder.mkdir()
    (folder / "20250102_030405_samples_mme.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    results = {"results": {}, "configs": {}, "model_name": "lmms-lab/llava"}
    (folder / "20250102_030405_results.json").write_text(json.dumps(results))
    table = read_responses([tmp_path])
    assert table.benchmarks == ["mme"] and list(table.models.index) == ["lmms-lab/llava"]
    assert table.answers["correct"].tolist() == [1, 1, 1]
    assert table.items["question"].tolist() == ["What?"] * 3 and table.items["metric"].iloc[0] == "mme_score"


def test_early_logs_of_lmms_eval_are_one_object_and_read_like_others(tmp_path):
    for model in ("llava", "other"):
        folder = tmp_path / f"0501_{model}_model_args_ab12"
        folder.mkdir()
        config = {"model": model, "model_args": f"pretrained=lab/{model},device_map=auto"}
        results = {"results": {}, "configs": {"mme": {}}, "config": config}
        (folder / "results.json").write_text(json.dumps(results))
        logs = [
            {"doc_id": n, "target": "Yes", "doc": {"question": f"Is it {n}?"}, "resps": [["No"]],
             "filtered_resps": ["No"], "mme_score": {"question_id": f"q{n}", "score": float(n % 2)}}
            for n in range(4)
        ]  # fmt: skip
        whole = {"args": config, "model_configs": {"task": "mme"}, "logs": logs, "time": "0501"}
        (folder / "mme.json").write_text(json.dumps(whole, indent=4))
    table = read_responses([tmp_path])
    assert table.benchmarks == ["mme"] and sorted(table.models.index) == ["lab/llava", "lab/other"]
    assert table.counts().accuracy().tolist() == [0.5, 0.5] and len(table.items) == 4


def test_a_task_without_a_usable_metric_is_reported_once_with_the_number_of_files(tmp_path):
    """As loglikelihood_rolling writes: word_perplexity alone, for each of three models."""
    for model in "abc":
        folder = tmp_path / model
        folder.mkdir()
        for task, values in (("rolling", {"metrics": ["word_perplexity"], "word_perplexity": -3.2}),
                             ("sums", {"metrics": ["acc"], "acc": 1.0})):  # fmt: skip
            line = json.dumps({"doc_id": 0, "resps": [["x"]], "filtered_resps": ["x"], "filter": "none", **values})
            (folder / f"samples_{task}_2026-01-01T00-00-00.000000.jsonl").write_text(line + "\n")
    found = [finding for finding in read_responses([tmp_path]).findings if finding.name == "no_metric"]
    assert [finding.count for finding in found] == [3]
    assert found[0].message.startswith("task 'rolling' was left out") and found[0].message.endswith("in 3 files")


def test_log_probabilities_that_are_no_numbers_are_reported_as_the_harness_grades_them_all_the_same(tmp_path):
    rows = [
        {"doc_id": k, "resps": [[[first, "False"]], [["-1.5", "False"]]], "filter": "none",
         "metrics": ["acc"], "acc": 1.0, "filtered_resps": [[first, "False"], ["-1.5", "False"]]}
        for k, first in enumerate(["nan", "-0.5", "-2.0"])
    ]  # fmt: skip
    (tmp_path / "samples_toy_2026-01-01T00-00-00.000000.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    found = [each for each in read_responses([tmp_path]).findings if each.name == "nan_logprobs"]
    assert [each.count for each in found] == [1] and "task 'toy': 1 of 3 documents" in found[0].message
