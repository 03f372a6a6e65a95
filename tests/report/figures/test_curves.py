import numpy as np
import pandas as pd

from irt_bench.report.figures import (
    curves_figure,
    information_figure,
)


def curve(name, values):
    frame = pd.DataFrame({name: values, f"{name}_q05": values * 0.9, f"{name}_q95": values * 1.1})
    return frame.set_axis(pd.Index(np.linspace(-3, 3, len(values)), name="ability"), axis=0)


def test_information_figure_draws_information_error_and_abilities(made_abilities):
    information = curve("information", 20 * np.exp(-(np.linspace(-3, 3, 61) ** 2)))
    figure = information_figure(information, made_abilities(100)["ability"])
    top, middle, reliability, bottom = figure.axes
    np.testing.assert_allclose(top.lines[0].get_ydata(), information["information"])
    np.testing.assert_allclose(middle.lines[0].get_ydata(), 1 / np.sqrt(information["information"]))
    drawn = reliability.lines[0].get_ydata()
    np.testing.assert_allclose(drawn, 1 - 1 / (1 + information["information"]))
    assert sum(bar.get_height() for bar in bottom.patches) == 100
    assert figure.get_suptitle() == "Abilities near 0.0 are measured best, to a standard error of 0.22"
    assert "squared unit" in top.get_ylabel()
    assert middle.get_ylim()[1] < 2


def test_information_figure_takes_the_standard_error_where_it_is_given():
    both = curve("information", np.full(5, 4.0)).join(curve("standard_error", np.full(5, 0.7)))
    figure = information_figure(both.to_xarray())
    assert len(figure.axes) == 3
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), 0.7)


def test_few_abilities_are_single_lines(made_abilities):
    figure = information_figure(curve("information", np.linspace(1, 5, 20)), made_abilities(6)["ability"])
    assert len(figure.axes[3].collections[0].get_segments()) == 6


def test_curves_figure_draws_curve_and_models(made_abilities, marks):
    score = curve("score", np.linspace(0.1, 0.9, 25))
    figure = curves_figure(score.to_xarray(), made_abilities(30))
    (axes,) = figure.axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), score["score"])
    assert len(marks(axes, "models")) == 30
    assert figure.get_suptitle() == "Expected score goes from 10% at ability -3.0 to 90% at 3.0"
    assert len(curves_figure(score).axes[0].collections) == 1
