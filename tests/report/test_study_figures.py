import pandas as pd

from irt_bench.report.figures.study_figures import forest_figure, forest_rows


def test_the_forest_has_a_panel_per_size_and_shows_how_many_cut():
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
    assert len(figure.axes) == 2 and "2 of 2 reduce it" in figure.get_suptitle()


def test_the_band_is_that_of_random_subsets_of_the_same_weights():
    row = {"benchmark": "b", "run": "pooled", "estimator": "weighted", "size": 20, "ratio": 1.0, "verdict": ""}
    rows = [
        {**row, "method": "random", "weights": "equal", "ratio_q05": 0.9, "ratio_q95": 1.1},
        {**row, "method": "random", "weights": "anchor", "ratio_q05": 0.5, "ratio_q95": 1.6},
        {**row, "method": "anchors", "weights": "anchor", "ratio_q05": 0.6, "ratio_q95": 1.3},
    ]
    found = forest_rows(pd.DataFrame(rows), "b")
    assert found[["label", "random_q05", "random_q95"]].to_numpy().tolist() == [["anchors", 0.5, 1.6]]
