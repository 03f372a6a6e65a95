import numpy as np
import pytest

from irt_bench.study.data import run_variance
from irt_bench.study.plan import plan_study
from irt_bench.study.split import SplitData, random_items
from irt_bench.study.tasks import compute_task, make_task
from irt_bench.subsets.calibration import Recipe, chosen_items
from irt_bench.variance.moments import item_covariance


@pytest.fixture(scope="module")
def data(table, design, tmp_path_factory):
    plan = plan_study(table, design, tmp_path_factory.mktemp("tasks"))
    return SplitData(plan.benchmarks[0].splits[0].job)


def task(data, kind, **parameters):
    return compute_task(data, make_task(data.job, kind, **parameters))


def arranged(data, run):
    return data.job.checkpoints.arrange(data.evaluation.proportions().T, run)  # (item, seed, step)


def test_the_full_task_holds_means_over_all_items_and_the_components_of_v(data):
    found = task(data, "full")
    np.testing.assert_allclose(found["weighted"], data.evaluation.proportions().mean(axis=1))
    for place, run in enumerate(data.job.checkpoints.runs):
        steps = [item_covariance(arranged(data, run)[:, :, step].T) for step in range(2)]
        expected = [np.mean([getattr(each, name) for each in steps]) for name in ("off_diagonal", "residual")]
        np.testing.assert_allclose(found["components"][place], expected)


def test_random_subsets_have_the_variance_that_v_predicts(data):
    found = task(data, "random", size=10, weights="equal", n_random=4000, estimators=["weighted"])["weighted"]
    assert found.shape == (4000, len(data.job.evaluation))
    components = task(data, "full")["components"]
    predicted = components[:, 0] + components[:, 1] / 10
    drawn = np.stack(
        [run_variance(data.job.checkpoints.arrange(found, run)).value for run in data.job.checkpoints.runs], axis=1
    )
    assert (np.abs(drawn.mean(axis=0) - predicted) < 4 * drawn.std(axis=0) / np.sqrt(4000)).all()


def test_random_subsets_are_distinct_items_and_the_same_in_every_split():
    items = random_items(1, 30, 7, 250)
    assert items.shape == (250, 7)
    assert all(len(set(row)) == 7 for row in items.tolist())
    np.testing.assert_array_equal(items, random_items(1, 30, 7, 250))
    np.testing.assert_array_equal(items[:100], random_items(1, 30, 7, 100))
    counts = np.bincount(random_items(2, 30, 7, 3000).ravel(), minlength=30)
    assert counts == pytest.approx(np.full(30, 700), abs=5 * np.sqrt(700))


def test_a_recipe_scores_evaluated_models_with_items_chosen_on_the_others(data):
    found = task(data, "recipe", method="discrimination", weights="equal", size=10, estimators=["weighted", "theta"])
    chosen = chosen_items(data.basis, Recipe("discrimination", "equal", 10, data.job.seed)).items
    assert list(found["items"]) == list(chosen)
    np.testing.assert_allclose(found["weighted"], data.evaluation.proportions()[:, chosen].mean(axis=1))
    assert found["k_eff"] == pytest.approx(10)
    assert np.corrcoef(found["theta"], found["weighted"])[0, 1] > 0.8


def test_estimators_that_learn_take_inner_folds_of_the_calibration_models(data):
    found = task(
        data, "recipe", method="anchors", weights="anchor", size=10, estimators=["gp_irt", "p_irt", "weighted"]
    )
    low, high = np.minimum(found["p_irt"], found["weighted"]), np.maximum(found["p_irt"], found["weighted"])
    assert ((low - 1e-9 <= found["gp_irt"]) & (found["gp_irt"] <= high + 1e-9)).all()


def test_the_path_drops_the_least_discriminating_items_first(data):
    found = task(data, "path", drop=[0.0, 0.5], n_random=300)
    assert list(found["sizes"]) == [60, 30]
    shares = data.evaluation.proportions()
    np.testing.assert_allclose(found["scores"][0], shares.mean(axis=1))
    kept = np.argsort(-data.basis.discrimination, kind="stable")[:30]
    np.testing.assert_allclose(found["scores"][1], shares[:, kept].mean(axis=1))
    np.testing.assert_allclose(found["standard_error"][1], shares[:, kept].std(axis=1, ddof=1) / np.sqrt(30))
    components = task(data, "full")["components"]
    predicted = components[:, 0] + components[:, 1] / 30
    drawn = found["random"][:, 1]
    assert (np.abs(drawn.mean(axis=0) - predicted) < 4 * drawn.std(axis=0) / np.sqrt(300)).all()


def test_the_control_knows_nothing_of_the_items(data):
    found = task(data, "control", within="models", recipes=[("discrimination", "equal")], size=10)
    assert found["discrimination|equal|weighted"].shape == (len(data.job.evaluation),)
    assert found["random|equal|p_irt"].shape == (400, len(data.job.evaluation))
    chosen = task(data, "recipe", method="discrimination", weights="equal", size=10, estimators=["weighted"])
    assert not np.allclose(found["discrimination|equal|weighted"], chosen["weighted"])


def test_tasks_are_the_same_to_the_bit_when_computed_again_elsewhere(data):
    again = SplitData(data.job)
    for kind, parameters in (
        ("random", {"size": 10, "weights": "anchor", "n_random": 30, "estimators": ["weighted", "gp_irt"]}),
        (
            "recipe",
            {"method": "variance", "weights": "equal", "size": 10, "estimators": ["weighted", "p_irt", "theta"]},
        ),
    ):
        first, second = task(data, kind, **parameters), task(again, kind, **parameters)
        assert all(first[name].tobytes() == second[name].tobytes() for name in first)
