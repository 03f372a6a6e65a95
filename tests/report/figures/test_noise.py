import numpy as np
import pandas as pd
import pytest

from irt_bench.report.figures.canvas import NARROW, on_page
from irt_bench.report.figures.variance_figures import (
    components_figure,
    recipes_figure,
    score_steps_figure,
    seed_sd_figure,
    subset_size_figure,
)


def test_seed_sds_are_drawn_in_points_with_their_intervals():
    rows = pd.DataFrame(
        {"seed_sd": [0.02, 0.01], "seed_sd_q05": [0.015, 0.008], "seed_sd_q95": [0.03, 0.02]}, index=["a", "b"]
    )
    (axes,) = seed_sd_figure(rows).axes
    np.testing.assert_allclose(axes.collections[1].get_offsets()[:, 0], [2.0, 1.0])
    np.testing.assert_allclose(axes.collections[0].get_segments()[0][:, 0], [1.5, 3.0])
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first on top


def test_sources_begin_at_0():
    parts = pd.DataFrame({"sd": [0.0, 0.03], "sd_q05": [0.0, 0.02], "sd_q95": [0.02, 0.04]}, index=["common", "single"])
    assert components_figure(parts).axes[0].get_xlim()[0] == 0


def test_scores_have_a_line_per_seed_and_their_mean():
    grid = [("r", seed, step, 0.1 * seed + 0.01 * step) for seed in range(3) for step in (1, 2, 3)]
    scores = pd.DataFrame(grid, columns=["run", "seed", "step", "score"])
    (axes,) = score_steps_figure(scores).axes
    assert len(axes.lines) == 4
    np.testing.assert_allclose(axes.lines[-1].get_ydata(), [11.0, 12.0, 13.0])


def test_random_subsets_are_drawn_beside_their_prediction():
    k = np.array([10, 100, 1000])
    curve = pd.DataFrame(
        {"run": "r", "form": "random", "k": k, "predicted_sd": 0.5 / np.sqrt(k), "simulated_sd": 0.5 / np.sqrt(k)}
    )
    curve = curve.assign(simulated_q05=curve["simulated_sd"] * 0.8, simulated_q95=curve["simulated_sd"] * 1.2)
    axes = subset_size_figure(curve).axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), 50 / np.sqrt(k))
    np.testing.assert_allclose(axes.collections[1].get_offsets()[:, 1], 50 / np.sqrt(k))


def test_names_of_runs_stand_below_each_other_on_a_narrow_page():
    def columns():
        figure = score_steps_figure(steps_of(4, 2))
        figure.draw_without_rendering()
        return len({round(text.get_window_extent().x0) for text in figure.axes[0].get_legend().get_texts()})

    assert columns() == 3
    with on_page(NARROW - 2):
        assert columns() == 1


def steps_of(n_runs, n_steps, n_seeds=2):
    rows = [
        {"run": f"run-{run:02d}", "seed": seed, "step": 1000 * step + 500, "score": 0.3 + 0.01 * run}
        for run in range(n_runs) for seed in range(n_seeds) for step in range(n_steps)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_one_step_is_a_row_per_run_with_a_dot_per_seed():
    (axes,) = score_steps_figure(steps_of(7, 1)).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"run-{run:02d}" for run in range(7)]
    assert len(axes.collections[1].get_offsets()) == 14


def test_many_runs_share_a_panel_in_which_the_best_and_the_weakest_are_named():
    (axes,) = score_steps_figure(steps_of(30, 5)).axes
    assert len(axes.lines) == 30
    named = [text.get_text() for text in axes.get_legend().get_texts()]
    assert named == ["run-29", "run-28", "run-27", "run-02", "run-01", "run-00"]


@pytest.mark.parametrize("width", [3.75, 7.6])
def test_names_of_twenty_steps_do_not_touch_and_the_last_is_named(width):
    with on_page(width):
        figure = score_steps_figure(steps_of(2, 20))
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
        assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:], strict=False))
        assert not boxes or axes.get_xticklabels()[-1].get_text() == "19500"
    assert boxes


def test_an_interval_without_a_useful_end_does_not_hide_the_others():
    rows = pd.DataFrame({"seed_sd": [0.02, 0.03], "seed_sd_q05": 0.01, "seed_sd_q95": [0.9, 0.05]}, index=["a", "b"])
    (axes,) = seed_sd_figure(rows).axes
    assert axes.get_xlim()[1] == 9 and "> goes on" in axes.get_xlabel()
    assert axes.collections[-1].get_offsets().tolist() == [[9, 0]]
    (whole,) = seed_sd_figure(rows.tail(1)).axes
    assert whole.get_xlim()[1] > 5 and "goes on" not in whole.get_xlabel()


def test_differences_of_recipes_are_coloured_by_their_verdict():
    table = pd.DataFrame(
        {
            "difference": [0.02, 0.0], "difference_q05": [0.01, -0.01], "difference_q95": [0.03, 0.01],
            "verdict": ["real", "cannot tell"],
        },
        index=["arc", "all tasks"],
    )  # fmt: skip
    figure = recipes_figure(table, ("new", "old"))
    (axes,) = figure.axes
    title = " ".join(figure.get_suptitle().split())
    assert title == "new less old: over all 0.00 [-1.00, 1.00] points, cannot tell; real on 1 of 1 task"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["all tasks", "arc"]
    texts = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert texts == ["cannot tell", "real"]
    np.testing.assert_allclose(axes.collections[3].get_offsets(), [[2, 1]])
    more = pd.concat([table.iloc[:1].set_axis(["first"]), table])
    labels = recipes_figure(more).axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == ["all tasks", "first", "arc"]  # the mean, then as in the table
