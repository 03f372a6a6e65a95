"""Wide tables as people have them: any first column, words, metadata, means, transposed, in files and frames."""

import numpy as np
import pandas as pd
import pytest

from irt_bench import IrtBenchError, as_counts, read_responses
from irt_bench.errors import ResponsesWarning

VALUES = pd.DataFrame({"q1": [1, 0, 1], "q2": [0, 0, 1], "q3": [1, 1, 0]}, index=pd.Index(list("abc"), name="model"))


def counts_of(frame, where, tmp_path):
    if where == "frame":
        return as_counts(frame)
    unnamed = isinstance(frame.index, pd.RangeIndex)
    frame.to_csv(tmp_path / "table.csv", index=not unnamed)
    return read_responses([tmp_path / "table.csv"]).counts()


WORDS = {1: "Yes", 0: "no"}
FORMS = {
    "index": VALUES,
    "a column model": VALUES.reset_index(),
    "any first column": VALUES.reset_index().rename(columns={"model": "LLM version"}),
    "words": VALUES.replace(WORDS).reset_index(),
    "Inspect's letters": VALUES.replace({1: "C", 0: "I"}),
    "booleans": VALUES.astype(bool),
    "objects": VALUES.astype(object),
    "a mean in the last column": VALUES.assign(accuracy=VALUES.mean(axis=1).round(2)),
    "a mean in percent": VALUES.reset_index().assign(Average=(100 * VALUES.mean(axis=1).to_numpy()).round(1)),
    "a seed": VALUES.assign(seed=[1, 2, 3]),
}


@pytest.mark.parametrize("where", ["frame", "file"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.filterwarnings("ignore::irt_bench.errors.ResponsesWarning")
def test_forms_of_one_table_are_read_alike(form, where, tmp_path):
    found = counts_of(FORMS[form], where, tmp_path)
    pd.testing.assert_frame_equal(
        found.to_frame(), VALUES, check_dtype=False, check_names=False, check_index_type=False, check_column_type=False
    )
    if form == "a seed":
        assert found.models["seed"].tolist() == [1, 2, 3]


def test_a_column_of_means_is_named():
    with pytest.warns(ResponsesWarning, match="column 'accuracy' holds the mean of the other columns"):
        as_counts(FORMS["a mean in the last column"])
    assert as_counts(VALUES.assign(accuracy=[0.1, 0.9, 0.2])).n_items == 4  # no mean: an item


BAD = {
    "transposed": (VALUES.T.rename_axis(index="item"), "Transpose|transpose"),
    "a transposed first column": (VALUES.T.rename_axis("question_id").reset_index(), "Transpose|transpose"),
    "text in a cell": (VALUES.assign(q2=["0", "maybe", "1"]), "column 'q2' holds 'maybe' for model 'b'"),
    "percentages": (100 * VALUES, "100 of model 'a', item 'q1'.*divide percentages by 100|divide percentages"),
}


@pytest.mark.parametrize("where", ["frame", "file"])
def test_texts_that_are_no_values_describe_the_models(where, tmp_path):
    counts = counts_of(VALUES.assign(params=["7B", "8B", "7B"]), where, tmp_path)
    assert counts.models["params"].tolist() == ["7B", "8B", "7B"]
    assert counts.to_frame().to_numpy().tolist() == VALUES.to_numpy().tolist()


@pytest.mark.parametrize("where", ["frame", "file"])
@pytest.mark.parametrize("form", BAD)
def test_mistakes_are_refused_with_a_remedy(form, where, tmp_path):
    frame, message = BAD[form]
    with pytest.raises(IrtBenchError, match=message):
        counts_of(frame, where, tmp_path)


def test_long_tables_are_read_with_capitals_and_usual_names_and_others_are_asked_for():
    long = VALUES.reset_index().melt("model", var_name="item", value_name="correct")
    for renamed in (long.rename(columns=str.title), long.rename(columns={"model": "llm", "item": "question"})):
        assert as_counts(renamed).to_frame().to_numpy().tolist() == VALUES.to_numpy().tolist()
    with pytest.raises(IrtBenchError, match=r"no column 'model' among: who, item, correct\. Rename the one that names"):
        as_counts(long.rename(columns={"model": "who"}))


def test_wide_frames_of_numbers_are_not_read_cell_by_cell():
    values = np.random.default_rng(0).integers(0, 2, (20, 3_000))
    assert as_counts(pd.DataFrame(values, index=[f"m{i}" for i in range(20)])).correct.sum() == values.sum()
