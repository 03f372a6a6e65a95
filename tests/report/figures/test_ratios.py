import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from irt_bench.report.figures.canvas import BLUE, GREY, VERMILION
from irt_bench.report.figures.study_figures import ratios_figure


def rows(**changes):
    data = {
        "label": ["a", "b", "c"], "size": 20, "ratio": [0.5, 1.5, 0.5], "ratio_q05": [0.4, 1.2, 0.2],
        "ratio_q95": [0.7, 1.9, 1.4], "verdict": ["cuts", "raises", "no difference shown"], "random_q05": 0.8,
        "random_q95": 1.25,
    }  # fmt: skip
    return pd.DataFrame(data | changes)


def colours(axes):
    found = {}
    for each in axes.collections:
        for offset in each.get_offsets() if len(each.get_facecolor()) else []:
            found[round(float(offset[1]))] = to_hex(each.get_facecolor()[0]).upper()
    return found


def test_colours_follow_the_verdict_never_the_ratio():
    axes = ratios_figure(rows()).axes[0]
    assert colours(axes) == {0: BLUE, 1: VERMILION, 2: GREY}  # c has the ratio of a, and no verdict
    assert axes.get_xscale() == "log"


def test_the_band_of_random_subsets_lies_behind():
    axes = ratios_figure(rows()).axes[0]
    np.testing.assert_allclose([bar.get_x() for bar in axes.patches], 0.8)
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], 0.45)


def test_a_ratio_far_off_is_drawn_at_the_edge():
    axes = ratios_figure(rows(ratio=[0.001, 1.5, 50.0])).axes[0]
    low, high = axes.get_xlim()
    drawn = [float(offset[0]) for each in axes.collections for offset in each.get_offsets()]
    assert low >= 0.1 and high <= 10.0 and all(low <= value <= high for value in drawn if value)


def test_there_is_a_panel_per_size():
    both = pd.concat([rows(), rows(size=50)])
    assert [axes.get_title(loc="left") for axes in ratios_figure(both).axes] == ["20 items", "50 items"]
