import numpy as np
import pandas as pd
import pytest

from irt_bench.cli.report import run_demo


@pytest.mark.filterwarnings("ignore::irt_bench.errors.UndefinedWarning")  # of the items planted without spread
def test_the_demo_finds_what_was_planted(tmp_path):
    run_demo(tmp_path / "demo", seed=1)
    found = pd.read_csv(tmp_path / "demo" / "recovery.csv", index_col="quantity")
    slopes = found.loc[found.index.str.contains("slope"), "estimated"]
    covered = found.loc[found.index.str.contains("cover"), "estimated"]
    assert np.abs(slopes - 1).max() < 0.15
    assert covered.min() > 0.75
    flagged = found.loc["mis-keyed items flagged negative"]
    assert flagged["estimated"] == flagged["true"]
