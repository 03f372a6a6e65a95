import json

import numpy as np
import pandas as pd

from irt_bench.checks.check_fit import ModelChecks
from irt_bench.checks.predictive import LeaveOneOut
from irt_bench.files import json_text
from irt_bench.inference.convergence import Check

EMPTY = pd.DataFrame()


def build(*checks):
    score = LeaveOneOut(
        "cell", -10.0, 1.0, -0.5, 0.05, 2.0, 20, 20, 400, np.array([0.1, 0.3]), np.zeros(2), np.arange(2)
    )
    pairs = pd.DataFrame({"item_a": ["x"], "item_b": ["y"], "q3": [0.4], "q3_excess": [0.5]})
    return ModelChecks(checks, EMPTY, EMPTY, pairs, EMPTY, EMPTY, EMPTY, EMPTY, (score,), ("note",), 39, 7)


def test_checks_that_do_not_apply_do_not_fail():
    passed, failed = Check("a", "passed", 1.0, 2.0, "", "s"), Check("b", "failed", 3.0, 2.0, "", "s")
    assert build(passed, Check("c", "not_applicable", None, None, "", "")).passed
    assert not build(passed, failed).passed


def test_the_summary_is_plain_json_with_seed_and_replicates():
    told = json.loads(json_text(build(Check("a", "passed", 1.0, 2.0, "m", "s")).to_dict()))
    assert told["checks"][0] == {
        "name": "a", "status": "passed", "value": 1.0, "threshold": 2.0, "message": "m", "source": "s"
    }  # fmt: skip
    assert told["seed"] == 7 and told["replicates"] == 39 and told["pairs"][0]["item_a"] == "x"
    assert told["log_scores"][0]["largest_k"] == 0.3 and told["log_scores"][0]["mean_q05"] < -0.5


def test_the_table_has_a_row_a_check():
    table = build(Check("a", "passed", 1.0, 2.0, "m", "s")).table()
    assert table.index.tolist() == ["a"] and table.loc["a", "threshold"] == 2
