import json

import pytest

from irt_bench import read_responses
from irt_bench.errors import ReadError, ResponsesError


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_absent_and_null_responses_were_not_asked(tmp_path):
    path = write(
        tmp_path / "exam.jsonl",
        {"subject_id": "ken", "responses": {"q1": 1, "q2": 0, "q10": None}},
        {"subject_id": "burt", "responses": {"q10": True}},
    )
    table = read_responses([path])
    counts = table.counts()
    assert counts.benchmark == "exam"
    assert list(counts.models.index) == ["burt", "ken"] and list(counts.items.index) == ["q1", "q2", "q10"]
    assert counts.correct.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert counts.trials.tolist() == [[0, 0, 1], [1, 1, 0]]


def test_a_subject_without_responses_keeps_its_label(tmp_path):
    path = write(tmp_path / "a.jsonl", {"subject_id": "a", "responses": {"q": 1}}, {"subject_id": "b", "responses": {}})
    assert read_responses([path]).counts().trials.tolist() == [[1], [0]]


def test_fractional_responses_are_scores_and_others_are_refused(tmp_path):
    path = write(tmp_path / "a.jsonl", {"subject_id": "a", "responses": {"q": 0.5, "r": 1}})
    assert read_responses([path]).measure == "score"
    path = write(tmp_path / "b.jsonl", {"subject_id": "a", "responses": {"q": 2}})
    with pytest.raises(ResponsesError, match=r"model 'a', item 'q': 2.0 is outside \[0, 1\]"):
        read_responses([path])
    path = write(tmp_path / "c.jsonl", {"subject_id": "a", "responses": {"q": "x"}})
    with pytest.raises(ReadError, match="line 1: response 'x' to item 'q' is not a number"):
        read_responses([path])


def test_records_of_another_shape_and_empty_ones_are_refused(tmp_path):
    path = write(tmp_path / "a.jsonl", {"subject_id": "a", "responses": {"q": 1}}, {"subject_id": "a"})
    with pytest.raises(ReadError, match="line 2: .*is needed"):
        read_responses([path])
    path = write(tmp_path / "b.jsonl", {"subject_id": "a", "responses": {}})
    with pytest.raises(ReadError, match="holds no responses"):
        read_responses([path])


def test_words_for_right_wrong_and_missing_are_read(tmp_path):
    path = write(tmp_path / "a.jsonl", {"subject_id": "a", "responses": {"q": "pass", "r": "fail", "s": "NA"}})
    counts = read_responses([path]).counts()
    assert counts.correct.tolist() == [[1, 0, 0]] and counts.trials.tolist() == [[1, 1, 0]]
