import pandas as pd
import pytest

from irt_bench import table_from_frame
from irt_bench.errors import SubsetError
from irt_bench.subsets.harness.logs import LogFacts, LoggedDocument, bare_hash, match_items, renamed_tasks


def table_of(*rows, columns=("benchmark", "item", "doc_id", "doc_hash")):
    return table_from_frame(pd.DataFrame(rows, columns=list(columns)).assign(model="m", correct=1))


@pytest.fixture
def facts(tmp_path):
    """A run of an exported task: its documents carry a number that the full task's do not, so hashes differ."""
    asked = [LoggedDocument(doc_id=7, logged_hash="new7", doc_hash="h7", prompt_hash=None, is_stale=False)]
    path = tmp_path / "samples_toy_irt2_2026-01-01T00-00-00.jsonl"
    return LogFacts(path, "toy", "m", None, None, n_full=20, n_run=2, asked=asked, exported=True)


def test_hashes_decide_and_labels_do_not_where_there_are_hashes(build_subset):
    subset = build_subset([{"id": "a", "doc_hash": "h1", "doc_id": 1}, {"id": "b", "doc_hash": "h2", "doc_id": 2}])
    found = match_items(table_of(("toy", "a", 1, "h2"), ("toy", "x", 2, "h9")), subset, [])
    assert found.to_dict() == {("toy", "a"): "b", ("toy", "x"): None}


def test_documents_of_an_exported_task_are_those_of_the_full_task(build_subset, facts):
    assert renamed_tasks([facts]) == {"toy_irt2": "toy"}
    subset = build_subset([{"id": "a", "doc_hash": "h7", "doc_id": 7}, {"id": "b", "doc_hash": "h9", "doc_id": 9}])
    found = match_items(table_of(("toy_irt2", "new7", 0, "new7")), subset, [facts])
    assert list(found) == ["a"]


def test_the_same_number_in_two_tasks_is_two_documents(build_subset):
    records = [{"id": f"{task}-3", "subtask": task, "doc_id": 3, "doc_hash": f"h{task}"} for task in ("x", "y")]
    table = table_of(("y", "3"), ("x", "3"), columns=("benchmark", "item"))
    found = match_items(table, build_subset(records), [])
    assert found.to_dict() == {("y", "3"): "y-3", ("x", "3"): "x-3"}


def test_equal_documents_are_each_taken_once(build_subset):
    records = [{"id": f"i{k}", "doc_id": k, "doc_hash": f"same#{k}"} for k in (4, 8)]
    found = match_items(table_of(("toy", "p", 8, "same"), ("toy", "q", 4, "same#2")), build_subset(records), [])
    assert found.to_dict() == {("toy", "p"): "i8", ("toy", "q"): "i4"}
    assert bare_hash("same#2") == "same"


def test_nothing_in_common_is_refused(build_subset):
    with pytest.raises(SubsetError, match="none of the 1 items"):
        match_items(table_of(("toy", "z", 1, "h5")), build_subset([{"id": "a", "doc_hash": "h1"}]), [])
