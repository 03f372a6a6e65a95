import pandas as pd
import pytest

from irt_bench.variance.seed_checks import description_checks


@pytest.mark.parametrize(
    ("ratio", "values", "failed"),
    [
        (1.1, (0.02, 0.02, 0.019), set()),
        (0.6, (0.02, 0.02, 0.019), {"answers"}),
        (1.0, (0.03, 0.02, 0.02), {"equal_spread"}),
        (1.0, (0.02, 0.02, 0.03), {"score_sd"}),
        (float("nan"), (0.02, 0.02, float("nan")), set()),
    ],
)
def test_each_check_names_what_the_model_misses(ratio, values, failed):
    table = pd.DataFrame({"run": "pooled", "quantity": ["score_sd", "these_score_sd", "score_sd_seen"]})
    checks = description_checks(ratio, table.assign(estimate=values))
    assert {check.name for check in checks if check.status == "failed"} == failed
    assert sum(check.status == "not_applicable" for check in checks) == (2 if ratio != ratio else 0)
