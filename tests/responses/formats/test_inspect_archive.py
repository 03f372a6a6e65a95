import json
import zipfile

import pytest
import zstandard

from irt_bench.errors import ReadError
from irt_bench.responses.formats import inspect_ai
from irt_bench.responses.formats.inspect_ai import EvalArchive

CONTENT = {"a": list(range(100))}


def a_log(shared_fixtures):
    return next((shared_fixtures / "inspect").glob("*toy-gen*.eval"))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_of_the_standard_methods_are_read(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.eval", "w", method) as archive:
        archive.writestr("header.json", json.dumps(CONTENT))
    with EvalArchive(tmp_path / "a.eval") as archive:
        assert archive.names() == ["header.json"]
        assert archive.json("header.json") == CONTENT


def test_members_compressed_by_zstandard_are_read(shared_fixtures):
    with EvalArchive(a_log(shared_fixtures)) as archive:
        assert archive.json("header.json")["eval"]["task"] == "toy_gen"
        assert len(archive.json("summaries.json")) == 20


def test_an_archive_cut_off_is_refused(shared_fixtures, tmp_path):
    cut = tmp_path / "cut.eval"
    cut.write_bytes(a_log(shared_fixtures).read_bytes()[:-200])
    with pytest.raises(ReadError, match=r"cut\.eval cannot be read as an Inspect log.*cut off"):
        EvalArchive(cut)


def test_a_damaged_member_is_refused(shared_fixtures, tmp_path):
    content = bytearray(a_log(shared_fixtures).read_bytes())
    with zipfile.ZipFile(a_log(shared_fixtures)) as archive:
        start = archive.getinfo("header.json").header_offset
    content[start + 200 : start + 220] = bytes(20)
    (tmp_path / "bad.eval").write_bytes(bytes(content))
    with (
        EvalArchive(tmp_path / "bad.eval") as archive,
        pytest.raises(ReadError, match=r"'header.json' cannot be unpacked"),
    ):
        archive.json("header.json")


@pytest.mark.parametrize("method", ["deflate", "zstd"])
def test_a_member_that_unpacks_too_large_is_refused(tmp_path, monkeypatch, method):
    monkeypatch.setattr(inspect_ai, "MAX_MEMBER_BYTES", 1000)
    content = b" " * 5000
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", content)
    if method == "zstd":  # as inspect_ai writes it: the stored bytes are a zstd frame
        packed = zstandard.ZstdCompressor().compress(content)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.json", packed)
        raw = path.read_bytes()
        for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
            at = raw.index(mark) + place
            raw = raw[:at] + (93).to_bytes(2, "little") + raw[at + 2 :]
        path.write_bytes(raw)
    with EvalArchive(path) as archive, pytest.raises(ReadError, match="unpacks to more than 1,000 bytes"):
        archive.json("header.json")


def test_a_member_that_is_no_json_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.eval", "w") as archive:
        archive.writestr("header.json", "{")
    with (
        EvalArchive(tmp_path / "a.eval") as archive,
        pytest.raises(ReadError, match="member 'header.json' is not JSON"),
    ):
        archive.json("header.json")
