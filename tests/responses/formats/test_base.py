import pytest

from irt_bench.errors import ReadError
from irt_bench.responses.formats import FORMATS
from irt_bench.responses.formats.format import choose, constant


def test_the_one_candidate_is_taken_whatever_was_asked():
    assert choose("metric", "b", ["a"], where="task 't'") == "a"


def test_the_candidate_asked_for_is_taken():
    assert choose("metric", "b", ["a", "b"], where="task 't'") == "b"


def test_several_candidates_without_a_choice_are_listed_in_order():
    with pytest.raises(ReadError, match="task 't' has several metrics: a, b; choose one: metric='NAME'"):
        choose("metric", None, {"b", "a"}, where="task 't'")


def test_a_constant_column_has_one_category():
    assert list(constant("x", 3)) == ["x"] * 3


def test_every_format_is_named_and_described_and_claims_no_foreign_file(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    for name, entry in FORMATS.items():
        assert entry.name == name and len(entry.description) > 10
        assert not entry.claims(tmp_path / "notes.txt")
        assert not entry.claims(tmp_path)
