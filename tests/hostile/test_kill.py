"""A process killed (-9) at any moment leaves the old output or the whole new one, never a part.

The moments are those of the process's own calls to the file system, told by an audit hook: it is killed at the n-th,
for every n that writing takes; and, beside them, moments at random.
"""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow

# Forks a process for each moment, so that libraries are loaded once. Prints one line a moment: n, exit status.
KILLER = textwrap.dedent("""
    import json, os, random, shutil, signal, sys, time, warnings
    import numba, torch, pyarrow.parquet, h5netcdf, matplotlib.figure
    from irt_bench.cli import app
    from irt_bench.inference.fast import laplace
    arguments, old, output, moments = json.loads(sys.argv[1])
    events = ("open", "os.rename", "os.mkdir", "os.link", "os.remove", "os.rmdir", "os.chmod", "os.listdir",
              "os.scandir", "shutil.rmtree", "tempfile.mkstemp", "tempfile.mkdtemp", "ctypes.call_function")

    def child(at):
        seen = 0
        started = False
        def hook(event, details):
            nonlocal seen, started
            started = started or event.startswith("tempfile.mk")
            if started and event in events:
                seen += 1
                if seen == at:
                    os.kill(os.getpid(), signal.SIGKILL)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        sys.addaudithook(hook)
        try:
            app(arguments, standalone_mode=False)
        except BaseException:
            os._exit(9)
        os._exit(seen and 7)

    def restore():
        for path in (output,):
            shutil.rmtree(path) if os.path.isdir(path) else os.path.exists(path) and os.remove(path)
        if old:
            (shutil.copytree if os.path.isdir(old) else shutil.copy)(old, output)

    last = 0
    at = 0
    while True:
        at += 1
        if moments and at > moments:
            break
        restore()
        pid = os.fork()
        if not pid:
            child(at)
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status)
        kept = output + f".{at:04d}"
        if os.path.exists(output):
            os.rename(output, kept)
        print(at, "killed" if killed else os.WEXITSTATUS(status), flush=True)
        if not killed:
            break
""")


def killed_at_every_moment(
    tmp_path: Path, arguments: list[object], output: Path, old: Path | None
) -> list[Path | None]:
    """Outputs found after each kill, None where there was none; the last is of the process that lived."""
    given = json.dumps([[str(each) for each in arguments], old and str(old), str(output), 0])
    done = subprocess.run([sys.executable, "-c", KILLER, given], capture_output=True, text=True, timeout=800)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines and lines[-1][1] == "7", done.stdout[-300:] + done.stderr[-2000:]
    assert not list(output.parent.glob(".irt-bench-*"))  # the last removed what those before it left
    kept = [Path(f"{output}.{int(at):04d}") for at, _ in lines]
    return [path if path.exists() else None for path in kept]


def content(path: Path) -> dict[str, bytes]:
    """What can be read of an output; timings, which differ between runs, left out."""
    if path.is_file():
        return {"": path.read_bytes()}
    files = {file.name: file.read_bytes() for file in path.iterdir()}
    summary = json.loads(files["summary.json"])
    summary.pop("timings", None)
    return files | {"summary.json": json.dumps(summary).encode()}


@pytest.fixture(scope="module")
def responses(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    rows = [(f"m{m}", f"q{i}", int(rng.random() < (m + 2) / 12)) for m in range(8) for i in range(10)]
    path = tmp_path_factory.mktemp("kill") / "a.parquet"
    pd.DataFrame(rows, columns=["model", "item", "correct"]).to_parquet(path)
    return path


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("command", ["read", "fit"])
def test_killed_at_any_call_of_the_system_the_old_or_the_new_is_there(run, responses, tmp_path, command, existing):
    output = tmp_path / ("out" if command == "fit" else "out.parquet")
    old = None
    if existing:
        old = tmp_path / f"old{output.suffix}"
        seeded = ["--seed", 5] if command == "fit" else ["--benchmark", "a"]
        run(command, responses, "-o", old, *seeded)
        if command == "read":
            pd.DataFrame({"model": ["x"], "item": ["y"], "correct": [1]}).to_parquet(old)
        else:
            (old / "notes.txt").write_text("of the user")
    arguments = [command, responses, "-o", output, "--force"]
    found = killed_at_every_moment(tmp_path, arguments, output, old)
    assert len(found) > 5
    new = content(found[-1])
    allowed = [new, *([content(old)] if old else [])]
    if command == "fit" and existing:
        assert new["notes.txt"] == b"of the user"
    for path in found:
        assert content(path) in allowed if path is not None else not existing
    assert {json.dumps(sorted(content(path))) for path in found if path is not None}


def test_a_process_killed_at_random_leaves_the_old_or_the_new(run, responses, tmp_path):
    """From outside, at moments of the clock; the writer replaces a file over and over."""
    output = tmp_path / "out.parquet"
    writer = textwrap.dedent(f"""
        from irt_bench.responses import read_responses, write_table
        table = read_responses([{str(responses)!r}])
        print("ready", flush=True)
        while True:
            write_table(table, {str(output)!r})
    """)
    run("read", responses, "-o", output)
    whole = output.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(15):
        process = subprocess.Popen([sys.executable, "-c", writer], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        try:
            process.wait(timeout=float(rng.uniform(0, 0.2)))
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        process.stdout.close()
        assert output.read_bytes() == whole


def test_the_method_sees_a_writer_that_writes_in_place(tmp_path):
    """Negative control: a command that wrote its file directly would be caught with a part of it."""
    output = tmp_path / "out.txt"
    script = KILLER.replace("from irt_bench.cli import app", "app = None").replace(
        "arguments, old, output, moments = json.loads(sys.argv[1])",
        "arguments, old, output, moments = json.loads(sys.argv[1])\n"
        "import tempfile\n"
        "def app(arguments, standalone_mode):\n"
        "    tempfile.mkstemp()\n"
        "    with open(output, 'w') as file:\n"
        "        file.write('half'); file.flush(); open(os.devnull).close(); file.write('whole')\n",
    )
    given = json.dumps([[], None, str(output), 0])
    subprocess.run([sys.executable, "-c", script, given], capture_output=True, text=True, timeout=300, check=True)
    found = {path.read_text() for path in tmp_path.glob("out.txt.*")}
    assert "half" in found and "halfwhole" in found


ENDLESS = textwrap.dedent("""
    import numpy as np
    from irt_bench.inference.sampling.nuts import sample_nuts
    from irt_bench.inference.settings import NUTSSettings
    from irt_bench.irt_models.logistic import TwoPL

    if __name__ == "__main__":
        correct = (np.random.default_rng(0).random((100, 120)) < 0.5).astype(np.int8)
        settings = NUTSSettings(chains=2, warmup=100_000, draws=2, jobs=2)
        told = lambda what, done, total: print(done, flush=True)
        sample_nuts(TwoPL(), correct, np.ones_like(correct), settings, told)
""")


def test_chains_end_with_the_process_that_asked_for_them(tmp_path):
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, start_new_session=True) as run:
        while int(run.stdout.readline()) < 4:  # both chains are under way
            pass
        workers = _children(run.pid)
        assert len(workers) >= 2
        run.kill()
    _wait_for_the_end(workers)


@pytest.mark.parametrize("to_all", [False, True])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
@pytest.mark.parametrize("command", ["study", "compare"])
def test_a_signal_ends_a_command_and_its_workers_and_leaves_no_hidden_file(tmp_path, command, name, to_all):
    """To the command alone, as `kill` does, or to its workers too, as clusters and terminals do."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"item": np.tile([f"q{i}" for i in range(200)], 24), "correct": rng.integers(0, 2, 4_800)})
    place = np.repeat(np.arange(24), 200)
    frame = frame.assign(model=[f"{chr(97 + each)}m" for each in place], run=place // 3, seed=place % 3)
    frame.to_csv(tmp_path / "a.csv", index=False)
    flags = {
        "study": ["study", "--n-random", "5000", "--sizes", "20,50,100"],
        "compare": ["subset", "--compare", "--n-random", "2000"],
    }[command]
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # background jobs are born deaf
    program = [sys.executable, "-c", f"{heed}; from irt_bench.cli import app; app()", *flags]
    given = [*program, "a.csv", "--jobs", "2", "-o", "out"]
    with subprocess.Popen(given, cwd=tmp_path, start_new_session=True, stderr=subprocess.PIPE, text=True) as run:
        while len(workers := _children(run.pid)) < 3:  # two that compute, and one that watches over their locks
            assert run.poll() is None
            time.sleep(0.1)
        time.sleep(1)
        (os.killpg if to_all else os.kill)(run.pid, getattr(signal, name))
        told = run.communicate(timeout=30)[1]
    assert run.returncode == 128 + getattr(signal, name), told
    assert "Stopped" in told and "Traceback" not in told
    _wait_for_the_end(workers)
    assert not [path for path in tmp_path.rglob(".irt-bench-*") if path.parent == tmp_path]


def _wait_for_the_end(workers):
    """Loky's tracker ends when it sees that its parent has."""
    end = time.monotonic() + 20
    while any(map(_is_running, workers)) and time.monotonic() < end:
        time.sleep(0.2)
    assert not [worker for worker in workers if _is_running(worker)]


def _children(pid):
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in listed for child in path.read_text().split()]


def _is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
