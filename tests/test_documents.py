"""What people read: the README's code and commands work, its columns exist, links lead somewhere."""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import typer.main

import irt_bench
from irt_bench import table_from_frame
from irt_bench.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted(path for where in ("", ".github/", "data/", "tests/*/") for path in ROOT.glob(f"{where}*.md"))
CPU = "--extra-index-url https://download.pytorch.org/whl/cpu"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands():
    return [line for block in blocks("bash") for line in block.splitlines() if line.startswith("irt-bench ")]


def command_of(arguments):
    group = typer.main.get_command(app)
    return group.get_command(None, arguments[0])


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 200


def test_the_python_of_the_readme_prints_what_the_readme_shows():
    code, shown = "\n".join(blocks("python")), "\n".join(blocks("text"))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "README.md", "exec"), {})  # noqa: S102
    assert [line.rstrip() for line in printed.getvalue().splitlines()] == [line.rstrip() for line in shown.splitlines()]


def test_there_are_two_commands_to_set_up_and_they_are_marked():
    set_up = [block.strip() for block in blocks("bash") if "pip install" in block]
    marked = re.findall(r"<!-- (demo|tests) -->\n```bash\n(.*)\n```\n<!-- end -->", README)
    assert [name for name, _ in marked] == ["demo", "tests"]
    assert [command for _, command in marked] == set_up
    assert CPU in README
    for command in set_up:
        with_index = command.replace("pip install", f"pip install {CPU}")
        assert with_index.count(CPU) == 1 and subprocess.run(["bash", "-n", "-c", with_index]).returncode == 0  # noqa: S607


@pytest.mark.parametrize("line", commands())
def test_commands_of_the_readme_exist_with_their_options(line):
    arguments = shlex.split(line)[1:]
    command = command_of(arguments)
    assert command is not None
    known = {option for parameter in command.params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("-")} <= known
    required = {parameter.opts[0] for parameter in command.params if parameter.required and parameter.opts[0][0] == "-"}
    assert all(set(parameter.opts) & set(arguments) for parameter in command.params if parameter.opts[0] in required)


def test_every_command_is_in_the_readme():
    named = {shlex.split(line)[1] for line in commands()}
    assert set(typer.main.get_command(app).commands) - named == {"demo", "read"}
    assert all(f"irt-bench {name}" in README for name in ("demo", "read"))


@pytest.mark.slow
def test_the_commands_of_the_readme_run_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in ["irt-bench demo", *commands()]:
        command = [sys.executable, "-c", "from irt_bench.cli import app; app()", *shlex.split(line)[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (line, done.stderr)
    assert (tmp_path / "report.html").stat().st_size > 100_000


def test_columns_that_the_readme_names_for_inputs_are_read():
    cells = [line.split("|")[1] for line in README.splitlines() if line.startswith("| **in:**")]
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    row = {"benchmark": "b", "subtask": "s", "trial": 1, "run": "r", "seed": 1, "step": 2, "cluster": "c"}
    rows = [row | {"item": item, "model": model} for item in "ij" for model in "mn"]
    values = [{"correct": 1}, {"n_correct": 1, "n_samples": 2}, {"score": 0.5}]
    assert named == set(rows[0]).union(*values)
    for value in values:
        table = table_from_frame(pd.DataFrame([each | value for each in rows]))
        assert {*value, "benchmark", "model", "item", "trial"} <= set(table.answers)
        assert {"run", "seed", "step", "cluster"} <= set(table.models) and "subtask" in table.items


@pytest.mark.filterwarnings("ignore::irt_bench.errors.FitWarning", "ignore::irt_bench.errors.UndefinedWarning")
def test_columns_that_the_readme_names_for_outputs_are_written():
    cells = [line.split("|")[1:3] for line in README.splitlines() if line.startswith("| **out:**")]
    named = {name for cell, _ in cells for name in re.findall(r"`(\w+)`", cell) if name[0] != "x"}
    table = irt_bench.load_example("benchmark")
    fitted = irt_bench.fit(table, "2pl", irt_bench.LaplaceSettings(refine=False))
    seeds = irt_bench.load_example("repeats")
    small = {"sizes": [10], "methods": ["variance"], "estimators": ["weighted"], "n_folds": 2, "transfer_splits": 2}
    written = (
        fitted.abilities(),
        fitted.items(),
        irt_bench.item_analysis(table).items(),
        irt_bench.model_scores(table, models=["model-001", "model-002"]).models(),
        irt_bench.make_subset(table, 20, fit=fitted).score(table),
        irt_bench.seed_variance(seeds, n_bootstrap=5, n_subsets=5).runs(),
        irt_bench.run_study(seeds, n_random=20, n_reweighted=20, **small).results(),
    )
    assert len(named) > 15 and named <= {column for frame in written for column in frame}
    for frame in written[:3]:
        assert any(column.endswith("_q05") for column in frame)


def test_the_rooms_of_the_package_are_those_of_the_table_for_contributors():
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text()
    table = text[text.index("| room |") : text.index("Single files")]
    package = ROOT / "irt_bench"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)) == rooms
    single = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    assert not [name for name in single if f"`{name}`" not in text]


def anchors(text):
    """Anchors that GitHub gives the headings."""
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document):
    text = document.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (document.parent / path).resolve() if path else document
        assert found.exists(), target
        assert not anchor or anchor in anchors(found.read_text()), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_that_are_named_exist(document):
    named = set(re.findall(r"\b(?:tests|notebooks|data|irt_bench)/[\w/.]+\.\w+", document.read_text()))
    assert not [path for path in named if not (ROOT / path).exists()]


def test_the_reference_has_every_public_name_with_its_parameters(tmp_path):
    pytest.importorskip("pdoc", reason="pdoc is not installed")
    command = [sys.executable, "-W", "ignore", ".ci/reference.py", "-o", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Warn" not in done.stderr, done.stderr
    page = (tmp_path / "irt_bench.html").read_text()
    assert not [name for name in irt_bench.__all__ if name[0] != "_" and f'id="{name}"' not in page]
    part = page[page.index('id="make_subset"') :]
    assert "<h6 id=" in part and "<strong>responses</strong>" in part
