import json
from pathlib import Path

import pytest

from irt_bench import read_responses
from irt_bench.errors import ReadError

NAME = "toy:subject=law,method=joint,model=m"


def stat(name: str, mean: float | None, *, split: str = "test", **more: object) -> dict:
    count = 0 if mean is None else 1
    return {"name": {"name": name, "split": split, **more}, "count": count, "sum": mean or 0, "mean": mean}


def entry(item: str, *stats: dict, **more: object) -> dict:
    return {"instance_id": item, "train_trial_index": 0, "stats": list(stats), **more}


def write_run(folder: Path, entries: object, *, model: str = "org/m", name: str = NAME) -> Path:
    folder.mkdir()
    (folder / "run_spec.json").write_text(json.dumps({"name": name, "adapter_spec": {"model": model}}))
    (folder / "per_instance_stats.json").write_text(json.dumps(entries))
    return folder


def test_a_real_run_reads_to_its_exact_matches(shared_fixtures):
    (run,) = (shared_fixtures / "helm").iterdir()
    expected = {}
    for instance in json.loads((run / "per_instance_stats.json").read_text()):
        for one in instance["stats"]:
            if one["name"]["name"] == "exact_match" and one["name"]["split"] == "test":
                expected[instance["instance_id"]] = one["mean"]
    table = read_responses([shared_fixtures / "helm"], metric="exact_match")
    answers = table.answers
    assert dict(zip(answers["item"], answers["correct"], strict=True)) == expected
    assert table.benchmarks == ["mmlu:subject=philosophy"]
    assert list(table.models.index) == ["openai/gpt2"]
    assert len(expected) >= 9


def test_several_statistics_of_correctness_need_a_choice(shared_fixtures):
    with pytest.raises(ReadError, match="several metrics: exact_match, exact_match@5, prefix_exact.*metric='NAME'"):
        read_responses([shared_fixtures / "helm"])


def test_a_folder_of_runs_is_read_whole(tmp_path):
    for model in ("a", "b"):
        write_run(tmp_path / model, [entry("i1", stat("exact_match", 1.0))], model=model)
    assert read_responses([tmp_path]).counts().correct.tolist() == [[1], [1]]


def test_a_single_statistic_of_correctness_needs_no_choice_beside_bookkeeping(tmp_path):
    run = write_run(tmp_path / "r", [entry("i1", stat("quasi_exact_match", 0.5), stat("max_prob", 0.1))])
    table = read_responses([run])
    assert table.measure == "score" and table.items["metric"].tolist() == ["quasi_exact_match"]


def test_perturbed_rows_and_other_splits_are_left_out(tmp_path):
    entries = [
        entry("i1", stat("exact_match", 1.0), stat("exact_match", 0.0, perturbation={"name": "typos"})),
        entry("i1", stat("exact_match", 0.0), perturbation={"name": "typos"}),
        entry("i2", stat("exact_match", 0.0, split="valid")),
    ]
    counts = read_responses([write_run(tmp_path / "r", entries)]).counts()
    assert list(counts.items.index) == ["i1"] and counts.correct.tolist() == [[1]]


@pytest.mark.parametrize(
    ("splits", "evaluated", "expected"),
    [
        (("train", "valid"), None, ["i1"]),
        (("valid", "test"), None, ["i1"]),
        (("valid", "test"), ["valid"], ["i0"]),
        (("dev",), None, ["i0"]),
    ],
)
def test_the_main_split_is_read_whatever_its_name(tmp_path, splits, evaluated, expected):
    entries = [entry(f"i{n}", stat("exact_match", 1.0, split=split)) for n, split in enumerate(splits)]
    run = write_run(tmp_path / "r", entries)
    spec = json.loads((run / "run_spec.json").read_text())
    spec["adapter_spec"]["eval_splits"] = evaluated
    (run / "run_spec.json").write_text(json.dumps(spec))
    assert list(read_responses([run]).counts().items.index) == expected


def test_a_run_whose_main_split_is_valid_is_read(shared_cases):
    counts = read_responses([shared_cases / "helm_valid_split"]).counts()
    assert counts.correct.tolist() == [[1, 1, 0]] and counts.trials.all()


def test_train_trials_are_trials_and_undefined_means_are_missing(tmp_path):
    entries = [
        entry("i1", stat("exact_match", 1.0)),
        entry("i1", stat("exact_match", 0.0), train_trial_index=1),
        entry("i2", stat("exact_match", None)),
    ]
    counts = read_responses([write_run(tmp_path / "r", entries)]).counts()
    assert counts.correct.tolist() == [[1, 0]] and counts.trials.tolist() == [[2, 0]]


@pytest.mark.parametrize(
    ("run", "benchmark"),
    [
        ("mmlu:subject=philosophy,method=multiple_choice_joint,model=openai_gpt2", "mmlu:subject=philosophy"),
        ("boolq:model=a,data_augmentation=canonical", "boolq"),
        ("boolq", "boolq"),
        ("babi_qa:task=15,model=a", "babi_qa:task=15"),
    ],
)
def test_a_benchmark_is_named_by_what_was_asked(tmp_path, run, benchmark):
    folder = write_run(tmp_path / "r", [entry("i1", stat("exact_match", 1.0))], name=run)
    assert read_responses([folder]).benchmarks == [benchmark]


def test_damaged_runs_are_named(tmp_path):
    run = write_run(tmp_path / "r", {"not": "a list"})
    with pytest.raises(ReadError, match="a list of instances is needed, found dict"):
        read_responses([run])
    (run / "per_instance_stats.json").write_text("[{")
    with pytest.raises(ReadError, match=r"per_instance_stats.json is not JSON"):
        read_responses([run])
    (run / "run_spec.json").write_text("{}")
    with pytest.raises(ReadError, match="does not name the model"):
        read_responses([run])
    with pytest.raises(ReadError, match="no statistic of correctness"):
        read_responses([write_run(tmp_path / "s", [entry("i", stat("num_bytes", 1.0))])])
