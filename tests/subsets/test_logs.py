"""The traps of subset runs, on logs that the real harness wrote and on small ones made here."""

import json

import pytest

from irt_bench import read_responses
from irt_bench.errors import SubsetError, SubsetWarning
from irt_bench.subsets.harness.logs import document_hash, read_subset_logs, score_logs
from irt_bench.subsets.score import estimate_full_score

PLACES = [1, 4, 7, 11, 19]
TIME = "2026-01-01T00-00-00.000000"


def write_log(folder, rows, *, model="org/m", task="toy", n=(20, 5), with_hash=True):
    """Write a log of (doc_id in the log, number of the document, number of the prompt's document, value)."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for logged, number, prompted, value in rows:
        hashes = {"doc_hash": document_hash({"q": prompted}), "prompt_hash": f"prompt{prompted}"} if with_hash else {}
        row = {"doc_id": logged, "doc": {"q": number}, "filtered_resps": ["x"], "filter": "none", "metrics": ["acc"]}
        lines.append(json.dumps({**row, **hashes, "acc": value}))
    (folder / f"samples_{task}_{TIME}.jsonl").write_text("\n".join(lines) + "\n")
    counts = {task: {"original": n[0], "effective": n[1]}}
    results = {"results": {}, "configs": {task: {}}, "model_name": model, "n-samples": counts, "config": {}}
    (folder / f"results_{TIME}.json").write_text(json.dumps(results))
    return folder


def good(places=PLACES, value=1.0):
    return [(number, number, number, value) for number in places]


@pytest.fixture
def subset(build_subset):
    records = [
        {"id": document_hash({"q": k}), "doc_id": k, "doc_hash": document_hash({"q": k}), "prompt_hash": f"prompt{k}"}
        for k in PLACES
    ]
    return build_subset(records)


def flags_of(logs):
    return list(logs.checks["flags"])


def test_a_clean_subset_run_has_no_flags_and_a_full_run_scores_the_same(subset, tmp_path):
    part = read_subset_logs([write_log(tmp_path / "part", good())], subset)
    full = read_subset_logs([write_log(tmp_path / "full", good(range(20)), n=(20, 20))], subset)
    assert flags_of(part) == [""] and flags_of(full) == ["full_run"]
    assert list(part.checks["run"]) == ["subset"] and list(full.checks["run"]) == ["full"]
    columns = ["estimate", "q05", "q95", "ability", "n_items"]
    assert score_logs(part, subset)[columns].equals(score_logs(full, subset)[columns])


def test_ids_of_an_unsorted_run_are_wrong_but_hashes_put_answers_right(subset, tmp_path):
    """Trap 1: evaluation in the order of the data, ids in the order of the list."""
    values = dict(zip(PLACES, [1.0, 0.0, 0.0, 1.0, 0.0], strict=True))
    wrong = zip([19, 4, 1, 11, 7], PLACES, strict=True)
    logs = read_subset_logs([write_log(tmp_path / "a", [(i, k, k, values[k]) for i, k in wrong])], subset)
    assert flags_of(logs) == ["doc_ids_wrong"]
    assert logs.counts.correct.tolist() == [[1, 0, 0, 1, 0]]


def test_an_unsorted_run_without_hashes_cannot_be_trusted(subset, tmp_path):
    rows = [(i, k, k, 1.0) for i, k in zip([19, 4, 1, 11, 7], PLACES, strict=True)]
    with pytest.raises(SubsetError, match="out of order and there are no hashes"):
        read_subset_logs([write_log(tmp_path / "a", rows, with_hash=False)], subset)
    logs = read_subset_logs([write_log(tmp_path / "b", good(), with_hash=False)], subset)
    assert flags_of(logs) == ["matched_without_hashes"] and logs.counts.trials.sum() == 5


def test_other_few_shot_prompts_are_flagged(subset, tmp_path):
    """Trap 4: the examples of an item depend on how many items came before it."""
    folder = write_log(tmp_path / "a", good())
    (path,) = folder.glob("samples_*")
    path.write_text(path.read_text().replace('"prompt4"', '"other"'))
    with pytest.warns(SubsetWarning, match="few-shot sampler"):
        logs = read_subset_logs([folder], subset)
    assert flags_of(logs) == ["prompts_changed"]
    assert list(logs.checks["n_prompts_changed"]) == [1]


def test_answers_to_cached_prompts_of_other_documents_are_refused(subset, tmp_path):
    """Trap 5: the harness's cache of requests serves the first prompts of the full run."""
    stale = [(k, k, place, 1.0) for place, k in enumerate(PLACES)]
    with pytest.raises(SubsetError, match="cache_requests"):
        read_subset_logs([write_log(tmp_path / "stale", stale, model="org/stale")], subset)
    write_log(tmp_path / "clean", good(), model="org/clean")
    with pytest.warns(SubsetWarning, match=r"org/stale.*cache_requests"):
        logs = read_subset_logs([tmp_path], subset)
    table = score_logs(logs, subset)
    assert table.loc["org/stale"].isna()["estimate"] and "not_trusted" in table.loc["org/stale", "flags"]
    assert table.loc["org/clean", "n_items"] == 5 and table.loc["org/clean", "flags"] == ""


def test_cached_prompts_are_seen_even_where_they_share_no_document_with_the_subset(build_subset, tmp_path):
    places = [10, 12, 14]
    subset = build_subset(
        [{"id": document_hash({"q": k}), "doc_id": k, "doc_hash": document_hash({"q": k})} for k in places]
    )
    stale = [(k, k, place, 1.0) for place, k in enumerate(places)]
    with pytest.raises(SubsetError, match="cache_requests"):
        read_subset_logs([write_log(tmp_path / "stale", stale)], subset)


def test_missing_and_unexpected_items_are_counted(subset, tmp_path):
    """Traps 2, 3 and 6: a run on other items than those of the list, and one that was cut short."""
    with pytest.warns(SubsetWarning, match="outside the subset"):
        logs = read_subset_logs([write_log(tmp_path / "a", good([1, 2, 3, 4]), n=(20, 4))], subset)
    table = score_logs(logs, subset)
    assert list(logs.checks["n_unexpected"]) == [2]
    assert table["n_missing"].tolist() == [3] and "missing_items" in table["flags"].iloc[0]


def logged(folder, metrics, *, filters=("none",)):
    """Write the log of a clean subset run by these metrics and filters."""
    write_log(folder, good())
    path = folder / f"samples_toy_{TIME}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    changes = [{"filter": name, "metrics": list(metrics), **metrics} for name in filters]
    path.write_text("".join(json.dumps(row | change) + "\n" for row in rows for change in changes))
    return folder


@pytest.fixture
def normalised(build_subset):
    records = [
        {
            "id": document_hash({"q": k}), "doc_id": k, "doc_hash": document_hash({"q": k}), "metric": "acc_norm",
            "filter": "strict",
        }
        for k in PLACES
    ]  # fmt: skip
    return build_subset(records)


def test_logs_are_read_by_the_metric_and_the_filter_of_the_calibration(normalised, tmp_path):
    folder = logged(tmp_path / "both", {"acc": 0.0, "acc_norm": 1.0}, filters=("strict", "loose"))
    assert read_subset_logs([folder], normalised).counts.correct.all()


@pytest.mark.parametrize(
    ("metrics", "filter", "asked"),
    [
        ({"acc": 0.0, "acc_norm": 1.0}, "strict", {"metric": "acc"}),
        ({"acc": 0.0, "acc_norm": 1.0}, "loose", {"filter": "loose"}),
        ({"acc": 0.0}, "strict", {}),
        ({"acc_norm": 1.0}, "loose", {}),
    ],
)
def test_logs_of_another_metric_or_filter_are_refused_in_one_line(normalised, tmp_path, metrics, filter, asked):
    folder = logged(tmp_path / "logs", metrics, filters=(filter,))
    with pytest.raises(SubsetError, match=r"(?s)acc_norm|strict") as caught:
        read_subset_logs([folder], normalised, **asked)
    assert "\n" not in str(caught.value)


def test_counts_that_were_read_by_another_metric_are_refused(normalised, tmp_path):
    counts = read_responses([logged(tmp_path / "logs", {"acc": 1.0}, filters=("strict",))]).counts()
    with pytest.raises(SubsetError, match=r"read by metric 'acc'.*calibrated on metric 'acc_norm'"):
        estimate_full_score(counts, normalised)


def test_responses_of_another_revision_are_joined_by_their_documents(build_subset, tmp_path):
    """Numbers moved by one: labels name other documents, hashes the right ones."""
    moved = write_log(tmp_path / "a", [(k + 1, k, k, float(k % 2)) for k in range(20)], n=(21, 20))
    table = read_responses([moved])
    records = [{"id": f"toy/{k}", "doc_id": k, "doc_hash": document_hash({"q": k})} for k in (*PLACES, 40)]
    found = estimate_full_score(table, build_subset(records))
    same = read_responses([write_log(tmp_path / "b", [(k, k, k, float(k % 2)) for k in range(20)], n=(20, 20))])
    expected = estimate_full_score(same, build_subset(records))
    assert found["n_items"].tolist() == [5] and found["estimate"].tolist() == expected["estimate"].tolist()


def test_logs_of_another_benchmark_are_refused(subset, tmp_path):
    with pytest.raises(SubsetError, match="Is it the same benchmark"):
        read_subset_logs([write_log(tmp_path / "a", good([2, 3]))], subset)


def test_documents_that_occur_twice_are_told_apart_by_their_number(build_subset, tmp_path):
    same = document_hash({"q": 1})
    subset = build_subset([{"id": f"{same}#2", "doc_id": 8, "doc_hash": f"{same}#2"}])
    logs = read_subset_logs([write_log(tmp_path / "a", [(8, 1, 1, 1.0)], n=(20, 1))], subset)
    assert logs.counts.correct.tolist() == [[1]] and flags_of(logs) == [""]


def test_items_without_hashes_are_matched_by_label(build_subset, tmp_path):
    (tmp_path / "toy.csv").write_text("model,item,correct\na,x,1\na,y,0\nb,x,0\n")
    logs = read_subset_logs([tmp_path / "toy.csv"], build_subset([{"id": "x"}, {"id": "y"}]))
    assert logs.counts.trials.tolist() == [[1, 1], [1, 0]]
    assert score_logs(logs, build_subset([{"id": "x"}, {"id": "y"}]))["n_missing"].tolist() == [0, 1]


def test_a_matrix_of_all_items_is_a_full_run(build_subset, tmp_path):
    (tmp_path / "toy.csv").write_text("model,item,correct\n" + "".join(f"a,i{k},1\n" for k in range(20)))
    logs = read_subset_logs([tmp_path / "toy.csv"], build_subset([{"id": "i3"}, {"id": "i9"}]))
    assert flags_of(logs) == ["full_run"] and list(logs.checks["n_unexpected"]) == [0]


def test_a_matrix_of_nearly_all_items_is_a_full_run_and_one_of_half_of_them_a_run_of_other_items(
    build_subset, tmp_path
):
    """Answers of a full run may lack a grade, where a provider failed; a warning names the model, however many."""
    rows = [f"{model},i{k},1\n" for model, n in (("a", 18), ("b", 10)) for k in range(n)]
    (tmp_path / "toy.csv").write_text("model,item,correct\n" + "".join(rows))
    with pytest.warns(SubsetWarning, match="^model 'b': items outside the subset were asked.*[^?]\\.$"):
        logs = read_subset_logs([tmp_path / "toy.csv"], build_subset([{"id": "i3"}, {"id": "i9"}]))
    assert flags_of(logs) == ["full_run", "unexpected_items"] and list(logs.checks["n_unexpected"]) == [0, 8]


@pytest.fixture
def real_subset(shared_fixtures, build_subset):
    """The items of the fixtures' subset runs, with hashes from a full run of the real harness."""

    def of(folder):
        table = read_responses([folder], metric="acc").select("toy_mc")
        items = table.items.droplevel("benchmark").reset_index().set_index("doc_id")
        prompts = dict(zip(table.answers["item"].astype(str), table.answers["prompt_hash"].astype(str), strict=True))
        return build_subset(
            [
                {"id": label, "doc_id": k, "doc_hash": own, "prompt_hash": prompts[label], "subtask": "toy_mc"}
                for k in PLACES
                for label, own in [items.loc[k, ["item", "doc_hash"]]]
            ],
            benchmark="toy_mc",
        )

    return of


@pytest.mark.parametrize(
    ("full", "run", "flags", "n_items"),
    [
        ("cr_full", "subset_sorted", "", 5),
        ("cr_full", "subset_unsorted", "doc_ids_wrong", 5),
        ("cr_full", "subset_empty", "full_run", 5),
        ("cr_full", "x_group", "full_run", 5),
        ("fs_full", "fs_sub", "prompts_changed", 5),
        ("fs_full", "fs_limit", "unexpected_items", 2),
    ],
)
@pytest.mark.filterwarnings("ignore::irt_bench.errors.SubsetWarning")
def test_logs_of_the_real_harness_are_judged_rightly(shared_fixtures, real_subset, full, run, flags, n_items):
    logs_of = shared_fixtures / "lm_eval"
    subset = real_subset(logs_of / full)
    logs = read_subset_logs([logs_of / run], subset, metric="acc", filter="strict-match" if "subset" in run else None)
    assert flags_of(logs) == [flags]
    assert logs.counts.trials.sum() == n_items


def test_the_real_harness_cached_prompts_are_caught(shared_fixtures, real_subset):
    subset = real_subset(shared_fixtures / "lm_eval" / "cr_full")
    with pytest.raises(SubsetError, match="cache_requests"):
        read_subset_logs([shared_fixtures / "lm_eval" / "cr_sub"], subset, metric="acc")


def test_repeated_ids_of_the_real_harness_are_matched_by_hash(shared_fixtures, real_subset):
    """The list [3, 3, 5] logged document 5 as 3; neither is in the subset."""
    subset = real_subset(shared_fixtures / "lm_eval" / "cr_full")
    with pytest.raises(SubsetError, match="none of the 2 items"):
        read_subset_logs([shared_fixtures / "lm_eval" / "x_dup"], subset, metric="acc")
