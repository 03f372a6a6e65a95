import numpy as np
import pandas as pd
import pytest

from irt_bench import save_figure
from irt_bench.report.figures.study_figures import subset_comparison_figure
from irt_bench.report.tables.score_tables import best_table, coverage_table, error_table, markdown, shift_table


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


def test_errors_are_in_points_with_random_subsets_first(table):
    errors = error_table(table, 20)
    assert list(errors.index[:3]) == ["random subsets: mean", "random subsets: 5%", "random subsets: 95%"]
    assert errors.loc["random subsets: mean", "weighted"] == pytest.approx(3.0)
    assert errors.loc["anchors, anchor", "p-IRT"] == pytest.approx(3.0)


def test_markdown_has_a_line_a_row_and_dashes_for_what_is_undefined():
    frame = pd.DataFrame({"x": [1.234, np.nan]}, index=pd.Index(["a", "b"], name="m"))
    assert markdown(frame).splitlines() == ["| m | x |", "|---|--:|", "| a | 1.23 |", "| b | – |"]


def test_the_best_recipes_come_first_with_errors_in_points(table):
    full = table.assign(bias=-0.01, width=0.2, kendall=0.8, coverage=0.9, percentile=0.1)
    best = best_table(full, 20, n_rows=3)
    assert best["error"].is_monotonic_increasing and len(best) == 3
    assert (best["bias"] == -1.0).all() and (best["coverage"] == 0.9).all()


def test_coverage_is_in_percent_by_size_and_estimator():
    index = pd.MultiIndex.from_tuples([(20, "all"), (20, "p_irt")], names=["size", "estimator"])
    coverage = pd.DataFrame(
        {"coverage": 0.9, "coverage_q05": 0.88, "coverage_q95": 0.92, "in_range": 0.7, "in_range_expected": 0.75}, index
    )
    found = coverage_table(coverage)
    assert list(found.index) == ["20 items, all", "20 items, p-IRT"]
    assert found.iloc[0].tolist() == pytest.approx([90, 88, 92, 70, 75])


def test_bias_under_a_shift_is_the_median_and_the_worst_of_the_methods():
    shifted = pd.DataFrame(
        {"size": 20, "method": list("abc"), "estimator": "ridge", "bias": [-0.10, -0.01, 0.03], "weights": "equal"}
    )
    found = shift_table(shifted).loc["ridge"]
    assert found.tolist() == pytest.approx([-1.0, -10.0])


def test_the_figure_has_a_panel_for_each_estimator_and_size_and_the_same_bytes_each_time(table, tmp_path):
    figure = subset_comparison_figure(table)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "weighted, 20 items", "weighted, 50 items", "p-IRT, 20 items", "p-IRT, 50 items",
    ]  # fmt: skip
    for name in ("a.png", "b.png"):
        save_figure(subset_comparison_figure(table), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
