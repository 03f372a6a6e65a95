"""No pickle, no eval, no shell and no network in the source, and no socket while the journey runs."""

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import irt_bench

PACKAGE = Path(irt_bench.__file__).parent
# Modules that run code from data, start programs or reach other machines.
MODULES = {
    "pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal", "subprocess", "pty", "socket", "ssl",
    "http", "urllib", "urllib3", "requests", "httpx", "aiohttp", "ftplib", "smtplib", "telnetlib", "xmlrpc",
    "webbrowser", "asyncio", "code", "codeop", "runpy", "imp",
}  # fmt: skip
CALLS = {"eval", "exec", "compile", "__import__", "breakpoint", "input"}
ATTRIBUTES = {
    "os": {"system", "popen", "execv", "execve", "execvp", "spawnv", "spawnl", "fork", "startfile", "posix_spawn"},
    "np": {"fromfile"}, "numpy": {"fromfile"}, "pd": {"read_pickle", "eval"}, "pandas": {"read_pickle", "eval"},
    "torch": {"load", "hub"}, "joblib": {"load"}, "yaml": {"load", "unsafe_load", "full_load"},
    "pyro": {"get_param_store().load"},
}  # fmt: skip
METHODS = {"to_pickle", "read_pickle", "unsafe_load"}


def offences(source: str) -> list[str]:
    """What a module's source uses of all this, as "line: what"."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [f"{node.lineno}: import {n.name}" for n in node.names if n.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in MODULES:
                found.append(f"{node.lineno}: from {node.module}")
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in CALLS:
                found.append(f"{node.lineno}: {node.func.id}()")
            if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
                found.append(f"{node.lineno}: .{node.func.attr}()")
            if ast.unparse(node.func) == "np.load" and "allow_pickle=False" not in ast.unparse(node):
                found.append(f"{node.lineno}: np.load")
            keywords = {key.arg: key.value for key in node.keywords}
            for name in ("shell", "allow_pickle", "trust_remote_code"):
                if name in keywords and not (isinstance(keywords[name], ast.Constant) and not keywords[name].value):
                    found.append(f"{node.lineno}: {name}=")
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.attr in ATTRIBUTES.get(node.value.id, ())
        ):
            found.append(f"{node.lineno}: {node.value.id}.{node.attr}")
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_source_holds_no_pickle_eval_shell_or_network(path):
    assert offences(path.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "from urllib.request import urlopen", "import os; os.system('ls')", "eval('1')", "exec('1')",
        "import subprocess", "np.load('a', allow_pickle=True)", "frame.to_pickle('a')", "pd.read_pickle('a')",
        "torch.load('a')", "yaml.load(text)", "run(x, shell=True)", "__import__('os')",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_searches(line):
    assert offences(line)


JOURNEY = textwrap.dedent("""
    import os, sys
    refused = []
    def hook(event, details):
        if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto",
                     "os.system", "webbrowser.open", "urllib.Request", "ftplib.connect", "smtplib.connect",
                     "http.client.connect"):  # libraries ask programs for the number of processors, and may
            refused.append((event, str(details)[:200]))
            raise RuntimeError(f"{event} is not allowed here")
    import socket
    class Closed(socket.socket):
        def __init__(self, *arguments, **options):
            refused.append(("socket", str(arguments)))
            raise RuntimeError("sockets are disabled")
    socket.socket = Closed
    sys.addaudithook(hook)
    from irt_bench.cli import app
    def run(*arguments):
        app([str(argument) for argument in arguments], standalone_mode=False)
    responses, d = sys.argv[1], sys.argv[2] + "/"
    run("read", responses, "-o", d + "a.parquet")
    run("items", d + "a.parquet", "-o", d + "items.csv", "--figure", d + "items.png")
    run("fit", d + "a.parquet", "-o", d + "fit")
    run("score", d + "a.parquet", "--fit", d + "fit", "-o", d + "scores.csv")
    run("compare", d + "a.parquet", "--fit", d + "fit", "-o", d + "compared")
    run("subset", d + "a.parquet", "--size", "6", "-o", d + "subset.json")
    run("export", d + "subset.json", "--to", "params", "-o", d + "params.csv")
    run("score", d + "a.parquet", "--subset", d + "subset.json", "-o", d + "full.csv")
    run("variance", d + "a.parquet", "-o", d + "variance")
    if sys.argv[3:] == ["connect"]:
        socket.create_connection(("127.0.0.1", 9))
    print("REFUSED", refused)
""")


def journey(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    rng = np.random.default_rng(0)
    rows = [
        (f"org{m}/model", seed, step, f"q{i}", int(rng.random() < (m + 3) / 10))
        for m in range(4) for seed in range(2) for step in (1, 2) for i in range(20)
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["model", "seed", "step", "item", "correct"])
    table.to_csv(folder / "in.csv", index=False)
    return subprocess.run(
        [sys.executable, "-c", JOURNEY, str(folder / "in.csv"), str(folder), *more], capture_output=True, text=True
    )


def test_the_journey_runs_without_sockets(tmp_path):
    done = journey(tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.rstrip().endswith("REFUSED []"), done.stdout[-500:]
    assert {"a.parquet", "fit", "subset.json", "params.csv", "variance"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.slow
def test_the_journey_would_be_stopped_at_a_socket(tmp_path):
    """Negative control."""
    done = journey(tmp_path, "connect")
    assert done.returncode != 0 and ("sockets are disabled" in done.stderr or "is not allowed here" in done.stderr)
