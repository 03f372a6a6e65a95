"""Figures of finished results: items, fits, comparisons, information and score curves.

Every function takes computed frames and returns a `Figure`; nothing is estimated here. Titles state the finding, axes
the quantity and its unit. `save_figure` writes the same bytes for the same figure.
"""

from irt_bench.report.figures.canvas import save_figure
from irt_bench.report.figures.fit_figures import (
    abilities_figure,
    fit_figure,
    loadings_figure,
    parameters_figure,
    posterior_figure,
)
from irt_bench.report.figures.item_figures import curves_figure, information_figure, items_figure
from irt_bench.report.figures.model_figures import checks_figure, comparison_figure

__all__ = [
    "abilities_figure",
    "checks_figure",
    "comparison_figure",
    "curves_figure",
    "fit_figure",
    "loadings_figure",
    "information_figure",
    "items_figure",
    "parameters_figure",
    "posterior_figure",
    "save_figure",
]
