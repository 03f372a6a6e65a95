import pandas as pd

from irt_bench.study.collect import is_random, is_random_mean, is_reference

ROWS = pd.DataFrame(
    {
        "method": ["random", "random", "random", "full", "anchors"],
        "weights": ["equal", "minimum-variance", "equal", "equal", "equal"],
        "estimator": ["weighted", "weighted", "p_irt", "weighted", "weighted"],
    }
)


def test_random_items_are_references_whatever_weighs_and_scores_them():
    assert is_random(ROWS).tolist() == [True, True, True, False, False]
    assert is_random_mean(ROWS).tolist() == [True, False, False, False, False]
    assert is_reference(ROWS).tolist() == [True, True, True, True, False]
