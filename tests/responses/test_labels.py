import numpy as np
import pandas as pd
import pytest

from irt_bench import table_from_frame
from irt_bench.errors import ResponsesError
from irt_bench.responses.labels import as_labels, distinct_rows


def rows(**columns):
    return pd.DataFrame({"model": "a", "item": "1", "correct": 1, **columns})


@pytest.mark.parametrize("column", ["run", "seed", "step", "revision", "doc_hash"])
def test_lists_cannot_tell_models_or_documents_apart(column):
    frame = pd.DataFrame({"model": ["a", "a"], "item": "q", "correct": 1, column: [[1], [2]]})
    with pytest.raises(ResponsesError, match=f"column '{column}' holds lists or records"):
        table_from_frame(frame)


def test_labels_that_do_not_occur_are_left_out():
    values = pd.Series(pd.Categorical(["b", "a"], categories=["a", "b", "unused"]))
    assert list(as_labels(values, "model").categories) == ["a", "b"]


def test_whole_numbers_in_a_column_of_floats_are_written_without_a_point():
    assert list(as_labels(pd.Series([1.0, 2.5]), "item")) == ["1", "2.5"]


def test_ids_that_are_equal_as_text_are_one_label():
    assert len(as_labels(pd.Series([1, "1", "2"], dtype=object), "item").categories) == 2


def test_only_what_varies_within_a_model_goes_into_its_labels():
    table = table_from_frame(rows(model=["a", "a", "b"], seed=[1, 2, 1], step=[5, 5, 6], item=["1", "1", "1"]))
    assert list(table.models.index) == ["a[seed=1]", "a[seed=2]", "b[seed=1]"]
    assert table.models["name"].tolist() == ["a", "a", "b"]


def test_models_with_one_checkpoint_each_keep_their_names():
    table = table_from_frame(rows(model=["a", "b"], seed=[1, 2]))
    assert list(table.models.index) == ["a", "b"] and "name" not in table.models


def test_a_revision_is_left_out_of_labels_where_the_step_says_it():
    table = table_from_frame(rows(step=[1, 2], revision=["r1", "r2"]))
    assert list(table.models.index) == ["a[step=1]", "a[step=2]"]
    assert table.models["revision"].tolist() == ["r1", "r2"]


def test_large_seeds_stay_apart():
    table = table_from_frame(rows(seed=pd.array([10**17, 10**17 + 1, None])))
    assert list(table.models.index) == ["a", f"a[seed={10**17}]", f"a[seed={10**17 + 1}]"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["step1000", "step2000"], [1000, 2000]),
        (["10", "9"], [9, 10]),
        ([1.0, 2.0], [1, 2]),
        (["1", "best"], ["1", "best"]),
        ([0.5, 1.5], [0.5, 1.5]),
    ],
)
def test_steps_are_numbers_where_all_are(given, expected):
    assert table_from_frame(rows(step=given)).models["step"].tolist() == expected


def test_distinct_rows_are_numbered_in_order_of_first_occurrence():
    frame = pd.DataFrame({"x": ["b", "a", "b", None], "y": [1, 2, 1, 2]})
    numbers, lines = distinct_rows(frame, ["x", "y"])
    assert numbers.tolist() == [0, 1, 0, 2]
    assert lines["y"].tolist() == [1, 2, 2] and lines["x"].isna().tolist() == [False, False, True]


def test_items_whose_ids_disagree_about_the_document_are_named_by_hash():
    full = rows(model="full", item=["0", "1", "2"], doc_hash=["h0", "h1", "h2"])
    shuffled = rows(model="part", item=["2", "0"], doc_hash=["h0", "h2"])
    table = table_from_frame(pd.concat([full, shuffled]))
    counts = table.counts()
    assert list(counts.items.index) == ["1", "h0", "h2"]
    assert counts.trials.tolist() == [[1, 1, 1], [0, 1, 1]]
    assert [finding.name for finding in table.findings] == ["ids_disagree"]


def test_a_document_that_occurs_twice_in_a_benchmark_stays_two_items():
    twice = rows(model=np.repeat(["a", "b"], 2), item=["0", "1"] * 2, doc_hash="h", correct=[1, 0, 0, 1])
    assert table_from_frame(twice).counts().correct.tolist() == [[1, 0], [0, 1]]


def test_the_same_hash_in_two_benchmarks_is_two_items():
    table = table_from_frame(rows(benchmark=["x", "y"], item=["0", "5"], doc_hash="h"))
    assert list(table.items.index) == [("x", "0"), ("y", "5")] and not table.findings
