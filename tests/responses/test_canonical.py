import numpy as np
import pandas as pd
import pytest

from irt_bench import TwoPL, as_counts, fit, item_analysis, table_from_frame
from irt_bench.errors import ResponsesError


def rows(n_models=2, n_items=3, **columns):
    index = pd.MultiIndex.from_product([[f"m{k}" for k in range(n_models)], [f"q{k}" for k in range(n_items)]])
    return pd.DataFrame(
        {"model": index.get_level_values(0), "item": index.get_level_values(1), "correct": 1, **columns}
    )


def test_metadata_of_values_that_are_no_text_are_written_as_text():
    frame = pd.DataFrame({"model": ["a", "b"], "item": "q", "correct": 1, "odd": [b"\xff", 3]})
    assert table_from_frame(frame).models["odd"].tolist() == ["b'\\xff'", "3"]


def test_the_first_of_several_aliases_is_taken_and_a_canonical_name_wins():
    frame = pd.DataFrame({"subject_id": ["a"], "model_id": ["b"], "item": ["q"], "acc": [1], "response": [0]})
    table = table_from_frame(frame)
    assert table.models.index.tolist() == ["a"] and table.counts().correct.tolist() == [[1]]
    assert table_from_frame(frame.assign(model="m")).models.index.tolist() == ["m"]


def test_columns_constant_within_models_or_items_are_their_metadata():
    table = table_from_frame(rows(family=list("aaabbb"), topic=list("xyzxyz"), noise=range(6)))
    assert table.models["family"].to_dict() == {"m0": "a", "m1": "b"}
    assert table.items["topic"].tolist() == ["x", "y", "z"]
    assert [(finding.name, "'noise'" in finding.message) for finding in table.findings] == [("dropped_column", True)]


def test_known_metadata_of_items_stays_with_items_even_if_constant():
    table = table_from_frame(rows(n_models=1, group="g", subtask="s", gold=1))
    assert table.models.columns.tolist() == []
    assert table.items[["group", "subtask", "gold"]].iloc[0].tolist() == ["g", "s", 1]


def test_known_metadata_of_items_that_disagrees_is_reported():
    table = table_from_frame(rows(doc_id=[0, 1, 2, 0, 9, 2], gold=[0, 0, 0, 0, 1, 0]))
    assert table.items["doc_id"].isna().tolist() == [False, True, False]
    assert table.items["gold"].tolist() == [0, 1, 0]
    assert [finding.name for finding in table.findings] == ["item_metadata"] * 2
    assert "'benchmark'" not in table.findings[0].message and "q1" in table.findings[0].message


def test_roles_say_what_a_column_describes():
    frame = rows(version=list("aaabbb"), kind="k")
    table = table_from_frame(frame, roles={"kind": "item"})
    assert "kind" in table.items and "version" in table.models


def test_missing_values_of_metadata_are_filled_from_other_rows_and_whole_numbers_stay_whole():
    table = table_from_frame(
        rows(year=[np.nan, 2020, np.nan, np.nan, np.nan, np.nan], big=pd.array([10**17 + 1, None] * 3))
    )
    assert table.models["year"].tolist()[0] == 2020 and pd.isna(table.models["year"].iloc[1])


def test_columns_without_any_value_or_with_lists_are_no_metadata():
    table = table_from_frame(rows(nothing=None, lists=[[1]] * 6))
    assert not {"nothing", "lists"} & {*table.models, *table.items}
    assert [finding.message for finding in table.findings] == ["column 'lists' holds lists or records; it was dropped"]


def test_text_of_answers_becomes_categories_in_order():
    answers = table_from_frame(rows(prompt_hash=list("bacabc"))).answers
    assert list(answers["prompt_hash"].cat.categories) == ["a", "b", "c"]
    assert list(answers["prompt_hash"].astype(str)) == list("bacabc")


def test_answers_take_little_room():
    n = 1000
    table = table_from_frame(rows(n_models=n, n_items=10))
    assert table.answers.memory_usage(index=False).sum() < 5 * len(table.answers) + 200_000


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"model": ["a"], "correct": [1]}), "no column 'item' among: model, correct"),
        (pd.DataFrame({"model": [], "item": [], "correct": []}), "no rows below the columns"),
        (pd.DataFrame([["a", "1", 1, 0]], columns=["model", "item", "correct", "correct"]), "'correct' occurs twice"),
        (pd.DataFrame({"model": ["a", " "], "item": "1", "correct": 1}), "column 'model' is empty in row 2"),
    ],
)
def test_frames_that_lack_something_are_refused(frame, message):
    with pytest.raises(ResponsesError, match=message):
        table_from_frame(frame)


def test_the_frame_given_is_not_changed():
    frame = rows(step="step5")
    before = frame.copy(deep=True)
    table_from_frame(frame)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.filterwarnings("ignore::irt_bench.errors.UndefinedWarning")
def test_responses_in_memory_of_any_form_are_the_same_counts():
    rng = np.random.default_rng(0)
    values = np.where(rng.random((16, 9)) < 0.2, np.nan, rng.integers(0, 2, (16, 9)))
    models, items = [f"model{k}" for k in range(16)], [f"item{k}" for k in range(9)]
    wide = pd.DataFrame(values, index=models, columns=items)
    long = wide.rename_axis("model").reset_index().melt("model", var_name="item", value_name="correct")
    expected = as_counts(long)
    forms = [
        values,
        wide,
        wide.rename_axis("model").reset_index(),
        table_from_frame(long),
        expected,
        wide.astype("Int64"),
    ]
    assert {as_counts(form).fingerprint() for form in forms} == {expected.fingerprint()}
    pd.testing.assert_frame_equal(item_analysis(values).items(), item_analysis(long).items())
    assert as_counts(np.array([[0.5, np.nan], [1, 0]])).measure == "score"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([[1, 0], [0, 1]], "responses are a list; ResponseCounts"),
        ("results/", "responses are a str"),
        (np.zeros(4), r"responses are a ndarray of shape \(4,\)"),
        (np.array([[0, -1], [1, 0]]), "first: -1 of model 'model0', item 'item1'"),
        (np.array([["a", "b"]]), "column .* holds .a. for model"),
        (pd.DataFrame({"q": [0, 1]}, index=["m", "m"]), "'m' occurs twice"),
    ],
)
def test_what_is_no_responses_is_refused_in_one_line_wherever_it_is_given(given, reason):
    for use in (as_counts, item_analysis, lambda what: fit(what, TwoPL())):
        with pytest.raises(ResponsesError, match=reason) as caught:
            use(given)
        assert "\n" not in str(caught.value)
