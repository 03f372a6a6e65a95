import importlib.util
import json

import numpy as np
import pandas as pd
import pytest

from irt_bench import ResponseCounts
from irt_bench.subsets.harness.export_tasks import write_task_folder
from irt_bench.subsets.score import estimate_full_score
from irt_bench.subsets.subset import EstimatorParameters, Spline

IDS = [17, 2, 5, 11, 8, 3]


class Documents(list):
    """As much of a datasets.Dataset as the task uses."""

    split = "test"

    def add_column(self, name, values):
        added = Documents({**row, name: value} for row, value in zip(self, values, strict=True))
        added.split = "lost"
        return added

    def select(self, places):
        return Documents(self[place] for place in places)


def task_of(subset, folder, **options):
    folder.mkdir()
    write_task_folder(subset, folder, **{"metric": "acc"} | options)
    spec = importlib.util.spec_from_file_location("subset_task_under_test", folder / "subset_task.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def records():
    return [{"id": f"i{number}", "doc_id": number} for number in IDS]


@pytest.fixture
def base(tmp_path):
    """YAML of a full task that prepares its documents with a function of its own, one file further."""
    (tmp_path / "utils.py").write_text("def prepare(d):\n    return d.add_column('ready', [1] * len(d))\n")
    (tmp_path / "_default.yaml").write_text("process_docs: !function utils.prepare\n")
    (tmp_path / "toy.yaml").write_text("include: _default.yaml\ntask: toy\n")
    return tmp_path / "toy.yaml"


@pytest.mark.parametrize(
    "name",
    [
        "weighted", "p_irt", "p_irt_weighted", "gp_irt", "irt_smoothed", "ridge", "p_irt_ridge", "spline", "p_irt_wide",
        "irt_difference", "p_irt_residual", "aipw",
    ],
)  # fmt: skip
def test_the_aggregate_is_the_estimate_of_irt_bench(build_subset, records, base, tmp_path, name):
    coefficients = (
        tuple(np.linspace(0.02, 0.1, 6)) if name in ("ridge", "p_irt_ridge", "p_irt_residual", "aipw") else ()
    )
    spline = Spline(score=(0.2, 0.5, 0.8), score_part=(0.1, 0.2, 0.5), ability=(-0.5, 0, 1), ability_part=(0, 0.1, 0.2))
    numbers = EstimatorParameters(
        spline=spline if name == "spline" else None,
        misfit_sd=0.01,
        interval_scale=1.6,
        weighted_share=0.3,
        intercept=0.05,
        coefficients=coefficients,
    )
    subset = build_subset(records, numbers=numbers, estimator=name)
    task = task_of(subset, tmp_path / "folder", base_yaml=base)
    answers = np.random.default_rng(2).integers(0, 2, (7, 6))
    answers[0], answers[1] = 0, 1
    frame = pd.DataFrame(index=pd.Index(subset.ids, name="item"))
    models = pd.DataFrame(index=pd.Index([f"m{k}" for k in range(7)], name="model"))
    counts = ResponseCounts(answers, np.ones_like(answers), models, frame, "toy")
    expected = estimate_full_score(counts, subset)["estimate"].to_numpy()
    in_order_of_data = np.argsort(IDS)
    found = [task.full_score(row[in_order_of_data].tolist()) for row in answers]
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert len(set(np.round(found, 3))) > 3


def test_documents_are_prepared_numbered_and_kept_in_the_evaluated_split_only(build_subset, records, base, tmp_path):
    task = task_of(build_subset(records), tmp_path / "folder", base_yaml=base)
    full = Documents({"q": number} for number in range(20))
    kept = task.keep(full)
    assert [row["irt_doc_id"] for row in kept] == sorted(IDS) == [row["q"] for row in kept]
    assert all(row["ready"] == 1 for row in kept)
    few_shot = Documents({"q": number} for number in range(3))
    few_shot.split = "train"
    assert len(task.keep(few_shot)) == 3


def test_changed_data_and_a_part_of_the_documents_are_refused(build_subset, records, base, tmp_path):
    task = task_of(build_subset(records), tmp_path / "folder", base_yaml=base)
    with pytest.raises(ValueError, match="19 documents; the subset is of 20"):
        task.keep(Documents({"q": number} for number in range(19)))
    with pytest.raises(ValueError, match="without --limit"):
        task.full_score([1.0, 0.0])


def test_answers_of_several_processes_are_put_in_order(build_subset, records, base, tmp_path, monkeypatch):
    """Each process takes every n-th document; their answers arrive joined, rank by rank."""
    task = task_of(build_subset(records), tmp_path / "folder", base_yaml=base)
    answers = [1, 1, 1, 0, 0, 0]
    alone = task.full_score(answers)
    assert task.full_score(answers[::-1]) != alone
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert task.full_score(answers[0::2] + answers[1::2]) == alone


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("metric_list: [{metric: exact_match}]", r"metrics \['exact_match'\], not 'acc'"),
        ("metric_list: [{metric: acc, ignore_case: true}]", "has other arguments of 'acc'.*base_yaml="),
        ("validation_split: validation", "evaluates split 'validation', not 'test'"),
    ],
)
def test_a_full_task_that_measures_otherwise_is_refused_before_anything_is_evaluated(
    build_subset, records, base, tmp_path, settings, reason
):
    module = task_of(build_subset(records), tmp_path / "task", base_yaml=base)
    base.write_text(f"include: _default.yaml\ntask: toy\n{settings}\n")
    with pytest.raises(ValueError, match=reason):
        module.keep(Documents({"n": number} for number in range(20)))


def test_parameters_are_plain_json(build_subset, records, base, tmp_path):
    task_of(build_subset(records), tmp_path / "folder", base_yaml=base)
    content = json.loads((tmp_path / "folder" / "parameters.json").read_text())
    assert np.shape(content["draws"]) == (8, 6, 4)
