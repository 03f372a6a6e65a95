"""Files that the package itself wrote, changed by somebody else: subsets, fits, designs, folders for the page."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from irt_bench.subsets.subset import write_subset

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
    write_subset(build_subset([{"id": f"q{i}", "doc_id": i} for i in range(4)], n_full=8), tmp_path / "subset.json")
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
    "another version": (lambda made: sealed(changed(made, version=99)), "reads version 1"),
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
