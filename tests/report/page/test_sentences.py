import math

import pandas as pd
import pytest

from irt_bench.report.page.sentences import noisiest_sentence, subset_sentences, verdict_of, with_interval


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.5, 0.9, "cuts"), (1.1, 2.0, "raises"), (0.9, 1.1, "no difference shown"), (0.5, 1.0, "no difference shown")],
)
def test_a_ratio_differs_only_if_its_interval_leaves_out_1(low, high, verdict):
    assert verdict_of(low, high) == verdict


def test_an_estimate_without_an_interval_says_so():
    assert "no interval" in with_interval(1.0, math.nan, math.nan)
    assert with_interval(math.nan, 0.0, 1.0) == "not known"


def test_benchmarks_whose_intervals_overlap_show_no_difference():
    rows = pd.DataFrame(
        {"benchmark": ["a", "b"], "seed_sd": [0.01, 0.03], "seed_sd_q05": [0.005, 0.02], "seed_sd_q95": [0.015, 0.05]}
    )
    assert "do not overlap" in noisiest_sentence(rows)
    assert "no difference shown" in noisiest_sentence(rows.assign(seed_sd_q95=[0.025, 0.05]))


def test_subsets_that_cut_nothing_are_said_to_show_no_difference():
    same = ["no difference shown"] * 3
    found = subset_sentences(pd.DataFrame({"verdict": same, "verdict_full": ["raises", *same[1:]]}))
    assert found[0].startswith("Against random subsets of the same size: no difference shown for any of 3 ways")
    assert "none is shown to cut" in found[1]
