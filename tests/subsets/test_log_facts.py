import json

import pytest

from irt_bench.responses.read import find_sources
from irt_bench.subsets.harness.logs import document_hash, facts_of


def facts(folder, known=()):
    return [found for source in find_sources([folder]) if (found := facts_of(source, known)) is not None]


def test_hashes_that_are_no_text_are_none(tmp_path):
    path = tmp_path / "samples_t_2026-01-01T00-00-00.000000.jsonl"
    line = {"doc_id": 0, "doc": {"q": 1}, "doc_hash": ["a"], "prompt_hash": {"a": 1}, "resps": [], "acc": 1.0}
    path.write_text(json.dumps(line) + "\n")
    (source,) = find_sources([path])
    (asked,) = facts_of(source).asked
    assert (asked.logged_hash, asked.prompt_hash, asked.is_stale) == (None, None, False)


@pytest.mark.parametrize("name", ["lm_eval/full", "lm_eval/fs_sub", "lm_eval_old"])
def test_documents_hash_as_the_real_harness_hashed_them_since_2024(shared_fixtures, name):
    asked = [one for found in facts(shared_fixtures / name) for one in found.asked]
    assert asked and not any(one.is_stale for one in asked)


def test_every_cached_prompt_of_another_document_is_seen(shared_fixtures):
    (found,) = facts(shared_fixtures / "lm_eval" / "cr_sub")
    assert found.n_stale == 5 and (found.n_full, found.n_run) == (20, 5)


def test_documents_of_an_exported_task_are_those_of_the_full_task(shared_fixtures):
    """The column irt_doc_id changes the hash that the harness logs."""
    full = {one.doc_hash: one.doc_id for found in facts(shared_fixtures / "lm_eval/cr_full") for one in found.asked}
    for found in facts(shared_fixtures / "lm_eval" / "yaml_export"):
        for one in found.asked:
            assert one.logged_hash != one.doc_hash and full[one.doc_hash] == one.doc_id


def test_unsorted_ids_do_not_rise_and_rows_of_several_filters_do(shared_fixtures):
    rise = {found.task: found.doc_ids_rise for found in facts(shared_fixtures / "lm_eval" / "subset_unsorted")}
    assert rise == {"toy_mc": False, "toy_gen": False}
    assert all(found.doc_ids_rise for found in facts(shared_fixtures / "lm_eval" / "subset_sorted"))


def test_a_log_hashed_in_an_unknown_way_is_taken_at_its_word(tmp_path):
    row = {"doc_id": 0, "doc": {"q": 1}, "filtered_resps": ["x"], "doc_hash": "other", "metrics": ["acc"], "acc": 1.0}
    (tmp_path / "samples_toy_2026-01-01T00-00-00.0.jsonl").write_text(json.dumps(row) + "\n")
    (found,) = facts(tmp_path)
    assert found.n_stale == 0 and found.asked[0].doc_hash == "other"
    (found,) = facts(tmp_path, [document_hash({"q": 1})])
    assert found.n_stale == 1


@pytest.mark.parametrize("name", ["inspect", "inspect_json", "inspect_subset"])
def test_inspect_logs_say_how_much_of_the_data_was_run(shared_fixtures, name):
    for found in facts(shared_fixtures / name):
        assert found.n_full == 20
        assert (found.n_run < 20) == (name == "inspect_subset")
