"""Bayesian item response models for language-model benchmarks.

In ten lines::

    from irt_bench import fit, item_analysis, load_example, make_subset

    table = load_example("benchmark")             # or read_responses(["logs/"]), a DataFrame, an array
    item_analysis(table).flagged()                # items that look broken
    fitted = fit(table, "2pl", seed=1)            # draws from the posterior, with checks
    fitted.abilities()                            # abilities with intervals, beside accuracy
    fitted.plot("wright")                         # models and items on one scale
    fitted.check().summary()                      # does the model describe the answers?
    subset = make_subset(table, 20)               # a reduced benchmark
    subset.score(table)                           # full scores estimated from 20 items

Everything that takes responses takes a `ResponseTable`, `ResponseCounts`, a wide or long DataFrame, or an array.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irt_bench.api.analysis import AccuracyComparison as AccuracyComparison
    from irt_bench.api.analysis import FitChecks as FitChecks
    from irt_bench.api.analysis import ItemAnalysis as ItemAnalysis
    from irt_bench.api.analysis import item_analysis as item_analysis
    from irt_bench.api.fit import Fit as Fit
    from irt_bench.api.fitting import ScaleLink as ScaleLink
    from irt_bench.api.fitting import calibrate_items as calibrate_items
    from irt_bench.api.fitting import equate_scores as equate_scores
    from irt_bench.api.fitting import fit as fit
    from irt_bench.api.fitting import fit_benchmarks as fit_benchmarks
    from irt_bench.api.fitting import link_scales as link_scales
    from irt_bench.api.fitting import predict_items as predict_items
    from irt_bench.api.model_scores import ModelScores as ModelScores
    from irt_bench.api.model_scores import RecipeComparison as RecipeComparison
    from irt_bench.api.model_scores import compare_models as compare_models
    from irt_bench.api.model_scores import model_scores as model_scores
    from irt_bench.api.model_scores import plot_scores as plot_scores
    from irt_bench.api.model_scores import score_with_items as score_with_items
    from irt_bench.api.one_page import report_responses as report_responses
    from irt_bench.api.study import Study as Study
    from irt_bench.api.study import run_study as run_study
    from irt_bench.api.subset import Subset as Subset
    from irt_bench.api.subset import make_subset as make_subset
    from irt_bench.api.subset_comparison import CalibrationComparison as CalibrationComparison
    from irt_bench.api.subset_comparison import SubsetComparison as SubsetComparison
    from irt_bench.api.subset_comparison import compare_calibrations as compare_calibrations
    from irt_bench.api.subset_comparison import compare_subsets as compare_subsets
    from irt_bench.api.variance import SeedVariance as SeedVariance
    from irt_bench.api.variance import compare_recipes as compare_recipes
    from irt_bench.api.variance import compare_seed_variance as compare_seed_variance
    from irt_bench.api.variance import seed_variance as seed_variance
    from irt_bench.errors import ConvergenceWarning as ConvergenceWarning
    from irt_bench.errors import FitWarning as FitWarning
    from irt_bench.errors import IrtBenchError as IrtBenchError
    from irt_bench.examples import load_example as load_example
    from irt_bench.inference.settings import LaplaceSettings as LaplaceSettings
    from irt_bench.inference.settings import NUTSSettings as NUTSSettings
    from irt_bench.inference.settings import SVISettings as SVISettings
    from irt_bench.irt_models.item_regression import ItemRegression as ItemRegression
    from irt_bench.irt_models.logistic import FourPL as FourPL
    from irt_bench.irt_models.logistic import OnePL as OnePL
    from irt_bench.irt_models.logistic import ThreePL as ThreePL
    from irt_bench.irt_models.logistic import TwoPL as TwoPL
    from irt_bench.irt_models.model import Beta as Beta
    from irt_bench.irt_models.model import HalfNormal as HalfNormal
    from irt_bench.irt_models.model import Hierarchical as Hierarchical
    from irt_bench.irt_models.model import IRTModel as IRTModel
    from irt_bench.irt_models.model import Normal as Normal
    from irt_bench.irt_models.multidimensional import BifactorTwoPL as BifactorTwoPL
    from irt_bench.irt_models.multidimensional import ConfirmatoryTwoPL as ConfirmatoryTwoPL
    from irt_bench.irt_models.multidimensional import MultidimensionalTwoPL as MultidimensionalTwoPL
    from irt_bench.irt_models.ordered_and_continuous import GeneralizedPartialCredit as GeneralizedPartialCredit
    from irt_bench.irt_models.ordered_and_continuous import GradedResponse as GradedResponse
    from irt_bench.irt_models.ordered_and_continuous import ZeroOneBeta as ZeroOneBeta
    from irt_bench.irt_models.populations import Groups as Groups
    from irt_bench.irt_models.populations import Regression as Regression
    from irt_bench.irt_models.raters import ManyFacet as ManyFacet
    from irt_bench.irt_models.simulate import simulate_responses as simulate_responses
    from irt_bench.report.figures.canvas import save_figure as save_figure
    from irt_bench.report.page import write_report as write_report
    from irt_bench.responses.canonical import as_counts as as_counts
    from irt_bench.responses.canonical import as_table as as_table
    from irt_bench.responses.canonical import table_from_frame as table_from_frame
    from irt_bench.responses.counts import ResponseCounts as ResponseCounts
    from irt_bench.responses.formats.tables import read_counts as read_counts
    from irt_bench.responses.formats.tables import write_table as write_table
    from irt_bench.responses.read import describe_responses as describe_responses
    from irt_bench.responses.read import read_responses as read_responses
    from irt_bench.responses.table import ResponseTable as ResponseTable
    from irt_bench.study.design import StudyDesign as StudyDesign
    from irt_bench.subsets.harness.export_tasks import AdaptiveRules as AdaptiveRules

# Where each public name is defined: imported when it is first used, since the libraries behind take seconds.
_NAMES = {
    "api.analysis": "AccuracyComparison FitChecks ItemAnalysis item_analysis",
    "api.fit": "Fit",
    "api.fitting": "ScaleLink calibrate_items equate_scores fit fit_benchmarks link_scales predict_items",
    "api.model_scores": "ModelScores RecipeComparison compare_models model_scores plot_scores score_with_items",
    "api.one_page": "report_responses",
    "api.study": "Study run_study",
    "api.subset": "Subset make_subset",
    "api.subset_comparison": "CalibrationComparison SubsetComparison compare_calibrations compare_subsets",
    "api.variance": "SeedVariance compare_recipes compare_seed_variance seed_variance",
    "errors": "ConvergenceWarning FitWarning IrtBenchError",
    "examples": "load_example",
    "inference.settings": "LaplaceSettings NUTSSettings SVISettings",
    "irt_models.item_regression": "ItemRegression",
    "irt_models.logistic": "FourPL OnePL ThreePL TwoPL",
    "irt_models.model": "Beta HalfNormal Hierarchical IRTModel Normal",
    "irt_models.multidimensional": "BifactorTwoPL ConfirmatoryTwoPL MultidimensionalTwoPL",
    "irt_models.ordered_and_continuous": "GeneralizedPartialCredit GradedResponse ZeroOneBeta",
    "irt_models.populations": "Groups Regression",
    "irt_models.raters": "ManyFacet",
    "irt_models.simulate": "simulate_responses",
    "report.figures.canvas": "save_figure",
    "report.page": "write_report",
    "responses.canonical": "as_counts as_table table_from_frame",
    "responses.counts": "ResponseCounts",
    "responses.formats.tables": "read_counts write_table",
    "responses.read": "describe_responses read_responses",
    "responses.table": "ResponseTable",
    "study.design": "StudyDesign",
    "subsets.harness.export_tasks": "AdaptiveRules",
}
_HOMES = {name: f"irt_bench.{home}" for home, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_HOMES)
__version__: str

if not TYPE_CHECKING:  # a type checker would take every other name for `Any`

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used."""
        if name == "__version__":
            return import_module("importlib.metadata").version("irt-bench")
        if name not in _HOMES:
            raise AttributeError(f"module 'irt_bench' has no attribute {name!r}; it has {', '.join(__all__)}.")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
