import numpy as np
import pandas as pd
import xarray as xr

from irt_bench.report.figures.fit_figures import item_curves_figure, wright_map


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
    shares = np.array([[0.1, 0.5, 0.9], [0.8, 0.5, 0.1]])  # the second is mis-keyed
    seen = {
        "proportion_correct": shares,
        "proportion_correct_q05": shares - 0.1,
        "proportion_correct_q95": shares + 0.1,
    }
    observed = xr.Dataset(
        {name: (("item", "group"), each) for name, each in seen.items()} | {"ability": ("group", [-1.0, 0.0, 1.0])},
        {"item": ["a", "b"]},
    )
    (axes,) = item_curves_figure(curves, observed).axes
    np.testing.assert_allclose(axes.lines[1].get_ydata(), middle[1])
    assert len(axes.collections) == 6
    np.testing.assert_allclose(axes.collections[5].get_offsets()[:, 1], shares[1])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
