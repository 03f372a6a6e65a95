"""Rows of a study's results against which the others are held: the full benchmark, and random items of equal weight."""

from __future__ import annotations

from typing import Final

import pandas as pd

from irt_bench.variance.study.plan import RANDOM

POOLED: Final = "pooled"  # in the column of runs: all runs together, variances pooled within run
FULL: Final = "full"
EQUAL: Final = "equal"


def is_null(rows: pd.DataFrame) -> pd.Series:
    """Random items of equal weight; random items that are weighed otherwise are a method like any other."""
    return (rows["method"] == RANDOM) & (rows["weights"] == EQUAL)


def is_reference(rows: pd.DataFrame) -> pd.Series:
    """Whether each row is the null or the full benchmark."""
    return is_null(rows) | (rows["method"] == FULL)
