import numpy as np
import pandas as pd
import pytest

from irt_bench.errors import ResponsesError
from irt_bench.responses.columns import normalise_measure


def frame(**columns):
    n = len(next(iter(columns.values())))
    return pd.DataFrame({"model": ["a"] * n, "item": [str(k) for k in range(n)], **columns})


@pytest.mark.parametrize(
    "values",
    [
        [1, 0],
        [1.0, 0.0],
        [True, False],
        ["1", "0"],
        ["True", "false"],
        pd.array([1, 0], dtype="Int8"),
        pd.array([True, False], dtype="boolean"),
        pd.Categorical(["1", "0"]),
        pd.Series([True, "0"], dtype=object),
    ],
)
def test_right_and_wrong_may_be_written_in_many_ways(values):
    assert normalise_measure(frame(correct=values))["correct"].tolist() == [1, 0]


@pytest.mark.parametrize("nothing", [np.nan, None, "", "NA", "null"])
def test_nothing_is_missing(nothing):
    values = normalise_measure(frame(correct=pd.Series(["1", nothing], dtype=object)))["correct"]
    assert values.isna().tolist() == [False, True]


def test_scores_that_are_all_0_or_1_are_right_answers_unless_scores_are_wanted():
    assert "correct" in normalise_measure(frame(score=[1.0, 0.0]))
    assert "score" in normalise_measure(frame(score=[1.0, 0.0]), "score")
    assert normalise_measure(frame(score=["0.3", "1"]))["score"].tolist() == [0.3, 1.0]


def test_shares_times_samples_are_counts():
    out = normalise_measure(frame(score=np.float32([1 / 3, 0.7]), n_samples=[3, 10]))
    assert out["n_correct"].tolist() == [1, 7] and "score" not in out


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"correct": [1, 2]},
            "'correct' cannot be used; first: model 'a', item '1': 2 is not 0 or 1; name proportions 'score'",
        ),
        ({"correct": ["1", "x"]}, "item '1': 'x' is not a number"),
        ({"score": [0.5, 1.5]}, r"1.5 is outside \[0, 1\]"),
        ({"score": [0.5, np.inf]}, r"inf is outside \[0, 1\]"),
        ({"score": [0.5], "n_samples": [3]}, "0.5 times 'n_samples' is not a whole number of correct responses"),
        ({"n_correct": [2]}, "column 'n_correct' needs 'n_samples'"),
        ({"n_correct": [2], "n_samples": [1]}, "2 is more than 'n_samples'"),
        ({"n_correct": [-1], "n_samples": [1]}, "-1 is not a whole number from 0"),
        ({"n_correct": [0], "n_samples": [0]}, "0 is not 1 or more"),
        ({"n_correct": pd.array([0, 1]), "n_samples": pd.array([1, None])}, "is not 1 or more"),
        ({"other": [1]}, "no column has the values of responses.*found model, item, other"),
    ],
)
def test_values_that_mean_nothing_are_refused_by_the_first(columns, message):
    with pytest.raises(ResponsesError, match=message):
        normalise_measure(frame(**columns))
