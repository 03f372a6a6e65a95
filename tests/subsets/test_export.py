import json

import numpy as np
import pandas as pd
import pytest

from irt_bench import read_responses
from irt_bench.errors import SubsetError
from irt_bench.subsets.harness.export import EXPORTS, ExportOptions, export_subset


@pytest.fixture
def subset(build_subset):
    records = [{"id": f"i{k}", "doc_id": k, "doc_hash": f"h{k}", "prompt_hash": f"p{k}"} for k in (1, 4, 7)]
    return build_subset(records)


def test_parameters_read_back_as_the_catalogues_of_adaptive_testers_want_them(subset, build_subset, tmp_path):
    export_subset(subset, "params", tmp_path / "items.csv")
    table = pd.read_csv(tmp_path / "items.csv", index_col=0)
    assert list(table.columns) == ["a", "b"] and list(table.index) == ["i1", "i4", "i7"]
    np.testing.assert_allclose(table["a"], [item.discrimination for item in subset.items], rtol=1e-8)
    np.testing.assert_allclose(table["b"], [item.difficulty for item in subset.items], rtol=1e-8)
    guessed = build_subset([{"id": "x", "guessing": 0.25}])
    export_subset(guessed, "params", tmp_path / "guessed.csv")
    assert list(pd.read_csv(tmp_path / "guessed.csv", index_col=0).columns) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".parquet"])
def test_lists_of_items_read_back(subset, tmp_path, suffix):
    path = tmp_path / f"items{suffix}"
    export_subset(subset, "ids", path)
    if suffix == ".txt":
        assert path.read_text().splitlines() == list(subset.ids)
        return
    table = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    assert list(table["item"]) == list(subset.ids)
    assert list(table["doc_id"]) == [1, 4, 7] and list(table["doc_hash"]) == ["h1", "h4", "h7"]


def test_py_irt_lines_hold_the_calibration_answers_of_the_items_and_nothing_for_cells_never_asked(
    subset, make_counts, tmp_path
):
    correct, trials = np.eye(3, 8, k=1, dtype=int), np.ones((3, 8), dtype=int)
    trials[2, 7] = 0
    export_subset(subset, "py-irt", tmp_path / "x.jsonl", ExportOptions(responses=make_counts(correct, trials)))
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert lines[0] == {"subject_id": "m0", "responses": {"i1": 1, "i4": 0, "i7": 0}}
    assert lines[2] == {"subject_id": "m2", "responses": {"i1": 0, "i4": 0}}
    assert read_responses([tmp_path / "x.jsonl"]).counts().trials.sum() == 8


@pytest.mark.parametrize("to", EXPORTS)
@pytest.mark.parametrize(
    "records",
    [
        [{"id": f"{task}/{n}", "subtask": task, "doc_id": n} for task in "ab" for n in (3, 1)],  # two tasks
        [{"id": "x"}, {"id": "a, b"}],  # without documents
        [{"id": "*", "doc_id": 0, "metric": None, "filter": "strict"}],
    ],
    ids=["two_tasks", "no_documents", "filter"],
)
def test_an_export_is_written_or_refused_in_one_line_whatever_the_subset(build_subset, tmp_path, to, records):
    """Of a subset of two tasks, the task folder ended in a traceback: the check came after the name of the task."""
    path = tmp_path / ("x.csv" if to in ("params", "ids") else "x")
    try:
        export_subset(build_subset(records), to, path, ExportOptions(metric="acc"))
    except SubsetError as refusal:
        assert "\n" not in str(refusal) and not list(tmp_path.iterdir())
    else:
        assert path.exists()


def test_exports_that_lack_something_are_refused_and_leave_nothing(subset, build_subset, make_counts, tmp_path):
    refused = [
        ("py-irt", tmp_path / "x.jsonl", ExportOptions(), "responses="),
        ("py-irt", tmp_path / "x.jsonl", ExportOptions(responses=make_counts(np.ones((2, 5), int))), "'i7' is not"),
        ("ids", tmp_path / "x.json", ExportOptions(), "must end in"),
        ("helm", tmp_path / "x", ExportOptions(), "not known"),
    ]
    for to, path, options, reason in refused:
        with pytest.raises(SubsetError, match=reason):
            export_subset(subset, to, path, options)
    with pytest.raises(SubsetError, match="line break"):
        export_subset(build_subset([{"id": "a\nb"}]), "ids", tmp_path / "x.txt")
    assert not list(tmp_path.iterdir())


def test_every_export_says_what_to_do_next_and_has_the_same_bytes_each_time(subset, make_counts, tmp_path):
    several, one = (
        ExportOptions(metric="acc", responses=make_counts(np.ones((n, 8), int)), task="tasks@sums") for n in (2, 1)
    )
    names = {
        "lm-eval-task": "folder",
        "ids": "i.csv",
        "py-irt": "p.jsonl",
        "params": "p.csv",
        "inspect-adaptive": "live",
    }
    for to in EXPORTS:
        contents = []
        for again in ("one", "two"):
            path = tmp_path / again / names.get(to, f"{to}.json")
            path.parent.mkdir(exist_ok=True)
            assert export_subset(subset, to, path, one if to == "lm-eval-round" else several)
            files = sorted(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
            contents.append([file.read_bytes().replace(b"/two/", b"/one/") for file in files])
        assert contents[0] == contents[1]
    assert (tmp_path / "one" / "lm-eval.json.command.txt").read_text().startswith("lm_eval run")


def test_the_metric_and_filter_of_the_calibration_are_named_for_each_harness(build_subset, tmp_path):
    records = [{"id": f"i{k}", "doc_id": k, "metric": "acc_norm", "filter": "strict"} for k in (1, 4)]
    subset = build_subset(records)
    assert "metric 'acc_norm' and filter 'strict'" in export_subset(subset, "lm-eval", tmp_path / "s.json")
    export_subset(subset, "inspect", tmp_path / "rc.yaml")
    assert "# calibrated on metric 'acc_norm'" in (tmp_path / "rc.yaml").read_text().splitlines()[0]
    assert subset.choice("metric") == "acc_norm"
    records = [{"id": f"i{k}", "doc_id": k, "metric": m, "subtask": t} for k, m, t in ((1, "acc", "x"), (2, "em", "y"))]
    assert build_subset(records).choice("metric") == {"x": "acc", "y": "em"}
