"""Rows of a study's results against which the others are held: the full benchmark, and random items."""

from __future__ import annotations

from typing import Final

import pandas as pd

from irt_bench.variance.study.design import EQUAL
from irt_bench.variance.study.plan import RANDOM
from irt_bench.variance.study.reading import WEIGHTED

POOLED: Final = "pooled"  # in the column of runs: all runs together, variances pooled within run
FULL: Final = "full"


def is_null(rows: pd.DataFrame) -> pd.Series:
    """Random items: the null of methods with the same estimator and weights."""
    return rows["method"] == RANDOM


def is_plain(rows: pd.DataFrame) -> pd.Series:
    """Plain means of random items."""
    return is_null(rows) & (rows["weights"] == EQUAL) & (rows["estimator"] == WEIGHTED)


def is_reference(rows: pd.DataFrame) -> pd.Series:
    """Whether each row is a null or the full benchmark."""
    return is_null(rows) | (rows["method"] == FULL)
