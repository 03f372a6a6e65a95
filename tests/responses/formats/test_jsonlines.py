import gzip
import json

import pytest

from irt_bench.errors import ReadError
from irt_bench.responses.formats import jsonlines
from irt_bench.responses.formats.jsonlines import as_float, first_record, load_object, records


def test_blank_lines_are_passed_over_and_counted(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\r\n\n{"a": 2}')
    assert list(records(tmp_path / "a.jsonl")) == [(1, {"a": 1}), (3, {"a": 2})]


def test_compressed_lines_are_read_and_a_cut_file_is_refused(tmp_path):
    text = "".join(json.dumps({"n": n, "text": "x" * (n % 97)}) + "\n" for n in range(5000)).encode()
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(text))
    assert sum(record["n"] for _, record in records(path)) == sum(range(5000))
    path.write_bytes(gzip.compress(text)[:-2000])
    with pytest.raises(ReadError, match=r"a\.jsonl\.gz"):
        list(records(path))


@pytest.mark.parametrize("line", ["{", "nope", '"text"', "[1]", "[" * 100_000, "\xff"])
def test_what_is_no_object_is_named_by_line(tmp_path, line):
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n' + line.encode("latin-1") + b"\n")
    with pytest.raises(ReadError, match=r"a\.jsonl, line 2: "):
        list(records(tmp_path / "a.jsonl"))


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonlines, "MAX_LINE_BYTES", 1000)
    (tmp_path / "a.jsonl").write_text('{"a": "' + "x" * 2**21)
    with pytest.raises(ReadError, match="longer than 1,000 bytes"):
        list(records(tmp_path / "a.jsonl"))


def test_the_first_record_is_none_where_there_is_none(tmp_path):
    (tmp_path / "a.jsonl").write_text("")
    assert first_record(tmp_path / "a.jsonl") is None
    (tmp_path / "a.jsonl").write_text("x")
    assert first_record(tmp_path / "a.jsonl") is None


def test_an_object_file_must_be_an_object(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(ReadError, match="a JSON object is needed, found list"):
        load_object(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ReadError, match="is not JSON"):
        load_object(tmp_path / "a.json")
    with pytest.raises(ReadError, match="cannot be read"):
        load_object(tmp_path / "b.json")


def test_only_numbers_and_booleans_are_numbers():
    assert [as_float(value) for value in (True, 2, 0.5, "1", None, [1])] == [1.0, 2.0, 0.5, None, None, None]
