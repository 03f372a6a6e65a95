"""Ids that a spreadsheet would run as formulas: with --safe-csv no cell of any CSV file begins like one."""

import csv
import re

import pandas as pd
import pytest

from irt_bench import read_responses
from irt_bench.files import FORMULA

COMMANDS = {
    "read": ["read", "a.parquet", "-o", "read.csv"],
    "fit": ["fit", "a.parquet", "-o", "fit"],
    "score": ["score", "a.parquet", "--fit", "fit", "-o", "scores.csv"],
    "items": ["items", "a.parquet", "-o", "items.csv"],
    "compare": ["compare", "a.parquet", "--fit", "fit", "-o", "compared"],
    "check": ["check", "a.parquet", "--fit", "fit", "--replicates", 9, "-o", "checked"],
    "subset": ["subset", "a.parquet", "--size", 5, "-o", "subset.json"],
    "params": ["export", "subset.json", "--to", "params", "-o", "params.csv"],
    "ids": ["export", "subset.json", "--to", "ids", "-o", "ids.csv"],
    "full score": ["score", "a.parquet", "--subset", "subset.json", "-o", "full.csv"],
    "variance": ["variance", "a.parquet", "-o", "variance"],
}
QUICK = ("read", "fit", "score")


def formulas(folder) -> dict[str, list[str]]:
    """Cells that begin like a formula and are no numbers, by file."""
    found = {}
    for path in sorted(folder.rglob("*.csv")):
        with path.open(newline="", encoding="utf-8") as lines:
            cells = [cell for row in csv.reader(lines) for cell in row if re.match(FORMULA, cell)]
        found[str(path.relative_to(folder))] = [cell for cell in cells if not is_number(cell)]
    return found


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@pytest.fixture
def responses(answers, tmp_path):
    frame = answers.assign(model="=cmd|' /C calc'!" + answers["model"], item="@SUM(" + answers["item"] + ")")
    runs = [frame.assign(run=frame["model"], seed=seed, step=1, subtask="+s") for seed in range(2)]
    pd.concat(runs).to_parquet(tmp_path / "a.parquet")
    return tmp_path


def run_all(run, folder, names, *more):
    for name in names:
        command, *arguments = COMMANDS[name]
        given = [folder / each if "." in str(each) or each in FOLDERS else each for each in arguments]
        run(command, *given, *(more if name != "subset" else ()))


FOLDERS = ("fit", "compared", "checked", "variance")


@pytest.mark.parametrize("names", [QUICK, pytest.param(tuple(COMMANDS), marks=pytest.mark.slow)])
def test_no_cell_begins_like_a_formula(run, responses, names):
    run_all(run, responses, names, "--safe-csv")
    found = formulas(responses)
    assert len(found) >= 4 and not any(found.values()), found


def test_without_the_option_ids_are_as_they_are(run, responses):
    """Negative control, and why it is an option: files are for programs first, which join by id."""
    run_all(run, responses, QUICK)
    assert all(formulas(responses).values())
    counts = read_responses([responses / "read.csv"]).counts()
    assert counts.fingerprint().split(":")[1] and list(counts.items.index)[0].startswith("@SUM(")


def test_safe_files_read_back_with_the_quote_and_nothing_else_changed(run, responses):
    run_all(run, responses, ("read",), "--safe-csv")
    safe = read_responses([responses / "read.csv"])
    plain = read_responses([responses / "a.parquet"])
    assert [label.removeprefix("'") for label in safe.models.index] == list(plain.models.index)
    assert (safe.counts().correct == plain.counts().correct).all()
