"""Files that the package itself wrote, changed by somebody else: subsets, fits, designs, folders for the page."""

import hashlib
import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from irt_bench import Subset
from irt_bench.responses import formats

DEEP = "[" * 100_000 + "]" * 100_000
MAX_EXTRA_MIB = 1000


def sealed(content: dict) -> str:
    """As somebody would write it who knows how the digest is made."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
    return json.dumps({"sha256": f"sha256:{digest}", **content})


@pytest.fixture
def made(answers, tmp_path, build_subset):
    answers.to_parquet(tmp_path / "a.parquet")
    Subset(build_subset([{"id": f"q{i}", "doc_id": i} for i in range(4)], n_full=8)).save(tmp_path / "subset.json")
    return tmp_path


def changed(made, **changes: object) -> dict:
    content = json.loads((made / "subset.json").read_text())
    content.pop("sha256")
    return {**content, **changes}


TEXTS = {
    "deeply nested": (lambda made: DEEP, "nested too deeply"),
    "no JSON": (lambda made: "{", "is not JSON"),
    "not UTF-8": (lambda made: '{"a": "\udcff"}', "is not JSON"),
    "empty": (lambda made: "", "is not JSON"),
    "other JSON": (lambda made: '[{"format": "irt-bench subset"}]', "not a subset"),
    "a key twice": (lambda made: '{"format": 1, "format": 2}', "occurs twice"),
    "another version": (lambda made: sealed(changed(made, version=99)), "reads version 2"),
    "changed": (lambda made: json.dumps({"sha256": "sha256:0", **changed(made)}), "was changed after it was written"),
    "sealed: no items": (lambda made: sealed(changed(made, items=[])), "contradicts itself: items"),
    "sealed: an unknown field": (lambda made: sealed(changed(made, run="rm -rf")), "contradicts itself: run"),
    "sealed: a huge number": (lambda made: sealed(changed(made, expected_se=10**400)), "contradicts itself"),
    "sealed: infinite": (lambda made: sealed(changed(made, expected_bias=float("inf"))), "contradicts itself"),
    "sealed: nested": (lambda made: sealed(changed(made, items=[[[[]]]])), "contradicts itself"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_subsets_that_are_none_are_refused_in_one_line(refused, made, case):
    text, message = TEXTS[case]
    (made / "subset.json").write_bytes(text(made).encode("utf-8", "surrogateescape"))
    output = made / "out.csv"
    assert message in refused("score", made / "a.parquet", "--subset", made / "subset.json", "-o", output, within=made)
    assert message in refused("export", made / "subset.json", "--to", "ids", "-o", output, within=made)


def test_a_subset_with_parameters_out_of_this_world_is_refused(refused, made):
    content = changed(made)
    content["items"][0] |= {"discrimination": 1e308, "difficulty": -1e308}
    (made / "subset.json").write_text(sealed(content))
    message = refused("score", made / "a.parquet", "--subset", made / "subset.json", within=made)
    assert "beyond 1,000,000,000; first: 'q0'" in message


@pytest.mark.parametrize("path", ["x" * 5000, "a\nb", "/proc/self/mem", "/dev/zero", "."])
def test_paths_that_are_no_files_are_refused(refused, made, path):
    refused("export", path, "--to", "ids", "-o", made / "out.csv", within=made)
    refused("score", made / "a.parquet", "--fit", path, "-o", made / "out.csv", within=made)


def test_fits_that_are_none_are_refused(run, refused, made):
    run("fit", made / "a.parquet", "-o", made / "fit", "--draws", 50)
    path = made / "fit" / "fit.nc"
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for content in (b"", b"CDF\x01", whole[:100], whole[: len(whole) // 2], rng.bytes(5000), b"\x89HDF\r\n\x1a\n" * 99):
        path.write_bytes(content)
        message = refused("score", made / "a.parquet", "--fit", made / "fit", "-o", made / "out.csv", within=made)
        assert "is not a fit written by irt-bench" in message


@pytest.mark.parametrize("text", [DEEP, "{", '{"checks": 5}', "[]", '{"timings": ' + DEEP + "}"])
def test_a_page_of_a_broken_summary_is_refused_or_made(run, refused, made, text):
    run("fit", made / "a.parquet", "-o", made / "fit", "--draws", 50)
    (made / "fit" / "summary.json").write_text(text)
    if text in ("{", DEEP) or "timings" in text:
        assert "cannot be read as JSON" in refused("report", made / "fit", "-o", made / "page.html", within=made)


MEASURE = """
import sys
from irt_bench.cli import app
import irt_bench.subsets.subset
def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before = peak()
try:
    app(["export", sys.argv[1], "--to", "ids", "-o", sys.argv[2]], standalone_mode=False)
finally:
    print("MIB", (peak() - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["[],", "{},", '"",', "1,"])
def test_a_subset_of_millions_of_values_is_refused_within_a_gigabyte(tmp_path, piece):
    path = tmp_path / "subset.json"
    path.write_text('{"format": "irt-bench subset", "items": [' + piece * 20_000_000 + "[]]}")
    arguments = [sys.executable, "-c", MEASURE, str(path), str(tmp_path / "out.csv")]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1, done.stderr
    assert int(done.stdout.split("MIB")[-1]) < MAX_EXTRA_MIB


def external_link(file, made):
    del file["posterior/ability"]
    os.mkfifo(made / "pipe.nc")
    file["posterior/ability"] = h5py.ExternalLink(str(made / "pipe.nc"), "/x")


def soft_link(file, made):
    file["posterior/again"] = h5py.SoftLink("/posterior")


def hard_link(file, made):
    file["posterior/again"] = file["/"]  # a group that holds itself


def deep_groups(file, made):
    file.create_group("posterior/" + "g/" * 2000)


def raw_data_elsewhere(file, made):
    os.mkfifo(made / "pipe.bin")
    file.create_dataset("posterior/x", (10,), "f4", external=[(str(made / "pipe.bin"), 0, 40)])


def virtual_data(file, made):
    layout = h5py.VirtualLayout((10,), "f4")
    layout[:] = h5py.VirtualSource(str(made / "elsewhere.nc"), "x", (10,))
    file.create_virtual_dataset("posterior/x", layout)


def many_arrays(file, made):
    for number in range(1_001):
        file[f"posterior/{number}"] = 1.0


@pytest.mark.parametrize(
    "change", [external_link, soft_link, hard_link, deep_groups, raw_data_elsewhere, virtual_data, many_arrays]
)
def test_a_fit_that_refers_to_other_places_or_never_ends_is_refused_unread(refused, run, made, change):
    run("fit", made / "a.parquet", "-o", made / "fit", "--draws", 20)
    run("score", made / "a.parquet", "--fit", made / "fit")  # the negative control
    with h5py.File(made / "fit" / "fit.nc", "a") as file:
        change(file, made)
    assert "not a fit" in refused("score", made / "a.parquet", "--fit", made / "fit", within=made)


def test_folders_without_an_end_are_refused(refused, tmp_path, monkeypatch):
    deep = "/".join(["d"] * 150)
    (tmp_path / "logs" / deep).mkdir(parents=True)
    assert "more than 100 folders deep" in refused("items", tmp_path / "logs", within=tmp_path)
    monkeypatch.setattr(formats, "MAX_FOLDERS", 20)
    for number in range(25):
        (tmp_path / "wide" / str(number)).mkdir(parents=True)
    assert "more than 20 folders" in refused("items", tmp_path / "wide", within=tmp_path)


def test_a_page_reads_no_table_of_a_gigabyte(refused, tmp_path):
    (tmp_path / "page").mkdir()
    with (tmp_path / "page" / "items.csv").open("wb") as file:
        file.write(b"item,proportion_correct,item_rest_correlation,flags\nq,0.5,0.5,\n")
        file.truncate(2**30)
    message = refused("report", tmp_path / "page", "-o", tmp_path / "x.html", within=tmp_path)
    assert "1,073,741,824 bytes" in message
    with (tmp_path / "page" / "items.csv").open("wb") as file:
        file.truncate(2**30)  # without a line's end
    assert "no results for a report" in refused("report", tmp_path / "page", "-o", tmp_path / "x.html", within=tmp_path)
