"""Figures of finished results: items, fits, comparisons, information and score curves.

Every function takes computed frames and returns a `Figure`; nothing is estimated here. Titles say the finding, axes the
quantity and its unit. `save_figure` writes the same bytes for the same figure.
"""

from irt_bench.report.canvas import save_figure
from irt_bench.report.figures.checks import checks_figure
from irt_bench.report.figures.comparison import comparison_figure
from irt_bench.report.figures.curves import curves_figure, information_figure
from irt_bench.report.figures.fit import fit_figure
from irt_bench.report.figures.items import items_figure
from irt_bench.report.figures.paths import paths_figure
from irt_bench.report.figures.posterior import posterior_figure
from irt_bench.report.figures.ratios import ratios_figure

__all__ = [
    "checks_figure",
    "comparison_figure",
    "curves_figure",
    "fit_figure",
    "information_figure",
    "items_figure",
    "paths_figure",
    "posterior_figure",
    "ratios_figure",
    "save_figure",
]
