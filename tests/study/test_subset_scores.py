import numpy as np
import pytest

from irt_bench import ResponseCounts
from irt_bench.responses.labels import model_clusters
from irt_bench.study.data import calibration_plan
from irt_bench.study.plan import plan_study
from irt_bench.study.split import (
    WEIGHT_SENSITIVE,
    SplitData,
    estimators_of,
    random_estimators,
    random_items,
    random_reference,
    random_scores,
    recipe_scores,
    split_scorers,
)
from irt_bench.subsets.calibration import Recipe, calibrate, chosen_items, prepare
from irt_bench.subsets.estimators import ESTIMATORS, estimate
from irt_bench.subsets.scorer import ModelScorer, WeightedItems, make_scorer, summarise_responses


@pytest.fixture(scope="module")
def data(table, design, tmp_path_factory):
    plan = plan_study(table, design, tmp_path_factory.mktemp("reading"))
    return SplitData(plan.benchmarks[0].splits[0].job)


@pytest.fixture(scope="module")
def calibration(data):
    counts = data.calibration
    return prepare(counts, model_clusters(counts), calibration_plan(data.job, counts), posterior=data.basis.posterior)


def with_gaps(counts):
    rng = np.random.default_rng(5)
    kept = rng.random(counts.trials.shape) < 0.7
    return ResponseCounts(
        counts.correct * kept, counts.trials * kept, counts.models, counts.items, counts.benchmark, counts.measure
    )


@pytest.mark.parametrize("gaps", [False, True])
def test_answers_are_read_as_for_a_subset_that_is_made(data, gaps):
    """But for the noise of eight draws of the items there, of which ability and what rests on it have some."""
    counts = with_gaps(data.evaluation) if gaps else data.evaluation
    items = np.arange(0, 60, 3)
    weights = np.linspace(1, 3, len(items)) / np.linspace(1, 3, len(items)).sum()
    selection = data.basis.select(items)
    scorer = make_scorer(data.basis, selection, weights)
    expected = summarise_responses(scorer, counts.take(items=items))
    found = ModelScorer(data.basis, counts).read(WeightedItems(items, weights))
    for name in ("weighted", "observed", "asked_share"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-9)
    for name, within in (
        ("unseen", 0.03),
        ("expected", 0.03),
        ("unseen_plug_in", 0.03),
        ("answers", 0.07),
        ("ability", 0.21),
    ):
        error = np.abs(getattr(found, name) - getattr(expected, name))
        assert error.max() < within and error.mean() < within / 3


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_every_estimator_scores_as_where_subsets_are_made(data, calibration, name):
    recipe = Recipe("variance", "anchor", 15, data.job.seed)
    found = calibrate(calibration, recipe, [name])
    items = data.evaluation.items.index.get_indexer(found.scorer.items)
    evidence = summarise_responses(found.scorer, data.evaluation.take(items=items))
    expected = estimate(name, evidence, found.learned[name])
    share = calibration.source_share(recipe.method, recipe.size)
    own = split_scorers(calibration.whole, data.evaluation, calibration.folds)
    _, scores = recipe_scores(own, recipe, [name], lambda basis: chosen_items(basis, recipe), share)
    np.testing.assert_allclose(scores[name], expected, atol=0.02)


def test_random_subsets_are_scored_by_the_code_that_scores_chosen_ones(data, calibration):
    own = split_scorers(calibration.whole, data.evaluation, calibration.folds)
    items = random_items(1, 60, 12, 3)
    recipe, names = Recipe("random", "anchor", 12, 0), ["weighted", "p_irt", "ridge"]
    found = random_scores(own, items, recipe, names, 0.0)
    basis = calibration.whole
    for place, subset in enumerate(items):
        _, scores = recipe_scores(own, recipe, names, lambda _, subset=subset: basis.select(np.sort(subset)), 0.0)
        for name in names:
            np.testing.assert_allclose(found[name][place], scores[name], atol=1e-12)


def test_as_many_right_answers_are_the_same_score_whichever_items_they_are_to(data, calibration):
    own = split_scorers(calibration.whole, data.evaluation, calibration.folds)
    items = random_items(1, 60, 12, 30)
    found = random_scores(own, items, Recipe("random", "equal", 12, 0), ["weighted"], 0.0)["weighted"]
    right = data.evaluation.proportions()[:, items].sum(axis=2).T
    pairs = np.stack([right.round(6).ravel(), found.ravel()])
    assert len(np.unique(pairs, axis=1).T) == len(np.unique(pairs[0])) > 5


def test_a_share_learned_from_random_subsets_lies_between_its_two_parts(data, calibration):
    own = split_scorers(calibration.whole, data.evaluation, calibration.folds)
    recipe, names = Recipe("random", "equal", 12, 0), ["weighted", "p_irt", "gp_irt"]
    found = random_scores(own, random_items(1, 60, 12, 30), recipe, names, 0.0)
    share = (found["gp_irt"] - found["p_irt"]) / (found["weighted"] - found["p_irt"])
    apart = np.abs(found["weighted"] - found["p_irt"]) > 0.01
    assert np.ptp(share[apart]) < 1e-6 and 0 <= share[apart].mean() <= 1


def test_estimators_that_see_items_alone_are_held_against_equal_weights():
    recipes = [("variance", "equal"), ("variance", "minimum-variance"), ("anchors", "anchor")]
    names = ["weighted", "p_irt", "theta"]
    assert estimators_of("variance", "equal", recipes, names) == names
    assert estimators_of("variance", "minimum-variance", recipes, names) == ["weighted"]
    assert random_reference("anchor", "p_irt") == ("equal", "p_irt") and random_reference("anchor", "gp_irt") == (
        "anchor",
        "gp_irt",
    )
    assert random_estimators("equal", ["theta"]) == ["weighted", "theta"]
    assert random_estimators("anchor", names) == ["weighted"]
    assert set(WEIGHT_SENSITIVE) <= set(ESTIMATORS)
