import numpy as np
import pandas as pd

from irt_bench.report.figures.study_figures import paths_figure


def path(benchmark="b"):
    dropped = np.array([0.0, 0.5, 0.9])
    return pd.DataFrame(
        {
            "benchmark": benchmark, "dropped": dropped, "seed_sd": [0.01, 0.02, 0.03], "random_sd": [0.01, 0.015, 0.06],
            "random_q05": 0.008, "random_q95": 0.07, "v_k_sd": [0.01, 0.015, 0.06], "mean": [0.4, 0.35, 0.3],
            "bias": [0.0, -0.05, -0.1], "standard_error": 0.01, "monotonicity": [0.9, 0.8, 0.7],
        }
    )  # fmt: skip


def test_the_path_is_drawn_in_points_beside_random_prunings():
    figure = paths_figure(pd.concat([path(), path("other").assign(seed_sd=1.0)]), "b")
    noise, mean, _ = figure.axes
    drawn = {line.get_label(): line.get_ydata() for line in noise.lines}
    np.testing.assert_allclose(drawn["without the least discriminating"], [1, 2, 3])
    np.testing.assert_allclose(drawn["root of V(k)"], [1, 1.5, 6])
    np.testing.assert_allclose(mean.lines[-1].get_ydata(), [40, 35, 30])
    title = figure.get_suptitle().replace("\n", " ")
    assert "0.50 times that of random items" in title and "90% of the items dropped" in title


def test_monotonicity_has_a_panel_where_there_are_several_steps():
    assert len(paths_figure(path(), "b").axes) == 3
    assert len(paths_figure(path().assign(monotonicity=np.nan), "b").axes) == 2
