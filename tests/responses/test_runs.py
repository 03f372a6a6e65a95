"""Runs, seeds and steps from names, paths, a table of models and logs; repeated runs of one model."""

import json

import pandas as pd
import pytest

from irt_bench import read_responses, seed_variance
from irt_bench.errors import ReadError, ResponsesWarning

LONG = "model,item,correct\n"


def write_answers(path, models, n_items=6):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{model},q{i},{(i + place) % 2}" for place, model in enumerate(models) for i in range(n_items)]
    path.write_text(LONG + "\n".join(rows) + "\n")
    return path


def write_log(folder, values, *, hour, model="org/m", start=0, **config):
    """Log of lm-evaluation-harness with one value per document."""
    folder.mkdir(parents=True, exist_ok=True)
    time = f"2025-01-02T{hour:02d}-00-00.000001"
    lines = [
        {"doc_id": n, "doc": {"q": n}, "filtered_resps": ["x"], "filter": "none", "metrics": ["acc"],
         "doc_hash": f"hash{n}", "acc": value}
        for n, value in enumerate(values, start)
    ]  # fmt: skip
    (folder / f"samples_toy_{time}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    results = {"results": {}, "configs": {}, "config": config, "model_name": model}
    (folder / f"results_{time}.json").write_text(json.dumps(results))


def test_seed_and_step_are_found_in_names_and_the_rest_names_the_run(tmp_path):
    names = [
        f"org/pythia-{size}-seed{seed}-step{step}" for size in ("14m", "70m") for seed in (1, 2) for step in (0, 8)
    ]
    path = write_answers(tmp_path / "a.csv", names)
    models = read_responses([path], seed_from=r"seed(\d+)", step_from=r"step(\d+)").models
    assert models["run"].tolist() == ["org/pythia-14m"] * 4 + ["org/pythia-70m"] * 4
    assert models["seed"].tolist() == [1, 1, 2, 2] * 2 and models["step"].tolist() == [0, 8] * 4
    named = read_responses([path], seed_from=r"seed(\d+)", run_from=r"\d+m").models
    assert set(named["run"]) == {"14m", "70m"} and "step" not in named


def test_what_a_name_lacks_is_found_in_the_path(tmp_path):
    for seed in (3, 4):
        write_answers(tmp_path / f"s{seed}" / "answers.csv", ["m"])
    table = read_responses([tmp_path], seed_from=r"/s(\d)/")
    assert list(table.models.index) == ["m[seed=3]", "m[seed=4]"]
    assert table.models["seed"].tolist() == [3, 4]


def test_expressions_that_match_nothing_or_are_none_are_refused(tmp_path):
    path = write_answers(tmp_path / "a.csv", ["m-1", "m-2"])
    with pytest.raises(ReadError, match=r"seed_from='sed' matches no name and no path of the 2 models; first: 'm-1'"):
        read_responses([path], seed_from="sed")
    with pytest.raises(ReadError, match="step_from is '\\(', which is no regular expression"):
        read_responses([path], step_from="(")
    table = read_responses([path], seed_from="-(1)$")
    assert [finding.name for finding in table.findings] == ["no_seed"] and "'m-2'" in table.findings[0].message
    assert table.models["seed"].isna().tolist() == [False, True]


def test_a_table_of_models_is_joined_by_name(tmp_path):
    path = write_answers(tmp_path / "a.csv", ["m1", "m2", "m3"])
    (tmp_path / "models.tsv").write_text("model_id\tfamily\tsize\tseed\nm1\tA\t7\t1\nm2\tA\t7.5\t2\nother\tB\t1\t3\n")
    table = read_responses([path], models_table=tmp_path / "models.tsv")
    assert table.models["family"].fillna("?").tolist() == ["A", "A", "?"]
    assert table.models["size"].tolist()[:2] == [7, 7.5] and table.models["seed"].tolist()[:2] == [1, 2]
    assert [finding.name for finding in table.findings] == ["not_in_models_table"]
    frame = pd.DataFrame({"run": ["a", "b", "b"]}, index=pd.Index(["m1", "m2", "m3"], name="model"))
    assert read_responses([path], models_table=frame).models["run"].tolist() == ["a", "b", "b"]


def test_the_table_of_models_replaces_what_logs_have_where_it_has_a_value(tmp_path):
    (tmp_path / "a.csv").write_text("model,run,item,correct\nm1,old,q,1\nm2,old,q,0\n")
    frame = pd.DataFrame({"model": ["m1", "m2"], "run": ["new", None]})
    assert read_responses([tmp_path / "a.csv"], models_table=frame).models["run"].tolist() == ["new", "old"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,run\nm1,a\n", "no column 'model' among: name, run"),
        ("model\nm1\n", "has no further column"),
        ("model,item\nm1,a\n", "has a column 'item', which does not describe models"),
        ("model,run\nm1,a\nm1,b\n", "names model 'm1' twice"),
        ("model,run\nx,a\n", "none of the 1 models is in models_table; first: 'm1' in the responses, 'x'"),
    ],
)
def test_tables_of_models_that_cannot_be_joined_are_refused(tmp_path, text, message):
    (tmp_path / "models.csv").write_text(text)
    with pytest.raises(ReadError, match=message):
        read_responses([write_answers(tmp_path / "a.csv", ["m1"])], models_table=tmp_path / "models.csv")
    with pytest.raises(ReadError, match="which is no file"):
        read_responses([tmp_path / "a.csv"], models_table=tmp_path / "none.csv")


def test_seeds_of_the_harness_are_read_where_a_model_was_run_with_several(shared_cases):
    table = read_responses([shared_cases / "lm_eval_seeds"])
    assert table.models["seed"].tolist() == [1, 2, 3]
    assert list(table.models.index) == [f"org/m1[seed={seed}]" for seed in (1, 2, 3)]
    assert seed_variance(table).runs()["n_seeds"].tolist() == [3]


def test_the_seed_that_differs_is_taken_and_one_that_does_not_matter_is_no_column(tmp_path):
    default = {"random_seed": 0, "numpy_seed": 1234, "torch_seed": 1234, "fewshot_seed": 1234}
    write_log(tmp_path, [1.0, 0.0], hour=1, **default)
    write_log(tmp_path, [1.0, 1.0], hour=2, **default | {"torch_seed": 9})
    assert read_responses([tmp_path]).models["seed"].tolist() == [9, 1234]
    write_log(tmp_path / "other", [1.0, 0.0], hour=1, model="org/other", **default)
    assert "seed" not in read_responses([tmp_path / "other"]).models


def test_of_two_runs_of_one_model_the_newest_is_taken_and_said(tmp_path):
    write_log(tmp_path, [0.0, 0.0, 0.0], hour=1)
    write_log(tmp_path, [1.0, 1.0], hour=5)
    with pytest.warns(ResponsesWarning, match=r"'org/m', 'toy': 2 runs; of each item the newest .* all_runs=True"):
        table = read_responses([tmp_path])
    counts = table.counts()
    assert counts.correct.tolist() == [[1, 1, 0]] and counts.trials.tolist() == [[1, 1, 1]]
    (finding,) = table.findings
    assert finding.name == "repeated_runs" and "2 earlier ones" in finding.message and "T05" in finding.message


def test_all_runs_of_one_model_are_repeats(tmp_path):
    write_log(tmp_path, [0.0, 0.0, 0.0], hour=1)
    write_log(tmp_path, [1.0, 1.0], hour=5)
    counts = read_responses([tmp_path], all_runs=True).counts()
    assert counts.correct.tolist() == [[1, 1, 0]] and counts.trials.tolist() == [[2, 2, 1]]


def test_runs_on_different_documents_are_put_together_in_silence(tmp_path):
    write_log(tmp_path, [0.0, 0.0], hour=1)
    write_log(tmp_path, [1.0, 1.0], hour=5, start=2)
    table = read_responses([tmp_path])
    assert table.counts().correct.tolist() == [[0, 0, 1, 1]] and not table.findings
