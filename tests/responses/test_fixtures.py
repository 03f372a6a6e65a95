"""Every real log file beside the repository reads to the values that its own lines hold, taken from them anew here."""

import json
import math
import zipfile
from pathlib import Path

import pytest
import zstandard

from irt_bench import read_responses
from irt_bench.errors import ReadError

Values = dict[tuple[str, str, str, int], float]  # by benchmark, model, item and trial

MULTIPLE_CHOICE = {"metric": "acc"}
BOTH = {"metric": "acc", "filter": "strict-match"}
HARNESS_RUNS = {
    "lm_eval/full": BOTH,
    "lm_eval/subset_sorted": BOTH,
    "lm_eval/subset_unsorted": BOTH,
    "lm_eval/subset_empty": BOTH,
    "lm_eval/repeats4": {"filter": "flexible-extract"},
    **{
        f"lm_eval/{name}": MULTIPLE_CHOICE
        for name in ("x_dup", "x_group", "fs_full", "fs_sub", "fs_limit", "cr_full", "cr_sub", "yaml_export")
    },
    "lm_eval/json_path": {"metric": "acc_norm"},
    "lm_eval_old": {"metric": "acc"},
}
# How many distinct answers formats.md says each holds: it guards against two readers that overlook the same lines.
EXPECTED_SIZES = {
    "lm_eval/full": 80, "lm_eval/subset_sorted": 8, "lm_eval/subset_unsorted": 8, "lm_eval/subset_empty": 40,
    "lm_eval/repeats4": 20, "lm_eval/x_dup": 2, "lm_eval/x_group": 40, "lm_eval/fs_full": 40, "lm_eval/fs_sub": 5,
    "lm_eval/fs_limit": 5, "lm_eval/cr_full": 20, "lm_eval/cr_sub": 5, "lm_eval/yaml_export": 10,
    "lm_eval/json_path": 20, "lm_eval_old": 20,
}  # fmt: skip
INPUTS = ("lm_tasks", "lm_export", "inspect_tasks", "subset.json")  # what the clients were given, not what they wrote


def read(path: Path, **choices: str) -> Values:
    """Answers of a table, by model name and, where several snapshots are there, step; documents by their hash."""
    table = read_responses([path], **choices)
    rows = table.answers
    if "doc_hash" in table.items:
        hashes = table.items["doc_hash"].to_dict()
        keys = zip(rows["benchmark"], rows["item"], strict=True)
        rows = rows.assign(item=[hashes[key] for key in keys])
    worth = rows["correct" if "correct" in rows else "score"]
    trials = rows["trial"] if "trial" in rows else [1] * len(rows)
    keys = zip(rows["benchmark"], rows["model"], rows["item"], map(int, trials), strict=True)
    return dict(zip(keys, map(float, worth), strict=True))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def of_harness(folder: Path, metric: str | None = None, filter: str | None = None) -> Values:
    """Answers as the lines of lm-evaluation-harness say them: the metric asked for, or the only one."""
    out: Values = {}
    runs = []
    for samples in sorted(folder.rglob("samples_*.jsonl")):
        task, time = samples.name.removesuffix(".jsonl").removeprefix("samples_").rsplit("_", 1)
        results = [json.loads(path.read_text()) for path in samples.parent.glob(f"*_{time}.json")]
        model = results[0]["model_name"] if results else samples.parent.name
        arguments = results[0]["config"]["model_args"] if results else {}
        runs.append((samples, task, model, arguments.get("revision") if isinstance(arguments, dict) else None))
    for samples, task, model, revision in runs:
        several = len({other for _, _, name, other in runs if name == model}) > 1
        label = f"{model}[step={revision.removeprefix('step')}]" if several else model
        for line in lines(samples):
            measured = line.get("metrics") or [key for key in line if key in ("acc", "acc_norm", "exact_match")]
            usable = [name for name in measured if name != "perplexity"]
            by = metric if metric in usable else usable[0]
            filters = {other.get("filter", "none") for other in lines(samples)}
            if len(filters) == 1 or line["filter"] == filter:
                out[task, label, line["doc_hash"], 1] = float(line[by])
    return out


def member(path: Path, name: str) -> object:
    """One member of an .eval archive, whose zstd compression the standard library does not know."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as raw:
        info = archive.getinfo(name)
        raw.seek(info.header_offset + 26)
        lengths = raw.read(4)
        raw.seek(int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little"), 1)
        packed = raw.read(info.compress_size)
    return json.loads(zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True).read())


def of_inspect(task: str, model: str, samples: list[dict], scorer: str) -> Values:
    worth = {"C": 1.0, "I": 0.0}
    out: Values = {}
    for sample in samples:
        scores = sample.get("scores") or {}
        if sample.get("error") or not scores:
            continue
        value = (scores.get(scorer) or next(iter(scores.values())))["value"]
        out[task, model, str(sample["id"]), sample["epoch"]] = worth.get(value, value)
    return out


@pytest.mark.parametrize("run", HARNESS_RUNS)
def test_logs_of_the_harness_read_to_the_values_of_their_lines(shared_fixtures, run):
    found = read(shared_fixtures / run, **HARNESS_RUNS[run])
    assert found == of_harness(shared_fixtures / run, **HARNESS_RUNS[run])
    assert len(found) == EXPECTED_SIZES[run]


@pytest.mark.filterwarnings("ignore:model .* runs")  # the newest answers are taken, as here
@pytest.mark.parametrize("folder", ["inspect", "inspect_subset"])
@pytest.mark.parametrize("scorer", ["choice", "partial"])
def test_archives_of_inspect_read_to_the_values_of_their_samples(shared_fixtures, folder, scorer):
    expected: Values = {}
    for path in sorted((shared_fixtures / folder).glob("*.eval")):
        about = member(path, "header.json")["eval"]
        samples = member(path, "summaries.json")
        again = {(about["task"].split("/")[-1], about["model"], str(sample["id"])) for sample in samples}
        expected = {key: value for key, value in expected.items() if key[:3] not in again}  # the newest run is taken
        expected |= of_inspect(about["task"].split("/")[-1], about["model"], samples, scorer)
    found = read(shared_fixtures / folder, metric=scorer)
    assert found == pytest.approx(expected)
    assert len(found) == (200 if folder == "inspect" else 15)


def test_a_log_of_inspect_in_json_reads_to_the_values_of_its_samples(shared_fixtures):
    (path,) = (shared_fixtures / "inspect_json").glob("*.json")
    log = json.loads(path.read_text())
    expected = of_inspect(log["eval"]["task"].split("/")[-1], log["eval"]["model"], log["samples"], "match")
    assert read(path) == expected and len(expected) == 20


@pytest.mark.parametrize("statistic", ["exact_match", "quasi_exact_match"])
def test_a_run_of_helm_reads_to_the_means_of_its_unperturbed_test_instances(shared_fixtures, statistic):
    (run,) = (shared_fixtures / "helm").iterdir()
    expected: Values = {}
    for entry in json.loads((run / "per_instance_stats.json").read_text()):
        for stat in entry["stats"]:
            name = stat["name"]
            if name["name"] == statistic and name["split"] == "test" and not name.get("perturbation"):
                key = ("mmlu:subject=philosophy", "openai/gpt2", entry["instance_id"], entry["train_trial_index"])
                expected[key] = stat["mean"]
    assert read(shared_fixtures / "helm", metric=statistic) == expected
    assert len(expected) == 9 and not any(map(math.isnan, expected.values()))


def test_samples_of_every_eval_ever_read_to_the_scores_of_their_lines(shared_fixtures):
    expected: Values = {}
    for path in (shared_fixtures / "eee").rglob("*_samples.jsonl"):
        for line in lines(path):
            metric, _, chosen = line["evaluation_result_id"].partition(":")
            if metric in ("acc", "exact_match") and chosen in ("", "strict-match"):
                task = line["evaluation_name"].removesuffix("/strict-match")
                key = (task, line["model_id"], line["metadata"]["doc_hash"], 1)
                expected[key] = line["evaluation"]["score"]
    assert read(shared_fixtures / "eee", **BOTH) == expected and len(expected) == 8


@pytest.mark.parametrize("name", INPUTS)
def test_what_is_no_log_is_refused_and_the_formats_are_named(shared_fixtures, name):
    with pytest.raises(ReadError, match=r"Formats: tabular \(CSV or Parquet"):
        read_responses([shared_fixtures / name])


def test_no_fixture_is_left_without_a_test_of_its_values(shared_fixtures):
    tested = {*HARNESS_RUNS, *INPUTS, "inspect", "inspect_subset", "inspect_json", "helm", "eee", "README.md"}
    there = {
        f"{path.parent.name}/{path.name}" if path.parent.name == "lm_eval" else path.name
        for path in [*shared_fixtures.iterdir(), *(shared_fixtures / "lm_eval").iterdir()]
    }
    assert there - {"lm_eval"} == tested
