import numpy as np
import pandas as pd
import xarray as xr

from irt_bench.report.figures.wright import item_curves_figure, wright_map


def test_every_model_and_item_is_counted_on_one_scale():
    rng = np.random.default_rng(0)
    figure = wright_map(pd.Series(rng.normal(size=50)), pd.Series([*rng.normal(size=199), 40.0]))
    top, bottom = figure.axes
    assert sum(bar.get_height() for bar in top.patches) == 50
    assert sum(bar.get_height() for bar in bottom.patches) == 200  # the one far off in the outer bar
    assert top.get_xlim() == bottom.get_xlim() and top.get_xlim()[1] < 10
    assert "of 200 items are harder" in figure.get_suptitle()


def test_items_have_a_curve_and_a_band_each():
    ability = np.linspace(-3, 3, 7)
    middle = 1 / (1 + np.exp(-np.stack([ability, 2 * ability])))
    values = {"probability": middle, "probability_q05": middle * 0.9, "probability_q95": middle * 1.05}
    curves = xr.Dataset(
        {name: (("item", "ability"), each) for name, each in values.items()}, {"item": ["a", "b"], "ability": ability}
    )
    (axes,) = item_curves_figure(curves).axes
    np.testing.assert_allclose(axes.lines[1].get_ydata(), middle[1])
    assert len(axes.collections) == 2
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
