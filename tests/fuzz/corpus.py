"""Valid files of every kind that the package reads, a folder each, and how each kind is read and what was read used."""

from __future__ import annotations

import gzip
import json
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import zstandard
from typer.testing import CliRunner

from irt_bench import ResponseCounts, read_responses
from irt_bench.analysis.abilities import score_models
from irt_bench.cli import app
from irt_bench.inference.fit import FitResult
from irt_bench.report.page.folders import read_folders
from irt_bench.study.design import is_design, read_design
from irt_bench.study.tasks import TASKS, Store, write_arrays
from irt_bench.subsets.harness.logs import read_subset_logs, score_logs
from irt_bench.subsets.score import estimate_full_score
from irt_bench.subsets.subset import read_subset

TIME = "2025-01-02T03-04-05.678901"
SUBSET = "subset"
FIT = "fit"
REPORTS = ("comparison", "variance", "checks")
CONTROLS = ("control crash", "control hang", "control memory", "control abort")  # readers that are broken on purpose
Reader = Callable[[Path, Path], object]  # (folder to read, folder of the valid files)


def read_answers(folder: Path, valid: Path) -> None:
    """Read responses of any format, and arrange them."""
    table = read_responses([folder])
    table.to_frame()
    for benchmark in table.benchmarks:
        table.select(benchmark).counts().proportions()


def read_logs(folder: Path, valid: Path) -> None:
    """Score the log of a run on a subset."""
    subset = read_subset(valid / SUBSET / "subset.json")
    score_logs(read_subset_logs([folder], subset), subset)


def read_a_subset(folder: Path, valid: Path) -> None:
    """Read a subset and estimate full scores with it."""
    estimate_full_score(_counts(valid), read_subset(folder / "subset.json"))


def read_a_fit(folder: Path, valid: Path) -> None:
    """Load a fit and score models with its items."""
    score_models(_counts(valid), FitResult.load(folder).posterior, n_draws=5)


def read_reports(folder: Path, valid: Path) -> None:
    """Read what a page is made of."""
    read_folders([folder])


def read_a_design(folder: Path, valid: Path) -> None:
    """Read the design of a study."""
    for path in sorted(folder.iterdir()):
        if is_design(path):
            read_design(path)


def read_a_cell(folder: Path, valid: Path) -> None:
    """Read a finished cell of a study."""
    if Store(folder).has("cell"):
        Store(folder).read("cell")


def _crash(folder: Path, valid: Path) -> None:
    if any(b"0" in path.read_bytes() for path in folder.iterdir()):
        raise KeyError("a reader that trusts its file")


def _hang(folder: Path, valid: Path) -> None:
    time.sleep(3600)


def _memory(folder: Path, valid: Path) -> None:
    np.ones(2**28)  # two gigabytes


def _abort(folder: Path, valid: Path) -> None:
    os.abort()


def reader_of(name: str) -> Reader:
    """Reader of a folder of the corpus."""
    kinds: dict[str, Reader] = {SUBSET: read_a_subset, FIT: read_a_fit, "logs": read_logs, "design": read_a_design}
    kinds |= {"cell": read_a_cell, **dict.fromkeys(REPORTS, read_reports)}
    kinds |= dict(zip(CONTROLS, (_crash, _hang, _memory, _abort), strict=True))
    return kinds.get(name, read_answers)


def write_corpus(root: Path) -> None:
    """Write all valid files, those of the package's own kinds by its commands."""
    write_answers(root)
    write_controls(root)
    _run("fit", root / "long parquet" / "a.parquet", "-o", root / FIT, "--draws", 40)
    (root / SUBSET).mkdir()
    _run("subset", root / "long parquet" / "a.parquet", "--size", 5, "-o", root / SUBSET / "subset.json")
    _run("compare", root / "long parquet" / "a.parquet", "--fit", root / FIT, "-o", root / "comparison")
    _run("variance", root / "long parquet" / "a.parquet", "-o", root / "variance")
    checks = ("--replicates", 9, "-o", root / "checks")
    _run("check", root / "long parquet" / "a.parquet", "--fit", root / FIT, *checks)
    for path in root.rglob("*.png"):
        path.unlink()
    _put(root / "design" / "a.yaml", b"responses: a.csv\nsizes: [5, 0.5]\nmethods: [random]\nseed: 3\n")
    _put(root / "design" / "b.json", b'{"responses": ["a.csv"], "evaluation": {"model": ["m"]}, "n_random": 20}')
    (root / "task" / TASKS).mkdir(parents=True)
    write_arrays(root / "task" / TASKS / "task.npz", {"items": np.arange(5), "scores": np.linspace(0, 1, 7)})


def write_controls(root: Path) -> None:
    """Write what the readers read that are broken on purpose."""
    for name in CONTROLS:
        _put(root / name / "a.csv", b"model,item,correct\nm,q,0\n")


def _answers() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    grid = [
        (f"org{m}/model", seed, step, f"q{i}", int(rng.random() < (m + 2) / 9), f"t{i % 2}")
        for m in range(6) for seed in range(2) for step in (1, 2) for i in range(8)
    ]  # fmt: skip
    return pd.DataFrame(grid, columns=["model", "seed", "step", "item", "correct", "subtask"])


def write_answers(root: Path) -> None:
    """Write responses in all formats."""
    frame = _answers()
    _write_logs(root)
    few = frame[frame["step"] == 1].drop_duplicates(["model", "item"])
    text = few.to_csv(index=False).encode()
    wide = few.pivot(index="model", columns="item", values="correct").reset_index()
    answers_of = few.groupby("model")[["item", "correct"]]
    py_irt = "".join(
        json.dumps({"subject_id": model, "responses": {i: int(c) for i, c in rows.to_numpy()}}) + "\n"
        for model, rows in answers_of
    ).encode()
    _put(root / "long csv" / "a.csv", text)
    _put(root / "long csv.gz" / "a.csv.gz", gzip.compress(text))
    _put(root / "long tsv.zst" / "a.tsv.zst", zstandard.compress(text.replace(b",", b"\t")))
    _put(root / "wide csv" / "a.csv", wide.to_csv(index=False).encode())
    _put(root / "py-irt" / "a.jsonl", py_irt)
    _put(root / "py-irt gz" / "a.jsonl.gz", gzip.compress(py_irt))
    for name, table in (("long parquet", frame), ("wide parquet", wide)):
        (root / name).mkdir()
        table.to_parquet(root / name / "a.parquet")
    samples = [{"id": f"q{n}", "epoch": 1 + n % 2, "scores": {"s": {"value": "CIPN"[n % 4]}}} for n in range(8)]
    header = {
        "version": 2, "status": "success", "plan": {"config": {"seed": 3}},
        "eval": {"task": "pkg/t", "model": "org/m", "metadata": {"step": "step100"},
                 "dataset": {"samples": 9, "sample_ids": ["q1", "q2"]}},
    }  # fmt: skip
    _put(root / "inspect json" / "a.json", json.dumps(header | {"samples": samples}).encode())
    for name, method in (("inspect eval", zipfile.ZIP_DEFLATED), ("inspect stored", zipfile.ZIP_STORED)):
        (root / name).mkdir()
        with zipfile.ZipFile(root / name / "a.eval", "w", method) as archive:
            archive.writestr("header.json", json.dumps(header))
            archive.writestr("summaries.json", json.dumps(samples))
    entries = [
        {"instance_id": f"q{n}", "train_trial_index": 0, "stats": [
            {"name": {"name": "exact_match", "split": "test"}, "count": 1, "sum": n % 2, "mean": n % 2}]}
        for n in range(6)
    ]  # fmt: skip
    spec = {"name": "t:subject=law,model=m", "adapter_spec": {"model": "org/m"}}
    _put(root / "helm" / "run_spec.json", json.dumps(spec).encode())
    _put(root / "helm" / "per_instance_stats.json", json.dumps(entries).encode())
    lines = [
        {"schema_version": "0.3.0", "model_id": "m", "evaluation_name": "t", "evaluation_result_id": "acc:none",
         "sample_id": str(n), "evaluation": {"score": n % 2, "is_correct": bool(n % 2)},
         "metadata": {"doc_hash": f"h{n}", "filter": "none"}}
        for n in range(6)
    ]  # fmt: skip
    _put(root / "every-eval-ever" / "a_samples.jsonl", b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    _write_json_records(root)
    about = {"model_info": {"additional_details": {"model_args": "pretrained=m,revision=step1000"}}}
    _put(root / "every-eval-ever" / "a.json", json.dumps(about).encode())


def _write_json_records(root: Path) -> None:
    """One file of each layout of further harnesses, a flat one, and details in Parquet."""
    olmes = [
        {"doc_id": n, "native_id": f"n{n}", "metrics": {"acc_raw": n % 2}, "label": 0, "model_output": [
            {"sum_logits": -1.5, "num_chars": 3}, {"sum_logits": -2.5, "num_chars": 4}]}
        for n in range(6)
    ]  # fmt: skip
    alpaca = [
        {"instruction": f"Do {n}", "generator_1": "base", "generator_2": "m", "preference": 1 + n / 5} for n in range(6)
    ]
    promptfoo = [
        {"provider": {"id": "p:m"}, "testIdx": n, "promptIdx": 0, "success": n % 2 == 0, "vars": {"q": str(n)}}
        for n in range(6)
    ]
    evals = [{"spec": {"eval_name": "t.dev.v0", "completion_fns": ["m"]}}] + [
        {"sample_id": f"t.{n}", "type": "match", "data": {"correct": n % 2 == 0}} for n in range(6)
    ]
    reviews = [
        {"index": n, "sample_score": {"score": {"value": {"acc": n % 2}, "status": "success"}}} for n in range(6)
    ]
    flat = [{"model": "m", "question_id": f"q{n}", "score": n / 5, "category": "c"} for n in range(6)]
    status = {f"HumanEval/{n}": [{"base_status": "fail" if n % 2 else "pass"}] for n in range(6)}
    swe = {"resolved_ids": ["a-1", "a-2"], "submitted_ids": ["a-1", "a-2", "a-3"], "incomplete_ids": ["a-4"]}
    lines = {"olmes/task-000-t-predictions.jsonl": olmes, "openai evals/a.jsonl": evals, "evalscope/a.jsonl": reviews}
    lines |= {"flat json/a.jsonl": flat}
    whole = {
        "alpaca eval/annotations.json": alpaca, "promptfoo/a.json": {"evalId": "e", "results": {"results": promptfoo}},
        "evalplus/m_eval_results.json": {"eval": status}, "swe bench/m.r.json": swe,
    }  # fmt: skip
    for name, rows in lines.items():
        _put(root / name, b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    for name, content in whole.items():
        _put(root / name, json.dumps(content).encode())
    time = "2025-06-13T15-07-12.143436"
    (root / "details").mkdir()
    frame = pd.DataFrame({"metric": [{"em": n % 2} for n in range(6)], "doc": [{"query": "Q"}] * 6})
    frame.to_parquet(root / "details" / f"details_t_{time}.parquet")


def _write_logs(root: Path) -> None:
    """A log of the harness: once as responses, once to be scored as a run on the subset."""
    lines = [
        {"doc_id": n, "doc": {"q": n}, "target": "1", "arguments": {"gen_args_0": {"arg_0": "Q", "arg_1": " a"}},
         "resps": [[["-1.5", "False"]], [["-0.5", "True"]]], "filtered_resps": [["-1.5", "False"], ["-0.5", "True"]],
         "filter": "none", "metrics": ["acc"], "doc_hash": f"q{n}", "prompt_hash": f"p{n}", "acc": float(n % 2)}
        for n in range(8)
    ]  # fmt: skip
    results = {
        "results": {}, "configs": {"long": {"metadata": {"version": 1}}}, "group_subtasks": {"g": ["long"]},
        "config": {"model_args": "pretrained=org/m,revision=step5"}, "model_name": "org/m",
        "n-samples": {"long": {"original": 8, "effective": 8}},
    }  # fmt: skip
    for name in ("lm-eval", "logs"):
        _put(root / name / f"samples_long_{TIME}.jsonl", b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        _put(root / name / f"results_{TIME}.json", json.dumps(results).encode())


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _run(*arguments: object) -> None:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exit_code != 0:
        raise RuntimeError(f"{arguments}: {result.output}") from result.exception


_known: dict[Path, ResponseCounts] = {}


def _counts(valid: Path) -> ResponseCounts:
    if valid not in _known:
        _known[valid] = read_responses([valid / "long parquet"]).counts()
    return _known[valid]
