"""The table of all coverages that were kept, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from coverage_rows import CAUGHT, QUANTITIES, row_of

COLUMNS = [
    "quantity", "test", "design", "control", "n", "coverage", "lower", "upper", "limits", "verdict", "right", "passed",
    "seeds", "date", "versions",
]  # fmt: skip


def tabulate(folder: Path) -> pd.DataFrame:
    """One row a coverage, by quantity; `passed` says whether its test did."""
    rows = []
    for path in sorted(folder.glob("*.json")):
        kept = json.loads(path.read_text())
        about = {
            "test": kept["test"].removeprefix("tests/"),
            "passed": kept["passed"],
            "date": kept["date"],
            "versions": " ".join(f"{name} {value}" for name, value in kept["versions"].items()),
        }
        for row in map(row_of, kept["rows"]):
            low, high = row.limits
            judged = {"verdict": row.verdict, "right": row.right, "limits": "" if row.control else f"{low}-{high}"}
            rows.append(row._asdict() | judged | about)
    table = pd.DataFrame(rows, columns=COLUMNS)
    place = table["quantity"].map(QUANTITIES.index)
    return table.assign(place=place).sort_values("place", kind="stable").drop(columns="place").reset_index(drop=True)


def faults(table: pd.DataFrame) -> list[str]:
    """What is not as it must be: coverage off, a control that passes or is missing, a test that failed."""
    wrong = []
    for row in table[~table["right"]].itertuples():
        said = f"control {row.control!r} is not caught" if row.control else f"outside of {row.limits}"
        wrong.append(f"{row.quantity}, {row.design}: {row.coverage:.3f}, {said}")
    for quantity in QUANTITIES:
        found = table[table["quantity"] == quantity]
        if (found["control"] != "").all():
            wrong.append(f"{quantity}: no coverage yet")
        if not (found["verdict"] == CAUGHT).any():
            wrong.append(f"{quantity}: no control is caught yet")
    failed = table.loc[~table["passed"], "test"].unique()
    return wrong + [f"{test} failed" for test in failed]
