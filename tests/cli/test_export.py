"""The commands export, score --subset and adaptive, end to end."""

import json

import numpy as np
import pandas as pd
import pytest
from commands import run

from irt_bench import Subset


@pytest.fixture
def subset(build_subset, tmp_path):
    path = tmp_path / "subset.json"
    Subset(build_subset([{"id": f"i{k}", "doc_id": k} for k in (7, 1, 4)])).save(path)
    return path


def test_export_writes_the_file_and_prints_the_command(subset, tmp_path):
    done = run("export", subset, "--to", "lm-eval", "-o", tmp_path / "samples.json")
    assert json.loads((tmp_path / "samples.json").read_text()) == {"toy": [1, 4, 7]}
    assert "lm_eval run" in done.output and "--samples" in done.output


def test_an_existing_output_and_an_unknown_target_are_refused(subset, tmp_path):
    (tmp_path / "there.txt").write_text("mine")
    run("export", subset, "--to", "ids", "-o", tmp_path / "there.txt", code=2)
    assert (tmp_path / "there.txt").read_text() == "mine"
    done = run("export", subset, "--to", "lm_eval", "-o", tmp_path / "x", code=2)
    assert "lm-eval" in done.output
    assert not (tmp_path / "x").exists()


def test_score_writes_the_promised_columns_and_wants_one_source_of_parameters(subset, tmp_path):
    (tmp_path / "toy.csv").write_text("model,item,correct\na,i1,1\na,i4,0\na,i7,1\nb,i1,0\nb,i7,0\n")
    for wrong in ([], ["--subset", subset, "--fit", tmp_path]):
        done = run("score", tmp_path / "toy.csv", *wrong, code=2)
        assert "one of --fit" in done.output
    done = run("score", tmp_path / "toy.csv", "--subset", subset, "-o", tmp_path / "scores.csv")
    table = pd.read_csv(tmp_path / "scores.csv")
    columns = ["model", "estimate", "q05", "q95", "ability", "ability_sd", "n_items", "n_missing", "flags"]
    assert list(table.columns) == columns
    assert list(table["n_missing"]) == [0, 1] and "missing_items" in table["flags"][1]
    done = run("score", tmp_path / "toy.csv", "--subset", subset, "--json")
    assert json.loads(done.stdout)["logs"][0]["run"] == "unknown"


def test_adaptive_compares_designs_on_a_fit(subset, tmp_path, monkeypatch):
    from types import SimpleNamespace

    import xarray as xr

    from irt_bench.inference.fit import FitResult

    rng = np.random.default_rng(0)
    values = {"difficulty": rng.normal(size=(1, 4, 20)), "discrimination": np.exp(0.3 * rng.normal(size=(1, 4, 20)))}
    coords = {"item": [f"i{k}" for k in range(20)]}
    posterior = xr.Dataset({name: (("chain", "draw", "item"), one) for name, one in values.items()}, coords=coords)
    monkeypatch.setattr(FitResult, "load", lambda path: SimpleNamespace(posterior=posterior, responses={}))
    done = run("adaptive", subset, "--fit", tmp_path, "-o", tmp_path / "a.csv", "--stop-sd", "0.5", "--n-models", "40")
    table = pd.read_csv(tmp_path / "a.csv", index_col="design")
    assert list(table["n_items"][:3]) == [3, 3, 3] and table["error_ratio"].iloc[0] == 1
    assert json.loads(run("adaptive", subset, "--fit", tmp_path, "--n-models", "9", "--json").stdout)["seed"] == 0
    answers = pd.DataFrame(
        rng.integers(0, 2, (7, 20)), pd.Index([f"m{k}" for k in range(7)], name="model"), coords["item"]
    )
    answers.to_csv(tmp_path / "wide.csv")
    done = run("adaptive", subset, "--fit", tmp_path, "--n-models", 9, "--json", "--responses", tmp_path / "wide.csv")
    designs = json.loads(done.stdout)["designs"]
    assert [row["answers"] for row in designs] == ["real"] * 4 + ["simulated"] * 4


def test_a_subset_keeps_the_metric_it_was_calibrated_on_through_export_and_score(tmp_path):
    rng = np.random.default_rng(0)
    for model, ability in enumerate(rng.normal(size=12)):
        folder = tmp_path / "logs" / f"org{model % 4}__m{model}"
        folder.mkdir(parents=True)
        right = rng.random(30) < 1 / (1 + np.exp(rng.normal(size=30) - ability))
        rows = [
            {
                "doc_id": k, "doc": {"q": k}, "doc_hash": f"hash{k}", "filtered_resps": ["x"], "filter": "none",
                "metrics": ["acc", "acc_norm"], "acc": 0.0, "acc_norm": float(right[k]),
            }
            for k in range(30)
        ]  # fmt: skip
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "samples_toy_2026-01-01T00-00-00.000000.jsonl").write_text(lines)
    path = tmp_path / "s.json"
    done = run("subset", tmp_path / "logs", "--metric", "acc_norm", "--size", 6, "-o", path, "--json")
    assert json.loads(done.stdout)["subsets"][0]["metrics"] == ["acc_norm"]
    done = run("export", path, "--to", "lm-eval-task", "-o", tmp_path / "task")
    assert "acc_norm,none" in done.output
    (exported,) = (tmp_path / "task").glob("*.yaml")
    assert '- metric: "acc_norm"' in exported.read_text()
    run("score", tmp_path / "logs", "--subset", path)
    for refused in (
        ("score", tmp_path / "logs", "--subset", path, "--metric", "acc"),
        ("score", tmp_path / "logs", "--subset", path, "--filter", "strict"),
        ("export", path, "--to", "lm-eval-task", "-o", tmp_path / "other", "--metric", "nonsense"),
    ):
        done = run(*refused, code=2)
        assert "calibrated on" in done.output
    assert not (tmp_path / "other").exists()


def test_commands_with_a_fit_or_a_subset_read_the_metric_and_the_filter_that_it_was_made_on(tmp_path):
    """The logs also hold a task of other metrics and filters, for which nothing has to be chosen."""
    rng, right = np.random.default_rng(0), {}
    for model, ability in enumerate(rng.normal(size=12)):
        folder = tmp_path / "logs" / f"org{model % 4}__m{model}"
        folder.mkdir(parents=True)
        right[f"m{model}"] = rng.random(20) < 1 / (1 + np.exp(rng.normal(size=20) - ability))
        for task, good, filters in (("toy", "acc_norm", ("strict", "flexible")), ("other", "f1", ("first", "last"))):
            rows = [
                {
                    "doc_id": k, "doc": {"q": k}, "doc_hash": f"{task}{k}", "filtered_resps": ["x"],
                    "filter": extracted, "metrics": ["acc", good], "acc": 0.0,
                    good: float(right[f"m{model}"][k] and extracted == "flexible"),
                }
                for extracted in filters for k in range(20)
            ]  # fmt: skip
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"samples_{task}_2026-01-01T00-00-00.000000.jsonl").write_text(lines)
    logs, fit = tmp_path / "logs", tmp_path / "fit"
    choice = ("--metric", "acc_norm", "--filter", "flexible")
    done = run("fit", logs, "--benchmark", "toy", *choice, "-o", fit)
    for words in (("score",), ("compare",), ("check", "--replicates", 9)):
        done = run(words[0], logs, "--fit", fit, *words[1:], "--json")
        assert json.loads(done.stdout)["benchmark"] == "toy"
    same = run("score", logs, "--fit", fit, *choice, "--benchmark", "toy", "--json")
    assert json.loads(same.stdout)["scores"] == json.loads(run("score", logs, "--fit", fit, "--json").stdout)["scores"]
    done = run("subset", logs, "--benchmark", "toy", *choice, "--size", 5, "-o", tmp_path / "subset.json")
    done = run("score", logs, "--subset", tmp_path / "subset.json", "--json")
    assert json.loads(done.stdout)["benchmark"] == "toy"
    for wrong in (("--metric", "acc"), ("--filter", "strict")):
        done = run("score", logs, "--fit", fit, *wrong, code=2)
        assert "the fit was made on" in done.output
    frame = pd.DataFrame(right, index=[f"toy/{k}" for k in range(20)]).astype(int).T
    frame.rename_axis("model").to_csv(tmp_path / "wide.csv")  # names no metric
    known = pd.read_csv(fit / "items.csv")["item"]
    run("score", tmp_path / "wide.csv", "--fit", fit, code=0 if set(known) & set(frame.columns) else 2)


def test_a_fit_of_a_group_reads_the_tasks_of_the_group_that_were_run_one_by_one(tmp_path):
    """Such logs do not name the group; the labels of the items name its tasks. A third task is passed over."""
    rng = np.random.default_rng(1)
    for part, groups in (("group", {"both": ["a", "b"]}), ("single", {})):
        for model, ability in enumerate(rng.normal(size=10)):
            folder = tmp_path / part / f"org__m{model}"
            folder.mkdir(parents=True)
            time = "2026-01-01T00-00-00.000000"
            run_of = {"results": {}, "configs": {}, "group_subtasks": groups, "model_name": f"m{model}"}
            (folder / f"results_{time}.json").write_text(json.dumps(run_of))
            for task in ("a", "b", "c"):
                right = rng.random(15) < 1 / (1 + np.exp(rng.normal(size=15) - ability))
                value = {"metrics": ["f1", "em"], "f1": 0, "em": 0} if task == "c" else {"metrics": ["acc"]}
                rows = [
                    {"doc_id": k, "doc_hash": f"{task}{k}", "filtered_resps": ["x"], "filter": "none", **value}
                    | ({} if task == "c" else {"acc": float(right[k])})
                    for k in range(15)
                ]  # fmt: skip
                (folder / f"samples_{task}_{time}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run("fit", tmp_path / "group", "--benchmark", "both", "-o", tmp_path / "fit", "--draws", 64)
    done = run("score", tmp_path / "single", "--fit", tmp_path / "fit", "--json")
    assert [row["n_items"] for row in json.loads(done.stdout)["scores"]] == [30] * 10
