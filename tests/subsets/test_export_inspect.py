from fnmatch import fnmatch

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from irt_bench.errors import SubsetError
from irt_bench.subsets.harness.export import ExportOptions, export_subset, id_pattern, run_config, sample_id_text


@given(st.text(alphabet="ab*?[]!-1", min_size=1, max_size=8), st.text(alphabet="ab*?[]!-1", min_size=1, max_size=8))
def test_a_pattern_matches_its_own_id_and_no_other(label, other):
    assert fnmatch(label, id_pattern(label))
    assert fnmatch(other, id_pattern(label)) == (other == label)


def test_without_escaping_ids_would_match_others():
    assert fnmatch("toy-001", "toy-00*") and not fnmatch("toy-001", id_pattern("toy-00*"))


def test_a_run_configuration_keeps_ids_as_text(build_subset):
    subset = build_subset([{"id": "007"}, {"id": "a, b"}, {"id": "x*"}])
    content = yaml.safe_load(run_config(subset, task="toy.py@toy", model="mockllm/model"))
    assert content == {
        "task": "toy.py@toy", "model": "mockllm/model", "eval_config": {"sample_id": ["007", "a, b", "x[*]"]},
    }  # fmt: skip


def test_the_command_says_what_the_run_configuration_lacks(build_subset, tmp_path):
    subset, path = build_subset([{"id": "a"}]), tmp_path / "run.yaml"
    assert export_subset(subset, "inspect", path).startswith(f"# first set task and model in {path}\ninspect eval")
    assert export_subset(subset, "inspect", path, ExportOptions(task="t", model="m/m")).startswith("inspect eval")


def test_text_for_the_command_line_cannot_hold_commas_or_be_too_long(build_subset):
    assert sample_id_text(build_subset([{"id": "a"}, {"id": "b?"}])) == "a,b[?]"
    with pytest.raises(SubsetError, match="comma"):
        sample_id_text(build_subset([{"id": "a,b"}]))
    with pytest.raises(SubsetError, match="too long"):
        sample_id_text(build_subset([{"id": f"{k:0>64}"} for k in range(2000)], n_full=3000))
