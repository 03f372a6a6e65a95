import pandas as pd
import pytest

from irt_bench.errors import ReadError
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
