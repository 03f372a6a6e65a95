import numpy as np
import pandas as pd
import pytest

from irt_bench import table_from_frame
from irt_bench.errors import ResponsesError
from irt_bench.responses.table import listed, natural_order


def frame(**columns):
    return pd.DataFrame({"model": "a", "item": "1", "correct": 1, **columns})


def test_trials_of_a_cell_are_added_up():
    table = table_from_frame(frame(item=["1", "1", "1", "2"], trial=[1, 2, 3, 1], correct=[1, 0, 1, 1]))
    counts = table.counts()
    assert counts.correct.tolist() == [[2, 1]] and counts.trials.tolist() == [[3, 1]]


def test_scores_of_trials_are_added_up_without_rounding():
    table = table_from_frame(
        frame(item=["1", "1", "2"], trial=[1, 2, 1], score=[0.25, 0.5, 1.0]).drop(columns="correct")
    )
    assert table.counts().correct.tolist() == [[0.75, 1.0]]


def test_many_trials_of_many_samples_do_not_overflow():
    n = 300
    table = table_from_frame(frame(trial=range(n), n_correct=[100] * n, n_samples=[200] * n).drop(columns="correct"))
    assert table.counts().correct.tolist() == [[100 * n]] and table.counts().trials.tolist() == [[200 * n]]


def test_items_and_models_without_answers_have_cells_without_trials():
    table = table_from_frame(frame(model=["a", "b", "a"], item=["1", "1", "2"], correct=[1, np.nan, np.nan]))
    assert table.counts().trials.tolist() == [[1, 0], [0, 0]]
    long = table.to_frame()
    assert long["correct"].isna().sum() == 2 and len(long) == 3
    assert table_from_frame(long).counts().fingerprint() == table.counts().fingerprint()


def test_counts_need_one_benchmark_and_name_those_there_are():
    table = table_from_frame(frame(benchmark=["x", "y"]))
    with pytest.raises(ResponsesError, match="one benchmark is needed, 2 were found: x, y. Choose one: select"):
        table.counts()
    assert table.select("y").benchmarks == ["y"]
    assert table.one_benchmark("x").benchmarks == ["x"]
    assert table.keep_benchmarks(["y"]).benchmarks == ["y"]
    with pytest.raises(ResponsesError, match="benchmark 'z' is not known"):
        table.select("z")


def test_a_benchmark_is_kept_with_its_own_items_models_and_metadata_only():
    rows = frame(
        benchmark=["x", "x", "y"],
        model=["a", "b", "a"],
        item=["1", "2", "1"],
        gold=[0, 1, np.nan],
        correct=[1, np.nan, 0],
    )
    part = table_from_frame(rows).select("y")
    assert list(part.models.index) == ["a"] and list(part.items.index) == [("y", "1")]
    assert "gold" not in part.items
    assert list(part.answers["item"].cat.categories) == ["1"]
    assert list(table_from_frame(rows).select("x").counts().items.index) == ["1", "2"]


def test_tasks_of_a_group_become_one_benchmark_like_a_loop_would_make_it():
    rng = np.random.default_rng(3)
    rows = pd.DataFrame(
        {
            "benchmark": rng.choice(["t1", "t2", "t10", "other"], 300),
            "model": rng.choice(["a", "b", "c"], 300),
            "item": rng.integers(0, 40, 300).astype(str),
            "correct": 1,
        }
    ).drop_duplicates(["benchmark", "model", "item"])
    rows["item"] = rows["item"].where(rows["item"].astype(int) < 20, rows["benchmark"] + "-" + rows["item"])
    rows["group"] = rows["benchmark"].map({"t1": "all/some", "t2": "all", "t10": "all/some"})
    table = table_from_frame(rows)
    group = table.select("all")
    members = rows[rows["benchmark"] != "other"]
    tasks_of = members.groupby("item")["benchmark"].nunique()
    label = [f"{b}/{i}" if tasks_of[i] > 1 else i for b, i in zip(members["benchmark"], members["item"], strict=True)]
    expected = set(zip(members["model"], label, strict=True))
    assert set(zip(group.answers["model"].astype(str), group.answers["item"].astype(str), strict=True)) == expected
    subtask = dict(zip(label, members["benchmark"], strict=True))
    assert {item: value for (_, item), value in group.items["subtask"].items()} == subtask
    assert list(group.items.index.get_level_values(1)) == natural_order(subtask)
    assert group.counts().trials.sum() == len(members)
    assert set(table.select("some").items["subtask"]) == {"t1", "t10"}


def test_labels_are_ordered_as_people_count():
    assert natural_order(["q10", "q2", "q1", "a", "2", "10"]) == ["2", "10", "a", "q1", "q2", "q10"]


def test_long_lists_are_cut():
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed("abcde") == "'a', 'b', 'c' and 2 more"


def test_several_benchmarks_become_the_subtasks_of_one():
    answers = pd.DataFrame(
        {
            "benchmark": ["a", "a", "a", "b", "b", "c"],
            "model": ["m1", "m2", "m2", "m2", "m3", "m3"],
            "item": ["1", "1", "2", "1", "1", "9"],
            "correct": [1, 0, 1, 1, 0, 1],
        }
    )
    table = table_from_frame(answers)
    counts = table.select(["a", "b"]).counts()
    assert counts.benchmark == "a + b"
    assert counts.items["subtask"].to_dict() == {"a/1": "a", "2": "a", "b/1": "b"}
    assert counts.models.index.tolist() == ["m1", "m2", "m3"]
    assert int(counts.asked.sum()) == 5  # what a model did not take is missing
    with pytest.raises(ResponsesError, match="'d' is not known"):
        table.select(["a", "d"])
    with pytest.raises(ResponsesError, match="two or more"):
        table.select(["a"])
