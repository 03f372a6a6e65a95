"""What the tests of hostile and degenerate input share: running a command, and what a refusal looks like."""

from collections.abc import Callable
from pathlib import Path

import commands
import pandas as pd
import pytest
from typer.testing import Result

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def run() -> Run:
    """See `commands.run`."""
    return commands.run


@pytest.fixture(scope="session")
def refused(run: Run) -> Callable[..., str]:
    """Run a command that must refuse its input: one line, exit code 2, nothing written beside `within`."""

    def refused(*arguments: object, within: Path) -> str:
        before = {path: path.lstat().st_mtime_ns for path in within.rglob("*")}
        result = run(*arguments, code=2)
        errors = [line for line in result.output.splitlines() if not line.startswith("Warning:")]
        assert len(errors) == 1 and errors[0].startswith("Error: "), result.output
        assert errors[0].isprintable() and len(errors[0]) <= 2_100
        assert {path: path.lstat().st_mtime_ns for path in within.rglob("*")} == before
        return errors[0]

    return refused


@pytest.fixture(scope="session")
def answers() -> pd.DataFrame:
    """Answers of 12 models to 8 items that no two give alike, as a long table."""
    rows = [(f"m{m}", f"q{i}", int((m * 7 + i * 5 + m * i) % 11 < 4 + m / 3)) for m in range(12) for i in range(8)]
    return pd.DataFrame(rows, columns=["model", "item", "correct"])
