import numpy as np
import pandas as pd
import pytest

from irt_bench import read_responses
from irt_bench.errors import ResponsesError
from irt_bench.responses.read import stack


def frame(**columns):
    return pd.DataFrame({"model": ["a"], "item": ["1"], "correct": [1], **columns})


def test_text_becomes_one_set_of_categories():
    out = stack([("x", frame(model=["b"])), ("y", frame(model=pd.Categorical(["a"])))])
    assert list(out["model"].cat.categories) == ["b", "a"] and list(out["model"]) == ["b", "a"]


def test_columns_that_a_frame_lacks_are_missing_there_and_whole_numbers_stay_whole():
    out = stack([("x", frame(seed=[10**17 + 1], note=["n"])), ("y", frame(rate=[0.5]))])
    assert out["seed"].tolist()[0] == 10**17 + 1 and out["seed"].isna().tolist() == [False, True]
    assert out["note"].isna().tolist() == [False, True] and out["rate"].isna().tolist() == [True, False]


def test_lists_stay_lists():
    vectors = pd.Series([np.array([1.0, 2.0])], dtype=object)
    out = stack([("x", frame(choice_logprobs=vectors)), ("y", frame())])
    assert out["choice_logprobs"][0].tolist() == [1.0, 2.0] and out["choice_logprobs"][1] is None


def test_ungraded_answers_stay_ungraded_among_counts():
    ungraded = frame(correct=[np.nan])
    out = stack([("x", ungraded), ("y", frame(n_correct=[1], n_samples=[4]).drop(columns="correct"))])
    assert out["n_correct"].isna().tolist() == [True, False]


def test_a_frame_without_models_is_named():
    with pytest.raises(ResponsesError, match="y has no column 'model' among: item, correct"):
        stack([("x", frame()), ("y", frame().drop(columns="model"))])


def test_counts_beside_fractional_scores_are_taken_apart_and_give_the_same_counts_alone(tmp_path):
    """Of k of n, n answers; after choosing their benchmark, the counts, fits and intervals are those of the file."""
    counted = "model,item,trial,n_correct,n_samples\na,1,1,3,4\na,1,2,0,2\na,2,1,2,2\nb,1,1,0,4\nb,2,1,,\n"
    (tmp_path / "sums.csv").write_text(counted)
    (tmp_path / "style.csv").write_text("model,item,score\na,x,0.25\na,y,1\nb,x,0.5\nb,y,0\n")
    both, alone = read_responses([tmp_path]), read_responses([tmp_path / "sums.csv"])
    together, by_itself = both.select("sums").counts(), alone.counts()
    assert together.measure == by_itself.measure == "correct"
    pd.testing.assert_frame_equal(together.to_frame(), by_itself.to_frame())
    np.testing.assert_array_equal(together.trials, [[6, 2], [4, 0]])
    np.testing.assert_array_equal(together.trials, by_itself.trials)
    np.testing.assert_array_equal(together.correct, by_itself.correct)
    assert both.select("style").counts().to_frame().loc["a"].tolist() == [0.25, 1]
