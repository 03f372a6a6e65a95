import csv
import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest

from irt_bench.errors import OutputError
from irt_bench.files import (
    check_output,
    json_text,
    replacing,
    replacing_folder,
    without_formulas,
    write_csv,
    write_json,
)


def test_texts_that_a_spreadsheet_would_run_are_quoted_and_numbers_are_not(tmp_path):
    texts = ["=1+1", "+1", "-2", "@a", "\tx", "\r=", " =1", "\uff1d1", "a=1", "'=1", "", None]
    labels = pd.Index([f"{sign}{place}" for place, sign in enumerate("=+-@abcdefgh")], name="item")
    frame = pd.DataFrame({"text": texts, "=x": -1.5, "kind": pd.Categorical(texts)}, index=labels)
    found = without_formulas(frame)
    quoted = [f"'{text}".replace("\r", "\n") for text in texts[:8]]
    assert found["text"].tolist()[:-1] == [*quoted, "a=1", "'=1", ""]
    assert (
        found["kind"].tolist()[:-1] == found["text"].tolist()[:-1] and found[["text", "kind"]].isna().sum().sum() == 2
    )
    assert list(found.columns) == ["text", "'=x", "kind"] and (found["'=x"] == -1.5).all()
    assert [label[0] for label in found.index] == ["'"] * 4 + list("abcdefgh") and found.index.name == "item"
    assert list(without_formulas(frame.set_index("text", append=True)).index)[0] == ("'=0", "'=1+1")
    write_csv(frame, tmp_path / "a.csv", safe=True)
    write_csv(frame, tmp_path / "b.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "a.csv")[["'=x"]], found[["'=x"]].reset_index(drop=True))
    with (tmp_path / "a.csv").open(newline="") as safe, (tmp_path / "b.csv").open(newline="") as plain:
        rows = [list(csv.reader(each)) for each in (safe, plain)]
    assert [any(cell[:1] == "=" for row in each for cell in row) for each in rows] == [False, True]


def test_a_new_output_is_accepted_and_its_folders_are_made(tmp_path):
    check_output(tmp_path / "new" / "folder" / "a.csv", force=False)
    assert (tmp_path / "new" / "folder").is_dir()


def test_an_existing_output_is_refused_without_force(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(OutputError, match=r"a\.csv exists; choose another name, or replace it with force=True"):
        check_output(path, force=False)
    check_output(path, force=True)


@pytest.mark.parametrize("folder", [False, True])
def test_a_file_never_takes_the_place_of_a_folder_nor_a_folder_that_of_a_file(tmp_path, folder):
    path = tmp_path / "there"
    if folder:
        path.write_text("a file")
    else:
        path.mkdir()
    with pytest.raises(OutputError, match=f"is a {'file' if folder else 'folder'}"):
        check_output(path, force=True, folder=folder)


def test_a_folder_of_other_origin_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="holds files that irt-bench did not write"):
        check_output(tmp_path, force=True, folder=True)
    (tmp_path / "summary.json").write_text("{}")
    check_output(tmp_path, force=True, folder=True)


def test_a_symbolic_link_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OutputError, match="is a symbolic link"):
        check_output(tmp_path / "link", force=True)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        check_output(tmp_path / "file" / "below" / "a.csv", force=False)


def test_a_block_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as beside:
        beside.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_ends_puts_the_whole_file_in_place(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with replacing(path) as beside:
        beside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert list(tmp_path.iterdir()) == [path]


def test_failures_of_the_disk_are_told_in_one_line(tmp_path):
    with pytest.raises(OutputError, match=r"a\.csv cannot be written: No space left"), replacing(tmp_path / "a.csv"):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_put_in_place_whole_or_not_at_all(tmp_path):
    path = tmp_path / "out"
    with pytest.raises(RuntimeError), replacing_folder(path) as folder:
        (folder / "a").write_text("1")
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with replacing_folder(path) as folder:
        (folder / "a").write_text("1")
    with replacing_folder(path) as folder:
        (folder / "a").write_text("2")
        (folder / "b").write_text("3")
    assert {file.name: file.read_text() for file in path.iterdir()} == {"a": "2", "b": "3"}
    assert list(tmp_path.iterdir()) == [path]


KILLED = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    from irt_bench import files
    output, moment = Path(sys.argv[1]), sys.argv[2]

    def killed(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    if moment == "exchanged":
        files._move_rest = killed
    if moment == "file":
        with files.replacing(output) as beside:
            beside.write_text("half")
            killed()
    with files.replacing_folder(output) as folder:
        (folder / "a").write_text("new")
        if moment == "running":
            print("ready", flush=True)
            sys.stdin.read()
        if moment == "filled":
            killed()
""")


def leave(output, moment):
    """Have a process killed in the middle of writing an output; what is left beside it."""
    subprocess.run([sys.executable, "-c", KILLED, output, moment], check=False)
    (left,) = [path for path in output.parent.iterdir() if path.name.startswith(".irt-bench-")]
    return left


@pytest.mark.parametrize("moment", ["file", "filled", "exchanged"])
def test_what_a_killed_process_left_is_removed_by_the_next_that_writes_the_same(tmp_path, moment):
    output = tmp_path / "out"
    if moment != "file":
        (output / "mine").mkdir(parents=True)
        (output / "mine" / "notes").write_text("of the user")
        (output / "b").write_text("old")
    left = leave(output, moment)
    with replacing(tmp_path / "another"):
        pass
    assert left.exists()  # only its own output's
    with replacing(output) if moment == "file" else replacing_folder(output) as beside:
        beside.write_text("whole") if moment == "file" else (beside / "a").write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another", "out"]
    if moment != "file":
        assert {path.name for path in output.iterdir()} == {"a", "b", "mine"}
        assert (output / "mine" / "notes").read_text() == "of the user"


def test_what_a_running_process_uses_stays(tmp_path):
    """Negative control of the removal: two processes may write one output at once."""
    output = tmp_path / "out"
    arguments = [sys.executable, "-c", KILLED, output, "running"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        (used,) = tmp_path.iterdir()
        with replacing_folder(output) as folder:
            (folder / "a").write_text("mine")
        assert used.exists()
        process.communicate()
    assert process.returncode == 0 and (output / "a").read_text() == "new"
    assert list(tmp_path.iterdir()) == [output]


def test_undefined_numbers_become_null_and_numpy_scalars_plain_ones(tmp_path):
    content = {"nan": np.nan, "inf": [np.inf, 1.5], "n": np.int64(3), "yes": np.bool_(True), "deep": {"x": (np.nan,)}}
    write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text()
    assert text == json_text(content) + "\n"
    expected = {"nan": None, "inf": [None, 1.5], "n": 3, "yes": True, "deep": {"x": [None]}}
    assert json.loads(text) == expected
