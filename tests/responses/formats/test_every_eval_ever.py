import json

import pytest

from irt_bench import read_responses
from irt_bench.errors import ReadError


def sample(n: int = 0, score: object = 1.0, metric: str = "acc", **more: object) -> dict:
    return {
        "schema_version": "0.3.0",
        "model_id": "m",
        "evaluation_name": "toy",
        "evaluation_result_id": metric,
        "sample_id": str(n),
        "evaluation": {"score": score, "is_correct": bool(score)},
        **more,
    }


def write(path, samples, details=None):
    path.write_text("".join(json.dumps(line) + "\n" for line in samples))
    if details is not None:
        beside = path.with_name(path.name.replace("_samples.jsonl", ".json"))
        beside.write_text(json.dumps({"model_info": {"additional_details": details}}))
    return path


def test_a_conversion_reads_like_the_log_it_was_made_from(shared_fixtures):
    options = {"metric": "acc", "filter": "strict-match"}
    converted = read_responses([shared_fixtures / "eee"], **options)
    log = read_responses([shared_fixtures / "lm_eval/subset_sorted"], **options)
    assert converted.benchmarks == log.benchmarks == ["toy_gen", "toy_mc"]
    for benchmark in log.benchmarks:
        first, second = converted.select(benchmark), log.select(benchmark)
        assert first.counts().fingerprint() == second.counts().fingerprint()
        assert first.models["step"].tolist() == second.models["step"].tolist() == [1000]
        columns = ["doc_id", "doc_hash", "metric", "filter"]
        assert first.items[columns].astype("str").equals(second.items[columns].astype("str"))


def test_values_are_those_of_the_lines(shared_fixtures):
    (path,) = (shared_fixtures / "eee").rglob("*toy_mc*/**/*_samples.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    table = read_responses([path], metric="acc_norm")
    expected = {
        line["metadata"]["doc_hash"]: line["evaluation"]["score"]
        for line in lines
        if line["evaluation_result_id"] == "acc_norm"
    }
    hashes = table.items.droplevel(0)["doc_hash"].loc[table.answers["item"].astype("str")]
    assert dict(zip(hashes, table.answers["correct"], strict=True)) == expected


def test_metric_and_filter_need_a_choice_or_one_name_for_both(shared_fixtures):
    with pytest.raises(ReadError, match="'toy_gen' has several filters: flexible-extract, strict-match"):
        read_responses([shared_fixtures / "eee"])
    (path,) = (shared_fixtures / "eee").rglob("*toy_gen*/**/*_samples.jsonl")
    table = read_responses([path], metric="exact_match:flexible-extract")
    assert set(table.items["filter"]) == {"flexible-extract"}
    (path,) = (shared_fixtures / "eee").rglob("*toy_mc*/**/*_samples.jsonl")
    with pytest.raises(ReadError, match="'toy_mc' has several metrics: acc, acc_norm"):
        read_responses([path])


def test_errors_are_missing_and_correctness_stands_in_for_a_score(tmp_path):
    samples = [sample(0), sample(1, error="boom"), sample(2, evaluation={"is_correct": False})]
    counts = read_responses([write(tmp_path / "a_samples.jsonl", samples)]).counts()
    assert counts.correct.tolist() == [[1, 0, 0]] and counts.trials.tolist() == [[1, 0, 1]]


def test_a_revision_that_is_no_step_is_metadata(tmp_path):
    path = write(tmp_path / "a_samples.jsonl", [sample()], {"model_args": "{'revision': 'beta'}"})
    assert read_responses([path]).models["revision"].tolist() == ["beta"]


def test_a_line_without_what_is_required_is_named(tmp_path):
    path = write(tmp_path / "a_samples.jsonl", [sample(), {"schema_version": "0.3.0", "model_id": "m"}])
    with pytest.raises(ReadError, match="line 2: no 'evaluation_name'"):
        read_responses([path])


def test_scores_outside_the_unit_interval_are_no_candidates(tmp_path):
    path = write(tmp_path / "a_samples.jsonl", [sample(score=7.0, metric="ppl"), sample(score=1.0)])
    assert read_responses([path]).items["metric"].tolist() == ["acc"]
    path = write(tmp_path / "b_samples.jsonl", [sample(score=7.0, metric="ppl")])
    with pytest.raises(ReadError, match=r"no metric in \[0, 1\]; found ppl"):
        read_responses([path])
