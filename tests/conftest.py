"""Fixtures for all tests: real log files and data, which lie beside the repository and are not part of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

from irt_bench.responses.counts import ResponseCounts

settings.register_profile("same", derandomize=True)  # the same examples on every run
settings.load_profile("same")

BESIDE = Path(__file__).resolve().parents[1] / "../shared"


def folder(name: str) -> Path:
    path = (BESIDE / name).resolve()
    if not path.is_dir():
        pytest.skip(f"real files are not here: {path} is no folder")
    return path


@pytest.fixture(scope="session")
def shared_fixtures() -> Path:
    """Log files written by the real clients."""
    return folder("fixtures")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real response data, one Parquet file a data set."""
    return folder("data")


@pytest.fixture(scope="session")
def make_counts() -> Callable[..., ResponseCounts]:
    """Build counts from arrays: models m0, m1, ..., items i0, i1, ...; one trial a cell unless told."""

    def make(correct, trials=None, measure="correct", models=None):
        correct = np.asarray(correct)
        trials = np.ones(correct.shape, dtype=int) if trials is None else np.asarray(trials)
        labels = [f"m{row}" for row in range(correct.shape[0])] if models is None else models
        items = pd.DataFrame(index=pd.Index([f"i{column}" for column in range(correct.shape[1])], name="item"))
        return ResponseCounts(correct, trials, pd.DataFrame(index=pd.Index(labels, name="model")), items, "b", measure)

    return make
