"""ArviZ's own plots of a posterior: densities and traces of what belongs to no single model or item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import xarray as xr
from matplotlib.figure import Figure

from irt_bench.errors import OutputError
from irt_bench.names import CHAIN, DRAW
from irt_bench.report.canvas import page_width, styled

MOST: Final = 8  # quantities, a row each
ROW: Final = 1.5  # inches
MOST_DRAWS: Final = 500  # of a chain: more would make a page heavy and look the same


@styled
def posterior_figure(posterior: xr.Dataset, names: Sequence[str] | None = None) -> Figure:
    """Draw ArviZ's trace plot: on the left the density of each chain, on the right its draws in order.

    Parameters
    ----------
    posterior : xr.Dataset
        Draws of dimensions (chain, draw, ..), such as `FitResult.posterior`.
    names : sequence of str, optional
        Quantities; by default those without other dimensions, such as the mean and sd of the items' difficulties.

    Raises
    ------
    OutputError
        If there is nothing to draw.
    """
    import arviz  # takes a second
    from matplotlib import pyplot

    chosen = list(names) if names is not None else scalar_names(posterior)
    missing = [name for name in chosen if name not in posterior]
    if missing or not chosen:
        has = ", ".join(map(str, posterior.data_vars)) or "nothing"
        what = ", ".join(missing) or "quantity without models or items"
        raise OutputError(f"the posterior has no {what}; it has {has}.")
    chosen = chosen[:MOST]
    few = posterior[chosen].isel({DRAW: slice(None, None, -(-posterior.sizes[DRAW] // MOST_DRAWS))})
    drawn = arviz.plot_trace(few, figsize=(page_width(), ROW * len(chosen)), backend="matplotlib", show=False)
    # ArviZ below 1 returns the axes, later a collection of plots.
    figure: Figure = drawn.ravel()[0].figure if hasattr(drawn, "ravel") else drawn.viz["figure"].item()
    pyplot.close(figure)  # ArviZ makes figures by pyplot, which would keep and show them
    figure.set_layout_engine("constrained")
    return figure


def scalar_names(posterior: xr.Dataset) -> list[str]:
    """Names of quantities that have no dimensions but chain and draw."""
    return [str(name) for name, values in posterior.data_vars.items() if set(values.dims) == {CHAIN, DRAW}]
