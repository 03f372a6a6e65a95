import numpy as np
import pandas as pd
import pytest

from irt_bench.subsets.basis import SelectionBasis
from irt_bench.subsets.compare import RandomSubsets, random_errors, relative_to_random


def test_a_percentile_is_the_share_of_random_subsets_that_are_no_worse():
    random = pd.DataFrame({"size": 2, "estimator": "e", "replicate": range(4), "mae": [0.05, 0.1, 0.2, 0.3]})
    table = pd.DataFrame({"size": [2, 2, 9], "estimator": "e", "mae": [0.1, 0.01, 0.1]})
    found = relative_to_random(table, random)
    assert found["percentile"].tolist() == pytest.approx([3 / 5, 1 / 5, np.nan], nan_ok=True)
    assert found["random"].iloc[0] == pytest.approx(0.1625)
    assert found["random_q95"].iloc[0] == pytest.approx(np.quantile([0.05, 0.1, 0.2, 0.3], 0.95))


def test_errors_of_plain_means_are_those_found_by_hand_and_follow_the_seed(toy):
    old, new = (toy.counts.take(models=part) for part in (slice(0, 80), slice(80, 120)))
    basis = SelectionBasis(old, toy.posterior(old))
    drawn = RandomSubsets((15,), ("weighted", "ridge"), 3, 7)
    found = random_errors(basis, new, drawn, {})
    first = np.sort(np.random.default_rng([7, 15, 0]).choice(60, 15, replace=False))
    by_hand = np.abs(new.correct[:, first].mean(axis=1) - new.correct.mean(axis=1)).sum()
    assert found["error"].iloc[0] == pytest.approx(by_hand)
    pd.testing.assert_frame_equal(found, random_errors(basis, new, drawn, {}))
    assert (found["n"] == 40).all() and len(found) == 6


def test_estimators_that_mix_are_left_out_where_no_share_is_known(toy):
    basis = SelectionBasis(toy.counts, toy.posterior(toy.counts))
    found = random_errors(basis, toy.counts, RandomSubsets((10,), ("weighted", "gp_irt"), 1, 0), {})
    assert set(found["estimator"]) == {"weighted"}
