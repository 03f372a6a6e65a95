import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot

from irt_bench.errors import OutputError
from irt_bench.report.figures.fit_figures import posterior_figure, scalar_names


@pytest.fixture
def posterior():
    rng = np.random.default_rng(0)
    drawn = {name: (("chain", "draw"), rng.normal(size=(2, 700))) for name in ("difficulty_mean", "difficulty_sd")}
    return xr.Dataset(drawn | {"ability": (("chain", "draw", "model"), rng.normal(size=(2, 700, 3)))})


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")  # of ArviZ
def test_arviz_draws_what_belongs_to_no_model_or_item(posterior):
    assert scalar_names(posterior) == ["difficulty_mean", "difficulty_sd"]
    open_before = pyplot.get_fignums()
    figure = posterior_figure(posterior)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["difficulty_mean"] * 2 + ["difficulty_sd"] * 2
    assert max(len(line.get_xdata()) for axes in figure.axes[1::2] for line in axes.lines) <= 500
    assert pyplot.get_fignums() == open_before


def test_what_is_not_in_the_posterior_is_named(posterior):
    with pytest.raises(OutputError, match="nonsense; it has difficulty_mean"):
        posterior_figure(posterior, ["nonsense"])
