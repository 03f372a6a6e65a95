"""Every option of every command, on tiny data: all pairs of good values, and each bad value by itself.

The options are taken from the commands themselves: a new one is covered by its type without being named here. Whatever
is given, a command ends with exit code 0, or with 2 and nothing written (3: a failed check under --strict).
"""

import itertools
import json
import os
from enum import EnumMeta

import click
import numpy as np
import pandas as pd
import pytest
import typer
from commands import run
from typer.testing import CliRunner

from irt_bench.cli import app

COMMANDS = {name: command for name, command in typer.main.get_command(app).commands.items() if name != "demo"}
OUTPUT = "--output"
SLOW_COMMANDS = ("study", "subset")  # seconds per run: one row of them always, all as slow tests
# Good values beyond what the type of an option says; {place} is the folder of the inputs.
GOOD = {
    "--benchmark": ["toy"], "--format": ["long"], "--metric": ["acc"], "--filter": ["none"], "--group": ["subtask"],
    "--fit": ["{place}/fit"], "--subset": ["{place}/subset.json"], "--run": ["run"],
    "--model-clusters": ["run"], "--item-clusters": ["subtask"],
    "--irt-model": ["1pl", "3pl"], "--guessing": ["0.2"], "--guide": ["item"], "--device": ["cpu"],
    "--size": ["4", "0.5"], "--target-se": ["0.2"], "--sizes": ["4"], "--weights": ["equal"],
    "--estimator": ["weighted"], "--estimators": ["weighted"], "--methods": ["random"], "--statistics": ["e"],
    "--split": ["test"], "--to": ["ids", "params", "lm-eval"], "--responses": ["{place}/long.csv"], "--task": ["t"],
    "--measure": ["accuracy"], "--detect": ["0.1"], "--power": ["0.7"], "--stop-sd": ["0.5"], "--title": ["x"],
    "--draws": ["120"], "--warmup": ["20"], "--chains": ["1"], "--max-steps": ["50"], "--max-sweeps": ["5"],
    "--target-accept": ["0.8"], "--threads": ["1"], "--jobs": ["1"], "--n-random": ["20"], "--replicates": ["9"],
    "--models": ["m0 m1"], "--n-models": ["20"],
    "--ability-range": ["-1 1"], "--max-models": ["8"], "--max-items": ["6"], "--groups": ["run"],
    "--folds": ["2"], "--calibrate-on": ["run=r0,r1,r2"], "--evaluate-on": ["run=r3,r4,r5"], "--shard": ["1/2"],
    "--backend": ["loky"], "--scheduler": [], "--seed-model": ["svi"], "--seed": ["1"],
    "--priors": ["independent"],
}  # fmt: skip
METHODS = {"fit": ["laplace", "svi"], "score": ["eap", "map"], "subset": ["random", "difficulty"]}
BAD = {
    int: ["-1", "1000000000000"],
    float: ["nan", "-1", "1e30"],
    str: ["", "x\0y", "no such thing"],
    "path": ["missing"],
}
FIXED = {"study": ["--jobs", "1", "--n-random", "20", "--sizes", "4"], "subset": ["--n-random", "20", "--sizes", "4"]}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Answers of six runs with two seeds each, a fit and a subset of them."""
    folder = tmp_path_factory.mktemp("pairwise")
    rng = np.random.default_rng(0)
    chance = 1 / (1 + np.exp(rng.normal(size=16) - rng.normal(0, 1.2, 12)[:, None]))
    right = (rng.random(chance.shape) < chance).astype(int)
    rows = [
        (f"m{m}", f"r{m // 2}", m % 2, f"q{i}", f"part{i % 2}", i, right[m, i]) for m in range(12) for i in range(16)
    ]
    columns = ["model", "run", "seed", "item", "subtask", "doc_id", "correct"]
    pd.DataFrame(rows, columns=columns).assign(benchmark="toy").to_csv(folder / "long.csv", index=False)
    for arguments in (
        ["fit", folder / "long.csv", "-o", folder / "fit", "--draws", "120"],
        ["subset", folder / "long.csv", "-o", folder / "subset.json", "--size", "5", "--method", "random"],
    ):
        run(*arguments)
    return folder


def options(command: str) -> list[click.Parameter]:
    return [each for each in COMMANDS[command].params if each.param_type_name == "option" and OUTPUT not in each.opts]


def good_values(command: str, option: click.Parameter) -> list[list[str]]:
    """Ways to give an option that may work; first, unless it is required, not at all."""
    name = option.opts[0]
    absent: list[list[str]] = [] if option.required else [[]]
    if getattr(option, "is_flag", False):
        return [*absent, [name]]
    given = METHODS.get(command, []) if name == "--method" else GOOD.get(name)
    if given is None:
        choices = (
            list(option.type_descriptor.annotation) if isinstance(option.type_descriptor.annotation, EnumMeta) else None
        )
        given = [getattr(each, "value", str(each)) for each in choices] if choices else ["1"]
    n_parts = option.nargs
    return [*absent, *([name, *text.split(" ")] for text in given if len(text.split(" ")) == n_parts)]


def bad_values(option: click.Parameter) -> list[list[str]]:
    """Values that a type allows and sense does not."""
    if getattr(option, "is_flag", False):
        return []
    text = str(option.type_descriptor.annotation)
    kind = next((kind for name, kind in (("int", int), ("float", float), ("Path", "path")) if name in text), str)
    return [[option.opts[0], *[text] * option.nargs] for text in BAD[kind]]


def covering(values: list[list[list[str]]]) -> list[tuple[int, ...]]:
    """Rows, one value of each option, in which every pair of values occurs; the first rows hold most pairs."""
    rng, rows = np.random.default_rng(0), []
    places = list(itertools.combinations(range(len(values)), 2))
    missing = {(a, i, b, j) for a, b in places for i in range(len(values[a])) for j in range(len(values[b]))}
    while missing:
        best, most = (), -1
        a, i, b, j = min(missing)
        for _ in range(20):
            row = [int(rng.integers(len(each))) for each in values]
            row[a], row[b] = i, j
            n_new = sum((a, row[a], b, row[b]) in missing for a, b in places)
            best, most = (tuple(row), n_new) if n_new > most else (best, most)
        rows.append(best)
        missing -= {(a, best[a], b, best[b]) for a, b in places}
    return rows


def rows_of(command: str) -> list[list[str]]:
    """Lines of options: pairs of good values, then each bad value with the required options alone."""
    listed = options(command)
    values = [good_values(command, option) for option in listed]
    pairs = [[*itertools.chain(*(values[k][row[k]] for k in range(len(row))))] for row in covering(values)]
    required = [*itertools.chain(*(each[0] for each, option in zip(values, listed, strict=True) if option.required))]
    alone = [[*(required if not option.required else []), *bad] for option in listed for bad in bad_values(option)]
    return pairs + alone


def inputs(command: str) -> list[str]:
    return {"export": ["{place}/subset.json"], "adaptive": ["{place}/subset.json"], "report": ["{place}/fit"]}.get(
        command, ["{place}/long.csv"]
    )


def run_one(command: str, chosen: list[str], place, folder) -> None:
    """Run a command and hold it to what it may do."""
    has_output = any(OUTPUT in each.opts for each in COMMANDS[command].params)
    output = folder / ("out.csv" if command in ("read", "score", "items", "adaptive") else "out.txt")
    fixed = [] if any(text in chosen for text in FIXED.get(command, [])[::2]) else FIXED.get(command, [])
    arguments = [command, *inputs(command), *chosen, *fixed, *(["-o", str(output)] if has_output else [])]
    arguments = [text.replace("{place}", str(place)) for text in arguments]
    before = sorted(os.listdir(folder))
    done = CliRunner().invoke(app, arguments)
    shown = f"{' '.join(map(repr, arguments))}\n{done.output[-1500:]}"
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        done.exception.add_note(shown)
        raise done.exception
    assert done.exit_code in ((0, 2, 3) if "--strict" in chosen else (0, 2)), shown
    assert "Traceback" not in done.output, shown
    if done.exit_code == 2:
        assert sorted(os.listdir(folder)) == before or command == "study", shown
    elif "--json" in chosen:
        json.loads(done.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_some_pairs_of_options_and_some_bad_values(place, tmp_path, command):
    rows = rows_of(command)
    chosen = [rows[0], *(rows[k] for k in np.random.default_rng(1).choice(len(rows), 2, replace=False))]
    for number, row in enumerate(chosen if command not in SLOW_COMMANDS else chosen[1:2]):
        folder = tmp_path / str(number)
        folder.mkdir()
        run_one(command, row, place, folder)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_all_pairs_of_options_and_all_bad_values(place, tmp_path, command):
    for number, row in enumerate(rows_of(command)):
        folder = tmp_path / str(number)
        folder.mkdir()
        run_one(command, row, place, folder)


def test_every_pair_of_values_is_in_some_row():
    values = [[["a"], ["b"]], [[], ["c"], ["d"]], [[], ["--e"]], [["f"], ["g"], ["h"]]]
    rows = covering(values)
    for (a, one), (b, other) in itertools.combinations(enumerate(values), 2):
        assert {(row[a], row[b]) for row in rows} == set(itertools.product(range(len(one)), range(len(other))))
    assert len(rows) < 2 * 3 * 2 * 3


def test_a_command_that_breaks_is_seen(place, tmp_path, monkeypatch):
    """Negative control."""
    monkeypatch.setattr("irt_bench.api.analysis.item_statistics", lambda counts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_one("items", [], place, tmp_path)
