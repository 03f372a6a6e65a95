import gzip
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from irt_bench import IrtBenchError, describe_responses, read_responses, write_table
from irt_bench.errors import ReadError, ResponsesError
from irt_bench.responses.read import find_sources, stem

LONG = "model,item,correct\na,1,1\na,2,0\nb,1,0\n"


def write(path: Path, text: str = LONG) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_files_and_folders_are_read_together_and_each_once(tmp_path):
    write(tmp_path / "in/deep/x.csv")
    one = write(tmp_path / "y.csv")
    table = read_responses([tmp_path / "in", one, tmp_path / "in/deep/x.csv", str(one)])
    assert table.benchmarks == ["x", "y"]
    assert len(table.answers) == 6 and not table.findings


def test_hidden_and_unknown_files_in_a_folder_are_passed_over(tmp_path):
    write(tmp_path / "x.csv")
    for name in (".hidden.csv", "notes.txt", "model.pkl", ".git/y.csv", "config.json", "lines.jsonl"):
        write(tmp_path / name, "{}\n")
    assert read_responses([tmp_path]).benchmarks == ["x"]


def test_links_to_folders_are_followed_once(tmp_path):
    write(tmp_path / "elsewhere/x.csv")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/circle").symlink_to(tmp_path / "in")
    assert [source.path.name for source in find_sources([tmp_path / "in"])] == ["x.csv"]


def test_a_folder_without_readable_files_says_what_is_there_and_what_could_be_read(tmp_path):
    write(tmp_path / "notes.txt")
    with pytest.raises(ReadError, match=r"nothing in .* can be read; found notes\.txt\. Formats: tabular .*py-irt"):
        read_responses([tmp_path])


def test_a_missing_path_and_no_path_are_refused(tmp_path):
    with pytest.raises(ReadError, match="does not exist"):
        read_responses([tmp_path / "none.csv"])
    with pytest.raises(ReadError, match="no path was given"):
        read_responses([])


def test_an_unknown_format_and_an_unknown_file_list_the_formats(tmp_path):
    with pytest.raises(ReadError, match="format 'lm-evl' is not known. Did you mean 'lm-eval'"):
        read_responses([write(tmp_path / "a.csv")], format="lm-evl")
    with pytest.raises(
        ReadError, match=r"a\.txt is in no known format\. If it holds a table, save that as \.csv\..*Choose one: format"
    ):
        read_responses([write(tmp_path / "a.txt")])
    with pytest.raises(ReadError, match="It is empty"):
        read_responses([write(tmp_path / "b.txt", "")])
    with pytest.raises(ReadError, match="If it is the results file of a run, name its folder"):
        read_responses([write(tmp_path / "results_1.json", "{}")])


def test_a_format_by_name_overrides_what_a_file_looks_like(tmp_path):
    text = json.dumps({"subject_id": "a", "responses": {"q": 1}}) + "\n"
    table = read_responses([write(tmp_path / "answers.txt", text)], format="py-irt")
    assert table.counts().correct.tolist() == [[1]]


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch should-not-exist",))


@pytest.mark.parametrize("name", ["model.pkl", "model.pickle", "answers.csv", "answers.parquet", "log.eval", "data"])
@pytest.mark.parametrize("format", [None, "tabular"])
def test_a_pickle_is_never_opened_whatever_its_name(tmp_path, monkeypatch, name, format):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ReadError, match="can run code and is never opened"):
        read_responses([tmp_path / name], format=format)
    assert not (tmp_path / "should-not-exist").exists()


def test_an_unreadable_file_is_refused(tmp_path):
    path = write(tmp_path / "a.csv")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("file modes do not bind this user")
    with pytest.raises(ReadError, match="cannot be read"):
        read_responses([path])


HOSTILE = {
    "empty.csv": b"",
    "header.csv": b"model,item,correct\n",
    "zeros.parquet": bytes(100),
    "text.parquet": b"PAR1 but not really",
    "text.csv.gz": b"not gzip",
    "text.csv.zst": b"not zstd",
    "noise.csv": bytes(range(256)) * 4,
    "ragged.csv": b"model,item,correct\na,1\n",
    "text.eval": b"PK\x03\x04",
    "samples_toy_2025-01-01T00-00-00.jsonl": b"\x00\x01",
    "quote.csv": b'model,item,correct\n"a,1,1\n',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_damaged_files_give_one_clear_error_that_names_them(tmp_path, name):
    (tmp_path / name).write_bytes(HOSTILE[name])
    with pytest.raises(IrtBenchError, match=name.replace(".", r"\.")):
        read_responses([tmp_path / name])


@pytest.mark.parametrize("ending", [".csv.gz", ".csv.zst", ".parquet"])
def test_files_cut_off_are_refused(tmp_path, ending):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"model": "m", "item": rng.permutation(20_000), "correct": rng.integers(0, 2, 20_000)})
    path = tmp_path / f"whole{ending}"
    frame.to_parquet(path) if ending == ".parquet" else frame.to_csv(path, index=False)
    assert len(read_responses([path]).answers) == 20_000
    cut = tmp_path / f"cut{ending}"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ReadError, match=r"cut\..*Is the file whole"):
        read_responses([cut])


def test_right_answers_beside_counts_become_one_of_one(tmp_path):
    write(tmp_path / "a.csv")
    write(tmp_path / "b.csv", "model,item,n_correct,n_samples\na,1,3,10\n")
    table = read_responses([tmp_path])
    assert table.select("a").counts().trials.tolist() == [[1, 1], [1, 0]]
    assert table.select("b").counts().correct.tolist() == [[3]]
    assert table.select("b").counts().trials.tolist() == [[10]]


def test_right_answers_beside_scores_are_right_answers_again_when_they_are_alone(tmp_path):
    write(tmp_path / "a.csv")
    write(tmp_path / "b.csv", "model,item,score\na,1,0.25\n")
    table = read_responses([tmp_path])
    assert table.measure == "score"
    assert table.select("a").counts().fingerprint() == read_responses([tmp_path / "a.csv"]).counts().fingerprint()
    assert table.select("b").counts().correct.tolist() == [[0.25]] and table.select("b").measure == "score"


def test_errors_of_one_among_many_files_name_it(tmp_path):
    write(tmp_path / "a.csv")
    write(tmp_path / "b.csv", "model,item,correct\na,1,maybe\n")
    with pytest.raises(ResponsesError, match=r"b\.csv: 1 values of 'correct' .* item '1': 'maybe' is not a number"):
        read_responses([tmp_path])


def test_the_same_answers_from_two_files_are_counted_once_and_reported(tmp_path):
    text = LONG.replace("model,", "benchmark,model,").replace("\na", "\nx,a").replace("\nb", "\nx,b")
    table = read_responses([write(tmp_path / "a.csv", text), write(tmp_path / "b.csv", text)])
    assert len(table.answers) == 3
    assert [(finding.name, finding.count) for finding in table.findings] == [("duplicate_rows", 3)]


def test_progress_is_told_before_each_file_and_at_the_end(tmp_path):
    paths = [write(tmp_path / f"{name}.csv") for name in "ab"]
    told = []
    read_responses(paths, progress=lambda path, done, total: told.append((Path(path).name, done, total)))
    assert told == [("a.csv", 0, 2), ("b.csv", 1, 2), ("b.csv", 2, 2)]


def test_a_single_path_need_not_be_in_a_list(tmp_path):
    assert read_responses(write(tmp_path / "a.csv")).benchmarks == ["a"]
    assert read_responses(str(tmp_path / "a.csv")).benchmarks == ["a"]


@pytest.mark.parametrize(
    ("name", "expected"), [("a.csv.gz", "a"), ("my.data.parquet", "my.data"), ("a.jsonl", "a"), (".csv", ".csv")]
)
def test_a_stem_has_no_endings_of_formats(name, expected):
    assert stem(Path("x", name)) == expected


def test_sources_are_found_in_order_without_reading_them(tmp_path):
    for name in ("b.csv", "a.csv.gz", "c/d.parquet"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(LONG.encode()) if name.endswith("gz") else b"PAR1")
    found = find_sources([tmp_path])
    assert [(source.path.name, source.format.name) for source in found] == [
        ("a.csv.gz", "tabular"),
        ("b.csv", "tabular"),
        ("d.parquet", "tabular"),
    ]


def test_contents_are_listed_without_a_choice_and_with_what_would_be_read(shared_cases):
    folder = shared_cases / "lm_eval_suite"
    there = describe_responses([folder])
    assert len(there) == 2 * (2 + 2 + 2) and set(there["model"]) == {"org/m1", "org/m2"}
    assert not there["chosen"].any() and (there["n_items"] == 4).all()
    chosen = describe_responses([folder], metric="arc=acc_norm,acc", filter="strict-match")
    found = chosen[chosen["chosen"]].groupby("benchmark")["metric"].unique().str[0].to_dict()
    assert found == {"arc": "acc_norm", "gsm": "exact_match"}
    only = describe_responses([folder], benchmark="gsm")
    assert set(only["filter"]) == {"strict-match", "flexible-extract"} and set(only["benchmark"]) == {"gsm"}
    with pytest.raises(ReadError, match="benchmark 'gms' is not known. Did you mean 'gsm'"):
        describe_responses([folder], benchmark="gms")


def test_contents_of_tables_without_metrics_and_with_several_files(tmp_path):
    write(tmp_path / "x.csv")
    write(tmp_path / "y.csv", "benchmark,model,item,metric,score\nb,a,1,acc,1\nb,a,1,f1,0.5\n")
    there = describe_responses([tmp_path])
    assert there["benchmark"].tolist() == ["x", "x", "b", "b"] and there["metric"].tolist() == ["", "", "acc", "f1"]
    assert there["chosen"].tolist() == [True, True, False, False]


def test_a_choice_is_remembered_in_what_is_written(tmp_path):
    write(tmp_path / "y.csv", "benchmark,model,item,metric,score\nb,a,1,acc,1\nb,a,1,f1,0.5\n")
    table = read_responses([tmp_path], metric="f1")
    write_table(table, tmp_path / "out.parquet")
    again = read_responses([tmp_path / "out.parquet"])
    assert again.items["metric"].tolist() == ["f1"] and again.answers["score"].tolist() == [0.5]
    with pytest.raises(ReadError, match="metric 'acc' is not known"):
        read_responses([tmp_path / "out.parquet"], metric="acc")
