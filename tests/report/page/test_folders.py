import pandas as pd
import pytest

from irt_bench.errors import ReadError
from irt_bench.report.page.folders import KINDS, read_folders
from irt_bench.study.rows import KEYS, NUMBERS


def test_folders_are_recognised_by_their_files(written, checks_folder, write_study, results):
    study = write_study(results())
    parts = read_folders([written, checks_folder, study])
    assert set(parts) == {"fit", "items", "comparison", "variance", "study", "checks"}
    assert parts["fit"].path == written / "fit"
    assert len(parts["items"]["items"]) == 30
    assert parts["study"]["results"]["verdict"].iloc[0] == ""


def test_a_folder_may_be_named_itself(written):
    assert set(read_folders([written / "fit", written / "items.csv"])) == {"fit", "items"}


def test_what_is_no_output_is_refused_with_what_is_needed(tmp_path):
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ReadError, match="contains no results for a report.*items"):
        read_folders([tmp_path])
    with pytest.raises(ReadError, match="does not exist"):
        read_folders([tmp_path / "missing"])


def test_two_of_one_kind_are_refused(written, tmp_path):
    other = tmp_path / "items.csv"
    other.write_bytes((written / "items.csv").read_bytes())
    with pytest.raises(ReadError, match="two results of kind 'items'"):
        read_folders([written, other])


def test_labels_stay_as_they_are(tmp_path):
    frame = pd.DataFrame(
        {"item": ["NA", "001", "nan"], "proportion_correct": 0.5, "item_rest_correlation": 0.1, "flags": ""}
    )
    frame.to_csv(tmp_path / "items.csv", index=False)
    assert read_folders([tmp_path])["items"]["items"]["item"].tolist() == ["NA", "001", "nan"]


def test_a_broken_table_or_summary_is_named(write_study, results):
    folder = write_study(results())
    (folder / "summary.json").write_text("{")
    with pytest.raises(ReadError, match=r"summary\.json cannot be read as JSON"):
        read_folders([folder])
    (folder / "summary.json").write_text("{}")
    with (folder / "results.csv").open("a") as file:
        file.write("a,b" + ",c" * 60 + "\n")
    with pytest.raises(ReadError, match=r"results\.csv cannot be read as a table"):
        read_folders([folder])


def test_the_columns_of_a_study_are_those_that_a_study_writes():
    assert set(KINDS["study"].tables["results.csv"]) <= {*KEYS, *NUMBERS}


def test_every_kind_names_its_command():
    assert all(kind.command.startswith("irt-bench ") for kind in KINDS.values())
