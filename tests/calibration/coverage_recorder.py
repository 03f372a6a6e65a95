"""Keeps what slow tests measure of coverage: ``pytest -m "" --coverage-folder FOLDER``.

With the option only tests that measure coverage run, and each leaves one file; a test that passed and whose file is
there is skipped, so that a run goes on after any stop. Delete a file to have its test run again.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Generator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from coverage_rows import Row, coverage_row

from irt_bench.files import replacing

VERSIONS = ("irt-bench", "pyro-ppl", "torch", "numpy", "scipy")
ROWS = pytest.StashKey[list[Row]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--coverage-folder",
        type=Path,
        help="keep coverage here, a file a test; other tests are left out, kept ones too",
    )


@pytest.fixture
def record_coverage(request: pytest.FixtureRequest) -> Callable[..., Row]:
    """Print and keep a coverage, see `coverage_row`; the row says whether it is `right`."""
    rows = request.node.stash.setdefault(ROWS, [])

    def record(quantity: str, design: str, covered: Any, **about: Any) -> Row:
        row = coverage_row(quantity, design, covered, **about)
        rows.append(row)
        wrong = f" ({row.control})" if row.control else ""
        print(f"{quantity}, {design}{wrong}: {row.coverage:.3f} [{row.lower:.3f}, {row.upper:.3f}], {row.verdict}")
        return row

    return record


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests out that measure no coverage, and skip those that are kept."""
    folder = config.getoption("coverage_folder")
    if folder is None:
        return
    others = [item for item in items if record_coverage.__name__ not in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in set(others)]
    for item in items:
        path = kept_file(folder, item.nodeid)
        kept = json.loads(path.read_text()) if path.is_file() else {"passed": False}
        if kept["passed"]:
            item.add_marker(pytest.mark.skip(reason=f"kept from {kept['date']}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write what a test recorded, whether it passed or not."""
    report = yield
    folder, rows = item.config.getoption("coverage_folder"), item.stash.get(ROWS, [])
    if folder is not None and rows and call.when == "call" and not report.skipped:
        keep(folder, item.nodeid, rows, passed=report.passed)
    return report


def keep(folder: Path, test: str, rows: list[Row], *, passed: bool) -> None:
    """Write the rows of a test beside and rename."""
    about = {
        "test": test,
        "passed": passed,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "versions": {name: version(name) for name in VERSIONS},
        "rows": [row._asdict() for row in rows],
    }
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(kept_file(folder, test)) as beside:
        beside.write_text(json.dumps(about, indent=1))


def kept_file(folder: Path, test: str) -> Path:
    """Give the place of a test's rows."""
    return folder / (re.sub(r"[^\w.\[\]-]+", "-", test) + ".json")
