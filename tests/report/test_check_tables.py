import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from irt_bench.checks.check_fit import ModelChecks
from irt_bench.inference.convergence import Check
from irt_bench.report.tables.terminal import print_model_checks

EMPTY = pd.DataFrame()


@pytest.fixture
def found():
    items = pd.DataFrame(
        {"infit": [1.0, 1.7], "outfit": 1.0, "s_x2_rmsea": np.nan, "largest_q3": [0.1, 0.4], "curve_misfit": [1, 9.0],
         "misfits": ["", "infit;q3"]}, index=pd.Index(["good", "bad[1]"], name="item"))  # fmt: skip
    models = pd.DataFrame(
        {"score": [0.5, 0.2], "ability": [0.0, -1.0], "zh": [0.3, -5.0], "infit": 1.0, "outfit": 1.0,
         "misfit": [False, True]}, index=pd.Index(["m1", "odd"], name="model"))  # fmt: skip
    pairs = pd.DataFrame({"item_a": ["bad[1]"], "item_b": ["good"], "q3": [0.4], "q3_excess": [0.45]})
    differences = pd.DataFrame(
        {"group": ["g"], "item": ["good"], "delta": [-2.1], "delta_q05": [-2.6], "delta_q95": [-1.6], "large": [True]}
    )
    checks = (
        Check("q3", "failed", 0.45, 0.2, "1 pairs of items beyond the limit", "Christensen"),
        Check("dif", "failed", 1, 0, "1 items differ largely", "Zwick"),
        Check("s_x2", "not_applicable", None, None, "too few models", ""),
    )
    return ModelChecks(checks, items, models, pairs, differences, EMPTY, EMPTY, EMPTY, (), ("a note",), 39, 0)


def test_checks_and_what_misfits_are_printed(found):
    text = io.StringIO()
    print_model_checks(found, benchmark="gsm8k", console=Console(file=text, width=120))
    text = text.getvalue()
    assert "gsm8k: 2 models x 2 items, 39 simulated data sets" in text
    assert "2 failed" in text and "too few models" in text and "bad[1]" in text and "odd" in text
    assert "ETS delta" in text and "[-2.60, -1.60]" in text and "Note: a note" in text
    assert "m1" not in text
