import json

import pytest

from irt_bench import StudyDesign
from irt_bench.errors import AnalysisError
from irt_bench.study.design import is_design, make_design, read_design


def test_an_empty_list_is_refused_and_not_taken_for_all():
    for field in ("methods", "weights", "run"):
        with pytest.raises(AnalysisError, match=f"{field}: .* at least 1 item"):
            make_design({field: ()})


def test_a_design_reads_the_same_from_yaml_json_and_flags(tmp_path):
    fields = {"responses": ["logs"], "sizes": [20, 0.5], "methods": ["anchors"], "evaluation": {"size": ["1B"]}}
    (tmp_path / "design.json").write_text(json.dumps(fields))
    (tmp_path / "design.yaml").write_text(
        "responses: logs\nsizes: [20, 0.5]\nmethods: [anchors]\nevaluation: {size: ['1B']}\n"
    )
    found = [read_design(tmp_path / name) for name in ("design.json", "design.yaml")]
    flags = make_design({**fields, "responses": [str(tmp_path / "logs")]})
    assert found[0] == found[1] == flags
    assert flags.sizes == (0.5, 20)
    assert read_design(tmp_path / "design.yaml", {"seed": 9}).seed == 9


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"methods": ["anchor"]}, "anchors"),
        ({"weights": ["even"]}, "equal"),
        ({"estimators": ["pirt"]}, "p_irt"),
        ({"sizes": [1.5]}, "whole numbers"),
        ({"size": [10]}, "Did you mean 'sizes'"),
        ({"n_folds": 1}, "n_folds"),
        ({"calibration": {"model": ["a"]}}, "evaluation"),
    ],
)
def test_a_wrong_field_is_named_before_anything_is_read(fields, message):
    with pytest.raises(AnalysisError, match=message):
        make_design(fields)


def test_responses_in_json_are_not_taken_for_a_design(tmp_path):
    (tmp_path / "rows.json").write_text('[{"model": "a", "item": "b", "correct": 1}]')
    (tmp_path / "design.json").write_text('{"responses": "x"}')
    (tmp_path / "broken.json").write_text("{")
    assert [is_design(tmp_path / name) for name in ("rows.json", "design.json", "broken.json", "none.yaml")] == [
        False, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"), [
        ("[1, 2]", "no design"), ("sizes: [2]", "no responses"), ("a: [", "read"), ("responses: 5", "no responses"),
        ("responses:\n- null", "no responses"), ("1: 2\nresponses: a", "no design"), ("[" * 5000, "read"),
        ("#" * 2**21, "longer than"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_design_is_refused(tmp_path, text, message):
    (tmp_path / "design.yaml").write_text(text)
    with pytest.raises(AnalysisError, match=message):
        read_design(tmp_path / "design.yaml")


def test_the_negative_control_is_at_the_middle_size_unless_named():
    assert StudyDesign().control_at == 50
    assert StudyDesign(control_size=0.1).control_at == 0.1
