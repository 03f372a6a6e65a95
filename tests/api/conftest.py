"""Lets the tests here import the script that makes the example benchmark."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
