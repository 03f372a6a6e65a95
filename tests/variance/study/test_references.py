import pandas as pd

from irt_bench.variance.study.references import is_null, is_reference

ROWS = pd.DataFrame(
    {"method": ["random", "random", "full", "anchors"], "weights": ["equal", "minimum-variance", "equal", "equal"]}
)


def test_random_items_of_other_weights_are_a_method_and_no_reference():
    assert is_null(ROWS).tolist() == [True, False, False, False]
    assert is_reference(ROWS).tolist() == [True, False, True, False]
