import pytest

from irt_bench.errors import SubsetError
from irt_bench.subsets.calibration import Recipe, calibrate, prepare
from irt_bench.subsets.clusters import model_clusters
from irt_bench.subsets.make import (
    DEFAULT_ESTIMATOR,
    DEFAULT_METHOD,
    best_recipe,
    check_names,
    default_weights,
)


def test_methods_without_weights_of_their_own_weigh_equally():
    assert default_weights("anchors") == "anchor"
    assert default_weights("variance") == "equal"


def test_the_defaults_are_known_and_other_names_are_refused_before_anything_is_fitted():
    check_names([DEFAULT_METHOD], default_weights(DEFAULT_METHOD), [DEFAULT_ESTIMATOR])
    for names in ((["ancors"], None, []), ([], "equl", []), ([], None, ["p_irtt"])):
        with pytest.raises(SubsetError):
            check_names(*names)


def test_the_best_recipe_has_the_least_error_on_models_held_out(known_fits, plan):
    prepared = prepare(known_fits.counts, model_clusters(known_fits.counts), plan)
    methods, estimators = ("discrimination", "difficulty"), ("weighted", "p_irt")
    recipe, estimator = best_recipe(prepared, Recipe("", "", 10), methods=methods, estimators=estimators)
    tried = {
        (method, name): calibrate(prepared, Recipe(method, "equal", 10), (name,)).errors[name].root_mean_square
        for method in methods
        for name in estimators
    }
    assert (recipe.method, estimator) == min(tried, key=tried.get) and recipe.weights == "equal"
