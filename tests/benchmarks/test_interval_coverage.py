"""Coverage over data sets: known draws have known coverage, and a shared error of the scale is told from narrow sds."""

import numpy as np
import pandas as pd
import pytest
from accuracy import PARAMETERS
from interval_coverage import measures, report

N_DRAWS, NOISE = 1_000, 0.1


def posterior(truth, rng, *, width=1.0, stretch=1.0):
    """Draws around noisy estimates whose noise has the draws' own sd, then stretched with the items' scale."""
    draws = {}
    for name, value in truth.items():
        centre = value * np.exp(NOISE * rng.normal(size=value.shape)) if name == "discrimination" else value
        spread = width * NOISE * rng.normal(size=(N_DRAWS, value.size))
        if name == "discrimination":
            draws[name] = centre * np.exp(spread) / stretch
        else:
            draws[name] = stretch * (centre + NOISE * rng.normal(size=value.shape) + spread)
    return draws


@pytest.fixture
def truth():
    rng = np.random.default_rng(8)
    ability, difficulty = rng.normal(size=400), rng.normal(size=600)
    return {"ability": ability, "difficulty": difficulty, "discrimination": np.exp(0.4 * rng.normal(size=600))}


def test_honest_draws_cover_and_narrow_ones_do_not(truth):
    rng = np.random.default_rng(9)
    honest, narrow = measures(truth, posterior(truth, rng)), measures(truth, posterior(truth, rng, width=0.5))
    for kind in ("", "aligned_", "relative_"):
        for name in PARAMETERS:
            assert honest[f"{kind}coverage_{name}"] == pytest.approx(0.9, abs=0.05)
            assert narrow[f"{kind}coverage_{name}"] < 0.7


def test_a_wrong_scale_spoils_raw_coverage_only(truth):
    found = measures(truth, posterior(truth, np.random.default_rng(9), stretch=1.3))
    assert found["coverage_ability"] < 0.75
    assert found["aligned_coverage_ability"] == pytest.approx(0.9, abs=0.05)
    assert found["relative_coverage_ability"] == pytest.approx(0.9, abs=0.05)
    assert found["scale_error"] == pytest.approx(1 / 1.3, abs=0.02)


def test_the_report_gives_the_standard_error_over_data_sets(truth):
    rng = np.random.default_rng(3)
    rows = pd.DataFrame([measures(truth, posterior(truth, rng)) | {"seconds": 0.5} for _ in range(3)])
    text = report("S", rows)
    error = rows["coverage_ability"].std() / np.sqrt(3)
    assert f"raw {rows['coverage_ability'].mean():.3f} +- {error:.3f}" in text
    assert text.startswith("S: 3 data sets, 0.50 s a fit")
