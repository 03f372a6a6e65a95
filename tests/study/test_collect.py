import numpy as np
import pytest

from irt_bench.study.collect import BenchmarkResults, scale_of
from irt_bench.study.tasks import Store
from irt_bench.study.verdicts import RandomReference


@pytest.fixture(scope="module")
def found(result, folder):
    return BenchmarkResults(result.plan.benchmarks[0], Store(folder))


def test_runs_of_all_splits_stand_in_one_order(found, table):
    assert found.runs == ["run-0", "run-1", "run-2", "run-3"]
    shares = table.counts().proportions().mean(axis=1)
    models = table.models
    for run in found.runs:
        wide = found.checkpoints.arrange(found.full["weighted"], run)
        own = (models["run"] == run).to_numpy()
        expected = models[own].assign(score=shares[own]).pivot(index="seed", columns="step", values="score")
        np.testing.assert_allclose(wide, expected.to_numpy(dtype=float))


def test_random_subsets_keep_the_order_of_the_runs(found):
    random = RandomReference(found, found.random(10)["equal", "weighted"], found.full["weighted"])
    for place, run in enumerate(found.runs):
        first = found.checkpoints.arrange(random.scores[0], run).var(axis=0, ddof=1).mean()
        assert random.variance[0, place] == pytest.approx(first)


def test_ability_has_a_scale_of_its_own():
    assert scale_of("theta") == "theta" and scale_of("gp_irt") == "weighted"
