import numpy as np
import pandas as pd
import pytest

from irt_bench import table_from_frame
from irt_bench.errors import ResponsesError
from irt_bench.responses import canonical


def rows(**columns):
    return pd.DataFrame({"model": "a", "item": "1", "correct": 1, **columns})


@pytest.fixture(params=["bitmap", "sorting"], autouse=True)
def both_ways(request, monkeypatch):
    if request.param == "sorting":
        monkeypatch.setattr(canonical, "MAX_CELLS", 0)


def test_exact_repetitions_are_dropped_and_counted():
    table = table_from_frame(rows(item=["1", "1", "2", "1"]))
    assert len(table.answers) == 2
    assert [(finding.name, finding.count) for finding in table.findings] == [("duplicate_rows", 2)]


def test_contradictions_are_refused_by_the_first():
    with pytest.raises(ResponsesError, match="2 responses occur more than once .*model 'a', item '1': correct 1 and 0"):
        table_from_frame(rows(item=["1", "1", "2", "2"], correct=[1, 0, 1, 0]))


def test_counts_contradict_each_other_too():
    frame = rows(n_correct=[1, 1], n_samples=[2, 3]).drop(columns="correct")
    with pytest.raises(ResponsesError, match="n_correct 1/2 and 1/3"):
        table_from_frame(frame)


@pytest.mark.parametrize("column", ["trial", "seed", "step", "run", "benchmark"])
def test_what_tells_rows_apart_makes_them_no_repetitions(column):
    table = table_from_frame(rows(correct=[1, 0], **{column: [1, 2]}))
    assert len(table.answers) == 2 and not table.findings


def test_answers_with_and_without_a_trial_are_apart():
    table = table_from_frame(rows(correct=[1, 0, 0], trial=[np.nan, 1, 2]))
    assert table.counts().trials.tolist() == [[3]]
    with pytest.raises(ResponsesError, match="more than once"):
        table_from_frame(
            rows(correct=[1, 0], trial=[np.nan, np.nan]).assign(trial=pd.array([None, None], dtype="Int64"))
        )
