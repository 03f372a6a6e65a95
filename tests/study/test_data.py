from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from irt_bench import table_from_frame
from irt_bench.inference.convergence import MIN_MODELS
from irt_bench.study.data import calibration_plan, fit_shuffled, make_job, memory_bytes, read_rows, write_data
from irt_bench.study.design import Split, make_design, make_splits
from irt_bench.subsets.basis import ABILITY_NODES
from irt_bench.variance.scores import seed_layout


@pytest.fixture(scope="module")
def parts(table, tmp_path_factory):
    layout = seed_layout(table.models)
    counts = table.counts()
    place = write_data(counts, layout.models, tmp_path_factory.mktemp("data"))
    return counts, layout, place, make_splits(table.models, layout, make_design({"n_folds": 2}))


def test_rows_come_back_from_disk_as_they_were_with_runs_seeds_and_steps(parts):
    counts, layout, place, _ = parts
    rows = np.array([3, 0, 30])
    found = read_rows(place, rows, counts.benchmark)
    np.testing.assert_array_equal(found.correct, counts.correct[rows])
    np.testing.assert_array_equal(found.trials, counts.trials[rows])
    assert list(found.models.index) == list(counts.models.index[rows])
    known = layout.models.reindex(found.models.index)
    assert list(found.models["run"].fillna("")) == list(known["run"].fillna(""))
    assert list(found.items.index) == list(counts.items.index)


def test_responses_are_written_once(parts):
    counts, layout, place, _ = parts
    before = (place / "correct.npy").stat().st_mtime_ns
    assert write_data(counts, layout.models, place.parents[1]) == place
    assert (place / "correct.npy").stat().st_mtime_ns == before


def test_a_calibration_row_equal_to_an_evaluated_one_is_left_out(parts):
    counts, _, place, splits = parts
    split = splits.splits[0]
    job, n_equal = make_job(counts, place, split, 0)
    assert n_equal == 0 and len(job.calibration) == len(split.calibration)
    twin = counts.models.index.get_indexer([split.evaluation.index[0], split.calibration[0]])
    correct = counts.correct.copy()
    correct[twin[1]] = correct[twin[0]]
    changed = type(counts)(correct, counts.trials, counts.models, counts.items, counts.benchmark)
    job, n_equal = make_job(changed, place, split, 0)
    assert n_equal == 1 and twin[1] not in job.calibration


def test_a_split_without_two_answered_seeds_is_no_job(parts):
    counts, _, place, splits = parts
    first = splits.splits[0]
    one = first.evaluation[first.evaluation["seed"] == "1"]
    assert make_job(counts, place, Split("one", first.calibration, one), 0) == (None, 0)


def test_memory_grows_with_models_and_items():
    assert memory_bytes(100, 1000) < memory_bytes(200, 1000) < memory_bytes(200, 2000) < 2e9


def test_the_control_keeps_items_that_come_out_negative_by_chance(parts):
    counts, _, place, splits = parts
    job, _ = make_job(counts, place, splits.splits[0], 0)
    basis = fit_shuffled(job, counts.take(models=job.calibration))
    assert len(basis.candidates) == counts.n_items


def able_models(n_models):
    """Answers of models with 83% right or so to 400 items."""
    rng = np.random.default_rng(0)
    ability, difficulty = 2.6 + 0.3 * rng.normal(size=(n_models, 1)), 2 * rng.normal(size=400)
    right = rng.random((n_models, 400)) < expit(np.exp(0.4 * rng.normal(size=400)) * (ability - difficulty))
    models, items = ([f"{name}{place}" for place in range(n)] for name, n in (("m", n_models), ("q", 400)))
    frame = pd.DataFrame(right.astype(int), pd.Index(models, name="model"), pd.Index(items, name="item"))
    return table_from_frame(frame.stack().rename("correct").reset_index(), benchmark="toy").counts()


def mean_off(plan, counts):
    """Mean score by the curves, at the models' abilities, less the mean of what they answered."""
    basis = plan.fit_basis(counts)
    return np.interp(basis.abilities, ABILITY_NODES, basis.curves.chance.mean(axis=0)).mean() - basis.full_score.mean()


def test_few_calibration_models_are_fitted_until_their_curves_give_their_mean_score():
    job, counts = SimpleNamespace(seed=0), able_models(12)
    plan = calibration_plan(job, counts)
    rough = plan._replace(settings=plan.settings.model_copy(update={"refine": False}))
    assert plan.settings.refine and abs(mean_off(plan, counts)) < 0.01
    assert mean_off(rough, counts) < -0.012  # the negative control
    assert not calibration_plan(job, able_models(MIN_MODELS)).settings.refine
