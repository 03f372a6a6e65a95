"""Readers meet files of every kind that hypothesis changed: a result, or an error of this package, and nothing else."""

import os

import pytest
from corpus import CONTROLS, reader_of, write_answers, write_controls
from fuzz import _read, fuzz
from hypothesis import HealthCheck, Phase, given, settings
from mutations import examples

MINUTES = float(os.environ.get("FUZZ_MINUTES", "10"))
CHEAP = ["long csv", "py-irt", "lm-eval", "helm", "inspect json", "every-eval-ever", "long csv.gz"]
CHEAP += ["olmes", "openai evals", "evalscope", "flat json", "alpaca eval", "promptfoo", "evalplus", "swe bench"]


def put(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.mark.filterwarnings("ignore")
def test_changed_files_are_read_or_refused(tmp_path_factory):
    corpus = tmp_path_factory.mktemp("corpus")
    write_answers(corpus)
    endings, changed = set(), 0
    how = settings(max_examples=90, deadline=None, phases=[Phase.generate], suppress_health_check=HealthCheck)

    @how
    @given(examples(corpus, CHEAP))
    def check(example):
        nonlocal changed
        folder = tmp_path_factory.mktemp("files")
        put(folder, example.files)
        valid = {path.name: path.read_bytes() for path in (corpus / example.name).iterdir()}
        changed += example.files != valid
        ending = _read(lambda: reader_of(example.name)(folder, corpus))
        assert ending["ending"] != "crashed", ending
        endings.add(ending["ending"])

    check()
    assert {"read", "refused"} <= endings and changed > 60


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*CHEAP, "details"])
def test_files_that_were_not_changed_are_read(tmp_path, name):
    write_answers(tmp_path)
    assert _read(lambda: reader_of(name)(tmp_path / name, tmp_path)) == {"ending": "read"}


def test_a_reader_that_crashes_is_told_from_one_that_refuses(tmp_path):
    """Negative control."""
    write_controls(tmp_path)
    found = _read(lambda: reader_of("control crash")(tmp_path / "control crash", tmp_path))
    assert found["ending"] == "crashed" and "KeyError" in found["where"]


@pytest.mark.slow
def test_no_reader_crashes_hangs_or_takes_a_gigabyte(tmp_path):
    """Ten minutes, or as many as FUZZ_MINUTES says."""
    found = fuzz(MINUTES, keep=tmp_path / "kept")
    print(found.to_dict())
    assert not found.findings, found.findings
    assert found.examples.total() > 50 * MINUTES and {"read", "refused"} <= set(found.endings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"), [*zip(CONTROLS, ["KeyError", "no end after 3 s", "MiB", "ended with -6"], strict=True)]
)
def test_readers_that_crash_hang_swell_or_abort_are_caught(tmp_path, name, said):
    """Negative controls."""
    write_controls(tmp_path)
    seconds = 3 if "hang" in name else 60
    most = 60 if "crash" in name else 5  # it crashes at a quarter of the files, the others at all
    found = fuzz(0.7, names=[name], corpus=tmp_path, most=most, seconds=seconds)
    assert said in found.findings[0]["what"], found.findings
