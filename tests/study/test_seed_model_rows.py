"""Columns of the seed model from draws that are given: pooling, ratios, and rows that have none."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from irt_bench.names import POOLED
from irt_bench.study.rows import COLUMNS, seed_model_columns, seed_model_notes
from irt_bench.study.split import REASON
from irt_bench.study.tasks import ABILITY_KEY, FAILED, FULL_KEY, variance_key

FREEDOM = (2, 4)


def draws(score, expected):
    """Variances that hardly differ from draw to draw, of two runs."""
    around = 1 + 0.01 * np.linspace(-1, 1, 101)[:, None]
    return np.stack([around * np.array(score), around * np.array(expected)])


PART = {
    FULL_KEY: draws([0.01, 0.04], [0.005, 0.02]),
    ABILITY_KEY: draws([0.09, 0.09], [0, 0])[0],
    variance_key("random", "equal", 10): draws([0.04, 0.16], [0.01, 0.02]),
    variance_key("variance", "equal", 10): draws([0.01, 0.04], [0.001, 0.002]),
    FAILED: np.array(["answers", "score_sd"]),
}


def collected(*parts):
    return SimpleNamespace(
        runs=["a", "b"], freedom=np.array(FREEDOM), plan=SimpleNamespace(benchmark="toy"),
        seed_model=lambda: list(parts), in_order=lambda arrays: np.concatenate(arrays, axis=-1),
    )  # fmt: skip


def rows():
    keys = [
        (POOLED, "full", "equal", "weighted", 60), (POOLED, "full", "equal", "theta", 60),
        (POOLED, "random", "equal", "weighted", 10), (POOLED, "variance", "equal", "weighted", 10),
        ("b", "variance", "equal", "weighted", 10), (POOLED, "variance", "equal", "p_irt", 10),
        (POOLED, "random", "anchor", "weighted", 10),
    ]  # fmt: skip
    return pd.DataFrame(keys, columns=["run", "method", "weights", "estimator", "size"])


def test_variances_are_pooled_by_the_seeds_less_one_and_ratios_are_of_paired_draws():
    found = seed_model_columns(collected(PART), rows())
    assert found["model_sd"][0] == pytest.approx(np.sqrt((2 * 0.01 + 4 * 0.04) / 6))
    assert found["model_seed_sd"][3] == pytest.approx(np.sqrt((2 * 0.001 + 4 * 0.002) / 6))
    assert found["model_ratio"][3] == pytest.approx(0.5) and found["model_ratio_full"][3] == pytest.approx(1)
    assert found["model_ratio_q05"][3] == pytest.approx(found["model_ratio_q95"][3])  # the same draws in both
    assert found["model_sd_q05"][3] < found["model_sd"][3] < found["model_sd_q95"][3]
    assert found["model_sd"][4] == pytest.approx(0.2)


def test_ability_has_its_own_sd_and_other_rows_none():
    found = seed_model_columns(collected(PART), rows())
    assert found["model_seed_sd"][1] == pytest.approx(0.3) and np.isnan(found["model_sd"][1])
    assert found.loc[[5, 6]].isna().all(axis=None)


def test_a_split_without_a_fit_empties_the_columns_with_a_note():
    found = collected(PART, {REASON: np.array("too few models")})
    columns = seed_model_columns(found, rows())
    assert columns.isna().all(axis=None) and list(columns) == list(COLUMNS)
    assert seed_model_notes(found) == ["toy: the seed model could not be fitted in 1 of 2 splits: too few models"]


def test_only_checks_that_speak_against_the_model_are_noted():
    assert seed_model_notes(collected(PART)) == [
        "toy: check score_sd of the seed model failed in 1 of 1 splits: rely on seed_sd"
    ]
