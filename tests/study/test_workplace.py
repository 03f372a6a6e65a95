import numpy as np
import pytest

from irt_bench.errors import FitError
from irt_bench.study import split
from irt_bench.study.plan import plan_study
from irt_bench.study.split import Workplace, divide


@pytest.fixture
def work(table, design, tmp_path):
    return Workplace(plan_study(table, design, tmp_path).benchmarks[0].tasks[0].job)


def test_inner_folds_that_cannot_be_fitted_are_read_with_the_fit_to_all(work, monkeypatch):
    def refuse(*args, **kwargs):
        raise FitError("too few answers")

    monkeypatch.setattr(split, "prepare", refuse)
    assert work.inner_fits(["weighted", "p_irt"])  # nothing learns from them
    assert not work.inner_fits(["gp_irt"])
    held_out = [fold.held_out.n_models for fold in work.folds.folds]
    assert len(held_out) == 2 and sum(held_out) == work.calibration.n_models
    assert all(fold.kept is work.basis for fold in work.folds.folds)


def test_mean_scores_and_abilities_are_of_the_evaluated_snapshots(work):
    items = np.arange(12)
    np.testing.assert_allclose(work.mean_scores(items), work.evaluation.proportions()[:, :12].mean(axis=1))
    assert np.corrcoef(work.abilities(items), work.mean_scores(items))[0, 1] > 0.9


def test_nothing_over_nothing_is_not_known():
    np.testing.assert_equal(divide(np.array([1.0, 0.0]), np.array([2.0, 0.0])), [0.5, np.nan])
