"""Outputs: whole or not at all, whatever is in the way, and nothing overwritten that was not to be."""

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from irt_bench import files


@pytest.fixture(scope="module")
def made(run, tmp_path_factory) -> Path:
    """Responses of several runs, and what the commands made of them."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    rows = [
        (f"org{m}/model", seed, step, f"q{i}", int(rng.random() < (m + 3) / 10))
        for m in range(4) for seed in range(2) for step in (1, 2) for i in range(20)
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["model", "seed", "step", "item", "correct"])
    table.to_parquet(folder / "a.parquet")
    run("fit", folder / "a.parquet", "-o", folder / "fit")
    run("subset", folder / "a.parquet", "--size", 6, "-o", folder / "subset.json")
    return folder


def commands(made: Path, output: Path) -> dict[str, list[object]]:
    """Every command that writes, with an output of the kind it needs."""
    a, fit, subset = made / "a.parquet", made / "fit", made / "subset.json"
    csv, folder = output.with_suffix(".csv"), output.with_suffix(".d")
    return {
        "read": ["read", a, "-o", csv],
        "items": ["items", a, "-o", csv],
        "items --figure": ["items", a, "--figure", output.with_suffix(".png")],
        "fit": ["fit", a, "-o", folder],
        "score": ["score", a, "--fit", fit, "-o", csv],
        "score --subset": ["score", a, "--subset", subset, "-o", csv],
        "compare": ["compare", a, "--fit", fit, "-o", folder],
        "subset": ["subset", a, "--size", 5, "-o", output.with_suffix(".json")],
        "export ids": ["export", subset, "--to", "ids", "-o", output.with_suffix(".txt")],
        "export params": ["export", subset, "--to", "params", "-o", csv],
        "variance": ["variance", a, "-o", folder],
        "adaptive": ["adaptive", subset, "--fit", fit, "--n-models", 20, "-o", csv],
    }


def output_of(arguments: list[object]) -> Path:
    return Path(str(arguments[-1]))


NAMES = list(commands(Path(), Path("x")))
QUICK = ("read", "score", "export ids")  # one of each way to write; the others are slow tests
EACH = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_existing_outputs_links_and_places_that_are_none_are_refused(refused, made, tmp_path, name):
    arguments = commands(made, tmp_path / "out")[name]
    output = output_of(arguments)
    is_folder = output.suffix == ".d"
    if is_folder:
        output.mkdir()
        (output / "thesis.txt").write_text("years of work")
        assert "holds files that irt-bench did not write" in refused(*arguments, "--force", within=tmp_path)
    else:
        output.write_text("precious")
    assert "exists; choose another name, or replace it with --force" in refused(*arguments, within=tmp_path)
    link = output.with_name(f"link{output.suffix}")
    link.symlink_to(output)
    assert "is a symbolic link" in refused(*arguments[:-1], link, "--force", within=tmp_path)
    dangling = output.with_name(f"dangling{output.suffix}")
    dangling.symlink_to(tmp_path / "nowhere")
    assert "is a symbolic link" in refused(*arguments[:-1], dangling, within=tmp_path)
    file = tmp_path / "a-file"
    file.write_text("")
    assert "cannot be made" in refused(*arguments[:-1], file / "below" / output.name, within=tmp_path)
    for wrong in ("x" * 300, "/proc/nothing/here"):
        refused(*arguments[:-1], f"{wrong}{output.suffix}", within=tmp_path)


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("existing", [False, True])
def test_a_full_disk_leaves_things_as_they_were(refused, made, tmp_path, monkeypatch, name, existing):
    arguments = commands(made, tmp_path / "out")[name]
    output = output_of(arguments)
    if existing:
        target = output
        if output.suffix == ".d":
            output.mkdir()
            target = output / "summary.json"
        target.write_text("the old one")

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "_flush", full)
    message = refused(*arguments, "--force", within=tmp_path)
    assert message == f"Error: {output} cannot be written: No space left on device."


LIMITED = """
import resource, signal, sys
from irt_bench.cli import app
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
app(sys.argv[2:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [0, 10])
def test_writes_that_the_system_cuts_short_leave_things_as_they_were(made, tmp_path, name, size):
    """A limit on the size of files makes every write beyond it fail, as a full disk does."""
    arguments = list(map(str, commands(made, tmp_path / "out")[name]))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LIMITED, str(size), *arguments],
        capture_output=True, text=True, timeout=300,
        env=os.environ | {"NUMBA_DISABLE_JIT": "0", "MPLCONFIGDIR": str(made / "matplotlib")},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    ours = ("Warning:", "Could not save font_manager")  # matplotlib's cache is cut short as well
    errors = [line for line in done.stderr.splitlines() if not line.startswith(ours)]
    assert len(errors) == 1 and "cannot be written" in errors[0], done.stderr
    assert not list(tmp_path.iterdir())


def test_a_read_only_place_is_refused(refused, made, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(0o555)
    if os.access(place, os.W_OK):
        place.chmod(0o755)
        pytest.skip("file modes do not bind this user")
    try:
        for arguments in commands(made, place / "out").values():
            assert "is not writable" in refused(*arguments, within=tmp_path)
    finally:
        place.chmod(0o755)


def test_too_many_open_files_are_told(made, run):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        while True:
            try:
                opened.append(open(os.devnull))  # noqa: SIM115
            except OSError:
                break
        message = run("items", made / "a.parquet", code=2).output
    finally:
        for file in opened:
            file.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "Too many open files" in message


@pytest.mark.slow
def test_an_output_that_is_the_input_is_replaced_only_after_it_was_read(run, made, tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes((made / "a.parquet").read_bytes())
    run("read", path, "-o", path, "--force")
    assert len(pd.read_parquet(path)) == len(pd.read_parquet(made / "a.parquet"))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such names")
def test_names_that_are_no_utf8_are_escaped_where_they_are_printed(made, run, tmp_path):
    name = os.fsdecode(b"fit-\xff")
    output = run("fit", made / "a.parquet", "-o", tmp_path / name, "--draws", 50).output
    assert "fit-\\udcff" in output.replace("\n", "") and (tmp_path / name / "abilities.csv").is_file()
    scores = os.fsdecode(b"scores-\xff.csv")
    run("score", made / "a.parquet", "--fit", tmp_path / name, "-o", tmp_path / scores)
    assert (tmp_path / scores).is_file()
    told = run("score", made / "a.parquet", "--fit", tmp_path / name, "--json").output
    assert json.loads(told)["fit"].endswith("fit-\\udcff")
