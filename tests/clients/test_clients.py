"""The real clients run what was exported, and scoring their logs gives what scoring the full logs gives."""

import json
import subprocess

import numpy as np
import pandas as pd
import pytest
from commands import run

from irt_bench import Subset, read_responses, score_with_items
from irt_bench.analysis.curves import information
from irt_bench.subsets.harness.export import ExportOptions, export_subset
from irt_bench.subsets.scorer import scorer_of

pytestmark = pytest.mark.clients
PLACES = [19, 3, 7, 12, 0]


def irt_bench(*arguments, code=0):
    return run(*arguments, code=code).output


def scores(logs, subset, tmp_path, name="scores.csv"):
    irt_bench("score", logs, "--subset", subset, "-o", tmp_path / name, "--force")
    return pd.read_csv(tmp_path / name, index_col="model")


@pytest.fixture(scope="module")
def full(lm_eval, tmp_path_factory):
    return lm_eval(tmp_path_factory.mktemp("full") / "logs")


@pytest.fixture(scope="module")
def subset(full, build_subset, tmp_path_factory):
    """A subset made from the full log's documents."""
    table = read_responses([full])
    items = table.items.droplevel("benchmark").reset_index().set_index("doc_id")
    prompts = table.answers.set_index(table.answers["item"].astype(str))["prompt_hash"].astype(str)
    records = [
        {
            "id": items["item"][k], "subtask": "toy_sums", "doc_id": k, "doc_hash": items["doc_hash"][k],
            "metric": items["metric"][k], "filter": items["filter"][k],
            "prompt_hash": prompts[items["item"][k]],
        }
        for k in PLACES
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("subset") / "subset.json"
    Subset(build_subset(records, n_full=24, benchmark="toy_sums")).save(path)
    return path


def restricted(full, logged, subset, tmp_path):
    """The answers of a subset run put into the full log, and that scored: the dummy model answers at random."""
    (source,) = full.rglob("samples_*.jsonl")
    rows = {row["doc_id"]: row for row in map(json.loads, source.read_text().splitlines())}
    for doc_id, value in logged.items():
        rows[doc_id]["acc"] = value
    folder = tmp_path / "restricted" / "org__toy"
    folder.mkdir(parents=True)
    (folder / source.name).write_text("".join(json.dumps(row) + "\n" for row in rows.values()))
    (results,) = full.rglob("results_*.json")
    (folder / results.name).write_bytes(results.read_bytes())
    return scores(folder, subset, tmp_path, "restricted.csv")


def logged_values(logs, doc_id):
    (path,) = logs.rglob("samples_*.jsonl")
    return {doc_id(row): row["acc"] for row in map(json.loads, path.read_text().splitlines())}


def test_lm_eval_runs_the_samples_file_and_its_log_scores_as_the_full_log_restricted(full, subset, lm_eval, tmp_path):
    printed = irt_bench("export", subset, "--to", "lm-eval", "-o", tmp_path / "samples.json")
    assert "--tasks toy_sums --samples" in printed
    logs = lm_eval(tmp_path / "logs", "--samples", tmp_path / "samples.json")
    logged = logged_values(logs, lambda row: row["doc_id"])
    assert sorted(logged) == sorted(PLACES)
    found = scores(logs, subset, tmp_path)
    expected = restricted(full, logged, subset, tmp_path)
    numbers = ["estimate", "q05", "q95", "ability", "ability_sd", "n_items", "n_missing"]
    np.testing.assert_array_equal(found[numbers], expected[numbers])
    assert list(found["n_items"]) == [5] and found["flags"].isna().all()
    assert list(expected["flags"]) == ["full_run"]


def test_lm_eval_runs_the_exported_task_and_prints_the_estimate_that_scoring_gives(full, subset, lm_eval, tmp_path):
    exported = tmp_path / "task"
    irt_bench("export", subset, "--to", "lm-eval-task", "-o", exported, "--base-yaml", lm_eval.folder / "toy_sums.yaml")
    logs = lm_eval(tmp_path / "logs", task="toy_sums_irt5", include=exported)
    logged = logged_values(logs, lambda row: row["doc"]["irt_doc_id"])
    assert sorted(logged) == sorted(PLACES)
    found = scores(logs, subset, tmp_path)
    expected = restricted(full, logged, subset, tmp_path)
    np.testing.assert_array_equal(found[["estimate", "q05", "q95"]], expected[["estimate", "q05", "q95"]])
    (results,) = logs.rglob("results_*.json")
    printed = json.loads(results.read_text())["results"]["toy_sums_irt5"]["acc,none"]
    assert printed == pytest.approx(found["estimate"].iloc[0], abs=2e-5)
    assert found["flags"].isna().all()


def test_lm_eval_estimates_from_the_metric_of_the_calibration_and_not_from_the_tasks_first(
    lm_eval, build_subset, tmp_path
):
    """Choices of unequal length, so that `acc` and `acc_norm` differ; nothing but the subset names the metric."""
    folder = tmp_path / "toy_norm"
    folder.mkdir()
    base = (lm_eval.folder / "toy_sums.yaml").read_text().replace(str(lm_eval.folder), str(folder))
    more = "  - {metric: acc_norm, aggregation: mean, higher_is_better: true}\nmetadata:"
    (folder / "toy_norm.yaml").write_text(base.replace("toy_sums", "toy_norm").replace("metadata:", more))
    for name in ("train.jsonl", "test.jsonl"):
        text = (lm_eval.folder / name).read_text()
        (folder / name).write_text(text.replace('"4"]', f'"{"four " * 10}"]'))
    (folder / "toy_utils.py").write_bytes((lm_eval.folder / "toy_utils.py").read_bytes())
    calibration = lm_eval(tmp_path / "full", task="toy_norm", include=folder)
    items = read_responses([calibration], metric="acc_norm").items.droplevel("benchmark").reset_index()
    assert set(items["metric"]) == {"acc_norm"}
    kept = ["doc_id", "doc_hash", "metric", "filter"]
    records = [{"id": row["item"], "subtask": "toy_norm"} | {name: row[name] for name in kept}
               for _, row in items[items["doc_id"].isin(PLACES)].iterrows()]  # fmt: skip
    subset = tmp_path / "norm.json"
    Subset(build_subset(records, n_full=24, benchmark="toy_norm")).save(subset)
    exported = tmp_path / "task"
    irt_bench("export", subset, "--to", "lm-eval-task", "-o", exported, "--base-yaml", folder / "toy_norm.yaml")
    logs = lm_eval(tmp_path / "logs", task="toy_norm_irt5", include=exported)
    (results,) = logs.rglob("results_*.json")
    printed = json.loads(results.read_text())["results"]["toy_norm_irt5"]
    assert printed["acc_norm,none"] == pytest.approx(scores(logs, subset, tmp_path)["estimate"].iloc[0], abs=2e-5)
    assert "acc,none" not in printed
    (path,) = logs.rglob("samples_*.jsonl")
    assert all("acc_norm" in row["metrics"] for row in map(json.loads, path.read_text().splitlines()))
    refused = irt_bench("score", calibration, "--subset", subset, "--metric", "acc", code=2)
    assert "calibrated on metric 'acc_norm'" in " ".join(refused.split())


def test_few_shot_examples_change_under_a_subset_and_scoring_says_so(lm_eval, subset, tmp_path):
    irt_bench("export", subset, "--to", "lm-eval", "-o", tmp_path / "samples.json")
    logs = lm_eval(tmp_path / "logs", "--samples", tmp_path / "samples.json", "--num_fewshot", "2")
    assert '"prompts_changed"' in run("score", logs, "--subset", subset, "--json").stdout


@pytest.mark.parametrize(
    ("samples", "flags"),
    [
        ({"toy_sums": PLACES}, "doc_ids_wrong"),  # not sorted
        ({"toy_sums": []}, "full_run"),
        ({"toy_group": PLACES}, "full_run"),  # not the name of a leaf
    ],
)
def test_lists_that_irt_bench_never_writes_mislead_lm_eval_and_scoring_says_so(
    lm_eval, subset, tmp_path, samples, flags
):
    logs = lm_eval(tmp_path / "logs", "--samples", json.dumps(samples))
    table = scores(logs, subset, tmp_path)
    assert list(table["flags"]) == [flags] and list(table["n_items"]) == [5]


def test_prompts_of_other_documents_from_the_cache_of_lm_eval_are_refused(lm_eval, subset, tmp_path):
    cached = {"LM_HARNESS_CACHE_PATH": str(tmp_path / "cache")}
    lm_eval(tmp_path / "full", "--cache_requests", "true", **cached)
    samples = ("--samples", json.dumps({"toy_sums": sorted(PLACES)}))
    stale = lm_eval(tmp_path / "stale", "--cache_requests", "true", *samples, **cached)
    assert "cache_requests" in irt_bench("score", stale, "--subset", subset, code=2)
    fresh = lm_eval(tmp_path / "fresh", "--cache_requests", "refresh", *samples, **cached)
    assert scores(fresh, subset, tmp_path)["flags"].isna().all()


def test_an_adaptive_test_in_rounds_of_lm_eval_finds_the_ability_of_the_full_run_with_few_samples(
    lm_eval, build_subset, tmp_path
):
    """400 items of a 2PL, one model: the full run's ability, from 15% of the documents in rounds of 15."""
    rng, n, ability = np.random.default_rng(3), 400, 0.8
    slope, difficulty = np.exp(rng.normal(0.3, 0.4, n)), rng.normal(size=n)
    right = rng.random(n) < 1 / (1 + np.exp(-slope * (ability - difficulty)))
    folder = tmp_path / "toy_bank"
    folder.mkdir()
    rows = [{"left": k, "right": 1, "choices": ["1", "2", "3", "4"], "answer": k % 4} for k in range(n)]
    for name in ("train", "test"):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "toy_utils.py").write_bytes((lm_eval.folder / "toy_utils.py").read_bytes())
    base = (lm_eval.folder / "toy_sums.yaml").read_text().replace(str(lm_eval.folder), str(folder))
    (folder / "toy_bank.yaml").write_text(base.replace("toy_sums", "toy_bank"))
    (tmp_path / "answers.json").write_text(json.dumps({str(k): bool(right[k]) for k in range(n)}))
    known = {"task": "toy_bank", "include": folder, "answers": tmp_path / "answers.json"}
    full = lm_eval(tmp_path / "full", **known)
    items = read_responses([full]).items.droplevel("benchmark").reset_index().set_index("doc_id")
    records = [
        {"id": items["item"][k], "subtask": "toy_bank", "doc_id": k, "doc_hash": items["doc_hash"][k], "metric": "acc",
         "filter": "none", "discrimination": float(slope[k]), "difficulty": float(difficulty[k])}
        for k in range(n)
    ]  # fmt: skip
    path, rounds = tmp_path / "subset.json", tmp_path / "rounds"
    Subset(build_subset(records, n_full=n, benchmark="toy_bank")).save(path)
    irt_bench("export", path, "--to", "params", "-o", tmp_path / "items.csv")
    for number in range(6):
        so_far = ("--answers", rounds) if number else ()
        export = ("export", path, "--to", "lm-eval-round", "-o", tmp_path / "next.json", "--parallel", 15)
        said = irt_bench(*export, "--max-items", 60, *so_far)
        if "the test has ended" in said:
            break
        lm_eval(rounds, "--samples", tmp_path / "next.json", **known)
    found, whole = (score_with_items(read_responses([each]), tmp_path / "items.csv").iloc[0] for each in (rounds, full))
    assert "the test has ended" in said and f"ability {found['ability']:.2f}" in said
    assert whole["n_items"] == n and found["n_items"] <= 60
    assert abs(found["ability"] - whole["ability"]) < 2 * found["ability_sd"] and found["ability_sd"] <= 0.31


def test_inspect_runs_the_run_configuration_and_its_log_scores_as_the_full_log_restricted(
    inspect, build_subset, tmp_path
):
    ids = ["sum-3", "sum-[1]", "sum-*", "7", "sum-11"]
    path = tmp_path / "subset.json"
    Subset(build_subset([{"id": k, "subtask": "toy_sums"} for k in ids], n_full=15, benchmark="toy_sums")).save(path)
    model = ("--model", "mockllm/model")
    full = inspect("full", "toy.py", *model)
    irt_bench(
        "export", path, "--to", "inspect", "-o", inspect.folder / "run.yaml", "--task", "toy.py@toy_sums",
        "--model", "mockllm/model", "--force",
    )  # fmt: skip
    part = inspect("part", "--run-config", inspect.folder / "run.yaml")
    assert set(read_responses([part]).items.index.get_level_values("item")) == set(ids)
    found, expected = (scores(logs, path, tmp_path) for logs in (part, full))
    numbers = ["estimate", "q05", "q95", "ability", "ability_sd", "n_items", "n_missing"]
    np.testing.assert_array_equal(found[numbers], expected[numbers])
    assert list(expected["flags"]) == ["full_run"] and found["flags"].isna().all()
    irt_bench("export", path, "--to", "inspect", "-o", tmp_path / "ids.txt")
    text = (tmp_path / "ids.txt").read_text().strip()
    by_text = inspect("by_text", "toy.py", *model, "--sample-id", text)
    assert set(read_responses([by_text]).items.index.get_level_values("item")) == set(ids)


ADAPTIVE_TASK = """
import json
from pathlib import Path
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import match
from inspect_ai.solver import solver

KNOWN = json.loads(Path("{answers}").read_text())


@solver
def as_known():
    async def solve(state, generate):
        state.output = ModelOutput.from_content("mock", "right" if KNOWN[str(state.sample_id)] else "wrong")
        return state

    return solve


@task
def sums():
    samples = [Sample(id=label, input="?", target="right") for label in KNOWN]
    return Task(dataset=MemoryDataset(samples), solver=as_known(), scorer=match())
"""


@pytest.mark.parametrize("ability", [-1.0, 0.8])
def test_an_adaptive_test_in_inspect_finds_the_ability_of_the_full_run_with_few_samples(
    inspect, build_subset, tmp_path, ability
):
    """400 items of a 2PL, one model: the full run's ability, from at most 15% of the samples, and scored the same."""
    rng = np.random.default_rng(3)
    slope, difficulty = np.exp(rng.normal(0.3, 0.4, 400)), rng.normal(size=400)
    answers = rng.random(400) < 1 / (1 + np.exp(-slope * (ability - difficulty)))
    labels = [f"s{k:03d}" for k in range(400)]
    known = {label: bool(answer) for label, answer in zip(labels, answers, strict=True)}
    (inspect.folder / "answers.json").write_text(json.dumps(known))
    (inspect.folder / "known.py").write_text(ADAPTIVE_TASK.format(answers=inspect.folder / "answers.json"))
    items = [
        {"id": label, "discrimination": float(a), "difficulty": float(b)}
        for label, a, b in zip(labels, slope, difficulty, strict=True)
    ]
    path, folder = tmp_path / "subset.json", tmp_path / "live"
    Subset(build_subset(items, n_full=400, benchmark="sums")).save(path)
    irt_bench(
        "export", path, "--to", "inspect-adaptive", "-o", folder, "--task", f"{inspect.folder / 'known.py'}@sums",
        "--model", "mockllm/model",
    )  # fmt: skip
    irt_bench("export", path, "--to", "params", "-o", tmp_path / "items.csv")
    name = f"adaptive{ability}"
    logs = inspect(
        name, f"{folder / 'task.py'}@adaptive", "--model", "mockllm/model", "--max-samples", 400, "--log-format", "json"
    )
    full = inspect(f"full{ability}", "known.py", "--model", "mockllm/model")
    found, whole = (score_with_items(read_responses([each]), tmp_path / "items.csv").iloc[0] for each in (logs, full))
    assert whole["n_items"] == 400 and found["n_items"] <= 60
    assert abs(found["ability"] - whole["ability"]) < 2 * found["ability_sd"]
    assert found["ability_sd"] <= 0.31
    (log,) = logs.glob("*.json")
    summary = json.loads(log.read_text())["results"]["early_stopping"]["metadata"]
    assert summary["ability"] == pytest.approx(found["ability"], abs=0.01)
    assert summary["n_items"] == found["n_items"] == len(summary["asked"])


CATSIM = """
import json, sys
import numpy as np
from catsim.irt import normalize_item_bank
from catsim.item_bank import ItemBank
from catsim.selection import MaxInfoSelector

table = np.loadtxt(sys.argv[1], delimiter=",", skiprows=1, usecols=(1, 2))
bank = ItemBank(normalize_item_bank(table))
chosen = [
    int(MaxInfoSelector().select(item_bank=bank, administered_items=[], est_theta=theta))
    for theta in np.linspace(-2, 2, 9)
]
print(json.dumps(chosen))
"""


def test_catsim_reads_the_parameters_and_chooses_the_most_telling_item_as_we_do(catsim, build_subset, tmp_path):
    subset = build_subset([{"id": f"i{k}"} for k in range(15)])
    path = tmp_path / "subset.json"
    Subset(subset).save(path)
    irt_bench("export", path, "--to", "params", "-o", tmp_path / "items.csv")
    done = subprocess.run(
        [catsim, "-c", CATSIM, str(tmp_path / "items.csv")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    parameters = scorer_of(subset).parameters
    ours = [int(information(parameters, np.array(theta)).argmax()) for theta in np.linspace(-2, 2, 9)]
    assert json.loads(done.stdout.splitlines()[-1]) == ours
    assert len(set(ours)) > 2


PY_IRT = """
import sys
from py_irt.dataset import Dataset

data = Dataset.from_jsonlines(sys.argv[1])
print(sorted(data.item_ids), len(data.subject_ids), sorted(set(data.training_example)))
"""


def test_py_irt_reads_the_lines(py_irt, build_subset, make_counts, tmp_path):
    subset = build_subset([{"id": "i0"}, {"id": "i2"}])
    options = ExportOptions(responses=make_counts([[1, 0, 0], [0, 1, 1]]))
    export_subset(subset, "py-irt", tmp_path / "lines.jsonl", options)
    done = subprocess.run([py_irt, "-c", PY_IRT, str(tmp_path / "lines.jsonl")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("['i0', 'i2'] 2")
