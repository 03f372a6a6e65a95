import pandas as pd
import pytest

from irt_bench import save_figure
from irt_bench.report.figures.study_figures import subset_comparison_figure


@pytest.fixture
def table():
    rows = [
        (size, method, weights, name, 0.5 / size + 0.001 * len(name), 0.6 / size, 0.4 / size, 0.9 / size)
        for size in (20, 50)
        for method, weights in (("random", "equal"), ("anchors", "anchor"), ("random", "minimum-variance"))
        for name in ("weighted", "p_irt")
    ]
    columns = ["size", "method", "weights", "estimator", "mae", "random", "random_q05", "random_q95"]
    return pd.DataFrame(rows, columns=columns)


def test_the_figure_has_a_panel_for_each_estimator_and_size_and_the_same_bytes_each_time(table, tmp_path):
    figure = subset_comparison_figure(table)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "weighted, 20 items", "weighted, 50 items", "p-IRT, 20 items", "p-IRT, 50 items",
    ]  # fmt: skip
    for name in ("a.png", "b.png"):
        save_figure(subset_comparison_figure(table), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
