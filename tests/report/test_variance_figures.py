from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from simulated_seeds import SeedSimulation, simulate_seeds

from irt_bench import seed_variance, table_from_frame
from irt_bench.report.figures import canvas, variance_figures
from irt_bench.report.figures.canvas import with_look
from irt_bench.report.figures.variance_figures import curve_figure, file_name, measures_figure, steps_figure


def test_with_one_step_every_run_is_a_line_with_a_dot_for_every_seed():
    plan = SeedSimulation(n_runs=12, n_seeds=3, n_steps=1, n_items=30, n_subtasks=1)
    figure = steps_figure(seed_variance(simulate_seeds(plan, seed=1), n_subsets=5, n_bootstrap=5).result, "planted")
    (axes,) = figure.axes
    assert len(axes.get_yticks()) == 12 and len(axes.collections[1].get_offsets()) == 36


def test_stratified_and_nested_subsets_are_lines_of_their_own():
    plan = SeedSimulation(n_runs=1, n_seeds=3, n_steps=1, n_items=60, n_subtasks=6)
    figure = curve_figure(seed_variance(simulate_seeds(plan, seed=1), n_subsets=5, n_bootstrap=5).result, "planted")
    (axes,) = figure.axes
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--", ":"]
    legend = axes.get_legend()
    assert len(legend.get_texts()) == 1
    assert "dashed: stratified by subtask; dotted: whole subtasks" in " ".join(legend.get_title().get_text().split())


@pytest.fixture(scope="module")
def found():
    plan = SeedSimulation(n_runs=2, n_seeds=3, n_steps=3, n_items=30, n_subtasks=1)
    return seed_variance(simulate_seeds(plan, seed=1), n_subsets=5, n_bootstrap=5).result


def test_there_is_a_line_for_every_seed_and_one_for_their_mean(found):
    (axes,) = steps_figure(found, "planted").axes
    assert len(axes.lines) == 2 * (3 + 1)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(found.scores["run"].unique())
    means = [line for line in axes.lines if line.get_linewidth() > 1]
    for run, line in zip(found.scores["run"].unique(), means, strict=True):
        own = found.scores[(found.scores["run"] == run) & (found.scores["measure"] == "accuracy")]
        np.testing.assert_allclose(line.get_ydata(), 100 * own.groupby("step", sort=False)["score"].mean())


def test_runs_with_steps_of_their_own_are_lines_over_these():
    plan = SeedSimulation(n_runs=12, n_seeds=3, n_steps=4, n_items=30, n_subtasks=1)
    answers = simulate_seeds(plan, seed=1).to_frame()
    step, odd = answers["step"].rank(method="dense").astype(int), answers["run"].str[-1].astype(int) % 2
    uneven = table_from_frame(answers[step % 2 == odd])
    (axes, *_) = steps_figure(seed_variance(uneven, n_subsets=5, n_bootstrap=5).result, "planted").axes
    assert len(axes.lines) == 12
    for line in axes.lines:
        assert len(line.get_xdata()) == 2 and np.isfinite(line.get_ydata()).all() and line.get_marker() == "o"
    whole = steps_figure(seed_variance(table_from_frame(answers), n_subsets=5, n_bootstrap=5).result, "planted").axes[0]
    assert {(len(line.get_xdata()), line.get_marker()) for line in whole.lines} == {(4, "None")}


def inches_cut_off(figure):
    """How far the parts of a figure reach beyond its edge."""
    figure.draw_without_rendering()
    needed, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return max(-needed.x0, -needed.y0, needed.x1 - width, needed.y1 - height)


@pytest.mark.parametrize("look", [{}, {"width": 3.5}])
def test_long_names_of_runs_and_all_forms_of_subsets_have_room(monkeypatch, look):
    plan = SeedSimulation(n_runs=6, n_seeds=3, n_steps=2, n_items=60, n_subtasks=6)
    answers = simulate_seeds(plan, seed=1).to_frame()
    answers["run"] = "a long name of a recipe " + answers["run"].astype(str)
    named = seed_variance(table_from_frame(answers), n_subsets=5, n_bootstrap=5).result
    for draw in (steps_figure, curve_figure):
        figure = with_look(lambda draw=draw: draw(named, "planted"), **look)
        assert inches_cut_off(figure) < 0.05
        assert figure.axes[0].get_position().width > 0.7
    monkeypatch.setattr(variance_figures, "LEGEND_COLUMN", 0.5)  # the control
    with pytest.warns(UserWarning, match="collapsed"):
        with_look(lambda: curve_figure(named, "planted"), **look).draw_without_rendering()


def test_ticks_of_scores_are_no_wider_once_they_are_laid_out(found, monkeypatch):
    values = [name for name in found.curve if name.endswith(("_sd", "_q05", "_q95"))]
    largest = np.nanmax(found.curve[values].to_numpy())

    def most_cut_off():
        """As figures are saved: nothing moves after the layout."""
        worst = -np.inf
        for top in (0.01, 0.05, 0.1):
            scaled = found.curve.assign(**{name: top / largest * found.curve[name] for name in values})
            with canvas._style():
                figure = curve_figure(replace(found, curve=scaled), "planted")
                figure.get_layout_engine().execute(figure)
                figure.set_layout_engine(None)
                worst = max(worst, inches_cut_off(figure))
        return worst

    assert most_cut_off() < 0
    monkeypatch.setattr(variance_figures, "MAX_SCORES", "auto")  # the control
    assert most_cut_off() > 0.03


def test_the_curve_shows_prediction_and_simulation_of_every_run(found):
    (axes,) = curve_figure(found, "planted").axes
    for run, line in zip(found.curve["run"].unique(), axes.lines, strict=True):
        own = found.curve[(found.curve["run"] == run) & (found.curve["form"] == "random")]
        np.testing.assert_allclose(line.get_ydata(), 100 * own["predicted_sd"])


def test_the_measures_figure_counts_those_with_a_higher_ratio(found):
    row = {"benchmark": "planted", "a": "margin", "snr_ratio": 2.0, "snr_ratio_q05": 1.5, "snr_ratio_q95": 3.0}
    found.__dict__["measures"] = pd.DataFrame([row | {"snr_verdict": "higher"}])
    assert "1 of 1" in measures_figure(found.measures, "planted").get_suptitle()


def test_file_names_hold_nothing_but_plain_characters():
    assert file_name("arc-easy", 0) == "arc-easy"
    assert file_name("../x/y", 3) == "_x_y-4"
