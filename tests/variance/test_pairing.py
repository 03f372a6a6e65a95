import numpy as np
import pytest
from simulated_seeds import SeedSimulation, simulate_seeds

from irt_bench.errors import AnalysisError
from irt_bench.variance.paired_scores import compare_variance, paired_runs
from irt_bench.variance.seed_variance import one_measure


def test_items_are_matched_by_label_in_one_order_and_incomplete_ones_dropped():
    runs = one_measure(simulate_seeds(SeedSimulation(n_seeds=3, n_items=40, missing=0.02), seed=1))[0]
    turned = [run.take(np.arange(run.n_items)[:5:-1]) for run in runs]
    for one, other in paired_runs(runs, turned, matched=True):
        assert list(one.items) == list(other.items) and 2 <= one.n_items < 34
        np.testing.assert_array_equal(one.values, other.values)
        assert one.complete


def test_runs_that_do_not_match_are_an_error():
    runs = one_measure(simulate_seeds(SeedSimulation(n_seeds=2), seed=1))[0]
    with pytest.raises(AnalysisError, match="no run has 3 seeds"):
        compare_variance(runs, runs, labels=("a", "b"))
