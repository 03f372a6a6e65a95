import numpy as np
import pandas as pd
import pytest

from irt_bench.errors import SubsetError
from irt_bench.subsets.calibration import Recipe, prepare
from irt_bench.subsets.clusters import model_clusters
from irt_bench.subsets.compare import Design, compare
from irt_bench.subsets.defaults import (
    BEST_ESTIMATORS,
    BEST_METHODS,
    DEFAULT,
    best_recipe,
    check_names,
    default_choice,
    default_weights,
)


def test_methods_without_weights_of_their_own_weigh_equally():
    assert default_weights("anchors") == "anchor"
    assert default_weights("variance") == "equal"


def test_unknown_names_are_refused_before_anything_is_fitted():
    check_names(BEST_METHODS, "equal", BEST_ESTIMATORS)
    for names in ((["ancors"], None, []), ([], "equl", []), ([], None, ["p_irtt"])):
        with pytest.raises(SubsetError):
            check_names(*names)


def tried(expected):
    """Two folds and one size: `expected` by (fold, method, estimator); estimates tell recipes apart."""
    rows = []
    for fold in (0, 1):
        for method in BEST_METHODS:
            for estimator in BEST_ESTIMATORS:
                error = expected.get((fold, method, estimator), 1.0)
                row = {"model": f"m{fold}", "fold": fold, "size": 5, "method": method, "expected": error}
                rows.append(row | {"weights": default_weights(method), "estimator": estimator, "estimate": len(rows)})
    return pd.DataFrame(rows)


def test_each_fold_takes_what_its_calibration_models_say_is_best_whatever_the_held_out_models_say():
    held_out = tried({(0, "anchors", "gp_irt"): 0.1, (1, "variance", "p_irt"): 0.2})
    other = held_out.assign(weights="minimum-variance", expected=0.0)  # not among the defaults, however good it looks
    chosen = default_choice(pd.concat([held_out, other], ignore_index=True))
    assert chosen["estimate"].tolist() == [1, 9]
    assert (chosen[["method", "weights", "estimator"]] == DEFAULT).to_numpy().all()
    assert default_choice(held_out[held_out["method"] == "anchors"]).empty


def test_the_row_of_the_default_in_a_comparison_is_what_best_recipe_makes(known_fits, plan):
    counts, clusters = known_fits.counts, model_clusters(known_fits.counts)
    methods = tuple((method, default_weights(method)) for method in BEST_METHODS)
    design = Design(plan, (10,), methods, ("weighted", *BEST_ESTIMATORS), n_random=1, n_folds=2)
    table = compare(counts, clusters, design).table.set_index(["method", "estimator"]).sort_index()
    recipe, estimator = best_recipe(prepare(counts, clusters, plan), Recipe("anchors", "anchor", 10))
    assert table.loc[(DEFAULT, DEFAULT), "n_models"] == counts.n_models
    single = table.query("estimator in @BEST_ESTIMATORS")["mae"]
    assert single.min() <= table.loc[(DEFAULT, DEFAULT), "mae"] <= single.max()
    assert (recipe.method, recipe.weights) in methods and estimator in BEST_ESTIMATORS
    assert np.isnan(table.loc[(DEFAULT, DEFAULT), "random"])
