import numpy as np
import pytest

from irt_bench.errors import FitError
from irt_bench.study import split
from irt_bench.study.plan import plan_study
from irt_bench.study.split import SplitData, divide


@pytest.fixture
def data(table, design, tmp_path):
    return SplitData(plan_study(table, design, tmp_path).benchmarks[0].splits[0].job)


def test_inner_folds_that_cannot_be_fitted_are_read_with_the_fit_to_all(data, monkeypatch):
    def refuse(*args, **kwargs):
        raise FitError("too few answers")

    monkeypatch.setattr(split, "prepare", refuse)
    assert data.inner_fits(["weighted", "p_irt"])  # nothing learns from them
    assert not data.inner_fits(["gp_irt"])
    held_out = [fold.held_out.n_models for fold in data.folds.folds]
    assert len(held_out) == 2 and sum(held_out) == data.calibration.n_models
    assert all(fold.kept is data.basis for fold in data.folds.folds)


def test_mean_scores_and_abilities_are_of_the_evaluated_checkpoints(data):
    items = np.arange(12)
    np.testing.assert_allclose(data.mean_scores(items), data.evaluation.proportions()[:, :12].mean(axis=1))
    assert np.corrcoef(data.abilities(items), data.mean_scores(items))[0, 1] > 0.9


def test_nothing_over_nothing_is_not_known():
    np.testing.assert_equal(divide(np.array([1.0, 0.0]), np.array([2.0, 0.0])), [0.5, np.nan])
