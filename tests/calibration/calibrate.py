"""Calibrates all there is: ``python tests/calibration/calibrate.py -o calibration``.

First the coverage of 90% intervals (abilities, items, full scores, E, components, the seed model), then the ranks of
simulation-based calibration of every IRT model and method, each with negative controls that must be caught. What is
there already is not run again, so that the command goes on from any stop. Written are ``coverage.csv``,
``calibration.csv`` and ``calibration.png``; the last line says what is wrong, and the exit code is then 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import coverage_table
import numpy as np
import pandas as pd
import sbc
import sbc_report

from irt_bench import save_figure
from irt_bench.files import replacing

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("coverage", "sbc")


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    end = time.monotonic() + 60 * options.minutes
    wrong = []
    if "coverage" in options.parts:
        wrong += run_coverage(options.folder / "coverage", end) if options.minutes > 0 else []
        wrong += collect_coverage(options.folder)
    if "sbc" in options.parts:
        cells = sbc.cells_of(options.models, options.methods, options.sizes)
        if options.minutes > 0:
            sbc.run(cells, options.folder / "sbc", options.replicates, max(0.0, (end - time.monotonic()) / 60))
        wrong += collect_ranks(options.folder)
    print("wrong: " + "; ".join(wrong) if wrong else "All is as it must be, and every control is caught.")
    return 1 if wrong else 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--folder", type=Path, required=True, help="where everything is kept and written")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--minutes", type=float, default=np.inf, help="stop after about so many; 0 collects only")
    parser.add_argument("--models", nargs="+", default=list(sbc.IRT_MODELS), choices=list(sbc.IRT_MODELS))
    parser.add_argument("--methods", nargs="+", default=list(sbc.METHODS), choices=sbc.METHODS)
    parser.add_argument("--sizes", nargs="+", default=[sbc.SIZE], help=f"models x items to rank; by default {sbc.SIZE}")
    parser.add_argument("--replicates", type=int, help=f"data sets to rank, a cell; by default {sbc.REPLICATES}")
    return parser.parse_args(arguments)


def run_coverage(folder: Path, end: float, tests: str = "tests") -> list[str]:
    """Run the tests that measure coverage and are not kept yet, in one process; say how that ended."""
    command = [sys.executable, "-m", "pytest", tests, "-m", "", "-p", "no:cacheprovider"]
    left = end - time.monotonic()
    try:
        done = subprocess.run(
            [*command, "--coverage-folder", str(folder.absolute())],
            cwd=ROOT,
            check=False,
            env={"OMP_NUM_THREADS": "1"} | os.environ,
            timeout=None if end == np.inf else max(left, 0),
        )
    except subprocess.TimeoutExpired:
        return ["out of time before all coverage was measured"]
    return [f"pytest ended with code {done.returncode}"] if done.returncode else []


def collect_coverage(folder: Path) -> list[str]:
    """Write the table of coverage, and say what is wrong with it."""
    table = coverage_table.tabulate(folder / "coverage")
    write(table.drop(columns=["right", "passed"]), folder / "coverage.csv")
    print(table[["quantity", "design", "control", "n", "coverage", "lower", "upper", "verdict"]].to_string(index=False))
    return coverage_table.faults(table)


def collect_ranks(folder: Path) -> list[str]:
    """Write the table and the figure of ranks, and say what is wrong with them."""
    if not sbc_report.load(folder / "sbc"):
        return [f"fewer than {sbc_report.LEAST} data sets ranked of any IRT model and method"]
    table = sbc_report.tabulate(folder / "sbc")
    write(table, folder / "calibration.csv")
    save_figure(sbc_report.draw(folder / "sbc"), folder / "calibration.png")
    print(table.to_string(index=False))
    return sbc_report.verdicts(table)


def write(table: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        table.to_csv(beside, index=False, float_format="%.4g")


if __name__ == "__main__":
    sys.exit(main())
