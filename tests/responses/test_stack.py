import numpy as np
import pandas as pd
import pytest

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
