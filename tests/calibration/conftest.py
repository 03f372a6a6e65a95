"""Lets the tests here import the benchmark's modules, which are scripts and not part of the package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
