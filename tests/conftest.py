"""Fixtures for all tests: real log files and data, which lie beside the repository and are not part of it."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

from irt_bench import ResponseCounts
from irt_bench.subsets.subset import CalibrationRecord, EstimatorParameters, SubsetItem, SubsetRecord, UnseenItems

sys.path.insert(0, str(Path(__file__).resolve().parent / "calibration"))  # scripts, not part of the package
from coverage_recorder import (  # noqa: E402, F401
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_runtest_makereport,
    record_coverage,
)

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
def shared_cases() -> Path:
    """Small inputs that were once measured wrong."""
    return folder("cases")


@pytest.fixture(scope="session")
def make_counts() -> Callable[..., ResponseCounts]:
    """Build counts from arrays: models m0, m1, ..., items i0, i1, ...; one trial per cell by default."""

    def make(correct, trials=None, measure="correct", models=None):
        correct = np.asarray(correct)
        trials = np.ones(correct.shape, dtype=int) if trials is None else np.asarray(trials)
        labels = [f"m{row}" for row in range(correct.shape[0])] if models is None else models
        items = pd.DataFrame(index=pd.Index([f"i{column}" for column in range(correct.shape[1])], name="item"))
        return ResponseCounts(correct, trials, pd.DataFrame(index=pd.Index(labels, name="model")), items, "b", measure)

    return make


@pytest.fixture(scope="session")
def build_subset() -> Callable[..., SubsetRecord]:
    """Build a subset from records of items (id, and what else is known), parameters drawn at random."""

    def build(records, *, n_full=20, seed=0, numbers=None, **changes):
        rng = np.random.default_rng(seed)
        items = tuple(
            SubsetItem(
                **{
                    "weight": 1 / len(records), "target_weight": 1 / n_full, "difficulty": rng.normal(),
                    "difficulty_sd": 0.2, "discrimination": np.exp(0.4 * rng.normal()), "discrimination_sd": 0.15,
                    "mean": 0.5, "subtask": "toy",
                }
                | dict(record)
            )
            for record in records
        )  # fmt: skip
        nodes = np.linspace(-5, 5, 201)
        share = 1 - len(items) / n_full
        curve = share / (1 + np.exp(-nodes))
        flat = (0.01,) * len(nodes)
        unseen = UnseenItems(
            ability=tuple(nodes), score=tuple(curve), score_sd=flat, answer_variance=tuple(curve * (share - curve))
        )
        calibration = CalibrationRecord(
            fingerprint="sha256:0", n_models=9, n_clusters=3, irt_model="2pl", inference="svi", ability_range=(-8, 8)
        )
        fields = {
            "benchmark": "toy", "n_items_full": n_full, "items": items, "size": len(items), "method": "random",
            "weights": "equal", "estimator": "p_irt", "seed": 1, "expected_error": 0.02, "expected_se": 0.03,
            "expected_bias": 0.0,
            "unseen": unseen, "numbers": numbers or EstimatorParameters(misfit_sd=0.01, interval_scale=1.7),
            "calibration": calibration, "package_version": "0.1.0",
        }  # fmt: skip
        return SubsetRecord(**(fields | changes))

    return build
