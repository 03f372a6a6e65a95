"""Lets the tests here import the fuzzer's own modules, which are scripts and not part of the package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
