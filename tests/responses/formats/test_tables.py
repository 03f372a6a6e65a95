import numpy as np
import pandas as pd
import pytest

from irt_bench import read_counts, read_responses
from irt_bench.errors import ReadError, ResponsesError
from irt_bench.responses.formats import tables
from irt_bench.responses.formats.tables import is_table, read_columns


def test_a_table_is_known_by_its_name_or_its_first_bytes(tmp_path):
    frame = pd.DataFrame({"a": [1]})
    frame.to_parquet(tmp_path / "data.bin")
    frame.to_csv(tmp_path / "data.CSV")
    (tmp_path / "notes.txt").write_text("a,b\n")
    assert is_table(tmp_path / "data.bin") and is_table(tmp_path / "data.CSV")
    assert not is_table(tmp_path / "notes.txt") and not is_table(tmp_path)


def test_text_columns_become_categories_and_values_keep_their_type(tmp_path):
    frame = pd.DataFrame({"t": ["x", None, "x"], "n": pd.array([1, None, 3]), "f": [0.5, None, 1.5], "b": [True] * 3})
    frame.to_parquet(tmp_path / "a.parquet")
    columns, said = read_columns(tmp_path / "a.parquet")
    assert {name: str(values.dtype) for name, values in columns.items()} == {
        "t": "category",
        "n": "Int64",
        "f": "float64",
        "b": "bool",
    }
    assert said == {} and columns["t"].isna().tolist() == [False, True, False]


def test_all_csv_columns_are_text_but_scores(tmp_path):
    (tmp_path / "a.csv").write_text("a,score\n01,0.5\n,\n")
    columns, _ = read_columns(tmp_path / "a.csv")
    assert str(columns["a"].dtype) == "category" and columns["score"].tolist()[0] == 0.5
    (tmp_path / "b.csv").write_text("a,score\n1,high\n")
    assert read_columns(tmp_path / "b.csv")[0]["score"].tolist() == ["high"]


def test_a_file_without_a_header_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("\n\n")
    with pytest.raises(ReadError, match="no header line"):
        read_columns(tmp_path / "a.csv")


def test_ragged_rows_are_refused_by_line(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n1,2,3\n")
    with pytest.raises(ReadError, match=r"a\.csv cannot be read as CSV: .*Expected 2 columns, got 3"):
        read_columns(tmp_path / "a.csv")


@pytest.fixture
def answers(tmp_path):
    """Answers of 30 models to 40 items, some missing, in no order, as a frame and as files that together hold it."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        [(f"m{row}", f"q{place}") for row in range(30) for place in range(40)], columns=["model", "item"]
    )
    frame["correct"] = pd.array(rng.integers(0, 2, len(frame)), dtype="Int8")
    frame.loc[rng.choice(len(frame), 100, replace=False), "correct"] = pd.NA
    frame = frame.sample(frac=1, random_state=1, ignore_index=True)
    (tmp_path / "parts").mkdir()
    frame[:500].to_parquet(tmp_path / "parts" / "a.parquet")
    frame[500:].astype({"model": "category"}).to_parquet(tmp_path / "parts" / "b.parquet")
    return frame


@pytest.mark.parametrize("block", [64, 2**22])
def test_counts_read_by_blocks_are_those_of_the_table(answers, tmp_path, monkeypatch, block):
    monkeypatch.setattr(tables, "BLOCK_ROWS", block)
    answers.rename(columns={"model": "Model_Name"} if block == 64 else {}).to_parquet(tmp_path / "quiz.parquet")
    expected = read_responses([tmp_path / "quiz.parquet"]).counts()
    found = read_counts(tmp_path / "quiz.parquet")
    assert found.fingerprint() == expected.fingerprint() and 0 < found.asked.sum() < found.asked.size
    pd.testing.assert_frame_equal(found.models, expected.models, check_column_type=False)
    pd.testing.assert_frame_equal(found.items, expected.items, check_column_type=False)
    np.testing.assert_array_equal(read_counts(tmp_path / "parts").correct, expected.correct)
    whole = answers.assign(
        correct=answers["correct"].fillna(1).astype(bool), benchmark="b", item=answers["item"].str[1:]
    )
    whole.astype({"item": int}).to_parquet(tmp_path / "whole.parquet")
    found = read_counts(tmp_path / "whole.parquet")
    assert found.fingerprint() == read_responses([tmp_path / "whole.parquet"]).counts().fingerprint()
    assert found.fingerprint() != expected.fingerprint() and not any(found.trials.strides)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: pd.concat([frame, frame[~frame["correct"].isna()][:2]]), "2 answers twice"),
        (lambda frame: frame.assign(correct=frame["correct"].astype("Float64") / 2), "other than 0 and 1"),
        (lambda frame: frame.drop(columns="correct"), "no column 'correct'"),
        (lambda frame: frame.assign(benchmark=frame["item"].str[:2]), "holds 10 benchmarks"),
        (lambda frame: frame.assign(item=frame["item"].where(frame.index > 3)), "every row needs one"),
        (lambda frame: frame[:0], "of 0 models"),
    ],
)
def test_answers_that_are_not_right_or_wrong_once_are_refused(answers, tmp_path, change, message):
    change(answers).to_parquet(tmp_path / "quiz.parquet")
    with pytest.raises(ResponsesError, match=message):
        read_counts(tmp_path / "quiz.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "quiz.parquet").read_bytes()[:-9])
    with pytest.raises(ReadError, match="cannot be read as Parquet"):
        read_counts(tmp_path / "cut.parquet")
