import pandas as pd

from irt_bench.report.study_figures import forest_figure


def test_the_forest_has_a_panel_a_size_and_says_how_many_cut():
    row = {
        "benchmark": "b",
        "run": "pooled",
        "weights": "equal",
        "estimator": "weighted",
        "ratio_q05": 0.8,
        "ratio_q95": 1.2,
    }
    rows = []
    for size in (20, 50):
        rows.append({**row, "method": "random", "size": size, "ratio": 1.0, "verdict": ""})
        rows.append({**row, "method": "anchors", "size": size, "ratio": 0.7, "verdict": "cuts"})
    figure = forest_figure(pd.DataFrame(rows), "b")
    assert len(figure.axes) == 2 and "of 2 subsets 2 cut" in figure.get_suptitle()
