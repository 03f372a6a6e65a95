"""Figures of finished results: items, fits, comparisons, information and score curves.

Every function takes computed frames and returns a `Figure`; nothing is estimated here. Titles state the finding, axes
the quantity and its unit. `save_figure` writes the same bytes for the same figure. Each module is imported when one of
its names is first used, since Matplotlib takes half a second.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irt_bench.report.figures.canvas import FigureLook as FigureLook
    from irt_bench.report.figures.canvas import on_page as on_page
    from irt_bench.report.figures.canvas import save_figure as save_figure
    from irt_bench.report.figures.canvas import save_figures as save_figures
    from irt_bench.report.figures.canvas import with_look as with_look
    from irt_bench.report.figures.fit_figures import abilities_figure as abilities_figure
    from irt_bench.report.figures.fit_figures import fit_figure as fit_figure
    from irt_bench.report.figures.fit_figures import item_cards_figure as item_cards_figure
    from irt_bench.report.figures.fit_figures import item_curves_figure as item_curves_figure
    from irt_bench.report.figures.fit_figures import loadings_figure as loadings_figure
    from irt_bench.report.figures.fit_figures import outcomes_figure as outcomes_figure
    from irt_bench.report.figures.fit_figures import parameters_figure as parameters_figure
    from irt_bench.report.figures.fit_figures import posterior_figure as posterior_figure
    from irt_bench.report.figures.fit_figures import scalar_names as scalar_names
    from irt_bench.report.figures.fit_figures import wright_map as wright_map
    from irt_bench.report.figures.item_figures import curves_figure as curves_figure
    from irt_bench.report.figures.item_figures import information_figure as information_figure
    from irt_bench.report.figures.item_figures import items_figure as items_figure
    from irt_bench.report.figures.model_figures import ability_accuracy_figure as ability_accuracy_figure
    from irt_bench.report.figures.model_figures import checks_figure as checks_figure
    from irt_bench.report.figures.model_figures import comparison_figure as comparison_figure
    from irt_bench.report.figures.model_figures import populations_figure as populations_figure
    from irt_bench.report.figures.model_figures import ranks_figure as ranks_figure
    from irt_bench.report.figures.model_figures import raters_figure as raters_figure
    from irt_bench.report.figures.model_figures import scores_figure as scores_figure
    from irt_bench.report.figures.study_figures import adaptive_figure as adaptive_figure
    from irt_bench.report.figures.study_figures import calibrations_figure as calibrations_figure
    from irt_bench.report.figures.study_figures import cures_figure as cures_figure
    from irt_bench.report.figures.study_figures import drawn_estimator as drawn_estimator
    from irt_bench.report.figures.study_figures import forest_figure as forest_figure
    from irt_bench.report.figures.study_figures import paths_figure as paths_figure
    from irt_bench.report.figures.study_figures import scored_figure as scored_figure
    from irt_bench.report.figures.study_figures import subset_comparison_figure as subset_comparison_figure
    from irt_bench.report.figures.study_figures import subset_items_figure as subset_items_figure
    from irt_bench.report.figures.study_figures import subset_scores_figure as subset_scores_figure
    from irt_bench.report.figures.variance_figures import compared_measures as compared_measures
    from irt_bench.report.figures.variance_figures import curve_figure as curve_figure
    from irt_bench.report.figures.variance_figures import file_name as file_name
    from irt_bench.report.figures.variance_figures import measures_figure as measures_figure
    from irt_bench.report.figures.variance_figures import needed_figure as needed_figure
    from irt_bench.report.figures.variance_figures import recipes_figure as recipes_figure
    from irt_bench.report.figures.variance_figures import seed_sd_figure as seed_sd_figure
    from irt_bench.report.figures.variance_figures import steps_figure as steps_figure

_HOMES = {
    "canvas": ("FigureLook", "on_page", "save_figure", "save_figures", "with_look"),
    "fit_figures": (
        "abilities_figure",
        "fit_figure",
        "item_cards_figure",
        "item_curves_figure",
        "loadings_figure",
        "outcomes_figure",
        "parameters_figure",
        "posterior_figure",
        "scalar_names",
        "wright_map",
    ),
    "item_figures": ("curves_figure", "information_figure", "items_figure"),
    "model_figures": (
        "ability_accuracy_figure",
        "checks_figure",
        "comparison_figure",
        "populations_figure",
        "ranks_figure",
        "raters_figure",
        "scores_figure",
    ),
    "study_figures": (
        "adaptive_figure",
        "calibrations_figure",
        "cures_figure",
        "drawn_estimator",
        "forest_figure",
        "paths_figure",
        "scored_figure",
        "subset_comparison_figure",
        "subset_items_figure",
        "subset_scores_figure",
    ),
    "variance_figures": (
        "compared_measures",
        "curve_figure",
        "file_name",
        "measures_figure",
        "needed_figure",
        "recipes_figure",
        "seed_sd_figure",
        "steps_figure",
    ),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_MODULES)  # noqa: PLE0605 - a list


def __getattr__(name: str) -> Any:
    """Import the module of a figure when it is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
