import numpy as np
import pandas as pd

from irt_bench.report.figures.canvas import NARROW, on_page
from irt_bench.report.figures.variance_figures import (
    components_figure,
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
    curve = pd.DataFrame({"run": "r", "k": k, "predicted_sd": 0.5 / np.sqrt(k), "simulated_sd": 0.5 / np.sqrt(k)})
    curve = curve.assign(simulated_q05=curve["simulated_sd"] * 0.8, simulated_q95=curve["simulated_sd"] * 1.2)
    axes = subset_size_figure(curve).axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), 50 / np.sqrt(k))
    np.testing.assert_allclose(axes.collections[1].get_offsets()[:, 1], 50 / np.sqrt(k))


def test_runs_stand_beside_each_other_or_below_on_a_narrow_page():
    rows = pd.concat([pd.DataFrame({"run": f"r{n}", "seed": [1, 2], "step": 1, "score": 0.5}) for n in range(2)])
    wide = score_steps_figure(rows).axes
    with on_page(NARROW - 1):
        slim = score_steps_figure(rows).axes
    assert wide[0].get_subplotspec().rowspan == wide[1].get_subplotspec().rowspan
    assert slim[0].get_subplotspec().rowspan != slim[1].get_subplotspec().rowspan
